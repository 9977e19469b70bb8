/* sock_addr.h - a socket address: from what a person writes, and to what a person reads.  Internal
 * to src/net/. */
#ifndef POSTERN_SOCK_ADDR_H
#define POSTERN_SOCK_ADDR_H

#include "base/str.h"

#include <netinet/in.h>
#include <sys/socket.h>

struct sock_addr {
    socklen_t len;
    struct sockaddr_storage sa;
};

/* An IPv4 or IPv6 address, no name, no short forms such as "127.1"; "fe80::1%eth0" is fine. */
MUST_USE int sock_addr_parse(struct str host, uint16_t port, struct sock_addr *ret);

/* -EINVAL when the path is empty or longer than SOCK_ADDR_PATH_MAX. */
#define SOCK_ADDR_PATH_MAX 107
MUST_USE int sock_addr_unix(const char *path, struct sock_addr *ret);

struct peer {
    char address[INET6_ADDRSTRLEN]; /* "192.0.2.1", "2001:db8::1", "unix", or "unknown" */
    uint16_t port;                  /* 0 for a UNIX socket */
};

/* IPv4 that came through an IPv6 socket reads as IPv4. */
struct peer sock_addr_peer(const struct sock_addr *from);

#endif
