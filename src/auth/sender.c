#include "auth/sender.h"

#include "auth/names.h"

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

bool sender_is_allowed(enum sender_rule rule, struct str identity, struct str reverse_path)
{
    return rule == SENDER_ANY || reverse_path.len == 0 || mailbox_eq(reverse_path, identity);
}
