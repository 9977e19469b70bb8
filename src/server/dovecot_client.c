#include "server/dovecot_client.h"

#include "auth/dovecot.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#define PATIENCE_MS 15000 /* Dovecot delays failures by up to some seconds */

struct talk {
    int fd;
    int64_t deadline_ms;
    struct dovecot words;
    struct buf in, out;
};

static int connect_to(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(to.sun_path))
        return -ENAMETOOLONG;
    memcpy(to.sun_path, path, strlen(path));
    CLEANUP(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
        return -errno; /* EAGAIN: its queue is full, which is its trouble */
    return fd_take(&fd);
}

static int await(struct talk *t, short events)
{
    struct pollfd p = {.fd = t->fd, .events = events};
    int64_t left = t->deadline_ms - clock_monotonic_ms();
    int n = left > 0 ? poll(&p, 1, (int)left) : 0;
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    return n == 0 ? -ETIMEDOUT : 0;
}

static int send_all(struct talk *t)
{
    while (t->out.len) {
        ssize_t n = send(t->fd, t->out.data, t->out.len, MSG_NOSIGNAL);
        if (n > 0) {
            buf_consume(&t->out, (size_t)n);
            continue;
        }
        int r = n < 0 && errno != EAGAIN && errno != EINTR ? -errno : await(t, POLLOUT);
        if (r < 0)
            return r;
    }
    return 0;
}

static int receive(struct talk *t)
{
    int r = buf_reserve(&t->in, 4096);
    if (r < 0)
        return r;
    ssize_t n = recv(t->fd, t->in.data + t->in.len, 4096, 0);
    if (n == 0)
        return -ECONNRESET;
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? await(t, POLLIN) : -errno;
    t->in.len += (size_t)n;
    return 0;
}

/* Reads lines until one of them says something. */
static int next_word(struct talk *t, enum dovecot_word *ret)
{
    for (;;) {
        ssize_t lf = str_find(buf_str(&t->in), '\n');
        int r = lf < 0 ? receive(t) : 0;
        if (r < 0)
            return r;
        if (lf < 0)
            continue;
        *ret = dovecot_read(&t->words, str_upto(buf_str(&t->in), (size_t)lf));
        buf_consume(&t->in, (size_t)lf + 1);
        if (*ret != DOVECOT_MORE)
            return 0;
    }
}

static int ask(struct talk *t, struct str user, struct str password, const char *peer)
{
    enum dovecot_word word;
    /* Growing would leave pieces of the password behind. */
    int r = buf_reserve(&t->out, DOVECOT_LINE_MAX / 2);
    if (r == 0)
        r = dovecot_write_greeting(&t->out, (unsigned)getpid());
    if (r == 0)
        r = send_all(t);
    if (r == 0)
        r = next_word(t, &word);
    if (r == 0 && word != DOVECOT_READY)
        return -EPROTO;
    if (r == 0)
        r = dovecot_write_request(&t->out, user, password, peer);
    if (r == 0)
        r = send_all(t);
    if (r == 0)
        r = next_word(t, &word);
    if (r < 0)
        return r;
    return word == DOVECOT_OK        ? 0
           : word == DOVECOT_REFUSED ? -EACCES
           : word == DOVECOT_LATER   ? -EAGAIN
                                     : -EPROTO;
}

int dovecot_check(
    const char *socket, struct str user, struct str password, const char *peer, struct buf *name)
{
    struct talk t = {.deadline_ms = clock_monotonic_ms() + PATIENCE_MS,
                     .in = BUF_INIT((size_t)2 * DOVECOT_LINE_MAX),
                     .out = BUF_INIT(DOVECOT_LINE_MAX)};
    dovecot_init(&t.words);
    t.fd = connect_to(socket);
    int r = t.fd < 0 ? t.fd : ask(&t, user, password, peer);
    if (r == 0)
        r = buf_append_str(name, t.words.user.len ? buf_str(&t.words.user) : user);
    if (r < 0 && r != -EACCES)
        log_message(LOG_LEVEL_ERROR, "dovecot", "cannot check a password at %s: %s", socket,
                    r == -EPROTO ? "it does not speak the auth protocol, or offers no PLAIN"
                                 : strerror(-r));
    fd_closep(&t.fd);
    dovecot_done(&t.words);
    buf_wipe(&t.in);
    buf_wipe(&t.out);
    return r;
}
