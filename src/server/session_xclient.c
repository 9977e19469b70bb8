/* XCLIENT: a listed proxy says by a command whom the session is with, and as whom it has authenticated its client.
 *
 * Once a session, before any AUTH, in one command or in several without another in between (Dovecot, where one would be
 * too long).  After it the proxy may hand over the connection to its client as it is, and the client must not become
 * somebody else by the same command.  nginx does so right after its XCLIENT where the client has said no EHLO: so nothing
 * that was told can be told again, and LOGIN stands in the first command or nowhere.  What TLS has told is about the proxy
 * from then on, its certificate is nobody's. */
#include "auth/prepare.h"
#include "server/session_internal.h"

const char *session_helo(const struct session *s)
{
    return s->xclient && s->xclient->helo[0] ? s->xclient->helo : smtp_server_helo(s->engine);
}

static bool is_untried(const struct session *s)
{
    return s->history == AUTH_UNTRIED && !s->identity;
}

bool session_admits_xclient(const struct session *s, struct smtp_reply *reply)
{
    if (smtp_server_carries_on_xclient(s->engine))
        return true;
    bool listed =
        !s->xclient && endpoint_lists_xclient(s->endpoint, stream_peer_address(s->stream));
    if (!listed)
        *reply = smtp_reply(550, "5.7.0", "XCLIENT is for listed hosts, once a session");
    else if (!is_untried(s))
        *reply = smtp_reply(503, "5.5.1", "XCLIENT must come before any AUTH");
    return listed && is_untried(s);
}

bool session_offers_xclient(const struct session *s)
{
    struct smtp_reply ignored;
    bool open = smtp_server_is_secure(s->engine) || !s->endpoint->cfg->require_tls;
    return open && session_admits_xclient(s, &ignored);
}

/* As typed at the proxy, so prepared as what is typed here (AUTH-25). */
static bool
find_identity(const struct session *s, const char *login, struct buf *ret, struct smtp_reply *reply)
{
    CLEANUP(buf_done) struct buf user = BUF_INIT(CERT_IDENTITY_MAX);
    struct policy_input in = session_policy(s);
    if (prepare_typed(str_of(login), &user) == 0)
        return policy_proxied(&in, buf_str(&user), ret, reply);
    *reply = smtp_reply(501, "5.5.4", "LOGIN is no name");
    return false;
}

/* The certificate in this TLS is the proxy's own, and proves nothing of its client. */
static void forget_certificate(struct session *s)
{
    s->leaf = NULL;
    s->listed_peer = false;
    cert_verdict_done(&s->verdict);
}

static void keep(struct session *s, const struct smtp_xclient *x)
{
    if (!s->xclient) {
        s->xclient = xcalloc(1, sizeof(*s->xclient));
        s->xclient_from = xstrdup(stream_peer_address(s->stream));
    }
    *s->xclient = *x;
    if (x->ip_len)
        stream_speaks_for(s->stream, x->ip, x->ip_len, (uint16_t)x->port);
    session_log_xclient(s);
}

static enum smtp_decision
carry_on(struct session *s, const struct smtp_xclient *x, struct smtp_reply *reply)
{
    if (strcmp(x->login, s->xclient->login) != 0) {
        *reply = smtp_reply(550, "5.7.0", "LOGIN belongs into the first XCLIENT");
        return SMTP_NO;
    }
    keep(s, x);
    return session_limits_client(s, reply) ? SMTP_YES : SMTP_CLOSE;
}

enum smtp_decision
session_xclient(void *ctx, const struct smtp_xclient *x, struct smtp_reply *reply)
{
    struct session *s = ctx;
    CLEANUP(buf_done) struct buf identity = BUF_INIT(CERT_IDENTITY_MAX);
    if (s->xclient)
        return carry_on(s, x, reply);
    if (x->login[0] && !find_identity(s, x->login, &identity, reply))
        return SMTP_NO;
    keep(s, x);
    forget_certificate(s);
    if (!session_limits_client(s, reply))
        return SMTP_CLOSE;
    if (identity.len)
        session_login(s, identity.data, AUTH_OTHER, "XCLIENT");
    return SMTP_YES;
}
