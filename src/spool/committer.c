/* The committer: one thread, one writing connection, groups.
 *
 * Whatever arrived while the last group was being synced forms the next one; a lone job never waits for company.
 * A group is one transaction.  When it fails, each of its jobs gets a transaction alone, so that one that cannot be
 * stored does not take the others with it.
 */
#include "spool/spool_internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define GROUP_JOBS 512
#define GROUP_BYTES ((size_t)8 * 1024 * 1024)
#define CLAIM_BATCH 16 /* free places that need not wait for more */
#define CLAIMS_MAX 64  /* from the backlog, in one group: nobody's commit waits for more */
#define CHUNKS_MAX 16  /* of discarded bodies, in one group, likewise */
#define KEPT_MAX 1000  /* results that wait for a better day; beyond it nothing new is claimed */
#define TRASH_MAX 4096 /* bodies whose chunks go bit by bit */
#define POLL_MS 1000   /* how soon changes by `postern queue` are seen */
#define AGAIN_MS 1000  /* after trouble */
#define EXTRAS_AGAIN_MS 5000 /* after trouble with the backlog itself */

/* A result lies about for this long at most, so that many share a sync: no client waits for it, and what a crash
 * in the meantime costs is a second delivery (I3).  Free places for the backlog gather likewise. */
#define SOON_MS 5

struct round { /* one transaction; begun again for each */
    unsigned credit, budget;
    unsigned fresh; /* of the budget, for messages of this group */
    bool backlog;   /* something is due */
    struct parcel *claimed, **claimed_tail;
    bool looked;
    int64_t next_due_ms; /* when looked */
    bool chunks_gone;    /* the first of the trash is done */
    bool begun, extras_failed;
};

struct committer {
    pthread_t thread;
    struct outbox outbox;
    struct round round;
    int64_t next_due_ms;  /* wall clock; in the past: look now */
    int waiting_priority; /* of what was claimed last: nothing that is due had a greater one */
    /* From here on monotonic. */
    int64_t claim_at_ms; /* 0: not waiting for more free places */
    int64_t extras_not_before_ms, poll_at_ms, keep_again_ms;

    struct job *kept, **kept_tail;
    size_t n_kept;
    int64_t trash[TRASH_MAX];
    size_t n_trash;
    bool stale_log;  /* a failed commit may still stand in the log */
    int health;      /* the last error said in the log, 0: well */
    char words[STORE_WORDS_MAX]; /* SQLite's, about the last transaction that failed, or about the lack of room */
};

/* ---- the queue of jobs ---- */

/* With the lock held: is the committer to be roused?  It is when the lock is free again, or it would wake only to wait
 * for that. */
static bool is_news(struct spool *sp, enum urgency urgency)
{
    bool news = false;
    if (urgency == URGENT) {
        news = !sp->urgent;
        sp->urgent = true;
    } else if (urgency == SOON && sp->soon_ms == INT64_MAX) {
        sp->soon_ms = clock_monotonic_ms() + SOON_MS;
        news = true;
    }
    return news && sp->sleeping;
}

void spool_wake(struct spool *sp, enum urgency urgency)
{
    (void)pthread_mutex_lock(&sp->lock);
    bool news = is_news(sp, urgency);
    (void)pthread_mutex_unlock(&sp->lock);
    if (news)
        (void)pthread_cond_signal(&sp->work);
}

void spool_queue(struct spool *sp, struct job *j, enum urgency urgency)
{
    (void)pthread_mutex_lock(&sp->lock);
    j->next = NULL;
    *sp->jobs_tail = j;
    sp->jobs_tail = &j->next;
    bool news = is_news(sp, urgency);
    (void)pthread_mutex_unlock(&sp->lock);
    if (news)
        (void)pthread_cond_signal(&sp->work);
}

/* With the lock held. */
static size_t take_group(struct spool *sp, struct job **group)
{
    size_t n = 0, bytes = 0;
    while (sp->jobs && n < GROUP_JOBS && bytes < GROUP_BYTES) {
        group[n] = sp->jobs;
        bytes += sp->jobs->bytes;
        sp->jobs = sp->jobs->next;
        n++;
    }
    sp->urgent = sp->jobs != NULL; /* the rest has waited long enough */
    sp->soon_ms = INT64_MAX;
    if (!sp->jobs)
        sp->jobs_tail = &sp->jobs;
    return n;
}

