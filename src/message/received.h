/* received.h - the trace line an MSA puts on top (RFC 5321 section 4.4, RFC 8314 section 4.3). */
#ifndef POSTERN_RECEIVED_H
#define POSTERN_RECEIVED_H

#include "base/buf.h"

struct received_facts {
    struct str helo;          /* as the client said it, already checked */
    const char *peer_name;    /* a domain, stands before the address; NULL: not known */
    const char *peer_address; /* numeric; written as an address literal, IPv6: with its tag (RFC
                                 5321 4.1.3) */
    const char *hostname;     /* ours */
    const char *queue_id;
    bool esmtp, tls, authenticated,
        utf8; /* make the with keyword: ESMTPSA ... (TRC-04, RFC 3848, RFC 6531 4.3) */
    const char *tls_version; /* shown in a comment; NULL: none */
    const char *tls_cipher;  /* registered suite name for the tls clause (TRC-05); NULL: none */
    const char *tls_group;   /* NULL: not known */
    const char *for_path;    /* the recipient when there is exactly one, else NULL (TRC-03) */
    int64_t now_ms;          /* wall clock */
};

/* Appends one folded field, CRLF at its end; no line above 998 octets, folded near 78. */
MUST_USE int received_format(const struct received_facts *f, struct buf *out);

/* "with" keyword of the registry, by the four flags. */
const char *received_protocol(bool esmtp, bool tls, bool authenticated, bool utf8);

/* RFC 5322 section 3.3 date-time, local zone as a numeric offset, into out[40]. */
void date_format(int64_t wall_ms, char out[40]);

/* The body of a Date field is one of RFC 5322 section 3.3, or of its obsolete forms (section 4.3). */
bool date_is_valid(struct str body);

#endif
