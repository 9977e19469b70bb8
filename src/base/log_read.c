#include "base/log_read.h"

#include "base/log.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

static const char time_shape[] = "0000-00-00T00:00:00.000Z ";
#define TIME_LEN (sizeof(time_shape) - 2)

static bool is_time(struct str s)
{
    if (s.len < sizeof(time_shape) - 1)
        return false;
    for (size_t i = 0; i < sizeof(time_shape) - 1; i++)
        if (time_shape[i] == '0' ? !isdigit((unsigned char)s.p[i]) : s.p[i] != time_shape[i])
            return false;
    return true;
}

static struct str take_word(struct str *rest)
{
    ssize_t space = str_find(*rest, ' ');
    struct str word = str_upto(*rest, space < 0 ? rest->len : (size_t)space);
    *rest = str_from(*rest, word.len + (space >= 0));
    return word;
}

bool log_read(struct str line, struct log_record *ret)
{
    char level[16];
    enum log_level known;
    /* A value can hold no time followed by a space outside quotes, and what stands in front of ours has no quotes. */
    while (line.len && line.p[0] != '"' && !is_time(line))
        line = str_from(line, 1);
    if (!is_time(line))
        return false;
    ret->time = str_upto(line, TIME_LEN);
    struct str rest = str_from(line, TIME_LEN + 1);
    ret->level = take_word(&rest);
    ret->event = take_word(&rest);
    ret->fields = rest;
    (void)snprintf(level, sizeof(level), "%.*s", STR_FMT(str_upto(ret->level, 15)));
    return ret->event.len && log_level_parse(level, &known) == 0;
}

/* Octets of a value at the start of `s`, its quotes included. */
static size_t value_len(struct str s)
{
    if (s.len == 0 || s.p[0] != '"') {
        ssize_t space = str_find(s, ' ');
        return space < 0 ? s.len : (size_t)space;
    }
    for (size_t i = 1; i < s.len; i++) {
        if (s.p[i] == '\\')
            i++;
        else if (s.p[i] == '"')
            return i + 1;
    }
    return s.len; /* cut off: what is there */
}

static int hex(char c)
{
    return isdigit((unsigned char)c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int unquote(struct str s, struct buf *value)
{
    int r = 0;
    for (size_t i = 1; r == 0 && i + 1 < s.len; i++) {
        char c = s.p[i];
        if (c == '\\' && i + 4 < s.len && s.p[i + 1] == 'x' && hex(s.p[i + 2]) >= 0 &&
            hex(s.p[i + 3]) >= 0) {
            c = (char)(hex(s.p[i + 2]) << 4 | hex(s.p[i + 3]));
            i += 3;
        } else if (c == '\\' && i + 2 < s.len) {
            c = s.p[++i];
        }
        r = buf_append(value, &c, 1);
    }
    return r;
}

int log_read_field(const struct log_record *r, const char *key, struct buf *value)
{
    for (struct str rest = r->fields; rest.len;) {
        ssize_t is = str_find(rest, '=');
        if (is < 0)
            break;
        struct str name = str_upto(rest, (size_t)is);
        struct str raw = str_from(rest, (size_t)is + 1);
        raw = str_upto(raw, value_len(raw));
        if (str_eq(name, str_of(key))) {
            buf_clear(value);
            return raw.len && raw.p[0] == '"' ? unquote(raw, value) : buf_append_str(value, raw);
        }
        rest = str_from(rest, (size_t)is + 1 + raw.len + 1);
    }
    return -ENOENT;
}
