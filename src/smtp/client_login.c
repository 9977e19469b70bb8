/* Which way of logging in is next: the account's set against the server's list and its refusals (conformance
 * chapter 1, field notes).
 *
 * L1  Nothing is tried that the account does not permit, and nothing outside TLS.
 * L2  After a refusal the certificate alone is no longer tried: mail must not go out as another identity than the one
 *     that was asked for (O1-07, O2-12).
 * L3  Each try comes later in the order than the one before, on this connection and the next: there is an end.
 * L4  Once a binding to the channel was refused, no password goes out without one: who refused it may sit in between, and
 *     is what a binding is there to notice (CB-04).
 */
#include "smtp/client_internal.h"

#include <stdio.h>

/* In login_from, beside the number of the try. */
#define FROM_TWO_STEP 16U
#define FROM_BINDING_REFUSED 32U
#define FROM_TRY 15U

static const unsigned ways[TRY_END] = {
    [TRY_EXTERNAL] = SMTP_LOGIN_EXTERNAL, [TRY_NAMED] = SMTP_LOGIN_EXTERNAL,
    [TRY_IMPLICIT] = SMTP_LOGIN_IMPLICIT, [TRY_EXPORTER] = SMTP_LOGIN_SCRAM,
    [TRY_END_POINT] = SMTP_LOGIN_SCRAM,   [TRY_SCRAM] = SMTP_LOGIN_SCRAM,
    [TRY_PLAIN] = SMTP_LOGIN_PLAIN,
};

const char *smtp_login_words(unsigned set, char out[SMTP_LOGIN_WORDS_MAX])
{
    static const struct {
        unsigned bit;
        const char *word;
    } words[] = {
        {SMTP_LOGIN_EXTERNAL, "EXTERNAL"},
        {SMTP_LOGIN_IMPLICIT, "implicit"},
        {SMTP_LOGIN_SCRAM,    "SCRAM"   },
        {SMTP_LOGIN_PLAIN,    "PLAIN"   },
    };
    size_t len = 0;
    out[0] = '\0';
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (set & words[i].bit)
            len += (size_t)snprintf(out + len, SMTP_LOGIN_WORDS_MAX - len, "%s%s", len ? ", " : "",
                                    words[i].word);
    return out;
}

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

void client_login_failed(struct smtp_client *c, const char *why)
{
    fail(c, "4.7.8", why);
}

static const char *list_of(const struct smtp_client *c)
{
    return *c->caps.mechanisms ? c->caps.mechanisms : "none";
}

static void fail_not_offered(struct smtp_client *c)
{
    char text[SMTP_MECHANISMS_MAX + 200], words[SMTP_LOGIN_WORDS_MAX];
    unsigned permitted = c->login.permitted & ~(unsigned)SMTP_LOGIN_IMPLICIT;
    if (c->login.binding_refused)
        (void)snprintf(
            text, sizeof(text),
            "the server refused SCRAM-SHA-256-PLUS before it saw a proof of the password, and "
            "we have nothing else to bind the login to");
    else if (permitted == SMTP_LOGIN_EXTERNAL)
        (void)snprintf(text, sizeof(text),
                       "the server offers no certificate authentication: EXTERNAL is not among its "
                       "mechanisms (%s)",
                       list_of(c));
    else if (permitted & SMTP_LOGIN_PLAIN && smtp_offers_mechanism(&c->caps, "PLAIN"))
        (void)snprintf(text, sizeof(text),
                       "the server's certificate was not verified, so no password is sent by PLAIN "
                       "(it offers %s)",
                       list_of(c));
    else
        (void)snprintf(text, sizeof(text),
                       "the server offers no login the account permits (%s): its mechanisms are %s",
                       smtp_login_words(permitted, words), list_of(c));
    client_login_failed(c, text);
}

/* ---- what can be tried ---- */

static bool is_possible(const struct smtp_client *c, enum login_try t)
{
    if (!(ways[t] & c->login.permitted))
        return false;
    if (t == TRY_IMPLICIT)
        return !c->login.refused; /* L2 */
    if (t == TRY_NAMED && (str_of(c->cfg.authzid).len || str_of(c->cfg.identity).len == 0))
        return false;
    if (t == TRY_PLAIN && !c->verified)
        return false;
    if (t > TRY_END_POINT && c->login.binding_refused)
        return false; /* L4 */
    return smtp_offers_mechanism(&c->caps, client_auth_mechanism(t)->name) &&
           (ways[t] & SMTP_LOGIN_CERTIFICATE || c->ops->sasl);
}

static enum login_try first_from(const struct smtp_client *c, unsigned t)
{
    while (t < TRY_END && !is_possible(c, (enum login_try)t))
        t++;
    return (enum login_try)t;
}

/* Goes the way from `t` on; false: there is none. */
static bool try_from(struct smtp_client *c, unsigned t)
{
    enum login_try next = first_from(c, t);
    if (next == TRY_END)
        return false;
    c->login.now = next;
    if (next == TRY_IMPLICIT) {
        c->implicit = true;
        done(c);
    } else {
        if (c->state != CS_LOGIN)
            client_enter(c, CS_LOGIN);
        client_auth(c);
    }
    return true;
}

void client_login_impossible(struct smtp_client *c)
{
    if (!try_from(c, c->login.now + 1U))
        fail_not_offered(c);
}

