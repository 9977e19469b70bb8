#include "world.h"

#include "base/clock.h"
#include "base/log.h"
#include "server/session_internal.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#define MESSAGES_MAX 16
#define TEXT_MAX ((size_t)8 << 20)
#define READ_MAX ((size_t)32 * 1024) /* what a stream reads at once */
#define DAY_MS (INT64_C(24) * 60 * 60 * 1000)

/* ---- what the fakes are made of ---- */

struct stream {
    const struct stream_ops *ops;
    void *ctx;
    struct buf in, out;
    char peer[48];
    int port;
    bool paused, offer_due, awaits_tls, secure, closed;
    bool has_deadline, overdue;
};

struct spool_draft {
    struct buf text;
    char id[SPOOL_QUEUE_ID_MAX];
    void (*drained)(void *arg, int error);
    void *arg;
    bool drain_due;
};

struct commit {
    void (*done)(void *arg, int error);
    void *arg;
    int error;
};

struct message {
    struct buf envelope, text;
};

enum op { OP_STARTTLS, OP_AUTH, OP_MAIL, OP_RCPT, OP_DATA, OP_NONE };
static const char *const op_names[] = {"starttls", "auth", "mail", "rcpt", "data"};

/* An outcome the engine will get later. */
struct held {
    enum op op;
    enum smtp_decision decision;
    enum smtp_auth_step step;
    struct buf challenge;
    struct smtp_reply reply;
};

static struct {
    const struct world_setup *setup;
    struct listener_config listener;
    struct route_config route;
    struct service_config service;
    struct endpoint endpoint;
    struct credentials credentials;
    struct stream stream;
    struct session *session; /* NULL: it is gone */
    const struct smtp_server_ops *real_ops;
    struct smtp_server_ops ops;
    unsigned later; /* set of 1 << op */
    struct held held;
    const char *certificate;
    char disabled[128]; /* "" nobody is */
    const char *mood;
    struct spool_draft *draft; /* the only one */
    struct commit commit;      /* done NULL: none under way */
    struct message messages[MESSAGES_MAX];
    size_t n_messages;
    int log_fd;
    struct buf log;
    struct passwords_config passwords_config;
    struct passwords passwords;
    struct password_check *check; /* handed over */
    const char *checker;
    struct crowd_client *other; /* a connection beside ours */
    struct loop_timer {
        void (*fire)(void *arg);
        void *arg;
        bool set;
    } *timer;
} w;

static bool mood_is(const char *mood)
{
    return strcmp(w.mood, mood) == 0;
}

/* ---- stream ---- */

struct stream *stream_accepted(struct loop *l, int fd, const struct stream_ops *ops, void *ctx)
{
    (void)l;
    (void)fd;
    w.stream.ops = ops;
    w.stream.ctx = ctx;
    return &w.stream;
}

int stream_write(struct stream *s, const void *data, size_t len)
{
    assert(!s->closed && !s->awaits_tls); /* the client awaits TLS records now */
    return buf_append(&s->out, data, len);
}

void stream_read_limit(struct stream *s, size_t octets)
{
    s->offer_due =
        octets == SIZE_MAX; /* here it was read already, and is offered as if it came now */
}

void stream_speaks_for(struct stream *s, const unsigned char *ip, size_t len, uint16_t port)
{
    assert(len == 4);
    (void)snprintf(s->peer, sizeof(s->peer), "%u.%u.%u.%u", ip[0], ip[1], ip[2], ip[3]);
    s->port = port;
}

/* No responder is asked here: world_handshake() brings the whole verdict. */
void loop_post(struct loop *l, struct loop_task *task)
{
    (void)l, (void)task;
    abort();
}

void stream_pause(struct stream *s)
{
    s->paused = true;
}

void stream_resume(struct stream *s)
{
    s->offer_due = s->offer_due || s->paused;
    s->paused = false;
}

void stream_start_tls(struct stream *s, struct tls_context *context, const char *name)
{
    (void)context;
    (void)name;
    assert(!s->secure && !s->awaits_tls);
    s->awaits_tls = true;
    buf_clear(&s->in); /* STLS-08 */
}

void stream_timeout(struct stream *s, int64_t timeout_ms)
{
    (void)s;
    assert(timeout_ms > 0);
}

void stream_deadline(struct stream *s, int64_t in_ms)
{
    s->has_deadline = in_ms > 0;
}

