#include "message/downgrade.h"

#include <errno.h>
#include <stdio.h>

/* What must hold:
 *
 *   W1  What comes out does not depend on the pieces the input came in.
 *   W2  What comes out is ASCII (but for `lines_only`) without NUL, in lines of at most LINE_MAX_LEN octets that end in CR LF.
 *   W3  The CR LF in front of a boundary belongs to the boundary: it is held until the line after it is known.
 *
 * Octets are gathered into lines only as far as needed: a line of a body is held while it may still become a boundary,
 * a line of a header until the header is complete.
 *
 *              +----------------- boundary ------------------+
 *              v                                             |
 *    begin -> HEADER --empty line--> BODY (one of the modes) +--> closing boundary: SKIP
 *              ^                       |
 *              +---- message/rfc822 ---+
 */
#define DEPTH_MAX 32
#define BOUNDARY_MAX 100
#define CANDIDATE_MAX 256 /* of a boundary line, blanks behind it included */
#define LINE_MAX_LEN 998
#define QP_LINE 76
#define BASE64_GROUP 57 /* octets of a line of base64 */

enum mode {
    MODE_HEADER,
    MODE_PASS, /* 7-bit as it is */
    MODE_SKIP, /* nobody reads it */
    MODE_QP,
    MODE_BASE64,
    MODE_BREAK, /* base64 as it is, in lines that are not too long */
};

struct level { /* an open multipart */
    char boundary[BOUNDARY_MAX + 1];
    bool is_signed, is_digest;
};

struct downgrade {
    struct downgrade_config cfg;
    downgrade_out_fn *out;
    void *arg;
    int error;
    const char *why;   /* of -EILSEQ */
    const char *fixed; /* why what is passed may not be encoded */
    enum mode mode;
    struct level levels[DEPTH_MAX];
    size_t depth;
    bool is_message; /* the header is that of a message, not of a part */
    struct buf header;
    size_t line_start; /* in header */
    /* The line we are in. */
    char candidate[CANDIDATE_MAX];
    size_t n_candidate;
    bool is_decided; /* it is no boundary */
    bool after_cr;
    bool holds_eol; /* W3 */
    size_t column;  /* of the line being written */
    char blank;     /* QP: a space or tab that may be the last of its line */
    unsigned char group[BASE64_GROUP];
    size_t n_group;
};

struct downgrade *
downgrade_new(const struct downgrade_config *cfg, downgrade_out_fn *out, void *arg)
{
    struct downgrade *d = xcalloc(1, sizeof(*d));
    d->cfg = *cfg;
    d->why = d->fixed = "";
    d->out = out;
    d->arg = arg;
    d->is_message = true;
    buf_init(&d->header, DOWNGRADE_HEADER_MAX);
    return d;
}

void downgrade_free(struct downgrade *d)
{
    if (!d)
        return;
    buf_done(&d->header);
    free(d);
}

const char *downgrade_why(const struct downgrade *d)
{
    return d->why;
}

static int refuse(struct downgrade *d, const char *why)
{
    d->why = why;
    return -EILSEQ;
}

static int put(struct downgrade *d, const char *data, size_t len)
{
    if (len == 0)
        return 0;
    d->column += len;
    return d->out(d->arg, data, len);
}

