#include "net/dial.h"

#include "net/loop_internal.h"

#include <errno.h>
#include <event2/dns.h>
#include <event2/util.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>

#define ADDRESSES_MAX 8
#define TRIED_MAX 512

/* What the resolver holds; it may outlive the dial, whose cancelled question is answered later. */
struct question {
    struct dial *dial; /* NULL: nobody waits any more */
};

struct dial {
    char *host, *port; /* NULL for a UNIX socket */
    struct sock_addr addresses[ADDRESSES_MAX];
    size_t n_addresses, next;
    struct question *question;
    struct evdns_getaddrinfo_request *request;
    void (*resolved)(void *arg);
    void *arg;
    size_t tried_len;
    bool separate; /* the next note is preceded by "; " */
    char tried[TRIED_MAX];
};

static void tell(struct dial *d, const char *fmt, ...) PRINTF(2, 3);
static void tell(struct dial *d, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(d->tried + d->tried_len, TRIED_MAX - d->tried_len, fmt, ap);
    va_end(ap);
    d->tried_len = MIN(d->tried_len + (size_t)MAX(n, 0), (size_t)TRIED_MAX - 1);
}

static void add_address(struct dial *d, const struct sock_addr *e)
{
    if (d->n_addresses < ADDRESSES_MAX)
        d->addresses[d->n_addresses++] = *e;
}

struct dial *dial_new(const char *host, const char *port)
{
    struct dial *d = xcalloc(1, sizeof(*d));
    d->host = xstrndup(host, strnlen(host, NI_MAXHOST));
    d->port = xstrndup(port, strnlen(port, NI_MAXSERV));
    tell(d, "%s:%s: ", d->host, d->port);
    return d;
}

struct dial *dial_new_unix(const char *path)
{
    struct dial *d = xcalloc(1, sizeof(*d));
    struct sock_addr e;
    tell(d, "unix:%.200s: ", path);
    if (sock_addr_unix(path, &e) == 0)
        add_address(d, &e);
    else
        tell(d, "a socket's path has 1 to %d octets", SOCK_ADDR_PATH_MAX);
    return d;
}

void dial_free(struct dial *d)
{
    if (!d)
        return;
    if (d->question) {
        d->question->dial = NULL;
        if (d->request)
            evdns_getaddrinfo_cancel(d->request);
    }
    free(d->host);
    free(d->port);
    free(d);
}

static void add_all(struct dial *d, const struct addrinfo *list)
{
    for (; list; list = list->ai_next) {
        struct sock_addr e = {.len = list->ai_addrlen};
        if (list->ai_addrlen > sizeof(e.sa))
            continue;
        memcpy(&e.sa, list->ai_addr, list->ai_addrlen);
        add_address(d, &e);
    }
}

static bool add_literal(struct dial *d, const char *host, uint16_t port)
{
    struct sock_addr e;
    if (sock_addr_parse(str_of(host), port, &e) < 0)
        return false;
    add_address(d, &e);
    return true;
}

/* EAI_FAIL covers a name that exists without an address, a server's failure, and its silence alike.
 */
static void resolver_failed(struct dial *d, int error)
{
    if (error == EVUTIL_EAI_NONAME || error == EVUTIL_EAI_NODATA)
        tell(d, "no such host name");
    else if (error == EVUTIL_EAI_FAIL || error == EVUTIL_EAI_AGAIN)
        tell(d, "no name server gave an address for this name");
    else
        tell(d, "cannot resolve this name: %s", evutil_gai_strerror(error));
}

static void on_answer(int error, struct evutil_addrinfo *list, void *arg)
{
    struct question *q = arg;
    struct dial *d = q->dial;
    free(q);
    if (d) {
        d->question = NULL;
        d->request = NULL;
        if (error)
            resolver_failed(d, error);
        else
            add_all(d, list);
    }
    if (list)
        evutil_freeaddrinfo(list);
    if (d)
        d->resolved(d->arg);
}

static void ask(struct dial *d, struct loop *l)
{
    struct evdns_base *dns = d->host[0] ? loop_evdns_base(l) : NULL;
    if (!dns) {
        resolver_failed(d, d->host[0] ? EVUTIL_EAI_MEMORY : EVUTIL_EAI_NONAME);
        d->resolved(d->arg);
        return;
    }
    struct question *q = xcalloc(1, sizeof(*q));
    q->dial = d;
    d->question = q;
    struct evdns_getaddrinfo_request *request =
        evdns_getaddrinfo(dns, d->host, d->port,
                          &(struct evutil_addrinfo){.ai_flags = EVUTIL_AI_NUMERICSERV,
                                                    .ai_family = AF_UNSPEC,
                                                    .ai_socktype = SOCK_STREAM,
                                                    .ai_protocol = IPPROTO_TCP},
                          on_answer, q);
    /* NULL: on_answer() has been called already, and what it called may have freed the dial. */
    if (request)
        d->request = request;
}

/* [rfc6761 6.3] No resolver has to be asked what localhost is, nor is one there on every machine.
 */
static bool is_localhost(const char *host)
{
    struct str s = str_of(host);
    return str_eq_nocase(s, STR("localhost")) || str_eq_nocase(s, STR("localhost."));
}

void dial_resolve(struct dial *d, struct loop *l, void (*resolved)(void *arg), void *arg)
{
    d->resolved = resolved;
    d->arg = arg;
    uint64_t port = 0;
    if (!d->host) {
        resolved(arg);
    } else if (str_to_u64(str_of(d->port), UINT16_MAX, &port) < 0 || port == 0) {
        tell(d, "the port is not a number from 1 to 65535");
        resolved(arg);
    } else if (is_localhost(d->host)) {
        (void)add_literal(d, "127.0.0.1", (uint16_t)port);
        (void)add_literal(d, "::1", (uint16_t)port);
        resolved(arg);
    } else if (add_literal(d, d->host, (uint16_t)port)) {
        resolved(arg);
    } else {
        ask(d, l);
    }
}

void dial_note(struct dial *d, const char *why)
{
    const char *between = d->separate ? "; " : "";
    d->separate = true;
    if (d->host)
        tell(d, "%s%s: %s", between, dial_peer(d).address, why);
    else
        tell(d, "%s%s", between, why);
}

int dial_next(struct dial *d, int *ret_fd)
{
    while (d->next < d->n_addresses) {
        const struct sock_addr *e = &d->addresses[d->next++];
        CLEANUP(fd_closep)
        int fd = socket(e->sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd >= 0 &&
            (connect(fd, (const struct sockaddr *)&e->sa, e->len) == 0 || errno == EINPROGRESS)) {
            *ret_fd = fd_take(&fd);
            return 0;
        }
        dial_note(d, strerror(errno));
    }
    return -ENOENT;
}

int dial_result(struct dial *d, int fd)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (error)
        dial_note(d, strerror(error));
    return -error;
}

struct peer dial_peer(const struct dial *d)
{
    if (d->next == 0)
        return (struct peer){.address = "unknown"};
    return sock_addr_peer(&d->addresses[d->next - 1]);
}

const char *dial_tried(const struct dial *d)
{
    return d->tried;
}
