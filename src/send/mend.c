#include "send/mend.h"

#include "message/downgrade.h"
#include "message/mailboxes.h"
#include "smtp/dots.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#define PIECE ((size_t)16 * 1024)

struct mend {
    const struct mend_config *cfg;
    const struct send_text *text;
    struct send_text next; /* what it becomes */
    struct buf field;      /* being read, with its further lines */
    struct buf completed;
    struct downgrade *filter; /* NULL: nothing is encoded */
    bool changed;
    bool is_8bit; /* what came out of the filter */
    size_t line;  /* of the body, its number as it was handed over */
    size_t column;
    char *why;
};

static int refuse(struct mend *m, const char *fmt, ...) PRINTF(2, 3);

static int refuse(struct mend *m, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(m->why, MEND_WHY_MAX, fmt, ap);
    va_end(ap);
    return -EILSEQ;
}

static int on_encoded(void *arg, const char *data, size_t len)
{
    struct mend *m = arg;
    m->is_8bit = m->is_8bit || !str_is_ascii((struct str){data, len});
    return send_text_append(&m->next, data, len);
}

/* Octets of a line, or of a piece of one, without what belongs to its end. */
static size_t text_len(struct str s)
{
    size_t n = s.len;
    n -= n > 0 && s.p[n - 1] == '\n';
    n -= n > 0 && s.p[n - 1] == '\r';
    return n;
}

static int emit(struct mend *m, struct str s)
{
    if (s.len == 0)
        return 0;
    return m->filter ? downgrade_write(m->filter, s.p, s.len)
                     : send_text_append(&m->next, s.p, s.len);
}

/* ---- the header ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static struct str name_of(struct str field)
{
    ssize_t colon = str_find(field, ':');
    return str_trim(str_upto(field, colon < 0 ? 0 : (size_t)colon));
}

static bool holds_addresses(struct str name)
{
    static const char *const names[] = {"From", "Sender", "Reply-To", "To", "Cc"};
    static const struct str again = {"Resent-", 7};
    if (str_starts_nocase(name, again))
        name = str_from(name, again.len);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq_nocase(name, str_of(names[i])))
            return true;
    return false;
}

/* The field, with the domain where one is missing. */
static struct str complete(struct mend *m, struct str field)
{
    struct str name = name_of(field);
    if (!m->cfg->domain || !holds_addresses(name))
        return field;
    size_t head = (size_t)str_find(field, ':') + 1;
    buf_clear(&m->completed);
    if (buf_append_str(&m->completed, str_upto(field, head)) < 0 ||
        mailboxes_complete(str_from(field, head), m->cfg->domain, &m->completed) <= 0)
        return field;
    m->changed = true;
    return buf_str(&m->completed);
}

/* The last place not before `from` that a line can be folded at, so that words stay on both sides; 0: there is none. */
static size_t fold_point(struct str line, size_t from)
{
    size_t best = 0;
    for (size_t at = MAX(from, (size_t)1); at <= DOTS_LINE_MAX; at++) {
        size_t word = at;
        if (!is_blank(line.p[at]) || is_blank(line.p[at - 1]))
            continue;
        while (word < line.len && is_blank(line.p[word]))
            word++;
        if (word < line.len)
            best = at;
    }
    return best;
}

/* One line of a field, without its end. */
static int put_line(struct mend *m, struct str line, struct str name, size_t from)
{
    int r = 0;
    while (line.len > DOTS_LINE_MAX && r == 0) {
        size_t at = fold_point(line, from);
        if (at == 0)
            return refuse(m,
                          "a line of the field %.*s is longer than %d octets (RFC 5322 2.1.1), and "
                          "has no space to fold it at",
                          (int)MIN(name.len, (size_t)60), name.p, DOTS_LINE_MAX);
        m->changed = true;
        r = emit(m, str_upto(line, at));
        if (r == 0)
            r = emit(m, STR("\r\n"));
        line = str_from(line, at);
        from = 1;
    }
    if (r == 0)
        r = emit(m, line);
    return r < 0 ? r : emit(m, STR("\r\n"));
}

static int end_field(struct mend *m)
{
    struct str field = complete(m, buf_str(&m->field)), name = name_of(field);
    size_t from = (size_t)(str_find(field, ':') + 1);
    int r = 0;
    while (field.len && r == 0) {
        struct str line = str_upto(field, (size_t)str_find(field, '\n') + 1);
        r = put_line(m, str_upto(line, text_len(line)), name, from);
        field = str_from(field, line.len);
        from = 1;
    }
    buf_clear(&m->field);
    return r;
}

