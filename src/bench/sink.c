#include "bench/sink.h"

#include "net/listener.h"
#include "net/stream.h"
#include "smtp/server_plain.h"

#define BACKLOG 1024
#define TIMEOUT_MS 300000
#define OUT_MAX ((size_t)16 * 1024)
#define RECIPIENTS_MAX 50000

struct session {
    struct session *previous, *next;
    struct sink *sink;
    struct stream *stream;
    struct smtp_server *engine;
    struct buf out;
    struct buf head; /* of the text, until the stamp is found */
    struct stamp stamp;
    bool stamped;
    bool start_tls, ending;
    uint64_t octets;
};

struct sink {
    struct loop *loop;
    struct sink_config cfg;
    struct smtp_server_config smtp;
    struct listener *listener;
    struct session *sessions;
    struct sink_counts counts;
};

/* ---- the engine's questions: yes to all of them ---- */

static void on_offer(void *ctx, struct smtp_offer *ret)
{
    const struct session *s = ctx;
    ret->starttls = s->sink->cfg.tls && !smtp_server_is_secure(s->engine);
}

static enum smtp_decision on_starttls(void *ctx, struct smtp_reply *reply)
{
    (void)reply;
    ((struct session *)ctx)->start_tls = true;
    return SMTP_YES;
}

static enum smtp_decision on_data(void *ctx, struct smtp_reply *reply)
{
    struct session *s = ctx;
    (void)reply;
    s->octets = 0;
    s->stamped = false;
    buf_clear(&s->head);
    return SMTP_YES;
}

/* The header may come in any number of pieces. */
static void look_for_stamp(struct session *s, const char *data, size_t len)
{
    struct str piece = {data, MIN(len, STAMP_SEARCH_MAX - s->head.len)};
    if (s->stamped || piece.len == 0)
        return;
    if (s->head.len == 0 && stamp_find(piece, &s->stamp) == 0) {
        s->stamped = true;
        return;
    }
    if (buf_append_str(&s->head, piece) < 0)
        return;
    s->stamped = stamp_find(buf_str(&s->head), &s->stamp) == 0;
}

static int on_text(void *ctx, const char *data, size_t len)
{
    struct session *s = ctx;
    s->octets += len;
    look_for_stamp(s, data, len);
    return 0;
}

static enum smtp_decision on_finish(void *ctx, struct smtp_reply *reply)
{
    struct session *s = ctx;
    struct sink *sink = s->sink;
    (void)reply;
    size_t recipients = smtp_server_n_rcpts(s->engine);
    sink->counts.messages++;
    sink->counts.recipients += recipients;
    sink->counts.octets += s->octets;
    if (sink->cfg.message)
        sink->cfg.message(sink->cfg.ctx, s->stamped ? &s->stamp : NULL, recipients);
    return SMTP_YES;
}

static void on_quit(void *ctx)
{
    ((struct session *)ctx)->ending = true;
}

static const struct smtp_server_ops engine_ops = {
    .offer = on_offer,
    .starttls = on_starttls,
    .auth = smtp_plain_auth,
    .auth_cancelled = smtp_plain_forget,
    .admit = smtp_plain_admit,
    .mail = smtp_plain_mail,
    .rcpt = smtp_plain_rcpt,
    .data = on_data,
    .text = on_text,
    .finish = on_finish,
    .abandon = smtp_plain_forget,
    .refuse = smtp_plain_refuse,
    .quit = on_quit,
    .refused = smtp_plain_refused,
};

/* ---- a session on its stream ---- */

static void session_free(struct session *s)
{
    struct session **head = s->previous ? &s->previous->next : &s->sink->sessions;
    *head = s->next;
    if (s->next)
        s->next->previous = s->previous;
    s->sink->counts.open--;
    stream_close(s->stream);
    smtp_server_free(s->engine);
    buf_done(&s->out);
    buf_done(&s->head);
    free(s);
}

static bool flush(struct session *s)
{
    if (s->out.len && stream_write_str(s->stream, buf_str(&s->out)) < 0)
        return false;
    buf_clear(&s->out);
    return true;
}

static void pump(struct session *s)
{
    bool flushed = flush(s);
    if (s->ending) {
        session_free(s);
        return;
    }
    if (s->start_tls && flushed) {
        s->start_tls = false;
        stream_start_tls(s->stream, s->sink->cfg.tls, NULL);
    } else if (flushed) {
        stream_resume(s->stream);
    } else {
        stream_pause(s->stream);
    }
}

static size_t on_input(void *ctx, const char *data, size_t len)
{
    struct session *s = ctx;
    size_t used = 0, n;
    do {
        n = smtp_server_feed(s->engine, data + used, len - used);
        used += n;
    } while (flush(s) && n && used < len);
    pump(s);
    return used;
}

static void on_secured(void *ctx, const struct tls_facts *facts)
{
    struct session *s = ctx;
    (void)facts;
    smtp_server_secured(s->engine);
    pump(s);
}

static void on_drained(void *ctx)
{
    struct session *s = ctx;
    if (s->out.len)
        pump(s);
}

static void on_ended(void *ctx, enum stream_end end, const char *detail)
{
    (void)end;
    (void)detail;
    session_free(ctx);
}

static const struct stream_ops stream_ops = {
    .input = on_input,
    .secured = on_secured,
    .drained = on_drained,
    .ended = on_ended,
};

static void on_accept(void *arg, int fd)
{
    struct sink *sink = arg;
    struct session *s = xcalloc(1, sizeof(*s));
    s->sink = sink;
    s->next = sink->sessions;
    if (s->next)
        s->next->previous = s;
    sink->sessions = s;
    sink->counts.connections++;
    sink->counts.open++;
    buf_init(&s->out, OUT_MAX);
    buf_init(&s->head, STAMP_SEARCH_MAX);
    s->engine = smtp_server_new(&sink->smtp, &engine_ops, s, &s->out);
    s->stream = stream_accepted(sink->loop, fd, &stream_ops, s);
    stream_timeout(s->stream, TIMEOUT_MS);
    smtp_server_greet(s->engine, NULL);
    pump(s);
}

/* ---- the sink ---- */

int sink_new(struct loop *l, const struct sink_config *cfg, struct sink **ret, char *why)
{
    int fd;
    int r = listener_bind(cfg->address, BACKLOG, &fd, why);
    if (r < 0)
        return r;
    struct sink *s = xcalloc(1, sizeof(*s));
    s->loop = l;
    s->cfg = *cfg;
    s->smtp = (struct smtp_server_config){
        .hostname = cfg->hostname,
        .extensions = SMTP_SET(SMTP_EXT_PIPELINING) | SMTP_SET(SMTP_EXT_8BITMIME) |
                      SMTP_SET(SMTP_EXT_SMTPUTF8) | SMTP_SET(SMTP_EXT_CHUNKING) |
                      SMTP_SET(SMTP_EXT_DSN) | SMTP_SET(SMTP_EXT_SIZE) |
                      SMTP_SET(SMTP_EXT_BINARYMIME) | SMTP_SET(SMTP_EXT_ENHANCEDSTATUSCODES),
        .recipients_max = RECIPIENTS_MAX,
    };
    s->listener = listener_start(l, fd, on_accept, s);
    *ret = s;
    return 0;
}

void sink_free(struct sink *s)
{
    if (!s)
        return;
    while (s->sessions)
        session_free(s->sessions);
    listener_free(s->listener);
    free(s);
}

struct sink_counts sink_counts(const struct sink *s)
{
    return s->counts;
}