bool stream_is_overdue(const struct stream *s)
{
    return s->overdue;
}

const char *stream_peer_address(const struct stream *s)
{
    return s->peer[0] ? s->peer : "192.0.2.7";
}

int stream_peer_port(const struct stream *s)
{
    return s->port ? s->port : 50007;
}

void stream_close(struct stream *s)
{
    assert(!s->closed);
    s->closed = true;
}

/* As the real one: whatever is there is offered once, the rest is kept. */
static void stream_offer(void)
{
    struct stream *s = &w.stream;
    s->offer_due = false;
    if (s->closed || s->paused || s->awaits_tls || s->in.len == 0)
        return;
    /* A copy of exact size: reading beyond what came is seen by the sanitizer. */
    size_t len = s->in.len;
    char *data = malloc(len);
    assert(data);
    memcpy(data, s->in.data, len);
    size_t used = s->ops->input(s->ctx, data, len);
    free(data);
    assert(used <= len);
    if (!s->awaits_tls)
        buf_consume(&s->in, used);
}

/* ---- worker, endpoint, relay ---- */

struct loop *worker_loop(struct worker *worker)
{
    (void)worker;
    return NULL;
}

struct spool *worker_spool(struct worker *worker)
{
    (void)worker;
    return NULL;
}

struct relay *worker_relay(struct worker *worker)
{
    (void)worker;
    return NULL;
}

bool worker_is_draining(const struct worker *worker)
{
    (void)worker;
    return false;
}

void worker_adopt(struct worker *worker, struct session *s)
{
    (void)worker;
    assert(!w.session);
    w.session = s;
}

void worker_forget(struct worker *worker, struct session *s)
{
    (void)worker;
    assert(w.session == s);
    w.session = NULL;
}

bool relay_has_route(const struct relay *r, struct str domain)
{
    (void)r;
    return !str_eq_nocase(domain, STR("unrouted.example"));
}

struct credentials *endpoint_credentials(struct endpoint *e)
{
    (void)e;
    return &w.credentials;
}

void credentials_unref(struct credentials *c)
{
    assert(c == &w.credentials);
}

/* As with the rule "source = subject-cn  pattern = .+@example\.org". */
void endpoint_judge_name(const struct endpoint *e, const char *common_name, struct cert_verdict *v)
{
    (void)e;
    if (!strstr(common_name, "@example.org"))
        return;
    v->outcome = CERT_ACCEPTABLE;
    v->identities[v->n_identities++] = xstrdup(common_name);
    (void)snprintf(v->rule, sizeof(v->rule), "cn");
}

bool endpoint_lists_proxy(const struct endpoint *e, const char *address)
{
    (void)e;
    return w.setup->proxy && strcmp(address, "192.0.2.7") == 0;
}

bool endpoint_lists_xclient(const struct endpoint *e, const char *address)
{
    (void)e;
    return w.setup->xclient && strcmp(address, "192.0.2.7") == 0;
}

bool endpoint_lists_peer(const struct endpoint *e, const char *fingerprint)
{
    (void)e;
    return w.setup->listed_peer && fingerprint[0] != '\0';
}

/* ---- passwords ---- */

int checker_submit(struct checker *c, struct password_check *check)
{
    (void)c;
    assert(!w.check);
    if (strcmp(w.checker, "busy") == 0)
        return -EAGAIN;
    w.check = check;
    return 0;
}

void password_check_init(struct password_check *c)
{
    buf_init(&c->user, 1024);
    buf_init(&c->password, 1024);
    buf_init(&c->name, 1024);
}

void password_check_done(struct password_check *c)
{
    buf_wipe(&c->user);
    buf_wipe(&c->password);
    buf_wipe(&c->name);
}

bool world_checker(const char *mood)
{
    static const char *const moods[] = {"ok", "busy", "broken"};
    for (size_t i = 0; i < ARRAY_LEN(moods); i++) {
        if (strcmp(mood, moods[i]) == 0) {
            w.checker = moods[i];
            return true;
        }
    }
    return false;
}

/* Hashing is tested elsewhere: here an entry is the password. */
static int compare_password(const struct password_check *c)
{
    CLEANUP(buf_done) struct buf entry = BUF_INIT(1024);
    if (strcmp(w.checker, "broken") == 0)
        return -EIO;
    int r = lookup_name(&c->passwords->entries, buf_str(&c->user), &entry);
    return r == 0 && str_eq(buf_str(&entry), buf_str(&c->password)) ? 0 : -EACCES;
}

