/* timeouts.h - how long a client waits: a plain value, for configurations. */
#ifndef POSTERN_LINK_TIMEOUTS_H
#define POSTERN_LINK_TIMEOUTS_H

#include "base/base.h"

/* How long is waited for each thing; 0: the default in parentheses, negative: for ever.  A stage ends at the latest after
 * twice its time, however busy the server is about it (REL-03: RFC 5321 section 4.5.3.2); a text, after that and 1 ms
 * for each octet. */
struct link_timeouts {
    int64_t connect_ms;  /* each address (30 s) */
    int64_t greeting_ms; /* TLS handshake and greeting of a fresh connection (5 min) */
    int64_t command_ms;  /* EHLO, STARTTLS, AUTH, MAIL, RCPT (5 min) */
    int64_t data_ms;     /* the 354 (2 min) */
    int64_t text_ms;     /* each piece of the text (3 min) */
    int64_t final_ms;    /* the answer to the text (10 min) */
    int64_t idle_ms;     /* a connection without a message (30 s); then QUIT */
    int64_t quit_ms;     /* the answer to QUIT (10 s) */
};

#endif
