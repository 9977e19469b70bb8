/* link.h - one client session at work: the engine of smtp/client.h over a stream.
 *
 * Carries octets both ways, begins TLS when the engine or the configuration wants it, and tells its user the
 * few things a user of a session wants to know.  Knows nothing of loads and measurements.
 *
 * Life      on the loop's thread.  `ended` comes exactly once, perhaps inside link_send(), _text() or _quit(), and
 *           is the last call; the link frees itself after it, at the end of the turn.
 */
#ifndef POSTERN_LINK_H
#define POSTERN_LINK_H

#include "net/stream.h"
#include "smtp/client.h"

struct link;

struct link_config { /* borrowed for the life of the link */
    const char *host, *port;
    struct tls_context *tls; /* NULL: never */
    const char *tls_name;    /* for SNI and verification */
    bool tls_implicit;       /* from the first octet */
    int64_t timeout_ms;      /* without any progress */
    struct smtp_client_config smtp;
};

struct link_ops {
    void (*secured)(void *ctx, const struct tls_facts *facts); /* may be NULL */
    void (*ready)(void *ctx);                                  /* link_send() or link_quit() may follow */
    void (*text)(void *ctx, uint64_t offset); /* push by link_text() until it does not take more; it is asked again */
    void (*recipient)(void *ctx, size_t i, const struct smtp_outcome *o);
    void (*finished)(void *ctx);
    void (*ended)(void *ctx, enum smtp_client_end end, const struct smtp_outcome *o);
};

struct link *link_open(struct loop *l, const struct link_config *cfg, const struct link_ops *ops, void *ctx);

/* As smtp_client_send(), smtp_client_text() and smtp_client_quit(). */
MUST_USE int link_send(struct link *k, const struct smtp_client_message *m, struct smtp_outcome *ret_why);
MUST_USE int link_text(struct link *k, const char *data, size_t len, bool last);
void link_quit(struct link *k);

enum smtp_client_sequence link_sequence(const struct link *k);

/* At once, without another word; `ended` does not come. */
void link_abort(struct link *k);

#endif
