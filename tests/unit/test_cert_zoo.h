/* test_cert_zoo.h - certificates good and bad, made with OpenSSL alone and not with the code under test. */
#ifndef POSTERN_TEST_CERT_ZOO_H
#define POSTERN_TEST_CERT_ZOO_H

#include "unit.h"

#include "base/base.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#define DAY ((int64_t)86400)
#define NOW ((int64_t)1794744000)        /* 2026-11-15T12:00:00Z */
#define OCTOBER_1 ((int64_t)1790812800)  /* 2026-10-01T00:00:00Z */
#define DECEMBER_1 ((int64_t)1796083200) /* 2026-12-01T00:00:00Z */
#define NOVEMBER_2 ((int64_t)1793577600) /* 2026-11-02T00:00:00Z */

enum zoo_key { ZOO_EC, ZOO_RSA_1024, ZOO_RSA_2048, ZOO_ED25519 };

struct zoo_spec {
    const char *cn; /* default "someone" */
    enum zoo_key key;
    int64_t from, until;   /* default: 30 days ago, in a year */
    const char *san;       /* as openssl.cnf has it: "email:a@b,DNS:c" */
    const char *raw_email; /* an rfc822Name of any octets */
    size_t raw_email_len;
    const char *other_oid, *other; /* an otherName of any octets, as UTF8String unless other_type says else */
    size_t other_len;
    int other_type;
    const char *uid, *email; /* of the subject, beside cn */
    const char *cn2;         /* a second common name */
    const char *eku, *ku, *bc; /* likewise; default none */
    const char *nc, *critical; /* nameConstraints; OID of an unknown critical extension */
    bool sha1;                 /* signed with it, instead of SHA-256 */
    long serial;               /* default 1 */
    bool bad_time;             /* notAfter is no time */
    bool bad_bc;               /* basicConstraints cannot be read */
    bool long_name;            /* twelve organizational units before the common name */
    bool no_key_ids;           /* neither subject nor authority key identifier */
    bool v1;
};

struct zoo_cert {
    X509 *x;
    EVP_PKEY *key;
};

static inline EVP_PKEY *zoo_key_new(enum zoo_key kind)
{
    switch (kind) {
    case ZOO_RSA_1024:
        return EVP_RSA_gen(1024);
    case ZOO_RSA_2048:
        return EVP_RSA_gen(2048);
    case ZOO_ED25519:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    case ZOO_EC:
        break;
    }
    return EVP_EC_gen("P-256");
}

static inline void zoo_ext(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = value ? X509V3_EXT_conf_nid(NULL, &ctx, nid, value) : NULL;
    if (value && (!e || X509_add_ext(x, e, -1) != 1))
        fail_msg("extension %s: %s", OBJ_nid2sn(nid), value);
    X509_EXTENSION_free(e);
}

static inline void zoo_name(X509_NAME *name, const char *field, int type, const char *text)
{
    assert_int_equal(
        X509_NAME_add_entry_by_txt(name, field, type, (const unsigned char *)text, -1, -1, 0), 1);
}

static inline void zoo_raw_email(X509 *x, const char *octets, size_t len)
{
    GENERAL_NAMES *all = sk_GENERAL_NAME_new_null();
    GENERAL_NAME *one = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    assert_true(all && one && text && ASN1_STRING_set(text, octets, (int)len) == 1);
    GENERAL_NAME_set0_value(one, GEN_EMAIL, text);
    assert_true(sk_GENERAL_NAME_push(all, one) > 0);
    assert_int_equal(X509_add1_ext_i2d(x, NID_subject_alt_name, all, 0, 0), 1);
    GENERAL_NAMES_free(all);
}

static inline void zoo_other_name(X509 *x, const struct zoo_spec *s)
{
    GENERAL_NAMES *all = sk_GENERAL_NAME_new_null();
    GENERAL_NAME *one = GENERAL_NAME_new();
    ASN1_STRING *text = ASN1_STRING_new();
    ASN1_TYPE *value = ASN1_TYPE_new();
    assert_true(all && one && text && value &&
                ASN1_STRING_set(text, s->other, (int)s->other_len) == 1);
    ASN1_TYPE_set(value, s->other_type ? s->other_type : V_ASN1_UTF8STRING, text);
    assert_int_equal(GENERAL_NAME_set0_othername(one, OBJ_txt2obj(s->other_oid, 1), value), 1);
    assert_true(sk_GENERAL_NAME_push(all, one) > 0);
    assert_int_equal(X509_add1_ext_i2d(x, NID_subject_alt_name, all, 0, 0), 1);
    GENERAL_NAMES_free(all);
}