/* The certificate alone was not enough, or was never meant to be: from here on AUTH decides. */
static void insist(struct smtp_client *c)
{
    if (c->login.permitted & SMTP_LOGIN_IMPLICIT)
        c->login.permitted |= SMTP_LOGIN_EXTERNAL;
    c->login.permitted &= ~(unsigned)SMTP_LOGIN_IMPLICIT;
    c->login.refused = true;
}

void client_login_init(struct smtp_client *c)
{
    struct login *l = &c->login;
    l->permitted = c->cfg.login;
    l->now = TRY_EXTERNAL;
    if (!c->cfg.login_from)
        return;
    l->now = (enum login_try)(c->cfg.login_from & FROM_TRY);
    l->two_step = c->cfg.login_from & FROM_TWO_STEP;
    l->binding_refused = c->cfg.login_from & FROM_BINDING_REFUSED;
    insist(c);
}

/* [rfc4422 A.3] EXTERNAL is never used in the clear (EXT-08), and no password is; only the list read inside TLS counts
 * (EDG-12). */
void client_login(struct smtp_client *c)
{
    unsigned permitted = c->login.permitted;
    if (permitted == 0)
        done(c);
    else if (!c->secure && permitted & SMTP_LOGIN_CERTIFICATE)
        fail(c, "4.7.10", "the connection has no TLS, so there is no certificate to log in with");
    else if (!c->secure)
        fail(c, "4.7.10", "the connection has no TLS, so no password is sent");
    else if (!try_from(c, c->login.now))
        fail_not_offered(c);
}

/* ---- what came of it ---- */

void client_login_succeeded(struct smtp_client *c)
{
    c->sequence = ways[c->login.now] & SMTP_LOGIN_CERTIFICATE ? SMTP_SEQUENCE_EXTERNAL
                                                              : SMTP_SEQUENCE_PASSWORD;
    c->login.succeeded = true;
    c->implicit = false;
    buf_wipe(&c->login.message);
    done(c);
}

/* "No such command", "not now", "no such mechanism": said by servers that took the certificate in TLS and now hide AUTH; MAIL
 * works on the same connection.  535 and its like are a refusal, and stay one (O1-07). */
static bool is_absence(const struct smtp_answer *a)
{
    return a->code == 500 || a->code == 502 || a->code == 503 || a->code == 504;
}

/* AUTH-18, AUTH-19: another mechanism would do. */
static bool is_about_mechanism(const struct smtp_answer *a)
{
    return is_absence(a) || a->code == 534 || a->code == 432;
}

/* It was the first message that was refused, which holds no proof of the password yet: the server may know the other binding. */
static bool is_about_binding(const struct smtp_client *c)
{
    return c->login.now == TRY_EXPORTER && !c->login.answered;
}

/* After `a`, with which try does it go on?  TRY_END: with none. */
static unsigned next_after(const struct smtp_client *c, const struct smtp_answer *a)
{
    enum login_try now = c->login.now;
    if (client_class(a) == 4 && a->code != 432)
        return TRY_END; /* AUTH-17 */
    if (ways[now] & SMTP_LOGIN_PASSWORD)
        return is_about_mechanism(a) || is_about_binding(c) ? now + 1U : TRY_END;
    if (is_absence(a))
        return TRY_IMPLICIT;
    return now + 1U;
}

void client_login_binding_refused(struct smtp_client *c, const char *why)
{
    c->login.refused_here = c->login.refused = c->login.binding_refused = true;
    if (!try_from(c, c->login.now + 1U))
        client_login_failed(c, why);
}

void client_login_refused(struct smtp_client *c, const struct smtp_answer *a)
{
    c->login.refused_here = true;
    c->login.binding_refused |= is_about_binding(c) && !is_about_mechanism(a);
    c->login.refused = c->login.refused || !is_absence(a);
    if (try_from(c, next_after(c, a)))
        return;
    struct smtp_outcome o = client_outcome_of(a, SMTP_STAGE_LOGIN);
    client_leave(c, SMTP_END_LOGIN, &o);
}

/* ---- a MAIL that wants AUTH after all ---- */

/* 535 is for AUTH alone, but one deployed server says it to MAIL (O2-07). */
bool client_login_can_cure(const struct smtp_client *c, const struct smtp_answer *a)
{
    return (a->code == 530 || a->code == 535) && c->implicit && c->secure && !c->login.tried;
}

/* EDG-10: what EHLO lists is read again before we give up; a server may have learned of us meanwhile. */
void client_login_cure(struct smtp_client *c)
{
    insist(c);
    c->login.refused_here = true;
    c->login.now = TRY_EXTERNAL;
    if (smtp_offers_mechanism(&c->caps, "EXTERNAL") || !c->esmtp || c->login.hello_again) {
        client_login(c);
        return;
    }
    c->login.hello_again = true;
    client_hello(c);
}

/* ---- the next connection ---- */

/* Only where something was refused on this one (L3): a server that closes without a word would do so again. */
bool client_login_wants_again(const struct smtp_client *c)
{
    bool under_way = c->state == CS_LOGIN || (c->state == CS_HELLO && c->login.hello_again);
    return under_way && c->login.refused_here && client_send_is_untouched(c);
}

unsigned smtp_client_login_next(const struct smtp_client *c)
{
    return (unsigned)c->login.now | (c->login.two_step ? FROM_TWO_STEP : 0) |
           (c->login.binding_refused ? FROM_BINDING_REFUSED : 0);
}
