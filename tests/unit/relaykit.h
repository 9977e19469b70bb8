/* relaykit.h - what the tests of relay/ share: a next hop that follows a script, a spool, and the log to wait for.
 * The next hop is peerkit.h's.
 */
#ifndef POSTERN_RELAYKIT_H
#define POSTERN_RELAYKIT_H

#include "peerkit.h"

#include "base/clock.h"
#include "base/log.h"
#include "relay/relay.h"

#include <poll.h>
#include <pthread.h>

/* ---- the log, as something to wait for ---- */

static int log_pipe[2] = {-1, -1};
static struct buf log_seen;

static inline void log_catch(void)
{
    assert_int_equal(pipe(log_pipe), 0);
    log_seen = BUF_INIT((size_t)4 << 20);
    log_set_fd(log_pipe[1]);
}

static inline void log_release(void)
{
    log_set_fd(STDERR_FILENO);
    (void)close(log_pipe[0]);
    (void)close(log_pipe[1]);
    buf_done(&log_seen);
}

static inline bool line_has(struct str line, const char *const *words)
{
    for (; *words; words++)
        if (!memmem(line.p, line.len, *words, strlen(*words)))
            return false;
    return true;
}

/* Waits for a line that has all the words, and takes everything up to it. */
static inline void log_wait_for(const char *const *words)
{
    for (;;) {
        struct str rest = buf_str(&log_seen);
        size_t at = 0;
        for (ssize_t lf; (lf = str_find(str_from(rest, at), '\n')) >= 0; at += (size_t)lf + 1) {
            if (line_has(str_upto(str_from(rest, at), (size_t)lf), words)) {
                buf_consume(&log_seen, at + (size_t)lf + 1);
                return;
            }
        }
        struct pollfd pfd = {.fd = log_pipe[0], .events = POLLIN};
        char piece[8192];
        if (poll(&pfd, 1, 20000) != 1)
            fail_msg("no log line with \"%s\" came; there were:\n%.*s%s", words[0],
                     STR_FMT(buf_str(&log_seen)), last_peer ? last_peer->trouble : "");
        ssize_t n = read(log_pipe[0], piece, sizeof(piece));
        assert_true(n > 0);
        assert_int_equal(buf_append(&log_seen, piece, (size_t)n), 0);
    }
}

#define LOG_WAIT(...) log_wait_for((const char *const[]){__VA_ARGS__, NULL})

/* ---- a spool with a relay on it ---- */

struct house {
    char dir[64], database[96];
    struct spool *spool;
    struct relay *relay;
    struct relay_config cfg;
    struct route_config routes[4];
};

static inline void house_open(struct house *h)
{
    char why[SPOOL_WHY_MAX];
    (void)snprintf(h->dir, sizeof(h->dir), "/tmp/postern-relay-XXXXXX");
    assert_non_null(mkdtemp(h->dir));
    (void)snprintf(h->database, sizeof(h->database), "%s/spool.db", h->dir);
    struct spool_config cfg = {.database = h->database};
    if (spool_open(&cfg, &h->spool, why) < 0)
        fail_msg("%s", why);
    log_catch();
}

static inline struct route_config *
house_route(struct house *h, const char *domain, enum route_kind kind)
{
    struct route_config *r = &h->routes[h->cfg.n_routes++];
    *r = (struct route_config){.domain = domain, .kind = kind, .tls = ROUTE_TLS_OFF};
    return r;
}

static inline void house_route_to(struct house *h, const char *domain, const struct peer *p)
{
    struct route_config *r = house_route(h, domain, ROUTE_SMTP);
    r->host = "127.0.0.1";
    r->port = p->port;
}

static inline void house_start(struct house *h)
{
    char why[TLS_WHY_MAX] = "";
    h->cfg.hostname = "me.example";
    h->cfg.routes = h->routes;
    if (relay_start(&h->cfg, h->spool, &h->relay, why) < 0)
        fail_msg("%s", why);
}

static inline struct spool_stats house_stats(struct house *h)
{
    char why[SPOOL_WHY_MAX];
    struct spool_admin *a;
    struct spool_stats s;
    if (spool_admin_open(h->database, false, &a, why) < 0)
        fail_msg("%s", why);
    assert_int_equal(spool_admin_stats(a, &s), 0);
    spool_admin_close(a);
    return s;
}

/* Stops the relay and the spool; so many recipients must be left. */
static inline void house_close(struct house *h, int64_t recipients_left)
{
    relay_stop(h->relay, 5000);
    spool_close(h->spool);
    assert_int_equal(house_stats(h).recipients, recipients_left);
    char command[128];
    (void)snprintf(command, sizeof(command), "rm -rf %s", h->dir);
    assert_int_equal(system(command), 0);
    log_release();
}

struct put {
    bool done;
    int error;
};

static inline void put_done(void *arg, int error)
{
    struct put *p = arg;
    p->done = true;
    p->error = error;
    loop_stop(loop);
}

static inline void house_put(struct house *h,
                             const struct spool_envelope *env,
                             const struct spool_recipient *rcpts,
                             size_t n,
                             struct str text)
{
    struct put put = {0};
    struct spool_draft *d = spool_begin(h->spool, loop);
    while (text.len) {
        struct str piece = str_upto(text, 8192);
        int r = spool_write(d, piece.p, piece.len);
        if (r == -EAGAIN) {
            struct put drained = {0};
            spool_on_drained(d, put_done, &drained);
            WAIT(drained.done);
            r = drained.error;
        }
        assert_int_equal(r, 0);
        text = str_from(text, piece.len);
    }
    struct spool_envelope e = *env;
    e.received_ms = e.received_ms ? e.received_ms : clock_wall_ms();
    spool_commit(&d, &e, rcpts, n, put_done, &put);
    WAIT(put.done);
    assert_int_equal(put.error, 0);
}

/* "To: a b c" in the simplest form. */
static inline void house_send(struct house *h, const char *from, const char *to, const char *text)
{
    char list[1024], *save = NULL;
    (void)snprintf(list, sizeof(list), "%s", to);
    struct spool_recipient rcpts[16];
    size_t n = 0;
    for (char *a = strtok_r(list, " ", &save); a; a = strtok_r(NULL, " ", &save))
        rcpts[n++] = (struct spool_recipient){.address = a};
    struct spool_envelope env = {.reverse_path = from, .session = "s1"};
    house_put(h, &env, rcpts, n, str_of(text));
}

#endif
