#include "smtp/reply.h"

#include <stdio.h>

struct smtp_reply smtp_reply(int code, const char *enhanced, const char *fmt, ...)
{
    struct smtp_reply r;
    va_list ap;
    r.code = code;
    r.enhanced = enhanced;
    va_start(ap, fmt);
    (void)vsnprintf(r.text, sizeof(r.text), fmt, ap);
    va_end(ap);
    return r;
}

static char printable(char c)
{
    return c >= ' ' && c <= '~' ? c : '?';
}

int smtp_reply_format(const struct smtp_reply *r, struct buf *out)
{
    size_t start = out->len;
    int e = buf_printf(out, "%03d %s%s%s\r\n", r->code, r->enhanced, r->enhanced[0] ? " " : "",
                       r->text);
    if (e < 0)
        return e;
    for (size_t i = start; i < out->len - 2; i++)
        out->data[i] = printable(out->data[i]);
    return 0;
}
