#include "probe/report_internal.h"

#include "base/str.h"

#include <errno.h>
#include <time.h>

const char *probe_status_name(enum probe_status s)
{
    static const char *const names[PROBE_STATUS_COUNT] = {
        [PROBE_NOT_RUN] = "not run", [PROBE_PASS] = "pass", [PROBE_FAIL] = "fail",
        [PROBE_WARN] = "warning",    [PROBE_SEEN] = "seen",
    };
    return names[s];
}

const char *probe_conforms_name(enum probe_conforms c)
{
    static const char *const names[] = {"conforming", "not conforming", "could not tell"};
    return names[c];
}

size_t report_count(const struct report *r, enum probe_status s)
{
    size_t count = 0;
    for (size_t i = 0; i < r->n_cases; i++)
        for (size_t k = 0; k < r->n_columns; k++)
            count += r->cases[i].cells[k].status == s;
    return count;
}

bool report_agrees(const struct report *r, const struct report_case *c)
{
    for (size_t k = 1; k < r->n_columns; k++)
        if (c->cells[k].status != c->cells[0].status ||
            strcmp(c->cells[k].detail, c->cells[0].detail) != 0)
            return false;
    return true;
}

enum probe_status report_worst(const struct report *r, const struct report_case *c)
{
    enum probe_status worst = PROBE_PASS;
    for (size_t k = 0; k < r->n_columns; k++) {
        enum probe_status s = c->cells[k].status;
        if (s == PROBE_FAIL || (s == PROBE_WARN && worst != PROBE_FAIL))
            worst = s;
    }
    return worst;
}

char report_letter(size_t column)
{
    return (char)('A' + column);
}

void report_details(const struct report *r,
                    const struct report_case *c,
                    void (*say)(void *arg, const char *letters, const char *detail),
                    void *arg)
{
    bool told[REPORT_COLUMNS_MAX] = {false};
    for (size_t k = 0; k < r->n_columns; k++) {
        char letters[2 * REPORT_COLUMNS_MAX + 1] = "";
        size_t used = 0, sharing = 0;
        for (size_t i = k; i < r->n_columns && !told[k]; i++) {
            if (told[i] || strcmp(c->cells[i].detail, c->cells[k].detail) != 0)
                continue;
            told[i] = i > k;
            sharing++;
            letters[used++] = report_letter(i);
            letters[used++] = ' ';
        }
        if (sharing > 0)
            say(arg, sharing == r->n_columns ? "" : letters, c->cells[k].detail);
    }
}

/* Octets of the character at `s` when it is one of well-formed UTF-8 that may be shown; 0: it is not. */
static size_t printable_at(const char *s)
{
    unsigned char c = (unsigned char)*s;
    if (c < 0x80)
        return c >= 0x20 && c != 0x7f;
    size_t len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    struct str one = {s, strnlen(s, len)};
    bool c1_control = c == 0xc2 && one.len == 2 && (unsigned char)s[1] < 0xa0;
    bool no_character = one.len == 3 && c == 0xef && (unsigned char)s[1] == 0xbf &&
                        (unsigned char)s[2] >= 0xbe; /* U+FFFE and U+FFFF: not for XML */
    return one.len == len && str_is_utf8(one) && !c1_control && !no_character ? len : 0;
}

static const char *entity_of(char c)
{
    switch (c) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

static void write_safely(FILE *to, const char *text, bool entities)
{
    while (*text) {
        size_t len = printable_at(text);
        const char *entity = entities && len == 1 ? entity_of(*text) : NULL;
        if (entity)
            (void)fputs(entity, to);
        else if (len)
            (void)fwrite(text, 1, len, to);
        else
            (void)fputc('?', to);
        text += len ? len : 1;
    }
}

void report_escape(FILE *to, const char *text)
{
    write_safely(to, text, true);
}

void report_plain(FILE *to, const char *text)
{
    write_safely(to, text, false);
}

int report_flush(FILE *to)
{
    return fflush(to) != 0 || ferror(to) ? -EIO : 0;
}

void report_time(int64_t at_ms, char ret[REPORT_TIME_MAX])
{
    time_t s = (time_t)(at_ms / 1000);
    struct tm tm;
    if (!gmtime_r(&s, &tm) || strftime(ret, REPORT_TIME_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        ret[0] = '\0';
}
