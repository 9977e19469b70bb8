/* sender.h - which reverse-path an identity may use (RFC 6409 section 6.1).  Pure. */
#ifndef POSTERN_SENDER_H
#define POSTERN_SENDER_H

#include "base/str.h"

enum sender_rule {
    SENDER_OWN, /* the identity itself, as an address */
    SENDER_ANY,
};
MUST_USE int sender_rule_parse(const char *word, enum sender_rule *ret); /* "own", "any"; -EINVAL */

/* The null reverse-path is everybody's (SUB-06).  Local part octet for octet, domain without case (CERT-16). */
bool sender_is_allowed(enum sender_rule rule, struct str identity, struct str reverse_path);

#endif
