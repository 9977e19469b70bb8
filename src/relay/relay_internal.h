/* relay_internal.h - what the files of this folder share.
 *
 *   message from the spool -> job -> one delivery for each next hop -> outcomes -> job -> report -> spool
 *
 * Everything runs on the relay's loop, except the Maildir writer's thread.  A job lives until all its deliveries
 * have ended and the spool has been told; a delivery is with its job, in the queue of a hop, or with
 * one connection.
 *
 * R1  Each target of a job gets exactly one fate.
 * R2  A job tells the spool exactly once: results and their report together (I4), or that it gives back.
 * R3  One credit is given back for each job that ended.
 */
#ifndef POSTERN_RELAY_INTERNAL_H
#define POSTERN_RELAY_INTERNAL_H

#include "base/arena.h"
#include "base/log.h"
#include "base/watch.h"
#include "link/link.h"
#include "message/dsn.h"
#include "relay/maildir.h"
#include "relay/papers.h"
#include "relay/relay.h"
#include "relay/retry.h"
#include "relay/routes.h"

#include <pthread.h>

#define HOP_LABEL_MAX 300
#define HOP_WHY_MAX 512

struct conn;
struct hop;
struct job;

struct relay {
    const struct relay_config *cfg; /* borrowed */
    struct retry_policy retry;
    struct spool *spool;
    struct loop *loop;
    pthread_t thread;
    pthread_mutex_t papers_lock; /* of the hops' papers: another thread puts new ones there */
    struct routes routes;
    struct hop *hops; /* one for each different next hop */
    size_t n_hops;
    struct hop **hop_of; /* parallel to cfg->routes */
    struct maildir_writer *maildirs;
    uint64_t random;
    unsigned deliveries_max;
    unsigned n_jobs, n_conns;
    unsigned credit_due;    /* jobs that ended in this turn (R3) */
    struct loop_task credit_task;
    bool credit_posted;
    bool stopping;
    struct loop_task stop_task;
    struct loop_timer *grace, *look;
    int64_t grace_ms;
};

uint64_t relay_random(struct relay *r);
/* Looks whether a stopping relay has come to rest. */
void relay_check_rest(struct relay *r);
/* A job has ended (R3). */
void relay_give_credit(struct relay *r);

/* ---- job.c ---- */

/* Whom the outcome came from, for the log and the report; strings are valid during the call. */
struct via {
    const char *peer;     /* numeric address; NULL: nobody was asked */
    const char *tls;      /* version; NULL: none */
    const char *cipher;
    const char *sequence; /* of the login; NULL: none */
    bool reports;         /* the next hop promised to send reports itself (it offers DSN) */
    bool deadlines;       /* and to keep a deadline (DELIVERBY) */
    bool login;           /* we are meant to log in: a refusal for want of it is not the message's fault */
};

struct fate {
    bool decided;
    enum spool_outcome outcome;
    enum dsn_action action; /* what a report would say */
    bool is_passed;         /* delivered to a hop that reports from here on */
    bool is_deadline_lost;  /* and to one that knows no deadlines */
    bool is_reported;       /* in the report that is being made */
    bool waits_as_usual;    /* when deferred: for what the retry policy says; results has a "not before" until then */
    char status[12];        /* "5.1.1" */
    const char *reply;      /* one line, in the job's arena; NULL when nobody will ask */
    const char *remote;     /* host of the next hop; NULL: ourselves */
};

/* One attempt for one next hop, for some of a job's targets. */
struct delivery {
    struct delivery *next;    /* in the hop's queue */
    struct job *job;
    struct hop *hop;
    const size_t *targets;    /* which of the message's, parallel to msg.recipients */
    struct smtp_client_message msg;
    int64_t begun_ms;         /* monotonic */
    bool asked;               /* by a person, for now */
    bool again;               /* was taken back once already */
    bool touched;             /* a recipient has its fate */
    bool converts;            /* to 7-bit, for the server that it is given to */
};

struct job {
    struct relay *relay;
    struct spool_message *m;
    struct arena arena;
    struct spool_result *results; /* parallel to m->targets, as are fates */
    struct fate *fates;
    struct delivery *deliveries;
    size_t n_deliveries;
    size_t running;  /* deliveries not ended, and one while the job is being set up */
    size_t decided;  /* fates; with none the message can be given back untouched */
    const char *report_to; /* while a report is made */
};

