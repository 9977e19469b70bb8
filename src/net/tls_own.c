/* Certificate and key of ours, from wherever OpenSSL can load them: PEM, PKCS#12, a store, a token.
 *
 * Nothing here ever asks on a terminal, and every complaint names what is to be changed.
 */
#include "net/tls_internal.h"

#include "base/file.h"
#include "base/secret_file.h"
#include "net/tls_token.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <stdio.h>

#define FILE_MAX ((size_t)1 << 20)
#define OBJECTS_MAX 100 /* of one file or store */

int tls_complain(char *why, int error, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, TLS_WHY_MAX, fmt, ap);
    va_end(ap);
    ERR_clear_error();
    return error;
}

/* The query of a URI may hold a PIN, which no complaint repeats. */
struct str tls_own_shown(const char *where)
{
    return (struct str){where, file_is_uri(where) ? strcspn(where, "?") : strlen(where)};
}

static int cannot_read(int error, const char *path, const char *what, char *why)
{
    if (error == -EACCES)
        return tls_complain(
            why, error,
            "cannot read the %s file %s: %s; let the group of the account that serves "
            "read it: chgrp GROUP FILE && chmod 640 FILE",
            what, path, strerror(-error));
    return tls_complain(why, error, "cannot read the %s file %s: %s", what, path,
                        error == -EINVAL ? "it is no regular file" : strerror(-error));
}

/* The TLS library's words for a missing file are poor, so that is looked at beforehand. */
int tls_check_readable(const char *path, const char *what, char *why)
{
    CLEANUP(fd_closep) int fd = file_open(path);
    return fd >= 0 ? 0 : cannot_read(fd, path, what, why);
}

/* ---- one file or store ---- */

struct reading {
    struct str passphrase;
    bool asked; /* for it */
    X509 *leaf;
    STACK_OF(X509) * chain; /* what follows the leaf */
    EVP_PKEY *key;
};

static void reading_done(struct reading *r)
{
    X509_free(r->leaf);
    sk_X509_pop_free(r->chain, X509_free);
    EVP_PKEY_free(r->key);
}

static int give_passphrase(char *out, int size, int rwflag, void *arg)
{
    (void)rwflag;
    struct reading *r = arg;
    r->asked = true;
    if (r->passphrase.len == 0 || (size_t)size < r->passphrase.len)
        return -1;
    memcpy(out, r->passphrase.p, r->passphrase.len);
    return (int)r->passphrase.len;
}

static void take_certificate(struct reading *r, X509 *x)
{
    if (!r->leaf) {
        r->leaf = x;
        return;
    }
    if (!r->chain)
        r->chain = sk_X509_new_null();
    if (!r->chain || sk_X509_push(r->chain, x) == 0)
        X509_free(x);
}

static void take(struct reading *r, const OSSL_STORE_INFO *info)
{
    int type = OSSL_STORE_INFO_get_type(info);
    if (type == OSSL_STORE_INFO_CERT)
        take_certificate(r, OSSL_STORE_INFO_get1_CERT(info));
    else if (type == OSSL_STORE_INFO_PKEY && !r->key)
        r->key = OSSL_STORE_INFO_get1_PKEY(info);
}

/* Only what is `wanted` (OSSL_STORE_INFO_*) is looked at, so that nobody is asked for the passphrase of a key that stands
 * beside a certificate. */
static void read_store(struct reading *r, OSSL_STORE_CTX *store, int wanted)
{
    if (store && OSSL_STORE_expect(store, wanted) == 1) {
        for (int i = 0; i < OBJECTS_MAX && !OSSL_STORE_eof(store); i++) {
            OSSL_STORE_INFO *info = OSSL_STORE_load(store);
            if (info)
                take(r, info);
            OSSL_STORE_INFO_free(info);
        }
    }
    (void)OSSL_STORE_close(store);
}

/* The whole file comes into memory first: it may be open to us by a descriptor only (base/file.h). */
static int read_file(struct reading *r, UI_METHOD *ui, const char *path, int wanted, char *why)
{
    CLEANUP(buf_wipe) struct buf octets = BUF_INIT(FILE_MAX);
    int e = file_read(path, &octets);
    if (e < 0)
        return cannot_read(e, path, wanted == OSSL_STORE_INFO_CERT ? "certificate" : "key", why);
    BIO *bio = BIO_new_mem_buf(buf_str(&octets).p, (int)octets.len);
    if (bio)
        read_store(r, OSSL_STORE_attach(bio, "file", NULL, NULL, ui, r, NULL, NULL, NULL), wanted);
    (void)BIO_free(bio);
    return 0;
}

