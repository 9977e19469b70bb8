#include "cert/verdict.h"

static const char *const outcome_names[] = {
    [CERT_NONE] = "none",
    [CERT_UNACCEPTABLE] = "unacceptable",
    [CERT_UNMAPPED] = "unmapped",
    [CERT_AMBIGUOUS] = "ambiguous",
    [CERT_ACCEPTABLE] = "acceptable",
};

static const char *const cause_names[] = {
    [CERT_CAUSE_NONE] = "none",
    [CERT_CAUSE_EXPIRED] = "expired",
    [CERT_CAUSE_NOT_YET_VALID] = "not-yet-valid",
    [CERT_CAUSE_UNKNOWN_CA] = "unknown-ca",
    [CERT_CAUSE_REVOKED] = "revoked",
    [CERT_CAUSE_REVOCATION_UNKNOWN] = "revocation-unknown",
    [CERT_CAUSE_PURPOSE] = "purpose",
    [CERT_CAUSE_WEAK] = "weak",
    [CERT_CAUSE_BAD_PATH] = "bad-path",
    [CERT_CAUSE_NO_IDENTITY] = "no-identity",
    [CERT_CAUSE_SEVERAL_IDENTITIES] = "several-identities",
    [CERT_CAUSE_NO_OCSP_ANSWER] = "no-ocsp-answer",
    [CERT_CAUSE_PENDING] = "pending",
    [CERT_CAUSE_LOCAL] = "local",
};

const char *cert_outcome_name(enum cert_outcome o)
{
    return (size_t)o < ARRAY_LEN(outcome_names) ? outcome_names[o] : "?";
}

const char *cert_cause_name(enum cert_cause c)
{
    return (size_t)c < ARRAY_LEN(cause_names) ? cause_names[c] : "?";
}

void cert_verdict_done(struct cert_verdict *v)
{
    for (size_t i = 0; i < v->n_identities; i++)
        free(v->identities[i]);
    free(v->subject);
    *v = (struct cert_verdict){.outcome = CERT_NONE};
}
