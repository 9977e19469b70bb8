#include "net/listener.h"

#include "base/clock.h"
#include "base/log.h"
#include "net/loop_internal.h"
#include "net/sock_addr.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* Accepted in one go before the connections already there have their turn. */
#define ACCEPT_BATCH 64
#define PAUSE_MS 200
#define LOG_EVERY_MS 60000
#define RESERVE 256 /* descriptors, or a quarter of few */

struct listener {
    struct loop *loop;
    int fd;
    void (*on_accept)(void *arg, int fd);
    void *arg;
    struct event acceptable;
    struct loop_timer *pause;
    int64_t logged_ms; /* monotonic, 0: never */
    int ceiling;       /* descriptors from here on are not for those who connect */
    bool is_tight;     /* they have come to it */
    bool closed;
    struct loop_task free_task;
};

static int complain(char *why, int error, const char *fmt, ...) PRINTF(3, 4);
static int complain(char *why, int error, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, LISTENER_WHY_MAX, fmt, ap);
    va_end(ap);
    return error;
}

static bool is_unix(const char *address)
{
    return str_starts_nocase(str_of(address), STR("unix:"));
}

/* IPv6 and IPv4 in one socket. */
static bool is_any(const char *address)
{
    return address[0] == '*';
}

static int parse_unix(const char *address, struct sock_addr *ret, char *why)
{
    if (sock_addr_unix(address + strlen("unix:"), ret) == 0)
        return 0;
    return complain(why, -EINVAL, "%.100s: a socket's path has 1 to %d octets", address,
                    SOCK_ADDR_PATH_MAX);
}

/* "127.0.0.1:587", "[::1]:587", "*:587"; the port is what follows the last colon. */
static int parse_inet(const char *address, struct sock_addr *ret, char *why)
{
    const char *colon = strrchr(address, ':');
    uint64_t port = 0;
    if (!colon || str_to_u64(str_of(colon + 1), UINT16_MAX, &port) < 0)
        return complain(why, -EINVAL, "%.100s: no port number; write for example 127.0.0.1:587",
                        address);
    struct str host = {address, (size_t)(colon - address)};
    bool bracketed = host.len > 2 && host.p[0] == '[' && host.p[host.len - 1] == ']';
    if (bracketed)
        host = (struct str){host.p + 1, host.len - 2};
    bool any = str_eq(host, STR("*")) && !bracketed;
    bool ok = sock_addr_parse(any ? STR("::") : host, (uint16_t)port, ret) == 0;
    if (ok && (any || bracketed == (ret->sa.ss_family == AF_INET6)))
        return 0;
    return complain(why, -EINVAL,
                    "%.100s: not an address; write 127.0.0.1:587, [::1]:587, *:587 or unix:/path",
                    address);
}

static int parse(const char *address, struct sock_addr *ret, char *why)
{
    return is_unix(address) ? parse_unix(address, ret, why) : parse_inet(address, ret, why);
}

/* A socket file outlives the program that made it.  One that nobody answers on is taken away. */
static void remove_stale(const char *path, const struct sock_addr *e)
{
    struct stat st;
    if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return;
    CLEANUP(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0 && connect(fd, (const struct sockaddr *)&e->sa, e->len) < 0 &&
        errno == ECONNREFUSED)
        (void)unlink(path);
}

static int explain_bind(const char *address, int error, char *why)
{
    const char *colon = strrchr(address, ':');
    const char *port = colon ? colon + 1 : address;
    switch (error) {
    case EADDRINUSE:
        if (is_unix(address))
            return complain(why, -error, "%.100s is in use by another program", address);
        return complain(why, -error,
                        "%.100s: port %.8s is in use by another program (ss -ltnp shows which)",
                        address, port);
    case EACCES:
        return complain(why, -error,
                        "%.100s: not permitted; ports below 1024 need root or CAP_NET_BIND_SERVICE",
                        address);
    case EADDRNOTAVAIL:
        return complain(why, -error, "%.100s: this machine does not have that address", address);
    default:
        return complain(why, -error, "%.100s: %s", address, strerror(error));
    }
}

static int set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* `shared`: other sockets of ours may be bound to the same address. */
static int open_bound(const struct sock_addr *e, bool any, bool shared, int *ret_fd)
{
    int family = e->sa.ss_family;
    CLEANUP(fd_closep) int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int r = 0;
    if (family != AF_UNIX)
        r = set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (r == 0 && family != AF_UNIX && shared)
        r = set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (r == 0 && family == AF_INET6)
        r = set(fd, IPPROTO_IPV6, IPV6_V6ONLY, !any);
    if (r == 0 && bind(fd, (const struct sockaddr *)&e->sa, e->len) < 0)
        r = -errno;
    if (r == 0)
        *ret_fd = fd_take(&fd);
    return r;
}

/* Parses, binds, and puts what went wrong in words. */
static int open_at(const char *address, bool shared, int *ret_fd, char *why)
{
    struct sock_addr e;
    int r = parse(address, &e, why);
    if (r < 0)
        return r;
    bool any = is_any(address);
    if (is_unix(address))
        remove_stale(address + strlen("unix:"), &e);
    r = open_bound(&e, any, shared, ret_fd);
    if (r == -EAFNOSUPPORT && any) { /* a machine without IPv6 */
        struct sockaddr_in6 six;
        memcpy(&six, &e.sa, sizeof(six));
        if (sock_addr_parse(STR("0.0.0.0"), ntohs(six.sin6_port), &e) == 0)
            r = open_bound(&e, any, shared, ret_fd);
    }
    return r < 0 ? explain_bind(address, -r, why) : 0;
}

