/* A next hop: what waits for it, the connections to it, and what we remember of it. */
#include "relay/relay_internal.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>

#define CONNECTIONS_MAX 8
#define ALL_CONNECTIONS_MAX 1000
#define CLEAR_PAUSE_MS ((int64_t)15 * 60 * 1000)
#define ASKED_PAUSE_MS 1000 /* a person's wish ends a rest that has lasted so long */

/* ---- birth and death ---- */

static void make_label(struct hop *h)
{
    const struct route_config *c = h->route;
    static const char *const kinds[] = {[ROUTE_SMTP] = "smtp",
                                        [ROUTE_LMTP] = "lmtp",
                                        [ROUTE_MAILDIR] = "maildir",
                                        [ROUTE_DISCARD] = "discard"};
    if (c->host)
        (void)snprintf(h->label, sizeof(h->label), "%s:%s:%s", kinds[c->kind], c->host, c->port);
    else
        (void)snprintf(h->label, sizeof(h->label), "%s%s%s", kinds[c->kind], c->path ? ":" : "",
                       c->path ? c->path : "");
}

static void watch_files(struct hop *h)
{
    const struct route_config *c = h->route;
    const char *const paths[] = {c->ca, c->certificate, c->key, c->key_password_file,
                                 c->password_file};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        if (paths[i])
            watch_add(&h->files, paths[i]);
    (void)watch_changed(&h->files); /* the first time it always says yes */
}

static void replace_papers(struct hop *h, const struct papers *fresh)
{
    (void)pthread_mutex_lock(&h->relay->papers_lock);
    struct papers old = h->papers;
    h->papers = *fresh;
    (void)pthread_mutex_unlock(&h->relay->papers_lock);
    papers_done(&old);
}

struct papers hop_papers(struct hop *h)
{
    (void)pthread_mutex_lock(&h->relay->papers_lock);
    struct papers copy = papers_copy(&h->papers);
    (void)pthread_mutex_unlock(&h->relay->papers_lock);
    return copy;
}

void hop_refresh(struct hop *h, bool all, unsigned *loaded, unsigned *failed)
{
    struct papers fresh;
    char why[TLS_WHY_MAX] = "";
    if (!h->has_tls || (!watch_changed(&h->files) && !all))
        return;
    if (papers_load(h->route, geteuid(), &fresh, why) == 0) {
        replace_papers(h, &fresh);
        ++*loaded;
        return;
    }
    struct log_line l;
    log_begin(&l, LOG_LEVEL_ERROR, "reload-failed");
    log_text(&l, "hop", h->label);
    log_format(&l, "message", "what was loaded before stays: %s", why);
    log_end(&l);
    ++*failed;
}

/* Of the ways to log in those that the route both permits and has something for. */
static unsigned permitted(const struct route_config *c)
{
    static const unsigned sets[] = {
        [ROUTE_LOGIN_NONE] = 0,
        [ROUTE_LOGIN_AUTO] = SMTP_LOGIN_CERTIFICATE | SMTP_LOGIN_PASSWORD,
        [ROUTE_LOGIN_EXTERNAL] = SMTP_LOGIN_EXTERNAL,
        [ROUTE_LOGIN_IMPLICIT] = SMTP_LOGIN_IMPLICIT,
        [ROUTE_LOGIN_SCRAM] = SMTP_LOGIN_SCRAM,
        [ROUTE_LOGIN_PLAIN] = SMTP_LOGIN_PLAIN,
    };
    unsigned have = (c->certificate ? SMTP_LOGIN_CERTIFICATE : 0U) |
                    (c->password_file ? SMTP_LOGIN_PASSWORD : 0U);
    return sets[c->login] & have;
}

