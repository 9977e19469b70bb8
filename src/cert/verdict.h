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

/* Why, as a word for counters and for the TLS alert; `reason` says the same to a person. */
enum cert_cause {
    CERT_CAUSE_NONE, /* CERT_NONE and CERT_ACCEPTABLE */
    CERT_CAUSE_EXPIRED,
    CERT_CAUSE_NOT_YET_VALID,
    CERT_CAUSE_UNKNOWN_CA,
    CERT_CAUSE_REVOKED,
    CERT_CAUSE_REVOCATION_UNKNOWN, /* the revocation list is stale, missing or broken */
    CERT_CAUSE_PURPOSE,            /* key usage or extended key usage */
    CERT_CAUSE_WEAK,               /* key or signature algorithm */
    CERT_CAUSE_BAD_PATH,           /* the chain breaks a rule of RFC 5280 section 6.1 */
    CERT_CAUSE_NO_IDENTITY,        /* CERT_UNMAPPED */
    CERT_CAUSE_SEVERAL_IDENTITIES, /* CERT_AMBIGUOUS */
    CERT_CAUSE_NO_OCSP_ANSWER,     /* `ocsp = hard`, and the responder gives no usable answer */
    CERT_CAUSE_PENDING,            /* a responder is being asked: judge again (ocsp.h) */
    CERT_CAUSE_LOCAL,              /* our own trouble, such as no memory */
};

#define CERT_AWAITS_LEN 32
#define CERT_REASON_MAX 160
#define CERT_IDENTITIES_MAX 16 /* of a certificate with more, the first 16 count */
#define CERT_IDENTITY_MAX 320  /* octets: 64 + "@" + 255 */

struct cert_verdict {
    enum cert_outcome outcome;
    enum cert_cause cause;
    /* For the reply, the log and `postern cert explain`: "client certificate expired 2026-10-01".
     * Printable ASCII.  Speaks of the certificate only, never of other users.  "" with CERT_NONE
     * and CERT_ACCEPTABLE. */
    char reason[CERT_REASON_MAX];
    size_t n_identities; /* 1 with CERT_ACCEPTABLE, 2 and more with CERT_AMBIGUOUS, else 0 */
    char
        *identities[CERT_IDENTITIES_MAX]; /* owned, UTF-8 without control characters, never empty */
    char rule[64];                        /* name of the identity rule that fitted, "" when none */
    char trust[64];       /* name of the trust block the chain ended in, "" when none */
    char fingerprint[65]; /* SHA-256 of the certificate, lower-case hex; "" with CERT_NONE */
    char *subject;        /* owned, one line, for the log; NULL with CERT_NONE */
    unsigned char awaits[CERT_AWAITS_LEN]; /* CERT_CAUSE_PENDING: the question, for cert_ocsp_wait() */
    int64_t not_after_ms; /* wall clock; 0 with CERT_NONE (EDG-18: looked at again at each MAIL) */
};

const char *cert_outcome_name(enum cert_outcome o); /* "none", "unacceptable", ... */
const char *cert_cause_name(enum cert_cause c);     /* "none", "expired", "unknown-ca", ... */
void cert_verdict_done(struct cert_verdict *v);     /* frees and empties to CERT_NONE */

#endif
