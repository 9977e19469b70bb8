/* The report as one page: no script, no font, no picture, nothing from elsewhere.  What a peer said goes through
 * report_escape() and nowhere else, and never into an attribute. */
#include "probe/report_internal.h"

#include <string.h>

static const char style[] =
    ":root{color-scheme:light "
    "dark;--ink:#1c2024;--soft:#5c6670;--page:#f5f6f8;--card:#fff;--line:#dde1e6;"
    "--pass:#14713d;--pass-b:#e0f4e8;--fail:#b3202c;--fail-b:#fde7e8;--warn:#8a5300;--warn-b:#"
    "fdf0d6;"
    "--seen:#1f5c99;--seen-b:#e4f0fb;--none:#6b737c;--none-b:#eceff2}"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6e9ec;--soft:#9aa4ae;--page:#14171a;--card:#"
    "1c2024;"
    "--line:#31373e;--pass:#7fdca4;--pass-b:#173a27;--fail:#ff9aa2;--fail-b:#4a1a1f;--warn:#f3c56b;"
    "--warn-b:#41300f;--seen:#8fc2f5;--seen-b:#18324c;--none:#939ca6;--none-b:#2a2f35}}"
    "*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);"
    "font:15px/1.5 system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif}"
    "main{max-width:76rem;margin:0 auto;padding:2rem 1.25rem 4rem}"
    "h1{font-size:1.6rem;line-height:1.25;margin:0;overflow-wrap:anywhere}"
    "h2{font-size:1.1rem;margin:2.25rem 0 .75rem}.meta{color:var(--soft);margin:.25rem 0 1.25rem}"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:10px}"
    ".verdict{padding:1.25rem 1.5rem;border-left:8px solid var(--none)}"
    ".verdict.r0{border-left-color:var(--pass)}.verdict.r1{border-left-color:var(--fail)}"
    ".verdict.r2{border-left-color:var(--warn)}.verdict .words{font-size:1.35rem;font-weight:650;"
    "line-height:1.3;margin:.35rem 0}.verdict p{margin:.5rem 0 0;max-width:62rem}.verdict "
    "b{font-weight:600}"
    ".counts{display:flex;flex-wrap:wrap;gap:.5rem;margin-top:1rem}"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;width:100%}"
    "th,td{padding:.6rem .8rem;text-align:left;vertical-align:top;border-top:1px solid var(--line)}"
    "thead "
    "th{border-top:0;font-size:.82rem;font-weight:600;color:var(--soft);vertical-align:bottom}"
    ".matrix thead th.col{min-width:6.2rem}.matrix "
    "td.no{color:var(--soft);text-align:right;width:2.5rem;"
    "font-variant-numeric:tabular-nums}.matrix td.case{min-width:18rem}.title{font-weight:600}"
    ".cite{color:var(--soft);font-size:.82rem;margin-left:.5rem}"
    ".detail{color:var(--soft);font-size:.87rem;margin-top:.15rem;overflow-wrap:anywhere}"
    ".detail "
    "span{color:var(--ink);font-weight:600;margin-right:.4rem}td.letter{font-weight:600;width:2."
    "5rem}thead th b{color:var(--ink);font-size:.95rem}"
    ".chip{display:inline-block;white-space:nowrap;border-radius:999px;padding:.08rem "
    ".65rem;font-size:.82rem;"
    "font-weight:600;color:var(--none);background:var(--none-b)}"
    ".s1{color:var(--pass);background:var(--pass-b)}.s2{color:var(--fail);background:var(--fail-b)}"
    ".s3{color:var(--warn);background:var(--warn-b)}.s4{color:var(--seen);background:var(--seen-b)}"
    "tr.f2 td.no{box-shadow:inset 4px 0 0 var(--fail)}tr.f3 td.no{box-shadow:inset 4px 0 0 "
    "var(--warn)}"
    "code{font-family:ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;font-size:.88em}"
    "footer{color:var(--soft);font-size:.85rem;margin-top:2.5rem}"
    "@media print{body{background:#fff}.card{break-inside:auto}tr{break-inside:avoid}}";

