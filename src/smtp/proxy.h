/* proxy.h - the header of the PROXY protocol, version 2, with its TLS fields.  Pure: octets in, a value out.
 *
 * A proxy in front sends it ahead of everything else and so hands over whom it speaks for.  Version 1, which is text,
 * is not read.  TLVs that are not known are passed over; one that does not keep to its length makes the whole wrong, and
 * so does a checksum that does not fit, or one of those we read when it is there twice.
 *
 * The specification has no field for the identity of a client certificate.  We read one of those it leaves to
 * applications: type 0xE0, UTF-8, the identity as our own rules would have named it.
 */
#ifndef POSTERN_PROXY_H
#define POSTERN_PROXY_H

#include "base/str.h"

#define PROXY_HEADER_MIN 16
#define PROXY_HEADER_MAX 16384 /* a certificate may be in it */
#define PROXY_TLV_IDENTITY 0xE0

enum proxy_family { PROXY_UNKNOWN, PROXY_INET, PROXY_INET6, PROXY_UNIX };

struct proxy_header {
    bool local; /* the proxy speaks for itself, such as a health check */
    enum proxy_family family;
    unsigned char source[16]; /* 4 octets with PROXY_INET */
    unsigned port;
    bool tls;         /* the client spoke TLS to the proxy */
    bool certificate; /* it has shown one, in this connection or in the one this resumes */
    bool verified;    /* and the proxy found it good */
    char tls_version[32], cipher[64]; /* "" when not told */
    char common_name[256];
    char identity[321];
    struct str der; /* the client's certificate, borrowed from the header; empty: not handed over */
};

/* 0 while these first octets, one or more, may begin a header of version 2; -EPROTO: it is one of version 1; -EINVAL. */
MUST_USE int proxy_begins(struct str start);

/* Octets of the whole header, of which the first PROXY_HEADER_MIN are here; -EINVAL when it is none of version 2,
 * -EMSGSIZE when it is longer than PROXY_HEADER_MAX. */
MUST_USE int proxy_length(struct str start);

/* `header` is the whole, as long as proxy_length() says.  -EINVAL when it is wrong, -EBADMSG when its checksum is. */
MUST_USE int proxy_parse(struct str header, struct proxy_header *ret);

#endif
