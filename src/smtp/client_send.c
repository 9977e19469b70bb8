/* A message through one or more transactions.
 *
 * T1  Each recipient gets exactly one outcome: report() is the only caller of ops->recipient, and
 * marks it. T2  All replies of a transaction are read before the next one begins (STEP_DRAIN). T3
 * The text goes out only when somebody may get it: after at least one RCPT was accepted; ahead of
 * the answers only as one small BDAT, which a server swallows when it refused everybody (CHNK-02).
 *
 * What can be sent now is sent by pump(), after every reply: with PIPELINING the whole group at
 * once, without it one command at a time.
 */
#include "smtp/client_internal.h"

#include <assert.h>
#include <errno.h>

#define MARKED(mark) (1U << (mark))

static void pump(struct smtp_client *c);

/* ---- recipients ---- */

static unsigned char *marks(struct smtp_client *c)
{
    return (unsigned char *)c->tx.marks.data;
}

static void report(struct smtp_client *c, size_t i, const struct smtp_outcome *o)
{
    marks(c)[i] = MARK_DONE;
    c->ops->recipient(c->ctx, i, o);
}

static void report_all(struct smtp_client *c, unsigned which, const struct smtp_outcome *o)
{
    for (size_t i = 0; i < c->tx.msg->n_recipients; i++)
        if (which & MARKED(marks(c)[i]))
            report(c, i, o);
}

static void report_answer(struct smtp_client *c,
                          unsigned which,
                          const struct smtp_answer *a,
                          enum smtp_stage stage)
{
    struct smtp_outcome o = client_outcome_of(a, stage);
    report_all(c, which, &o);
}

static bool remark(struct smtp_client *c, unsigned from, enum mark to)
{
    bool any = false;
    for (size_t i = 0; i < c->tx.msg->n_recipients; i++) {
        if (from & MARKED(marks(c)[i])) {
            marks(c)[i] = (unsigned char)to;
            any = true;
        }
    }
    return any;
}

static struct str domain_of(const char *address)
{
    const char *at = strrchr(address, '@');
    return str_of(at ? at + 1 : "");
}

/* LIMITS RCPTDOMAINMAX: may this recipient's domain join the transaction? (LIM-01) */
static bool domain_fits(struct smtp_client *c, size_t i)
{
    struct transaction *tx = &c->tx;
    if (!c->caps.domain_max)
        return true;
    struct str domain = domain_of(tx->msg->recipients[i].address);
    for (size_t k = 0; k < tx->n_domains; k++)
        if (str_eq_nocase(tx->domains[k], domain))
            return true;
    if (tx->n_domains >= MIN(c->caps.domain_max, (uint64_t)DOMAINS_MAX))
        return false;
    tx->domains[tx->n_domains++] = domain;
    return true;
}

/* The next recipient of this transaction; false: it has all it may have. */
static bool pick(struct smtp_client *c, size_t *ret_i)
{
    struct transaction *tx = &c->tx;
    uint64_t limit = c->caps.rcpt_max ? MIN(c->caps.rcpt_max, c->batch_max) : c->batch_max;
    if (tx->asked >= limit)
        return false;
    for (; tx->next < tx->msg->n_recipients; tx->next++) {
        if (marks(c)[tx->next] == MARK_TODO && domain_fits(c, tx->next)) {
            *ret_i = tx->next++;
            return true;
        }
    }
    return false;
}

static bool on_mail(void *ctx, size_t n, const struct smtp_answer *a);
static bool on_rcpt(void *ctx, size_t i, const struct smtp_answer *a);

static void say_mail(struct smtp_client *c)
{
    smtp_talk_begin(&c->talk);
    client_put_mail(c);
    smtp_talk_end(&c->talk, SMTP_STAGE_MAIL, on_mail, 0);
}

static void say_rcpt(struct smtp_client *c, size_t i)
{
    marks(c)[i] = MARK_ASKED;
    c->tx.asked++;
    smtp_talk_begin(&c->talk);
    client_put_rcpt(c, i);
    smtp_talk_end(&c->talk, SMTP_STAGE_RCPT, on_rcpt, i);
}

