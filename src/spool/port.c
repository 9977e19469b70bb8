#include "spool/port.h"

#include <stdatomic.h>

struct call_list {
    struct spool_call *head, **tail;
};

struct port {
    struct port *next; /* in the registry */
    struct loop *loop;
    struct loop_task task;

    pthread_mutex_t lock;
    pthread_cond_t idle;
    struct call_list queued;
    bool posted, closed;
    bool running;
    pthread_t runner;
    struct spool_call *in_hand; /* the runner's rest */
    atomic_uint refs;

    struct call_list staged; /* by the outbox; its thread's own */
    struct port *next_touched;
    bool touched;
};

static void list_init(struct call_list *l)
{
    l->head = NULL;
    l->tail = &l->head;
}

static void list_add(struct call_list *l, struct spool_call *c)
{
    c->next = NULL;
    *l->tail = c;
    l->tail = &c->next;
}

static struct spool_call *list_take(struct call_list *l)
{
    struct spool_call *head = l->head;
    list_init(l);
    return head;
}

void port_ref(struct port *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
}

void port_unref(struct port *p)
{
    if (atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) > 1)
        return;
    (void)pthread_mutex_destroy(&p->lock);
    (void)pthread_cond_destroy(&p->idle);
    free(p);
}

static void run_all(struct spool_call **in_hand, bool open)
{
    while (*in_hand) {
        struct spool_call *c = *in_hand;
        *in_hand = c->next;
        c->run(c, open);
    }
}

static void run_on_loop(struct loop_task *task)
{
    struct port *p = container_of(task, struct port, task);
    (void)pthread_mutex_lock(&p->lock);
    p->posted = false;
    p->running = true;
    p->runner = pthread_self();
    p->in_hand = list_take(&p->queued);
    (void)pthread_mutex_unlock(&p->lock);
    run_all(&p->in_hand, true); /* a callback may close the port: then nothing is left in hand */
    (void)pthread_mutex_lock(&p->lock);
    p->running = false;
    (void)pthread_cond_broadcast(&p->idle);
    (void)pthread_mutex_unlock(&p->lock);
    port_unref(p);
}

static struct port *port_new(struct loop *l)
{
    struct port *p = xcalloc(1, sizeof(*p));
    p->loop = l;
    p->task.run = run_on_loop;
    atomic_init(&p->refs, 1);
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->idle, NULL);
    list_init(&p->queued);
    list_init(&p->staged);
    return p;
}

/* With the lock held.  Posting under the lock is what lets port_close() promise that the loop may go. */
static void post(struct port *p)
{
    if (p->posted || !p->queued.head)
        return;
    p->posted = true;
    port_ref(p);
    loop_post(p->loop, &p->task);
}

/* With the lock held, which keeps calls in order while several threads find the port closed. */
static void settle(struct port *p)
{
    if (!p->closed) {
        post(p);
        return;
    }
    struct spool_call *rest = list_take(&p->queued);
    run_all(&rest, false);
}

void port_send(struct port *p, struct spool_call *c)
{
    (void)pthread_mutex_lock(&p->lock);
    list_add(&p->queued, c);
    settle(p);
    (void)pthread_mutex_unlock(&p->lock);
}

static void port_close(struct port *p)
{
    (void)pthread_mutex_lock(&p->lock);
    p->closed = true;
    if (p->running && pthread_equal(p->runner, pthread_self()))
        run_all(&p->in_hand, false);
    else
        while (p->running)
            (void)pthread_cond_wait(&p->idle, &p->lock);
    settle(p);
    (void)pthread_mutex_unlock(&p->lock);
}

void ports_init(struct ports *ports)
{
    ports->list = NULL;
    (void)pthread_mutex_init(&ports->lock, NULL);
}

void ports_done(struct ports *ports)
{
    while (ports->list) {
        struct port *p = ports->list;
        ports->list = p->next;
        port_close(p);
        port_unref(p);
    }
    (void)pthread_mutex_destroy(&ports->lock);
}

struct port *ports_of(struct ports *ports, struct loop *l)
{
    (void)pthread_mutex_lock(&ports->lock);
    struct port *p = ports->list;
    while (p && p->loop != l)
        p = p->next;
    if (!p) {
        p = port_new(l);
        p->next = ports->list;
        ports->list = p;
    }
    (void)pthread_mutex_unlock(&ports->lock);
    return p;
}

void ports_forget(struct ports *ports, struct loop *l)
{
    (void)pthread_mutex_lock(&ports->lock);
    struct port **at = &ports->list;
    while (*at && (*at)->loop != l)
        at = &(*at)->next;
    struct port *p = *at;
    if (p)
        *at = p->next;
    (void)pthread_mutex_unlock(&ports->lock);
    if (!p)
        return;
    port_close(p);
    port_unref(p);
}

void outbox_add(struct outbox *box, struct port *p, struct spool_call *c)
{
    list_add(&p->staged, c);
    if (p->touched)
        return;
    p->touched = true;
    port_ref(p); /* until the flush */
    p->next_touched = box->touched;
    box->touched = p;
}

static void flush(struct port *p)
{
    (void)pthread_mutex_lock(&p->lock);
    *p->queued.tail = p->staged.head;
    p->queued.tail = p->staged.tail;
    list_init(&p->staged);
    settle(p);
    (void)pthread_mutex_unlock(&p->lock);
}

void outbox_flush(struct outbox *box)
{
    while (box->touched) {
        struct port *p = box->touched;
        box->touched = p->next_touched;
        p->touched = false;
        flush(p);
        port_unref(p);
    }
}
