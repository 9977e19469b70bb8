/* intake.h - a message as a program, a file or a person hands it over, made into one that can be sent.
 *
 *     octets -> line ends -> fix-ups of the header (message/fixup.h) -> struct send_text
 *                                  \-> From, Sender, and with -t the recipients
 *
 * - LF, CR LF and CR CR LF end a line and become CR LF.  A CR that stands elsewhere becomes a space in the header, where
 *   a line end would make a field of what an attacker may have written, and a line end below it: progress
 *   bars in the mail of cron are made of those.
 * - With `dot_ends` a line that holds a dot alone ends the message (sendmail without -i).
 * - Bcc goes; Date, Message-ID and From are added where they are missing.
 * - With `take_recipients` (-t) To, Cc and Bcc name the recipients; in a message that is sent again, the fields of
 *   its newest Resent- block do [rfc5322 3.6.6].
 *
 * Memory    A line, and the destination field being read (INTAKE_FIELD_MAX).
 * Fails     -errno; then `why` says what is wrong with the message, or it is the errno of where the text goes.
 */
#ifndef POSTERN_SEND_INTAKE_H
#define POSTERN_SEND_INTAKE_H

#include "send/recipients.h"
#include "send/text.h"
#include "smtp/address.h"

#define INTAKE_FIELD_MAX ((size_t)4 << 20)
#define INTAKE_WHY_MAX 200

struct intake;

struct intake_config { /* strings are borrowed until intake_free() */
    bool dot_ends, take_recipients;
    const char *from;     /* the body of the From to add, "Name <address>" */
    const char *hostname; /* of a new Message-ID */
    const char *id;       /* likewise; a word of its own for each message */
    int64_t now_ms;       /* wall clock */
};

struct intake_facts {
    /* Whose message it is: the newest Resent-Sender or Resent-From; else the one address of From, of several that of
     * Sender.  "": it does not say. */
    char sender[SMTP_PATH_MAX + 1];
    bool header_is_8bit, body_is_8bit;
    bool ended; /* by the dot */
    /* Where the body begins, the empty line included: in the text, and the number of that line as it was handed over. */
    uint64_t body_at;
    size_t body_line;
    size_t long_line; /* the first of the body that is longer than a server must take (DOTS_LINE_MAX); 0: none */
};

/* Appends to `text`, and with take_recipients to `to`. */
struct intake *
intake_new(const struct intake_config *cfg, struct send_text *text, struct recipients *to);
void intake_free(struct intake *in);

MUST_USE int intake_write(struct intake *in, const char *data, size_t len); /* in any pieces */
MUST_USE int intake_finish(struct intake *in);

const struct intake_facts *intake_facts(const struct intake *in);
const char *intake_why(const struct intake *in); /* "": errno says it */

#endif
