#include "auth/policy.h"

#include "auth/names.h"

#include <errno.h>
#include <stdio.h>

static const char *const cert_auth_names[] = {
    [CERT_AUTH_OFF] = "off",
    [CERT_AUTH_EXPLICIT] = "explicit",
    [CERT_AUTH_IMPLICIT] = "implicit",
};

const char *cert_auth_name(enum cert_auth a)
{
    return cert_auth_names[a];
}

int cert_auth_parse(const char *word, enum cert_auth *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(cert_auth_names); i++) {
        if (strcmp(word, cert_auth_names[i]) == 0) {
            *ret = (enum cert_auth)i;
            return 0;
        }
    }
    return -EINVAL;
}

/* A rule beside the three: the certificate is one of two factors. */
#define CERT_AUTH_FACTOR (CERT_AUTH_IMPLICIT + 1)

/* ---- the table ----
 *
 * Each row: for these settings, histories and verdicts, what MAIL does.  The first row that fits
 * decides.  A verdict reached in the clear is none; one whose certificate has expired since is
 * unacceptable; one that names nobody but disabled accounts, or whom the session is authenticated
 * as if that account is, counts as DISABLED. */

#define OFF (1U << CERT_AUTH_OFF)
#define EXPLICIT (1U << CERT_AUTH_EXPLICIT)
#define IMPLICIT (1U << CERT_AUTH_IMPLICIT)
#define FACTOR (1U << CERT_AUTH_FACTOR) /* beside a password, whatever cert_auth says */
#define ANY_RULE (OFF | EXPLICIT | IMPLICIT | FACTOR)

#define UNTRIED (1U << AUTH_UNTRIED)
#define FAILED (1U << AUTH_FAILED)
#define BY_CERT (1U << AUTH_EXPLICIT | 1U << AUTH_IMPLICIT)
#define BY_OTHER (1U << AUTH_OTHER)
#define NOT_YET (UNTRIED | FAILED)

#define NONE (1U << CERT_NONE)
#define BAD (1U << CERT_UNACCEPTABLE | 1U << CERT_UNMAPPED)
#define SEVERAL (1U << CERT_AMBIGUOUS)
#define GOOD (1U << CERT_ACCEPTABLE)
#define DISABLED (1U << (CERT_ACCEPTABLE + 1))
#define ANY_CERT (NONE | BAD | SEVERAL | GOOD | DISABLED)

enum say {
    SAY_NOTHING,
    SAY_PLAIN,
    SAY_REASON,
    SAY_USE_EXTERNAL,
    SAY_AFTER_FAILURE,
    SAY_USE_PASSWORD,
    SAY_DISABLED,
    SAY_CLOSING,
    SAY_CLOSING_DISABLED,
};

