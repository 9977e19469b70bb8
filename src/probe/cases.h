/* cases.h - the table of cases; read by probe.c alone. */
#ifndef POSTERN_PROBE_CASES_H
#define POSTERN_PROBE_CASES_H

#include "probe/probe.h"

enum probe_need {
    NEED_CLEAR = 1, /* a target that begins in the clear */
    NEED_CERTIFICATE = 2,
    NEED_EXPLICIT = 4, /* AUTH EXTERNAL worked */
    NEED_IDENTITY = 8,
};

struct probe_case {
    const char *id, *title, *section, *rows;
    unsigned needs;
    void (*run)(struct probe *p, struct probe_result *r);
};

const struct probe_case *probe_cases(size_t *ret_n);

#endif
