#include "probe/dialogue.h"

#include "smtp/client_talk.h"

#include <assert.h>
#include <stdio.h>

#define OUTPUT_MAX 4096

/* D1  `due` counts the answers still awaited by the call that turns the loop; no callback begins anything
 *     by itself, so that a case reads from top to bottom.
 * D2  Once `ended` is set the stream is only closed, never written to. */
struct dialogue {
    struct loop *loop;
    const struct dialogue_target *target;
    struct tls_context *tls;
    struct stream *stream;
    struct smtp_talk talk;
    struct buf out;
    struct loop_timer *deadline;
    struct smtp_capabilities caps;
    struct dialogue_reply greeting, replies[DIALOGUE_GROUP];
    unsigned due;
    bool securing, secure, resumed, ended;
    const char *version;
    char why[DIALOGUE_WHY];
};

/* What a peer says goes to a terminal: no control character, no 8-bit octet. */
static void copy_printable(char *to, size_t room, struct str s)
{
    size_t n = MIN(s.len, room - 1);
    for (size_t i = 0; i < n; i++)
        to[i] = s.p[i] >= 0x20 && s.p[i] < 0x7f ? s.p[i] : '?';
    to[n] = '\0';
}

static void finish(struct dialogue *d, const char *why)
{
    if (!d->ended)
        copy_printable(d->why, sizeof(d->why), str_of(why));
    d->ended = true;
    loop_stop(d->loop);
}

/* ---- from the conversation ---- */

static struct dialogue_reply reply_of(const struct smtp_answer *a)
{
    struct dialogue_reply r = {.code = a->code};
    struct str text = buf_str(&a->text);
    ssize_t line_end = str_find(text, '\n');
    copy_printable(r.enhanced, sizeof(r.enhanced), str_of(a->enhanced));
    copy_printable(r.text, sizeof(r.text), line_end < 0 ? text : str_upto(text, (size_t)line_end));
    return r;
}

static void answered(struct dialogue *d)
{
    assert(d->due > 0);
    if (--d->due == 0)
        loop_stop(d->loop);
}

static bool on_greeting(void *ctx, size_t n, const struct smtp_answer *a)
{
    (void)n;
    struct dialogue *d = ctx;
    d->greeting = reply_of(a);
    answered(d);
    return true;
}

static bool on_answer(void *ctx, size_t n, const struct smtp_answer *a)
{
    struct dialogue *d = ctx;
    d->replies[n] = reply_of(a);
    answered(d);
    return true;
}

static bool on_hello(void *ctx, size_t n, const struct smtp_answer *a)
{
    struct dialogue *d = ctx;
    d->caps = (struct smtp_capabilities){0};
    if (a->code == 250)
        smtp_capabilities_read(&d->caps, buf_str(&a->text));
    return on_answer(ctx, n, a);
}

static bool on_start_tls(void *ctx, size_t n, const struct smtp_answer *a)
{
    struct dialogue *d = ctx;
    if (a->code == 220)
        smtp_talk_deafen(&d->talk);
    return on_answer(ctx, n, a);
}

static void
on_over(void *ctx, enum smtp_talk_end end, enum smtp_stage stage, const struct smtp_answer *a)
{
    static const char *const words[] = {
        [SMTP_TALK_CLOSING] = "the server closes with 421",
        [SMTP_TALK_STRAY] = "a reply that no command asked for",
        [SMTP_TALK_GARBLED] = "what came is no reply, or one without measure",
        [SMTP_TALK_UNSENDABLE] = "a line of ours could not be sent",
    };
    struct dialogue_reply r = a ? reply_of(a) : (struct dialogue_reply){0};
    char why[DIALOGUE_WHY];
    (void)snprintf(why, sizeof(why), "%s, at %s%s%s", words[end], smtp_stage_name(stage),
                   a ? ": " : "", r.text);
    finish(ctx, why);
}

static const struct smtp_talk_ops talk_ops = {.over = on_over};

/* ---- from the stream ---- */

static size_t on_input(void *ctx, const char *data, size_t len)
{
    struct dialogue *d = ctx;
    return d->ended ? len : smtp_talk_feed(&d->talk, data, len);
}

static void on_connected(void *ctx)
{
    struct dialogue *d = ctx;
    if (d->target->implicit)
        stream_start_tls(d->stream, d->tls, d->target->tls_name);
}

static void on_secured(void *ctx, const struct tls_facts *facts)
{
    struct dialogue *d = ctx;
    d->secure = true;
    d->resumed = facts->resumed;
    d->version = facts->version;
    d->caps = (struct smtp_capabilities){0};
    if (d->securing) {
        smtp_talk_restart(&d->talk);
        answered(d);
    }
}

static void on_stream_ended(void *ctx, enum stream_end end, const char *detail)
{
    (void)end;
    finish(ctx, detail && *detail ? detail : "the server closed the connection");
}

