/* The relay's side: offers, results, and messages given back. */
#include "spool/spool_internal.h"

#include "base/clock.h"

#include <errno.h>

#define LAST_REPLY_MAX ((size_t)500)

/* When the report that should end a failed recipient cannot be stored, the recipient is tried again
 * after this long: it fails again and is reported again (I4). */
#define FAILED_AGAIN_MS ((int64_t)5 * 60 * 1000)

bool spool_is_closing(struct spool *sp)
{
    (void)pthread_mutex_lock(&sp->lock);
    bool closing = sp->closing;
    (void)pthread_mutex_unlock(&sp->lock);
    return closing;
}

/* ---- offers ---- */

void spool_attach(struct spool *sp,
                  struct loop *l,
                  void (*offer)(void *arg, struct spool_message *m),
                  void *arg)
{
    struct port *port = ports_of(&sp->ports, l);
    (void)pthread_mutex_lock(&sp->lock);
    sp->relay = (struct relay_side){.port = port, .loop = l, .offer = offer, .arg = arg};
    (void)pthread_mutex_unlock(&sp->lock);
    spool_wake(sp, SOON);
}

void spool_detach(struct spool *sp, struct loop *l)
{
    (void)pthread_mutex_lock(&sp->lock);
    bool is_relay = sp->relay.loop == l;
    if (is_relay) {
        sp->relay = (struct relay_side){0};
        sp->credit = 0;
    }
    (void)pthread_mutex_unlock(&sp->lock);
    if (is_relay)
        reader_forget(sp);
    ports_forget(&sp->ports, l);
}

void spool_credit(struct spool *sp, unsigned more)
{
    (void)pthread_mutex_lock(&sp->lock);
    sp->credit += more;
    bool starving = sp->starving;
    (void)pthread_mutex_unlock(&sp->lock);
    if (starving)
        spool_wake(sp, SOON);
}

static struct relay_side relay_of(struct spool *sp)
{
    (void)pthread_mutex_lock(&sp->lock);
    struct relay_side relay = sp->relay;
    (void)pthread_mutex_unlock(&sp->lock);
    return relay;
}

void offer_run(struct spool_call *c, bool open)
{
    struct parcel *p = container_of(c, struct parcel, offer);
    struct spool *sp = p->spool;
    struct relay_side relay = relay_of(sp);
    if (open && relay.offer)
        relay.offer(relay.arg, &p->message);
    else
        spool_unclaim(sp, &p->message);
}

/* ---- giving back ---- */

struct unclaim_job {
    struct job job;
    struct parcel *parcel;
};

static int unclaim_apply(struct spool *sp, struct job *j)
{
    const struct spool_message *m = &container_of(j, struct unclaim_job, job)->parcel->message;
    int r = 0;
    for (size_t i = 0; r == 0 && i < m->n_targets; i++)
        r = store_unclaim(sp->store, m->id, m->targets[i].row);
    return r;
}

static void unclaim_settle(struct spool *sp, struct job *j)
{
    struct unclaim_job *u = container_of(j, struct unclaim_job, job);
    if (j->error && !spool_is_closing(sp)) {
        committer_keep(sp, j);
        return;
    }
    if (j->error == 0)
        committer_due_at(sp, 0);
    parcel_free(u->parcel);
    free(u);
}

static const struct job_ops unclaim_ops = {.apply = unclaim_apply, .settle = unclaim_settle};

void spool_unclaim(struct spool *sp, struct spool_message *m)
{
    struct parcel *p = parcel_of(m);
    if (spool_is_closing(sp)) { /* the committer's last words ended every claim */
        parcel_free(p);
        return;
    }
    buf_done(&p->body);
    struct unclaim_job *u = xcalloc(1, sizeof(*u));
    u->job.ops = &unclaim_ops;
    u->parcel = p;
    spool_queue(sp, &u->job, SOON);
}

/* ---- results ---- */

struct result_job {
    struct job job;
    struct parcel *parcel;
    struct spool_result *results;
    struct spool_draft *report; /* NULL: none */
    struct draft_commit commit; /* of the report */
    int report_error;           /* it cannot be stored, ever */

    /* Of the last apply(). */
    bool gone;     /* the message has no recipient left */
    bool reported; /* the report is part of the transaction */
    int64_t next_due_ms;
};

static int result_check(struct spool *sp, struct job *j)
{
    (void)sp;
    struct result_job *rj = container_of(j, struct result_job, job);
    if (rj->report && !rj->report_error)
        rj->report_error = draft_commit_check(&rj->commit);
    return 0; /* a lost report changes what is stored, it does not end the result */
}

/* What is to be stored for target `i`. */
static struct spool_result result_of(const struct result_job *rj, size_t i)
{
    struct spool_result result = rj->results[i];
    if (result.outcome == SPOOL_FAILED && rj->report_error) {
        result.outcome = SPOOL_DEFERRED;
        result.retry_ms = clock_wall_ms() + FAILED_AGAIN_MS;
    }
    return result;
}

