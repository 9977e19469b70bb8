/* metrics.h - the metrics page: GET /metrics over HTTP, and nothing else.
 *
 * Meant for the loopback or an inner network: it asks nobody who they are, and tells numbers, no names of users.
 * Lives on the loop it is given (the main thread's).  A request has METRICS_REQUEST_MAX octets and a few seconds, and
 * METRICS_CLIENTS_MAX are served at a time.
 */
#ifndef POSTERN_METRICS_H
#define POSTERN_METRICS_H

#include "net/loop.h"
#include "server/service.h"

#define METRICS_REQUEST_MAX 4096
#define METRICS_CLIENTS_MAX 16
#define METRICS_PAGE_MAX ((size_t)400 * 1024)

struct metrics;

/* Binds the address; `why` has SERVICE_WHY_MAX octets.  The service outlives what is returned. */
MUST_USE int metrics_start(
    struct loop *l, const char *address, struct service *sv, struct metrics **ret, char *why);
void metrics_stop(struct metrics *m); /* NULL is fine */

#endif
