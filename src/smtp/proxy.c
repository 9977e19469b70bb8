#include "smtp/proxy.h"

#include "base/crc32c.h"

#include <errno.h>

static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";

/* [proxy protocol 2.2] Types and flags. */
enum {
    TLV_CRC32C = 0x03,
    TLV_SSL = 0x20,
    SSL_VERSION = 0x21,
    SSL_CN = 0x22,
    SSL_CIPHER = 0x23,
    SSL_CLIENT_CERT = 0x28
};
enum { CLIENT_SSL = 1, CLIENT_CERT_CONN = 2, CLIENT_CERT_SESS = 4 };
enum { COMMAND_LOCAL = 0, COMMAND_PROXY = 1 };
enum { AF_STREAM_INET = 0x11, AF_STREAM_INET6 = 0x21, AF_STREAM_UNIX = 0x31 };

static unsigned octet(struct str s, size_t at)
{
    return (unsigned char)s.p[at];
}

static unsigned number(struct str s, size_t at)
{
    return octet(s, at) << 8 | octet(s, at + 1);
}

int proxy_begins(struct str start)
{
    if (memcmp(start.p, signature, MIN(start.len, sizeof(signature))) == 0)
        return 0;
    return str_eq(str_upto(start, 6), STR("PROXY ")) ? -EPROTO : -EINVAL;
}

int proxy_length(struct str start)
{
    if (start.len < PROXY_HEADER_MIN || memcmp(start.p, signature, sizeof(signature)) != 0 ||
        octet(start, 12) >> 4 != 2)
        return -EINVAL;
    unsigned n = PROXY_HEADER_MIN + number(start, 14);
    return n <= PROXY_HEADER_MAX ? (int)n : -EMSGSIZE;
}

/* Text for the log and for replies: nothing in it may pass for a line of its own. */
static int take_text(struct str value, char *to, size_t size)
{
    if (value.len >= size || !str_is_utf8(value) || str_has_control(value))
        return -EINVAL;
    memcpy(to, value.p, value.len);
    to[value.len] = '\0';
    return 0;
}

/* Takes one type, length and value off the front; -EINVAL when it does not fit in. */
static int next_tlv(struct str *rest, unsigned *ret_type, struct str *ret_value)
{
    if (rest->len < 3 || rest->len - 3 < number(*rest, 1))
        return -EINVAL;
    *ret_type = octet(*rest, 0);
    *ret_value = str_upto(str_from(*rest, 3), number(*rest, 1));
    *rest = str_from(*rest, 3 + ret_value->len);
    return 0;
}

static int take_tls(struct str header, struct str value, struct proxy_header *h)
{
    (void)header;
    if (value.len < 5)
        return -EINVAL;
    unsigned client = octet(value, 0);
    h->tls = client & CLIENT_SSL;
    h->certificate = h->tls && client & (CLIENT_CERT_CONN | CLIENT_CERT_SESS);
    h->verified = h->certificate && number(value, 1) == 0 && number(value, 3) == 0;
    for (struct str rest = str_from(value, 5); rest.len;) {
        unsigned type;
        struct str v;
        int r = next_tlv(&rest, &type, &v);
        if (r == 0 && type == SSL_VERSION)
            r = take_text(v, h->tls_version, sizeof(h->tls_version));
        if (r == 0 && type == SSL_CIPHER)
            r = take_text(v, h->cipher, sizeof(h->cipher));
        if (r == 0 && type == SSL_CN)
            r = take_text(v, h->common_name, sizeof(h->common_name));
        if (r == 0 && type == SSL_CLIENT_CERT && h->certificate)
            h->der = v;
        if (r < 0)
            return r;
    }
    return 0;
}

/* [proxy protocol 2.2.3] Of the whole header, with nothing but zeros where the sum itself is. */
static int check_sum(struct str header, struct str value, struct proxy_header *h)
{
    (void)h;
    if (value.len != 4)
        return -EINVAL;
    size_t at = (size_t)(value.p - header.p);
    uint32_t sum = crc32c(0, str_upto(header, at));
    sum = crc32c(sum, (struct str){"\0\0\0", 4});
    sum = crc32c(sum, str_from(header, at + 4));
    return sum == (number(value, 0) << 16 | number(value, 2)) ? 0 : -EBADMSG;
}

static int take_identity(struct str header, struct str value, struct proxy_header *h)
{
    (void)header;
    return take_text(value, h->identity, sizeof(h->identity));
}

/* Each at most once: of two accounts of one client neither is to be believed, and a sum costs the time of the whole header. */
static const struct {
    unsigned type;
    int (*take)(struct str header, struct str value, struct proxy_header *h);
} fields[] = {
    {TLV_CRC32C,         check_sum    },
    {TLV_SSL,            take_tls     },
    {PROXY_TLV_IDENTITY, take_identity},
};

static int take_field(
    struct str header, unsigned type, struct str value, unsigned *seen, struct proxy_header *h)
{
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (fields[i].type != type)
            continue;
        if (*seen & 1U << i)
            return -EINVAL;
        *seen |= 1U << i;
        return fields[i].take(header, value, h);
    }
    return 0;
}

/* The addresses at the front of what follows the fixed part; returns their octets, or -EINVAL. */
static int take_addresses(struct str body, unsigned family, struct proxy_header *h)
{
    static const struct {
        unsigned family;
        enum proxy_family ours;
        unsigned octets, ip;
    } rows[] = {
        {AF_STREAM_INET,  PROXY_INET,  12,  4 },
        {AF_STREAM_INET6, PROXY_INET6, 36,  16},
        {AF_STREAM_UNIX,  PROXY_UNIX,  216, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].family != family)
            continue;
        if (body.len < rows[i].octets)
            return -EINVAL;
        h->family = rows[i].ours;
        memcpy(h->source, body.p, rows[i].ip);
        if (rows[i].ip)
            h->port = number(body, (size_t)rows[i].ip * 2);
        return (int)rows[i].octets;
    }
    /* AF_UNSPEC tells nothing, its TLVs included: where they would begin is not known. */
    return (int)body.len;
}

int proxy_parse(struct str header, struct proxy_header *ret)
{
    int len = proxy_length(header);
    *ret = (struct proxy_header){0};
    if (len < 0 || header.len != (size_t)len)
        return -EINVAL;
    unsigned command = octet(header, 12) & 15;
    struct str body = str_from(header, PROXY_HEADER_MIN);
    ret->local = command == COMMAND_LOCAL;
    if (ret->local)
        return 0; /* whatever else it says is to be ignored */
    if (command != COMMAND_PROXY)
        return -EINVAL;
    int used = take_addresses(body, octet(header, 13), ret);
    if (used < 0)
        return used;
    unsigned seen = 0;
    for (struct str rest = str_from(body, (size_t)used); rest.len;) {
        unsigned type;
        struct str value;
        int r = next_tlv(&rest, &type, &value);
        if (r == 0)
            r = take_field(header, type, value, &seen, ret);
        if (r < 0)
            return r;
    }
    return 0;
}
