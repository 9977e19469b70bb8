/* What a session leaves in the log, for the person who reads it at 3 a.m., and in the listener's counters.  Every line
 * names the session; the peer's certificate is a fact about TLS until AUTH made it an identity (O3-05). */
#include "base/clock.h"
#include "server/session_internal.h"

void session_log_begin(const struct session *s,
                       struct log_line *l,
                       enum log_level level,
                       const char *event)
{
    log_begin(l, level, event);
    log_text(l, "session", s->id);
}

static void count(const struct session *s, enum counter which)
{
    counters_add(&s->endpoint->counters, which, 1);
}

void session_log_connect(const struct session *s)
{
    struct log_line l;
    count(s, COUNT_CONNECTIONS);
    session_log_begin(s, &l, LOG_LEVEL_INFO, "connect");
    log_text(&l, "listener", s->endpoint->cfg->name);
    log_text(&l, "peer", stream_peer_address(s->stream));
    log_number(&l, "port", stream_peer_port(s->stream));
    log_end(&l);
}

void session_log_tls(const struct session *s)
{
    struct log_line l;
    const struct cert_verdict *v = &s->verdict;
    count(s, s->resumed ? COUNT_TLS_RESUMED : COUNT_TLS_FULL);
    counters_add_verdict(&s->endpoint->counters, v);
    session_log_begin(s, &l, LOG_LEVEL_INFO, "tls");
    log_text(&l, "version", s->tls_version);
    log_text(&l, "cipher", s->tls_cipher); /* SUB-19 */
    if (s->resumed)
        log_text(&l, "resumed", "yes");
    log_text(&l, "certificate", cert_outcome_name(v->outcome));
    if (v->reason[0])
        log_text(&l, "reason", v->reason);
    log_text(&l, "subject", v->subject);
    if (v->fingerprint[0])
        log_text(&l, "fingerprint", v->fingerprint);
    if (v->rule[0])
        log_text(&l, "rule", v->rule); /* CERT-14 */
    if (s->listed_peer)
        log_text(&l, "listed-peer", "yes");
    if (s->proxy)
        log_text(&l, "told-by", "proxy");
    log_end(&l);
}

void session_log_crowded(const struct session *s)
{
    struct log_line l;
    session_log_begin(s, &l, LOG_LEVEL_NOTICE, "client-limit");
    log_text(&l, "listener", s->endpoint->cfg->name);
    log_text(&l, "peer", stream_peer_address(s->stream));
    log_number(&l, "connections-per-client", s->endpoint->cfg->client_connections_max);
    log_end(&l);
}

void session_log_xclient(const struct session *s)
{
    struct log_line l;
    const struct smtp_xclient *x = s->xclient;
    session_log_begin(s, &l, LOG_LEVEL_INFO, "xclient");
    log_text(&l, "listener", s->endpoint->cfg->name);
    log_text(&l, "proxy", s->xclient_from);
    log_text(&l, "peer", stream_peer_address(s->stream));
    if (x->ip_len)
        log_number(&l, "port", x->port);
    log_text(&l, "name", x->name[0] ? x->name : NULL);
    log_text(&l, "helo", x->helo[0] ? x->helo : NULL);
    log_text(&l, "login", x->login[0] ? x->login : NULL);
    log_text(&l, "destination", x->destaddr[0] ? x->destaddr : NULL);
    log_end(&l);
}

void session_log_judged_again(const struct session *s)
{
    struct log_line l;
    session_log_begin(s, &l, LOG_LEVEL_NOTICE, "judged-again");
    log_text(&l, "identity", s->identity);
    log_text(&l, "certificate", cert_outcome_name(s->verdict.outcome));
    if (s->verdict.reason[0])
        log_text(&l, "reason", s->verdict.reason);
    log_end(&l);
}

void session_log_login(const struct session *s)
{
    static const enum counter counter_of[] = {[AUTH_EXPLICIT] = COUNT_LOGIN_EXPLICIT,
                                              [AUTH_IMPLICIT] = COUNT_LOGIN_IMPLICIT,
                                              [AUTH_OTHER] = COUNT_LOGIN_OTHER};
    static const char *const sequences[] = {[AUTH_EXPLICIT] = "explicit",
                                            [AUTH_IMPLICIT] = "implicit",
                                            [AUTH_OTHER] = NULL}; /* of certificates only */
    struct log_line l;
    count(s, counter_of[s->history]);
    session_log_begin(s, &l, LOG_LEVEL_INFO, "login");
    log_text(&l, "listener", s->endpoint->cfg->name);
    log_text(&l, "identity", s->identity);
    log_text(&l, "mechanism", s->mechanism);
    log_text(&l, "sequence", sequences[s->history]);
    log_text(&l, "tls", s->tls_version);
    log_text(&l, "cipher", s->tls_cipher);
    log_text(&l, "helo", session_helo(s));
    log_end(&l);
}

