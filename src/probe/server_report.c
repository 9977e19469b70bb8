#include "probe/server_report.h"

#include "base/clock.h"

#include <assert.h>
#include <stdio.h>

static void take_columns(struct server_report *s, const struct probe *probes, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        enum rule rule = rule_of(&probes[k].seen);
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
    }
    s->table = (struct report_table){
        .name = "clients",
        .title = "Which clients will work",
        .heads = {"works", "sends", "clients"},
        .n_heads = 3,
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

void server_report(struct server_report *ret, const struct probe *probes, size_t n)
{
    assert(n > 0 && n <= REPORT_COLUMNS_MAX);
    enum rule rule = rule_of(&probes[0].seen);
    (void)snprintf(ret->subject, sizeof(ret->subject), "%s", probes[0].target.host);
    ret->r = (struct report){
        .command = "postern probe server",
        .subject = ret->subject,
        .at_ms = clock_wall_ms(),
        .result = conforms(probes, n),
        .verdict = rule_name(rule),
        .verdict_text = rule_words(rule),
        .change = rule_advice(rule),
        .untold = "",
    };
    take_columns(ret, probes, n);
    take_cases(ret, probes, n);
    take_classes(ret, &probes[0].seen);
}
