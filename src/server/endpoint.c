#include "server/endpoint.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>

static const uint32_t extensions =
    SMTP_SET(SMTP_EXT_PIPELINING) | SMTP_SET(SMTP_EXT_8BITMIME) | SMTP_SET(SMTP_EXT_SMTPUTF8) |
    SMTP_SET(SMTP_EXT_CHUNKING) | SMTP_SET(SMTP_EXT_BINARYMIME) | SMTP_SET(SMTP_EXT_DSN) |
    SMTP_SET(SMTP_EXT_SIZE) | SMTP_SET(SMTP_EXT_DELIVERBY) | SMTP_SET(SMTP_EXT_FUTURERELEASE) |
    SMTP_SET(SMTP_EXT_MT_PRIORITY) | SMTP_SET(SMTP_EXT_REQUIRETLS) | SMTP_SET(SMTP_EXT_LIMITS) |
    SMTP_SET(SMTP_EXT_ENHANCEDSTATUSCODES);

/* [rfc4865 4] FUTURERELEASE is for submission alone (FUT-01). */
static uint32_t extensions_of(const struct listener_config *cfg)
{
    uint32_t set = extensions & ~cfg->hidden_extensions;
    bool holds = cfg->role == ROLE_SUBMISSION && cfg->hold_max_ms >= 1000;
    return holds ? set : set & ~SMTP_SET(SMTP_EXT_FUTURERELEASE);
}

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
        .now_ms = clock_wall_ms(),
        .ocsp = c->endpoint->ocsp,
    };
    rq.rules = cert_rules_items(c->endpoint->rules, &rq.n_rules);
    cert_judge(&rq, ret);
}

void endpoint_judge_name(const struct endpoint *e, const char *common_name, struct cert_verdict *v)
{
    size_t n;
    const struct cert_rule *rules = cert_rules_items(e->rules, &n);
    cert_judge_told(rules, n, CERT_SOURCE_SUBJECT_CN, common_name, v);
}

/* Asked by the handshake with client-certificate = require: the refusal becomes the TLS alert (EDG-21). */
static int verify_required(void *arg, struct x509_st *leaf, struct stack_st_X509 *chain)
{
    struct credentials *c = endpoint_credentials(arg);
    struct cert_verdict v = {0};
    credentials_judge(c, leaf, chain, &v);
    int code = cert_verify_code(&v);
    cert_verdict_done(&v);
    credentials_unref(c);
    return code;
}

/* A ticket of another listener, or of this one under another policy, is not taken (EDG-15). */
static void session_context(const struct endpoint *e, struct buf *out)
{
    int r = buf_printf(out, "%s/%d/%d/%d", e->cfg->name, (int)e->cfg->client_certificate,
                       (int)e->cfg->cert_auth, (int)e->cfg->need);
    for (size_t i = 0; r == 0 && i < e->cfg->n_trust; i++)
        r = buf_printf(out, "/%s", e->cfg->trust[i]);
}

static int tls_load(struct endpoint *e, struct tls_context **ret, char *why)
{
    struct buf context = BUF_INIT(1024);
    session_context(e, &context);
    struct tls_server_config cfg = {
        .certificate = e->cfg->certificate,
        .key = e->cfg->key,
        .passphrase_file = e->cfg->key_password_file,
        .reader = e->service->account,
        .client_certificate = e->cfg->client_certificate,
        .verify = verify_required,
        .verify_arg = e,
        .session_context = buf_str(&context).p,
        .tickets = e->tickets,
    };
    int r = tls_server_context_new(&cfg, ret, why);
    buf_done(&context);
    return r;
}

/* ---- what is swapped ---- */

/* `tls` becomes the snapshot's. */
static void publish(struct endpoint *e, struct anchors *anchors, struct tls_context *tls)
{
    struct credentials *fresh = xcalloc(1, sizeof(*fresh)), *old;
    atomic_init(&fresh->refs, 1);
    fresh->endpoint = e;
    fresh->tls = tls;
    fresh->n_trusts = e->cfg->n_trust;
    fresh->trusts = xcalloc(e->cfg->n_trust + 1, sizeof(struct cert_trust *));
    for (size_t i = 0; i < fresh->n_trusts; i++)
        fresh->trusts[i] = cert_trust_ref(anchors_find(anchors, e->cfg->trust[i]));
    (void)pthread_mutex_lock(&e->lock);
    old = e->current;
    e->current = fresh;
    (void)pthread_mutex_unlock(&e->lock);
    (void)atomic_fetch_add(&e->generation, 1); /* after the swap: who sees it finds the new one */
    credentials_unref(old);
}

