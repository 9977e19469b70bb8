#include "base/b64.h"

#include <errno.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static int value_of(char c)
{
    const char *at = c ? strchr(alphabet, c) : NULL;
    return at ? (int)(at - alphabet) : -1;
}

/* Four characters to `n` octets (1 to 3); false when they are no base64 group of that size. */
static bool group_decode(const char *p, size_t n, char out[3])
{
    uint32_t bits = 0;
    for (size_t i = 0; i < 4; i++) {
        int v = i <= n ? value_of(p[i]) : 0;
        if (v < 0)
            return false;
        bits = bits << 6 | (uint32_t)v;
    }
    for (size_t i = 0; i < 3; i++)
        out[i] = (char)(unsigned char)(bits >> (16 - 8 * i));
    return n == 3 || (bits & (0xffffffU >> (8 * n))) == 0;
}

int b64_decode(struct str s, struct buf *out)
{
    size_t start = out->len;
    if (s.len % 4)
        return -EINVAL;
    int r = buf_reserve(out, s.len / 4 * 3);
    for (size_t i = 0; r == 0 && i < s.len; i += 4) {
        size_t n = 3;
        if (i + 4 == s.len && s.p[i + 3] == '=')
            n = s.p[i + 2] == '=' ? 1 : 2;
        char octets[3];
        r = group_decode(s.p + i, n, octets) ? buf_append(out, octets, n) : -EINVAL;
    }
    if (r < 0 && out->data) {
        out->len = start;
        out->data[start] = '\0';
    }
    return r;
}

int b64_encode(struct str s, struct buf *out)
{
    int r = buf_reserve(out, B64_LEN(s.len));
    for (size_t i = 0; r == 0 && i < s.len; i += 3) {
        size_t n = MIN((size_t)3, s.len - i);
        uint32_t bits = 0;
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (k < n ? (unsigned char)s.p[i + k] : 0U);
        char group[4];
        for (size_t k = 0; k < 4; k++)
            group[k] = k <= n ? alphabet[bits >> (18 - 6 * k) & 63U] : '=';
        r = buf_append(out, group, 4);
    }
    return r;
}
