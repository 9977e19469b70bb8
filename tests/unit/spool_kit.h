/* spool_kit.h - a spool in a directory of its own, and a loop that plays both the sessions and the relay. */
#ifndef POSTERN_SPOOL_KIT_H
#define POSTERN_SPOOL_KIT_H

#include "unit.h"

#include "base/clock.h"
#include "base/log.h"
#include "spool/spool.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define KIT_OFFERS_MAX 4096

struct kit {
    char dir[64], path[80];
    struct loop *loop;
    struct loop_timer *watchdog;
    struct spool *spool;
    struct spool_message *offers[KIT_OFFERS_MAX]; /* offered and not finished */
    size_t n_offers, offers_seen;
    bool passive; /* no relay */
};

struct kit_commit { /* what became of one message */
    struct kit *kit;
    bool done;
    int error;
};

static inline void kit_timeout(void *arg)
{
    (void)arg;
    fail_msg("%s", "waited in vain");
}

static inline void kit_wait_once(struct kit *k)
{
    loop_timer_set(k->watchdog, 20000);
    loop_run(k->loop);
}

#define KIT_WAIT(k, condition)                                                                     \
    do {                                                                                           \
        while (!(condition))                                                                       \
            kit_wait_once(k);                                                                      \
    } while (0)

static inline void kit_offer(void *arg, struct spool_message *m)
{
    struct kit *k = arg;
    assert_true(k->n_offers < KIT_OFFERS_MAX);
    k->offers[k->n_offers++] = m;
    k->offers_seen++;
    loop_stop(k->loop);
}

static inline int kit_try_open(struct kit *k, const struct spool_config *limits, char *why)
{
    struct spool_config cfg = limits ? *limits : (struct spool_config){0};
    cfg.database = k->path;
    if (!cfg.min_free_bytes)
        cfg.min_free_bytes = 1;
    int r = spool_open(&cfg, &k->spool, why);
    if (r == 0 && !k->passive)
        spool_attach(k->spool, k->loop, kit_offer, k);
    return r;
}

static inline void kit_open(struct kit *k, const struct spool_config *limits)
{
    char why[SPOOL_WHY_MAX] = "";
    int r = kit_try_open(k, limits, why);
    if (r < 0)
        fail_msg("spool_open: %d %s", r, why);
}

/* As a server ends: the relay leaves first and its messages are given back. */
static inline void kit_close(struct kit *k)
{
    if (!k->spool)
        return;
    spool_detach(k->spool, k->loop);
    while (k->n_offers)
        spool_unclaim(k->spool, k->offers[--k->n_offers]);
    spool_close(k->spool);
    k->spool = NULL;
}

static inline struct kit *kit_new(void)
{
    struct kit *k = xcalloc(1, sizeof(*k));
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(k->dir, sizeof(k->dir), "%.40s/spool-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(k->dir));
    (void)snprintf(k->path, sizeof(k->path), "%s/spool.db", k->dir);
    assert_int_equal(loop_new(&k->loop), 0);
    k->watchdog = loop_timer_new(k->loop, kit_timeout, NULL);
    return k;
}

static inline void kit_remove_dir(const char *dir)
{
    DIR *d = opendir(dir);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d));)
        (void)unlinkat(dirfd(d), e->d_name, 0);
    (void)closedir(d);
    (void)rmdir(dir);
}

static inline void kit_free(struct kit *k)
{
    kit_close(k);
    loop_timer_free(k->watchdog);
    loop_free(k->loop);
    kit_remove_dir(k->dir);
    free(k);
}

static inline int kit_setup(void **state)
{
    struct kit *k = kit_new();
    kit_open(k, NULL);
    *state = k;
    return 0;
}

static inline int kit_setup_closed(void **state)
{
    *state = kit_new();
    return 0;
}

static inline int kit_teardown(void **state)
{
    kit_free(*state);
    return 0;
}

static inline void kit_done(void *arg, int error)
{
    struct kit_commit *c = arg;
    c->done = true;
    c->error = error;
    loop_stop(c->kit->loop);
}

static inline void kit_drained(void *arg, int error)
{
    (void)error;
    struct kit *k = arg;
    loop_stop(k->loop);
}

/* The octet at `at` of a body with this seed. */
static inline char kit_octet(unsigned seed, int64_t at)
{
    uint64_t x = (uint64_t)at * 0x9e3779b97f4a7c15u + seed;
    return (char)(x >> 56 ^ x >> 24);
}

