/* report_out.h - where the report of a prober goes: standard output as text or JSON, and files. */
#ifndef POSTERN_REPORT_OUT_H
#define POSTERN_REPORT_OUT_H

#include "probe/report.h"

struct report_out {
    bool json;                /* on standard output, instead of text */
    const char *junit, *html; /* files; NULL: not wanted */
};

/* Writes all that is wanted and returns the exit code: what the report says, or EX_CANTCREAT with a sentence on standard
 * error when a file cannot be written. */
int report_out(const struct report *r, const struct report_out *out, const char *program);

#endif
