#include "send/session.h"

#include "send/queue.h"
#include "smtp/server_plain.h"

#include <errno.h>
#include <sysexits.h>

#define OUTPUT_MAX ((size_t)256 * 1024)
#define INPUT_MAX ((size_t)64 * 1024)

struct session {
    struct courier *courier;
    bool queue_them;
    struct smtp_server *engine;
    struct buf in, out;
    struct send_message m;
    struct reception reception;
    bool receiving; /* m and reception are in use */
    bool over;
};

static void drop(struct session *s)
{
    if (!s->receiving)
        return;
    courier_dismiss(&s->reception);
    send_message_done(&s->m);
    s->receiving = false;
}

/* ---- words ---- */

/* The codes that a caller of sendmail would get, for one who speaks SMTP. */
static void refuse_by(int status, const char *why, struct smtp_reply *reply)
{
    bool later =
        status == EX_TEMPFAIL || status == EX_CANTCREAT || status == EX_OSERR || status == EX_IOERR;
    *reply = later                  ? smtp_reply(451, "4.3.0", "%s", why)
             : status == EX_DATAERR ? smtp_reply(554, "5.6.0", "%s", why)
                                    : smtp_reply(554, "5.3.5", "%s", why);
}

/* All of it is known only now: one answer for all recipients.  Who was left out must not be taken for served. */
static void answer(const struct send_message *m, struct smtp_reply *reply)
{
    const struct send_result *worst = NULL;
    size_t sent = 0, which = 0;
    for (size_t i = 0; i < m->to.n; i++) {
        const struct send_result *res = &m->results[i];
        sent += res->code / 100 == 2;
        if (res->code / 100 != 2 && (!worst || (worst->code / 100 == 4 && res->code / 100 == 5))) {
            worst = res;
            which = i;
        }
    }
    if (!worst)
        *reply = smtp_reply(250, "2.0.0", "%.200s", m->results[0].text);
    else if (sent)
        *reply = smtp_reply(554, "5.5.0", "Sent to %zu of %zu recipients, but %.100s: %d %.150s",
                            sent, m->to.n, m->to.list[which], worst->code, worst->text);
    else if (worst->code / 100 == 4)
        *reply = smtp_reply(451, "4.3.0", "%.100s: %.200s", m->to.list[which], worst->text);
    else
        *reply = smtp_reply(554, "5.3.0", "%.100s: %.200s", m->to.list[which], worst->text);
}

/* ---- what the engine asks ---- */

static void on_offer(void *ctx, struct smtp_offer *ret)
{
    (void)ctx;
    *ret = (struct smtp_offer){0};
}

static enum smtp_decision on_starttls(void *ctx, struct smtp_reply *reply)
{
    (void)ctx;
    *reply = smtp_reply(502, "5.5.1", "There is no network between us");
    return SMTP_NO;
}

static enum smtp_auth_step on_auth(void *ctx,
                                   const char *mechanism,
                                   bool has_response,
                                   struct str response,
                                   struct buf *challenge,
                                   struct smtp_reply *reply)
{
    (void)ctx;
    (void)mechanism;
    (void)has_response;
    (void)response;
    (void)challenge;
    *reply = smtp_reply(503, "5.5.1", "Who runs this program is known already");
    return SMTP_AUTH_FAILED;
}

static enum smtp_decision on_data(void *ctx, struct smtp_reply *reply)
{
    struct session *s = ctx;
    char why[COURIER_WHY_MAX] = "";
    send_message_init(&s->m);
    s->receiving = true;
    int status = courier_begin(s->courier, &s->reception, &s->m,
                               smtp_server_mail(s->engine)->reverse_path, false, why);
    for (size_t i = 0; status == EX_OK && i < smtp_server_n_rcpts(s->engine); i++)
        if (recipients_add(&s->m.to, str_of(smtp_server_rcpt(s->engine, i)->forward_path)) < 0)
            status = EX_OSERR;
    if (status == EX_OK)
        return SMTP_YES;
    refuse_by(status, *why ? why : "too many recipients", reply);
    drop(s);
    return SMTP_NO;
}

static int on_text(void *ctx, const char *data, size_t len)
{
    struct session *s = ctx;
    return courier_piece(&s->reception, data, len);
}

