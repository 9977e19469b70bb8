/* A password in a file: what is taken, what is refused, and in which words. */
#include "unit.h"

#include "base/file.h"
#include "base/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define STRANGER 12345

static char folder[] = "/tmp/test_secret.XXXXXX";
static char path[64];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(path, sizeof(path), "%s/secret", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlink(path);
    return rmdir(folder);
}

static void put(struct str text, mode_t mode)
{
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text.p, text.len), (ssize_t)text.len);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
}

static void
try_read(const char *name, uid_t reader, int want, const char *password, const char *words)
{
    CLEANUP(buf_wipe) struct buf out = BUF_INIT(SECRET_FILE_MAX);
    char why[SECRET_FILE_WHY_MAX] = "";
    int r = secret_file_read(path, reader, &out, why);
    if (r != want)
        fail_msg("%s: %d %s", name, r, why);
    check(name, str_eq(buf_str(&out), str_of(password)));
    check(name, !words == !*why && (!words || (strstr(why, words) && strstr(why, path))));
    check(name, !strstr(why, "geheim"));
}

static void contents(void **state)
{
    (void)state;
    static char long_text[SECRET_FILE_MAX];
    memset(long_text, 'x', sizeof(long_text));
    const struct {
        const char *name;
        struct str text;
        int want;
        const char *password, *why;
    } rows[] = {
        {"a line",            STR("geheim\n"),                0,        "geheim",    NULL      },
        {"without line end",  STR("geheim"),                  0,        "geheim",    NULL      },
        {"of another system", STR("geheim\r\nx"),             0,        "geheim",    NULL      },
        {"spaces belong",     STR(" ge heim \n"),             0,        " ge heim ", NULL      },
        {"more lines",        STR("geheim\nuser: ann\n"),     0,        "geheim",    NULL      },
        {"empty",             STR(""),                        -ENODATA, "",          "is empty"},
        {"an empty line",     STR("\ngeheim\n"),              -ENODATA, "",          "is empty"},
        {"nothing but CR LF", STR("\r\ngeheim\n"),            -ENODATA, "",          "is empty"},
        {"too long",          {long_text, sizeof(long_text)}, -EFBIG,   "",          "too long"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        put(rows[i].text, 0400);
        try_read(rows[i].name, geteuid(), rows[i].want, rows[i].password, rows[i].why);
    }
}

/* Rows of an owner we cannot make a file of, not being root, are left out. */
static void who_may_read(void **state)
{
    (void)state;
    const struct {
        const char *name;
        mode_t mode;
        uid_t owner, reader;
        int want;
        const char *why;
    } rows[] = {
        {"root's alone",                0600, 0,        STRANGER, 0,       NULL                             },
        {"root's, and a group's",       0640, 0,        STRANGER, 0,       NULL                             },
        {"root's, and everybody's",     0644, 0,        STRANGER, -EACCES, "others may read it; chmod 640"  },
        {"root's, the group writes",    0660, 0,        STRANGER, -EACCES, "others may change it; chmod 640"},
        {"the reader's alone",          0600, STRANGER, STRANGER, 0,       NULL                             },
        {"the reader's, and a group's", 0640, STRANGER, STRANGER, -EACCES,
         "others may read it; chmod 600"                                                                    },
        {"the reader's, others write",  0602, STRANGER, STRANGER, -EACCES,
         "others may change it; chmod 600"                                                                  },
        {"somebody else's",             0600, STRANGER, 54321,    -EACCES, "belongs to somebody else"       },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        put(STR("geheim\n"), rows[i].mode);
        if (chown(path, rows[i].owner, (gid_t)-1) < 0)
            continue;
        try_read(rows[i].name, rows[i].reader, rows[i].want, rows[i].want ? "" : "geheim",
                 rows[i].why);
    }
    put(STR("geheim\n"), 0640);
    if (geteuid() != 0)
        try_read("ours, and a group's", geteuid(), -EACCES, "", "chmod 600");
}

static void what_is_no_file(void **state)
{
    (void)state;
    (void)unlink(path);
    try_read("nothing", geteuid(), -ENOENT, "", "No such file");
    assert_int_equal(mkfifo(path, 0600), 0);
    try_read("a pipe", geteuid(), -EINVAL, "", "no regular file");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    try_read("a folder", geteuid(), -EISDIR, "", "Is a directory");
    assert_int_equal(rmdir(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(contents),
        cmocka_unit_test(who_may_read),
        cmocka_unit_test(what_is_no_file),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
