#include "app/cmd_queue_internal.h"

#include "base/clock.h"

#include <jansson.h>
#include <stdio.h>
#include <time.h>

#define HEADER_MAX ((size_t)64 * 1024) /* of a header shown */
#define TEXT_MAX 512

static const char *const state_names[] = {
    [SPOOL_STATE_DUE] = "due",
    [SPOOL_STATE_ACTIVE] = "active",
    [SPOOL_STATE_DEFERRED] = "deferred",
    [SPOOL_STATE_HELD] = "held",
};

/* ---- words for people ---- */

/* Octets that a terminal might obey become "?": control characters, and all that is not UTF-8.  A tab, as folded header
 * fields begin with, is a space. */
static bool is_printable(const char *s, size_t len)
{
    unsigned char c = (unsigned char)*s;
    if (c < 0x20 || c == 0x7f)
        return false;
    if (len == 2 && c == 0xc2 && (unsigned char)s[1] < 0xa0) /* C1 controls */
        return false;
    return str_is_utf8((struct str){s, len});
}

static size_t character_len(const char *s, size_t left)
{
    unsigned char c = (unsigned char)*s;
    size_t len = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    return len <= left && str_is_utf8((struct str){s, len}) ? len : 1;
}

static void print_safely(struct str s)
{
    for (size_t i = 0; i < s.len;) {
        size_t len = character_len(s.p + i, s.len - i);
        if (is_printable(s.p + i, len))
            (void)fwrite(s.p + i, 1, len, stdout);
        else
            putchar(s.p[i] == '\t' ? ' ' : '?');
        i += len;
    }
}

static void local_time(int64_t ms, char out[32])
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    if (!localtime_r(&t, &tm) || strftime(out, 32, "%Y-%m-%d %H:%M:%S", &tm) == 0)
        (void)snprintf(out, 32, "?");
}

static void utc_time(int64_t ms, char out[40])
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    char day[32];
    if (gmtime_r(&t, &tm) && strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm))
        (void)snprintf(out, 40, "%s.%03dZ", day, (int)(ms % 1000));
    else
        (void)snprintf(out, 40, "?");
}

static void human_size(int64_t octets, char out[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double n = (double)octets;
    size_t unit = 0;
    for (; n >= 1024 && unit + 1 < ARRAY_LEN(units); unit++)
        n /= 1024;
    (void)snprintf(out, 32, unit && n < 99.95 ? "%.1f %s" : "%.0f %s", n, units[unit]);
}

static void human_span(int64_t ms, char out[32])
{
    static const struct {
        int64_t ms;
        const char *word;
    } units[] = {
        {86400000, "day"   },
        {3600000,  "hour"  },
        {60000,    "minute"},
        {1000,     "second"},
    };
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        int64_t n = ms / units[i].ms;
        if (n > 0 || i + 1 == ARRAY_LEN(units)) {
            (void)snprintf(out, 32, "%lld %s%s", (long long)n, units[i].word, n == 1 ? "" : "s");
            return;
        }
    }
}

static const char *plural(int64_t n)
{
    return n == 1 ? "" : "s";
}

/* ---- the list ---- */

static const char *next_words(const struct spool_row *r, char out[32])
{
    if (r->state == SPOOL_STATE_ACTIVE)
        return "now";
    if (r->state == SPOOL_STATE_HELD)
        return "when released";
    if (r->state == SPOOL_STATE_DUE)
        return "at once";
    local_time(r->next_attempt_ms, out);
    return out;
}

static void print_reply(const struct spool_row *r, int indent)
{
    if (!r->last_reply)
        return;
    printf("%*s", indent, "");
    print_safely(str_upto(str_of(r->last_reply), TEXT_MAX));
    putchar('\n');
}

static void print_path(const char *path)
{
    print_safely(path[0] ? str_of(path) : STR("<>"));
}