/* ---- the end of a transaction, and of a message ---- */

static void begin_transaction(struct smtp_client *c)
{
    struct transaction *tx = &c->tx;
    *tx = (struct transaction){.msg = tx->msg, .marks = tx->marks};
    pump(c);
}

void client_send_again(struct smtp_client *c)
{
    client_enter(c, CS_MESSAGE);
    begin_transaction(c);
}

static void let_go(struct smtp_client *c)
{
    c->tx.msg = NULL;
    c->tx.text_open = false;
    c->ops->finished(c->ctx);
}

void client_send_abandon(struct smtp_client *c, const struct smtp_outcome *o)
{
    if (!c->tx.msg)
        return;
    report_all(c, ~MARKED(MARK_DONE), o);
    let_go(c);
}

bool client_send_is_untouched(const struct smtp_client *c)
{
    return !c->tx.msg || !memchr(c->tx.marks.data, MARK_DONE, c->tx.msg->n_recipients);
}

/* LIMITS MAILMAX, RFC 9422 section 3.6 */
static bool is_used_up(const struct smtp_client *c)
{
    return c->caps.mail_max && c->transactions >= c->caps.mail_max;
}

static void message_done(struct smtp_client *c)
{
    client_enter(c, CS_READY);
    let_go(c);
    if (c->state != CS_READY)
        return; /* the driver has gone on by itself */
    c->quit_wanted = c->quit_wanted || is_used_up(c);
    client_ready(c);
}

static void transaction_done(struct smtp_client *c)
{
    enum send_redo redo = c->tx.redo;
    c->transactions++;
    if (redo != REDO_NO) {
        (void)remark(c, ~MARKED(MARK_DONE), MARK_TODO);
        if (redo == REDO_LOGIN)
            client_login_cure(c);
        else
            begin_transaction(c);
        return;
    }
    if (!remark(c, MARKED(MARK_TODO) | MARKED(MARK_LATER), MARK_TODO)) {
        message_done(c);
        return;
    }
    if (is_used_up(c)) {
        struct smtp_outcome o = client_outcome_ours(
            451, "4.5.3", "the server takes no more mail on this connection", SMTP_STAGE_MAIL);
        report_all(c, MARKED(MARK_TODO), &o);
        message_done(c);
        return;
    }
    begin_transaction(c);
}

/* ---- what to send next ---- */

static bool pipelines(const struct smtp_client *c)
{
    return smtp_offers(&c->caps, SMTP_EXT_PIPELINING);
}

static bool chunks(const struct smtp_client *c)
{
    return smtp_offers(&c->caps, SMTP_EXT_CHUNKING);
}

static bool may_send(const struct smtp_client *c)
{
    return c->talk.count == 0 || (pipelines(c) && smtp_talk_has_room(&c->talk));
}

/* A small text may go in the same write as the commands: it costs the server nothing if it refuses,
 * and spares a round trip otherwise. */
static bool is_eager(const struct smtp_client *c)
{
    int64_t size = c->tx.msg->size;
    return pipelines(c) && size >= 0 && size <= (int64_t)SMTP_CLIENT_PIECE;
}

static void open_text(struct smtp_client *c)
{
    struct transaction *tx = &c->tx;
    tx->step = STEP_TEXT;
    tx->text_open = true;
    tx->offset = 0;
    dots_init(&tx->dots);
    c->ops->text(c->ctx, 0);
}

static bool on_reset(void *ctx, size_t n, const struct smtp_answer *a)
{
    (void)n;
    if (client_class(a) != 2 && a->code != 421)
        client_nonsense(ctx, SMTP_STAGE_RESET, a);
    else
        pump(ctx);
    return true;
}

static bool on_data(void *ctx, size_t n, const struct smtp_answer *a);

static bool step_reset(struct smtp_client *c)
{
    c->tx.step = STEP_MAIL;
    if (c->needs_reset)
        smtp_talk_say(&c->talk, "RSET", SMTP_STAGE_RESET, on_reset, 0);
    c->needs_reset = false;
    return true;
}

