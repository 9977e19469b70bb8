/* crowd.h - how many connections each client has open on a listener, so that one stranger does not hold them all.
 *
 * A client is an IPv4 address, or the /64 network of an IPv6 address: whoever has one address of it has all of them.
 * Who comes by a UNIX socket is not counted.  Any thread; memory grows with the connections there are, which the listener
 * bounds.
 */
#ifndef POSTERN_CROWD_H
#define POSTERN_CROWD_H

#include "base/base.h"

struct crowd;
struct crowd_client;

/* each_max: of one client; clients_max: as many as are expected at a time, more only cost time. */
struct crowd *crowd_new(unsigned each_max, unsigned clients_max);
void crowd_free(struct crowd *c); /* everybody has left; NULL is fine */

enum crowd_answer {
    CROWD_COUNTED,
    CROWD_NOT_COUNTED,
    CROWD_FULL_NEWS, /* full, and nobody has heard since this client was last gone altogether: for the log */
    CROWD_FULL,
};
/* On CROWD_COUNTED *ret_client is to be given to crowd_leave(), else it is NULL.  `address` is as stream_peer_address()
 * says it.  c NULL: nobody is counted. */
enum crowd_answer crowd_enter(struct crowd *c, const char *address, struct crowd_client **ret_client);
void crowd_leave(struct crowd *c, struct crowd_client *client); /* NULL is fine */

#endif