static bool trusts_are_fresh(const struct endpoint *e, struct anchors *anchors)
{
    for (size_t i = 0; i < e->cfg->n_trust; i++)
        if (e->current->trusts[i] != anchors_find(anchors, e->cfg->trust[i]))
            return true;
    return false;
}

static void refresh_failed(const struct endpoint *e, const char *why)
{
    struct log_line l;
    log_begin(&l, LOG_LEVEL_ERROR, "reload-failed");
    log_text(&l, "listener", e->cfg->name);
    log_format(&l, "message", "what was loaded before stays: %s", why);
    log_end(&l);
}

/* The context there is, or a fresh one: a new reference. */
static struct tls_context *
tls_refresh(struct endpoint *e, bool all, struct service_refreshed *count)
{
    struct tls_context *old = e->current->tls, *fresh;
    char why[TLS_WHY_MAX] = "";
    if (!old)
        return NULL;
    if (!watch_changed(&e->files) && !all)
        return tls_context_ref(old);
    if (tls_load(e, &fresh, why) < 0) {
        count->failed++;
        refresh_failed(e, why);
        return tls_context_ref(old);
    }
    count->loaded++;
    e->said = CERT_AGE_FINE;
    return fresh;
}

void endpoint_look(struct endpoint *e)
{
    const char *where;
    if (e->cfg->tls == LISTENER_TLS_NONE)
        return;
    const struct x509_st *own = tls_context_certificate(e->current->tls, &where);
    enum cert_age age = cert_leaf_age(own, where, clock_wall_ms(), NULL, NULL);
    if (age > e->said)
        (void)cert_leaf_age(own, where, clock_wall_ms(), anchors_log_age, NULL);
    e->said = age;
}

struct credentials *endpoint_credentials(struct endpoint *e)
{
    (void)pthread_mutex_lock(&e->lock);
    struct credentials *c = e->current;
    (void)atomic_fetch_add(&c->refs, 1);
    (void)pthread_mutex_unlock(&e->lock);
    return c;
}

static bool ranges_hold(const struct net_range *ranges, size_t n, const char *address)
{
    for (size_t i = 0; i < n; i++)
        if (net_range_holds(&ranges[i], address))
            return true;
    return false;
}

bool endpoint_lists_proxy(const struct endpoint *e, const char *address)
{
    return ranges_hold(e->proxies, e->cfg->n_proxies, address);
}

bool endpoint_lists_xclient(const struct endpoint *e, const char *address)
{
    return ranges_hold(e->xclients, e->cfg->n_xclients, address);
}

static struct net_range *ranges_compile(char *const *texts, size_t n)
{
    struct net_range *ranges = xcalloc(n + 1, sizeof(*ranges));
    for (size_t i = 0; i < n; i++)
        if (net_range_parse(texts[i], &ranges[i]) < 0)
            abort(); /* our mistake: the configuration was checked */
    return ranges;
}

bool endpoint_lists_peer(const struct endpoint *e, const char *fingerprint)
{
    for (size_t i = 0; fingerprint[0] && i < e->cfg->n_peers; i++)
        if (strcmp(e->cfg->peers[i], fingerprint) == 0)
            return true;
    return false;
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
    bool fold; /* keys are the same in any case */
};

#define TABLES_MAX 5

static void table_places(struct endpoint *e, struct table_place places[TABLES_MAX])
{
    places[0] = (struct table_place){e->cfg->aliases, &e->aliases, false};
    places[1] = (struct table_place){e->cfg->may_act_as, &e->may_act_as, false};
    places[2] = (struct table_place){e->cfg->senders, &e->senders, false};
    places[3] = (struct table_place){e->cfg->disabled, &e->disabled_table, true};
    places[4] = (struct table_place){e->cfg->priorities, &e->priority_table, false};
}

