#include "server/service.h"

#include "base/clock.h"
#include "cert/ocsp.h"
#include "net/listener.h"
#include "server/expiries.h"
#include "server/worker.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define BACKLOG 1024
#define OCSP_THREADS 4

struct service {
    struct service_config cfg;
    struct anchors *anchors;
    struct tls_tickets *tickets;
    struct cert_ocsp *ocsp;
    struct endpoint *endpoints;
    size_t n_endpoints;
    struct worker **workers;
    unsigned n_workers;
    struct passwords *passwords;
    size_t n_passwords;
    struct checker *checker;
    struct limiter **limits; /* parallel to the blocks */
};

void service_free(struct service *sv)
{
    if (!sv)
        return;
    cert_ocsp_free(sv->ocsp); /* it still tells sessions that are gone, through the workers' loops */
    for (unsigned i = 0; i < sv->n_workers; i++)
        worker_free(sv->workers[i]);
    for (size_t i = 0; i < sv->n_endpoints; i++)
        endpoint_done(&sv->endpoints[i]);
    anchors_free(sv->anchors);
    tls_tickets_unref(sv->tickets);
    for (size_t i = 0; sv->limits && i < sv->cfg.n_limits; i++)
        limiter_free(sv->limits[i]);
    free(sv->limits);
    for (size_t i = 0; i < sv->n_passwords; i++)
        passwords_done(&sv->passwords[i]);
    free(sv->passwords);
    free(sv->workers);
    free(sv->endpoints);
    free(sv);
}

/* Each worker has a socket of its own on the address (SO_REUSEPORT). */
static int bind_address(struct service *sv, struct endpoint *e, const char *address, char *why)
{
    CLEANUP(freep) int *fds = xcalloc(sv->n_workers, sizeof(*fds));
    int r = listener_bind_each(address, BACKLOG, fds, sv->n_workers, why);
    if (r < 0)
        return r;
    for (unsigned i = 0; i < sv->n_workers; i++)
        worker_listen(sv->workers[i], e, fds[i]);
    return 0;
}

static struct passwords *find_passwords(struct service *sv, const char *name)
{
    for (size_t i = 0; name && i < sv->n_passwords; i++)
        if (strcmp(sv->passwords[i].cfg->name, name) == 0)
            return &sv->passwords[i];
    return NULL;
}

static int passwords_open(struct service *sv, char *why)
{
    sv->passwords = xcalloc(sv->cfg.n_passwords + 1, sizeof(*sv->passwords));
    for (size_t i = 0; i < sv->cfg.n_passwords; i++) {
        int r = passwords_init(&sv->passwords[i], &sv->cfg.passwords[i], why);
        if (r < 0)
            return r;
        sv->n_passwords++;
    }
    return 0;
}

#define LIMITED_NAMES_MAX ((size_t)1 << 16)

static void limits_open(struct service *sv)
{
    sv->limits = xcalloc(sv->cfg.n_limits + 1, sizeof(struct limiter *));
    for (size_t i = 0; i < sv->cfg.n_limits; i++) {
        const struct limits_config *c = &sv->cfg.limits[i];
        const struct rate_window windows[LIMIT_WINDOWS] = {
            [LIMIT_MESSAGES_MINUTE] = {c->messages_per_minute, 60000},
            [LIMIT_MESSAGES_DAY] = {c->messages_per_day, 86400000},
            [LIMIT_RECIPIENTS_MINUTE] = {c->recipients_per_minute, 60000},
            [LIMIT_RECIPIENTS_DAY] = {c->recipients_per_day, 86400000},
        };
        sv->limits[i] = limiter_new(windows, LIMIT_WINDOWS, c->sessions, LIMITED_NAMES_MAX);
    }
}

static struct limiter *find_limits(struct service *sv, const char *name)
{
    for (size_t i = 0; name && i < sv->cfg.n_limits; i++)
        if (strcmp(sv->cfg.limits[i].name, name) == 0)
            return sv->limits[i];
    return NULL;
}

static int endpoint_open(struct service *sv, const struct listener_config *lc, char *why)
{
    struct endpoint *e = &sv->endpoints[sv->n_endpoints];
    int r = endpoint_init(e, lc, &sv->cfg, sv->anchors, sv->tickets, why);
    if (r < 0)
        return r;
    e->ocsp = sv->ocsp;
    sv->n_endpoints++;
    e->passwords = find_passwords(sv, lc->passwords);
    e->limits = find_limits(sv, lc->limits);
    for (size_t i = 0; r == 0 && i < lc->n_addresses; i++)
        r = bind_address(sv, e, lc->addresses[i], why);
    return r;
}

