#include "probe/steps.h"

#include "base/b64.h"

#include <stdio.h>
#include <string.h>

#define AUTHZID_MAX 256
#define SLOW_MS 2000 /* a person notices */

void judge(struct probe_result *r, enum probe_status status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(r->detail, sizeof(r->detail), fmt, ap);
    va_end(ap);
    r->status = status;
}

struct words words_of(const struct dialogue *d, const struct dialogue_reply *a)
{
    struct words w;
    char slow[40] = "";
    if (a->after_ms >= SLOW_MS)
        (void)snprintf(slow, sizeof(slow), " (after %lld s)", (long long)(a->after_ms / 1000));
    if (a->code)
        (void)snprintf(w.s, sizeof(w.s), "%d %s%s%.140s%s", a->code, a->enhanced,
                       *a->enhanced ? " " : "", a->text, slow);
    else
        (void)snprintf(w.s, sizeof(w.s), "no reply: %.150s", dialogue_why(d));
    return w;
}

void judge_reply(struct probe_result *r,
                 const struct dialogue *d,
                 const char *to,
                 const struct dialogue_reply *a,
                 bool right)
{
    enum probe_status status = right ? PROBE_PASS : PROBE_FAIL;
    judge(r, a->code ? status : PROBE_NOT_RUN, "%s: %s", to, words_of(d, a).s);
}

bool is_good(int code)
{
    return code / 100 == 2;
}

bool is_refusal(int code)
{
    return code / 100 == 5;
}

/* ---- opening ---- */

struct dialogue *
give_up(struct dialogue *d, struct probe_result *r, const char *at, const struct dialogue_reply *a)
{
    judge(r, PROBE_NOT_RUN, "%s: %s", at, words_of(d, a).s);
    dialogue_close(d);
    return NULL;
}

struct dialogue *open_clear(struct probe *p, struct tls_context *tls, struct probe_result *r)
{
    struct dialogue *d = dialogue_open(p->loop, &p->target, tls);
    struct dialogue_reply a = dialogue_greeting(d);
    if (a.code != 220)
        return give_up(d, r, "greeting", &a);
    a = dialogue_ehlo(d, p->helo);
    if (a.code != 250)
        return give_up(d, r, "EHLO", &a);
    p->reached = true;
    return d;
}

struct dialogue *
open_bare(struct probe *p, struct tls_context *tls, const char *injected, struct probe_result *r)
{
    struct dialogue *d = open_clear(p, tls, r);
    if (!d || dialogue_facts(d)->secure)
        return d;
    struct dialogue_reply a;
    if (dialogue_start_tls(d, injected, &a))
        return d;
    if (a.code == 220)
        a = (struct dialogue_reply){0};
    return give_up(d, r, "STARTTLS", &a);
}

struct dialogue *open_ready(struct probe *p, struct tls_context *tls, struct probe_result *r)
{
    struct dialogue *d = open_bare(p, tls, NULL, r);
    if (!d)
        return NULL;
    struct dialogue_reply a = dialogue_ehlo(d, p->helo);
    if (a.code != 250)
        return give_up(d, r, "EHLO in TLS", &a);
    p->reached = true;
    return d;
}

/* The shape that was found to work first, most usual ones before others. */
static enum shape working_shape(const struct observations *o)
{
    const enum seen tried[SHAPE_COUNT] = {
        [SHAPE_EQUALS] = o->equals,
        [SHAPE_EMPTY_LINE] = o->empty_line,
        [SHAPE_PROMPTED_EQUALS] = o->prompted_equals,
        [SHAPE_TRAILING_SPACE] = o->trailing_space,
        [SHAPE_AUTHZID] = o->authzid,
        [SHAPE_PROMPTED_AUTHZID] = o->prompted_authzid,
    };
    for (int s = 0; s < SHAPE_COUNT; s++)
        if (tried[s] == SEEN_YES)
            return (enum shape)s;
    return SHAPE_EQUALS;
}

struct dialogue *open_logged_in(struct probe *p, struct probe_result *r)
{
    struct dialogue *d = open_ready(p, p->with_certificate, r);
    if (!d)
        return NULL;
    bool prompted;
    struct dialogue_reply a = say_external(p, d, working_shape(&p->seen), &prompted);
    return a.code == 235 ? d : give_up(d, r, "AUTH EXTERNAL, which worked before", &a);
}

bool offers_external(const struct dialogue *d)
{
    return smtp_offers_mechanism(dialogue_capabilities(d), "EXTERNAL");
}

/* ---- EXTERNAL ---- */

bool encode_name(const char *name, char ret[STEPS_LINE])
{
    struct buf b CLEANUP(buf_done) = BUF_INIT(B64_LEN(AUTHZID_MAX));
    return b64_encode(str_of(name), &b) == 0 &&
           snprintf(ret, STEPS_LINE, "%s", b.data) < STEPS_LINE;
}

