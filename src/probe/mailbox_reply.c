#include "probe/mailbox_reply.h"

#include <errno.h>

#define TEXT_MAX ((size_t)MAILBOX_LINE * MAILBOX_LINES)

void mailbox_hearing_init(struct mailbox_hearing *h, enum mailbox_kind kind)
{
    *h = (struct mailbox_hearing){.kind = kind, .text = BUF_INIT(TEXT_MAX)};
}

void mailbox_hearing_done(struct mailbox_hearing *h)
{
    buf_done(&h->text);
}

void mailbox_hearing_begin(struct mailbox_hearing *h, const char *tag, bool several)
{
    size_t len = MIN(strlen(tag), sizeof(h->tag) - 1);
    memcpy(h->tag, tag, len);
    h->tag[len] = '\0';
    h->several = several;
    h->status = MAILBOX_NONE;
    h->complete = false;
    h->lines = 0;
    h->last[0] = '\0';
    buf_clear(&h->text);
}

/* Length of the first line without its CR LF; -EAGAIN while it is not all there. */
static ssize_t line_len(const char *data, size_t len)
{
    const char *lf = memchr(data, '\n', MIN(len, (size_t)MAILBOX_LINE));
    if (!lf)
        return len >= MAILBOX_LINE ? -EMSGSIZE : -EAGAIN;
    if (lf == data || lf[-1] != '\r')
        return -EBADMSG;
    return lf - data - 1;
}

static bool begins(struct str line, const char *word)
{
    struct str w = str_of(word);
    if (!str_starts_nocase(line, w))
        return false;
    return line.len == w.len || line.p[w.len] == ' ' || w.p[w.len - 1] == ' ';
}

/* ---- IMAP ---- */

static enum mailbox_status imap_status(struct str rest)
{
    static const struct {
        const char *word;
        enum mailbox_status status;
    } words[] = {
        {"OK",      MAILBOX_OK     },
        {"NO",      MAILBOX_NO     },
        {"BAD",     MAILBOX_BAD    },
        {"PREAUTH", MAILBOX_PREAUTH},
        {"BYE",     MAILBOX_BYE    },
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (begins(rest, words[i].word))
            return words[i].status;
    return MAILBOX_NONE;
}

/* What ends the reply has a status; 0, or -EBADMSG. */
static int take_imap(struct mailbox_hearing *h, struct str line)
{
    size_t tag_len = strlen(h->tag);
    if (line.len > 0 && line.p[line.len - 1] == '}')
        return -EBADMSG; /* a literal would follow */
    if (begins(line, "*")) {
        enum mailbox_status s = imap_status(str_from(line, 2));
        h->complete = tag_len == 0 || s == MAILBOX_BYE;
        h->status = h->complete ? s : MAILBOX_NONE;
        return h->complete && s == MAILBOX_NONE ? -EBADMSG : 0;
    }
    if (tag_len == 0)
        return -EBADMSG;
    h->complete = true;
    if (begins(line, "+"))
        h->status = MAILBOX_PROMPT;
    else if (begins(line, h->tag))
        h->status = imap_status(str_from(line, tag_len + 1));
    return h->status == MAILBOX_NONE ? -EBADMSG : 0;
}

/* ---- POP3 ---- */

static int take_pop3(struct mailbox_hearing *h, struct str line)
{
    if (h->lines > 0) {
        h->complete = str_eq(line, STR("."));
        return 0;
    }
    if (begins(line, "+OK"))
        h->status = MAILBOX_OK;
    else if (begins(line, "-ERR"))
        h->status = MAILBOX_NO;
    else if (begins(line, "+"))
        h->status = MAILBOX_PROMPT;
    h->complete = !h->several || h->status != MAILBOX_OK;
    return h->status == MAILBOX_NONE ? -EBADMSG : 0;
}

static void copy_last(struct mailbox_hearing *h, struct str line)
{
    size_t n = MIN(line.len, sizeof(h->last) - 1);
    for (size_t i = 0; i < n; i++)
        h->last[i] = line.p[i] >= 0x20 && line.p[i] < 0x7f ? line.p[i] : '?';
    h->last[n] = '\0';
}

static int take_line(struct mailbox_hearing *h, struct str line)
{
    if (h->lines == MAILBOX_LINES)
        return -EMSGSIZE;
    int r = h->kind == MAILBOX_IMAP ? take_imap(h, line) : take_pop3(h, line);
    if (r == 0 && h->lines > 0)
        r = buf_append(&h->text, "\n", 1);
    if (r == 0)
        r = buf_append_str(&h->text, line);
    if (r < 0)
        return r;
    if (h->kind == MAILBOX_IMAP ? h->complete : h->lines == 0)
        copy_last(h, line);
    h->lines++;
    return 0;
}

ssize_t mailbox_hearing_feed(struct mailbox_hearing *h, const char *data, size_t len)
{
    size_t used = 0;
    while (!h->complete) {
        ssize_t n = line_len(data + used, len - used);
        if (n == -EAGAIN)
            break;
        int r = n < 0 ? (int)n : take_line(h, (struct str){data + used, (size_t)n});
        if (r < 0)
            return r;
        used += (size_t)n + 2;
    }
    return (ssize_t)used;
}

static bool parts(char c)
{
    return c == ' ' || c == '\n' || c == '[' || c == ']';
}

bool mailbox_hearing_has(const struct mailbox_hearing *h, const char *word)
{
    struct str rest = buf_str(&h->text);
    while (rest.len > 0) {
        size_t n = 0;
        while (n < rest.len && !parts(rest.p[n]))
            n++;
        if (str_eq_nocase(str_upto(rest, n), str_of(word)))
            return true;
        rest = str_from(rest, n + 1);
    }
    return false;
}