static bool bring_check(void)
{
    struct password_check *c = w.check;
    if (!c)
        return false;
    w.check = NULL;
    c->result = compare_password(c);
    if (c->result == 0) {
        int r = buf_append_str(&c->name, buf_str(&c->user));
        assert(r == 0);
    }
    c->task.run(&c->task);
    return true;
}

int stream_channel_binding(const struct stream *s, enum tls_binding kind, struct buf *out)
{
    buf_clear(out);
    return s->secure ? buf_puts(out, kind == TLS_BINDING_EXPORTER ? "exported" : "endpoint")
                     : -EOPNOTSUPP;
}

/* ---- the only timer: a refusal that waits ---- */

struct loop_timer *loop_timer_new(struct loop *l, void (*fire)(void *arg), void *arg)
{
    (void)l;
    assert(!w.timer);
    w.timer = xcalloc(1, sizeof(*w.timer));
    *w.timer = (struct loop_timer){fire, arg, false};
    return w.timer;
}

void loop_timer_set(struct loop_timer *t, int64_t delay_ms)
{
    assert(delay_ms > 0);
    t->set = true;
}

void loop_timer_free(struct loop_timer *t)
{
    assert(!t || t == w.timer);
    free(t);
    if (t)
        w.timer = NULL;
}

static bool bring_timer(void)
{
    if (!w.timer || !w.timer->set)
        return false;
    w.timer->set = false;
    w.timer->fire(w.timer->arg);
    return true;
}

/* ---- certificates ---- */

/* clang-format off */
static const struct certificate {
    const char *name;
    enum cert_outcome outcome;
    enum cert_cause cause;
    const char *reason;
    const char *identities[2];
} certificates[] = {
    {"none",       CERT_NONE,         CERT_CAUSE_NONE,          "", {NULL}},
    {"good",       CERT_ACCEPTABLE,   CERT_CAUSE_NONE,          "", {"alice@example.org"}},
    {"good-utf8",  CERT_ACCEPTABLE,   CERT_CAUSE_NONE,          "", {"\xc3\xa9lise@example.org"}},
    {"pinned",     CERT_ACCEPTABLE,   CERT_CAUSE_NONE,          "", {"device7@example.org"}},
    {"ambiguous",  CERT_AMBIGUOUS,    CERT_CAUSE_SEVERAL_IDENTITIES,
     "client certificate names several identities",    {"alice@example.org", "bob@example.org"}},
    {"unmapped",   CERT_UNMAPPED,     CERT_CAUSE_NO_IDENTITY,
     "client certificate names no identity",           {NULL}},
    {"expired",    CERT_UNACCEPTABLE, CERT_CAUSE_EXPIRED,
     "client certificate expired 2026-10-01",          {NULL}},
    {"future",     CERT_UNACCEPTABLE, CERT_CAUSE_NOT_YET_VALID,
     "client certificate not valid before 2036-10-01", {NULL}},
    {"revoked",    CERT_UNACCEPTABLE, CERT_CAUSE_REVOKED,
     "client certificate revoked",                     {NULL}},
    {"unknown-ca", CERT_UNACCEPTABLE, CERT_CAUSE_UNKNOWN_CA,
     "client certificate of an unknown CA",            {NULL}},
    {"purpose",    CERT_UNACCEPTABLE, CERT_CAUSE_PURPOSE,
     "client certificate is not for clients",          {NULL}},
    {"no-answer",  CERT_UNACCEPTABLE, CERT_CAUSE_NO_OCSP_ANSWER,
     "responder of the CA gives no answer",            {NULL}},
    {"local",      CERT_UNACCEPTABLE, CERT_CAUSE_LOCAL,
     "client certificate could not be checked",        {NULL}},
};
/* clang-format on */

const char *const *world_certificates(void)
{
    static const char *names[ARRAY_LEN(certificates) + 1];
    for (size_t i = 0; i < ARRAY_LEN(certificates); i++)
        names[i] = certificates[i].name;
    return names;
}

static const struct certificate *certificate_find(const char *name)
{
    size_t i = 0;
    while (strcmp(certificates[i].name, name) != 0)
        i++;
    return &certificates[i];
}