/* ---- when to wake ---- */

/* With the lock held: is there a relay that could take something from the backlog? */
static bool may_claim(const struct spool *sp)
{
    return sp->relay.port && sp->credit > 0 && sp->committer->n_kept < KEPT_MAX;
}

/* With the lock held: when to look into the backlog.  A few free places wait a moment for more, so that one
 * transaction fills many. */
static int64_t claim_at(struct spool *sp)
{
    struct committer *c = sp->committer;
    if (!may_claim(sp))
        return INT64_MAX;
    int64_t now = clock_monotonic_ms();
    int64_t wait = c->next_due_ms - clock_wall_ms();
    if (wait > 0)
        return wait < POLL_MS ? now + wait : INT64_MAX;
    if (sp->credit >= CLAIM_BATCH)
        c->claim_at_ms = now;
    else if (c->claim_at_ms == 0)
        c->claim_at_ms = now + SOON_MS;
    return MAX(c->claim_at_ms, c->extras_not_before_ms);
}

/* With the lock held: the monotonic time at which there is something to do without a job. */
static int64_t wake_at(struct spool *sp)
{
    const struct committer *c = sp->committer;
    int64_t at = sp->soon_ms;
    if (c->n_trash > 0)
        at = MIN(at, c->extras_not_before_ms);
    if (c->n_kept > 0 || c->stale_log)
        at = MIN(at, c->keep_again_ms);
    if (sp->relay.port || atomic_load(&sp->full))
        at = MIN(at, c->poll_at_ms);
    return MIN(at, claim_at(sp));
}

static void sleep_until(struct spool *sp, int64_t at)
{
    struct timespec ts = {.tv_sec = at / 1000, .tv_nsec = at % 1000 * 1000000};
    sp->sleeping = true;
    if (at == INT64_MAX)
        (void)pthread_cond_wait(&sp->work, &sp->lock);
    else
        (void)pthread_cond_timedwait(&sp->work, &sp->lock, &ts);
    sp->sleeping = false;
}

/* Waits for jobs or a due time; false when the spool closes and nothing is left. */
static bool next_group(struct spool *sp, struct job **group, size_t *ret_n)
{
    (void)pthread_mutex_lock(&sp->lock);
    for (;;) {
        sp->starving =
            sp->relay.port && sp->credit == 0 && sp->committer->next_due_ms <= clock_wall_ms();
        if (sp->urgent || sp->stopping)
            break;
        int64_t at = wake_at(sp);
        if (at <= clock_monotonic_ms())
            break;
        sleep_until(sp, at);
    }
    *ret_n = take_group(sp, group);
    bool more = *ret_n > 0 || !sp->stopping;
    (void)pthread_mutex_unlock(&sp->lock);
    return more;
}

/* ---- what jobs ask of us ---- */

bool committer_take_credit(struct spool *sp, int priority)
{
    struct round *r = &sp->committer->round;
    int waiting = r->backlog ? sp->committer->waiting_priority : priority;
    if (r->budget == 0 || priority < waiting || (priority == waiting && r->fresh == 0))
        return false;
    r->fresh -= r->fresh > 0;
    r->budget--;
    return true;
}

void committer_send(struct spool *sp, struct port *p, struct spool_call *call)
{
    outbox_add(&sp->committer->outbox, p, call);
}

void committer_offer(struct spool *sp, struct parcel *p)
{
    (void)pthread_mutex_lock(&sp->lock);
    struct port *port = sp->relay.port;
    if (port)
        port_ref(port);
    (void)pthread_mutex_unlock(&sp->lock);
    p->offer.run = offer_run;
    if (!port) { /* detached since this round began */
        p->offer.run(&p->offer, false);
        return;
    }
    outbox_add(&sp->committer->outbox, port, &p->offer);
    port_unref(port);
}

void committer_due_at(struct spool *sp, int64_t when_ms)
{
    struct committer *c = sp->committer;
    c->next_due_ms = MIN(c->next_due_ms, when_ms);
}

/* Freeing a large body means reading each of its pages; done at once it would hold up every commit.
 * What is not done when the process ends, the next start does. */
void committer_discard_chunks(struct spool *sp, int64_t id)
{
    struct committer *c = sp->committer;
    if (c->n_trash < TRASH_MAX)
        c->trash[c->n_trash++] = id;
}

