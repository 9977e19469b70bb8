/* dialogue.h - one connection of the prober: say a line, get the answer, in the order it is written down.
 *
 * Each call turns the loop until what it waits for has come, the peer is gone, or the time is over; the deadline
 * is for the whole answer, so a peer that sends an octet a second gains nothing.  After the end (`ended`, with
 * `why`) every call returns at once, with a reply of code 0.
 */
#ifndef POSTERN_PROBE_DIALOGUE_H
#define POSTERN_PROBE_DIALOGUE_H

#include "net/stream.h"
#include "smtp/client_ehlo.h"

#define DIALOGUE_TEXT 160
#define DIALOGUE_WHY 256

struct dialogue_reply {
    int code; /* 0: there was none */
    char enhanced[12];
    char text[DIALOGUE_TEXT]; /* first line, printable ASCII, cut */
};

struct dialogue_target { /* borrowed for the life of the dialogue */
    const char *host, *port;
    const char *tls_name; /* SNI and verification */
    bool implicit;        /* TLS from the first octet */
    int64_t timeout_ms;   /* for each answer */
};

struct dialogue;

/* Connects and hears the greeting; with `implicit` TLS comes before it.  Never NULL. */
struct dialogue *
dialogue_open(struct loop *l, const struct dialogue_target *target, struct tls_context *tls);
void dialogue_close(struct dialogue *d); /* says QUIT where that is possible; NULL is fine */

bool dialogue_ended(const struct dialogue *d);
const char *dialogue_why(const struct dialogue *d); /* "" while it has not ended */
struct dialogue_reply dialogue_greeting(const struct dialogue *d);

/* One line without its CRLF, which holds no control character. */
struct dialogue_reply dialogue_say(struct dialogue *d, const char *line);
/* EHLO; the capabilities are those of the newest one. */
struct dialogue_reply dialogue_ehlo(struct dialogue *d, const char *name);
const struct smtp_capabilities *dialogue_capabilities(const struct dialogue *d);

/* Several commands in one write, and as many answers. */
#define DIALOGUE_GROUP 4
void dialogue_say_group(struct dialogue *d,
                        const char *const *lines,
                        size_t n,
                        struct dialogue_reply *ret);

/* STARTTLS and the handshake.  `injected` (may be NULL) travels in the clear right behind the command, in the same
 * write: what STLS-08 is about.  False: refused or failed. */
bool dialogue_start_tls(struct dialogue *d, const char *injected, struct dialogue_reply *ret);

bool dialogue_is_secure(const struct dialogue *d);
bool dialogue_resumed(const struct dialogue *d);
const char *dialogue_tls_version(const struct dialogue *d); /* "" in the clear */

#endif
