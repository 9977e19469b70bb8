#include "cert/ca_internal.h"

#include <errno.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int write_list(const char *dir,
                      const struct ca_index *ix,
                      uint64_t number,
                      int64_t now_ms,
                      X509 *cert,
                      EVP_PKEY *key,
                      char *why)
{
    char path[CA_PATH_MAX];
    ca_path(dir, "crl.pem", path);
    X509_CRL *crl = ca_make_crl(ix, number, now_ms, cert, key);
    int r = crl ? ca_write_list(crl, path, why) : ca_openssl_trouble(why, path);
    X509_CRL_free(crl);
    return r;
}

static int write_index(const char *dir, const struct ca_index *ix, char *why)
{
    char path[CA_PATH_MAX];
    ca_path(dir, "index.txt", path);
    int r = ca_index_write(path, ix);
    return r < 0 ? ca_say(why, r, path) : 0;
}

/* --- a new CA */

int ca_check_name(const char *name, char *why)
{
    struct str s = str_of(name);
    if (s.len > 0 && s.len <= CA_NAME_MAX && str_is_utf8(s) && !str_has_control(s))
        return 0;
    return ca_fail(why, -EINVAL, "name: must be 1 to %d octets of UTF-8 without control characters",
                   CA_NAME_MAX);
}

static int choose_name(const char *wanted, char out[CA_NAME_MAX + 1], char *why)
{
    unsigned char random[4];
    if (wanted) {
        int r = ca_check_name(wanted, why);
        if (r == 0)
            memcpy(out, wanted, strlen(wanted) + 1);
        return r;
    }
    if (RAND_bytes(random, sizeof(random)) != 1)
        return ca_openssl_trouble(why, "random numbers");
    (void)snprintf(out, CA_NAME_MAX, "Postern CA %02x%02x%02x%02x", random[0], random[1], random[2],
                   random[3]);
    return 0;
}

/* ca.pem comes last: with it the CA is there, and before it nothing can have been issued, so that an init
 * which was interrupted may simply be done again. */
static int write_new(const char *dir, X509 *cert, EVP_PKEY *key, int64_t now_ms, char *why)
{
    char path[CA_PATH_MAX];
    struct ca_index none = {NULL, 0, 0};
    ca_path(dir, "ca.key", path);
    int r = ca_write_key(key, path, CA_WRITE_REPLACE, why);
    if (r == 0)
        r = write_index(dir, &none, why);
    if (r == 0)
        r = write_list(dir, &none, 1, now_ms, cert, key, why);
    ca_path(dir, "ca.pem", path);
    return r < 0 ? r : ca_write_certificate(cert, path, CA_WRITE_NEW, why);
}

int ca_create(const struct ca_config *cfg, char *why)
{
    ERROR_SCOPE;
    char path[CA_PATH_MAX], name[CA_NAME_MAX + 1];
    CLEANUP(fd_closep) int lock_fd = -1;
    if (mkdir(cfg->dir, 0700) < 0 && errno != EEXIST)
        return ca_say(why, -errno, cfg->dir);
    int r = ca_lock(cfg->dir, &lock_fd);
    if (r < 0)
        return ca_say(why, r, cfg->dir);
    ca_path(cfg->dir, "ca.pem", path);
    if (ca_file_exists(path))
        return ca_fail(why, -EEXIST, "%s: there is a CA here already; choose another directory",
                       path);
    r = choose_name(cfg->name, name, why);
    if (r < 0)
        return r;
    CLEANUP(pkey_freep) EVP_PKEY *key = ca_make_key(cfg->key);
    CLEANUP(x509_freep) X509 *cert = key ? ca_make_root(name, key, cfg->now_ms) : NULL;
    return cert ? write_new(cfg->dir, cert, key, cfg->now_ms, why)
                : ca_openssl_trouble(why, "making the CA");
}

/* --- opening */

void ca_close(struct ca *ca)
{
    if (!ca)
        return;
    ca_index_done(&ca->index);
    X509_free(ca->cert);
    fd_closep(&ca->lock_fd);
    free(ca->dir);
    free(ca);
}

static void ca_closep(struct ca **ca)
{
    ca_close(*ca);
    *ca = NULL;
}

static int read_certificate(struct ca *ca, char *why)
{
    char path[CA_PATH_MAX];
    ca_path(ca->dir, "ca.pem", path);
    if (!ca_file_exists(path))
        return ca_fail(why, -ENOENT, "%s: there is no CA here; make one with: postern cert init %s",
                       path, ca->dir);
    CLEANUP(x509_stack_freep) STACK_OF(X509) *certs = NULL;
    int r = cert_file_certificates(path, &certs, why);
    if (r == 0)
        ca->cert = sk_X509_shift(certs);
    return r;
}

int ca_open(const char *dir, struct ca **ret, char *why)
{
    ERROR_SCOPE;
    char path[CA_PATH_MAX];
    CLEANUP(ca_closep) struct ca *ca = xcalloc(1, sizeof(*ca));
    ca->lock_fd = -1;
    ca->dir = xstrdup(dir);
    int r = read_certificate(ca, why);
    if (r < 0)
        return r;
    r = ca_lock(dir, &ca->lock_fd);
    if (r == -EBUSY)
        return ca_fail(why, r,
                       "%s: another command works with this CA; try again when it has ended", dir);
    if (r < 0)
        return ca_say(why, r, dir);
    ca_path(dir, "index.txt", path);
    r = ca_index_read(path, &ca->index, why);
    if (r < 0)
        return r;
    *ret = ca;
    ca = NULL;
    return 0;
}

