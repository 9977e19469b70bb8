/* peerkit.h - a server that follows a script, on a thread and a loop of its own.
 *
 * A script is what happens on one connection, line by line:
 *   S: text   the next hop says it
 *   C: text   the client must say it; a "*" at the end stands for anything
 *   T:        TLS begins
 *   D: text   so many octets must come: exactly these, "\n" standing for CR LF
 *   N: 1000   so many octets come, and are kept in peer.text
 *   .:        the text up to the lone dot comes, and is kept in peer.text
 *   H:        holds until peer_let_go(); what comes meanwhile waits
 *   W:        waits for the client to go; the last line
 *   Z:        says one octet after the other, without end, until the client goes; the last line
 *   X:        closes
 *   F:        TLS begins, and does not come to be; the last line
 * The n-th connection follows the n-th script; a connection may be ended by the client anywhere after the last C.
 */
#ifndef POSTERN_PEERKIT_H
#define POSTERN_PEERKIT_H

#include "netkit.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>

/* ---- the scripted next hop ---- */

#define PEER_SCRIPTS_MAX 8

struct peer {
    pthread_t thread;
    struct loop *loop;
    struct listener *listener;
    int fd;
    char port[8];
    struct tls_context *tls;
    const char *scripts[PEER_SCRIPTS_MAX];
    size_t n_scripts, n_conns;
    struct peer_conn *conns;
    struct loop_task stop_task, let_go_task;
    bool let_go;

    pthread_mutex_t lock; /* what the test looks at while the peer runs */
    struct buf text;
    size_t n_lines; /* heard */
    size_t n_done;  /* scripts that came to their end */
    char trouble[1024];
};

struct peer_conn {
    struct peer_conn *next;
    struct peer *peer;
    struct stream *stream;
    const char *at; /* in the script */
    struct buf in;
    bool tls_begun, over;
    struct loop_timer *trickle;
};

static void peer_step(struct peer_conn *c);

static inline void peer_close(struct peer_conn *c, bool abort_it)
{
    if (c->stream && abort_it)
        stream_abort(c->stream);
    else if (c->stream)
        stream_close(c->stream);
    c->stream = NULL;
    c->over = true;
}

static struct peer *last_peer; /* what it met is told when a log line does not come */

static inline void peer_trouble(struct peer_conn *c, const char *what, struct str got)
{
    (void)pthread_mutex_lock(&c->peer->lock);
    if (!c->peer->trouble[0])
        (void)snprintf(c->peer->trouble, sizeof(c->peer->trouble),
                       "%s: wanted \"%.*s\", got \"%.*s\"", what, (int)strcspn(c->at, "\n"), c->at,
                       (int)MIN(got.len, (size_t)400), got.p);
    (void)pthread_mutex_unlock(&c->peer->lock);
    peer_close(c, true);
}

static inline size_t peer_input(void *ctx, const char *data, size_t len)
{
    struct peer_conn *c = ctx;
    if (buf_append(&c->in, data, len) < 0)
        peer_trouble(c, "too much", STR(""));
    peer_step(c);
    return len;
}

static inline void peer_secured(void *ctx, const struct tls_facts *facts)
{
    (void)facts;
    peer_step(ctx);
}

static inline void peer_finished(struct peer_conn *c)
{
    (void)pthread_mutex_lock(&c->peer->lock);
    c->peer->n_done++;
    (void)pthread_mutex_unlock(&c->peer->lock);
    c->at = " "; /* counted */
    c->over = true;
}

static inline void peer_ended(void *ctx, enum stream_end end, const char *detail)
{
    (void)end;
    struct peer_conn *c = ctx;
    if (strcmp(c->at, "W:") == 0 || strcmp(c->at, "Z:") == 0 || strcmp(c->at, "F:") == 0)
        peer_finished(c); /* it was left waiting, as it should be */
    if (strstr(c->at, "C: ") || strstr(c->at, "D: ") || strstr(c->at, "N: "))
        peer_trouble(c, "the client went early", str_of(detail));
    peer_close(c, false);
}

static inline void peer_drained(void *ctx)
{
    (void)ctx;
}

