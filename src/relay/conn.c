/* One connection to a next hop: a stream below, a client session above, one delivery at a time.
 *
 * Every way in (octets, TLS, an end, a delivery, a piece of a body) finishes with turn(): what the session wrote
 * goes to the stream, the time limit follows what is waited for, and a session that is over lets go of
 * everything.  The memory goes at the end of the loop's turn, as the session may be further up the stack.
 */
#include "relay/relay_internal.h"

#include "base/clock.h"
#include "net/stream.h"

#include <errno.h>
#include <stdio.h>

#define MESSAGES_MAX 500 /* on one connection; then another takes over */
#define OUTPUT_WAITING_MAX ((size_t)256 * 1024)
#define KEPT_OUTPUT_MAX ((size_t)64 * 1024)

struct conn {
    struct hop *hop;
    struct conn *next;
    struct stream *stream;
    struct smtp_client *client;
    struct buf out;
    struct delivery *d;            /* in hand; NULL: idle, or not up yet */
    unsigned given;                /* deliveries it was given */
    unsigned answered;             /* of them, those the next hop said something about */
    bool up;                       /* was ready once */
    bool tls_begun, tls_up, heard; /* heard: something inside TLS, or without */
    bool take_back;                /* the delivery goes to another connection */
    bool over, reap_due;
    const char *tls, *cipher;
    /* The body on its way. */
    bool wants_text, reading;
    uint64_t text_at;
    struct spool_read rd;
    /* Time limits. */
    enum smtp_stage stage;
    int64_t stage_since_ms;
    struct loop_task reap;
    char why[HOP_WHY_MAX];
};

static void turn(struct conn *c);
static void reap_later(struct conn *c);

struct conn *conn_next(const struct conn *c)
{
    return c->next;
}

bool conn_is_idle(const struct conn *c)
{
    return c->up && !c->d && !c->over && smtp_client_is_ready(c->client);
}

/* ---- time limits (REL-03) ---- */

static int64_t limit_of(const struct conn *c, enum smtp_stage stage)
{
    const struct relay_timeouts *t = &c->hop->relay->timeouts;
    switch (stage) {
    case SMTP_STAGE_GREETING:
        return t->greeting_ms;
    case SMTP_STAGE_DATA:
        return t->data_ms;
    case SMTP_STAGE_TEXT:
        return t->text_ms;
    case SMTP_STAGE_FINAL:
        return t->final_ms;
    case SMTP_STAGE_IDLE:
        return t->idle_ms;
    case SMTP_STAGE_QUIT:
    case SMTP_STAGE_COUNT:
        return t->quit_ms;
    case SMTP_STAGE_HELLO:
    case SMTP_STAGE_STARTTLS:
    case SMTP_STAGE_HANDSHAKE:
    case SMTP_STAGE_LOGIN:
    case SMTP_STAGE_RESET:
    case SMTP_STAGE_MAIL:
    case SMTP_STAGE_RCPT:
        break;
    }
    return t->command_ms;
}

static void follow_stage(struct conn *c)
{
    enum smtp_stage stage = smtp_client_stage(c->client);
    if (stage == c->stage)
        return;
    c->stage = stage;
    c->stage_since_ms = clock_monotonic_ms();
    stream_timeout(c->stream, limit_of(c, stage));
}

/* The stream's limit is about progress, and one octet now and then is progress: this one is about the end of it.
 * A text may take as long as it needs at 1 KiB a second. */
void conn_check(struct conn *c)
{
    if (c->over || c->stage == SMTP_STAGE_IDLE)
        return;
    int64_t limit = 2 * limit_of(c, c->stage);
    if (c->stage == SMTP_STAGE_TEXT && c->d)
        limit += c->d->msg.size;
    if (clock_monotonic_ms() - c->stage_since_ms < limit)
        return;
    (void)snprintf(c->why, sizeof(c->why), "no end to %s in sight", smtp_stage_name(c->stage));
    smtp_client_lost(c->client, c->why);
    turn(c);
}

/* ---- the body ---- */

static bool flush(struct conn *c)
{
    if (c->out.len && stream_write_str(c->stream, buf_str(&c->out)) < 0)
        return false; /* `drained` comes back to it */
    if (c->out.cap > KEPT_OUTPUT_MAX)
        buf_done(&c->out);
    else
        buf_clear(&c->out);
    return stream_output_pending(c->stream) < OUTPUT_WAITING_MAX;
}