static void element(FILE *to, const char *open, const char *text, const char *close)
{
    fputs(open, to);
    report_escape(to, text);
    fputs(close, to);
}

static void chip(FILE *to, enum probe_status s)
{
    static const char *const marks[PROBE_STATUS_COUNT] = {
        [PROBE_NOT_RUN] = "–", [PROBE_PASS] = "✓", [PROBE_FAIL] = "✕",
        [PROBE_WARN] = "!",    [PROBE_SEEN] = "•",
    };
    fprintf(to, "<span class=\"chip s%d\">%s %s</span>", (int)s, marks[s], probe_status_name(s));
}

static void fails(FILE *to, const struct report *r)
{
    if (report_count(r, PROBE_FAIL) == 0)
        return;
    fputs("<p><b>What fails.</b>", to);
    const char *between = " ";
    for (size_t i = 0; i < r->n_cases; i++) {
        if (report_worst(r, &r->cases[i]) != PROBE_FAIL)
            continue;
        fprintf(to, "%s<a href=\"#c%zu\">%zu</a> ", between, i + 1, i + 1);
        element(to, "", r->cases[i].title, "");
        between = "; ";
    }
    fputs("</p>\n", to);
}

static void verdict(FILE *to, const struct report *r)
{
    static const enum probe_status order[] = {PROBE_FAIL, PROBE_WARN, PROBE_PASS, PROBE_SEEN,
                                              PROBE_NOT_RUN};
    fprintf(to, "<section class=\"card verdict r%d\"><div class=\"meta\" style=\"margin:0\">",
            (int)r->result);
    element(to, "Verdict &middot; ", probe_conforms_name(r->result), "</div>\n");
    element(to, "<div class=\"words\">", r->verdict_text, "</div>\n");
    if (*r->change)
        element(to, "<p><b>What to change.</b> ", r->change, "</p>\n");
    fails(to, r);
    if (*r->untold)
        element(to, "<p><b>What could not be told.</b> ", r->untold, "</p>\n");
    fputs("<div class=\"counts\">", to);
    for (size_t i = 0; i < ARRAY_LEN(order); i++) {
        size_t n = report_count(r, order[i]);
        if (n > 0)
            fprintf(to, "<span class=\"chip s%d\">%zu %s</span>", (int)order[i], n,
                    probe_status_name(order[i]));
    }
    fputs("</div></section>\n", to);
}

static void columns(FILE *to, const struct report *r)
{
    fputs("<h2>What was probed</h2>\n<div class=\"card "
          "scroll\"><table><thead><tr><th></th><th>connection</th>"
          "<th>verdict there</th></tr></thead>\n<tbody>",
          to);
    for (size_t k = 0; k < r->n_columns; k++) {
        fprintf(to, "<tr><td class=\"letter\">%c</td>", report_letter(k));
        element(to, "<td>", r->columns[k].name, "</td>");
        element(to, "<td>", r->columns[k].verdict_text, "</td></tr>\n");
    }
    fputs("</tbody></table></div>\n", to);
}

static void detail(void *arg, const char *letters, const char *text)
{
    FILE *to = arg;
    fputs("<div class=\"detail\">", to);
    if (*letters)
        fprintf(to, "<span>%s</span>", letters);
    element(to, "", text, "</div>");
}