static int pass_on(struct session *s, struct smtp_reply *reply, char *why)
{
    struct courier *c = s->courier;
    char id[SPOOL_QUEUE_ID_MAX];
    int status = courier_complete(c, &s->reception, why);
    if (status == EX_OK && s->queue_them) {
        status = send_queue_put(c, &s->m, id, why);
        *reply = smtp_reply(250, "2.0.0", "Queued as %s", id);
        return status;
    }
    if (status == EX_OK)
        status = courier_send(c, &s->m, why);
    if (status == EX_OK)
        answer(&s->m, reply);
    return status;
}

static enum smtp_decision on_finish(void *ctx, struct smtp_reply *reply)
{
    struct session *s = ctx;
    char why[COURIER_WHY_MAX] = "";
    int status = pass_on(s, reply, why);
    if (status != EX_OK)
        refuse_by(status, why, reply);
    drop(s);
    return reply->code / 100 == 2 ? SMTP_YES : SMTP_NO;
}

static void on_abandon(void *ctx)
{
    drop(ctx);
}

static void on_refuse(void *ctx, int error, struct smtp_reply *reply)
{
    (void)ctx;
    *reply = smtp_reply(452, "4.3.1", "Cannot keep the message: %s", strerror(-error));
}

static void on_quit(void *ctx)
{
    ((struct session *)ctx)->over = true;
}

static const struct smtp_server_ops session_ops = {
    .offer = on_offer,
    .starttls = on_starttls,
    .auth = on_auth,
    .auth_cancelled = smtp_plain_forget,
    .admit = smtp_plain_admit,
    .mail = smtp_plain_mail,
    .rcpt = smtp_plain_rcpt,
    .data = on_data,
    .text = on_text,
    .finish = on_finish,
    .abandon = on_abandon,
    .refuse = on_refuse,
    .quit = on_quit,
    .refused = smtp_plain_refused,
};

/* ---- octets ---- */

static bool flush(struct session *s, int fd)
{
    struct str left = buf_str(&s->out);
    while (left.len > 0) {
        ssize_t n = write(fd, left.p, left.len);
        if (n < 0 && errno != EINTR)
            return false;
        left = str_from(left, n < 0 ? 0 : (size_t)n);
    }
    buf_clear(&s->out);
    return true;
}

/* All that is there, as far as it makes whole lines. */
static bool feed(struct session *s, int fd)
{
    size_t used = 1;
    while (used > 0 && !s->over && s->in.len > 0) {
        used = smtp_server_feed(s->engine, s->in.data, s->in.len);
        buf_consume(&s->in, used);
        if (!flush(s, fd))
            return false;
    }
    return true;
}

static int talk(struct session *s, int in, int out)
{
    smtp_server_greet(s->engine, NULL);
    if (!flush(s, out))
        return EX_IOERR;
    while (!s->over) {
        if (s->in.len >= INPUT_MAX || buf_reserve(&s->in, INPUT_MAX - s->in.len) < 0)
            return EX_PROTOCOL; /* the engine takes lines that are far shorter */
        ssize_t n = read(in, s->in.data + s->in.len, INPUT_MAX - s->in.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? EX_IOERR : EX_OK;
        s->in.len += (size_t)n;
        if (!feed(s, out))
            return EX_IOERR;
    }
    return EX_OK;
}

int send_session_run(struct courier *c, const struct send_session_config *cfg)
{
    struct session s = {.courier = c,
                        .queue_them = cfg->queue_them,
                        .in = BUF_INIT(INPUT_MAX),
                        .out = BUF_INIT(OUTPUT_MAX)};
    const struct smtp_server_config engine = {
        .hostname = cfg->hostname,
        .extensions = SMTP_SET(SMTP_EXT_PIPELINING) | SMTP_SET(SMTP_EXT_8BITMIME) |
                      SMTP_SET(SMTP_EXT_SMTPUTF8) | SMTP_SET(SMTP_EXT_CHUNKING) |
                      SMTP_SET(SMTP_EXT_SIZE) | SMTP_SET(SMTP_EXT_ENHANCEDSTATUSCODES),
        .recipients_max = RECIPIENTS_MAX,
        .takes_long_lines = true, /* as on the other ways in: mend.h */
    };
    s.engine = smtp_server_new(&engine, &session_ops, &s, &s.out);
    int status = talk(&s, cfg->in, cfg->out);
    smtp_server_free(s.engine);
    drop(&s);
    buf_done(&s.in);
    buf_done(&s.out);
    return status;
}
