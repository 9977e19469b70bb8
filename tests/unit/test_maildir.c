#include "netkit.h"

#include "relay/maildir.h"

#include <dirent.h>
#include <fcntl.h>

static void addresses_become_paths(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *address, *want; /* want NULL: no such mailbox */
    } rows[] = {
        {"/m/%u",      "bob@example.org", "/m/bob"              },
        {"/m/%u",      "Bob@Example.ORG", "/m/bob"              },
        {"/m/%d/%u/M", "bob@Example.ORG", "/m/example.org/bob/M"},
        {"/m/%%/%u",   "bob@x",           "/m/%/bob"            },
        {"/m/all",     "../../etc@x",     "/m/all"              },
        {"/m/%u",      "\"a b\"@x",       "/m/a b"              },
        {"/m/%u",      "\"a\\\"b\"@x",    "/m/a\"b"             },
        {"/m/%u",      "b\xc3\xb6@x",     "/m/b\xc3\xb6"        },
        {"/m/%u",      "Postmaster",      "/m/postmaster"       },
        {"/m/%u",      "a/b@x",           NULL                  },
        {"/m/%u",      "../b@x",          NULL                  },
        {"/m/%u",      "..@x",            NULL                  },
        {"/m/%u",      ".hidden@x",       NULL                  },
        {"/m/%u",      "\"\"@x",          NULL                  },
        {"/m/%u",      "\"\\.\\.\"@x",    NULL                  },
        {"/m/%u",      "\"a/../b\"@x",    NULL                  },
        {"/m/%u",      "@x",              NULL                  },
        {"/m/%u",      "a\tb@x",          NULL                  },
        {"/m/%d/%u",   "bob",             NULL                  },
        {"/m/%d/%u",   "bob@../x",        NULL                  },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out = BUF_INIT(200);
        int r = maildir_path(rows[i].pattern, rows[i].address, &out);
        check(rows[i].address, r == (rows[i].want ? 0 : -EINVAL));
        check(rows[i].address, !rows[i].want || strcmp(out.data, rows[i].want) == 0);
        buf_done(&out);
    }
    char longest[400];
    memset(longest, 'a', sizeof(longest) - 1);
    longest[399] = '\0';
    struct buf out = BUF_INIT(200);
    assert_int_equal(maildir_path("/m/%u", longest, &out), -EINVAL);
    buf_done(&out);
}

/* ---- writing ---- */

static char root[64];
static struct maildir_writer *writer;
static int n_done;

static int setup(void **state)
{
    (void)netkit_setup(state);
    (void)snprintf(root, sizeof(root), "/tmp/postern-maildir-XXXXXX");
    assert_non_null(mkdtemp(root));
    assert_int_equal(maildir_writer_new("me/x:y", loop, &writer), 0);
    n_done = 0;
    return 0;
}

static int teardown(void **state)
{
    maildir_writer_free(writer);
    char command[128];
    (void)snprintf(command, sizeof(command), "rm -rf %s", root);
    assert_int_equal(system(command), 0);
    return netkit_teardown(state);
}

static void on_done(struct maildir_task *t)
{
    (void)t;
    n_done++;
    loop_stop(loop);
}

/* How many files stand in a folder; the content of the last one in *out. */
static int look(const char *path, const char *sub, struct buf *out)
{
    char name[700];
    (void)snprintf(name, sizeof(name), "%s/%s", path, sub);
    DIR *dir = opendir(name);
    int n = 0;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (e->d_name[0] == '.')
            continue;
        n++;
        (void)snprintf(name, sizeof(name), "%s/%s/%s", path, sub, e->d_name);
        assert_null(strchr(e->d_name, ':'));
        CLEANUP(fd_closep) int fd = open(name, O_RDONLY | O_CLOEXEC);
        struct stat st;
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        char text[4096];
        ssize_t len = read(fd, text, sizeof(text));
        assert_true(len >= 0);
        if (out) {
            buf_clear(out);
            assert_int_equal(buf_append(out, text, (size_t)len), 0);
        }
    }
    if (dir)
        (void)closedir(dir);
    return dir ? n : -1;
}

static struct maildir_file file_for(const char *path)
{
    return (struct maildir_file){
        .path = path, .recipient = "bob@example.org", .reverse_path = "ann@example.org", .fd = -1};
}

static void write_pieces(struct maildir_task *t, const char *text, size_t piece)
{
    t->done = on_done;
    size_t len = strlen(text);
    for (size_t at = 0; at == 0 || at < len; at += piece) {
        int before = n_done;
        t->text = (struct str){text + at, MIN(piece, len - at)};
        t->last = at + piece >= len;
        maildir_write(writer, t);
        WAIT(n_done == before + 1);
    }
}

