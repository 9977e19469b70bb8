#include "net/stream_internal.h"

#include "base/clock.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

#define CLOSE_TIMEOUT_MS 10000
#define LOOK_AGAIN_MS 1000 /* at a deadline that passed while the peer waited for us */

static size_t ignore_input(void *ctx, const char *data, size_t len)
{
    (void)ctx;
    (void)data;
    return len;
}

static void ignore_event(void *ctx)
{
    (void)ctx;
}

static void ignore_secured(void *ctx, const struct tls_facts *facts)
{
    (void)ctx;
    (void)facts;
}

static void ignore_end(void *ctx, enum stream_end end, const char *detail)
{
    (void)ctx;
    (void)end;
    (void)detail;
}

static const struct stream_ops nobody = {
    .input = ignore_input,
    .connected = ignore_event,
    .secured = ignore_secured,
    .drained = ignore_event,
    .ended = ignore_end,
};

void stream_turn_later(struct stream *s)
{
    if (s->turn_due)
        return;
    s->turn_due = true;
    loop_defer(s->loop, &s->turn);
}

void stream_read_events(struct stream *s, bool wanted)
{
    if (s->reading == wanted)
        return;
    s->reading = wanted;
    if (wanted)
        (void)event_add(&s->readable, NULL);
    else
        (void)event_del(&s->readable);
}

static void stop_events(struct stream *s)
{
    stream_read_events(s, false);
    if (event_initialized(&s->writable))
        (void)event_del(&s->writable);
}

static void set_timer(struct stream *s, int64_t delay_ms)
{
    s->timer_due_ms = clock_monotonic_ms() + delay_ms;
    struct timeval tv = {.tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000};
    if (evtimer_add(&s->timer, &tv) < 0)
        abort(); /* no memory for one heap slot */
}

void stream_kill(struct stream *s)
{
    if (s->phase == PHASE_DEAD)
        return;
    stop_events(s);
    (void)evtimer_del(&s->timer);
    wire_close(&s->wire);
    s->ops = &nobody;
    s->phase = PHASE_DEAD;
    stream_turn_later(s);
}

static void destroy(struct stream *s)
{
    loop_disown(&s->child);
    wire_done(&s->wire);
    buf_done(&s->in);
    buf_done(&s->out);
    tls_context_unref(s->tls);
    free(s->tls_name);
    dial_free(s->dial);
    free(s);
}

/* A time-out while we only wait for input leaves a peer that can be told "421", anything else does
 * not. */
static bool is_usable_after(const struct stream *s, enum stream_end end)
{
    bool may_talk = s->cover == COVER_CLEAR || s->cover == COVER_SECURE;
    return end == STREAM_EOF ||
           (end == STREAM_TIMEOUT && s->phase == PHASE_OPEN && may_talk && s->out.len == 0);
}

void stream_fail(struct stream *s, enum stream_end end, const char *detail)
{
    if (s->ended || s->phase > PHASE_OPEN)
        return;
    s->ended = true;
    (void)evtimer_del(&s->timer);
    if (is_usable_after(s, end)) {
        stream_read_events(s, false);
    } else {
        s->broken = true;
        stop_events(s);
        buf_done(&s->out);
    }
    s->ops->ended(s->ctx, end, detail);
}

static void try_next_address(struct stream *s);

static const char *waiting_for(const struct stream *s)
{
    if (s->cover == COVER_HANDSHAKE)
        return "in the TLS handshake";
    return s->out.len ? "while sending" : "while waiting for input";
}

static void expire(struct stream *s)
{
    char detail[96];
    long long seconds = (long long)(s->timeout_ms + 999) / 1000;
    if (s->phase == PHASE_DIALING && s->wire.fd >= 0) {
        (void)snprintf(detail, sizeof(detail), "no answer for %lld s", seconds);
        dial_note(s->dial, detail);
        try_next_address(s);
        return;
    }
    const char *phase = s->phase == PHASE_DIALING ? "while resolving the name" : waiting_for(s);
    if (stream_is_overdue(s))
        (void)snprintf(detail, sizeof(detail), "it took too long in all, %s", phase);
    else
        (void)snprintf(detail, sizeof(detail), "no progress for %lld s %s", seconds, phase);
    stream_fail(s, STREAM_TIMEOUT, detail);
}

/* A paused peer that owes us nothing but input is waiting for us, not we for it. */
static bool is_ours_to_act(const struct stream *s)
{
    return s->phase == PHASE_OPEN && s->paused && s->out.len == 0 && s->cover != COVER_HANDSHAKE;
}

/* Octets only note the time.  The timer finds out here whether it came too early, which costs one
 * re-arming a time-out instead of one a packet. */