/* clang-format off */
static const struct row {
    unsigned rule, history, verdict;
    enum policy_access access;
    enum say say;
} mail_rows[] = {
    /* Authenticated: the session is open (O1-04, O2-03, O3-04).  Another mechanism's identity owes the certificate
     * nothing (O2-13), unless that was one of two factors; one that came from the certificate does not outlive it, and
     * none outlives its account (EDG-18). */
    {ANY_RULE, BY_CERT | BY_OTHER, DISABLED,    POLICY_CLOSE,    SAY_CLOSING_DISABLED},
    {FACTOR,   BY_OTHER, NONE | BAD,            POLICY_CLOSE,    SAY_CLOSING},
    {ANY_RULE, BY_OTHER, ANY_CERT,              POLICY_OPEN,     SAY_NOTHING},
    {ANY_RULE, BY_CERT,  NONE | SEVERAL | GOOD, POLICY_OPEN,     SAY_NOTHING},
    {ANY_RULE, BY_CERT,  BAD,                   POLICY_CLOSE,    SAY_CLOSING},
    /* Certificates play no part on this listener (OPN-01). */
    {OFF,      NOT_YET,  ANY_CERT,              POLICY_REFUSED,  SAY_PLAIN},
    /* Nothing that could authenticate was shown: the same words under every rule (OPN-01, O3-01). */
    {ANY_RULE, NOT_YET,  NONE,                  POLICY_REFUSED,  SAY_PLAIN},
    /* One of two factors, the other is missing (CB-07). */
    {FACTOR,   NOT_YET,  SEVERAL | GOOD,        POLICY_REFUSED,  SAY_USE_PASSWORD},
    /* Shown, and no good: MAIL stays shut and says why (O1-05, O2-01, O2-07, EDG-01, EDG-02, EDG-21). */
    {ANY_RULE, NOT_YET,  BAD | SEVERAL,         POLICY_REFUSED,  SAY_REASON},
    /* Shown, and good for an account that may not submit (O2-08). */
    {ANY_RULE, NOT_YET,  DISABLED,              POLICY_REFUSED,  SAY_DISABLED},
    /* Options 1 and 3: the certificate is a credential that only AUTH EXTERNAL presents (O1-01, O1-02, O3-02). */
    {EXPLICIT, NOT_YET,  GOOD,                  POLICY_REFUSED,  SAY_USE_EXTERNAL},
    /* Option 2: MAIL stands for "AUTH EXTERNAL =" (O2-02), but not after an AUTH that failed (O2-12). */
    {IMPLICIT, UNTRIED,  GOOD,                  POLICY_IMPLICIT, SAY_NOTHING},
    {IMPLICIT, FAILED,   GOOD,                  POLICY_REFUSED,  SAY_AFTER_FAILURE},
};
/* clang-format on */

static enum cert_outcome outcome_now(const struct policy_input *in)
{
    const struct cert_verdict *v = in->verdict;
    if (!in->secure)
        return CERT_NONE;
    if ((v->outcome == CERT_ACCEPTABLE || v->outcome == CERT_AMBIGUOUS) && v->not_after_ms &&
        in->now_ms > v->not_after_ms)
        return CERT_UNACCEPTABLE;
    return v->outcome;
}

static const char *reason_now(const struct policy_input *in)
{
    if (in->verdict->reason[0])
        return in->verdict->reason;
    return outcome_now(in) == CERT_UNACCEPTABLE ? "client certificate expired"
                                                : "client certificate is not usable";
}

static unsigned rule_now(const struct policy_input *in)
{
    if (in->need == NEED_BOTH)
        return FACTOR;
    return in->need == NEED_PASSWORD ? OFF : 1U << in->cert_auth;
}

static bool is_disabled(const struct policy_input *in, struct str key)
{
    return in->disabled && in->disabled->get && key.len &&
           in->disabled->get(in->disabled->arg, key, NULL) == 0;
}

/* Under the name in the certificate, or under the one that is an alias of. */
static bool name_is_disabled(const struct policy_input *in, const char *name)
{
    CLEANUP(buf_done) struct buf canonical = BUF_INIT(CERT_IDENTITY_MAX);
    return is_disabled(in, str_of(name)) ||
           (in->authz && authz_canonical(in->authz, str_of(name), &canonical) == 0 &&
            is_disabled(in, buf_str(&canonical)));
}

/* How many of those the certificate names may not log in. */
static size_t count_disabled(const struct policy_input *in)
{
    size_t n = 0;
    for (size_t i = 0; i < in->verdict->n_identities; i++)
        n += name_is_disabled(in, in->verdict->identities[i]);
    return n;
}

static bool certificate_is_disabled(const struct policy_input *in)
{
    const struct cert_verdict *v = in->verdict;
    return in->disabled && (is_disabled(in, str_of(v->fingerprint)) ||
                            (v->n_identities && count_disabled(in) == v->n_identities));
}

/* Whom the session is authenticated as, or the certificate that made it so. */
static bool session_is_disabled(const struct policy_input *in)
{
    return (in->identity && is_disabled(in, str_of(in->identity))) ||
           ((BY_CERT & 1U << in->history || in->need == NEED_BOTH) && certificate_is_disabled(in));
}

