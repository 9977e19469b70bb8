/* names.h - the value of a table that lists names: who may be acted as, whose addresses may be used.  Pure.
 *
 *     bob@example.org *@lists.example.org /sales-\d+@example\.org/
 *
 * White space or commas part them.  A name stands for itself (mailbox_eq()); "*@domain" for every address of that
 * domain; "*" for everything; /.../ for what the PCRE2 pattern between the slashes fits as a whole, with the
 * domain of the address in lower case.  A slash inside a pattern is written \/.
 */
#ifndef POSTERN_NAMES_H
#define POSTERN_NAMES_H

#include "base/str.h"

/* One of the names of the list fits `name`.  What cannot be read fits nothing. */
bool names_include(struct str list, struct str name);

/* The first item of the list that cannot be read, for a message; empty: all is well. */
struct str names_mistake(struct str list);

/* Local part octet for octet, domain without (ASCII) case (CERT-16). */
bool mailbox_eq(struct str a, struct str b);

#endif
