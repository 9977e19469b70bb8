#include "net/stream_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Octets one stream may move before the others of its loop have their turn. */
#define TURN_MAX ((size_t)256 * 1024)

/* A peer that goes on sending after we said goodbye is listened to this far. */
#define LINGER_MAX ((size_t)1024 * 1024)

static bool carries_data(const struct stream *s)
{
    return s->cover == COVER_CLEAR || s->cover == COVER_SECURE;
}

static bool wants_input(const struct stream *s)
{
    return s->phase == PHASE_OPEN && !s->ended && !s->got_eof && carries_data(s) &&
           s->in.len < STREAM_INPUT_MAX && s->read_left > 0;
}

/* Returns how many octets need not be kept.  What is left when TLS starts is thrown away: it was
 * said by nobody in particular (STLS-08, STLS-09). */
static size_t call_input(struct stream *s, const char *data, size_t len)
{
    enum stream_cover before = s->cover;
    s->offering = true;
    size_t used = s->ops->input(s->ctx, data, len);
    s->offering = false;
    return s->phase != PHASE_OPEN || s->cover != before ? len : MIN(used, len);
}

static void keep(struct stream *s, const char *data, size_t len)
{
    if (len && buf_append(&s->in, data, len) < 0)
        stream_fail(s, STREAM_RESET, "no memory for input");
}

void stream_offer(struct stream *s)
{
    s->offer_due = false;
    if (s->phase != PHASE_OPEN || s->ended || s->paused || s->in.len == 0)
        return;
    buf_consume(&s->in, call_input(s, s->in.data, s->in.len));
    if (s->in.len == 0)
        buf_done(&s->in);
}

static void take(struct stream *s, const char *data, size_t len)
{
    if (s->paused || s->in.len) {
        keep(s, data, len);
        stream_offer(s);
        return;
    }
    size_t used = call_input(s, data, len);
    keep(s, data + used, len - used);
}

/* Into the loop's scratch area, up to what may be kept.  *ret_stop is 1 when there may be more,
 * otherwise what wire_read() said last. */
static size_t fill(struct stream *s, ssize_t *ret_stop, char *why)
{
    char *scratch = loop_scratch(s->loop);
    size_t room = MIN(s->read_left, MIN(LOOP_SCRATCH_SIZE, STREAM_INPUT_MAX - s->in.len));
    size_t got = 0;
    ssize_t n = 1;
    while (got < room && (n = wire_read(&s->wire, scratch + got, room - got, why)) > 0)
        got += (size_t)n;
    if (s->read_left != SIZE_MAX)
        s->read_left -= got;
    *ret_stop = n;
    return got;
}

void stream_tell_eof(struct stream *s)
{
    if (s->phase != PHASE_OPEN || s->ended || !s->got_eof || s->paused)
        return;
    bool cut = s->cover == COVER_SECURE && !s->wire.got_notify;
    stream_fail(s, STREAM_EOF, cut ? "closed without TLS close_notify" : "closed by the peer");
}

static void input_stopped(struct stream *s, ssize_t stop, const char *why)
{
    if (stop == -EPROTO)
        stream_fail(s, STREAM_TLS_FAILED, why);
    else if (s->write_error)
        stream_fail(s, STREAM_RESET, strerror(s->write_error));
    else if (stop == 0)
        s->got_eof = true;
    else if (stop != -EAGAIN)
        stream_fail(s, STREAM_RESET, strerror((int)-stop));
}

void stream_pump(struct stream *s)
{
    s->pump_due = false;
    if (s->phase != PHASE_OPEN || !carries_data(s))
        return;
    enum stream_cover before = s->cover;
    size_t moved = 0;
    ssize_t stop = 1;
    while (stop > 0 && moved < TURN_MAX && wants_input(s)) {
        char why[WIRE_WHY_MAX];
        size_t got = fill(s, &stop, why);
        moved += got;
        if (got)
            take(s, loop_scratch(s->loop), got);
        if (s->cover != before)
            return;
        if (stop <= 0)
            input_stopped(s, stop, why);
    }
    stream_tell_eof(s);
    stream_read_events(s, wants_input(s));
    /* The loop sees only the socket; what TLS has already taken from there has to be asked for. */
    if (stop > 0 && wants_input(s) && wire_has_pending(&s->wire)) {
        s->pump_due = true;
        stream_turn_later(s);
    }
}

/* The peer may have said why before it closed: a TLS alert, or a last reply.  That is worth more
 * than EPIPE. */
