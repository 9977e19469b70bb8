/* sender.h - which addresses an identity may send as (RFC 6409 section 6.1).  Pure. */
#ifndef POSTERN_SENDER_H
#define POSTERN_SENDER_H

#include "auth/lookup.h"

enum sender_rule {
    SENDER_OWN,    /* the identity itself, as an address */
    SENDER_ANY,    /* anybody's */
    SENDER_DOMAIN, /* any of its own domain */
    SENDER_TABLE,  /* its own, and what the table lists for it */
};
MUST_USE int sender_rule_parse(const char *word, enum sender_rule *ret); /* "own", "any"...; -EINVAL */

/* What is done about From and Sender fields that the identity may not use. */
enum header_from {
    HEADER_FROM_IGNORE,
    HEADER_FROM_REJECT,
    HEADER_FROM_ADD_SENDER, /* MSG-04 */
};

struct sender_rights {
    enum sender_rule rule;
    struct lookup senders; /* identity -> names, see names.h */
};

/* The null reverse-path is everybody's (SUB-06).  Local part octet for octet, domain without case (CERT-16).  A table
 * that cannot answer grants nothing. */
bool sender_is_allowed(const struct sender_rights *rights, struct str identity, struct str address);

#endif
