/* IMAP and POP3: the neighbours with whose rules those for submission are argued.  RFC 8314 lets IMAP greet PREAUTH on
 * the strength of a certificate, and POP3 change nothing before AUTH. */
#include "probe/cases.h"
#include "probe/mailbox.h"
#include "probe/steps.h"

#include <stdio.h>
#include <string.h>

/* ---- words and steps ---- */

static bool is_imap(const struct probe *p)
{
    return p->protocol == PROBE_IMAP;
}

static struct words said(const struct mailbox *m, const struct mailbox_answer *a)
{
    struct words w;
    if (a->status != MAILBOX_NONE)
        (void)snprintf(w.s, sizeof(w.s), "%s", a->text);
    else
        (void)snprintf(w.s, sizeof(w.s), "no answer: %.150s", mailbox_why(m));
    return w;
}

/* [rfc5530 3, rfc3206 4] Codes that say "not now". */
static bool is_temporary(const struct mailbox_answer *a)
{
    static const char *const codes[] = {"[UNAVAILABLE]", "[INUSE]", "[SYS/TEMP]", "[IN-USE]",
                                        "[LOGIN-DELAY]"};
    for (size_t i = 0; i < ARRAY_LEN(codes); i++)
        if (strstr(a->text, codes[i]))
            return true;
    return false;
}

static bool refused(const struct mailbox_answer *a)
{
    if (is_temporary(a))
        return false;
    return a->status == MAILBOX_NO || a->status == MAILBOX_BAD || a->status == MAILBOX_BYE;
}

static void judge_answer(struct probe_result *r,
                         const struct mailbox *m,
                         const char *to,
                         const struct mailbox_answer *a,
                         bool right)
{
    enum probe_status status = right ? PROBE_PASS : PROBE_FAIL;
    judge(r, a->status == MAILBOX_NONE ? PROBE_NOT_RUN : status, "%s: %s", to, said(m, a).s);
}

static struct mailbox *open_any(struct probe *p, struct tls_context *tls)
{
    return mailbox_open(p->loop, &p->target, tls, is_imap(p) ? MAILBOX_IMAP : MAILBOX_POP3);
}

static struct mailbox *
stop(struct mailbox *m, struct probe_result *r, const char *at, const struct mailbox_answer *a)
{
    judge(r, PROBE_NOT_RUN, "%s: %s", at, said(m, a).s);
    mailbox_close(m);
    return NULL;
}

static struct mailbox *greeted(struct probe *p, struct tls_context *tls, struct probe_result *r)
{
    struct mailbox *m = open_any(p, tls);
    struct mailbox_answer a = mailbox_greeting(m);
    if (a.status != MAILBOX_OK && a.status != MAILBOX_PREAUTH)
        return stop(m, r, "greeting", &a);
    p->reached = true;
    return m;
}

/* Inside TLS. */
static struct mailbox *
secured(struct probe *p, struct tls_context *tls, const char *injected, struct probe_result *r)
{
    struct mailbox *m = greeted(p, tls, r);
    struct mailbox_answer a;
    if (!m || p->target.implicit || mailbox_start_tls(m, injected, &a))
        return m;
    if (a.status == MAILBOX_OK)
        a.status = MAILBOX_NONE;
    return stop(m, r, "STARTTLS", &a);
}

static struct mailbox_answer ask_capabilities(const struct probe *p, struct mailbox *m)
{
    return mailbox_say(m, is_imap(p) ? "CAPABILITY" : "CAPA", true);
}

static bool lists_external(const struct probe *p, const struct mailbox *m)
{
    return mailbox_has(m, is_imap(p) ? "AUTH=EXTERNAL" : "EXTERNAL");
}

/* Says the command, and `response` where a prompt comes; NULL: cancels. */
static struct mailbox_answer login(const struct probe *p,
                                   struct mailbox *m,
                                   const char *initial,
                                   const char *response,
                                   bool *ret_prompted)
{
    char line[STEPS_LINE + 32];
    (void)snprintf(line, sizeof(line), "%s EXTERNAL%s%s", is_imap(p) ? "AUTHENTICATE" : "AUTH",
                   *initial ? " " : "", initial);
    struct mailbox_answer a = mailbox_say(m, line, false);
    *ret_prompted = a.status == MAILBOX_PROMPT;
    return *ret_prompted ? mailbox_respond(m, response ? response : "*") : a;
}

/* What only somebody who is logged in may say. */
static struct mailbox_answer look_in(const struct probe *p, struct mailbox *m)
{
    return mailbox_say(m, is_imap(p) ? "LIST \"\" \"\"" : "STAT", false);
}

