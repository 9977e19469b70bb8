#include "message/mailboxes.h"

#include "base/b64.h"
#include "smtp/address.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>

#define DEPTH_MAX 16 /* of comments */
#define PHRASE_MAX 4096
/* Of a name in one encoded word: its base64 and what is around it stay below 75. */
#define WORD_OCTETS 42

/* One item of the list, as far as it came.  The text outside of <> is the address itself, or the name in front of one. */
struct item {
    struct buf bare, angle;
    bool in_angle, has_angle;
    bool gap;         /* white space or a comment stood before what comes */
    bool bare_phrase; /* two words beside each other: no address */
    bool any;         /* something else than white space and comments */
    const char *end;  /* behind the last word of the address */
};

struct walk {
    struct str rest;
    mailbox_fn *each;
    void *arg;
    struct item item;
    bool in_group;
    bool unqualified; /* an address may have no domain */
    int found;
    /* completing; NULL: no */
    const char *domain;
    struct buf *out;
    const char *copied; /* the body as far as it went out */
    int completed;
};

static void item_clear(struct item *it)
{
    buf_clear(&it->bare);
    buf_clear(&it->angle);
    it->in_angle = it->has_angle = it->gap = it->bare_phrase = it->any = false;
}

static bool glues(char c)
{
    return c == '@' || c == '.';
}

/* More of the word, the quoted string or the dot that stands here. */
static int item_put(struct item *it, struct str s)
{
    if (it->has_angle && !it->in_angle)
        return -EINVAL; /* something behind "<...>" */
    struct buf *to = it->in_angle ? &it->angle : &it->bare;
    bool apart = it->gap && to->len && !glues(to->data[to->len - 1]) && !glues(s.p[0]);
    if (apart && it->in_angle)
        return -EINVAL;
    it->bare_phrase = it->bare_phrase || apart;
    it->gap = false;
    it->any = true;
    it->end = s.p + s.len;
    return buf_append_str(to, s);
}

/* A local part alone is judged as one of some domain. */
static enum smtp_path_error judge(const struct walk *w, struct str address)
{
    struct smtp_path path;
    char whole[SMTP_LOCAL_MAX + 8];
    if (!w->unqualified || memchr(address.p, '@', address.len))
        return smtp_mailbox_parse(address, true, &path);
    if (address.len > SMTP_LOCAL_MAX)
        return PATH_TOO_LONG;
    int len = snprintf(whole, sizeof(whole), "%.*s@x", STR_FMT(address));
    return smtp_mailbox_parse((struct str){whole, (size_t)len}, true, &path);
}

/* "root (Cron)" -> "root@domain (Cron)" */
static int complete(struct walk *w, struct str address)
{
    if (!w->domain || memchr(address.p, '@', address.len))
        return 0;
    struct str before = {w->copied, (size_t)(w->item.end - w->copied)};
    int r = buf_append_str(w->out, before);
    if (r == 0)
        r = buf_printf(w->out, "@%s", w->domain);
    w->copied = w->item.end;
    w->completed += w->completed < INT_MAX;
    return r;
}

static int report(struct walk *w, struct str address)
{
    enum smtp_path_error e = judge(w, address);
    if (e != PATH_OK)
        return e == PATH_TOO_LONG ? -EMSGSIZE : -EINVAL;
    int r = w->each ? w->each(w->arg, address) : 0;
    w->found += w->found < INT_MAX;
    return r ? r : complete(w, address);
}

/* The item ends: at a comma, at the end of its group, at the end of the field.  An empty one is obsolete syntax. */
static int item_end(struct walk *w)
{
    struct item *it = &w->item;
    int r = 0;
    if (it->in_angle || (it->bare_phrase && !it->has_angle))
        r = -EINVAL;
    else if (it->any)
        r = report(w, buf_str(it->has_angle ? &it->angle : &it->bare));
    item_clear(it);
    return r;
}

/* "(...)": octets taken, or 0. */
static size_t comment_len(struct str s)
{
    unsigned depth = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] == '\\')
            i++;
        else if (s.p[i] == '(' && ++depth > DEPTH_MAX)
            return 0;
        else if (s.p[i] == ')' && --depth == 0)
            return i + 1;
    }
    return 0;
}

static size_t quoted_len(struct str s)
{
    for (size_t i = 1; i < s.len; i++) {
        if (s.p[i] == '\\')
            i++;
        else if (s.p[i] == '"')
            return i + 1;
    }
    return 0;
}

static size_t literal_len(struct str s)
{
    const char *end = memchr(s.p, ']', s.len);
    return end ? (size_t)(end - s.p) + 1 : 0;
}

