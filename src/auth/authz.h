/* authz.h - which identity a client acts as: aliases, and what it may ask for beside its own name.  Pure.
 *
 * The same for every mechanism: credentials (a certificate, a password) name one identity or several, the client may
 * have typed an authzid, and one identity comes out.
 *
 * An alias table makes several names one identity: its key is a name (a local part, a CN, an address), its value the
 * identity it stands for.  Aliases are followed once.  Only what the client typed is prepared with SASLprep; what a
 * certificate says is taken as it is (AUTH-25, CERT-19).
 */
#ifndef POSTERN_AUTHZ_H
#define POSTERN_AUTHZ_H

#include "auth/lookup.h"

enum authz_rule {
    AUTHZ_MATCH,  /* an authzid names the identity of the credentials, or the login fails */
    AUTHZ_IGNORE, /* one that does not is as good as none */
    AUTHZ_TABLE,  /* or names one that the identity may act as */
};

struct authz {
    enum authz_rule rule;
    struct lookup aliases;    /* name -> identity */
    struct lookup may_act_as; /* identity -> names, see names.h */
};

/* Replaces the content of `ret` by the identity that `name` stands for.  -errno: a table could not answer. */
MUST_USE int authz_canonical(const struct authz *a, struct str name, struct buf *ret);

/* The identity that whoever holds one of `identities` acts as, having typed `authzid` (empty: nothing).
 * -ENOTUNIQ: nothing was asked for and there are several to choose from (EDG-02); -EACCES: that one it may not be;
 * -EINVAL: that is no name (AUTH-26).  `ret` is then undefined. */
MUST_USE int authz_choose(const struct authz *a, char *const *identities, size_t n, struct str authzid, struct buf *ret);

#endif
