/* session.h - one SMTP session of the service: the engine, its stream, who the client is, what it sends.
 *
 * session.c drives the engine over the stream; session_auth.c asks the policy; session_mail.c takes a transaction
 * to the spool; session_log.c words the log.  A session lives on its worker's thread and frees itself.
 */
#ifndef POSTERN_SESSION_H
#define POSTERN_SESSION_H

#include "server/worker.h"

/* Takes fd, already counted in e->connections. */
void session_start(struct worker *w, struct endpoint *e, int fd);
/* Now: 421 4.3.2 and close (SMTP-22).  Later: as soon as nothing is in flight. */
void session_shutdown(struct session *s, bool now);

/* The worker's list of sessions. */
struct session_link {
    struct session *previous, *next;
};
struct session_link *session_link(struct session *s);

#endif
