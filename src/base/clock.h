/* clock.h - the two clocks, in milliseconds.  Pure folders are given the time as a value instead. */
#ifndef POSTERN_CLOCK_H
#define POSTERN_CLOCK_H

#include <stdint.h>

int64_t clock_wall_ms(void);      /* since 1970, may jump: what is written to disk, header, log */
int64_t clock_monotonic_ms(void); /* never jumps: time-outs and durations */

#endif