static int read_from(struct reading *r, const char *where, int wanted, char *why)
{
    UI_METHOD *ui = UI_UTIL_wrap_read_pem_callback(give_passphrase, 0);
    int e = 0;
    ERR_clear_error();
    if (!ui)
        abort();
    if (file_is_uri(where))
        read_store(r, OSSL_STORE_open(where, ui, r, NULL, NULL), wanted);
    else
        e = read_file(r, ui, where, wanted, why);
    UI_destroy_method(ui);
    bool found = wanted == OSSL_STORE_INFO_CERT ? r->leaf != NULL : r->key != NULL;
    if (e < 0 || found || !tls_token_is(where))
        return e;
    /* No provider serves tokens here. */
    ERR_clear_error();
    if (wanted == OSSL_STORE_INFO_CERT)
        r->leaf = tls_token_certificate(where);
    else
        r->key = tls_token_key(where, r->passphrase, &r->asked);
    return 0;
}

/* ---- complaints ---- */

static int
no_passphrase_fits(const struct reading *r, const char *what, const char *where, char *why)
{
    if (tls_token_is(where))
        return tls_complain(why, -EACCES, "the token of %.*s %s", STR_FMT(tls_own_shown(where)),
                            r->passphrase.len ? "refuses the PIN" : "is locked: it needs a PIN");
    if (r->passphrase.len)
        return tls_complain(why, -EACCES, "the passphrase does not open the %s in %.*s", what,
                            STR_FMT(tls_own_shown(where)));
    return tls_complain(why, -EACCES,
                        "the %s in %.*s is encrypted: store it without a passphrase, or name that",
                        what, STR_FMT(tls_own_shown(where)));
}

static int nothing_found(const struct reading *r, const char *what, const char *where, char *why)
{
    if (r->asked)
        return no_passphrase_fits(r, what, where, why);
    char words[128] = "none was found";
    if (ERR_peek_error())
        tls_error_words(words, sizeof(words));
    if (file_is_uri(where))
        return tls_complain(why, -EINVAL, "no %s at %.*s: %s", what, STR_FMT(tls_own_shown(where)),
                            words);
    return tls_complain(why, -EINVAL, "no usable PEM or PKCS#12 %s in %s: %s", what, where, words);
}

/* ---- both together ---- */

static int read_certificate(struct reading *r, const struct tls_own *own, char *why)
{
    int e = read_from(r, own->certificate, OSSL_STORE_INFO_CERT, why);
    if (e < 0)
        return e;
    return r->leaf ? 0 : nothing_found(r, "certificate", own->certificate, why);
}

static int read_key(struct reading *r, const struct tls_own *own, char *why)
{
    r->asked = false;
    int e = read_from(r, own->key ? own->key : own->certificate, OSSL_STORE_INFO_PKEY, why);
    if (e < 0 || r->key)
        return e;
    if (own->key || r->asked)
        return nothing_found(r, "private key", own->key ? own->key : own->certificate, why);
    return tls_complain(why, -EINVAL,
                        "the certificate %.*s needs a key file: there is no key beside it",
                        STR_FMT(tls_own_shown(own->certificate)));
}

static int use(SSL_CTX *ctx, const struct reading *r, const struct tls_own *own, char *why)
{
    if (X509_check_private_key(r->leaf, r->key) != 1)
        return tls_complain(why, -EINVAL,
                            "the key in %.*s does not belong to the certificate in %.*s",
                            STR_FMT(tls_own_shown(own->key ? own->key : own->certificate)),
                            STR_FMT(tls_own_shown(own->certificate)));
    if (SSL_CTX_use_certificate(ctx, r->leaf) == 1 && SSL_CTX_use_PrivateKey(ctx, r->key) == 1 &&
        SSL_CTX_set1_chain(ctx, r->chain) == 1)
        return 0;
    char words[128];
    tls_error_words(words, sizeof(words));
    return tls_complain(why, -EINVAL, "the certificate in %.*s cannot be used: %s",
                        STR_FMT(tls_own_shown(own->certificate)), words);
}

_Static_assert(SECRET_FILE_WHY_MAX <= TLS_WHY_MAX, "a complaint fits");

int tls_own_load(SSL_CTX *ctx, const struct tls_own *own, char *why)
{
    CLEANUP(buf_wipe) struct buf from_file = BUF_INIT(SECRET_FILE_MAX);
    CLEANUP(reading_done) struct reading r = {.passphrase = own->passphrase};
    int e = 0;
    if (own->passphrase_file) {
        e = secret_file_read(own->passphrase_file, own->reader, &from_file, why);
        r.passphrase = buf_str(&from_file);
    }
    if (e == 0)
        e = read_certificate(&r, own, why);
    if (e == 0)
        e = read_key(&r, own, why);
    if (e == 0)
        e = use(ctx, &r, own, why);
    ERR_clear_error();
    return e;
}

int tls_own_load_anchors(SSL_CTX *ctx, const char *ca, char *why)
{
    if (!ca) {
        if (SSL_CTX_set_default_verify_paths(ctx) == 1)
            return 0;
        return tls_complain(why, -EINVAL, "the system's trust anchors cannot be loaded");
    }
    int r = tls_check_readable(ca, "trust anchor", why);
    if (r < 0)
        return r;
    if (SSL_CTX_load_verify_file(ctx, ca) == 1)
        return 0;
    char words[128];
    tls_error_words(words, sizeof(words));
    return tls_complain(why, -EINVAL, "no usable PEM certificate in %s: %s", ca, words);
}
