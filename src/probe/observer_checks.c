/* The checks on a client: one row each, in the form of the cases of `probe server`. */
#include "probe/observer_verdict.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct evidence {
    const struct client_verdict *v;
    const struct record *const *records;
    size_t n;
};

static void PRINTF(3, 4)
    judge(struct probe_result *r, enum probe_status status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(r->detail, sizeof(r->detail), fmt, ap);
    va_end(ap);
    r->status = status;
}

/* NULL, with words, when the kind was not met inside TLS. */
static const struct habits *
met(const struct evidence *e, enum observer_place k, struct probe_result *r)
{
    const struct habits *h = &e->v->habits[k];
    if (h->sessions && h->secured)
        return h;
    judge(r, PROBE_NOT_RUN,
          h->sessions ? "TLS never stood with the kind %s" : "it did not come to the kind %s",
          observer_kinds[k].name);
    return NULL;
}

/* The same for what needs the certificate. */
static const struct habits *
met_with_certificate(const struct evidence *e, enum observer_place k, struct probe_result *r)
{
    const struct habits *h = met(e, k, r);
    if (!h || h->certificate)
        return h;
    judge(r, PROBE_NOT_RUN, "it sent no certificate");
    return NULL;
}

void client_story(const struct record *s, char *out, size_t size)
{
    static const char *const first[] = {
        [STEP_NONE] = "sent neither AUTH nor MAIL",
        [STEP_EXTERNAL] = "sent AUTH EXTERNAL",
        [STEP_PASSWORD] = "sent AUTH with another mechanism",
        [STEP_MAIL] = "went straight to MAIL",
    };
    const struct record_login *l = s->first == STEP_EXTERNAL ? &s->logins[0] : NULL;
    int at =
        snprintf(out, size, "%s", l ? external_shape_words(l->first, l->answer) : first[s->first]);
    for (unsigned i = 0; i < s->n_refusals && at > 0 && (size_t)at < size; i++) {
        const struct record_refusal *f = &s->refusals[i];
        if (!f->code)
            at +=
                snprintf(out + at, size - (size_t)at, "; its certificate was refused by an alert");
        else if (!f->clear)
            at += snprintf(out + at, size - (size_t)at, "; %d to %s: %s", f->code, f->what,
                           record_next_words(f->next));
    }
    if ((s->logged_in || s->mail_open) && at > 0 && (size_t)at < size)
        (void)snprintf(out + at, size - (size_t)at, "; it got in");
}

/* Of several sessions the one that bears the status out. */
static void judge_story(struct probe_result *r, enum probe_status status, const struct habits *h)
{
    char story[PROBE_DETAIL];
    bool passes = status == PROBE_PASS && h->opener;
    client_story(passes ? h->opener : h->example, story, sizeof(story));
    judge(r, status, "%s", story);
}

/* ---- the checks ---- */

static void check_clear(const struct evidence *e, struct probe_result *r)
{
    bool any = false, clear = false;
    for (size_t i = 0; i < e->n; i++)
        any |= !e->records[i]->implicit_tls;
    for (size_t k = 0; k < OBSERVER_KINDS; k++)
        clear |= e->v->habits[k].in_the_clear;
    if (!any)
        judge(r, PROBE_NOT_RUN, "TLS comes first here: nothing is said in the clear");
    else if (clear)
        judge(r, PROBE_FAIL,
              e->v->leak == LEAK_CLEAR ? "a password was sent before TLS"
                                       : "MAIL or AUTH was said before TLS");
    else
        judge(r, PROBE_PASS, "EHLO and STARTTLS only");
}

static void check_certificate(const struct evidence *e, struct probe_result *r)
{
    unsigned asked = 0, sent = 0;
    for (size_t i = 0; i < e->n; i++) {
        const struct record *s = e->records[i];
        enum observer_certificate c = s->kind->certificate;
        if (c == CERTIFICATE_NOT_ASKED || c == CERTIFICATE_OTHER_CA ||
            !(s->secured || s->certificate.sent))
            continue;
        asked++;
        sent += s->certificate.sent;
    }
    if (asked == 0)
        judge(r, PROBE_NOT_RUN,
              "no handshake in which a certificate was asked for came to its end");
    else
        judge(r, sent == asked ? PROBE_PASS : PROBE_WARN,
              "sent in %u of %u handshakes that asked for one", sent, asked);
}

static void check_explicit(const struct evidence *e, struct probe_result *r)
{
    const struct habits *h = met_with_certificate(e, KIND_EXPLICIT, r);
    if (h)
        judge_story(r, h->opened ? PROBE_PASS : PROBE_FAIL, h);
}

static void check_implicit(const struct evidence *e, struct probe_result *r)
{
    const struct habits *h = met_with_certificate(e, KIND_IMPLICIT, r);
    if (h)
        judge_story(r, h->opened ? PROBE_PASS : PROBE_FAIL, h);
}

