#include "probe/cases.h"
#include "probe/steps.h"

#include <stdio.h>
#include <string.h>

/* ---- without a certificate ---- */

void case_no_certificate(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->plain, r);
    if (!d)
        return;
    const char *mechanisms = dialogue_capabilities(d)->mechanisms;
    bool offered = offers_external(d);
    judge(r, offered ? PROBE_WARN : PROBE_PASS, "%s; mechanisms: %.200s",
          offered ? "EXTERNAL is offered to a client without certificate"
                  : "EXTERNAL is not offered",
          *mechanisms ? mechanisms : "none");
    dialogue_close(d);
}

void case_login_without(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->plain, r);
    if (!d)
        return;
    bool prompted;
    struct dialogue_reply a = say_external(p, d, SHAPE_EMPTY_LINE, &prompted);
    judge_reply(r, d, "AUTH EXTERNAL without certificate", &a, is_refusal(a.code));
    dialogue_close(d);
}

void case_anonymous(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->plain, r);
    if (!d)
        return;
    struct dialogue_reply a;
    p->seen.anonymous = ask_mail(p, d, &a);
    judge_reply(r, d, "mail without certificate or AUTH", &a, p->seen.anonymous == SEEN_NO);
    if (a.code / 100 == 4)
        r->status = PROBE_NOT_RUN;
    dialogue_close(d);
}

/* ---- what is offered with it ---- */

void case_offered(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->with_certificate, r);
    if (!d)
        return;
    const struct smtp_capabilities *caps = dialogue_capabilities(d);
    p->seen.auth = smtp_offers(caps, SMTP_EXT_AUTH) ? SEEN_YES : SEEN_NO;
    p->seen.offered = offers_external(d) ? SEEN_YES : SEEN_NO;
    p->capabilities = *caps;
    judge(r, PROBE_SEEN, "mechanisms with the certificate, under %s: %.200s",
          dialogue_facts(d)->version, *caps->mechanisms ? caps->mechanisms : "none");
    dialogue_close(d);
}

/* [O3-01, O3-03] The AUTH line is the one thing that may differ before the login. */
static bool same_but_auth(const struct smtp_capabilities *a, const struct smtp_capabilities *b)
{
    uint32_t auth = UINT32_C(1) << SMTP_EXT_AUTH;
    return (a->offered | auth) == (b->offered | auth) && a->size_max == b->size_max &&
           a->mail_max == b->mail_max && a->rcpt_max == b->rcpt_max &&
           a->domain_max == b->domain_max;
}

void case_visible(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->plain, r);
    if (!d)
        return;
    bool same = same_but_auth(dialogue_capabilities(d), &p->capabilities);
    if (p->seen.offered == SEEN_UNKNOWN)
        judge(r, PROBE_NOT_RUN, "EHLO with the certificate was not answered");
    else {
        p->seen.differs = same ? SEEN_NO : SEEN_YES;
        judge(r, PROBE_SEEN,
              same ? "EHLO tells nobody more, but for the AUTH line"
                   : "EHLO tells more to who shows the certificate, beyond the AUTH line");
    }
    dialogue_close(d);
}

/* A server that never takes mail on the certificate owes no EXTERNAL: whether this is a fault is known only once
 * the implicit case ran (OPN-06). */
void case_enabled(struct probe *p, struct probe_result *r)
{
    const struct observations *o = &p->seen;
    if (o->implicit == SEEN_YES && (o->offered == SEEN_NO || o->explicit_login == SEEN_NO))
        judge(r, PROBE_FAIL, "the certificate alone opens mail, but EXTERNAL is %s",
              o->offered == SEEN_NO ? "not offered" : "refused");
    else if (o->explicit_login == SEEN_YES && o->offered == SEEN_NO)
        judge(r, PROBE_FAIL, "EXTERNAL works but is not offered");
    else if (o->explicit_login == SEEN_YES)
        judge(r, PROBE_PASS, "EXTERNAL is offered and works");
    else if (o->offered == SEEN_YES)
        judge(r, PROBE_WARN, "EXTERNAL is offered but no shape of it worked");
    else
        judge(r, PROBE_SEEN, "the certificate is not taken as sufficient");
}

/* ---- the shapes of EXTERNAL ---- */