void credentials_judge(const struct credentials *c,
                       struct x509_st *leaf,
                       struct stack_st_X509 *chain,
                       struct cert_verdict *ret)
{
    const struct certificate *cert = certificate_find(w.certificate);
    (void)c;
    (void)leaf;
    (void)chain;
    *ret = (struct cert_verdict){.outcome = cert->outcome, .cause = cert->cause};
    (void)snprintf(ret->reason, sizeof(ret->reason), "%s", cert->reason);
    for (size_t i = 0; i < ARRAY_LEN(cert->identities) && cert->identities[i]; i++)
        ret->identities[ret->n_identities++] = xstrdup(cert->identities[i]);
    if (cert->outcome == CERT_NONE)
        return;
    (void)snprintf(ret->rule, sizeof(ret->rule), "%s", ret->n_identities ? "email" : "");
    memset(ret->fingerprint, 'a', sizeof(ret->fingerprint) - 1);
    ret->subject = xstrdup("CN=Alice");
    ret->not_after_ms = clock_wall_ms() + DAY_MS;
}

bool world_handshake(const char *certificate)
{
    static const struct tls_facts facts = {
        .version = "TLSv1.3", .cipher = "TLS_AES_256_GCM_SHA384", .group = "x25519"};
    struct stream *s = &w.stream;
    if (!s->awaits_tls || s->closed)
        return false;
    s->awaits_tls = false;
    s->secure = true;
    w.certificate = certificate;
    s->ops->secured(s->ctx, &facts);
    return true;
}

bool world_certificate_becomes(const char *certificate)
{
    for (size_t i = 0; i < ARRAY_LEN(certificates); i++) {
        if (strcmp(certificates[i].name, certificate) != 0)
            continue;
        w.certificate = certificates[i].name;
        (void)atomic_fetch_add(&w.endpoint.generation, 1);
        return true;
    }
    return false;
}

void world_disable(const char *key)
{
    (void)snprintf(w.disabled, sizeof(w.disabled), "%s", key);
}

void world_certificate_expires(void)
{
    if (w.session)
        w.session->verdict.not_after_ms = clock_wall_ms() - 1000;
}

/* ---- spool ---- */

static void draft_free(void)
{
    buf_done(&w.draft->text);
    free(w.draft);
    w.draft = NULL;
}

struct spool_draft *spool_begin(struct spool *sp, struct loop *l)
{
    (void)sp;
    (void)l;
    assert(!w.draft);
    w.draft = xcalloc(1, sizeof(*w.draft));
    buf_init(&w.draft->text, TEXT_MAX);
    (void)snprintf(w.draft->id, sizeof(w.draft->id), "q%zu", w.n_messages + 1);
    return w.draft;
}

const char *spool_draft_id(const struct spool_draft *d)
{
    return d->id;
}

bool spool_has_room(const struct spool *sp)
{
    (void)sp;
    return !mood_is("full");
}

int spool_write(struct spool_draft *d, const void *data, size_t len)
{
    if (mood_is("full"))
        return -ENOSPC;
    if (mood_is("broken"))
        return -EIO;
    if (buf_append(&d->text, data, len) < 0)
        return -EMSGSIZE;
    if (!mood_is("slow"))
        return 0;
    d->drain_due = true;
    return -EAGAIN;
}

void spool_on_drained(struct spool_draft *d, void (*drained)(void *arg, int error), void *arg)
{
    d->drained = drained;
    d->arg = arg;
}

static void put(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
static void put(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int r = buf_vprintf(b, fmt, ap);
    va_end(ap);
    assert(r == 0);
}

static void put_notify(struct buf *b, unsigned notify)
{
    static const char *const names[] = {"never", "success", "failure", "delay"};
    const char *comma = "";
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (!(notify & 1U << i))
            continue;
        put(b, "%s%s", comma, names[i]);
        comma = ",";
    }
}

/* Only what is not as usual. */
static void put_schedule(struct buf *b, const struct spool_envelope *e)
{
    if (e->release_ms)
        put(b, " hold=%d", (int)((e->release_ms - e->received_ms + 500) / 1000));
    if (e->by_mode)
        put(b, " by=%d;%c%s", (int)((e->deliver_by_ms - e->received_ms + 500) / 1000), e->by_mode,
            e->by_trace ? "T" : "");
    if (e->priority)
        put(b, " priority=%d", e->priority);
    if (e->tls != SPOOL_TLS_USUAL)
        put(b, " tls=%s", e->tls == SPOOL_TLS_REQUIRED ? "required" : "optional");
}