/* The column of the table. */
static unsigned standing(const struct policy_input *in)
{
    enum cert_outcome outcome = outcome_now(in);
    bool authenticated = !(NOT_YET & 1U << in->history);
    bool good = outcome == CERT_ACCEPTABLE || outcome == CERT_AMBIGUOUS;
    if (authenticated ? session_is_disabled(in) : good && certificate_is_disabled(in))
        return DISABLED;
    return 1U << outcome;
}

static const struct row *mail_row(const struct policy_input *in)
{
    unsigned column = standing(in);
    for (size_t i = 0; i < ARRAY_LEN(mail_rows); i++) {
        const struct row *r = &mail_rows[i];
        if (r->rule & rule_now(in) && r->history & 1U << in->history && r->verdict & column)
            return r;
    }
    abort(); /* our mistake: every cell has a row, and test_policy.c walks them all */
}

/* We could not judge the certificate: that says nothing about the client, which may come again (O2-09, AUTH-17). */
static bool is_our_trouble(const struct policy_input *in)
{
    enum cert_cause c = in->verdict->cause;
    return in->secure &&
           (c == CERT_CAUSE_LOCAL || c == CERT_CAUSE_NO_OCSP_ANSWER || c == CERT_CAUSE_PENDING);
}

static struct smtp_reply later(const struct policy_input *in)
{
    return smtp_reply(454, "4.7.0", "No authentication now (%s), try again later", reason_now(in));
}

/* [rfc5248 2.4] X.7.13, for whoever has shown the account's own certificate and nobody else (O2-08). */
static struct smtp_reply disabled_account(void)
{
    return smtp_reply(525, "5.7.13", "This account is disabled");
}

/* The one place that words a refusal (OPN-01: 530 5.7.0; O2-07: not 535, which answers AUTH only).
 */
static struct smtp_reply words(const struct policy_input *in, enum say say)
{
    switch (say) {
    case SAY_PLAIN:
        return smtp_reply(530, "5.7.0", "Authentication required");
    case SAY_REASON:
        if (is_our_trouble(in))
            return later(in);
        return smtp_reply(530, "5.7.0", "Authentication required (%s)", reason_now(in));
    case SAY_USE_EXTERNAL:
        return smtp_reply(530, "5.7.0",
                          "Authentication required (present the certificate with AUTH EXTERNAL)");
    case SAY_AFTER_FAILURE:
        return smtp_reply(
            530, "5.7.0",
            "Authentication required (AUTH failed, so the certificate alone does not count)");
    case SAY_DISABLED:
        return disabled_account();
    case SAY_CLOSING_DISABLED:
        return smtp_reply(421, "4.7.0", "Closing (account is disabled)");
    case SAY_USE_PASSWORD:
        return smtp_reply(530, "5.7.0",
                          "Authentication required (a password beside the certificate)");
    case SAY_CLOSING:
        return smtp_reply(421, "4.7.0", "Closing (%s)", reason_now(in));
    case SAY_NOTHING:
        break;
    }
    return (struct smtp_reply){0};
}

enum policy_access policy_mail(const struct policy_input *in, struct smtp_reply *ret)
{
    const struct row *row = mail_row(in);
    if (row->access == POLICY_REFUSED && in->role == ROLE_RELAY)
        return POLICY_OPEN; /* anybody may bring mail for the domains named here; policy_relay()
                               guards the rest */
    if (row->access == POLICY_REFUSED || row->access == POLICY_CLOSE)
        *ret = words(in, row->say);
    return row->access;
}

enum policy_access policy_other(const struct policy_input *in, struct smtp_reply *ret)
{
    enum policy_access a = policy_mail(in, ret);
    return a == POLICY_IMPLICIT ? POLICY_OPEN : a;
}

