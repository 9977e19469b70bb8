#include "probe/observer_play.h"

#include "smtp/server_plain.h"

#include <stdio.h>

void play_init(struct play *p, const struct observer_kind *kind, bool implicit_tls)
{
    *p = (struct play){.kind = kind, .implicit_tls = implicit_tls};
}

void play_said(struct play *p)
{
    struct str all = str_from(buf_str(p->out), p->said);
    for (ssize_t lf; (lf = str_find(all, '\n')) >= 0; all = str_from(all, (size_t)lf + 1))
        record_said(p->record, p->now_ms, str_upto(all, lf > 0 ? (size_t)lf - 1 : 0));
    p->said = p->out->len - all.len;
}

void play_flushed(struct play *p)
{
    p->said = 0;
}

/* ---- what is asked ---- */

static bool accepted(const struct play *p)
{
    return p->record->certificate.accepted;
}

static const char *offer_now(const struct play *p)
{
    return !smtp_server_is_secure(p->engine) ? ""
           : accepted(p)                     ? p->kind->offer
                                             : p->kind->offer_others;
}

static void on_offer(void *ctx, struct smtp_offer *ret)
{
    const struct play *p = ctx;
    ret->starttls = !p->implicit_tls && !smtp_server_is_secure(p->engine);
    (void)snprintf(ret->auth, sizeof(ret->auth), "%s", offer_now(p));
}

static enum smtp_decision on_starttls(void *ctx, struct smtp_reply *reply)
{
    (void)reply;
    ((struct play *)ctx)->start_tls = true;
    return SMTP_YES;
}

static enum smtp_decision on_admit(void *ctx, const char *verb, struct smtp_reply *reply)
{
    const struct play *p = ctx;
    if (!smtp_server_is_secure(p->engine)) {
        *reply = smtp_reply(530, "5.7.0", "Must issue a STARTTLS command first");
        return SMTP_NO;
    }
    if (p->logged_in && strcmp(verb, "AUTH") == 0) {
        *reply = smtp_reply(503, "5.5.1", "Authenticated already");
        return SMTP_NO;
    }
    return SMTP_YES;
}

/* ---- AUTH ---- */

static enum smtp_auth_step
fail(struct play *p, struct smtp_reply *reply, int code, const char *enhanced, const char *text)
{
    p->exchange = PLAY_NONE;
    p->auth_failed = true;
    *reply = smtp_reply(code, enhanced, "%s", text);
    return SMTP_AUTH_FAILED;
}

static enum smtp_auth_step
ask(struct play *p, enum play_exchange next, const char *prompt, struct buf *challenge)
{
    p->exchange = next;
    (void)!buf_puts(challenge, prompt); /* a few octets, and without them it is empty */
    return SMTP_AUTH_CHALLENGE;
}

static enum smtp_auth_step succeed(struct play *p, struct smtp_reply *reply)
{
    p->exchange = PLAY_NONE;
    p->logged_in = true;
    *reply = smtp_reply(235, "2.7.0", "Authenticated as %s", p->record->certificate.identity);
    return SMTP_AUTH_DONE;
}

/* [rfc4422 A.2] An authzid is UTF-8 without NUL.  Other control characters stand in no name either; they are what QUIT
 * or RSET in place of a response comes to. */
static enum smtp_auth_step external_judge(struct play *p, struct str name, struct smtp_reply *reply)
{
    if (!str_is_utf8(name) || str_has_control(name))
        return fail(p, reply, 535, "5.7.8", "That is no authorization identity");
    if (p->kind->external == EXTERNAL_REFUSES || !accepted(p))
        return fail(p, reply, 535, "5.7.8",
                    accepted(p) ? "Authentication failed" : p->record->certificate.reason);
    if (p->kind->external == EXTERNAL_WANTS_NAME && name.len == 0)
        return fail(p, reply, 535, "5.7.8", "Incorrect authentication data");
    if (p->kind->external == EXTERNAL_WANTS_EMPTY && name.len)
        return fail(p, reply, 535, "5.7.8", "Not authorized to act as that identity");
    return succeed(p, reply);
}

static enum smtp_auth_step external_begin(struct play *p,
                                          bool has_response,
                                          struct str name,
                                          struct buf *challenge,
                                          struct smtp_reply *reply)
{
    enum observer_external e = p->kind->external;
    if (!has_response && e == EXTERNAL_AT_ONCE)
        return external_judge(p, STR(""), reply);
    if (!has_response && e == EXTERNAL_ASKS_NAME)
        return ask(p, PLAY_EXTERNAL, "Username:", challenge);
    if (!has_response || (e == EXTERNAL_PROMPTS_ALWAYS && name.len == 0))
        return ask(p, PLAY_EXTERNAL, "", challenge);
    return external_judge(p, name, reply);
}

