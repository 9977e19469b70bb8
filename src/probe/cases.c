#include "probe/cases.h"

#include "base/b64.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FOREIGN "nobody-you-know@probe.invalid" /* an authzid no certificate stands for */
#define AUTHZID_MAX 256

/* ---- words for a result ---- */

static void PRINTF(3, 4)
    judge(struct probe_result *r, enum probe_status status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(r->detail, sizeof(r->detail), fmt, ap);
    va_end(ap);
    r->status = status;
}

struct words {
    char s[DIALOGUE_TEXT + 24];
};

/* The connection's own end is told where there was no reply. */
static struct words words_of(const struct dialogue *d, const struct dialogue_reply *a)
{
    struct words w;
    if (a->code)
        (void)snprintf(w.s, sizeof(w.s), "%d %.150s", a->code, a->text);
    else
        (void)snprintf(w.s, sizeof(w.s), "no reply: %.150s", dialogue_why(d));
    return w;
}

/* What came where a reply was due: nothing is never judged, it is told. */
static void judge_reply(struct probe_result *r,
                        const struct dialogue *d,
                        const char *to,
                        const struct dialogue_reply *a,
                        bool right)
{
    enum probe_status status = right ? PROBE_PASS : PROBE_FAIL;
    judge(r, a->code ? status : PROBE_NOT_RUN, "%s: %s", to, words_of(d, a).s);
}

/* ---- steps several cases share ---- */

static bool is_good(int code)
{
    return code / 100 == 2;
}

static struct dialogue *
give_up(struct dialogue *d, struct probe_result *r, const char *at, const struct dialogue_reply *a)
{
    judge(r, PROBE_NOT_RUN, "%s: %s", at, words_of(d, a).s);
    dialogue_close(d);
    return NULL;
}

/* Greeting, EHLO and, where it begins in the clear, nothing more. */
static struct dialogue *open_clear(struct probe *p, struct tls_context *tls, struct probe_result *r)
{
    struct dialogue *d = dialogue_open(p->loop, &p->target, tls);
    struct dialogue_reply a = dialogue_greeting(d);
    if (a.code != 220)
        return give_up(d, r, "greeting", &a);
    a = dialogue_ehlo(d, p->helo);
    return a.code == 250 ? d : give_up(d, r, "EHLO", &a);
}

/* TLS, without the EHLO after it. */
static struct dialogue *
open_bare(struct probe *p, struct tls_context *tls, const char *injected, struct probe_result *r)
{
    struct dialogue *d = open_clear(p, tls, r);
    if (!d || dialogue_is_secure(d))
        return d;
    struct dialogue_reply a;
    if (dialogue_start_tls(d, injected, &a))
        return d;
    if (a.code == 220)
        a = (struct dialogue_reply){0};
    return give_up(d, r, "STARTTLS", &a);
}

static struct dialogue *open_ready(struct probe *p, struct tls_context *tls, struct probe_result *r)
{
    struct dialogue *d = open_bare(p, tls, NULL, r);
    if (!d)
        return NULL;
    struct dialogue_reply a = dialogue_ehlo(d, p->helo);
    if (a.code != 250)
        return give_up(d, r, "EHLO in TLS", &a);
    p->reached = true;
    (void)snprintf(p->tls_version, sizeof(p->tls_version), "%s", dialogue_tls_version(d));
    return d;
}

static struct dialogue *open_logged_in(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->with_certificate, r);
    if (!d)
        return NULL;
    struct dialogue_reply a = dialogue_say(d, "AUTH EXTERNAL =");
    return a.code == 235 ? d : give_up(d, r, "AUTH EXTERNAL =", &a);
}

static struct dialogue_reply say_mail(struct probe *p, struct dialogue *d)
{
    char line[400];
    (void)snprintf(line, sizeof(line), "MAIL FROM:<%.300s>", p->from);
    return dialogue_say(d, line);
}

static struct dialogue_reply say_rcpt(struct probe *p, struct dialogue *d)
{
    char line[400];
    (void)snprintf(line, sizeof(line), "RCPT TO:<%.300s>", p->to);
    return dialogue_say(d, line);
}

