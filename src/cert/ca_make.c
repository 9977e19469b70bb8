#include "cert/ca_internal.h"

#include <errno.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#define RSA_BITS 3072

/* A list must not be "of the future" for a server whose clock lags a little. */
#define CLOCK_SLACK_S 300
#define DAY_S 86400

static void x509_crl_freep(X509_CRL **crl)
{
    X509_CRL_free(*crl);
    *crl = NULL;
}

EVP_PKEY *ca_make_key(enum ca_key kind)
{
    switch (kind) {
    case CA_KEY_RSA:
        return EVP_RSA_gen(RSA_BITS);
    case CA_KEY_ED25519:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    case CA_KEY_EC:
        break;
    }
    return EVP_EC_gen("P-256");
}

/* Ed25519 hashes by itself. */
static const EVP_MD *digest_for(EVP_PKEY *key)
{
    return EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256();
}

int ca_make_serial(char out[CA_SERIAL_LEN])
{
    unsigned char octets[16];
    if (RAND_bytes(octets, sizeof(octets)) != 1)
        return -EIO;
    octets[0] &= 0x7f;
    octets[0] |= 0x40; /* never shorter than the rest, so that all look alike */
    for (size_t i = 0; i < sizeof(octets); i++)
        (void)snprintf(out + 2 * i, 3, "%02x", octets[i]);
    return 0;
}

static bool set_serial(ASN1_INTEGER *to, const char *hex)
{
    BIGNUM *n = NULL;
    bool ok = BN_hex2bn(&n, hex) > 0 && BN_to_ASN1_INTEGER(n, to) != NULL;
    BN_free(n);
    return ok;
}

void ca_serial_of(const X509 *x, char out[CA_SERIAL_LEN])
{
    const ASN1_INTEGER *n = X509_get0_serialNumber(x);
    const unsigned char *octets = ASN1_STRING_get0_data(n);
    int len = ASN1_STRING_length(n);
    out[0] = '\0';
    if (len * 2 >= CA_SERIAL_LEN || ASN1_STRING_type(n) != V_ASN1_INTEGER)
        return;
    for (int i = 0; i < len; i++)
        (void)snprintf(out + 2 * i, 3, "%02x", octets[i]);
}

static bool set_common_name(X509 *x, const char *name)
{
    return X509_NAME_add_entry_by_NID(X509_get_subject_name(x), NID_commonName, MBSTRING_UTF8,
                                      (const unsigned char *)name, -1, -1, 0) == 1;
}

static bool set_times(X509 *x, int64_t from_ms, int64_t until_ms)
{
    return ASN1_TIME_set(X509_getm_notBefore(x), (time_t)(from_ms / 1000)) &&
           ASN1_TIME_set(X509_getm_notAfter(x), (time_t)(until_ms / 1000));
}

static bool add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = e && X509_add_ext(x, e, -1) == 1;
    X509_EXTENSION_free(e);
    return ok;
}

static bool add_key_identifiers(X509 *x, X509 *issuer)
{
    return add_extension(x, issuer, NID_subject_key_identifier, "hash") &&
           add_extension(x, issuer, NID_authority_key_identifier, "keyid");
}

static bool set_identity(X509 *x, const char *serial, EVP_PKEY *key, const X509_NAME *issuer)
{
    return X509_set_version(x, X509_VERSION_3) == 1 &&
           set_serial(X509_get_serialNumber(x), serial) && X509_set_pubkey(x, key) == 1 &&
           X509_set_issuer_name(x, issuer) == 1;
}

