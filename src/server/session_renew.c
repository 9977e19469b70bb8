/* An open session and what was loaded since it began: its certificate is judged again as everything is now (EDG-18). */
#include "server/session_internal.h"

#include <stdio.h>

static bool names_the_same(const struct cert_verdict *a, const struct cert_verdict *b)
{
    if (a->n_identities != b->n_identities)
        return false;
    for (size_t i = 0; i < a->n_identities; i++)
        if (strcmp(a->identities[i], b->identities[i]) != 0)
            return false;
    return true;
}

/* Whoever logged in by a certificate is not silently somebody else, nor goes on as who the certificate no longer names. */
static void refuse_other_names(struct session *s, const struct cert_verdict *before)
{
    bool by_certificate = s->history == AUTH_EXPLICIT || s->history == AUTH_IMPLICIT ||
                          s->endpoint->cfg->need == NEED_BOTH;
    bool good = s->verdict.outcome == CERT_ACCEPTABLE || s->verdict.outcome == CERT_AMBIGUOUS;
    if (!by_certificate || !good || names_the_same(before, &s->verdict))
        return;
    s->verdict.outcome = CERT_UNMAPPED;
    s->verdict.cause = CERT_CAUSE_NO_IDENTITY;
    (void)snprintf(s->verdict.reason, sizeof(s->verdict.reason),
                   "client certificate names another identity now");
}

/* While a responder is being asked the verdict of before holds, and the next command asks again. */
static bool judge_again(struct session *s)
{
    struct cert_verdict before = s->verdict;
    s->verdict = (struct cert_verdict){0};
    credentials_judge(s->credentials, s->leaf, NULL, &s->verdict);
    if (s->verdict.cause == CERT_CAUSE_PENDING) {
        cert_verdict_done(&s->verdict);
        s->verdict = before;
        return false;
    }
    refuse_other_names(s, &before);
    if (before.outcome != s->verdict.outcome || before.cause != s->verdict.cause)
        session_log_judged_again(s);
    cert_verdict_done(&before);
    return true;
}

void session_renew(struct session *s)
{
    unsigned now = atomic_load(&s->endpoint->generation);
    if (now == s->generation)
        return;
    credentials_unref(s->credentials);
    s->credentials = endpoint_credentials(s->endpoint);
    /* A proxy's word stands for its connection, a certificate that it has handed over does not. */
    bool is_word = s->xclient || (s->proxy && !s->leaf);
    if (!smtp_server_is_secure(s->engine) || is_word || judge_again(s))
        s->generation = now;
}
