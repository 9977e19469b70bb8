/* passage.h - the text of a delivery on its way from the spool to a connection: as it is, or made 7-bit.
 *
 * Two counts of octets: `offset` is of what is sent, and is what a link asks by; passage_source_at() is of what the spool
 * has.  They differ only where the text is converted, which goes forward only: any other offset than the present one
 * has to be 0, the beginning.
 *
 * Memory: what one piece of the spool and one header become, converted; nothing otherwise.
 */
#ifndef POSTERN_RELAY_PASSAGE_H
#define POSTERN_RELAY_PASSAGE_H

#include "message/downgrade.h"

struct passage {
    struct str plain;   /* octets of the source at hand, borrowed */
    uint64_t plain_at;  /* their offset */
    bool ended;         /* the source has no more */
    struct downgrade *filter; /* NULL: as it is */
    struct buf converted;
    uint64_t converted_at; /* offset of its first octet */
    uint64_t source_at;
};

void passage_init(struct passage *t, bool converts);
void passage_done(struct passage *t);

/* From there on. */
void passage_seek(struct passage *t, uint64_t offset);
/* A piece to send at `offset`, *ret_last when it ends the text (its length may be 0).  False: more of the source is needed. */
bool passage_next(const struct passage *t, uint64_t offset, size_t max, struct str *ret_piece, bool *ret_last);
/* Where the source is to be read on. */
uint64_t passage_source_at(const struct passage *t);
/* Octets of the source, `last` for the end.  Plain ones are borrowed until passage_forget().  A negative errno: they cannot be
 * converted. */
MUST_USE int passage_feed(struct passage *t, struct str data, bool last);
void passage_forget(struct passage *t);

#endif
