/* resolver.h - names to addresses for one loop: the hosts file first, then the name servers of
 * resolv.conf.
 *
 * Both files are looked at again before each question and read anew when they changed, since a
 * server outlives many a DHCP lease.  Search domains are not applied: mail goes to the host that
 * was named, never to mail.example.org.our.domain.  Internal to src/net/.
 */
#ifndef POSTERN_RESOLVER_H
#define POSTERN_RESOLVER_H

#include "base/base.h"

struct event_base;
struct evdns_base;
struct resolver;

/* Borrows the base and the paths.  A missing file is an empty one. */
struct resolver *resolver_new(struct event_base *base, const char *resolv_conf, const char *hosts);
void resolver_free(
    struct resolver *r); /* questions under way are answered with an error; NULL is fine */

/* To ask with; NULL when there is no memory.  Not to be kept. */
struct evdns_base *resolver_evdns(struct resolver *r);

#endif
