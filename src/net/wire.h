/* wire.h - what lies under a stream: a socket, and TLS upon it once that has begun.
 *
 * Never blocks and never raises SIGPIPE, whatever the flags of the descriptor are.  Embedded in the
 * stream and not movable (TLS points back to it).  Internal to src/net/.
 */
#ifndef POSTERN_WIRE_H
#define POSTERN_WIRE_H

#include "net/tls_internal.h"

struct wire {
    int fd; /* -1: none yet, or closed */
    bool tls;
    bool dry;     /* the socket gave less than asked for: not asked again before it is readable */
    bool got_fin; /* the peer's side of the socket is closed */
    bool got_notify;  /* and by close_notify in TLS */
    bool asked;       /* a server wanted a client certificate */
    int16_t alert_in; /* last alert received or sent, -1: none */
    int16_t alert_out;
    struct ssl_st *ssl;
    int64_t active_ms; /* monotonic: when an octet last moved in either direction */
};

#define WIRE_WHY_MAX 512

void wire_init(struct wire *w, int fd);
void wire_close(
    struct wire *w); /* the descriptor only; TLS objects may still be in use further up the stack */
void wire_done(struct wire *w);

/* Octets moved, 0 at the end of input, -EAGAIN, -EPROTO with words in `why` when TLS fails, or
 * -errno. */
ssize_t wire_read(struct wire *w, void *data, size_t len, char *why);
ssize_t wire_write(struct wire *w, const void *data, size_t len, char *why);

/* Input is waiting above the socket, which the loop cannot see. */
bool wire_has_pending(const struct wire *w);

/* From now on read and write speak TLS.  False when TLS cannot even begin. */
MUST_USE bool wire_tls_begin(struct wire *w, struct tls_context *c, const char *name);

/* 0 when finished, -EAGAIN (see *ret_wants_write), -EPROTO with words in `why`. */
MUST_USE int wire_handshake(struct wire *w, bool *ret_wants_write, char *why);

/* Says close_notify; 0 or -EAGAIN.  An error is the same as 0: there is nobody left to tell. */
int wire_say_goodbye(struct wire *w);

#endif
