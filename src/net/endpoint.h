/* endpoint.h - a socket address: from what a person writes, and to what a person reads.  Internal to src/net/. */
#ifndef POSTERN_ENDPOINT_H
#define POSTERN_ENDPOINT_H

#include "base/str.h"

#include <netinet/in.h>
#include <sys/socket.h>

struct endpoint {
    socklen_t len;
    struct sockaddr_storage sa;
};

/* An IPv4 or IPv6 address, no name, no short forms such as "127.1"; "fe80::1%eth0" is fine. */
MUST_USE int endpoint_parse(struct str host, uint16_t port, struct endpoint *ret);

/* -EINVAL when the path is empty or longer than ENDPOINT_PATH_MAX. */
#define ENDPOINT_PATH_MAX 107
MUST_USE int endpoint_unix(const char *path, struct endpoint *ret);

struct peer {
    char address[INET6_ADDRSTRLEN]; /* "192.0.2.1", "2001:db8::1", "unix", or "unknown" */
    uint16_t port;                  /* 0 for a UNIX socket */
};

/* IPv4 that came through an IPv6 socket reads as IPv4. */
struct peer endpoint_peer(const struct endpoint *from);

#endif
