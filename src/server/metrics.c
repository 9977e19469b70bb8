#include "server/metrics.h"

#include "net/listener.h"
#include "net/stream.h"

#include <errno.h>
#include <stdio.h>

#define TIMEOUT_MS 10000
#define BACKLOG 16

struct visit { /* one request and its answer */
    struct visit *next;
    struct metrics *metrics;
    struct stream *stream;
};

struct metrics {
    struct loop *loop;
    struct service *service;
    struct listener *listener;
    struct visit *visits;
    unsigned n_visits;
};

static void visit_end(struct visit *v)
{
    struct visit **at = &v->metrics->visits;
    while (*at != v)
        at = &(*at)->next;
    *at = v->next;
    v->metrics->n_visits--;
    stream_close(v->stream); /* sends what waits */
    free(v);
}

static void answer(struct visit *v, const char *status, const char *extra, struct str body)
{
    CLEANUP(buf_done) struct buf out = BUF_INIT(METRICS_PAGE_MAX + 1024);
    int r = buf_printf(&out,
                       "HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
                       "Content-Length: %zu\r\n%sConnection: close\r\n\r\n",
                       status, body.len, extra);
    if (r == 0)
        r = buf_append_str(&out, body);
    if (r == 0)
        (void)!stream_write_str(v->stream, buf_str(&out));
}

static void answer_page(struct visit *v)
{
    CLEANUP(buf_done) struct buf page = BUF_INIT(METRICS_PAGE_MAX);
    if (service_metrics(v->metrics->service, &page) < 0)
        answer(v, "500 Internal Server Error", "", STR("the page does not fit\n"));
    else
        answer(v, "200 OK", "", buf_str(&page));
}

/* [rfc9112 3] Method, target and version of the first line are all that counts. */
static void serve(struct visit *v, struct str head)
{
    struct str line = str_upto(head, (size_t)MAX(str_find(head, '\r'), 0));
    ssize_t first = str_find(line, ' ');
    struct str method = str_upto(line, (size_t)MAX(first, 0));
    struct str rest = str_from(line, (size_t)MAX(first, 0) + 1);
    ssize_t second = str_find(rest, ' ');
    struct str target = str_upto(rest, (size_t)MAX(second, 0));
    struct str version = str_from(rest, (size_t)MAX(second, 0) + 1);
    if (first < 1 || second < 1 || !str_starts_nocase(version, STR("HTTP/1.")))
        answer(v, "400 Bad Request", "", STR("that is no HTTP/1 request\n"));
    else if (!str_eq(method, STR("GET")))
        answer(v, "405 Method Not Allowed", "Allow: GET\r\n", STR("only GET is served\n"));
    else if (!str_eq(target, STR("/metrics")))
        answer(v, "404 Not Found", "", STR("there is only /metrics\n"));
    else
        answer_page(v);
}

static size_t on_input(void *ctx, const char *data, size_t len)
{
    struct visit *v = ctx;
    const char *end = memmem(data, len, "\r\n\r\n", 4);
    if (!end && len < METRICS_REQUEST_MAX)
        return 0;
    if (end)
        serve(v, (struct str){data, (size_t)(end - data) + 2});
    else
        answer(v, "431 Request Header Fields Too Large", "", STR("the request is too long\n"));
    visit_end(v);
    return len;
}

static void on_ended(void *ctx, enum stream_end end, const char *detail)
{
    (void)end;
    (void)detail;
    visit_end(ctx);
}

static void on_accept(void *arg, int fd)
{
    static const struct stream_ops ops = {.input = on_input, .ended = on_ended};
    struct metrics *m = arg;
    if (m->n_visits == METRICS_CLIENTS_MAX) {
        (void)close(fd);
        return;
    }
    struct visit *v = xcalloc(1, sizeof(*v));
    *v = (struct visit){.next = m->visits, .metrics = m};
    m->visits = v;
    m->n_visits++;
    v->stream = stream_accepted(m->loop, fd, &ops, v);
    stream_timeout(v->stream, TIMEOUT_MS);
}

int metrics_start(
    struct loop *l, const char *address, struct service *sv, struct metrics **ret, char *why)
{
    int fd;
    int r = listener_bind_each(address, BACKLOG, &fd, 1, why); /* each: notices another program with SO_REUSEPORT */
    if (r < 0)
        return r;
    struct metrics *m = xcalloc(1, sizeof(*m));
    *m = (struct metrics){.loop = l, .service = sv};
    m->listener = listener_start(l, fd, on_accept, m);
    *ret = m;
    return 0;
}

void metrics_stop(struct metrics *m)
{
    if (!m)
        return;
    listener_free(m->listener);
    while (m->visits)
        visit_end(m->visits);
    free(m);
}
