#include "base/clock.h"
#include "server/session_internal.h"

#include <stdio.h>

#define OUT_MAX ((size_t)16 * 1024)

struct session_link *session_link(struct session *s)
{
    return &s->link;
}

static void session_free(struct session *s)
{
    worker_forget(s->worker, s);
    stream_close(s->stream);
    smtp_server_free(s->engine); /* abandons an open transaction */
    transfer_leave(s);
    session_sasl_leave(s);
    session_limits_leave(s);
    session_wait_leave(s);
    credentials_unref(s->credentials);
    (void)atomic_fetch_sub(&s->endpoint->connections, 1);
    cert_verdict_done(&s->verdict);
    buf_done(&s->out);
    free(s->identity);
    free(s->proxy);
    cert_release(s->handed);
    free(s->xclient);
    free(s->xclient_from);
    free(s);
}

void session_finish_up(struct session *s, const char *detail)
{
    session_log_end(s, detail);
    session_free(s);
}

/* Hands the replies to the stream; false while the client does not take them. */
static bool session_flush(struct session *s)
{
    if (s->out.len && stream_write(s->stream, s->out.data, s->out.len) < 0)
        return false;
    buf_done(&s->out); /* an idle session holds no buffer */
    return true;
}

/* [rfc2920 3.2] Replies to a pipelined group leave as a unit, and all of them before we wait for input.  While a commit
 * is under way we wait for the disk, and the client for the outcome whatever else is said, so what stands before that
 * goes with it, in one segment and not in two. */
static bool session_holds_replies(const struct session *s)
{
    return s->transfer && s->transfer->committing && smtp_server_is_waiting(s->engine);
}

void session_pump(struct session *s)
{
    bool flushed = session_holds_replies(s) || session_flush(s);
    if (worker_is_draining(s->worker) && !s->ending && smtp_server_is_idle(s->engine)) {
        session_shutdown(s, true);
        return;
    }
    if (s->ending) {
        session_finish_up(s, NULL);
        return;
    }
    if (s->start_tls && flushed) {
        s->start_tls = false;
        stream_start_tls(s->stream, s->credentials->tls, NULL);
        return;
    }
    /* While a command is suspended, or the client does not take its replies, nothing more is read;
     * what was pipelined behind comes again with the resume. */
    if (smtp_server_is_waiting(s->engine) || !flushed)
        stream_pause(s->stream);
    else
        stream_resume(s->stream);
}

void session_shutdown(struct session *s, bool now)
{
    if (!now && !smtp_server_is_idle(s->engine))
        return; /* session_pump() comes back to it */
    struct smtp_reply bye = smtp_reply(421, "4.3.2", "%s shutting down, try again later",
                                       s->endpoint->service->hostname);
    s->end_reason = "shutdown";
    smtp_server_shutdown(s->engine, &bye);
    (void)session_flush(s);
    session_finish_up(s, NULL);
}

/* ---- what the engine asks beside auth and mail ---- */

static enum smtp_decision on_starttls(void *ctx, struct smtp_reply *reply)
{
    struct session *s = ctx;
    (void)reply;
    session_renew(s);
    s->start_tls = true;
    return SMTP_YES;
}

static void on_quit(void *ctx)
{
    static const char *const reasons[] = {
        [SMTP_SERVER_END_REFUSED] = "refused",
        [SMTP_SERVER_END_QUIT] = "quit",
        [SMTP_SERVER_END_ERRORS] = "too many errors",
    };
    struct session *s = ctx;
    s->ending = true;
    if (!s->end_reason)
        s->end_reason = reasons[smtp_server_end(s->engine)];
}

static const struct smtp_server_ops engine_ops = {
    .offer = session_offer,
    .starttls = on_starttls,
    .xclient = session_xclient,
    .auth = session_auth,
    .auth_cancelled = session_auth_cancelled,
    .auth_overtaken = session_auth_overtaken,
    .admit = session_admit,
    .mail = session_mail,
    .rcpt = session_rcpt,
    .data = session_data,
    .text = session_text,
    .finish = session_finish,
    .abandon = session_abandon,
    .refuse = session_refuse,
    .quit = on_quit,
    .refused = session_log_refused,
};

/* ---- what the stream tells ---- */

static size_t on_input(void *ctx, const char *data, size_t len)
{
    struct session *s = ctx;
    size_t used = 0, n;
    if (s->awaits_proxy)
        return session_proxy_input(s, data, len);
    do {
        n = smtp_server_feed(s->engine, data + used, len - used);
        used += n;
    } while ((session_holds_replies(s) || session_flush(s)) && n && used < len);
    if (s->start_tls &&
        used < len) { /* an attempt to smuggle commands into TLS: the stream drops them (STLS-08) */
        struct log_line l;
        session_log_begin(s, &l, LOG_LEVEL_WARNING, "starttls-injection");
        log_text(&l, "peer", stream_peer_address(s->stream));
        log_number(&l, "dropped", (int64_t)(len - used));
        log_end(&l);
    }
    session_pump(s); /* may free s */
    return used;
}

