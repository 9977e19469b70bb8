#include "relay/relay_internal.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#define DELIVERIES_MAX 256
#define LOOK_MS 10000 /* how often queues are looked at without a cause */

/* Jitter and shuffling: nothing here is a secret (xorshift64). */
uint64_t relay_random(struct relay *r)
{
    uint64_t x = r->random;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return r->random = x;
}

/* ---- the spool's messages ---- */

static void on_offer(void *arg, struct spool_message *m)
{
    struct relay *r = arg;
    if (r->stopping)
        spool_unclaim(r->spool, m);
    else
        job_start(r, m);
}

static void give_credit(struct loop_task *task)
{
    struct relay *r = container_of(task, struct relay, credit_task);
    r->credit_posted = false;
    if (!r->stopping)
        spool_credit(r->spool, r->credit_due);
    r->credit_due = 0;
    relay_check_rest(r);
}

/* Once a turn, for all jobs that ended in it. */
void relay_give_credit(struct relay *r)
{
    r->credit_due++;
    if (r->credit_posted)
        return;
    r->credit_posted = true;
    loop_defer(r->loop, &r->credit_task);
}

/* ---- now and then ---- */

static void look_around(void *arg)
{
    struct relay *r = arg;
    for (size_t i = 0; i < r->n_hops; i++)
        hop_spread(&r->hops[i]);
    loop_timer_set(r->look, LOOK_MS);
}

/* ---- the end ---- */

void relay_check_rest(struct relay *r)
{
    if (r->stopping && r->n_jobs == 0 && r->n_conns == 0 && !r->credit_posted)
        loop_stop(r->loop);
}

static void on_grace_over(void *arg)
{
    struct relay *r = arg;
    for (size_t i = 0; i < r->n_hops; i++)
        while (r->hops[i].conns)
            conn_abort(r->hops[i].conns);
}

static void on_stop(struct loop_task *task)
{
    struct relay *r = container_of(task, struct relay, stop_task);
    r->stopping = true;
    loop_timer_set(r->grace, r->grace_ms);
    for (size_t i = 0; i < r->n_hops; i++)
        hop_stop(&r->hops[i]);
    relay_check_rest(r);
}

static void relay_free(struct relay *r)
{
    if (r->loop)
        spool_detach(r->spool, r->loop);
    maildir_writer_free(r->maildirs);
    for (size_t i = 0; i < r->n_hops; i++)
        hop_done(&r->hops[i]);
    loop_timer_free(r->grace);
    loop_timer_free(r->look);
    loop_free(r->loop);
    routes_done(&r->routes);
    (void)pthread_mutex_destroy(&r->papers_lock);
    free(r->hops);
    free(r->hop_of);
    free(r);
}

void relay_stop(struct relay *r, int64_t grace_ms)
{
    if (!r)
        return;
    r->grace_ms = grace_ms;
    r->stop_task.run = on_stop;
    loop_post(r->loop, &r->stop_task);
    (void)pthread_join(r->thread, NULL);
    relay_free(r);
}

/* ---- the beginning ---- */

static struct hop *find_hop(struct relay *r, const struct route_config *route)
{
    for (size_t i = 0; i < r->n_hops; i++)
        if (route_is_same_hop(r->hops[i].route, route))
            return &r->hops[i];
    return NULL;
}

/* Routes to the same next hop share its queue and connections. */
static int make_hops(struct relay *r, char *why)
{
    r->hops = xcalloc(r->cfg->n_routes + 1, sizeof(*r->hops));
    r->hop_of = xcalloc(r->cfg->n_routes + 1, sizeof(struct hop *));
    for (size_t i = 0; i < r->cfg->n_routes; i++) {
        const struct route_config *route = &r->cfg->routes[i];
        r->hop_of[i] = find_hop(r, route);
        if (r->hop_of[i])
            continue;
        r->hop_of[i] = &r->hops[r->n_hops];
        int e = hop_init(r->hop_of[i], r, route, why);
        if (e < 0)
            return e;
        r->n_hops++;
    }
    return 0;
}

static int make_maildirs(struct relay *r)
{
    for (size_t i = 0; i < r->n_hops; i++)
        if (r->hops[i].route->kind == ROUTE_MAILDIR)
            return maildir_writer_new(r->cfg->hostname, r->loop, &r->maildirs);
    return 0;
}

static int prepare(struct relay *r, char *why)
{
    int e = make_hops(r, why);
    if (e < 0)
        return e;
    e = loop_new(&r->loop);
    if (e == 0)
        e = make_maildirs(r);
    if (e < 0) {
        (void)snprintf(why, TLS_WHY_MAX, "deliveries cannot start: %s", strerror(-e));
        return e;
    }
    r->grace = loop_timer_new(r->loop, on_grace_over, r);
    r->look = loop_timer_new(r->loop, look_around, r);
    return 0;
}

static void *run(void *arg)
{
    struct relay *r = arg;
    look_around(r);
    loop_run(r->loop);
    return NULL;
}

int relay_start(const struct relay_config *cfg, struct spool *sp, struct relay **ret, char *why)
{
    struct relay *r = xcalloc(1, sizeof(*r));
    r->cfg = cfg;
    r->spool = sp;
    r->retry = retry_policy(cfg->retry_min_ms, cfg->retry_max_ms, cfg->expire_ms);
    r->deliveries_max = cfg->deliveries_max ? cfg->deliveries_max : DELIVERIES_MAX;
    r->credit_task.run = give_credit;
    (void)pthread_mutex_init(&r->papers_lock, NULL);
    if (getrandom(&r->random, sizeof(r->random), 0) != sizeof(r->random) || r->random == 0)
        r->random = (uint64_t)clock_wall_ms() | 1;
    routes_init(&r->routes, cfg);
    int e = prepare(r, why);
    if (e == 0) {
        spool_attach(sp, r->loop, on_offer, r);
        spool_credit(sp, r->deliveries_max);
        e = -pthread_create(&r->thread, NULL, run, r);
        if (e < 0)
            (void)snprintf(why, TLS_WHY_MAX, "deliveries cannot start: %s", strerror(-e));
    }
    if (e < 0) {
        relay_free(r);
        return e;
    }
    *ret = r;
    return 0;
}

void relay_refresh(struct relay *r, bool all, unsigned *loaded, unsigned *failed)
{
    for (size_t i = 0; i < r->n_hops; i++)
        hop_refresh(&r->hops[i], all, loaded, failed);
}

bool relay_has_route(const struct relay *r, struct str domain)
{
    return routes_find(&r->routes, domain) != NULL;
}
