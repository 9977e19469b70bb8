#include "cert/cert_internal.h"

#include <openssl/x509_vfy.h>
#include <stdio.h>
#include <string.h>

/* What is known so far about the certificate in each trust block of the listener. */
enum standing { UNTRIED, INVALID, KEY_ONLY, VALID };

struct hearing {
    const struct cert_request *rq;
    enum standing *standing;     /* one a trust block */
    struct cert_problem problem; /* the most promising of those found */
};

/* That some trust block does not know the CA says nothing once another one does. */
static void hear_problem(struct hearing *h, const struct cert_problem *p)
{
    if (h->problem.cause == CERT_CAUSE_NONE ||
        (h->problem.cause == CERT_CAUSE_UNKNOWN_CA && p->cause != CERT_CAUSE_UNKNOWN_CA))
        h->problem = *p;
}

static enum standing standing_in(struct hearing *h, size_t trust)
{
    static const enum standing of_path[] = {
        [CERT_PATH_INVALID] = INVALID,
        [CERT_PATH_KEY_ONLY] = KEY_ONLY,
        [CERT_PATH_VALID] = VALID,
    };
    if (h->standing[trust] == UNTRIED) {
        struct cert_problem p;
        h->standing[trust] = of_path[cert_path_judge(h->rq, h->rq->trusts[trust], &p)];
        if (h->standing[trust] == INVALID)
            hear_problem(h, &p);
    }
    return h->standing[trust];
}

static bool rule_allows(const struct cert_rule *rule, const struct cert_trust *t)
{
    for (size_t i = 0; i < rule->n_trust; i++)
        if (strcmp(rule->trust[i], cert_trust_name(t)) == 0)
            return true;
    return rule->n_trust == 0;
}

/* Whoever holds a key can write every name into a certificate. */
static bool is_enough(enum standing s, const struct cert_rule *rule)
{
    return s == VALID || (s == KEY_ONLY && (!rule || rule->source == CERT_SOURCE_PUBLIC_KEY));
}

/* The first trust block, in the listener's order, in which the certificate is valid and for which
 * the rule (NULL: any) holds; NULL when there is none. */
static const struct cert_trust *find_trust(struct hearing *h, const struct cert_rule *rule)
{
    for (size_t i = 0; i < h->rq->n_trusts; i++)
        if ((!rule || rule_allows(rule, h->rq->trusts[i])) && is_enough(standing_in(h, i), rule))
            return h->rq->trusts[i];
    return NULL;
}

static void conclude(struct cert_verdict *v,
                     enum cert_outcome outcome,
                     enum cert_cause cause,
                     const char *reason)
{
    v->outcome = outcome;
    v->cause = cause;
    cert_say(v->reason, "%s", reason);
}

/* Says which kinds of name were looked for in vain: "has no e-mail address (subjectAltName) or URI
 * (subjectAltName)". */
struct missing {
    char kinds[CERT_REASON_MAX];
    bool saw_unusable;
    bool saw_unfit; /* a name was there that the rule makes no identity of */
    unsigned said;  /* set of enum cert_source */
};

static void miss(struct missing *m, enum cert_source source)
{
    char before[CERT_REASON_MAX];
    if (m->said & 1U << source)
        return;
    cert_say(before, "%s", m->kinds);
    cert_say(m->kinds, "%s%s%s", before, m->said ? " or " : "", cert_source_what(source));
    m->said |= 1U << source;
}

static void conclude_unmapped(const struct missing *m, struct cert_verdict *v)
{
    char reason[CERT_REASON_MAX];
    if (m->saw_unfit)
        cert_say(reason, "client certificate names nobody known here");
    else if (m->said == 0)
        cert_say(reason, "no identity is taken here from certificates of this CA");
    else
        cert_say(reason, "client certificate has no %s%s", m->saw_unusable ? "usable " : "",
                 m->kinds);
    conclude(v, CERT_UNMAPPED, CERT_CAUSE_NO_IDENTITY, reason);
}

