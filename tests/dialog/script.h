/* script.h - a dialogue file, read: cases made of lines (README.md has the language). */
#ifndef POSTERN_DIALOG_SCRIPT_H
#define POSTERN_DIALOG_SCRIPT_H

#include "base/buf.h"

enum line_kind {
    LINE_CLIENT,       /* "C: ", octets and CRLF */
    LINE_CLIENT_RAW,   /* "C- ", octets alone */
    LINE_SERVER,       /* "S: ", a whole reply */
    LINE_SERVER_HAS,   /* "S+ ", the reply has such a line */
    LINE_SERVER_LACKS, /* "S! " */
    LINE_TEXT,         /* "T: ", the stored text has such a line, further down */
    LINE_TEXT_LACKS,   /* "T! " */
    LINE_ENVELOPE,     /* "M: ", of the last message stored */
    LINE_DIRECTIVE,    /* "@" */
};

struct line {
    enum line_kind kind;
    unsigned number; /* in the file */
    char *text;      /* owned; what follows the kind, not unescaped */
};

struct script_case {
    char *name; /* owned */
    unsigned number;
    struct line *lines;
    size_t n_lines;
};

struct script {
    struct script_case *cases;
    size_t n_cases;
};

/* On failure says why on standard error, with file and line. */
MUST_USE int script_read(const char *file, struct script *ret);
void script_done(struct script *s);

/* Undoes \xNN \r \n \t \0 \\, \{N*text} (text N times) and \b{text} (base64 of text); "\*" stays for
 * script_matches(). -EINVAL. */
MUST_USE int script_unescape(struct str s, struct buf *out);

/* "*" stands for any run of octets, "\*" for itself. */
bool script_matches(struct str pattern, struct str text);

#endif
