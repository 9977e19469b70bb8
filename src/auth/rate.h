/* rate.h - how often a name did something lately, for a bounded number of names.  Pure; the owner locks.
 *
 * A window begins with the first event in it and is forgotten when it is over.  When there are more names than room
 * for them, the one not heard of for longest goes: a flood of names costs others their history, never memory.
 */
#ifndef POSTERN_RATE_H
#define POSTERN_RATE_H

#include "base/str.h"

#define RATE_WINDOWS_MAX 4

struct rate_window {
    uint64_t max; /* 0: no limit */
    int64_t length_ms;
};

struct rates;

/* held_max: of rates_hold() for a name at a time, 0: no limit. */
struct rates *rates_new(const struct rate_window *windows, size_t n, unsigned held_max, size_t names_max);
void rates_free(struct rates *r); /* NULL is fine */

/* 0 when the amounts (one a window) would fit now, else the ms after which they will; -1: never, they are above the
 * maximum.  A long wait wins over a short one. */
int64_t rates_wait(struct rates *r, struct str name, const uint64_t *amounts, int64_t now_ms);
void rates_add(struct rates *r, struct str name, const uint64_t *amounts, int64_t now_ms);

/* One more at the same time; false: there are too many.  What is held is not forgotten until it is released. */
bool rates_hold(struct rates *r, struct str name);
void rates_release(struct rates *r, struct str name);

#endif
