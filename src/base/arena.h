/* arena.h - many small pieces that die together: what belongs to one mail transaction.
 *
 * Grows in blocks up to its maximum, given at birth.  Fails by returning NULL, at the maximum or
 * when there is no memory; what was allocated before stays valid until arena_done().
 */
#ifndef POSTERN_ARENA_H
#define POSTERN_ARENA_H

#include "base/str.h"

struct arena_block;

struct arena {
    struct arena_block *blocks;
    size_t used, max; /* bytes handed out; bytes at most */
};

void arena_init(struct arena *a, size_t max);
void arena_done(struct arena *a); /* frees everything; usable again */

void *arena_alloc(struct arena *a, size_t size); /* zeroed, aligned for any type */
char *arena_strdup(struct arena *a, struct str s); /* NUL-terminated copy */

#endif
