#include "server/endpoint.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>

static const unsigned extensions = SMTP_EXT_PIPELINING | SMTP_EXT_8BITMIME | SMTP_EXT_SMTPUTF8 |
                                   SMTP_EXT_CHUNKING | SMTP_EXT_DSN | SMTP_EXT_SIZE |
                                   SMTP_EXT_ENHANCED;

void credentials_unref(struct credentials *c)
{
    if (!c || atomic_fetch_sub(&c->refs, 1) != 1)
        return;
    tls_context_unref(c->tls);
    for (size_t i = 0; i < c->n_trusts; i++)
        cert_trust_unref(c->trusts[i]);
    free(c->trusts);
    free(c);
}

static void credentials_unrefp(struct credentials **c)
{
    credentials_unref(*c);
}

void credentials_judge(const struct credentials *c,
                       struct x509_st *leaf,
                       struct stack_st_X509 *chain,
                       struct cert_verdict *ret)
{
    struct cert_request rq = {
        .leaf = leaf,
        .chain = chain,
        .trusts = c->trusts,
        .n_trusts = c->n_trusts,
        .rules = c->endpoint->rules,
        .n_rules = c->endpoint->n_rules,
        .now_ms = clock_wall_ms(),
    };
    cert_judge(&rq, ret);
}

/* Asked by the handshake with client-certificate = require: the refusal becomes the TLS alert (EDG-21). */
static int verify_required(void *arg, struct x509_st *leaf, struct stack_st_X509 *chain)
{
    struct cert_verdict v = {0};
    credentials_judge(arg, leaf, chain, &v);
    int code = cert_verify_code(&v);
    cert_verdict_done(&v);
    return code;
}

static const struct trust_config *trust_find(const struct service_config *sv, const char *name)
{
    for (size_t i = 0; i < sv->n_trusts; i++)
        if (strcmp(sv->trusts[i].name, name) == 0)
            return &sv->trusts[i];
    return NULL;
}

static int trusts_load(const struct endpoint *e, struct credentials *c, char *why)
{
    c->trusts = xcalloc(e->cfg->n_trust + 1, sizeof(struct cert_trust *));
    for (size_t i = 0; i < e->cfg->n_trust; i++) {
        const struct trust_config *t = trust_find(e->service, e->cfg->trust[i]);
        if (!t) {
            (void)snprintf(why, SERVICE_WHY_MAX, "there is no trust block \"%s\"",
                           e->cfg->trust[i]);
            return -ENOENT;
        }
        struct cert_trust_config cfg = {.name = t->name,
                                        .ca = (const char *const *)t->ca,
                                        .n_ca = t->n_ca,
                                        .crl = (const char *const *)t->crl,
                                        .n_crl = t->n_crl};
        int r = cert_trust_load(&cfg, &c->trusts[i], why);
        if (r < 0)
            return r;
        c->n_trusts++;
    }
    return 0;
}

/* A ticket of another listener, or of this one under another policy, is not taken (EDG-15). */
static void session_context(const struct endpoint *e, struct buf *out)
{
    int r = buf_printf(out, "%s/%d/%d", e->cfg->name, (int)e->cfg->client_certificate,
                       (int)e->cfg->cert_auth);
    for (size_t i = 0; r == 0 && i < e->cfg->n_trust; i++)
        r = buf_printf(out, "/%s", e->cfg->trust[i]);
}

static int tls_load(const struct endpoint *e, struct credentials *c, char *why)
{
    if (e->cfg->tls == LISTENER_TLS_NONE)
        return 0;
    struct buf context = BUF_INIT(1024);
    session_context(e, &context);
    struct tls_server_config cfg = {
        .certificate = e->cfg->certificate,
        .key = e->cfg->key,
        .client_certificate = e->cfg->client_certificate,
        .verify = verify_required,
        .verify_arg = c,
        .session_context = buf_str(&context).p,
    };
    int r = tls_server_context_new(&cfg, &c->tls, why);
    buf_done(&context);
    return r;
}

static int credentials_load(const struct endpoint *e, struct credentials **ret, char *why)
{
    CLEANUP(credentials_unrefp) struct credentials *c = xcalloc(1, sizeof(*c));
    atomic_init(&c->refs, 1);
    c->endpoint = e;
    int r = trusts_load(e, c, why);
    if (r == 0)
        r = tls_load(e, c, why);
    if (r < 0)
        return r;
    *ret = c;
    c = NULL;
    return 0;
}

/* Sessions made before the reload come back without their chains (EDG-13). */
static void inherit(struct credentials *fresh, struct credentials *old)
{
    for (size_t i = 0; i < fresh->n_trusts; i++)
        for (size_t k = 0; k < old->n_trusts; k++)
            if (strcmp(cert_trust_name(fresh->trusts[i]), cert_trust_name(old->trusts[k])) == 0)
                cert_trust_inherit(fresh->trusts[i], old->trusts[k]);
}

