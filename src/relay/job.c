/* A message in hand: who gets it from whom, what became of each, and the one word to the spool at the end. */
#include "relay/relay_internal.h"

#include "base/clock.h"
#include "smtp/schedule.h"

#include <assert.h>
#include <stdio.h>

#define JOB_ARENA_MAX ((size_t)8 * 1024 * 1024)
#define REPLY_MAX 500

/* When a failure cannot be reported now, the recipient fails again after this long (I4). */
#define FAIL_AGAIN_MS ((int64_t)5 * 60 * 1000)

static void end(struct job *job);
static void expire(struct job *job);
static void settle(struct job *job);

/* ---- the plan: one delivery for each next hop ---- */

static struct smtp_client_recipient recipient_of(const struct spool_target *t)
{
    return (struct smtp_client_recipient){
        .address = t->address, .orcpt = t->orcpt, .notify = t->notify};
}

/* [rfc4954 5] To whom we are known the mailbox is passed on, and where there is none "<>" (AUTH-31, AUTH-32); the
 * engine leaves it out for everybody else. */
static struct smtp_client_message message_of(const struct spool_message *m)
{
    const struct spool_envelope *e = &m->envelope;
    return (struct smtp_client_message){
        .reverse_path = e->reverse_path,
        .auth = e->auth ? e->auth : "<>",
        .envid = e->envid,
        .ret = e->ret,
        .body = (enum smtp_body)e->body,
        .smtputf8 = e->smtputf8,
        .requiretls = e->tls == SPOOL_TLS_REQUIRED,
        .priority = e->priority,
        .size = m->size,
    };
}

int64_t job_begin_ms(const struct job *job)
{
    return MAX(job->m->envelope.received_ms, job->m->envelope.release_ms);
}

static bool is_overdue(const struct spool_envelope *e, int64_t now_ms)
{
    return e->by_mode == 'R' && now_ms >= e->deliver_by_ms;
}

static const struct smtp_outcome too_late = {.code = 554,
                                             .enhanced = "5.4.7",
                                             .text = "the deadline of the message has passed",
                                             .stage = SMTP_STAGE_IDLE,
                                             .ours = true};

/* [rfc2852 4.1] What is left of the time goes on to who relays it, rounded down; in a mailbox it has arrived. */
static void set_deadline(struct delivery *d, int64_t now_ms)
{
    const struct spool_envelope *e = &d->job->m->envelope;
    if (!e->by_mode || d->hop->route->kind != ROUTE_SMTP)
        return;
    int64_t left = (e->deliver_by_ms - now_ms) / 1000;
    d->msg.deliver_by = (struct smtp_deliver_by){
        .seconds = MAX(MIN(left, SMTP_SECONDS_MAX), -SMTP_SECONDS_MAX),
        .mode = e->by_mode,
        .trace = e->by_trace,
    };
}

/* [rfc8689 4.2.1] Only to who has shown that he is the one we mean, and passes the demand on: the engine sees to the
 * latter (RTLS-01).  What stays in this machine needs no TLS; a mailbox's own protocol knows no demand. */
static bool is_safe_enough(struct delivery *d)
{
    const struct route_config *route = d->hop->route;
    if (!d->msg.requiretls)
        return true;
    if (route->kind != ROUTE_SMTP)
        d->msg.requiretls = false;
    return !route->host || route->tls == ROUTE_TLS_VERIFY;
}

/* [rfc6152 3] [rfc3030 3] An 8-bit text goes to nobody who takes 7-bit only: it is converted, or the engine refuses it
 * (BIT-01, CHNK-03). */
static void choose_body(struct delivery *d, const struct smtp_capabilities *caps)
{
    const struct spool_message *m = d->job->m;
    enum smtp_body body = (enum smtp_body)m->envelope.body;
    bool taken = body == SMTP_BODY_7BIT ||
                 (body == SMTP_BODY_8BITMIME && smtp_offers(caps, SMTP_EXT_8BITMIME)) ||
                 (smtp_offers(caps, SMTP_EXT_BINARYMIME) && smtp_offers(caps, SMTP_EXT_CHUNKING));
    d->converts = !taken && !d->job->relay->cfg->bounces_8bit;
    d->msg.body = d->converts ? SMTP_BODY_7BIT : body;
    d->msg.size = d->converts ? -1 : m->size;
}

