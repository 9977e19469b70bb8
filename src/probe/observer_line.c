#include "probe/observer_line.h"

#include "base/b64.h"

#include <ctype.h>
#include <stdio.h>

#define SECRET_MAX ((size_t)12288)

/* clang-format off */
static const struct {
    const char *word;
    enum line_verb verb;
} verbs[] = {
    {"EHLO", LINE_EHLO},   {"HELO", LINE_EHLO},         {"STARTTLS", LINE_STARTTLS}, {"AUTH", LINE_AUTH},
    {"MAIL", LINE_MAIL},   {"RCPT", LINE_RCPT},         {"DATA", LINE_TEXT},         {"BDAT", LINE_TEXT},
    {"RSET", LINE_RSET},   {"QUIT", LINE_QUIT},         {"NOOP", LINE_OTHER},        {"VRFY", LINE_OTHER},
    {"HELP", LINE_OTHER},  {"EXPN", LINE_OTHER},
};
/* clang-format on */

static void read_mechanism(struct str args, struct line *ret)
{
    size_t from = 0, n = 0;
    while (from < args.len && args.p[from] == ' ')
        from++;
    args = str_from(args, from);
    while (n < args.len && args.p[n] != ' ')
        n++;
    ret->response = str_from(args, n);
    if (n >= sizeof(ret->mechanism))
        return;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)args.p[i];
        if (!isalnum(c) && c != '-' && c != '_')
            n = 0; /* no mechanism has such a name, and so it is not shown */
        else
            ret->mechanism[i] = (char)toupper(c);
    }
    ret->mechanism[n] = '\0';
}

struct line line_read(struct str text)
{
    struct line l = {.verb = LINE_UNKNOWN, .word = "", .response = STR("")};
    ssize_t space = str_find(text, ' ');
    struct str word = space < 0 ? text : str_upto(text, (size_t)space);
    for (size_t i = 0; i < ARRAY_LEN(verbs); i++) {
        if (!str_eq_nocase(word, str_of(verbs[i].word)))
            continue;
        l.verb = verbs[i].verb;
        l.word = verbs[i].word;
        if (l.verb == LINE_AUTH)
            read_mechanism(str_from(text, word.len), &l);
        return l;
    }
    return l;
}

/* ---- the shapes of EXTERNAL ---- */

static bool is_base64(struct str s)
{
    struct buf octets = BUF_INIT(SECRET_MAX);
    bool good = b64_decode(s, &octets) == 0;
    buf_wipe(&octets);
    return good;
}

enum external_first external_first(struct str response)
{
    struct str own = str_trim(response);
    if (own.len == 0)
        return response.len ? FIRST_SPACE : FIRST_BARE;
    if (str_eq(own, STR("=")))
        return FIRST_EQUALS;
    return is_base64(own) ? FIRST_NAME : FIRST_NO_BASE64;
}

/* QUIT and RSET are base64, too, but of control characters: no name, so a line with a verb in front is a command. */
enum external_answer external_answer(struct str text)
{
    if (text.len == 0)
        return ANSWER_EMPTY_LINE;
    if (str_eq(text, STR("=")))
        return ANSWER_EQUALS;
    if (str_eq(text, STR("*")))
        return ANSWER_CANCEL;
    if (line_read(text).verb != LINE_UNKNOWN)
        return ANSWER_COMMAND;
    return is_base64(text) ? ANSWER_NAME : ANSWER_NO_BASE64;
}

/* clang-format off */
static const struct shape {
    int first, answer; /* -1: any */
    const char *name, *words;
    bool right;
} shapes[] = {
    {-1,              ANSWER_CANCEL,     "cancelled",         "gave up with * (RFC 4954 section 4)",                    true },
    {-1,              ANSWER_COMMAND,    "command",           "a command in place of the response",                     false},
    {-1,              ANSWER_NO_BASE64,  "no-base64",         "a response that is no base64",                           false},
    {FIRST_NO_BASE64, -1,                "no-base64",         "an initial response that is no base64",                  false},
    {FIRST_EQUALS,    ANSWER_NOT_ASKED,  "equals",            "AUTH EXTERNAL =",                                        true },
    {FIRST_EQUALS,    ANSWER_NOTHING,    "equals",            "AUTH EXTERNAL =, and no answer to the challenge",        true },
    {FIRST_EQUALS,    -1,                "equals",            "AUTH EXTERNAL =, and the challenge answered",            true },
    {FIRST_NAME,      -1,                "name",              "AUTH EXTERNAL with a name",                              true },
    {FIRST_SPACE,     ANSWER_EMPTY_LINE, "space-empty",       "AUTH EXTERNAL with a trailing space, then an empty line", false},
    {FIRST_SPACE,     ANSWER_EQUALS,     "space-equals",      "AUTH EXTERNAL with a trailing space, then = (no base64)", false},
    {FIRST_SPACE,     ANSWER_NAME,       "space-name",        "AUTH EXTERNAL with a trailing space, then a name",       false},
    {FIRST_SPACE,     -1,                "space",             "AUTH EXTERNAL with a trailing space",                    false},
    {FIRST_BARE,      ANSWER_EMPTY_LINE, "bare-empty",        "bare, then an empty line",                               true },
    {FIRST_BARE,      ANSWER_EQUALS,     "bare-equals",       "bare, then = (no base64)",                               false},
    {FIRST_BARE,      ANSWER_NAME,       "bare-name",         "bare, then a name",                                      true },
    {FIRST_BARE,      ANSWER_NOTHING,    "bare-nothing",      "bare, and no answer to the challenge",                   false},
    {FIRST_BARE,      ANSWER_NOT_ASKED,  "bare",              "bare, and no challenge came",                            true },
};
/* clang-format on */