static void one_case(FILE *to, const struct report *r, size_t i)
{
    const struct report_case *c = &r->cases[i];
    fprintf(to, "<tr class=\"f%d\" id=\"c%zu\"><td class=\"no\">%zu</td><td class=\"case\">",
            (int)report_worst(r, c), i + 1, i + 1);
    element(to, "<span class=\"title\">", c->title, "</span> ");
    element(to, "<span class=\"cite\">", c->section, " &middot; ");
    element(to, "", c->rows, "</span>");
    report_details(r, c, detail, to);
    fputs("</td>", to);
    for (size_t k = 0; k < r->n_columns; k++) {
        fputs("<td>", to);
        chip(to, c->cells[k].status);
        fputs("</td>", to);
    }
    fputs("</tr>\n", to);
}

static void column_head(FILE *to, size_t k, const char *name)
{
    fprintf(to, "<th class=\"col\"><b>%c</b><br>", report_letter(k));
    element(to, "", name, "</th>");
}

static void matrix(FILE *to, const struct report *r)
{
    fputs("<h2>Cases</h2>\n<div class=\"card scroll\"><table "
          "class=\"matrix\"><thead><tr><th></th><th>case</th>",
          to);
    for (size_t k = 0; k < r->n_columns; k++)
        column_head(to, k, r->columns[k].name);
    fputs("</tr></thead>\n<tbody>", to);
    for (size_t i = 0; i < r->n_cases; i++)
        one_case(to, r, i);
    fputs("</tbody></table></div>\n", to);
}

static enum probe_status shade_of(const char *word)
{
    static const struct {
        const char *word;
        enum probe_status shade;
    } shades[] = {
        {"yes",    PROBE_PASS},
        {"no",     PROBE_FAIL},
        {"partly", PROBE_WARN}
    };
    for (size_t i = 0; i < ARRAY_LEN(shades); i++)
        if (strcmp(word, shades[i].word) == 0)
            return shades[i].shade;
    return PROBE_NOT_RUN;
}

static void table(FILE *to, const struct report_table *t)
{
    element(to, "<h2>", t->title, "</h2>\n<div class=\"card scroll\"><table><thead><tr>");
    for (size_t h = 0; h < t->n_heads; h++)
        element(to, "<th>", t->heads[h], "</th>");
    fputs("</tr></thead>\n<tbody>", to);
    for (size_t i = 0; i < t->n_rows; i++) {
        fputs("<tr>", to);
        for (size_t h = 0; h < t->n_heads; h++) {
            enum probe_status shade = shade_of(t->rows[i][h]);
            if (shade == PROBE_NOT_RUN)
                fputs("<td>", to);
            else
                fprintf(to, "<td><span class=\"chip s%d\">", (int)shade);
            element(to, "", t->rows[i][h], shade == PROBE_NOT_RUN ? "</td>" : "</span></td>");
        }
        fputs("</tr>\n", to);
    }
    fputs("</tbody></table></div>\n", to);
}

static void tables(FILE *to, const struct report *r, bool appendix)
{
    for (size_t i = 0; i < r->n_tables; i++)
        if (r->tables[i].n_rows > 0 && r->tables[i].appendix == appendix)
            table(to, &r->tables[i]);
}

int report_write_html(const struct report *r, FILE *to)
{
    char at[REPORT_TIME_MAX];
    report_time(r->at_ms, at);
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
          "'unsafe-inline'\">\n",
          to);
    element(to, "<title>", r->subject, ": ");
    element(to, "", r->verdict_text, "</title>\n");
    fprintf(to, "<style>%s</style>\n</head>\n<body><main>\n", style);
    element(to, "<h1>", r->subject, "</h1>\n");
    element(to, "<div class=\"meta\"><code>", r->command, "</code> &middot; ");
    element(to, "", at, "</div>\n");
    verdict(to, r);
    columns(to, r);
    tables(to, r, false);
    matrix(to, r);
    tables(to, r, true);
    fputs("<footer>pass: the rule cited is followed. fail: a MUST is not. warning: a SHOULD is "
          "not, or some "
          "clients will not get in. seen: no rule says what is right. not run: the words say what "
          "was "
          "missing.</footer>\n</main></body>\n</html>\n",
          to);
    return report_flush(to);
}
