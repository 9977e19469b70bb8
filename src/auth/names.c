#include "auth/names.h"

#include "auth/pattern.h"
#include "base/buf.h"

#include <ctype.h>

static struct str domain_of(struct str name)
{
    const char *at = name.len ? memrchr(name.p, '@', name.len) : NULL;
    return at ? str_from(name, (size_t)(at - name.p) + 1) : (struct str){NULL, 0};
}

bool mailbox_eq(struct str a, struct str b)
{
    size_t local = a.len - domain_of(a).len;
    return a.len == b.len && str_eq(str_upto(a, local), str_upto(b, local)) &&
           str_eq_nocase(str_from(a, local), str_from(b, local));
}

static bool is_gap(char c)
{
    return c == ' ' || c == '\t' || c == ',';
}

/* Octets of the pattern at the start of `s`, both slashes included; 0: it does not end. */
static size_t pattern_len(struct str s)
{
    for (size_t i = 1; i < s.len; i++) {
        if (s.p[i] == '\\')
            i++;
        else if (s.p[i] == '/')
            return i + 1 == s.len || is_gap(s.p[i + 1]) ? i + 1 : 0;
    }
    return 0;
}

/* Takes one item off the list; false at its end.  An item of no length is one that cannot be read. */
static bool next_item(struct str *list, struct str *ret)
{
    while (list->len && is_gap(list->p[0]))
        *list = str_from(*list, 1);
    if (list->len == 0)
        return false;
    size_t n = 0;
    if (list->p[0] == '/')
        n = pattern_len(*list);
    else
        while (n < list->len && !is_gap(list->p[n]))
            n++;
    *ret = str_upto(*list, n);
    if (n)
        *list = str_from(*list, n);
    return true;
}

static bool fits_pattern(struct str item, struct str name)
{
    CLEANUP(buf_done) struct buf lower = BUF_INIT(4096);
    if (buf_append_str(&lower, name) < 0)
        return false;
    for (size_t i = name.len - domain_of(name).len; i < lower.len; i++)
        lower.data[i] = (char)tolower((unsigned char)lower.data[i]);
    struct str pattern = str_upto(str_from(item, 1), item.len - 2);
    return pattern_fits(pattern, buf_str(&lower), NULL) == 1;
}

static bool item_fits(struct str item, struct str name)
{
    if (str_eq(item, STR("*")))
        return true;
    if (item.p[0] == '/')
        return fits_pattern(item, name);
    if (item.len > 2 && item.p[0] == '*' && item.p[1] == '@') {
        struct str domain = domain_of(name);
        return domain.len && domain.len < name.len - 1 && str_eq_nocase(domain, str_from(item, 2));
    }
    return mailbox_eq(item, name);
}

bool names_include(struct str list, struct str name)
{
    struct str item;
    while (name.len && next_item(&list, &item)) {
        if (item.len == 0)
            return false;
        if (item_fits(item, name))
            return true;
    }
    return false;
}

struct str names_mistake(struct str list)
{
    struct str item;
    while (next_item(&list, &item)) {
        if (item.len == 0)
            return list;
        if (item.p[0] == '/' &&
            pattern_fits(str_upto(str_from(item, 1), item.len - 2), STR(""), NULL) < 0)
            return item;
    }
    return STR("");
}