static int put_eol(struct downgrade *d)
{
    d->column = 0;
    return d->out(d->arg, "\r\n", 2);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* ---- encoders: octets of a line, its end, the end of the part ---- */

static bool is_plain(const struct downgrade *d, struct str s)
{
    return (d->cfg.lines_only || str_is_ascii(s)) && !memchr(s.p, '\0', s.len) &&
           !memchr(s.p, '\r', s.len) && !memchr(s.p, '\n', s.len);
}

static int pass_octets(struct downgrade *d, struct str s)
{
    if (!is_plain(d, s) || d->column + s.len > LINE_MAX_LEN)
        return refuse(d, d->fixed);
    return put(d, s.p, s.len);
}

static int skip_octets(struct downgrade *d, struct str s)
{
    int r = 0;
    for (size_t i = 0; i < s.len && r == 0; i++) {
        bool readable = is_blank(s.p[i]) || (s.p[i] > ' ' && s.p[i] <= '~');
        if (d->column < LINE_MAX_LEN)
            r = put(d, readable ? &s.p[i] : "?", 1);
    }
    return r;
}

static int qp_put(struct downgrade *d, const char *piece, size_t len)
{
    int r = 0;
    if (d->column + len > QP_LINE - 1) { /* room for the "=" of a soft line break */
        r = put(d, "=", 1);
        if (r == 0)
            r = put_eol(d);
    }
    return r < 0 ? r : put(d, piece, len);
}

static int qp_encode(struct downgrade *d, char c)
{
    static const char hex[] = "0123456789ABCDEF";
    const char code[3] = {'=', hex[(unsigned char)c >> 4], hex[(unsigned char)c & 15]};
    return qp_put(d, code, 3);
}

/* A blank at the end of a line would not survive [rfc2045 6.7 (3)]. */
static int qp_settle_blank(struct downgrade *d, bool at_end)
{
    char blank = d->blank;
    d->blank = '\0';
    if (!blank)
        return 0;
    return at_end ? qp_encode(d, blank) : qp_put(d, &blank, 1);
}

static int qp_octets(struct downgrade *d, struct str s)
{
    int r = 0;
    for (size_t i = 0; i < s.len && r == 0; i++) {
        char c = s.p[i];
        r = qp_settle_blank(d, false);
        if (r < 0)
            return r;
        if (is_blank(c))
            d->blank = c;
        else if (c > ' ' && c <= '~' && c != '=')
            r = qp_put(d, &c, 1);
        else
            r = qp_encode(d, c);
    }
    return r;
}

static int base64_line(struct downgrade *d)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[BASE64_GROUP / 3 * 4];
    size_t n = 0;
    for (size_t i = 0; i < d->n_group; i += 3) {
        size_t have = MIN(d->n_group - i, 3);
        unsigned b0 = d->group[i], b1 = have > 1 ? d->group[i + 1] : 0,
                 b2 = have > 2 ? d->group[i + 2] : 0;
        text[n++] = digits[b0 >> 2];
        text[n++] = digits[(b0 << 4 | b1 >> 4) & 63];
        text[n++] = have > 1 ? digits[(b1 << 2 | b2 >> 6) & 63] : '=';
        text[n++] = have > 2 ? digits[b2 & 63] : '=';
    }
    d->n_group = 0;
    int r = d->column ? put_eol(d) : 0;
    return r < 0 ? r : put(d, text, n);
}

static int base64_octets(struct downgrade *d, struct str s)
{
    int r = 0;
    while (s.len && r == 0) {
        size_t n = MIN(s.len, BASE64_GROUP - d->n_group);
        memcpy(d->group + d->n_group, s.p, n);
        d->n_group += n;
        s = str_from(s, n);
        r = d->n_group == BASE64_GROUP ? base64_line(d) : 0;
    }
    return r;
}

/* The octets are base64, so a break loses nothing; the line ends there are stay. */
static int break_octets(struct downgrade *d, struct str s)
{
    int r = is_plain(d, s) ? 0 : refuse(d, d->fixed);
    while (s.len && r == 0) {
        struct str piece = str_upto(s, QP_LINE - d->column);
        r = put(d, piece.p, piece.len);
        s = str_from(s, piece.len);
        if (r == 0 && s.len)
            r = put_eol(d);
    }
    return r;
}

static int header_octets(struct downgrade *d, struct str s)
{
    return is_plain(d, s) ? buf_append_str(&d->header, s) : refuse(d, "it belongs to a header");
}

static int octets(struct downgrade *d, struct str s)
{
    static int (*const modes[])(struct downgrade *, struct str) = {
        [MODE_HEADER] = header_octets, [MODE_PASS] = pass_octets,     [MODE_SKIP] = skip_octets,
        [MODE_QP] = qp_octets,         [MODE_BASE64] = base64_octets, [MODE_BREAK] = break_octets,
    };
    return s.len ? modes[d->mode](d, s) : 0;
}

static int line_end(struct downgrade *d)
{
    if (d->mode == MODE_BASE64)
        return base64_octets(d, STR("\r\n"));
    int r = d->mode == MODE_QP ? qp_settle_blank(d, true) : 0;
    return r < 0 ? r : put_eol(d);
}

/* What the encoder still holds. */
static int part_end(struct downgrade *d)
{
    if (d->mode == MODE_QP)
        return qp_settle_blank(d, true);
    return d->mode == MODE_BASE64 && d->n_group ? base64_line(d) : 0;
}

/* ---- headers ---- */