/* Writes `size` octets, pausing as told; the error that ended it, or 0. */
static inline int kit_write(struct kit *k, struct spool_draft *d, unsigned seed, int64_t size)
{
    static char piece[16 * 1024];
    spool_on_drained(d, kit_drained, k);
    for (int64_t at = 0; at < size;) {
        size_t n = (size_t)MIN((int64_t)sizeof(piece), size - at);
        for (size_t i = 0; i < n; i++)
            piece[i] = kit_octet(seed, at + (int64_t)i);
        int r = spool_write(d, piece, n);
        if (r == -EAGAIN)
            kit_wait_once(k);
        else if (r < 0)
            return r;
        at += (int64_t)n;
    }
    return 0;
}

/* Queues a message with `n` recipients rcpt0@... and returns at once; `id` may be NULL. */
static inline void
kit_submit_to(struct kit *k, struct kit_commit *c, unsigned seed, int64_t size, size_t n, char *id)
{
    *c = (struct kit_commit){.kit = k};
    struct spool_draft *d = spool_begin(k->spool, k->loop);
    if (id)
        (void)snprintf(id, SPOOL_QUEUE_ID_MAX, "%s", spool_draft_id(d));
    int r = kit_write(k, d, seed, size);
    if (r < 0) {
        *c = (struct kit_commit){.kit = k, .done = true, .error = r};
        spool_discard(&d);
        return;
    }
    struct spool_recipient list[64];
    char names[64][48];
    assert_true(n <= ARRAY_LEN(list));
    for (size_t i = 0; i < n; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "rcpt%zu@next.example.net", i);
        list[i] = (struct spool_recipient){.address = names[i]};
    }
    struct spool_envelope env = {
        .reverse_path = "sender@example.org",
        .identity = "sender@example.org",
        .session = "s1",
        .received_ms = clock_wall_ms(),
    };
    spool_commit(&d, &env, list, n, kit_done, c);
}

static inline int kit_accept(struct kit *k, unsigned seed, int64_t size, size_t n, char *id)
{
    struct kit_commit c;
    kit_submit_to(k, &c, seed, size, n, id);
    KIT_WAIT(k, c.done);
    return c.error;
}

static inline struct spool_message *kit_take_offer(struct kit *k)
{
    KIT_WAIT(k, k->n_offers > 0);
    struct spool_message *m = k->offers[0];
    memmove(k->offers, k->offers + 1, --k->n_offers * sizeof(k->offers[0]));
    return m;
}

static inline void
kit_finish_all(struct kit *k, struct spool_message *m, enum spool_outcome outcome, int64_t retry_ms)
{
    struct spool_result results[64];
    assert_true(m->n_targets <= ARRAY_LEN(results));
    for (size_t i = 0; i < m->n_targets; i++)
        results[i] = (struct spool_result){
            .outcome = outcome,
            .retry_ms = retry_ms,
            .last_reply = "451 4.3.0 later",
        };
    spool_finish(k->spool, m, results, NULL, NULL);
}

static inline struct spool_stats kit_stats(struct kit *k)
{
    char why[SPOOL_WHY_MAX] = "";
    struct spool_admin *a = NULL;
    int r = spool_admin_open(k->path, false, &a, why);
    if (r < 0)
        fail_msg("spool_admin_open: %d %s", r, why);
    struct spool_stats st;
    assert_int_equal(spool_admin_stats(a, &st), 0);
    spool_admin_close(a);
    return st;
}

/* Everything queued so far has been stored: a commit goes behind it and comes back. */
static inline void kit_settle(struct kit *k)
{
    struct kit_commit c = {.kit = k};
    struct spool_draft *d = spool_begin(k->spool, k->loop);
    struct spool_envelope env = {.reverse_path = "settle@example.org", .release_ms = INT64_MAX / 2};
    struct spool_recipient to = {.address = "settle@example.net"};
    char id[SPOOL_QUEUE_ID_MAX];
    (void)snprintf(id, sizeof(id), "%s", spool_draft_id(d));
    spool_commit(&d, &env, &to, 1, kit_done, &c);
    KIT_WAIT(k, c.done);
    assert_int_equal(c.error, 0);
    struct spool_admin *a = NULL;
    char why[SPOOL_WHY_MAX];
    int64_t changed = 0;
    assert_int_equal(spool_admin_open(k->path, true, &a, why), 0);
    assert_int_equal(spool_admin_apply(a, SPOOL_DELETE, id, &changed), 0);
    assert_true(changed == 1);
    spool_admin_close(a);
}

#endif
