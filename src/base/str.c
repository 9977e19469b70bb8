#include "base/str.h"

#include <errno.h>
#include <strings.h>

static unsigned char lower(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= 'A' && u <= 'Z' ? (unsigned char)(u | 0x20U) : u;
}

bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

bool str_starts_nocase(struct str s, struct str prefix)
{
    if (s.len < prefix.len)
        return false;
    for (size_t i = 0; i < prefix.len; i++)
        if (lower(s.p[i]) != lower(prefix.p[i]))
            return false;
    return true;
}

bool str_eq_nocase(struct str a, struct str b)
{
    return a.len == b.len && str_starts_nocase(a, b);
}

ssize_t str_find(struct str s, char c)
{
    const char *at = s.len ? memchr(s.p, c, s.len) : NULL;
    return at ? at - s.p : -1;
}

struct str str_trim(struct str s)
{
    while (s.len && (s.p[0] == ' ' || s.p[0] == '\t'))
        s = str_from(s, 1);
    while (s.len && (s.p[s.len - 1] == ' ' || s.p[s.len - 1] == '\t'))
        s.len--;
    return s;
}

int str_to_u64(struct str s, uint64_t max, uint64_t *ret)
{
    uint64_t v = 0;
    if (s.len == 0)
        return -EINVAL;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return -EINVAL;
        uint64_t digit = (uint64_t)(s.p[i] - '0');
        if (v > (max - MIN(digit, max)) / 10 || v * 10 + digit > max)
            return -ERANGE;
        v = v * 10 + digit;
    }
    *ret = v;
    return 0;
}

/* Length of the well-formed sequence at s, which is not ASCII, or 0. (RFC 3629 section 4, the ABNF's rows.) */
static size_t utf8_sequence(const unsigned char *s, size_t left)
{
    static const struct {
        unsigned char first_lo, first_hi, second_lo, second_hi;
        size_t len;
    } rows[] = {
        {0xc2, 0xdf, 0x80, 0xbf, 2},
        {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3},
        {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4},
        {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (s[0] < rows[i].first_lo || s[0] > rows[i].first_hi)
            continue;
        if (rows[i].len > left || s[1] < rows[i].second_lo || s[1] > rows[i].second_hi)
            return 0;
        for (size_t k = 2; k < rows[i].len; k++)
            if ((s[k] & 0xc0U) != 0x80U)
                return 0;
        return rows[i].len;
    }
    return 0;
}

/* Eight octets at a time: message texts pass here, and octet by octet it shows in the profile. */
#define EACH(octet) ((uint64_t)(octet)*0x0101010101010101U)

static uint64_t word_at(const char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    return word;
}

/* How many octets at the front are ASCII. */
static size_t ascii_run(struct str s)
{
    size_t i = 0;
    while (s.len - i >= 32 && !((word_at(s.p + i) | word_at(s.p + i + 8) | word_at(s.p + i + 16) |
                                 word_at(s.p + i + 24)) &
                                EACH(0x80)))
        i += 32;
    while (i < s.len && (unsigned char)s.p[i] <= 0x7f)
        i++;
    return i;
}

bool str_is_ascii(struct str s)
{
    return ascii_run(s) == s.len;
}

bool str_is_utf8(struct str s)
{
    for (;;) {
        s = str_from(s, ascii_run(s));
        if (s.len == 0)
            return true;
        size_t n = utf8_sequence((const unsigned char *)s.p, s.len);
        if (n == 0)
            return false;
        s = str_from(s, n);
    }
}

/* A word with an octet below 0x20 or equal to 0x7f: the borrow of a subtraction shows in the top bit of the lowest such
 * octet, and those above 0x7f are masked out. */
static bool word_has_control(uint64_t w)
{
    uint64_t below = (w - EACH(0x20)) & ~w & EACH(0x80);
    uint64_t del = w ^ EACH(0x7f);
    return below || ((del - EACH(1)) & ~del & EACH(0x80));
}

bool str_has_control(struct str s)
{
    size_t i = 0;
    for (; s.len - i >= 8; i += 8)
        if (word_has_control(word_at(s.p + i)))
            return true;
    for (; i < s.len; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return true;
    return false;
}
