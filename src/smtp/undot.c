#include "smtp/dots.h"

/* Where in a line the next octet stands. */
enum { AT_LINE_START, IN_LINE, AFTER_CR, AFTER_DOT, AFTER_DOT_CR };

void undot_init(struct undot *u, bool raw)
{
    *u = (struct undot){.state = AT_LINE_START, .raw = raw};
}

void undot_finish(struct undot *u)
{
    if (u->state == AFTER_CR)
        u->bare = true;
}

/* Length of the run at p that holds neither CR nor LF. */
static size_t plain_run(const char *p, size_t len)
{
    const char *cr = memchr(p, '\r', len);
    if (cr)
        len = (size_t)(cr - p);
    const char *lf = memchr(p, '\n', len);
    return lf ? (size_t)(lf - p) : len;
}

/* Length of the line at p, CR LF included, when nothing in it decides anything: it is whole, holds no other CR or LF,
 * and no dot in front of it is dropped.  0: it must be looked at more closely.  Asked at the start of a line only, so no
 * octet is searched twice for its LF. */
static size_t ordinary_line(const struct undot *u, const char *p, size_t len)
{
    if (p[0] == '.' && !u->raw)
        return 0;
    const char *lf = memchr(p, '\n', len);
    if (!lf || lf == p || lf[-1] != '\r' || memchr(p, '\r', (size_t)(lf - p) - 1))
        return 0;
    return (size_t)(lf - p) + 1;
}

static void line_grew(struct undot *u, size_t n)
{
    u->line_len += (uint32_t)MIN(n, (size_t)DOTS_LINE_MAX + 1);
    if (u->line_len > DOTS_LINE_MAX) {
        u->long_line = true;
        u->line_len = DOTS_LINE_MAX + 1;
    }
}

/* One octet that decides something; returns how many octets of `emit` the text gains by it. */
static size_t step(struct undot *u, char c, char emit[3])
{
    size_t n = 0;
    switch (u->state) {
    case AFTER_DOT_CR:
        if (c == '\n') {
            u->ended = true;
            return 0;
        }
        /* "." CR and then something else: the dot was transparency, the CR stands alone. */
        emit[n++] = '\r';
        u->bare = true;
        u->state = IN_LINE;
        break;
    case AFTER_DOT:
        if (c == '\r') {
            u->state = AFTER_DOT_CR;
            return 0;
        }
        u->state = IN_LINE; /* the first dot of a line is dropped (RFC 5321 4.5.2) */
        break;
    case AFTER_CR:
        if (c != '\n')
            u->bare = true;
        break;
    case AT_LINE_START:
        if (c == '.' && !u->raw) {
            u->state = AFTER_DOT;
            return 0;
        }
        break;
    default:
        break;
    }
    emit[n++] = c;
    if (c == '\n') {
        if (u->state == AFTER_CR) {
            u->state = AT_LINE_START;
            u->line_len = 0;
            return n;
        }
        u->bare = true; /* only CR LF ends a line (SMTP-15) */
    }
    u->state = c == '\r' ? AFTER_CR : IN_LINE;
    if (c != '\r')
        line_grew(u, 1);
    return n;
}

/* Octets are handed on in runs as long as possible: everything unchanged between two dropped dots.
 */
ssize_t undot_feed(struct undot *u, const char *data, size_t len, dots_out_fn *out, void *arg)
{
    size_t from = 0, i = 0;
    while (i < len && !u->ended) {
        size_t line = u->state == AT_LINE_START ? ordinary_line(u, data + i, len - i) : 0;
        if (line) {
            u->long_line = u->long_line || line - 2 > DOTS_LINE_MAX;
            i += line;
            continue;
        }
        if (u->state == IN_LINE) {
            size_t run = plain_run(data + i, len - i);
            if (run) {
                line_grew(u, run);
                i += run;
                continue;
            }
        }
        unsigned char before = u->state;
        char emit[3];
        size_t n = step(u, data[i++], emit);
        bool in_place = n == 1 && before != AFTER_DOT_CR;
        if (in_place)
            continue;
        /* The octet was held back or brought an earlier one with it: hand on what stands before it.
         */
        size_t upto = i - 1;
        int r = upto > from ? out(arg, data + from, upto - from) : 0;
        if (r == 0 && n)
            r = out(arg, emit, n);
        if (r < 0)
            return r;
        from = i;
    }
    if (!u->eight_bit)
        u->eight_bit = !str_is_ascii((struct str){data, i});
    int r = i > from ? out(arg, data + from, i - from) : 0;
    return r < 0 ? r : (ssize_t)i;
}