static enum seen try_shape(struct probe *p, enum shape shape, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->with_certificate, r);
    if (!d)
        return SEEN_UNKNOWN;
    bool prompted;
    struct dialogue_reply a = say_external(p, d, shape, &prompted);
    judge_reply(r, d, prompted ? "after 334" : "at once", &a, a.code == 235);
    enum seen seen = a.code == 235 ? SEEN_YES : is_refusal(a.code) ? SEEN_NO : SEEN_UNKNOWN;
    note_login(p, seen);
    if (seen == SEEN_UNKNOWN)
        r->status = PROBE_NOT_RUN;
    dialogue_close(d);
    return seen;
}

/* A shape that is not taken is a fault only of a server that takes EXTERNAL at all. */
static enum seen try_further_shape(struct probe *p,
                                   enum shape shape,
                                   enum probe_status otherwise,
                                   struct probe_result *r)
{
    enum seen seen = try_shape(p, shape, r);
    if (r->status == PROBE_FAIL)
        r->status = p->seen.explicit_login == SEEN_YES ? otherwise : PROBE_SEEN;
    return seen;
}

void case_equals(struct probe *p, struct probe_result *r)
{
    p->seen.equals = try_shape(p, SHAPE_EQUALS, r);
    if (r->status == PROBE_FAIL && p->seen.offered != SEEN_YES)
        r->status = PROBE_SEEN;
}

void case_empty_line(struct probe *p, struct probe_result *r)
{
    p->seen.empty_line = try_further_shape(p, SHAPE_EMPTY_LINE, PROBE_WARN, r);
}

/* "=" is no base64: refusing it is right, if unkind (EXT-10). */
void case_prompted_equals(struct probe *p, struct probe_result *r)
{
    p->seen.prompted_equals = try_further_shape(p, SHAPE_PROMPTED_EQUALS, PROBE_SEEN, r);
}

void case_trailing_space(struct probe *p, struct probe_result *r)
{
    p->seen.trailing_space = try_further_shape(p, SHAPE_TRAILING_SPACE, PROBE_SEEN, r);
}

void case_lower_case(struct probe *p, struct probe_result *r)
{
    enum probe_status otherwise = p->seen.equals == SEEN_YES ? PROBE_FAIL : PROBE_SEEN;
    (void)try_further_shape(p, SHAPE_LOWER_CASE, otherwise, r);
}

void case_authzid(struct probe *p, struct probe_result *r)
{
    p->seen.authzid = try_further_shape(p, SHAPE_AUTHZID, PROBE_WARN, r);
}

void case_prompted_authzid(struct probe *p, struct probe_result *r)
{
    p->seen.prompted_authzid = try_further_shape(p, SHAPE_PROMPTED_AUTHZID, PROBE_WARN, r);
}

/* [rfc4954 4] A response is base64, and this is none: a server that takes the line for what it is means to be kind. */
void case_then_mail(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->with_certificate, r);
    if (!d)
        return;
    bool prompted;
    struct dialogue_reply a = say_external(p, d, SHAPE_MAIL, &prompted);
    if (a.code)
        p->seen.then_mail = is_good(a.code) ? SEEN_YES : SEEN_NO;
    judge(r, a.code ? PROBE_SEEN : PROBE_NOT_RUN, "%s: %s", prompted ? "after 334" : "at once",
          words_of(d, &a).s);
    dialogue_close(d);
}

void case_prompt(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->with_certificate, r);
    if (!d)
        return;
    struct dialogue_reply a = dialogue_say(d, "AUTH EXTERNAL");
    if (a.code == 334)
        judge(r, *a.text ? PROBE_FAIL : PROBE_PASS,
              *a.text ? "the prompt is not empty: 334 %s" : "334%s", a.text);
    else
        judge(r, a.code == 235 ? PROBE_FAIL : PROBE_SEEN, "no prompt: %s", words_of(d, &a).s);
    if (a.code == 334)
        (void)dialogue_say(d, "*");
    dialogue_close(d);
}

/* ---- what is no login ---- */

void case_cancel(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->with_certificate, r);
    if (!d)
        return;
    struct dialogue_reply a = dialogue_say(d, "AUTH EXTERNAL");
    if (a.code != 334)
        judge(r, PROBE_NOT_RUN, "there is no prompt to cancel: %s", words_of(d, &a).s);
    else {
        a = dialogue_say(d, "*");
        judge_reply(r, d, "cancelled by *", &a, a.code == 501);
        if (is_refusal(a.code) && a.code != 501)
            r->status = PROBE_WARN;
    }
    dialogue_close(d);
}

