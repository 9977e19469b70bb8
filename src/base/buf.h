/* buf.h - a growing run of octets that is told its maximum when it is born.
 *
 * Owns its memory; buf_done() frees it.  A NUL always follows the content (not counted), so that
 * data may be read as a C string once it is known to hold none inside.
 * Fails with -EMSGSIZE at the maximum and -ENOMEM; then nothing was appended.
 */
#ifndef POSTERN_BUF_H
#define POSTERN_BUF_H

#include "base/str.h"

#include <stdarg.h>

struct buf {
    char *data;
    size_t len, cap;
    size_t max; /* bytes of content at most */
};

#define BUF_INIT(maximum) ((struct buf){NULL, 0, 0, (maximum)})

void buf_init(struct buf *b, size_t max);
void buf_done(struct buf *b); /* frees; the buffer is empty and usable again */
void buf_wipe(struct buf *b); /* as buf_done(), overwriting the memory first: for secrets */
void buf_clear(struct buf *b); /* len = 0, the memory is kept */

MUST_USE int buf_append(struct buf *b, const void *data, size_t len);
MUST_USE int buf_append_str(struct buf *b, struct str s);
MUST_USE int buf_puts(struct buf *b, const char *s);
MUST_USE int buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
MUST_USE int buf_vprintf(struct buf *b, const char *fmt, va_list ap) PRINTF(2, 0);

/* Room for `len` more octets at data + len; the caller then adds what it wrote to len. */
MUST_USE int buf_reserve(struct buf *b, size_t len);

/* Drops `len` octets from the front. */
void buf_consume(struct buf *b, size_t len);

static inline struct str buf_str(const struct buf *b)
{
    return (struct str){b->data ? b->data : "", b->len};
}

/* Moves the memory out (malloc'ed, NUL-terminated); the buffer is left empty.  Never NULL. */
char *buf_take(struct buf *b);

#endif
