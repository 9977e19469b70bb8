/* text.h - the text of a message between its intake and its sending.
 *
 * In memory up to SEND_TEXT_MEMORY octets, beyond that in a temporary file without a name, below $TMPDIR or /tmp: a
 * message of any size costs a fixed amount of memory, and nothing is left behind whatever happens.
 *
 * Fails with -errno of the file; what was appended before stays readable.
 */
#ifndef POSTERN_SEND_TEXT_H
#define POSTERN_SEND_TEXT_H

#include "base/buf.h"

#define SEND_TEXT_MEMORY ((size_t)1 << 20)

struct send_text {
    struct buf memory;
    int fd; /* -1: all is in memory */
    uint64_t size;
};

void send_text_init(struct send_text *t);
void send_text_done(struct send_text *t);

MUST_USE int send_text_append(struct send_text *t, const char *data, size_t len);

/* Up to `max` octets from `offset` into `to`; 0 at the end. */
MUST_USE ssize_t send_text_read(const struct send_text *t, uint64_t offset, char *to, size_t max);

#endif
