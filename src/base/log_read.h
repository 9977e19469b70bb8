/* log_read.h - lines of our own log, read back.  Pure. */
#ifndef POSTERN_LOG_READ_H
#define POSTERN_LOG_READ_H

#include "base/buf.h"

struct log_record { /* borrows the line */
    struct str time, level, event, fields;
};

/* A line as log_end() wrote it, its line end taken off.  What another program put in front (a journal's date, host and
 * program) is passed over.  False when it is none of ours. */
bool log_read(struct str line, struct log_record *ret);

/* Replaces the content of `value` by the field's, escapes undone; -ENOENT when there is no such field. */
MUST_USE int log_read_field(const struct log_record *r, const char *key, struct buf *value);

#endif
