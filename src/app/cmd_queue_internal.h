/* cmd_queue_internal.h - how `postern queue` prints: tables for people, JSON for programs.
 *
 * What a peer sent (addresses, replies, header fields) is printed so that it cannot steer a terminal.
 */
#ifndef POSTERN_CMD_QUEUE_INTERNAL_H
#define POSTERN_CMD_QUEUE_INTERNAL_H

#include "spool/spool.h"

/* A list as it is printed, row by row: the queue may be longer than memory. */
struct queue_list {
    bool json;
    bool detailed; /* one message: its envelope first */
    int64_t messages, recipients, bytes;
    char last_id[SPOOL_QUEUE_ID_MAX];
    struct json_t *message; /* being gathered, with json */
    bool json_printed;
};

bool queue_list_row(void *arg, const struct spool_row *row);
void queue_list_end(struct queue_list *l);

void queue_print_stats(const struct spool_stats *st, bool json);

/* For spool_admin_body(): the header of a message, or the whole of it as it is stored. */
struct queue_header {
    bool any;
};
bool queue_header_piece(void *arg, struct str data);
bool queue_raw_piece(void *arg, struct str data);

#endif
