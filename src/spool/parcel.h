/* parcel.h - a message on its way through memory: the spool's side of a `struct spool_message`.
 *
 * One arena holds every string, so that what spool_commit() copied is what the relay reads: a fresh message
 * crosses from the session's thread to the relay's without another copy.
 */
#ifndef POSTERN_SPOOL_PARCEL_H
#define POSTERN_SPOOL_PARCEL_H

#include "base/arena.h"
#include "spool/port.h"
#include "spool/spool.h"

#define PARCEL_ARENA_MAX ((size_t)16 * 1024 * 1024)

struct parcel {
    struct spool_message message;
    struct arena arena;      /* envelope and targets */
    struct buf body;         /* whole, or empty when the body is in chunks */
    struct spool_call offer; /* on its way to the relay */
    struct parcel *next;     /* in a list of the committer */
    struct spool *spool;
};

struct parcel *parcel_new(struct spool *sp, int64_t id);
void parcel_free(struct parcel *p); /* NULL is fine */

static inline struct parcel *parcel_of(struct spool_message *m)
{
    return container_of(m, struct parcel, message);
}

/* A body of more than one piece is never whole in memory. */
static inline bool parcel_is_chunked(const struct parcel *p)
{
    return p->message.size > (int64_t)SPOOL_CHUNK;
}

/* Copies; -ENOMEM, -EMSGSIZE above PARCEL_ARENA_MAX. */
MUST_USE int parcel_set_envelope(struct parcel *p, const struct spool_envelope *env);
MUST_USE int parcel_set_recipients(struct parcel *p, const struct spool_recipient *list, size_t n);
/* One more target, for targets that come row by row, with copies of the two texts; `capacity` counts those
 * allocated and is the caller's, zero at first. */
MUST_USE int parcel_add_target(struct parcel *p,
                               struct spool_target t,
                               const char *address,
                               const char *orcpt,
                               size_t *capacity);
/* Takes the octets of *body. */
void parcel_take_body(struct parcel *p, struct buf *body);

#endif
