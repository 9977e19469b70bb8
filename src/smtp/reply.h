/* reply.h - one SMTP reply: code, enhanced status code, text (RFC 5321 section 4.2, RFC 2034, RFC 3463). */
#ifndef POSTERN_REPLY_H
#define POSTERN_REPLY_H

#include "base/buf.h"

#define SMTP_REPLY_TEXT 400 /* octets of text, NUL included: a line stays below 512 (RFC 5321 4.5.3.1.5) */
#define SMTP_REPLY_LINES 64 /* of a reply we read, at most */
/* Octets of one line we read, at most: "334 " and a challenge of 12288 (AUTH-12).  In other replies peers pass 512, but not
 * by much. */
#define SMTP_REPLY_LINE 12294

/* A reply of ours.  Plain value; one line of text. */
struct smtp_reply {
    int code;                     /* 0: no reply yet */
    const char *enhanced;         /* "2.1.0", static; "" where none belongs: greeting, EHLO, 3yz (ESC-01) */
    char text[SMTP_REPLY_TEXT];
};

struct smtp_reply smtp_reply(int code, const char *enhanced, const char *fmt, ...) PRINTF(3, 4);

/* Appends "250 2.1.0 text\r\n".  Octets that may not stand in a reply (controls, 8-bit) become "?". */
MUST_USE int smtp_reply_format(const struct smtp_reply *r, struct buf *out);

/* A reply somebody sent us, possibly of many lines. */
struct smtp_answer {
    int code;
    char enhanced[12]; /* "5.7.8", or "" when the first line carries none of the class of the code */
    struct buf text;   /* the lines' text joined with '\n', codes removed */
    unsigned lines;
    bool complete;
};

void smtp_answer_init(struct smtp_answer *a);
void smtp_answer_done(struct smtp_answer *a);
void smtp_answer_clear(struct smtp_answer *a); /* ready for the next reply; the memory is kept */

/* Feeds octets; stops after the line that completes the reply.  Returns how many were consumed, or
 * -EBADMSG (not a reply, codes differ, a bare LF), -EMSGSIZE (too many or too long lines). A partial line is not
 * consumed.  After an error or a complete reply: smtp_answer_clear(). */
MUST_USE ssize_t smtp_answer_feed(struct smtp_answer *a, const char *data, size_t len);

#endif
