/* The report as JUnit XML, as test servers read it: a suite for each column, a test case for each case.  Warnings and
 * observations are passes with their words in system-out, since the format has nothing between pass and failure. */
#include "probe/report_internal.h"

#include <string.h>

static void attribute(FILE *to, const char *name, const char *value)
{
    fprintf(to, " %s=\"", name);
    report_escape(to, value);
    fputc('"', to);
}

static void seconds(FILE *to, int64_t ms)
{
    fprintf(to, " time=\"%lld.%03lld\"", (long long)(ms / 1000), (long long)(ms % 1000));
}

static void message(FILE *to, const char *element, const struct report_cell *cell)
{
    fprintf(to, "      <%s", element);
    attribute(to, "message", cell->detail);
    fputs("/>\n", to);
}

static void output(FILE *to, const struct report_cell *cell)
{
    fprintf(to, "      <system-out>%s: ", probe_status_name(cell->status));
    report_escape(to, cell->detail);
    fputs("</system-out>\n", to);
}

static void one_case(FILE *to, const char *suite, const struct report_case *c, size_t k)
{
    const struct report_cell *cell = &c->cells[k];
    fputs("    <testcase", to);
    attribute(to, "classname", suite);
    fputs(" name=\"", to);
    report_escape(to, c->id);
    fputs(": ", to);
    report_escape(to, c->title);
    fputs(" (", to);
    report_escape(to, c->section);
    fputs("; ", to);
    report_escape(to, c->rows);
    fputs(")\"", to);
    seconds(to, cell->took_ms);
    fputs(">\n", to);
    if (cell->status == PROBE_FAIL)
        message(to, "failure", cell);
    else if (cell->status == PROBE_NOT_RUN)
        message(to, "skipped", cell);
    else
        output(to, cell);
    fputs("    </testcase>\n", to);
}

static void suite(FILE *to, const struct report *r, size_t k)
{
    char at[REPORT_TIME_MAX];
    size_t failures = 0, skipped = 0;
    int64_t took_ms = 0;
    for (size_t i = 0; i < r->n_cases; i++) {
        const struct report_cell *cell = &r->cases[i].cells[k];
        failures += cell->status == PROBE_FAIL;
        skipped += cell->status == PROBE_NOT_RUN;
        took_ms += cell->took_ms;
    }
    report_time(r->at_ms, at);
    at[MIN(strlen(at), sizeof("2026-11-29T18:05:00") - 1)] = '\0'; /* the schema wants no zone */
    fputs("  <testsuite", to);
    attribute(to, "name", r->columns[k].name);
    attribute(to, "hostname", r->subject);
    attribute(to, "timestamp", at);
    fprintf(to, " tests=\"%zu\" failures=\"%zu\" errors=\"0\" skipped=\"%zu\"", r->n_cases,
            failures, skipped);
    seconds(to, took_ms);
    fputs(">\n    <properties>\n      <property name=\"verdict\"", to);
    attribute(to, "value", r->columns[k].verdict);
    fputs("/>\n    </properties>\n", to);
    for (size_t i = 0; i < r->n_cases; i++)
        one_case(to, r->columns[k].name, &r->cases[i], k);
    fputs("  </testsuite>\n", to);
}

int report_write_junit(const struct report *r, FILE *to)
{
    fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites", to);
    attribute(to, "name", r->command);
    fprintf(to, " tests=\"%zu\" failures=\"%zu\" errors=\"0\" skipped=\"%zu\">\n",
            r->n_cases * r->n_columns, report_count(r, PROBE_FAIL), report_count(r, PROBE_NOT_RUN));
    for (size_t k = 0; k < r->n_columns; k++)
        suite(to, r, k);
    fputs("</testsuites>\n", to);
    return report_flush(to);
}
