#include "net/loop_internal.h"

#include "base/log.h"
#include "net/resolver.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <pthread.h>
#include <sys/eventfd.h>

struct task_list {
    struct loop_task *first, **end;
};

struct loop_signal {
    struct loop_signal *next;
    struct event ev;
    void (*on_signal)(void *arg, int signo);
    void *arg;
};

struct loop_timer {
    struct event ev;
    void (*fire)(void *arg);
    void *arg;
};

/* Invariants:
 * L1  `posted` and `stopping` are touched under `lock` only; all else by the loop's thread only.
 * L2  the eventfd is written once when `posted` turns from empty to not empty, and under `lock`, so
 * that a poster is done with the loop before its task can run and perhaps free that loop. L3  tasks
 * are run from loop_run() or loop_free() with none of our own functions below them on the stack: an
 * object freed by a deferred task is not in use further up. */
struct loop {
    struct event_base *base;
    struct resolver *resolver;
    struct event wake;
    int wake_fd;
    pthread_mutex_t lock;
    struct task_list posted;
    bool stopping;
    struct task_list deferred;
    struct loop_signal *signals;
    struct loop_child *children;
    char scratch[LOOP_SCRATCH_SIZE];
};

static void list_init(struct task_list *list)
{
    *list = (struct task_list){.first = NULL, .end = &list->first};
}

static void list_add(struct task_list *list, struct loop_task *task)
{
    task->next = NULL;
    *list->end = task;
    list->end = &task->next;
}

static struct loop_task *list_take(struct task_list *list)
{
    struct loop_task *first = list->first;
    list_init(list);
    return first;
}

/* A task may be freed or handed in again by its own run(). */
static void run_all(struct loop_task *task)
{
    while (task) {
        struct loop_task *next = task->next;
        task->run(task);
        task = next;
    }
}

static struct loop_task *take_posted(struct loop *l)
{
    (void)pthread_mutex_lock(&l->lock);
    struct loop_task *first = list_take(&l->posted);
    (void)pthread_mutex_unlock(&l->lock);
    return first;
}

static void wake_up(struct loop *l)
{
    ssize_t n = write(l->wake_fd, &(uint64_t){1}, sizeof(uint64_t));
    (void)n; /* fails only when the counter is full, and then the loop is being woken anyway */
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    uint64_t count;
    ssize_t n = read((int)fd, &count, sizeof(count));
    (void)n; /* nothing there: the tasks went with an earlier wake-up */
    run_all(take_posted(arg));
}

static int open_base(struct loop *l)
{
    struct event_config *config = event_config_new();
    if (!config)
        return -ENOMEM;
    /* One thread, so no locks; other threads come by loop_post() alone. */
    int r = event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    if (r == 0)
        l->base = event_base_new_with_config(config);
    event_config_free(config);
    return l->base ? 0 : -ENOMEM;
}

/* What libevent would print to standard error as it likes; the callback is the process's, not a
 * loop's. */
static void on_library_message(int severity, const char *message)
{
    bool serious = severity == EVENT_LOG_WARN || severity == EVENT_LOG_ERR;
    log_message(serious ? LOG_LEVEL_WARNING : LOG_LEVEL_DEBUG, "event-library", "%s", message);
}

static void catch_library_messages(void)
{
    event_set_log_callback(on_library_message);
}

int loop_new(struct loop **ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, catch_library_messages);
    struct loop *l = xcalloc(1, sizeof(*l));
    list_init(&l->posted);
    list_init(&l->deferred);
    (void)pthread_mutex_init(&l->lock, NULL);
    l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int r = l->wake_fd < 0 ? -errno : open_base(l);
    if (r == 0) {
        (void)event_assign(&l->wake, l->base, l->wake_fd, EV_READ | EV_PERSIST, on_wake, l);
        r = event_add(&l->wake, NULL) < 0 ? -ENOMEM : 0;
    }
    if (r < 0) {
        loop_free(l);
        return r;
    }
    *ret = l;
    return 0;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    struct loop_task *task;
    while ((task = take_posted(l)) || (task = list_take(&l->deferred)))
        run_all(task);
    while (l->children) {
        struct loop_child *child = l->children;
        loop_disown(child);
        child->drop(child);
    }
    resolver_free(l->resolver);
    while (l->signals) {
        struct loop_signal *next = l->signals->next;
        (void)event_del(&l->signals->ev);
        free(l->signals);
        l->signals = next;
    }
    if (l->base) {
        (void)event_del(&l->wake);
        event_base_free(l->base);
    }
    fd_closep(&l->wake_fd);
    (void)pthread_mutex_destroy(&l->lock);
    free(l);
}

