/* queue.h - the queue of one user: `postern send --queue`, `--flush` and `--list`.
 *
 * A spool as the server has (docs/QUEUE.md), below $XDG_STATE_HOME or ~/.local/state; the account a message goes by is
 * stored as its identity.  A message is in the queue, or somebody has it: a recipient leaves only after the server's
 * 250, what may work later stays due, what was refused for good stays held, with the reason, until its owner
 * releases or deletes it.
 */
#ifndef POSTERN_SEND_QUEUE_H
#define POSTERN_SEND_QUEUE_H

#include "send/courier.h"
#include "spool/spool.h"

/* The message, its account chosen: EX_OK and its id, or a code and `why`. */
int send_queue_put(struct courier *c,
                   struct send_message *m,
                   char ret_id[SPOOL_QUEUE_ID_MAX],
                   char *why);

/* What became of a message of the queue: its recipients have their results; or nothing could be done, and `why` says so
 * beside a `status` that is not EX_OK. */
typedef void send_queue_told_fn(
    void *arg, const char *id, const struct send_message *m, int status, const char *why);

/* Each message that waits is tried once, by the account it was queued for. */
int send_queue_flush(struct courier *c, send_queue_told_fn *told, void *arg, char *why);

/* Release or delete what is held, by its id. */
int send_queue_steer(enum spool_action action, const char *id, char *why);

/* The queue to look into, NULL while nothing was ever queued; spool_admin_close() it. */
int send_queue_open(struct spool_admin **ret, char *why);

#endif