/* One piece; false when there is no more to do now. */
static bool push(struct conn *c, struct str piece, bool last)
{
    int r = smtp_client_text(c->client, piece.p, piece.len, last);
    if (r == 0) {
        c->text_at += piece.len;
        c->wants_text = !last;
        return flush(c) && c->wants_text;
    }
    if (r == -ENOMEM) {
        smtp_client_lost(c->client, "no memory for the text");
        return false;
    }
    c->wants_text = r == -ENOBUFS; /* else the session asks again, or nobody wants it any more */
    return false;
}

static void push_from_memory(struct conn *c)
{
    struct str body = c->d->job->m->size ? c->d->job->m->body : STR("");
    for (bool more = true; more;) {
        struct str piece = str_upto(str_from(body, c->text_at), SMTP_CLIENT_PIECE);
        more = push(c, piece, c->text_at + piece.len == body.len);
    }
}

/* The body ends early only if the spool lost a part of it. */
static void on_read(struct spool_read *rd, int error, struct str data)
{
    struct conn *c = container_of(rd, struct conn, rd);
    c->reading = false;
    if (c->over) {
        reap_later(c);
        return;
    }
    if (!c->d || !c->wants_text || (uint64_t)rd->offset != c->text_at) {
        turn(c); /* what was read for is no longer wanted, or something else is */
        return;
    }
    if (error || data.len == 0) {
        (void)snprintf(c->why, sizeof(c->why), "the spool cannot give the text: %s",
                       error ? strerror(-error) : "it ends too early");
        smtp_client_lost(c->client, c->why);
    } else {
        (void)push(c, data, (int64_t)(c->text_at + data.len) == c->d->job->m->size);
    }
    turn(c);
}

static void push_text(struct conn *c)
{
    const struct spool_message *m = c->d->job->m;
    if (stream_output_pending(c->stream) >= OUTPUT_WAITING_MAX || c->reading)
        return;
    if (m->body.p || m->size == 0) {
        push_from_memory(c);
        return;
    }
    c->reading = true;
    c->rd = (struct spool_read){.id = m->id, .offset = (int64_t)c->text_at, .got = on_read};
    spool_read(c->hop->relay->spool, &c->rd);
}

/* ---- deliveries ---- */

static void fail_delivery(struct delivery *d, const struct smtp_outcome *o, const struct via *via)
{
    for (size_t i = 0; i < d->msg.n_recipients; i++)
        delivery_outcome(d, i, o, via);
    delivery_done(d);
}

static struct via via_of(const struct conn *c)
{
    enum smtp_client_sequence sequence = smtp_client_sequence(c->client);
    return (struct via){
        .peer = stream_peer_address(c->stream),
        .tls = c->tls,
        .cipher = c->cipher,
        .sequence = sequence == SMTP_SEQUENCE_NONE ? NULL : smtp_sequence_name(sequence),
        .reports = smtp_offers(smtp_client_capabilities(c->client), SMTP_EXT_DSN),
        .login = c->hop->client.login != SMTP_CLIENT_LOGIN_NONE,
    };
}

/* true: it is on its way; false: it has ended already. */
static bool begin(struct conn *c, struct delivery *d)
{
    struct smtp_outcome why;
    d->begun_ms = clock_monotonic_ms();
    c->stage_since_ms =
        d->begun_ms; /* a busy connection may look the same at the end of each turn */
    c->d = d;
    c->take_back = false;
    int r = smtp_client_send(c->client, &d->msg, &why);
    if (r == 0) {
        c->given++;
        return true;
    }
    c->d = NULL;
    if (r == -ENOTSUP || r == -EINVAL) {
        struct via via = via_of(c);
        fail_delivery(d, &why, &via);
    } else {
        delivery_defer(d, "4.3.0", "local trouble, the message could not be sent", 0);
    }
    return false;
}

static void begin_next(struct conn *c)
{
    struct delivery *d;
    while ((d = hop_next(c->hop)) && !begin(c, d))
        ;
}

void conn_give(struct conn *c, struct delivery *d)
{
    if (!begin(c, d))
        begin_next(c);
    turn(c);
}

