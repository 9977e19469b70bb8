/* observer.h - a server of each kind, for a client under observation.
 *
 * One port a kind, on one loop.  Every session is recorded (observer_record.h); messages are counted and thrown away.
 * Anybody may connect: sessions, connections, times and what is kept of them are bounded, see observer.c.
 */
#ifndef POSTERN_PROBE_OBSERVER_H
#define POSTERN_PROBE_OBSERVER_H

#include "net/loop.h"
#include "probe/observer_papers.h"
#include "probe/observer_record.h"

enum observer_done {
    OBSERVER_ALL_MET, /* each kind was met, and nobody came back for a moment */
    OBSERVER_COUNT,   /* sessions_max, or OBSERVER_RECORDS_MAX */
    OBSERVER_TIMEOUT,
};

struct observer_config { /* strings and papers are borrowed for the life of the observer */
    const char *host;    /* "127.0.0.1", "[::1]", "*" */
    unsigned port;       /* 0: the kernel chooses each; otherwise this and those after it */
    bool implicit_tls;   /* TLS from the first octet; otherwise STARTTLS */
    const struct observer_kind *only; /* NULL: all of them */
    const struct papers *papers;
    unsigned sessions_max; /* done after so many; 0: when each kind was met */
    int64_t timeout_ms;    /* done by then at the latest */
    void (*told)(void *ctx, const struct record *r); /* a session is over; may be NULL */
    void (*done)(void *ctx, enum observer_done why); /* once */
    void *ctx;
};

struct observer;

#define OBSERVER_WHY_MAX 256
MUST_USE int observer_new(struct loop *l, const struct observer_config *cfg, struct observer **ret, char *why);
/* Closes the ports and ends what is open: records of those sessions are complete afterwards. */
void observer_stop(struct observer *o);
void observer_free(struct observer *o); /* NULL is fine */

int observer_port(const struct observer *o, enum observer_place kind); /* 0: not played */

#define OBSERVER_RECORDS_MAX 500
/* In the order the connections came. */
const struct record *const *observer_records(const struct observer *o, size_t *ret_n);
unsigned observer_turned_away(const struct observer *o); /* connections beyond a limit */

#endif
