/* The report for a terminal: a letter for each column, a line for each case, details below it. */
#include "probe/report_internal.h"

#include <string.h>

#define TITLE_WIDTH 44

struct pen {
    FILE *to;
    bool colour;
};

static const char *const shades[PROBE_STATUS_COUNT] = {
    [PROBE_NOT_RUN] = "\033[2m", [PROBE_PASS] = "\033[32m", [PROBE_FAIL] = "\033[1;31m",
    [PROBE_WARN] = "\033[33m",   [PROBE_SEEN] = "\033[36m",
};

static void status(const struct pen *p, enum probe_status s)
{
    fprintf(p->to, "%s%-8s%s", p->colour ? shades[s] : "", probe_status_name(s),
            p->colour ? "\033[0m" : "");
}

static void strong(const struct pen *p, const char *text)
{
    fputs(p->colour ? "\033[1m" : "", p->to);
    report_plain(p->to, text);
    fputs(p->colour ? "\033[0m" : "", p->to);
}

static void heading(const struct pen *p, const struct report *r)
{
    strong(p, r->subject);
    fputs("\n\n", p->to);
    for (size_t k = 0; k < r->n_columns; k++) {
        fprintf(p->to, "  %c  ", report_letter(k));
        report_plain(p->to, r->columns[k].name);
        fputs(": ", p->to);
        report_plain(p->to, r->columns[k].verdict_text);
        fputc('\n', p->to);
    }
    fputs("\n    ", p->to);
    for (size_t k = 0; k < r->n_columns; k++)
        fprintf(p->to, "  %-8c", report_letter(k));
    fputc('\n', p->to);
}

static void detail(void *arg, const char *letters, const char *text)
{
    const struct pen *p = arg;
    fprintf(p->to, "      %s", letters);
    report_plain(p->to, text);
    fputc('\n', p->to);
}

static void one_case(struct pen *p, const struct report *r, size_t i)
{
    const struct report_case *c = &r->cases[i];
    fprintf(p->to, "%3zu ", i + 1);
    for (size_t k = 0; k < r->n_columns; k++) {
        fputs("  ", p->to);
        status(p, c->cells[k].status);
    }
    fprintf(p->to, "  %-*s  %s; %s\n", TITLE_WIDTH, c->title, c->section, c->rows);
    report_details(r, c, detail, p);
}

static void table(const struct pen *p, const struct report_table *t)
{
    size_t width[REPORT_HEADS_MAX] = {0};
    for (size_t h = 0; h < t->n_heads; h++)
        for (size_t i = 0; i < t->n_rows; i++)
            width[h] = MAX(width[h], strlen(t->rows[i][h]));
    fputc('\n', p->to);
    strong(p, t->title);
    fputc('\n', p->to);
    for (size_t i = 0; i < t->n_rows; i++) {
        size_t last = t->n_heads;
        while (last > 0 && !*t->rows[i][last - 1])
            last--;
        for (size_t h = 0; h < last; h++) {
            fputs("  ", p->to);
            report_plain(p->to, t->rows[i][h]);
            for (size_t n = strlen(t->rows[i][h]); h + 1 < last && n < width[h]; n++)
                fputc(' ', p->to);
        }
        fputc('\n', p->to);
    }
}

static void fails(const struct pen *p, const struct report *r)
{
    const char *before = "fails    ";
    for (size_t i = 0; i < r->n_cases; i++) {
        if (report_worst(r, &r->cases[i]) != PROBE_FAIL)
            continue;
        fprintf(p->to, "%s%zu %s\n", before, i + 1, r->cases[i].title);
        before = "         ";
    }
}

static void line(const struct pen *p, const char *label, const char *text)
{
    if (!*text)
        return;
    fprintf(p->to, "%-9s", label);
    report_plain(p->to, text);
    fputc('\n', p->to);
}

int report_write_text(const struct report *r, FILE *to, bool colour)
{
    struct pen p = {to, colour};
    heading(&p, r);
    for (size_t i = 0; i < r->n_cases; i++)
        one_case(&p, r, i);
    for (size_t i = 0; i < r->n_tables; i++)
        if (r->tables[i].n_rows > 0)
            table(&p, &r->tables[i]);
    fprintf(to, "\n%zu passed, %zu failed, %zu warnings, %zu observations, %zu not run\n",
            report_count(r, PROBE_PASS), report_count(r, PROBE_FAIL), report_count(r, PROBE_WARN),
            report_count(r, PROBE_SEEN), report_count(r, PROBE_NOT_RUN));
    fprintf(to, "%-9s", "verdict");
    strong(&p, r->verdict_text);
    fputc('\n', to);
    line(&p, "result", probe_conforms_name(r->result));
    fails(&p, r);
    line(&p, "untold", r->untold);
    line(&p, "change", r->change);
    return report_flush(to);
}
