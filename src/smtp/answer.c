#include "smtp/reply.h"

#include <errno.h>

/* Joined text: so many lines four times as long as the 512 octets of RFC 5321, and a separator for each. */
#define ANSWER_TEXT_MAX ((size_t)SMTP_REPLY_LINES * 2048)

void smtp_answer_init(struct smtp_answer *a)
{
    *a = (struct smtp_answer){.text = BUF_INIT(ANSWER_TEXT_MAX)};
}

void smtp_answer_done(struct smtp_answer *a)
{
    buf_done(&a->text);
    smtp_answer_init(a);
}

void smtp_answer_clear(struct smtp_answer *a)
{
    buf_clear(&a->text);
    a->code = 0;
    a->enhanced[0] = '\0';
    a->lines = 0;
    a->complete = false;
}

/* Length of the first line without its CR LF; -EAGAIN while it is not all there.
 * [rfc5321 2.3.8] A bare LF ends no line, and a peer that sends one may be echoing something
 * hostile in its reply: taking it for a line end would let a third party answer our commands. */
static ssize_t line_len(const char *data, size_t len)
{
    const char *lf = memchr(data, '\n', MIN(len, SMTP_REPLY_LINE));
    if (!lf)
        return len >= SMTP_REPLY_LINE ? -EMSGSIZE : -EAGAIN;
    if (lf == data || lf[-1] != '\r')
        return -EBADMSG;
    return lf - data - 1;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* [rfc5321 4.2] Three digits of class 2 to 5.  The second digit may be any: a code is acted on by
 * its first when it is not known (SMTP-01). */
static int code_of(struct str line)
{
    if (line.len < 3 || line.p[0] < '2' || line.p[0] > '5' || !is_digit(line.p[1]) ||
        !is_digit(line.p[2]))
        return -EBADMSG;
    if (line.len > 3 && line.p[3] != ' ' && line.p[3] != '-')
        return -EBADMSG;
    return (line.p[0] - '0') * 100 + (line.p[1] - '0') * 10 + (line.p[2] - '0');
}

static size_t digits(struct str s, size_t at)
{
    size_t n = 0;
    while (at + n < s.len && is_digit(s.p[at + n]))
        n++;
    return n;
}

/* [rfc3463 2] class "." 1*3digit "." 1*3digit.  Returns its length, or 0 when the text does not
 * begin with one of the same class as the code. */
static size_t enhanced_len(struct str text, int code)
{
    if (text.len < 5 || text.p[0] != (char)('0' + code / 100) || text.p[1] != '.')
        return 0;
    size_t subject = digits(text, 2);
    size_t dot = 2 + subject;
    if (subject < 1 || subject > 3 || dot >= text.len || text.p[dot] != '.')
        return 0;
    size_t detail = digits(text, dot + 1);
    size_t end = dot + 1 + detail;
    if (detail < 1 || detail > 3 || (end < text.len && text.p[end] != ' '))
        return 0;
    return end;
}

/* The text of a line with the enhanced code off it: that of the first line sets which one it is. */
static struct str without_enhanced(struct smtp_answer *a, struct str text)
{
    size_t len = enhanced_len(text, a->code);
    if (a->lines == 0 && len) {
        memcpy(a->enhanced, text.p, len);
        a->enhanced[len] = '\0';
    }
    if (!len || !str_eq(str_upto(text, len), str_of(a->enhanced)))
        return text;
    return str_from(text, len + 1);
}

/* Controls would end up in logs, terminals and reports: they become "?".  8-bit octets stay as they
 * came. */
static int append_text(struct buf *out, struct str text)
{
    int r = buf_append_str(out, text);
    if (r < 0 || !str_has_control(text))
        return r;
    char *at = out->data + out->len - text.len;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)at[i];
        if (c < 0x20 || c == 0x7f)
            at[i] = c == '\t' ? ' ' : '?';
    }
    return 0;
}

static int take_line(struct smtp_answer *a, struct str line)
{
    int code = code_of(line);
    if (code < 0)
        return code;
    if (a->lines == 0)
        a->code = code;
    else if (code != a->code)
        return -EBADMSG;
    if (a->lines == SMTP_REPLY_LINES)
        return -EMSGSIZE;
    struct str text = without_enhanced(a, str_from(line, 4));
    int r = a->lines ? buf_append(&a->text, "\n", 1) : 0;
    if (r == 0)
        r = append_text(&a->text, text);
    if (r < 0)
        return r;
    a->lines++;
    a->complete = line.len < 4 || line.p[3] == ' ';
    return 0;
}

ssize_t smtp_answer_feed(struct smtp_answer *a, const char *data, size_t len)
{
    size_t used = 0;
    while (!a->complete) {
        ssize_t n = line_len(data + used, len - used);
        if (n == -EAGAIN)
            break;
        int r = n < 0 ? (int)n : take_line(a, (struct str){data + used, (size_t)n});
        if (r < 0)
            return r;
        used += (size_t)n + 2;
    }
    return (ssize_t)used;
}
