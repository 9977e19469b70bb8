/* str.h - a borrowed run of octets: pointer and length, no terminator, no ownership.
 *
 * What a peer sent is held as `struct str` until somebody has checked it; it may contain NUL.
 * Case is ASCII case everywhere (protocol words), never the locale's.
 */
#ifndef POSTERN_STR_H
#define POSTERN_STR_H

#include "base/base.h"

#include <string.h>

struct str {
    const char *p;
    size_t len;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
#define STR_FMT(s) (int)(s).len, (s).p /* for "%.*s" */

static inline struct str str_of(const char *s)
{
    return (struct str){s, s ? strlen(s) : 0};
}

static inline struct str str_from(struct str s, size_t at)
{
    size_t n = MIN(at, s.len);
    return (struct str){n ? s.p + n : s.p, s.len - n}; /* nothing is added to NULL */
}

static inline struct str str_upto(struct str s, size_t len)
{
    return (struct str){s.p, MIN(len, s.len)};
}

bool str_eq(struct str a, struct str b);
bool str_eq_nocase(struct str a, struct str b);
bool str_starts_nocase(struct str s, struct str prefix);

/* Index of the first `c`, or -1. */
ssize_t str_find(struct str s, char c);

/* Spaces and tabs off both ends. */
struct str str_trim(struct str s);

/* Decimal digits only, all of them; -EINVAL, or -ERANGE above `max`. */
MUST_USE int str_to_u64(struct str s, uint64_t max, uint64_t *ret);

/* Well-formed UTF-8 (RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF).  Pure ASCII
 * is well-formed UTF-8; str_is_ascii() tells them apart. */
bool str_is_utf8(struct str s);
bool str_is_ascii(struct str s);

/* Contains an octet below 0x20 or 0x7f. */
bool str_has_control(struct str s);

#endif
