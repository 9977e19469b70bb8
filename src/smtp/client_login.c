/* The certificate's two sequences, from the client's side (conformance chapter 1, field notes).
 *
 * Sequence 1 is AUTH EXTERNAL, sequence 2 is MAIL at once.  EXTERNAL has one message of ours, the
 * authzid, which rides on the command or, where a server refuses that form, answers its empty
 * challenge.  AUTH is sent once in a session: after it was refused nothing else is tried, so that
 * no mail goes out under another identity than the one asked for (O1-07, O2-12).
 */
#include "base/b64.h"
#include "smtp/client_internal.h"

#include <stdio.h>

#define AUTH_LINE_MAX                                                                              \
    510 /* RFC 4954 section 4: 512 with CR LF, else the response goes by itself (AUTH-14) */
#define AUTHZID_MAX 1024

static bool on_auth(void *ctx, size_t n, const struct smtp_answer *a);

static void done(struct smtp_client *c)
{
    if (c->tx.msg)
        client_send_again(c);
    else
        client_ready(c);
}

static void fail(struct smtp_client *c, const char *enhanced, const char *text)
{
    struct smtp_outcome o = client_outcome_ours(454, enhanced, text, SMTP_STAGE_LOGIN);
    client_leave(c, SMTP_END_LOGIN, &o);
}

static void fail_as_answered(struct smtp_client *c, const struct smtp_answer *a)
{
    struct smtp_outcome o = client_outcome_of(a, SMTP_STAGE_LOGIN);
    client_leave(c, SMTP_END_LOGIN, &o);
}

static void fail_not_offered(struct smtp_client *c)
{
    char text[400];
    const char *list = c->caps.mechanisms;
    (void)snprintf(text, sizeof(text),
                   "the server offers no certificate authentication: EXTERNAL is not among its "
                   "mechanisms (%s)",
                   *list ? list : "none");
    fail(c, "4.7.8", text);
}

/* The authzid in base64.  [rfc4954 4] An empty one is "=" on the command and nothing on a line of
 * its own. */
static void put_authzid(struct smtp_client *c, const char *when_empty)
{
    struct str id = str_of(c->cfg.authzid);
    if (id.len == 0)
        smtp_talk_put(&c->talk, when_empty);
    else
        smtp_talk_put_error(&c->talk, b64_encode(id, c->out));
}

static void say_auth(struct smtp_client *c)
{
    c->auth_tried = true;
    c->auth_responded = false;
    struct str id = str_of(c->cfg.authzid);
    static const char command[] = "AUTH EXTERNAL";
    if (sizeof(command) + B64_LEN(id.len) > AUTH_LINE_MAX)
        c->auth_two_step = true;
    smtp_talk_begin(&c->talk);
    smtp_talk_put(&c->talk, command);
    if (!c->auth_two_step) {
        smtp_talk_put(&c->talk, " ");
        put_authzid(c, "=");
    }
    smtp_talk_end(&c->talk, SMTP_STAGE_LOGIN, on_auth, 0);
}

static void begin_auth(struct smtp_client *c)
{
    struct str id = str_of(c->cfg.authzid);
    client_enter(c, CS_LOGIN);
    if (id.len > AUTHZID_MAX || !str_is_utf8(id))
        fail(c, "4.7.8", "the authorisation identity is too long or not UTF-8");
    else
        say_auth(c);
}

static bool on_cancelled(void *ctx, size_t n, const struct smtp_answer *a)
{
    (void)n;
    (void)a;
    fail(ctx, "4.7.8", "the server asks EXTERNAL for more than it has: AUTH was cancelled");
    return true;
}

static bool is_base64(struct str s)
{
    struct buf decoded = BUF_INIT(SMTP_REPLY_LINE);
    int r = b64_decode(s, &decoded);
    buf_done(&decoded);
    return r == 0;
}

/* EXTERNAL has no challenge but the empty one (EXT-01).  Servers prompt with something all the
 * same, or ask again after an initial response: the authzid is the answer, once.  What is no
 * challenge is cancelled (AUTH-11). */