bool external_line(const char *name, char ret[STEPS_LINE])
{
    static const char verb[] = "AUTH EXTERNAL ";
    char encoded[STEPS_LINE];
    return encode_name(name, encoded) &&
           snprintf(ret, STEPS_LINE, "%s%.*s", verb, (int)(STEPS_LINE - sizeof(verb)), encoded) <
               STEPS_LINE;
}

static bool first_line(const struct probe *p, enum shape shape, char ret[STEPS_LINE])
{
    static const char *const lines[SHAPE_COUNT] = {
        [SHAPE_EQUALS] = "AUTH EXTERNAL =",
        [SHAPE_TRAILING_SPACE] = "AUTH EXTERNAL ",
        [SHAPE_LOWER_CASE] = "auth external =",
    };
    if (shape == SHAPE_AUTHZID)
        return external_line(p->identity, ret);
    (void)snprintf(ret, STEPS_LINE, "%s", lines[shape] ? lines[shape] : "AUTH EXTERNAL");
    return true;
}

/* What answers a 334; a server that prompts although it was told all is told to stop. */
static bool second_line(const struct probe *p, enum shape shape, char ret[STEPS_LINE])
{
    switch (shape) {
    case SHAPE_PROMPTED_AUTHZID:
        return encode_name(p->identity, ret);
    case SHAPE_MAIL:
        mail_line(p, ret);
        return true;
    case SHAPE_EMPTY_LINE:
    case SHAPE_TRAILING_SPACE:
        ret[0] = '\0';
        return true;
    case SHAPE_PROMPTED_EQUALS:
        (void)snprintf(ret, STEPS_LINE, "=");
        return true;
    case SHAPE_EQUALS:
    case SHAPE_LOWER_CASE:
    case SHAPE_AUTHZID:
    case SHAPE_COUNT:
        break;
    }
    (void)snprintf(ret, STEPS_LINE, "*");
    return true;
}

struct dialogue_reply
say_external(struct probe *p, struct dialogue *d, enum shape shape, bool *ret_prompted)
{
    char line[STEPS_LINE];
    *ret_prompted = false;
    if (!first_line(p, shape, line))
        return (struct dialogue_reply){0};
    struct dialogue_reply a = dialogue_say(d, line);
    *ret_prompted = a.code == 334;
    if (a.code != 334)
        return a;
    return second_line(p, shape, line) ? dialogue_say(d, line) : (struct dialogue_reply){0};
}

struct dialogue_reply say_response(struct dialogue *d, const char *encoded)
{
    char line[STEPS_LINE];
    (void)snprintf(line, sizeof(line), "AUTH EXTERNAL %.400s", encoded);
    struct dialogue_reply a = dialogue_say(d, line);
    if (a.code == 334)
        a = dialogue_say(d, encoded);
    return a.code == 334 ? dialogue_say(d, "*") : a;
}

struct dialogue_reply say_foreign(struct dialogue *d)
{
    char encoded[STEPS_LINE];
    return encode_name(STEPS_FOREIGN, encoded) ? say_response(d, encoded)
                                               : (struct dialogue_reply){0};
}

/* ---- mail ---- */

void mail_line(const struct probe *p, char ret[STEPS_LINE])
{
    (void)snprintf(ret, STEPS_LINE, "MAIL FROM:<%.300s>", p->from);
}

void rcpt_line(const struct probe *p, char ret[STEPS_LINE])
{
    (void)snprintf(ret, STEPS_LINE, "RCPT TO:<%.300s>", p->to);
}

struct dialogue_reply say_mail(struct probe *p, struct dialogue *d)
{
    char line[STEPS_LINE];
    mail_line(p, line);
    return dialogue_say(d, line);
}

struct dialogue_reply say_rcpt(struct probe *p, struct dialogue *d)
{
    char line[STEPS_LINE];
    rcpt_line(p, line);
    return dialogue_say(d, line);
}

enum seen ask_mail(struct probe *p, struct dialogue *d, struct dialogue_reply *ret)
{
    *ret = say_mail(p, d);
    if (is_good(ret->code)) {
        *ret = say_rcpt(p, d);
        if (!dialogue_ended(d))
            (void)dialogue_say(d, "RSET");
    }
    if (is_good(ret->code) || strncmp(ret->enhanced, "5.1.", 4) == 0)
        return SEEN_YES;
    return is_refusal(ret->code) ? SEEN_NO : SEEN_UNKNOWN;
}

void note_login(struct probe *p, enum seen worked)
{
    enum seen *known = &p->seen.explicit_login;
    p->login_troubled = p->login_troubled || worked == SEEN_UNKNOWN;
    if (worked == SEEN_YES)
        *known = SEEN_YES;
    else if (*known != SEEN_YES)
        *known = p->login_troubled ? SEEN_UNKNOWN : SEEN_NO;
}
