#include "probe/contact.h"

#include "cert/describe.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#define OUTPUT_MAX ((size_t)64 << 10)

void contact_copy(char *to, size_t room, struct str s)
{
    size_t n = MIN(s.len, room - 1);
    for (size_t i = 0; i < n; i++)
        to[i] = s.p[i] >= 0x20 && s.p[i] < 0x7f ? s.p[i] : '?';
    to[n] = '\0';
}

void contact_finish(struct contact *c, const char *why)
{
    if (!c->ended)
        contact_copy(c->why, sizeof(c->why), str_of(why));
    c->ended = true;
    loop_stop(c->loop);
}

void contact_answered(struct contact *c)
{
    assert(c->due > 0);
    if (--c->due == 0)
        loop_stop(c->loop);
}

/* ---- from the stream ---- */

static size_t on_input(void *ctx, const char *data, size_t len)
{
    struct contact *c = ctx;
    c->heard = true;
    return c->ended ? len : c->ops->input(c->ctx, data, len);
}

static void on_connected(void *ctx)
{
    struct contact *c = ctx;
    if (c->target->implicit)
        stream_start_tls(c->stream, c->tls, c->target->tls_name);
}

static void on_secured(void *ctx, const struct tls_facts *facts)
{
    struct contact *c = ctx;
    c->facts.secure = true;
    c->facts.resumed = facts->resumed;
    c->facts.version = facts->version;
    c->facts.asked = facts->asked;
    c->facts.n_authorities = cert_authorities_text(facts->authorities, c->facts.authorities,
                                                   sizeof(c->facts.authorities));
    if (c->securing) {
        c->ops->secured(c->ctx);
        contact_answered(c);
    }
}

/* Both ends wait for the other to begin, or one begins in the clear: the port speaks TLS in the other way. */
static const char *wrong_way(const struct contact *c, const char *detail)
{
    if (!c->target->implicit && !c->heard && !*detail)
        return " (no greeting came: does TLS come first at this port? --tls implicit)";
    if (c->target->implicit && !c->facts.secure && strstr(detail, "wrong version number"))
        return " (does this port begin in the clear? --tls starttls)";
    return "";
}

static void on_ended(void *ctx, enum stream_end end, const char *detail)
{
    struct contact *c = ctx;
    char why[CONTACT_WHY];
    (void)end;
    c->facts.alert = stream_alert(c->stream);
    c->facts.asked = stream_was_asked(c->stream);
    (void)snprintf(why, sizeof(why), "%.160s%s",
                   detail && *detail ? detail : "the server closed the connection",
                   wrong_way(c, detail && *detail ? detail : "closed"));
    contact_finish(c, why);
}

static const struct stream_ops stream_ops = {
    .input = on_input,
    .connected = on_connected,
    .secured = on_secured,
    .ended = on_ended,
};

static void on_deadline(void *arg)
{
    struct contact *c = arg;
    char why[CONTACT_WHY];
    (void)snprintf(why, sizeof(why), "no answer within %lld s%s",
                   (long long)(c->target->timeout_ms / 1000), wrong_way(c, ""));
    contact_finish(c, why);
}

/* ---- turning ---- */

void contact_init(struct contact *c,
                  struct loop *l,
                  const struct contact_target *target,
                  struct tls_context *tls,
                  const struct contact_ops *ops,
                  void *ctx)
{
    *c = (struct contact){.loop = l, .target = target, .tls = tls, .ops = ops, .ctx = ctx};
    c->facts.version = "";
    buf_init(&c->out, OUTPUT_MAX);
    c->deadline = loop_timer_new(l, on_deadline, c);
    c->stream = stream_connect(l, target->host, target->port, &stream_ops, c);
}

void contact_done(struct contact *c)
{
    /* With close_notify where that is possible: a session whose connection just broke off is not resumed. */
    if (c->ended)
        stream_abort(c->stream);
    else
        stream_close(c->stream);
    loop_timer_free(c->deadline);
    buf_done(&c->out);
}

void contact_turn(struct contact *c, unsigned due)
{
    c->due = due;
    if (c->out.len > 0 && !c->ended && stream_write_str(c->stream, buf_str(&c->out)) < 0)
        contact_finish(c, "the server takes nothing any more");
    buf_clear(&c->out);
    loop_timer_set(c->deadline, c->target->timeout_ms);
    while (c->due > 0 && !c->ended)
        loop_run(c->loop);
    loop_timer_cancel(c->deadline);
    c->due = 0;
}

bool contact_start_tls(struct contact *c)
{
    if (c->ended)
        return false;
    c->securing = true;
    stream_start_tls(c->stream, c->tls, c->target->tls_name);
    contact_turn(c, 1);
    c->securing = false;
    return c->facts.secure;
}
