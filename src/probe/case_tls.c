#include "probe/cases.h"
#include "probe/steps.h"

#include <stdio.h>
#include <string.h>

/* ---- versions ---- */

/* Gets as far as the handshake, whatever the server says to the rest; `asked` is told even when it fails. */
static struct contact_facts
shake_hands(struct probe *p, struct tls_context *tls, char why[CONTACT_WHY])
{
    if (p->protocol != PROBE_SMTP)
        return case_mailbox_shake(p, tls, why);
    struct dialogue *d = dialogue_open(p->loop, &p->target, tls);
    struct dialogue_reply a;
    bool heard = dialogue_ehlo(d, p->helo).code == 250;
    p->reached = p->reached || heard;
    if (heard && !p->target.implicit)
        (void)dialogue_start_tls(d, NULL, &a);
    struct contact_facts facts = *dialogue_facts(d);
    (void)snprintf(why, CONTACT_WHY, "%s", dialogue_why(d));
    dialogue_close(d);
    return facts;
}

static const char *version_name(const struct probe *p)
{
    return p->version == TLS_VERSION_1_2 ? "TLS 1.2" : "TLS 1.3";
}

/* [rfc9325 3.1.1] 1.2 MUST, 1.3 SHOULD be spoken.  A server that is silent about the version but asks for a certificate
 * speaks it; one that speaks another does not speak this one. */
void case_version(struct probe *p, struct probe_result *r)
{
    char why[CONTACT_WHY];
    struct tls_context *best = p->with_certificate ? p->with_certificate : p->plain;
    struct contact_facts f = shake_hands(p, best, why);
    if (f.secure || f.asked) {
        p->seen.absent = SEEN_NO;
        judge(r, PROBE_PASS, "%s is spoken", version_name(p));
        return;
    }
    char other[CONTACT_WHY];
    if (!shake_hands(p, p->any_version, other).secure) {
        judge(r, PROBE_NOT_RUN, "no TLS at all: %s", why);
        return;
    }
    p->seen.absent = SEEN_YES;
    judge(r, p->version == TLS_VERSION_1_2 ? PROBE_FAIL : PROBE_WARN, "%s is not spoken: %s",
          version_name(p), why);
}

void case_old_version(struct probe *p, struct probe_result *r)
{
    char why[CONTACT_WHY];
    struct contact_facts f = shake_hands(p, p->old_version, why);
    if (f.secure)
        judge(r, PROBE_FAIL, "%s is still spoken", f.version);
    else
        judge(r, p->reached ? PROBE_PASS : PROBE_NOT_RUN, "%s", why);
}

/* ---- the request ---- */

static const char *list_words(const struct contact_facts *f)
{
    return f->n_authorities > 0 ? "; clients that heed the list withhold another CA's certificate"
                                : "";
}

void case_request(struct probe *p, struct probe_result *r)
{
    char why[CONTACT_WHY];
    struct contact_facts f = shake_hands(p, p->plain, why);
    if (!f.secure && !f.asked) {
        judge(r, PROBE_NOT_RUN, "%s", why);
        return;
    }
    p->seen.asked = f.asked ? SEEN_YES : SEEN_NO;
    if (!f.asked)
        judge(r, PROBE_SEEN, "no certificate is asked for: none can be shown");
    else if (f.secure)
        judge(r, PROBE_SEEN, "a certificate is asked for%s%s%s",
              f.n_authorities > 0 ? ", of these CAs: " : ", and no CA is named", f.authorities,
              list_words(&f));
    else
        judge(r, PROBE_SEEN, "a certificate is asked for, and who shows none is refused: %s", why);
}

/* ---- the border ---- */

void case_clear(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_clear(p, p->plain, r);
    if (!d)
        return;
    const struct smtp_capabilities *caps = dialogue_capabilities(d);
    if (offers_external(d))
        judge(r, PROBE_FAIL, "EXTERNAL is offered in the clear: AUTH %.200s", caps->mechanisms);
    else if (!smtp_offers(caps, SMTP_EXT_STARTTLS))
        judge(r, PROBE_FAIL, "STARTTLS is not offered");
    else
        judge(r, PROBE_PASS, "EXTERNAL is not offered before TLS");
    dialogue_close(d);
}

void case_clear_login(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_clear(p, p->plain, r);
    if (!d)
        return;
    bool prompted;
    struct dialogue_reply a = say_external(p, d, SHAPE_EMPTY_LINE, &prompted);
    judge_reply(r, d, "AUTH EXTERNAL in the clear", &a, is_refusal(a.code));
    dialogue_close(d);
}

