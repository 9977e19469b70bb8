#include "bench/stamp.h"

#include <errno.h>
#include <stdio.h>

#define FIELD "Message-ID: <postern-bench-"
#define DIGITS "%08x-%016llx-%016llx"
#define DIGITS_LEN (8 + 1 + 16 + 1 + 16)

static int put_header(struct stamp_text *t, const struct stamp_header *h)
{
    int r = buf_puts(&t->text, FIELD);
    t->at = t->text.len;
    if (r == 0)
        r = buf_printf(&t->text, "%0*d@bench.invalid>\r\nDate: %.40s\r\n", DIGITS_LEN, 0, h->date);
    if (r == 0)
        r = buf_printf(&t->text, "From: <%.60s>\r\nTo: <%.60s>\r\nSubject: load\r\n\r\n", h->from,
                       h->to);
    return r;
}

/* Lines of 76 octets and a last one that fills up the rest. */
static int put_body(struct buf *text, size_t size)
{
    static const char line[] =
        "the quick brown fox jumps over the lazy dog, and so does one message more.\r\n";
    int r = buf_reserve(text, size - text->len);
    while (r == 0 && size - text->len >= 2 * (sizeof(line) - 1))
        r = buf_append(text, line, sizeof(line) - 1);
    while (r == 0 && size - text->len > 2)
        r = buf_append(text, "x", 1);
    return r == 0 ? buf_puts(text, "\r\n") : r;
}

int stamp_text_make(struct stamp_text *t, size_t size, const struct stamp_header *h)
{
    if (size < STAMP_SIZE_MIN || size > STAMP_SIZE_MAX)
        return -EINVAL;
    *t = (struct stamp_text){.text = BUF_INIT(STAMP_SIZE_MAX)};
    int r = put_header(t, h);
    if (r == 0)
        r = put_body(&t->text, size);
    if (r < 0)
        stamp_text_done(t);
    return r;
}

void stamp_text_done(struct stamp_text *t)
{
    buf_done(&t->text);
}

void stamp_put(struct stamp_text *t, const struct stamp *s)
{
    char digits[DIGITS_LEN + 1];
    (void)snprintf(digits, sizeof(digits), DIGITS, s->run, (unsigned long long)s->number,
                   (unsigned long long)s->sent_us);
    memcpy(t->text.data + t->at, digits, DIGITS_LEN);
}

static int hex_of(const char **p, int digits, uint64_t *ret)
{
    uint64_t value = 0;
    for (; digits > 0; digits--, (*p)++) {
        static const char hex[] = "0123456789abcdef";
        const char *at = **p ? strchr(hex, **p) : NULL;
        if (!at)
            return -EINVAL;
        value = value << 4 | (uint64_t)(at - hex);
    }
    *ret = value;
    return 0;
}

static bool take_dash(const char **p)
{
    return *(*p)++ == '-';
}

int stamp_find(struct str head, struct stamp *ret)
{
    const char *at = memmem(head.p, head.len, FIELD, sizeof(FIELD) - 1);
    size_t left = at ? head.len - (size_t)(at - head.p) : 0;
    if (left < sizeof(FIELD) - 1 + DIGITS_LEN)
        return -EAGAIN;
    at += sizeof(FIELD) - 1;
    uint64_t run, number, sent;
    if (hex_of(&at, 8, &run) < 0 || !take_dash(&at) || hex_of(&at, 16, &number) < 0 ||
        !take_dash(&at) || hex_of(&at, 16, &sent) < 0)
        return -EAGAIN;
    *ret = (struct stamp){.run = (uint32_t)run, .number = number, .sent_us = (int64_t)sent};
    return 0;
}
