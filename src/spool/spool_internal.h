/* spool_internal.h - what the files of this folder share: the spool itself, and jobs for its committer.
 *
 * Locks     sp->lock guards the members under it and is never held while SQLite runs or a port is used.
 *           A port's lock may be held when sp->lock is taken, never the other way round.
 */
#ifndef POSTERN_SPOOL_INTERNAL_H
#define POSTERN_SPOOL_INTERNAL_H

#include "spool/id.h"
#include "spool/parcel.h"
#include "spool/port.h"
#include "spool/store.h"

#include <pthread.h>
#include <stdatomic.h>

struct job;

/* What the committer can be asked to do.  check() and apply() may run twice for one job, once with its group and
 * once alone, so they leave nothing behind in memory but what the second run overwrites; settle() runs once. */
struct job_ops {
    bool accepts; /* brings new octets: refused when there is no room (I5) */
    int (*check)(
        struct spool *sp,
        struct job *j); /* an error ends the job before it touches the database; may be NULL */
    int (*apply)(struct spool *sp, struct job *j); /* inside a transaction; may be NULL */
    void (*settle)(struct spool *sp,
                   struct job *j); /* j->error says what became of it; frees the job */
};

struct job {
    struct job *next;
    const struct job_ops *ops;
    size_t bytes; /* about what it adds to a transaction */
    int error;
};

struct relay_side {
    struct port *port; /* NULL: nobody attached */
    struct loop *loop;
    void (*offer)(void *arg, struct spool_message *m);
    void *arg;
};

struct committer;
struct reader;
struct checkpointer;

struct spool {
    char *path;
    int lock_fd;
    int64_t min_free_bytes;
    struct id_source ids;
    struct ports ports;
    struct store *store; /* the committer's once its thread runs */
    atomic_bool full;    /* there is no room; the committer says so */
    struct committer *committer;
    struct reader *reader;
    struct checkpointer *checkpointer;

    pthread_mutex_t lock;
    pthread_cond_t work; /* for the committer */
    struct job *jobs, **jobs_tail;
    bool sleeping; /* the committer waits on `work` */
    bool urgent;   /* some job is */
    int64_t
        soon_ms; /* when those that are due soon are due, on the monotonic clock; INT64_MAX: none */
    bool starving; /* messages are due and there was no credit */
    bool stopping; /* no new jobs are expected */
    bool closing;  /* the committer has ended: what comes back is freed and forgotten */
    unsigned credit;
    struct relay_side relay;
};

/* ---- for every file that queues jobs ---- */

/* How long a job may wait for company.  Whatever the urgency, jobs run in the order queued. */
enum urgency {
    URGENT, /* a client waits: the next group, at once */
    SOON,   /* nobody waits, but it should not lie about: within SOON_MS */
    LAZY,   /* with the next group, whenever that is */
};
void spool_queue(struct spool *sp, struct job *j, enum urgency urgency);
void spool_wake(struct spool *sp, enum urgency urgency);

/* ---- committer.c; the functions from here on are for apply() and settle(), on its thread ---- */

MUST_USE int committer_start(struct spool *sp);
void committer_stop(struct spool *sp); /* after what is queued */

/* May this fresh message go straight to the relay?  Takes one of this round's credit.  Not past those that wait with a
 * greater priority. */
bool committer_take_credit(struct spool *sp, int priority);
void committer_send(struct spool *sp, struct port *p, struct spool_call *c);
void committer_offer(struct spool *sp, struct parcel *p); /* takes the parcel */
void committer_due_at(struct spool *sp, int64_t when_ms); /* a recipient is due then */
void committer_discard_chunks(struct spool *sp, int64_t id);
void committer_keep(struct spool *sp,
                    struct job *j); /* to be tried again later: it must not be lost (I3, I4) */

/* ---- drafts inside a transaction: their own commit, and the report in a result ---- */

struct draft_commit {
    struct spool_draft *draft;
    struct parcel *parcel;
    bool claimed;
    int64_t next_ms;
};

MUST_USE int draft_prepare(struct spool_draft *d,
                           const struct spool_envelope *env,
                           const struct spool_recipient *recipients,
                           size_t n_recipients,
                           struct draft_commit *ret);
int draft_commit_check(const struct draft_commit *c);
MUST_USE int draft_commit_apply(struct spool *sp, struct draft_commit *c);
/* error 0: offers it, or notes when it is due; else its chunks go. */
void draft_commit_settle(struct spool *sp, struct draft_commit *c, int error);
/* On the committer's thread, after the settling: to its loop, where it is freed. */
void draft_come_back(struct spool *sp, struct spool_draft *d);

/* On the loop: no callback about chunks any more. */
void draft_release(struct spool_draft *d);
/* The octets of a draft that is whole in memory, else {NULL, 0}. */
struct str draft_octets(const struct spool_draft *d);

/* ---- delivery.c ---- */

void offer_run(struct spool_call *c, bool open);
bool spool_is_closing(struct spool *sp);

/* ---- reader.c, checkpoint.c ---- */

MUST_USE int reader_start(struct spool *sp, char *why);
void reader_stop(struct spool *sp);
void reader_forget(struct spool *sp); /* the relay goes: drops its reads */

MUST_USE int checkpoint_start(struct spool *sp, char *why);
void checkpoint_stop(struct spool *sp);
/* After a commit, on the committer's thread. */
void checkpoint_consider(struct spool *sp);

#endif
