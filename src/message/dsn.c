#include "message/dsn.h"

#include "message/received.h"
#include "smtp/address.h"
#include "smtp/params.h"

#include <errno.h>
#include <stdio.h>

/* How the report is put together:
 *
 *   D1  Whatever a peer said goes through clean(): no control character, no 8-bit octet where the
 *       report is ASCII, at most TEXT_MAX octets.
 *   D2  A line we write is folded near FOLD_AT, and no word is longer than TEXT_MAX: none passes 998.
 *   D3  The boundary stands nowhere in what is returned; our own lines never begin with "--".
 */
#define TEXT_MAX 800
#define FOLD_AT 76
#define RETURNED_HEADER_MAX ((size_t)64 << 10)
#define BOUNDARY_TRIES 1000

struct report {
    const struct dsn *dsn;
    struct buf *out;
    int error;           /* the first one; nothing is written after it */
    bool utf8;           /* an address needs the forms of RFC 6533 */
    struct str returned; /* as much of it as goes in */
    bool returned_is_8bit;
    char boundary[100];
};

struct text {
    size_t len;
    char s[TEXT_MAX + 1];
};

static const char *const action_names[] = {
    [DSN_FAILED] = "failed",
    [DSN_DELAYED] = "delayed",
    [DSN_DELIVERED] = "delivered",
    [DSN_RELAYED] = "relayed",
};

static const char *const subjects[] = {
    [DSN_FAILED] = "Your mail was not delivered",
    [DSN_DELAYED] = "Your mail is delayed",
    [DSN_DELIVERED] = "Your mail was delivered",
    [DSN_RELAYED] = "Your mail was passed on",
};

static const char *const introductions[] = {
    [DSN_FAILED] = "Your mail could not be delivered to the recipients below. "
                   "No further attempt will be made.",
    [DSN_DELAYED] = "Your mail could not be delivered to the recipients below yet. "
                    "You need not send it again: further attempts will be made.",
    [DSN_DELIVERED] = "Your mail was delivered to the recipients below. You asked to be told.",
    [DSN_RELAYED] = "Your mail was passed on for the recipients below, to a server that does not "
                    "report deliveries. You may hear nothing more about them.",
};

/* What to do about a final failure; the first prefix of the status that fits [rfc3463]. */
static const struct {
    const char *status, *words;
} advice[] = {
    {"5.1.7", "Check the sender address in your mail program: it was refused."             },
    {"5.1.8", "Check the sender address in your mail program: it was refused."             },
    {"5.1.",  "Check the address for mistakes, and send again."                            },
    {"5.2.2", "The mailbox is full. Try later, or reach the recipient in another way."     },
    {"5.2.3", "The message is too big for this mailbox. Send a smaller one."               },
    {"5.2.",  "The mailbox takes no mail. Reach the recipient in another way."             },
    {"5.3.4", "The message is too big. Send a smaller one."                                },
    {"5.4.6", "The mail went round in a circle. Tell the recipient's postmaster."          },
    {"5.4.",  "Check the part of the address behind the @. If it is right, try later."     },
    {"4.4.",  "Check the part of the address behind the @. If it is right, try later."     },
    {"4.",    "The server put the mail off until it was too late. Try later."              },
    {"5.6.",  "The server cannot handle the form of this message. Send it as plain text."  },
    {"5.7.",
     "The server does not allow this mail. Ask the recipient, in another way, to allow it."},
    {"",      "Ask your postmaster."                                                       },
};

static void put(struct report *r, const char *fmt, ...) PRINTF(2, 3);
static void put(struct report *r, const char *fmt, ...)
{
    va_list ap;
    if (r->error < 0)
        return;
    va_start(ap, fmt);
    r->error = buf_vprintf(r->out, fmt, ap);
    va_end(ap);
}

static void put_str(struct report *r, struct str s)
{
    if (r->error == 0)
        r->error = buf_append_str(r->out, s);
}

static bool is_8bit(char c)
{
    return (unsigned char)c >= 0x80;
}

/* Cuts to TEXT_MAX, not inside a character. */
static struct str cut_text(struct str s)
{
    size_t n = MIN(s.len, (size_t)TEXT_MAX);
    while (n > 0 && n < s.len && ((unsigned char)s.p[n] & 0xc0) == 0x80)
        n--;
    return str_upto(s, n);
}

