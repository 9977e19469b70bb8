#include "net/peer.h"

#include <arpa/inet.h>
#include <string.h>

/* Copied out, since the octets of a sockaddr_storage may not be read as another type. */
static struct peer peer_of_v4(const struct sockaddr_storage *from)
{
    struct sockaddr_in in;
    struct peer peer = {.port = 0};
    memcpy(&in, from, sizeof(in));
    (void)inet_ntop(AF_INET, &in.sin_addr, peer.address, sizeof(peer.address));
    peer.port = ntohs(in.sin_port);
    return peer;
}

static struct peer peer_of_v6(const struct sockaddr_storage *from)
{
    struct sockaddr_in6 in;
    struct peer peer = {.port = 0};
    memcpy(&in, from, sizeof(in));
    if (IN6_IS_ADDR_V4MAPPED(&in.sin6_addr))
        (void)inet_ntop(AF_INET, in.sin6_addr.s6_addr + 12, peer.address, sizeof(peer.address));
    else
        (void)inet_ntop(AF_INET6, &in.sin6_addr, peer.address, sizeof(peer.address));
    peer.port = ntohs(in.sin6_port);
    return peer;
}

struct peer peer_of(const struct sockaddr_storage *from)
{
    switch (from->ss_family) {
    case AF_INET:
        return peer_of_v4(from);
    case AF_INET6:
        return peer_of_v6(from);
    case AF_UNIX:
        return (struct peer){.address = "unix"};
    default:
        return (struct peer){.address = "unknown"};
    }
}
