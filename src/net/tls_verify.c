/* The server's certificate: pins, and words for what is wrong with it (ID-01 to ID-04). */
#include "net/tls_internal.h"

#include "base/b64.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>

#define PINS_MAX 32
#define NAMES_TOLD 4

/* ---- pins ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool parse_hex(struct str text, unsigned char out[TLS_PIN_LEN])
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; n++) {
        if (n && text.p[i] == ':')
            i++;
        int high = i + 1 < text.len ? hex_digit(text.p[i]) : -1;
        int low = high >= 0 ? hex_digit(text.p[i + 1]) : -1;
        if (low < 0 || n == TLS_PIN_LEN)
            return false;
        out[n] = (unsigned char)(high * 16 + low);
        i += 2;
    }
    return n == TLS_PIN_LEN;
}

static bool parse_pin(struct str text, unsigned char out[TLS_PIN_LEN])
{
    if (!str_starts_nocase(text, STR("sha256//")))
        return parse_hex(text, out);
    CLEANUP(buf_done) struct buf octets = BUF_INIT(TLS_PIN_LEN + 3);
    if (b64_decode(str_from(text, strlen("sha256//")), &octets) < 0 || octets.len != TLS_PIN_LEN)
        return false;
    memcpy(out, octets.data, TLS_PIN_LEN);
    return true;
}

int tls_pins_parse(struct tls_pins *p, const char *const *texts, size_t n, char *why)
{
    if (n > PINS_MAX)
        return tls_complain(why, -EINVAL, "%zu pins are too many: up to %d are looked at", n,
                            PINS_MAX);
    p->sha256 = xcalloc(n + 1, sizeof(*p->sha256));
    for (; p->n < n; p->n++)
        if (!parse_pin(str_of(texts[p->n]), p->sha256[p->n]))
            return tls_complain(
                why, -EINVAL,
                "\"%.80s\" is no pin: write the SHA-256 of a certificate or public key as 64 "
                "hexadecimal digits, or sha256// and base64",
                texts[p->n]);
    return 0;
}

static bool is_pinned(const struct tls_pins *p, const unsigned char digest[TLS_PIN_LEN])
{
    for (size_t i = 0; i < p->n; i++)
        if (memcmp(p->sha256[i], digest, TLS_PIN_LEN) == 0)
            return true;
    return false;
}

static bool
digests_of(X509 *x, unsigned char certificate[EVP_MAX_MD_SIZE], unsigned char key[EVP_MAX_MD_SIZE])
{
    unsigned char *der = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
    bool good = len > 0 && X509_digest(x, EVP_sha256(), certificate, NULL) == 1 &&
                EVP_Digest(der, (size_t)len, key, NULL, EVP_sha256(), NULL) == 1;
    OPENSSL_free(der);
    return good;
}

static bool fits(const struct tls_pins *p, X509 *leaf)
{
    unsigned char certificate[EVP_MAX_MD_SIZE], key[EVP_MAX_MD_SIZE];
    return leaf && digests_of(leaf, certificate, key) &&
           (is_pinned(p, certificate) || is_pinned(p, key));
}

/* ---- words ---- */

static void add(char *out, size_t size, const char *fmt, ...) PRINTF(3, 4);
static void add(char *out, size_t size, const char *fmt, ...)
{
    size_t len = strlen(out);
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(out + len, size - len, fmt, ap);
    va_end(ap);
}

/* What a server says of itself goes to a terminal: no control character, no 8-bit octet. */
static void add_printable(char *out, size_t size, struct str s)
{
    for (size_t i = 0; i < s.len && i < 64; i++)
        add(out, size, "%c", s.p[i] > 0x20 && s.p[i] < 0x7f ? s.p[i] : '?');
}

static void tell_names(X509 *leaf, char *out, size_t size)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    int told = 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && told < NAMES_TOLD; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_DNS)
            continue;
        add(out, size, "%s", told++ ? ", " : ", it is for ");
        add_printable(out, size,
                      (struct str){(const char *)ASN1_STRING_get0_data(name->d.dNSName),
                                   (size_t)ASN1_STRING_length(name->d.dNSName)});
    }
    if (told == 0)
        add(out, size, ", it names no host (a common name does not count)");
    GENERAL_NAMES_free(names);
}

