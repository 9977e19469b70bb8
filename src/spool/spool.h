/* spool.h - the durable queue.
 *
 * A message is ours from the moment the callback of spool_commit() reports 0: from then on a crash may cost a
 * second delivery, never a loss.  docs/QUEUE.md states the invariants I1 to I5, the table of states and
 * what each crash leaves behind.
 *
 * Threads   A committer thread owns the writing connection and turns everything that waits (chunks of large
 *           bodies, commits, results, claims) into one transaction: one fsync serves many messages.  A reader
 *           thread owns a reading connection for bodies that are not in memory.  Every function here only
 *           queues work and returns; callbacks run on the loop named in the call, never inside the call.
 * Owns      the database file and its -wal, -shm and -lock; `postern queue` opens the same file beside us, and the
 *           committer notices its changes within a second.
 * Fails     -errno; -ENOSPC and -EDQUOT mean "later": 452, nothing accepted, nothing lost (I5).  The log says
 *           once when trouble begins and once when it ends, as nobody is told of results that have to wait.
 */
#ifndef POSTERN_SPOOL_H
#define POSTERN_SPOOL_H

#include "base/buf.h"
#include "net/loop.h"

struct spool;

/* A call on its way to a loop.  For the spool's own use. */
struct spool_call {
    struct spool_call *next;
    void (*run)(struct spool_call *c, bool open);
};

#define SPOOL_WHY_MAX 256
#define SPOOL_QUEUE_ID_MAX 20                /* text form of an id, NUL included */
#define SPOOL_CHUNK ((size_t)64 * 1024)      /* a body is stored in pieces of this size */
#define SPOOL_DRAFT_MAX ((size_t)192 * 1024) /* of one draft in memory, at most */

struct spool_config {
    const char *database;   /* path of the SQLite file */
    int64_t min_free_bytes; /* below this much free space commits fail with -ENOSPC; 0: 16 MiB */
    int64_t max_bytes;      /* the database may not grow beyond; 0: no limit of its own */
};

/* Opens, creates or upgrades; takes back what a crash left (drafts without commit go, claims end). */
MUST_USE int spool_open(const struct spool_config *cfg, struct spool **ret, char *why);
/* Commits what was queued before, then stops the threads.  No callback after it returns.  NULL is fine. */
void spool_close(struct spool *sp);
/* No callback on this loop any more; offers it did not get to are given back.  On the loop's own thread, or when
 * that has ended; needed before a loop is freed that the spool was used from, unless the spool is closed first. */
void spool_detach(struct spool *sp, struct loop *l);

/* ---- accepting: a draft becomes a message ---- */

enum spool_body { SPOOL_BODY_7BIT, SPOOL_BODY_8BITMIME, SPOOL_BODY_BINARYMIME };
enum spool_notify {
    SPOOL_NOTIFY_NEVER = 1,
    SPOOL_NOTIFY_SUCCESS = 2,
    SPOOL_NOTIFY_FAILURE = 4,
    SPOOL_NOTIFY_DELAY = 8
};

/* What the sender asks of TLS on the way (RFC 8689). */
enum spool_tls { SPOOL_TLS_USUAL, SPOOL_TLS_REQUIRED, SPOOL_TLS_OPTIONAL };

struct spool_envelope {
    const char *reverse_path; /* without <>; "" is the null reverse-path */
    const char *identity;     /* authenticated as; NULL: nobody (relay peer, or our own report) */
    const char *session;      /* id of the session that brought it; NULL: our own report */
    const char *auth;         /* MAIL AUTH= mailbox, "<>" , or NULL when absent (RFC 4954 5) */
    const char *envid;        /* RFC 3461 4.4, as received, NULL: none */
    char ret;                 /* 'F' full, 'H' headers, 0: not said (RFC 3461 4.3) */
    enum spool_body body;
    bool smtputf8;
    int64_t received_ms; /* wall clock */
    int64_t release_ms;  /* not delivered before; 0: at once (RFC 4865) */
    int64_t deliver_by_ms; /* the deadline, wall clock, with by_mode (RFC 2852) */
    char by_mode;          /* 'R': return it when late, 'N': tell, 0: there is none */
    bool by_trace;
    int priority;            /* -9 to 9: what is due goes out in this order, the greatest first (RFC 6710) */
    enum spool_tls tls;
};

struct spool_recipient {
    const char *address; /* forward-path without <> */
    const char *orcpt;   /* RFC 3461 4.2 as received, NULL: none */
    unsigned notify;     /* set of spool_notify; 0: not said */
};

/* Would a message be refused for want of room now, as of a second ago at most?  To be told before it is sent in vain
 * (RFC 1870 6.1); what spool_commit() says later is what counts. */
bool spool_has_room(const struct spool *sp);

struct spool_draft;

/* The id is known at once, so that the Received field can name it. */
struct spool_draft *spool_begin(struct spool *sp, struct loop *l);
const char *spool_draft_id(const struct spool_draft *d);

/* Appends to the body.  0: go on.  -EAGAIN: taken, but pause until `drained` was called, as SPOOL_DRAFT_MAX
 * would be passed (it holds when no call brings more than SPOOL_CHUNK); -ENOBUFS: not taken, you did not pause.
 * Any other error is final for the draft (a chunk could not be stored): discard it. */
MUST_USE int spool_write(struct spool_draft *d, const void *data, size_t len);
void spool_on_drained(struct spool_draft *d, void (*drained)(void *arg, int error), void *arg);

/* Takes *d whatever happens and sets it to NULL; copies envelope and recipients; done() gets 0 once the
 * message is durable (I1), else -errno and the message does not exist (I2).  The committer offers it to the relay.
 * done may be NULL. */