void committer_keep(struct spool *sp, struct job *j)
{
    struct committer *c = sp->committer;
    if (c->n_kept == 0)
        c->keep_again_ms = clock_monotonic_ms() + AGAIN_MS;
    j->next = NULL;
    *c->kept_tail = j;
    c->kept_tail = &j->next;
    c->n_kept++;
}

/* Puts what was kept back at the head of the queue, in order. */
static void try_kept_again(struct spool *sp)
{
    struct committer *c = sp->committer;
    if (c->n_kept == 0)
        return;
    (void)pthread_mutex_lock(&sp->lock);
    *c->kept_tail = sp->jobs;
    if (!sp->jobs)
        sp->jobs_tail = c->kept_tail;
    sp->jobs = c->kept;
    sp->urgent = true;
    (void)pthread_mutex_unlock(&sp->lock);
    c->kept = NULL;
    c->kept_tail = &c->kept;
    c->n_kept = 0;
}

/* ---- one transaction ---- */

static void round_start(struct spool *sp)
{
    struct committer *c = sp->committer;
    struct round *r = &c->round;
    *r = (struct round){0};
    r->claimed_tail = &r->claimed;
    (void)pthread_mutex_lock(&sp->lock);
    r->credit = may_claim(sp) ? sp->credit : 0;
    (void)pthread_mutex_unlock(&sp->lock);
    r->budget = r->credit;
    /* Fresh messages cost less, as they are in memory, but must not starve those that wait. */
    r->backlog = c->next_due_ms <= clock_wall_ms();
    r->fresh = r->backlog ? r->credit / 2 : r->credit;
}

static void round_undo(struct round *r)
{
    while (r->claimed) {
        struct parcel *p = r->claimed;
        r->claimed = p->next;
        parcel_free(p);
    }
}

static void round_keep(struct spool *sp)
{
    struct committer *c = sp->committer;
    struct round *r = &c->round;
    (void)pthread_mutex_lock(&sp->lock);
    sp->credit -= MIN(sp->credit, r->credit - r->budget);
    (void)pthread_mutex_unlock(&sp->lock);
    if (r->looked)
        c->next_due_ms = r->next_due_ms;
    if (r->chunks_gone)
        c->trash[0] = c->trash[--c->n_trash];
    while (r->claimed) {
        struct parcel *p = r->claimed;
        r->claimed = p->next;
        committer_offer(sp, p);
    }
}

static int claim_backlog(struct spool *sp)
{
    struct committer *c = sp->committer;
    struct round *r = &c->round;
    int64_t now = clock_wall_ms();
    if (c->next_due_ms > now)
        return 0;
    for (unsigned i = 0; i < CLAIMS_MAX && r->budget > 0; i++) {
        struct parcel *p = NULL;
        int e = store_claim(sp->store, sp, now, &p);
        if (e < 0)
            return e;
        if (!p) {
            r->looked = true;
            return store_next_due(sp->store, &r->next_due_ms);
        }
        c->waiting_priority = p->message.envelope.priority;
        p->next = NULL;
        *r->claimed_tail = p;
        r->claimed_tail = &p->next;
        r->budget--;
    }
    return 0;
}

static int drop_trash(struct spool *sp)
{
    struct committer *c = sp->committer;
    if (c->n_trash == 0)
        return 0;
    int64_t gone = 0;
    int r = store_drop_chunks(sp->store, c->trash[0], CHUNKS_MAX, &gone);
    c->round.chunks_gone = r == 0 && gone < CHUNKS_MAX;
    return r;
}

static int apply_one(struct spool *sp, struct job *j)
{
    j->error = j->ops->check ? j->ops->check(sp, j) : 0;
    return j->error == 0 && j->ops->apply ? j->ops->apply(sp, j) : 0;
}

static int apply_all(struct spool *sp, struct job **jobs, size_t n, bool extras)
{
    for (size_t i = 0; i < n; i++) {
        int r = apply_one(sp, jobs[i]);
        if (r < 0)
            return r;
    }
    if (!extras)
        return 0;
    int r = claim_backlog(sp);
    if (r == 0)
        r = drop_trash(sp);
    sp->committer->round.extras_failed = r < 0;
    return r;
}