static void
conclude_mapped(const struct cert_rule *rule, const struct cert_trust *t, struct cert_verdict *v)
{
    snprintf(v->rule, sizeof(v->rule), "%s", rule->name);
    snprintf(v->trust, sizeof(v->trust), "%s", cert_trust_name(t));
    if (v->n_identities == 1)
        conclude(v, CERT_ACCEPTABLE, CERT_CAUSE_NONE, "");
    else
        conclude(v, CERT_AMBIGUOUS, CERT_CAUSE_SEVERAL_IDENTITIES,
                 rule->source == CERT_SOURCE_SAN_EMAIL
                     ? "client certificate holds several addresses: choose one with an "
                       "authorization identity"
                     : "client certificate holds several names: choose one with an authorization "
                       "identity");
}

static void tell(const struct cert_request *rq,
                 const struct cert_rule *rule,
                 const char *value,
                 const char *fmt,
                 ...) PRINTF(4, 5);
static void tell(const struct cert_request *rq,
                 const struct cert_rule *rule,
                 const char *value,
                 const char *fmt,
                 ...)
{
    char finding[CERT_IDENTITY_MAX + CERT_REASON_MAX];
    va_list ap;
    if (!rq->trace)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(finding, sizeof(finding), fmt, ap);
    va_end(ap);
    rq->trace(rq->trace_arg, rule, value, finding);
}

/* What the rule makes of each value; true when that is at least one identity. */
static bool map_values(const struct cert_request *rq,
                       const struct cert_rule *rule,
                       const struct cert_names *values,
                       struct cert_verdict *v,
                       struct missing *missing)
{
    struct cert_names identities = {.items = v->identities};
    for (size_t i = 0; i < values->n; i++) {
        char identity[CERT_IDENTITY_MAX + 1];
        enum cert_fit fit = cert_mapping_apply(rule->mapping, values->items[i], identity);
        if (fit == CERT_FIT_YES) {
            cert_names_add(&identities, identity);
            tell(rq, rule, values->items[i], "fits: %s", identity);
            continue;
        }
        missing->saw_unusable = missing->saw_unusable || !rule->mapping;
        missing->saw_unfit = missing->saw_unfit || rule->mapping;
        tell(rq, rule, values->items[i], "%s", cert_fit_text(fit));
    }
    v->n_identities = identities.n;
    return identities.n > 0;
}

static bool
try_rule(struct hearing *h, const struct cert_rule *rule, struct cert_verdict *v, struct missing *m)
{
    const struct cert_trust *t = find_trust(h, rule);
    char *items[CERT_IDENTITIES_MAX];
    struct cert_names values = {.items = items};
    if (!t) {
        tell(h->rq, rule, NULL,
             "does not hold for the trust blocks in which the certificate is valid");
        return false;
    }
    cert_source_extract(rule, h->rq->leaf, &values);
    m->saw_unusable = m->saw_unusable || values.saw_unusable;
    if (values.n == 0)
        tell(h->rq, rule, NULL, "the certificate has no %s%s", values.saw_unusable ? "usable " : "",
             cert_source_what(rule->source));
    bool fits = map_values(h->rq, rule, &values, v, m);
    for (size_t i = 0; i < values.n; i++)
        free(items[i]);
    if (fits)
        conclude_mapped(rule, t, v);
    else
        miss(m, rule->source);
    return fits;
}

static void map_identity(struct hearing *h, struct cert_verdict *v)
{
    struct missing missing = {.said = 0};
    bool fits = false;
    for (size_t i = 0; i < h->rq->n_rules; i++) {
        if (fits)
            tell(h->rq, &h->rq->rules[i], NULL, "not looked at, as an earlier rule fits");
        else
            fits = try_rule(h, &h->rq->rules[i], v, &missing);
    }
    if (!fits)
        conclude_unmapped(&missing, v);
}

static void describe(const struct cert_request *rq, struct cert_verdict *v)
{
    cert_fingerprint(rq->leaf, v->fingerprint);
    v->subject = cert_name_line(X509_get_subject_name(rq->leaf));
    v->not_after_ms = cert_time_ms(X509_get0_notAfter(rq->leaf));
}

