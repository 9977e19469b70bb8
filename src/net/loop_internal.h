/* loop_internal.h - what the other files of src/net/ may ask of a loop. */
#ifndef POSTERN_LOOP_INTERNAL_H
#define POSTERN_LOOP_INTERNAL_H

#include "net/loop.h"

struct event_base;
struct evdns_base;

struct event_base *loop_event_base(struct loop *l);

/* Made at the first call; NULL when there is no memory. */
struct evdns_base *loop_evdns_base(struct loop *l);

/* Other files than those of /etc, which must not be asked for names yet; the paths are borrowed. */
void loop_resolver_files(struct loop *l, const char *resolv_conf, const char *hosts);

/* Where input is read into, by one stream at a time, never across a return to the loop. */
#define LOOP_SCRATCH_SIZE ((size_t)64 * 1024)
char *loop_scratch(struct loop *l);

/* Something nobody else will free any more, such as a stream that still sends its last octets.
 * loop_free() drops what is left. */
struct loop_child {
    struct loop_child **at, *next;
    void (*drop)(struct loop_child *child);
};

void loop_adopt(struct loop *l, struct loop_child *child);
void loop_disown(struct loop_child *child); /* a child that was never adopted is fine */

#endif
