#include "probe/cases.h"
#include "probe/steps.h"

#include <stdio.h>
#include <string.h>

void case_login_opens(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_logged_in(p, r);
    if (!d)
        return;
    struct dialogue_reply a;
    enum seen open = ask_mail(p, d, &a);
    judge_reply(r, d, "mail after 235", &a, open == SEEN_YES);
    dialogue_close(d);
}

void case_after_failure(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->with_certificate, r);
    if (!d)
        return;
    struct dialogue_reply a = say_foreign(d);
    if (!is_refusal(a.code)) {
        (void)give_up(d, r, "the login that was to fail", &a);
        return;
    }
    enum seen open = ask_mail(p, d, &a);
    if (a.code == 0)
        judge(r, PROBE_PASS, "the connection ends after a failed AUTH: %.200s", dialogue_why(d));
    else
        judge_reply(r, d, "mail after a failed AUTH", &a, open == SEEN_NO);
    dialogue_close(d);
}

/* [rfc4954 4] The implied login was a login: there is no second one (O2-10). */
void case_after_implicit(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->with_certificate, r);
    if (!d)
        return;
    (void)say_mail(p, d);
    (void)dialogue_say(d, "RSET");
    struct dialogue_reply a = dialogue_say(d, "AUTH EXTERNAL =");
    judge_reply(r, d, "AUTH after MAIL was accepted without", &a, a.code == 503);
    if (r->status == PROBE_FAIL)
        r->status = PROBE_SEEN; /* where the certificate is an access rule nobody was logged in */
    dialogue_close(d);
}

void case_second_auth(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_logged_in(p, r);
    if (!d)
        return;
    struct dialogue_reply a = dialogue_say(d, "AUTH EXTERNAL =");
    judge_reply(r, d, "a second AUTH", &a, a.code == 503);
    dialogue_close(d);
}

/* Where the certificate alone opens MAIL nobody need be logged in for a transaction, which tells this apart from a
 * second AUTH. */
void case_in_transaction(struct probe *p, struct probe_result *r)
{
    struct dialogue *d =
        p->seen.implicit == SEEN_YES ? open_ready(p, p->with_certificate, r) : open_logged_in(p, r);
    if (!d)
        return;
    struct dialogue_reply a = say_mail(p, d);
    if (!is_good(a.code)) {
        (void)give_up(d, r, "MAIL", &a);
        return;
    }
    a = dialogue_say(d, "AUTH EXTERNAL =");
    judge_reply(r, d, "AUTH inside a transaction", &a, a.code == 503);
    if (r->status == PROBE_PASS) {
        a = say_rcpt(p, d);
        bool lost = a.code == 503;
        judge_reply(r, d, lost ? "AUTH ended the transaction: RCPT" : "503, and RCPT after it", &a,
                    !lost);
    }
    dialogue_close(d);
}

void case_rset(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_logged_in(p, r);
    if (!d)
        return;
    (void)say_mail(p, d);
    (void)dialogue_say(d, "RSET");
    struct dialogue_reply a = say_mail(p, d);
    judge_reply(r, d, "MAIL after RSET", &a, is_good(a.code));
    dialogue_close(d);
}

void case_second_ehlo(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_logged_in(p, r);
    if (!d)
        return;
    (void)dialogue_ehlo(d, p->helo);
    const char *listed = !smtp_offers(dialogue_capabilities(d), SMTP_EXT_AUTH) ? "no AUTH"
                         : *dialogue_capabilities(d)->mechanisms               ? "AUTH as before"
                                                                               : "an empty AUTH";
    char to[80];
    (void)snprintf(to, sizeof(to), "EHLO lists %s; MAIL after it", listed);
    struct dialogue_reply a = say_mail(p, d);
    judge_reply(r, d, to, &a, is_good(a.code));
    dialogue_close(d);
}

void case_auth_parameter(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_logged_in(p, r);
    if (!d)
        return;
    char line[STEPS_LINE];
    (void)snprintf(line, sizeof(line), "MAIL FROM:<%.300s> AUTH=<>", p->from);
    struct dialogue_reply a = dialogue_say(d, line);
    judge_reply(r, d, "MAIL with AUTH=<>", &a, is_good(a.code));
    dialogue_close(d);
}

