/* Who the client is: TLS facts and AUTH in, policy asked, identity out. */
#include "base/clock.h"
#include "server/session_internal.h"

#include <stdio.h>

#define AUTH_FAILURES_MAX                                                                          \
    3 /* never fewer than three (AUTH-22, EDG-26); the next AUTH ends the session */

struct policy_input session_policy(const struct session *s)
{
    return (struct policy_input){
        .role = s->endpoint->cfg->role,
        .cert_auth = s->endpoint->cfg->cert_auth,
        .need = s->endpoint->cfg->need,
        .passwords = s->endpoint->passwords != NULL,
        .secure = smtp_server_is_secure(s->engine),
        .listed_peer = s->listed_peer,
        .history = s->history,
        .verdict = &s->verdict,
        .authz = &s->endpoint->authz,
        .now_ms = clock_wall_ms(),
        .disabled = &s->endpoint->disabled,
        .identity = s->identity,
    };
}

bool session_is_authenticated(const struct session *s)
{
    return s->identity != NULL;
}

void session_judge(struct session *s, const struct tls_facts *facts)
{
    s->tls_version = facts->version;
    s->tls_cipher = facts->cipher;
    s->tls_group = facts->group;
    s->leaf = facts->leaf;
    s->resumed = facts->resumed;
    cert_verdict_done(&s->verdict);
    /* A resumed session is judged again, as everything is now (EDG-13, EDG-14). */
    credentials_judge(s->credentials, facts->leaf, facts->chain, &s->verdict);
    s->listed_peer = endpoint_lists_peer(s->endpoint, s->verdict.fingerprint);
}

void session_judge_anew(struct session *s)
{
    cert_verdict_done(&s->verdict);
    credentials_judge(s->credentials, s->leaf, NULL, &s->verdict);
}

bool session_login_implicit(struct session *s, struct smtp_reply *reply)
{
    struct policy_input in = session_policy(s);
    CLEANUP(buf_done) struct buf identity = BUF_INIT(CERT_IDENTITY_MAX);
    if (!policy_external(&in, STR(""), &identity, reply))
        return false;
    session_login(s, identity.data, AUTH_IMPLICIT, "EXTERNAL");
    return true;
}

void session_login(struct session *s,
                   const char *identity,
                   enum auth_history how,
                   const char *mechanism)
{
    s->identity = xstrdup(identity);
    s->mechanism = mechanism;
    s->history = how;
    stream_deadline(s->stream, 0);
    session_log_login(s);
}

void session_offer(void *ctx, struct smtp_offer *ret)
{
    struct session *s = ctx;
    session_renew(s);
    struct policy_input in = session_policy(s);
    ret->now_ms = clock_wall_ms();
    /* Once a proxy has spoken for its client, a handshake would be with one or the other, and nobody knew whom. */
    ret->starttls =
        !in.secure && s->endpoint->cfg->tls == LISTENER_TLS_STARTTLS && !s->xclient;
    ret->xclient = session_offers_xclient(s);
    CLEANUP(buf_done) struct buf names = BUF_INIT(sizeof(ret->auth) - 1);
    int r = policy_offers_external(&in) ? buf_puts(&names, "EXTERNAL") : 0;
    if (r == 0)
        r = session_sasl_offer(s, &names);
    if (r == 0)
        (void)snprintf(ret->auth, sizeof(ret->auth), "%s", buf_str(&names).p);
}

static enum smtp_decision admit_auth(struct session *s, struct smtp_reply *reply)
{
    if (session_is_authenticated(s)) { /* one success a session (AUTH-04, O2-10, EDG-04) */
        *reply = smtp_reply(503, "5.5.1", "Authenticated already, as %s", s->identity);
        return SMTP_NO;
    }
    if (s->auth_failures >= AUTH_FAILURES_MAX) {
        *reply = smtp_reply(421, "4.7.0", "Too many failed logins, closing");
        return SMTP_CLOSE;
    }
    return SMTP_YES;
}

static enum smtp_decision decision_of(enum policy_access a)
{
    return a == POLICY_CLOSE ? SMTP_CLOSE : a == POLICY_REFUSED ? SMTP_NO : SMTP_YES;
}