static int special(struct walk *w, char c)
{
    struct item *it = &w->item;
    switch (c) {
    case '<':
        if (it->has_angle)
            return -EINVAL;
        it->has_angle = it->in_angle = it->any = true;
        it->gap = false;
        return 0;
    case '>':
        if (!it->in_angle)
            return -EINVAL;
        it->in_angle = false;
        return 0;
    case ',':
        return it->in_angle ? -EINVAL : item_end(w);
    case ':': /* the name of a group; inside <> it would be a source route */
        if (it->has_angle || w->in_group || it->bare.len == 0)
            return -EINVAL;
        w->in_group = true;
        item_clear(it);
        return 0;
    case ';':
        if (!w->in_group || it->in_angle)
            return -EINVAL;
        w->in_group = false;
        return item_end(w);
    default:
        return -EINVAL;
    }
}

static size_t word_len(struct str s)
{
    size_t n = 0;
    while (n < s.len && !strchr(" \t\r\n()<>,;:\"[]\\", s.p[n]))
        n++;
    return n;
}

/* Takes one token off the front. */
static int step(struct walk *w)
{
    char c = w->rest.p[0];
    size_t n = 1;
    int r = 0;
    if (c != '\0' && strchr(" \t\r\n", c)) {
        w->item.gap = true;
    } else if (c == '(') {
        n = comment_len(w->rest);
        w->item.gap = true;
    } else if (c == '"') {
        n = quoted_len(w->rest);
        r = item_put(&w->item, str_upto(w->rest, n));
    } else if (c == '[') {
        n = literal_len(w->rest);
        r = item_put(&w->item, str_upto(w->rest, n));
    } else if (c != '\0' && strchr("<>,:;", c)) {
        r = special(w, c);
    } else {
        n = word_len(w->rest);
        r = item_put(&w->item, str_upto(w->rest, n));
    }
    if (n == 0)
        return -EINVAL;
    w->rest = str_from(w->rest, n);
    return r;
}

static int walk(struct walk *w)
{
    w->item = (struct item){.bare = BUF_INIT(PHRASE_MAX), .angle = BUF_INIT(SMTP_PATH_MAX)};
    int r = str_is_utf8(w->rest) ? 0 : -EINVAL;
    while (r == 0 && w->rest.len)
        r = step(w);
    if (r == 0)
        r = w->in_group ? -EINVAL : item_end(w);
    buf_done(&w->item.bare);
    buf_done(&w->item.angle);
    return r ? r : w->found;
}

int mailboxes_each(struct str body, mailbox_fn *each, void *arg)
{
    struct walk w = {.rest = body, .each = each, .arg = arg};
    return walk(&w);
}

int mailboxes_each_unqualified(struct str body, mailbox_fn *each, void *arg)
{
    struct walk w = {.rest = body, .each = each, .arg = arg, .unqualified = true};
    return walk(&w);
}

int mailboxes_complete(struct str body, const char *domain, struct buf *out)
{
    struct walk w = {
        .rest = body, .unqualified = true, .domain = domain, .out = out, .copied = body.p};
    int r = walk(&w);
    if (r >= 0)
        r = buf_append_str(out, str_from(body, (size_t)(w.copied - body.p)));
    return r < 0 ? r : w.completed;
}

/* ---- writing one ---- */

static bool is_plain_phrase(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!alnum && !strchr(" !#$%&'*+-/=?^_`{|}~", c))
            return false;
    }
    return true;
}

static int put_quoted(struct str name, struct buf *out)
{
    int r = buf_puts(out, "\"");
    for (size_t i = 0; r == 0 && i < name.len; i++) {
        if (name.p[i] == '"' || name.p[i] == '\\')
            r = buf_puts(out, "\\");
        if (r == 0)
            r = buf_append(out, &name.p[i], 1);
    }
    return r < 0 ? r : buf_puts(out, "\"");
}

/* As many whole characters as fit. */
static size_t word_octets(struct str name)
{
    size_t n = MIN(name.len, (size_t)WORD_OCTETS);
    while (n < name.len && n > 0 && ((unsigned char)name.p[n] & 0xc0) == 0x80)
        n--;
    return n;
}

static int put_encoded(struct str name, struct buf *out)
{
    int r = 0;
    for (bool first = true; r == 0 && name.len; first = false) {
        struct str piece = str_upto(name, word_octets(name));
        r = buf_puts(out, first ? "=?utf-8?B?" : "\r\n =?utf-8?B?");
        if (r == 0)
            r = b64_encode(piece, out);
        if (r == 0)
            r = buf_puts(out, "?=");
        name = str_from(name, piece.len);
    }
    return r;
}

int mailbox_write(const char *name, const char *address, struct buf *out)
{
    struct str s = str_of(name);
    if (!name || s.len == 0)
        return buf_puts(out, address);
    int r = !str_is_ascii(s)     ? put_encoded(s, out)
            : is_plain_phrase(s) ? buf_append_str(out, s)
                                 : put_quoted(s, out);
    return r < 0 ? r : buf_printf(out, " <%s>", address);
}
