#include "conf/conf.h"

#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

/* Blocks hold settings only, today; the limit keeps recursion away from what a file says. */
#define DEPTH_MAX 4

enum token_kind {
    TOKEN_END,
    TOKEN_WORD, /* also a quoted string */
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_PAREN_OPEN,
    TOKEN_PAREN_CLOSE,
    TOKEN_EQUALS,
    TOKEN_COMMA,
};

struct token {
    enum token_kind kind;
    const char *text; /* TOKEN_WORD */
    bool quoted;
    unsigned line;
};

struct parser { /* what the files of one configuration share */
    struct arena *memory;
    conf_report_fn *report;
    void *arg;
    unsigned files;
    size_t octets;
    bool out_of_memory;
};

struct input { /* one file */
    struct parser *parser;
    const char *file;
    const char *p, *end;
    unsigned line;
    struct token token; /* the one not yet consumed */
    const struct input *includer;
};

static void read_file(struct parser *ps,
                      const char *path,
                      const struct input *from,
                      struct conf_node *into,
                      int *ret_error);

static void mistake(const struct input *in, unsigned line, const char *fmt, ...) PRINTF(3, 4);

static void mistake(const struct input *in, unsigned line, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    in->parser->report(in->parser->arg, in->file, line, text);
}

/* At the arena's maximum, which only a hostile file reaches, reading ends as if the file did. */
static void *allocate(struct input *in, size_t size)
{
    void *p = arena_alloc(in->parser->memory, size);
    if (!p && !in->parser->out_of_memory) {
        in->parser->out_of_memory = true;
        mistake(in, in->line, "the configuration is too big");
    }
    if (!p)
        in->p = in->end;
    return p;
}

/* ---- words ---- */

static void skip_line(struct input *in)
{
    const char *nl = memchr(in->p, '\n', (size_t)(in->end - in->p));
    in->p = nl ? nl : in->end;
}

static void skip_block_comment(struct input *in)
{
    unsigned opened = in->line;
    for (in->p += 2; in->end - in->p >= 2; in->p++) {
        if (in->p[0] == '*' && in->p[1] == '/') {
            in->p += 2;
            return;
        }
        in->line += *in->p == '\n';
    }
    in->p = in->end;
    mistake(in, opened, "this comment has no end; close it with */");
}

static bool looking_at(const struct input *in, const char *two)
{
    return in->end - in->p >= 2 && in->p[0] == two[0] && in->p[1] == two[1];
}

static void skip_space(struct input *in)
{
    while (in->p < in->end) {
        if (*in->p == '#' || looking_at(in, "//")) {
            skip_line(in);
        } else if (looking_at(in, "/*")) {
            skip_block_comment(in);
        } else if (strchr(" \t\r\n", *in->p) && *in->p) {
            in->line += *in->p == '\n';
            in->p++;
        } else {
            return;
        }
    }
}

/* What stands for itself after a backslash in "..."; \n and \t are line feed and tab. */
static char unescape(struct input *in, char c)
{
    switch (c) {
    case 'n':
        return '\n';
    case 't':
        return '\t';
    case '\\':
    case '"':
    case '\'':
        return c;
    default:
        mistake(in, in->line, "\"\\%c\" means nothing in a string; write \\\\ for a backslash", c);
        return c;
    }
}

/* A string ends on its line: a forgotten quote then costs one line, not the rest of the file. */
static const char *quoted_word(struct input *in, char quote)
{
    const char *start = ++in->p;
    while (in->p < in->end && *in->p != quote && *in->p != '\n')
        in->p +=
            (quote == '"' && *in->p == '\\' && in->end - in->p > 1 && in->p[1] != '\n') ? 2 : 1;
    const char *stop = in->p;
    if (in->p == in->end || *in->p == '\n')
        mistake(in, in->line, "this string has no end; close it with %c on the same line", quote);
    else
        in->p++;
    char *out = allocate(in, (size_t)(stop - start) + 1);
    if (!out)
        return NULL;
    char *to = out;
    for (const char *from = start; from < stop; from++)
        *to++ = (quote == '"' && *from == '\\' && from + 1 < stop) ? unescape(in, *++from) : *from;
    *to = '\0';
    return out;
}

