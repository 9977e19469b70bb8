#include "cert/cert_internal.h"

#include <errno.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* What an honest chain never needs more of, and what the search for a path is bounded by. */
#define DEPTH_MAX 10

#define KEY_SIZE_MIN 2048

#define INTERMEDIATES_MAX 64
#define LISTS_MAX 64

/* A revocation list whose signature by this issuer was found good. */
struct checked_list {
    const X509_CRL *crl; /* the store's, so it lives as long as the snapshot */
    X509 *issuer;
};

struct cert_trust {
    atomic_uint refs;
    char *name;
    X509_STORE *store;
    X509_STORE_CTX_check_crl_fn openssl_check;
    struct cert_trust_limits limits;
    char **pins; /* lower-case hex */
    size_t n_pins;

    /* A TLS session keeps only the peer's own certificate, so a resumed one comes without its chain
     * (EDG-13). The intermediates of chains found valid before stand in for it.  They carry no
     * trust of their own: a path through them is checked like any other.  The oldest makes room for
     * the newest. */
    pthread_mutex_t lock;
    X509 *intermediates[INTERMEDIATES_MAX];
    size_t n_intermediates, next;

    struct checked_list
        lists[LISTS_MAX]; /* under the lock too; those beyond are checked each time */
    size_t n_lists;
};

const char *cert_trust_name(const struct cert_trust *t)
{
    return t->name;
}

X509_STORE *cert_trust_store(const struct cert_trust *t)
{
    return t->store;
}

X509_STORE_CTX_check_crl_fn cert_trust_openssl_check(const struct cert_trust *t)
{
    return t->openssl_check;
}

const struct cert_trust_limits *cert_trust_limits(const struct cert_trust *t)
{
    return &t->limits;
}

static bool has_pin(const struct cert_trust *t, const char *digest)
{
    for (size_t i = 0; digest[0] && i < t->n_pins; i++)
        if (strcmp(t->pins[i], digest) == 0)
            return true;
    return false;
}

enum cert_pinned cert_trust_pinned(const struct cert_trust *t, X509 *leaf)
{
    char digest[65];
    if (t->n_pins == 0)
        return CERT_NOT_PINNED;
    cert_fingerprint(leaf, digest);
    if (has_pin(t, digest))
        return CERT_PINNED;
    cert_public_key_digest(leaf, digest);
    return has_pin(t, digest) ? CERT_KEY_PINNED : CERT_NOT_PINNED;
}

