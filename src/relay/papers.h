/* papers.h - what a route shows its next hop: the certificate in a TLS context, and the password.
 *
 * Loaded from the files that the route names, again when they change; whoever uses them has a copy of his own.
 */
#ifndef POSTERN_RELAY_PAPERS_H
#define POSTERN_RELAY_PAPERS_H

#include "base/buf.h"
#include "relay/relay.h"

#include <sys/types.h>

struct papers {
    struct tls_context *tls; /* NULL: the route has no TLS */
    struct buf password;     /* wipes itself; empty: there is none */
};

/* `reader` is the account that serves (base/secret_file.h).  -errno and `why` (TLS_WHY_MAX), which names the file; *ret is
 * untouched then.  Blocks. */
MUST_USE int
papers_load(const struct route_config *route, uid_t reader, struct papers *ret, char *why);
struct papers papers_copy(const struct papers *p);
void papers_done(struct papers *p); /* all zeros is fine */

#endif
