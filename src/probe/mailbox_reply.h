/* mailbox_reply.h - one reply of an IMAP or POP3 server, as far as a prober needs to understand it.
 *
 * IMAP (RFC 9051 section 7): untagged lines are kept, the line with our tag or a "+" ends the reply; a greeting is one
 * untagged line.  POP3 (RFC 1939 section 3, RFC 5034): a line that begins with +OK, -ERR or "+ "; after a command with an
 * answer of several lines, up to the dot.  Bounded: lines of MAILBOX_LINE octets, MAILBOX_LINES of them.  A bare LF ends
 * nothing, and a literal is no part of what we ask for: both are errors.
 */
#ifndef POSTERN_MAILBOX_REPLY_H
#define POSTERN_MAILBOX_REPLY_H

#include "base/buf.h"

#define MAILBOX_LINE 4096
#define MAILBOX_LINES 64
#define MAILBOX_TAG 8
#define MAILBOX_TEXT 160

enum mailbox_kind { MAILBOX_IMAP, MAILBOX_POP3 };

enum mailbox_status {
    MAILBOX_NONE, /* there was no reply */
    MAILBOX_OK,
    MAILBOX_NO, /* POP3: -ERR */
    MAILBOX_BAD,
    MAILBOX_PREAUTH,
    MAILBOX_BYE,
    MAILBOX_PROMPT,
};

struct mailbox_hearing {
    enum mailbox_kind kind;
    char tag[MAILBOX_TAG]; /* "": a greeting is awaited */
    bool several;          /* POP3: lines up to a dot follow +OK */
    enum mailbox_status status;
    bool complete;
    unsigned lines;
    struct buf text;         /* all lines, joined with '\n' */
    char last[MAILBOX_TEXT]; /* what decided, printable ASCII, cut */
};

void mailbox_hearing_init(struct mailbox_hearing *h, enum mailbox_kind kind);
void mailbox_hearing_done(struct mailbox_hearing *h);
/* Ready for the next reply: to a command with `tag`, or "" where there is none (a greeting, POP3). */
void mailbox_hearing_begin(struct mailbox_hearing *h, const char *tag, bool several);

/* Feeds octets; stops after the line that completes the reply.  Returns how many were consumed, or -EBADMSG,
 * -EMSGSIZE. */
MUST_USE ssize_t mailbox_hearing_feed(struct mailbox_hearing *h, const char *data, size_t len);

/* A word of the reply, between blanks, brackets or line ends, without case: "AUTH=EXTERNAL". */
bool mailbox_hearing_has(const struct mailbox_hearing *h, const char *word);

#endif