static bool take_stop(struct loop *l)
{
    (void)pthread_mutex_lock(&l->lock);
    bool stopping = l->stopping;
    l->stopping = false;
    (void)pthread_mutex_unlock(&l->lock);
    return stopping;
}

void loop_run(struct loop *l)
{
    while (!take_stop(l)) {
        run_all(list_take(&l->deferred));
        /* What was deferred just now must not wait for the network, nor may it starve the network.
         */
        (void)event_base_loop(l->base, l->deferred.first ? EVLOOP_NONBLOCK : EVLOOP_ONCE);
    }
    run_all(list_take(&l->deferred));
}

void loop_stop(struct loop *l)
{
    (void)pthread_mutex_lock(&l->lock);
    l->stopping = true;
    wake_up(l);
    (void)pthread_mutex_unlock(&l->lock);
}

void loop_post(struct loop *l, struct loop_task *task)
{
    (void)pthread_mutex_lock(&l->lock);
    bool first = !l->posted.first;
    list_add(&l->posted, task);
    if (first)
        wake_up(l);
    (void)pthread_mutex_unlock(&l->lock);
}

void loop_defer(struct loop *l, struct loop_task *task)
{
    list_add(&l->deferred, task);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct loop_timer *t = arg;
    t->fire(t->arg);
}

struct loop_timer *loop_timer_new(struct loop *l, void (*fire)(void *arg), void *arg)
{
    struct loop_timer *t = xcalloc(1, sizeof(*t));
    t->fire = fire;
    t->arg = arg;
    (void)evtimer_assign(&t->ev, l->base, on_timer, t);
    return t;
}

void loop_timer_set(struct loop_timer *t, int64_t delay_ms)
{
    delay_ms = MAX(delay_ms, (int64_t)0);
    struct timeval tv = {.tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000};
    if (evtimer_add(&t->ev, &tv) < 0)
        abort(); /* no memory for one heap slot */
}

void loop_timer_cancel(struct loop_timer *t)
{
    (void)evtimer_del(&t->ev);
}

void loop_timer_free(struct loop_timer *t)
{
    if (!t)
        return;
    (void)evtimer_del(&t->ev);
    free(t);
}

static void on_signal_event(evutil_socket_t signo, short what, void *arg)
{
    (void)what;
    struct loop_signal *sig = arg;
    sig->on_signal(sig->arg, (int)signo);
}

int loop_signals(struct loop *l,
                 const int *signals,
                 void (*on_signal)(void *arg, int signo),
                 void *arg)
{
    for (; *signals; signals++) {
        struct loop_signal *sig = xcalloc(1, sizeof(*sig));
        *sig = (struct loop_signal){.next = l->signals, .on_signal = on_signal, .arg = arg};
        l->signals = sig;
        (void)evsignal_assign(&sig->ev, l->base, *signals, on_signal_event, sig);
        if (evsignal_add(&sig->ev, NULL) < 0)
            return -EINVAL;
    }
    return 0;
}

struct event_base *loop_event_base(struct loop *l)
{
    return l->base;
}

struct evdns_base *loop_evdns_base(struct loop *l)
{
    if (!l->resolver)
        loop_resolver_files(l, "/etc/resolv.conf", "/etc/hosts");
    return resolver_evdns(l->resolver);
}

void loop_resolver_files(struct loop *l, const char *resolv_conf, const char *hosts)
{
    resolver_free(l->resolver);
    l->resolver = resolver_new(l->base, resolv_conf, hosts);
}

char *loop_scratch(struct loop *l)
{
    return l->scratch;
}

void loop_adopt(struct loop *l, struct loop_child *child)
{
    child->at = &l->children;
    child->next = l->children;
    if (child->next)
        child->next->at = &child->next;
    l->children = child;
}

void loop_disown(struct loop_child *child)
{
    if (!child->at)
        return;
    *child->at = child->next;
    if (child->next)
        child->next->at = child->at;
    child->at = NULL;
}