struct
    fields { /* of interest, as they stand in the header: whole, line ends included; {NULL, 0}: absent */
    struct str type, encoding, version;
};

/* One field with its further lines, off the front of *rest. */
static struct str next_field(struct str *rest)
{
    size_t n = 0;
    do {
        ssize_t lf = str_find(str_from(*rest, n), '\n');
        n = lf < 0 ? rest->len : n + (size_t)lf + 1;
    } while (n < rest->len && is_blank(rest->p[n]));
    struct str field = str_upto(*rest, n);
    *rest = str_from(*rest, n);
    return field;
}

static struct str trim_end(struct str s)
{
    while (s.len && (is_blank(s.p[s.len - 1]) || s.p[s.len - 1] == '\r' || s.p[s.len - 1] == '\n'))
        s.len--;
    return s;
}

static bool is_named(struct str field, struct str name)
{
    ssize_t colon = str_find(field, ':');
    return colon > 0 && str_eq_nocase(trim_end(str_upto(field, (size_t)colon)), name);
}

static struct fields read_fields(struct str header)
{
    struct fields f = {0};
    while (header.len) {
        struct str field = next_field(&header);
        if (!f.type.p && is_named(field, STR("Content-Type")))
            f.type = field;
        else if (!f.encoding.p && is_named(field, STR("Content-Transfer-Encoding")))
            f.encoding = field;
        else if (!f.version.p && is_named(field, STR("MIME-Version")))
            f.version = field;
    }
    return f;
}

/* Blanks, line ends and comments in front are taken off. */
static struct str skip_cfws(struct str s)
{
    unsigned depth = 0;
    while (s.len) {
        if (depth && s.p[0] == '\\')
            s = str_from(s, 1);
        else if (s.p[0] == '(')
            depth++;
        else if (s.p[0] == ')' && depth)
            depth--;
        else if (!depth && !is_blank(s.p[0]) && s.p[0] != '\r' && s.p[0] != '\n')
            break;
        s = str_from(s, 1);
    }
    return s;
}

/* token [rfc2045 5.1] */
static struct str take_token(struct str *s)
{
    size_t n = 0;
    while (n < s->len && s->p[n] > ' ' && s->p[n] <= '~' && !strchr("()<>@,;:\\\"/[]?=", s->p[n]))
        n++;
    struct str token = str_upto(*s, n);
    *s = skip_cfws(str_from(*s, n));
    return token;
}

/* Takes one character that must be there. */
static bool take_char(struct str *s, char c)
{
    if (s->len == 0 || s->p[0] != c)
        return false;
    *s = skip_cfws(str_from(*s, 1));
    return true;
}

/* A token or a quoted string, with its quoting undone, into `out`; what is too long is cut. */
static bool take_value(struct str *s, char *out, size_t size)
{
    size_t n = 0, i = 1;
    if (s->len == 0 || s->p[0] != '"') {
        struct str token = take_token(s);
        n = MIN(token.len, size - 1);
        memcpy(out, token.p, n);
        out[n] = '\0';
        return token.len > 0 && token.len < size;
    }
    for (; i < s->len && s->p[i] != '"'; i++) {
        if (s->p[i] == '\\' && i + 1 < s->len)
            i++;
        if (s->p[i] == '\r' || s->p[i] == '\n')
            continue; /* folding */
        if (n + 1 < size)
            out[n] = s->p[i];
        n++;
    }
    out[MIN(n, size - 1)] = '\0';
    bool ended = i < s->len;
    *s = skip_cfws(str_from(*s, ended ? i + 1 : s->len));
    return ended && n < size;
}

struct type {
    struct str major, minor;
    char boundary[BOUNDARY_MAX + 1]; /* "": none */
};

static struct str body_of(struct str field)
{
    return skip_cfws(str_from(field, (size_t)str_find(field, ':') + 1));
}

static void read_parameters(struct str s, struct type *t)
{
    while (take_char(&s, ';')) {
        char value[BOUNDARY_MAX + 1] = "";
        struct str name = take_token(&s);
        if (!take_char(&s, '='))
            return;
        bool good = take_value(&s, value, sizeof(value));
        if (str_eq_nocase(name, STR("boundary")) && good && !t->boundary[0])
            memcpy(t->boundary, value, sizeof(value));
    }
}

