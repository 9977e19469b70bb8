/* id.h - names of messages: numbers that grow with time, so that new rows go to the right edge of the tables.
 *
 * 42 bits of milliseconds since 2020 and 18 bits that tell apart what came in one millisecond.  The text form
 * is 12 lower-case characters that sort as the numbers do; it holds until the year 2159.
 */
#ifndef POSTERN_SPOOL_ID_H
#define POSTERN_SPOOL_ID_H

#include "base/base.h"

#include <stdatomic.h>

#define ID_TEXT_LEN 12

struct id_source {
    _Atomic int64_t last;
};

/* `floor`: the greatest id in use.  A clock that was set back does not bring an id back. */
void id_source_init(struct id_source *s, int64_t floor);
int64_t id_next(struct id_source *s, int64_t wall_ms); /* any thread */

void id_format(int64_t id, char text[ID_TEXT_LEN + 1]);
MUST_USE int id_parse(const char *text, int64_t *ret); /* -EINVAL */

#endif
