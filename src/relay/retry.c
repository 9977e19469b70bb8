#include "relay/retry.h"

#define SECOND_MS ((int64_t)1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)

struct retry_policy retry_policy(int64_t min_ms, int64_t max_ms, int64_t expire_ms)
{
    struct retry_policy p = {
        .min_ms = min_ms > 0 ? min_ms : 5 * MINUTE_MS,
        .max_ms = max_ms > 0 ? max_ms : 4 * HOUR_MS,
        .expire_ms = expire_ms > 0 ? expire_ms : 5 * DAY_MS,
    };
    p.max_ms = MAX(p.max_ms, p.min_ms);
    return p;
}

/* ms, give or take a tenth. */
static int64_t jitter(int64_t ms, uint64_t random)
{
    int64_t span = ms / 5;
    return ms - span / 2 + (span ? (int64_t)(random % (uint64_t)span) : 0);
}

int64_t retry_delay(const struct retry_policy *p, int64_t age_ms, uint64_t random)
{
    return jitter(MIN(MAX(age_ms, p->min_ms), p->max_ms), random);
}

bool retry_is_over(const struct retry_policy *p, int64_t age_ms)
{
    return age_ms >= p->expire_ms;
}

int64_t retry_hop_pause(unsigned failures, uint64_t random)
{
    int64_t pause = 30 * SECOND_MS;
    for (unsigned i = 1; i < failures && pause < 10 * MINUTE_MS; i++)
        pause *= 2;
    return jitter(MIN(pause, 10 * MINUTE_MS), random);
}

#define PACE_WINDOW_MS 200
#define PACE_NEAR_MS 20 /* sooner it would find the hop as it is */
#define PACE_FAR_MS (10 * MINUTE_MS)
#define PACE_UNKNOWN_US 1000

void retry_pace_taken(struct retry_pace *p, int64_t now_ms, bool more)
{
    int64_t elapsed = now_ms - p->since_ms;
    p->taken++;
    if (p->since_ms && elapsed >= PACE_WINDOW_MS)
        p->gap_us = elapsed * 1000 / p->taken;
    if (p->since_ms && more && elapsed < PACE_WINDOW_MS)
        return;
    p->since_ms = more ? now_ms : 0;
    p->taken = 0;
}

int64_t retry_pace_turn(struct retry_pace *p, int64_t now_ms, uint64_t random)
{
    int64_t gap_us = p->gap_us ? p->gap_us * 3 / 4 : PACE_UNKNOWN_US;
    int64_t far_ms = now_ms + PACE_FAR_MS;
    int64_t turn_us = MAX(p->last_us + gap_us, (now_ms + PACE_NEAR_MS) * 1000);
    if (turn_us >= far_ms * 1000)
        return far_ms - (int64_t)(random % (uint64_t)(PACE_FAR_MS / 2));
    p->last_us = turn_us;
    return turn_us / 1000;
}
