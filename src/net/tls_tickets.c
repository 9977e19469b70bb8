/* What sessions are resumed by: the keys tickets are sealed with, renewed by time (RES-04), or a cache, whose tickets are
 * but names.  Shared by the contexts of a server, so that sessions survive a reload.  What they may be used for is not
 * decided here: they are bound to listener, policy and server name (tls.c), and the client's certificate is judged
 * again (EDG-14). */
#include "net/tls_internal.h"

#include "base/clock.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define NAME_LEN 16

struct ticket_key {
    unsigned char name[NAME_LEN], cipher[32], mac[32];
};

struct tls_tickets {
    atomic_uint refs;
    int64_t lifetime_ms;
    struct tls_cache *cache; /* NULL: tickets are sealed */
    pthread_mutex_t lock;
    struct ticket_key now, before; /* under lock */
    bool has_before;
    int64_t born_ms; /* of `now`, monotonic */
};

static void fill(struct ticket_key *k)
{
    if (RAND_bytes(k->name, NAME_LEN) != 1 || RAND_priv_bytes(k->cipher, sizeof(k->cipher)) != 1 ||
        RAND_priv_bytes(k->mac, sizeof(k->mac)) != 1)
        abort(); /* without randomness there is no TLS */
}

struct tls_tickets *tls_tickets_new(int64_t key_lifetime_ms, unsigned cached_max)
{
    struct tls_tickets *t = xcalloc(1, sizeof(*t));
    atomic_init(&t->refs, 1);
    t->lifetime_ms = key_lifetime_ms;
    t->cache = cached_max ? tls_cache_new(cached_max) : NULL;
    (void)pthread_mutex_init(&t->lock, NULL);
    fill(&t->now);
    t->born_ms = clock_monotonic_ms();
    return t;
}

struct tls_tickets *tls_tickets_ref(struct tls_tickets *t)
{
    (void)atomic_fetch_add_explicit(&t->refs, 1, memory_order_relaxed);
    return t;
}

void tls_tickets_unref(struct tls_tickets *t)
{
    if (!t || atomic_fetch_sub_explicit(&t->refs, 1, memory_order_acq_rel) > 1)
        return;
    (void)pthread_mutex_destroy(&t->lock);
    tls_cache_free(t->cache);
    OPENSSL_cleanse(t, sizeof(*t));
    free(t);
}

/* Under the lock.  A key that was the last one for a whole lifetime opens nothing any more. */
static void turn(struct tls_tickets *t, int64_t now_ms)
{
    int64_t age = now_ms - t->born_ms;
    if (age < t->lifetime_ms)
        return;
    t->has_before = age < 2 * t->lifetime_ms;
    if (t->has_before)
        t->before = t->now;
    else
        OPENSSL_cleanse(&t->before, sizeof(t->before));
    fill(&t->now);
    t->born_ms = now_ms;
}

void tls_tickets_turn_at(struct tls_tickets *t, int64_t now_ms)
{
    (void)pthread_mutex_lock(&t->lock);
    turn(t, now_ms);
    (void)pthread_mutex_unlock(&t->lock);
}

void tls_tickets_turn(struct tls_tickets *t)
{
    tls_tickets_turn_at(t, clock_monotonic_ms());
    if (t->cache)
        tls_cache_sweep(t->cache, clock_wall_ms() / 1000);
}

/* The key to seal with, or the one of this name: 1, 2 when it is the one before, 0 when there is none. */
static int pick(struct tls_tickets *t, const unsigned char *name, struct ticket_key *ret)
{
    int found = 1;
    (void)pthread_mutex_lock(&t->lock);
    turn(t, clock_monotonic_ms());
    if (!name || memcmp(name, t->now.name, NAME_LEN) == 0)
        *ret = t->now;
    else if (t->has_before && memcmp(name, t->before.name, NAME_LEN) == 0)
        *ret = t->before, found = 2;
    else
        found = 0;
    (void)pthread_mutex_unlock(&t->lock);
    return found;
}

static bool set_keys(struct ticket_key *k,
                     const unsigned char *iv,
                     EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac,
                     int seal)
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, k->mac, sizeof(k->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, k->cipher, iv, seal) == 1 &&
           EVP_MAC_CTX_set_params(mac, params) == 1;
}

static int tickets_index;

/* Encrypt-then-MAC with AES-256-CBC and HMAC-SHA-256 is what OpenSSL makes of this (RES-04). */
static int on_ticket(SSL *ssl,
                     unsigned char *name,
                     unsigned char *iv,
                     EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac,
                     int seal)
{
    struct tls_tickets *t = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), tickets_index);
    struct ticket_key key;
    int r = pick(t, seal ? NULL : name, &key);
    if (r == 0)
        return 0; /* a full handshake follows */
    if (seal) {
        memcpy(name, key.name, NAME_LEN);
        if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
            r = -1;
    }
    if (r > 0 && !set_keys(&key, iv, cipher, mac, seal))
        r = -1;
    OPENSSL_cleanse(&key, sizeof(key));
    return r;
}