/* Is mail open?  Some refuse only at RCPT, so both are asked; an address that is refused for what it is (X.1.X,
 * RFC 3463 section 3.2) was refused to somebody who may send.  `ret` has the reply that decided. */
static enum seen ask_mail(struct probe *p, struct dialogue *d, struct dialogue_reply *ret)
{
    *ret = say_mail(p, d);
    if (is_good(ret->code)) {
        *ret = say_rcpt(p, d);
        (void)dialogue_say(d, "RSET");
    }
    if (is_good(ret->code) || strncmp(ret->enhanced, "5.1.", 4) == 0)
        return SEEN_YES;
    return ret->code / 100 == 5 ? SEEN_NO : SEEN_UNKNOWN;
}

static bool encode(const char *name, char *ret, size_t room)
{
    struct buf b CLEANUP(buf_done) = BUF_INIT(AUTHZID_MAX * 2);
    if (b64_encode(str_of(name), &b) < 0)
        return false;
    return snprintf(ret, room, "AUTH EXTERNAL %s", b.data) < (int)room;
}

/* ---- without a certificate ---- */

static void case_clear(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_clear(p, p->plain, r);
    if (!d)
        return;
    p->reached = true;
    const struct smtp_capabilities *caps = dialogue_capabilities(d);
    if (smtp_offers_mechanism(caps, "EXTERNAL"))
        judge(r, PROBE_FAIL, "EXTERNAL is offered in the clear: AUTH %.200s", caps->mechanisms);
    else if (!smtp_offers(caps, SMTP_EXT_STARTTLS))
        judge(r, PROBE_FAIL, "STARTTLS is not offered");
    else
        judge(r, PROBE_PASS, "EXTERNAL is not offered before TLS");
    dialogue_close(d);
}

static void case_no_certificate(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->plain, r);
    if (!d)
        return;
    const char *mechanisms = dialogue_capabilities(d)->mechanisms;
    bool offered = smtp_offers_mechanism(dialogue_capabilities(d), "EXTERNAL");
    judge(r, offered ? PROBE_WARN : PROBE_PASS, "%s; mechanisms: %.200s",
          offered ? "EXTERNAL is offered to a client without certificate"
                  : "EXTERNAL is not offered",
          *mechanisms ? mechanisms : "none");
    dialogue_close(d);
}

static void case_anonymous(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->plain, r);
    if (!d)
        return;
    struct dialogue_reply a;
    p->seen.anonymous = ask_mail(p, d, &a);
    judge_reply(r, d, "mail without certificate or AUTH", &a, p->seen.anonymous == SEEN_NO);
    dialogue_close(d);
}

/* ---- with it ---- */

static void case_offered(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->with_certificate, r);
    if (!d)
        return;
    const struct smtp_capabilities *caps = dialogue_capabilities(d);
    p->seen.auth = smtp_offers(caps, SMTP_EXT_AUTH) ? SEEN_YES : SEEN_NO;
    p->seen.offered = smtp_offers_mechanism(caps, "EXTERNAL") ? SEEN_YES : SEEN_NO;
    judge(r, PROBE_SEEN, "mechanisms with the certificate, under %s: %.200s", p->tls_version,
          *caps->mechanisms ? caps->mechanisms : "none");
    dialogue_close(d);
}

/* A server that never takes mail on the certificate owes no EXTERNAL: whether this is a fault is known only once
 * the implicit case ran (OPN-06). */
static void case_enabled(struct probe *p, struct probe_result *r)
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

/* One shape of AUTH EXTERNAL: the command, and what answers a 334 (NULL: it is cancelled). */
static enum seen
try_shape(struct probe *p, const char *command, const char *response, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->with_certificate, r);
    if (!d)
        return SEEN_UNKNOWN;
    struct dialogue_reply a = dialogue_say(d, command);
    bool prompted = a.code == 334;
    if (prompted)
        a = dialogue_say(d, response ? response : "*");
    judge_reply(r, d, prompted ? "after 334" : "at once", &a, a.code == 235);
    enum seen seen = a.code == 235 ? SEEN_YES : a.code ? SEEN_NO : SEEN_UNKNOWN;
    if (seen == SEEN_YES)
        p->seen.explicit_login = SEEN_YES;
    else if (seen == SEEN_NO && p->seen.explicit_login == SEEN_UNKNOWN)
        p->seen.explicit_login = SEEN_NO;
    dialogue_close(d);
    return seen;
}

