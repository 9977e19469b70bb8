/* A whole server session fed with hostile octets, in hostile pieces, with an owner that decides at random.
 *
 * The first octets of the input steer the owner's decisions; the rest is what the client sends.  Checked
 * beside the sanitizers: every reply is well-formed, suspended commands consume nothing, MAIL accepted and
 * finish or abandon come in pairs, and a session that ended says nothing more. */
#include "smtp/server.h"

#include <ctype.h>
#include <errno.h>

#define STEER 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct owner {
    const uint8_t *steer;
    unsigned at;
    bool later, mail_later, auth_later, text_later, tls, ended;
    int open; /* transactions accepted and not yet finished or abandoned */
};

static void must(bool holds)
{
    if (!holds)
        __builtin_trap();
}

static unsigned roll(struct owner *o, unsigned sides)
{
    return o->steer[o->at++ % STEER] % sides;
}

static enum smtp_decision decide(struct owner *o, struct smtp_reply *reply)
{
    unsigned n = roll(o, 8);
    if (n == 7) {
        o->later = true;
        return SMTP_LATER;
    }
    if (n < 5)
        return SMTP_YES;
    *reply = n == 5 ? smtp_reply(550, "5.7.1", "No") : smtp_reply(421, "4.7.0", "Closing");
    return n == 5 ? SMTP_NO : SMTP_CLOSE;
}

/* A line has no end in it but a stray CR, and is no longer than any may be. */
static void on_heard(void *ctx, struct str line, bool response)
{
    (void)ctx;
    (void)response;
    must(line.len <= SMTP_AUTH_LINE_MAX + 2 && str_find(line, '\n') < 0);
}

static void on_offer(void *ctx, struct smtp_offer *ret)
{
    ret->starttls = roll(ctx, 2);
    ret->xclient = true;
    memcpy(ret->auth, "EXTERNAL", 9);
}

static enum smtp_decision on_starttls(void *ctx, struct smtp_reply *reply)
{
    struct owner *o = ctx;
    enum smtp_decision d = decide(o, reply);
    o->tls = d == SMTP_YES;
    return d;
}

static enum smtp_decision
on_xclient(void *ctx, const struct smtp_xclient *x, struct smtp_reply *reply)
{
    struct owner *o = ctx;
    must(o->open == 0 && (x->ip_len == 0 || x->ip_len == 4 || x->ip_len == 16));
    if (roll(o, 4))
        return SMTP_YES;
    *reply = smtp_reply(550, "5.7.0", "No");
    return SMTP_NO;
}

static enum smtp_auth_step
auth_outcome(struct owner *o, struct buf *challenge, struct smtp_reply *reply)
{
    switch (roll(o, 5)) {
    case 0:
        *reply = smtp_reply(235, "2.7.0", "Authenticated");
        return SMTP_AUTH_DONE;
    case 1:
        *reply = smtp_reply(535, "5.7.8", "No");
        return SMTP_AUTH_FAILED;
    case 2:
        *reply = smtp_reply(421, "4.7.0", "Closing");
        return SMTP_AUTH_CLOSE;
    case 3:
        o->auth_later = true;
        return SMTP_AUTH_LATER;
    default:
        must(buf_puts(challenge, "challenge") == 0);
        return SMTP_AUTH_CHALLENGE;
    }
}

static enum smtp_auth_step on_auth(void *ctx,
                                   const char *mechanism,
                                   bool has_response,
                                   struct str response,
                                   struct buf *challenge,
                                   struct smtp_reply *reply)
{
    must(!mechanism || mechanism[0]);
    must(has_response || response.len == 0);
    return auth_outcome(ctx, challenge, reply);
}

static void on_auth_cancelled(void *ctx)
{
    (void)ctx;
}

static bool on_auth_overtaken(void *ctx)
{
    return roll(ctx, 2);
}

static enum smtp_decision on_admit(void *ctx, const char *verb, struct smtp_reply *reply)
{
    struct owner *o = ctx;
    must(verb != NULL);
    if (roll(o, 10))
        return SMTP_YES;
    *reply = smtp_reply(530, "5.7.0", "Authentication required");
    return SMTP_NO;
}

static enum smtp_decision on_mail(void *ctx, const struct smtp_mail *mail, struct smtp_reply *reply)
{
    struct owner *o = ctx;
    must(o->open == 0 && mail->reverse_path);
    enum smtp_decision d = decide(o, reply);
    o->mail_later = d == SMTP_LATER;
    if (d == SMTP_YES)
        o->open++;
    return d;
}

static enum smtp_decision on_rcpt(void *ctx, const struct smtp_rcpt *rcpt, struct smtp_reply *reply)
{
    struct owner *o = ctx;
    must(o->open == 1 && rcpt->forward_path && rcpt->forward_path[0]);
    return decide(o, reply);
}

static enum smtp_decision on_data(void *ctx, struct smtp_reply *reply)
{
    struct owner *o = ctx;
    must(o->open == 1);
    return decide(o, reply);
}

static int on_text(void *ctx, const char *data, size_t len)
{
    struct owner *o = ctx;
    must(o->open == 1 && data && len);
    switch (roll(o, 12)) {
    case 0:
        o->text_later = true;
        return -EAGAIN;
    case 1:
        return -ENOSPC;
    default:
        return 0;
    }
}

