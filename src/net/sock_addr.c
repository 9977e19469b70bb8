#include "net/sock_addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/un.h>

_Static_assert(SOCK_ADDR_PATH_MAX == sizeof(((struct sockaddr_un *)0)->sun_path) - 1,
               "the path ends with a NUL");

/* The octets of a sockaddr_storage may not be read as another type, so they are copied in and out.
 */
static void fill(struct sock_addr *e, const void *sa, size_t len)
{
    *e = (struct sock_addr){.len = (socklen_t)len};
    memcpy(&e->sa, sa, len);
}

/* getaddrinfo(3) knows the scope behind "%"; nothing is asked of anybody with AI_NUMERICHOST. */
static int parse_v6(const char *name, uint16_t port, struct sock_addr *ret)
{
    struct addrinfo hints = {
        .ai_family = AF_INET6, .ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    if (getaddrinfo(name, NULL, &hints, &list))
        return -EINVAL;
    struct sockaddr_in6 in;
    memcpy(&in, list->ai_addr, sizeof(in));
    freeaddrinfo(list);
    in.sin6_port = htons(port);
    fill(ret, &in, sizeof(in));
    return 0;
}

int sock_addr_parse(struct str host, uint16_t port, struct sock_addr *ret)
{
    char name[INET6_ADDRSTRLEN + 32];
    if (host.len >= sizeof(name))
        return -EINVAL;
    (void)snprintf(name, sizeof(name), "%.*s", STR_FMT(host));
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, name, &in.sin_addr) == 1) {
        fill(ret, &in, sizeof(in));
        return 0;
    }
    return strchr(name, ':') ? parse_v6(name, port, ret) : -EINVAL;
}

int sock_addr_unix(const char *path, struct sock_addr *ret)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len == 0 || len > SOCK_ADDR_PATH_MAX)
        return -EINVAL;
    memcpy(sun.sun_path, path, len);
    fill(ret, &sun, sizeof(sun));
    return 0;
}

static struct peer peer_of_v4(const struct sock_addr *from)
{
    struct sockaddr_in in;
    struct peer peer = {.port = 0};
    memcpy(&in, &from->sa, sizeof(in));
    (void)inet_ntop(AF_INET, &in.sin_addr, peer.address, sizeof(peer.address));
    peer.port = ntohs(in.sin_port);
    return peer;
}

static struct peer peer_of_v6(const struct sock_addr *from)
{
    struct sockaddr_in6 in;
    struct peer peer = {.port = 0};
    memcpy(&in, &from->sa, sizeof(in));
    if (IN6_IS_ADDR_V4MAPPED(&in.sin6_addr))
        (void)inet_ntop(AF_INET, in.sin6_addr.s6_addr + 12, peer.address, sizeof(peer.address));
    else
        (void)inet_ntop(AF_INET6, &in.sin6_addr, peer.address, sizeof(peer.address));
    peer.port = ntohs(in.sin6_port);
    return peer;
}

struct peer sock_addr_peer(const struct sock_addr *from)
{
    switch (from->sa.ss_family) {
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