enum smtp_decision session_admit(void *ctx, const char *verb, struct smtp_reply *reply)
{
    static const char *const guarded[] = {"RCPT", "DATA", "BDAT", "VRFY", "EXPN"}; /* SUB-04 */
    struct session *s = ctx;
    session_renew(s);
    struct policy_input in = session_policy(s);
    if (strcmp(verb, "XCLIENT") == 0 && !session_admits_xclient(s, reply))
        return SMTP_NO;
    if (!in.secure && s->endpoint->cfg->require_tls) { /* STLS-10 */
        *reply = smtp_reply(530, "5.7.0", "Must issue a STARTTLS command first");
        return SMTP_NO;
    }
    struct smtp_reply bye;
    if (policy_other(&in, &bye) == POLICY_CLOSE) { /* EDG-18 */
        s->end_reason = "not welcome any more";
        counters_add(&s->endpoint->counters, COUNT_DISOWNED, 1);
        *reply = bye;
        return SMTP_CLOSE;
    }
    if (strcmp(verb, "AUTH") == 0)
        return admit_auth(s, reply);
    for (size_t i = 0; i < ARRAY_LEN(guarded); i++)
        if (strcmp(verb, guarded[i]) == 0)
            return decision_of(policy_other(&in, reply));
    return SMTP_YES;
}

enum smtp_auth_step
session_auth_failed(struct session *s, const char *mechanism, const struct smtp_reply *reply)
{
    s->history = AUTH_FAILED; /* no implicit step after this (O2-12) */
    s->auth_failures++;
    s->sasl_external = false;
    session_log_login_refused(s, mechanism, reply);
    return SMTP_AUTH_FAILED;
}

static enum smtp_auth_step auth_external(struct session *s,
                                         const char *mechanism,
                                         bool has_response,
                                         struct str response,
                                         struct smtp_reply *reply)
{
    struct policy_input in = session_policy(s);
    CLEANUP(buf_done) struct buf identity = BUF_INIT(CERT_IDENTITY_MAX);
    /* The challenge of EXTERNAL is empty (EXT-01). */
    if (mechanism && !has_response && policy_offers_external(&in)) {
        s->sasl_external = true;
        return SMTP_AUTH_CHALLENGE;
    }
    if (!policy_external(&in, response, &identity, reply))
        return session_auth_failed(s, "EXTERNAL", reply);
    s->sasl_external = false;
    session_login(s, identity.data, AUTH_EXPLICIT, "EXTERNAL");
    *reply = smtp_reply(235, "2.7.0", "Authenticated as %s", s->identity); /* AUTH-15 */
    return SMTP_AUTH_DONE;
}

enum smtp_auth_step session_auth(void *ctx,
                                 const char *mechanism,
                                 bool has_response,
                                 struct str response,
                                 struct buf *challenge,
                                 struct smtp_reply *reply)
{
    struct session *s = ctx;
    if (mechanism)
        session_sasl_end(s);
    if (mechanism && strcmp(mechanism, "EXTERNAL") != 0 && !session_sasl_begin(s, mechanism, reply))
        return session_auth_failed(s, mechanism, reply);
    if (session_sasl_mechanism(s))
        return session_sasl_step(s, has_response, response, challenge, reply);
    return auth_external(s, mechanism, has_response, response, reply);
}

void session_auth_cancelled(void *ctx)
{
    struct session *s = ctx;
    (void)session_auth_failed(s, s->sasl_external ? "EXTERNAL" : session_sasl_mechanism(s), NULL);
    session_sasl_end(s);
}

/* msmtp without `user` answers the challenge of EXTERNAL with MAIL.  It asked to be nobody else, so where MAIL would do
 * as much by itself nothing is given away by letting it.  Not after an AUTH that failed (O2-12): then MAIL is shut. */
bool session_auth_overtaken(void *ctx)
{
    struct session *s = ctx;
    struct policy_input in = session_policy(s);
    struct smtp_reply ignored;
    if (!s->sasl_external ||
        !(s->endpoint->cfg->workarounds & WORKAROUND_AUTH_ANSWERED_BY_COMMAND) ||
        policy_mail(&in, &ignored) != POLICY_IMPLICIT)
        return false;
    s->sasl_external = false;
    session_log_workaround(s, "auth-answered-by-command");
    return true;
}