struct cert_trust *cert_trust_ref(struct cert_trust *t)
{
    (void)atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void cert_trust_unref(struct cert_trust *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (size_t i = 0; i < t->n_intermediates; i++)
        X509_free(t->intermediates[i]);
    for (size_t i = 0; i < t->n_lists; i++)
        X509_free(t->lists[i].issuer);
    X509_STORE_free(t->store);
    (void)pthread_mutex_destroy(&t->lock);
    for (size_t i = 0; i < t->n_pins; i++)
        free(t->pins[i]);
    free(t->pins);
    free(t->limits.ocsp_responder);
    free(t->name);
    free(t);
}

static void trust_unrefp(struct cert_trust **t)
{
    cert_trust_unref(*t);
    *t = NULL;
}

static bool trust_knows(const struct cert_trust *t, const X509 *x)
{
    for (size_t i = 0; i < t->n_intermediates; i++)
        if (X509_cmp(t->intermediates[i], x) == 0)
            return true;
    return false;
}

static void trust_add_intermediate(struct cert_trust *t, X509 *x)
{
    if (trust_knows(t, x) || X509_up_ref(x) != 1)
        return;
    X509_free(t->intermediates[t->next]);
    t->intermediates[t->next] = x;
    t->next = (t->next + 1) % INTERMEDIATES_MAX;
    t->n_intermediates = MIN(t->n_intermediates + 1, (size_t)INTERMEDIATES_MAX);
}

void cert_trust_remember(struct cert_trust *t, const STACK_OF(X509) * chain)
{
    int last = sk_X509_num(chain) - 1; /* the anchor, which the store has */
    if (last < 2)
        return;
    (void)pthread_mutex_lock(&t->lock);
    for (int i = 1; i < last; i++)
        trust_add_intermediate(t, sk_X509_value(chain, i));
    (void)pthread_mutex_unlock(&t->lock);
}

STACK_OF(X509) * cert_trust_intermediates(struct cert_trust *t)
{
    STACK_OF(X509) *out = sk_X509_new_reserve(NULL, INTERMEDIATES_MAX);
    if (!out)
        return NULL;
    (void)pthread_mutex_lock(&t->lock);
    for (size_t i = 0; i < t->n_intermediates; i++)
        if (X509_up_ref(t->intermediates[i]) == 1)
            (void)sk_X509_push(out, t->intermediates[i]);
    (void)pthread_mutex_unlock(&t->lock);
    return out;
}

void cert_trust_inherit(struct cert_trust *t, struct cert_trust *old)
{
    STACK_OF(X509) *known = cert_trust_intermediates(old);
    (void)pthread_mutex_lock(&t->lock);
    for (int i = 0; i < sk_X509_num(known); i++)
        trust_add_intermediate(t, sk_X509_value(known, i));
    (void)pthread_mutex_unlock(&t->lock);
    x509_stack_freep(&known);
}

static bool list_is_checked(const struct cert_trust *t, const X509_CRL *crl, const X509 *issuer)
{
    for (size_t i = 0; i < t->n_lists; i++)
        if (t->lists[i].crl == crl && X509_cmp(t->lists[i].issuer, issuer) == 0)
            return true;
    return false;
}

bool cert_trust_list_is_checked(struct cert_trust *t, const X509_CRL *crl, const X509 *issuer)
{
    (void)pthread_mutex_lock(&t->lock);
    bool is = list_is_checked(t, crl, issuer);
    (void)pthread_mutex_unlock(&t->lock);
    return is;
}

void cert_trust_list_checked(struct cert_trust *t, const X509_CRL *crl, X509 *issuer)
{
    (void)pthread_mutex_lock(&t->lock);
    if (t->n_lists < LISTS_MAX && !list_is_checked(t, crl, issuer) && X509_up_ref(issuer) == 1)
        t->lists[t->n_lists++] = (struct checked_list){crl, issuer};
    (void)pthread_mutex_unlock(&t->lock);
}

static int trust_fail(const struct cert_trust *t, char *why, int r, const char *text)
{
    char detail[CERT_WHY_MAX];
    snprintf(detail, sizeof(detail), "%s", text);
    snprintf(why, CERT_WHY_MAX, "trust %s: %.200s", t->name, detail);
    return r;
}

/* An anchor is read once here so that a damaged one is a mistake of the file and not a riddle at
 * each handshake. */
static int trust_add_anchor(struct cert_trust *t, X509 *x, const char *path, char *why)
{
    char name[CERT_NAME_SHORT_MAX];
    cert_name_short(X509_get_subject_name(x), name);
    if (X509_check_purpose(x, -1, 0) != 1 || X509_get_extension_flags(x) & EXFLAG_INVALID) {
        snprintf(why, CERT_WHY_MAX, "%s: certificate (%s) holds extensions that cannot be read",
                 path, name);
        return -EINVAL;
    }
    return X509_STORE_add_cert(t->store, x) == 1 ? 0 : -ENOMEM;
}

static int trust_add_anchors(struct cert_trust *t, const char *path, char *why)
{
    CLEANUP(x509_stack_freep) STACK_OF(X509) *certs = NULL;
    int r = cert_file_certificates(path, &certs, why);
    for (int i = 0; r == 0 && i < sk_X509_num(certs); i++)
        r = trust_add_anchor(t, sk_X509_value(certs, i), path, why);
    return r;
}

/* True unless anchors have the name of the list's issuer and none of them has signed it.  The list
 * of an intermediate cannot be judged before the intermediate is seen; the path validation does it
 * then. */
static bool crl_fits_anchors(struct cert_trust *t, X509_CRL *crl)
{
    bool named = false, signed_by = false;
    STACK_OF(X509) *all = X509_STORE_get1_all_certs(t->store);
    for (int i = 0; i < sk_X509_num(all); i++) {
        X509 *x = sk_X509_value(all, i);
        if (X509_NAME_cmp(X509_get_subject_name(x), X509_CRL_get_issuer(crl)) != 0)
            continue;
        named = true;
        signed_by = signed_by || X509_CRL_verify(crl, X509_get0_pubkey(x)) == 1;
    }
    x509_stack_freep(&all);
    return signed_by || !named;
}

static int trust_add_crl(void *arg, X509_CRL *crl, const char *path, char *why)
{
    struct cert_trust *t = arg;
    if (!crl_fits_anchors(t, crl)) {
        snprintf(why, CERT_WHY_MAX, "%s: the revocation list is not signed by the CA it names",
                 path);
        return -EINVAL;
    }
    return X509_STORE_add_crl(t->store, crl) == 1 ? 0 : -ENOMEM;
}

/* OpenSSL's levels: 2 is RSA 2048, curves of 224 and SHA-224; 3 RSA 3072, curves of 256 and SHA-256; 4 RSA 7680,
 * curves of 384 and SHA-384. */
static int security_level(unsigned strength)
{
    return strength >= 192 ? 4 : strength >= 128 ? 3 : 2;
}

/* Which certificates are trusted is what the files say and nothing else: each one listed is an
 * anchor, be it a root, an intermediate (only what is below it counts then) or a client's own
 * certificate (EDG-20).  That is what PARTIAL_CHAIN means. */
static void trust_set_rules(struct cert_trust *t, const struct cert_trust_config *cfg)
{
    X509_VERIFY_PARAM *p = X509_STORE_get0_param(t->store);
    unsigned long flags = X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_TRUSTED_FIRST;
    if (cfg->n_crl > 0)
        flags |= X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL;
    (void)X509_VERIFY_PARAM_set_flags(p, flags);
    (void)X509_VERIFY_PARAM_set_purpose(p, X509_PURPOSE_SSL_CLIENT);
    (void)X509_VERIFY_PARAM_set_trust(p, X509_TRUST_SSL_CLIENT);
    X509_VERIFY_PARAM_set_depth(
        p, (int)(cfg->depth_max ? MIN(cfg->depth_max, (unsigned)DEPTH_MAX) : DEPTH_MAX));
    X509_VERIFY_PARAM_set_auth_level(p, security_level(cfg->strength));
}

static void trust_set_limits(struct cert_trust *t, const struct cert_trust_config *cfg)
{
    t->limits = (struct cert_trust_limits){
        .key_size_min = (int)MAX(cfg->key_size_min, (unsigned)KEY_SIZE_MIN),
        .require_eku = cfg->require_eku,
        .accept_stale_crl = cfg->accept_stale_crl,
        .ocsp = cfg->ocsp,
        .ocsp_responder = cfg->ocsp_responder ? xstrdup(cfg->ocsp_responder) : NULL,
    };
    t->pins = xcalloc(cfg->n_pin + 1, sizeof(char *));
    for (; t->n_pins < cfg->n_pin; t->n_pins++)
        t->pins[t->n_pins] = xstrdup(cfg->pin[t->n_pins]);
}

/* OpenSSL gives its own check away only where nobody has replaced it yet. */
static int trust_watch_lists(struct cert_trust *t)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    if (ctx && X509_STORE_CTX_init(ctx, t->store, NULL, NULL) == 1)
        t->openssl_check = X509_STORE_CTX_get_check_crl(ctx);
    X509_STORE_CTX_free(ctx);
    X509_STORE_set_check_crl(t->store, cert_check_list);
    return t->openssl_check ? 0 : -ENOMEM;
}

