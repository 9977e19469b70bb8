/* plain.h - the one message of PLAIN (RFC 4616): authzid NUL authcid NUL password.  Pure. */
#ifndef POSTERN_PLAIN_H
#define POSTERN_PLAIN_H

#include "base/buf.h"

#define PLAIN_PART_MAX 1024 /* 255 have to be taken (PLN-03) */

struct plain {
    struct str authzid, user, password; /* borrowed from the message */
};

/* -EINVAL: NULs too many or too few, no name, no password, a part that is too long or no UTF-8 (PLN-02). */
MUST_USE int plain_parse(struct str message, struct plain *ret);
/* The message, appended to `out`; user and password are prepared (SASLprep).  -EINVAL as above. */
MUST_USE int plain_format(const struct plain *p, struct buf *out);

#endif
