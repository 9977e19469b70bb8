#include "send/account.h"

#include <strings.h>

#define PORT_IMPLICIT 465
#define PORT_STARTTLS 587

/* [rfc9325 3.2] Where there is a port for TLS alone, it is preferred to the upgrade (TLS-03). */
enum account_tls account_tls_of(const struct account *a)
{
    if (a->tls != ACCOUNT_TLS_BY_PORT)
        return a->tls;
    return a->port == 0 || a->port == PORT_IMPLICIT ? ACCOUNT_TLS_IMPLICIT : ACCOUNT_TLS_STARTTLS;
}

unsigned account_port_of(const struct account *a)
{
    if (a->port)
        return a->port;
    return account_tls_of(a) == ACCOUNT_TLS_IMPLICIT ? PORT_IMPLICIT : PORT_STARTTLS;
}

const char *account_address(const struct account *a)
{
    for (size_t i = 0; i < a->n_from; i++)
        if (strchr(a->from[i], '@') && a->from[i][0] != '@')
            return a->from[i];
    return NULL;
}

const struct account *account_named(const struct account *list, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i].name, name) == 0)
            return &list[i];
    return NULL;
}

/* Local parts are compared without case, too: no two accounts of one person differ by case alone. */
static bool is_for_address(const struct account *a, const char *sender)
{
    for (size_t i = 0; i < a->n_from; i++)
        if (strcasecmp(a->from[i], sender) == 0)
            return true;
    return false;
}

static bool is_for_domain(const struct account *a, const char *sender)
{
    const char *at = strrchr(sender, '@');
    for (size_t i = 0; at && i < a->n_from; i++) {
        const char *from = a->from[i];
        if (from[0] == '@')
            from++;
        if (strcasecmp(from, at + 1) == 0)
            return true;
    }
    return false;
}

static const struct account *first_that(const struct account *list,
                                        size_t n,
                                        bool system,
                                        bool (*fits)(const struct account *, const char *),
                                        const char *sender)
{
    for (size_t i = 0; i < n; i++)
        if (list[i].system == system && fits(&list[i], sender))
            return &list[i];
    return NULL;
}

static const struct account *default_of(const struct account *list, size_t n, bool system)
{
    const struct account *only = NULL;
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (list[i].system != system)
            continue;
        if (strcmp(list[i].name, "default") == 0)
            return &list[i];
        only = &list[i];
        count++;
    }
    return count == 1 ? only : NULL;
}

const struct account *account_for(const struct account *list, size_t n, const char *sender)
{
    const struct account *a = NULL;
    for (int system = 0; !a && sender && *sender && system <= 1; system++) {
        a = first_that(list, n, system, is_for_address, sender);
        if (!a)
            a = first_that(list, n, system, is_for_domain, sender);
    }
    for (int system = 0; !a && system <= 1; system++)
        a = default_of(list, n, system);
    return a;
}