static void put_envelope(struct buf *b,
                         const struct spool_envelope *e,
                         const struct spool_recipient *r,
                         size_t n)
{
    static const char *const bodies[] = {"7bit", "8bitmime", "binarymime"};
    put(b, "from=<%s> to=", e->reverse_path);
    for (size_t i = 0; i < n; i++)
        put(b, "%s<%s>", i ? "," : "", r[i].address);
    put(b, " identity=%s", e->identity ? e->identity : "-");
    put(b, " auth=%s", e->auth ? e->auth : "-");
    put(b, " envid=%s ret=%c", e->envid ? e->envid : "-", e->ret ? e->ret : '-');
    put(b, " body=%s utf8=%s", bodies[e->body], e->smtputf8 ? "yes" : "no");
    put_schedule(b, e);
    for (size_t i = 0; i < n; i++) {
        put(b, " orcpt=%s notify=", r[i].orcpt ? r[i].orcpt : "-");
        put_notify(b, r[i].notify);
    }
}

static void
remember_message(const struct spool_envelope *env, const struct spool_recipient *rcpts, size_t n)
{
    assert(w.n_messages < MESSAGES_MAX);
    struct message *m = &w.messages[w.n_messages++];
    buf_init(&m->envelope, TEXT_MAX);
    put_envelope(&m->envelope, env, rcpts, n);
    m->text = w.draft->text;
    buf_init(&w.draft->text, TEXT_MAX);
}

void spool_commit(struct spool_draft **d,
                  const struct spool_envelope *env,
                  const struct spool_recipient *recipients,
                  size_t n_recipients,
                  void (*done)(void *arg, int error),
                  void *arg)
{
    assert(*d == w.draft && !w.commit.done && n_recipients > 0);
    w.commit = (struct commit){.done = done, .arg = arg};
    if (mood_is("full-at-commit"))
        w.commit.error = -ENOSPC;
    else if (mood_is("broken-at-commit"))
        w.commit.error = -EIO;
    else
        remember_message(env, recipients, n_recipients);
    draft_free();
    *d = NULL;
}

void spool_discard(struct spool_draft **d)
{
    if (!*d)
        return;
    assert(*d == w.draft);
    draft_free();
    *d = NULL;
}

bool world_spool(const char *mood)
{
    static const char *const moods[] = {"ok",     "slow",           "full",
                                        "broken", "full-at-commit", "broken-at-commit"};
    for (size_t i = 0; i < ARRAY_LEN(moods); i++) {
        if (strcmp(mood, moods[i]) == 0) {
            w.mood = moods[i];
            return true;
        }
    }
    return false;
}

/* ---- the engine's ops, with outcomes put off ---- */

static bool take_later(enum op op)
{
    bool later = w.later & 1U << op;
    w.later &= ~(1U << op);
    if (later)
        w.held.op = op;
    return later;
}

static enum smtp_decision put_off(enum op op, enum smtp_decision d, const struct smtp_reply *reply)
{
    if (d == SMTP_LATER || !take_later(op))
        return d;
    w.held.decision = d;
    w.held.reply = *reply;
    return SMTP_LATER;
}

/* Asked when its time has come, not before: the session begins TLS as soon as it was asked. */
static enum smtp_decision on_starttls(void *ctx, struct smtp_reply *reply)
{
    return take_later(OP_STARTTLS) ? SMTP_LATER : w.real_ops->starttls(ctx, reply);
}

static enum smtp_decision on_mail(void *ctx, const struct smtp_mail *mail, struct smtp_reply *reply)
{
    return put_off(OP_MAIL, w.real_ops->mail(ctx, mail, reply), reply);
}

static enum smtp_decision on_rcpt(void *ctx, const struct smtp_rcpt *rcpt, struct smtp_reply *reply)
{
    return put_off(OP_RCPT, w.real_ops->rcpt(ctx, rcpt, reply), reply);
}

static enum smtp_decision on_data(void *ctx, struct smtp_reply *reply)
{
    return put_off(OP_DATA, w.real_ops->data(ctx, reply), reply);
}

static enum smtp_auth_step on_auth(void *ctx,
                                   const char *mechanism,
                                   bool has_response,
                                   struct str response,
                                   struct buf *challenge,
                                   struct smtp_reply *reply)
{
    enum smtp_auth_step step =
        w.real_ops->auth(ctx, mechanism, has_response, response, challenge, reply);
    if (step == SMTP_AUTH_LATER || !take_later(OP_AUTH))
        return step;
    w.held.step = step;
    w.held.reply = *reply;
    buf_init(&w.held.challenge, 1024);
    int r = buf_append_str(&w.held.challenge, buf_str(challenge));
    assert(r == 0);
    return SMTP_AUTH_LATER;
}

