/* retry.h - when to try again, and when to give up: pure functions of times (REL-04).
 *
 * The wait is the message's age, between two bounds: it doubles from attempt to attempt without anything to be
 * remembered, and is the same whatever interrupted us in between.
 */
#ifndef POSTERN_RELAY_RETRY_H
#define POSTERN_RELAY_RETRY_H

#include "base/base.h"

struct retry_policy {
    int64_t min_ms, max_ms, expire_ms;
};

/* Fills in what is 0: 5 min, 4 h, 5 days. */
struct retry_policy retry_policy(int64_t min_ms, int64_t max_ms, int64_t expire_ms);

/* The wait before the next attempt, about a tenth more or less by `random`, so that what failed together is not
 * tried together again. */
int64_t retry_delay(const struct retry_policy *p, int64_t age_ms, uint64_t random);

/* Is this the last attempt?  Age of the message when an attempt failed. */
bool retry_is_over(const struct retry_policy *p, int64_t age_ms);

/* For how long a next hop is left alone after it could not be reached `failures` times in a row: half a minute, then
 * twice as long each time, ten minutes at most. */
int64_t retry_hop_pause(unsigned failures, uint64_t random);

/* A next hop with all it can hold sends messages away, each for a turn of its own: they come back one after the other,
 * a little faster than the hop has been taking them, so that it neither runs dry nor is asked in vain too often.
 * Zero is a good start.  Times are monotonic. */
struct retry_pace {
    int64_t since_ms; /* the hop is busy since, as far as measured; 0: it is not */
    int64_t taken;    /* since then */
    int64_t gap_us;   /* between two turns; 0: not known yet */
    int64_t last_us;  /* the last turn that was given */
};

/* The hop took a message; do more wait for it? */
void retry_pace_taken(struct retry_pace *p, int64_t now_ms, bool more);
/* The next turn.  Beyond ten minutes turns are given by chance, in the five before. */
int64_t retry_pace_turn(struct retry_pace *p, int64_t now_ms, uint64_t random);

#endif
