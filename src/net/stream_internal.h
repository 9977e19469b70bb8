/* stream_internal.h - a stream's state, shared by stream.c (its life) and stream_io.c (its octets).
 */
#ifndef POSTERN_STREAM_INTERNAL_H
#define POSTERN_STREAM_INTERNAL_H

#include "net/dial.h"
#include "net/loop_internal.h"
#include "net/stream.h"
#include "net/wire.h"

#include <event2/event.h>
#include <event2/event_struct.h>

/*  DIALING --connected--> OPEN --close--> CLOSING --output has left--> LINGERING
 *     |                    |                |                             | peer closed, or 10 s
 *     +--abort or close----+--abort---------+-----------------------------+--> DEAD --> freed
 *
 * Invariants:
 * S1  Callbacks are made in DIALING and OPEN only; closing replaces `ops` by functions that do
 * nothing. S2  The memory goes in on_turn() of a DEAD stream and nowhere else, so that whoever
 * calls back may go on using the stream afterwards: it looks at `phase` to see what became of it.
 * S3  `in` and `out` hold memory only while they hold octets.
 * S4  While an input callback runs (`offering`), `in` is not touched by anybody else. */
enum stream_phase { PHASE_DIALING, PHASE_OPEN, PHASE_CLOSING, PHASE_LINGERING, PHASE_DEAD };

/*  CLEAR --stream_start_tls()--> LEAVING --`clear_left` has left--> HANDSHAKE --finished--> SECURE
 */
enum stream_cover { COVER_CLEAR, COVER_LEAVING, COVER_HANDSHAKE, COVER_SECURE };

struct stream {
    struct loop *loop;
    const struct stream_ops *ops;
    void *ctx;
    enum stream_phase phase;
    enum stream_cover cover;
    struct wire wire;

    struct buf in;     /* read and not consumed */
    struct buf out;    /* written and not sent */
    bool secret;       /* `out` is wiped when it is empty */
    size_t read_left;  /* octets that may still be read; SIZE_MAX: no limit */
    size_t clear_left; /* COVER_LEAVING: octets of `out` that go before TLS begins */
    int write_error;   /* sending failed; what the peer said before that is still being read */

    bool paused, offering, got_eof, ended;
    bool broken;  /* nothing can be said to the peer any more */
    bool reading; /* `readable` is pending */
    bool turn_due, dial_due, offer_due, pump_due;
    size_t discarded; /* LINGERING: octets thrown away so far */

    int64_t timeout_ms;   /* 0: never */
    int64_t deadline_ms;  /* monotonic; 0: none */
    int64_t timer_due_ms; /* when `timer` fires; it looks then whether the time has really come */

    struct tls_context *tls; /* from stream_start_tls() to the end of the handshake */
    char *tls_name;
    struct dial *dial; /* while DIALING */
    struct peer peer;

    struct event readable, writable, timer;
    struct loop_task turn;
    struct loop_child child; /* of the loop since stream_close() */
};

/* stream.c */
void stream_turn_later(struct stream *s);
void stream_fail(struct stream *s, enum stream_end end, const char *detail);
void stream_kill(struct stream *s);
void stream_read_events(struct stream *s, bool wanted);

/* stream_io.c */
void stream_offer(struct stream *s); /* what was kept, to the user */
void stream_pump(struct stream *s);  /* from the wire to the user */
void stream_flush(struct stream *s); /* from the user to the wire; then what was waiting for that */
void stream_shake(struct stream *s); /* the next step of the handshake */
void stream_linger(struct stream *s);
void stream_tell_eof(struct stream *s);

#endif