/* In the shape that was found to work. */
static struct mailbox_answer log_in(const struct probe *p, struct mailbox *m)
{
    char own[STEPS_LINE] = "=";
    bool prompted;
    if (p->seen.equals == SEEN_YES)
        return login(p, m, "=", NULL, &prompted);
    if (p->seen.empty_line == SEEN_YES)
        return login(p, m, "", "", &prompted);
    if (p->identity)
        (void)encode_name(p->identity, own);
    return p->seen.authzid == SEEN_YES ? login(p, m, own, NULL, &prompted)
                                       : login(p, m, "", own, &prompted);
}

static struct mailbox *logged_in(struct probe *p, struct probe_result *r)
{
    struct mailbox *m = secured(p, p->with_certificate, NULL, r);
    if (!m)
        return NULL;
    struct mailbox_answer a = log_in(p, m);
    return a.status == MAILBOX_OK ? m : stop(m, r, "the login, which worked before", &a);
}

struct contact_facts
case_mailbox_shake(struct probe *p, struct tls_context *tls, char why[CONTACT_WHY])
{
    struct mailbox *m = open_any(p, tls);
    struct mailbox_answer a;
    enum mailbox_status greeting = mailbox_greeting(m).status;
    p->reached = p->reached || greeting == MAILBOX_OK || greeting == MAILBOX_PREAUTH;
    if (!p->target.implicit)
        (void)mailbox_start_tls(m, NULL, &a);
    struct contact_facts facts = *mailbox_facts(m);
    (void)snprintf(why, CONTACT_WHY, "%s", mailbox_why(m));
    mailbox_close(m);
    return facts;
}

/* ---- the border ---- */

void case_mailbox_clear(struct probe *p, struct probe_result *r)
{
    struct mailbox *m = greeted(p, p->plain, r);
    if (!m)
        return;
    struct mailbox_answer a = ask_capabilities(p, m);
    bool offered = lists_external(p, m);
    if (a.status != MAILBOX_OK)
        judge(r, PROBE_NOT_RUN, "capabilities: %s", said(m, &a).s);
    else
        judge(r, offered ? PROBE_FAIL : PROBE_PASS, "EXTERNAL is %slisted in the clear",
              offered ? "" : "not ");
    mailbox_close(m);
}

void case_mailbox_clear_login(struct probe *p, struct probe_result *r)
{
    struct mailbox *m = greeted(p, p->plain, r);
    if (!m)
        return;
    bool prompted;
    struct mailbox_answer a = login(p, m, "", "", &prompted);
    judge_answer(r, m, "EXTERNAL in the clear", &a, refused(&a));
    mailbox_close(m);
}

void case_mailbox_injection(struct probe *p, struct probe_result *r)
{
    struct mailbox *m = secured(p, p->plain, is_imap(p) ? "NOOP" : "XPROBE", r);
    if (!m) {
        r->status = p->reached ? PROBE_PASS : PROBE_NOT_RUN; /* closing is the other right answer */
        return;
    }
    /* Were the command carried over, its answer would come unasked, or in place of this one: POP3 would refuse it. */
    struct mailbox_answer a = ask_capabilities(p, m);
    if (a.status == MAILBOX_NONE)
        judge(r, mailbox_is_stray(m) || !*mailbox_why(m) ? PROBE_FAIL : PROBE_PASS,
              "the connection ended: %.200s", mailbox_why(m));
    else
        judge_answer(r, m, "first answer inside TLS", &a, a.status == MAILBOX_OK);
    mailbox_close(m);
}

/* ---- without a certificate ---- */

void case_mailbox_without(struct probe *p, struct probe_result *r)
{
    struct mailbox *m = secured(p, p->plain, NULL, r);
    if (!m)
        return;
    struct mailbox_answer a = mailbox_greeting(m);
    bool preauth = a.status == MAILBOX_PREAUTH;
    a = ask_capabilities(p, m);
    bool offered = lists_external(p, m);
    if (preauth)
        judge(r, PROBE_FAIL, "PREAUTH greets who shows no certificate");
    else if (a.status != MAILBOX_OK)
        judge(r, PROBE_NOT_RUN, "capabilities: %s", said(m, &a).s);
    else
        judge(r, offered ? PROBE_WARN : PROBE_PASS,
              "EXTERNAL is %slisted for a client without certificate", offered ? "" : "not ");
    mailbox_close(m);
}

void case_mailbox_login_without(struct probe *p, struct probe_result *r)
{
    struct mailbox *m = secured(p, p->plain, NULL, r);
    if (!m)
        return;
    bool prompted;
    struct mailbox_answer a = login(p, m, "", "", &prompted);
    judge_answer(r, m, "EXTERNAL without certificate", &a, refused(&a));
    mailbox_close(m);
}

/* ---- with it ---- */

