/* worker.h - one thread of the service: its loop, its listening sockets, its sessions. */
#ifndef POSTERN_WORKER_H
#define POSTERN_WORKER_H

#include "server/endpoint.h"

struct session;
struct worker;

struct worker *worker_new(void);
/* Takes fd, which listens for the endpoint.  Before worker_start(). */
void worker_listen(struct worker *w, struct endpoint *e, int fd);
MUST_USE int worker_start(struct worker *w, struct spool *sp, struct relay *relay);
void worker_drain(struct worker *w); /* any thread: accept no more, end what is idle, the rest when it becomes idle */
void worker_end(struct worker *w);   /* any thread: end every session now and stop */
bool worker_is_empty(const struct worker *w); /* any thread */
void worker_join(struct worker *w);  /* after worker_end() */
void worker_free(struct worker *w);

/* ---- for the sessions of this worker, on its thread ---- */
struct loop *worker_loop(struct worker *w);
struct spool *worker_spool(struct worker *w);
struct relay *worker_relay(struct worker *w);
bool worker_is_draining(const struct worker *w);
void worker_adopt(struct worker *w, struct session *s);
void worker_forget(struct worker *w, struct session *s);

#endif