static void respond(struct smtp_client *c, const struct smtp_answer *a)
{
    if (c->auth_responded || !is_base64(buf_str(&a->text))) {
        smtp_talk_say(&c->talk, "*", SMTP_STAGE_LOGIN, on_cancelled, 0);
        return;
    }
    c->auth_responded = true;
    smtp_talk_begin(&c->talk);
    put_authzid(c, "");
    smtp_talk_end(&c->talk, SMTP_STAGE_LOGIN, on_auth, 0);
}

/* Refused for its form: there are servers that know only the form without an initial response. */
static bool is_about_form(const struct smtp_client *c, const struct smtp_answer *a)
{
    return !c->auth_two_step && !c->auth_responded && (a->code == 501 || a->code == 500);
}

/* "No such command", "not now", "no such mechanism": said by servers that took the certificate in
 * TLS and now hide AUTH; MAIL works on the same connection. 535 and its like are a refusal, and
 * stay one (O1-07). */
static bool is_absence(const struct smtp_answer *a)
{
    return a->code == 500 || a->code == 502 || a->code == 503 || a->code == 504;
}

static bool may_imply(const struct smtp_client *c)
{
    return c->cfg.login == SMTP_CLIENT_LOGIN_AUTO && c->cfg.implicit_allowed && !c->tx.msg;
}

static bool on_auth(void *ctx, size_t n, const struct smtp_answer *a)
{
    (void)n;
    struct smtp_client *c = ctx;
    if (a->code == 421)
        return true;
    if (client_class(a) == 2) {
        c->sequence = SMTP_SEQUENCE_EXTERNAL;
        c->implicit = false;
        done(c);
    } else if (client_class(a) == 3) {
        respond(c, a);
    } else if (is_about_form(c, a)) {
        c->auth_two_step = true;
        say_auth(c);
    } else if (is_absence(a) && may_imply(c)) {
        c->implicit = true;
        done(c);
    } else {
        fail_as_answered(c, a);
    }
    return true;
}

static void login_auto(struct smtp_client *c)
{
    if (!c->cfg.has_certificate || !c->secure) {
        done(c);
    } else if (smtp_offers_mechanism(&c->caps, "EXTERNAL")) {
        begin_auth(c);
    } else if (may_imply(c)) {
        c->implicit = true;
        done(c);
    } else {
        fail_not_offered(c);
    }
}

/* [rfc4422 A.3] EXTERNAL is never used in the clear (EXT-08); only the list read inside TLS counts
 * (EDG-12). */
static void login_external(struct smtp_client *c)
{
    if (!c->secure)
        fail(c, "4.7.10", "the connection has no TLS, so there is no certificate to log in with");
    else if (!smtp_offers_mechanism(&c->caps, "EXTERNAL"))
        fail_not_offered(c);
    else
        begin_auth(c);
}

static void login_implicit(struct smtp_client *c)
{
    if (!c->secure) {
        login_external(c);
    } else {
        c->implicit = true;
        done(c);
    }
}

void client_login(struct smtp_client *c)
{
    if (c->tx.msg) { /* the list was read again after a 530 */
        login_external(c);
        return;
    }
    switch (c->cfg.login) {
    case SMTP_CLIENT_LOGIN_NONE:
        done(c);
        break;
    case SMTP_CLIENT_LOGIN_AUTO:
        login_auto(c);
        break;
    case SMTP_CLIENT_LOGIN_EXTERNAL:
        login_external(c);
        break;
    case SMTP_CLIENT_LOGIN_IMPLICIT:
        login_implicit(c);
        break;
    }
}

/* 535 is for AUTH alone, but one deployed server says it to MAIL (O2-07). */
bool client_login_can_cure(const struct smtp_client *c, const struct smtp_answer *a)
{
    return (a->code == 530 || a->code == 535) && c->implicit && c->secure && !c->auth_tried;
}

/* EDG-10: what EHLO lists is read again before we give up; a server may have learned of us
 * meanwhile. */
void client_login_cure(struct smtp_client *c)
{
    if (smtp_offers_mechanism(&c->caps, "EXTERNAL") || !c->esmtp || c->hello_again) {
        login_external(c);
        return;
    }
    c->hello_again = true;
    client_hello(c);
}