/* D1 */
static void clean(const struct report *r, struct str in, struct text *ret)
{
    struct str s = cut_text(in);
    bool keep_8bit = r->utf8 && str_is_utf8(in);
    ret->len = s.len;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (c == '\n' || c == '\r' || c == '\t')
            c = ' ';
        else if ((unsigned char)c < ' ' || c == 0x7f || (is_8bit(c) && !keep_8bit))
            c = '?';
        ret->s[i] = c;
    }
    ret->s[s.len] = '\0';
}

/* Writes `first` and the words of `text`, folded; further lines begin with `indent` (D2). */
static void put_words(struct report *r, const char *first, const char *indent, struct str text)
{
    size_t column = strlen(first);
    unsigned words = 0; /* on this line */
    bool gap = column > 0 && first[column - 1] != ' ';
    put(r, "%s", first);
    for (text = str_trim(text); text.len > 0; text = str_trim(text)) {
        ssize_t space = str_find(text, ' ');
        struct str word = str_upto(text, space < 0 ? text.len : (size_t)space);
        if (words > 0 && column + 1 + word.len > FOLD_AT) {
            put(r, "\r\n%s", indent);
            column = strlen(indent);
            words = 0;
            gap = false;
        }
        put(r, "%s%.*s", gap ? " " : "", STR_FMT(word));
        column += word.len + gap;
        words++;
        gap = true;
        text = str_from(text, word.len);
    }
    put(r, "\r\n");
}

/* "name value", folded; the value is somebody else's words. */
static void put_field(struct report *r, const char *name, struct str value)
{
    struct text text;
    clean(r, value, &text);
    put_words(r, name, "\t", (struct str){text.s, text.len});
}

static void put_date(struct report *r, const char *name, int64_t ms)
{
    char date[40];
    if (ms == 0)
        return;
    date_format(ms, date);
    put(r, "%s %s\r\n", name, date);
}

/* "smtp;" is said of what an SMTP or LMTP server replied, and of nothing else [rfc3464 2.3.6]. */
static bool is_smtp_reply(struct str s)
{
    uint64_t code;
    return s.len >= 3 && str_to_u64(str_upto(s, 3), 599, &code) == 0 && code >= 200 &&
           (s.len == 3 || s.p[3] == ' ' || s.p[3] == '-');
}

static bool is_status(struct str s)
{
    uint64_t number;
    for (int dots = 0; dots < 2; dots++) {
        ssize_t dot = str_find(s, '.');
        if (dot < 0 || str_to_u64(str_upto(s, (size_t)dot), 999, &number) < 0)
            return false;
        if (dots == 0 && number != 2 && number != 4 && number != 5)
            return false;
        s = str_from(s, (size_t)dot + 1);
    }
    return str_to_u64(s, 999, &number) == 0;
}

static const char *status_of(const struct dsn_recipient *rcpt)
{
    static const char *const by_action[] = {[DSN_FAILED] = "5.0.0",
                                            [DSN_DELAYED] = "4.0.0",
                                            [DSN_DELIVERED] = "2.0.0",
                                            [DSN_RELAYED] = "2.0.0"};
    bool good = rcpt->status && is_status(str_of(rcpt->status));
    return good ? rcpt->status : by_action[rcpt->action];
}

/* UTF-8 that is no ASCII.  8-bit octets that are no UTF-8 do not make the report international: they become "?". */
static bool needs_utf8(const char *s)
{
    struct str text = str_of(s);
    return !str_is_ascii(text) && str_is_utf8(text);
}

static bool report_needs_utf8(const struct dsn *d)
{
    bool needs = needs_utf8(d->to);
    for (size_t i = 0; i < d->n_recipients && !needs; i++)
        needs = needs_utf8(d->recipients[i].address) || needs_utf8(d->recipients[i].orcpt);
    return needs;
}

/* The first part: for people */

static void put_advice(struct report *r, const struct dsn_recipient *rcpt)
{
    struct str status = str_of(status_of(rcpt));
    size_t i = 0;
    while (!str_starts_nocase(status, str_of(advice[i].status)))
        i++;
    put_words(r, "    What to do: ", "    ", str_of(advice[i].words));
}

static void put_retry(struct report *r, const struct dsn_recipient *rcpt)
{
    char date[40];
    if (rcpt->retry_until_ms == 0)
        return;
    date_format(rcpt->retry_until_ms, date);
    put(r, "    Attempts will be made until %s.\r\n", date);
}

