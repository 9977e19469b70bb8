/* dial.h - from a name and a port to a socket: resolve, then one address after the other.
 *
 * Lives only while a stream is connecting.  Internal to src/net/.
 */
#ifndef POSTERN_DIAL_H
#define POSTERN_DIAL_H

#include "net/loop.h"
#include "net/sock_addr.h"

struct dial;

struct dial *dial_new(const char *host, const char *port);
struct dial *dial_new_unix(const char *path);
void dial_free(struct dial *d); /* also in the middle of resolving; NULL is fine */

/* Calls `resolved` once, perhaps before this returns, never after dial_free(). */
void dial_resolve(struct dial *d, struct loop *l, void (*resolved)(void *arg), void *arg);

/* A socket on its way to the next address (wait until it is writable, then see dial_result()), or
 * -ENOENT when there is no address left. */
MUST_USE int dial_next(struct dial *d, int *ret_fd);

/* How the attempt under way ended: 0, or -errno; an error is noted for dial_tried(). */
MUST_USE int dial_result(struct dial *d, int fd);
void dial_note(struct dial *d, const char *why);

struct peer dial_peer(const struct dial *d);

/* "mail.example.org:587: 192.0.2.1: Connection refused; 2001:db8::1: timed out" */
const char *dial_tried(const struct dial *d);

#endif
