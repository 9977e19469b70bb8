#include "bench/link.h"

#include <errno.h>
#include <stdio.h>

/* K1  What the engine wrote leaves, and what it ordered is done, in settle() alone, and only when no call
 *     into the engine is on the stack (`depth`): the engine may be in the middle of a line.
 * K2  After settle() has told `ended` nothing of the link is used; the deferred task frees it. */
struct link {
    struct loop *loop;
    const struct link_config *cfg;
    const struct link_ops *ops;
    void *ctx;
    struct stream *stream;
    struct smtp_client *engine;
    struct buf out;
    unsigned depth;
    bool start_tls;  /* the engine waits for the handshake */
    bool text_due;   /* the text did not fit into `out` */
    uint64_t offset; /* of the text, at which it goes on */
    bool over, dead;
    enum smtp_client_end end;
    struct smtp_outcome last;
    char enhanced[16], words[512]; /* of `last` */
    struct loop_task gone;
};

static void free_link(struct loop_task *task)
{
    struct link *k = container_of(task, struct link, gone);
    smtp_client_free(k->engine);
    buf_done(&k->out);
    free(k);
}

static void bury(struct link *k)
{
    k->dead = true;
    k->gone.run = free_link;
    loop_defer(k->loop, &k->gone);
}

static void flush(struct link *k)
{
    if (k->out.len == 0 || stream_write_str(k->stream, buf_str(&k->out)) < 0)
        return; /* full: `drained` comes back to it */
    buf_clear(&k->out);
}

static void settle(struct link *k)
{
    if (k->depth || k->dead)
        return;
    flush(k);
    if (k->start_tls && k->out.len == 0) {
        k->start_tls = false;
        stream_start_tls(k->stream, k->cfg->tls, k->cfg->tls_name);
    }
    if (!k->over)
        return;
    stream_close(k->stream);
    bury(k);
    k->ops->ended(k->ctx, k->end, &k->last);
}

/* ---- from the engine ---- */

static void on_start_tls(void *ctx)
{
    ((struct link *)ctx)->start_tls = true;
}

static void on_ready(void *ctx)
{
    struct link *k = ctx;
    k->ops->ready(k->ctx);
}

static void on_text(void *ctx, uint64_t offset)
{
    struct link *k = ctx;
    k->offset = offset;
    k->text_due = false;
    k->ops->text(k->ctx, offset);
}

static void on_recipient(void *ctx, size_t i, const struct smtp_outcome *o)
{
    struct link *k = ctx;
    k->ops->recipient(k->ctx, i, o);
}

static void on_finished(void *ctx)
{
    struct link *k = ctx;
    k->text_due = false;
    k->ops->finished(k->ctx);
}

static void on_ended(void *ctx, enum smtp_client_end end, const struct smtp_outcome *o)
{
    struct link *k = ctx;
    k->over = true;
    k->end = end;
    k->last = *o;
    (void)snprintf(k->enhanced, sizeof(k->enhanced), "%s", o->enhanced);
    (void)snprintf(k->words, sizeof(k->words), "%s", o->text);
    k->last.enhanced = k->enhanced;
    k->last.text = k->words;
}

static const struct smtp_client_ops engine_ops = {
    .start_tls = on_start_tls,
    .ready = on_ready,
    .text = on_text,
    .recipient = on_recipient,
    .finished = on_finished,
    .ended = on_ended,
};

/* ---- from the stream ---- */

static size_t on_input(void *ctx, const char *data, size_t len)
{
    struct link *k = ctx;
    k->depth++;
    size_t used = smtp_client_feed(k->engine, data, len);
    k->depth--;
    settle(k);
    return used;
}

static void on_connected(void *ctx)
{
    struct link *k = ctx;
    if (k->cfg->tls_implicit)
        stream_start_tls(k->stream, k->cfg->tls, k->cfg->tls_name);
}

static void on_secured(void *ctx, const struct tls_facts *facts)
{
    struct link *k = ctx;
    if (k->ops->secured)
        k->ops->secured(k->ctx, facts);
    k->depth++;
    smtp_client_secured(k->engine);
    k->depth--;
    settle(k);
}

static void on_drained(void *ctx)
{
    struct link *k = ctx;
    flush(k);
    k->depth++;
    if (k->text_due && k->out.len == 0)
        on_text(k, k->offset);
    k->depth--;
    settle(k);
}

static void on_stream_ended(void *ctx, enum stream_end end, const char *detail)
{
    (void)end;
    struct link *k = ctx;
    k->depth++;
    smtp_client_lost(k->engine, detail);
    k->depth--;
    settle(k);
}

static const struct stream_ops stream_ops = {
    .input = on_input,
    .connected = on_connected,
    .secured = on_secured,
    .drained = on_drained,
    .ended = on_stream_ended,
};

/* ---- from the user ---- */

struct link *
link_open(struct loop *l, const struct link_config *cfg, const struct link_ops *ops, void *ctx)
{
    struct link *k = xcalloc(1, sizeof(*k));
    k->loop = l;
    k->cfg = cfg;
    k->ops = ops;
    k->ctx = ctx;
    buf_init(&k->out, SMTP_CLIENT_OUTPUT);
    k->engine = smtp_client_new(&cfg->smtp, &engine_ops, k, &k->out);
    k->stream = stream_connect(l, cfg->host, cfg->port, &stream_ops, k);
    stream_timeout(k->stream, cfg->timeout_ms);
    return k;
}

int link_send(struct link *k, const struct smtp_client_message *m, struct smtp_outcome *ret_why)
{
    k->depth++;
    int r = smtp_client_send(k->engine, m, ret_why);
    k->depth--;
    settle(k);
    return r;
}

int link_text(struct link *k, const char *data, size_t len, bool last)
{
    k->depth++;
    int r = smtp_client_text(k->engine, data, len, last);
    k->depth--;
    if (r == 0)
        k->offset += len;
    k->text_due = r == -ENOBUFS;
    settle(k);
    return r;
}

void link_quit(struct link *k)
{
    k->depth++;
    smtp_client_quit(k->engine);
    k->depth--;
    settle(k);
}

enum smtp_client_sequence link_sequence(const struct link *k)
{
    return smtp_client_sequence(k->engine);
}

void link_abort(struct link *k)
{
    if (k->dead)
        return;
    stream_abort(k->stream);
    bury(k);
}
