/* report.h - what a prober found, as plain values, and how it is told to people and programs.
 *
 * A report is a matrix: cases downwards, what they were run against (columns) across; beside it a verdict in plain words
 * and tables, such as which clients will work.  Who fills it keeps everything it points to until it was written.
 *
 * What is in a report may come from a peer: every writer takes any octets, replaces what is no printable character of
 * UTF-8, and escapes what means something in its form.  JSON is written by app/report_json.h, which sees jansson.
 */
#ifndef POSTERN_REPORT_H
#define POSTERN_REPORT_H

#include "base/base.h"

#include <stdio.h>

enum probe_status {
    PROBE_NOT_RUN, /* detail says why */
    PROBE_PASS,
    PROBE_FAIL,
    PROBE_WARN, /* a SHOULD is not followed */
    PROBE_SEEN, /* no rule says what is right: an observation */
    PROBE_STATUS_COUNT,
};
const char *probe_status_name(enum probe_status s); /* "not run" */

enum probe_conforms {
    PROBE_CONFORMS,
    PROBE_CONFORMS_NOT,
    PROBE_CANNOT_TELL
};                                                      /* and the exit code */
const char *probe_conforms_name(enum probe_conforms c); /* "could not tell" */

#define REPORT_COLUMNS_MAX 16
#define REPORT_HEADS_MAX 4

struct report_cell {
    enum probe_status status;
    const char *detail; /* one line */
    int64_t took_ms;
};

struct report_case {
    const char *id, *title;
    const char *section, *rows;      /* "RFC 4954 4", "OPN-05" */
    const struct report_cell *cells; /* one for each column */
};

struct report_column {
    const char *name;                   /* "port 587, STARTTLS, TLS 1.3" */
    const char *verdict, *verdict_text; /* of this column alone */
};

struct report_table {
    const char *name, *title;            /* "clients": key of JSON; "Which clients will work" */
    const char *heads[REPORT_HEADS_MAX]; /* words that are keys of JSON too */
    size_t n_heads;
    const char *(*rows)[REPORT_HEADS_MAX];
    size_t n_rows;
    bool appendix; /* long: a page has it behind the cases */
};

struct report {
    const char *command, *subject; /* "postern probe server", "mail.example.org" */
    int64_t at_ms;                 /* since 1970 */
    enum probe_conforms result;
    const char *verdict, *verdict_text; /* "option-2"; the same in words */
    const char *change;                 /* what to change; "" */
    const char *untold;                 /* what could not be told, and why; "" */
    const struct report_column *columns;
    size_t n_columns;
    const struct report_case *cases;
    size_t n_cases;
    const struct report_table *tables;
    size_t n_tables;
};

size_t report_count(const struct report *r, enum probe_status s); /* cells of this status */
/* All columns say the same of this case. */
bool report_agrees(const struct report *r, const struct report_case *c);

/* Return 0, or -EIO when `to` did not take all of it. */
MUST_USE int report_write_text(const struct report *r, FILE *to, bool colour);
MUST_USE int report_write_junit(const struct report *r, FILE *to);
MUST_USE int report_write_html(const struct report *r, FILE *to); /* one page that loads nothing */

#endif
