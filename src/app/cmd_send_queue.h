/* cmd_send_queue.h - the queue of one user: `postern send --queue`, `--flush` and `--list`.
 *
 * A spool as the server has (docs/QUEUE.md), below $XDG_STATE_HOME or ~/.local/state; the account a message goes by is
 * stored as its identity.  A message is in the queue, or somebody has it: a recipient leaves only after the server's
 * 250, what may work later stays due, what was refused for good stays held, with the reason, until its owner
 * releases or deletes it.
 */
#ifndef POSTERN_CMD_SEND_QUEUE_H
#define POSTERN_CMD_SEND_QUEUE_H

#include "app/cmd_send_courier.h"
#include "spool/spool.h"

/* The message, its account chosen: EX_OK and its id, or a code and `why`. */
int send_queue_put(struct courier *c,
                   struct send_message *m,
                   char ret_id[SPOOL_QUEUE_ID_MAX],
                   char *why);

/* Each message that waits is tried once; what became of it goes to the report. */
int send_queue_flush(struct courier *c, char *why);

/* Release or delete what is held, by its id. */
int send_queue_steer(const struct send_request *rq, char *why);

int send_queue_list(const struct send_request *rq, char *why);

#endif