static const struct stream_ops peer_ops = {.input = peer_input,
                                           .connected = peer_drained,
                                           .secured = peer_secured,
                                           .drained = peer_drained,
                                           .ended = peer_ended};

static inline void peer_keep(struct peer_conn *c, size_t len)
{
    (void)pthread_mutex_lock(&c->peer->lock);
    assert_int_equal(buf_append(&c->peer->text, c->in.data, len), 0);
    (void)pthread_mutex_unlock(&c->peer->lock);
    buf_consume(&c->in, len);
}

static inline bool peer_hears_line(struct peer_conn *c, struct str want)
{
    ssize_t lf = str_find(buf_str(&c->in), '\n');
    if (lf < 0)
        return false;
    struct str got = {c->in.data, (size_t)lf};
    if (got.len && got.p[got.len - 1] == '\r')
        got.len--;
    bool any = want.len && want.p[want.len - 1] == '*';
    bool ok = any ? str_starts_nocase(got, str_upto(want, want.len - 1)) : str_eq(got, want);
    if (!ok) {
        peer_trouble(c, "line", got);
        return false;
    }
    buf_consume(&c->in, (size_t)lf + 1);
    (void)pthread_mutex_lock(&c->peer->lock);
    c->peer->n_lines++;
    (void)pthread_mutex_unlock(&c->peer->lock);
    return true;
}

static inline bool peer_hears_text(struct peer_conn *c, struct str want)
{
    struct buf full = BUF_INIT(8192);
    for (size_t i = 0; i < want.len; i++) {
        bool nl = want.p[i] == '\\' && i + 1 < want.len && want.p[i + 1] == 'n';
        (void)!buf_append(&full, nl ? "\r\n" : &want.p[i], nl ? 2 : 1);
        i += nl;
    }
    bool enough = c->in.len >= full.len;
    bool ok = memcmp(c->in.data ? c->in.data : "", full.data, MIN(full.len, c->in.len)) == 0;
    if (!ok)
        peer_trouble(c, "text", buf_str(&c->in));
    else if (enough)
        buf_consume(&c->in, full.len);
    buf_done(&full);
    return ok && enough;
}

static inline bool peer_hears_dot(struct peer_conn *c)
{
    const char *end = c->in.len ? memmem(c->in.data, c->in.len, "\r\n.\r\n", 5) : NULL;
    if (!end)
        return false;
    peer_keep(c, (size_t)(end - c->in.data) + 2);
    buf_consume(&c->in, 3);
    return true;
}

static inline void peer_trickle(void *arg)
{
    struct peer_conn *c = arg;
    if (!c->trickle)
        c->trickle = loop_timer_new(c->peer->loop, peer_trickle, c);
    if (c->stream)
        (void)!stream_write(c->stream, "2", 1);
    loop_timer_set(c->trickle, 5);
}

/* false: it has to wait for something. */
static inline bool peer_line(struct peer_conn *c, char what, struct str arg)
{
    switch (what) {
    case 'S':
        (void)!stream_write_str(c->stream, arg);
        (void)!stream_write(c->stream, "\r\n", 2);
        return true;
    case 'C':
        return peer_hears_line(c, arg);
    case 'D':
        return peer_hears_text(c, arg);
    case 'N': {
        size_t n = strtoul(arg.p, NULL, 10);
        if (c->in.len < n)
            return false;
        peer_keep(c, n);
        return true;
    }
    case '.':
        return peer_hears_dot(c);
    case 'F':
    case 'T':
        if (!c->tls_begun)
            stream_start_tls(c->stream, c->peer->tls, NULL);
        c->tls_begun = true;
        return stream_is_secure(c->stream);
    case 'H':
        return c->peer->let_go;
    case 'W':
        return false;
    case 'Z':
        peer_trickle(c);
        return false;
    case 'X':
        peer_close(c, false);
        return true;
    default:
        abort();
    }
}

static void peer_step(struct peer_conn *c)
{
    while (!c->over && *c->at) {
        size_t len = strcspn(c->at, "\n");
        struct str arg = len > 3 ? (struct str){c->at + 3, len - 3} : STR("");
        if (!peer_line(c, c->at[0], arg))
            return;
        c->at += len + (c->at[len] == '\n');
    }
    if (*c->at == '\0')
        peer_finished(c);
}