static int trust_fill(struct cert_trust *t, const struct cert_trust_config *cfg, char *why)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < cfg->n_ca; i++)
        r = trust_add_anchors(t, cfg->ca[i], why);
    for (size_t i = 0; r == 0 && i < cfg->n_crl; i++)
        r = cert_file_crls(cfg->crl[i], trust_add_crl, t, why);
    return r;
}

int cert_trust_load(const struct cert_trust_config *cfg, struct cert_trust **ret, char *why)
{
    ERROR_SCOPE;
    CLEANUP(trust_unrefp) struct cert_trust *t = xcalloc(1, sizeof(*t));
    atomic_init(&t->refs, 1);
    (void)pthread_mutex_init(&t->lock, NULL);
    t->name = xstrdup(cfg->name);
    t->store = X509_STORE_new();
    snprintf(why, CERT_WHY_MAX, "out of memory");
    if (!t->store || trust_watch_lists(t) < 0)
        return -ENOMEM;
    if (cfg->n_ca == 0 && cfg->n_pin == 0)
        return trust_fail(t, why, -EINVAL, "names no CA file; write ca = {\"/path/ca.pem\"}");
    trust_set_rules(t, cfg);
    trust_set_limits(t, cfg);
    int r = trust_fill(t, cfg, why);
    if (r < 0)
        return trust_fail(t, why, r, why);
    why[0] = '\0';
    *ret = t;
    t = NULL;
    return 0;
}
