/* suggest.h - the known word nearest to a mistyped one: "did you mean certificate-auth?" */
#ifndef POSTERN_SUGGEST_H
#define POSTERN_SUGGEST_H

#include "base/base.h"

/* Returns one of `known`, or NULL when nothing is near enough to be meant.  No more than one slip in three
 * letters; a slip is a letter missing, added, changed, or two swapped. */
const char *suggest(const char *word, const char *const *known, size_t n_known);

#endif
