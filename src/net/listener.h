/* listener.h - a listening socket on a loop.
 *
 * Several loops listen on the same address by SO_REUSEPORT: bind once with listener_bind() for each
 * loop, as the privileged user, then listener_start() on the loop that shall accept.
 * Accepting pauses by itself for a moment when descriptors run out (EMFILE), with one log line, and before they do:
 * the last 256, or the last quarter of fewer, are for the rest of the program.
 */
#ifndef POSTERN_LISTENER_H
#define POSTERN_LISTENER_H

#include "net/loop.h"

struct listener;

#define LISTENER_WHY_MAX 256

/* `address` is "127.0.0.1:587", "[::1]:587", "*:587" or "unix:/path".  Returns a bound, listening,
 * non-blocking descriptor in *ret_fd, or -errno with the reason in words ("port 587 is in use by
 * another program"). */
MUST_USE int listener_bind(const char *address, int backlog, int *ret_fd, char *why);

/* For n loops at once: fds[0..n-1] or none.  Unlike n calls of listener_bind() it notices another
 * program that listens there by SO_REUSEPORT too, such as a second server started by mistake. */
MUST_USE int listener_bind_each(const char *address, int backlog, int *fds, size_t n, char *why);

/* Takes fd.  on_accept owns the descriptor it is given (non-blocking, close-on-exec). */
struct listener *
listener_start(struct loop *l, int fd, void (*on_accept)(void *arg, int fd), void *arg);
int listener_port(const struct listener *ls); /* the one it has, whatever was asked for; 0: not TCP */
void listener_free(struct listener *ls); /* closes the socket; NULL is fine */

#endif
