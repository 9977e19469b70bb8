/* stamp.h - the text of a message of the load, and the stamp in it by which the sink knows it again.
 *
 * The text is made once, of the size asked for, and shared by all connections: only the digits of the stamp
 * are written anew before a message leaves.  It is the Message-ID, which every server on the way keeps.
 * Pure: octets in, octets out.
 */
#ifndef POSTERN_STAMP_H
#define POSTERN_STAMP_H

#include "base/buf.h"

#define STAMP_SIZE_MIN ((size_t)384)       /* octets of the smallest text: the header needs them */
#define STAMP_SIZE_MAX ((size_t)256 << 20) /* all of it stays in memory */
#define STAMP_SEARCH_MAX ((size_t)16384)   /* octets from the start of a text in which a stamp may be found */

struct stamp {
    uint32_t run;    /* of this generator, so that an older run's message is not taken for ours */
    uint64_t number; /* of the message */
    int64_t sent_us;
};

struct stamp_text {
    struct buf text;
    size_t at; /* of the stamp's digits */
};

struct stamp_header {
    const char *date, *from, *to;
};

/* `size` octets exactly, within the limits above; CRLF lines. */
MUST_USE int stamp_text_make(struct stamp_text *t, size_t size, const struct stamp_header *h);
void stamp_text_done(struct stamp_text *t);

void stamp_put(struct stamp_text *t, const struct stamp *s);

/* The stamp in the text that begins with `head`; -EAGAIN: not there (yet). */
MUST_USE int stamp_find(struct str head, struct stamp *ret);

#endif
