#include "smtp/client_talk.h"

#include <assert.h>
#include <errno.h>

const char *smtp_stage_name(enum smtp_stage stage)
{
    static const char *const names[SMTP_STAGE_COUNT] = {
        [SMTP_STAGE_GREETING] = "the greeting",
        [SMTP_STAGE_HELLO] = "EHLO",
        [SMTP_STAGE_STARTTLS] = "STARTTLS",
        [SMTP_STAGE_HANDSHAKE] = "the TLS handshake",
        [SMTP_STAGE_LOGIN] = "AUTH",
        [SMTP_STAGE_RESET] = "RSET",
        [SMTP_STAGE_MAIL] = "MAIL FROM",
        [SMTP_STAGE_RCPT] = "RCPT TO",
        [SMTP_STAGE_DATA] = "DATA",
        [SMTP_STAGE_TEXT] = "the text",
        [SMTP_STAGE_FINAL] = "the end of the text",
        [SMTP_STAGE_IDLE] = "nothing",
        [SMTP_STAGE_QUIT] = "QUIT",
    };
    return names[stage];
}

void smtp_talk_init(struct smtp_talk *t,
                    const struct smtp_talk_ops *ops,
                    void *ctx,
                    struct buf *out)
{
    *t = (struct smtp_talk){.ops = ops, .ctx = ctx, .out = out};
    smtp_answer_init(&t->answer);
}

void smtp_talk_done(struct smtp_talk *t)
{
    smtp_answer_done(&t->answer);
    t->over = true;
}

void smtp_talk_stop(struct smtp_talk *t)
{
    t->over = true;
    t->count = 0;
}

void smtp_talk_deafen(struct smtp_talk *t)
{
    t->deaf = true;
}

void smtp_talk_restart(struct smtp_talk *t)
{
    smtp_answer_clear(&t->answer);
    t->deaf = false;
    t->count = 0;
}

static void
end(struct smtp_talk *t, enum smtp_talk_end how, enum smtp_stage stage, const struct smtp_answer *a)
{
    smtp_talk_stop(t);
    t->ops->over(t->ctx, how, stage, a);
}

/* The command leaves the line before its callback runs, so that what the callback sees outstanding
 * is what really is; a command that expects more goes back to the front. */
static void dispatch(struct smtp_talk *t)
{
    const struct smtp_answer *a = &t->answer;
    if (t->ops->received)
        t->ops->received(t->ctx, a);
    if (t->count == 0) {
        end(t, a->code == 421 ? SMTP_TALK_CLOSING : SMTP_TALK_STRAY, SMTP_STAGE_IDLE, a);
        return;
    }
    unsigned at = t->first;
    enum smtp_stage stage = t->waiting[at].stage;
    t->first = (t->first + 1) % SMTP_TALK_MAX;
    t->count--;
    t->closing = a->code == 421;
    bool done = t->waiting[at].fn(t->ctx, t->waiting[at].n, a);
    if (t->over)
        return;
    if (!done) {
        assert(t->first == (at + 1) % SMTP_TALK_MAX && t->count < SMTP_TALK_MAX);
        t->first = at;
        t->count++;
    }
    if (t->closing)
        end(t, SMTP_TALK_CLOSING, stage, a);
}

size_t smtp_talk_feed(struct smtp_talk *t, const char *data, size_t len)
{
    size_t used = 0;
    while (!t->over && !t->deaf) {
        ssize_t n = smtp_answer_feed(&t->answer, data + used, len - used);
        if (n < 0) {
            end(t, SMTP_TALK_GARBLED, smtp_talk_stage(t), NULL);
            break;
        }
        used += (size_t)n;
        if (!t->answer.complete)
            return used;
        dispatch(t);
        smtp_answer_clear(&t->answer);
    }
    if (t->deaf)
        t->unheard += len - used;
    return len;
}

void smtp_talk_begin(struct smtp_talk *t)
{
    t->line_start = t->out->len;
    t->line_error = 0;
    t->hides = false;
}

/* Room is made now: a buffer that grows leaves what it held behind. */
void smtp_talk_hide(struct smtp_talk *t, size_t len)
{
    if (t->over)
        return;
    smtp_talk_put_error(t, buf_reserve(t->out, len + 2));
    t->hides = true;
    t->hidden_from = t->out->len;
    t->secret = true;
}

void smtp_talk_put_error(struct smtp_talk *t, int r)
{
    if (r < 0 && t->line_error == 0)
        t->line_error = r;
}

void smtp_talk_put_str(struct smtp_talk *t, struct str s)
{
    if (!t->over)
        smtp_talk_put_error(t, buf_append_str(t->out, s));
}

void smtp_talk_put(struct smtp_talk *t, const char *s)
{
    smtp_talk_put_str(t, str_of(s));
}

void smtp_talk_put_number(struct smtp_talk *t, uint64_t n)
{
    char digits[24];
    char *at = digits + sizeof(digits);
    do {
        *--at = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    smtp_talk_put_str(t, (struct str){at, (size_t)(digits + sizeof(digits) - at)});
}

bool smtp_talk_has_room(const struct smtp_talk *t)
{
    return t->count <
           SMTP_TALK_MAX - 1; /* one place is kept for a command that goes back to the front */
}

enum smtp_stage smtp_talk_stage(const struct smtp_talk *t)
{
    return t->count ? t->waiting[t->first].stage : SMTP_STAGE_IDLE;
}

void smtp_talk_expect(struct smtp_talk *t, enum smtp_stage stage, smtp_talk_fn *fn, size_t n)
{
    assert(smtp_talk_has_room(t));
    unsigned at = (t->first + t->count) % SMTP_TALK_MAX;
    t->waiting[at].fn = fn;
    t->waiting[at].n = n;
    t->waiting[at].stage = stage;
    t->count++;
}

static void show_sent(struct smtp_talk *t, struct str line)
{
    char masked[64];
    if (!t->ops->sent)
        return;
    if (t->hides) {
        struct str open = str_upto(line, t->hidden_from - t->line_start);
        size_t len = MIN(open.len, sizeof(masked) - 3);
        memcpy(masked, open.p, len);
        memcpy(masked + len, "***", 3);
        line = (struct str){masked, len + 3};
    }
    t->ops->sent(t->ctx, line);
}

/* A control character in an argument would be a second command: such a line never leaves. */
void smtp_talk_end(struct smtp_talk *t, enum smtp_stage stage, smtp_talk_fn *fn, size_t n)
{
    if (t->over)
        return;
    struct str line = str_from(buf_str(t->out), t->line_start);
    if (t->line_error == 0 && str_has_control(line))
        t->line_error = -EINVAL;
    if (t->line_error == 0)
        show_sent(t, line);
    smtp_talk_put(t, "\r\n");
    if (t->line_error < 0) {
        t->out->len = t->line_start;
        end(t, SMTP_TALK_UNSENDABLE, stage, NULL);
        return;
    }
    smtp_talk_expect(t, stage, fn, n);
}

void smtp_talk_say(
    struct smtp_talk *t, const char *command, enum smtp_stage stage, smtp_talk_fn *fn, size_t n)
{
    smtp_talk_begin(t);
    smtp_talk_put(t, command);
    smtp_talk_end(t, stage, fn, n);
}