static const char *bare_word(struct input *in)
{
    const char *start = in->p;
    while (in->p < in->end && *in->p && !strchr(" \t\r\n\"'#={}(),", *in->p))
        in->p++;
    size_t len = (size_t)(in->p - start);
    char *out = allocate(in, len + 1);
    if (out)
        memcpy(out, start, len);
    return out;
}

static void next_token(struct input *in)
{
    static const struct {
        char c;
        enum token_kind kind;
    } signs[] = {
        {'{', TOKEN_OPEN       },
        {'}', TOKEN_CLOSE      },
        {'(', TOKEN_PAREN_OPEN },
        {')', TOKEN_PAREN_CLOSE},
        {'=', TOKEN_EQUALS     },
        {',', TOKEN_COMMA      },
    };
    skip_space(in);
    in->token = (struct token){.kind = TOKEN_END, .line = in->line};
    if (in->p == in->end)
        return;
    for (size_t i = 0; i < ARRAY_LEN(signs); i++) {
        if (*in->p == signs[i].c) {
            in->p++;
            in->token.kind = signs[i].kind;
            return;
        }
    }
    in->token.quoted = *in->p == '"' || *in->p == '\'';
    in->token.text = in->token.quoted ? quoted_word(in, *in->p) : bare_word(in);
    in->token.kind = in->token.text ? TOKEN_WORD : TOKEN_END;
}

static const char *token_name(const struct token *t)
{
    static const char *const names[] = {
        [TOKEN_END] = "the end of the file",
        [TOKEN_OPEN] = "\"{\"",
        [TOKEN_CLOSE] = "\"}\"",
        [TOKEN_PAREN_OPEN] = "\"(\"",
        [TOKEN_PAREN_CLOSE] = "\")\"",
        [TOKEN_EQUALS] = "\"=\"",
        [TOKEN_COMMA] = "\",\"",
    };
    return t->kind == TOKEN_WORD ? t->text : names[t->kind];
}

/* After a mistake: on with the next line, past a block that was opened on this one. */
static void skip_item(struct input *in, unsigned line)
{
    unsigned depth = 0;
    while (in->token.kind != TOKEN_END) {
        if (depth == 0 && (in->token.line > line || in->token.kind == TOKEN_CLOSE))
            return;
        depth += in->token.kind == TOKEN_OPEN;
        depth -= in->token.kind == TOKEN_CLOSE;
        next_token(in);
    }
}

/* ---- items ---- */

static struct conf_node *
add_node(struct input *in, struct conf_node *block, const struct token *name)
{
    struct conf_node *n = allocate(in, sizeof(*n));
    if (!n)
        return NULL;
    n->file = in->file;
    n->line = name->line;
    n->name = name->text;
    if (block->last_item)
        block->last_item->next = n;
    else
        block->items = n;
    block->last_item = n;
    return n;
}

static struct conf_value *take_value(struct input *in)
{
    struct conf_value *v = allocate(in, sizeof(*v));
    if (v) {
        v->text = in->token.text;
        v->line = in->token.line;
    }
    next_token(in);
    return v;
}

static void parse_list(struct input *in, struct conf_node *n)
{
    struct conf_value **tail = &n->values;
    n->is_list = true;
    next_token(in);
    while (in->token.kind == TOKEN_WORD) {
        *tail = take_value(in);
        if (!*tail)
            return;
        tail = &(*tail)->next;
        if (in->token.kind != TOKEN_COMMA)
            break;
        next_token(in);
    }
    if (in->token.kind == TOKEN_CLOSE) {
        next_token(in);
        return;
    }
    mistake(in, in->token.line, "%s cannot stand in the list of \"%s\"; write %s = {one, two}",
            token_name(&in->token), n->name, n->name);
    while (in->token.kind != TOKEN_END && in->token.kind != TOKEN_CLOSE)
        next_token(in);
    if (in->token.kind == TOKEN_CLOSE)
        next_token(in);
}

