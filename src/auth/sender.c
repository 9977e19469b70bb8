#include "auth/sender.h"

#include "auth/names.h"

#include <errno.h>

int sender_rule_parse(const char *word, enum sender_rule *ret)
{
    static const char *const words[] = {[SENDER_OWN] = "own",
                                        [SENDER_ANY] = "any",
                                        [SENDER_DOMAIN] = "domain",
                                        [SENDER_TABLE] = "table"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcmp(word, words[i]) == 0) {
            *ret = (enum sender_rule)i;
            return 0;
        }
    }
    return -EINVAL;
}

/* From the last "@" on; empty for a name that is no address. */
static struct str domain_of(struct str name)
{
    const char *at = name.len ? memrchr(name.p, '@', name.len) : NULL;
    return at ? str_from(name, (size_t)(at - name.p)) : (struct str){NULL, 0};
}

static bool same_domain(struct str identity, struct str address)
{
    struct str mine = domain_of(identity), its = domain_of(address);
    return mine.len > 1 && str_eq_nocase(mine, its);
}

static bool is_listed(const struct sender_rights *rights, struct str identity, struct str address)
{
    CLEANUP(buf_done) struct buf names = BUF_INIT(LOOKUP_VALUE_MAX);
    return lookup_name(&rights->senders, identity, &names) == 0 &&
           names_include(buf_str(&names), address);
}

bool sender_is_allowed(const struct sender_rights *rights, struct str identity, struct str address)
{
    if (address.len == 0 || rights->rule == SENDER_ANY || mailbox_eq(address, identity))
        return true;
    if (rights->rule == SENDER_DOMAIN)
        return same_domain(identity, address);
    return rights->rule == SENDER_TABLE && is_listed(rights, identity, address);
}