/* A kept connection may have been closed by the other end while we sent the next command: that says nothing about the
 * message, which takes another connection at once.  Only before any reply to it, and once. */
static bool is_about_connection(const struct conn *c, const struct smtp_outcome *o)
{
    bool early = o->stage == SMTP_STAGE_MAIL || o->stage == SMTP_STAGE_RESET;
    return c->given > 1 && !c->d->again && !c->d->touched && early && o->code / 100 == 4 &&
           (o->ours || o->code == 421);
}

/* ---- what the session does ---- */

/* Whom we set out for (TLS-09, ID-01). */
static const char *tls_name(const struct conn *c)
{
    const struct route_config *route = c->hop->route;
    return route->tls_name ? route->tls_name : route->host;
}

static void on_start_tls(void *ctx)
{
    struct conn *c = ctx;
    c->tls_begun = true;
    stream_start_tls(c->stream, c->hop->tls, tls_name(c));
}

static void on_ready(void *ctx)
{
    struct conn *c = ctx;
    if (!c->up) {
        c->up = true;
        hop_is_up(c->hop);
    }
    if (c->given >= MESSAGES_MAX || c->hop->relay->stopping)
        smtp_client_quit(c->client);
    else
        begin_next(c);
}

static void on_text(void *ctx, uint64_t offset)
{
    struct conn *c = ctx;
    c->wants_text = true;
    c->text_at = offset;
}

static void on_recipient(void *ctx, size_t i, const struct smtp_outcome *o)
{
    struct conn *c = ctx;
    c->take_back = c->take_back || is_about_connection(c, o);
    if (c->take_back)
        return;
    struct via via = via_of(c);
    if (!o->ours)
        c->answered++;
    delivery_outcome(c->d, i, o, &via);
}

static void on_finished(void *ctx)
{
    struct conn *c = ctx;
    struct delivery *d = c->d;
    c->d = NULL;
    c->wants_text = false;
    if (c->take_back)
        hop_again(c->hop, d);
    else
        delivery_done(d);
}

/* In words, what keeps the hop from being used; NULL: nothing does. */
static const char *complaint(struct conn *c, enum smtp_client_end end, const struct smtp_outcome *o)
{
    if (end == SMTP_END_QUIT || c->hop->relay->stopping)
        return NULL;
    if (c->up && (c->answered || !c->given))
        return NULL;
    if (o->ours)
        return o->text;
    (void)snprintf(c->why, sizeof(c->why), "%d %s%s%s (in reply to %s)", o->code, o->enhanced,
                   *o->enhanced ? " " : "", o->text, smtp_stage_name(o->stage));
    for (char *p = c->why; *p; p++)
        if (*p == '\n')
            *p = ' ';
    return c->why;
}

/* REL-08: only where nothing was asked of TLS, and only if it never came to be. */
static bool may_go_clear(const struct conn *c)
{
    const struct route_config *route = c->hop->route;
    return c->tls_begun && !c->tls_up && route->tls == ROUTE_TLS_OPPORTUNISTIC &&
           !route->tls_implicit && route->login == ROUTE_LOGIN_NONE;
}

static void unlink_from_hop(struct conn *c)
{
    struct conn **at = &c->hop->conns;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->hop->n_conns--;
    c->hop->n_up -= c->up;
}

static void on_ended(void *ctx, enum smtp_client_end end, const struct smtp_outcome *o)
{
    struct conn *c = ctx;
    const char *why = complaint(c, end, o);
    c->over = true;
    unlink_from_hop(c);
    if (why && may_go_clear(c)) {
        hop_goes_clear(c->hop, why);
        why = NULL;
    }
    hop_lost(c->hop, why);
}

static const struct smtp_client_ops client_ops = {
    .start_tls = on_start_tls,
    .ready = on_ready,
    .text = on_text,
    .recipient = on_recipient,
    .finished = on_finished,
    .ended = on_ended,
};

/* ---- what the stream does ---- */

static size_t on_input(void *ctx, const char *data, size_t len)
{
    struct conn *c = ctx;
    c->heard = true;
    size_t used = smtp_client_feed(c->client, data, len);
    turn(c);
    return used;
}