static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct stream *s = arg;
    if (s->phase > PHASE_OPEN) {
        stream_kill(s);
        return;
    }
    if (s->timeout_ms == 0 || s->ended)
        return;
    int64_t now = clock_monotonic_ms();
    bool ours = is_ours_to_act(s);
    if (ours)
        s->wire.active_ms = now;
    int64_t left = s->wire.active_ms + s->timeout_ms - now;
    if (s->deadline_ms)
        left = MIN(left, MAX(s->deadline_ms - now, ours ? (int64_t)LOOK_AGAIN_MS : 0));
    if (left <= 0)
        expire(s);
    if (s->phase <= PHASE_OPEN && !s->ended)
        set_timer(s, left > 0 ? left : s->timeout_ms);
}

void stream_deadline(struct stream *s, int64_t in_ms)
{
    int64_t now = clock_monotonic_ms();
    s->deadline_ms = in_ms > 0 ? now + in_ms : 0;
    if (s->deadline_ms && s->timer_due_ms > s->deadline_ms && s->phase <= PHASE_OPEN && !s->ended)
        set_timer(s, in_ms);
}

bool stream_is_overdue(const struct stream *s)
{
    return s->deadline_ms && s->deadline_ms <= clock_monotonic_ms();
}

void stream_timeout(struct stream *s, int64_t timeout_ms)
{
    if (s->phase > PHASE_OPEN)
        return;
    int64_t now = clock_monotonic_ms();
    s->timeout_ms = MAX(timeout_ms, (int64_t)0);
    s->wire.active_ms = now;
    bool too_late = !evtimer_pending(&s->timer, NULL) || s->timer_due_ms > now + timeout_ms;
    if (s->timeout_ms && too_late && !s->ended)
        set_timer(s, s->timeout_ms);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct stream *s = arg;
    s->wire.dry = false;
    if (s->phase == PHASE_LINGERING)
        stream_linger(s);
    else if (s->cover == COVER_HANDSHAKE)
        stream_shake(s);
    else
        stream_pump(s);
}

