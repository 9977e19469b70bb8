#include "server/limiter.h"

#include "base/clock.h"

#include <pthread.h>

#define SHARDS 16

struct limiter {
    struct shard {
        pthread_mutex_t lock;
        struct rates *rates; /* under lock */
    } shards[SHARDS];
};

struct limiter *
limiter_new(const struct rate_window *windows, size_t n, unsigned held_max, size_t names_max)
{
    struct limiter *l = xcalloc(1, sizeof(*l));
    for (size_t i = 0; i < SHARDS; i++) {
        (void)pthread_mutex_init(&l->shards[i].lock, NULL);
        l->shards[i].rates = rates_new(windows, n, held_max, names_max / SHARDS);
    }
    return l;
}

void limiter_free(struct limiter *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < SHARDS; i++) {
        rates_free(l->shards[i].rates);
        (void)pthread_mutex_destroy(&l->shards[i].lock);
    }
    free(l);
}

/* Not the hash of rate.c: names of one shard would share the buckets there. */
static struct shard *lock(struct limiter *l, struct str name)
{
    unsigned h = 5381;
    for (size_t i = 0; i < name.len; i++)
        h = h * 33 + (unsigned char)name.p[i];
    struct shard *s = &l->shards[(h ^ h >> 8 ^ h >> 16) % SHARDS];
    (void)pthread_mutex_lock(&s->lock);
    return s;
}

static void unlock(struct shard *s)
{
    (void)pthread_mutex_unlock(&s->lock);
}

int64_t limiter_wait(struct limiter *l, struct str name, const uint64_t *amounts)
{
    if (!l)
        return 0;
    struct shard *s = lock(l, name);
    int64_t wait = rates_wait(s->rates, name, amounts, clock_monotonic_ms());
    unlock(s);
    return wait;
}

int64_t limiter_take(struct limiter *l, struct str name, const uint64_t *amounts)
{
    if (!l)
        return 0;
    struct shard *s = lock(l, name);
    int64_t now = clock_monotonic_ms(), wait = rates_wait(s->rates, name, amounts, now);
    if (wait == 0)
        rates_add(s->rates, name, amounts, now);
    unlock(s);
    return wait;
}

void limiter_add(struct limiter *l, struct str name, const uint64_t *amounts)
{
    if (!l)
        return;
    struct shard *s = lock(l, name);
    rates_add(s->rates, name, amounts, clock_monotonic_ms());
    unlock(s);
}

bool limiter_hold(struct limiter *l, struct str name)
{
    if (!l)
        return true;
    struct shard *s = lock(l, name);
    bool held = rates_hold(s->rates, name);
    unlock(s);
    return held;
}

void limiter_release(struct limiter *l, struct str name)
{
    if (!l)
        return;
    struct shard *s = lock(l, name);
    rates_release(s->rates, name);
    unlock(s);
}