static void on_connected(void *ctx)
{
    struct conn *c = ctx;
    if (c->hop->route->tls_implicit && c->hop->tls)
        on_start_tls(c);
    stream_timeout(c->stream, limit_of(c, SMTP_STAGE_GREETING));
}

static void on_secured(void *ctx, const struct tls_facts *facts)
{
    struct conn *c = ctx;
    c->tls_up = true;
    c->heard = false;
    c->tls = facts->version;
    c->cipher = facts->cipher;
    smtp_client_secured(c->client);
    turn(c);
}

static void on_drained(void *ctx)
{
    turn(ctx);
}

static const char *words_for(const struct conn *c, enum stream_end end)
{
    switch (end) {
    case STREAM_NO_CONNECT:
        return "cannot connect";
    case STREAM_TIMEOUT:
        return "timed out";
    case STREAM_TLS_FAILED:
        /* [rfc8446 4.4.2.4] With TLS 1.3 our certificate is judged after our handshake is done (EDG-22). */
        return c->heard || !c->hop->route->certificate ? "TLS failed"
                                                       : "our certificate was refused";
    case STREAM_EOF:
    case STREAM_RESET:
        break;
    }
    return "the connection was lost";
}

static void on_stream_ended(void *ctx, enum stream_end end, const char *detail)
{
    struct conn *c = ctx;
    if (end == STREAM_TIMEOUT && conn_is_idle(c))
        smtp_client_quit(c->client);
    if (end == STREAM_TLS_FAILED && !c->tls_up)
        (void)snprintf(c->why, sizeof(c->why), "the TLS handshake with %s failed: %s", tls_name(c),
                       detail);
    else
        (void)snprintf(c->why, sizeof(c->why), "%s: %s", words_for(c, end), detail);
    smtp_client_lost(c->client, c->why);
    turn(c);
}

static const struct stream_ops stream_ops = {
    .input = on_input,
    .connected = on_connected,
    .secured = on_secured,
    .drained = on_drained,
    .ended = on_stream_ended,
};

/* ---- life ---- */

static void reap(struct loop_task *task)
{
    struct conn *c = container_of(task, struct conn, reap);
    struct relay *r = c->hop->relay;
    c->reap_due = false;
    if (c->reading)
        return; /* on_read() comes back */
    smtp_client_free(c->client);
    buf_done(&c->out);
    free(c);
    r->n_conns--;
    relay_check_rest(r);
}

static void reap_later(struct conn *c)
{
    if (c->reap_due)
        return;
    c->reap_due = true;
    loop_defer(c->hop->relay->loop, &c->reap);
}

static void let_go(struct conn *c)
{
    stream_close(c->stream);
    c->stream = NULL;
    reap_later(c);
}

static void turn(struct conn *c)
{
    if (!c->stream)
        return;
    bool room = flush(c);
    if (c->over) {
        let_go(c);
        return;
    }
    if (room && c->wants_text && c->d)
        push_text(c);
    if (c->over)
        let_go(c);
    else
        follow_stage(c);
}

void conn_open(struct hop *h)
{
    struct conn *c = xcalloc(1, sizeof(*c));
    struct smtp_client_config cfg = h->client;
    const struct route_config *route = h->route;
    if (h->clear_until_ms > clock_monotonic_ms())
        cfg.tls = SMTP_CLIENT_TLS_OFF;
    c->hop = h;
    c->out = BUF_INIT(SMTP_CLIENT_OUTPUT);
    c->reap.run = reap;
    c->stage = SMTP_STAGE_GREETING;
    c->stage_since_ms = clock_monotonic_ms();
    c->client = smtp_client_new(&cfg, &client_ops, c, &c->out);
    c->next = h->conns;
    h->conns = c;
    h->n_conns++;
    h->relay->n_conns++;
    c->stream = route->host
                    ? stream_connect(h->relay->loop, route->host, route->port, &stream_ops, c)
                    : stream_connect_unix(h->relay->loop, route->path, &stream_ops, c);
    stream_timeout(c->stream, h->relay->timeouts.connect_ms);
}

void conn_quit(struct conn *c)
{
    if (!c->up && !c->over) {
        conn_abort(c);
        return;
    }
    smtp_client_quit(c->client);
    turn(c);
}

void conn_abort(struct conn *c)
{
    smtp_client_lost(c->client, "the server is being stopped");
    turn(c);
}
