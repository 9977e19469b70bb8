/* One AUTH, from its command to its last reply (RFC 4954 section 4).
 *
 * Our first message rides on the command, or answers the empty challenge where a server refuses that form.  The one
 * message of EXTERNAL is the authzid; PLAIN has one, SCRAM three, and the driver makes them.
 */
#include "base/b64.h"
#include "smtp/client_internal.h"

#include <errno.h>

#define AUTH_LINE_MAX 510 /* 512 with CR LF; beyond, the message goes by itself (AUTH-14) */
#define AUTHZID_MAX 1024
#define MESSAGE_MAX 8192
#define ROUNDS_MAX 4

static bool on_auth(void *ctx, size_t n, const struct smtp_answer *a);

const struct smtp_mechanism *client_auth_mechanism(enum login_try t)
{
    static const struct smtp_mechanism mechanisms[TRY_END] = {
        [TRY_EXTERNAL] = {"EXTERNAL",           SMTP_BINDING_NONE     },
        [TRY_NAMED] = {"EXTERNAL",           SMTP_BINDING_NONE     },
        [TRY_IMPLICIT] = {"",                   SMTP_BINDING_NONE     },
        [TRY_EXPORTER] = {"SCRAM-SHA-256-PLUS", SMTP_BINDING_EXPORTER },
        [TRY_END_POINT] = {"SCRAM-SHA-256-PLUS", SMTP_BINDING_END_POINT},
        [TRY_SCRAM] = {"SCRAM-SHA-256",      SMTP_BINDING_NONE     },
        [TRY_PLAIN] = {"PLAIN",              SMTP_BINDING_NONE     },
    };
    return &mechanisms[t];
}

static bool is_external(const struct smtp_client *c)
{
    return c->login.now == TRY_EXTERNAL || c->login.now == TRY_NAMED;
}

static struct str authzid_of(const struct smtp_client *c)
{
    return str_of(c->login.now == TRY_NAMED ? c->cfg.identity : c->cfg.authzid);
}

/* [rfc4954 4] An empty message is "=" on the command and nothing on a line of its own (AUTH-07). */
static void put_message(struct smtp_client *c, struct str message, const char *when_empty)
{
    if (!is_external(c))
        smtp_talk_hide(&c->talk, B64_LEN(message.len));
    if (message.len)
        smtp_talk_put_error(&c->talk, b64_encode(message, c->out));
    else
        smtp_talk_put(&c->talk, when_empty);
}

static void respond(struct smtp_client *c, struct str message)
{
    c->login.rounds++;
    smtp_talk_begin(&c->talk);
    put_message(c, message, "");
    smtp_talk_end(&c->talk, SMTP_STAGE_LOGIN, on_auth, 0);
}

static void say_auth(struct smtp_client *c)
{
    struct login *l = &c->login;
    struct str message = buf_str(&l->message);
    const char *mechanism = client_auth_mechanism(l->now)->name;
    bool alone = l->two_step ||
                 strlen("AUTH ") + strlen(mechanism) + 1 + B64_LEN(message.len) > AUTH_LINE_MAX;
    l->tried = true;
    l->rounds = 0;
    l->answered = false;
    smtp_talk_begin(&c->talk);
    smtp_talk_put(&c->talk, "AUTH ");
    smtp_talk_put(&c->talk, mechanism);
    if (!alone) {
        smtp_talk_put(&c->talk, " ");
        put_message(c, message, "=");
    }
    smtp_talk_end(&c->talk, SMTP_STAGE_LOGIN, on_auth, alone);
}

static void begin_external(struct smtp_client *c)
{
    struct str id = authzid_of(c);
    if (id.len > AUTHZID_MAX || !str_is_utf8(id) || str_has_control(id) ||
        buf_append_str(&c->login.message, id) < 0)
        client_login_failed(c, "the authorisation identity is too long or not UTF-8");
    else
        say_auth(c);
}

static void begin_sasl(struct smtp_client *c)
{
    const char *why = "a message of ours could not be made";
    int r =
        c->ops->sasl(c->ctx, client_auth_mechanism(c->login.now), NULL, &c->login.message, &why);
    if (r == 0)
        say_auth(c);
    else if (r == -EOPNOTSUPP)
        client_login_impossible(c);
    else
        client_login_failed(c, why);
}

void client_auth(struct smtp_client *c)
{
    buf_wipe(&c->login.message);
    buf_init(&c->login.message, MESSAGE_MAX);
    if (is_external(c))
        begin_external(c);
    else
        begin_sasl(c);
}