int listener_bind(const char *address, int backlog, int *ret_fd, char *why)
{
    CLEANUP(fd_closep) int fd = -1;
    int r = open_at(address, true, &fd, why);
    if (r < 0)
        return r;
    if (listen(fd, backlog) < 0)
        return explain_bind(address, errno, why);
    *ret_fd = fd_take(&fd);
    return 0;
}

/* SO_REUSEPORT would let a second server of the same user in beside us, each getting half of the
 * connections.  A first bind without it finds that out. */
static int check_free(const char *address, char *why)
{
    CLEANUP(fd_closep) int fd = -1;
    return is_unix(address) ? 0 : open_at(address, false, &fd, why);
}

static int share(int first, int *ret_fd, char *why)
{
    int fd = fcntl(first, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return complain(why, -errno, "cannot share a listening socket: %s", strerror(errno));
    *ret_fd = fd;
    return 0;
}

int listener_bind_each(const char *address, int backlog, int *fds, size_t n, char *why)
{
    int r = check_free(address, why);
    size_t done = 0;
    for (; r == 0 && done < n; done += r == 0)
        r = is_unix(address) && done ? share(fds[0], &fds[done], why)
                                     : listener_bind(address, backlog, &fds[done], why);
    while (r < 0 && done > 0)
        fd_closep(&fds[--done]);
    return r;
}

/* Who connects, be it anybody, may not take what deliveries, the spool and a reload need. */
static int ceiling(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > INT_MAX)
        return INT_MAX;
    return (int)(limit.rlim_cur - MIN(limit.rlim_cur / 4, (rlim_t)RESERVE));
}

/* The kernel gives the lowest number that is free. */
static bool has_room(const struct listener *ls)
{
    int next = fcntl(ls->fd, F_DUPFD_CLOEXEC, 0);
    if (next >= 0)
        (void)close(next);
    return next >= 0 && next < ls->ceiling;
}

static void resume(void *arg)
{
    struct listener *ls = arg;
    ls->is_tight = ls->is_tight && !has_room(ls);
    if (ls->is_tight)
        loop_timer_set(ls->pause, PAUSE_MS);
    else
        (void)event_add(&ls->acceptable, NULL);
}

/* No descriptor or memory left: the connection stays in the kernel's queue until others have ended.
 * Trying at once again would only burn time. */
static void pause_accepting(struct listener *ls, int error)
{
    int64_t now = clock_monotonic_ms();
    if (ls->logged_ms == 0 || now - ls->logged_ms >= LOG_EVERY_MS) {
        ls->logged_ms = now;
        log_message(
            LOG_LEVEL_WARNING, "accept-paused",
            "cannot accept connections: %s; raise LimitNOFILE or lower the connection limit",
            strerror(error));
    }
    (void)event_del(&ls->acceptable);
    loop_timer_set(ls->pause, PAUSE_MS);
}

static bool is_shortage(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

static void on_acceptable(evutil_socket_t lfd, short what, void *arg)
{
    (void)what;
    struct listener *ls = arg;
    for (int i = 0; i < ACCEPT_BATCH && !ls->closed; i++) {
        int fd = accept4((int)lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            ls->is_tight = fd >= ls->ceiling;
            if (ls->is_tight)
                pause_accepting(ls, EMFILE);
            ls->on_accept(ls->arg, fd); /* may free ls at the end of the turn */
            if (ls->is_tight)
                return;
            continue;
        }
        int error = errno;
        if (is_shortage(error))
            pause_accepting(ls, error);
        if (is_shortage(error) || error == EAGAIN)
            return;
        /* Anything else is about one connection that is gone already: accept(2), "Error handling".
         */
    }
}

static void free_now(struct loop_task *task)
{
    free(container_of(task, struct listener, free_task));
}

struct listener *
listener_start(struct loop *l, int fd, void (*on_accept)(void *arg, int fd), void *arg)
{
    struct listener *ls = xcalloc(1, sizeof(*ls));
    *ls = (struct listener){.loop = l, .fd = fd, .on_accept = on_accept, .arg = arg, .ceiling = ceiling()};
    ls->free_task.run = free_now;
    ls->pause = loop_timer_new(l, resume, ls);
    (void)event_assign(&ls->acceptable, loop_event_base(l), fd, EV_READ | EV_PERSIST, on_acceptable,
                       ls);
    (void)event_add(&ls->acceptable, NULL);
    return ls;
}

int listener_port(const struct listener *ls)
{
    struct sock_addr own = {.len = sizeof(own.sa)};
    if (getsockname(ls->fd, (struct sockaddr *)&own.sa, &own.len) < 0)
        return 0;
    return sock_addr_peer(&own).port;
}

void listener_free(struct listener *ls)
{
    if (!ls || ls->closed)
        return;
    ls->closed = true;
    (void)event_del(&ls->acceptable);
    loop_timer_free(ls->pause);
    fd_closep(&ls->fd);
    loop_defer(ls->loop, &ls->free_task); /* this may be its own callback */
}
