#include "script.h"

#include "base/b64.h"

#include <errno.h>
#include <stdio.h>

static const struct {
    const char *prefix;
    enum line_kind kind;
} prefixes[] = {
    {"C: ", LINE_CLIENT      },
    {"C- ", LINE_CLIENT_RAW  },
    {"S: ", LINE_SERVER      },
    {"S+ ", LINE_SERVER_HAS  },
    {"S! ", LINE_SERVER_LACKS},
    {"T: ", LINE_TEXT        },
    {"T! ", LINE_TEXT_LACKS  },
    {"M: ", LINE_ENVELOPE    },
    {"@",   LINE_DIRECTIVE   },
};

static void *grow(void *array, size_t n, size_t size)
{
    void *more = reallocarray(array, n, size);
    if (!more)
        abort();
    return more;
}

static void add_case(struct script *s, const char *name, unsigned number)
{
    s->cases = grow(s->cases, s->n_cases + 1, sizeof(*s->cases));
    s->cases[s->n_cases++] = (struct script_case){.name = xstrdup(name), .number = number};
}

/* An empty "C:" is an empty line of the client's. */
static bool add_line(struct script *s, const char *text, unsigned number)
{
    struct script_case *c = &s->cases[s->n_cases - 1];
    if (strcmp(text, "C:") == 0 || strcmp(text, "T:") == 0)
        text = text[0] == 'C' ? "C: " : "T: ";
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        size_t len = strlen(prefixes[i].prefix);
        if (strncmp(text, prefixes[i].prefix, len) != 0)
            continue;
        c->lines = grow(c->lines, c->n_lines + 1, sizeof(*c->lines));
        c->lines[c->n_lines++] = (struct line){prefixes[i].kind, number, xstrdup(text + len)};
        return true;
    }
    return false;
}

/* "# name" begins a case, "##" is a comment, an empty line is nothing. */
static int take_line(struct script *s, const char *text, unsigned number)
{
    if (text[0] == '\0' || strncmp(text, "##", 2) == 0)
        return 0;
    if (strncmp(text, "# ", 2) == 0) {
        add_case(s, text + 2, number);
        return 0;
    }
    return s->n_cases > 0 && add_line(s, text, number) ? 0 : -EINVAL;
}

int script_read(const char *file, struct script *ret)
{
    struct script s = {0};
    CLEANUP(freep) char *text = NULL;
    size_t size = 0;
    ssize_t len;
    int r = 0;
    FILE *f = fopen(file, "re");
    if (!f) {
        r = -errno;
        perror(file);
        return r;
    }
    for (unsigned number = 1; r == 0 && (len = getline(&text, &size, f)) > 0; number++) {
        if (text[len - 1] == '\n')
            text[len - 1] = '\0';
        r = take_line(&s, text, number);
        if (r < 0)
            fprintf(stderr, "%s:%u: neither a case nor a line of one: %s\n", file, number, text);
    }
    (void)fclose(f);
    if (r < 0)
        script_done(&s);
    else
        *ret = s;
    return r;
}

void script_done(struct script *s)
{
    for (size_t i = 0; i < s->n_cases; i++) {
        for (size_t j = 0; j < s->cases[i].n_lines; j++)
            free(s->cases[i].lines[j].text);
        free(s->cases[i].lines);
        free(s->cases[i].name);
    }
    free(s->cases);
    *s = (struct script){0};
}

