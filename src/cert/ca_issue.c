#include "cert/ca_internal.h"

#include <errno.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#define NAMES_MAX 32 /* of a certificate, all kinds together */

struct ca_issued {
    X509 *cert, *ca;
    EVP_PKEY *key;
    struct ca_entry entry;
};

void ca_issued_free(struct ca_issued *is)
{
    if (!is)
        return;
    X509_free(is->cert);
    X509_free(is->ca);
    EVP_PKEY_free(is->key);
    ca_entry_done(&is->entry);
    free(is);
}

static void ca_issued_freep(struct ca_issued **is)
{
    ca_issued_free(*is);
    *is = NULL;
}

const struct ca_entry *ca_issued_entry(const struct ca_issued *is)
{
    return &is->entry;
}

/* --- what is asked for */

static bool is_email(const char *name)
{
    char form[CERT_IDENTITY_MAX + 1]; /* quoted local parts are legal and nobody's */
    return cert_source_normalise(CERT_SOURCE_SAN_EMAIL, name, form) && name[0] != '"';
}

/* The names of servers may be wildcards. */
static bool is_host(const char *name)
{
    char form[CERT_IDENTITY_MAX + 1];
    return cert_source_normalise(CERT_SOURCE_SAN_DNS, strncmp(name, "*.", 2) == 0 ? name + 2 : name,
                                 form);
}

static bool is_address(const char *name)
{
    ASN1_OCTET_STRING *octets = a2i_IPADDRESS(name);
    ASN1_OCTET_STRING_free(octets);
    return octets != NULL;
}

static bool is_uri(const char *name)
{
    char form[CERT_IDENTITY_MAX + 1];
    return cert_source_normalise(CERT_SOURCE_SAN_URI, name, form);
}

/* One kind of name, in the request, in a sentence, and in the index. */
struct kind {
    const char *label, *what;
    bool (*is_good)(const char *name);
    const char *const *names;
    size_t n;
};
enum { N_KINDS = 4 };

static void kinds_of(const struct ca_request *rq, struct kind out[N_KINDS])
{
    out[0] =
        (struct kind){"email", "is no e-mail address (ASCII)", is_email, rq->emails, rq->n_emails};
    out[1] = (struct kind){"DNS", "is no host name", is_host, rq->hosts, rq->n_hosts};
    out[2] = (struct kind){"IP", "is no IP address", is_address, rq->addresses, rq->n_addresses};
    out[3] = (struct kind){"URI", "is no URI", is_uri, rq->uris, rq->n_uris};
}

static int check_names(const struct ca_request *rq, char *why)
{
    struct kind kinds[N_KINDS];
    size_t n = 0;
    kinds_of(rq, kinds);
    for (size_t i = 0; i < N_KINDS; i++) {
        n += kinds[i].n;
        for (size_t k = 0; k < kinds[i].n; k++)
            if (!kinds[i].is_good(kinds[i].names[k]))
                return ca_fail(why, -EINVAL, "%.200s: %s", kinds[i].names[k], kinds[i].what);
    }
    if (n == 0 || n > NAMES_MAX)
        return ca_fail(why, -EINVAL, "a certificate needs at least one name, and takes %d at most",
                       NAMES_MAX);
    return rq->name ? ca_check_name(rq->name, why) : 0;
}

static int check_times(const struct ca *ca, const struct ca_request *rq, char *why)
{
    char end[CERT_DATE_MAX];
    const ASN1_TIME *not_after = X509_get0_notAfter(ca->cert);
    if (rq->not_after_ms <= rq->not_before_ms)
        return ca_fail(why, -EINVAL, "the certificate would end before it begins");
    if (rq->not_after_ms <= cert_time_ms(not_after))
        return 0;
    cert_date(not_after, end);
    return ca_fail(why, -EINVAL,
                   "the certificate would outlive its CA, which ends on %s; ask for fewer days",
                   end);
}

/* "email:alice@example.org DNS:a.example.org" */
static char *names_text(const struct ca_request *rq)
{
    CLEANUP(buf_done) struct buf out = BUF_INIT(NAMES_MAX * (CERT_IDENTITY_MAX + 8));
    struct kind kinds[N_KINDS];
    int r = 0;
    kinds_of(rq, kinds);
    for (size_t i = 0; i < N_KINDS; i++)
        for (size_t k = 0; r == 0 && k < kinds[i].n; k++)
            r = buf_printf(&out, "%s%s:%s", out.len ? " " : "", kinds[i].label, kinds[i].names[k]);
    return buf_take(&out);
}

