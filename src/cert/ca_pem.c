#include "base/file.h"
#include "cert/ca_internal.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#define KEY_FILE_MAX ((size_t)64 << 10)

int ca_openssl_trouble(char *why, const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return ca_fail(why, -EIO, "%s: %s", what, reason ? reason : "OpenSSL fails");
}

int ca_write_bio(BIO *mem, const char *path, mode_t mode, enum ca_write how, char *why)
{
    char *data = NULL;
    long len = BIO_get_mem_data(mem, &data);
    int r = ca_file_write(path, (struct str){data, (size_t)len}, mode, how);
    if (r == -EEXIST)
        return ca_fail(why, r, "%s: is there already; choose another place, or allow to replace it",
                       path);
    return r < 0 ? ca_say(why, r, path) : 0;
}

int ca_write_certificate(const X509 *x, const char *path, enum ca_write how, char *why)
{
    CLEANUP(bio_freep) BIO *mem = BIO_new(BIO_s_mem());
    if (!mem || PEM_write_bio_X509(mem, x) != 1)
        return ca_openssl_trouble(why, path);
    return ca_write_bio(mem, path, 0644, how, why);
}

/* BIO_s_secmem wipes what it held. */
int ca_write_key(EVP_PKEY *key, const char *path, enum ca_write how, char *why)
{
    CLEANUP(bio_freep) BIO *mem = BIO_new(BIO_s_secmem());
    if (!mem || PEM_write_bio_PKCS8PrivateKey(mem, key, NULL, NULL, 0, NULL, NULL) != 1)
        return ca_openssl_trouble(why, path);
    return ca_write_bio(mem, path, 0600, how, why);
}

int ca_write_list(const X509_CRL *crl, const char *path, char *why)
{
    CLEANUP(bio_freep) BIO *mem = BIO_new(BIO_s_mem());
    if (!mem || PEM_write_bio_X509_CRL(mem, crl) != 1)
        return ca_openssl_trouble(why, path);
    return ca_write_bio(mem, path, 0644, CA_WRITE_REPLACE, why);
}

/* Instead of asking on the terminal. */
static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
    (void)buf, (void)size, (void)rwflag, (void)arg;
    return -1;
}

int ca_read_key(const char *path, EVP_PKEY **ret, char *why)
{
    CLEANUP(buf_wipe) struct buf text = BUF_INIT(KEY_FILE_MAX);
    int r = file_read(path, &text);
    if (r == -ENOENT)
        return ca_fail(
            why, r, "%s: the key of the CA is not here; put it back for as long as you sign", path);
    if (r < 0)
        return ca_say(why, r, path);
    CLEANUP(bio_freep) BIO *mem = BIO_new_mem_buf(text.data, (int)text.len);
    EVP_PKEY *key = mem ? PEM_read_bio_PrivateKey(mem, NULL, no_passphrase, NULL) : NULL;
    if (!key)
        return ca_fail(why, -EINVAL, "%s: holds no private key without passphrase (PEM wanted)",
                       path);
    *ret = key;
    return 0;
}