/* [rfc8314 3.2] A server may greet so; with STARTTLS the greeting came before the certificate. */
void case_mailbox_greeting(struct probe *p, struct probe_result *r)
{
    struct mailbox *m = secured(p, p->with_certificate, NULL, r);
    if (!m)
        return;
    struct mailbox_answer a = mailbox_greeting(m);
    bool preauth = a.status == MAILBOX_PREAUTH;
    p->seen.preauth = preauth ? SEEN_YES : SEEN_NO;
    if (preauth && !p->target.implicit)
        judge(r, PROBE_FAIL, "PREAUTH before TLS: %s", a.text);
    else
        judge(r, PROBE_SEEN, "%s", a.text);
    mailbox_close(m);
}

void case_mailbox_offered(struct probe *p, struct probe_result *r)
{
    struct mailbox *m = secured(p, p->with_certificate, NULL, r);
    if (!m)
        return;
    struct mailbox_answer a = ask_capabilities(p, m);
    bool offered = lists_external(p, m);
    bool initial = !is_imap(p) || mailbox_has(m, "SASL-IR");
    if (a.status == MAILBOX_OK)
        p->seen.offered = offered ? SEEN_YES : SEEN_NO;
    judge(r, a.status == MAILBOX_OK ? PROBE_SEEN : PROBE_NOT_RUN, "EXTERNAL is %slisted%s",
          offered ? "" : "not ", initial ? "" : ", and SASL-IR is not");
    mailbox_close(m);
}

static enum seen
try_login(struct probe *p, const char *initial, const char *response, struct probe_result *r)
{
    struct mailbox *m = secured(p, p->with_certificate, NULL, r);
    if (!m)
        return SEEN_UNKNOWN;
    if (mailbox_greeting(m).status == MAILBOX_PREAUTH) {
        judge(r, PROBE_NOT_RUN, "PREAUTH: there is nothing left to log in to");
        mailbox_close(m);
        return SEEN_UNKNOWN;
    }
    bool prompted;
    struct mailbox_answer a = login(p, m, initial, response, &prompted);
    enum seen seen = a.status == MAILBOX_OK ? SEEN_YES : refused(&a) ? SEEN_NO : SEEN_UNKNOWN;
    judge_answer(r, m, prompted ? "after the prompt" : "at once", &a, true);
    note_login(p, seen);
    if (seen == SEEN_UNKNOWN)
        r->status = PROBE_NOT_RUN;
    else if (seen == SEEN_NO)
        r->status = p->seen.explicit_login == SEEN_YES ? PROBE_WARN : PROBE_SEEN;
    mailbox_close(m);
    return seen;
}

void case_mailbox_equals(struct probe *p, struct probe_result *r)
{
    p->seen.equals = try_login(p, "=", NULL, r);
}

void case_mailbox_empty_line(struct probe *p, struct probe_result *r)
{
    p->seen.empty_line = try_login(p, "", "", r);
}

void case_mailbox_authzid(struct probe *p, struct probe_result *r)
{
    char own[STEPS_LINE];
    if (encode_name(p->identity, own))
        p->seen.authzid = try_login(p, own, NULL, r);
}

void case_mailbox_prompted_authzid(struct probe *p, struct probe_result *r)
{
    char own[STEPS_LINE];
    if (encode_name(p->identity, own))
        p->seen.prompted_authzid = try_login(p, "", own, r);
}

void case_mailbox_foreign(struct probe *p, struct probe_result *r)
{
    char foreign[STEPS_LINE];
    struct mailbox *m = secured(p, p->with_certificate, NULL, r);
    if (!m)
        return;
    bool prompted;
    struct mailbox_answer a = {MAILBOX_NONE, ""};
    if (encode_name(STEPS_FOREIGN, foreign))
        a = login(p, m, "", foreign, &prompted);
    judge_answer(r, m, "EXTERNAL as somebody else", &a, refused(&a));
    mailbox_close(m);
}

void case_mailbox_alone(struct probe *p, struct probe_result *r)
{
    struct mailbox *m = secured(p, p->with_certificate, NULL, r);
    if (!m)
        return;
    struct mailbox_answer a = look_in(p, m);
    bool preauth = mailbox_greeting(m).status == MAILBOX_PREAUTH;
    p->seen.implicit = a.status == MAILBOX_OK && !preauth ? SEEN_YES
                       : refused(&a)                      ? SEEN_NO
                                                          : SEEN_UNKNOWN;
    judge_answer(r, m, preauth ? "after PREAUTH" : "without a login", &a,
                 preauth == (a.status == MAILBOX_OK));
    mailbox_close(m);
}

