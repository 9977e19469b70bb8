/* report_internal.h - what the writers of a report share. */
#ifndef POSTERN_REPORT_INTERNAL_H
#define POSTERN_REPORT_INTERNAL_H

#include "probe/report.h"

/* For text, attributes and pages alike; what is no printable character becomes "?". */
void report_escape(FILE *to, const char *text);
/* The same without the entities. */
void report_plain(FILE *to, const char *text);

int report_flush(FILE *to);

#define REPORT_TIME_MAX 24
void report_time(int64_t at_ms, char ret[REPORT_TIME_MAX]); /* "2026-11-29T18:05:00Z" */

#endif
