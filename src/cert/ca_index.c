#include "base/file.h"
#include "cert/ca_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* One line a certificate, its columns divided by tabs, "-" for nothing. */
static const char heading[] =
    "# serial\tkind\tnot before\tnot after\trevoked\treason\tnames\tsubject\n";

enum column { SERIAL, KIND, NOT_BEFORE, NOT_AFTER, REVOKED, REASON, NAMES, SUBJECT, N_COLUMNS };

static const char *const kind_names[] = {[CA_CLIENT] = "client", [CA_SERVER] = "server"};

static const char *const reason_names[] = {
    [CA_UNSPECIFIED] = "unspecified",
    [CA_KEY_COMPROMISE] = "key-compromise",
    [CA_AFFILIATION_CHANGED] = "affiliation-changed",
    [CA_SUPERSEDED] = "superseded",
    [CA_CESSATION] = "cessation",
    [CA_PRIVILEGE_WITHDRAWN] = "privilege-withdrawn",
};

const char *ca_kind_name(enum ca_kind k)
{
    return kind_names[k];
}

const char *ca_reason_name(enum ca_reason r)
{
    return reason_names[r];
}

static int word_parse(const char *word, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(words[i], word) == 0)
            return (int)i;
    return -EINVAL;
}

int ca_reason_parse(const char *word, enum ca_reason *ret)
{
    int at = word_parse(word, reason_names, ARRAY_LEN(reason_names));
    if (at < 0)
        return at;
    *ret = (enum ca_reason)at;
    return 0;
}

void ca_entry_done(struct ca_entry *e)
{
    free(e->names);
    free(e->subject);
    *e = (struct ca_entry){.revoked_ms = 0};
}

void ca_entry_copy(const struct ca_entry *from, struct ca_entry *to)
{
    *to = *from;
    to->names = xstrdup(from->names);
    to->subject = xstrdup(from->subject);
}

void ca_index_done(struct ca_index *ix)
{
    for (size_t i = 0; i < ix->n; i++)
        ca_entry_done(&ix->entries[i]);
    free(ix->entries);
    *ix = (struct ca_index){NULL, 0, 0};
}

int ca_index_add(struct ca_index *ix, const struct ca_entry *e)
{
    if (ix->n == CA_ENTRIES_MAX)
        return -ENOSPC;
    if (ix->n == ix->cap) {
        size_t cap = MIN(MAX(ix->cap * 2, (size_t)16), (size_t)CA_ENTRIES_MAX);
        struct ca_entry *more = reallocarray(ix->entries, cap, sizeof(*more));
        if (!more)
            return -ENOMEM;
        ix->entries = more;
        ix->cap = cap;
    }
    ca_entry_copy(e, &ix->entries[ix->n++]);
    return 0;
}

/* --- reading */

static int parse_time(const char *text, int64_t *ret_ms)
{
    struct tm tm = {.tm_sec = 0};
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (!end || *end)
        return -EINVAL;
    *ret_ms = (int64_t)timegm(&tm) * 1000;
    return 0;
}

static int parse_serial(const char *text, char out[CA_SERIAL_LEN])
{
    size_t len = strlen(text);
    if (len == 0 || len >= CA_SERIAL_LEN || strspn(text, "0123456789abcdef") != len)
        return -EINVAL;
    memcpy(out, text, len + 1);
    return 0;
}

/* Cuts the line at its tabs; false when there are not as many columns as there should be. */
static bool split(char *line, char *columns[N_COLUMNS])
{
    size_t n = 0;
    for (char *column; (column = strsep(&line, "\t")); n++) {
        if (n == N_COLUMNS)
            return false;
        columns[n] = column;
    }
    return n == N_COLUMNS;
}

static int parse_revocation(char *const columns[N_COLUMNS], struct ca_entry *e)
{
    if (strcmp(columns[REVOKED], "-") == 0)
        return strcmp(columns[REASON], "-") == 0 ? 0 : -EINVAL;
    int r = parse_time(columns[REVOKED], &e->revoked_ms);
    return r < 0 ? r : ca_reason_parse(columns[REASON], &e->reason);
}

static bool is_text(const char *column)
{
    return str_is_utf8(str_of(column)) && !str_has_control(str_of(column));
}

/* `names` and `subject` of the entry borrow from the line. */
static int parse_line(char *line, struct ca_entry *e)
{
    char *columns[N_COLUMNS];
    *e = (struct ca_entry){.revoked_ms = 0};
    if (!split(line, columns) || !is_text(columns[NAMES]) || !is_text(columns[SUBJECT]))
        return -EINVAL;
    int kind = word_parse(columns[KIND], kind_names, ARRAY_LEN(kind_names));
    if (kind < 0 || parse_serial(columns[SERIAL], e->serial) < 0 ||
        parse_time(columns[NOT_BEFORE], &e->not_before_ms) < 0 ||
        parse_time(columns[NOT_AFTER], &e->not_after_ms) < 0 || parse_revocation(columns, e) < 0)
        return -EINVAL;
    e->kind = (enum ca_kind)kind;
    e->names = strcmp(columns[NAMES], "-") == 0 ? columns[NAMES] + 1 : columns[NAMES];
    e->subject = columns[SUBJECT];
    return 0;
}

static int read_lines(char *text, const char *path, struct ca_index *ix, char *why)
{
    unsigned number = 0;
    for (char *line; (line = strsep(&text, "\n"));) {
        struct ca_entry e;
        number++;
        if (line[0] == '\0' || line[0] == '#')
            continue;
        if (parse_line(line, &e) < 0)
            return ca_fail(why, -EINVAL, "%s: line %u is damaged; put back a copy of the file",
                           path, number);
        int r = ca_index_add(ix, &e);
        if (r < 0)
            return ca_say(why, r, path);
    }
    return 0;
}

int ca_index_read(const char *path, struct ca_index *ret, char *why)
{
    CLEANUP(buf_done) struct buf text = BUF_INIT(CERT_FILE_MAX);
    CLEANUP(ca_index_done) struct ca_index ix = {NULL, 0, 0};
    int r = file_read(path, &text);
    if (r < 0)
        return ca_say(why, r, path);
    if (memchr(text.data, '\0', text.len))
        return ca_fail(why, -EINVAL, "%s: holds NUL octets; put back a copy of the file", path);
    r = read_lines(text.data, path, &ix, why);
    if (r < 0)
        return r;
    *ret = ix;
    ix = (struct ca_index){NULL, 0, 0};
    return 0;
}

/* --- writing */

static void format_time(int64_t ms, char out[32])
{
    struct tm tm;
    time_t t = (time_t)(ms / 1000);
    if (ms == 0 || !gmtime_r(&t, &tm) || strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        memcpy(out, "-", 2);
}

static int append_line(struct buf *out, const struct ca_entry *e)
{
    char from[32], until[32], revoked[32];
    format_time(e->not_before_ms, from);
    format_time(e->not_after_ms, until);
    format_time(e->revoked_ms, revoked);
    return buf_printf(out, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e->serial, kind_names[e->kind], from,
                      until, revoked, e->revoked_ms ? reason_names[e->reason] : "-",
                      e->names[0] ? e->names : "-", e->subject);
}

int ca_index_write(const char *path, const struct ca_index *ix)
{
    CLEANUP(buf_done) struct buf out = BUF_INIT(CERT_FILE_MAX);
    int r = buf_puts(&out, heading);
    for (size_t i = 0; r == 0 && i < ix->n; i++)
        r = append_line(&out, &ix->entries[i]);
    return r < 0 ? r : ca_file_write(path, buf_str(&out), 0600, CA_WRITE_REPLACE);
}
