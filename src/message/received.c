#include "message/received.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

void date_format(int64_t wall_ms, char out[40])
{
    /* Not strftime(): the names must not follow the locale. */
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t when = (time_t)(wall_ms / 1000 - (wall_ms % 1000 < 0));
    struct tm tm;
    if (!localtime_r(&when, &tm)) { /* a year that does not fit an int */
        when = 0;
        (void)gmtime_r(&when, &tm);
    }
    unsigned zone = (unsigned)(labs(tm.tm_gmtoff) / 60 % 6000); /* minutes; two digits of hours */
    (void)snprintf(out, 40, "%s, %02d %s %04d %02d:%02d:%02d %c%02u%02u", days[tm.tm_wday],
                   tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                   tm.tm_sec, tm.tm_gmtoff < 0 ? '-' : '+', zone / 60, zone % 60);
}

const char *received_protocol(bool esmtp, bool tls, bool authenticated, bool utf8)
{
    static const char *const names[2][4] = {
        {"ESMTP",    "ESMTPS",    "ESMTPA",    "ESMTPSA"   },
        {"UTF8SMTP", "UTF8SMTPS", "UTF8SMTPA", "UTF8SMTPSA"},
    };
    return esmtp ? names[utf8][(authenticated ? 2 : 0) + (tls ? 1 : 0)] : "SMTP";
}

/* A literal of the kind "[2001:db8::1]", which clients say in EHLO and which lacks the tag that
 * [rfc5321 4.1.3] wants. */
static bool is_untagged_ipv6(struct str s)
{
    unsigned colons = 0;
    for (size_t i = 1; i + 1 < s.len; i++) {
        colons += s.p[i] == ':';
        if (!strchr("0123456789abcdefABCDEF:.", s.p[i]))
            return false;
    }
    return colons > 1 && s.p[0] == '[';
}

/* TCP-info [rfc5321 4.4]; the zone of a link-local address means nothing elsewhere. */
static int put_peer(const char *name, const char *address, struct buf *out)
{
    struct str a = str_of(address);
    ssize_t zone = str_find(a, '%');
    if (zone >= 0)
        a = str_upto(a, (size_t)zone);
    return buf_printf(out, " (%s%s[%s%.*s])", name ? name : "", name ? " " : "",
                      str_find(a, ':') >= 0 ? "IPv6:" : "", STR_FMT(a));
}

static int put_from(const struct received_facts *f, struct buf *out)
{
    struct str helo = f->helo.len > 0 ? f->helo : STR("unknown");
    bool untagged = is_untagged_ipv6(helo);
    int r = buf_printf(out, "Received: from %s%.*s", untagged ? "[IPv6:" : "",
                       STR_FMT(str_from(helo, untagged ? 1 : 0)));
    return r < 0 || !f->peer_address ? r : put_peer(f->peer_name, f->peer_address, out);
}

static int put_by(const struct received_facts *f, struct buf *out)
{
    return buf_printf(out, "\r\n\tby %s with %s id %s", f->hostname,
                      received_protocol(f->esmtp, f->tls, f->authenticated, f->utf8), f->queue_id);
}

static int put_for(const struct received_facts *f, struct buf *out)
{
    return f->for_path ? buf_printf(out, "\r\n\tfor <%s>", f->for_path) : 0;
}

/* [rfc8314 4.3] the group stands right behind the suite. */
static int put_tls(const struct received_facts *f, struct buf *out)
{
    int r = 0;
    if (!f->tls || !f->tls_cipher)
        return 0;
    r = buf_printf(out, "\r\n\ttls %s", f->tls_cipher);
    if (r == 0 && f->tls_group)
        r = buf_printf(out, " group %s", f->tls_group);
    if (r == 0 && f->tls_version)
        r = buf_printf(out, " (%s)", f->tls_version);
    return r;
}

static int put_date(const struct received_facts *f, struct buf *out)
{
    char date[40];
    date_format(f->now_ms, date);
    return buf_printf(out, ";\r\n\t%s\r\n", date);
}

/* Whatever the facts hold, they make one field: a control character among them would begin another.
 */
static bool facts_are_clean(const struct received_facts *f)
{
    const char *const texts[] = {f->peer_address, f->hostname,  f->queue_id, f->tls_version,
                                 f->tls_cipher,   f->tls_group, f->for_path};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (str_has_control(str_of(texts[i])))
            return false;
    return !str_has_control(f->helo);
}

int received_format(const struct received_facts *f, struct buf *out)
{
    static int (*const parts[])(const struct received_facts *,
                                struct buf *) = {put_from, put_by, put_for, put_tls, put_date};
    size_t start = out->len;
    int r = facts_are_clean(f) ? 0 : -EINVAL;
    for (size_t i = 0; i < ARRAY_LEN(parts) && r == 0; i++)
        r = parts[i](f, out);
    if (r < 0 && out->len > start) {
        out->len = start;
        out->data[start] = '\0';
    }
    return r;
}

/* ---- reading a date ---- */

/* Blanks, folding and comments in front are taken off. */
static struct str skip_cfws(struct str s)
{
    unsigned depth = 0;
    for (; s.len; s = str_from(s, 1)) {
        if (depth && s.p[0] == '\\')
            s = str_from(s, 1);
        else if (s.p[0] == '(')
            depth++;
        else if (depth)
            depth -= s.p[0] == ')';
        else if (!strchr(" \t\r\n", s.p[0]) || s.p[0] == '\0')
            break;
    }
    return s;
}

/* Takes letters off the front, and one of `words` (three letters each, joined) they must be; NULL: any word. */
static bool take_word(struct str *s, const char *words)
{
    size_t n = 0;
    while (n < s->len && ((s->p[n] | 0x20) >= 'a' && (s->p[n] | 0x20) <= 'z'))
        n++;
    struct str word = str_upto(*s, n);
    *s = skip_cfws(str_from(*s, n));
    for (; words && *words; words += 3)
        if (str_eq_nocase(word, (struct str){words, 3}))
            return true;
    return !words && n > 0 && n <= 5;
}

/* Between `least` and `most` digits that come to at most `max`. */
static bool take_number(struct str *s, size_t least, size_t most, uint64_t max)
{
    size_t n = 0;
    uint64_t value = 0;
    while (n < s->len && s->p[n] >= '0' && s->p[n] <= '9')
        n++;
    bool good = n >= least && n <= most && str_to_u64(str_upto(*s, n), max, &value) == 0;
    *s = skip_cfws(str_from(*s, n));
    return good;
}

static bool take_char(struct str *s, char c)
{
    if (s->len == 0 || s->p[0] != c)
        return false;
    *s = skip_cfws(str_from(*s, 1));
    return true;
}

static bool take_time(struct str *s)
{
    return take_number(s, 1, 2, 23) && take_char(s, ':') && take_number(s, 1, 2, 59) &&
           (!take_char(s, ':') || take_number(s, 1, 2, 60));
}

bool date_is_valid(struct str body)
{
    struct str s = skip_cfws(body);
    bool named = s.len && (s.p[0] < '0' || s.p[0] > '9');
    if (named && !(take_word(&s, "MonTueWedThuFriSatSun") && take_char(&s, ',')))
        return false;
    if (!take_number(&s, 1, 2, 31) || !take_word(&s, "JanFebMarAprMayJunJulAugSepOctNovDec") ||
        !take_number(&s, 2, 4, 9999) || !take_time(&s))
        return false;
    bool offset = take_char(&s, '+') || take_char(&s, '-');
    return (offset ? take_number(&s, 4, 4, 9959) : take_word(&s, NULL)) && s.len == 0;
}