/* An extension that holds NULL, which is none of those OpenSSL knows. */
static inline void zoo_odd_extension(X509 *x, const char *oid)
{
    ASN1_OBJECT *o = OBJ_txt2obj(oid, 0);
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    assert_true(o && value &&
                ASN1_OCTET_STRING_set(value, (const unsigned char *)"\x05\x00", 2) == 1);
    X509_EXTENSION *e = X509_EXTENSION_create_by_OBJ(NULL, o, 1, value);
    assert_true(e && X509_add_ext(x, e, -1) == 1);
    X509_EXTENSION_free(e);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(o);
}

static inline void zoo_extensions(X509 *x, X509 *issuer, const struct zoo_spec *s)
{
    zoo_ext(x, issuer, NID_basic_constraints, s->bc);
    zoo_ext(x, issuer, NID_key_usage, s->ku);
    zoo_ext(x, issuer, NID_ext_key_usage, s->eku);
    zoo_ext(x, issuer, NID_subject_alt_name, s->san);
    zoo_ext(x, issuer, NID_name_constraints, s->nc);
    if (s->raw_email)
        zoo_raw_email(x, s->raw_email, s->raw_email_len);
    if (s->other)
        zoo_other_name(x, s);
    if (s->critical)
        zoo_odd_extension(x, s->critical);
    if (s->bad_bc)
        zoo_odd_extension(x, "basicConstraints");
    if (!s->no_key_ids) {
        zoo_ext(x, issuer, NID_subject_key_identifier, "hash");
        zoo_ext(x, issuer, NID_authority_key_identifier, "keyid");
    }
}

/* Self-signed without an issuer. */
static inline struct zoo_cert zoo_make(const struct zoo_spec *s, const struct zoo_cert *issuer)
{
    struct zoo_cert c = {X509_new(), zoo_key_new(s->key)};
    assert_true(c.x && c.key);
    assert_int_equal(X509_set_version(c.x, s->v1 ? X509_VERSION_1 : X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(c.x), s->serial ? s->serial : 1), 1);
    assert_non_null(ASN1_TIME_set(X509_getm_notBefore(c.x), s->from ? s->from : NOW - 30 * DAY));
    assert_non_null(ASN1_TIME_set(X509_getm_notAfter(c.x), s->until ? s->until : NOW + 365 * DAY));
    if (s->bad_time)
        assert_int_equal(ASN1_STRING_set(X509_getm_notAfter(c.x), "not a time", -1), 1);
    X509_NAME *name = X509_get_subject_name(c.x);
    for (int i = 0; s->long_name && i < 12; i++)
        zoo_name(name, "OU", MBSTRING_UTF8,
                 "0123456789012345678901234567890123456789012345678901234567890");
    const char *cn = s->cn ? s->cn : "someone";
    if (cn[0]) /* UTF8String as it is, also where it is none */
        zoo_name(name, "CN", V_ASN1_UTF8STRING, cn);
    if (s->cn2)
        zoo_name(name, "CN", V_ASN1_UTF8STRING, s->cn2);
    if (s->uid)
        zoo_name(name, "UID", V_ASN1_UTF8STRING, s->uid);
    if (s->email)
        zoo_name(name, "emailAddress", V_ASN1_IA5STRING, s->email);
    assert_int_equal(X509_set_pubkey(c.x, c.key), 1);
    X509 *from = issuer ? issuer->x : c.x;
    EVP_PKEY *key = issuer ? issuer->key : c.key;
    assert_int_equal(X509_set_issuer_name(c.x, X509_get_subject_name(from)), 1);
    if (!s->v1)
        zoo_extensions(c.x, from, s);
    const EVP_MD *md = s->sha1 ? EVP_sha1() : EVP_sha256();
    if (EVP_PKEY_is_a(key, "ED25519")) /* hashes by itself */
        md = NULL;
    assert_true(X509_sign(c.x, key, md) > 0);
    ERR_clear_error(); /* the odd ones make OpenSSL complain */
    return c;
}

static inline struct zoo_cert zoo_ca(const char *cn, const struct zoo_cert *issuer)
{
    struct zoo_spec s = {.cn = cn, .bc = "critical,CA:TRUE", .ku = "critical,keyCertSign,cRLSign"};
    return zoo_make(&s, issuer);
}

