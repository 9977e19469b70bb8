/* fixup.h - what an MSA mends in a submitted message, as a filter: octets in, octets out.
 *
 * Works on the stream as it passes, holds no more than one header line: memory does not grow with the message.
 *   Return-Path  removed           (MSG-07; the final delivery writes its own)
 *   Bcc          removed           (MSG-06), by setting
 *   Date         added if missing  (MSG-02, RFC 6409 8.2)
 *   Message-ID   added if missing  (MSG-03, RFC 6409 8.3)
 * Added fields go at the end of the header; if there is no header at all, an empty line is made after them.
 * Received fields are counted for the loop limit (SMTP-23).  Everything else, and the whole body,
 * passes byte by byte.  Input has CRLF line ends only: the session engine sees to that.
 */
#ifndef POSTERN_FIXUP_H
#define POSTERN_FIXUP_H

#include "base/buf.h"

struct fixup;

struct fixup_config {
    bool add_date, add_message_id, remove_bcc; /* Return-Path always goes */
    const char *hostname;                      /* right side of a new Message-ID */
    const char *queue_id;                      /* left side of it, together with the time */
    int64_t now_ms;                            /* wall clock */
};

struct fixup_facts {
    unsigned received; /* Received fields seen so far */
    bool has_from, has_date, has_message_id;
    bool header_is_8bit; /* an octet above 0x7f in the header */
    bool body_is_8bit;
    bool header_done;
};

typedef int fixup_out_fn(void *arg, const char *data, size_t len); /* 0 or -errno, which ends the filter */

struct fixup *fixup_new(const struct fixup_config *cfg, fixup_out_fn *out, void *arg);
void fixup_free(struct fixup *f);
MUST_USE int fixup_write(struct fixup *f, const char *data, size_t len); /* in any pieces */
MUST_USE int fixup_finish(struct fixup *f);                              /* end of message */
const struct fixup_facts *fixup_facts(const struct fixup *f);

#endif
