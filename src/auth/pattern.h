/* pattern.h - does a whole name fit a PCRE2 pattern?  Pure, and bounded in time whatever the pattern is. */
#ifndef POSTERN_PATTERN_H
#define POSTERN_PATTERN_H

#include "base/str.h"

#define PATTERN_WHY_MAX 160

/* 1 or 0; -EINVAL with words in `why` (NULL is fine) for what is no pattern; -E2BIG for one that takes too long. */
MUST_USE int pattern_fits(struct str pattern, struct str name, char *why);

#endif