static inline void zoo_free(struct zoo_cert *c)
{
    X509_free(c->x);
    EVP_PKEY_free(c->key);
    *c = (struct zoo_cert){NULL, NULL};
}

struct zoo_crl_spec {
    int64_t this_update, next_update; /* default: yesterday, in 30 days */
    long revoked, revoked_end;        /* serials from..end-1, on 2026-11-02; none when 0 */
    EVP_PKEY *signer;                 /* default: the issuer's key */
    bool only_attributes;             /* a list for attribute certificates, so for none of ours */
};

static inline X509_CRL *zoo_crl(const struct zoo_cert *issuer, const struct zoo_crl_spec *s)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *t = ASN1_TIME_new();
    assert_true(crl && t && X509_CRL_set_version(crl, X509_CRL_VERSION_2) == 1);
    assert_int_equal(X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->x)), 1);
    assert_non_null(ASN1_TIME_set(t, s->this_update ? s->this_update : NOW - DAY));
    assert_int_equal(X509_CRL_set1_lastUpdate(crl, t), 1);
    assert_non_null(ASN1_TIME_set(t, s->next_update ? s->next_update : NOW + 30 * DAY));
    assert_int_equal(X509_CRL_set1_nextUpdate(crl, t), 1);
    assert_non_null(ASN1_TIME_set(t, NOVEMBER_2));
    for (long n = s->revoked; n > 0 && n < MAX(s->revoked_end, s->revoked + 1); n++) {
        X509_REVOKED *r = X509_REVOKED_new();
        ASN1_INTEGER *serial = ASN1_INTEGER_new();
        assert_true(r && serial && ASN1_INTEGER_set(serial, n) == 1);
        assert_true(X509_REVOKED_set_serialNumber(r, serial) == 1 &&
                    X509_REVOKED_set_revocationDate(r, t) == 1);
        assert_int_equal(X509_CRL_add0_revoked(crl, r), 1);
        ASN1_INTEGER_free(serial);
    }
    if (s->only_attributes) {
        ISSUING_DIST_POINT *scope = ISSUING_DIST_POINT_new();
        assert_non_null(scope);
        scope->onlyattr = 0xff;
        assert_int_equal(X509_CRL_add1_ext_i2d(crl, NID_issuing_distribution_point, scope, 1, 0),
                         1);
        ISSUING_DIST_POINT_free(scope);
    }
    assert_int_equal(X509_CRL_sort(crl), 1);
    assert_true(X509_CRL_sign(crl, s->signer ? s->signer : issuer->key, EVP_sha256()) > 0);
    ASN1_TIME_free(t);
    return crl;
}

/* Files below a directory of the test's own, named by their last part. */
struct zoo_dir {
    char path[64];
    char file[160];
};

static inline void zoo_dir_init(struct zoo_dir *d)
{
    snprintf(d->path, sizeof(d->path), "/tmp/postern-cert-XXXXXX");
    assert_non_null(mkdtemp(d->path));
}

static inline void zoo_dir_done(struct zoo_dir *d)
{
    char command[100];
    snprintf(command, sizeof(command), "rm -rf '%s'", d->path);
    assert_int_equal(system(command), 0);
}

/* Borrowed until the next call. */
static inline const char *zoo_path(struct zoo_dir *d, const char *name)
{
    snprintf(d->file, sizeof(d->file), "%s/%s", d->path, name);
    return d->file;
}

static inline void
zoo_write(struct zoo_dir *d, const char *name, X509 *const *certs, size_t n, X509_CRL *crl)
{
    FILE *f = fopen(zoo_path(d, name), "w");
    assert_non_null(f);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(PEM_write_X509(f, certs[i]), 1);
    if (crl)
        assert_int_equal(PEM_write_X509_CRL(f, crl), 1);
    assert_int_equal(fclose(f), 0);
}

static inline void zoo_write_text(struct zoo_dir *d, const char *name, const char *text)
{
    FILE *f = fopen(zoo_path(d, name), "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

/* `name` holds what `a` and then `b` hold. */
static inline void zoo_concat(struct zoo_dir *d, const char *name, const char *a, const char *b)
{
    char command[400];
    snprintf(command, sizeof(command), "cd '%s' && cat %s %s >%s", d->path, a, b, name);
    assert_int_equal(system(command), 0);
}

#endif