void spool_commit(struct spool_draft **d,
                  const struct spool_envelope *env,
                  const struct spool_recipient *recipients,
                  size_t n_recipients,
                  void (*done)(void *arg, int error),
                  void *arg);
/* Takes *d and sets it to NULL; what was stored of it goes.  NULL is fine. */
void spool_discard(struct spool_draft **d);

/* A body somebody has already. */
struct spool_source {
    int64_t size;
    /* Up to `max` octets from `offset`, or -errno. */
    ssize_t (*read)(void *arg, int64_t offset, char *to, size_t max);
    void *arg;
};

/* One message into a spool that need not be open, nor exist, and may be in the hands of another process: on 0 it is
 * durable (I1), else nothing of it is there (I2).  It is due at once.  Blocks. */
MUST_USE int spool_deposit(const char *database,
                           const struct spool_envelope *env,
                           const struct spool_recipient *recipients,
                           size_t n_recipients,
                           const struct spool_source *source,
                           char ret_id[SPOOL_QUEUE_ID_MAX],
                           char *why);

/* ---- delivering: a message is claimed, attempted, and finished ---- */

struct spool_target { /* one recipient that is due */
    int64_t row;
    char *address, *orcpt;
    unsigned notify;
    unsigned attempts; /* made so far */
    bool delay_reported;
    bool asked; /* by `postern queue flush`: to be tried now, whatever is remembered of the next hop */
};

/* Everything needed to attempt delivery; owned by the receiver, freed by spool_finish(). */
struct spool_message {
    int64_t id;
    char queue_id[SPOOL_QUEUE_ID_MAX];
    struct spool_envelope envelope; /* strings owned by the message */
    int64_t size;                   /* octets of the body */
    struct spool_target *targets;
    size_t n_targets;
    struct str body; /* whole up to SPOOL_CHUNK octets, else {NULL, 0}: spool_read() */
};

/* Offers messages to the relay, at most as many as there is credit for.  What finds no credit stays in the
 * database and is claimed later, by priority, and of the same priority the longest due first.  Fresh messages come with their body in memory. */
void spool_attach(struct spool *sp,
                  struct loop *l,
                  void (*offer)(void *arg, struct spool_message *m),
                  void *arg);
void spool_credit(struct spool *sp, unsigned more);

/* Up to SPOOL_CHUNK octets from `offset`; got() runs on the relay's loop; data is valid during the call. */
struct spool_read {
    int64_t id, offset;
    /* `data` is empty at the end of the body. */
    void (*got)(struct spool_read *rd, int error, struct str data);

    struct spool_call call; /* from here on for the spool's use */
    struct spool *spool;
    struct buf data;
    int error;
};
/* rd must stay until got() was called, which may free it or read on with it.  -ENOENT: the message was deleted. */
void spool_read(struct spool *sp, struct spool_read *rd);

enum spool_outcome {
    SPOOL_DELIVERED,
    SPOOL_DEFERRED,
    SPOOL_FAILED, /* gone: its report, if one is due, comes with the results */
    SPOOL_HELD,   /* kept, and not attempted until somebody releases it */
};

struct spool_result { /* parallel to message->targets */
    enum spool_outcome outcome;
    int64_t retry_ms;       /* wall clock, with SPOOL_DEFERRED */
    const char *last_reply; /* one line for `postern queue show`, copied; NULL: none */
    bool delay_reported;    /* remember that the sender was told */
};

/* Stores the outcome and frees the message.  `report`, when given, is a DSN that is committed in the same
 * transaction as the results it tells of (I4), to `report_to`. Takes *report. */
void spool_finish(struct spool *sp,
                  struct spool_message *m,
                  const struct spool_result *results,
                  struct spool_draft **report,
                  const char *report_to);
/* Gives a message back untouched: due again at once (shutdown). */
void spool_unclaim(struct spool *sp, struct spool_message *m);

/* ---- looking and steering: `postern queue`, from any process ---- */

struct spool_admin;
MUST_USE int
spool_admin_open(const char *database, bool write, struct spool_admin **ret, char *why);
void spool_admin_close(struct spool_admin *a);

enum spool_state { SPOOL_STATE_DUE, SPOOL_STATE_ACTIVE, SPOOL_STATE_DEFERRED, SPOOL_STATE_HELD };
struct spool_row { /* one recipient as listed; strings valid during the callback */
    const char *queue_id, *reverse_path, *identity, *session, *address, *last_reply;
    int64_t size, received_ms, next_attempt_ms;
    int64_t release_ms, deliver_by_ms; /* 0: none */
    char by_mode;
    int priority;
    enum spool_tls tls;
    unsigned attempts;
    enum spool_state state;
};
/* queue_id NULL: all. The callback returns false to stop. */
MUST_USE int spool_admin_list(struct spool_admin *a,
                              const char *queue_id,
                              bool (*row)(void *arg, const struct spool_row *r),
                              void *arg);
MUST_USE int spool_admin_body(struct spool_admin *a,
                              const char *queue_id,
                              bool (*piece)(void *arg, struct str data),
                              void *arg);

enum spool_action { SPOOL_FLUSH, SPOOL_HOLD, SPOOL_RELEASE, SPOOL_DELETE };
/* queue_id NULL: all.  *ret_changed counts recipients. */
MUST_USE int spool_admin_apply(struct spool_admin *a,
                               enum spool_action action,
                               const char *queue_id,
                               int64_t *ret_changed);

struct spool_stats {
    int64_t messages, recipients, due, active, deferred, held, bytes, oldest_ms;
};
MUST_USE int spool_admin_stats(struct spool_admin *a, struct spool_stats *ret);

#endif
