#include "spool/spool_internal.h"

#include "base/clock.h"

#include <errno.h>

/* Octets of a draft in memory: at the first mark the session pauses, at the second it goes on.  With the piece
 * it may have in hand that stays within SPOOL_DRAFT_MAX. */
#define PAUSE_AT (SPOOL_DRAFT_MAX - SPOOL_CHUNK)
#define RESUME_AT SPOOL_CHUNK

struct spool_draft {
    struct spool *spool;
    struct port *port;
    int64_t id;
    char queue_id[SPOOL_QUEUE_ID_MAX];

    /* The loop's. */
    struct buf tail; /* not yet handed to the committer */
    int64_t size;
    int64_t n_chunks; /* handed over */
    size_t in_flight; /* octets of chunks handed over that have not come back */
    bool paused, released;
    int error;
    void (*drained)(void *arg, int error);
    void *drained_arg;

    /* The committer's. */
    int store_error;
    bool stored; /* some chunk was */

    /* The end: commit or discard, queued after every chunk, and the call that comes back after every chunk. */
    struct job end;
    struct draft_commit commit;
    struct spool_call last;
    void (*done)(void *arg, int error);
    void *done_arg;
    int end_error;
};

struct chunk_job {
    struct job job;
    struct spool_call call;
    struct spool_draft *draft;
    int64_t seq;
    struct buf data;
    int error;
};

struct spool_draft *spool_begin(struct spool *sp, struct loop *l)
{
    struct spool_draft *d = xcalloc(1, sizeof(*d));
    d->spool = sp;
    d->port = ports_of(&sp->ports, l);
    port_ref(d->port);
    d->id = id_next(&sp->ids, clock_wall_ms());
    id_format(d->id, d->queue_id);
    buf_init(&d->tail, SPOOL_CHUNK);
    return d;
}

const char *spool_draft_id(const struct spool_draft *d)
{
    return d->queue_id;
}

void spool_on_drained(struct spool_draft *d, void (*drained)(void *arg, int error), void *arg)
{
    d->drained = drained;
    d->drained_arg = arg;
}

static void draft_free(struct spool_draft *d)
{
    parcel_free(d->commit.parcel);
    buf_done(&d->tail);
    port_unref(d->port);
    free(d);
}

static size_t in_memory(const struct spool_draft *d)
{
    return d->tail.len + d->in_flight;
}

/* ---- chunks ---- */

static int chunk_check(struct spool *sp, struct job *j)
{
    (void)sp;
    return container_of(j, struct chunk_job, job)->draft->store_error;
}

static int chunk_apply(struct spool *sp, struct job *j)
{
    struct chunk_job *c = container_of(j, struct chunk_job, job);
    return store_put_chunk(sp->store, c->draft->id, c->seq, buf_str(&c->data));
}

static void chunk_settle(struct spool *sp, struct job *j)
{
    struct chunk_job *c = container_of(j, struct chunk_job, job);
    c->error = j->error;
    if (j->error)
        c->draft->store_error = j->error;
    else
        c->draft->stored = true;
    size_t len = c->data.len;
    buf_done(&c->data);
    c->data.len = len; /* to be counted off on the loop */
    committer_send(sp, c->draft->port, &c->call);
}

static const struct job_ops chunk_ops = {
    .accepts = true,
    .check = chunk_check,
    .apply = chunk_apply,
    .settle = chunk_settle,
};

/* On the loop: the chunk is stored, or will never be. */
static void chunk_came_back(struct spool_call *call, bool open)
{
    struct chunk_job *c = container_of(call, struct chunk_job, call);
    struct spool_draft *d = c->draft;
    d->in_flight -= c->data.len;
    if (c->error)
        d->error = c->error;
    free(c);
    if (!d->paused || (!d->error && in_memory(d) > RESUME_AT))
        return;
    d->paused = false;
    if (open && !d->released && d->drained)
        d->drained(d->drained_arg, d->error);
}

/* The full tail becomes a job, for which nobody waits yet: the committer is woken when the session pauses, so
 * that several chunks go into one transaction. */
static void hand_over_tail(struct spool_draft *d)
{
    struct chunk_job *c = xcalloc(1, sizeof(*c));
    *c = (struct chunk_job){
        .job = {.ops = &chunk_ops, .bytes = d->tail.len},
        .call = {.run = chunk_came_back                },
        .draft = d,
        .seq = d->n_chunks++,
        .data = d->tail,
    };
    d->in_flight += d->tail.len;
    buf_init(&d->tail, SPOOL_CHUNK);
    spool_queue(d->spool, &c->job, LAZY);
}

/* A full tail is handed over only when more follows, so a body of one chunk stays whole. */
static int append(struct spool_draft *d, struct str s)
{
    while (s.len) {
        if (d->tail.len == SPOOL_CHUNK)
            hand_over_tail(d);
        size_t n = MIN(s.len, SPOOL_CHUNK - d->tail.len);
        int r = buf_append(&d->tail, s.p, n);
        if (r < 0)
            return r;
        d->size += (int64_t)n;
        s = str_from(s, n);
    }
    return 0;
}

