#include "base/log.h"

#include "base/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

static const char *const level_names[] = {"error", "warning", "notice", "info", "debug"};
static enum log_level threshold = LOG_LEVEL_INFO;
static int sink = STDERR_FILENO;

void log_set_level(enum log_level level)
{
    threshold = level;
}

void log_set_fd(int fd)
{
    sink = fd;
}

int log_level_parse(const char *name, enum log_level *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *ret = (enum log_level)i;
            return 0;
        }
    }
    return -EINVAL;
}

/* Room is kept for the "..." of a cut value and the line end. */
static const size_t room_max = LOG_LINE_MAX - 8;

static bool put(struct log_line *l, const char *s, size_t len)
{
    if (l->len + len > room_max)
        return false;
    memcpy(l->text + l->len, s, len);
    l->len += len;
    return true;
}

void log_begin(struct log_line *l, enum log_level level, const char *event)
{
    l->len = 0;
    l->wanted = level <= threshold;
    if (!l->wanted)
        return;
    int64_t now = clock_wall_ms();
    time_t seconds = (time_t)(now / 1000);
    struct tm tm;
    (void)gmtime_r(&seconds, &tm);
    l->len = strftime(l->text, sizeof(l->text), "%Y-%m-%dT%H:%M:%S", &tm);
    int n = snprintf(l->text + l->len,
                     sizeof(l->text) - l->len,
                     ".%03dZ %s %s",
                     (int)(now % 1000),
                     level_names[level],
                     event);
    l->len += MIN((size_t)n, room_max - l->len);
}

static bool needs_quotes(struct str v)
{
    if (v.len == 0)
        return true;
    for (size_t i = 0; i < v.len; i++) {
        unsigned char c = (unsigned char)v.p[i];
        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f)
            return true;
    }
    return !str_is_utf8(v);
}

/* One octet as it stands in a quoted value; returns its length. */
static size_t escape(unsigned char c, bool utf8, char out[5])
{
    if (c == '"' || c == '\\') {
        out[0] = '\\';
        out[1] = (char)c;
        return 2;
    }
    if (c < 0x20 || c == 0x7f || (c > 0x7f && !utf8))
        return (size_t)snprintf(out, 5, "\\x%02x", c);
    out[0] = (char)c;
    return 1;
}

void log_str(struct log_line *l, const char *key, struct str v)
{
    size_t key_len = strlen(key);
    if (!l->wanted || l->len + key_len + 4 > room_max)
        return;
    (void)put(l, " ", 1);
    (void)put(l, key, key_len);
    (void)put(l, "=", 1);
    bool quoted = needs_quotes(v);
    bool utf8 = str_is_utf8(v);
    if (quoted)
        (void)put(l, "\"", 1);
    for (size_t i = 0; i < v.len; i++) {
        char out[5];
        size_t n = escape((unsigned char)v.p[i], utf8, out);
        if (!put(l, out, n)) {
            memcpy(l->text + l->len, "...", 3);
            l->len += 3;
            break;
        }
    }
    if (quoted)
        l->text[l->len++] = '"';
}

void log_text(struct log_line *l, const char *key, const char *value)
{
    if (value)
        log_str(l, key, str_of(value));
}

void log_number(struct log_line *l, const char *key, int64_t value)
{
    log_format(l, key, "%lld", (long long)value);
}

static void log_vformat(struct log_line *l, const char *key, const char *fmt, va_list ap)
    PRINTF(3, 0);

static void log_vformat(struct log_line *l, const char *key, const char *fmt, va_list ap)
{
    char value[1024];
    int n = vsnprintf(value, sizeof(value), fmt, ap);
    log_str(l, key, (struct str){value, MIN((size_t)MAX(n, 0), sizeof(value) - 1)});
}

void log_format(struct log_line *l, const char *key, const char *fmt, ...)
{
    if (!l->wanted)
        return;
    va_list ap;
    va_start(ap, fmt);
    log_vformat(l, key, fmt, ap);
    va_end(ap);
}

void log_end(struct log_line *l)
{
    if (!l->wanted)
        return;
    l->text[l->len++] = '\n';
    ssize_t n = write(sink, l->text, l->len);
    (void)n; /* a log that cannot be written must not stop the mail */
}

void log_message(enum log_level level, const char *event, const char *fmt, ...)
{
    struct log_line l;
    log_begin(&l, level, event);
    if (!l.wanted)
        return;
    va_list ap;
    va_start(ap, fmt);
    log_vformat(&l, "message", fmt, ap);
    va_end(ap);
    log_end(&l);
}
