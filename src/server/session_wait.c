/* A session whose certificate is being looked up at a responder: between the handshake and the next command.
 *
 * Nothing is read meanwhile, so every command finds the verdict as it is, and EHLO offers what is true.  A question ends
 * with its time-out at the latest (cert/ocsp.h), and whoever waits is told in any case. */
#include "cert/ocsp.h"
#include "net/loop.h"
#include "server/session_internal.h"

/* Outlives its session: a thread of the service has it until it has told. */
struct session_wait {
    struct loop_task task;
    struct loop *loop;
    struct session *session; /* NULL: the session is gone */
};

static void told(void *arg)
{
    struct session_wait *w = arg;
    loop_post(w->loop, &w->task);
}

static void answered(struct loop_task *task)
{
    struct session_wait *w =
        (struct session_wait *)((char *)task - offsetof(struct session_wait, task));
    struct session *s = w->session;
    free(w);
    if (!s)
        return;
    s->wait = NULL;
    session_judge_anew(s);
    if (s->handed)
        session_begin(s);
    else
        session_secured(s);
}

static bool wait_begin(struct session *s)
{
    struct session_wait *w = xcalloc(1, sizeof(*w));
    *w = (struct session_wait){{.run = answered}, worker_loop(s->worker), s};
    if (cert_ocsp_wait(s->endpoint->ocsp, &s->verdict, told, w) < 0) {
        free(w);
        return false;
    }
    s->wait = w;
    stream_pause(s->stream);
    return true;
}

bool session_wait_for_responder(struct session *s)
{
    if (s->verdict.cause != CERT_CAUSE_PENDING || !s->endpoint->ocsp)
        return false;
    if (wait_begin(s))
        return true;
    session_judge_anew(s); /* the answer came between the two */
    return s->verdict.cause == CERT_CAUSE_PENDING && wait_begin(s);
}

void session_wait_leave(struct session *s)
{
    if (s->wait)
        s->wait->session = NULL;
    s->wait = NULL;
}