static void print_row(const struct queue_list *l, const struct spool_row *r, bool first)
{
    char size[32], received[32], next[32];
    if (l->recipients == 0)
        printf("%-12s  %-8s  %9s  %-19s  %5s  %-19s  %s\n", "ID", "STATE", "SIZE", "RECEIVED",
               "TRIES", "NEXT ATTEMPT", "FROM -> TO");
    human_size(r->size, size);
    local_time(r->received_ms, received);
    printf("%-12s  %-8s  %9s  %-19s  %5u  %-19s  ", first ? r->queue_id : "", state_names[r->state],
           first ? size : "", first ? received : "", r->attempts, next_words(r, next));
    print_path(r->reverse_path);
    fputs(" -> ", stdout);
    print_path(r->address);
    putchar('\n');
    print_reply(r, 14);
}

static void print_named(const char *name, const char *value)
{
    printf("%-12s", name);
    print_safely(str_of(value));
    putchar('\n');
}

static void print_time(const char *name, int64_t ms)
{
    char text[32];
    local_time(ms, text);
    print_named(name, text);
}

/* What its sender asked for beside delivery. */
static void print_wishes(const struct spool_row *r)
{
    if (r->release_ms)
        print_time("Not before", r->release_ms);
    if (r->by_mode)
        print_time(r->by_mode == 'R' ? "Return by" : "Tell by", r->deliver_by_ms);
    if (r->priority)
        printf("%-12s%d\n", "Priority", r->priority);
    if (r->tls != SPOOL_TLS_USUAL)
        print_named("TLS", r->tls == SPOOL_TLS_REQUIRED ? "required all the way" : "not required");
}

static void print_envelope(const struct spool_row *r)
{
    char size[32], received[32];
    human_size(r->size, size);
    local_time(r->received_ms, received);
    print_named("ID", r->queue_id);
    print_named("From", r->reverse_path[0] ? r->reverse_path : "<> (a report)");
    if (r->identity)
        print_named("Identity", r->identity);
    if (r->session)
        print_named("Session", r->session);
    print_named("Received", received);
    print_named("Size", size);
    print_wishes(r);
}

static void print_recipient(const struct spool_row *r)
{
    char next[32];
    print_named("To", r->address);
    printf("%12s%s, %u attempt%s, next: %s\n", "", state_names[r->state], r->attempts,
           plural(r->attempts), next_words(r, next));
    print_reply(r, 12);
}

static void flush_json(struct queue_list *l)
{
    if (!l->message)
        return;
    if (!l->detailed)
        fputs(l->json_printed ? ",\n" : "\n", stdout);
    l->json_printed = true;
    (void)json_dumpf(l->message, stdout, JSON_INDENT(2));
    json_decref(l->message);
    l->message = NULL;
}

/* A text that is not UTF-8 has no form in JSON: its odd octets become U+FFFD. */
static json_t *text_json(const char *s)
{
    if (!s)
        return json_null();
    json_t *plain = json_string(s);
    if (plain)
        return plain;
    struct buf b = BUF_INIT(64 * 1024);
    struct str left = str_of(s);
    int r = 0;
    while (left.len && r == 0) {
        size_t len = character_len(left.p, left.len);
        bool good = str_is_utf8((struct str){left.p, len});
        r = good ? buf_append(&b, left.p, len) : buf_puts(&b, "\xef\xbf\xbd");
        left = str_from(left, len);
    }
    json_t *mended = json_stringn(buf_str(&b).p, b.len);
    buf_done(&b);
    return mended ? mended : json_null();
}

static json_t *time_json(int64_t ms)
{
    char text[40];
    utc_time(ms, text);
    return ms ? json_string(text) : json_null();
}

static void begin_json(struct queue_list *l, const struct spool_row *r)
{
    static const char *const tls[] = {[SPOOL_TLS_USUAL] = "usual",
                                      [SPOOL_TLS_REQUIRED] = "required",
                                      [SPOOL_TLS_OPTIONAL] = "optional"};
    const char *late = r->by_mode == 'R' ? "return" : "tell";
    l->message = json_pack("{s:s, s:o, s:o, s:o, s:o, s:I, s:o, s:o, s:o, s:i, s:s, s:[]}", "id",
                           r->queue_id, "from", text_json(r->reverse_path), "identity",
                           text_json(r->identity), "session", text_json(r->session), "received",
                           time_json(r->received_ms), "size", (json_int_t)r->size, "not_before",
                           time_json(r->release_ms), "deliver_by", time_json(r->deliver_by_ms),
                           "when_late", r->by_mode ? json_string(late) : json_null(), "priority",
                           r->priority, "tls", tls[MIN(r->tls, SPOOL_TLS_OPTIONAL)], "recipients");
}

