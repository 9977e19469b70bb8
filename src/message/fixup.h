/* fixup.h - what an MSA mends in a submitted message, as a filter: octets in, octets out.
 *
 * Works on the stream as it passes and holds back one line at most: memory does not grow with the
 * message.
 *
 * - Return-Path is removed: the final delivery writes its own (MSG-07).
 * - Bcc and Resent-Bcc are removed, by setting (MSG-06).
 * - Date is added if missing (MSG-02, RFC 6409 8.2); an empty one counts as missing, by setting one that is no date, too.
 * - Message-ID is added if missing (MSG-03, RFC 6409 8.3); one without "<left@right>" counts as
 *   missing.
 * - Sender is taken out, and what stands in its place is the owner's to say, if it asks (MSG-04).
 * - "From user Thu Oct  1 ..." as the very first line, left over from a mailbox file, is removed.
 *
 * Added fields go at the end of the header.  Where no empty line ends the header, because there is
 * no header or because a line comes that is no field, one is made after them.
 *
 * Received fields are counted for the loop limit (SMTP-23).  Everything else, and the whole body,
 * passes octet by octet, so a message that needs nothing comes out as it came in.  Lines end with
 * CRLF: the session engine sees to that, and a bare CR or LF is an octet like others here.
 */
#ifndef POSTERN_FIXUP_H
#define POSTERN_FIXUP_H

#include "base/buf.h"

struct fixup;

#define FIXUP_NAMES_MAX 8192 /* octets kept of From, and of Sender */

/* Whose name is on the message, when its header has ended. */
struct fixup_names {
    struct str from, sender;   /* bodies as they came, folding included; borrowed during the call */
    unsigned n_from, n_sender; /* how many such fields; the bodies of several follow each other */
    bool too_long;             /* one of the bodies is not whole */
};

/* Looks at the names and may append whole fields to `add`.  0 or -errno, which ends the filter. */
typedef int fixup_names_fn(void *arg, const struct fixup_names *names, struct buf *add);

/* The header as it comes, removed fields included: a field begins with its name and no piece, the pieces of its body
 * follow without a name. */
typedef void fixup_field_fn(void *arg, struct str name, struct str piece);

/* Strings are borrowed until fixup_free(). */
struct fixup_config {
    bool add_date, add_message_id, remove_bcc; /* Return-Path always goes */
    bool replace_date;                         /* with add_date: one that is no date counts as missing */
    const char *hostname;                      /* right side of a new Message-ID */
    const char *queue_id;                      /* left side of it, together with the time */
    int64_t now_ms;                            /* wall clock */
    fixup_names_fn *on_names;                  /* called once, with the `arg` of the filter; NULL: nobody asks */
    bool take_sender;                          /* with on_names: Sender fields go */
    fixup_field_fn *on_field;                  /* with the `arg` of the filter; NULL: nobody looks */
};

/* What was seen so far; complete for the header once header_done. */
struct fixup_facts {
    unsigned received;
    bool has_from, has_date, has_message_id; /* the client's own */
    bool header_is_8bit;                     /* an octet above 0x7f in what came out */
    bool body_is_8bit;
    const char *repeated; /* a field that came twice and may come once (RFC 5322 section 3.6); NULL: none */
    bool tls_is_optional; /* a field "TLS-Required: No" (RFC 8689 section 3) */
    bool header_done;
};

/* 0 or -errno, which ends the filter. */
typedef int fixup_out_fn(void *arg, const char *data, size_t len);

struct fixup *fixup_new(const struct fixup_config *cfg, fixup_out_fn *out, void *arg);
void fixup_free(struct fixup *f);
MUST_USE int fixup_write(struct fixup *f, const char *data, size_t len); /* in any pieces */
MUST_USE int fixup_finish(struct fixup *f);                              /* end of message */
const struct fixup_facts *fixup_facts(const struct fixup *f);

#endif
