#include "probe/observer.h"

#include "base/clock.h"
#include "net/listener.h"
#include "net/stream.h"
#include "probe/observer_play.h"

#include <stdio.h>

#define BACKLOG 64
#define CONNECTIONS_MAX 64
#define IDLE_MS 180000    /* somebody may sit in a certificate dialogue during the handshake */
#define SESSION_MS 900000 /* in all, however busy */
#define GRACE_MS 1000     /* after the last kind was met: who was refused may come back */
#define MESSAGE_MAX ((uint64_t)64 << 20)
#define RECIPIENTS_MAX 1000
#define ERRORS_MAX 20
#define OUT_MAX ((size_t)16 * 1024)

struct door { /* one port */
    struct observer *observer;
    const struct observer_kind *kind;
    struct listener *listener;
    struct tls_context *tls;
    struct record_certificate alerted; /* what the handshake that is failing just now was shown */
    bool met;
};

struct session {
    struct session *previous, *next;
    struct door *door;
    struct stream *stream;
    struct smtp_server *engine;
    struct buf out;
    struct play play;
    struct record *record; /* the observer's */
    struct loop_timer *timer;
    int64_t began_ms;
};

struct observer {
    struct loop *loop;
    struct observer_config cfg;
    struct smtp_server_config smtp;
    struct door doors[OBSERVER_KINDS];
    struct session *sessions;
    unsigned n_open, n_counted, n_turned_away;
    struct record *records[OBSERVER_RECORDS_MAX];
    size_t n_records;
    struct loop_timer *limit, *grace;
    bool done;
};

/* ---- when it is over ---- */

static void finish(struct observer *o, enum observer_done why)
{
    if (o->done)
        return;
    o->done = true;
    o->cfg.done(o->cfg.ctx, why);
}

static void on_limit(void *arg)
{
    finish(arg, OBSERVER_TIMEOUT);
}

static void on_grace(void *arg)
{
    finish(arg, OBSERVER_ALL_MET);
}

static bool all_met(const struct observer *o)
{
    for (size_t i = 0; i < OBSERVER_KINDS; i++)
        if (o->doors[i].listener && !o->doors[i].met)
            return false;
    return true;
}

static void count(struct observer *o, struct door *d, const struct record *r)
{
    if (!record_counts(r))
        return;
    d->met = true;
    o->n_counted++;
    if (o->cfg.sessions_max && o->n_counted >= o->cfg.sessions_max)
        finish(o, OBSERVER_COUNT);
    else if (!o->cfg.sessions_max && o->n_open == 0 && all_met(o))
        loop_timer_set(o->grace, GRACE_MS);
}

/* ---- a session on its stream ---- */

static void session_free(struct session *s)
{
    struct observer *o = s->door->observer;
    struct session **head = s->previous ? &s->previous->next : &o->sessions;
    *head = s->next;
    if (s->next)
        s->next->previous = s->previous;
    o->n_open--;
    stream_close(s->stream);
    smtp_server_free(s->engine);
    loop_timer_free(s->timer);
    buf_done(&s->out);
    free(s);
}

static int64_t age_ms(const struct session *s)
{
    return clock_monotonic_ms() - s->began_ms;
}

static void session_end(struct session *s, enum record_end end, const char *detail)
{
    struct door *d = s->door;
    struct record *r = s->record;
    play_said(&s->play);
    record_ended(r, age_ms(s), end, detail);
    session_free(s);
    if (d->observer->cfg.told)
        d->observer->cfg.told(d->observer->cfg.ctx, r);
    count(d->observer, d, r);
}

static bool flush(struct session *s)
{
    play_said(&s->play);
    if (s->out.len && stream_write_str(s->stream, buf_str(&s->out)) < 0)
        return false;
    buf_clear(&s->out);
    play_flushed(&s->play);
    return true;
}

static void pump(struct session *s)
{
    bool flushed = flush(s);
    if (s->play.ended) {
        session_end(s, s->record->last == LINE_QUIT ? END_QUIT : END_OURS, NULL);
    } else if (s->play.start_tls && flushed) {
        s->play.start_tls = false;
        stream_start_tls(s->stream, s->door->tls, NULL);
    } else if (flushed) {
        stream_resume(s->stream);
    } else {
        stream_pause(s->stream);
    }
}

static size_t on_input(void *ctx, const char *data, size_t len)
{
    struct session *s = ctx;
    size_t used = 0, n;
    s->play.now_ms = age_ms(s);
    do {
        n = smtp_server_feed(s->engine, data + used, len - used);
        used += n;
    } while (flush(s) && n && used < len);
    if (s->play.start_tls && used < len)
        record_note(s->record, s->play.now_ms,
                    "%zu octets came behind STARTTLS and were thrown away", len - used);
    pump(s);
    return used;
}