static void tell_day(const char *glue, const ASN1_TIME *t, char *out, size_t size)
{
    struct tm tm;
    char date[16];
    if (ASN1_TIME_to_tm(t, &tm) == 1 && strftime(date, sizeof(date), "%Y-%m-%d", &tm))
        add(out, size, "%s%s", glue, date);
}

static void tell_issuer(X509 *leaf, char *out, size_t size)
{
    char name[160];
    if (X509_NAME_oneline(X509_get_issuer_name(leaf), name, sizeof(name))) {
        add(out, size, ", its issuer is ");
        add_printable(out, size, str_of(name));
    }
    add(out, size, ": is that CA among the trust anchors?");
}

static void tell_digest(X509 *leaf, char *out, size_t size)
{
    unsigned char certificate[EVP_MAX_MD_SIZE], key[EVP_MAX_MD_SIZE];
    if (!digests_of(leaf, certificate, key))
        return;
    add(out, size, ", its SHA-256 is ");
    for (size_t i = 0; i < TLS_PIN_LEN; i++)
        add(out, size, "%02x", certificate[i]);
}

static void tell(X509_STORE_CTX *store, const struct tls_pins *p, char *out, size_t size)
{
    int code = X509_STORE_CTX_get_error(store);
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    bool is_pin = code == X509_V_ERR_APPLICATION_VERIFICATION && p->n;
    add(out, size, "%s", is_pin ? "it is not pinned" : X509_verify_cert_error_string(code));
    if (is_pin)
        tell_digest(leaf, out, size);
    else if (code == X509_V_ERR_HOSTNAME_MISMATCH)
        tell_names(leaf, out, size);
    else if (code == X509_V_ERR_CERT_HAS_EXPIRED)
        tell_day(" on ", X509_get0_notAfter(leaf), out, size);
    else if (code == X509_V_ERR_CERT_NOT_YET_VALID)
        tell_day(", it will be from ", X509_get0_notBefore(leaf), out, size);
    else if (code == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
             code == X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN ||
             code == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ||
             code == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE)
        tell_issuer(leaf, out, size);
}

/* ---- the verification itself ---- */

static int pins_index, words_index;

static void free_pins(void *parent, void *pointer, CRYPTO_EX_DATA *data, int index, long number, void *arg)
{
    (void)parent;
    (void)data;
    (void)index;
    (void)number;
    (void)arg;
    struct tls_pins *p = pointer;
    if (p)
        free(p->sha256);
    free(p);
}

static void free_words(void *parent, void *pointer, CRYPTO_EX_DATA *data, int index, long number, void *arg)
{
    (void)parent;
    (void)data;
    (void)index;
    (void)number;
    (void)arg;
    free(pointer);
}

static void make_indexes(void)
{
    pins_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_pins);
    words_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_words);
    if (pins_index < 0 || words_index < 0)
        abort();
}

/* The connection forgets a certificate it refuses, so the words are made here. */
static int refuse(X509_STORE_CTX *store, const struct tls_pins *p)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    char *words = SSL_get_ex_data(ssl, words_index);
    if (!words)
        words = xcalloc(1, TLS_VERIFY_WORDS_MAX);
    words[0] = '\0';
    tell(store, p, words, TLS_VERIFY_WORDS_MAX);
    if (SSL_set_ex_data(ssl, words_index, words) != 1)
        free(words);
    return 0;
}

/* A pin alone lets the handshake go on, but leaves a result that is no "verified" (TLS-13). */
static int on_verify(X509_STORE_CTX *store, void *arg)
{
    const struct tls_pins *p = arg;
    if (!p->alone && X509_verify_cert(store) != 1)
        return refuse(store, p);
    bool pinned = p->n == 0 || fits(p, X509_STORE_CTX_get0_cert(store));
    if (p->alone || !pinned)
        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
    return pinned ? 1 : refuse(store, p);
}

void tls_verify_use(SSL_CTX *ctx, struct tls_pins *p)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, make_indexes);
    if (SSL_CTX_set_ex_data(ctx, pins_index, p) != 1)
        abort();
    SSL_CTX_set_cert_verify_callback(ctx, on_verify, p);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
}

const char *tls_verify_words(const SSL *ssl)
{
    long code = SSL_get_verify_result(ssl);
    if (code == X509_V_OK || SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE)
        return "";
    const char *words = SSL_is_server(ssl) ? NULL : SSL_get_ex_data(ssl, words_index);
    return words ? words : X509_verify_cert_error_string(code);
}
