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