int service_new(const struct service_config *cfg, struct service **ret, char *why)
{
    struct service *sv = xcalloc(1, sizeof(*sv));
    sv->cfg = *cfg;
    sv->ocsp = cert_ocsp_new(OCSP_THREADS, cfg->ocsp_timeout_ms);
    sv->endpoints = xcalloc(cfg->n_listeners + 1, sizeof(*sv->endpoints));
    sv->workers = xcalloc(cfg->workers + 1, sizeof(struct worker *));
    for (; sv->n_workers < MAX(cfg->workers, 1U); sv->n_workers++)
        sv->workers[sv->n_workers] = worker_new();
    sv->tickets = tls_tickets_new(cfg->ticket_key_lifetime_ms, cfg->sessions_cached);
    int loaded = anchors_new(cfg, &sv->anchors, why);
    if (loaded == 0)
        loaded = passwords_open(sv, why);
    limits_open(sv);
    if (loaded < 0) {
        service_free(sv);
        return loaded;
    }
    for (size_t i = 0; i < cfg->n_listeners; i++) {
        char detail[SERVICE_WHY_MAX] = "";
        int r = endpoint_open(sv, &cfg->listeners[i], detail);
        if (r < 0) {
            (void)snprintf(why, SERVICE_WHY_MAX, "listener %.64s: %.400s", cfg->listeners[i].name,
                           detail);
            service_free(sv);
            return r;
        }
    }
    *ret = sv;
    return 0;
}

static void look_at_dates(struct service *sv)
{
    anchors_look(sv->anchors);
    for (size_t i = 0; i < sv->n_endpoints; i++)
        endpoint_look(&sv->endpoints[i]);
}

int service_start(struct service *sv, struct spool *sp, struct relay *relay, char *why)
{
    int error = sv->n_passwords ? checker_start(MAX(sv->cfg.auth_threads, 1U), &sv->checker) : 0;
    if (error < 0) {
        (void)snprintf(why, SERVICE_WHY_MAX, "cannot start a thread: %s", strerror(-error));
        return error;
    }
    for (size_t i = 0; i < sv->n_endpoints; i++)
        sv->endpoints[i].checker = sv->checker;
    for (unsigned i = 0; i < sv->n_workers; i++) {
        int r = worker_start(sv->workers[i], sp, relay);
        if (r < 0) {
            (void)snprintf(why, SERVICE_WHY_MAX, "cannot start a thread: %s", strerror(-r));
            return r;
        }
    }
    look_at_dates(sv);
    return 0;
}

void service_refresh(struct service *sv, bool all, struct service_refreshed *ret)
{
    *ret = (struct service_refreshed){0};
    tls_tickets_turn(sv->tickets); /* old keys and sessions go in time, also when nobody resumes (RES-04) */
    anchors_refresh(sv->anchors, all, ret);
    for (size_t i = 0; i < sv->n_endpoints; i++)
        endpoint_refresh(&sv->endpoints[i], sv->anchors, all, ret);
    for (size_t i = 0; i < sv->n_passwords; i++) {
        int r = passwords_refresh(&sv->passwords[i]);
        ret->loaded += r > 0;
        ret->failed += r < 0;
    }
    look_at_dates(sv);
}

int service_metrics(struct service *sv, struct buf *out)
{
    CLEANUP(freep) struct counters_of *list = xcalloc(sv->n_endpoints + 1, sizeof(*list));
    for (size_t i = 0; i < sv->n_endpoints; i++) {
        struct endpoint *e = &sv->endpoints[i];
        list[i] = (struct counters_of){.listener = e->cfg->name,
                                       .certificate_auth = cert_auth_name(e->cfg->cert_auth),
                                       .counters = &e->counters,
                                       .sessions = atomic_load(&e->connections)};
    }
    int r = counters_print(list, sv->n_endpoints, out);
    return r < 0 ? r : expiries_print(sv->endpoints, sv->n_endpoints, sv->anchors, clock_wall_ms(), out);
}

static bool service_is_empty(const struct service *sv)
{
    for (unsigned i = 0; i < sv->n_workers; i++)
        if (!worker_is_empty(sv->workers[i]))
            return false;
    return true;
}

void service_stop(struct service *sv, int64_t grace_ms)
{
    if (!sv)
        return;
    int64_t deadline = clock_monotonic_ms() + grace_ms;
    for (unsigned i = 0; i < sv->n_workers; i++)
        worker_drain(sv->workers[i]);
    while (!service_is_empty(sv) && clock_monotonic_ms() < deadline)
        (void)nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
    for (unsigned i = 0; i < sv->n_workers; i++)
        worker_end(sv->workers[i]);
    for (unsigned i = 0; i < sv->n_workers; i++)
        worker_join(sv->workers[i]);
    checker_stop(sv->checker); /* what it still brings back waits in the loops until service_free() */
    sv->checker = NULL;
}