static void describe(const struct door *d,
                     struct x509_st *leaf,
                     struct stack_st_X509 *chain,
                     struct record_certificate *ret)
{
    struct cert_verdict v = {0};
    *ret = (struct record_certificate){.sent = leaf != NULL};
    if (!leaf)
        return;
    papers_judge(d->observer->cfg.papers, leaf, chain, clock_wall_ms(), &v);
    bool good = v.outcome == CERT_ACCEPTABLE || v.outcome == CERT_AMBIGUOUS;
    ret->accepted = good && d->kind->certificate != CERTIFICATE_REFUSED;
    (void)snprintf(ret->subject, sizeof(ret->subject), "%s", v.subject ? v.subject : "");
    (void)snprintf(ret->identity, sizeof(ret->identity), "%s",
                   v.n_identities ? v.identities[0] : "");
    (void)snprintf(ret->reason, sizeof(ret->reason), "%s",
                   good && !ret->accepted ? "client certificate refused"
                   : good                 ? ""
                                          : v.reason);
    cert_verdict_done(&v);
}

static void note_certificate(struct session *s)
{
    const struct record_certificate *c = &s->record->certificate;
    if (!c->sent)
        record_note(s->record, age_ms(s),
                    s->door->kind->certificate == CERTIFICATE_NOT_ASKED
                        ? "no certificate, and none was asked for"
                        : "asked for a certificate, none came");
    else
        record_note(s->record, age_ms(s), "certificate of %.60s%s%.40s",
                    c->identity[0] ? c->identity : c->subject, c->reason[0] ? ": " : "", c->reason);
}

static void on_secured(void *ctx, const struct tls_facts *facts)
{
    struct session *s = ctx;
    record_secured(s->record, age_ms(s), facts->version, facts->server_name, facts->resumed);
    describe(s->door, facts->leaf, facts->chain, &s->record->certificate);
    note_certificate(s);
    smtp_server_secured(s->engine);
    if (s->play.implicit_tls)
        smtp_server_greet(s->engine, NULL);
    pump(s);
}

static void on_drained(void *ctx)
{
    struct session *s = ctx;
    if (s->out.len)
        pump(s);
}

/* The client hears why, where it can. */
static void
session_dismiss(struct session *s, enum record_end end, const char *enhanced, const char *why)
{
    struct smtp_reply bye = smtp_reply(421, enhanced, "localhost %s, closing", why);
    smtp_server_shutdown(s->engine, &bye);
    (void)flush(s);
    session_end(s, end, why);
}

static void on_ended(void *ctx, enum stream_end end, const char *detail)
{
    static const enum record_end ends[] = {
        [STREAM_EOF] = END_CLOSED,      [STREAM_RESET] = END_LOST,
        [STREAM_TIMEOUT] = END_TIMEOUT, [STREAM_TLS_FAILED] = END_TLS_FAILED,
        [STREAM_NO_CONNECT] = END_LOST,
    };
    struct session *s = ctx;
    if (end == STREAM_TLS_FAILED && !s->record->secured && s->door->alerted.sent) {
        s->record->certificate = s->door->alerted;
        note_certificate(s);
    }
    s->door->alerted = (struct record_certificate){.sent = false};
    if (end == STREAM_TIMEOUT)
        session_dismiss(s, END_TIMEOUT, "4.4.2", "said nothing for too long");
    else
        session_end(s, ends[end], end == STREAM_EOF ? NULL : detail);
}

static const struct stream_ops stream_ops = {
    .input = on_input,
    .secured = on_secured,
    .drained = on_drained,
    .ended = on_ended,
};

static void on_session_limit(void *arg)
{
    session_dismiss(arg, END_OURS, "4.4.2", "session took too long");
}

static struct record *record_new(struct observer *o)
{
    struct record *r = xcalloc(1, sizeof(*r));
    o->records[o->n_records++] = r;
    return r;
}

static void on_accept(void *arg, int fd)
{
    struct door *d = arg;
    struct observer *o = d->observer;
    if (o->n_open >= CONNECTIONS_MAX || o->n_records >= OBSERVER_RECORDS_MAX || o->done) {
        o->n_turned_away++;
        (void)close(fd);
        if (o->n_records >= OBSERVER_RECORDS_MAX)
            finish(o, OBSERVER_COUNT);
        return;
    }
    loop_timer_cancel(o->grace);
    struct session *s = xcalloc(1, sizeof(*s));
    s->door = d;
    s->next = o->sessions;
    if (s->next)
        s->next->previous = s;
    o->sessions = s;
    o->n_open++;
    s->began_ms = clock_monotonic_ms();
    buf_init(&s->out, OUT_MAX);
    s->stream = stream_accepted(o->loop, fd, &stream_ops, s);
    stream_timeout(s->stream, IDLE_MS);
    s->record = record_new(o);
    record_init(s->record, (unsigned)o->n_records, d->kind, o->cfg.implicit_tls,
                stream_peer_address(s->stream));
    play_init(&s->play, d->kind, o->cfg.implicit_tls);
    s->engine = smtp_server_new(&o->smtp, &play_ops, &s->play, &s->out);
    s->play.engine = s->engine;
    s->play.out = &s->out;
    s->play.record = s->record;
    s->timer = loop_timer_new(o->loop, on_session_limit, s);
    loop_timer_set(s->timer, SESSION_MS);
    if (o->cfg.implicit_tls) {
        stream_start_tls(s->stream, d->tls, NULL);
        return;
    }
    smtp_server_greet(s->engine, NULL);
    pump(s);
}

