/* session.h - `postern send -bs`: SMTP on standard input and output, for mail programs that speak it.
 *
 * Each message is sent (or kept in the user's queue) before its final dot is answered, by the account of its sender.
 */
#ifndef POSTERN_SEND_SESSION_H
#define POSTERN_SEND_SESSION_H

#include "send/courier.h"

struct send_session_config {
    const char *hostname; /* of the greeting */
    bool queue_them;      /* into the user's queue, instead of at once */
    int in, out;          /* descriptors */
};

/* Until QUIT or the end of the input; returns a code of <sysexits.h>. */
int send_session_run(struct courier *c, const struct send_session_config *cfg);

#endif
