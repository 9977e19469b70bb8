/* client_report.h - the report on a client, from what each of its sessions showed. */
#ifndef POSTERN_CLIENT_REPORT_H
#define POSTERN_CLIENT_REPORT_H

#include "base/arena.h"
#include "probe/observer_hints.h"
#include "probe/observer_verdict.h"

enum { CLIENT_TABLES = 7 };

struct client_report_input { /* borrowed as long as the report is used */
    const struct record *const *records;
    size_t n;
    bool implicit_tls;
    unsigned turned_away;    /* connections beyond a limit */
    const struct hint *hint; /* NULL: no client was named */
    struct hint_values values;
};

struct client_report {
    struct report r; /* points into the rest, and into the input */
    struct client_verdict verdict;
    struct probe_result checks[CLIENT_CHECKS_MAX];
    struct report_cell cells[CLIENT_CHECKS_MAX];
    struct report_case cases[CLIENT_CHECKS_MAX];
    struct report_column column;
    struct report_table tables[CLIENT_TABLES];
    char subject[64], untold[512], words[256];
    struct arena arena; /* what the tables say; a row that does not fit is left out */
};

void client_report_init(struct client_report *ret, const struct client_report_input *in);
void client_report_done(struct client_report *c);

#endif
