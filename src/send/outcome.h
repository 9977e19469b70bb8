/* outcome.h - what is said about the outcome of a message: exit codes of <sysexits.h>, the server's name for it.  Pure. */
#ifndef POSTERN_SEND_OUTCOME_H
#define POSTERN_SEND_OUTCOME_H

#include "smtp/client.h"

/* The code a program is told for one recipient's outcome; 0: it was taken.
 *
 *     75 TEMPFAIL     4yz, a lost connection: trying again may help
 *     67 NOUSER       the recipient is refused (5.1.1 and its like)
 *     68 NOHOST       its domain is (5.1.2)
 *     77 NOPERM       login, or the right to send (530, 534, 535, 5.7.x)
 *     65 DATAERR      the message itself (5.6.x, 552)
 *     76 PROTOCOL     5.5.x without more
 *     69 UNAVAILABLE  everything else that is permanent */
int outcome_exit_code(const struct smtp_outcome *o);

/* Of two codes the one to end with: a permanent failure before a temporary one, as trying all again would not help. */
int outcome_worse(int a, int b);

/* The server's name for the message in its last reply, into `ret` ("" when none is recognised). */
#define OUTCOME_ID_MAX 80
void outcome_queue_id(const char *text, char ret[OUTCOME_ID_MAX]);

#endif