static int tables_open(struct endpoint *e, char *why)
{
    struct table_place places[TABLES_MAX];
    table_places(e, places);
    for (size_t i = 0; i < TABLES_MAX; i++) {
        int r =
            places[i].path ? table_open(places[i].path, places[i].fold, places[i].table, why) : 0;
        if (r < 0)
            return r;
    }
    e->authz = (struct authz){.rule = e->cfg->authz,
                              .aliases = lookup_of(e->aliases),
                              .may_act_as = lookup_of(e->may_act_as)};
    e->sender = (struct sender_rights){e->cfg->sender, lookup_of(e->senders)};
    e->disabled = lookup_of(e->disabled_table);
    e->priorities = lookup_of(e->priority_table);
    return 0;
}

static void tables_refresh(struct endpoint *e, struct service_refreshed *count)
{
    struct table_place places[TABLES_MAX];
    table_places(e, places);
    for (size_t i = 0; i < TABLES_MAX; i++) {
        char why[TABLE_WHY_MAX] = "";
        int r = *places[i].table ? table_refresh(*places[i].table, why) : 0;
        count->loaded += r > 0;
        count->failed += r < 0;
        if (r < 0)
            refresh_failed(e, why);
    }
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

void endpoint_refresh(struct endpoint *e,
                      struct anchors *anchors,
                      bool all,
                      struct service_refreshed *count)
{
    struct tls_context *tls = tls_refresh(e, all, count);
    unsigned tables = cert_rules_refresh(e->rules);
    count->loaded += tables;
    if (tls != e->current->tls || trusts_are_fresh(e, anchors) || tables > 0)
        publish(e, anchors, tls);
    else
        tls_context_unref(tls);
    tables_refresh(e, count);
}

/* The URI of a store is none, and never changes. */
static void watch_files(struct endpoint *e)
{
    const char *const paths[] = {e->cfg->certificate, e->cfg->key, e->cfg->key_password_file};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        if (paths[i])
            watch_add(&e->files, paths[i]);
    (void)watch_changed(&e->files);
}

static int first_load(struct endpoint *e, struct anchors *anchors, char *why)
{
    struct tls_context *tls = NULL;
    for (size_t i = 0; i < e->cfg->n_trust; i++) {
        if (anchors_find(anchors, e->cfg->trust[i]))
            continue;
        (void)snprintf(why, SERVICE_WHY_MAX, "there is no trust block \"%s\"", e->cfg->trust[i]);
        return -ENOENT;
    }
    int r = tables_open(e, why);
    if (r == 0 && e->cfg->tls != LISTENER_TLS_NONE) {
        watch_files(e);
        r = tls_load(e, &tls, why);
    }
    if (r == 0)
        publish(e, anchors, tls);
    return r;
}

int endpoint_init(struct endpoint *e,
                  const struct listener_config *cfg,
                  const struct service_config *service,
                  struct anchors *anchors,
                  struct tls_tickets *tickets,
                  char *why)
{
    *e = (struct endpoint){.cfg = cfg, .service = service, .tickets = tickets};
    e->smtp = (struct smtp_server_config){
        .hostname = service->hostname,
        .extensions = extensions_of(cfg),
        .hold_max = cfg->hold_max_ms / 1000,
        .size_max = cfg->message_size_max,
        .recipients_max = cfg->recipients_max,
        .errors_max = cfg->errors_max,
    };
    if (cfg->client_connections_max)
        e->crowd = crowd_new(cfg->client_connections_max, cfg->connections_max);
    e->proxies = ranges_compile(cfg->proxies, cfg->n_proxies);
    e->xclients = ranges_compile(cfg->xclients, cfg->n_xclients);
    (void)pthread_mutex_init(&e->lock, NULL);
    int r = settings_rules(service->identities, service->n_identities, &e->rules, why);
    if (r == 0)
        r = first_load(e, anchors, why);
    if (r < 0)
        endpoint_done(e);
    return r;
}

void endpoint_done(struct endpoint *e)
{
    credentials_unref(e->current);
    tables_close(e);
    watch_done(&e->files);
    cert_rules_free(e->rules);
    crowd_free(e->crowd);
    free(e->proxies);
    free(e->xclients);
    (void)pthread_mutex_destroy(&e->lock);
    *e = (struct endpoint){0};
}
