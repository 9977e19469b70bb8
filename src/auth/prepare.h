/* prepare.h - SASLprep (RFC 4013), for what a client typed and for nothing else (CERT-19). */
#ifndef POSTERN_PREPARE_H
#define POSTERN_PREPARE_H

#include "base/buf.h"

/* Replaces the content of `out` by the prepared form: soft hyphens gone, full-width letters folded (AUTH-25).  -EINVAL
 * for octets that are no UTF-8, control characters, and what preparation refuses or empties (AUTH-26); -EMSGSIZE. */
MUST_USE int prepare_typed(struct str typed, struct buf *out);

#endif
