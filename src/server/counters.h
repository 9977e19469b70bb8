/* counters.h - what happened on one listener since the start, for the metrics page.
 *
 * Any thread counts; reading sees each number as of some moment near now, not all of them of the same.
 */
#ifndef POSTERN_COUNTERS_H
#define POSTERN_COUNTERS_H

#include "base/buf.h"
#include "cert/verdict.h"

#include <stdatomic.h>

enum counter {
    COUNT_CONNECTIONS,
    COUNT_CONNECTIONS_OVER,        /* turned away: the listener's limit */
    COUNT_CONNECTIONS_CLIENT_OVER, /* turned away: the client's limit */
    COUNT_LOGIN_TIMEOUTS,
    COUNT_TLS_FULL,
    COUNT_TLS_RESUMED,
    COUNT_TLS_FAILED,
    COUNT_LOGIN_EXPLICIT, /* AUTH EXTERNAL */
    COUNT_LOGIN_IMPLICIT, /* MAIL without AUTH */
    COUNT_LOGIN_OTHER,    /* a password, or a proxy's word */
    COUNT_LOGIN_REFUSED,  /* AUTH that failed */
    COUNT_IMPLICIT_REFUSED, /* MAIL without AUTH, with a certificate, answered "Authentication required" */
    COUNT_WORKAROUNDS,
    COUNT_DISOWNED, /* open sessions ended because their client is not welcome any more (EDG-18) */
    COUNT_MESSAGES,
    COUNT_RECIPIENTS,
    COUNT_REFUSED_4YZ,
    COUNT_REFUSED_5YZ,
    COUNTERS,
};

#define COUNTER_OUTCOMES (CERT_ACCEPTABLE + 1)
#define COUNTER_CAUSES (CERT_CAUSE_LOCAL + 1)

struct counters {
    atomic_ullong n[COUNTERS];
    atomic_ullong verdicts[COUNTER_OUTCOMES][COUNTER_CAUSES];
};

void counters_add(struct counters *c, enum counter which, unsigned n);
void counters_add_verdict(struct counters *c, const struct cert_verdict *v);

struct counters_of { /* one listener */
    const char *listener;
    const char *certificate_auth;
    struct counters *counters;
    unsigned sessions; /* open now */
};

/* Appends the Prometheus text format, version 0.0.4; -EMSGSIZE when it does not fit. */
MUST_USE int counters_print(const struct counters_of *list, size_t n, struct buf *out);

#endif
