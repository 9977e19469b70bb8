#include "cert/rules.h"

#include "base/log.h"
#include "cert/cert_internal.h"

#include <errno.h>
#include <openssl/objects.h>
#include <stdio.h>

struct cert_rules {
    struct cert_rule *items;
    struct cert_mapping **mappings; /* one a rule; NULL where there is nothing to do */
    size_t n;
};

void cert_rules_free(struct cert_rules *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n; i++)
        cert_mapping_free(r->mappings[i]);
    free(r->mappings);
    free(r->items);
    free(r);
}

const struct cert_rule *cert_rules_items(const struct cert_rules *r, size_t *ret_n)
{
    *ret_n = r->n;
    return r->items;
}

static int attribute_check(const struct cert_rule_config *cfg, char *why)
{
    if (cfg->source != CERT_SOURCE_SUBJECT)
        return 0;
    ERROR_SCOPE;
    ASN1_OBJECT *o = cfg->attribute ? OBJ_txt2obj(cfg->attribute, 0) : NULL;
    ASN1_OBJECT_free(o);
    if (o)
        return 0;
    (void)snprintf(why, CERT_WHY_MAX,
                   "\"%.64s\" is no attribute of a name; write one such as \"UID\", "
                   "\"serialNumber\" or an OID such as \"2.5.4.5\"",
                   cfg->attribute ? cfg->attribute : "");
    return -EINVAL;
}

int cert_rule_check(const struct cert_rule_config *cfg, char *why)
{
    struct cert_rule_config without = *cfg;
    struct cert_mapping *m = NULL;
    without.table = NULL;
    int r = attribute_check(cfg, why);
    if (r == 0)
        r = cert_mapping_new(&without, &m, why);
    cert_mapping_free(m);
    return r;
}

static int rule_compile(const struct cert_rule_config *cfg,
                        struct cert_rule *rule,
                        struct cert_mapping **ret_mapping,
                        char *why)
{
    int r = attribute_check(cfg, why);
    if (r == 0)
        r = cert_mapping_new(cfg, ret_mapping, why);
    if (r == 0)
        *rule = (struct cert_rule){cfg->name,    cfg->source,    cfg->trust,
                                   cfg->n_trust, cfg->attribute, *ret_mapping};
    return r;
}

int cert_rules_new(const struct cert_rule_config *cfg, size_t n, struct cert_rules **ret, char *why)
{
    struct cert_rules *rules = xcalloc(1, sizeof(*rules));
    rules->items = xcalloc(n + 1, sizeof(*rules->items));
    rules->mappings = xcalloc(n + 1, sizeof(struct cert_mapping *));
    for (; rules->n < n; rules->n++) {
        char detail[CERT_WHY_MAX] = "";
        int r = rule_compile(&cfg[rules->n], &rules->items[rules->n], &rules->mappings[rules->n],
                             detail);
        if (r < 0) {
            (void)snprintf(why, CERT_WHY_MAX, "identity %.63s: %.180s", cfg[rules->n].name, detail);
            cert_rules_free(rules);
            return r;
        }
    }
    *ret = rules;
    return 0;
}

unsigned cert_rules_refresh(struct cert_rules *r)
{
    unsigned changed = 0;
    for (size_t i = 0; i < r->n; i++) {
        char why[TABLE_WHY_MAX] = "";
        struct table *t = cert_mapping_table(r->mappings[i]);
        int got = t ? table_refresh(t, why) : 0;
        if (got < 0)
            log_message(LOG_LEVEL_ERROR, "table", "identity %s keeps its old entries: %s",
                        r->items[i].name, why);
        if (got > 0)
            log_message(LOG_LEVEL_NOTICE, "table", "identity %s has %zu entries of %s now",
                        r->items[i].name, table_size(t), table_path(t));
        changed += got > 0;
    }
    return changed;
}
