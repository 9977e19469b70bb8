/* server_report.h - the report on a server, from what was found in each way of talking to it. */
#ifndef POSTERN_SERVER_REPORT_H
#define POSTERN_SERVER_REPORT_H

#include "probe/probe.h"

struct server_report {
    struct report r; /* points into the rest, and into the probes */
    char untold[1024];
    struct report_column columns[REPORT_COLUMNS_MAX];
    struct report_case cases[PROBE_CASES_MAX];
    struct report_cell cells[PROBE_CASES_MAX][REPORT_COLUMNS_MAX];
    struct report_table table;
    const char *classes[CLIENT_CLASSES][REPORT_HEADS_MAX];
};

/* The probes ran and hold the same cases; they and `subject` are borrowed as long as the report is used. */
void server_report(struct server_report *ret,
                   const char *subject,
                   const struct probe *probes,
                   size_t n);

#endif