int ca_signing_key(const struct ca *ca, EVP_PKEY **ret, char *why)
{
    char path[CA_PATH_MAX];
    ca_path(ca->dir, "ca.key", path);
    CLEANUP(pkey_freep) EVP_PKEY *key = NULL;
    int r = ca_read_key(path, &key, why);
    if (r < 0)
        return r;
    if (X509_check_private_key(ca->cert, key) != 1)
        return ca_fail(why, -EINVAL,
                       "%s: is not the key of ca.pem beside it; put the right one back", path);
    *ret = key;
    key = NULL;
    return 0;
}

int ca_save_index(const struct ca *ca, char *why)
{
    return write_index(ca->dir, &ca->index, why);
}

size_t ca_count(const struct ca *ca)
{
    return ca->index.n;
}

const struct ca_entry *ca_entry(const struct ca *ca, size_t at)
{
    return &ca->index.entries[at];
}

/* --- finding and revoking */

/* Hex digits in the form of the index: lower case, no colons.  False: that is no serial number. */
static bool read_serial(const char *text, char out[CA_SERIAL_LEN])
{
    size_t n = 0;
    for (; *text; text++) {
        const char *digit = strchr("00112233445566778899aAbBcCdDeEfF", *text);
        if (*text == ':')
            continue;
        if (!digit || n + 1 >= CA_SERIAL_LEN)
            return false;
        out[n++] = "0123456789abcdef"[(digit - "00112233445566778899aAbBcCdDeEfF") / 2];
    }
    out[n] = '\0';
    return n > 0;
}

static bool find_serial(const struct ca *ca, const char *serial, size_t *ret)
{
    for (size_t i = 0; i < ca->index.n; i++) {
        if (strcmp(ca->index.entries[i].serial, serial) == 0) {
            *ret = i;
            return true;
        }
    }
    return false;
}

static int find_file(const struct ca *ca, const char *path, size_t *ret, char *why)
{
    char serial[CA_SERIAL_LEN];
    CLEANUP(x509_stack_freep) STACK_OF(X509) *certs = NULL;
    int r = cert_file_certificates(path, &certs, why);
    if (r < 0)
        return r;
    X509 *x = sk_X509_value(certs, 0);
    if (X509_check_issued(ca->cert, x) != X509_V_OK ||
        X509_verify(x, X509_get0_pubkey(ca->cert)) != 1)
        return ca_fail(why, -ENOENT, "%s: was not issued by this CA; see: postern cert explain %s",
                       path, path);
    ca_serial_of(x, serial);
    if (!find_serial(ca, serial, ret))
        return ca_fail(why, -ENOENT, "%s: its serial number %s is not in the index", path, serial);
    return 0;
}

int ca_find(const struct ca *ca, const char *serial_or_file, size_t *ret, char *why)
{
    ERROR_SCOPE;
    char serial[CA_SERIAL_LEN];
    bool is_serial = read_serial(serial_or_file, serial);
    if (is_serial && find_serial(ca, serial, ret))
        return 0;
    if (is_serial && !ca_file_exists(serial_or_file))
        return ca_fail(why, -ENOENT, "%s: no such serial number here; see: postern cert list %s",
                       serial_or_file, ca->dir);
    return find_file(ca, serial_or_file, ret, why);
}

int ca_revoke(struct ca *ca, size_t at, enum ca_reason reason, int64_t now_ms, char *why)
{
    struct ca_entry *e = &ca->index.entries[at];
    if (e->revoked_ms)
        return ca_fail(why, -EALREADY, "%s: is revoked already", e->serial);
    e->revoked_ms = now_ms;
    e->reason = reason;
    int r = ca_save_index(ca, why);
    if (r < 0)
        e->revoked_ms = 0;
    return r;
}

static int keep_number(void *arg, X509_CRL *crl, const char *path, char *why)
{
    uint64_t *number = arg, n;
    (void)path, (void)why;
    ASN1_INTEGER *value = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
    if (value && ASN1_INTEGER_get_uint64(&n, value) == 1)
        *number = MAX(*number, n);
    ASN1_INTEGER_free(value);
    return 0;
}

/* [rfc5280 5.2.3] Numbers only rise.  When the old list is lost, the clock is above every number used so far. */
static uint64_t next_number(const struct ca *ca, int64_t now_ms)
{
    char path[CA_PATH_MAX], unused[CERT_WHY_MAX];
    uint64_t number = 0;
    ca_path(ca->dir, "crl.pem", path);
    if (cert_file_crls(path, keep_number, &number, unused) < 0)
        return (uint64_t)now_ms / 1000;
    return number + 1;
}

int ca_write_crl(struct ca *ca, int64_t now_ms, char *why)
{
    ERROR_SCOPE;
    CLEANUP(pkey_freep) EVP_PKEY *key = NULL;
    int r = ca_signing_key(ca, &key, why);
    return r < 0 ? r
                 : write_list(ca->dir, &ca->index, next_number(ca, now_ms), now_ms, ca->cert, key,
                              why);
}
