#include "unit.h"

#include "app/privileges.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* Each runs in a child of its own: what it gives up is gone for good. */
static int in_child(int (*body)(void))
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(body());
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int drop_to_nobody(void)
{
    char why[PRIVILEGES_WHY_MAX] = "";
    if (privileges_drop("nobody", NULL, why) < 0) {
        fprintf(stderr, "%s\n", why);
        return 1;
    }
    if (getuid() == 0 || geteuid() == 0 || getgid() == 0 || getegid() == 0)
        return 2;
    if (setuid(0) == 0 || setgid(0) == 0)
        return 3;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
        return 4;
    gid_t groups[64];
    int n = getgroups(64, groups);
    for (int i = 0; i < n; i++) {
        if (groups[i] == 0)
            return 5;
    }
    return 0;
}

static int drop_to_group_too(void)
{
    char why[PRIVILEGES_WHY_MAX] = "";
    const struct group *gr = getgrnam("daemon");
    return !gr || privileges_drop("nobody", "daemon", why) < 0 || getegid() != gr->gr_gid;
}

static int nobody_cannot_become_daemon(void)
{
    char why[PRIVILEGES_WHY_MAX] = "";
    if (privileges_drop("nobody", NULL, why) < 0)
        return 1;
    return privileges_drop("daemon", NULL, why) != -EPERM || !strstr(why, "start as root");
}

static int stay(void)
{
    char why[PRIVILEGES_WHY_MAX] = "";
    uid_t before = getuid();
    return privileges_drop(NULL, NULL, why) != 0 || getuid() != before ||
           prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1;
}

static void root_becomes_another_for_good(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(in_child(drop_to_nobody), 0);
    assert_int_equal(in_child(drop_to_group_too), 0);
    assert_int_equal(in_child(nobody_cannot_become_daemon), 0);
}

static void without_a_user_only_new_rights_are_given_up(void **state)
{
    (void)state;
    assert_int_equal(in_child(stay), 0);
}

static void a_missing_account_is_named_with_its_cure(void **state)
{
    (void)state;
    char why[PRIVILEGES_WHY_MAX] = "";
    assert_int_equal(privileges_drop("no-such-user-here", NULL, why), -ENOENT);
    assert_non_null(strstr(why, "adduser --system --group no-such-user-here"));
    assert_int_equal(privileges_drop("nobody", "no-such-group-here", why), -ENOENT);
    assert_non_null(strstr(why, "addgroup --system no-such-group-here"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(root_becomes_another_for_good),
        cmocka_unit_test(without_a_user_only_new_rights_are_given_up),
        cmocka_unit_test(a_missing_account_is_named_with_its_cure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