/* When the sender gave it, or wanted it to go: its age counts from there. */
int64_t job_begin_ms(const struct job *job);
/* Before a delivery is sent: what of it changes with time, and with whom it is sent to.  False: it must not be sent any more, for the reason given. */
bool delivery_prepare(struct delivery *d, const struct smtp_capabilities *caps, struct smtp_outcome *ret_why);
/* Takes the message. */
void job_start(struct relay *r, struct spool_message *m);
/* The outcome of recipient i of the delivery (R1). */
void delivery_outcome(struct delivery *d, size_t i, const struct smtp_outcome *o, const struct via *via);
/* The same outcome, made by us, for all that have none.  retry_ms: not before (wall clock); 0: as usual. */
void delivery_defer(struct delivery *d, const char *enhanced, const char *text, int64_t retry_ms);
/* Nothing was tried, for the reason in `text` (static), and will not be before `when_ms`. */
void delivery_defer_soon(struct delivery *d, const char *text, int64_t when_ms);
/* The delivery has ended; those without outcome are deferred. */
void delivery_done(struct delivery *d);
/* Nothing was tried, and nothing will be: shutdown. */
void delivery_give_back(struct delivery *d);

/* ---- report.c ---- */

/* Does the job, all fates decided, owe anybody a report?  Sets report_to, and delay_reported in the results. */
bool report_is_due(struct job *job);
/* Makes it; done(job, draft) follows, maybe at once; a NULL draft: it could not be made. */
void report_make(struct job *job, void (*done)(struct job *job, struct spool_draft *report));

/* ---- hop.c ---- */

struct hop {
    struct relay *relay;
    const struct route_config *route;
    char label[HOP_LABEL_MAX]; /* "smtp:mail.example.net:25", for the log */
    struct papers papers;      /* under the relay's papers_lock */
    bool has_tls;
    struct watch files;        /* they were made of; of the thread that started the relay */
    struct smtp_client_config client;
    struct delivery *queue, **queue_end;
    size_t n_queued;
    struct conn *conns;
    unsigned n_conns, n_up; /* all; those that have been ready once */
    unsigned conns_max;
    /* The last trouble; times are monotonic. */
    unsigned failures;
    int64_t failed_ms;        /* the last failure */
    int64_t down_until_ms;    /* nothing is tried before */
    int64_t no_more_until_ms; /* no connection beside those that work before */
    int64_t clear_until_ms; /* TLS fails here: opportunistic goes without */
    struct retry_pace pace; /* of deliveries it was too busy for */
    bool warned; /* that our certificate can be read on the way to it */
    char why[HOP_WHY_MAX];
};

MUST_USE int hop_init(struct hop *h, struct relay *r, const struct route_config *route, char *why);
void hop_done(struct hop *h);
/* They may be renewed; a copy for the caller. */
struct papers hop_papers(struct hop *h);
void hop_refresh(struct hop *h, bool all, unsigned *loaded, unsigned *failed);
/* Takes the delivery: at once, later, or never. */
void hop_deliver(struct hop *h, struct delivery *d);
/* Takes back what is waiting: shutdown. */
void hop_stop(struct hop *h);

/* For conn.c. */
struct delivery *hop_next(struct hop *h);         /* off the queue; NULL: nothing waits */
void hop_again(struct hop *h, struct delivery *d); /* back to its head */
void hop_is_up(struct hop *h);
void hop_warn(struct hop *h, const char *warning); /* of what link_certificate_warning() says; NULL: nothing */
void hop_goes_clear(struct hop *h, const char *why); /* TLS fails here, and the route allows to go on without */
/* A connection has ended.  why != NULL: it never was of any use, or is no more. */
void hop_lost(struct hop *h, const char *why);
void hop_spread(struct hop *h); /* gives waiting deliveries to idle and new connections */

/* ---- conn.c ---- */

void conn_open(struct hop *h);
bool conn_is_idle(const struct conn *c);
struct conn *conn_next(const struct conn *c); /* of the same hop */
void conn_give(struct conn *c, struct delivery *d);
void conn_quit(struct conn *c);  /* when it has no delivery any more */
void conn_abort(struct conn *c); /* now */

/* ---- mailbox.c: delivery to Maildirs ---- */

void mailbox_deliver(struct delivery *d);

#endif
