#include "base/file.h"
#include "cert/cert_internal.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int say_errno(char *why, const char *path, int r)
{
    snprintf(why, CERT_WHY_MAX, "%s: %s", path, r == -EINVAL ? "is no regular file" : strerror(-r));
    return r;
}

/* At the end of a PEM file, as opposed to a damaged block. */
static bool pem_is_used_up(void)
{
    unsigned long e = ERR_peek_last_error();
    return ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
}

/* No passphrase is ever asked for on the terminal. */
static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
    (void)buf, (void)size, (void)rwflag, (void)arg;
    return -1;
}

static int read_certificates(BIO *mem, STACK_OF(X509) * out, const char *path, char *why)
{
    for (;;) {
        X509 *x = PEM_read_bio_X509(mem, NULL, no_passphrase, NULL);
        if (x && sk_X509_push(out, x) > 0)
            continue;
        X509_free(x);
        int n = sk_X509_num(out);
        if (!x && pem_is_used_up() && n > 0)
            return 0;
        if (!x && pem_is_used_up())
            snprintf(why, CERT_WHY_MAX,
                     "%s: holds no certificate (\"-----BEGIN CERTIFICATE-----\")", path);
        else
            snprintf(why, CERT_WHY_MAX, "%s: certificate %d of the file is damaged", path, n + 1);
        return -EINVAL;
    }
}

int cert_file_certificates(const char *path, STACK_OF(X509) * *ret, char *why)
{
    ERROR_SCOPE;
    CLEANUP(buf_done) struct buf text = BUF_INIT(CERT_FILE_MAX);
    int r = file_read(path, &text);
    if (r < 0)
        return say_errno(why, path, r);
    CLEANUP(x509_stack_freep) STACK_OF(X509) *out = sk_X509_new_null();
    BIO *mem = BIO_new_mem_buf(buf_str(&text).p, (int)text.len);
    r = out && mem ? read_certificates(mem, out, path, why) : say_errno(why, path, -ENOMEM);
    BIO_free(mem);
    if (r < 0)
        return r;
    *ret = out;
    out = NULL;
    return 0;
}

static int damaged_list(const char *path, char *why)
{
    snprintf(why, CERT_WHY_MAX,
             "%s: the revocation list is damaged, or is none (PEM or DER wanted)", path);
    return -EINVAL;
}

static int each_pem_crl(BIO *mem, const char *path, cert_crl_fn *each, void *arg, char *why)
{
    for (size_t n = 0;; n++) {
        X509_CRL *crl = PEM_read_bio_X509_CRL(mem, NULL, no_passphrase, NULL);
        if (!crl)
            return n > 0 && pem_is_used_up() ? 0 : damaged_list(path, why);
        int r = each(arg, crl, path, why);
        X509_CRL_free(crl);
        if (r < 0)
            return r;
    }
}

static int each_der_crl(BIO *mem, const char *path, cert_crl_fn *each, void *arg, char *why)
{
    X509_CRL *crl = d2i_X509_CRL_bio(mem, NULL);
    int r = crl ? each(arg, crl, path, why) : damaged_list(path, why);
    X509_CRL_free(crl);
    return r;
}

static int crls_of_file(const char *path, cert_crl_fn *each, void *arg, char *why)
{
    ERROR_SCOPE;
    CLEANUP(buf_done) struct buf text = BUF_INIT(CERT_FILE_MAX);
    int r = file_read(path, &text);
    if (r < 0)
        return say_errno(why, path, r);
    BIO *mem = BIO_new_mem_buf(buf_str(&text).p, (int)text.len);
    if (!mem)
        return say_errno(why, path, -ENOMEM);
    bool is_pem = text.len && memmem(text.data, text.len, "-----BEGIN ", 11);
    r = (is_pem ? each_pem_crl : each_der_crl)(mem, path, each, arg, why);
    BIO_free(mem);
    return r;
}

static int is_crl_name(const struct dirent *e)
{
    static const char *const endings[] = {".pem", ".crl", ".der"};
    size_t len = strlen(e->d_name);
    for (size_t i = 0; i < ARRAY_LEN(endings); i++)
        if (e->d_name[0] != '.' && len > 4 && strcmp(e->d_name + len - 4, endings[i]) == 0)
            return 1;
    return 0;
}

/* An empty directory can be read; who has no list then is refused until the first one arrives. */
static int crls_of_directory(const char *path, cert_crl_fn *each, void *arg, char *why)
{
    struct dirent **entries = NULL;
    int n = scandir(path, &entries, is_crl_name, alphasort),
        r = n < 0 ? say_errno(why, path, -errno) : 0;
    for (int i = 0; i < n; i++) {
        char file[4096];
        if (r == 0 &&
            (size_t)snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name) >= sizeof(file))
            r = say_errno(why, path, -ENAMETOOLONG);
        if (r == 0)
            r = crls_of_file(file, each, arg, why);
        free(entries[i]);
    }
    free(entries);
    return r;
}

int cert_file_crls(const char *path, cert_crl_fn *each, void *arg, char *why)
{
    struct stat st;
    bool is_dir = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    return (is_dir ? crls_of_directory : crls_of_file)(path, each, arg, why);
}

int cert_from_der(struct str der, struct x509_st **ret)
{
    ERROR_SCOPE;
    const unsigned char *at = (const unsigned char *)der.p;
    CLEANUP(x509_freep) X509 *x = der.len <= LONG_MAX ? d2i_X509(NULL, &at, (long)der.len) : NULL;
    if (!x || at != (const unsigned char *)der.p + der.len)
        return -EINVAL;
    *ret = x;
    x = NULL;
    return 0;
}

void cert_release(struct x509_st *cert)
{
    X509_free(cert);
}
