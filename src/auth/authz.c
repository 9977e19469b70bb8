#include "auth/authz.h"

#include "auth/names.h"
#include "auth/prepare.h"
#include "cert/verdict.h"

#include <errno.h>

int authz_canonical(const struct authz *a, struct str name, struct buf *ret)
{
    CLEANUP(buf_done) struct buf value = BUF_INIT(CERT_IDENTITY_MAX);
    int r = lookup_name(&a->aliases, name, &value);
    if (r < 0 && r != -ENOENT)
        return r;
    /* An alias of nothing would make the empty name an identity. */
    struct str target = r == 0 && value.len ? buf_str(&value) : name;
    buf_clear(ret);
    return buf_append_str(ret, target);
}

static int may_act_as(const struct authz *a, struct str identity, struct str wanted)
{
    CLEANUP(buf_done) struct buf names = BUF_INIT(LOOKUP_VALUE_MAX);
    int r = lookup_name(&a->may_act_as, identity, &names);
    if (r == -ENOENT || (r == 0 && !names_include(buf_str(&names), wanted)))
        return -EACCES;
    return r;
}

/* One of the identities, if `wanted` (canonical) names it; it is their spelling that counts from here on. */
static int choose_own(
    const struct authz *a, char *const *identities, size_t n, struct str wanted, struct buf *ret)
{
    for (size_t i = 0; i < n; i++) {
        int r = authz_canonical(a, str_of(identities[i]), ret);
        if (r < 0 || mailbox_eq(buf_str(ret), wanted))
            return r;
    }
    return -EACCES;
}

static int choose_other(
    const struct authz *a, char *const *identities, size_t n, struct str wanted, struct buf *ret)
{
    for (size_t i = 0; i < n; i++) {
        int r = authz_canonical(a, str_of(identities[i]), ret);
        if (r == 0)
            r = may_act_as(a, buf_str(ret), wanted);
        if (r == -EACCES)
            continue;
        buf_clear(ret);
        return r < 0 ? r : buf_append_str(ret, wanted);
    }
    return -EACCES;
}

int authz_choose(
    const struct authz *a, char *const *identities, size_t n, struct str authzid, struct buf *ret)
{
    if (authzid.len == 0)
        return n == 1 ? authz_canonical(a, str_of(identities[0]), ret) : -ENOTUNIQ;
    CLEANUP(buf_done) struct buf typed = BUF_INIT(CERT_IDENTITY_MAX);
    CLEANUP(buf_done) struct buf wanted = BUF_INIT(CERT_IDENTITY_MAX);
    int r = prepare_typed(authzid, &typed);
    if (r == 0)
        r = authz_canonical(a, buf_str(&typed), &wanted);
    if (r == 0)
        r = choose_own(a, identities, n, buf_str(&wanted), ret);
    if (r != -EACCES)
        return r;
    if (a->rule == AUTHZ_TABLE)
        return choose_other(a, identities, n, buf_str(&wanted), ret);
    return a->rule == AUTHZ_IGNORE && n == 1 ? authz_canonical(a, str_of(identities[0]), ret) : r;
}