/* [rfc2045 5.2] What cannot be read is text/plain. */
static void read_type(struct str field, bool in_digest, struct type *t)
{
    *t = (struct type){.major = STR("text"), .minor = STR("plain")};
    if (!field.p && in_digest)
        *t = (struct type){.major = STR("message"), .minor = STR("rfc822")};
    if (!field.p)
        return;
    struct str s = body_of(field);
    struct str major = take_token(&s);
    bool slash = take_char(&s, '/');
    struct str minor = take_token(&s);
    if (!slash || !major.len || !minor.len)
        return;
    t->major = major;
    t->minor = minor;
    read_parameters(s, t);
    size_t n = strlen(t->boundary); /* a boundary ends in no blank [rfc2046 5.1.1] */
    while (n && is_blank(t->boundary[n - 1]))
        t->boundary[--n] = '\0';
}

enum encoding { ENC_ABSENT, ENC_7BIT, ENC_8BIT, ENC_BINARY, ENC_BASE64, ENC_OTHER };

static enum encoding read_encoding(struct str field)
{
    static const struct {
        const char *word;
        enum encoding encoding;
    } words[] = {
        {"7bit",   ENC_7BIT  },
        {"8bit",   ENC_8BIT  },
        {"binary", ENC_BINARY},
        {"base64", ENC_BASE64},
    };
    if (!field.p)
        return ENC_ABSENT;
    struct str s = body_of(field), word = take_token(&s);
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq_nocase(word, str_of(words[i].word)))
            return words[i].encoding;
    return ENC_OTHER;
}

static const struct level *top(const struct downgrade *d)
{
    return d->depth ? &d->levels[d->depth - 1] : NULL;
}

static bool is_under_signature(const struct downgrade *d)
{
    for (size_t i = 0; i < d->depth; i++)
        if (d->levels[i].is_signed)
            return true;
    return false;
}

static bool is_message_type(const struct type *t, const char *minor)
{
    return str_eq_nocase(t->major, STR("message")) && str_eq_nocase(t->minor, str_of(minor));
}

/* [rfc2045 6.4] Of message/ only what came with RFC 6532 may be encoded. */
static bool stays_7bit(const struct type *t)
{
    return str_eq_nocase(t->major, STR("message")) && !str_starts_nocase(t->minor, STR("global"));
}

/* Why the part may not be encoded, NULL: it may. */
static const char *what_fixes(const struct downgrade *d, const struct type *t, enum encoding e)
{
    bool claims_7bit = e == ENC_ABSENT || e == ENC_7BIT;
    if (is_under_signature(d) && (claims_7bit || d->cfg.lines_only))
        return "a signature covers it";
    if (e == ENC_OTHER || e == ENC_BASE64)
        return "it says that it is encoded already";
    return stays_7bit(t) ? "what is of its type may not be encoded" : NULL;
}

static enum mode leaf_mode(const struct downgrade *d, const struct type *t, enum encoding e)
{
    bool is_text = str_eq_nocase(t->major, STR("text"));
    if (d->fixed)
        return d->cfg.lines_only && e == ENC_BASE64 && !is_under_signature(d) ? MODE_BREAK
                                                                              : MODE_PASS;
    return e == ENC_BINARY || (e == ENC_8BIT && !is_text) ? MODE_BASE64 : MODE_QP;
}

/* The header, with `encoding` in place of its own; NULL: as it is. */
static int put_header(struct downgrade *d, const struct fields *f, const char *encoding)
{
    CLEANUP(buf_done) struct buf own = BUF_INIT(1024);
    struct str rest = buf_str(&d->header);
    int r = 0;
    if (encoding)
        r = buf_printf(&own, "Content-Transfer-Encoding: %s\r\n", encoding);
    while (rest.len && r == 0) {
        struct str field = next_field(&rest);
        bool replaced = encoding && field.p == f->encoding.p;
        r = replaced ? put(d, own.data, own.len) : put(d, field.p, field.len);
    }
    if (r == 0 && encoding && d->is_message && !f->version.p)
        r = put(d, "MIME-Version: 1.0\r\n", 19);
    if (r == 0 && encoding && d->is_message && !f->type.p) { /* [rfc1428 3] */
        char type[100];
        int len = snprintf(type, sizeof(type), "Content-Type: text/plain; charset=%.40s\r\n",
                           d->cfg.charset ? d->cfg.charset : "unknown-8bit");
        r = put(d, type, (size_t)len);
    }
    if (r == 0 && encoding && !f->encoding.p)
        r = put(d, own.data, own.len);
    d->column = 0;
    return r;
}