static void on_secured(void *ctx, const struct tls_facts *facts)
{
    struct session *s = ctx;
    session_judge(s, facts);
    if (!session_wait_for_responder(s))
        session_secured(s);
}

void session_secured(struct session *s)
{
    bool greeted = s->endpoint->cfg->tls != LISTENER_TLS_IMPLICIT;
    session_log_tls(s);
    smtp_server_secured(s->engine);
    if (!greeted)
        smtp_server_greet(s->engine, NULL);
    session_pump(s);
}

static void on_drained(void *ctx)
{
    struct session *s = ctx;
    if (s->out.len)
        session_pump(s);
}

/* SMTP-22 */
static struct smtp_reply timeout_reply(const struct session *s)
{
    const char *hostname = s->endpoint->service->hostname;
    if (stream_is_overdue(s->stream))
        return smtp_reply(421, "4.7.0", "%s no login in time, closing", hostname);
    return smtp_reply(421, "4.4.2", "%s timeout, closing", hostname);
}

static void on_ended(void *ctx, enum stream_end end, const char *detail)
{
    static const char *const reasons[] = {
        [STREAM_EOF] = "closed by peer",       [STREAM_RESET] = "connection lost",
        [STREAM_TIMEOUT] = "timeout",          [STREAM_TLS_FAILED] = "tls failed",
        [STREAM_NO_CONNECT] = "no connection",
    };
    struct session *s = ctx;
    if (end == STREAM_TIMEOUT && s->awaits_proxy) {
        session_proxy_late(s);
        return;
    }
    if (end == STREAM_TLS_FAILED && !smtp_server_is_secure(s->engine))
        counters_add(&s->endpoint->counters, COUNT_TLS_FAILED, 1);
    bool overdue = end == STREAM_TIMEOUT && stream_is_overdue(s->stream);
    if (overdue)
        counters_add(&s->endpoint->counters, COUNT_LOGIN_TIMEOUTS, 1);
    if (!s->ending || !s->end_reason)
        s->end_reason = overdue ? "login timeout" : reasons[end];
    if (end == STREAM_TIMEOUT) { /* said, then closed */
        struct smtp_reply bye = timeout_reply(s);
        smtp_server_shutdown(s->engine, &bye);
        (void)session_flush(s);
    }
    session_finish_up(s, detail);
}

static const struct stream_ops stream_ops = {
    .input = on_input,
    .secured = on_secured,
    .drained = on_drained,
    .ended = on_ended,
};

/* ---- birth ---- */

static atomic_ullong next_id;

static void seed_ids(void)
{
    atomic_store(&next_id, (unsigned long long)clock_wall_ms() << 18);
}

/* Unique among the sessions of this process and, by the start time in it, very likely among all. */
static void session_name(struct session *s)
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, seed_ids);
    unsigned long long n = atomic_fetch_add(&next_id, 1);
    for (size_t i = 12; i-- > 0; n >>= 5)
        s->id[i] = digits[n & 31U];
}

/* False with the refusal in *busy: there are too many already, of all clients or of this one. */
static bool session_has_room(struct session *s, struct smtp_reply *busy)
{
    struct endpoint *e = s->endpoint;
    if (atomic_load(&e->connections) <= e->cfg->connections_max)
        return session_limits_client(s, busy);
    counters_add(&e->counters, COUNT_CONNECTIONS_OVER, 1);
    s->end_reason = "too many connections";
    *busy = smtp_reply(421, "4.3.2", "%s too many connections, try again later",
                       e->service->hostname);
    return false;
}

void session_begin(struct session *s)
{
    struct endpoint *e = s->endpoint;
    struct smtp_reply busy;
    session_log_connect(s);
    stream_deadline(s->stream, e->cfg->login_timeout_ms);
    if (s->proxy)
        session_log_tls(s);
    if (!session_has_room(s, &busy)) { /* with implicit TLS nothing can be said but in TLS */
        if (e->cfg->tls != LISTENER_TLS_IMPLICIT)
            smtp_server_greet(s->engine, &busy);
        s->ending = true;
    } else if (e->cfg->tls == LISTENER_TLS_IMPLICIT) {
        stream_start_tls(s->stream, s->credentials->tls, NULL);
        return;
    } else {
        smtp_server_greet(s->engine, NULL);
    }
    session_pump(s);
}

void session_start(struct worker *w, struct endpoint *e, int fd)
{
    struct session *s = xcalloc(1, sizeof(*s));
    s->worker = w;
    s->endpoint = e;
    s->began_ms = clock_monotonic_ms();
    session_name(s);
    buf_init(&s->out, OUT_MAX);
    s->generation = atomic_load(&e->generation); /* before them: at worst they are taken twice */
    s->credentials = endpoint_credentials(e);
    s->engine = smtp_server_new(&e->smtp, &engine_ops, s, &s->out);
    s->stream = stream_accepted(worker_loop(w), fd, &stream_ops, s);
    stream_timeout(s->stream, e->cfg->timeout_ms);
    worker_adopt(w, s);
    if (endpoint_lists_proxy(e, stream_peer_address(s->stream)))
        session_await_proxy(s);
    else
        session_begin(s);
}