bool world_later(const char *op)
{
    for (size_t i = 0; i < ARRAY_LEN(op_names); i++) {
        if (strcmp(op, op_names[i]) == 0) {
            w.later |= 1U << i;
            return true;
        }
    }
    return false;
}

/* The linker sends the session's smtp_server_new() here (--wrap). */
struct smtp_server *__real_smtp_server_new(const struct smtp_server_config *cfg,
                                           const struct smtp_server_ops *ops,
                                           void *ctx,
                                           struct buf *out);
struct smtp_server *__wrap_smtp_server_new(const struct smtp_server_config *cfg,
                                           const struct smtp_server_ops *ops,
                                           void *ctx,
                                           struct buf *out);
struct smtp_server *__wrap_smtp_server_new(const struct smtp_server_config *cfg,
                                           const struct smtp_server_ops *ops,
                                           void *ctx,
                                           struct buf *out)
{
    w.real_ops = ops;
    w.ops = *ops;
    w.ops.starttls = on_starttls;
    w.ops.auth = on_auth;
    w.ops.mail = on_mail;
    w.ops.rcpt = on_rcpt;
    w.ops.data = on_data;
    return __real_smtp_server_new(cfg, &w.ops, ctx, out);
}

/* ---- time passes ---- */

static bool bring_held(void)
{
    struct held h = w.held;
    if (h.op == OP_NONE)
        return false;
    w.held = (struct held){.op = OP_NONE};
    if (w.session) {
        if (h.op == OP_STARTTLS)
            h.decision = w.real_ops->starttls(w.session, &h.reply);
        if (h.op == OP_AUTH)
            smtp_server_resume_auth(w.session->engine, h.step, buf_str(&h.challenge), &h.reply);
        else
            smtp_server_resume(w.session->engine, h.decision, &h.reply);
        session_pump(w.session);
    }
    buf_done(&h.challenge);
    return true;
}

static bool bring_commit(void)
{
    struct commit c = w.commit;
    if (!c.done)
        return false;
    w.commit = (struct commit){0};
    c.done(c.arg, c.error);
    return true;
}

static bool bring_drained(void)
{
    struct spool_draft *d = w.draft;
    if (!d || !d->drain_due)
        return false;
    d->drain_due = false;
    d->drained(d->arg, 0);
    return true;
}

static bool bring_input(void)
{
    if (!w.stream.offer_due || w.stream.closed)
        return false;
    stream_offer();
    return true;
}

void world_settle(void)
{
    while (bring_held() || bring_check() || bring_timer() || bring_drained() || bring_commit() || bring_input())
        ;
}

void world_send(struct str octets, size_t piece)
{
    while (octets.len > 0 && !w.stream.closed) {
        struct str head = str_upto(octets, piece ? piece : READ_MAX);
        octets = str_from(octets, head.len);
        if (w.stream.awaits_tls)
            continue; /* no TLS record: whatever it is, it never reaches the session */
        int r = buf_append_str(&w.stream.in, head);
        assert(r == 0);
        stream_offer();
    }
}

void world_idle_too_long(void)
{
    if (!w.stream.closed)
        w.stream.ops->ended(w.stream.ctx, STREAM_TIMEOUT, "idle");
}

void world_comes_to_nothing(void)
{
    if (w.stream.closed || !w.stream.has_deadline)
        return;
    w.stream.overdue = true;
    w.stream.ops->ended(w.stream.ctx, STREAM_TIMEOUT, "it took too long in all");
}

void world_client_leaves(void)
{
    if (!w.stream.closed)
        w.stream.ops->ended(w.stream.ctx, STREAM_EOF, "");
}

void world_shuts_down(bool now)
{
    if (w.session)
        session_shutdown(w.session, now);
}

/* ---- birth and end ---- */

