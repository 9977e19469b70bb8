#include "relay/routes.h"

#define DOMAIN_MAX 255

static int by_domain(const void *a, const void *b)
{
    const struct route_entry *x = a, *y = b;
    return strcmp(x->domain, y->domain);
}

void routes_init(struct routes *r, const struct relay_config *cfg)
{
    *r = (struct routes){.hostname = cfg->hostname};
    r->entries = xcalloc(cfg->n_routes + 1, sizeof(*r->entries));
    for (size_t i = 0; i < cfg->n_routes; i++) {
        const struct route_config *route = &cfg->routes[i];
        if (strcmp(route->domain, "default") == 0)
            r->fallback = route;
        else
            r->entries[r->n++] = (struct route_entry){route->domain, route};
    }
    qsort(r->entries, r->n, sizeof(*r->entries), by_domain);
}

void routes_done(struct routes *r)
{
    free(r->entries);
    *r = (struct routes){0};
}

const struct route_config *routes_find(const struct routes *r, struct str domain)
{
    char name[DOMAIN_MAX + 1];
    if (domain.len == 0)
        domain = str_of(r->hostname);
    if (domain.len > DOMAIN_MAX)
        return r->fallback;
    for (size_t i = 0; i < domain.len; i++) {
        char c = domain.p[i];
        name[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    name[domain.len] = '\0';
    struct route_entry key = {.domain = name};
    const struct route_entry *e = bsearch(&key, r->entries, r->n, sizeof(*e), by_domain);
    return e ? e->route : r->fallback;
}

struct str address_domain(const char *address)
{
    const char *at = strrchr(address, '@');
    return str_of(at ? at + 1 : "");
}

struct str address_local(const char *address)
{
    const char *at = strrchr(address, '@');
    return at ? (struct str){address, (size_t)(at - address)} : str_of(address);
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool route_is_same_hop(const struct route_config *a, const struct route_config *b)
{
    return a->kind == b->kind && a->tls == b->tls && a->tls_implicit == b->tls_implicit &&
           a->login == b->login && same_text(a->host, b->host) && same_text(a->port, b->port) &&
           same_text(a->path, b->path) && same_text(a->tls_name, b->tls_name) &&
           same_text(a->ca, b->ca) && same_text(a->certificate, b->certificate) &&
           same_text(a->key, b->key) && same_text(a->key_password_file, b->key_password_file) && same_text(a->user, b->user) &&
           same_text(a->password_file, b->password_file);
}