static enum smtp_decision on_finish(void *ctx, struct smtp_reply *reply)
{
    struct owner *o = ctx;
    must(o->open == 1);
    o->open = 0;
    return decide(o, reply);
}

static void on_abandon(void *ctx)
{
    struct owner *o = ctx;
    must(o->open == 1);
    o->open = 0;
}

static void on_refuse(void *ctx, int error, struct smtp_reply *reply)
{
    (void)ctx;
    must(error < 0);
    *reply = smtp_reply(452, "4.3.1", "No room");
}

static void on_quit(void *ctx)
{
    struct owner *o = ctx;
    must(!o->ended);
    o->ended = true;
}

static void on_refused(void *ctx, const char *verb, const struct smtp_reply *reply)
{
    (void)ctx;
    must(verb && reply->code >= 400);
    for (; *verb; verb++)
        must(isprint((unsigned char)*verb));
}

static const struct smtp_server_ops ops = {
    .heard = on_heard,
    .offer = on_offer,
    .starttls = on_starttls,
    .xclient = on_xclient,
    .auth = on_auth,
    .auth_cancelled = on_auth_cancelled,
    .auth_overtaken = on_auth_overtaken,
    .admit = on_admit,
    .mail = on_mail,
    .rcpt = on_rcpt,
    .data = on_data,
    .text = on_text,
    .finish = on_finish,
    .abandon = on_abandon,
    .refuse = on_refuse,
    .quit = on_quit,
    .refused = on_refused,
};

/* Lines of three digits, a space or hyphen, printable text, CR LF; a hyphen never on the last. */
static void check_replies(const struct buf *out)
{
    struct str rest = buf_str(out);
    bool more = false;
    while (rest.len) {
        ssize_t lf = str_find(rest, '\n');
        must(lf >= 5 && rest.p[lf - 1] == '\r' && lf <= 12288 * 2);
        must(isdigit((unsigned char)rest.p[0]) && isdigit((unsigned char)rest.p[1]) &&
             isdigit((unsigned char)rest.p[2]));
        must(rest.p[3] == ' ' || rest.p[3] == '-');
        more = rest.p[3] == '-';
        for (ssize_t i = 0; i < lf - 1; i++)
            must(isprint((unsigned char)rest.p[i]));
        rest = str_from(rest, (size_t)lf + 1);
    }
    must(!more);
}

static void bring_outcomes(struct smtp_server *s, struct owner *o)
{
    struct smtp_reply reply = {0};
    if (o->later) {
        o->later = false;
        unsigned n = roll(o, 4);
        reply = n == 0   ? smtp_reply(451, "4.3.0", "Later")
                : n == 1 ? smtp_reply(421, "4.3.0", "Closing")
                         : reply;
        enum smtp_decision d = n == 0 ? SMTP_NO : n == 1 ? SMTP_CLOSE : SMTP_YES;
        if (o->mail_later && d == SMTP_YES)
            o->open++;
        o->mail_later = false;
        smtp_server_resume(s, d, &reply);
    }
    if (o->auth_later) {
        o->auth_later = false;
        struct buf challenge = BUF_INIT(64);
        enum smtp_auth_step step = auth_outcome(o, &challenge, &reply);
        if (step == SMTP_AUTH_LATER) {
            o->auth_later = false;
            step = SMTP_AUTH_FAILED;
            reply = smtp_reply(454, "4.7.0", "Later");
        }
        smtp_server_resume_auth(s, step, buf_str(&challenge), &reply);
        buf_done(&challenge);
    }
    if (o->text_later) {
        o->text_later = false;
        smtp_server_continue(s, roll(o, 4) ? 0 : -EIO);
    }
    if (o->tls && !smtp_server_has_ended(s)) {
        o->tls = false;
        smtp_server_secured(s);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct smtp_server_config cfg = {.hostname = "mail.example.org",
                                                  .extensions = ~0U,
                                                  .size_max = 4096,
                                                  .recipients_max = 5,
                                                  .errors_max = 50};
    if (size < STEER)
        return 0;
    struct owner o = {.steer = data};
    struct buf out = BUF_INIT(64 * 1024);
    struct smtp_server *s = smtp_server_new(&cfg, &ops, &o, &out);
    smtp_server_greet(s, NULL);
    check_replies(&out);
    buf_clear(&out);
    const char *p = (const char *)data + STEER;
    size_t left = size - STEER, held = 0;
    for (unsigned turn = 0; turn < 100000 && !smtp_server_has_ended(s) && (held < left || o.later);
         turn++) {
        size_t more = held + 1 + roll(&o, 64); /* MIN() reads its arguments twice */
        held = MIN(left, more);
        bool waiting = smtp_server_is_waiting(s);
        size_t n = smtp_server_feed(s, p, held);
        must(n <= held && (!waiting || n == 0));
        p += n;
        left -= n;
        held -= n;
        bring_outcomes(s, &o);
        check_replies(&out);
        buf_clear(&out);
    }
    bool ended = smtp_server_has_ended(s);
    must(ended == o.ended);
    smtp_server_free(s);
    must(o.open == 0);
    must(out.len == 0);
    buf_done(&out);
    return 0;
}
