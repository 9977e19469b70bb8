#include "link/link_internal.h"
#include "link/login.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>

#define OUTPUT_WAITING_MAX ((size_t)256 * 1024) /* in the stream; a text is not pushed beyond */
#define KEPT_OUTPUT_MAX ((size_t)64 * 1024)

/* K1  What the engine wrote leaves only when no call into the engine is on the stack (`in_engine`): it may be in
 *     the middle of a line.
 * K2  What follows from a turn (text, TLS, time limits, the end) is done in settle() alone.
 * K3  After settle() has told `ended` nothing of the link is used; the deferred task frees it. */
struct link {
    struct loop *loop;
    const struct link_config *cfg;
    const struct link_ops *ops;
    void *ctx;
    struct stream *stream;
    struct smtp_client *engine;
    struct buf out;
    struct link_login login;
    const struct smtp_client_message *message; /* in hand; NULL: none */
    unsigned in_engine;
    bool settling;
    bool start_tls; /* the engine waits for the handshake */
    bool text_due;  /* the engine waits for the text, at `offset` */
    uint64_t offset;
    /* How it ends. */
    bool tls_begun, tls_up, heard;
    bool over, dead;
    enum smtp_client_end end;
    struct smtp_outcome last;
    char enhanced[16], words[LINK_WORDS_MAX]; /* of `last` */
    bool asked;                               /* for our certificate, or TLS was resumed */
    struct loop_task begin, gone;
    /* Time limits. */
    struct link_timeouts limits;
    enum smtp_stage stage;
    int64_t stage_since_ms;
    int64_t limit_ms;         /* the stream's */
    struct loop_timer *watch; /* fires at watch_due_ms, and looks then whether it is time */
    int64_t watch_due_ms;     /* INT64_MAX: it is not set */
};

static void settle(struct link *k);

static const char *tls_name(const struct link *k)
{
    if (k->cfg->tls_name)
        return k->cfg->tls_name;
    return k->cfg->host ? k->cfg->host : k->cfg->path;
}

static void free_link(struct loop_task *task)
{
    struct link *k = container_of(task, struct link, gone);
    smtp_client_free(k->engine);
    link_login_done(&k->login);
    buf_done(&k->out);
    free(k);
}

static void bury(struct link *k)
{
    k->dead = true;
    loop_timer_free(k->watch);
    k->watch = NULL;
    k->gone.run = free_link;
    loop_defer(k->loop, &k->gone);
}

static void lose(struct link *k, const char *why)
{
    k->in_engine++;
    smtp_client_lost(k->engine, why);
    k->in_engine--;
}

/* ---- time limits (REL-03) ---- */

static int64_t or_default(int64_t ms, int64_t otherwise_s)
{
    return ms ? ms : otherwise_s * 1000;
}

static struct link_timeouts limits_of(const struct link_timeouts *t)
{
    return (struct link_timeouts){
        .connect_ms = or_default(t->connect_ms, 30),
        .greeting_ms = or_default(t->greeting_ms, 300),
        .command_ms = or_default(t->command_ms, 300),
        .data_ms = or_default(t->data_ms, 120),
        .text_ms = or_default(t->text_ms, 180),
        .final_ms = or_default(t->final_ms, 600),
        .idle_ms = or_default(t->idle_ms, 30),
        .quit_ms = or_default(t->quit_ms, 10),
    };
}