static int take_header(struct mend *m, struct str s)
{
    int r = 0;
    while (s.len && r == 0) {
        bool at_start = m->field.len && m->field.data[m->field.len - 1] == '\n';
        if (at_start && !is_blank(s.p[0]))
            r = end_field(m);
        ssize_t lf = str_find(s, '\n');
        struct str piece = str_upto(s, lf < 0 ? s.len : (size_t)lf + 1);
        if (r == 0 && buf_append_str(&m->field, piece) < 0)
            r = refuse(m, "a field of the header is longer than %zu MiB", INTAKE_FIELD_MAX >> 20);
        s = str_from(s, piece.len);
    }
    return r;
}

/* ---- the body ---- */

/* The line in hand may be the one in the way; else it is the first long one that asks for what cannot be done. */
static int explain(struct mend *m, int error)
{
    size_t line = m->column > DOTS_LINE_MAX ? m->line : m->cfg->facts->long_line;
    const char *trouble = error == -EILSEQ     ? downgrade_why(m->filter)
                          : error == -EMSGSIZE ? "the header is too large"
                                               : NULL;
    if (!trouble || *m->why)
        return error;
    return refuse(
        m, "line %zu is longer than %d octets (RFC 5321 4.5.3.1.6), and cannot be encoded: %s",
        line, DOTS_LINE_MAX, trouble);
}

static int take_body(struct mend *m, struct str s)
{
    int r = 0;
    while (s.len && r == 0) {
        ssize_t lf = m->filter ? str_find(s, '\n') : -1;
        struct str piece = str_upto(s, lf < 0 ? s.len : (size_t)lf + 1);
        m->column += text_len(piece);
        r = emit(m, piece);
        if (r == 0 && lf >= 0) {
            m->line++;
            m->column = 0;
        }
        s = str_from(s, piece.len);
    }
    return r;
}

/* How many octets are whole characters, if it is UTF-8 at all. */
static size_t whole_characters(struct str s)
{
    for (size_t n = 1; n <= MIN(s.len, (size_t)4); n++) {
        unsigned char c = (unsigned char)s.p[s.len - n];
        if ((c & 0xc0) != 0x80)
            return c < 0x80 ? s.len : s.len - n;
    }
    return s.len;
}

/* What to call the characters of a message that does not say; NULL: nobody knows. */
static const char *charset_of(const struct mend *m)
{
    if (!m->cfg->facts->body_is_8bit)
        return "us-ascii";
    char piece[PIECE];
    uint64_t at = m->cfg->facts->body_at;
    while (at < m->text->size) {
        ssize_t n = send_text_read(m->text, at, piece, sizeof(piece));
        if (n <= 0)
            return NULL;
        struct str s = {piece, (size_t)n};
        if (at + s.len < m->text->size)
            s.len = whole_characters(s);
        if (s.len == 0 || !str_is_utf8(s))
            return NULL;
        at += s.len;
    }
    return "utf-8";
}

/* ---- the whole ---- */

static int
read_span(struct mend *m, uint64_t from, uint64_t to, int (*take)(struct mend *, struct str))
{
    char piece[PIECE];
    int r = 0;
    while (from < to && r == 0) {
        ssize_t n = send_text_read(m->text, from, piece, MIN(to - from, (uint64_t)sizeof(piece)));
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        r = take(m, (struct str){piece, (size_t)n});
        from += (uint64_t)n;
    }
    return r;
}

static int rewrite(struct mend *m)
{
    const struct intake_facts *f = m->cfg->facts;
    if (f->long_line) {
        struct downgrade_config cfg = {.lines_only = true, .charset = charset_of(m)};
        m->filter = downgrade_new(&cfg, on_encoded, m);
    }
    int r = read_span(m, 0, f->body_at, take_header);
    if (r == 0)
        r = end_field(m);
    if (r < 0 || (!m->changed && !m->filter))
        return r;
    r = read_span(m, f->body_at, m->text->size, take_body);
    if (r == 0 && m->filter)
        r = downgrade_finish(m->filter);
    m->changed = true;
    return r;
}

int mend_text(struct send_text *text,
              const struct mend_config *cfg,
              bool *ret_body_is_8bit,
              char *why)
{
    struct mend m = {
        .cfg = cfg,
        .text = text,
        .field = BUF_INIT(INTAKE_FIELD_MAX),
        .completed = BUF_INIT(2 * INTAKE_FIELD_MAX),
        .line = cfg->facts->body_line,
        .why = why,
    };
    *why = '\0';
    send_text_init(&m.next);
    int r = rewrite(&m);
    if (r < 0 && m.filter)
        r = explain(&m, r);
    if (r == 0) {
        *ret_body_is_8bit = m.filter ? m.is_8bit : cfg->facts->body_is_8bit;
        if (m.changed) {
            send_text_done(text);
            *text = m.next;
            send_text_init(&m.next);
        }
    }
    downgrade_free(m.filter);
    buf_done(&m.field);
    buf_done(&m.completed);
    send_text_done(&m.next);
    return r;
}