static bool offers(const struct play *p, const char *mechanism)
{
    const char *list = offer_now(p), *at = strstr(list, mechanism);
    return at && (at == list || at[-1] == ' ');
}

static enum smtp_auth_step begin(struct play *p,
                                 const char *mechanism,
                                 bool has_response,
                                 struct str response,
                                 struct buf *challenge,
                                 struct smtp_reply *reply)
{
    bool external = strcmp(mechanism, "EXTERNAL") == 0;
    if (external && p->kind->external != EXTERNAL_UNKNOWN)
        return external_begin(p, has_response, response, challenge, reply);
    if (!offer_now(p)[0])
        return fail(p, reply, 503, "5.5.1", "AUTH is not available");
    if (!offers(p, mechanism))
        return fail(p, reply, 504, "5.5.4", "Mechanism not offered");
    if (strcmp(mechanism, "LOGIN") == 0)
        return has_response ? ask(p, PLAY_LOGIN_PASSWORD, "Password:", challenge)
                            : ask(p, PLAY_LOGIN_USER, "Username:", challenge);
    if (!has_response)
        return ask(p, PLAY_PLAIN, "", challenge);
    return fail(p, reply, 535, "5.7.8", "Passwords are not taken here");
}

static enum smtp_auth_step on_auth(void *ctx,
                                   const char *mechanism,
                                   bool has_response,
                                   struct str response,
                                   struct buf *challenge,
                                   struct smtp_reply *reply)
{
    struct play *p = ctx;
    if (mechanism)
        return begin(p, mechanism, has_response, response, challenge, reply);
    if (p->exchange == PLAY_EXTERNAL)
        return external_judge(p, response, reply);
    if (p->exchange == PLAY_LOGIN_USER)
        return ask(p, PLAY_LOGIN_PASSWORD, "Password:", challenge);
    return fail(p, reply, 535, "5.7.8", "Passwords are not taken here");
}

static void on_auth_cancelled(void *ctx)
{
    struct play *p = ctx;
    p->exchange = PLAY_NONE;
    p->auth_failed = true;
}

/* As Postern does: where MAIL alone would do, a client that answers with MAIL is let in. */
static bool on_auth_overtaken(void *ctx)
{
    struct play *p = ctx;
    bool forgotten = p->exchange == PLAY_EXTERNAL && p->kind->implicit && accepted(p);
    if (forgotten)
        p->exchange = PLAY_NONE;
    return forgotten;
}

/* ---- mail ---- */

/* A kind that knows no EXTERNAL does not hold a failed one against the client; the others do (O2-12). */
static bool mail_is_open(const struct play *p)
{
    bool forgiven = !p->auth_failed || p->kind->external == EXTERNAL_UNKNOWN;
    return p->logged_in || (p->kind->implicit && accepted(p) && forgiven);
}

static enum smtp_decision on_mail(void *ctx, const struct smtp_mail *mail, struct smtp_reply *reply)
{
    struct play *p = ctx;
    const char *reason = p->record->certificate.reason;
    (void)mail;
    if (mail_is_open(p)) {
        p->logged_in = true;
        return SMTP_YES;
    }
    *reply = smtp_reply(530, "5.7.0", "Authentication required%s%.120s%s", *reason ? " (" : "",
                        reason, *reason ? ")" : "");
    return SMTP_NO;
}

static enum smtp_decision on_data(void *ctx, struct smtp_reply *reply)
{
    (void)reply;
    ((struct play *)ctx)->octets = 0;
    return SMTP_YES;
}

static int on_text(void *ctx, const char *data, size_t len)
{
    (void)data;
    ((struct play *)ctx)->octets += len;
    return 0;
}

static enum smtp_decision on_finish(void *ctx, struct smtp_reply *reply)
{
    struct play *p = ctx;
    record_message(p->record, (unsigned)smtp_server_n_rcpts(p->engine), p->octets);
    *reply = smtp_reply(250, "2.0.0", "Counted and thrown away: this is a test");
    return SMTP_YES;
}

static void on_heard(void *ctx, struct str line, bool response)
{
    struct play *p = ctx;
    play_said(p); /* the replies to what came before */
    record_heard(p->record, p->now_ms, line, response);
}

static void on_quit(void *ctx)
{
    ((struct play *)ctx)->ended = true;
}

const struct smtp_server_ops play_ops = {
    .offer = on_offer,
    .starttls = on_starttls,
    .auth = on_auth,
    .auth_cancelled = on_auth_cancelled,
    .auth_overtaken = on_auth_overtaken,
    .admit = on_admit,
    .mail = on_mail,
    .rcpt = smtp_plain_rcpt,
    .data = on_data,
    .text = on_text,
    .finish = on_finish,
    .abandon = smtp_plain_forget,
    .refuse = smtp_plain_refuse,
    .heard = on_heard,
    .quit = on_quit,
    .refused = smtp_plain_refused,
};