/* RES-02: a session carries when its client last proved that it holds the key of its certificate, through every session
 * that came of it. */
static bool stamp(SSL *ssl, SSL_SESSION *session)
{
    void *data = NULL;
    size_t len = 0;
    int64_t now = clock_monotonic_ms();
    if (SSL_session_reused(ssl) == 1 &&
        SSL_SESSION_get0_ticket_appdata(session, &data, &len) == 1 && len == sizeof(now))
        return true;
    return SSL_SESSION_set1_ticket_appdata(session, &now, sizeof(now)) == 1;
}

static bool is_recent(const struct tls_tickets *t, SSL_SESSION *session)
{
    void *data = NULL;
    size_t len = 0;
    int64_t proved;
    if (SSL_SESSION_get0_ticket_appdata(session, &data, &len) != 1 || len != sizeof(proved))
        return false;
    memcpy(&proved, data, sizeof(proved));
    return clock_monotonic_ms() - proved < 2 * t->lifetime_ms;
}

static int on_seal(SSL *ssl, void *arg)
{
    (void)arg;
    return stamp(ssl, SSL_get_session(ssl));
}

static SSL_TICKET_RETURN on_unseal(SSL *ssl,
                                   SSL_SESSION *session,
                                   const unsigned char *name,
                                   size_t name_len,
                                   SSL_TICKET_STATUS status,
                                   void *arg)
{
    (void)ssl;
    (void)name;
    (void)name_len;
    bool open = status == SSL_TICKET_SUCCESS || status == SSL_TICKET_SUCCESS_RENEW;
    if (!open || !is_recent(arg, session))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

/* ---- the cache ---- */

/* Intermediates are remembered where certificates are judged, and would be most of what a session weighs. */
static SSL_SESSION *copy_without_chain(SSL *ssl, SSL_SESSION *session)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
    STACK_OF(X509) *aside = chain ? sk_X509_dup(chain) : NULL;
    if (chain && !aside)
        return NULL;
    if (chain)
        sk_X509_zero(chain);
    SSL_SESSION *copy = SSL_SESSION_dup(session);
    for (int i = 0; i < sk_X509_num(aside); i++)
        (void)sk_X509_push(chain, sk_X509_value(aside, i)); /* there was room before */
    sk_X509_free(aside);
    return copy;
}

/* Copies go in and copies come out, since OpenSSL writes to a session while its connection lives and no two threads
 * may have one in common.  The certificate is shared, and never decoded again.  Returns 0: OpenSSL keeps the original. */
static int on_new(SSL *ssl, SSL_SESSION *session)
{
    const struct tls_tickets *t = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), tickets_index);
    SSL_SESSION *copy = stamp(ssl, session) ? copy_without_chain(ssl, session) : NULL;
    if (copy)
        tls_cache_put(t->cache, copy);
    return 0;
}

static SSL_SESSION *on_get(SSL *ssl, const unsigned char *id, int len, int *shared)
{
    const struct tls_tickets *t = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), tickets_index);
    SSL_SESSION *session = len > 0 ? tls_cache_get(t->cache, id, (size_t)len) : NULL;
    *shared = 0;
    if (session && is_recent(t, session))
        return session;
    SSL_SESSION_free(session);
    return NULL;
}

/* [rfc5246 7.2.2] A fatal alert ends the session, not only its connection. */
static void on_remove(SSL_CTX *ctx, SSL_SESSION *session)
{
    const struct tls_tickets *t = SSL_CTX_get_ex_data(ctx, tickets_index);
    unsigned len;
    const unsigned char *id = SSL_SESSION_get_id(session, &len);
    if (t && len)
        tls_cache_drop(t->cache, id, len);
}

static void use_cache(SSL_CTX *ctx)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET); /* of TLS 1.2; in 1.3 it makes a ticket a name */
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL |
                                                  SSL_SESS_CACHE_NO_AUTO_CLEAR);
    SSL_CTX_sess_set_new_cb(ctx, on_new);
    SSL_CTX_sess_set_get_cb(ctx, on_get);
    SSL_CTX_sess_set_remove_cb(ctx, on_remove);
}

/* ---- contexts ---- */

static void
free_tickets(void *parent, void *pointer, CRYPTO_EX_DATA *data, int index, long number, void *arg)
{
    (void)parent;
    (void)data;
    (void)index;
    (void)number;
    (void)arg;
    tls_tickets_unref(pointer);
}

static void make_index(void)
{
    tickets_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_tickets);
    if (tickets_index < 0)
        abort();
}

void tls_tickets_use(SSL_CTX *ctx, struct tls_tickets *t)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, make_index);
    if (SSL_CTX_set_ex_data(ctx, tickets_index, tls_tickets_ref(t)) != 1 ||
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket) != 1 ||
        SSL_CTX_set_session_ticket_cb(ctx, on_seal, on_unseal, t) != 1)
        abort(); /* no memory for a few octets, while a file is loaded */
    if (t->cache)
        use_cache(ctx);
}