/* A shape that is not taken is a fault only of a server that takes EXTERNAL at all. */
static enum seen try_further_shape(struct probe *p,
                                   const char *command,
                                   const char *response,
                                   struct probe_result *r)
{
    enum seen seen = try_shape(p, command, response, r);
    if (r->status == PROBE_FAIL)
        r->status = p->seen.explicit_login == SEEN_YES ? PROBE_WARN : PROBE_SEEN;
    return seen;
}

static void case_equals(struct probe *p, struct probe_result *r)
{
    p->seen.equals = try_shape(p, "AUTH EXTERNAL =", NULL, r);
    if (r->status == PROBE_FAIL && p->seen.offered != SEEN_YES)
        r->status = PROBE_SEEN;
}

static void case_empty_line(struct probe *p, struct probe_result *r)
{
    p->seen.empty_line = try_further_shape(p, "AUTH EXTERNAL", "", r);
}

static void case_prompted_equals(struct probe *p, struct probe_result *r)
{
    p->seen.prompted_equals = try_further_shape(p, "AUTH EXTERNAL", "=", r);
    if (r->status == PROBE_WARN)
        r->status = PROBE_SEEN; /* "=" is no base64: refusing it is right, if unkind */
}

static void case_trailing_space(struct probe *p, struct probe_result *r)
{
    p->seen.trailing_space = try_further_shape(p, "AUTH EXTERNAL ", "", r);
    if (r->status == PROBE_WARN)
        r->status = PROBE_SEEN;
}

static void case_authzid(struct probe *p, struct probe_result *r)
{
    char line[AUTHZID_MAX * 2];
    if (encode(p->identity, line, sizeof(line)))
        p->seen.authzid = try_further_shape(p, line, NULL, r);
    else
        judge(r, PROBE_NOT_RUN, "the identity is too long");
}

static void case_foreign(struct probe *p, struct probe_result *r)
{
    char line[AUTHZID_MAX * 2];
    struct dialogue *d = open_ready(p, p->with_certificate, r);
    if (!d)
        return;
    struct dialogue_reply a = {0};
    if (encode(FOREIGN, line, sizeof(line)))
        a = dialogue_say(d, line);
    judge_reply(r, d, "EXTERNAL as somebody else", &a, a.code / 100 == 5);
    dialogue_close(d);
}

static void case_login_opens(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_logged_in(p, r);
    if (!d)
        return;
    struct dialogue_reply a;
    enum seen open = ask_mail(p, d, &a);
    judge_reply(r, d, "mail after 235", &a, open == SEEN_YES);
    dialogue_close(d);
}

static void case_implicit(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->with_certificate, r);
    if (!d)
        return;
    struct dialogue_reply a;
    p->seen.implicit = ask_mail(p, d, &a);
    judge_reply(r, d,
                p->seen.implicit == SEEN_YES ? "the certificate alone opens mail"
                                             : "mail without AUTH",
                &a, true);
    if (r->status == PROBE_PASS)
        r->status = PROBE_SEEN;
    dialogue_close(d);
}

static void case_implicit_after_failure(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->with_certificate, r);
    if (!d)
        return;
    char line[AUTHZID_MAX * 2];
    struct dialogue_reply a = {0};
    if (encode(FOREIGN, line, sizeof(line)))
        a = dialogue_say(d, line);
    if (a.code / 100 != 5) {
        (void)give_up(d, r, "the login that was to fail", &a);
        return;
    }
    enum seen open = ask_mail(p, d, &a);
    judge_reply(r, d, "mail after a failed AUTH", &a, open == SEEN_NO);
    dialogue_close(d);
}

/* ---- after the login ---- */

static void case_second_auth(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_logged_in(p, r);
    if (!d)
        return;
    struct dialogue_reply a = dialogue_say(d, "AUTH EXTERNAL =");
    judge_reply(r, d, "a second AUTH", &a, a.code == 503);
    dialogue_close(d);
}

static void case_rset(struct probe *p, struct probe_result *r)
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

