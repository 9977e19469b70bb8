/* One connection to a next hop: a link below, one delivery at a time.
 *
 * The link drives the session and says how it ended; here is what is sent over it, and what becomes of it.  The memory
 * goes at the end of the loop's turn, once the spool has answered.
 */
#include "relay/relay_internal.h"

#include "base/clock.h"
#include "relay/passage.h"

#include <errno.h>
#include <stdio.h>

#define MESSAGES_MAX 500 /* on one connection; then another takes over */

struct conn {
    struct hop *hop;
    struct conn *next;
    struct papers papers; /* as they were when it was opened */
    struct link_config cfg;
    struct link *link;  /* NULL: it has ended */
    struct delivery *d; /* in hand; NULL: idle, or not up yet */
    unsigned given;     /* deliveries it was given */
    unsigned answered;  /* of them, those the next hop said something about */
    bool up;            /* was ready once */
    bool take_back;     /* the delivery goes to another connection */
    bool reap_due;
    const char *tls, *cipher;
    /* The body on its way. */
    bool wants_text, reading;
    uint64_t text_at; /* next to be sent */
    struct passage passage;
    struct spool_read rd;
    struct loop_task reap;
    char why[HOP_WHY_MAX];
};

static void reap_later(struct conn *c);
static void push_text(struct conn *c);

struct conn *conn_next(const struct conn *c)
{
    return c->next;
}

bool conn_is_idle(const struct conn *c)
{
    return c->up && !c->d && c->link && link_is_ready(c->link);
}

/* ---- the body ---- */

/* What of the source is at hand goes out; `wants_text` says whether more may follow. */
static void push(struct conn *c)
{
    struct str piece;
    bool last;
    while (c->wants_text &&
           passage_next(&c->passage, c->text_at, SMTP_CLIENT_PIECE, &piece, &last)) {
        c->wants_text = false; /* unless it is asked for again, in this call or later */
        c->text_at += piece.len;
        bool more = link_text(c->link, piece.p, piece.len, last) == 0 && !last;
        c->wants_text = c->wants_text || more;
        if (!c->link || !c->d)
            c->wants_text = false;
    }
}

/* False: these octets cannot be sent to this next hop, and the session has ended over it. */
static bool take(struct conn *c, struct str data, bool last)
{
    static const struct smtp_outcome unconvertible = {
        .code = 554,
        .enhanced = "5.6.3",
        .text = "the message is not 7-bit, cannot be made so without loss, and the server takes no "
                "other",
        .stage = SMTP_STAGE_TEXT,
        .ours = true};
    int r = passage_feed(&c->passage, data, last);
    if (r == 0)
        return true;
    c->answered++; /* it is not the next hop's fault */
    if (r == -ENOMEM)
        link_stop(c->link, "no memory for the text");
    else
        link_give_up(c->link, &unconvertible);
    return false;
}

/* The body ends early only if the spool lost a part of it. */
static void on_read(struct spool_read *rd, int error, struct str data)
{
    struct conn *c = container_of(rd, struct conn, rd);
    c->reading = false;
    if (!c->link) {
        reap_later(c);
        return;
    }
    if (!c->d || !c->wants_text)
        return; /* what was read for is no longer wanted */
    if (rd->id != c->d->job->m->id || (uint64_t)rd->offset != passage_source_at(&c->passage)) {
        push_text(c); /* something else is */
    } else if (error || data.len == 0) {
        (void)snprintf(c->why, sizeof(c->why), "the spool cannot give the text: %s",
                       error ? strerror(-error) : "it ends too early");
        link_stop(c->link, c->why);
    } else if (take(c, data, rd->offset + (int64_t)data.len == c->d->job->m->size)) {
        push(c);
        passage_forget(&c->passage);
        push_text(c);
    }
}

static void read_on(struct conn *c)
{
    if (c->reading)
        return; /* on_read() goes on from where it is wanted now */
    c->reading = true;
    c->rd = (struct spool_read){
        .id = c->d->job->m->id, .offset = (int64_t)passage_source_at(&c->passage), .got = on_read};
    spool_read(c->hop->relay->spool, &c->rd);
}