struct world_setup world_default_setup(void)
{
    return (struct world_setup){
        .mechanisms = MECHANISM_PLAIN,
        .role = ROLE_SUBMISSION,
        .cert_auth = CERT_AUTH_IMPLICIT,
        .tls = LISTENER_TLS_STARTTLS,
        .size_max = 50U << 20,
        .recipients_max = 1000,
        .errors_max = 20,
        .hops_max = 100,
        .hold_max = 86400,
        .workarounds = WORKAROUND_AUTH_ANSWERED_BY_COMMAND,
        .extensions = SMTP_SET(SMTP_EXT_PIPELINING) | SMTP_SET(SMTP_EXT_8BITMIME) | SMTP_SET(SMTP_EXT_SMTPUTF8) |
                      SMTP_SET(SMTP_EXT_CHUNKING) | SMTP_SET(SMTP_EXT_DSN) | SMTP_SET(SMTP_EXT_SIZE) | SMTP_SET(SMTP_EXT_ENHANCEDSTATUSCODES),
    };
}

static char *writable(const char *s)
{
    static char text[2][32];
    static unsigned n;
    char *out = text[n++ % ARRAY_LEN(text)];
    (void)snprintf(out, sizeof(text[0]), "%s", s);
    return out;
}

/* ---- tables, as README.md shows them ---- */

struct entry {
    const char *key, *value;
};

static struct entry aliases[] = {
    {"alice", "alice@example.org"},
    {"bobby", "bob@example.org"  },
    {NULL,    NULL               },
};

static struct entry may_act_as[] = {
    {"alice@example.org", "team@example.org *@lists.example.org"},
    {NULL,                NULL                                  },
};

static struct entry passwords[] = {
    {"alice@example.org", "secret"      },
    {"bob@example.org",   "hunter2"     },
    {"\xc3\xa9lise",    "p\xc3\xa4ss"},
    {NULL,                NULL          },
};

static struct entry senders[] = {
    {"alice@example.org", "info@example.org *@news.example.org /alice-[0-9]+@example\\.org/"},
    {NULL,                NULL                                                              },
};

static struct entry priorities[] = {
    {"alice@example.org", "9" },
    {"bob@example.org",   "-2"},
    {NULL,                NULL},
};

static int disabled_get(void *arg, struct str key, struct buf *value)
{
    (void)value;
    return str_eq(key, str_of(arg)) ? 0 : -ENOENT;
}

static int entry_get(void *arg, struct str key, struct buf *value)
{
    for (const struct entry *e = arg; e->key; e++) {
        if (!str_eq(key, str_of(e->key)))
            continue;
        if (value)
            buf_clear(value);
        return value ? buf_puts(value, e->value) : 0;
    }
    return -ENOENT;
}

static void configure_passwords(const struct world_setup *setup)
{
    struct rate_window failures = {setup->failures_max, 600000};
    w.passwords_config = (struct passwords_config){.failure_delay_ms = 2000};
    w.passwords = (struct passwords){.cfg = &w.passwords_config,
                                     .entries = {entry_get, passwords},
                                     .by_peer = limiter_new(&failures, 1, 0, 100),
                                     .by_name = limiter_new(&failures, 1, 0, 100)};
    w.endpoint.passwords = &w.passwords;
}

static void configure(const struct world_setup *setup)
{
    w.setup = setup;
    w.route = (struct route_config){.domain = "local.example", .kind = ROUTE_DISCARD};
    w.listener = (struct listener_config){
        .name = writable("dialog"),
        .role = setup->role,
        .tls = setup->tls,
        .require_tls = !setup->allow_clear && setup->tls != LISTENER_TLS_NONE,
        .cert_auth = setup->cert_auth,
        .mechanisms = setup->mechanisms,
        .need = setup->need,
        .n_trust = setup->trust,
        .sender = setup->sender,
        .header_from = setup->header_from,
        .priority_max = setup->priority_max,
        .priority_above = setup->priority_above,
        .workarounds = setup->workarounds,
        .connections_max = setup->busy ? 0 : 10,
        .timeout_ms = 300000,
        .client_connections_max = 1,
        .login_timeout_ms = 600000,
    };
    w.service = (struct service_config){
        .hostname = WORLD_HOSTNAME,
        .message = {.add_date = true,
                    .add_message_id = true,
                    .remove_bcc = true,
                    .replace_date = true,
                    .refuses_defects = setup->refuses_defects,
                    .complete_domain = setup->complete_domain,
                    .hops_max = setup->hops_max},
        .routes = &w.route,
        .n_routes = 1,
    };
    w.endpoint = (struct endpoint){
        .cfg = &w.listener,
        .service = &w.service,
        .smtp = {.hostname = WORLD_HOSTNAME,
                 .extensions = setup->extensions,
                 .hold_max = setup->hold_max,
                 .size_max = setup->size_max,
                 .recipients_max = setup->recipients_max,
                 .errors_max = setup->errors_max},
        .sender = {setup->sender, {entry_get, senders}                   },
        .disabled = {disabled_get,                           w.disabled               },
        .authz = {.rule = setup->authz,                            .may_act_as = {entry_get, may_act_as}},
    };
    if (setup->priorities)
        w.endpoint.priorities = (struct lookup){entry_get, priorities};
    if (setup->passwords)
        configure_passwords(setup);
    if (setup->messages || setup->rcpts || setup->crowded) {
        const struct rate_window windows[LIMIT_WINDOWS] = {
            [LIMIT_MESSAGES_MINUTE] = {setup->messages, 60000},
            [LIMIT_RECIPIENTS_MINUTE] = {setup->rcpts, 60000}};
        w.endpoint.limits = limiter_new(windows, LIMIT_WINDOWS, setup->crowded, 100);
        bool held = !setup->crowded || limiter_hold(w.endpoint.limits, STR("alice@example.org"));
        assert(held);
    }
    if (setup->aliases)
        w.endpoint.authz.aliases = (struct lookup){entry_get, aliases};
    atomic_store(&w.endpoint.connections, 1);
    w.endpoint.crowd = crowd_new(w.listener.client_connections_max, 10);
    w.other = NULL;
    if (setup->besieged)
        (void)crowd_enter(w.endpoint.crowd, setup->besieged, &w.other);
}