bool delivery_prepare(struct delivery *d,
                      const struct smtp_capabilities *caps,
                      struct smtp_outcome *ret_why)
{
    static const struct smtp_outcome unverified = {
        .code = 550,
        .enhanced = "5.7.10",
        .text =
            "the message demands TLS all the way, and the route does not verify who is at its end",
        .stage = SMTP_STAGE_IDLE,
        .ours = true};
    int64_t now = clock_wall_ms();
    set_deadline(d, now);
    choose_body(d, caps);
    if (is_overdue(&d->job->m->envelope, now) ||
        (d->msg.deliver_by.mode == 'R' && d->msg.deliver_by.seconds <= 0)) {
        *ret_why = too_late;
        return false;
    }
    if (is_safe_enough(d))
        return true;
    *ret_why = unverified;
    return false;
}

_Static_assert((int)SPOOL_BODY_7BIT == (int)SMTP_BODY_7BIT &&
                   (int)SPOOL_BODY_8BITMIME == (int)SMTP_BODY_8BITMIME &&
                   (int)SPOOL_BODY_BINARYMIME == (int)SMTP_BODY_BINARYMIME,
               "the spool and the client engine name bodies alike");
_Static_assert((int)SPOOL_NOTIFY_NEVER == (int)SMTP_NOTIFY_NEVER &&
                   (int)SPOOL_NOTIFY_SUCCESS == (int)SMTP_NOTIFY_SUCCESS &&
                   (int)SPOOL_NOTIFY_FAILURE == (int)SMTP_NOTIFY_FAILURE &&
                   (int)SPOOL_NOTIFY_DELAY == (int)SMTP_NOTIFY_DELAY,
               "and NOTIFY");

static struct hop *hop_of(const struct relay *r, const char *address)
{
    const struct route_config *route = routes_find(&r->routes, address_domain(address));
    return route ? r->hop_of[route - r->cfg->routes] : NULL;
}

/* All targets from `i` on that share its hop; they are taken off `hops`. */
static void gather(struct job *job,
                   struct delivery *d,
                   struct hop **hops,
                   size_t i,
                   size_t *order,
                   struct smtp_client_recipient *recipients)
{
    size_t n = 0;
    *d = (struct delivery){.job = job, .hop = hops[i], .targets = order, .msg = message_of(job->m)};
    for (size_t k = i; k < job->m->n_targets; k++) {
        if (hops[k] != d->hop)
            continue;
        order[n] = k;
        d->asked = d->asked || job->m->targets[k].asked;
        recipients[n++] = recipient_of(&job->m->targets[k]);
        hops[k] = NULL;
    }
    d->msg.recipients = recipients;
    d->msg.n_recipients = n;
}

/* What the plan is made in; all of it goes with the job. */
struct plan {
    struct hop **hops;
    size_t *order;
    struct smtp_client_recipient *recipients;
};

static bool make_room(struct job *job, struct plan *p)
{
    size_t n = MAX(job->m->n_targets, (size_t)1);
    job->results = arena_alloc(&job->arena, n * sizeof(*job->results));
    job->fates = arena_alloc(&job->arena, n * sizeof(*job->fates));
    job->deliveries =
        arena_alloc(&job->arena, MIN(n, job->relay->n_hops + 1) * sizeof(*job->deliveries));
    p->hops = arena_alloc(&job->arena, n * sizeof(*p->hops));
    p->order = arena_alloc(&job->arena, n * sizeof(*p->order));
    p->recipients = arena_alloc(&job->arena, n * sizeof(*p->recipients));
    return job->results && job->fates && job->deliveries && p->hops && p->order && p->recipients;
}

static void make_plan(struct job *job, struct plan *p)
{
    size_t n = job->m->n_targets, used = 0;
    for (size_t i = 0; i < n; i++)
        p->hops[i] = hop_of(job->relay, job->m->targets[i].address);
    for (size_t i = 0; i < n; i++) {
        if (!p->hops[i])
            continue;
        struct delivery *d = &job->deliveries[job->n_deliveries++];
        gather(job, d, p->hops, i, p->order + used, p->recipients + used);
        used += d->msg.n_recipients;
    }
}

static void run(struct job *job)
{
    job->running = job->n_deliveries + 1;
    for (size_t i = 0; i < job->n_deliveries; i++)
        hop_deliver(job->deliveries[i].hop, &job->deliveries[i]);
    if (--job->running == 0)
        settle(job);
}