/* [rfc4954 9] Not before the third. */
void case_failures(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->with_certificate, r);
    if (!d)
        return;
    struct dialogue_reply a = {.code = 535};
    int failures = 0;
    while (failures < 3 && is_refusal(a.code)) {
        a = say_foreign(d);
        failures += is_refusal(a.code) ? 1 : 0;
    }
    if (failures == 3)
        judge(r, PROBE_PASS, "three failures are answered: %s", words_of(d, &a).s);
    else
        judge(r, PROBE_WARN, "after %d failures: %s", failures, words_of(d, &a).s);
    dialogue_close(d);
}

/* ---- in one write ---- */

static struct dialogue *open_pipelining(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->with_certificate, r);
    if (!d || smtp_offers(dialogue_capabilities(d), SMTP_EXT_PIPELINING))
        return d;
    judge(r, PROBE_NOT_RUN, "PIPELINING is not offered");
    dialogue_close(d);
    return NULL;
}

static void
say_three(struct probe *p, struct dialogue *d, const char *login, struct dialogue_reply ret[3])
{
    char mail[STEPS_LINE], rcpt[STEPS_LINE];
    mail_line(p, mail);
    rcpt_line(p, rcpt);
    const char *const lines[] = {login, mail, rcpt};
    dialogue_say_group(d, lines, ARRAY_LEN(lines), ret);
    if (!dialogue_ended(d))
        (void)dialogue_say(d, "RSET");
}

void case_pipelined(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_pipelining(p, r);
    if (!d)
        return;
    struct dialogue_reply a[3];
    say_three(p, d, "AUTH EXTERNAL =", a);
    bool good = a[0].code == 235 && is_good(a[1].code) && a[2].code != 0;
    judge(r, good ? PROBE_PASS : PROBE_FAIL, "one write: %d %d %d%s%.150s", a[0].code, a[1].code,
          a[2].code, dialogue_ended(d) ? ", " : "", dialogue_why(d));
    if (!good && p->seen.equals != SEEN_YES)
        r->status = PROBE_SEEN; /* "=" is no shape of theirs */
    dialogue_close(d);
}

void case_pipelined_failure(struct probe *p, struct probe_result *r)
{
    char login[STEPS_LINE];
    struct dialogue *d = open_pipelining(p, r);
    if (!d)
        return;
    struct dialogue_reply a[3];
    (void)external_line(STEPS_FOREIGN, login);
    say_three(p, d, login, a);
    bool leaked = is_good(a[1].code) && is_good(a[2].code); /* some refuse at RCPT only */
    enum probe_status missing = a[1].code ? PROBE_PASS : PROBE_NOT_RUN;
    judge(r, leaked ? PROBE_FAIL : missing, "one write, with a login that fails: %d %d %d%s%.150s",
          a[0].code, a[1].code, a[2].code, dialogue_ended(d) ? ", " : "", dialogue_why(d));
    dialogue_close(d);
}

/* ---- a message, only when told ---- */

static void deliver(struct probe *p, struct dialogue *d, const char *how, struct probe_result *r)
{
    char text[1024];
    struct dialogue_reply a = say_mail(p, d);
    if (is_good(a.code))
        a = say_rcpt(p, d);
    if (is_good(a.code))
        a = dialogue_say(d, "DATA");
    if (a.code == 354) {
        (void)snprintf(text, sizeof(text),
                       "From: <%.250s>\r\nTo: <%.250s>\r\nSubject: postern probe (%s)\r\n"
                       "\r\nSent by postern probe server --deliver, to see whether mail goes "
                       "through.\r\n.\r\n",
                       p->from, p->to, how);
        a = dialogue_send_text(d, text);
    }
    judge_reply(r, d, "the message", &a, is_good(a.code));
    dialogue_close(d);
}

void case_deliver_explicit(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_logged_in(p, r);
    if (d)
        deliver(p, d, "after AUTH EXTERNAL", r);
}

void case_deliver_implicit(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->with_certificate, r);
    if (d)
        deliver(p, d, "with the certificate alone", r);
}
