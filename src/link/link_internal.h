/* link_internal.h - the words for how a connection ended. */
#ifndef POSTERN_LINK_INTERNAL_H
#define POSTERN_LINK_INTERNAL_H

#include "link/link.h"

#define LINK_WORDS_MAX 768

/* What is known when a stream has ended under a session. */
struct link_fall {
    enum stream_end end;
    const char *detail;    /* the stream's words */
    const char *alert;     /* the TLS alert the peer sent, as the RFCs spell it; NULL: none */
    const char *name;      /* of the server, as we set out for it */
    bool tls_wanted, tls_implicit; /* as configured: at all, from the first octet */
    bool tls_begun, tls_up;
    bool heard;            /* octets, inside TLS once that is up */
    bool has_certificate;  /* of ours, to show */
};

void link_words(const struct link_fall *f, char *out, size_t size);

#endif