static bool step_mail(struct smtp_client *c)
{
    if (!may_send(c))
        return false;
    c->tx.step = STEP_RCPT;
    say_mail(c);
    return true;
}

static bool step_rcpt(struct smtp_client *c)
{
    size_t i = 0;
    if (c->tx.mail_failed)
        c->tx.step = STEP_DRAIN;
    else if (!may_send(c))
        return false;
    else if (pick(c, &i))
        say_rcpt(c, i);
    else
        c->tx.step = STEP_DATA;
    return true;
}

/* [rfc2920 3.1] DATA ends its group.  BDAT with a large text waits for the answers (T3). */
static bool step_data(struct smtp_client *c)
{
    bool answered = c->talk.count == 0;
    if (c->tx.mail_failed || (answered && c->tx.accepted == 0)) {
        c->needs_reset = c->tx.mail_ok;
        c->tx.step = STEP_DRAIN;
        return true;
    }
    if (chunks(c)) {
        if (!answered && !is_eager(c))
            return false;
        open_text(c);
        return true;
    }
    if (!may_send(c))
        return false;
    c->tx.step = STEP_TEXT;
    smtp_talk_say(&c->talk, "DATA", SMTP_STAGE_DATA, on_data, 0);
    return true;
}

/* The driver pushes.  A text offered ahead of the answers is called off when they say that nobody
 * gets it. */
static bool step_text(struct smtp_client *c)
{
    struct transaction *tx = &c->tx;
    if (!tx->text_open || c->talk.count || (tx->accepted && !tx->mail_failed))
        return false;
    tx->text_open = false;
    tx->step = STEP_DRAIN;
    c->needs_reset = tx->mail_ok;
    return true;
}

static bool step_drain(struct smtp_client *c)
{
    if (c->talk.count == 0)
        transaction_done(c);
    return false;
}

static void pump(struct smtp_client *c)
{
    static bool (*const steps[])(struct smtp_client *) = {
        [STEP_RESET] = step_reset, [STEP_MAIL] = step_mail, [STEP_RCPT] = step_rcpt,
        [STEP_DATA] = step_data,   [STEP_TEXT] = step_text, [STEP_DRAIN] = step_drain,
    };
    while (c->state == CS_MESSAGE && !c->talk.closing && steps[c->tx.step](c))
        ;
}

/* ---- answers ---- */

static bool is_refusal(const struct smtp_answer *a)
{
    return client_class(a) >= 4;
}

static void mail_refused(struct smtp_client *c, const struct smtp_answer *a)
{
    struct transaction *tx = &c->tx;
    tx->mail_failed = true;
    if (client_login_can_cure(c, a)) {
        tx->redo = REDO_LOGIN;
    } else if (a->code == 555 && tx->with_auth) {
        c->refuses_auth_param = true;
        tx->redo = REDO_WITHOUT_AUTH;
    } else {
        report_answer(c, ~MARKED(MARK_DONE), a, SMTP_STAGE_MAIL);
    }
}

static bool on_mail(void *ctx, size_t n, const struct smtp_answer *a)
{
    (void)n;
    struct smtp_client *c = ctx;
    if (client_class(a) == 3) {
        client_nonsense(c, SMTP_STAGE_MAIL, a);
        return true;
    }
    if (is_refusal(a)) {
        mail_refused(c, a);
    } else {
        c->tx.mail_ok = true;
        if (c->implicit)
            c->sequence = SMTP_SEQUENCE_IMPLICIT;
    }
    pump(c);
    return true;
}

/* [rfc5321 4.5.3.1.10] 452, and from older servers 552, may mean "enough for one message": those
 * that were accepted go first, the others follow in groups (REL-05). */
static bool means_enough(const struct smtp_answer *a)
{
    if (a->code == 452)
        return !*a->enhanced || strcmp(a->enhanced, "4.5.3") == 0;
    return a->code == 552 && (!*a->enhanced || strcmp(a->enhanced, "5.5.3") == 0);
}

