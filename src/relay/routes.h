/* routes.h - which route a recipient's domain takes.  Immutable once made: any thread may ask. */
#ifndef POSTERN_RELAY_ROUTES_H
#define POSTERN_RELAY_ROUTES_H

#include "base/str.h"
#include "relay/relay.h"

struct route_entry {
    const char *domain;
    const struct route_config *route;
};

struct routes {
    struct route_entry *entries; /* sorted by domain */
    size_t n;
    const struct route_config *fallback; /* "default"; NULL: none */
    const char *hostname;
};

/* The configuration must outlive the table. */
void routes_init(struct routes *r, const struct relay_config *cfg);
void routes_done(struct routes *r);

/* NULL: nobody takes it.  An empty domain is that of <Postmaster>, which means here (SMTP-20). */
const struct route_config *routes_find(const struct routes *r, struct str domain);

/* What stands behind the last "@", or nothing. */
struct str address_domain(const char *address);
/* What stands before it. */
struct str address_local(const char *address);

/* Can the two share connections?  The same next hop, reached in the same way as the same client. */
bool route_is_same_hop(const struct route_config *a, const struct route_config *b);

#endif