static int apply_targets(struct spool *sp, struct result_job *rj, int64_t *count)
{
    const struct spool_message *m = &rj->parcel->message;
    int r = 0;
    for (size_t i = 0; r == 0 && i < m->n_targets; i++) {
        struct spool_result result = result_of(rj, i);
        if (result.outcome == SPOOL_DEFERRED) {
            r = store_defer_recipient(sp->store, m->id, m->targets[i].row, &result, count);
            rj->next_due_ms = MIN(rj->next_due_ms, result.retry_ms);
        } else if (result.outcome == SPOOL_HELD) {
            r = store_hold_recipient(sp->store, m->id, m->targets[i].row, &result, count);
        } else {
            r = store_drop_recipient(sp->store, m->id, m->targets[i].row, count);
        }
    }
    return r;
}

static int result_apply(struct spool *sp, struct job *j)
{
    struct result_job *rj = container_of(j, struct result_job, job);
    rj->gone = false;
    rj->next_due_ms = INT64_MAX;
    int64_t count = 0;
    int r = apply_targets(sp, rj, &count);
    if (r == 0)
        r = store_drop_message(sp->store, rj->parcel->message.id, &rj->gone);
    /* A message that `postern queue delete` took away while it was in flight is reported on no more. */
    rj->reported = rj->report && !rj->report_error && count > 0;
    if (r == 0 && rj->reported)
        r = draft_commit_apply(sp, &rj->commit);
    return r;
}

static void settle_report(struct spool *sp, struct result_job *rj)
{
    if (!rj->report)
        return;
    int error = rj->job.error ? rj->job.error : rj->report_error;
    draft_commit_settle(sp, &rj->commit, error || rj->reported ? error : -ENOENT);
    draft_come_back(sp, rj->report);
}

static void result_settle(struct spool *sp, struct job *j)
{
    struct result_job *rj = container_of(j, struct result_job, job);
    if (j->error && !spool_is_closing(sp)) {
        committer_keep(sp,
                       j); /* meanwhile the message stays claimed: nobody delivers it twice (I3) */
        return;
    }
    if (j->error == 0)
        committer_due_at(sp, rj->next_due_ms);
    if (j->error == 0 && rj->gone && parcel_is_chunked(rj->parcel))
        committer_discard_chunks(sp, rj->parcel->message.id);
    settle_report(sp, rj);
    parcel_free(rj->parcel);
    free(rj->results);
    free(rj);
}

static const struct job_ops result_ops = {
    .check = result_check,
    .apply = result_apply,
    .settle = result_settle,
};

/* One line, cut to what is worth keeping. */
static const char *keep_reply(struct parcel *p, const char *reply)
{
    if (!reply)
        return NULL;
    return arena_strdup(&p->arena, (struct str){reply, strcspn(reply, "\r\n") < LAST_REPLY_MAX
                                                           ? strcspn(reply, "\r\n")
                                                           : LAST_REPLY_MAX});
}

static struct spool_result *copy_results(struct parcel *p, const struct spool_result *results)
{
    size_t n = p->message.n_targets;
    struct spool_result *copy = xcalloc(MAX(n, 1), sizeof(*copy));
    for (size_t i = 0; i < n; i++) {
        copy[i] = results[i];
        copy[i].last_reply = keep_reply(p, results[i].last_reply);
    }
    return copy;
}

/* RFC 3464 2: from the null reverse-path, and nothing is ever reported about it. */
static int prepare_report(struct result_job *rj, const char *to)
{
    struct str octets = draft_octets(rj->report);
    bool plain = octets.p && str_is_ascii(octets);
    struct spool_envelope env = {
        .reverse_path = "",
        .body = plain ? SPOOL_BODY_7BIT : SPOOL_BODY_8BITMIME,
        .smtputf8 = rj->parcel->message.envelope.smtputf8 || !str_is_ascii(str_of(to)),
        .received_ms = clock_wall_ms(),
        .priority = rj->parcel->message.envelope.priority, /* [rfc6710 4] */
        /* [rfc8689 5] The way back is as secret as the way there (RTLS-02). */
        .tls = rj->parcel->message.envelope.tls == SPOOL_TLS_REQUIRED ? SPOOL_TLS_REQUIRED
                                                                      : SPOOL_TLS_USUAL,
    };
    struct spool_recipient recipient = {.address = to, .notify = SPOOL_NOTIFY_NEVER};
    draft_release(rj->report);
    return draft_prepare(rj->report, &env, &recipient, 1, &rj->commit);
}

void spool_finish(struct spool *sp,
                  struct spool_message *m,
                  const struct spool_result *results,
                  struct spool_draft **report,
                  const char *report_to)
{
    struct parcel *p = parcel_of(m);
    struct result_job *rj = xcalloc(1, sizeof(*rj));
    rj->job.ops = &result_ops;
    rj->parcel = p;
    rj->results = copy_results(p, results);
    if (report && *report) {
        rj->report = *report;
        *report = NULL;
        rj->report_error = prepare_report(rj, report_to);
    }
    buf_done(&p->body); /* a result may have to wait in memory; its body need not */
    spool_queue(sp, &rj->job, SOON);
}