/* A response that may on no account log in; NULL: one in the name of somebody else. */
static void refuse(struct probe *p, const char *encoded, const char *what, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->with_certificate, r);
    if (!d)
        return;
    struct dialogue_reply a = encoded ? say_response(d, encoded) : say_foreign(d);
    judge_reply(r, d, what, &a, is_refusal(a.code));
    dialogue_close(d);
}

void case_not_base64(struct probe *p, struct probe_result *r)
{
    refuse(p, "=AAA", "a response that is no base64", r);
}

void case_nul(struct probe *p, struct probe_result *r)
{
    refuse(p, "YQBi", "an authzid with a NUL inside", r);
}

void case_not_utf8(struct probe *p, struct probe_result *r)
{
    refuse(p, "wK8=", "an authzid that is no UTF-8", r);
}

void case_unknown_mechanism(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->with_certificate, r);
    if (!d)
        return;
    struct dialogue_reply a = dialogue_say(d, "AUTH XPROBE-NONE");
    judge_reply(r, d, "AUTH with a mechanism that nobody has", &a, a.code == 504);
    if (is_refusal(a.code) && a.code != 504) /* 503 where there is no AUTH at all is as clear */
        r->status = a.code == 503 && p->seen.auth != SEEN_YES ? PROBE_PASS : PROBE_WARN;
    dialogue_close(d);
}

void case_foreign(struct probe *p, struct probe_result *r)
{
    refuse(p, NULL, "EXTERNAL as somebody else", r);
}

/* ---- without a word ---- */

/* [rfc6409 6.1] Who is logged in may still be refused for the name in MAIL. */
static bool is_sender_refused(struct probe *p)
{
    struct probe_result ignored;
    if (p->seen.explicit_login != SEEN_YES)
        return false;
    struct dialogue *d = open_logged_in(p, &ignored);
    if (!d)
        return false;
    struct dialogue_reply a = say_mail(p, d);
    dialogue_close(d);
    return is_refusal(a.code) && a.code != 530 && a.code != 503;
}

void case_implicit(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->with_certificate, r);
    if (!d)
        return;
    struct dialogue_reply a;
    p->seen.implicit = ask_mail(p, d, &a);
    bool open = p->seen.implicit == SEEN_YES;
    judge_reply(r, d, open ? "the certificate alone opens mail" : "mail without AUTH", &a, true);
    if (r->status == PROBE_PASS)
        r->status = a.code / 100 == 4 ? PROBE_NOT_RUN : PROBE_SEEN;
    p->sender_refused = !open && is_sender_refused(p);
    if (p->sender_refused && a.code != 530) {
        p->seen.implicit = SEEN_UNKNOWN;
        judge(r, PROBE_NOT_RUN, "needs --from, a sender the server takes from this certificate: %s",
              words_of(d, &a).s);
    }
    dialogue_close(d);
}

/* Mail at the relay port; SEEN_UNKNOWN with the result worded when it cannot be told. */
static enum seen ask_relay(struct probe *p,
                           struct tls_context *tls,
                           struct dialogue_reply *ret,
                           struct probe_result *r)
{
    struct probe at_relay = *p;
    at_relay.target = p->relay;
    struct dialogue *d = open_ready(&at_relay, tls, r);
    if (!d)
        return SEEN_UNKNOWN;
    enum seen open = ask_mail(&at_relay, d, ret);
    judge_reply(r, d, "relaying", ret, true);
    dialogue_close(d);
    return open;
}

/* [O3-06] What Option 1 may do and Option 3 may not. */
void case_relay(struct probe *p, struct probe_result *r)
{
    struct dialogue_reply with, without;
    enum seen open = ask_relay(p, p->plain, &without, r);
    if (open == SEEN_UNKNOWN) {
        r->status = PROBE_NOT_RUN;
        return;
    }
    if (open == SEEN_YES) {
        judge(r, PROBE_NOT_RUN,
              "the relay takes this recipient from everybody: give one elsewhere (--to)");
        return;
    }
    p->seen.relays = ask_relay(p, p->with_certificate, &with, r);
    r->status = p->seen.relays == SEEN_UNKNOWN ? PROBE_NOT_RUN : PROBE_SEEN;
    if (p->seen.relays != SEEN_UNKNOWN)
        judge(r, PROBE_SEEN, "without certificate %d, with it %d: %s", without.code, with.code,
              p->seen.relays == SEEN_YES ? "the certificate alone opens the relay"
                                         : "it opens nothing there");
}
