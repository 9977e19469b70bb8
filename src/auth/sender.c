#include "auth/sender.h"

#include <errno.h>

int sender_rule_parse(const char *word, enum sender_rule *ret)
{
    if (strcmp(word, "own") == 0)
        *ret = SENDER_OWN;
    else if (strcmp(word, "any") == 0)
        *ret = SENDER_ANY;
    else
        return -EINVAL;
    return 0;
}

bool mailbox_eq(struct str a, struct str b)
{
    const char *at = b.len ? memrchr(b.p, '@', b.len) : NULL;
    size_t local = at ? (size_t)(at - b.p) : b.len;
    return a.len == b.len && str_eq(str_upto(a, local), str_upto(b, local)) &&
           str_eq_nocase(str_from(a, local), str_from(b, local));
}

bool sender_is_allowed(enum sender_rule rule, struct str identity, struct str reverse_path)
{
    return rule == SENDER_ANY || reverse_path.len == 0 || mailbox_eq(reverse_path, identity);
}
