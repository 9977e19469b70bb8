#include "smtp/address.h"

#include "base/base.h"

#define LABEL_MAX 63 /* RFC 1035 2.3.4 */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_8bit(char c)
{
    return (unsigned char)c >= 0x80;
}

/* [rfc5322 3.2.3] with UTF8-non-ascii of [rfc6531 3.3]; octet by octet, judged as UTF-8 afterwards.
 */
static bool is_atext(char c)
{
    return is_alnum(c) || is_8bit(c) || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* qtextSMTP: every printable octet and the space, but not the quote and the backslash. */
static bool is_qtext(char c)
{
    return is_8bit(c) || (c >= ' ' && c <= '~' && c != '"' && c != '\\');
}

/* [rfc5321 4.1.2 not:] The underscore is no Let-dig, but live domains have it. */
static bool is_label_char(char c)
{
    return is_alnum(c) || is_8bit(c) || c == '-' || c == '_';
}

static bool is_dcontent(char c)
{
    return c >= '!' && c <= '~' && c != '[' && c != '\\' && c != ']';
}

static bool starts_with(struct str s, char c)
{
    return s.len > 0 && s.p[0] == c;
}

/* Number of octets at the start of s that are of this kind. */
static size_t span(struct str s, bool (*kind)(char))
{
    size_t n = 0;
    while (n < s.len && kind(s.p[n]))
        n++;
    return n;
}

/* Moves `n` octets from the front of *rest to the result. */
static struct str take(struct str *rest, size_t n)
{
    struct str head = str_upto(*rest, n);
    *rest = str_from(*rest, n);
    return head;
}

/* The next piece of *rest up to `sep`, which is dropped; false when *rest is used up.  Begin with
 * *more true: it tells "nothing left" from "one empty piece left". */
static bool next_piece(struct str *rest, char sep, bool *more, struct str *ret)
{
    if (!*more)
        return false;
    ssize_t at = str_find(*rest, sep);
    *more = at >= 0;
    *ret = take(rest, *more ? (size_t)at : rest->len);
    *rest = str_from(*rest, *more ? 1 : 0);
    return true;
}

/* Length of the Dot-string at the start of s; 0 when there is none. */
static size_t dot_string_len(struct str s)
{
    size_t n = 0;
    for (;;) {
        size_t atom = span(str_from(s, n), is_atext);
        if (atom == 0)
            return 0;
        n += atom;
        if (!starts_with(str_from(s, n), '.'))
            return n;
        n++;
    }
}

/* Length of the QcontentSMTP at the start of s: 1, 2 for a quoted pair, 0 for none.  A quoted pair
 * takes printable ASCII only, SMTPUTF8 or not [rfc6531 3.3]. */
static size_t qcontent_len(struct str s)
{
    if (s.len >= 2 && s.p[0] == '\\')
        return s.p[1] >= ' ' && s.p[1] <= '~' ? 2 : 0;
    return s.len > 0 && is_qtext(s.p[0]) ? 1 : 0;
}

/* Length of the Quoted-string that begins with the quote at the start of s; 0 when it does not end.
 */
static size_t quoted_string_len(struct str s)
{
    size_t n = 1, piece;
    while ((piece = qcontent_len(str_from(s, n))) > 0)
        n += piece;
    return starts_with(str_from(s, n), '"') ? n + 1 : 0;
}

static enum smtp_path_error take_local(struct str *rest, struct str *ret)
{
    size_t n = starts_with(*rest, '"') ? quoted_string_len(*rest) : dot_string_len(*rest);
    if (n == 0)
        return PATH_SYNTAX;
    if (n > SMTP_LOCAL_MAX)
        return PATH_TOO_LONG;
    *ret = take(rest, n);
    return PATH_OK;
}

/* A label that is not ASCII is measured in its A-label form [rfc5890 2.3.2.1], which is not known
 * here: only the whole domain's maximum holds for it. */
static enum smtp_path_error check_label(struct str label)
{
    if (label.len == 0 || label.p[0] == '-' || label.p[label.len - 1] == '-')
        return PATH_SYNTAX;
    return label.len > LABEL_MAX && str_is_ascii(label) ? PATH_TOO_LONG : PATH_OK;
}

/* No empty label, so no dot at either end: [rfc5321 4.1.2] has no form with a final dot. */
static enum smtp_path_error check_domain(struct str s)
{
    struct str label;
    bool more = true;
    while (next_piece(&s, '.', &more, &label)) {
        enum smtp_path_error e = check_label(label);
        if (e != PATH_OK)
            return e;
    }
    return PATH_OK;
}

/* [rfc5321 4.1.3 not:] A leading zero is refused: some software reads "010" as eight. */
static bool is_snum(struct str s)
{
    uint64_t value;
    if (s.len > 1 && s.p[0] == '0')
        return false;
    return s.len <= 3 && str_to_u64(s, 255, &value) == 0;
}

static bool is_ipv4(struct str s)
{
    struct str number;
    bool more = true;
    unsigned numbers = 0;
    while (next_piece(&s, '.', &more, &number)) {
        if (!is_snum(number) || ++numbers > 4)
            return false;
    }
    return numbers == 4;
}

/* [rfc5321 4.1.3 not:] "::" may stand for a single group too, as everybody reads it. */
static bool is_ipv6(struct str s)
{
    unsigned groups = 0;
    bool compressed = str_starts_nocase(s, STR("::"));
    s = str_from(s, compressed ? 2 : 0);
    while (s.len > 0) {
        size_t digits = span(s, is_hex);
        if (starts_with(str_from(s, digits), '.') && is_ipv4(s)) {
            groups += 2;
            break;
        }
        if (digits == 0 || digits > 4)
            return false;
        groups++;
        s = str_from(s, digits);
        if (s.len == 0)
            break;
        if (s.len < 2 || s.p[0] != ':')
            return false;
        bool twice = s.p[1] == ':';
        if (twice && compressed)
            return false;
        compressed = compressed || twice;
        s = str_from(s, twice ? 2 : 1);
    }
    return compressed ? groups <= 7 : groups == 8;
}

/* Standardized-tag ":" 1*dcontent.  No tag but IPv6 is registered; the grammar takes others, and
 * delivery will fail. */
static bool is_general_literal(struct str s)
{
    ssize_t colon = str_find(s, ':');
    if (colon <= 0)
        return false;
    struct str tag = str_upto(s, (size_t)colon), content = str_from(s, (size_t)colon + 1);
    for (size_t i = 0; i < tag.len; i++)
        if (!is_alnum(tag.p[i]) && tag.p[i] != '-')
            return false;
    return tag.p[tag.len - 1] != '-' && content.len > 0 &&
           span(content, is_dcontent) == content.len;
}

/* What stands between the brackets. */
static bool is_literal_content(struct str s)
{
    struct str tag = STR("IPv6:");
    if (str_starts_nocase(s, tag))
        return is_ipv6(str_from(s, tag.len));
    return is_ipv4(s) || is_general_literal(s);
}

static enum smtp_path_error check_literal(struct str s)
{
    return is_literal_content((struct str){s.p + 1, s.len - 2}) ? PATH_OK : PATH_SYNTAX;
}

static bool is_domain_char(char c)
{
    return is_label_char(c) || c == '.';
}

static enum smtp_path_error take_domain(struct str *rest, struct str *ret, bool *ret_literal)
{
    bool literal = starts_with(*rest, '[');
    size_t n = span(*rest, is_domain_char);
    if (literal) {
        ssize_t end = str_find(*rest, ']');
        if (end < 0)
            return PATH_SYNTAX;
        n = (size_t)end + 1;
    }
    if (n > SMTP_DOMAIN_MAX)
        return PATH_TOO_LONG;
    struct str domain = str_upto(*rest, n);
    enum smtp_path_error e = literal ? check_literal(domain) : check_domain(domain);
    if (e != PATH_OK)
        return e;
    *ret = take(rest, n);
    *ret_literal = literal;
    return PATH_OK;
}

static enum smtp_path_error take_mailbox(struct str *rest, struct smtp_path *path)
{
    struct str whole = *rest;
    enum smtp_path_error e = take_local(rest, &path->local);
    if (e != PATH_OK)
        return e;
    if (!starts_with(*rest, '@'))
        return PATH_SYNTAX;
    *rest = str_from(*rest, 1);
    e = take_domain(rest, &path->domain, &path->is_literal);
    if (e != PATH_OK)
        return e;
    path->mailbox = str_upto(whole, whole.len - rest->len);
    path->is_utf8 = !str_is_ascii(path->mailbox);
    return PATH_OK;
}

/* A-d-l ":", SMTP-18: the hosts must be hosts, and that is all they are looked at for. */
static enum smtp_path_error skip_source_route(struct str *rest)
{
    while (starts_with(*rest, '@')) {
        struct str host;
        bool literal;
        *rest = str_from(*rest, 1);
        enum smtp_path_error e = take_domain(rest, &host, &literal);
        if (e != PATH_OK)
            return e;
        if (literal)
            return PATH_SYNTAX; /* At-domain has no literals */
        bool last = starts_with(*rest, ':');
        if (!last && !starts_with(*rest, ','))
            return PATH_SYNTAX;
        *rest = str_from(*rest, 1);
        if (last)
            return PATH_OK;
    }
    return PATH_SYNTAX; /* a comma with no host behind it */
}

/* U+0080 to U+009F act on terminals as ESC sequences do; no address in use has one. */
static bool has_c1_control(struct str s)
{
    for (size_t i = 1; i < s.len; i++)
        if (s.p[i - 1] == '\xc2' && (unsigned char)s.p[i] < 0xa0)
            return true;
    return false;
}

/* What the grammar above let pass as "non-ASCII". */
static enum smtp_path_error check_octets(struct str s, bool utf8_allowed)
{
    if (str_is_ascii(s))
        return PATH_OK;
    if (!str_is_utf8(s))
        return PATH_BAD_UTF8;
    if (has_c1_control(s))
        return PATH_SYNTAX;
    return utf8_allowed ? PATH_OK : PATH_NEEDS_UTF8;
}

/* What stands between "<" and ">". */
static enum smtp_path_error take_path(struct str *rest, struct smtp_path *path)
{
    struct str postmaster = STR("postmaster>");
    if (starts_with(*rest, '>')) {
        path->is_null = true;
        return PATH_OK;
    }
    if (str_starts_nocase(*rest, postmaster)) { /* [rfc5321 4.1.1.3], SMTP-20 */
        path->local = path->mailbox = take(rest, postmaster.len - 1);
        return PATH_OK;
    }
    if (starts_with(*rest, '@')) {
        enum smtp_path_error e = skip_source_route(rest);
        if (e != PATH_OK)
            return e;
    }
    return take_mailbox(rest, path);
}

static struct smtp_path empty_path(void)
{
    return (struct smtp_path){.mailbox = STR(""), .local = STR(""), .domain = STR("")};
}

enum smtp_path_error
smtp_path_parse(struct str s, bool utf8_allowed, struct smtp_path *ret, size_t *ret_len)
{
    struct smtp_path path = empty_path();
    if (!starts_with(s, '<'))
        return PATH_SYNTAX;
    struct str rest = str_from(s, 1);
    enum smtp_path_error e = take_path(&rest, &path);
    if (e != PATH_OK)
        return e;
    if (!starts_with(rest, '>'))
        return PATH_SYNTAX;
    size_t len = s.len - rest.len + 1;
    e = check_octets(str_upto(s, len), utf8_allowed);
    if (e != PATH_OK)
        return e;
    *ret = path;
    *ret_len = len;
    return PATH_OK;
}

enum smtp_path_error smtp_mailbox_parse(struct str s, bool utf8_allowed, struct smtp_path *ret)
{
    struct smtp_path path = empty_path();
    struct str rest = s;
    enum smtp_path_error e = take_mailbox(&rest, &path);
    if (e != PATH_OK)
        return e;
    if (rest.len > 0)
        return PATH_SYNTAX;
    e = check_octets(s, utf8_allowed);
    if (e == PATH_OK)
        *ret = path;
    return e;
}

bool smtp_helo_is_valid(struct str s)
{
    struct str domain;
    bool literal;
    if (!str_is_ascii(s)) /* UTF-03 */
        return false;
    if (s.len > 2 && s.p[0] == '[' && s.p[s.len - 1] == ']' && s.len <= SMTP_DOMAIN_MAX &&
        is_ipv6((struct str){s.p + 1, s.len - 2}))
        return true;
    return take_domain(&s, &domain, &literal) == PATH_OK && s.len == 0;
}

bool smtp_domain_is_qualified(struct str domain)
{
    ssize_t dot = str_find(domain, '.');
    return starts_with(domain, '[') || (dot > 0 && (size_t)dot + 1 < domain.len);
}
