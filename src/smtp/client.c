#include "smtp/client_internal.h"

#include <assert.h>
#include <stdio.h>

/* The steps drawn in client_internal.h. */
#define TO(state) (1U << (state))
static const unsigned drawn[] = {
    [CS_GREETING] = TO(CS_HELLO) | TO(CS_QUIT) | TO(CS_ENDED),
    [CS_HELLO] = TO(CS_STARTTLS) | TO(CS_LOGIN) | TO(CS_READY) | TO(CS_QUIT) | TO(CS_ENDED),
    [CS_STARTTLS] = TO(CS_HANDSHAKE) | TO(CS_LOGIN) | TO(CS_READY) | TO(CS_QUIT) | TO(CS_ENDED),
    [CS_HANDSHAKE] = TO(CS_HELLO) | TO(CS_ENDED),
    [CS_LOGIN] = TO(CS_READY) | TO(CS_MESSAGE) | TO(CS_QUIT) | TO(CS_ENDED),
    [CS_READY] = TO(CS_MESSAGE) | TO(CS_QUIT) | TO(CS_ENDED),
    [CS_MESSAGE] = TO(CS_HELLO) | TO(CS_LOGIN) | TO(CS_READY) | TO(CS_QUIT) | TO(CS_ENDED),
    [CS_QUIT] = TO(CS_ENDED),
    [CS_ENDED] = 0,
};

void client_enter(struct smtp_client *c, enum client_state to)
{
    assert(drawn[c->state] & TO(to));
    c->state = to;
}

struct smtp_outcome client_outcome_of(const struct smtp_answer *a, enum smtp_stage stage)
{
    return (struct smtp_outcome){
        .code = a->code, .enhanced = a->enhanced, .text = buf_str(&a->text).p, .stage = stage};
}

struct smtp_outcome
client_outcome_ours(int code, const char *enhanced, const char *text, enum smtp_stage stage)
{
    return (struct smtp_outcome){
        .code = code, .enhanced = enhanced, .text = text, .stage = stage, .ours = true};
}

/* ---- the end ---- */

void client_end(struct smtp_client *c, enum smtp_client_end end, const struct smtp_outcome *o)
{
    if (c->state == CS_ENDED)
        return;
    client_enter(c, CS_ENDED);
    smtp_talk_stop(&c->talk);
    if (end != SMTP_END_AGAIN)
        client_send_abandon(c, o);
    c->ops->ended(c->ctx, end, o);
}

static void keep_last_words(struct smtp_client *c, const struct smtp_outcome *o)
{
    (void)snprintf(c->last_enhanced, sizeof(c->last_enhanced), "%s", o->enhanced);
    (void)snprintf(c->last_text, sizeof(c->last_text), "%s", o->text);
    c->last_words = *o;
    c->last_words.enhanced = c->last_enhanced;
    c->last_words.text = c->last_text;
}

/* [rfc5321 4.1.1.10] We wait for the answer to QUIT before we close, but it changes nothing. */
static bool on_quit(void *ctx, size_t n, const struct smtp_answer *a)
{
    (void)n;
    (void)a;
    struct smtp_client *c = ctx;
    client_end(c, c->end, &c->last_words);
    return true;
}

void client_leave(struct smtp_client *c, enum smtp_client_end end, const struct smtp_outcome *o)
{
    client_enter(c, CS_QUIT);
    c->end = end;
    keep_last_words(c, o);
    client_send_abandon(c, &c->last_words);
    smtp_talk_say(&c->talk, "QUIT", SMTP_STAGE_QUIT, on_quit, 0);
}

void client_nonsense(struct smtp_client *c, enum smtp_stage stage, const struct smtp_answer *a)
{
    char text[600];
    (void)snprintf(text, sizeof(text), "the server's reply makes no sense here: %d %.400s", a->code,
                   buf_str(&a->text).p);
    struct smtp_outcome o = client_outcome_ours(451, "4.5.0", text, stage);
    client_end(c, SMTP_END_PROTOCOL, &o);
}

/* A conversation that ended before QUIT was answered ended well enough. */
static void
on_over(void *ctx, enum smtp_talk_end how, enum smtp_stage stage, const struct smtp_answer *a)
{
    struct smtp_client *c = ctx;
    if (stage == SMTP_STAGE_IDLE)
        stage = smtp_client_stage(c);
    if (c->state == CS_QUIT) {
        client_end(c, c->end, &c->last_words);
        return;
    }
    struct smtp_outcome o;
    switch (how) {
    case SMTP_TALK_CLOSING:
        o = client_outcome_of(a, stage);
        client_end(c, client_login_wants_again(c) ? SMTP_END_AGAIN : SMTP_END_CLOSING, &o);
        break;
    case SMTP_TALK_STRAY:
        if (client_send_is_interrupted(c, a))
            break;
        client_nonsense(c, stage, a);
        break;
    case SMTP_TALK_GARBLED:
        o = client_outcome_ours(451, "4.5.0", "what the server sent is not an SMTP reply", stage);
        client_end(c, SMTP_END_PROTOCOL, &o);
        break;
    case SMTP_TALK_UNSENDABLE:
        o = client_outcome_ours(451, "4.3.0", "a command could not be put into words", stage);
        client_end(c, SMTP_END_PROTOCOL, &o);
        break;
    }
}

