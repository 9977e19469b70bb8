/* loop.h - one event loop, one thread: timers, deferred calls, messages from other threads.
 *
 * A loop belongs to the thread that runs it.  Only loop_post() and loop_stop() may be called from
 * elsewhere.  Nothing outside src/net/ knows that libevent is underneath.  Names are resolved on
 * the loop, too: by /etc/hosts and the name servers of /etc/resolv.conf.
 */
#ifndef POSTERN_LOOP_H
#define POSTERN_LOOP_H

#include "base/base.h"

struct loop;

MUST_USE int loop_new(struct loop **ret);
/* After loop_run() returned.  Tasks still posted or deferred are run first; streams that were given
 * to stream_close() have one chance to send their rest.  NULL is fine. */
void loop_free(struct loop *l);

/* Runs until loop_stop(), and to the end of that turn.  A stop that came before is not lost: it
 * ends this run at once.  May be called again. */
void loop_run(struct loop *l);
void loop_stop(struct loop *l); /* any thread; async-signal-safe it is not */

/* A call handed to a loop.  Embedded in the object it is about, so that posting never allocates and
 * never fails.  Owned by the loop from post to run; may be freed or posted again inside run(). */
struct loop_task {
    struct loop_task *next;
    void (*run)(struct loop_task *task);
};

/* Any thread: run soon on the loop's thread, in the order posted.  Many posts, one wake-up. */
void loop_post(struct loop *l, struct loop_task *task);

/* The loop's own thread: run at the end of the current turn, after every callback of this turn.
 * This is where objects are freed that may not be freed inside their own callback. */
void loop_defer(struct loop *l, struct loop_task *task);

/* A one-shot timer, exact to some 5 ms. */
struct loop_timer;
struct loop_timer *loop_timer_new(struct loop *l, void (*fire)(void *arg), void *arg);
void loop_timer_set(struct loop_timer *t, int64_t delay_ms); /* replaces a delay already set */
void loop_timer_cancel(struct loop_timer *t);
void loop_timer_free(struct loop_timer *t); /* NULL is fine */

/* Calls on_signal on the loop's thread for each of the signals (ends with 0).  One loop of a
 * process at most. */
MUST_USE int loop_signals(struct loop *l,
                          const int *signals,
                          void (*on_signal)(void *arg, int signo),
                          void *arg);

#endif
