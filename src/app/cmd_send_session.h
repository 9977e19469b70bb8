/* cmd_send_session.h - `postern send -bs`: SMTP on standard input and output, for mail programs that speak it.
 *
 * Each message is sent (or with --queue kept) before its final dot is answered, by the account of its sender.
 */
#ifndef POSTERN_CMD_SEND_SESSION_H
#define POSTERN_CMD_SEND_SESSION_H

#include "app/cmd_send_courier.h"

/* Until QUIT or the end of the input. */
int send_session_run(struct courier *c, int in, int out);

#endif
