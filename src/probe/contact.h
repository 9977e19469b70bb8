/* contact.h - one connection of the prober, below any protocol: octets out, octets in, in the order it is written down.
 *
 * contact_turn() turns the loop until `due` answers have come, the peer is gone, or the time is over; the deadline is
 * for the whole answer, so a peer that sends an octet a second gains nothing.  After the end (`ended`, with `why`) every
 * call returns at once.
 *
 * C1  No callback begins anything by itself, so that a case reads from top to bottom.
 * C2  Once `ended` is set the stream is only closed, never written to.
 */
#ifndef POSTERN_CONTACT_H
#define POSTERN_CONTACT_H

#include "net/stream.h"

#define CONTACT_WHY 256
#define CONTACT_AUTHORITIES 200

struct contact_target { /* borrowed for the life of the contact */
    const char *host, *port;
    const char *tls_name; /* SNI and verification */
    bool implicit;        /* TLS from the first octet */
    int64_t timeout_ms;   /* for each answer */
};

/* What TLS told; `alert` and `asked` also when the handshake failed. */
struct contact_facts {
    const char *version; /* "" in the clear */
    const char *alert;   /* the last one received; NULL: none */
    bool secure, resumed, asked;
    size_t n_authorities;
    char authorities[CONTACT_AUTHORITIES]; /* their names, as many as fit */
};

struct contact_ops {
    size_t (*input)(void *ctx, const char *data, size_t len); /* never after the end */
    void (*secured)(void *ctx); /* STARTTLS succeeded: what was heard in the clear is nobody's */
};

struct contact {
    struct contact_facts facts;
    struct buf out; /* goes out with the next turn */
    unsigned due;   /* answers awaited */
    bool ended;
    char why[CONTACT_WHY]; /* printable ASCII; "" while it has not ended */

    /* The rest is contact.c's. */
    struct loop *loop;
    const struct contact_target *target;
    struct tls_context *tls;
    struct stream *stream;
    struct loop_timer *deadline;
    const struct contact_ops *ops;
    void *ctx;
    bool securing, heard; /* an octet of the peer's */
};

/* Begins to connect; the first turn waits for it.  `ops` is static. */
void contact_init(struct contact *c,
                  struct loop *l,
                  const struct contact_target *target,
                  struct tls_context *tls,
                  const struct contact_ops *ops,
                  void *ctx);
void contact_done(struct contact *c); /* waits for nothing */

/* Waits for `due` answers; each is counted by contact_answered(). */
void contact_turn(struct contact *c, unsigned due);
void contact_answered(struct contact *c);
void contact_finish(struct contact *c, const char *why);
/* The handshake in the middle of a connection; false: it failed. */
bool contact_start_tls(struct contact *c);

/* What a peer says goes to a terminal: no control character, no 8-bit octet; cut at `room`. */
void contact_copy(char *to, size_t room, struct str s);

#endif