static void lose(struct smtp_client *c, const char *why, enum smtp_client_end end)
{
    if (c->state == CS_QUIT) {
        client_end(c, c->end, &c->last_words);
        return;
    }
    struct smtp_outcome o = client_outcome_ours(451, "4.4.2", why, smtp_client_stage(c));
    client_end(c, end, &o);
}

void smtp_client_lost(struct smtp_client *c, const char *why)
{
    lose(c, why, SMTP_END_LOST);
}

void smtp_client_closed(struct smtp_client *c, const char *why)
{
    lose(c, why, client_login_wants_again(c) ? SMTP_END_AGAIN : SMTP_END_LOST);
}

void smtp_client_give_up(struct smtp_client *c, const struct smtp_outcome *o)
{
    if (c->state != CS_ENDED)
        client_end(c, SMTP_END_PROTOCOL, o);
}

void smtp_client_quit(struct smtp_client *c)
{
    static const struct smtp_outcome goodbye = {
        .code = 221, .enhanced = "2.0.0", .text = "Bye", .stage = SMTP_STAGE_QUIT, .ours = true};
    c->quit_wanted = true;
    if (c->state == CS_READY)
        client_leave(c, SMTP_END_QUIT, &goodbye);
}

void client_ready(struct smtp_client *c)
{
    if (c->state != CS_READY)
        client_enter(c, CS_READY);
    if (c->quit_wanted)
        smtp_client_quit(c);
    else
        c->ops->ready(c->ctx);
}

/* ---- greeting, EHLO, STARTTLS ---- */

static void refuse(struct smtp_client *c, enum smtp_stage stage, const struct smtp_answer *a)
{
    if (a->code == 421)
        return; /* the conversation ends by itself */
    struct smtp_outcome o = client_outcome_of(a, stage);
    client_leave(c, SMTP_END_REFUSED, &o);
}

static bool on_greeting(void *ctx, size_t n, const struct smtp_answer *a)
{
    (void)n;
    struct smtp_client *c = ctx;
    if (client_class(a) == 2)
        client_hello(c);
    else if (client_class(a) == 3)
        client_nonsense(c, SMTP_STAGE_GREETING, a);
    else
        refuse(c, SMTP_STAGE_GREETING, a);
    return true;
}

static bool on_starttls(void *ctx, size_t n, const struct smtp_answer *a)
{
    (void)n;
    struct smtp_client *c = ctx;
    if (client_class(a) == 2) {
        client_enter(c, CS_HANDSHAKE);
        smtp_talk_deafen(&c->talk);
        c->ops->start_tls(c->ctx);
    } else if (client_class(a) == 3) {
        client_nonsense(c, SMTP_STAGE_STARTTLS, a);
    } else if (a->code == 421) {
        return true;
    } else if (c->cfg.tls == SMTP_CLIENT_TLS_REQUIRE) {
        struct smtp_outcome o = client_outcome_of(a, SMTP_STAGE_STARTTLS);
        client_leave(c, SMTP_END_TLS, &o);
    } else {
        client_login(c);
    }
    return true;
}

/* What comes after a capability list was read. */
static void hello_done(struct smtp_client *c)
{
    if (c->secure || c->cfg.tls == SMTP_CLIENT_TLS_OFF) {
        client_login(c);
    } else if (smtp_offers(&c->caps, SMTP_EXT_STARTTLS)) {
        client_enter(c, CS_STARTTLS);
        smtp_talk_say(&c->talk, "STARTTLS", SMTP_STAGE_STARTTLS, on_starttls, 0);
    } else if (c->cfg.tls == SMTP_CLIENT_TLS_REQUIRE) {
        struct smtp_outcome o = client_outcome_ours(
            454, "4.7.10", "TLS is required and the server offers no STARTTLS", SMTP_STAGE_HELLO);
        client_leave(c, SMTP_END_TLS, &o);
    } else {
        client_login(c);
    }
}

static bool on_helo(void *ctx, size_t n, const struct smtp_answer *a)
{
    (void)n;
    struct smtp_client *c = ctx;
    if (client_class(a) == 2)
        hello_done(c);
    else if (client_class(a) == 3)
        client_nonsense(c, SMTP_STAGE_HELLO, a);
    else
        refuse(c, SMTP_STAGE_HELLO, a);
    return true;
}

static void say_hello(struct smtp_client *c, const char *verb, smtp_talk_fn *fn)
{
    smtp_talk_begin(&c->talk);
    smtp_talk_put(&c->talk, verb);
    smtp_talk_put(&c->talk, " ");
    smtp_talk_put(&c->talk, c->cfg.hostname);
    smtp_talk_end(&c->talk, SMTP_STAGE_HELLO, fn, 0);
}