static void output_failed(struct stream *s, int error)
{
    buf_done(&s->out);
    if (s->phase != PHASE_OPEN) {
        s->broken = true;
        return;
    }
    s->write_error = error;
    s->wire.dry = false;
    stream_pump(s);
    if (s->phase == PHASE_OPEN && !s->ended)
        stream_fail(s, STREAM_RESET, strerror(error));
}

/* Sends the first `limit` octets of `out`.  0, -EAGAIN, or another -errno. */
static ssize_t send_out(struct stream *s, size_t limit)
{
    char why[WIRE_WHY_MAX];
    size_t sent = 0;
    ssize_t n = 0;
    while (sent < limit && (n = wire_write(&s->wire, s->out.data + sent, limit - sent, why)) > 0)
        sent += (size_t)n;
    if (s->secret && sent == s->out.len) {
        buf_wipe(&s->out);
        s->secret = false;
    }
    buf_consume(&s->out, sent);
    if (s->out.len == 0)
        buf_done(&s->out);
    if (s->cover == COVER_LEAVING)
        s->clear_left -= sent;
    return MIN(n, 0);
}

static void begin_handshake(struct stream *s)
{
    s->cover = COVER_HANDSHAKE;
    if (!wire_tls_begin(&s->wire, s->tls, s->tls_name)) {
        stream_fail(s, STREAM_TLS_FAILED, "TLS cannot be started with this server name");
        return;
    }
    stream_shake(s);
}

/* Half-closes, so that the peer reads our last words to the end: a close while octets of the peer
 * are unread would reset the connection and destroy them on its side. */
static void finish_closing(struct stream *s)
{
    if (!s->broken && wire_say_goodbye(&s->wire) == -EAGAIN) {
        (void)event_add(&s->writable, NULL);
        return;
    }
    s->phase = PHASE_LINGERING;
    if (shutdown(s->wire.fd, SHUT_WR) < 0 || s->wire.got_fin) {
        stream_kill(s);
        return;
    }
    stream_read_events(s, true);
}

void stream_linger(struct stream *s)
{
    char *scratch = loop_scratch(s->loop);
    ssize_t n = recv(s->wire.fd, scratch, LOOP_SCRATCH_SIZE, MSG_DONTWAIT);
    if (n > 0)
        s->discarded += (size_t)n;
    bool wait = n < 0 && (errno == EAGAIN || errno == EINTR);
    if (n == 0 || (n < 0 && !wait) || s->discarded > LINGER_MAX)
        stream_kill(s);
}

static bool can_send(const struct stream *s)
{
    return !s->broken && (s->phase == PHASE_OPEN || s->phase == PHASE_CLOSING) &&
           s->cover != COVER_HANDSHAKE;
}

void stream_flush(struct stream *s)
{
    if (can_send(s)) {
        size_t limit = s->cover == COVER_LEAVING ? s->clear_left : s->out.len;
        ssize_t r = send_out(s, limit);
        if (r == -EAGAIN) {
            (void)event_add(&s->writable, NULL);
            return;
        }
        if (r < 0)
            output_failed(s, (int)-r);
        else if (s->phase == PHASE_OPEN && s->cover == COVER_LEAVING)
            begin_handshake(s);
        else if (s->phase == PHASE_OPEN && limit && s->ops->drained)
            s->ops->drained(s->ctx);
    }
    if (s->phase == PHASE_CLOSING)
        finish_closing(s);
}

static void secured(struct stream *s)
{
    s->cover = COVER_SECURE;
    tls_context_unref(s->tls);
    s->tls = NULL;
    struct tls_facts facts;
    tls_facts_read(s->wire.ssl, &facts);
    facts.asked = s->wire.asked;
    /* The peer's first octets may have come with its last of the handshake, and replies may wait.
     */
    s->pump_due = true;
    stream_turn_later(s);
    s->ops->secured(s->ctx, &facts);
    tls_forget_chain(s->wire.ssl);
}

void stream_shake(struct stream *s)
{
    char why[WIRE_WHY_MAX];
    bool wants_write = false;
    int r = wire_handshake(&s->wire, &wants_write, why);
    if (r == 0) {
        secured(s);
    } else if (r == -EAGAIN) {
        stream_read_events(s, !wants_write);
        if (wants_write)
            (void)event_add(&s->writable, NULL);
    } else {
        stream_fail(s, STREAM_TLS_FAILED, why);
    }
}
