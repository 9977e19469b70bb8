/* port.h - how calls get from the spool's threads to a loop: gathered, and posted once for many.
 *
 * A port is one loop's letter box.  The committer stages calls while it settles a group and flushes once, so a
 * worker wakes once for all its sessions' messages of a group.  Calls arrive in the order sent.
 *
 * After port_close() nothing is posted to the loop any more, which may then be freed.  Calls still come, but on
 * the thread that has them in hand, one at a time, and with open == false: free what you own and call nobody back.
 */
#ifndef POSTERN_SPOOL_PORT_H
#define POSTERN_SPOOL_PORT_H

#include "spool/spool.h"

#include <pthread.h>

struct port;

struct ports {
    pthread_mutex_t lock;
    struct port *list;
};

void ports_init(struct ports *ports);
void ports_done(struct ports *ports); /* closes and releases them all */

/* The port of this loop, made when it is new.  Any thread. */
struct port *ports_of(struct ports *ports, struct loop *l);
/* Closes the port of this loop, and forgets it: a later loop may have the same address.  Runs what is queued with
 * open == false, and waits for a run in another thread to end. */
void ports_forget(struct ports *ports, struct loop *l);

void port_ref(struct port *p);
void port_unref(struct port *p);

/* Any thread. */
void port_send(struct port *p, struct spool_call *c);

/* What one thread sends to several ports, each woken once. */
struct outbox {
    struct port *touched;
};
void outbox_add(struct outbox *box,
                struct port *p,
                struct spool_call *c); /* one outbox a process: the committer's */
void outbox_flush(struct outbox *box);

#endif
