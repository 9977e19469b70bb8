#include "probe/client_report.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ARENA_MAX ((size_t)32 << 20)
#define FACTS_MAX 12 /* of a session */
#define TEXT_MAX 400

/* ---- tables ---- */

static void table_begin(struct client_report *c,
                        struct report_table *t,
                        const char *name,
                        const char *title,
                        size_t rows_max)
{
    *t = (struct report_table){.name = name, .title = title};
    t->rows = arena_alloc(&c->arena, MAX(rows_max, (size_t)1) * sizeof(*t->rows));
}

static void heads(struct report_table *t, const char *const *words, size_t n)
{
    t->n_heads = n;
    for (size_t i = 0; i < n; i++)
        t->heads[i] = words[i];
}

/* One cell more in the row begun; the strings are formatted into the arena. */
static const char *PRINTF(2, 3) text(struct client_report *c, const char *fmt, ...)
{
    char s[TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(s, sizeof(s), fmt, ap);
    va_end(ap);
    const char *kept = arena_strdup(&c->arena, str_of(s));
    return kept ? kept : "";
}

static void row(struct report_table *t, const char *a, const char *b, const char *x, const char *y)
{
    const char *const cells[REPORT_HEADS_MAX] = {a, b, x, y};
    if (t->rows)
        memcpy(t->rows[t->n_rows++], cells, sizeof(cells));
}

static const char *session_name(struct client_report *c, const struct record *r)
{
    return text(c, "%u %s", r->number, r->kind->name);
}

static void works_table(struct client_report *c, struct report_table *t)
{
    table_begin(c, t, "works", "With which servers it works", SERVER_OPTIONS);
    heads(t, (const char *const[]){"works", "server", "how"}, 3);
    for (unsigned i = 0; i < SERVER_OPTIONS; i++)
        row(t, seen_name(c->verdict.works[i]), server_option_name(i),
            c->verdict.observed[i]                ? "seen"
            : c->verdict.works[i] == SEEN_UNKNOWN ? "not seen"
                                                  : "expected of such a client",
            NULL);
}

static const char *certificate_words(const struct record *r)
{
    if (r->certificate.sent)
        return r->certificate.accepted ? "sent" : "sent, refused";
    return r->kind->certificate == CERTIFICATE_NOT_ASKED ? "not asked for" : "none";
}

static void sessions_table(struct client_report *c,
                           const struct client_report_input *in,
                           struct report_table *t)
{
    static const char *const sequences[] = {"none", "1", "2"};
    table_begin(c, t, "sessions", "Sessions", in->n);
    heads(t, (const char *const[]){"session", "certificate", "sequence", "did"}, 4);
    for (size_t i = 0; i < in->n; i++) {
        char story[PROBE_DETAIL];
        const struct record *r = in->records[i];
        client_story(r, story, sizeof(story));
        row(t, session_name(c, r), certificate_words(r), sequences[record_sequence(r)],
            text(c, "%s", story));
    }
}

static void
logins_table(struct client_report *c, const struct client_report_input *in, struct report_table *t)
{
    table_begin(c, t, "logins", "Shapes of AUTH EXTERNAL", in->n * RECORD_LOGINS_MAX);
    heads(t, (const char *const[]){"session", "shape", "authzid", "outcome"}, 4);
    for (size_t i = 0; i < in->n; i++) {
        for (unsigned k = 0; k < in->records[i]->n_logins; k++) {
            const struct record_login *l = &in->records[i]->logins[k];
            row(t, session_name(c, in->records[i]), external_shape_name(l->first, l->answer),
                l->name, l->code ? text(c, "%d", l->code) : "none");
        }
    }
}

static void refusals_table(struct client_report *c,
                           const struct client_report_input *in,
                           struct report_table *t)
{
    table_begin(c, t, "refusals", "What it did after a refusal", in->n * RECORD_REFUSALS_MAX);
    heads(t, (const char *const[]){"session", "refused", "by", "then"}, 4);
    for (size_t i = 0; i < in->n; i++) {
        const struct record *r = in->records[i];
        for (unsigned k = 0; k < r->n_refusals; k++) {
            const struct record_refusal *f = &r->refusals[k];
            const char *then =
                f->code ? record_next_words(f->next) : client_came_back(in->records, in->n, i);
            row(t, session_name(c, r),
                text(c, "%s%s", f->what, f->clear && f->code ? " before TLS" : ""),
                f->code ? text(c, "%d", f->code) : "alert", then);
        }
    }
}

/* ---- facts of a session, one row each ---- */

struct facts {
    struct client_report *c;
    struct report_table *t;
    const char *session;
};

static void fact(const struct facts *f, const char *name, const char *value)
{
    if (value && *value)
        row(f->t, f->session, name, value, NULL);
}

static void tls_facts(const struct facts *f, const struct record *r)
{
    if (!r->secured) {
        fact(f, "tls", "none");
        return;
    }
    fact(f, "tls",
         text(f->c, "%s, %s%s", r->tls_version, r->implicit_tls ? "implicit TLS" : "STARTTLS",
              r->resumed ? ", resumed" : ""));
    fact(f, "server-name", r->server_name[0] ? r->server_name : "none");
}

static void session_facts(const struct facts *f, const struct record *r)
{
    fact(f, "from", r->peer);
    fact(f, "helo", r->helo);
    tls_facts(f, r);
    fact(f, "subject", r->certificate.subject);
    fact(f, "identity", r->certificate.identity);
    fact(f, "refused-because", r->certificate.reason);
    if (r->leak)
        fact(f, "password",
             text(f->c, "AUTH %s with a password, %s", r->leak_mechanism,
                  record_leak_words(r->leak)));
    fact(f, "user", r->user);
    if (r->messages)
        fact(f, "messages",
             text(f->c, "%u, for %u recipients, %llu octets", r->messages, r->recipients,
                  (unsigned long long)r->octets));
    fact(f, "end",
         r->detail[0] ? text(f->c, "%s: %s", record_end_words(r->end), r->detail)
                      : record_end_words(r->end));
}

static void
facts_table(struct client_report *c, const struct client_report_input *in, struct report_table *t)
{
    table_begin(c, t, "facts", "Facts", in->n * FACTS_MAX);
    heads(t, (const char *const[]){"session", "fact", "value"}, 3);
    for (size_t i = 0; i < in->n; i++) {
        struct facts f = {c, t, session_name(c, in->records[i])};
        session_facts(&f, in->records[i]);
    }
}

static void
trace_table(struct client_report *c, const struct client_report_input *in, struct report_table *t)
{
    table_begin(c, t, "trace", "What was said (seconds since the connection; C client, S server)",
                in->n * (RECORD_EVENTS_MAX + 1));
    heads(t, (const char *const[]){"session", "at", "who", "text"}, 4);
    for (size_t i = 0; i < in->n; i++) {
        const struct record *r = in->records[i];
        const char *name = session_name(c, r);
        for (unsigned k = 0; k < r->n_events; k++) {
            const struct record_event *e = &r->events[k];
            row(t, name, text(c, "%.3f", (double)e->at_ms / 1000), text(c, "%c", e->who), e->text);
        }
        if (r->events_lost)
            row(t, name, "", "-", text(c, "and %u more lines", r->events_lost));
    }
}

/* ---- the hint, a row for each line ---- */

static void way_rows(struct client_report *c,
                     const struct client_report_input *in,
                     struct report_table *t,
                     const char *way,
                     const char *lines)
{
    CLEANUP(buf_done) struct buf filled = BUF_INIT(HINT_MAX);
    if (!lines) {
        row(t, way, "it cannot", NULL, NULL);
        return;
    }
    if (hint_fill(lines, &in->values, &filled) < 0)
        return;
    for (const char *p = filled.data; *p && t->n_rows < HINT_MAX;) {
        const char *end = strchrnul(p, '\n');
        row(t, way, text(c, "%.*s", (int)(end - p), p), NULL, NULL);
        p = *end ? end + 1 : end;
    }
}

static void
hint_table(struct client_report *c, const struct client_report_input *in, struct report_table *t)
{
    table_begin(c, t, "hint", "How it is told to use a certificate", in->hint ? 3 * HINT_MAX : 0);
    heads(t, (const char *const[]){"sequence", "configuration"}, 2);
    if (!in->hint)
        return;
    way_rows(c, in, t, "1", in->hint->explicit_login);
    way_rows(c, in, t, "2", in->hint->straight);
    row(t, "note", text(c, "%s: %s", in->hint->where, in->hint->note), NULL, NULL);
}

/* ---- the whole ---- */

static void take_checks(struct client_report *c, const struct client_report_input *in)
{
    unsigned n = client_checks(&c->verdict, in->records, in->n, c->checks);
    for (unsigned i = 0; i < n; i++) {
        const struct probe_result *p = &c->checks[i];
        c->cells[i] = (struct report_cell){p->status, p->detail, 0};
        c->cases[i] = (struct report_case){p->id, p->title, p->section, p->rows, &c->cells[i]};
    }
    c->r.cases = c->cases;
    c->r.n_cases = n;
    c->r.result = client_conforms(&c->verdict, c->checks, n);
}

static void append(char *to, size_t size, const char *a, const char *b)
{
    size_t len = strlen(to);
    (void)snprintf(to + len, size - len, "%s%s", a, b);
}

static void say_untold(struct client_report *c, const struct client_report_input *in)
{
    const char *before = "it did not come to: ";
    for (size_t k = 0; k < OBSERVER_KINDS; k++) {
        if (c->verdict.habits[k].sessions)
            continue;
        append(c->untold, sizeof(c->untold), before, observer_kinds[k].name);
        before = ", ";
    }
    if (in->turned_away)
        append(c->untold, sizeof(c->untold), c->untold[0] ? "; " : "",
               "connections were turned away, as there were too many");
}

void client_report_init(struct client_report *ret, const struct client_report_input *in)
{
    *ret = (struct client_report){.subject = ""};
    arena_init(&ret->arena, ARENA_MAX);
    client_judge(in->records, in->n, &ret->verdict);
    const struct client_verdict *v = &ret->verdict;
    (void)snprintf(ret->subject, sizeof(ret->subject), "%s",
                   in->hint ? in->hint->client : "client");
    (void)snprintf(ret->words, sizeof(ret->words), "%s%s%s", client_class_words(v->class),
                   v->leak ? "; leaks a password " : "", record_leak_words(v->leak));
    say_untold(ret, in);
    ret->column = (struct report_column){in->implicit_tls ? "implicit TLS" : "STARTTLS",
                                         client_class_name(v->class), ret->words};
    ret->r = (struct report){
        .command = "postern probe client",
        .subject = ret->subject,
        .at_ms = clock_wall_ms(),
        .verdict = client_class_name(v->class),
        .verdict_text = ret->words,
        .change = client_class_advice(v->class),
        .untold = ret->untold,
        .columns = &ret->column,
        .n_columns = 1,
        .tables = ret->tables,
        .n_tables = CLIENT_TABLES,
    };
    take_checks(ret, in);
    works_table(ret, &ret->tables[0]);
    sessions_table(ret, in, &ret->tables[1]);
    logins_table(ret, in, &ret->tables[2]);
    refusals_table(ret, in, &ret->tables[3]);
    facts_table(ret, in, &ret->tables[4]);
    trace_table(ret, in, &ret->tables[5]);
    hint_table(ret, in, &ret->tables[6]);
    ret->tables[4].appendix = ret->tables[5].appendix = true;
}

void client_report_done(struct client_report *c)
{
    arena_done(&c->arena);
}
