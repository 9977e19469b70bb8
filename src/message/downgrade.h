/* downgrade.h - an 8-bit or binary message made 7-bit, for a next hop that takes no more, as a filter: octets in, octets
 * out (RFC 6152 section 3, RFC 3030 section 3, RFC 2045).
 *
 * The structure of MIME stays, and so does what every part decodes to; what changes is how parts are encoded:
 *
 * - parts in 8bit become quoted-printable when they are text, base64 when they are not; in binary always base64;
 * - parts that say nothing of their encoding, or 7bit, become quoted-printable: they may well hold something else, and
 *   what is in fact ASCII hardly changes.  Inside multipart/signed they stay, as a signature covers them;
 * - multipart and message/rfc822 may not be encoded (RFC 2045 section 6.4): what is in them is;
 * - a message that is no MIME becomes text/plain of an unknown character set (RFC 1428 section 3);
 * - octets above ASCII before the first and behind the last part, which nobody reads, become "?".
 *
 * With `lines_only` the trouble is lines that are too long, not octets above ASCII: those may stay, in headers, too; so do
 * parts inside multipart/signed, whatever they are; nothing is lost outside of parts; and base64 in one long line is broken.
 *
 * Whoever signed the octets (DKIM, the content of multipart/signed in 8bit) signed others: whether to convert is the
 * operator's choice.  Memory: a header at a time, DOWNGRADE_HEADER_MAX at most, whatever the message.
 */
#ifndef POSTERN_DOWNGRADE_H
#define POSTERN_DOWNGRADE_H

#include "base/buf.h"

#define DOWNGRADE_HEADER_MAX ((size_t)256 * 1024)

struct downgrade;

struct downgrade_config {
    bool lines_only;
    const char *charset; /* of a message that is no MIME, borrowed until downgrade_free(); NULL: unknown-8bit */
};

/* 0 or -errno, which ends the filter. */
typedef int downgrade_out_fn(void *arg, const char *data, size_t len);

struct downgrade *
downgrade_new(const struct downgrade_config *cfg, downgrade_out_fn *out, void *arg);
void downgrade_free(struct downgrade *d); /* NULL is fine */

/* In any pieces.  -EILSEQ: it cannot be done without loss (octets above ASCII in a header, a multipart without
 * boundary, 8-bit octets in what says it is encoded, parts nested too deep); -EMSGSIZE: a header is too large; or what
 * `out` returned.  After an error the filter is dead. */
MUST_USE int downgrade_write(struct downgrade *d, const char *data, size_t len);
MUST_USE int downgrade_finish(struct downgrade *d); /* the end of the message */

/* After -EILSEQ: what is in the way, "a signature covers it". */
const char *downgrade_why(const struct downgrade *d);

#endif
