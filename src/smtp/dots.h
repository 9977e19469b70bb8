/* dots.h - message text on its way through DATA: undoing and doing transparency (RFC 5321 section 4.5.2).
 *
 * Only CR LF ends a line and only CR LF . CR LF ends the text (SMTP-15).  A bare CR or a bare LF anywhere is remembered:
 * the server refuses the whole message (SMTP-16), so that no other implementation's idea of a line end can
 * find a second message in it.
 */
#ifndef POSTERN_DOTS_H
#define POSTERN_DOTS_H

#include "base/buf.h"

#define DOTS_LINE_MAX 998 /* octets of a text line without CR LF (RFC 5321 4.5.3.1.6) */

typedef int dots_out_fn(void *arg, const char *data, size_t len);

struct undot {
    unsigned char state;
    bool raw;      /* a BDAT chunk: no dot is special, nothing ends the text, lines are judged the same */
    bool ended;    /* the final dot was seen */
    bool bare;     /* a bare CR or LF was seen */
    bool long_line; /* a line above DOTS_LINE_MAX was seen */
    bool eight_bit; /* an octet above 0x7f was seen */
    uint32_t line_len;
};

void undot_init(struct undot *u, bool raw);

/* With raw, at the end of the last chunk: a CR left alone there is a bare one too. */
void undot_finish(struct undot *u);

/* Returns octets consumed (all of them, or up to and including the final dot's CR LF), or what out() failed with. */
MUST_USE ssize_t undot_feed(struct undot *u, const char *data, size_t len, dots_out_fn *out, void *arg);

/* The other way, for a client.  Input has CRLF line ends; a missing last one is added by dots_finish().
 * -EBADMSG: a bare CR or LF, which never leaves us (SMTP-16); the text as a whole must not be sent then.
 * On any error nothing was appended. */
struct dots {
    bool line_start;
    bool after_cr;
};
void dots_init(struct dots *d);
MUST_USE int dots_feed(struct dots *d, const char *data, size_t len, struct buf *out);
MUST_USE int dots_finish(struct dots *d, struct buf *out); /* appends the final ".\r\n" */

/* For BDAT, where the text goes as it is: only looks for bare CR and LF. `last`: the text ends with this piece. */
MUST_USE int dots_check(struct dots *d, const char *data, size_t len, bool last);

#endif