X509 *ca_make_root(const char *name, EVP_PKEY *key, int64_t now_ms)
{
    char serial[CA_SERIAL_LEN];
    CLEANUP(x509_freep) X509 *x = X509_new();
    int64_t from_ms = now_ms - CLOCK_SLACK_S * 1000,
            until_ms = now_ms + (int64_t)CA_DAYS * DAY_S * 1000;
    if (!x || ca_make_serial(serial) < 0 || !set_common_name(x, name) ||
        !set_identity(x, serial, key, X509_get_subject_name(x)) ||
        !set_times(x, from_ms, until_ms) ||
        !add_extension(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
        !add_extension(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") ||
        !add_key_identifiers(x, x) || X509_sign(x, key, digest_for(key)) <= 0)
        return NULL;
    X509 *out = x;
    x = NULL;
    return out;
}

/* Built piece by piece and not as a line of configuration, where a name with a comma would become two. */
static bool add_name(GENERAL_NAMES *all, int type, const char *text)
{
    GENERAL_NAME *one = GENERAL_NAME_new();
    ASN1_STRING *value = type == GEN_IPADD ? a2i_IPADDRESS(text) : ASN1_IA5STRING_new();
    if (!one || !value || (type != GEN_IPADD && ASN1_STRING_set(value, text, -1) != 1)) {
        GENERAL_NAME_free(one);
        ASN1_STRING_free(value);
        return false;
    }
    GENERAL_NAME_set0_value(one, type, value);
    if (sk_GENERAL_NAME_push(all, one) > 0)
        return true;
    GENERAL_NAME_free(one);
    return false;
}

static bool add_names(GENERAL_NAMES *all, int type, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!add_name(all, type, names[i]))
            return false;
    return true;
}

/* [rfc5280 4.2.1.6] Critical when there is no subject. */
static bool add_alternative_names(X509 *x, const struct ca_request *rq)
{
    GENERAL_NAMES *all = sk_GENERAL_NAME_new_null();
    int critical = X509_NAME_entry_count(X509_get_subject_name(x)) == 0;
    bool ok = all && add_names(all, GEN_EMAIL, rq->emails, rq->n_emails) &&
              add_names(all, GEN_DNS, rq->hosts, rq->n_hosts) &&
              add_names(all, GEN_IPADD, rq->addresses, rq->n_addresses) &&
              add_names(all, GEN_URI, rq->uris, rq->n_uris) &&
              X509_add1_ext_i2d(x, NID_subject_alt_name, all, critical, X509V3_ADD_DEFAULT) == 1;
    GENERAL_NAMES_free(all);
    return ok;
}

/* TLS 1.2 clients may still encrypt to an RSA key of a server. */
static const char *key_usage_for(const struct ca_request *rq)
{
    bool encipher = rq->kind == CA_SERVER && rq->key == CA_KEY_RSA;
    return encipher ? "critical,digitalSignature,keyEncipherment" : "critical,digitalSignature";
}

X509 *ca_make_certificate(
    const struct ca_request *rq, const char *serial, EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key)
{
    CLEANUP(x509_freep) X509 *x = X509_new();
    if (!x || (rq->name && !set_common_name(x, rq->name)) ||
        !set_identity(x, serial, key, X509_get_subject_name(ca)) ||
        !set_times(x, rq->not_before_ms, rq->not_after_ms) ||
        !add_extension(x, ca, NID_basic_constraints, "critical,CA:FALSE") ||
        !add_extension(x, ca, NID_key_usage, key_usage_for(rq)) ||
        !add_extension(x, ca, NID_ext_key_usage,
                       rq->kind == CA_SERVER ? "serverAuth" : "clientAuth") ||
        !add_alternative_names(x, rq) || !add_key_identifiers(x, ca) ||
        X509_sign(x, ca_key, digest_for(ca_key)) <= 0)
        return NULL;
    X509 *out = x;
    x = NULL;
    return out;
}

/* --- revocation lists */

static const int reason_codes[] = {
    [CA_UNSPECIFIED] = CRL_REASON_UNSPECIFIED,
    [CA_KEY_COMPROMISE] = CRL_REASON_KEY_COMPROMISE,
    [CA_AFFILIATION_CHANGED] = CRL_REASON_AFFILIATION_CHANGED,
    [CA_SUPERSEDED] = CRL_REASON_SUPERSEDED,
    [CA_CESSATION] = CRL_REASON_CESSATION_OF_OPERATION,
    [CA_PRIVILEGE_WITHDRAWN] = CRL_REASON_PRIVILEGE_WITHDRAWN,
};

/* [rfc5280 5.3.1] The absent extension says "unspecified". */
static bool set_reason(X509_REVOKED *r, enum ca_reason reason)
{
    if (reason == CA_UNSPECIFIED)
        return true;
    ASN1_ENUMERATED *code = ASN1_ENUMERATED_new();
    bool ok = code && ASN1_ENUMERATED_set(code, reason_codes[reason]) == 1 &&
              X509_REVOKED_add1_ext_i2d(r, NID_crl_reason, code, 0, X509V3_ADD_DEFAULT) == 1;
    ASN1_ENUMERATED_free(code);
    return ok;
}

static bool add_revoked(X509_CRL *crl, const struct ca_entry *e)
{
    X509_REVOKED *r = X509_REVOKED_new();
    ASN1_INTEGER *serial = ASN1_INTEGER_new();
    ASN1_TIME *when = ASN1_TIME_set(NULL, (time_t)(e->revoked_ms / 1000));
    bool ok = r && serial && when && set_serial(serial, e->serial) &&
              X509_REVOKED_set_serialNumber(r, serial) == 1 &&
              X509_REVOKED_set_revocationDate(r, when) == 1 && set_reason(r, e->reason);
    ASN1_TIME_free(when);
    ASN1_INTEGER_free(serial);
    if (ok && X509_CRL_add0_revoked(crl, r) == 1)
        return true;
    X509_REVOKED_free(r);
    return false;
}

static bool set_list_times(X509_CRL *crl, int64_t now_ms)
{
    time_t now = (time_t)(now_ms / 1000);
    ASN1_TIME *from = ASN1_TIME_set(NULL, now - CLOCK_SLACK_S);
    ASN1_TIME *until = ASN1_TIME_set(NULL, now + (time_t)CA_CRL_DAYS * DAY_S);
    bool ok = from && until && X509_CRL_set1_lastUpdate(crl, from) == 1 &&
              X509_CRL_set1_nextUpdate(crl, until) == 1;
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    return ok;
}

/* [rfc5280 5.2.1, 5.2.3] Key identifier and number are what a list must have. */
static bool add_list_extensions(X509_CRL *crl, X509 *ca, uint64_t number)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, ca, NULL, NULL, crl, 0);
    X509_EXTENSION *e =
        X509V3_EXT_conf_nid(NULL, &ctx, NID_authority_key_identifier, "keyid:always");
    ASN1_INTEGER *n = ASN1_INTEGER_new();
    bool ok = e && X509_CRL_add_ext(crl, e, -1) == 1 && n &&
              ASN1_INTEGER_set_uint64(n, number) == 1 &&
              X509_CRL_add1_ext_i2d(crl, NID_crl_number, n, 0, X509V3_ADD_DEFAULT) == 1;
    ASN1_INTEGER_free(n);
    X509_EXTENSION_free(e);
    return ok;
}

static bool add_all_revoked(X509_CRL *crl, const struct ca_index *ix)
{
    for (size_t i = 0; i < ix->n; i++)
        if (ix->entries[i].revoked_ms && !add_revoked(crl, &ix->entries[i]))
            return false;
    return X509_CRL_sort(crl) == 1;
}

X509_CRL *
ca_make_crl(const struct ca_index *ix, uint64_t number, int64_t now_ms, X509 *ca, EVP_PKEY *ca_key)
{
    CLEANUP(x509_crl_freep) X509_CRL *crl = X509_CRL_new();
    if (!crl || X509_CRL_set_version(crl, X509_CRL_VERSION_2) != 1 ||
        X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca)) != 1 ||
        !set_list_times(crl, now_ms) || !add_all_revoked(crl, ix) ||
        !add_list_extensions(crl, ca, number) ||
        X509_CRL_sign(crl, ca_key, digest_for(ca_key)) <= 0)
        return NULL;
    X509_CRL *out = crl;
    crl = NULL;
    return out;
}
