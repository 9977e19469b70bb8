/* ca_internal.h - what the files of the small CA share. */
#ifndef POSTERN_CA_INTERNAL_H
#define POSTERN_CA_INTERNAL_H

#include "cert/ca.h"
#include "cert/cert_internal.h"

static inline void pkey_freep(EVP_PKEY **k)
{
    EVP_PKEY_free(*k);
    *k = NULL;
}

static inline void bio_freep(BIO **b)
{
    BIO_free(*b);
    *b = NULL;
}

#define CA_ENTRIES_MAX 100000

struct ca_index {
    struct ca_entry *entries;
    size_t n, cap;
};

struct ca {
    char *dir;
    int lock_fd;
    X509 *cert;
    struct ca_index index;
};

/* Writes "what: text of errno" and returns r. */
int ca_say(char *why, int r, const char *what);
/* Writes the sentence and returns r. */
int ca_fail(char *why, int r, const char *fmt, ...) PRINTF(3, 4);
/* `dir`/`name` in a buffer of CA_PATH_MAX; a path that is too long is cut and so not found. */
#define CA_PATH_MAX 4096
void ca_path(const char *dir, const char *name, char out[CA_PATH_MAX]);

/* --- ca_file.c: files that are there wholly or not at all */

enum ca_write { CA_WRITE_NEW, CA_WRITE_REPLACE }; /* new: -EEXIST when there is one */
MUST_USE int ca_file_write(const char *path, struct str content, mode_t mode, enum ca_write how);
MUST_USE int ca_lock(const char *dir, int *ret_fd);
bool ca_file_exists(const char *path);

/* --- ca_index.c: index.txt, of at most CA_ENTRIES_MAX lines */

MUST_USE int ca_index_read(const char *path, struct ca_index *ret, char *why);
MUST_USE int ca_index_write(const char *path, const struct ca_index *ix);
/* Copies the entry; -ENOSPC at CA_ENTRIES_MAX. */
MUST_USE int ca_index_add(struct ca_index *ix, const struct ca_entry *e);
void ca_index_done(struct ca_index *ix);
void ca_entry_copy(const struct ca_entry *from, struct ca_entry *to);
void ca_entry_done(struct ca_entry *e);

/* --- ca_pem.c: keys, certificates and lists as files, with the sentence that says what went wrong */

/* "what: the last complaint of OpenSSL"; -EIO */
int ca_openssl_trouble(char *why, const char *what);
MUST_USE int ca_write_bio(BIO *mem, const char *path, mode_t mode, enum ca_write how, char *why);
MUST_USE int ca_write_certificate(const X509 *x, const char *path, enum ca_write how, char *why);
MUST_USE int ca_write_key(EVP_PKEY *key, const char *path, enum ca_write how, char *why);
MUST_USE int ca_write_list(const X509_CRL *crl, const char *path, char *why);
MUST_USE int ca_read_key(const char *path, EVP_PKEY **ret, char *why);

/* --- ca.c */

/* The key of the CA, seen to be the one of its certificate. */
MUST_USE int ca_signing_key(const struct ca *ca, EVP_PKEY **ret, char *why);
MUST_USE int ca_save_index(const struct ca *ca, char *why);
#define CA_NAME_MAX 64 /* RFC 5280 appendix A: ub-common-name */
MUST_USE int ca_check_name(const char *name, char *why);

/* --- ca_make.c: keys, certificates and lists in memory */

EVP_PKEY *ca_make_key(enum ca_key kind);
/* Both NULL when OpenSSL fails. */
X509 *ca_make_root(const char *name, EVP_PKEY *key, int64_t now_ms);
/* `serial` of ca_make_serial() */
X509 *ca_make_certificate(
    const struct ca_request *rq, const char *serial, EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key);
X509_CRL *
ca_make_crl(const struct ca_index *ix, uint64_t number, int64_t now_ms, X509 *ca, EVP_PKEY *ca_key);
/* 127 random bits, so that DER writes them in 16 octets */
MUST_USE int ca_make_serial(char out[CA_SERIAL_LEN]);
void ca_serial_of(const X509 *x, char out[CA_SERIAL_LEN]); /* "" when it is no number of ours */

#endif
