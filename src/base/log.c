#include "base/log_internal.h"

#include "base/clock.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

static const char *const level_names[] = {"error", "warning", "notice", "info", "debug"};
static enum log_level threshold = LOG_LEVEL_INFO;
static int sink = STDERR_FILENO;
static _Atomic(log_taker *) taker;

void log_set_level(enum log_level level)
{
    threshold = level;
}

void log_set_fd(int fd)
{
    sink = fd;
}

int log_fd(void)
{
    return sink;
}

log_taker *log_give_to(log_taker *fresh)
{
    return atomic_exchange(&taker, fresh);
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

static bool put_text(struct log_line *l, const char *s)
{
    return put(l, s, strlen(s));
}

/* "2026-10-01T12:00:00", made once a second by each thread that logs. */
static const char *second_text(time_t second)
{
    static _Thread_local time_t made_for = -1;
    static _Thread_local char text[sizeof("2026-10-01T12:00:00")];
    struct tm tm;
    if (second != made_for && gmtime_r(&second, &tm) &&
        strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm) > 0)
        made_for = second;
    return text;
}

void log_begin(struct log_line *l, enum log_level level, const char *event)
{
    l->len = 0;
    l->wanted = level <= threshold;
    if (!l->wanted)
        return;
    int64_t now = MAX(clock_wall_ms(), (int64_t)0);
    unsigned ms = (unsigned)(now % 1000);
    const char fraction[] = {
        '.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10), 'Z', ' '};
    (void)put_text(l, second_text((time_t)(now / 1000)));
    (void)put(l, fraction, sizeof(fraction));
    (void)put_text(l, level_names[level]);
    (void)put(l, " ", 1);
    (void)put_text(l, event);
}

static bool is_special(unsigned char c)
{
    return c <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f;
}

/* Goes into the line as it is.  That is what nearly every value is like. */
static bool is_plain(struct str v)
{
    for (size_t i = 0; i < v.len; i++)
        if (is_special((unsigned char)v.p[i]) || (unsigned char)v.p[i] > 0x7f)
            return false;
    return v.len > 0;
}

static bool needs_quotes(struct str v)
{
    if (v.len == 0)
        return true;
    for (size_t i = 0; i < v.len; i++)
        if (is_special((unsigned char)v.p[i]))
            return true;
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
    if (is_plain(v) && put(l, v.p, v.len))
        return;
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
    char digits[24];
    size_t at = sizeof(digits);
    uint64_t left = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (value < 0)
        digits[--at] = '-';
    log_str(l, key, (struct str){digits + at, sizeof(digits) - at});
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
    log_taker *take = atomic_load_explicit(&taker, memory_order_acquire);
    if (take) {
        take(l->text, l->len);
        return;
    }
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
