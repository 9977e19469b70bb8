/* dsn.h - the text of a delivery status notification (RFC 3464), ready for the spool.
 *
 * multipart/report with three parts: words for people, message/delivery-status, and the header of
 * the message (text/rfc822-headers) or the whole of it (message/rfc822), as RET asked (RFC 3461
 * 4.3).  An address in UTF-8 brings the forms of RFC 6533.  To be sent from <>, and never about a
 * message from <> (DSN-03): the caller sees to that.
 *
 * Strings may hold anything a peer said: what would break a line or a character set becomes "?" or
 * a space, and what is too long is cut.
 */
#ifndef POSTERN_DSN_H
#define POSTERN_DSN_H

#include "base/buf.h"

enum dsn_action { DSN_FAILED, DSN_DELAYED, DSN_DELIVERED, DSN_RELAYED };

struct dsn_recipient {
    const char *address; /* Final-Recipient */
    const char *orcpt;   /* as received, "rfc822;xtext"; NULL: none */
    enum dsn_action action;
    const char *status;      /* "5.1.1" */
    const char *diagnostic;  /* the peer's reply, "550 5.1.1 ...", or our own words; NULL: none */
    const char *remote_mta;  /* NULL: none */
    int64_t last_attempt_ms; /* wall clock */
    int64_t retry_until_ms;  /* delayed only, else 0 */
};

struct dsn {
    const char *hostname; /* Reporting-MTA */
    const char *queue_id; /* of the message reported on */
    const char *envid;    /* NULL: none */
    const char *to;       /* the reverse-path of the message, never empty */
    int64_t arrival_ms, now_ms;
    int64_t deliver_by_ms; /* wall clock: the deadline of BY= (RFC 2852); 0: none */
    const struct dsn_recipient *recipients;
    size_t n_recipients;
    struct str returned; /* header, or header and body, of the message, CRLF lines */
    bool returned_is_full;
};

/* Appends a complete message, header included, CRLF lines; it is 8-bit when an address or what is
 * returned is.  Of a header returned alone at most 64 KiB go in.  A failure (-EMSGSIZE, -ENOMEM)
 * appends nothing: a caller that was asked for the full message tries again with the header. */
MUST_USE int dsn_format(const struct dsn *d, struct buf *out);

#endif
