/* Who is owed a report about a job, and the making of it (I4, REL-06). */
#include "relay/relay_internal.h"

#include "base/clock.h"

#include <errno.h>

#define REPORT_MAX ((size_t)256 * 1024)
#define DELAY_NOTICE_MS                                                                            \
    ((int64_t)4 * 60 * 60 * 1000) /* for NOTIFY=DELAY, when nothing is configured */

struct report {
    struct job *job;
    struct spool_read rd;
    bool full; /* the message goes back whole */
    void (*done)(struct job *job, struct spool_draft *report);
};

/* ---- is one due? ---- */

static bool is_null(const struct job *job)
{
    return *job->m->envelope.reverse_path == '\0';
}

/* [rfc3461 4.1] NEVER stands alone; without NOTIFY a failure is reported. */
static bool wants(const struct spool_target *t, unsigned what)
{
    return t->notify & what;
}

/* [rfc2852 4.1] BY= with 'N' asks to be told, unless nobody is to be told of anything (DLB-01). */
static bool deadline_has_passed(const struct job *job, const struct spool_target *t)
{
    const struct spool_envelope *e = &job->m->envelope;
    return e->by_mode == 'N' && clock_wall_ms() >= e->deliver_by_ms &&
           !wants(t, SPOOL_NOTIFY_NEVER);
}

static bool delay_is_due(const struct job *job, const struct spool_target *t)
{
    int64_t configured = job->relay->cfg->delay_warning_ms;
    int64_t age = clock_wall_ms() - job_begin_ms(job);
    if (!t->delay_reported && deadline_has_passed(job, t))
        return true;
    if (t->delay_reported || !(t->notify ? wants(t, SPOOL_NOTIFY_DELAY) : configured > 0))
        return false;
    return age >= (configured > 0 ? configured : DELAY_NOTICE_MS);
}

/* [rfc2852 4.1] A deadline that nobody keeps from here on, and each hop of a trace, is told of. */
static bool
relaying_is_told(const struct job *job, const struct spool_target *t, const struct fate *f)
{
    return (f->is_deadline_lost || job->m->envelope.by_trace) && !wants(t, SPOOL_NOTIFY_NEVER);
}

static bool is_reported(const struct job *job, size_t i)
{
    const struct spool_target *t = &job->m->targets[i];
    const struct fate *f = &job->fates[i];
    switch (f->action) {
    case DSN_FAILED:
        return !t->notify || wants(t, SPOOL_NOTIFY_FAILURE);
    case DSN_DELAYED:
        return delay_is_due(job, t);
    case DSN_RELAYED:
        if (relaying_is_told(job, t, f))
            return true;
        return wants(t, SPOOL_NOTIFY_SUCCESS) && !f->is_passed;
    case DSN_DELIVERED:
        return wants(t, SPOOL_NOTIFY_SUCCESS);
    }
    return false;
}

/* Never a report about a report (DSN-03): what fails from the null reverse-path is the postmaster's, our own reports
 * too, although they say NOTIFY=NEVER. */
static bool is_for_postmaster(const struct job *job, size_t i)
{
    const struct spool_target *t = &job->m->targets[i];
    bool ours = !job->m->envelope.session;
    if (job->fates[i].action != DSN_FAILED || (wants(t, SPOOL_NOTIFY_NEVER) && !ours))
        return false;
    const char *postmaster = job->relay->cfg->postmaster;
    struct log_line l;
    log_begin(&l, LOG_LEVEL_WARNING, "undeliverable");
    log_text(&l, "queue", job->m->queue_id);
    log_text(&l, "to", t->address);
    log_text(&l, "reply", job->fates[i].reply);
    log_end(&l);
    return postmaster && strcmp(postmaster, t->address) != 0;
}

bool report_is_due(struct job *job)
{
    bool due = false;
    bool null = is_null(job);
    for (size_t i = 0; i < job->m->n_targets; i++) {
        bool one = null ? is_for_postmaster(job, i) : is_reported(job, i);
        job->fates[i].is_reported = one;
        if (one && job->fates[i].action == DSN_DELAYED)
            job->results[i].delay_reported = true;
        due |= one;
    }
    job->report_to = null ? job->relay->cfg->postmaster : job->m->envelope.reverse_path;
    return due;
}

/* ---- what goes back of the message ---- */

/* [rfc3461 4.3] RET is about failures; more than one piece of the spool is not sent around again.  The postmaster
 * gets a report that nobody else took whole: what it tells is told nowhere else. */