void case_starttls_argument(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_clear(p, p->plain, r);
    if (!d)
        return;
    struct dialogue_reply a = dialogue_say(d, "STARTTLS probe");
    judge_reply(r, d, "STARTTLS with an argument", &a, is_refusal(a.code));
    if (a.code == 220)
        dialogue_abandon(d, "the handshake is awaited");
    dialogue_close(d);
}

void case_injection(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_bare(p, p->plain, "XPROBE-INJECTED", r);
    if (!d) {
        /* Dropping the connection is the other right answer. */
        r->status = p->reached ? PROBE_PASS : PROBE_NOT_RUN;
        return;
    }
    /* Were the line carried over, its 500 would come first, or even unasked. */
    struct dialogue_reply a = dialogue_ehlo(d, p->helo);
    if (a.code == 0)
        judge(r, dialogue_is_stray(d) ? PROBE_FAIL : PROBE_PASS, "the connection ended: %.200s",
              dialogue_why(d));
    else
        judge_reply(r, d, "first reply inside TLS", &a, a.code == 250);
    dialogue_close(d);
}

void case_state(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_bare(p, p->plain, NULL, r);
    if (!d)
        return;
    struct dialogue_reply a = say_mail(p, d);
    judge_reply(r, d, "MAIL inside TLS before EHLO", &a, is_refusal(a.code));
    if (r->status ==
        PROBE_FAIL) /* or this server never asks for one: that cannot be told apart here */
        r->status = PROBE_WARN;
    dialogue_close(d);
}

void case_transaction(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_clear(p, p->plain, r);
    if (!d)
        return;
    struct dialogue_reply a = say_mail(p, d);
    if (!is_good(a.code)) {
        judge(r, PROBE_PASS, "no transaction begins in the clear: %s", words_of(d, &a).s);
        dialogue_close(d);
        return;
    }
    if (!dialogue_start_tls(d, NULL, &a)) {
        judge(r, is_refusal(a.code) ? PROBE_PASS : PROBE_NOT_RUN, "STARTTLS in a transaction: %s",
              words_of(d, &a).s);
        dialogue_close(d);
        return;
    }
    a = say_rcpt(p, d);
    judge_reply(r, d, "RCPT inside TLS for a transaction begun in the clear", &a,
                is_refusal(a.code));
    dialogue_close(d);
}

void case_starttls_twice(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->plain, r);
    if (!d)
        return;
    bool offered = smtp_offers(dialogue_capabilities(d), SMTP_EXT_STARTTLS);
    struct dialogue_reply a = dialogue_say(d, "STARTTLS");
    judge_reply(r, d, offered ? "offered inside TLS; STARTTLS there" : "STARTTLS inside TLS", &a,
                is_refusal(a.code) && !offered);
    if (a.code == 220)
        dialogue_abandon(d, "the handshake is awaited");
    dialogue_close(d);
}

/* ---- resumption ---- */

struct visit {
    bool resumed;
    enum seen offered;
    int code;
};

static bool visit(struct probe *p, struct probe_result *r, struct visit *ret)
{
    struct dialogue *d = open_ready(p, p->resuming, r);
    if (!d)
        return false;
    ret->resumed = dialogue_facts(d)->resumed;
    ret->offered = offers_external(d) ? SEEN_YES : SEEN_NO;
    ret->code = dialogue_say(d, "AUTH EXTERNAL =").code;
    dialogue_close(d);
    return true;
}

/* [rfc8446 2.2] The identity comes from the session or there is none: the offer has to keep what it promises. */
void case_resumption(struct probe *p, struct probe_result *r)
{
    struct visit first, second;
    if (!visit(p, r, &first) || !visit(p, r, &second))
        return;
    if (!second.resumed)
        judge(r, PROBE_PASS, "a session is not taken back: each handshake is a full one");
    else if (second.code == first.code && second.offered == first.offered)
        judge(r, PROBE_PASS, "resumed: the identity is carried over, AUTH EXTERNAL = gives %d",
              second.code);
    else
        judge(r, second.offered == SEEN_NO ? PROBE_PASS : PROBE_FAIL,
              "resumed: EXTERNAL is %soffered, AUTH EXTERNAL = gives %d where it gave %d before",
              second.offered == SEEN_YES ? "" : "not ", second.code, first.code);
}
