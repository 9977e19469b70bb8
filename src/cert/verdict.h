/* verdict.h - what we think of the certificate a client presented: a plain value.
 *
 * No TLS header here: the policy (auth/policy.h) and its tests read verdicts without OpenSSL.
 */
#ifndef POSTERN_VERDICT_H
#define POSTERN_VERDICT_H

#include "base/base.h"

enum cert_outcome {
    CERT_NONE,         /* no certificate was presented */
    CERT_UNACCEPTABLE, /* not valid here: reason says why */
    CERT_UNMAPPED,     /* valid, but no identity rule fits: reason says so */
    CERT_AMBIGUOUS,    /* several identities fit: an authzid must choose (EDG-02) */
    CERT_ACCEPTABLE,   /* exactly one identity */
};

#define CERT_IDENTITIES_MAX 16
#define CERT_IDENTITY_MAX 320 /* octets: 64 + "@" + 255 */

struct cert_verdict {
    enum cert_outcome outcome;
    /* For the reply, the log and `postern cert explain`: "client certificate expired 2026-10-01".  Speaks of the
     * certificate only, never of other users.  "" with CERT_NONE and CERT_ACCEPTABLE. */
    char reason[160];
    size_t n_identities; /* 1 with CERT_ACCEPTABLE, 2 and more with CERT_AMBIGUOUS, else 0 */
    char *identities[CERT_IDENTITIES_MAX]; /* owned, UTF-8 without control characters, never empty */
    char rule[64];                         /* name of the identity rule that fitted, "" when none */
    char trust[64];                        /* name of the trust block the chain ended in, "" when none */
    char fingerprint[65];                  /* SHA-256 of the certificate, lower-case hex; "" with CERT_NONE */
    char *subject;                         /* owned, one line, for the log; NULL with CERT_NONE */
    int64_t not_after_ms;                  /* wall clock; 0 with CERT_NONE (EDG-18: looked at again at each MAIL) */
};

const char *cert_outcome_name(enum cert_outcome o); /* "none", "unacceptable", ... */
void cert_verdict_done(struct cert_verdict *v);     /* frees and empties to CERT_NONE */

#endif
