#include "probe/cases.h"
#include "probe/steps.h"

#include <stdio.h>
#include <string.h>

/* How far somebody with a certificate got.  The handshake may stand and the refusal come with the first read (TLS 1.3),
 * so TLS, a close and a 421 are told from how the dialogue ended, wherever that was. */
struct fate {
    bool in, offered, early; /* early: refused before there was anything to say */
    struct words at;         /* where and how it was refused */
};

static void refused_before(struct fate *f,
                           const struct dialogue *d,
                           const char *at,
                           const struct dialogue_reply *a)
{
    const struct contact_facts *facts = dialogue_facts(d);
    f->early = true;
    if (facts->alert)
        (void)snprintf(f->at.s, sizeof(f->at.s), "TLS alert %s%s", facts->alert,
                       facts->secure ? ", after the handshake" : "");
    else if (a->code)
        (void)snprintf(f->at.s, sizeof(f->at.s), "%.150s at %s", words_of(d, a).s, at);
    else
        (void)snprintf(f->at.s, sizeof(f->at.s), "closed at %s: %.110s", at, dialogue_why(d));
}

/* As far as EHLO inside TLS; NULL: refused on the way, as `f` tells. */
static struct dialogue *enter(struct probe *p, struct tls_context *tls, struct fate *f)
{
    struct dialogue *d = dialogue_open(p->loop, &p->target, tls);
    struct dialogue_reply a = dialogue_greeting(d);
    const char *at = "the greeting";
    bool in = a.code == 220;
    if (in && !p->target.implicit) {
        a = dialogue_ehlo(d, p->helo);
        in = a.code == 250 && dialogue_start_tls(d, NULL, &a);
        at = "STARTTLS";
        if (a.code == 220)
            a.code = 0;
    }
    if (in) {
        a = dialogue_ehlo(d, p->helo);
        at = "EHLO in TLS";
        in = a.code == 250;
    }
    if (in)
        return d;
    refused_before(f, d, at, &a);
    dialogue_close(d);
    return NULL;
}

static void try_login(struct probe *p, struct tls_context *tls, struct fate *f)
{
    struct dialogue *d = enter(p, tls, f);
    if (!d)
        return;
    f->offered = offers_external(d);
    bool prompted;
    struct dialogue_reply a = say_external(p, d, SHAPE_EMPTY_LINE, &prompted);
    if (is_refusal(a.code) && p->identity && p->seen.authzid == SEEN_YES && !dialogue_ended(d))
        a = say_external(p, d, SHAPE_AUTHZID, &prompted);
    f->in = a.code == 235;
    f->at = words_of(d, &a);
    dialogue_close(d);
}

static void try_mail(struct probe *p, struct tls_context *tls, struct fate *f)
{
    struct dialogue *d = enter(p, tls, f);
    if (!d)
        return;
    struct dialogue_reply a;
    f->in = ask_mail(p, d, &a) == SEEN_YES && p->seen.anonymous != SEEN_YES;
    f->at = words_of(d, &a);
    dialogue_close(d);
}

/* [rfc5280 6.1] Accepting it is the fault; offering EXTERNAL to it a promise that is not kept (EDG-25). */
static void try_bad(struct probe *p,
                    enum bad_certificate kind,
                    enum probe_status accepted,
                    struct probe_result *r)
{
    struct tls_context *tls = p->bad[kind];
    if (!tls) {
        judge(r, PROBE_NOT_RUN, "needs --bad %s=FILE%s", bad_certificate_name(kind),
              kind == BAD_REVOKED ? "" : ", or --ca-cert and --ca-key to make one");
        return;
    }
    struct fate login = {0}, mail = {0};
    try_login(p, tls, &login);
    try_mail(p, tls, &mail);
    if (login.in || mail.in)
        judge(r, accepted, "accepted: AUTH EXTERNAL %.120s; MAIL %.120s", login.at.s, mail.at.s);
    else if (login.early)
        judge(r, PROBE_PASS, "refused: %s", login.at.s);
    else
        judge(r, login.offered ? PROBE_WARN : PROBE_PASS,
              "EXTERNAL is %soffered; AUTH EXTERNAL %.110s; MAIL %.110s",
              login.offered ? "" : "not ", login.at.s, mail.at.s);
}

void case_bad_expired(struct probe *p, struct probe_result *r)
{
    try_bad(p, BAD_EXPIRED, PROBE_FAIL, r);
}

void case_bad_future(struct probe *p, struct probe_result *r)
{
    try_bad(p, BAD_FUTURE, PROBE_FAIL, r);
}

void case_bad_usage(struct probe *p, struct probe_result *r)
{
    try_bad(p, BAD_USAGE, PROBE_FAIL, r);
}

void case_bad_unknown(struct probe *p, struct probe_result *r)
{
    try_bad(p, BAD_UNKNOWN, PROBE_FAIL, r);
}

void case_bad_self_signed(struct probe *p, struct probe_result *r)
{
    try_bad(p, BAD_SELF_SIGNED, PROBE_FAIL, r);
}

void case_bad_revoked(struct probe *p, struct probe_result *r)
{
    try_bad(p, BAD_REVOKED, PROBE_FAIL, r);
}

/* Whoever maps another field of the certificate may well take it. */
void case_bad_no_email(struct probe *p, struct probe_result *r)
{
    try_bad(p, BAD_NO_EMAIL, PROBE_SEEN, r);
}
