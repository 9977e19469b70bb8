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

static void put(struct buf *out, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        out->data[out->len++] = printable(s[i]);
}

int smtp_reply_format(const struct smtp_reply *r, struct buf *out)
{
    size_t enhanced = strlen(r->enhanced), text = strlen(r->text);
    unsigned code = (unsigned)r->code % 1000;
    const char digits[] = {(char)('0' + code / 100), (char)('0' + code / 10 % 10),
                           (char)('0' + code % 10), ' '};
    int e = buf_reserve(out, sizeof(digits) + enhanced + 1 + text + 2);
    if (e < 0)
        return e;
    put(out, digits, sizeof(digits));
    put(out, r->enhanced, enhanced);
    put(out, " ", enhanced ? 1 : 0);
    put(out, r->text, text);
    return buf_append(out, "\r\n", 2);
}