void job_start(struct relay *r, struct spool_message *m)
{
    struct job *job = xcalloc(1, sizeof(*job));
    struct plan p;
    job->relay = r;
    job->m = m;
    arena_init(&job->arena, JOB_ARENA_MAX);
    r->n_jobs++;
    if (!make_room(job, &p)) {
        log_message(LOG_LEVEL_ERROR, "no-memory", "message %s is left for later", m->queue_id);
        spool_unclaim(r->spool, m);
        end(job);
        return;
    }
    if (is_overdue(&m->envelope, clock_wall_ms())) {
        expire(job);
        return;
    }
    make_plan(job, &p);
    run(job);
}

/* ---- outcomes ---- */

/* 5yz means "never" (REL-05), unless it is about us: the message is not to blame for a certificate that expired. */
static enum spool_outcome outcome_of(const struct smtp_outcome *o, const struct via *via)
{
    bool about_login =
        o->stage == SMTP_STAGE_LOGIN ||
        (via->login && (o->code == 530 || o->code == 534 || o->code == 535 || o->code == 538));
    if (o->code / 100 == 2)
        return SPOOL_DELIVERED;
    return o->code / 100 == 5 && !about_login ? SPOOL_FAILED : SPOOL_DEFERRED;
}

/* Code, enhanced code and text as one line, in the job's arena. */
static const char *reply_line(struct job *job, const struct smtp_outcome *o)
{
    char line[REPLY_MAX];
    int n = snprintf(line, sizeof(line), "%d %s%s%s", o->code, o->enhanced, *o->enhanced ? " " : "",
                     o->text);
    for (char *p = line; *p; p++)
        if (*p == '\n')
            *p = ' ';
    return arena_strdup(&job->arena, (struct str){line, MIN((size_t)MAX(n, 0), sizeof(line) - 1)});
}

static void log_fate(const struct delivery *d,
                     const struct spool_target *t,
                     const struct fate *f,
                     const struct smtp_outcome *o,
                     const struct via *via)
{
    static const char *const events[] = {
        [SPOOL_DELIVERED] = "delivered", [SPOOL_DEFERRED] = "deferred", [SPOOL_FAILED] = "failed"};
    struct log_line l;
    log_begin(&l, f->outcome == SPOOL_FAILED ? LOG_LEVEL_NOTICE : LOG_LEVEL_INFO,
              events[f->outcome]);
    log_text(&l, "queue", d->job->m->queue_id);
    log_text(&l, "session", d->job->m->envelope.session);
    log_text(&l, "to", t->address);
    log_text(&l, "hop", d->hop->label);
    log_text(&l, "peer", via->peer);
    log_text(&l, "tls", via->tls);
    log_text(&l, "cipher", via->cipher);
    log_text(&l, "sequence", via->sequence);
    log_number(&l, "code", o->code);
    if (*o->enhanced)
        log_text(&l, "status", o->enhanced);
    log_text(&l, "text", o->text);
    if (o->code / 100 != 2 && o->stage != SMTP_STAGE_IDLE)
        log_text(&l, "at", smtp_stage_name(o->stage));
    if (d->begun_ms)
        log_number(&l, "ms", clock_monotonic_ms() - d->begun_ms);
    log_end(&l);
}

/* At the deadline the message is looked at, to be returned or to tell its sender (DLB-01). */
static int64_t not_past_deadline(const struct spool_envelope *e, int64_t now_ms, int64_t retry_ms)
{
    bool ahead = e->by_mode && e->deliver_by_ms > now_ms;
    return ahead ? MIN(retry_ms, e->deliver_by_ms) : retry_ms;
}

static void decide(struct job *job, size_t t, enum spool_outcome outcome, int64_t not_before_ms)
{
    struct relay *r = job->relay;
    struct fate *f = &job->fates[t];
    const struct spool_envelope *e = &job->m->envelope;
    int64_t now = clock_wall_ms();
    int64_t age = now - job_begin_ms(job);
    static const enum dsn_action actions[] = {[SPOOL_DELIVERED] = DSN_DELIVERED,
                                              [SPOOL_DEFERRED] = DSN_DELAYED,
                                              [SPOOL_FAILED] = DSN_FAILED};
    if (outcome == SPOOL_DEFERRED && (retry_is_over(&r->retry, age) || is_overdue(e, now))) {
        outcome = SPOOL_FAILED;
        (void)snprintf(f->status, sizeof(f->status), "5.4.7"); /* "delivery time expired" */
    }
    f->decided = true;
    f->outcome = outcome;
    f->action = actions[outcome];
    job->decided++;
    f->waits_as_usual = true;
    job->results[t] = (struct spool_result){
        .outcome = outcome,
        .retry_ms = not_before_ms, /* schedule() adds the usual wait */
        .last_reply = f->reply,
        .delay_reported = job->m->targets[t].delay_reported,
    };
}

