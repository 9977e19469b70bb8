#include "base/net_range.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

/* Octets of the address as IPv6; *ret_offset is where the prefix of its own family begins. */
static int parse_ip(const char *text, unsigned char ip[16], unsigned *ret_offset)
{
    *ret_offset = 0;
    if (inet_pton(AF_INET6, text, ip) == 1)
        return 0;
    memcpy(ip, mapped, sizeof(mapped));
    *ret_offset = 96;
    return inet_pton(AF_INET, text, ip + sizeof(mapped)) == 1 ? 0 : -EINVAL;
}

static bool bit(const unsigned char *ip, unsigned i)
{
    return ip[i / 8] >> (7 - i % 8) & 1;
}

static int parse_bits(const char *text, unsigned max, unsigned *ret)
{
    unsigned n = 0;
    if (!*text || strlen(text) > 3)
        return -EINVAL;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return -EINVAL;
        n = n * 10 + (unsigned)(*text - '0');
    }
    *ret = n;
    return n <= max ? 0 : -EINVAL;
}

int net_address_parse(const char *text, unsigned char ip[16])
{
    if (inet_pton(AF_INET, text, ip) == 1)
        return 4;
    return inet_pton(AF_INET6, text, ip) == 1 ? 16 : -EINVAL;
}

int net_range_parse(const char *text, struct net_range *ret)
{
    struct net_range r = {.unix_socket = strcmp(text, "unix") == 0};
    char address[64];
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    unsigned offset, bits;
    if (r.unix_socket) {
        *ret = r;
        return 0;
    }
    if (len >= sizeof(address))
        return -EINVAL;
    (void)snprintf(address, sizeof(address), "%.*s", (int)len, text);
    if (parse_ip(address, r.ip, &offset) < 0)
        return -EINVAL;
    bits = 128 - offset;
    if (slash && parse_bits(slash + 1, 128 - offset, &bits) < 0)
        return -EINVAL;
    r.bits = offset + bits;
    for (unsigned i = r.bits; i < 128; i++)
        if (bit(r.ip, i))
            return -EINVAL;
    *ret = r;
    return 0;
}

bool net_range_holds(const struct net_range *r, const char *address)
{
    unsigned char ip[16];
    unsigned offset;
    if (r->unix_socket)
        return strcmp(address, "unix") == 0;
    if (parse_ip(address, ip, &offset) < 0)
        return false;
    for (unsigned i = 0; i < r->bits; i++)
        if (bit(ip, i) != bit(r->ip, i))
            return false;
    return true;
}