static void case_second_ehlo(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_logged_in(p, r);
    if (!d)
        return;
    (void)dialogue_ehlo(d, p->helo);
    struct dialogue_reply a = say_mail(p, d);
    judge_reply(r, d, "MAIL after a second EHLO", &a, is_good(a.code));
    dialogue_close(d);
}

/* Where the certificate alone opens MAIL nobody need be logged in for a transaction; elsewhere it takes a login, and
 * then the second AUTH is refused for that alone. */
static void case_auth_in_transaction(struct probe *p, struct probe_result *r)
{
    if (p->seen.implicit != SEEN_YES) {
        judge(r, PROBE_NOT_RUN, "no transaction can be begun here without AUTH");
        return;
    }
    struct dialogue *d = open_ready(p, p->with_certificate, r);
    if (!d)
        return;
    (void)say_mail(p, d);
    struct dialogue_reply a = dialogue_say(d, "AUTH EXTERNAL =");
    judge_reply(r, d, "AUTH inside a transaction", &a, a.code / 100 == 5);
    dialogue_close(d);
}

static void case_pipelined(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->with_certificate, r);
    if (!d)
        return;
    if (!smtp_offers(dialogue_capabilities(d), SMTP_EXT_PIPELINING)) {
        judge(r, PROBE_NOT_RUN, "PIPELINING is not offered");
        dialogue_close(d);
        return;
    }
    char mail[400], rcpt[400];
    (void)snprintf(mail, sizeof(mail), "MAIL FROM:<%.300s>", p->from);
    (void)snprintf(rcpt, sizeof(rcpt), "RCPT TO:<%.300s>", p->to);
    const char *const lines[] = {"AUTH EXTERNAL =", mail, rcpt};
    struct dialogue_reply a[3];
    dialogue_say_group(d, lines, ARRAY_LEN(lines), a);
    bool good = a[0].code == 235 && is_good(a[1].code);
    judge(r, good ? PROBE_PASS : PROBE_FAIL, "one write: %d %d %d%s%s", a[0].code, a[1].code,
          a[2].code, dialogue_ended(d) ? ", " : "", dialogue_why(d));
    if (!dialogue_ended(d))
        (void)dialogue_say(d, "RSET");
    dialogue_close(d);
}

/* ---- the border between clear and TLS ---- */

static void case_injection(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_bare(p, p->plain, "XPROBE-INJECTED", r);
    if (!d) {
        /* Dropping the connection is the other right answer. */
        r->status = PROBE_SEEN;
        return;
    }
    /* Were the line carried over, its 500 would come first. */
    struct dialogue_reply a = dialogue_ehlo(d, p->helo);
    if (a.code == 0)
        judge(r, PROBE_PASS, "the connection ended: %.200s", dialogue_why(d));
    else
        judge_reply(r, d, "first reply inside TLS", &a, a.code == 250);
    dialogue_close(d);
}

static void case_state(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_bare(p, p->plain, NULL, r);
    if (!d)
        return;
    struct dialogue_reply a = say_mail(p, d);
    judge_reply(r, d, "MAIL inside TLS before EHLO", &a, a.code / 100 == 5);
    dialogue_close(d);
}

static void case_resumption(struct probe *p, struct probe_result *r)
{
    for (int i = 0; i < 2; i++) {
        struct dialogue *d = open_ready(p, p->resuming, r);
        if (!d)
            return;
        bool resumed = dialogue_resumed(d);
        enum seen offered =
            smtp_offers_mechanism(dialogue_capabilities(d), "EXTERNAL") ? SEEN_YES : SEEN_NO;
        struct dialogue_reply a = dialogue_say(d, "AUTH EXTERNAL =");
        dialogue_close(d);
        if (i == 0)
            continue;
        if (!resumed)
            judge(r, PROBE_PASS, "a session is not taken back: each handshake is a full one");
        else
            judge(r, a.code == 235 || offered == SEEN_NO ? PROBE_PASS : PROBE_FAIL,
                  "resumed: EXTERNAL is %soffered, AUTH EXTERNAL = gives %d",
                  offered == SEEN_YES ? "" : "not ", a.code);
    }
}

#define WITH_LOGIN (NEED_CERTIFICATE | NEED_EXPLICIT)

