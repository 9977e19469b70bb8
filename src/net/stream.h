/* stream.h - one connection: octets in order, over TCP or a UNIX socket, in the clear or under TLS.
 *
 * The user of a stream never asks whether TLS is there: STARTTLS swaps what lies under the session.
 * Starting TLS throws away every octet that was read in the clear and not consumed (STLS-08,
 * STLS-09).
 *
 * Memory: an idle stream holds no buffer.  Input is read into one scratch area the loop's thread
 * owns; only what the user did not consume is copied, up to STREAM_INPUT_MAX, and reading stops
 * there.  Output waits in a buffer of STREAM_OUTPUT_MAX octets at most, and goes out at the end of
 * the loop turn, so that the replies to a pipelined group leave in one write.
 *
 * Nothing here blocks or raises SIGPIPE, whatever the flags of the descriptor and the signal's
 * disposition.
 *
 * Life: callbacks come on the loop's thread.  stream_close() and stream_abort() may be called
 * anywhere on that thread, also inside a callback; no callback comes after them and the memory goes
 * at the end of the turn.  After `ended` the user still has to call stream_close() or
 * stream_abort().  No callback is made from within a call of this header.
 */
#ifndef POSTERN_STREAM_H
#define POSTERN_STREAM_H

#include "base/buf.h"
#include "net/loop.h"
#include "net/tls.h"

struct sockaddr;
struct stream;

#define STREAM_INPUT_MAX ((size_t)64 * 1024)
#define STREAM_OUTPUT_MAX ((size_t)512 * 1024)

enum stream_end {
    /* The peer closed its sending side; detail says when TLS was cut off without close_notify.
     * Told after all input was offered, not while paused.  What is written now still goes out. */
    STREAM_EOF,
    /* Error from the network; detail has strerror's words. */
    STREAM_RESET,
    /* stream_timeout() or stream_deadline() passed; detail says in what phase.  A peer that was only silent can still be
     * written to. */
    STREAM_TIMEOUT,
    /* Handshake or record failed; detail has the TLS library's words, alert name included. */
    STREAM_TLS_FAILED,
    /* Name or connection; detail has every address tried and why. */
    STREAM_NO_CONNECT,
};

struct stream_ops {
    /* Octets arrived (or were left over and stream_resume() was called).  Returns how many were
     * consumed; the rest is kept and offered again with what arrives next, or when resumed. */
    size_t (*input)(void *ctx, const char *data, size_t len);
    void (*connected)(void *ctx);                              /* outgoing only: before TLS */
    void (*secured)(void *ctx, const struct tls_facts *facts); /* handshake finished */
    /* Every octet written has left; may be NULL.  Not called for octets that TLS waits for. */
    void (*drained)(void *ctx);
    void (*ended)(void *ctx, enum stream_end end, const char *detail); /* once; no input after it */
};

/* An accepted socket; takes the descriptor. Reading begins with the next turn. */
struct stream *stream_accepted(struct loop *l, int fd, const struct stream_ops *ops, void *ctx);

/* To host:port ("mail.example.org", "587"), resolving and trying each address in turn, or to the
 * UNIX socket `path`.  Never fails at once: `ended` tells. */
struct stream *stream_connect(
    struct loop *l, const char *host, const char *port, const struct stream_ops *ops, void *ctx);
struct stream *
stream_connect_unix(struct loop *l, const char *path, const struct stream_ops *ops, void *ctx);

/* -ENOBUFS when STREAM_OUTPUT_MAX is reached: then nothing was taken; wait for `drained`.  -ENOMEM
 * likewise.  Before the connection stands and during a handshake octets wait; after `ended` with
 * anything but an end of input they go nowhere, and 0 is returned. */
MUST_USE int stream_write(struct stream *s, const void *data, size_t len);
MUST_USE int stream_write_str(struct stream *s, struct str data);
/* What was or will be written before the next moment without output holds a secret: its memory is wiped. */
void stream_keep_secret(struct stream *s);
size_t stream_output_pending(const struct stream *s);

/* Stops and starts the calls of `input`.  Paused, nothing is read beyond STREAM_INPUT_MAX: TCP
 * holds the peer back.  A paused stream still notices resets.  Resume offers left-over input at the
 * end of the turn. */
void stream_pause(struct stream *s);
void stream_resume(struct stream *s);

/* So many octets more are read from the peer, and the rest is left where it is until told otherwise; SIZE_MAX, as at
 * the beginning, is no limit.  For what stands in front of a TLS handshake.  Before TLS only. */
void stream_read_limit(struct stream *s, size_t octets);

/* The peer is a proxy and speaks for this address: `ip` has 4 or 16 octets. */
void stream_speaks_for(struct stream *s, const unsigned char *ip, size_t len, uint16_t port);

/* Server: output written before (the 220) leaves first in the clear, then the handshake begins.
 * Client: `name` is the host name set out for: SNI (never an address literal, TLS-09) and the name
 * verified. */
void stream_start_tls(struct stream *s, struct tls_context *context, const char *name);
bool stream_is_secure(const struct stream *s);
/* The server wanted a client certificate: known also when the handshake failed over it. */
bool stream_was_asked(const struct stream *s);

/* What names this TLS connection, for SASL channel binding; replaces the content of `out`.  -EOPNOTSUPP where there is
 * none: in the clear, under TLS 1.2 without extended master secret (CB-02; a client may still bind to the certificate),
 * a server certificate whose signature names no hash. */
enum tls_binding {
    TLS_BINDING_EXPORTER,  /* tls-exporter (RFC 9266) */
    TLS_BINDING_END_POINT, /* tls-server-end-point (RFC 5929) */
};
MUST_USE int stream_channel_binding(const struct stream *s, enum tls_binding kind, struct buf *out);

/* The last TLS alert the peer sent, as the RFCs spell it ("certificate_expired"), close_notify apart; NULL: none. */
const char *stream_alert(const struct stream *s);

/* No progress for this long ends the stream with STREAM_TIMEOUT; 0 means never.  Applies from now
 * on, to resolving, each address tried, handshake, waiting for input and waiting to write alike.
 * Any octet in or out re-arms it.  A paused stream with nothing to send does not time out: then the
 * peer waits for us. */
void stream_timeout(struct stream *s, int64_t timeout_ms);

/* In so many ms the stream ends with STREAM_TIMEOUT whatever goes to and fro; 0 takes that back.  Of an open stream; not
 * while it is paused with nothing to send: then soon after it is resumed.  Needs stream_timeout(). */
void stream_deadline(struct stream *s, int64_t in_ms);
bool stream_is_overdue(const struct stream *s); /* the deadline was passed: for who asks what STREAM_TIMEOUT meant */

/* "192.0.2.1", "2001:db8::1", "unix", or "unknown"; lives as long as the stream. */
const char *stream_peer_address(const struct stream *s);
int stream_peer_port(const struct stream *s);

/* Sends what is waiting, then close_notify (TLS-12), then closes; at most 10 s, then as abort. */
void stream_close(struct stream *s);
void stream_abort(struct stream *s); /* at once, with a reset when octets are waiting */

#endif
