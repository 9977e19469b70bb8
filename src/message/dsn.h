/* dsn.h - the text of a delivery status notification (RFC 3464), ready for the spool.
 *
 * multipart/report with three parts: words for people, message/delivery-status, and the header of
 * the message (text/rfc822-headers) or the whole of it (message/rfc822), as RET asked (RFC
 * 3461 4.3).
 */
#ifndef POSTERN_DSN_H
#define POSTERN_DSN_H

#include "base/buf.h"

enum dsn_action { DSN_FAILED, DSN_DELAYED, DSN_DELIVERED, DSN_RELAYED };

struct dsn_recipient {
    const char *address; /* Final-Recipient */
    const char *orcpt;   /* Original-Recipient as "rfc822;xtext", NULL: none */
    enum dsn_action action;
    const char *status;      /* "5.1.1" */
    const char *diagnostic;  /* the peer's reply, one line, NULL: none */
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
    const struct dsn_recipient *recipients;
    size_t n_recipients;
    struct str returned; /* header, or header and body, of the message, CRLF lines */
    bool returned_is_full;
};

/* Appends a complete message, header included, CRLF lines. */
MUST_USE int dsn_format(const struct dsn *d, struct buf *out);

#endif
