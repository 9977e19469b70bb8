/* cmd_bench_report.h - what came of a load, in words for a person and as JSON for a program. */
#ifndef POSTERN_CMD_BENCH_REPORT_H
#define POSTERN_CMD_BENCH_REPORT_H

#include "bench/load.h"
#include "bench/sink.h"

#include <stdio.h>

void report_text(FILE *to, const struct load_config *cfg, const struct load_result *r);
/* Durations in microseconds; what was not measured is left out.  -ENOMEM, or -EIO when it cannot be written. */
MUST_USE int report_json(FILE *to, const struct load_config *cfg, const struct load_result *r);

/* One line, of at most `width` columns, for a terminal. */
void report_progress(char *line, size_t size, const struct load_config *cfg, const struct load_result *r);

void report_sink_text(FILE *to, const struct sink_counts *c, int64_t us);
MUST_USE int report_sink_json(FILE *to, const struct sink_counts *c, int64_t us);

#endif
