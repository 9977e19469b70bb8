#include "smtp/params.h"

#include <errno.h>

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* esmtp-keyword [rfc5321 4.1.2]: no hyphen in front. */
static size_t keyword_len(struct str s)
{
    size_t n = 0;
    while (n < s.len && (is_alnum(s.p[n]) || (n > 0 && s.p[n] == '-')))
        n++;
    return n;
}

/* esmtp-value, with the non-ASCII of [rfc6531 3.3]. */
static bool is_value_char(char c)
{
    return (unsigned char)c >= 0x80 || (c > ' ' && c <= '~' && c != '=');
}

static size_t value_len(struct str s)
{
    size_t n = 0;
    while (n < s.len && is_value_char(s.p[n]))
        n++;
    return n;
}

/* The grammar has one space before each parameter and none after the last; clients write more. */
static struct str skip_spaces(struct str s)
{
    size_t n = 0;
    while (n < s.len && s.p[n] == ' ')
        n++;
    return str_from(s, n);
}

int smtp_param_next(struct str *rest, struct smtp_param *ret)
{
    struct str s = skip_spaces(*rest);
    if (s.len == 0) {
        *rest = s;
        return 0;
    }
    struct smtp_param p = {.keyword = str_upto(s, keyword_len(s)), .value = STR("")};
    s = str_from(s, p.keyword.len);
    if (s.len > 0 && s.p[0] == '=') {
        p.has_value = true;
        s = str_from(s, 1);
        p.value = str_upto(s, value_len(s));
        s = str_from(s, p.value.len);
    }
    if (p.keyword.len == 0 || (p.has_value && p.value.len == 0) || (s.len > 0 && s.p[0] != ' '))
        return -EINVAL;
    p.is_utf8 = !str_is_ascii(p.value);
    if (p.is_utf8 && !str_is_utf8(p.value))
        return -EINVAL;
    *ret = p;
    *rest = s;
    return 1;
}

/* xchar [rfc3461 4]: printable, but "+" and "=" only as hexchar. */
static bool is_xchar(char c)
{
    return c > ' ' && c <= '~' && c != '+' && c != '=';
}

/* Value of an upper-case hexadecimal digit: hexchar has no other kind.  -1: none. */
static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Octets the piece of xtext at the start of s has, 1 or 3, or 0 when it is none; *ret is what it
 * means. */
static size_t xtext_piece(struct str s, char *ret)
{
    if (is_xchar(s.p[0])) {
        *ret = s.p[0];
        return 1;
    }
    if (s.p[0] != '+' || s.len < 3)
        return 0;
    int high = hex_value(s.p[1]), low = hex_value(s.p[2]);
    if (high < 0 || low < 0)
        return 0;
    *ret = (char)(high << 4 | low);
    return 3;
}

/* Takes back what was appended: all or nothing. */
static void cut(struct buf *b, size_t len)
{
    b->len = len;
    if (b->data)
        b->data[len] = '\0';
}

int xtext_decode(struct str s, struct buf *out)
{
    size_t start = out->len;
    int r = 0;
    while (s.len > 0 && r == 0) {
        char c = 0;
        size_t n = xtext_piece(s, &c);
        r = n > 0 ? buf_append(out, &c, 1) : -EINVAL;
        s = str_from(s, n);
    }
    if (r < 0)
        cut(out, start);
    return r;
}

int xtext_encode(struct str s, struct buf *out)
{
    size_t start = out->len;
    int r = 0;
    for (size_t i = 0; i < s.len && r == 0; i++) {
        if (is_xchar(s.p[i]))
            r = buf_append(out, &s.p[i], 1);
        else
            r = buf_printf(out, "+%02X", (unsigned)(unsigned char)s.p[i]);
    }
    if (r < 0)
        cut(out, start);
    return r;
}
