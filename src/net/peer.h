/* peer.h - the other end's address as a person reads it.  Internal to src/net/. */
#ifndef POSTERN_PEER_H
#define POSTERN_PEER_H

#include "base/base.h"

#include <netinet/in.h>
#include <sys/socket.h>

struct peer {
    char address[INET6_ADDRSTRLEN]; /* "192.0.2.1", "2001:db8::1", "unix", or "unknown" */
    uint16_t port;                  /* 0 for a UNIX socket */
};

/* IPv4 that came through an IPv6 socket reads as IPv4. */
struct peer peer_of(const struct sockaddr_storage *from);

#endif