void case_mailbox_enabled(struct probe *p, struct probe_result *r)
{
    const struct observations *o = &p->seen;
    if (o->preauth == SEEN_YES)
        judge(r, PROBE_PASS, "PREAUTH takes the place of EXTERNAL");
    else if (o->implicit == SEEN_YES && o->explicit_login != SEEN_YES)
        judge(r, PROBE_FAIL, "the certificate logs in, but not by EXTERNAL");
    else if (o->explicit_login == SEEN_YES)
        judge(r, o->offered == SEEN_YES ? PROBE_PASS : PROBE_FAIL, "EXTERNAL works and is %slisted",
              o->offered == SEEN_YES ? "" : "not ");
    else
        judge(r, o->offered == SEEN_YES ? PROBE_WARN : PROBE_SEEN,
              "EXTERNAL is %slisted, and does not work", o->offered == SEEN_YES ? "" : "not ");
}

/* ---- after the login ---- */

void case_mailbox_opens(struct probe *p, struct probe_result *r)
{
    struct mailbox *m = logged_in(p, r);
    if (!m)
        return;
    struct mailbox_answer a = look_in(p, m);
    judge_answer(r, m, "after the login", &a, a.status == MAILBOX_OK);
    mailbox_close(m);
}

void case_mailbox_second(struct probe *p, struct probe_result *r)
{
    struct mailbox *m = logged_in(p, r);
    if (!m)
        return;
    bool prompted;
    struct mailbox_answer a = login(p, m, "", "", &prompted);
    judge_answer(r, m, "a second login", &a, refused(&a));
    mailbox_close(m);
}

void case_mailbox_resumption(struct probe *p, struct probe_result *r)
{
    struct mailbox_answer a[2];
    bool resumed = false;
    for (int i = 0; i < 2; i++) {
        struct mailbox *m = secured(p, p->resuming, NULL, r);
        if (!m)
            return;
        resumed = mailbox_facts(m)->resumed;
        a[i] = log_in(p, m);
        if (i == 1)
            judge_answer(r, m,
                         resumed ? "resumed; the login then"
                                 : "not resumed: each handshake is a full one; the login",
                         &a[1], a[1].status == a[0].status || resumed);
        mailbox_close(m);
    }
    /* No identity in a resumed session is as permitted as the old one: that it is the old one is told. */
    if (r->status == PROBE_PASS && a[1].status != a[0].status)
        r->status = PROBE_WARN;
}

/* ---- certificates that should not be taken ---- */

static void try_bad(struct probe *p,
                    enum bad_certificate kind,
                    enum probe_status accepted,
                    struct probe_result *r)
{
    if (!p->bad[kind]) {
        judge(r, PROBE_NOT_RUN, "needs --bad %s=FILE%s", bad_certificate_name(kind),
              kind == BAD_REVOKED ? "" : ", or --ca-cert and --ca-key to make one");
        return;
    }
    struct mailbox *m = secured(p, p->bad[kind], NULL, r);
    if (!m) {
        r->status = p->reached ? PROBE_PASS
                               : PROBE_NOT_RUN; /* r->detail has the alert, or what else it was */
        return;
    }
    bool prompted;
    struct mailbox_answer a = mailbox_greeting(m);
    bool preauth = a.status == MAILBOX_PREAUTH;
    (void)ask_capabilities(p, m);
    bool offered = lists_external(p, m);
    if (!preauth)
        a = login(p, m, "", "", &prompted);
    bool in = preauth || a.status == MAILBOX_OK;
    if (in)
        judge(r, accepted, "accepted: %s", said(m, &a).s);
    else
        judge(r, offered ? PROBE_WARN : PROBE_PASS, "EXTERNAL is %slisted; the login: %s",
              offered ? "" : "not ", said(m, &a).s);
    if (!in && a.status == MAILBOX_NONE)
        r->status = mailbox_facts(m)->alert ? PROBE_PASS : PROBE_NOT_RUN;
    mailbox_close(m);
}

void case_mailbox_expired(struct probe *p, struct probe_result *r)
{
    try_bad(p, BAD_EXPIRED, PROBE_FAIL, r);
}

void case_mailbox_future(struct probe *p, struct probe_result *r)
{
    try_bad(p, BAD_FUTURE, PROBE_FAIL, r);
}

void case_mailbox_usage(struct probe *p, struct probe_result *r)
{
    try_bad(p, BAD_USAGE, PROBE_FAIL, r);
}

void case_mailbox_unknown(struct probe *p, struct probe_result *r)
{
    try_bad(p, BAD_UNKNOWN, PROBE_FAIL, r);
}

void case_mailbox_self_signed(struct probe *p, struct probe_result *r)
{
    try_bad(p, BAD_SELF_SIGNED, PROBE_FAIL, r);
}

void case_mailbox_revoked(struct probe *p, struct probe_result *r)
{
    try_bad(p, BAD_REVOKED, PROBE_FAIL, r);
}

void case_mailbox_no_email(struct probe *p, struct probe_result *r)
{
    try_bad(p, BAD_NO_EMAIL, PROBE_SEEN, r);
}