static void explain_recipient(struct report *r, const struct dsn_recipient *rcpt)
{
    struct text text;
    clean(r, str_of(rcpt->address), &text);
    put(r, "\r\n  <%s>\r\n", text.s);
    if (rcpt->remote_mta) {
        clean(r, str_of(rcpt->remote_mta), &text);
        put(r, "    The server %s%s\r\n", text.s, rcpt->diagnostic ? " said:" : " was asked.");
    }
    if (rcpt->diagnostic) {
        clean(r, str_of(rcpt->diagnostic), &text);
        put_words(r, rcpt->remote_mta ? "      " : "    ", "      ",
                  (struct str){text.s, text.len});
    }
    if (rcpt->action == DSN_FAILED)
        put_advice(r, rcpt);
    if (rcpt->action == DSN_DELAYED)
        put_retry(r, rcpt);
}

static void explain_action(struct report *r, enum dsn_action action)
{
    bool any = false;
    for (size_t i = 0; i < r->dsn->n_recipients; i++) {
        if (r->dsn->recipients[i].action != action)
            continue;
        if (!any) {
            put(r, "\r\n");
            put_words(r, "", "", str_of(introductions[action]));
        }
        any = true;
        explain_recipient(r, &r->dsn->recipients[i]);
    }
}

static void put_explanation(struct report *r)
{
    const char *utf8 = "utf-8\r\nContent-Transfer-Encoding: 8bit";
    put(r, "--%s\r\nContent-Type: text/plain; charset=%s\r\n\r\n", r->boundary,
        r->utf8 ? utf8 : "us-ascii");
    put(r, "This is the mail server %s.\r\n", r->dsn->hostname);
    for (size_t i = 0; i < ARRAY_LEN(action_names); i++)
        explain_action(r, (enum dsn_action)i);
    put(r,
        "\r\nIf you need help, send this whole report to postmaster@%s.\r\n"
        "The mail is known here as %s.\r\n\r\n",
        r->dsn->hostname, r->dsn->queue_id);
}

/* The second part: for programs [rfc3464 2] */

/* Appends what the xtext stands for, or the text itself when it is none. */
static void put_xtext_field(struct report *r, const char *name, struct str xtext)
{
    CLEANUP(buf_done) struct buf plain = BUF_INIT(TEXT_MAX);
    bool decoded = xtext_decode(xtext, &plain) == 0;
    put_field(r, name, decoded ? buf_str(&plain) : xtext);
}

/* "rfc822;xtext" comes out decoded.  With "utf-8" the text stays as it is: each of its forms may stand
 * here, and none of them is xtext [rfc6533 3]. */
static void put_original_recipient(struct report *r, const char *orcpt)
{
    struct str s = str_of(orcpt);
    ssize_t semicolon = str_find(s, ';');
    char name[64];
    if (semicolon <= 0 || semicolon > 20)
        return;
    struct str type = str_upto(s, (size_t)semicolon), rest = str_from(s, (size_t)semicolon + 1);
    (void)snprintf(name, sizeof(name), "Original-Recipient: %.*s;", STR_FMT(type));
    if (str_has_control(type) || !str_is_ascii(type))
        return;
    if (str_eq_nocase(type, STR("utf-8")))
        put_field(r, name, rest);
    else
        put_xtext_field(r, name, rest);
}

static void put_recipient(struct report *r, const struct dsn_recipient *rcpt)
{
    put(r, "\r\n");
    put_original_recipient(r, rcpt->orcpt);
    put_field(r, needs_utf8(rcpt->address) ? "Final-Recipient: utf-8;" : "Final-Recipient: rfc822;",
              str_of(rcpt->address));
    put(r, "Action: %s\r\nStatus: %s\r\n", action_names[rcpt->action], status_of(rcpt));
    if (smtp_helo_is_valid(str_of(rcpt->remote_mta)))
        put_field(r, "Remote-MTA: dns;", str_of(rcpt->remote_mta));
    if (is_smtp_reply(str_of(rcpt->diagnostic)))
        put_field(r, "Diagnostic-Code: smtp;", str_of(rcpt->diagnostic));
    put_date(r, "Last-Attempt-Date:", rcpt->last_attempt_ms);
    if (rcpt->action == DSN_DELAYED)
        put_date(r, "Will-Retry-Until:", rcpt->retry_until_ms);
}

static void put_status(struct report *r)
{
    put(r, "--%s\r\nContent-Type: message/%s\r\n\r\n", r->boundary,
        r->utf8 ? "global-delivery-status\r\nContent-Transfer-Encoding: 8bit" : "delivery-status");
    put(r, "Reporting-MTA: dns; %s\r\n", r->dsn->hostname);
    if (r->dsn->envid)
        put_xtext_field(r, "Original-Envelope-Id:", str_of(r->dsn->envid));
    put_date(r, "Arrival-Date:", r->dsn->arrival_ms);
    put_date(r, "Deliver-By-Date:", r->dsn->deliver_by_ms); /* [rfc2852] DLB-01 */
    for (size_t i = 0; i < r->dsn->n_recipients; i++)
        put_recipient(r, &r->dsn->recipients[i]);
    put(r, "\r\n");
}