static int commit(struct spool *sp)
{
    int r = store_commit(sp->store);
    if (r < 0)
        sp->committer->stale_log = true;
    return r;
}

/* `extras`: the backlog and the chunks of discarded bodies, besides the jobs. */
static int transact(struct spool *sp, struct job **jobs, size_t n, bool extras)
{
    struct round *round = &sp->committer->round;
    round_start(sp);
    sp->committer->claim_at_ms = 0;
    int r = store_begin(sp->store);
    round->begun = r == 0;
    if (r == 0)
        r = apply_all(sp, jobs, n, extras);
    if (r == 0)
        r = commit(sp);
    if (r == 0) {
        round_keep(sp);
        return 0;
    }
    (void)snprintf(sp->committer->words, sizeof(sp->committer->words), "%s",
                   db_words(store_db(sp->store)));
    store_rollback(sp->store);
    round_undo(round);
    return r;
}

/* ---- one group ---- */

/* A commit that failed while syncing may stand whole in the log, and would come back to life should the power fail
 * before the next one overwrites it.  So it is overwritten before its clients are told (I2). */
static void scrub(struct spool *sp)
{
    struct committer *c = sp->committer;
    if (!c->stale_log)
        return;
    if (store_scrub(sp->store) == 0)
        c->stale_log = false;
    else
        c->keep_again_ms = clock_monotonic_ms() + AGAIN_MS;
    store_rollback(sp->store);
}

/* Said once when trouble begins or changes, and once when it ends; `detail` may be NULL. */
static void note_health(struct spool *sp, int error, const char *detail)
{
    struct committer *c = sp->committer;
    if (error == c->health)
        return;
    c->health = error;
    struct log_line l;
    log_begin(&l, error ? LOG_LEVEL_ERROR : LOG_LEVEL_NOTICE,
              error ? "spool-trouble" : "spool-recovered");
    log_text(&l, "database", sp->path);
    if (error) {
        log_text(&l, "error", strerror(-error));
        log_text(&l, "detail", detail);
    }
    log_end(&l);
}

/* What settles a job may free it. */
static void settle(struct spool *sp, struct job *j, int error)
{
    if (error)
        j->error = error;
    j->ops->settle(sp, j);
}

/* Each job alone; its error tells of itself and no other. */
static void run_alone(struct spool *sp, struct job **jobs, size_t n)
{
    int closed = 0; /* no transaction can be begun: no use in asking again for each */
    for (size_t i = 0; i < n; i++) {
        int r = closed ? closed : transact(sp, &jobs[i], 1, false);
        if (r < 0 && !sp->committer->round.begun)
            closed = r;
        if (r < 0)
            scrub(sp);
        settle(sp, jobs[i], r);
    }
}

/* Clients are told at MAIL as long as there is none. */
static int look_for_room(struct spool *sp)
{
    int room = store_room(sp->store, sp->min_free_bytes, sp->committer->words);
    atomic_store(&sp->full, room == -ENOSPC);
    return room;
}

/* Takes out of the group what cannot be accepted now (I5); returns how many stay. */
static size_t refuse_without_room(struct spool *sp, struct job **jobs, size_t n, int *ret_room)
{
    *ret_room = look_for_room(sp);
    if (*ret_room == 0)
        return n;
    size_t stay = 0;
    for (size_t i = 0; i < n; i++) {
        if (jobs[i]->ops->accepts)
            settle(sp, jobs[i], *ret_room);
        else
            jobs[stay++] = jobs[i];
    }
    return stay;
}

static bool any_accepts(struct job **jobs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (jobs[i]->ops->accepts)
            return true;
    }
    return false;
}

static void settle_all(struct spool *sp, struct job **jobs, size_t n, int error)
{
    for (size_t i = 0; i < n; i++)
        settle(sp, jobs[i], error);
}

/* Is there work without jobs? */
static bool has_extras(const struct spool *sp)
{
    const struct committer *c = sp->committer;
    if (clock_monotonic_ms() < c->extras_not_before_ms)
        return false;
    return c->n_trash > 0 || c->next_due_ms <= clock_wall_ms();
}