static void check_hidden(const struct evidence *e, struct probe_result *r)
{
    const struct habits *h = met_with_certificate(e, KIND_HIDDEN, r);
    if (h)
        judge_story(r, PROBE_SEEN, h);
}

static void check_recovery(const struct evidence *e, struct probe_result *r)
{
    const struct habits *h = met_with_certificate(e, KIND_EXPLICIT, r);
    if (h && h->example->first != STEP_MAIL)
        judge(r, PROBE_NOT_RUN, "it did not begin with MAIL");
    else if (h)
        judge_story(r, h->external_after_mail ? PROBE_PASS : PROBE_WARN, h);
}

/* "=" after 334 and a trailing space are survivable; what is no response at all is not. */
static void check_shape(const struct evidence *e, struct probe_result *r)
{
    judge(r, PROBE_NOT_RUN, "it never sent AUTH EXTERNAL");
    for (size_t i = 0; i < e->n; i++) {
        for (unsigned k = 0; k < e->records[i]->n_logins; k++) {
            const struct record_login *l = &e->records[i]->logins[k];
            bool right = external_shape_is_right(l->first, l->answer);
            bool broken = l->answer == ANSWER_COMMAND || l->answer == ANSWER_NO_BASE64 ||
                          l->first == FIRST_NO_BASE64;
            enum probe_status status = right ? PROBE_PASS : broken ? PROBE_FAIL : PROBE_WARN;
            if (r->status == PROBE_NOT_RUN || (r->status != PROBE_FAIL && !right))
                judge(r, status, "%s", external_shape_words(l->first, l->answer));
        }
    }
}

/* For the kinds whose server is odd: a client that gets in nonetheless passes. */
static void check_odd(const struct evidence *e, enum observer_place k, struct probe_result *r)
{
    const struct habits *h = met_with_certificate(e, k, r);
    if (h && h->example->first != STEP_EXTERNAL)
        judge(r, PROBE_NOT_RUN, "it never sent AUTH EXTERNAL");
    else if (h)
        judge_story(r, h->opened ? PROBE_PASS : PROBE_WARN, h);
}

static void check_prompts(const struct evidence *e, struct probe_result *r)
{
    check_odd(e, KIND_PROMPTS, r);
}

static void check_wants_name(const struct evidence *e, struct probe_result *r)
{
    check_odd(e, KIND_WANTS_NAME, r);
}

static void check_wants_empty(const struct evidence *e, struct probe_result *r)
{
    check_odd(e, KIND_WANTS_EMPTY, r);
}

static void check_asks_name(const struct evidence *e, struct probe_result *r)
{
    check_odd(e, KIND_ASKS_NAME, r);
}

static void check_at_once(const struct evidence *e, struct probe_result *r)
{
    check_odd(e, KIND_AT_ONCE, r);
}

/* The kinds that may show a leak of this sort; `wrong` when one does. */
static void check_leak(const struct evidence *e,
                       enum record_leak leak,
                       enum probe_status wrong,
                       const enum observer_place *kinds,
                       size_t n,
                       struct probe_result *r)
{
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        const struct habits *h = &e->v->habits[kinds[i]];
        any |= h->sessions && h->secured;
        if (h->leak != leak)
            continue;
        judge(r, wrong, "a password was sent by %s to the kind %s", h->leaker->leak_mechanism,
              observer_kinds[kinds[i]].name);
        return;
    }
    if (any)
        judge(r, PROBE_PASS, "none was sent");
    else
        judge(r, PROBE_NOT_RUN, "it did not come to the kind %s", observer_kinds[kinds[0]].name);
}

static void check_password_missing(const struct evidence *e, struct probe_result *r)
{
    static const enum observer_place kinds[] = {KIND_PLAIN_ONLY, KIND_REFUSED, KIND_HIDDEN};
    check_leak(e, LEAK_NO_EXTERNAL, PROBE_FAIL, kinds, ARRAY_LEN(kinds), r);
}

static void check_password_refused(const struct evidence *e, struct probe_result *r)
{
    static const enum observer_place kinds[] = {KIND_ALWAYS_535, KIND_REFUSED, KIND_PLAIN_ONLY};
    check_leak(e, LEAK_REFUSED, PROBE_WARN, kinds, ARRAY_LEN(kinds), r);
}

static void check_password_preferred(const struct evidence *e, struct probe_result *r)
{
    static const enum observer_place kinds[] = {KIND_CHOICE, KIND_ALWAYS_535};
    check_leak(e, LEAK_PREFERRED, PROBE_WARN, kinds, ARRAY_LEN(kinds), r);
}