void session_log_login_refused(const struct session *s,
                               const char *mechanism,
                               const struct smtp_reply *reply)
{
    struct log_line l;
    count(s, COUNT_LOGIN_REFUSED);
    session_log_begin(s, &l, LOG_LEVEL_NOTICE, "login-refused");
    log_text(&l, "listener", s->endpoint->cfg->name);
    log_text(&l, "peer", stream_peer_address(s->stream));
    log_text(&l, "mechanism", mechanism);
    log_text(&l, "certificate", cert_outcome_name(s->verdict.outcome));
    if (s->verdict.reason[0])
        log_text(&l, "reason", s->verdict.reason);
    if (reply)
        log_format(&l, "reply", "%d %s %s", reply->code, reply->enhanced, reply->text);
    log_number(&l, "failures", s->auth_failures);
    log_end(&l);
}

void session_log_workaround(const struct session *s, const char *name)
{
    struct log_line l;
    count(s, COUNT_WORKAROUNDS);
    session_log_begin(s, &l, LOG_LEVEL_INFO, "workaround");
    log_text(&l, "listener", s->endpoint->cfg->name);
    log_text(&l, "name", name);
    log_end(&l);
}

/* What was asked for beside delivery, as it was granted. */
static void log_wishes(const struct session *s, struct log_line *l, const struct smtp_mail *mail)
{
    struct spool_envelope env = {.received_ms = s->mail_ms};
    session_schedule(s, mail, &env);
    if (env.release_ms)
        log_number(l, "hold-s", (env.release_ms - s->mail_ms) / 1000);
    if (env.by_mode)
        log_format(l, "by", "%lld;%c", (long long)mail->deliver_by.seconds, env.by_mode);
    if (env.priority)
        log_number(l, "priority", env.priority);
    if (mail->requiretls)
        log_text(l, "tls", "required");
}

void session_log_accepted(const struct session *s, const struct transfer *t)
{
    struct log_line l;
    const struct smtp_mail *mail = smtp_server_mail(s->engine);
    count(s, COUNT_MESSAGES);
    counters_add(&s->endpoint->counters, COUNT_RECIPIENTS,
                 (unsigned)smtp_server_n_rcpts(s->engine));
    session_log_begin(s, &l, LOG_LEVEL_INFO, "accepted");
    log_text(&l, "queue", t->queue_id);
    log_text(&l, "identity", s->identity);
    log_format(&l, "from", "<%s>", mail->reverse_path);
    log_number(&l, "recipients", (int64_t)smtp_server_n_rcpts(s->engine));
    log_number(&l, "size", t->size);
    log_wishes(s, &l, mail);
    log_number(&l, "ms", clock_monotonic_ms() - t->began_ms);
    log_end(&l);
}

/* MAIL without AUTH of a client that showed a certificate, shut for want of authentication: what a stricter setting, or
 * a looser one, is about. */
static bool is_implicit_attempt(const struct session *s, const char *verb, int code)
{
    return strcmp(verb, "MAIL") == 0 && !s->identity && s->verdict.outcome != CERT_NONE &&
           (code == 530 || code == 525 || code == 454);
}

/* Bounded by errors-max of the listener, so that a flood of errors is no flood of lines (SUB-09). */
void session_log_refused(void *ctx, const char *verb, const struct smtp_reply *reply)
{
    const struct session *s = ctx;
    const struct smtp_mail *mail = smtp_server_mail(s->engine);
    struct log_line l;
    bool implicit = is_implicit_attempt(s, verb, reply->code);
    count(s, reply->code < 500 ? COUNT_REFUSED_4YZ : COUNT_REFUSED_5YZ);
    if (implicit)
        count(s, COUNT_IMPLICIT_REFUSED);
    session_log_begin(s, &l, LOG_LEVEL_NOTICE, "refused");
    log_text(&l, "peer", stream_peer_address(s->stream));
    log_text(&l, "identity", s->identity);
    log_text(&l, "command", verb);
    if (mail)
        log_format(&l, "from", "<%s>", mail->reverse_path ? mail->reverse_path : "");
    if (s->verdict.outcome != CERT_NONE)
        log_text(&l, "certificate", cert_outcome_name(s->verdict.outcome));
    log_format(&l, "reply", "%d %s %s", reply->code, reply->enhanced, reply->text);
    if (implicit) {
        log_text(&l, "listener", s->endpoint->cfg->name);
        log_text(&l, "sequence", "implicit");
        if (s->verdict.n_identities == 1)
            log_text(&l, "certificate-names", s->verdict.identities[0]);
        log_text(&l, "helo", session_helo(s));
    }
    log_end(&l);
}

void session_log_end(const struct session *s, const char *detail)
{
    struct log_line l;
    session_log_begin(s, &l, LOG_LEVEL_INFO, "disconnect");
    log_text(&l, "identity", s->identity);
    log_text(&l, "reason", s->end_reason);
    if (detail && detail[0])
        log_text(&l, "detail", detail);
    log_number(&l, "messages", s->messages);
    log_number(&l, "ms", clock_monotonic_ms() - s->began_ms);
    log_end(&l);
}
