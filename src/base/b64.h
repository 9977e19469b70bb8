/* b64.h - base64 as RFC 4648 section 4 has it and RFC 4954 section 4 demands it: strict.
 *
 * No white space, no stray characters, padding complete and only at the end, unused bits zero.
 */
#ifndef POSTERN_B64_H
#define POSTERN_B64_H

#include "base/buf.h"

#define B64_LEN(n) (((n) + 2) / 3 * 4)

/* Appends the decoded octets; -EINVAL when `s` is not base64 (then nothing is appended). */
MUST_USE int b64_decode(struct str s, struct buf *out);
MUST_USE int b64_encode(struct str s, struct buf *out);

#endif