static void configure_client(struct hop *h)
{
    const struct route_config *c = h->route;
    h->client = (struct smtp_client_config){
        .hostname = h->relay->cfg->hostname,
        .lmtp = c->kind == ROUTE_LMTP,
        .tls = !h->has_tls                         ? SMTP_CLIENT_TLS_OFF
               : c->tls == ROUTE_TLS_OPPORTUNISTIC ? SMTP_CLIENT_TLS_OPPORTUNISTIC
                                                   : SMTP_CLIENT_TLS_REQUIRE,
        .login = permitted(c),
        .identity = c->user,
    };
}

int hop_init(struct hop *h, struct relay *r, const struct route_config *route, char *why)
{
    *h = (struct hop){.relay = r, .route = route};
    h->queue_end = &h->queue;
    h->conns_max = route->connections_max ? route->connections_max : CONNECTIONS_MAX;
    make_label(h);
    watch_files(h);
    int e = papers_load(route, geteuid(), &h->papers, why);
    if (e < 0) {
        hop_done(h);
        return e;
    }
    h->has_tls = h->papers.tls != NULL;
    configure_client(h);
    return 0;
}

void hop_done(struct hop *h)
{
    while (h->conns)
        conn_abort(h->conns);
    papers_done(&h->papers);
    watch_done(&h->files);
}

/* ---- the queue ---- */

static struct delivery *take_off(struct hop *h)
{
    struct delivery *d = h->queue;
    if (!d)
        return NULL;
    h->queue = d->next;
    if (!h->queue)
        h->queue_end = &h->queue;
    d->next = NULL;
    h->n_queued--;
    return d;
}

struct delivery *hop_next(struct hop *h)
{
    struct delivery *d = take_off(h);
    if (d)
        retry_pace_taken(&h->pace, clock_monotonic_ms(), h->queue != NULL);
    return d;
}

void hop_again(struct hop *h, struct delivery *d)
{
    d->again = true;
    d->next = h->queue;
    h->queue = d;
    if (!d->next)
        h->queue_end = &d->next;
    h->n_queued++;
}

/* Behind those of the same priority; most have the same, and go to the end at once (PRI-01). */
static void enqueue(struct hop *h, struct delivery *d)
{
    bool overtakes = h->queue && container_of(h->queue_end, struct delivery, next)->msg.priority <
                                     d->msg.priority;
    struct delivery **at = overtakes ? &h->queue : h->queue_end;
    while (*at && (*at)->msg.priority >= d->msg.priority)
        at = &(*at)->next;
    d->next = *at;
    *at = d;
    if (!d->next)
        h->queue_end = &d->next;
    h->n_queued++;
}

/* One next hop must not hold every message in hand while others have to wait: one that never answered yet gets a
 * quarter, a slow one three. */
static bool is_full(const struct hop *h)
{
    unsigned all = h->relay->deliveries_max;
    return h->relay->n_hops > 1 && h->n_queued >= (h->n_up ? all - all / 4 : all / 4 + 1);
}

/* Wall clock at which a monotonic time will be. */
static int64_t wall_at(int64_t monotonic_ms)
{
    return clock_wall_ms() + monotonic_ms - clock_monotonic_ms();
}

/* Not before the rest is over, of which a person may make a short one. */
static void put_off(struct hop *h, struct delivery *d)
{
    if (d->asked)
        delivery_defer_soon(d, "451 4.4.1 the next hop was tried just now",
                            wall_at(h->down_until_ms));
    else
        delivery_defer(d, "4.4.1", h->why, wall_at(h->down_until_ms));
}

static void send_away(struct hop *h, struct delivery *d)
{
    int64_t turn = retry_pace_turn(&h->pace, clock_monotonic_ms(), relay_random(h->relay));
    delivery_defer_soon(d, "451 4.3.2 the next hop is busy with other mail", wall_at(turn));
}