void world_open(const struct world_setup *setup)
{
    configure(setup);
    w.mood = "ok";
    w.checker = "ok";
    w.certificate = "none";
    w.held.op = OP_NONE;
    buf_init(&w.stream.in, TEXT_MAX); /* with what TCP would hold back */
    buf_init(&w.stream.out, STREAM_OUTPUT_MAX);
    buf_init(&w.log, TEXT_MAX);
    w.log_fd = memfd_create("log", MFD_CLOEXEC);
    assert(w.log_fd >= 0);
    log_set_fd(w.log_fd);
    session_start(NULL, &w.endpoint, -1);
}

void world_close(void)
{
    world_client_leaves();
    world_settle(); /* a commit under way finds nobody */
    assert(!w.session && !w.draft && !w.check && !w.timer && w.stream.closed);
    crowd_leave(w.endpoint.crowd, w.other);
    crowd_free(w.endpoint.crowd);
    limiter_free(w.passwords.by_peer);
    limiter_free(w.endpoint.limits);
    limiter_free(w.passwords.by_name);
    for (size_t i = 0; i < w.n_messages; i++) {
        buf_done(&w.messages[i].envelope);
        buf_done(&w.messages[i].text);
    }
    buf_done(&w.stream.in);
    buf_done(&w.stream.out);
    buf_done(&w.log);
    log_set_fd(STDERR_FILENO);
    (void)close(w.log_fd);
    memset(&w, 0, sizeof(w));
}

/* ---- questions ---- */

struct buf *world_output(void)
{
    return &w.stream.out;
}

bool world_is_closed(void)
{
    return w.stream.closed;
}

size_t world_n_messages(void)
{
    return w.n_messages;
}

const char *world_message_envelope(size_t i)
{
    return w.messages[i].envelope.data;
}

struct str world_message_text(size_t i)
{
    return buf_str(&w.messages[i].text);
}

/* Drops "2026-10-01T12:00:00.123Z info " of each line. */
struct str world_log(void)
{
    CLEANUP(buf_done) struct buf raw = BUF_INIT(TEXT_MAX);
    ssize_t n;
    do {
        int r = buf_reserve(&raw, 65536);
        assert(r == 0);
        n = pread(w.log_fd, raw.data + raw.len, 65536, (off_t)raw.len);
        raw.len += n > 0 ? (size_t)n : 0;
    } while (n > 0);
    buf_clear(&w.log);
    for (struct str rest = buf_str(&raw); rest.len > 0;) {
        ssize_t lf = str_find(rest, '\n');
        struct str line = str_upto(rest, lf < 0 ? rest.len : (size_t)lf + 1);
        rest = str_from(rest, line.len);
        for (int words = 0; words < 2; words++)
            line = str_from(line, (size_t)str_find(line, ' ') + 1);
        put(&w.log, "%.*s", STR_FMT(line));
    }
    return buf_str(&w.log);
}
