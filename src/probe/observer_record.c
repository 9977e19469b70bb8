#include "probe/observer_record.h"

#include <stdarg.h>
#include <stdio.h>

const char *record_next_words(enum record_next n)
{
    static const char *const words[] = {
        [NEXT_UNKNOWN] = "was not waited for",   [NEXT_QUIT] = "gave up with QUIT",
        [NEXT_CLOSED] = "closed the connection", [NEXT_NOTHING] = "said nothing more",
        [NEXT_EXTERNAL] = "tried AUTH EXTERNAL", [NEXT_PASSWORD] = "tried a password",
        [NEXT_MAIL] = "went on with MAIL",       [NEXT_STARTTLS] = "started TLS",
        [NEXT_EHLO] = "said EHLO again",         [NEXT_OTHER] = "went on with another command",
    };
    return words[n];
}

const char *record_leak_words(enum record_leak l)
{
    static const char *const words[] = {
        [LEAK_NONE] = "",
        [LEAK_NO_EXTERNAL] = "where EXTERNAL is not offered",
        [LEAK_REFUSED] = "after a refusal",
        [LEAK_PREFERRED] = "although EXTERNAL is offered, without having tried it",
        [LEAK_CLEAR] = "in the clear, before TLS",
    };
    return words[l];
}

const char *record_end_words(enum record_end e)
{
    static const char *const words[] = {
        [END_OPEN] = "open",
        [END_QUIT] = "the client said QUIT",
        [END_CLOSED] = "closed by the client",
        [END_LOST] = "connection lost",
        [END_TIMEOUT] = "time over",
        [END_TLS_FAILED] = "TLS failed",
        [END_OURS] = "ended by the observer",
    };
    return words[e];
}

void record_init(struct record *r,
                 unsigned number,
                 const struct observer_kind *kind,
                 bool implicit_tls,
                 const char *peer)
{
    *r = (struct record){.number = number, .kind = kind, .implicit_tls = implicit_tls};
    (void)snprintf(r->peer, sizeof(r->peer), "%s", peer);
}

/* ---- the trace ---- */

static struct record_event *event_new(struct record *r, int64_t at_ms, char who)
{
    if (r->n_events == RECORD_EVENTS_MAX) {
        r->events_lost++;
        return NULL;
    }
    struct record_event *e = &r->events[r->n_events++];
    e->at_ms = at_ms;
    e->who = who;
    return e;
}

void record_note(struct record *r, int64_t at_ms, const char *fmt, ...)
{
    struct record_event *e = event_new(r, at_ms, '-');
    if (!e)
        return;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(e->text, sizeof(e->text), fmt, ap);
    va_end(ap);
}

/* ---- refusals, and what follows them ---- */

static void refuse(struct record *r, const char *what, int code)
{
    if (r->n_refusals == RECORD_REFUSALS_MAX) {
        r->pending = false;
        return;
    }
    struct record_refusal *f = &r->refusals[r->n_refusals++];
    (void)snprintf(f->what, sizeof(f->what), "%s", what);
    f->code = code;
    f->clear = !r->secured;
    f->next = NEXT_UNKNOWN;
    r->pending = true;
}

static void react(struct record *r, enum record_next next)
{
    if (r->pending)
        r->refusals[r->n_refusals - 1].next = next;
    r->pending = false;
}

static bool was_refused(const struct record *r, const char *what)
{
    for (unsigned i = 0; i < r->n_refusals; i++)
        if (!r->refusals[i].clear && strcmp(r->refusals[i].what, what) == 0)
            return true;
    return false;
}

/* What was pipelined behind a refused command, and RSET, is no reaction to it. */
static void react_to(struct record *r, const struct line *l)
{
    bool external = strcmp(l->mechanism, "EXTERNAL") == 0;
    switch (l->verb) {
    case LINE_RCPT:
    case LINE_TEXT:
    case LINE_RSET:
        return;
    case LINE_AUTH:
        react(r, external ? NEXT_EXTERNAL : NEXT_PASSWORD);
        return;
    case LINE_EHLO:
        react(r, NEXT_EHLO);
        return;
    case LINE_STARTTLS:
        react(r, NEXT_STARTTLS);
        return;
    case LINE_MAIL:
        react(r, NEXT_MAIL);
        return;
    case LINE_QUIT:
        react(r, NEXT_QUIT);
        return;
    case LINE_OTHER:
    case LINE_UNKNOWN:
        react(r, NEXT_OTHER);
        return;
    }
}