static void add_json(struct queue_list *l, const struct spool_row *r)
{
    char next[40];
    utc_time(r->next_attempt_ms, next);
    json_t *one = json_pack("{s:o, s:s, s:i, s:s, s:o}", "to", text_json(r->address), "state",
                            state_names[r->state], "attempts", (int)r->attempts, "next_attempt",
                            next, "last_reply", text_json(r->last_reply));
    (void)json_array_append_new(json_object_get(l->message, "recipients"), one);
}

static void start_message(struct queue_list *l, const struct spool_row *r)
{
    if (l->json) {
        flush_json(l);
        begin_json(l, r);
    } else if (l->detailed) {
        print_envelope(r);
    }
}

bool queue_list_row(void *arg, const struct spool_row *r)
{
    struct queue_list *l = arg;
    bool first = strcmp(l->last_id, r->queue_id) != 0;
    if (first) {
        (void)snprintf(l->last_id, sizeof(l->last_id), "%s", r->queue_id);
        l->messages++;
        l->bytes += r->size;
        start_message(l, r);
    }
    if (l->json)
        add_json(l, r);
    else if (l->detailed)
        print_recipient(r);
    else
        print_row(l, r, first);
    l->recipients++;
    return !ferror(stdout); /* the reader has gone: `postern queue list | head` */
}

void queue_list_end(struct queue_list *l)
{
    if (l->json) {
        flush_json(l);
        return;
    }
    if (l->detailed)
        return;
    char size[32];
    human_size(l->bytes, size);
    if (l->messages == 0)
        puts("The queue is empty.");
    else
        printf("%lld message%s, %lld recipient%s, %s\n", (long long)l->messages,
               plural(l->messages), (long long)l->recipients, plural(l->recipients), size);
}

/* ---- figures ---- */

static void print_stats_json(const struct spool_stats *st)
{
    char oldest[40];
    utc_time(st->oldest_ms, oldest);
    json_t *out = json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "messages", (json_int_t)st->messages,
        "recipients", (json_int_t)st->recipients, "due", (json_int_t)st->due, "active",
        (json_int_t)st->active, "deferred", (json_int_t)st->deferred, "held", (json_int_t)st->held,
        "bytes", (json_int_t)st->bytes, "oldest", st->messages ? json_string(oldest) : json_null());
    (void)json_dumpf(out, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(out);
}

void queue_print_stats(const struct spool_stats *st, bool json)
{
    if (json) {
        print_stats_json(st);
        return;
    }
    char size[32], oldest[32], age[32];
    human_size(st->bytes, size);
    printf("Messages     %lld, %s\n", (long long)st->messages, size);
    printf("Recipients   %lld: %lld due, %lld active, %lld deferred, %lld held\n",
           (long long)st->recipients, (long long)st->due, (long long)st->active,
           (long long)st->deferred, (long long)st->held);
    if (st->messages == 0)
        return;
    local_time(st->oldest_ms, oldest);
    human_span(MAX(clock_wall_ms() - st->oldest_ms, 0), age);
    printf("Oldest       %s (%s)\n", oldest, age);
}

/* ---- the message itself ---- */

/* Prints one line without its end; false when it was the empty one that ends the header. */
static bool header_line(struct str line)
{
    if (line.len && line.p[line.len - 1] == '\r')
        line.len--;
    if (line.len == 0)
        return false;
    print_safely(line);
    putchar('\n');
    return true;
}

bool queue_header_piece(void *arg, struct str data)
{
    struct queue_header *h = arg;
    if (!h->any)
        putchar('\n');
    h->any = true;
    struct str left = str_upto(data, HEADER_MAX);
    ssize_t end;
    while ((end = str_find(left, '\n')) >= 0) {
        if (!header_line(str_upto(left, (size_t)end)))
            return false;
        left = str_from(left, (size_t)end + 1);
    }
    return false; /* one piece holds more of a header than anybody reads */
}

bool queue_raw_piece(void *arg, struct str data)
{
    (void)arg;
    return fwrite(data.p, 1, data.len, stdout) == data.len;
}