static void check_alert(const struct evidence *e, struct probe_result *r)
{
    bool refused = false;
    for (size_t i = 0; i < e->n; i++) {
        const struct record *s = e->records[i];
        refused |= observer_kind_place(s->kind) == KIND_ALERT && s->certificate.sent;
        if (!client_came_back_bare(e->records, e->n, i))
            continue;
        judge(r, PROBE_FAIL, "after the alert it came again without the certificate");
        return;
    }
    if (refused)
        judge(r, PROBE_PASS, "it did not come again without the certificate");
    else
        judge(r, PROBE_NOT_RUN, "no certificate was refused by an alert");
}

static void check_refused(const struct evidence *e, struct probe_result *r)
{
    const struct habits *h = met_with_certificate(e, KIND_REFUSED, r);
    if (h)
        judge_story(r, PROBE_SEEN, h);
}

static void check_other_ca(const struct evidence *e, struct probe_result *r)
{
    const struct habits *h = met(e, KIND_OTHER_CA, r);
    if (h)
        judge(r, h->certificate ? PROBE_SEEN : PROBE_WARN, "%s",
              h->certificate ? "sent all the same" : "withheld, and its user is not told");
}

/* clang-format off */
static const struct {
    const char *id, *title, *section, *rows;
    void (*run)(const struct evidence *e, struct probe_result *r);
} checks[] = {
    {"clear", "only EHLO and STARTTLS are said in the clear", "RFC 8314 5.2, RFC 3207 6", "STLS-13, TLS-14", check_clear},
    {"certificate", "a certificate is sent when the server asks for one", "RFC 8314 5.5", "CERT-02", check_certificate},
    {"explicit", "it gets in by AUTH EXTERNAL where that is required", "RFC 8314 5.5", "OPN-07, O1-06", check_explicit},
    {"implicit", "it gets in where both sequences work", "RFC 4954 4", "O2-02, O2-03", check_implicit},
    {"hidden", "what it does where EXTERNAL is not offered", "no rule", "EDG-10, O2-17", check_hidden},
    {"recovery", "530 to MAIL is answered by AUTH EXTERNAL, which is offered", "no rule", "O1-10", check_recovery},
    {"shape", "AUTH EXTERNAL has a shape of RFC 4954", "RFC 4954 4", "AUTH-07, EXT-10", check_shape},
    {"prompts", "it survives 334 in answer to an initial response", "RFC 4954 4", "AUTH-07", check_prompts},
    {"wants-name", "it gets in where a name is wanted as authorization identity", "RFC 4422 A.1", "EXT-09", check_wants_name},
    {"wants-empty", "it gets in where only the empty authorization identity counts", "RFC 4422 A.1", "EXT-09", check_wants_empty},
    {"asks-name", "it survives a challenge that is not empty", "RFC 4422 A.1", "AUTH-11", check_asks_name},
    {"at-once", "it survives 235 without a challenge", "RFC 4954 4", "AUTH-15", check_at_once},
    {"password-missing", "no password is sent because EXTERNAL is missing", "RFC 4422 6.1.2", "O1-08, EDG-10", check_password_missing},
    {"password-refused", "no password is sent after EXTERNAL was refused", "RFC 4954 6", "AUTH-16, EDG-26", check_password_refused},
    {"password-preferred", "EXTERNAL is preferred to a password", "no rule", "EXT-09, EDG-25", check_password_preferred},
    {"alert", "a certificate refused by an alert is not left out the next time", "RFC 8446 E.1.2", "EDG-22", check_alert},
    {"refused", "what it does when SMTP refuses the certificate", "no rule", "O1-05, EDG-21", check_refused},
    {"other-ca", "the certificate is sent although the server names another CA", "RFC 8446 4.4.2.3", "CERT-06", check_other_ca},
};
/* clang-format on */
_Static_assert(ARRAY_LEN(checks) <= CLIENT_CHECKS_MAX, "room for every check");

unsigned client_checks(const struct client_verdict *v,
                       const struct record *const *records,
                       size_t n,
                       struct probe_result *ret)
{
    const struct evidence e = {v, records, n};
    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        ret[i] = (struct probe_result){.number = (unsigned)i + 1,
                                       .id = checks[i].id,
                                       .title = checks[i].title,
                                       .section = checks[i].section,
                                       .rows = checks[i].rows};
        checks[i].run(&e, &ret[i]);
    }
    return ARRAY_LEN(checks);
}

enum probe_conforms
client_conforms(const struct client_verdict *v, const struct probe_result *results, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (results[i].status == PROBE_FAIL)
            return PROBE_CONFORMS_NOT;
    if (v->class == CLIENT_NO_TLS || v->class == CLIENT_NO_CERTIFICATE)
        return PROBE_CONFORMS_NOT;
    bool untold = v->class == CLIENT_UNKNOWN || v->class == CLIENT_TLS_FAILED;
    return untold ? PROBE_CANNOT_TELL : PROBE_CONFORMS;
}