/* ---- what the client says ---- */

static void step(struct record *r, enum record_step s)
{
    if (r->secured && r->first == STEP_NONE)
        r->first = s;
}

static enum record_leak leak_now(const struct record *r)
{
    if (!r->secured)
        return LEAK_CLEAR;
    if (r->n_logins > 0 || was_refused(r, "MAIL"))
        return LEAK_REFUSED;
    return r->offered ? LEAK_PREFERRED : LEAK_NO_EXTERNAL;
}

static void look_for_secret(struct record *r, struct str base64)
{
    struct line_secret s = line_secret(r->exchange, r->responses, base64);
    enum record_leak now = s.password ? leak_now(r) : LEAK_NONE;
    if (s.user[0])
        (void)snprintf(r->user, sizeof(r->user), "%s", s.user);
    if (now > r->leak) {
        r->leak = now;
        (void)snprintf(r->leak_mechanism, sizeof(r->leak_mechanism), "%s", r->exchange);
    }
}

static struct record_login *login_under_way(struct record *r)
{
    bool there = r->n_logins > 0 && strcmp(r->exchange, "EXTERNAL") == 0;
    return there ? &r->logins[r->n_logins - 1] : NULL;
}

static void heard_external(struct record *r, const struct line *l)
{
    step(r, STEP_EXTERNAL);
    if (was_refused(r, "MAIL"))
        r->external_after_mail = true;
    if (r->n_logins < RECORD_LOGINS_MAX)
        r->n_logins++; /* beyond, the newest takes the last place */
    struct record_login *a = &r->logins[r->n_logins - 1];
    *a = (struct record_login){.first = external_first(l->response)};
    if (a->first == FIRST_NAME)
        line_name(str_trim(l->response), a->name);
}

static void heard_auth(struct record *r, const struct line *l)
{
    (void)snprintf(r->exchange, sizeof(r->exchange), "%s", l->mechanism);
    r->responses = 0;
    if (str_trim(l->response).len)
        look_for_secret(r, l->response);
    if (strcmp(l->mechanism, "EXTERNAL") == 0)
        heard_external(r, l);
    else
        step(r, STEP_PASSWORD);
}

static void heard_response(struct record *r, struct str line)
{
    struct record_login *a = login_under_way(r);
    if (a) {
        a->answer = external_answer(line);
        if (a->answer == ANSWER_NAME)
            line_name(line, a->name);
    }
    look_for_secret(r, line);
    r->responses++;
}

static void heard_hello(struct record *r, struct str text)
{
    r->offered = r->mechanisms = false;
    line_printable(str_trim(str_from(text, 4)), r->helo, sizeof(r->helo));
}

static void heard_command(struct record *r, struct str text)
{
    struct line l = line_read(text);
    react_to(r, &l);
    r->last = l.verb;
    r->exchange[0] = '\0';
    if (l.verb == LINE_AUTH)
        heard_auth(r, &l);
    else if (l.verb == LINE_MAIL)
        step(r, STEP_MAIL);
    else if (l.verb == LINE_EHLO)
        heard_hello(r, text);
}

void record_heard(struct record *r, int64_t at_ms, struct str line, bool response)
{
    struct record_event *e = event_new(r, at_ms, 'C');
    if (e)
        line_show(line, response ? r->exchange : NULL, e->text);
    if (response)
        heard_response(r, line);
    else
        heard_command(r, line);
}

/* ---- what the server answers ---- */

static bool has_word(struct str list, struct str word)
{
    while (list.len) {
        ssize_t space = str_find(list, ' ');
        struct str one = space < 0 ? list : str_upto(list, (size_t)space);
        if (str_eq_nocase(one, word))
            return true;
        list = str_from(list, one.len + 1);
    }
    return false;
}

static void said_capability(struct record *r, struct str text)
{
    if (r->last != LINE_EHLO || !r->secured || !str_starts_nocase(text, STR("AUTH ")))
        return;
    r->mechanisms = true;
    r->offered = has_word(str_from(text, 5), STR("EXTERNAL"));
}

