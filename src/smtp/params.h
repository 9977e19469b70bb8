/* params.h - ESMTP parameters of MAIL and RCPT (RFC 5321 section 4.1.2) and xtext (RFC 3461 section 4). */
#ifndef POSTERN_PARAMS_H
#define POSTERN_PARAMS_H

#include "base/buf.h"

struct smtp_param {
    struct str keyword, value; /* borrowed */
    bool has_value;
};

/* Takes the next parameter off *rest: 1, 0 at the end, -EINVAL for bad syntax. */
MUST_USE int smtp_param_next(struct str *rest, struct smtp_param *ret);

/* Appends the decoded octets; -EINVAL when s is not xtext. */
MUST_USE int xtext_decode(struct str s, struct buf *out);
MUST_USE int xtext_encode(struct str s, struct buf *out);

#endif
