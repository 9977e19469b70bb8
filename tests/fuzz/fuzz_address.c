/* Paths, mailboxes and EHLO names from hostile octets.
 *
 * The first octet says whether non-ASCII is allowed.  Checked: what was parsed lies inside the input, keeps its
 * lengths, holds no control character, and means the same when it is parsed again. */
#include "smtp/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        __builtin_trap();
}

static bool is_inside(struct str part, struct str whole)
{
    return part.len == 0 || (part.p >= whole.p && part.p + part.len <= whole.p + whole.len);
}

static void check_path(const struct smtp_path *p, struct str in, bool utf8_allowed)
{
    must(is_inside(p->mailbox, in) && is_inside(p->local, p->mailbox));
    must(is_inside(p->domain, p->mailbox));
    must(p->local.len <= SMTP_LOCAL_MAX && p->domain.len <= SMTP_DOMAIN_MAX);
    must(p->mailbox.len <= SMTP_PATH_MAX && !str_has_control(p->mailbox));
    must(p->is_null == (p->mailbox.len == 0) && p->is_utf8 == !str_is_ascii(p->mailbox));
    must(str_is_utf8(p->mailbox) && (utf8_allowed || !p->is_utf8));
    must(p->is_literal == (p->domain.len > 0 && p->domain.p[0] == '['));
    if (p->domain.len > 0 && str_is_ascii(p->domain))
        must(smtp_helo_is_valid(p->domain));
    (void)smtp_domain_is_qualified(p->domain);
}

static bool same(const struct smtp_path *a, const struct smtp_path *b)
{
    return str_eq(a->mailbox, b->mailbox) && str_eq(a->local, b->local) &&
           str_eq(a->domain, b->domain) && a->is_null == b->is_null &&
           a->is_literal == b->is_literal && a->is_utf8 == b->is_utf8;
}

/* The mailbox in brackets is a path with the same parts; alone, a mailbox with the same parts. */
static void check_again(const struct smtp_path *p)
{
    char text[SMTP_PATH_MAX + 2] = "<";
    struct smtp_path again;
    size_t len;
    if (p->mailbox.len > 0)
        memcpy(text + 1, p->mailbox.p, p->mailbox.len);
    text[p->mailbox.len + 1] = '>';
    struct str bracketed = {text, p->mailbox.len + 2};
    must(smtp_path_parse(bracketed, p->is_utf8, &again, &len) == PATH_OK);
    must(len == bracketed.len && same(p, &again));
    if (p->domain.len == 0)
        return;
    must(smtp_mailbox_parse(p->mailbox, p->is_utf8, &again) == PATH_OK);
    must(same(p, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    bool utf8_allowed = data[0] & 1;
    struct str in = {(const char *)data + 1, size - 1};
    struct smtp_path p;
    size_t len;
    if (smtp_path_parse(in, utf8_allowed, &p, &len) == PATH_OK) {
        must(len >= 2 && len <= in.len && in.p[0] == '<' && in.p[len - 1] == '>');
        check_path(&p, in, utf8_allowed);
        check_again(&p);
    }
    if (smtp_mailbox_parse(in, utf8_allowed, &p) == PATH_OK) {
        must(str_eq(p.mailbox, in) && p.domain.len > 0);
        check_path(&p, in, utf8_allowed);
        check_again(&p);
    }
    if (smtp_helo_is_valid(in))
        must(in.len > 0 && in.len <= SMTP_DOMAIN_MAX && str_is_ascii(in) && !str_has_control(in));
    return 0;
}
