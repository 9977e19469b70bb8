/* limiter.h - auth/rate.h for many threads: shards, each with its lock. */
#ifndef POSTERN_LIMITER_H
#define POSTERN_LIMITER_H

#include "auth/rate.h"

struct limiter;

enum limit_window { /* of a limits block */
    LIMIT_MESSAGES_MINUTE,
    LIMIT_MESSAGES_DAY,
    LIMIT_RECIPIENTS_MINUTE,
    LIMIT_RECIPIENTS_DAY,
    LIMIT_WINDOWS,
};

struct limiter *limiter_new(const struct rate_window *windows, size_t n, unsigned held_max, size_t names_max);
void limiter_free(struct limiter *l); /* NULL is fine */

/* As rates_wait(), as of now.  l NULL: no limit. */
int64_t limiter_wait(struct limiter *l, struct str name, const uint64_t *amounts);
/* The same, and counts when the answer is 0. */
int64_t limiter_take(struct limiter *l, struct str name, const uint64_t *amounts);
void limiter_add(struct limiter *l, struct str name, const uint64_t *amounts);
bool limiter_hold(struct limiter *l, struct str name);
void limiter_release(struct limiter *l, struct str name);

#endif