static void a_message_becomes_a_file(void **state)
{
    (void)state;
    static const char text[] = "A: b\r\n\r\nl\rne\r\n.\r\n\r\r\nend\r";
    static const char want[] = "Return-Path: <ann@example.org>\nDelivered-To: bob@example.org\n"
                               "A: b\n\nl\rne\n.\n\r\nend\r";
    for (size_t piece = 1; piece < sizeof(text); piece++) {
        char path[100];
        (void)snprintf(path, sizeof(path), "%s/deep/er/%zu", root, piece);
        struct maildir_file f = file_for(path);
        struct maildir_task t = {.files = &f, .n_files = 1};
        write_pieces(&t, text, piece);
        assert_int_equal(f.error, 0);
        struct buf got = BUF_INIT(4096);
        assert_int_equal(look(path, "new", &got), 1);
        assert_string_equal(got.data, want);
        assert_int_equal(look(path, "tmp", NULL), 0);
        assert_int_equal(look(path, "cur", NULL), 0);
        buf_done(&got);
        struct stat st;
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0700);
    }
}

static void tasks_that_wait_together_go_together(void **state)
{
    (void)state;
    enum { N = 100 };
    static struct maildir_task tasks[N];
    static struct maildir_file files[N];
    char path[2][100];
    (void)snprintf(path[0], sizeof(path[0]), "%s/even", root);
    (void)snprintf(path[1], sizeof(path[1]), "%s/odd", root);
    for (int i = 0; i < N; i++) {
        files[i] = file_for(path[i % 2]);
        tasks[i] = (struct maildir_task){
            .files = &files[i], .n_files = 1, .text = STR("x\r\n"), .last = true, .done = on_done};
        maildir_write(writer, &tasks[i]);
    }
    WAIT(n_done == N);
    for (int i = 0; i < N; i++)
        assert_int_equal(files[i].error, 0);
    assert_int_equal(look(path[0], "new", NULL), N / 2);
    assert_int_equal(look(path[1], "new", NULL), N / 2);
}

/* One bad Maildir does not keep the others from theirs, and says what was tried. */
static void each_file_fails_for_itself(void **state)
{
    (void)state;
    char good[100], bad[100], worse[1100];
    (void)snprintf(good, sizeof(good), "%s/good", root);
    (void)snprintf(bad, sizeof(bad), "%s/bad", root);
    memset(worse, 'a', sizeof(worse));
    worse[sizeof(worse) - 1] = '\0';
    worse[0] = '/';
    int fd = open(bad, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    struct maildir_file files[] = {file_for(bad), file_for(good), file_for(worse)};
    struct maildir_task t = {.files = files, .n_files = 3};
    write_pieces(&t, "one\r\ntwo\r\n", 5);
    assert_int_equal(files[0].error, -ENOTDIR);
    assert_string_equal(files[0].step, "create a file in tmp/");
    assert_int_equal(files[1].error, 0);
    assert_int_equal(files[2].error, -ENAMETOOLONG);
    assert_int_equal(look(good, "new", NULL), 1);
}

static void a_cancelled_text_leaves_nothing(void **state)
{
    (void)state;
    char path[100];
    (void)snprintf(path, sizeof(path), "%s/box", root);
    struct maildir_file f = file_for(path);
    struct maildir_task t = {.files = &f, .n_files = 1, .text = STR("half"), .done = on_done};
    maildir_write(writer, &t);
    WAIT(n_done == 1);
    assert_int_equal(look(path, "tmp", NULL), 1);
    t.cancel = true;
    maildir_write(writer, &t);
    WAIT(n_done == 2);
    assert_int_equal(f.error, -ECANCELED);
    assert_int_equal(look(path, "tmp", NULL), 0);
    assert_int_equal(look(path, "new", NULL), 0);
}

/* A disk that is full in the middle: nothing stays behind, the reason comes back. */
static void a_full_disk_is_told(void **state)
{
    (void)state;
    char path[100], tmp[120];
    (void)snprintf(path, sizeof(path), "%s/box", root);
    (void)snprintf(tmp, sizeof(tmp), "%s/tmp", path);
    struct maildir_file f = file_for(path);
    struct maildir_task t = {.files = &f, .n_files = 1, .text = STR("half"), .done = on_done};
    maildir_write(writer, &t);
    WAIT(n_done == 1);
    (void)close(f.fd);
    f.fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    t.last = true;
    maildir_write(writer, &t);
    WAIT(n_done == 2);
    assert_int_equal(f.error, -ENOSPC);
    assert_string_equal(f.step, "write");
    assert_int_equal(look(path, "tmp", NULL), 0);
    assert_int_equal(look(path, "new", NULL), 0);
}

#define DISKTEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_become_paths),       DISKTEST(a_message_becomes_a_file),
        DISKTEST(tasks_that_wait_together_go_together), DISKTEST(each_file_fails_for_itself),
        DISKTEST(a_cancelled_text_leaves_nothing),      DISKTEST(a_full_disk_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
