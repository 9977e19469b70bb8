/* expiries.h - the seconds until certificates of listeners and revocation lists go out of date, for the metrics page. */
#ifndef POSTERN_EXPIRIES_H
#define POSTERN_EXPIRIES_H

#include "server/endpoint.h"

/* Appends the Prometheus text format as of now_ms (wall clock); what has gone out of date is below 0.  -EMSGSIZE when it
 * does not fit.  On the thread that refreshes. */
MUST_USE int expiries_print(
    const struct endpoint *endpoints, size_t n, const struct anchors *a, int64_t now_ms, struct buf *out);

#endif