static bool on_rcpt(void *ctx, size_t i, const struct smtp_answer *a)
{
    struct smtp_client *c = ctx;
    struct transaction *tx = &c->tx;
    if (client_class(a) == 3) {
        client_nonsense(c, SMTP_STAGE_RCPT, a);
        return true;
    }
    if (tx->mail_failed) {
        /* answered with the MAIL already */
    } else if (!is_refusal(a)) {
        marks(c)[i] = MARK_ACCEPTED;
        tx->accepted++;
    } else if (means_enough(a) && tx->accepted > 0) {
        marks(c)[i] = MARK_LATER;
        c->batch_max = MIN(c->batch_max, 100);
    } else {
        struct smtp_outcome o = client_outcome_of(a, SMTP_STAGE_RCPT);
        report(c, i, &o);
    }
    pump(c);
    return true;
}

static bool on_lone_dot(void *ctx, size_t n, const struct smtp_answer *a)
{
    (void)n;
    (void)a;
    pump(ctx);
    return true;
}

/* PIPE-02: DATA was accepted although nobody is there to get the text: a lone dot ends it.  In LMTP
 * nobody could say how many answers follow (RFC 2033 section 4.2). */
static void end_empty_text(struct smtp_client *c, const struct smtp_answer *a)
{
    if (c->cfg.lmtp) {
        client_nonsense(c, SMTP_STAGE_DATA, a);
        return;
    }
    c->tx.step = STEP_DRAIN;
    smtp_talk_say(&c->talk, ".", SMTP_STAGE_FINAL, on_lone_dot, 0);
}

static void text_refused(struct smtp_client *c, const struct smtp_answer *a, enum smtp_stage stage)
{
    report_answer(c, MARKED(MARK_ACCEPTED), a, stage);
    c->needs_reset = c->tx.mail_ok;
    c->tx.text_open = false;
    c->tx.step = STEP_DRAIN;
}

static bool on_data(void *ctx, size_t n, const struct smtp_answer *a)
{
    (void)n;
    struct smtp_client *c = ctx;
    if (client_class(a) == 2) {
        client_nonsense(c, SMTP_STAGE_DATA, a);
        return true;
    }
    if (is_refusal(a))
        text_refused(c, a, SMTP_STAGE_DATA);
    else if (c->tx.accepted == 0)
        end_empty_text(c, a);
    else
        open_text(c);
    pump(c);
    return true;
}

/* LMTP answers once for each accepted recipient, in order (RFC 2033 section 4.2). */
static bool report_next(struct smtp_client *c, const struct smtp_answer *a)
{
    struct smtp_outcome o = client_outcome_of(a, SMTP_STAGE_FINAL);
    size_t i = 0, n = c->tx.msg->n_recipients;
    while (i < n && marks(c)[i] != MARK_ACCEPTED)
        i++;
    if (i < n)
        report(c, i, &o);
    while (i < n && marks(c)[i] != MARK_ACCEPTED)
        i++;
    return i == n;
}

static bool on_final(void *ctx, size_t n, const struct smtp_answer *a)
{
    (void)n;
    struct smtp_client *c = ctx;
    if (client_class(a) == 3) {
        client_nonsense(c, SMTP_STAGE_FINAL, a);
        return true;
    }
    if (!c->cfg.lmtp)
        report_answer(c, MARKED(MARK_ACCEPTED), a, SMTP_STAGE_FINAL);
    else if (!report_next(c, a))
        return c->talk.closing;
    /* [rfc3030 2] After a failed BDAT the transaction is still there. */
    c->needs_reset = chunks(c) && is_refusal(a) && c->tx.mail_ok;
    pump(c);
    return true;
}

static void resume_text(struct smtp_client *c)
{
    if (!c->tx.text_open || !c->tx.text_held)
        return;
    c->tx.text_held = false;
    c->ops->text(c->ctx, c->tx.offset);
}

static bool on_bdat(void *ctx, size_t last, const struct smtp_answer *a)
{
    struct smtp_client *c = ctx;
    if (last)
        return on_final(ctx, 0, a);
    if (client_class(a) == 3) {
        client_nonsense(c, SMTP_STAGE_TEXT, a);
        return true;
    }
    if (is_refusal(a)) {
        text_refused(c, a, SMTP_STAGE_TEXT);
        if (c->cfg.lmtp && c->talk.count) {
            client_nonsense(c, SMTP_STAGE_TEXT, a); /* how many answers follow is anybody's guess */
            return true;
        }
    } else {
        resume_text(c);
    }
    pump(c);
    return true;
}

