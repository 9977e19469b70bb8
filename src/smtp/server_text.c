/* The text of a message, by DATA or by BDAT, on its way to the owner. */
#include "smtp/server_internal.h"

#include <errno.h>

void text_begin(struct smtp_server *s, bool raw)
{
    s->t->started = true;
    undot_init(&s->t->undot, raw);
}

/* One run of octets to the owner; after an error the rest is swallowed. */
static int text_out(void *arg, const char *data, size_t len)
{
    struct smtp_server *s = arg;
    struct transaction *t = s->t;
    t->size += len;
    if (t->error < 0)
        return 0;
    if (s->cfg->size_max && t->size > s->cfg->size_max) {
        t->error = -EMSGSIZE; /* the true size is above the limit (SIZE-02) */
        return 0;
    }
    int r = s->ops->text(s->ctx, data, len);
    if (r == -EAGAIN)
        t->pause = true;
    else if (r < 0)
        t->error = r;
    return 0;
}

/* What the finished text itself is refused for; code 0: nothing. */
static struct smtp_reply text_fault(struct smtp_server *s)
{
    struct transaction *t = s->t;
    struct smtp_reply r = {0};
    bool lines = t->mail.body != SMTP_BODY_BINARYMIME;
    if (t->error == -EMSGSIZE)
        return smtp_reply(552, "5.3.4", "Message too big, the limit is %llu octets",
                          (unsigned long long)s->cfg->size_max);
    if (t->error < 0)
        s->ops->refuse(s->ctx, t->error, &r);
    else if (lines && t->undot.bare)
        return smtp_reply(550, "5.5.2", "The text holds a bare CR or LF; only CR LF ends a line");
    else if (lines && t->undot.long_line && !s->cfg->takes_long_lines)
        return smtp_reply(554, "5.6.0", "The text holds a line above %d octets", DOTS_LINE_MAX);
    return r;
}

static void text_over(struct smtp_server *s)
{
    transaction_drop(s);
    if (s->state != SS_ENDED)
        server_set_state(s, SS_READY);
}

void text_finish(struct smtp_server *s)
{
    undot_finish(&s->t->undot);
    struct smtp_reply r = text_fault(s);
    if (r.code) {
        bool smuggled = s->t->undot.bare && s->t->error == 0;
        text_over(s);
        server_reply(s, &r);
        /* What follows a text with false line ends may be a second message in disguise: it is not
         * read (SMTP-15). */
        if (smuggled)
            server_end(s);
        return;
    }
    s->t->finished = true;
    enum smtp_decision d = s->ops->finish(s->ctx, &r);
    if (d == SMTP_LATER)
        s->wait = WAIT_FINISH;
    else
        text_finish_resume(s, d, &r);
}

void text_finish_resume(struct smtp_server *s, enum smtp_decision d, const struct smtp_reply *r)
{
    text_over(s);
    if (!server_go_on(s, d, r))
        return;
    if (r->code)
        server_reply(s, r);
    else
        server_say(s, 250, "2.0.0", "Accepted");
}

static void chunk_over(struct smtp_server *s)
{
    struct transaction *t = s->t;
    if (t->chunk_void) {
        struct smtp_reply r = t->chunk_reply;
        bool close = t->chunk_close;
        server_set_state(s, SS_BETWEEN);
        server_reply(s, &r);
        if (close)
            server_end(s);
    } else if (t->chunk_last) {
        text_finish(s);
    } else if (t->error < 0) {
        t->chunk_reply = text_fault(s);
        t->chunk_void = true;
        chunk_over(s);
    } else {
        server_set_state(s, SS_BETWEEN);
        server_say(s, 250, "2.0.0", "%llu octets so far", (unsigned long long)t->size);
    }
}

static size_t chunk_feed(struct smtp_server *s, const char *data, size_t len)
{
    struct transaction *t = s->t;
    size_t n = (size_t)MIN((uint64_t)len, t->chunk_left);
    t->chunk_left -= n;
    if (t->chunk_void || n == 0)
        return n;
    return (size_t)undot_feed(&t->undot, data, n, text_out, s); /* raw: all of it; text_out never fails */
}

size_t text_feed(struct smtp_server *s, const char *data, size_t len)
{
    struct transaction *t = s->t;
    size_t n;
    if (s->state == SS_CHUNK)
        n = chunk_feed(s, data, len);
    else
        n = t->undot.ended ? 0 : (size_t)undot_feed(&t->undot, data, len, text_out, s);
    if (t->pause) {
        t->pause = false;
        s->wait = WAIT_TEXT;
    } else if (s->state == SS_CHUNK && t->chunk_left == 0) {
        chunk_over(s);
    } else if (s->state == SS_TEXT && t->undot.ended) {
        text_finish(s);
    }
    return n;
}

/* A chunk that belongs to no transaction. */
size_t server_swallow(struct smtp_server *s, size_t len)
{
    size_t n = (size_t)MIN((uint64_t)len, s->swallow);
    s->swallow -= n;
    if (s->swallow == 0 && s->swallow_reply) {
        struct smtp_reply r = *s->swallow_reply;
        free(s->swallow_reply);
        s->swallow_reply = NULL;
        server_reply(s, &r);
        if (s->swallow_close)
            server_end(s);
    }
    return n;
}