enum policy_access policy_relay(const struct policy_input *in, struct smtp_reply *ret)
{
    bool authenticated =
        in->history == AUTH_EXPLICIT || in->history == AUTH_IMPLICIT || in->history == AUTH_OTHER;
    /* O3-06 tells Option 3 from Option 1: here a listed certificate may relay without AUTH, or may
     * not. */
    bool peer = in->listed_peer && in->secure && in->cert_auth != CERT_AUTH_EXPLICIT &&
                !is_disabled(in, str_of(in->verdict->fingerprint));
    if (in->role == ROLE_SUBMISSION || authenticated || peer)
        return POLICY_OPEN;
    *ret = smtp_reply(550, "5.7.1",
                      "Relaying denied, not a domain of ours and you are not a listed peer");
    return POLICY_REFUSED;
}

static bool is_open(const struct policy_input *in)
{
    return in->history == AUTH_UNTRIED || in->history == AUTH_FAILED;
}

bool policy_offers_external(const struct policy_input *in)
{
    bool counts = rule_now(in) == EXPLICIT || rule_now(in) == IMPLICIT;
    return is_open(in) && counts && (standing(in) & (GOOD | SEVERAL));
}

static const struct authz no_tables = {.rule = AUTHZ_MATCH};

/* The one place that words why credentials do not make the client who it wants to be. */
static struct smtp_reply
not_chosen(int error, struct str authzid, const char *credentials, const char *reason)
{
    if (error == -ENOTUNIQ) /* EDG-02 */
        return smtp_reply(535, "5.7.8", "Authentication failed (%s)", reason);
    if (error == -EACCES || error == -EINVAL || error == -EMSGSIZE)
        return smtp_reply(535, "5.7.8",
                          authzid.len ? "The %s does not allow to act as that identity"
                                      : "The %s names nobody here",
                          credentials);
    return smtp_reply(454, "4.7.0",
                      "Local trouble, try again later"); /* a table cannot be read: AUTH-17 */
}

static struct smtp_reply not_offered(const struct policy_input *in)
{
    if (rule_now(in) == FACTOR) /* CB-07, AUTH-18 */
        return smtp_reply(534, "5.7.9", "A password is needed beside the certificate");
    if (rule_now(in) != OFF && is_our_trouble(in))
        return later(in);
    if (rule_now(in) != OFF && standing(in) == DISABLED)
        return disabled_account();
    if (rule_now(in) != OFF && outcome_now(in) != CERT_NONE)
        return smtp_reply(504, "5.5.4", "EXTERNAL is not available (%s)", reason_now(in));
    return smtp_reply(504, "5.5.4", "EXTERNAL is not available");
}

static bool is_own(const struct policy_input *in, struct str identity)
{
    CLEANUP(buf_done) struct buf own = BUF_INIT(CERT_IDENTITY_MAX);
    const struct authz *a = in->authz ? in->authz : &no_tables;
    for (size_t i = 0; i < in->verdict->n_identities; i++)
        if (authz_canonical(a, str_of(in->verdict->identities[i]), &own) == 0 &&
            mailbox_eq(buf_str(&own), identity))
            return true;
    return false;
}

/* The client learns that an account is disabled when it is its own, never of another.  Nobody acts for others by a
 * certificate of which some name is disabled: it might be just that one which may. */
static bool may_log_in(const struct policy_input *in, struct str identity, struct smtp_reply *ret)
{
    if (!in->disabled)
        return true;
    bool own = is_own(in, identity);
    if (!is_disabled(in, identity) && (own || count_disabled(in) == 0))
        return true;
    *ret = own ? disabled_account()
               : smtp_reply(535, "5.7.8", "The certificate does not allow to act as that identity");
    return false;
}