static bool goes_back_whole(const struct job *job)
{
    bool asked = job->m->envelope.ret == 'F' || is_null(job);
    bool secret =
        job->m->envelope.tls == SPOOL_TLS_REQUIRED; /* [rfc8689 5] headers only (RTLS-02) */
    if (!asked || secret || job->m->size > (int64_t)SPOOL_CHUNK)
        return false;
    for (size_t i = 0; i < job->m->n_targets; i++)
        if (job->fates[i].is_reported && job->fates[i].action == DSN_FAILED)
            return true;
    return false;
}

/* The header with its last line end, without the empty line. */
static struct str header_of(struct str text)
{
    const char *end = text.len ? memmem(text.p, text.len, "\r\n\r\n", 4) : NULL;
    return end ? str_upto(text, (size_t)(end - text.p) + 2) : text;
}

/* ---- the report ---- */

static struct spool_draft *store(const struct job *job, struct str text)
{
    struct spool_draft *draft = spool_begin(job->relay->spool, job->relay->loop);
    int r = 0;
    while (text.len && r == 0) {
        struct str piece = str_upto(text, SPOOL_CHUNK);
        text = str_from(text, piece.len);
        r = spool_write(draft, piece.p, piece.len);
        if (r == -EAGAIN && text.len == 0)
            r = 0; /* taken; nothing follows that would have to wait */
    }
    if (r < 0)
        spool_discard(&draft);
    return draft;
}

/* A message to be returned is not tried after its deadline (DLB-01). */
static int64_t retry_until(const struct job *job)
{
    const struct spool_envelope *e = &job->m->envelope;
    int64_t age_limit = job_begin_ms(job) + job->relay->retry.expire_ms;
    return e->by_mode == 'R' ? MIN(age_limit, e->deliver_by_ms) : age_limit;
}

static size_t list_recipients(const struct job *job, struct dsn_recipient *list)
{
    size_t n = 0;
    for (size_t i = 0; i < job->m->n_targets; i++) {
        const struct fate *f = &job->fates[i];
        if (!f->is_reported)
            continue;
        list[n++] = (struct dsn_recipient){
            .address = job->m->targets[i].address,
            .orcpt = job->m->targets[i].orcpt,
            .action = f->action,
            .status = f->status,
            .diagnostic = f->reply,
            .remote_mta = f->remote,
            .last_attempt_ms = clock_wall_ms(),
            .retry_until_ms = f->action == DSN_DELAYED ? retry_until(job) : 0,
        };
    }
    return n;
}

static int put_in_words(struct report *rp, struct str text, struct buf *out)
{
    struct job *job = rp->job;
    struct dsn_recipient *list =
        arena_alloc(&job->arena, job->m->n_targets * sizeof(struct dsn_recipient));
    if (!list)
        return -ENOMEM;
    struct dsn dsn = {
        .hostname = job->relay->cfg->hostname,
        .queue_id = job->m->queue_id,
        .envid = job->m->envelope.envid,
        .to = job->report_to,
        .arrival_ms = job->m->envelope.received_ms,
        .now_ms = clock_wall_ms(),
        .deliver_by_ms = job->m->envelope.by_mode ? job->m->envelope.deliver_by_ms : 0,
        .recipients = list,
        .n_recipients = list_recipients(job, list),
        .returned = rp->full ? text : header_of(text),
        .returned_is_full = rp->full,
    };
    int r = dsn_format(&dsn, out);
    if (r == -EMSGSIZE) {
        dsn.returned = header_of(text);
        dsn.returned_is_full = false;
        r = dsn_format(&dsn, out);
    }
    return r;
}

/* With as much of the message as could be had. */
static void make(struct report *rp, struct str text)
{
    struct job *job = rp->job;
    struct spool_draft *draft = NULL;
    struct buf out = BUF_INIT(REPORT_MAX);
    int r = put_in_words(rp, text, &out);
    if (r == 0)
        draft = store(job, buf_str(&out));
    if (!draft)
        log_message(LOG_LEVEL_ERROR, "no-report", "a report about %s has to wait",
                    job->m->queue_id);
    buf_done(&out);
    void (*done)(struct job *, struct spool_draft *) = rp->done;
    free(rp);
    done(job, draft);
}

static void on_read(struct spool_read *rd, int error, struct str data)
{
    struct report *rp = container_of(rd, struct report, rd);
    rp->full = rp->full && error == 0;
    make(rp, error ? (struct str){"", 0} : data);
}

void report_make(struct job *job, void (*done)(struct job *job, struct spool_draft *report))
{
    struct report *rp = xcalloc(1, sizeof(*rp));
    rp->job = job;
    rp->done = done;
    rp->full = goes_back_whole(job);
    if (job->m->body.p || job->m->size == 0) {
        make(rp, job->m->body);
        return;
    }
    rp->rd = (struct spool_read){.id = job->m->id, .got = on_read};
    spool_read(job->relay->spool, &rp->rd);
}