static const struct shape *shape_of(enum external_first f, enum external_answer a)
{
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        const struct shape *s = &shapes[i];
        if ((s->first < 0 || s->first == (int)f) && (s->answer < 0 || s->answer == (int)a))
            return s;
    }
    abort(); /* our mistake: the rows cover every pair, as the test sees */
}

const char *external_shape_name(enum external_first f, enum external_answer a)
{
    return shape_of(f, a)->name;
}

const char *external_shape_words(enum external_first f, enum external_answer a)
{
    return shape_of(f, a)->words;
}

bool external_shape_is_right(enum external_first f, enum external_answer a)
{
    return shape_of(f, a)->right;
}

/* ---- what may be shown ---- */

void line_printable(struct str from, char *out, size_t size)
{
    size_t n = MIN(from.len, size - 1);
    for (size_t i = 0; i < n; i++)
        out[i] = (char)(from.p[i] >= ' ' && from.p[i] <= '~' ? from.p[i] : '?');
    out[n] = '\0';
    if (from.len > n && n >= 3)
        memcpy(out + n - 3, "...", 3);
}

/* A NUL divides names from passwords. */
static bool holds_secret(struct str base64)
{
    struct buf octets = BUF_INIT(SECRET_MAX);
    bool secret = b64_decode(base64, &octets) == 0 && str_find(buf_str(&octets), '\0') >= 0;
    buf_wipe(&octets);
    return secret;
}

static void show_auth(const struct line *l, char out[LINE_SHOWN])
{
    struct str response = str_trim(l->response);
    bool external = strcmp(l->mechanism, "EXTERNAL") == 0;
    char shown[LINE_SHOWN];
    if (external && !holds_secret(response))
        line_printable(l->response, shown, sizeof(shown));
    else
        (void)snprintf(shown, sizeof(shown), "%s", response.len ? " ***" : "");
    if (external && response.len == 0 && l->response.len)
        (void)snprintf(shown, sizeof(shown), " (a trailing space)");
    (void)snprintf(out, LINE_SHOWN, "AUTH %s%.90s", l->mechanism, shown);
}

static void show_response(struct str text, const char *mechanism, char out[LINE_SHOWN])
{
    bool external = strcmp(mechanism, "EXTERNAL") == 0;
    if (text.len == 0)
        (void)snprintf(out, LINE_SHOWN, "(an empty line)");
    else if (str_eq(text, STR("*")) || str_eq(text, STR("=")) ||
             (external && external_answer(text) == ANSWER_NAME && !holds_secret(text)))
        line_printable(text, out, LINE_SHOWN);
    else if (external && external_answer(text) == ANSWER_COMMAND)
        line_show(text, NULL, out);
    else
        (void)snprintf(out, LINE_SHOWN, "***");
}

void line_show(struct str text, const char *mechanism, char out[LINE_SHOWN])
{
    if (mechanism) {
        show_response(text, mechanism, out);
        return;
    }
    struct line l = line_read(text);
    if (l.verb == LINE_UNKNOWN)
        (void)snprintf(out, LINE_SHOWN, "(a line of %zu octets that is no command)", text.len);
    else if (l.verb == LINE_AUTH)
        show_auth(&l, out);
    else
        line_printable(text, out, LINE_SHOWN);
}

void line_name(struct str base64, char out[LINE_NAME])
{
    struct buf octets = BUF_INIT(SECRET_MAX);
    out[0] = '\0';
    if (b64_decode(base64, &octets) == 0) {
        ssize_t nul = str_find(buf_str(&octets), '\0');
        struct str name = buf_str(&octets);
        line_printable(nul < 0 ? name : str_upto(name, (size_t)nul), out, LINE_NAME);
    }
    buf_wipe(&octets);
}

/* [rfc4616 2] authzid NUL authcid NUL password */
static struct line_secret plain_secret(struct str octets)
{
    struct line_secret s = {.user = ""};
    ssize_t first = str_find(octets, '\0');
    struct str rest = first < 0 ? STR("") : str_from(octets, (size_t)first + 1);
    ssize_t second = str_find(rest, '\0');
    if (second < 0)
        return (struct line_secret){.password = octets.len > 0}; /* malformed: whatever it is */
    line_printable(str_upto(rest, (size_t)second), s.user, sizeof(s.user));
    s.password = rest.len > (size_t)second + 1;
    return s;
}

struct line_secret line_secret(const char *mechanism, unsigned nth_response, struct str base64)
{
    struct line_secret s = {.user = ""};
    struct buf octets = BUF_INIT(SECRET_MAX);
    if (b64_decode(str_trim(base64), &octets) == 0 && octets.len) {
        if (strcmp(mechanism, "PLAIN") == 0)
            s = plain_secret(buf_str(&octets));
        else if (strcmp(mechanism, "LOGIN") == 0 && nth_response == 0)
            line_name(str_trim(base64), s.user);
        else if (strcmp(mechanism, "EXTERNAL") == 0)
            s.password = str_find(buf_str(&octets), '\0') >= 0;
        else
            s.password = true;
    }
    buf_wipe(&octets);
    return s;
}
