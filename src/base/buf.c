#include "base/buf.h"

#include <errno.h>
#include <stdio.h>

#define CAP_MIN 128 /* a reply or two: a buffer that begins smaller only grows more often */

void buf_init(struct buf *b, size_t max)
{
    *b = BUF_INIT(max);
}

void buf_done(struct buf *b)
{
    free(b->data);
    buf_init(b, b->max);
}

void buf_wipe(struct buf *b)
{
    if (b->data)
        explicit_bzero(b->data, b->cap);
    buf_done(b);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    if (b->data)
        b->data[0] = '\0';
}

int buf_reserve(struct buf *b, size_t len)
{
    if (len > b->max || b->len > b->max - len)
        return -EMSGSIZE;
    size_t need = b->len + len + 1;
    if (need <= b->cap)
        return 0;
    size_t cap = MAX(need, MIN(MAX(b->cap * 2, (size_t)CAP_MIN), b->max + 1));
    char *data = realloc(b->data, cap);
    if (!data)
        return -ENOMEM;
    b->data = data;
    b->cap = cap;
    return 0;
}

int buf_append(struct buf *b, const void *data, size_t len)
{
    int r = buf_reserve(b, len);
    if (r < 0)
        return r;
    if (len)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
    return 0;
}

int buf_append_str(struct buf *b, struct str s)
{
    return buf_append(b, s.p, s.len);
}

int buf_puts(struct buf *b, const char *s)
{
    return buf_append(b, s, strlen(s));
}

int buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    size_t spare = b->cap - b->len;
    int n = vsnprintf(spare ? b->data + b->len : NULL, spare, fmt, again);
    va_end(again);
    if (n >= 0 && (size_t)n < spare) { /* nearly always */
        b->len += (size_t)n;
        return 0;
    }
    if (spare)
        b->data[b->len] = '\0'; /* what was printed there is nothing yet */
    int r = n < 0 ? -EINVAL : buf_reserve(b, (size_t)n);
    if (r < 0)
        return r;
    (void)vsnprintf(b->data + b->len, (size_t)n + 1, fmt, ap);
    b->len += (size_t)n;
    return 0;
}

int buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int r = buf_vprintf(b, fmt, ap);
    va_end(ap);
    return r;
}

void buf_consume(struct buf *b, size_t len)
{
    if (len >= b->len) {
        buf_clear(b);
        return;
    }
    memmove(b->data, b->data + len, b->len - len + 1);
    b->len -= len;
}

char *buf_take(struct buf *b)
{
    char *out = b->data ? b->data : xstrdup("");
    buf_init(b, b->max);
    return out;
}
