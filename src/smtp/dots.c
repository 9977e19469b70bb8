#include "smtp/dots.h"

#include <errno.h>

void dots_init(struct dots *d)
{
    *d = (struct dots){.line_start = true};
}

/* Length of what is left of the line `data` stands in, its LF included; -EBADMSG when it holds a CR
 * or LF that is not half of a CR LF. */
static ssize_t next_run(struct dots *d, const char *data, size_t len)
{
    const char *lf = memchr(data, '\n', len);
    size_t n = lf ? (size_t)(lf - data) + 1 : len;
    if (d->after_cr && lf != data)
        return -EBADMSG;
    const char *cr = memchr(data, '\r', n);
    if (lf && lf != data && cr != lf - 1)
        return -EBADMSG;
    if (lf == data && !d->after_cr)
        return -EBADMSG;
    if (!lf && cr && cr != data + n - 1)
        return -EBADMSG;
    d->after_cr = !lf && cr;
    d->line_start = lf != NULL;
    return (ssize_t)n;
}

int dots_check(struct dots *d, const char *data, size_t len, bool last)
{
    while (len) {
        ssize_t n = next_run(d, data, len);
        if (n < 0)
            return (int)n;
        data += n;
        len -= (size_t)n;
    }
    return last && d->after_cr ? -EBADMSG : 0;
}

/* [rfc5321 4.5.2] A line that begins with a dot gets another in front. */
static int stuff(struct dots *d, const char *data, size_t len, struct buf *out)
{
    while (len) {
        bool dot = d->line_start && *data == '.';
        ssize_t n = next_run(d, data, len);
        int r = n < 0 ? (int)n : 0;
        if (r == 0 && dot)
            r = buf_append(out, ".", 1);
        if (r == 0)
            r = buf_append(out, data, (size_t)n);
        if (r < 0)
            return r;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

int dots_feed(struct dots *d, const char *data, size_t len, struct buf *out)
{
    struct dots before = *d;
    size_t start = out->len;
    int r = stuff(d, data, len, out);
    if (r < 0) {
        *d = before;
        out->len = start;
    }
    return r;
}

int dots_finish(struct dots *d, struct buf *out)
{
    if (d->after_cr)
        return -EBADMSG;
    return d->line_start ? buf_append(out, ".\r\n", 3) : buf_append(out, "\r\n.\r\n", 5);
}