static const struct stream_ops stream_ops = {
    .input = on_input,
    .connected = on_connected,
    .secured = on_secured,
    .ended = on_stream_ended,
};

static void on_deadline(void *arg)
{
    struct dialogue *d = arg;
    char why[DIALOGUE_WHY];
    (void)snprintf(why, sizeof(why), "no answer within %lld s",
                   (long long)(d->target->timeout_ms / 1000));
    finish(d, why);
}

/* ---- turning ---- */

static void turn(struct dialogue *d)
{
    if (d->out.len > 0 && !d->ended && stream_write_str(d->stream, buf_str(&d->out)) < 0)
        finish(d, "the server takes nothing any more");
    buf_clear(&d->out);
    loop_timer_set(d->deadline, d->target->timeout_ms);
    while (d->due > 0 && !d->ended)
        loop_run(d->loop);
    loop_timer_cancel(d->deadline);
    d->due = 0;
}

static void begin(struct dialogue *d, unsigned due)
{
    d->due = due;
    for (size_t i = 0; i < DIALOGUE_GROUP; i++)
        d->replies[i] = (struct dialogue_reply){0};
}

struct dialogue *
dialogue_open(struct loop *l, const struct dialogue_target *target, struct tls_context *tls)
{
    struct dialogue *d = xcalloc(1, sizeof(*d));
    d->loop = l;
    d->target = target;
    d->tls = tls;
    d->version = "";
    buf_init(&d->out, OUTPUT_MAX);
    smtp_talk_init(&d->talk, &talk_ops, d, &d->out);
    d->deadline = loop_timer_new(l, on_deadline, d);
    begin(d, 1);
    smtp_talk_expect(&d->talk, SMTP_STAGE_GREETING, on_greeting, 0);
    d->stream = stream_connect(l, target->host, target->port, &stream_ops, d);
    turn(d);
    return d;
}

void dialogue_close(struct dialogue *d)
{
    if (!d)
        return;
    if (!d->ended && d->greeting.code)
        (void)dialogue_say(d, "QUIT");
    stream_abort(d->stream);
    loop_timer_free(d->deadline);
    smtp_talk_done(&d->talk);
    buf_done(&d->out);
    free(d);
}

bool dialogue_ended(const struct dialogue *d)
{
    return d->ended;
}

const char *dialogue_why(const struct dialogue *d)
{
    return d->why;
}

struct dialogue_reply dialogue_greeting(const struct dialogue *d)
{
    return d->greeting;
}

struct dialogue_reply dialogue_say(struct dialogue *d, const char *line)
{
    begin(d, 1);
    if (!d->ended)
        smtp_talk_say(&d->talk, line, SMTP_STAGE_IDLE, on_answer, 0);
    turn(d);
    return d->replies[0];
}

struct dialogue_reply dialogue_ehlo(struct dialogue *d, const char *name)
{
    char line[300];
    (void)snprintf(line, sizeof(line), "EHLO %s", name);
    begin(d, 1);
    if (!d->ended)
        smtp_talk_say(&d->talk, line, SMTP_STAGE_HELLO, on_hello, 0);
    turn(d);
    return d->replies[0];
}

const struct smtp_capabilities *dialogue_capabilities(const struct dialogue *d)
{
    return &d->caps;
}

void dialogue_say_group(struct dialogue *d,
                        const char *const *lines,
                        size_t n,
                        struct dialogue_reply *ret)
{
    assert(n <= DIALOGUE_GROUP);
    begin(d, (unsigned)n);
    for (size_t i = 0; i < n && !d->ended; i++)
        smtp_talk_say(&d->talk, lines[i], SMTP_STAGE_IDLE, on_answer, i);
    turn(d);
    for (size_t i = 0; i < n; i++)
        ret[i] = d->replies[i];
}

bool dialogue_start_tls(struct dialogue *d, const char *injected, struct dialogue_reply *ret)
{
    begin(d, 1);
    if (!d->ended)
        smtp_talk_say(&d->talk, "STARTTLS", SMTP_STAGE_STARTTLS, on_start_tls, 0);
    if (injected && !d->ended && buf_printf(&d->out, "%s\r\n", injected) < 0)
        finish(d, "a line of ours could not be sent");
    turn(d);
    *ret = d->replies[0];
    if (ret->code != 220 || d->ended)
        return false;
    d->due = 1;
    d->securing = true;
    stream_start_tls(d->stream, d->tls, d->target->tls_name);
    turn(d);
    d->securing = false;
    return d->secure;
}

bool dialogue_is_secure(const struct dialogue *d)
{
    return d->secure;
}

bool dialogue_resumed(const struct dialogue *d)
{
    return d->resumed;
}

const char *dialogue_tls_version(const struct dialogue *d)
{
    return d->version;
}
