/* net_range.h - "10.0.0.0/8", "2001:db8::/32", "192.0.2.7", "unix": which peers are meant.  Pure. */
#ifndef POSTERN_NET_RANGE_H
#define POSTERN_NET_RANGE_H

#include "base/base.h"

struct net_range {
    unsigned char ip[16]; /* IPv4 as ::ffff:a.b.c.d */
    unsigned bits;        /* that count, of 128 */
    bool unix_socket;     /* whoever comes by a UNIX socket, and nobody else */
};

/* -EINVAL when it is no range; bits beyond the prefix must be zero. */
MUST_USE int net_range_parse(const char *text, struct net_range *ret);

/* The octets of a numeric address: returns 4 or 16, or -EINVAL. */
MUST_USE int net_address_parse(const char *text, unsigned char ip[16]);

/* `address` is as stream_peer_address() says it. */
bool net_range_holds(const struct net_range *r, const char *address);

#endif