int endpoint_reload(struct endpoint *e, char *why)
{
    struct credentials *fresh;
    int r = credentials_load(e, &fresh, why);
    if (r < 0)
        return r;
    if (e->current) /* only a reload changes it, and reloads come from one thread */
        inherit(fresh, e->current);
    (void)pthread_mutex_lock(&e->lock);
    struct credentials *old = e->current;
    e->current = fresh;
    (void)pthread_mutex_unlock(&e->lock);
    credentials_unref(old);
    return 0;
}

struct credentials *endpoint_credentials(struct endpoint *e)
{
    (void)pthread_mutex_lock(&e->lock);
    struct credentials *c = e->current;
    (void)atomic_fetch_add(&c->refs, 1);
    (void)pthread_mutex_unlock(&e->lock);
    return c;
}

bool endpoint_lists_peer(const struct endpoint *e, const char *fingerprint)
{
    for (size_t i = 0; fingerprint[0] && i < e->cfg->n_peers; i++)
        if (strcmp(e->cfg->peers[i], fingerprint) == 0)
            return true;
    return false;
}

static void rules_compile(struct endpoint *e)
{
    e->n_rules = e->service->n_identities;
    e->rules = xcalloc(e->n_rules + 1, sizeof(*e->rules));
    for (size_t i = 0; i < e->n_rules; i++) {
        const struct identity_config *id = &e->service->identities[i];
        e->rules[i] = (struct cert_rule){.name = id->name,
                                         .source = id->source,
                                         .trust = (const char *const *)id->trust,
                                         .n_trust = id->n_trust};
    }
}

/* ---- tables ---- */

static int table_lookup(void *arg, struct str key, struct buf *value)
{
    return table_get(arg, key, value);
}

static struct lookup lookup_of(struct table *t)
{
    return t ? (struct lookup){table_lookup, t} : (struct lookup){0};
}

struct table_place {
    const char *path; /* NULL: not set */
    struct table **table;
};

#define TABLES_MAX 3

static void table_places(struct endpoint *e, struct table_place places[TABLES_MAX])
{
    places[0] = (struct table_place){e->cfg->aliases, &e->aliases};
    places[1] = (struct table_place){e->cfg->may_act_as, &e->may_act_as};
    places[2] = (struct table_place){e->cfg->senders, &e->senders};
}

static int tables_open(struct endpoint *e, char *why)
{
    struct table_place places[TABLES_MAX];
    table_places(e, places);
    for (size_t i = 0; i < TABLES_MAX; i++) {
        int r = places[i].path ? table_open(places[i].path, false, places[i].table, why) : 0;
        if (r < 0)
            return r;
    }
    e->authz = (struct authz){.rule = e->cfg->authz,
                              .aliases = lookup_of(e->aliases),
                              .may_act_as = lookup_of(e->may_act_as)};
    e->sender = (struct sender_rights){e->cfg->sender, lookup_of(e->senders)};
    return 0;
}

unsigned endpoint_refresh(struct endpoint *e)
{
    struct table_place places[TABLES_MAX];
    unsigned fresh = 0;
    table_places(e, places);
    for (size_t i = 0; i < TABLES_MAX; i++) {
        char why[TABLE_WHY_MAX];
        int r = *places[i].table ? table_refresh(*places[i].table, why) : 0;
        if (r < 0)
            log_message(LOG_LEVEL_ERROR, "reload", "listener %s keeps what it had: %s",
                        e->cfg->name, why);
        fresh += r > 0;
    }
    return fresh;
}

static void tables_close(struct endpoint *e)
{
    struct table_place places[TABLES_MAX];
    if (!e->cfg)
        return;
    table_places(e, places);
    for (size_t i = 0; i < TABLES_MAX; i++)
        table_close(*places[i].table);
}

int endpoint_init(struct endpoint *e,
                  const struct listener_config *cfg,
                  const struct service_config *service,
                  char *why)
{
    *e = (struct endpoint){.cfg = cfg, .service = service};
    e->smtp = (struct smtp_server_config){
        .hostname = service->hostname,
        .extensions = extensions,
        .size_max = cfg->message_size_max,
        .recipients_max = cfg->recipients_max,
        .errors_max = cfg->errors_max,
    };
    (void)pthread_mutex_init(&e->lock, NULL);
    rules_compile(e);
    int r = tables_open(e, why);
    if (r == 0)
        r = endpoint_reload(e, why);
    if (r < 0)
        endpoint_done(e);
    return r;
}

void endpoint_done(struct endpoint *e)
{
    credentials_unref(e->current);
    tables_close(e);
    free(e->rules);
    (void)pthread_mutex_destroy(&e->lock);
    *e = (struct endpoint){0};
}
