/* load.h - a load upon an SMTP server, and what came of it.
 *
 * Three kinds: messages over kept connections, whole sessions one after the other (the price of a handshake), and
 * idle connections (the price of a session in memory).  A load goes through phases
 *
 *     opening -> warm-up -> running -> draining -> settling -> closing
 *
 * and only what happens in `running` counts; server CPU is read at its start, at its end, and once the queue
 * of the server is empty, which is known by the messages that reached the sink.
 * With a rate the load is open: messages are due at fixed times whether or not the server keeps up, and a late
 * start is part of the latency.
 *
 * One loop, one thread; load_run() returns when all is over.
 */
#ifndef POSTERN_LOAD_H
#define POSTERN_LOAD_H

#include "bench/histogram.h"
#include "link/link.h"
#include "bench/stamp.h"
#include "bench/usage.h"

#define LOAD_MESSAGES_MAX 100000000 /* of one run; the sink remembers two octets for each */
#define LOAD_CONNECTIONS_MAX 60000
#define LOAD_RECIPIENTS_MAX 1000
#define LOAD_FAILURES_MAX 32 /* kinds of failures kept apart */

enum load_kind { LOAD_MESSAGES, LOAD_SESSIONS, LOAD_IDLE };

struct load_result;

struct load_config { /* strings are borrowed */
    enum load_kind kind;
    struct link_config link;
    unsigned connections;    /* at once; LOAD_IDLE: opened at once */
    uint64_t count;          /* messages, sessions, or idle connections; 0: until the duration is over */
    uint64_t warm_up;        /* messages or sessions before that, not counted */
    uint64_t per_connection; /* messages; 0: as many as there are */
    int64_t duration_ms;     /* 0: until the count is reached */
    double rate;             /* messages a second; 0: as fast as it goes */
    size_t size;             /* octets of a text */
    const char *from, *to;
    unsigned recipients;
    int64_t hold_ms;        /* LOAD_IDLE: how long, once all are open */
    const char *sink;       /* address of a sink to run beside the load; NULL: none */
    int64_t drain_ms;       /* how long the sink may stay without an arrival before we stop waiting */
    const struct usage *server; /* NULL: not watched */
    void (*progress)(void *arg, const struct load_result *so_far); /* now and then; may be NULL */
    void *progress_arg;
};

struct load_failure {
    enum smtp_stage stage;
    int code;
    uint64_t count;
    char text[160]; /* of the first one */
};

struct load_result {
    const char *phase; /* what is going on, for progress */
    uint64_t wanted;
    /* connections */
    uint64_t sessions, sessions_failed, resumed, lost;
    uint64_t explicit_logins, implicit_logins;
    const char *tls_version, *tls_cipher; /* of the last one; NULL: in the clear */
    struct histogram setup;               /* connect to ready for mail */
    /* messages */
    uint64_t messages, messages_failed, recipients; /* accepted, not accepted, accepted recipients */
    struct histogram transaction;                   /* MAIL to the reply of the final dot */
    int64_t accept_us;                              /* from the first to the last */
    /* at the sink */
    uint64_t arrived, duplicates, missing, strangers; /* recipients; strangers: messages not of this run */
    struct histogram delivery;                        /* MAIL to arrival */
    int64_t empty_us;                                 /* from the first MAIL to the last arrival */
    /* idle connections */
    uint64_t held;
    struct usage_memory memory_before, memory_after;
    /* the server's CPU, -1: not known; and ours */
    int64_t cpu_accept_us, cpu_us, own_cpu_us;

    struct load_failure failures[LOAD_FAILURES_MAX];
    size_t n_failures;
    uint64_t other_failures; /* of more kinds than that */
};

#define LOAD_WHY_MAX 256

/* Fails only when the load cannot even begin; whatever the server does is in the result. */
MUST_USE int load_run(const struct load_config *cfg, struct load_result *ret, char *why);

#endif