bool policy_external(const struct policy_input *in,
                     struct str authzid,
                     struct buf *identity,
                     struct smtp_reply *ret)
{
    const struct cert_verdict *v = in->verdict;
    if (!policy_offers_external(in)) {
        *ret = not_offered(in);
        return false;
    }
    /* EXT-02, EXT-03; an ambiguous certificate has two identities or more, so the empty authzid fails (EDG-02). */
    int r = authz_choose(in->authz ? in->authz : &no_tables, v->identities, v->n_identities,
                         authzid, identity);
    if (r == 0 && !may_log_in(in, buf_str(identity), ret))
        return false;
    if (r < 0)
        *ret = not_chosen(r, authzid, "certificate", reason_now(in));
    return r == 0;
}

/* ---- passwords ---- */

static bool has_other_factor(const struct policy_input *in)
{
    enum cert_outcome outcome = outcome_now(in);
    return in->need != NEED_BOTH || outcome == CERT_ACCEPTABLE || outcome == CERT_AMBIGUOUS;
}

bool policy_offers_passwords(const struct policy_input *in)
{
    return is_open(in) && in->passwords && in->secure && in->need != NEED_CERTIFICATE &&
           has_other_factor(in);
}

struct smtp_reply policy_no_passwords(const struct policy_input *in, const char *mechanism)
{
    bool by_factor = in->passwords && in->secure && !has_other_factor(in);
    if (by_factor && is_our_trouble(in))
        return later(in);
    if (by_factor)
        return smtp_reply(504, "5.5.4", "Mechanism %s is not available (%s)", mechanism,
                          outcome_now(in) == CERT_NONE
                              ? "a client certificate is needed beside the password"
                              : reason_now(in));
    return smtp_reply(504, "5.5.4", "Mechanism %s is not available", mechanism); /* AUTH-03 */
}

/* Both factors name the same identity (CB-07): the certificate may act as who the password is for, by its own name. */
static int
check_certificate(const struct policy_input *in, const struct authz *a, struct str identity)
{
    const struct cert_verdict *v = in->verdict;
    CLEANUP(buf_done) struct buf own = BUF_INIT(CERT_IDENTITY_MAX);
    for (size_t i = 0; i < v->n_identities; i++) {
        int r = authz_canonical(a, str_of(v->identities[i]), &own);
        if (r < 0)
            return r;
        if (mailbox_eq(buf_str(&own), identity))
            return 0;
    }
    return -EPERM;
}

/* Somebody vouches that the client is `user`. */
static bool name_logs_in(const struct policy_input *in,
                         struct str user,
                         struct str authzid,
                         const char *credentials,
                         struct buf *identity,
                         struct smtp_reply *ret)
{
    const struct authz *a = in->authz ? in->authz : &no_tables;
    CLEANUP(freep) char *name = xstrndup(user.p, user.len);
    CLEANUP(buf_done) struct buf own = BUF_INIT(CERT_IDENTITY_MAX);
    int r = authz_canonical(a, user, &own);
    if (r == 0 && in->need == NEED_BOTH)
        r = check_certificate(in, a, buf_str(&own));
    if (r == 0)
        r = authz_choose(a, &name, 1, authzid, identity);
    if (r == 0 && (is_disabled(in, buf_str(&own)) || is_disabled(in, buf_str(identity)))) {
        *ret = disabled_account(); /* O2-08 */
        return false;
    }
    if (r == -EPERM)
        *ret = smtp_reply(535, "5.7.8",
                          "The certificate and the password are not for the same identity");
    else if (r < 0)
        *ret = not_chosen(r, authzid, credentials, "");
    return r == 0;
}

bool policy_password(const struct policy_input *in,
                     struct str user,
                     struct str authzid,
                     struct buf *identity,
                     struct smtp_reply *ret)
{
    return name_logs_in(in, user, authzid, "password", identity, ret);
}

bool policy_proxied(const struct policy_input *in,
                    struct str login,
                    struct buf *identity,
                    struct smtp_reply *ret)
{
    if (in->need == NEED_ANY)
        return name_logs_in(in, login, STR(""), "login", identity, ret);
    *ret = smtp_reply(550, "5.7.0", "What is required here must be shown here, not to a proxy");
    return false;
}