/* Outside of every part: nobody reads it, and still it is not lost where octets are not the trouble. */
static void skip(struct downgrade *d)
{
    d->mode = d->cfg.lines_only ? MODE_PASS : MODE_SKIP;
    d->fixed = "it stands outside of every part";
}

static int open_multipart(struct downgrade *d, const struct type *t)
{
    if (!t->boundary[0] || d->depth == DEPTH_MAX)
        return refuse(d, t->boundary[0] ? "parts are nested too deeply"
                                        : "a multipart names no boundary");
    struct level *l = &d->levels[d->depth++];
    memcpy(l->boundary, t->boundary, sizeof(l->boundary));
    l->is_signed = str_eq_nocase(t->minor, STR("signed"));
    l->is_digest = str_eq_nocase(t->minor, STR("digest"));
    skip(d);
    return 0;
}

static void begin_header(struct downgrade *d, bool is_message)
{
    buf_clear(&d->header);
    d->line_start = 0;
    d->is_message = is_message;
    d->mode = MODE_HEADER;
}

/* The header is complete: it goes out, and says what follows. */
static int end_header(struct downgrade *d)
{
    static const char *const names[] = {[MODE_QP] = "quoted-printable", [MODE_BASE64] = "base64"};
    struct fields f = read_fields(buf_str(&d->header));
    struct type t;
    const struct level *l = top(d);
    read_type(f.type, l && l->is_digest && !d->is_message, &t);
    enum encoding e = read_encoding(f.encoding);
    const char *bare = (e == ENC_8BIT || e == ENC_BINARY) && !d->cfg.lines_only ? "7bit" : NULL;
    bool multipart = str_eq_nocase(t.major, STR("multipart"));
    if (multipart || is_message_type(&t, "rfc822")) {
        int r = put_header(d, &f, bare);
        if (r == 0 && multipart)
            return open_multipart(d, &t);
        begin_header(d, true);
        return r;
    }
    d->fixed = what_fixes(d, &t, e);
    enum mode mode = leaf_mode(d, &t, e);
    int r = put_header(d, &f, d->fixed ? bare : names[mode]);
    d->mode = mode;
    return r;
}

/* ---- lines ---- */

static bool is_all_blank(struct str s)
{
    while (s.len && is_blank(s.p[0]))
        s = str_from(s, 1);
    return s.len == 0;
}

/* Is this line, without its end, the boundary of a level?  0: no; else its depth, and whether it closes it. */
static size_t match_boundary(const struct downgrade *d, struct str line, bool *ret_closes)
{
    if (!str_starts_nocase(line, STR("--")))
        return 0;
    for (size_t depth = d->depth; depth > 0; depth--) {
        struct str boundary = str_of(d->levels[depth - 1].boundary);
        struct str rest = str_from(line, 2);
        if (!str_eq(str_upto(rest, boundary.len), boundary))
            continue;
        rest = str_from(rest, boundary.len);
        *ret_closes = str_starts_nocase(rest, STR("--"));
        if (is_all_blank(str_from(rest, *ret_closes ? 2 : 0)))
            return depth;
    }
    return 0;
}

/* The part is over; what follows is a part of the level at `depth`, or nothing more of it. */
static int cross_boundary(struct downgrade *d, size_t depth, bool closes, struct str line)
{
    int r = part_end(d);
    if (r == 0 && d->holds_eol)
        r = put_eol(d);
    d->holds_eol = false;
    if (r == 0)
        r = put(d, line.p, line.len);
    if (r == 0)
        r = put_eol(d);
    d->depth = closes ? depth - 1 : depth;
    if (closes)
        skip(d);
    else
        begin_header(d, false);
    return r;
}

static int end_header_line(struct downgrade *d)
{
    struct str line = str_from(buf_str(&d->header), d->line_start);
    bool closes = false;
    size_t depth = match_boundary(d, line, &closes);
    char copy[CANDIDATE_MAX];
    if (depth && line.len <= sizeof(copy)) {
        memcpy(copy, line.p, line.len);
        d->header.len = d->line_start;
        int r = end_header(d);
        d->mode = MODE_PASS; /* of what the header announced nothing comes */
        return r < 0 ? r : cross_boundary(d, depth, closes, (struct str){copy, line.len});
    }
    if (line.len > LINE_MAX_LEN)
        return refuse(d, "it belongs to a header");
    if (line.len) {
        int r = buf_puts(&d->header, "\r\n");
        d->line_start = d->header.len;
        return r;
    }
    int r = end_header(d);
    return r < 0 ? r : put_eol(d);
}