static inline void peer_accept(void *arg, int fd)
{
    struct peer *p = arg;
    struct peer_conn *c = xcalloc(1, sizeof(*c));
    c->peer = p;
    c->next = p->conns;
    p->conns = c;
    c->in = BUF_INIT((size_t)4 << 20);
    c->at = p->n_conns < p->n_scripts ? p->scripts[p->n_conns] : "X:\nC: no more connections";
    p->n_conns++;
    c->stream = stream_accepted(p->loop, fd, &peer_ops, c);
    peer_step(c);
}

static inline void *peer_run(void *arg)
{
    loop_run(((struct peer *)arg)->loop);
    return NULL;
}

static inline void peer_on_stop(struct loop_task *t)
{
    loop_stop(container_of(t, struct peer, stop_task)->loop);
}

static inline void peer_on_let_go(struct loop_task *t)
{
    struct peer *p = container_of(t, struct peer, let_go_task);
    p->let_go = true;
    for (struct peer_conn *c = p->conns; c; c = c->next)
        peer_step(c);
}

/* Once. */
static inline void peer_let_go(struct peer *p)
{
    p->let_go_task.run = peer_on_let_go;
    loop_post(p->loop, &p->let_go_task);
}

/* Waits until `*what`, which the lock guards, has come so far. */
static inline void peer_wait(struct peer *p, const size_t *what, size_t n)
{
    for (size_t have = 0; have < n;) {
        turns(1);
        (void)pthread_mutex_lock(&p->lock);
        have = *what;
        (void)pthread_mutex_unlock(&p->lock);
    }
}

static inline void peer_start_at(struct peer *p, const char *address, const char *const *scripts)
{
    char why[LISTENER_WHY_MAX];
    *p = (struct peer){.text = BUF_INIT((size_t)4 << 20), .tls = p->tls};
    while (scripts[p->n_scripts]) {
        p->scripts[p->n_scripts] = scripts[p->n_scripts];
        p->n_scripts++;
    }
    last_peer = p;
    (void)pthread_mutex_init(&p->lock, NULL);
    assert_int_equal(loop_new(&p->loop), 0);
    if (listener_bind(address, 16, &p->fd, why) < 0)
        fail_msg("%s", why);
    struct sockaddr_in sa;
    socklen_t len = sizeof(sa);
    if (getsockname(p->fd, (struct sockaddr *)&sa, &len) == 0 && sa.sin_family == AF_INET)
        (void)snprintf(p->port, sizeof(p->port), "%d", ntohs(sa.sin_port));
    p->listener = listener_start(p->loop, p->fd, peer_accept, p);
    assert_int_equal(pthread_create(&p->thread, NULL, peer_run, p), 0);
}

#define PEER_START(p, ...)                                                                         \
    peer_start_at((p), "127.0.0.1:0", (const char *const[]){__VA_ARGS__, NULL})

/* Every script came to its end, and nothing else was said.  What was kept is appended to *ret_text. */
static inline void peer_stop_keep(struct peer *p, struct buf *ret_text)
{
    p->stop_task.run = peer_on_stop;
    loop_post(p->loop, &p->stop_task);
    assert_int_equal(pthread_join(p->thread, NULL), 0);
    listener_free(p->listener);
    while (p->conns) {
        struct peer_conn *c = p->conns;
        p->conns = c->next;
        peer_close(c, true);
        loop_timer_free(c->trickle);
        buf_done(&c->in);
        free(c);
    }
    loop_free(p->loop);
    last_peer = NULL;
    tls_context_unref(p->tls);
    p->tls = NULL;
    if (ret_text)
        assert_int_equal(buf_append_str(ret_text, buf_str(&p->text)), 0);
    buf_done(&p->text);
    if (p->trouble[0])
        fail_msg("%s", p->trouble);
    assert_int_equal(p->n_done, p->n_scripts);
}

static inline void peer_stop(struct peer *p)
{
    peer_stop_keep(p, NULL);
}

#endif
