#include "link/login.h"

#include "auth/plain.h"
#include "auth/scram_client.h"
#include "base/b64.h"

#include <errno.h>
#include <sys/random.h>

#define NONCE_OCTETS 24
#define BINDING_MAX 256

void link_login_done(struct link_login *l)
{
    scram_client_free(l->scram);
    *l = (struct link_login){0};
}

static int plain_message(const struct link_config *cfg, struct buf *message, const char **ret_why)
{
    const struct plain p = {
        .authzid = str_of(cfg->smtp.authzid), .user = str_of(cfg->user), .password = cfg->password};
    int r = plain_format(&p, message);
    if (r < 0)
        *ret_why = "user name or password are empty, too long, or hold what may not be sent";
    return r;
}

static int make_nonce(struct buf *out)
{
    char octets[NONCE_OCTETS];
    if (getrandom(octets, sizeof(octets), 0) != sizeof(octets))
        return -EIO;
    return b64_encode((struct str){octets, sizeof(octets)}, out);
}

static bool can_bind(const struct link_channel *channel, enum tls_binding kind, struct buf *name)
{
    return stream_channel_binding(channel->stream, kind, name) == 0;
}

/* -PLUS only where the connection has a name that both ends know; otherwise we say whether we could have (CB-04). */
static int choose_binding(const struct link_channel *channel,
                          enum smtp_binding wanted,
                          struct buf *name,
                          enum scram_binding *ret)
{
    if (wanted == SMTP_BINDING_NONE) {
        bool can = can_bind(channel, TLS_BINDING_EXPORTER, name) ||
                   can_bind(channel, TLS_BINDING_END_POINT, name);
        bool offered = smtp_offers_mechanism(channel->offers, "SCRAM-SHA-256-PLUS");
        *ret = can && !offered ? SCRAM_NOT_OFFERED : SCRAM_UNBOUND;
        return 0;
    }
    bool exporter = wanted == SMTP_BINDING_EXPORTER;
    if (!can_bind(channel, exporter ? TLS_BINDING_EXPORTER : TLS_BINDING_END_POINT, name))
        return -EOPNOTSUPP;
    *ret = exporter ? SCRAM_EXPORTER : SCRAM_END_POINT;
    return 0;
}

static int scram_begin(struct link_login *l,
                       const struct link_config *cfg,
                       const struct link_channel *channel,
                       enum smtp_binding binding,
                       struct buf *message,
                       const char **ret_why)
{
    CLEANUP(buf_wipe) struct buf name = BUF_INIT(BINDING_MAX);
    CLEANUP(buf_done) struct buf nonce = BUF_INIT(B64_LEN(NONCE_OCTETS));
    struct scram_login login = {
        .user = str_of(cfg->user), .password = cfg->password, .authzid = str_of(cfg->smtp.authzid)};
    int r = choose_binding(channel, binding, &name, &login.binding);
    if (r == 0)
        r = make_nonce(&nonce);
    if (r < 0)
        return r;
    login.channel = buf_str(&name);
    login.nonce = buf_str(&nonce);
    link_login_done(l);
    l->scram_begun = true;
    l->bound = binding != SMTP_BINDING_NONE;
    l->scram = scram_client_new(&login);
    if (l->scram)
        return scram_client_first(l->scram, message);
    *ret_why = "user name or password are empty, too long, or hold what may not be sent";
    return -EINVAL;
}

static int scram_continue(struct link_login *l,
                          struct str challenge,
                          struct buf *message,
                          const char **ret_why)
{
    bool is_error = str_starts_nocase(challenge, STR("e="));
    if (is_error && l->bound && l->step == 0) {
        *ret_why = "the server refused the login before it saw a proof of the password: it knows "
                   "neither binding of ours, or not the user";
        return -EOPNOTSUPP; /* [rfc5802 7] unsupported-channel-binding-type, or in other words */
    }
    int r = is_error         ? -EACCES
            : l->step++ == 0 ? scram_client_proof(l->scram, challenge, message)
                             : scram_client_check(l->scram, challenge);
    if (is_error)
        *ret_why = "the server refused the proof: user name or password are wrong";
    else if (r == -EACCES)
        *ret_why = "the server cannot prove that it knows the password: it is not the right one";
    else if (r == -ERANGE)
        *ret_why = "the server asks for an iteration count that is too small to be safe or too "
                   "large to be meant";
    else if (r < 0)
        *ret_why = "the server's challenge is none of SCRAM";
    return r;
}

int link_login_message(struct link_login *l,
                       const struct link_config *cfg,
                       const struct link_channel *channel,
                       const struct smtp_mechanism *m,
                       const struct str *challenge,
                       struct buf *message,
                       const char **ret_why)
{
    bool plain = strcmp(m->name, "PLAIN") == 0;
    if (plain && challenge)
        return -EINVAL;
    if (plain) {
        link_login_done(l);
        return plain_message(cfg, message, ret_why);
    }
    if (challenge)
        return scram_continue(l, *challenge, message, ret_why);
    return scram_begin(l, cfg, channel, m->binding, message, ret_why);
}

/* PLAIN proves nothing and need not: the server's certificate did that. */
bool link_login_is_proved(const struct link_login *l)
{
    return !l->scram_begun || (l->scram && scram_client_is_proved(l->scram));
}