/* The first error of the group, after everything was settled one way or the other. */
static int try_group(struct spool *sp, struct job **jobs, size_t n)
{
    struct committer *c = sp->committer;
    bool extras = has_extras(sp);
    if (n == 0 && !extras)
        return 0;
    int first = transact(sp, jobs, n, extras);
    int r = first;
    if (r < 0 && c->round.extras_failed) {
        c->extras_not_before_ms = clock_monotonic_ms() + EXTRAS_AGAIN_MS;
        r = transact(sp, jobs, n, false);
    }
    if (r == 0 || !c->round.begun) {
        settle_all(sp, jobs, n, r);
    } else {
        scrub(sp);
        run_alone(sp, jobs, n);
    }
    return first;
}

static void run_group(struct spool *sp, struct job **jobs, size_t n)
{
    int room = 0;
    bool accepts = any_accepts(jobs, n);
    if (accepts)
        n = refuse_without_room(sp, jobs, n, &room);
    int r = try_group(sp, jobs, n);
    if (accepts || r < 0) /* results alone say nothing about room */
        note_health(sp, r < 0 ? r : room, r < 0 || room == -ENOSPC ? sp->committer->words : NULL);
    outbox_flush(&sp->committer->outbox);
}

/* ---- the thread ---- */

/* Refused at MAIL nobody commits: so it is here that room is seen to go, by others' doing, and to come back. */
static void poll_room(struct spool *sp)
{
    bool was_full = atomic_load(&sp->full);
    int room = look_for_room(sp);
    if (room == -ENOSPC)
        note_health(sp, room, sp->committer->words);
    else if (room == 0 && was_full)
        note_health(sp, 0, NULL);
}

/* What `postern queue` did is seen here. */
static void poll_others(struct spool *sp)
{
    struct committer *c = sp->committer;
    int64_t now = clock_monotonic_ms();
    if (now < c->poll_at_ms)
        return;
    c->poll_at_ms = now + POLL_MS;
    bool changed = false;
    if (store_changed_by_others(sp->store, &changed) == 0 && changed)
        c->next_due_ms = 0;
    poll_room(sp);
}

static void recover_from_trouble(struct spool *sp)
{
    struct committer *c = sp->committer;
    if ((c->n_kept == 0 && !c->stale_log) || clock_monotonic_ms() < c->keep_again_ms)
        return;
    scrub(sp);
    try_kept_again(sp);
}

/* Nothing is claimed while nobody runs. */
static void last_words(struct spool *sp)
{
    scrub(sp);
    if (store_unclaim_all(sp->store) < 0)
        store_rollback(sp->store); /* the next start does it */
}

static void *committer_main(void *arg)
{
    struct spool *sp = arg;
    struct job *group[GROUP_JOBS];
    size_t n = 0;
    bool retried = false;
    for (;;) {
        bool more = next_group(sp, group, &n);
        if (!more && (sp->committer->n_kept == 0 || retried))
            break;
        if (!more) {
            retried = true;
            try_kept_again(sp);
            continue;
        }
        poll_others(sp);
        recover_from_trouble(sp);
        run_group(sp, group, n);
        checkpoint_consider(sp);
    }
    last_words(sp);
    return NULL;
}

int committer_start(struct spool *sp)
{
    struct committer *c = xcalloc(1, sizeof(*c));
    c->kept_tail = &c->kept;
    sp->committer = c;
    int e = pthread_create(&c->thread, NULL, committer_main, sp);
    if (e) {
        sp->committer = NULL;
        free(c);
        return -e;
    }
    (void)pthread_setname_np(c->thread, "spool-commit");
    return 0;
}

/* Results that could not be stored to the very end are forgotten: their recipients stay and are tried again,
 * as after a crash (I3). */
void committer_stop(struct spool *sp)
{
    struct committer *c = sp->committer;
    if (!c)
        return;
    (void)pthread_mutex_lock(&sp->lock);
    sp->stopping = true;
    (void)pthread_cond_signal(&sp->work);
    (void)pthread_mutex_unlock(&sp->lock);
    (void)pthread_join(c->thread, NULL);
    (void)pthread_mutex_lock(&sp->lock);
    sp->closing = true; /* nothing is kept any more */
    (void)pthread_mutex_unlock(&sp->lock);
    while (c->kept) {
        struct job *j = c->kept;
        c->kept = j->next;
        j->ops->settle(sp, j);
    }
    outbox_flush(&c->outbox);
    sp->committer = NULL;
    free(c);
}