bool client_send_is_interrupted(struct smtp_client *c, const struct smtp_answer *a)
{
    if (c->state != CS_MESSAGE || !c->tx.text_open || !is_refusal(a))
        return false;
    report_answer(c, MARKED(MARK_ACCEPTED), a, SMTP_STAGE_TEXT);
    struct smtp_outcome o = client_outcome_ours(
        451, "4.5.0", "the server refused the text before its end", SMTP_STAGE_TEXT);
    client_end(c, SMTP_END_PROTOCOL, &o);
    return true;
}

/* ---- the driver's side ---- */

int smtp_client_send(struct smtp_client *c,
                     const struct smtp_client_message *m,
                     struct smtp_outcome *ret_why)
{
    if (c->state != CS_READY || c->quit_wanted)
        return -EBUSY;
    if (m->n_recipients == 0 || !client_is_sendable(m)) {
        *ret_why = client_outcome_ours(
            553, "5.1.3", "an address or parameter cannot be put into a command", SMTP_STAGE_MAIL);
        return -EINVAL;
    }
    if (client_is_too_much(c, m, ret_why))
        return -ENOTSUP;
    buf_clear(&c->tx.marks);
    int r = buf_reserve(&c->tx.marks, m->n_recipients);
    if (r < 0)
        return r == -EMSGSIZE ? -E2BIG : r;
    memset(c->tx.marks.data, MARK_TODO, m->n_recipients);
    c->tx.msg = m;
    client_send_again(c);
    return 0;
}

static void push_final(struct smtp_client *c)
{
    c->tx.text_open = false;
    c->tx.step = STEP_DRAIN;
}

static int push_chunk(struct smtp_client *c, const char *data, size_t len, bool last)
{
    if (!may_send(c)) {
        c->tx.text_held = true;
        return -EAGAIN;
    }
    if (c->tx.msg->body != SMTP_BODY_BINARYMIME && dots_check(&c->tx.dots, data, len, last) < 0)
        return -EBADMSG;
    if (len == 0 && !last)
        return 0;
    smtp_talk_begin(&c->talk);
    smtp_talk_put(&c->talk, "BDAT ");
    smtp_talk_put_number(&c->talk, len);
    smtp_talk_put(&c->talk, last ? " LAST" : "");
    smtp_talk_end(&c->talk, last ? SMTP_STAGE_FINAL : SMTP_STAGE_TEXT, on_bdat, last);
    return buf_append(c->out, data, len);
}

static int push_dotted(struct smtp_client *c, const char *data, size_t len, bool last)
{
    int r = dots_feed(&c->tx.dots, data, len, c->out);
    if (r == 0 && last)
        r = dots_finish(&c->tx.dots, c->out);
    if (r == 0 && last)
        smtp_talk_expect(&c->talk, SMTP_STAGE_FINAL, on_final, 0);
    return r;
}

int smtp_client_text(struct smtp_client *c, const char *data, size_t len, bool last)
{
    if (c->state != CS_MESSAGE || !c->tx.text_open)
        return -EPIPE;
    assert(len <= SMTP_CLIENT_PIECE);
    int r = buf_reserve(c->out, len + len / 3 + 64);
    if (r < 0)
        return r == -EMSGSIZE ? -ENOBUFS : r;
    r = chunks(c) ? push_chunk(c, data, len, last) : push_dotted(c, data, len, last);
    if (r == -EBADMSG) {
        struct smtp_outcome o =
            client_outcome_ours(554, "5.6.0", "the message holds a bare CR or LF", SMTP_STAGE_TEXT);
        client_end(c, SMTP_END_PROTOCOL, &o);
    }
    if (r < 0)
        return r;
    c->tx.offset += len;
    if (last)
        push_final(c);
    return 0;
}
