#include "server/settings.h"

struct cert_trust_config settings_trust(const struct trust_config *t)
{
    return (struct cert_trust_config){
        .name = t->name,
        .ca = (const char *const *)t->ca,
        .n_ca = t->n_ca,
        .crl = (const char *const *)t->crl,
        .n_crl = t->n_crl,
        .pin = (const char *const *)t->pin,
        .n_pin = t->n_pin,
        .key_size_min = t->key_size_min,
        .strength = t->strength,
        .depth_max = t->depth_max,
        .require_eku = t->require_eku,
        .accept_stale_crl = t->accept_stale_crl,
        .ocsp = t->ocsp,
        .ocsp_responder = t->ocsp_responder,
    };
}

struct cert_rule_config settings_rule(const struct identity_config *id)
{
    return (struct cert_rule_config){
        .name = id->name,
        .source = id->source,
        .attribute = id->subject,
        .pattern = id->pattern,
        .template = id->template,
        .table = id->table,
        .trust = (const char *const *)id->trust,
        .n_trust = id->n_trust,
    };
}

int settings_rules(const struct identity_config *ids, size_t n, struct cert_rules **ret, char *why)
{
    CLEANUP(freep) struct cert_rule_config *cfg = xcalloc(n + 1, sizeof(*cfg));
    for (size_t i = 0; i < n; i++)
        cfg[i] = settings_rule(&ids[i]);
    return cert_rules_new(cfg, n, ret, why);
}