/* ---- doors ---- */

/* Asked inside the handshake, which ends within the same call: `alerted` cannot meet another session's end. */
static int refuse_certificate(void *arg, struct x509_st *leaf, struct stack_st_X509 *chain)
{
    struct door *d = arg;
    struct cert_verdict unknown = {.outcome = CERT_UNACCEPTABLE, .cause = CERT_CAUSE_UNKNOWN_CA};
    describe(d, leaf, chain, &d->alerted);
    d->alerted.accepted = false;
    return cert_verify_code(&unknown);
}

static int door_tls(struct door *d, char *why)
{
    static const enum tls_client_cert asks[] = {
        [CERTIFICATE_ASKED] = TLS_CLIENT_CERT_REQUEST,
        [CERTIFICATE_NOT_ASKED] = TLS_CLIENT_CERT_OFF,
        [CERTIFICATE_ALERT] = TLS_CLIENT_CERT_REQUIRE,
        [CERTIFICATE_REFUSED] = TLS_CLIENT_CERT_REQUEST,
        [CERTIFICATE_OTHER_CA] = TLS_CLIENT_CERT_REQUEST,
    };
    const struct papers *p = d->observer->cfg.papers;
    struct tls_server_config cfg = {
        .certificate = p->certificate,
        .key = p->key,
        .client_certificate = asks[d->kind->certificate],
        .verify = refuse_certificate,
        .verify_arg = d,
        .named_ca = d->kind->certificate == CERTIFICATE_OTHER_CA ? p->other_ca : NULL,
        .session_context = d->kind->name,
    };
    return tls_server_context_new(&cfg, &d->tls, why);
}

static int door_open(struct observer *o, struct door *d, unsigned port, char *why)
{
    char address[160];
    int fd;
    (void)snprintf(address, sizeof(address), "%.140s:%u", o->cfg.host, port);
    int r = door_tls(d, why);
    if (r == 0)
        r = listener_bind_each(address, BACKLOG, &fd, 1, why);
    if (r == 0)
        d->listener = listener_start(o->loop, fd, on_accept, d);
    return r;
}

static int doors_open(struct observer *o, char *why)
{
    unsigned at = 0;
    int r = 0;
    for (size_t i = 0; r == 0 && i < OBSERVER_KINDS; i++) {
        struct door *d = &o->doors[i];
        *d = (struct door){.observer = o, .kind = &observer_kinds[i]};
        if (!o->cfg.only || o->cfg.only == d->kind)
            r = door_open(o, d, o->cfg.port ? o->cfg.port + at++ : 0, why);
    }
    return r;
}

int observer_new(struct loop *l,
                 const struct observer_config *cfg,
                 struct observer **ret,
                 char *why)
{
    struct observer *o = xcalloc(1, sizeof(*o));
    o->loop = l;
    o->cfg = *cfg;
    o->smtp = (struct smtp_server_config){
        .hostname = "localhost",
        .extensions = SMTP_SET(SMTP_EXT_PIPELINING) | SMTP_SET(SMTP_EXT_8BITMIME) |
                      SMTP_SET(SMTP_EXT_SMTPUTF8) | SMTP_SET(SMTP_EXT_CHUNKING) |
                      SMTP_SET(SMTP_EXT_DSN) | SMTP_SET(SMTP_EXT_SIZE) |
                      SMTP_SET(SMTP_EXT_ENHANCEDSTATUSCODES),
        .size_max = MESSAGE_MAX,
        .recipients_max = RECIPIENTS_MAX,
        .errors_max = ERRORS_MAX,
    };
    o->limit = loop_timer_new(l, on_limit, o);
    o->grace = loop_timer_new(l, on_grace, o);
    int r = doors_open(o, why);
    if (r < 0) {
        observer_free(o);
        return r;
    }
    loop_timer_set(o->limit, cfg->timeout_ms);
    *ret = o;
    return 0;
}

void observer_stop(struct observer *o)
{
    o->done = true;
    for (size_t i = 0; i < OBSERVER_KINDS; i++) {
        listener_free(o->doors[i].listener);
        o->doors[i].listener = NULL;
    }
    while (o->sessions)
        session_dismiss(o->sessions, END_OURS, "4.3.2", "the observer stopped");
}

void observer_free(struct observer *o)
{
    if (!o)
        return;
    observer_stop(o);
    for (size_t i = 0; i < OBSERVER_KINDS; i++)
        tls_context_unref(o->doors[i].tls);
    for (size_t i = 0; i < o->n_records; i++)
        free(o->records[i]);
    loop_timer_free(o->limit);
    loop_timer_free(o->grace);
    free(o);
}

int observer_port(const struct observer *o, enum observer_place kind)
{
    const struct listener *l = o->doors[kind].listener;
    return l ? listener_port(l) : 0;
}

const struct record *const *observer_records(const struct observer *o, size_t *ret_n)
{
    *ret_n = o->n_records;
    return (const struct record *const *)o->records;
}

unsigned observer_turned_away(const struct observer *o)
{
    return o->n_turned_away;
}