void cert_judge(const struct cert_request *rq, struct cert_verdict *ret)
{
    *ret = (struct cert_verdict){.outcome = CERT_NONE};
    if (!rq->leaf)
        return;
    describe(rq, ret);
    if (rq->n_trusts == 0) {
        conclude(ret, CERT_UNACCEPTABLE, CERT_CAUSE_UNKNOWN_CA,
                 "no CA of client certificates is known here");
        return;
    }
    CLEANUP(freep) enum standing *standing = xcalloc(rq->n_trusts, sizeof(*standing));
    struct hearing h = {.rq = rq, .standing = standing};
    const struct cert_trust *t = find_trust(&h, NULL);
    if (!t) {
        conclude(ret, CERT_UNACCEPTABLE, h.problem.cause, h.problem.reason);
        memcpy(ret->awaits, h.problem.awaits, sizeof(ret->awaits));
        return;
    }
    snprintf(ret->trust, sizeof(ret->trust), "%s", cert_trust_name(t));
    map_identity(&h, ret);
}

void cert_judge_told(const struct cert_rule *rules,
                     size_t n_rules,
                     enum cert_source source,
                     const char *name,
                     struct cert_verdict *v)
{
    static const struct cert_request nobody_asks = {0};
    char normal[CERT_IDENTITY_MAX + 1];
    char *items[1] = {normal};
    const struct cert_names values = {.items = items, .n = 1};
    struct missing missing = {0};
    bool usable = cert_source_normalise(source, name, normal);
    conclude(v, CERT_UNMAPPED, CERT_CAUSE_NO_IDENTITY,
             "client certificate names nobody known here");
    for (size_t i = 0; usable && i < n_rules; i++) {
        const struct cert_rule *rule = &rules[i];
        if (rule->source != source || rule->n_trust ||
            !map_values(&nobody_asks, rule, &values, v, &missing))
            continue;
        (void)snprintf(v->rule, sizeof(v->rule), "%s", rule->name);
        conclude(v, CERT_ACCEPTABLE, CERT_CAUSE_NONE, "");
        return;
    }
}

/* What libssl turns into an alert that is true: for trouble of our own a plain handshake_failure,
 * not a certificate_expired that sends the user after his own certificate (EDG-21, strict mode). */
static const int verify_codes[] = {
    [CERT_CAUSE_NONE] = X509_V_OK,
    [CERT_CAUSE_EXPIRED] = X509_V_ERR_CERT_HAS_EXPIRED,
    [CERT_CAUSE_NOT_YET_VALID] = X509_V_ERR_CERT_NOT_YET_VALID,
    [CERT_CAUSE_UNKNOWN_CA] = X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
    [CERT_CAUSE_REVOKED] = X509_V_ERR_CERT_REVOKED,
    [CERT_CAUSE_REVOCATION_UNKNOWN] = X509_V_ERR_APPLICATION_VERIFICATION,
    [CERT_CAUSE_PURPOSE] = X509_V_ERR_INVALID_PURPOSE,
    [CERT_CAUSE_WEAK] = X509_V_ERR_EE_KEY_TOO_SMALL,
    [CERT_CAUSE_BAD_PATH] = X509_V_ERR_INVALID_CA,
    [CERT_CAUSE_NO_OCSP_ANSWER] = X509_V_ERR_APPLICATION_VERIFICATION,
    [CERT_CAUSE_PENDING] = X509_V_OK, /* SMTP waits for the answer, the handshake cannot */
    [CERT_CAUSE_NO_IDENTITY] = X509_V_OK,
    [CERT_CAUSE_SEVERAL_IDENTITIES] = X509_V_OK,
    [CERT_CAUSE_LOCAL] = X509_V_ERR_APPLICATION_VERIFICATION,
};

int cert_verify_code(const struct cert_verdict *v)
{
    return v->outcome == CERT_NONE ? X509_V_ERR_APPLICATION_VERIFICATION : verify_codes[v->cause];
}
