#include "server/worker.h"

#include "base/log.h"
#include "net/listener.h"
#include "server/session.h"

#include <errno.h>

struct door { /* one listening socket of this worker */
    struct door *next;
    struct worker *worker;
    struct endpoint *endpoint;
    struct listener *listener;
};

struct worker {
    struct loop *loop;
    struct spool *spool;
    struct relay *relay;
    struct door *doors;
    struct session *sessions;
    atomic_uint n_sessions;
    struct loop_task drain_task, end_task;
    bool draining;
    bool started;
    pthread_t thread;
};

struct loop *worker_loop(struct worker *w)
{
    return w->loop;
}

struct spool *worker_spool(struct worker *w)
{
    return w->spool;
}

struct relay *worker_relay(struct worker *w)
{
    return w->relay;
}

bool worker_is_draining(const struct worker *w)
{
    return w->draining;
}

bool worker_is_empty(const struct worker *w)
{
    return atomic_load(&w->n_sessions) == 0;
}

void worker_adopt(struct worker *w, struct session *s)
{
    session_link(s)->next = w->sessions;
    if (w->sessions)
        session_link(w->sessions)->previous = s;
    w->sessions = s;
    (void)atomic_fetch_add(&w->n_sessions, 1);
}

void worker_forget(struct worker *w, struct session *s)
{
    struct session_link *l = session_link(s);
    if (l->previous)
        session_link(l->previous)->next = l->next;
    else
        w->sessions = l->next;
    if (l->next)
        session_link(l->next)->previous = l->previous;
    (void)atomic_fetch_sub(&w->n_sessions, 1);
}

static void doors_close(struct worker *w)
{
    while (w->doors) {
        struct door *d = w->doors;
        w->doors = d->next;
        listener_free(d->listener);
        free(d);
    }
}

static void sessions_shutdown(struct worker *w, bool now)
{
    struct session *next;
    for (struct session *s = w->sessions; s; s = next) {
        next = session_link(s)->next; /* s may free itself */
        session_shutdown(s, now);
    }
}

static void drain_run(struct loop_task *task)
{
    struct worker *w = container_of(task, struct worker, drain_task);
    w->draining = true;
    doors_close(w);
    sessions_shutdown(w, false);
}

static void end_run(struct loop_task *task)
{
    struct worker *w = container_of(task, struct worker, end_task);
    doors_close(w);
    sessions_shutdown(w, true);
    loop_stop(w->loop);
}

void worker_drain(struct worker *w)
{
    loop_post(w->loop, &w->drain_task);
}

void worker_end(struct worker *w)
{
    loop_post(w->loop, &w->end_task);
}

static void on_accept(void *arg, int fd)
{
    struct door *d = arg;
    (void)atomic_fetch_add(&d->endpoint->connections, 1);
    session_start(d->worker, d->endpoint, fd);
}

struct worker *worker_new(void)
{
    struct worker *w = xcalloc(1, sizeof(*w));
    if (loop_new(&w->loop) < 0)
        abort(); /* at start-up, and of a small fixed size */
    w->drain_task.run = drain_run;
    w->end_task.run = end_run;
    return w;
}

void worker_listen(struct worker *w, struct endpoint *e, int fd)
{
    struct door *d = xcalloc(1, sizeof(*d));
    *d = (struct door){.next = w->doors, .worker = w, .endpoint = e};
    w->doors = d;
    d->listener = listener_start(w->loop, fd, on_accept, d);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    loop_run(w->loop);
    return NULL;
}

int worker_start(struct worker *w, struct spool *sp, struct relay *relay)
{
    w->spool = sp;
    w->relay = relay;
    int r = pthread_create(&w->thread, NULL, worker_main, w);
    w->started = r == 0;
    return -r;
}

void worker_join(struct worker *w)
{
    if (w->started)
        (void)pthread_join(w->thread, NULL);
    w->started = false;
}

void worker_free(struct worker *w)
{
    doors_close(w);
    loop_free(w->loop);
    free(w);
}