static void parse_setting(struct input *in, struct conf_node *n)
{
    unsigned line = in->token.line;
    next_token(in); /* the "=" */
    if (in->token.kind == TOKEN_OPEN) {
        parse_list(in, n);
    } else if (in->token.kind == TOKEN_WORD && (in->token.quoted || in->token.line == line)) {
        n->values = take_value(in);
    } else {
        mistake(in, line, "\"%s\" has no value after \"=\"", n->name);
        if (in->token.kind != TOKEN_CLOSE)
            skip_item(in, line);
    }
}

static void parse_items(struct input *in, struct conf_node *block, unsigned depth);

static void parse_block(struct input *in, struct conf_node *n, unsigned depth)
{
    n->is_block = true;
    if (depth == DEPTH_MAX) {
        mistake(in, n->line, "blocks are nested too deeply");
        skip_item(in, n->line);
        return;
    }
    next_token(in); /* the "{" */
    parse_items(in, n, depth + 1);
    if (in->token.kind == TOKEN_CLOSE)
        next_token(in);
    else
        mistake(in, n->line, "the block \"%s%s%s\" that begins here is not closed; add \"}\"",
                n->name, n->title ? " " : "", n->title ? n->title : "");
}

static void parse_include(struct input *in, struct conf_node *block)
{
    unsigned line = in->token.line;
    next_token(in); /* the "(" */
    const char *name = in->token.kind == TOKEN_WORD ? in->token.text : NULL;
    if (name)
        next_token(in);
    if (!name || in->token.kind != TOKEN_PAREN_CLOSE) {
        mistake(in, line, "not an include; write include(\"file.conf\")");
        skip_item(in, line);
        return;
    }
    const char *path = conf_path(in->file, name, in->parser->memory);
    int ignored = 0;
    if (path)
        read_file(in->parser, path, in, block, &ignored);
    next_token(in);
}

static void parse_item(struct input *in, struct conf_node *block, unsigned depth)
{
    struct token name = in->token;
    next_token(in);
    if (in->token.kind == TOKEN_PAREN_OPEN && strcmp(name.text, "include") == 0) {
        parse_include(in, block);
        return;
    }
    struct token title = {.kind = TOKEN_END};
    if (in->token.kind == TOKEN_WORD && in->token.line == name.line) {
        title = in->token;
        next_token(in);
    }
    if (in->token.kind == TOKEN_OPEN ||
        (in->token.kind == TOKEN_EQUALS && title.kind == TOKEN_END)) {
        struct conf_node *n = add_node(in, block, &name);
        if (!n)
            return;
        n->title = title.text;
        if (in->token.kind == TOKEN_EQUALS)
            parse_setting(in, n);
        else
            parse_block(in, n, depth);
        return;
    }
    if (title.kind == TOKEN_WORD)
        mistake(in, name.line, "\"%s %s\" is neither setting nor block; write %s = %s", name.text,
                title.text, name.text, title.text);
    else
        mistake(in, name.line,
                "\"%s\" is neither setting nor block; write %s = VALUE or %s { ... }", name.text,
                name.text, name.text);
    skip_item(in, name.line);
}

static void parse_items(struct input *in, struct conf_node *block, unsigned depth)
{
    while (in->token.kind != TOKEN_END) {
        if (in->token.kind == TOKEN_WORD) {
            parse_item(in, block, depth);
        } else if (in->token.kind == TOKEN_CLOSE && depth > 0) {
            return;
        } else {
            unsigned line = in->token.line;
            mistake(in, line, "%s is out of place here", token_name(&in->token));
            next_token(in);
            skip_item(in, line);
        }
    }
}

/* ---- files ---- */

