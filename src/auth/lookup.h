/* lookup.h - a table as the pure files of auth/ see it: a function from key to value.
 *
 * The owner puts base/table.h behind it, a test a few lines of C.
 */
#ifndef POSTERN_LOOKUP_H
#define POSTERN_LOOKUP_H

#include "base/buf.h"

#define LOOKUP_VALUE_MAX ((size_t)64 * 1024) /* of one entry: a longer one is an error, and grants nothing */

struct lookup {
    /* Replaces the content of `value` (NULL: only ask): 0, -ENOENT, or another -errno. */
    int (*get)(void *arg, struct str key, struct buf *value); /* NULL: there is no table */
    void *arg;
};

/* The entry of a name: as it is written or, for an address, with its domain in lower case.  The local part counts
 * octet for octet (CERT-16), so tables write domains in lower case. */
MUST_USE int lookup_name(const struct lookup *l, struct str name, struct buf *value);

#endif
