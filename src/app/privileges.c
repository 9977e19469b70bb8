#include "app/privileges.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

static int fail(int error, char *why, const char *fmt, ...) PRINTF(3, 4);

static int fail(int error, char *why, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, PRIVILEGES_WHY_MAX, fmt, ap);
    va_end(ap);
    return -error;
}

struct account {
    const char *user;
    uid_t uid;
    gid_t gid;
};

static int find_account(const char *user, const char *group, struct account *ret, char *why)
{
    const struct passwd *pw = getpwnam(user);
    if (!pw)
        return fail(ENOENT, why,
                    "there is no user \"%s\"; make one with `adduser --system --group %s`, or name "
                    "another with \"user\"",
                    user, user);
    struct account a = {user, pw->pw_uid, pw->pw_gid};
    const struct group *gr = group ? getgrnam(group) : NULL;
    if (group && !gr)
        return fail(ENOENT, why,
                    "there is no group \"%s\"; make one with `addgroup --system %s`, or name "
                    "another with \"group\"",
                    group, group);
    if (gr)
        a.gid = gr->gr_gid;
    *ret = a;
    return 0;
}

/* The order matters: groups while we still may, the user last. */
static int become(const struct account *a, char *why)
{
    if (initgroups(a->user, a->gid) < 0)
        return fail(errno, why, "cannot take the groups of \"%s\": %s", a->user, strerror(errno));
    if (setresgid(a->gid, a->gid, a->gid) < 0)
        return fail(errno, why, "cannot take group %u: %s", (unsigned)a->gid, strerror(errno));
    if (setresuid(a->uid, a->uid, a->uid) < 0)
        return fail(errno, why, "cannot become \"%s\": %s", a->user, strerror(errno));
    return 0;
}

static int verify(const struct account *a, char *why)
{
    uid_t r, e, s;
    gid_t rg, eg, sg;
    bool is_account = getresuid(&r, &e, &s) == 0 && r == a->uid && e == a->uid && s == a->uid &&
                      getresgid(&rg, &eg, &sg) == 0 && rg == a->gid && eg == a->gid && sg == a->gid;
    if (!is_account)
        return fail(EPERM, why, "still not \"%s\" after becoming it", a->user);
    if (a->uid != 0 && (setuid(0) == 0 || seteuid(0) == 0))
        return fail(EPERM, why,
                    "\"%s\" could become root again; start without the capabilities CAP_SETUID and "
                    "CAP_SETGID kept",
                    a->user);
    return 0;
}

static int harden(char *why)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return fail(errno, why, "cannot give up new privileges: %s", strerror(errno));
#ifndef __SANITIZE_ADDRESS__ /* the leak check at exit traces its own process */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return fail(errno, why, "cannot forbid core dumps of our keys: %s", strerror(errno));
#endif
    return 0;
}

int privileges_drop(const char *user, const char *group, char *why)
{
    if (!user)
        return harden(why);
    struct account a = {0};
    int r = find_account(user, group, &a, why);
    if (r < 0)
        return r;
    if (geteuid() != 0 && geteuid() != a.uid)
        return fail(
            EPERM, why,
            "only root can become \"%s\"; start as root, or leave \"user\" out to stay who we are",
            user);
    if (geteuid() == 0) {
        r = become(&a, why);
        if (r < 0)
            return r;
        r = verify(&a, why);
        if (r < 0)
            return r;
    }
    return harden(why);
}

uid_t privileges_account(const char *user)
{
    const struct passwd *pw = geteuid() == 0 && user ? getpwnam(user) : NULL;
    return pw ? pw->pw_uid : geteuid();
}
