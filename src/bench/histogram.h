/* histogram.h - many durations, remembered within 1.6 %: what percentiles are read from.
 *
 * A plain value of fixed size.  Below 128 each microsecond has its own slot, above that each octave has 64.
 */
#ifndef POSTERN_HISTOGRAM_H
#define POSTERN_HISTOGRAM_H

#include "base/base.h"

#define HISTOGRAM_SLOTS 2048

struct histogram {
    uint64_t count;
    int64_t sum_us, max_us;
    uint32_t slots[HISTOGRAM_SLOTS];
};

void histogram_add(struct histogram *h, int64_t us); /* a negative one counts as 0 */
int64_t histogram_mean(const struct histogram *h);   /* 0 when empty, as below */

/* The smallest remembered duration that at least `percent` of all do not exceed. */
int64_t histogram_percentile(const struct histogram *h, double percent);

#endif