static int hex_value(char c)
{
    const char *digits = "0123456789abcdef", *at = c ? strchr(digits, c | 0x20) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* "N*text" */
static int put_repeated(struct str s, struct buf *out)
{
    CLEANUP(buf_done) struct buf text = BUF_INIT(out->max);
    uint64_t n;
    ssize_t star = str_find(s, '*');
    if (star <= 0 || str_to_u64(str_upto(s, (size_t)star), 10000000, &n) < 0)
        return -EINVAL;
    int r = script_unescape(str_from(s, (size_t)star + 1), &text);
    for (; r == 0 && n > 0; n--)
        r = buf_append_str(out, buf_str(&text));
    return r;
}

static int put_base64(struct str s, struct buf *out)
{
    CLEANUP(buf_done) struct buf text = BUF_INIT(out->max);
    int r = script_unescape(s, &text);
    return r < 0 ? r : b64_encode(buf_str(&text), out);
}

/* Length of "{...}" at the start of s, braces inside counted; 0: it does not end. */
static size_t braces_len(struct str s)
{
    size_t depth = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] == '{')
            depth++;
        if (s.p[i] == '}' && --depth == 0)
            return i + 1;
    }
    return 0;
}

static ssize_t put_braces(struct str s, int (*put)(struct str, struct buf *), struct buf *out)
{
    size_t len = s.len > 0 && s.p[0] == '{' ? braces_len(s) : 0;
    if (len == 0)
        return -EINVAL;
    int r = put((struct str){s.p + 1, len - 2}, out);
    return r < 0 ? r : (ssize_t)len;
}

/* What follows a backslash; returns how many octets it took. */
static ssize_t put_escape(struct str s, struct buf *out)
{
    static const char plain[][2] = {
        {'r',  '\r'},
        {'n',  '\n'},
        {'t',  '\t'},
        {'0',  '\0'},
        {'\\', '\\'}
    };
    if (s.len == 0)
        return -EINVAL;
    if (s.p[0] == '{')
        return put_braces(s, put_repeated, out);
    if (s.p[0] == '*')
        return buf_append(out, "\\*", 2) < 0 ? -EMSGSIZE : 1;
    if (s.p[0] == 'b') {
        ssize_t n = put_braces(str_from(s, 1), put_base64, out);
        return n < 0 ? n : n + 1;
    }
    for (size_t i = 0; i < ARRAY_LEN(plain); i++)
        if (plain[i][0] == s.p[0])
            return buf_append(out, &plain[i][1], 1) < 0 ? -EMSGSIZE : 1;
    int high = s.len >= 3 ? hex_value(s.p[1]) : -1, low = s.len >= 3 ? hex_value(s.p[2]) : -1;
    if (s.p[0] != 'x' || high < 0 || low < 0)
        return -EINVAL;
    char c = (char)(high << 4 | low);
    return buf_append(out, &c, 1) < 0 ? -EMSGSIZE : 3;
}

int script_unescape(struct str s, struct buf *out)
{
    while (s.len > 0) {
        ssize_t backslash = str_find(s, '\\');
        struct str head = str_upto(s, backslash < 0 ? s.len : (size_t)backslash);
        int r = buf_append_str(out, head);
        if (r < 0)
            return r;
        s = str_from(s, head.len);
        if (backslash < 0)
            break;
        ssize_t n = put_escape(str_from(s, 1), out);
        if (n < 0)
            return (int)n;
        s = str_from(s, (size_t)n + 1);
    }
    return 0;
}

bool script_matches(struct str pattern, struct str text)
{
    struct str after_star = {NULL, 0}, retry = text;
    bool star = false;
    for (;;) {
        if (pattern.len > 0 && pattern.p[0] == '*') {
            pattern = after_star = str_from(pattern, 1);
            retry = text;
            star = true;
            continue;
        }
        bool escaped = pattern.len > 1 && pattern.p[0] == '\\' && pattern.p[1] == '*';
        struct str want = str_from(pattern, escaped ? 1 : 0);
        if (want.len == 0 && text.len == 0)
            return true;
        if (want.len > 0 && text.len > 0 && want.p[0] == text.p[0]) {
            pattern = str_from(want, 1);
            text = str_from(text, 1);
            continue;
        }
        if (!star || retry.len == 0)
            return false;
        pattern = after_star;
        text = retry = str_from(retry, 1);
    }
}
