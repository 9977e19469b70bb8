/* sink.h - a next hop that accepts everything and counts.
 *
 * Speaks SMTP with the server engine, so that it takes whatever the product sends.  Keeps nothing of a message
 * but its size and, when there is one, its stamp.  On one loop, owned by that loop's thread.
 */
#ifndef POSTERN_SINK_H
#define POSTERN_SINK_H

#include "bench/stamp.h"
#include "net/loop.h"
#include "net/tls.h"

struct sink;

struct sink_config { /* strings are borrowed for the life of the sink */
    const char *address; /* "127.0.0.1:2526" */
    const char *hostname;
    struct tls_context *tls; /* for STARTTLS; NULL: not offered */
    /* A message was accepted; may be NULL.  `stamp` is NULL when it holds none. */
    void (*message)(void *ctx, const struct stamp *stamp, size_t recipients);
    void *ctx;
};

struct sink_counts {
    uint64_t connections, open, messages, recipients, octets;
};

#define SINK_WHY_MAX 256
MUST_USE int sink_new(struct loop *l, const struct sink_config *cfg, struct sink **ret, char *why);
void sink_free(struct sink *s); /* drops its sessions; NULL is fine */
struct sink_counts sink_counts(const struct sink *s);

#endif