/* The first name serves as common name when it fits; else the certificate has an empty subject. */
static const char *common_name(const struct ca_request *rq)
{
    struct kind kinds[N_KINDS];
    if (rq->name)
        return rq->name;
    kinds_of(rq, kinds);
    for (size_t i = 0; i < N_KINDS; i++)
        if (kinds[i].n > 0)
            return strlen(kinds[i].names[0]) <= CA_NAME_MAX ? kinds[i].names[0] : NULL;
    return NULL;
}

/* --- signing */

static int sign(const struct ca *ca, const struct ca_request *rq, struct ca_issued *is, char *why)
{
    CLEANUP(pkey_freep) EVP_PKEY *ca_key = NULL;
    struct ca_request named = *rq;
    named.name = common_name(rq);
    int r = ca_signing_key(ca, &ca_key, why);
    if (r < 0)
        return r;
    if (ca_make_serial(is->entry.serial) < 0)
        return ca_openssl_trouble(why, "random numbers");
    is->key = ca_make_key(rq->key);
    is->cert =
        is->key ? ca_make_certificate(&named, is->entry.serial, is->key, ca->cert, ca_key) : NULL;
    return is->cert ? 0 : ca_openssl_trouble(why, "making the certificate");
}

static int record(struct ca *ca, const struct ca_entry *e, char *why)
{
    int r = ca_index_add(&ca->index, e);
    if (r < 0)
        return ca_say(why, r, "index.txt");
    r = ca_save_index(ca, why);
    if (r < 0)
        ca_entry_done(&ca->index.entries[--ca->index.n]);
    return r;
}

int ca_issue(struct ca *ca, const struct ca_request *rq, struct ca_issued **ret, char *why)
{
    ERROR_SCOPE;
    int r = check_names(rq, why);
    if (r == 0)
        r = check_times(ca, rq, why);
    if (r < 0)
        return r;
    CLEANUP(ca_issued_freep) struct ca_issued *is = xcalloc(1, sizeof(*is));
    r = sign(ca, rq, is, why);
    if (r < 0)
        return r;
    is->ca = X509_dup(ca->cert);
    is->entry.kind = rq->kind;
    is->entry.not_before_ms = rq->not_before_ms;
    is->entry.not_after_ms = rq->not_after_ms;
    is->entry.names = names_text(rq);
    is->entry.subject = cert_name_line(X509_get_subject_name(is->cert));
    r = record(ca, &is->entry, why);
    if (r < 0)
        return r;
    *ret = is;
    is = NULL;
    return 0;
}

/* --- the files */

int ca_issued_write(
    const struct ca_issued *is, const char *cert, const char *key, bool replace, char *why)
{
    ERROR_SCOPE;
    enum ca_write how = replace ? CA_WRITE_REPLACE : CA_WRITE_NEW;
    int r = ca_write_key(is->key, key, how, why);
    return r < 0 ? r : ca_write_certificate(is->cert, cert, how, why);
}

static PKCS12 *make_p12(const struct ca_issued *is, const char *password)
{
    STACK_OF(X509) *others = sk_X509_new_null();
    PKCS12 *p12 = NULL;
    if (others && is->ca && sk_X509_push(others, is->ca) > 0)
        p12 = PKCS12_create(password, is->entry.subject, is->key, is->cert, others, 0, 0, 0, 0, 0);
    sk_X509_free(others);
    return p12;
}

int ca_issued_write_p12(
    const struct ca_issued *is, const char *file, const char *password, bool replace, char *why)
{
    ERROR_SCOPE;
    CLEANUP(bio_freep) BIO *mem = BIO_new(BIO_s_secmem());
    PKCS12 *p12 = make_p12(is, password);
    bool made = mem && p12 && i2d_PKCS12_bio(mem, p12) == 1;
    PKCS12_free(p12);
    if (!made)
        return ca_openssl_trouble(why, file);
    return ca_write_bio(mem, file, 0600, replace ? CA_WRITE_REPLACE : CA_WRITE_NEW, why);
}
