#include "unit.h"

#include "app/porter.h"
#include "app/privileges.h"
#include "base/file.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>

/* live/key.pem -> ../archive/key1.pem, as certbot has it: folders and file are root's alone. */
static char top[] = "/tmp/test_porter.XXXXXX";
static char live[128], link_path[128], archive[128], key[128], other[128], loose[128],
    loose_key[128];

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fchmod(fileno(f), 0600), 0);
    assert_int_equal(fclose(f), 0);
}

static int build(void **state)
{
    (void)state;
    if (geteuid() != 0)
        return 0;
    if (!mkdtemp(top) || chmod(top, 0755) < 0)
        return -1;
    (void)snprintf(live, sizeof(live), "%s/live", top);
    (void)snprintf(archive, sizeof(archive), "%s/archive", top);
    (void)snprintf(link_path, sizeof(link_path), "%s/live/key.pem", top);
    (void)snprintf(key, sizeof(key), "%s/archive/key1.pem", top);
    (void)snprintf(other, sizeof(other), "%s/archive/other.pem", top);
    (void)snprintf(loose, sizeof(loose), "%s/loose", top);
    (void)snprintf(loose_key, sizeof(loose_key), "%s/loose/key.pem", top);
    if (mkdir(live, 0700) < 0 || mkdir(archive, 0700) < 0 || mkdir(loose, 0700) < 0)
        return -1;
    put(key, "first");
    put(other, "another's");
    put(loose_key, "loose");
    return symlink("../archive/key1.pem", link_path);
}

static int tear_down(void **state)
{
    (void)state;
    const char *const all[] = {link_path, key, other, loose_key};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        (void)unlink(all[i]);
    (void)rmdir(live);
    (void)rmdir(archive);
    (void)rmdir(loose);
    (void)rmdir(top);
    return 0;
}

/* Runs as nobody with a porter behind it, in a process of its own. */
static int as_nobody(int (*body)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        const char *const paths[] = {link_path, loose_key, archive};
        char why[256];
        if (porter_start(paths, ARRAY_LEN(paths), why) < 0 ||
            privileges_drop("nobody", NULL, why) < 0)
            _exit(99);
        int r = body();
        porter_stop();
        _exit(r);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static bool reads(const char *path, const char *text)
{
    CLEANUP(buf_done) struct buf b = BUF_INIT(1000);
    return file_read(path, &b) == 0 && str_eq(buf_str(&b), str_of(text));
}

static int listed(void)
{
    struct stat st;
    if (!reads(link_path, "first") || !reads(link_path, "first"))
        return 1;
    return file_stat(link_path, &st) == 0 && st.st_size == 5 ? 0 : 2;
}

/* The same file by another name, its neighbour, a folder of the list, and what is not there. */
static int unlisted(void)
{
    if (file_open(key) != -EACCES || file_open(other) != -EACCES)
        return 1;
    if (file_open("/etc/shadow") != -EACCES)
        return 2;
    return file_open(archive) < 0 ? 0 : 3;
}

static int not_loose(void)
{
    return file_open(loose_key) == -EACCES ? 0 : 1;
}

static int loose_is_fine(void)
{
    return reads(loose_key, "loose") ? 0 : 1;
}

static void only_what_is_listed(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(as_nobody(listed), 0);
    assert_int_equal(as_nobody(unlisted), 0);
}

/* Whoever may write into a folder could put a link to any file there. */
static void no_way_that_others_can_change(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    const struct passwd *nobody = getpwnam("nobody");
    assert_non_null(nobody);
    assert_int_equal(as_nobody(loose_is_fine), 0);
    assert_int_equal(chmod(loose, 0770), 0);
    assert_int_equal(as_nobody(not_loose), 0);
    assert_int_equal(chmod(loose, 0700), 0);
    assert_int_equal(chown(loose, nobody->pw_uid, (gid_t)-1), 0);
    assert_int_equal(as_nobody(not_loose), 0);
    assert_int_equal(chown(loose, 0, (gid_t)-1), 0);
    /* Sticky, as /tmp is: an entry of somebody else's is not root's word. */
    assert_int_equal(chmod(loose, 01777), 0);
    assert_int_equal(as_nobody(loose_is_fine), 0);
    assert_int_equal(unlink(loose_key), 0);
    assert_int_equal(symlink(other, loose_key), 0);
    assert_int_equal(lchown(loose_key, nobody->pw_uid, (gid_t)-1), 0);
    assert_int_equal(as_nobody(not_loose), 0);
}

/* A link into a folder of somebody else's leads nowhere either. */
static void no_link_through_others(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(loose, 0777), 0);
    assert_int_equal(unlink(link_path), 0);
    assert_int_equal(symlink(loose_key, link_path), 0);
    assert_int_equal(as_nobody(listed), 1);
    assert_int_equal(unlink(link_path), 0);
    assert_int_equal(symlink("key.pem", link_path), 0); /* itself, for ever */
    assert_int_equal(as_nobody(listed), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_is_listed),
        cmocka_unit_test(no_way_that_others_can_change),
        cmocka_unit_test(no_link_through_others),
    };
    return cmocka_run_group_tests(tests, build, tear_down);
}