static void parse_text(struct parser *ps,
                       struct str text,
                       const char *file,
                       const struct input *from,
                       struct conf_node *into)
{
    struct input in = {.parser = ps,
                       .file = file,
                       .p = text.p,
                       .end = text.p + text.len,
                       .line = 1,
                       .includer = from};
    if (memchr(text.p, '\0', text.len) || !str_is_utf8(text)) {
        mistake(&in, 1, "this is not a text file in UTF-8");
        return;
    }
    if (str_starts_nocase(text, STR("\xef\xbb\xbf"))) /* the mark some editors put at the start */
        in.p += 3;
    next_token(&in);
    parse_items(&in, into, 0);
}

static int slurp(const char *path, struct buf *out)
{
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    for (;;) {
        int r = buf_reserve(out, 1024);
        if (r < 0)
            return r == -EMSGSIZE ? -EFBIG : r;
        ssize_t n = read(fd, out->data + out->len, 1024);
        if (n < 0)
            return -errno;
        if (n == 0)
            return 0;
        out->len += (size_t)n;
    }
}

static bool is_being_read(const struct input *from, const char *path)
{
    for (; from; from = from->includer) {
        if (strcmp(from->file, path) == 0)
            return true;
    }
    return false;
}

static void read_file(struct parser *ps,
                      const char *path,
                      const struct input *from,
                      struct conf_node *into,
                      int *ret_error)
{
    struct input here = {.parser = ps, .file = path, .line = 1};
    const struct input *blame = from ? from : &here;
    char *name = arena_strdup(ps->memory, str_of(path));
    if (!name || is_being_read(from, path) || ++ps->files > CONF_INCLUDES_MAX) {
        mistake(blame, blame->line, "\"%s\" includes itself, or too many files are included", path);
        *ret_error = -ELOOP;
        return;
    }
    struct buf text = BUF_INIT(CONF_TEXT_MAX - ps->octets);
    int r = slurp(path, &text);
    if (r < 0) {
        mistake(blame, blame->line, "cannot read \"%s\": %s", path, strerror(-r));
        *ret_error = r;
    } else {
        ps->octets += text.len;
        parse_text(ps, buf_str(&text), name, from, into);
    }
    buf_done(&text);
}

struct conf_node *
conf_read(const char *path, struct arena *memory, conf_report_fn *report, void *arg, int *ret_error)
{
    struct parser ps = {.memory = memory, .report = report, .arg = arg};
    struct conf_node *root = arena_alloc(memory, sizeof(*root));
    int error = root ? 0 : -ENOMEM;
    if (root) {
        *root = (struct conf_node){.file = path, .line = 1, .name = "", .is_block = true};
        read_file(&ps, path, NULL, root, &error);
    }
    if (error < 0) {
        *ret_error = error;
        return NULL;
    }
    return root;
}

struct conf_node *conf_parse(
    struct str text, const char *file, struct arena *memory, conf_report_fn *report, void *arg)
{
    struct parser ps = {.memory = memory, .report = report, .arg = arg};
    struct conf_node *root = arena_alloc(memory, sizeof(*root));
    if (!root)
        return NULL;
    *root = (struct conf_node){.file = file, .line = 1, .name = "", .is_block = true};
    parse_text(&ps, text, file, NULL, root);
    return root;
}

const struct conf_node *conf_find(const struct conf_node *block, const char *name)
{
    for (const struct conf_node *n = block->items; n; n = n->next) {
        if (strcmp(n->name, name) == 0)
            return n;
    }
    return NULL;
}

const struct conf_node *conf_place(const struct conf_node *block, const char *name)
{
    const struct conf_node *n = conf_find(block, name);
    return n ? n : block;
}

char *conf_path(const char *file, const char *path, struct arena *memory)
{
    const char *slash = strrchr(file, '/');
    size_t folder = path[0] == '/' || !slash ? 0 : (size_t)(slash - file) + 1, len = strlen(path);
    char *out = arena_alloc(memory, folder + len + 1);
    if (out) {
        memcpy(out, file, folder);
        memcpy(out + folder, path, len);
    }
    return out;
}