void hop_deliver(struct hop *h, struct delivery *d)
{
    static const struct smtp_outcome discarded = {
        .code = 250, .enhanced = "2.0.0", .text = "Discarded", .ours = true};
    if (d->asked)
        h->down_until_ms = MIN(h->down_until_ms, h->failed_ms + ASKED_PAUSE_MS);
    if (h->relay->stopping) {
        delivery_give_back(d);
    } else if (h->route->kind == ROUTE_DISCARD) {
        for (size_t i = 0; i < d->msg.n_recipients; i++)
            delivery_outcome(d, i, &discarded, &(struct via){0});
        delivery_done(d);
    } else if (h->route->kind == ROUTE_MAILDIR) {
        mailbox_deliver(d);
    } else if (h->down_until_ms > clock_monotonic_ms()) {
        put_off(h, d);
    } else if (is_full(h)) {
        send_away(h, d);
    } else {
        enqueue(h, d);
        hop_spread(h);
    }
}

void hop_stop(struct hop *h)
{
    for (struct delivery *d; (d = take_off(h));)
        delivery_give_back(d);
    for (struct conn *c = h->conns, *next; c; c = next) {
        next = conn_next(c);
        conn_quit(c);
    }
}

/* ---- connections ---- */

/* One at a time until the first is up: a host that is down is asked once, not eight times.  After that another is
 * worth its handshake when two deliveries wait for each there is. */
static bool is_another_worth_it(const struct hop *h)
{
    if (h->n_queued == 0 || h->n_conns >= h->conns_max || h->n_conns > h->n_up)
        return false;
    if (h->relay->n_conns >= ALL_CONNECTIONS_MAX || h->relay->stopping ||
        h->down_until_ms > clock_monotonic_ms())
        return false;
    return h->n_up == 0 ||
           (h->n_queued > 2 * (size_t)h->n_up && h->no_more_until_ms <= clock_monotonic_ms());
}

void hop_spread(struct hop *h)
{
    for (struct conn *c = h->conns, *next; c && h->queue; c = next) {
        next = conn_next(c);
        if (conn_is_idle(c))
            conn_give(c, hop_next(h));
    }
    if (is_another_worth_it(h))
        conn_open(h);
}

void hop_is_up(struct hop *h)
{
    if (h->failures)
        log_message(LOG_LEVEL_NOTICE, "hop-up", "%s answers again", h->label);
    h->failures = 0;
    h->down_until_ms = 0;
    h->no_more_until_ms = 0;
    h->n_up++;
    if (is_another_worth_it(h))
        conn_open(h);
}

void hop_goes_clear(struct hop *h, const char *why)
{
    h->clear_until_ms = clock_monotonic_ms() + CLEAR_PAUSE_MS;
    log_message(LOG_LEVEL_WARNING, "tls-broken", "%s goes on in the clear: %s", h->label, why);
}

/* Once for each hop: every connection is the same. */
void hop_warn(struct hop *h, const char *warning)
{
    if (!warning || h->warned)
        return;
    h->warned = true;
    log_message(LOG_LEVEL_WARNING, "certificate-readable", "%s: %s", h->label, warning);
}

static void defer_all(struct hop *h)
{
    struct delivery *d;
    for (size_t n = h->n_queued; n > 0 && (d = take_off(h)); n--)
        delivery_defer(d, "4.4.1", h->why, wall_at(h->down_until_ms));
}

/* As long as other connections work only the opening of more rests. */
void hop_lost(struct hop *h, const char *why)
{
    if (!why) {
        hop_spread(h);
        return;
    }
    (void)snprintf(h->why, sizeof(h->why), "%s", why);
    h->failures++;
    h->failed_ms = clock_monotonic_ms();
    int64_t pause = retry_hop_pause(h->failures, relay_random(h->relay));
    if (h->n_up) {
        h->no_more_until_ms = h->failed_ms + pause;
        return;
    }
    h->down_until_ms = h->failed_ms + pause;
    h->pace = (struct retry_pace){0};
    struct log_line l;
    log_begin(&l, LOG_LEVEL_WARNING, "hop-down");
    log_text(&l, "hop", h->label);
    log_text(&l, "why", h->why);
    log_number(&l, "failures", h->failures);
    log_number(&l, "waiting", (int64_t)h->n_queued);
    log_number(&l, "pause-s", pause / 1000);
    log_end(&l);
    defer_all(h);
}