/* [rfc5321 3.2] A server that does not know EHLO may know HELO.  LMTP has no such elder (RFC
 * 2033 4.1). */
static bool on_ehlo(void *ctx, size_t n, const struct smtp_answer *a)
{
    (void)n;
    struct smtp_client *c = ctx;
    if (client_class(a) == 2) {
        c->esmtp = true;
        smtp_capabilities_read(&c->caps, buf_str(&a->text));
        hello_done(c);
    } else if (client_class(a) == 5 && !c->cfg.lmtp && !c->esmtp) {
        say_hello(c, "HELO", on_helo);
    } else if (client_class(a) == 3) {
        client_nonsense(c, SMTP_STAGE_HELLO, a);
    } else {
        refuse(c, SMTP_STAGE_HELLO, a);
    }
    return true;
}

void client_hello(struct smtp_client *c)
{
    client_enter(c, CS_HELLO);
    c->caps = (struct smtp_capabilities){0};
    say_hello(c, c->cfg.lmtp ? "LHLO" : "EHLO", on_ehlo);
}

void smtp_client_secured(struct smtp_client *c, bool verified)
{
    assert(c->state == CS_GREETING || c->state == CS_HANDSHAKE || c->state == CS_ENDED);
    c->secure = true;
    c->verified = verified;
    if (c->state != CS_HANDSHAKE)
        return;
    smtp_talk_restart(&c->talk);
    c->esmtp = false;
    client_hello(c);
}

/* ---- life and questions ---- */

static void on_sent(void *ctx, struct str line)
{
    struct smtp_client *c = ctx;
    if (c->ops->sent)
        c->ops->sent(c->ctx, line);
}

static void on_received(void *ctx, const struct smtp_answer *a)
{
    struct smtp_client *c = ctx;
    if (c->ops->received)
        c->ops->received(c->ctx, a);
}

static const struct smtp_talk_ops talk_ops = {
    .over = on_over, .sent = on_sent, .received = on_received};

struct smtp_client *smtp_client_new(const struct smtp_client_config *cfg,
                                    const struct smtp_client_ops *ops,
                                    void *ctx,
                                    struct buf *out)
{
    assert(out->max >= SMTP_CLIENT_OUTPUT);
    struct smtp_client *c = xcalloc(1, sizeof(*c));
    c->cfg = *cfg;
    c->ops = ops;
    c->ctx = ctx;
    c->out = out;
    c->batch_max = cfg->recipients_max ? cfg->recipients_max : 1000;
    c->tx.marks = BUF_INIT(SMTP_CLIENT_RECIPIENTS_MAX);
    client_login_init(c);
    smtp_talk_init(&c->talk, &talk_ops, c, out);
    smtp_talk_expect(&c->talk, SMTP_STAGE_GREETING, on_greeting, 0);
    return c;
}

void smtp_client_free(struct smtp_client *c)
{
    if (!c)
        return;
    smtp_talk_done(&c->talk);
    buf_done(&c->tx.marks);
    buf_wipe(&c->login.message);
    free(c);
}

size_t smtp_client_feed(struct smtp_client *c, const char *data, size_t len)
{
    return smtp_talk_feed(&c->talk, data, len);
}

bool smtp_client_is_ready(const struct smtp_client *c)
{
    return c->state == CS_READY;
}

bool smtp_client_is_secure(const struct smtp_client *c)
{
    return c->secure;
}

bool smtp_client_is_esmtp(const struct smtp_client *c)
{
    return c->esmtp;
}

enum smtp_stage smtp_client_stage(const struct smtp_client *c)
{
    if (c->talk.count > 0)
        return smtp_talk_stage(&c->talk);
    if (c->state == CS_HANDSHAKE)
        return SMTP_STAGE_HANDSHAKE;
    return c->state == CS_MESSAGE ? SMTP_STAGE_TEXT : SMTP_STAGE_IDLE;
}

enum smtp_client_sequence smtp_client_sequence(const struct smtp_client *c)
{
    return c->sequence;
}

const char *smtp_sequence_name(enum smtp_client_sequence s)
{
    static const char *const names[] = {
        [SMTP_SEQUENCE_NONE] = "none",
        [SMTP_SEQUENCE_EXTERNAL] = "explicit",
        [SMTP_SEQUENCE_IMPLICIT] = "implicit",
        [SMTP_SEQUENCE_PASSWORD] = "password",
    };
    return names[s];
}

const char *smtp_client_mechanism(const struct smtp_client *c)
{
    return c->login.succeeded ? client_auth_mechanism(c->login.now)->name : "";
}

bool smtp_client_take_secrecy(struct smtp_client *c)
{
    bool secret = c->talk.secret;
    c->talk.secret = false;
    return secret;
}

const struct smtp_capabilities *smtp_client_capabilities(const struct smtp_client *c)
{
    return &c->caps;
}

size_t smtp_client_unheard(const struct smtp_client *c)
{
    return c->talk.unheard;
}
