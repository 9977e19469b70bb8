/* report_internal.h - what the writers of a report share. */
#ifndef POSTERN_REPORT_INTERNAL_H
#define POSTERN_REPORT_INTERNAL_H

#include "probe/report.h"

/* For text, attributes and pages alike; what is no printable character becomes "?". */
void report_escape(FILE *to, const char *text);
/* The same without the entities. */
void report_plain(FILE *to, const char *text);

int report_flush(FILE *to);

char report_letter(
    size_t column); /* 'A' ... : what stands for a column where its name is too long */

/* Calls `say` once for each different detail of the case, with the letters of the columns that share it ("A C "; ""
 * when all do). */
void report_details(const struct report *r,
                    const struct report_case *c,
                    void (*say)(void *arg, const char *letters, const char *detail),
                    void *arg);

/* The worst status of a case among those that call for action: PROBE_FAIL, PROBE_WARN, or PROBE_PASS: none does. */
enum probe_status report_worst(const struct report *r, const struct report_case *c);

#define REPORT_TIME_MAX 24
void report_time(int64_t at_ms, char ret[REPORT_TIME_MAX]); /* "2026-11-29T18:05:00Z" */

#endif
