/* dialogue.h - SMTP over a contact, word by word: say a line, get the answer.
 *
 * Stands on the conversation below a client session, not on the session: that one is made never to say most of what a
 * prober has to say.  Where there was no answer the reply has code 0, and dialogue_why() says what happened.
 */
#ifndef POSTERN_DIALOGUE_H
#define POSTERN_DIALOGUE_H

#include "probe/contact.h"
#include "smtp/client_ehlo.h"

#define DIALOGUE_TEXT 160

struct dialogue_reply {
    int code; /* 0: there was none */
    char enhanced[12];
    char text[DIALOGUE_TEXT]; /* first line, printable ASCII, cut */
    int64_t after_ms;         /* how long it was waited for; 0 in a group */
};

struct dialogue;

/* Connects and hears the greeting; with `implicit` TLS comes before it.  Never NULL. */
struct dialogue *
dialogue_open(struct loop *l, const struct contact_target *target, struct tls_context *tls);
void dialogue_abandon(struct dialogue *d, const char *why); /* nothing more can be said */
void dialogue_close(struct dialogue *d); /* says QUIT where that is possible; NULL is fine */

bool dialogue_ended(const struct dialogue *d);
const char *dialogue_why(const struct dialogue *d); /* "" while it has not ended */
bool dialogue_is_stray(
    const struct dialogue *d); /* it ended over a reply that no command asked for */
const struct contact_facts *dialogue_facts(const struct dialogue *d);
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

/* The text of a message after 354: lines end in CRLF, dots are doubled, the final dot is included. */
struct dialogue_reply dialogue_send_text(struct dialogue *d, const char *text);

/* STARTTLS and the handshake.  `injected` (may be NULL) travels in the clear right behind the command, in the same
 * write: what STLS-08 is about.  False: refused or failed. */
bool dialogue_start_tls(struct dialogue *d, const char *injected, struct dialogue_reply *ret);

#endif