static void said_to_auth(struct record *r, int code)
{
    struct record_login *a = login_under_way(r);
    if (code == 334) {
        if (a && a->answer == ANSWER_NOT_ASKED)
            a->answer = ANSWER_NOTHING;
        return;
    }
    if (a)
        a->code = code;
    if (a && code == 235)
        r->logged_in = true;
    if (code >= 400)
        refuse(r, "AUTH", code);
    r->exchange[0] = '\0';
}

/* A command that took the place of a response is the newest one: the reply is to it. */
static void said_final(struct record *r, int code)
{
    struct record_login *a = login_under_way(r);
    if (a && a->answer == ANSWER_COMMAND && code < 400) {
        r->exchange[0] = '\0';
        r->mail_open = true;
    } else if (r->last == LINE_AUTH) {
        said_to_auth(r, code);
    } else if (r->last == LINE_MAIL && code < 400) {
        r->mail_open = true;
    } else if (r->last == LINE_MAIL) {
        refuse(r, "MAIL", code);
    } else if (r->last == LINE_STARTTLS && code >= 400) {
        refuse(r, "STARTTLS", code);
    }
}

void record_said(struct record *r, int64_t at_ms, struct str line)
{
    uint64_t code;
    if (line.len < 4 || str_to_u64(str_upto(line, 3), 999, &code) < 0)
        return;
    bool capability = r->last == LINE_EHLO && code == 250;
    struct str text = str_from(line, 4);
    /* Of an EHLO list only what matters here is worth a line of the report. */
    bool shown = !capability || str_starts_nocase(text, STR("AUTH")) ||
                 str_starts_nocase(text, STR("STARTTLS"));
    struct record_event *e = shown ? event_new(r, at_ms, 'S') : NULL;
    if (e)
        line_printable(line, e->text, sizeof(e->text));
    if (capability)
        said_capability(r, text);
    if (capability && line.p[3] == ' ' && r->secured && !r->mechanisms)
        record_note(r, at_ms, "no AUTH is offered");
    if (line.p[3] == ' ' && !capability)
        said_final(r, (int)code);
}

void record_secured(
    struct record *r, int64_t at_ms, const char *version, const char *server_name, bool resumed)
{
    react(r, NEXT_STARTTLS);
    r->secured = true;
    r->resumed = resumed;
    r->offered = r->mechanisms =
        false; /* what was said in the clear is forgotten (STLS-04, STLS-05) */
    r->last = LINE_OTHER;
    (void)snprintf(r->tls_version, sizeof(r->tls_version), "%s", version ? version : "");
    line_printable(str_of(server_name), r->server_name, sizeof(r->server_name));
    record_note(r, at_ms, "%s%s%s%s", r->tls_version, resumed ? ", resumed" : "",
                server_name ? ", for " : ", no server name", r->server_name);
}

void record_message(struct record *r, unsigned recipients, uint64_t octets)
{
    r->messages++;
    r->recipients += recipients;
    r->octets += octets;
}

void record_ended(struct record *r, int64_t at_ms, enum record_end end, const char *detail)
{
    static const enum record_next next[] = {
        [END_OPEN] = NEXT_UNKNOWN, [END_QUIT] = NEXT_QUIT,       [END_CLOSED] = NEXT_CLOSED,
        [END_LOST] = NEXT_CLOSED,  [END_TIMEOUT] = NEXT_NOTHING, [END_TLS_FAILED] = NEXT_CLOSED,
        [END_OURS] = NEXT_UNKNOWN,
    };
    react(r, next[end]);
    r->end = end;
    (void)snprintf(r->detail, sizeof(r->detail), "%s", detail ? detail : "");
    /* A client that does not trust us ends the handshake as well: only what we refused is a refusal. */
    if (end == END_TLS_FAILED && !r->secured && r->certificate.sent)
        refuse(r, "TLS", 0);
    record_note(r, at_ms, "%s%s%s", record_end_words(end), r->detail[0] ? ": " : "", r->detail);
}

bool record_counts(const struct record *r)
{
    return r->secured || r->helo[0] || r->end == END_TLS_FAILED;
}

unsigned record_sequence(const struct record *r)
{
    switch (r->first) {
    case STEP_EXTERNAL:
        return 1;
    case STEP_MAIL:
        return 2;
    case STEP_NONE:
    case STEP_PASSWORD:
        break;
    }
    return 0;
}