static void push_text(struct conn *c)
{
    for (push(c); c->wants_text; push(c)) {
        const struct spool_message *m = c->d->job->m;
        if (!m->body.p && m->size) {
            read_on(c);
            return;
        }
        struct str rest = str_from(m->size ? m->body : STR(""), passage_source_at(&c->passage));
        struct str piece = str_upto(rest, SMTP_CLIENT_PIECE);
        if (!take(c, piece, piece.len == rest.len))
            return;
    }
}

static void on_text(void *ctx, uint64_t offset)
{
    struct conn *c = ctx;
    c->wants_text = true;
    c->text_at = offset;
    passage_seek(&c->passage, offset);
    push_text(c);
}

/* ---- deliveries ---- */

static void fail_delivery(struct delivery *d, const struct smtp_outcome *o, const struct via *via)
{
    for (size_t i = 0; i < d->msg.n_recipients; i++)
        delivery_outcome(d, i, o, via);
    delivery_done(d);
}

static struct via via_of(const struct conn *c)
{
    enum smtp_client_sequence sequence = link_sequence(c->link);
    return (struct via){
        .peer = link_peer_address(c->link),
        .tls = c->tls,
        .cipher = c->cipher,
        .sequence = sequence == SMTP_SEQUENCE_NONE ? NULL : smtp_sequence_name(sequence),
        .reports = smtp_offers(link_capabilities(c->link), SMTP_EXT_DSN),
        .deadlines = smtp_offers(link_capabilities(c->link), SMTP_EXT_DELIVERBY),
        .login = c->hop->client.login != 0,
    };
}

static int hand_over(struct conn *c, struct delivery *d, struct smtp_outcome *ret_why)
{
    passage_init(&c->passage, d->converts);
    return link_send(c->link, &d->msg, ret_why);
}

/* true: it is on its way, or has ended with the connection; false: it has ended already. */
static bool begin(struct conn *c, struct delivery *d)
{
    struct smtp_outcome why;
    d->begun_ms = clock_monotonic_ms();
    c->d = d;
    c->take_back = false;
    c->given++;
    passage_done(&c->passage);
    int r =
        delivery_prepare(d, link_capabilities(c->link), &why) ? hand_over(c, d, &why) : -ENOTSUP;
    if (r == 0)
        return true;
    c->given--;
    c->d = NULL;
    if (r == -ENOTSUP || r == -EINVAL) {
        struct via via = via_of(c);
        fail_delivery(d, &why, &via);
    } else {
        delivery_defer(d, "4.3.0", "local trouble, the message could not be sent", 0);
    }
    return false;
}

static void begin_next(struct conn *c)
{
    struct delivery *d;
    while ((d = hop_next(c->hop)) && !begin(c, d))
        ;
}

void conn_give(struct conn *c, struct delivery *d)
{
    if (!begin(c, d))
        begin_next(c);
}

/* A kept connection may have been closed by the other end while we sent the next command: that says nothing about the
 * message, which takes another connection at once.  Only before any reply to it, and once. */
static bool is_about_connection(const struct conn *c, const struct smtp_outcome *o)
{
    bool early = o->stage == SMTP_STAGE_MAIL || o->stage == SMTP_STAGE_RESET;
    return c->given > 1 && !c->d->again && !c->d->touched && early && o->code / 100 == 4 &&
           (o->ours || o->code == 421);
}

/* ---- what the link tells ---- */

static void on_secured(void *ctx, const struct tls_facts *facts)
{
    struct conn *c = ctx;
    c->tls = facts->version;
    c->cipher = facts->cipher;
    hop_warn(c->hop, link_certificate_warning(facts, c->hop->route->certificate != NULL));
}

static void on_ready(void *ctx)
{
    struct conn *c = ctx;
    if (!c->up) {
        c->up = true;
        hop_is_up(c->hop);
    }
    if (c->given >= MESSAGES_MAX || c->hop->relay->stopping)
        link_quit(c->link);
    else
        begin_next(c);
}

static void on_recipient(void *ctx, size_t i, const struct smtp_outcome *o)
{
    struct conn *c = ctx;
    c->take_back = c->take_back || is_about_connection(c, o);
    if (c->take_back)
        return;
    struct via via = via_of(c);
    if (!o->ours)
        c->answered++;
    delivery_outcome(c->d, i, o, &via);
}