int spool_write(struct spool_draft *d, const void *data, size_t len)
{
    if (d->error)
        return d->error;
    if (d->paused && in_memory(d) + len > SPOOL_DRAFT_MAX)
        return -ENOBUFS;
    d->error = append(d, (struct str){data, len});
    if (d->error)
        return d->error;
    if (in_memory(d) < PAUSE_AT)
        return 0;
    d->paused =
        true; /* the tail holds one chunk at most, so something is in flight that will end the pause */
    spool_wake(d->spool, URGENT);
    return -EAGAIN;
}

struct str draft_octets(const struct spool_draft *d)
{
    return d->n_chunks ? (struct str){NULL, 0} : buf_str(&d->tail);
}

/* ---- the end of a draft ---- */

static void last_came_back(struct spool_call *call, bool open)
{
    struct spool_draft *d = container_of(call, struct spool_draft, last);
    if (open && d->done)
        d->done(d->done_arg, d->end_error);
    draft_free(d);
}

void draft_release(struct spool_draft *d)
{
    d->released = true;
}

void draft_come_back(struct spool *sp, struct spool_draft *d)
{
    d->last.run = last_came_back;
    committer_send(sp, d->port, &d->last);
}

static void discard_settle(struct spool *sp, struct job *j)
{
    struct spool_draft *d = container_of(j, struct spool_draft, end);
    if (d->stored)
        committer_discard_chunks(sp, d->id);
    draft_come_back(sp, d);
}

static const struct job_ops discard_ops = {.settle = discard_settle};

void spool_discard(struct spool_draft **draft)
{
    struct spool_draft *d = *draft;
    *draft = NULL;
    if (!d)
        return;
    if (d->n_chunks == 0) {
        draft_free(d);
        return;
    }
    draft_release(d);
    d->end.ops = &discard_ops;
    spool_queue(d->spool, &d->end, LAZY);
}

int draft_prepare(struct spool_draft *d,
                  const struct spool_envelope *env,
                  const struct spool_recipient *recipients,
                  size_t n_recipients,
                  struct draft_commit *ret)
{
    *ret = (struct draft_commit){.draft = d};
    if (d->error)
        return d->error;
    struct parcel *p = parcel_new(d->spool, d->id);
    int r = parcel_set_envelope(p, env);
    if (r == 0)
        r = parcel_set_recipients(p, recipients, n_recipients);
    if (r < 0) {
        parcel_free(p);
        return r;
    }
    p->message.size = d->size;
    if (d->n_chunks == 0)
        parcel_take_body(p, &d->tail);
    ret->parcel = p;
    return 0;
}

int draft_commit_check(const struct draft_commit *c)
{
    return c->draft->store_error;
}

int draft_commit_apply(struct spool *sp, struct draft_commit *c)
{
    struct spool_draft *d = c->draft;
    const struct spool_envelope *env = &c->parcel->message.envelope;
    int64_t now = clock_wall_ms();
    c->next_ms = MAX(env->received_ms, env->release_ms);
    c->claimed = c->next_ms <= now && committer_take_credit(sp, env->priority);
    int r = 0;
    if (d->n_chunks > 0)
        r = store_put_chunk(sp->store, d->id, d->n_chunks, buf_str(&d->tail));
    return r == 0 ? store_put_message(sp->store, c->parcel, c->claimed, c->next_ms) : r;
}

void draft_commit_settle(struct spool *sp, struct draft_commit *c, int error)
{
    if (error && c->draft->stored)
        committer_discard_chunks(sp, c->draft->id);
    if (error == 0 && !c->claimed)
        committer_due_at(sp, c->next_ms);
    if (error == 0 && c->claimed)
        committer_offer(sp, c->parcel);
    else
        parcel_free(c->parcel);
    c->parcel = NULL;
}

static int commit_check(struct spool *sp, struct job *j)
{
    (void)sp;
    struct spool_draft *d = container_of(j, struct spool_draft, end);
    return d->end_error ? d->end_error : draft_commit_check(&d->commit);
}

static int commit_apply(struct spool *sp, struct job *j)
{
    return draft_commit_apply(sp, &container_of(j, struct spool_draft, end)->commit);
}

static void commit_settle(struct spool *sp, struct job *j)
{
    struct spool_draft *d = container_of(j, struct spool_draft, end);
    d->end_error = j->error;
    draft_commit_settle(sp, &d->commit, j->error);
    draft_come_back(sp, d);
}

static const struct job_ops commit_ops = {
    .accepts = true,
    .check = commit_check,
    .apply = commit_apply,
    .settle = commit_settle,
};

void spool_commit(struct spool_draft **draft,
                  const struct spool_envelope *env,
                  const struct spool_recipient *recipients,
                  size_t n_recipients,
                  void (*done)(void *arg, int error),
                  void *arg)
{
    struct spool_draft *d = *draft;
    *draft = NULL;
    draft_release(d);
    d->done = done;
    d->done_arg = arg;
    d->end.ops = &commit_ops;
    d->end.bytes = d->tail.len + n_recipients * 128;
    d->end_error = draft_prepare(d, env, recipients, n_recipients, &d->commit);
    spool_queue(d->spool, &d->end, URGENT);
}
