#include "probe/server_report.h"

#include "base/clock.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static void take_columns(struct server_report *s, const struct probe *probes, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        enum rule rule = probe_rule(&probes[k]);
        s->columns[k] = (struct report_column){probes[k].name, rule_name(rule), rule_words(rule)};
    }
    s->r.columns = s->columns;
    s->r.n_columns = n;
}

static void take_cases(struct server_report *s, const struct probe *probes, size_t n)
{
    for (size_t i = 0; i < probes[0].n_results; i++) {
        const struct probe_result *first = &probes[0].results[i];
        for (size_t k = 0; k < n; k++) {
            const struct probe_result *r = &probes[k].results[i];
            s->cells[i][k] = (struct report_cell){r->status, r->detail, r->took_ms};
        }
        s->cases[i] =
            (struct report_case){first->id, first->title, first->section, first->rows, s->cells[i]};
    }
    s->r.cases = s->cases;
    s->r.n_cases = probes[0].n_results;
}

static void take_classes(struct server_report *s, const struct observations *o)
{
    struct client_class c[CLIENT_CLASSES];
    client_classes(o, c);
    for (size_t i = 0; i < CLIENT_CLASSES; i++) {
        s->classes[i][0] = seen_name(c[i].works);
        s->classes[i][1] = c[i].sends;
        s->classes[i][2] = c[i].clients;
        s->classes[i][3] = c[i].note;
    }
    s->table = (struct report_table){
        .name = "clients",
        .title = "Which clients will work",
        .heads = {"works", "sends", "clients", "note"},
        .n_heads = 4,
        .rows = s->classes,
        .n_rows = CLIENT_CLASSES,
    };
    s->r.tables = &s->table;
    s->r.n_tables = 1;
}

/* One failure is enough for "no"; what could not be told anywhere is enough for not saying "yes". */
static enum probe_conforms conforms(const struct probe *probes, size_t n)
{
    enum probe_conforms worst = PROBE_CONFORMS;
    for (size_t k = 0; k < n; k++) {
        enum probe_conforms c = probe_conforms(&probes[k]);
        if (c == PROBE_CONFORMS_NOT)
            return c;
        if (c == PROBE_CANNOT_TELL)
            worst = c;
    }
    return worst;
}

static const char *detail_of(const struct probe *p, const char *id)
{
    for (unsigned i = 0; i < p->n_results; i++)
        if (strcmp(p->results[i].id, id) == 0)
            return p->results[i].detail;
    return "";
}

static const char not_reached[] =
    "Look whether host and port are right, whether TLS comes first at this port (--tls, or a URL), and whether the server "
    "takes this certificate.";

/* What could not be told, where, and what came instead. */
static void say_untold(struct server_report *s, const struct probe *probes, size_t n)
{
    size_t used = 0;
    s->untold[0] = '\0';
    for (size_t k = 0; k < n && used < sizeof(s->untold); k++) {
        const struct probe *p = &probes[k];
        if (probe_rule(p) != RULE_UNKNOWN)
            continue;
        const char *lacks = rule_lacks(&p->seen);
        bool login = p->seen.explicit_login == SEEN_UNKNOWN;
        const char *instead = p->missed ? p->results[p->missed - 1].detail
                                        : detail_of(p, login ? "equals" : "implicit");
        used += (size_t)snprintf(s->untold + used, sizeof(s->untold) - used, "%s%s: %s: %s%.190s.",
                                 used ? " " : "", p->name, lacks ? lacks : "which rule",
                                 p->missed ? "the server was not reached: " : "", instead);
    }
}

void server_report(struct server_report *ret,
                   const char *subject,
                   const struct probe *probes,
                   size_t n)
{
    assert(n > 0 && n <= REPORT_COLUMNS_MAX);
    enum rule rule = probe_rule(&probes[0]);
    struct observations all = probes[0].seen;
    for (size_t k = 1; k < n; k++) {
        rule = rule_merge(rule, probe_rule(&probes[k]));
        observations_merge(&all, &probes[k].seen);
    }
    bool reached = false;
    for (size_t k = 0; k < n; k++)
        reached = reached || !probes[k].missed;
    say_untold(ret, probes, n);
    ret->r = (struct report){
        .command = "postern probe server",
        .subject = subject,
        .at_ms = clock_wall_ms(),
        .result = conforms(probes, n),
        .verdict = rule_name(rule),
        .verdict_text = rule_words(rule),
        .change = reached ? rule_advice(rule) : not_reached,
        .untold = ret->untold,
    };
    take_columns(ret, probes, n);
    take_cases(ret, probes, n);
    if (probes[0].protocol == PROBE_SMTP)
        take_classes(ret, &all);
}