/* [rfc2852 4.1] Nothing is tried after the deadline: it comes back. */
static void expire(struct job *job)
{
    const char *reply = reply_line(job, &too_late);
    for (size_t i = 0; i < job->m->n_targets; i++) {
        struct fate *f = &job->fates[i];
        struct log_line l;
        f->reply = reply;
        (void)snprintf(f->status, sizeof(f->status), "%s", too_late.enhanced);
        decide(job, i, SPOOL_FAILED, 0);
        log_begin(&l, LOG_LEVEL_NOTICE, "failed");
        log_text(&l, "queue", job->m->queue_id);
        log_text(&l, "session", job->m->envelope.session);
        log_text(&l, "to", job->m->targets[i].address);
        log_text(&l, "status", too_late.enhanced);
        log_text(&l, "text", too_late.text);
        log_end(&l);
    }
    settle(job);
}

void delivery_outcome(struct delivery *d,
                      size_t i,
                      const struct smtp_outcome *o,
                      const struct via *via)
{
    struct job *job = d->job;
    size_t t = d->targets[i];
    struct fate *f = &job->fates[t];
    const struct spool_target *target = &job->m->targets[t];
    assert(!f->decided); /* R1 */
    enum spool_outcome outcome = outcome_of(o, via);
    if (outcome != SPOOL_DELIVERED || (target->notify & SPOOL_NOTIFY_SUCCESS) ||
        job->m->envelope.by_mode)
        f->reply = reply_line(job, o);
    f->remote = d->hop->route->host;
    if (*o->enhanced)
        (void)snprintf(f->status, sizeof(f->status), "%s", o->enhanced);
    else
        (void)snprintf(f->status, sizeof(f->status), "%c.0.0", '0' + o->code / 100 % 10);
    decide(job, t, outcome, 0);
    d->touched = true;
    if (f->outcome == SPOOL_DELIVERED && d->hop->route->kind == ROUTE_SMTP) {
        f->action = DSN_RELAYED;
        f->is_passed = via->reports;
        f->is_deadline_lost = job->m->envelope.by_mode && !via->deadlines;
    }
    log_fate(d, target, f, o, via);
}

void delivery_defer(struct delivery *d, const char *enhanced, const char *text, int64_t retry_ms)
{
    const struct smtp_outcome o = {
        .code = 451, .enhanced = enhanced, .text = text, .stage = SMTP_STAGE_IDLE, .ours = true};
    const char *reply = reply_line(d->job, &o);
    for (size_t i = 0; i < d->msg.n_recipients; i++) {
        size_t t = d->targets[i];
        struct fate *f = &d->job->fates[t];
        if (f->decided)
            continue;
        f->reply = reply;
        f->remote = d->hop->route->host;
        (void)snprintf(f->status, sizeof(f->status), "%s", enhanced);
        decide(d->job, t, SPOOL_DEFERRED, retry_ms);
        log_fate(d, &d->job->m->targets[t], f, &o, &(struct via){0});
    }
    delivery_done(d);
}

/* No attempt, so neither the age limit nor the usual wait applies. */
void delivery_defer_soon(struct delivery *d, const char *text, int64_t when_ms)
{
    for (size_t i = 0; i < d->msg.n_recipients; i++) {
        size_t t = d->targets[i];
        struct fate *f = &d->job->fates[t];
        f->decided = true;
        f->outcome = SPOOL_DEFERRED;
        f->action = DSN_DELAYED;
        (void)snprintf(f->status, sizeof(f->status), "4.3.2");
        d->job->decided++;
        d->job->results[t] = (struct spool_result){
            .outcome = SPOOL_DEFERRED,
            .retry_ms = not_past_deadline(&d->job->m->envelope, clock_wall_ms(), when_ms),
            .last_reply = text,
            .delay_reported = d->job->m->targets[t].delay_reported,
        };
    }
    delivery_done(d);
}