/* ---- challenges ---- */

static bool on_cancelled(void *ctx, size_t n, const struct smtp_answer *a)
{
    (void)n;
    struct smtp_client *c = ctx;
    if (a->code != 421)
        client_login_failed(c, c->login.why);
    return true;
}

/* [rfc4954 4] "*" calls it off; the server answers with a refusal (AUTH-09). */
static void cancel(struct smtp_client *c, const char *why)
{
    c->login.why = why;
    smtp_talk_say(&c->talk, "*", SMTP_STAGE_LOGIN, on_cancelled, 0);
}

static bool on_binding_cancelled(void *ctx, size_t n, const struct smtp_answer *a)
{
    (void)n;
    struct smtp_client *c = ctx;
    if (a->code != 421)
        client_login_binding_refused(c, c->login.why);
    return true;
}

static void cancel_binding(struct smtp_client *c, const char *why)
{
    c->login.why = why;
    smtp_talk_say(&c->talk, "*", SMTP_STAGE_LOGIN, on_binding_cancelled, 0);
}

static void continue_sasl(struct smtp_client *c, struct str challenge)
{
    const char *why = "the server's challenge makes no sense";
    CLEANUP(buf_wipe) struct buf message = BUF_INIT(MESSAGE_MAX);
    int r = c->ops->sasl(c->ctx, client_auth_mechanism(c->login.now), &challenge, &message, &why);
    if (r == -EOPNOTSUPP) {
        cancel_binding(c, why);
    } else if (r < 0) {
        cancel(c, why);
    } else {
        c->login.answered = true;
        respond(c, buf_str(&message));
    }
}

/* EXTERNAL and PLAIN have no challenge but the empty one (EXT-01).  Servers prompt with something all the same, or ask again
 * after an initial response: our one message is the answer, once.  What is no challenge is cancelled (AUTH-11). */
static void on_challenge(struct smtp_client *c, bool first_is_due, struct str text)
{
    struct login *l = &c->login;
    CLEANUP(buf_wipe) struct buf challenge = BUF_INIT((size_t)SMTP_REPLY_LINE);
    bool one_message = is_external(c) || l->now == TRY_PLAIN;
    bool is_base64 = b64_decode(text, &challenge) == 0;
    if (one_message && (l->rounds || !is_base64))
        cancel(c, is_external(c)
                      ? "the server asks EXTERNAL for more than it has: AUTH was cancelled"
                      : "the server asks PLAIN for more than it has: AUTH was cancelled");
    else if (!is_base64 || l->rounds >= ROUNDS_MAX)
        cancel(c, "the server's challenge makes no sense: AUTH was cancelled");
    else if (l->rounds == 0 && (one_message || first_is_due || challenge.len == 0))
        respond(c, buf_str(&l->message));
    else
        continue_sasl(c, buf_str(&challenge));
}

/* ---- replies ---- */

/* Refused for its form: there are servers that know only the form without an initial response. */
static bool is_about_form(const struct smtp_client *c, bool alone, const struct smtp_answer *a)
{
    return !alone && c->login.rounds == 0 && (a->code == 501 || a->code == 500);
}

/* 235 before anybody heard on whose behalf: that is somebody, but not the one asked for (O2-18). */
static bool is_too_early(const struct smtp_client *c, bool alone)
{
    return alone && c->login.rounds == 0 && c->login.message.len > 0;
}

static void on_success(struct smtp_client *c, bool alone)
{
    bool proved = is_external(c) || !c->ops->sasl_proved || c->ops->sasl_proved(c->ctx);
    if (is_too_early(c, alone))
        client_login_failed(c,
                            "the server took the login before it was told as whom: it is not used");
    else if (!proved)
        client_login_failed(
            c,
            "the server took the login without proof that it knows the password: it is not used");
    else
        client_login_succeeded(c);
}

static bool on_auth(void *ctx, size_t alone, const struct smtp_answer *a)
{
    struct smtp_client *c = ctx;
    if (a->code == 421)
        return true;
    if (client_class(a) == 2) {
        on_success(c, alone);
    } else if (client_class(a) == 3) {
        on_challenge(c, alone, buf_str(&a->text));
    } else if (is_about_form(c, alone, a)) {
        c->login.two_step = true;
        c->login.refused_here = true;
        client_auth(c);
    } else {
        client_login_refused(c, a);
    }
    return true;
}