/* The candidate is no boundary: it is part of a body, and so is the line end before it (W3). */
static int decide_body(struct downgrade *d)
{
    int r = d->holds_eol ? line_end(d) : 0;
    d->holds_eol = false;
    d->is_decided = true;
    if (r == 0)
        r = octets(d, (struct str){d->candidate, d->n_candidate});
    d->n_candidate = 0;
    return r;
}

static int end_body_line(struct downgrade *d)
{
    struct str line = {d->candidate, d->n_candidate};
    bool closes = false;
    size_t depth = d->is_decided ? 0 : match_boundary(d, line, &closes);
    int r = 0;
    if (depth) {
        r = cross_boundary(d, depth, closes, line);
    } else {
        if (!d->is_decided)
            r = decide_body(d);
        d->holds_eol = true;
    }
    d->n_candidate = 0;
    d->is_decided = false;
    return r;
}

static int end_line(struct downgrade *d)
{
    return d->mode == MODE_HEADER ? end_header_line(d) : end_body_line(d);
}

/* Some octets of one line, none of them its end. */
static int line_octets(struct downgrade *d, struct str s)
{
    if (d->mode == MODE_HEADER || d->is_decided)
        return octets(d, s);
    size_t n = MIN(s.len, CANDIDATE_MAX - d->n_candidate);
    memcpy(d->candidate + d->n_candidate, s.p, n);
    d->n_candidate += n;
    bool may_be =
        d->depth && d->candidate[0] == '-' && (d->n_candidate < 2 || d->candidate[1] == '-');
    if (may_be && d->n_candidate < CANDIDATE_MAX)
        return 0;
    int r = d->n_candidate ? decide_body(d) : 0;
    return r < 0 ? r : octets(d, str_from(s, n));
}

/* Octets up to the next CR, which may begin a line end. */
static size_t run_length(struct str s)
{
    const char *cr = memchr(s.p, '\r', s.len);
    return cr ? (size_t)(cr - s.p) : s.len;
}

static int step(struct downgrade *d, struct str *s)
{
    if (d->after_cr) {
        d->after_cr = false;
        if (s->p[0] == '\n') {
            *s = str_from(*s, 1);
            return end_line(d);
        }
        return line_octets(d, STR("\r"));
    }
    size_t n = run_length(*s);
    int r = n ? line_octets(d, str_upto(*s, n)) : 0;
    d->after_cr = n < s->len;
    *s = str_from(*s, n + d->after_cr);
    return r;
}

int downgrade_write(struct downgrade *d, const char *data, size_t len)
{
    for (struct str s = {data, len}; s.len && d->error == 0;)
        d->error = step(d, &s);
    return d->error;
}

/* A last line without its end. */
static int finish_line(struct downgrade *d)
{
    int r = 0;
    bool any = d->after_cr || d->n_candidate || d->is_decided;
    if (d->after_cr)
        r = line_octets(d, STR("\r"));
    d->after_cr = false;
    if (r < 0)
        return r;
    if (d->mode == MODE_HEADER)
        return d->header.len > d->line_start ? end_header_line(d) : 0;
    bool closes = false;
    size_t depth =
        d->is_decided ? 0 : match_boundary(d, (struct str){d->candidate, d->n_candidate}, &closes);
    if (depth)
        return end_body_line(d);
    return any && !d->is_decided ? decide_body(d) : 0;
}

static int finish_part(struct downgrade *d)
{
    int r = d->mode == MODE_HEADER ? end_header(d) : 0;
    if (r == 0 && d->holds_eol)
        r = line_end(d);
    if (r == 0)
        r = part_end(d);
    if (r == 0 && d->mode == MODE_QP && d->column) /* what had no line end gets none */
        r = put(d, "=", 1);
    return r == 0 && d->column ? put_eol(d) : r;
}

int downgrade_finish(struct downgrade *d)
{
    if (d->error == 0)
        d->error = finish_line(d);
    if (d->error == 0)
        d->error = finish_part(d);
    return d->error;
}