static void on_finished(void *ctx)
{
    struct conn *c = ctx;
    struct delivery *d = c->d;
    c->d = NULL;
    c->wants_text = false;
    if (c->take_back)
        hop_again(c->hop, d);
    else
        delivery_done(d);
}

/* In words, what keeps the hop from being used; NULL: nothing does. */
static const char *complaint(struct conn *c, enum smtp_client_end end, const struct smtp_outcome *o)
{
    if (end == SMTP_END_QUIT || c->hop->relay->stopping)
        return NULL;
    if (c->up && (c->answered || !c->given))
        return NULL;
    if (o->ours)
        return o->text;
    (void)snprintf(c->why, sizeof(c->why), "%d %s%s%s (in reply to %s)", o->code, o->enhanced,
                   *o->enhanced ? " " : "", o->text, smtp_stage_name(o->stage));
    for (char *p = c->why; *p; p++)
        if (*p == '\n')
            *p = ' ';
    return c->why;
}

/* REL-08: only where nothing was asked of TLS, and only if it never came to be. */
static bool may_go_clear(const struct conn *c, const struct smtp_outcome *o)
{
    const struct route_config *route = c->hop->route;
    return o->ours && o->stage == SMTP_STAGE_HANDSHAKE && route->tls == ROUTE_TLS_OPPORTUNISTIC &&
           !route->tls_implicit && route->login == ROUTE_LOGIN_NONE;
}

static void unlink_from_hop(struct conn *c)
{
    struct conn **at = &c->hop->conns;
    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->hop->n_conns--;
    c->hop->n_up -= c->up;
}

static void on_ended(void *ctx, enum smtp_client_end end, const struct smtp_outcome *o)
{
    struct conn *c = ctx;
    const char *why = complaint(c, end, o);
    c->link = NULL;
    unlink_from_hop(c);
    reap_later(c);
    if (why && may_go_clear(c, o)) {
        hop_goes_clear(c->hop, why);
        why = NULL;
    }
    hop_lost(c->hop, why);
}

static const struct link_ops link_ops = {
    .secured = on_secured,
    .ready = on_ready,
    .text = on_text,
    .recipient = on_recipient,
    .finished = on_finished,
    .ended = on_ended,
};

/* ---- life ---- */

static void reap(struct loop_task *task)
{
    struct conn *c = container_of(task, struct conn, reap);
    struct relay *r = c->hop->relay;
    c->reap_due = false;
    if (c->reading)
        return; /* on_read() comes back */
    papers_done(&c->papers);
    passage_done(&c->passage);
    free(c);
    r->n_conns--;
    relay_check_rest(r);
}

static void reap_later(struct conn *c)
{
    if (c->reap_due)
        return;
    c->reap_due = true;
    loop_defer(c->hop->relay->loop, &c->reap);
}

/* Whom we set out for (TLS-09, ID-01). */
static void configure(struct conn *c)
{
    const struct hop *h = c->hop;
    const struct route_config *route = h->route;
    c->papers = hop_papers(c->hop);
    c->cfg = (struct link_config){
        .host = route->host,
        .port = route->port,
        .path = route->path,
        .tls = c->papers.tls,
        .tls_name = route->tls_name,
        .tls_implicit = route->tls_implicit,
        .timeouts = h->relay->cfg->timeouts,
        .smtp = h->client,
        .user = route->user,
        .password = buf_str(&c->papers.password),
    };
    if (h->clear_until_ms > clock_monotonic_ms())
        c->cfg.smtp.tls = SMTP_CLIENT_TLS_OFF;
}

void conn_open(struct hop *h)
{
    struct conn *c = xcalloc(1, sizeof(*c));
    c->hop = h;
    c->reap.run = reap;
    configure(c);
    c->next = h->conns;
    h->conns = c;
    h->n_conns++;
    h->relay->n_conns++;
    c->link = link_open(h->relay->loop, &c->cfg, &link_ops, c);
}

void conn_quit(struct conn *c)
{
    if (c->up)
        link_quit(c->link);
    else
        conn_abort(c);
}

void conn_abort(struct conn *c)
{
    link_stop(c->link, "the server is being stopped");
}