/* In the order they are run: what later ones need is found by earlier ones. */
static const struct probe_case cases[] = {
    {"clear",           "EXTERNAL before TLS",                      "RFC 3207 4.2",     "EDG-12",       NEED_CLEAR,       case_clear         },
    {"no-certificate",  "EXTERNAL without certificate",             "RFC 4954 9",       "OPN-10",       0,
     case_no_certificate                                                                                                                     },
    {"anonymous",       "mail without any login",                   "RFC 6409 4.3",     "OPN-01",       0,                case_anonymous     },
    {"injection",       "line injected behind STARTTLS",            "RFC 3207 4.2",     "STLS-08",      NEED_CLEAR,
     case_injection                                                                                                                          },
    {"state",           "state carried over STARTTLS",              "RFC 3207 4.2",     "STLS-04",      NEED_CLEAR,       case_state         },
    {"offered",         "AUTH line with certificate",               "RFC 3207 4.2",     "OPN-04",       NEED_CERTIFICATE,
     case_offered                                                                                                                            },
    {"equals",          "AUTH EXTERNAL =",                          "RFC 4954 4",       "OPN-05",       NEED_CERTIFICATE, case_equals        },
    {"empty-line",      "bare EXTERNAL, then an empty line",        "RFC 4954 4",       "OPN-05",       NEED_CERTIFICATE,
     case_empty_line                                                                                                                         },
    {"prompted-equals", "bare EXTERNAL, then =",                    "RFC 4954 4",       "OPN-05",       NEED_CERTIFICATE,
     case_prompted_equals                                                                                                                    },
    {"trailing-space",  "EXTERNAL and a space, then an empty line", "RFC 4954 4",       "OPN-05",
     NEED_CERTIFICATE,                                                                                                    case_trailing_space},
    {"authzid",         "EXTERNAL with the own authzid",            "RFC 4422 A.1",     "OPN-05",
     NEED_CERTIFICATE | NEED_IDENTITY,                                                                                    case_authzid       },
    {"foreign",         "EXTERNAL with a foreign authzid",          "RFC 4422 A.1",     "O1-05",        WITH_LOGIN,
     case_foreign                                                                                                                            },
    {"login-opens",     "mail after AUTH EXTERNAL",                 "RFC 4954 4",       "O1-04",        WITH_LOGIN,
     case_login_opens                                                                                                                        },
    {"implicit",        "mail with the certificate alone",          "RFC 6409 4.3",     "O1-01, O2-02",
     NEED_CERTIFICATE,                                                                                                    case_implicit      },
    {"enabled",         "EXTERNAL where a certificate suffices",    "RFC 8314 4.2",     "OPN-06",       NEED_CERTIFICATE,
     case_enabled                                                                                                                            },
    {"after-failure",   "mail after a failed AUTH",                 "RFC 4954 4",       "O2-12",        WITH_LOGIN,
     case_implicit_after_failure                                                                                                             },
    {"second-auth",     "a second AUTH",                            "RFC 4954 4",       "AUTH-04",      WITH_LOGIN,       case_second_auth   },
    {"in-transaction",  "AUTH inside a transaction",                "RFC 4954 4",       "AUTH-05",      WITH_LOGIN,
     case_auth_in_transaction                                                                                                                },
    {"rset",            "RSET keeps the login",                     "RFC 5321 4.1.1.5", "EDG-05",       WITH_LOGIN,       case_rset          },
    {"second-ehlo",     "EHLO keeps the login",                     "RFC 5321 4.1.4",   "EDG-06",       WITH_LOGIN,
     case_second_ehlo                                                                                                                        },
    {"pipelined",       "AUTH EXTERNAL =, MAIL, RCPT in one write", "RFC 4954 4",       "EDG-24",       WITH_LOGIN,
     case_pipelined                                                                                                                          },
    {"resumption",      "a resumed TLS session",                    "RFC 8446 2.2",     "EDG-13",       WITH_LOGIN,       case_resumption    },
};
_Static_assert(ARRAY_LEN(cases) <= PROBE_CASES_MAX, "struct probe has a result for each case");

const struct probe_case *probe_cases(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(cases);
    return cases;
}