static int64_t limit_of(const struct link *k, enum smtp_stage stage)
{
    const struct link_timeouts *t = &k->limits;
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

static void limit_stream(struct link *k, int64_t limit_ms)
{
    if (limit_ms == k->limit_ms)
        return; /* the octets that brought us here have re-armed it */
    k->limit_ms = limit_ms;
    stream_timeout(k->stream, limit_ms);
}

/* The stream's limit is about progress, and one octet now and then is progress: this one is about the end of it.
 * A text may take as long as it needs at 1 KiB a second. */
static int64_t end_of_stage(const struct link *k)
{
    int64_t limit = limit_of(k, k->stage);
    if (limit < 0 || k->stage == SMTP_STAGE_IDLE)
        return INT64_MAX;
    if (k->stage == SMTP_STAGE_TEXT)
        limit += MAX(k->message ? k->message->size : 0, (int64_t)k->offset) / 2;
    return k->stage_since_ms + 2 * limit;
}

/* No timer is moved for a stage that ends later than what it is set to: it looks again when it fires. */
static void watch_stage(struct link *k)
{
    int64_t due = end_of_stage(k);
    if (due >= k->watch_due_ms)
        return;
    k->watch_due_ms = due;
    loop_timer_set(k->watch, MAX(due - clock_monotonic_ms(), (int64_t)0));
}

static void on_watch(void *arg)
{
    struct link *k = arg;
    k->watch_due_ms = INT64_MAX;
    if (clock_monotonic_ms() >= end_of_stage(k)) {
        char why[96];
        (void)snprintf(why, sizeof(why), "no end to %s in sight", smtp_stage_name(k->stage));
        lose(k, why);
        settle(k);
        return;
    }
    watch_stage(k);
}

static void enter_stage(struct link *k, enum smtp_stage stage)
{
    k->stage = stage;
    k->stage_since_ms = clock_monotonic_ms();
    limit_stream(k, limit_of(k, stage));
    watch_stage(k);
}

/* ---- what follows from a turn ---- */

static void flush(struct link *k)
{
    if (k->in_engine)
        return;
    bool secret = smtp_client_take_secrecy(k->engine);
    if (secret)
        stream_keep_secret(k->stream);
    if (k->out.len && stream_write_str(k->stream, buf_str(&k->out)) < 0)
        return; /* full: `drained` comes back to it */
    if (secret)
        buf_wipe(&k->out);
    else if (k->out.cap > KEPT_OUTPUT_MAX)
        buf_done(&k->out);
    else
        buf_clear(&k->out);
}

static bool has_room(const struct link *k)
{
    return k->out.len == 0 && stream_output_pending(k->stream) < OUTPUT_WAITING_MAX;
}

static void begin_tls(struct link *k)
{
    k->start_tls = false;
    k->tls_begun = true;
    stream_start_tls(k->stream, k->cfg->tls, tls_name(k));
}

static void connect_session(struct link *k, unsigned login_from);

static void finish(struct link *k)
{
    if (k->stream)
        stream_close(k->stream);
    if (k->end != SMTP_END_AGAIN) {
        bury(k);
        k->ops->ended(k->ctx, k->end, &k->last);
        return;
    }
    unsigned next = smtp_client_login_next(k->engine);
    smtp_client_free(k->engine);
    connect_session(k, next);
    if (k->ops->again)
        k->ops->again(k->ctx, &k->last);
}

static void settle(struct link *k)
{
    if (k->in_engine || k->settling || k->dead)
        return;
    k->settling = true;
    flush(k);
    if (k->text_due && !k->over && has_room(k)) {
        k->text_due = false;
        k->ops->text(k->ctx, k->offset);
    }
    k->settling = false;
    if (k->dead)
        return;
    if (k->over) {
        finish(k);
        return;
    }
    if (k->start_tls && k->out.len == 0)
        begin_tls(k);
    enum smtp_stage stage = smtp_client_stage(k->engine);
    if (stage != k->stage)
        enter_stage(k, stage);
}

/* ---- from the engine ---- */

static void on_start_tls(void *ctx)
{
    ((struct link *)ctx)->start_tls = true;
}

static void give_up_message(struct link *k, const struct smtp_outcome *o)
{
    const struct smtp_client_message *m = k->message;
    if (!m)
        return;
    k->message = NULL;
    for (size_t i = 0; i < m->n_recipients; i++)
        k->ops->recipient(k->ctx, i, o);
    k->ops->finished(k->ctx);
}

/* The message that was in hand when the last connection ended under its login. */
static void send_again(struct link *k)
{
    struct smtp_outcome why = {.code = 451,
                               .enhanced = "4.3.0",
                               .text = "local trouble, the message could not be sent",
                               .stage = SMTP_STAGE_MAIL,
                               .ours = true};
    if (smtp_client_send(k->engine, k->message, &why) == 0)
        return;
    give_up_message(k, &why);
    k->ops->ready(k->ctx);
}

static void on_ready(void *ctx)
{
    struct link *k = ctx;
    if (k->message)
        send_again(k);
    else
        k->ops->ready(k->ctx);
}

static void on_text(void *ctx, uint64_t offset)
{
    struct link *k = ctx;
    k->offset = offset;
    k->text_due = true;
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
    k->message = NULL;
    k->ops->finished(k->ctx);
}

static bool has_certificate(const struct link *k)
{
    return k->cfg->tls && tls_context_has_certificate(k->cfg->tls);
}

/* A server that never asked for the certificate cannot know us by it. */
static const char *
hint(const struct link *k, enum smtp_client_end end, const struct smtp_outcome *o)
{
    bool by_certificate = k->cfg->smtp.login & SMTP_LOGIN_CERTIFICATE && has_certificate(k);
    if (end == SMTP_END_LOGIN && o->ours && k->tls_up && !k->asked && by_certificate)
        return "; nor did it ask for our certificate in the TLS handshake";
    return "";
}

static void on_ended(void *ctx, enum smtp_client_end end, const struct smtp_outcome *o)
{
    struct link *k = ctx;
    k->over = true;
    k->end = end;
    k->last = *o;
    (void)snprintf(k->enhanced, sizeof(k->enhanced), "%s", o->enhanced);
    (void)snprintf(k->words, sizeof(k->words), "%s%s", o->text, hint(k, end, o));
    k->last.enhanced = k->enhanced;
    k->last.text = k->words;
}

static void on_sent(void *ctx, struct str line)
{
    struct link *k = ctx;
    if (k->ops->sent)
        k->ops->sent(k->ctx, line);
}

static void on_received(void *ctx, const struct smtp_answer *a)
{
    struct link *k = ctx;
    if (k->ops->received)
        k->ops->received(k->ctx, a);
}

static int on_sasl(void *ctx,
                   const struct smtp_mechanism *m,
                   const struct str *challenge,
                   struct buf *message,
                   const char **ret_why)
{
    struct link *k = ctx;
    const struct link_channel channel = {k->stream, smtp_client_capabilities(k->engine)};
    return link_login_message(&k->login, k->cfg, &channel, m, challenge, message, ret_why);
}

static bool on_sasl_proved(void *ctx)
{
    return link_login_is_proved(&((struct link *)ctx)->login);
}

static const struct smtp_client_ops engine_ops = {
    .start_tls = on_start_tls,
    .ready = on_ready,
    .text = on_text,
    .recipient = on_recipient,
    .finished = on_finished,
    .ended = on_ended,
    .sent = on_sent,
    .received = on_received,
    .sasl = on_sasl,
    .sasl_proved = on_sasl_proved,
};

/* ---- from the stream ---- */

static size_t on_input(void *ctx, const char *data, size_t len)
{
    struct link *k = ctx;
    k->heard = true;
    k->in_engine++;
    size_t used = smtp_client_feed(k->engine, data, len);
    k->in_engine--;
    settle(k);
    return used;
}

static void on_connected(void *ctx)
{
    struct link *k = ctx;
    if (k->cfg->tls_implicit && k->cfg->tls)
        begin_tls(k);
    enter_stage(k, SMTP_STAGE_GREETING);
}

static void on_secured(void *ctx, const struct tls_facts *facts)
{
    struct link *k = ctx;
    k->tls_up = true;
    k->asked = facts->asked || facts->resumed;
    k->heard = false;
    if (k->ops->secured)
        k->ops->secured(k->ctx, facts);
    if (k->dead)
        return;
    k->in_engine++;
    smtp_client_secured(k->engine, facts->verified);
    k->in_engine--;
    settle(k);
}

static void on_drained(void *ctx)
{
    settle(ctx);
}

/* A server that is silent while we have nothing to say is left in order. */
static void on_stream_ended(void *ctx, enum stream_end end, const char *detail)
{
    struct link *k = ctx;
    char why[LINK_WORDS_MAX];
    const struct link_fall fall = {
        .end = end,
        .detail = detail,
        .alert = stream_alert(k->stream),
        .name = tls_name(k),
        .tls_wanted = k->cfg->tls != NULL,
        .tls_implicit = k->cfg->tls_implicit,
        .tls_begun = k->tls_begun,
        .tls_up = k->tls_up,
        .heard = k->heard,
        .has_certificate = has_certificate(k),
    };
    link_words(&fall, why, sizeof(why));
    k->in_engine++;
    if (end == STREAM_TIMEOUT && smtp_client_is_ready(k->engine))
        smtp_client_quit(k->engine);
    if (end == STREAM_EOF || end == STREAM_RESET)
        smtp_client_closed(k->engine, why);
    else
        smtp_client_lost(k->engine, why);
    k->in_engine--;
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

static void end_unbegun(struct loop_task *task)
{
    struct link *k = container_of(task, struct link, begin);
    if (k->dead)
        return;
    k->over = true;
    k->end = SMTP_END_TLS;
    k->last = (struct smtp_outcome){.code = 454,
                                    .enhanced = "4.7.0",
                                    .text = k->words,
                                    .stage = SMTP_STAGE_GREETING,
                                    .ours = true};
    give_up_message(k, &k->last);
    settle(k);
}

/* CERT-22: told before anybody is called. */
static bool certificate_is_over(struct link *k)
{
    if (!has_certificate(k) || tls_context_check_dates(k->cfg->tls, k->words) == 0)
        return false;
    k->begin.run = end_unbegun;
    loop_defer(k->loop, &k->begin);
    return true;
}

static void connect_session(struct link *k, unsigned login_from)
{
    const struct link_config *cfg = k->cfg;
    struct smtp_client_config smtp = cfg->smtp;
    smtp.login_from = login_from;
    buf_wipe(&k->out);
    k->start_tls = k->text_due = k->tls_begun = k->tls_up = k->heard = k->over = false;
    k->limit_ms = 0;
    k->stage = SMTP_STAGE_GREETING;
    k->stage_since_ms = clock_monotonic_ms();
    k->engine = smtp_client_new(&smtp, &engine_ops, k, &k->out);
    if (certificate_is_over(k))
        return;
    k->stream = cfg->host ? stream_connect(k->loop, cfg->host, cfg->port, &stream_ops, k)
                          : stream_connect_unix(k->loop, cfg->path, &stream_ops, k);
    limit_stream(k, k->limits.connect_ms);
}

struct link *
link_open(struct loop *l, const struct link_config *cfg, const struct link_ops *ops, void *ctx)
{
    struct link *k = xcalloc(1, sizeof(*k));
    k->loop = l;
    k->cfg = cfg;
    k->ops = ops;
    k->ctx = ctx;
    k->limits = limits_of(&cfg->timeouts);
    k->watch = loop_timer_new(l, on_watch, k);
    k->watch_due_ms = INT64_MAX;
    buf_init(&k->out, SMTP_CLIENT_OUTPUT);
    connect_session(k, cfg->smtp.login_from);
    return k;
}

int link_send(struct link *k, const struct smtp_client_message *m, struct smtp_outcome *ret_why)
{
    const struct smtp_client_message *before = k->message;
    k->message = m; /* what ends it may come within the call */
    k->stage_since_ms =
        clock_monotonic_ms(); /* a busy link may look the same at the end of each turn */
    k->in_engine++;
    int r = smtp_client_send(k->engine, m, ret_why);
    k->in_engine--;
    if (r < 0)
        k->message = before;
    settle(k);
    return r;
}

int link_text(struct link *k, const char *data, size_t len, bool last)
{
    int r = -ENOBUFS;
    if (has_room(k)) {
        k->in_engine++;
        r = smtp_client_text(k->engine, data, len, last);
        k->in_engine--;
    }
    flush(k);
    if (r == 0) {
        k->offset += len;
        r = last || has_room(k) ? 0 : 1;
    }
    k->text_due = r == 1 || r == -ENOBUFS;
    if (r == -ENOMEM)
        lose(k, "no memory for the text");
    settle(k);
    return r;
}

void link_quit(struct link *k)
{
    k->in_engine++;
    smtp_client_quit(k->engine);
    k->in_engine--;
    settle(k);
}

void link_give_up(struct link *k, const struct smtp_outcome *o)
{
    k->in_engine++;
    smtp_client_give_up(k->engine, o);
    k->in_engine--;
    settle(k);
}

void link_stop(struct link *k, const char *why)
{
    lose(k, why);
    settle(k);
}

void link_drop(struct link *k)
{
    if (k->dead)
        return;
    if (k->stream)
        stream_abort(k->stream);
    bury(k);
}

bool link_is_ready(const struct link *k)
{
    return !k->over && smtp_client_is_ready(k->engine);
}

enum smtp_client_sequence link_sequence(const struct link *k)
{
    return smtp_client_sequence(k->engine);
}

const char *link_mechanism(const struct link *k)
{
    return smtp_client_mechanism(k->engine);
}

const struct smtp_capabilities *link_capabilities(const struct link *k)
{
    return smtp_client_capabilities(k->engine);
}

const char *link_peer_address(const struct link *k)
{
    return k->stream ? stream_peer_address(k->stream) : "unknown";
}
