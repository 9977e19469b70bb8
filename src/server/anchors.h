/* anchors.h - the trust blocks as loaded, one snapshot each, shared by the listeners that name them.
 *
 * Belongs to the main thread, which alone refreshes; a listener takes references into the snapshot it hands to its
 * sessions.
 */
#ifndef POSTERN_ANCHORS_H
#define POSTERN_ANCHORS_H

#include "cert/age.h"
#include "server/service.h"

struct anchors;

MUST_USE int anchors_new(const struct service_config *cfg, struct anchors **ret, char *why);
void anchors_free(struct anchors *a); /* NULL is fine */

/* Loads the blocks of which a file has changed, or `all`.  A block that cannot be loaded keeps what it had, which is
 * logged once for each change. */
void anchors_refresh(struct anchors *a, bool all, struct service_refreshed *count);

/* Logs what has gone out of date, or soon will, since the look before. */
void anchors_look(struct anchors *a);
void anchors_each_list(const struct anchors *a, cert_end_fn *tell, void *arg); /* cert_trust_lists_end() of all */
cert_age_fn anchors_log_age; /* how; arg is not used */

/* The present snapshot, borrowed until the next refresh; NULL when there is no block of that name. */
struct cert_trust *anchors_find(struct anchors *a, const char *name);

#endif
