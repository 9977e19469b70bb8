/* A whole client session fed with hostile octets, by a driver that does everything a driver may do.
 *
 * The first octet chooses the configuration, the second the size of the pieces; the rest is what the server sends.
 * Checked beside the sanitizers: each recipient gets exactly one outcome before `finished`, the session ends
 * once, nothing but whole lines leaves outside of a text, no text is asked for without a message, and a session that
 * asks for another connection does not do so for ever. */
#include "smtp/client.h"

#include <errno.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define N_RECIPIENTS 5
#define CONNECTIONS_MAX 14 /* each new one is further on in the order of logins, or in its form */

struct driver {
    struct smtp_client *client;
    struct buf out;
    bool busy, ended, again, secure_next, verified;
    uint64_t text_at; /* where the text is asked for; UINT64_MAX: it is not */
    unsigned messages;
    bool had[N_RECIPIENTS];
};

static void must(bool holds)
{
    if (!holds)
        __builtin_trap();
}

static const struct smtp_client_recipient recipients[N_RECIPIENTS] = {
    {.address = "a@x.example",       .notify = SMTP_NOTIFY_NEVER},
    {.address = "b@y.example",                              .orcpt = "rfc822;b@y.example"},
    {.address = "c@x.example"},
    {.address = "\"d >\"@z.example"      },
    {.address = "e@y.example"},
};

static const char text[] = "Subject: x\r\n\r\n.\r\n..\r\nend";

static const struct smtp_client_message message = {.reverse_path = "me@example.org",
                                                   .auth = "me@example.org",
                                                   .envid = "id",
                                                   .ret = 'F',
                                                   .size = sizeof(text) - 1,
                                                   .recipients = recipients,
                                                   .n_recipients = N_RECIPIENTS};

static void on_start_tls(void *ctx)
{
    ((struct driver *)ctx)->secure_next = true;
}

static void send_one(struct driver *d)
{
    struct smtp_outcome why;
    if (d->messages++ > 20) {
        smtp_client_quit(d->client);
        return;
    }
    memset(d->had, 0, sizeof(d->had));
    d->text_at = UINT64_MAX;
    d->busy = true;
    int r = smtp_client_send(d->client, &message, &why);
    if (r < 0) {
        must(r == -ENOTSUP);
        d->busy = false;
        smtp_client_quit(d->client);
    }
}

static void on_ready(void *ctx)
{
    struct driver *d = ctx;
    must(!d->busy && !d->ended);
    send_one(d);
}

static void on_text(void *ctx, uint64_t offset)
{
    struct driver *d = ctx;
    must(d->busy && offset < sizeof(text));
    d->text_at = offset;
}

static void on_recipient(void *ctx, size_t i, const struct smtp_outcome *o)
{
    struct driver *d = ctx;
    must(d->busy && i < N_RECIPIENTS && !d->had[i]);
    must(o->code >= 200 && o->code <= 599 && o->text && o->enhanced);
    d->had[i] = true;
}

static void on_finished(void *ctx)
{
    struct driver *d = ctx;
    must(d->busy);
    for (size_t i = 0; i < N_RECIPIENTS; i++)
        must(d->had[i]);
    d->busy = false;
    d->text_at = UINT64_MAX;
}

static void on_ended(void *ctx, enum smtp_client_end end, const struct smtp_outcome *o)
{
    struct driver *d = ctx;
    d->again = end == SMTP_END_AGAIN;
    must(!d->ended && (!d->busy || d->again) && o->text);
    d->ended = true;
}

/* Messages of any mechanism, of any size the challenge asks for. */
static int on_sasl(void *ctx,
                   const struct smtp_mechanism *m,
                   const struct str *challenge,
                   struct buf *said,
                   const char **ret_why)
{
    struct driver *d = ctx;
    must(*m->name && !d->ended && (challenge || said->len == 0));
    if (challenge && challenge->len % 7 == 3) {
        *ret_why = "no such challenge";
        return -EINVAL;
    }
    if (m->binding && (challenge ? challenge->len % 7 == 5 : !d->verified))
        return -EOPNOTSUPP;
    return challenge ? buf_append_str(said, *challenge) : buf_puts(said, m->name);
}

static bool on_sasl_proved(void *ctx)
{
    return ((struct driver *)ctx)->messages % 2 == 0;
}

static const struct smtp_client_ops ops = {
    .start_tls = on_start_tls,
    .ready = on_ready,
    .text = on_text,
    .recipient = on_recipient,
    .finished = on_finished,
    .ended = on_ended,
    .sasl = on_sasl,
    .sasl_proved = on_sasl_proved,
};

/* What a driver does at the end of its turn. */
static void turn(struct driver *d, size_t piece)
{
    buf_clear(&d->out);
    if (d->secure_next && !d->ended) {
        d->secure_next = false;
        smtp_client_secured(d->client, d->verified);
    }
    while (d->text_at != UINT64_MAX) {
        uint64_t at = d->text_at;
        size_t len = MIN(piece, sizeof(text) - 1 - at);
        bool last = at + len == sizeof(text) - 1;
        int r = smtp_client_text(d->client, text + at, len, last);
        must(r == 0 || r == -EAGAIN || r == -EPIPE);
        d->text_at = r == 0 && !last ? at + len : UINT64_MAX;
    }
    must(d->out.len == 0 || d->out.data[d->out.len - 1] == '\n' ||
         smtp_client_stage(d->client) != SMTP_STAGE_IDLE);
    buf_clear(&d->out);
}

static void open_session(struct driver *d, const struct smtp_client_config *cfg, bool secure)
{
    d->ended = d->again = d->secure_next = false;
    d->text_at = UINT64_MAX;
    buf_clear(&d->out);
    d->client = smtp_client_new(cfg, &ops, d, &d->out);
    if (secure)
        smtp_client_secured(d->client, d->verified);
}

/* One connection; returns how much it took. */
static size_t converse(struct driver *d, const char *data, size_t size, size_t piece)
{
    size_t used = 0;
    for (size_t have = 0; have < size && !d->ended;) {
        have = MIN(have + piece, size);
        size_t n = smtp_client_feed(d->client, data + used, have - used);
        must(n <= have - used);
        used += n;
        turn(d, piece);
    }
    if (!d->ended)
        smtp_client_closed(d->client, "closed");
    must(d->ended && (!d->busy || d->again));
    return used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct smtp_client_config cfg = {
        .hostname = "me.example",
        .lmtp = data[0] & 1,
        .tls = (enum smtp_client_tls)((data[0] >> 1) % 3),
        .login = (data[0] >> 3) & 15,
        .identity = data[1] & 32 ? "me@example.org" : NULL,
        .recipients_max = data[0] & 128 ? 2 : 0,
    };
    struct driver d = {.out = BUF_INIT(SMTP_CLIENT_OUTPUT), .verified = data[1] & 64};
    const char *rest = (const char *)data + 2;
    size_t left = size - 2;
    unsigned connections = 0;
    do {
        must(++connections <= CONNECTIONS_MAX);
        open_session(&d, &cfg, data[1] & 1);
        size_t used = converse(&d, rest, left, (size_t)(data[1] >> 1) + 1);
        rest += used;
        left -= used;
        cfg.login_from = smtp_client_login_next(d.client);
        smtp_client_free(d.client);
        d.busy = false;
    } while (d.again);
    buf_done(&d.out);
    return 0;
}
