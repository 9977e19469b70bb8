/* unit.h - what every unit test includes: cmocka in the order it wants, and table-test helpers. */
#ifndef POSTERN_UNIT_H
#define POSTERN_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* In a loop over a table: says which row failed. */
#define check(row, condition)                                                                      \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("%s: %s", (row), #condition);                                                 \
    } while (0)

#endif