static void use_tcp_options(const struct stream *s)
{
    /* Replies leave together at the end of a turn; nothing is gained by waiting for more. */
    if (s->peer.port)
        (void)setsockopt(s->wire.fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

static void connected(struct stream *s)
{
    s->peer = dial_peer(s->dial);
    s->phase = PHASE_OPEN;
    dial_free(s->dial);
    s->dial = NULL;
    use_tcp_options(s);
    if (s->cover == COVER_CLEAR)
        stream_read_events(s, true);
    stream_turn_later(s);
    s->ops->connected(s->ctx);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct stream *s = arg;
    if (s->phase == PHASE_DIALING) {
        if (dial_result(s->dial, (int)fd) < 0)
            try_next_address(s);
        else
            connected(s);
    } else if (s->cover == COVER_HANDSHAKE && s->phase == PHASE_OPEN) {
        stream_shake(s);
    } else {
        stream_flush(s);
    }
}

static void use_socket(struct stream *s, int fd)
{
    struct event_base *base = loop_event_base(s->loop);
    s->read_left = SIZE_MAX;
    wire_init(&s->wire, fd);
    (void)event_assign(&s->readable, base, fd, EV_READ | EV_PERSIST, on_readable, s);
    (void)event_assign(&s->writable, base, fd, EV_WRITE, on_writable, s);
}

static void try_next_address(struct stream *s)
{
    int fd;
    stop_events(s);
    wire_close(&s->wire);
    if (dial_next(s->dial, &fd) < 0) {
        stream_fail(s, STREAM_NO_CONNECT, dial_tried(s->dial));
        return;
    }
    use_socket(s, fd);
    (void)event_add(&s->writable, NULL);
}

static void on_resolved(void *arg)
{
    struct stream *s = arg;
    if (s->phase == PHASE_DIALING && !s->ended)
        try_next_address(s);
}

static void on_turn(struct loop_task *task)
{
    struct stream *s = container_of(task, struct stream, turn);
    s->turn_due = false;
    if (s->phase == PHASE_DEAD) {
        destroy(s);
        return;
    }
    if (s->dial_due) {
        s->dial_due = false;
        dial_resolve(s->dial, s->loop, on_resolved, s);
    }
    if (s->offer_due)
        stream_offer(s);
    if (s->pump_due)
        stream_pump(s);
    stream_flush(s);
}

static struct stream *stream_new(struct loop *l, const struct stream_ops *ops, void *ctx)
{
    struct stream *s = xcalloc(1, sizeof(*s));
    s->loop = l;
    s->ops = ops;
    s->ctx = ctx;
    s->turn.run = on_turn;
    buf_init(&s->in, STREAM_INPUT_MAX);
    buf_init(&s->out, STREAM_OUTPUT_MAX);
    wire_init(&s->wire, -1);
    (void)evtimer_assign(&s->timer, loop_event_base(l), on_timer, s);
    return s;
}

struct stream *stream_accepted(struct loop *l, int fd, const struct stream_ops *ops, void *ctx)
{
    struct stream *s = stream_new(l, ops, ctx);
    struct sock_addr from = {.len = sizeof(from.sa), .sa.ss_family = AF_UNSPEC};
    if (getpeername(fd, (struct sockaddr *)&from.sa, &from.len) < 0)
        from.sa.ss_family = AF_UNSPEC; /* gone already: the first read says so */
    s->peer = sock_addr_peer(&from);
    s->phase = PHASE_OPEN;
    use_socket(s, fd);
    use_tcp_options(s);
    stream_read_events(s, true);
    return s;
}

static struct stream *
dialing(struct loop *l, struct dial *d, const struct stream_ops *ops, void *ctx)
{
    struct stream *s = stream_new(l, ops, ctx);
    s->phase = PHASE_DIALING;
    s->dial = d;
    s->dial_due = true;
    stream_turn_later(s);
    return s;
}

struct stream *stream_connect(
    struct loop *l, const char *host, const char *port, const struct stream_ops *ops, void *ctx)
{
    return dialing(l, dial_new(host, port), ops, ctx);
}

struct stream *
stream_connect_unix(struct loop *l, const char *path, const struct stream_ops *ops, void *ctx)
{
    return dialing(l, dial_new_unix(path), ops, ctx);
}

int stream_write(struct stream *s, const void *data, size_t len)
{
    if (s->broken || s->phase > PHASE_OPEN)
        return 0;
    int r = buf_append(&s->out, data, len);
    if (r < 0)
        return r == -EMSGSIZE ? -ENOBUFS : r;
    stream_turn_later(s);
    return 0;
}

int stream_write_str(struct stream *s, struct str data)
{
    return stream_write(s, data.p, data.len);
}

void stream_keep_secret(struct stream *s)
{
    s->secret = true;
}

size_t stream_output_pending(const struct stream *s)
{
    return s->out.len;
}

void stream_pause(struct stream *s)
{
    s->paused = true;
}

void stream_resume(struct stream *s)
{
    if (!s->paused || s->phase > PHASE_OPEN)
        return;
    s->paused = false;
    s->wire.active_ms = clock_monotonic_ms();
    s->offer_due = true;
    s->pump_due = true;
    stream_turn_later(s);
}

void stream_start_tls(struct stream *s, struct tls_context *context, const char *name)
{
    if (s->phase > PHASE_OPEN || s->cover != COVER_CLEAR)
        return;
    s->cover = COVER_LEAVING;
    s->clear_left = s->out.len;
    s->tls = tls_context_ref(context);
    s->tls_name = name ? xstrdup(name) : NULL;
    s->got_eof = false;
    if (!s->offering)
        buf_done(&s->in);
    stream_read_events(s, false);
    stream_turn_later(s);
}

bool stream_is_secure(const struct stream *s)
{
    return s->cover == COVER_SECURE;
}

const char *stream_alert(const struct stream *s)
{
    return s->wire.alert_in < 0 ? NULL : tls_alert_name(s->wire.alert_in);
}

bool stream_was_asked(const struct stream *s)
{
    return s->wire.asked;
}

void stream_read_limit(struct stream *s, size_t octets)
{
    s->read_left = octets;
    if (s->phase != PHASE_OPEN)
        return;
    s->pump_due = true;
    stream_turn_later(s);
}

void stream_speaks_for(struct stream *s, const unsigned char *ip, size_t len, uint16_t port)
{
    struct sock_addr from = {0};
    if (len == 4) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
        memcpy(&in.sin_addr, ip, len);
        memcpy(&from.sa, &in, sizeof(in));
        from.len = sizeof(in);
    } else {
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
        memcpy(&in6.sin6_addr, ip, sizeof(in6.sin6_addr));
        memcpy(&from.sa, &in6, sizeof(in6));
        from.len = sizeof(in6);
    }
    s->peer = sock_addr_peer(&from);
}

const char *stream_peer_address(const struct stream *s)
{
    return s->peer.address[0] ? s->peer.address : "unknown";
}

int stream_peer_port(const struct stream *s)
{
    return s->peer.port;
}

static void drop(struct loop_child *child)
{
    struct stream *s = container_of(child, struct stream, child);
    stop_events(s);
    (void)evtimer_del(&s->timer);
    destroy(s);
}

void stream_close(struct stream *s)
{
    if (s->phase > PHASE_OPEN)
        return;
    if (s->phase == PHASE_DIALING) {
        stream_kill(s);
        return;
    }
    s->ops = &nobody;
    s->phase = PHASE_CLOSING;
    stream_read_events(s, false);
    if (s->cover == COVER_HANDSHAKE) {
        buf_done(&s->out); /* was meant for inside TLS, which never came to be */
        s->broken = true;
    } else if (s->cover == COVER_LEAVING) {
        s->cover = COVER_CLEAR;
        s->out.len = s->clear_left;
    }
    s->child.drop = drop;
    loop_adopt(s->loop, &s->child);
    set_timer(s, CLOSE_TIMEOUT_MS);
    stream_turn_later(s);
}

void stream_abort(struct stream *s)
{
    if (s->out.len && s->wire.fd >= 0)
        (void)setsockopt(s->wire.fd, SOL_SOCKET, SO_LINGER,
                         &(struct linger){.l_onoff = 1, .l_linger = 0}, sizeof(struct linger));
    stream_kill(s);
}