void delivery_done(struct delivery *d)
{
    if (--d->job->running == 0)
        settle(d->job);
}

void delivery_give_back(struct delivery *d)
{
    delivery_done(d);
}

/* ---- the end ---- */

static void end(struct job *job)
{
    struct relay *r = job->relay;
    arena_done(&job->arena);
    free(job);
    r->n_jobs--;
    relay_give_credit(r);
}

/* When those that were tried and deferred are tried again; it is one moment for all of a message, and certain only now. */
static void log_retry(const struct job *job)
{
    int64_t next_ms = INT64_MAX, deferred = 0;
    for (size_t i = 0; i < job->m->n_targets; i++) {
        if (job->results[i].outcome != SPOOL_DEFERRED || !job->fates[i].waits_as_usual)
            continue;
        deferred++;
        next_ms = MIN(next_ms, job->results[i].retry_ms);
    }
    if (deferred == 0)
        return;
    char at[SMTP_DATE_TIME_MAX];
    struct log_line l;
    smtp_date_time_format(next_ms, at);
    log_begin(&l, LOG_LEVEL_INFO, "retry");
    log_text(&l, "queue", job->m->queue_id);
    log_text(&l, "session", job->m->envelope.session);
    log_number(&l, "recipients", deferred);
    log_text(&l, "at", at);
    log_number(&l, "in-s", MAX(next_ms - clock_wall_ms() + 999, (int64_t)0) / 1000);
    log_end(&l);
}

static void finish(struct job *job, struct spool_draft *report)
{
    log_retry(job);
    spool_finish(job->relay->spool, job->m, job->results, report ? &report : NULL, job->report_to);
    end(job);
}

/* The report that should end these recipients could not be made: they are not ended (I4). */
static void unend(struct job *job)
{
    int64_t again = clock_wall_ms() + FAIL_AGAIN_MS;
    for (size_t i = 0; i < job->m->n_targets; i++) {
        if (job->results[i].outcome == SPOOL_FAILED) {
            job->results[i].outcome = SPOOL_DEFERRED;
            job->results[i].retry_ms = again;
        }
        job->results[i].delay_reported = job->m->targets[i].delay_reported;
    }
}

static void on_report(struct job *job, struct spool_draft *report)
{
    if (!report)
        unend(job);
    finish(job, report);
}

static void log_no_route(const struct job *job, const struct spool_target *t)
{
    struct log_line l;
    log_begin(&l, LOG_LEVEL_WARNING, "no-route");
    log_text(&l, "queue", job->m->queue_id);
    log_text(&l, "to", t->address);
    log_end(&l);
}

/* What no delivery spoke about: given back in a shutdown, or in a domain whose route went with the last change
 * of the configuration, which may come back. */
static void decide_rest(struct job *job)
{
    static const char lost[] = "451 4.4.4 no route leads to this domain";
    for (size_t i = 0; i < job->m->n_targets; i++) {
        struct fate *f = &job->fates[i];
        if (f->decided)
            continue;
        if (hop_of(job->relay, job->m->targets[i].address)) {
            decide(job, i, SPOOL_DEFERRED, 0);
            job->results[i].retry_ms = clock_wall_ms();
            f->waits_as_usual = false;
            continue;
        }
        log_no_route(job, &job->m->targets[i]);
        f->reply = lost;
        (void)snprintf(f->status, sizeof(f->status), "4.4.4");
        decide(job, i, SPOOL_DEFERRED, 0);
    }
}

/* One moment for all of them: what is deferred apart comes back apart, and the text goes out, and a report comes,
 * once for each recipient. */
static void schedule(struct job *job)
{
    struct relay *r = job->relay;
    int64_t now = clock_wall_ms();
    int64_t usual = now + retry_delay(&r->retry, now - job_begin_ms(job), relay_random(r));
    for (size_t i = 0; i < job->m->n_targets; i++) {
        struct spool_result *result = &job->results[i];
        if (job->fates[i].waits_as_usual)
            result->retry_ms = not_past_deadline(&job->m->envelope, now, MAX(usual, result->retry_ms));
    }
}

static void settle(struct job *job)
{
    if (job->decided == 0 && job->relay->stopping) {
        spool_unclaim(job->relay->spool, job->m);
        end(job);
        return;
    }
    decide_rest(job);
    schedule(job);
    if (report_is_due(job))
        report_make(job, on_report);
    else
        finish(job, NULL);
}
