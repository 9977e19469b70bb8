/* observer_line.h - one line of a client under observation: what it is, and what of it may be shown.  Pure.
 *
 * The engine tells lines as they came; here nothing is undone before it was looked at, so that the shapes of an empty
 * authorization identity stay apart.
 */
#ifndef POSTERN_PROBE_OBSERVER_LINE_H
#define POSTERN_PROBE_OBSERVER_LINE_H

#include "base/buf.h"

#define LINE_SHOWN 120 /* octets of a line in a report, NUL included */
#define LINE_NAME 96   /* of an authzid or a user name */

enum line_verb {
    LINE_EHLO, /* HELO, too */
    LINE_STARTTLS,
    LINE_AUTH, /* mechanism tells */
    LINE_MAIL,
    LINE_RCPT,
    LINE_TEXT, /* DATA, BDAT */
    LINE_RSET,
    LINE_QUIT,
    LINE_OTHER,   /* known, and of no interest */
    LINE_UNKNOWN, /* no command: may be a secret gone astray */
};

struct line {
    enum line_verb verb;
    const char *word;    /* "MAIL", static; "" for LINE_UNKNOWN */
    char mechanism[21];  /* LINE_AUTH: upper case; "" when there is none to be read */
    struct str response; /* LINE_AUTH: what follows the mechanism, the space in front included */
};
struct line line_read(struct str text);

/* How AUTH EXTERNAL began, and what came where the challenge wanted a response. */
enum external_first { FIRST_BARE, FIRST_SPACE, FIRST_EQUALS, FIRST_NAME, FIRST_NO_BASE64 };
enum external_answer {
    ANSWER_NOT_ASKED,
    ANSWER_NOTHING, /* asked, and nothing came */
    ANSWER_EMPTY_LINE,
    ANSWER_EQUALS,
    ANSWER_NAME,
    ANSWER_CANCEL,
    ANSWER_COMMAND, /* took the challenge for the end */
    ANSWER_NO_BASE64,
};
enum external_first external_first(struct str response);
enum external_answer external_answer(struct str text);

/* "AUTH EXTERNAL =": the shape by name.  Never NULL. */
const char *external_shape_name(enum external_first f, enum external_answer a);
const char *external_shape_words(enum external_first f, enum external_answer a);
/* The empty authzid and names are protocol (RFC 4954 section 4); the rest is not. */
bool external_shape_is_right(enum external_first f, enum external_answer a);

/* The line for a report: printable ASCII, cut, no secret.  `mechanism` is that of the exchange a response belongs to,
 * NULL for a command. */
void line_show(struct str text, const char *mechanism, char out[LINE_SHOWN]);

/* Printable ASCII, cut with "..." at `size`. */
void line_printable(struct str from, char *out, size_t size);

/* Base64 undone and made printable; "" when it is none.  A NUL ends it: what follows may be a password. */
void line_name(struct str base64, char out[LINE_NAME]);

/* Of an initial response or a response: the user it names, and whether a password came with it. */
struct line_secret {
    bool password;
    char user[LINE_NAME];
};
struct line_secret line_secret(const char *mechanism, unsigned nth_response, struct str base64);

#endif
