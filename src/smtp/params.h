/* params.h - ESMTP parameters of MAIL and RCPT (RFC 5321 section 4.1.2) and xtext (RFC 3461 section
 * 4). */
#ifndef POSTERN_PARAMS_H
#define POSTERN_PARAMS_H

#include "base/buf.h"

struct smtp_param {
    struct str keyword, value; /* borrowed; a value is never empty */
    bool has_value;
    bool is_utf8; /* the value holds (well-formed) non-ASCII: only with SMTPUTF8 (RFC 6531 3.3,
                     SMTP-21) */
};

/* Takes the next parameter off *rest: 1, 0 at the end, -EINVAL for bad syntax (*rest and *ret are
 * then untouched). *rest begins with what follows the path; that a space stands there is the
 * caller's to check. */
MUST_USE int smtp_param_next(struct str *rest, struct smtp_param *ret);

/* Appends the decoded octets, which may be any, NUL included; -EINVAL when s is not xtext (strict:
 * upper-case digits only, AUTH-29, DSN-01).  A failure appends nothing. */
MUST_USE int xtext_decode(struct str s, struct buf *out);
MUST_USE int xtext_encode(struct str s, struct buf *out);

#endif