/* The third part: what is returned [rfc3461 6.2, rfc6522 3, rfc6533 5] */

static struct str header_of(struct str message)
{
    const char *end = message.len > 0 ? memmem(message.p, message.len, "\r\n\r\n", 4) : NULL;
    if (str_starts_nocase(message, STR("\r\n")))
        return str_upto(message, 0);
    return end ? str_upto(message, (size_t)(end - message.p) + 2) : message;
}

/* At most RETURNED_HEADER_MAX octets, and whole lines. */
static struct str cut_header(struct str header)
{
    if (header.len <= RETURNED_HEADER_MAX)
        return header;
    const char *end = memrchr(header.p, '\n', RETURNED_HEADER_MAX);
    return str_upto(header, end ? (size_t)(end - header.p) + 1 : 0);
}

static void put_returned(struct report *r)
{
    struct str header = header_of(r->returned);
    bool global = !str_is_ascii(header) && str_is_utf8(header);
    const char *full = global ? "message/global" : "message/rfc822";
    const char *headers = global ? "message/global-headers" : "text/rfc822-headers";
    put(r, "--%s\r\nContent-Type: %s\r\n%s\r\n", r->boundary,
        r->dsn->returned_is_full ? full : headers,
        r->returned_is_8bit ? "Content-Transfer-Encoding: 8bit\r\n" : "");
    put_str(r, r->returned);
    put(r, "\r\n");
}

/* D3.  Whoever wrote the message could not know queue id and time: the first try is the last, but a
 * message made to meet them all goes back without its text. */
static void choose_boundary(struct report *r)
{
    char id[32];
    size_t n = 0;
    for (const char *c = r->dsn->queue_id; *c && n + 1 < sizeof(id); c++)
        if ((*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z'))
            id[n++] = *c;
    id[n] = '\0';
    for (unsigned i = 0; i < BOUNDARY_TRIES; i++) {
        (void)snprintf(r->boundary, sizeof(r->boundary), "=_%s.%llx.%u", id,
                       (unsigned long long)r->dsn->now_ms, i);
        if (r->returned.len == 0 ||
            !memmem(r->returned.p, r->returned.len, r->boundary, strlen(r->boundary)))
            return;
    }
    r->returned = STR("");
    r->returned_is_8bit = false;
}

static void put_header(struct report *r)
{
    const struct dsn *d = r->dsn;
    enum dsn_action worst = DSN_RELAYED;
    struct text to;
    for (size_t i = 0; i < d->n_recipients; i++)
        worst = MIN(worst, d->recipients[i].action);
    clean(r, str_of(d->to), &to);
    put_date(r, "Date:", d->now_ms);
    put(r, "From: Mail Delivery System <MAILER-DAEMON@%s>\r\nTo: <%s>\r\n", d->hostname, to.s);
    put(r, "Subject: %s\r\n", subjects[worst]);
    put(r, "Message-ID: <%llx.%s.report@%s>\r\n", (unsigned long long)d->now_ms, d->queue_id,
        d->hostname);
    put(r, "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"); /* [rfc3834 5] */
    put(r, "Content-Type: multipart/report; report-type=%s;\r\n\tboundary=\"%s\"\r\n%s\r\n",
        r->utf8 ? "global-delivery-status" : "delivery-status", r->boundary,
        r->utf8 || r->returned_is_8bit ? "Content-Transfer-Encoding: 8bit\r\n" : "");
}

int dsn_format(const struct dsn *d, struct buf *out)
{
    size_t start = out->len;
    struct report r = {.dsn = d, .out = out, .utf8 = report_needs_utf8(d), .returned = d->returned};
    if (!d->returned_is_full)
        r.returned = cut_header(header_of(d->returned));
    r.returned_is_8bit = !str_is_ascii(r.returned);
    choose_boundary(&r);
    put_header(&r);
    put_explanation(&r);
    put_status(&r);
    if (r.returned.len > 0)
        put_returned(&r);
    put(&r, "--%s--\r\n", r.boundary);
    if (r.error < 0 && out->len > start) {
        out->len = start;
        out->data[start] = '\0';
    }
    return r.error;
}
