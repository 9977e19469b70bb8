#include "cert/cert_internal.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>

void cert_names_add(struct cert_names *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++)
        if (strcmp(names->items[i], name) == 0)
            return;
    if (names->n < CERT_IDENTITIES_MAX)
        names->items[names->n++] = xstrdup(name);
}

static bool normalise(struct str raw, size_t max, cert_form_fn *form, char *out)
{
    return raw.len > 0 && raw.len <= max && str_is_utf8(raw) && !str_has_control(raw) &&
           form(raw, out);
}

void cert_names_add_raw(struct cert_names *names, struct str raw, cert_form_fn *form)
{
    char name[CERT_VALUE_MAX + 1];
    if (normalise(raw, CERT_VALUE_MAX, form, name))
        cert_names_add(names, name);
    else
        names->saw_unusable = true;
}

static void hex(const unsigned char *octets, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++)
        snprintf(out + 2 * i, 3, "%02x", octets[i]);
}

static void extract_fingerprint(X509 *leaf, const char *attribute, struct cert_names *out)
{
    (void)attribute;
    char name[65];
    cert_fingerprint(leaf, name);
    if (name[0])
        cert_names_add(out, name);
}

void cert_public_key_digest(X509 *x, char out[65])
{
    unsigned char sha256[EVP_MAX_MD_SIZE], *der = NULL;
    unsigned n = 0;
    ERROR_SCOPE;
    out[0] = '\0';
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
    if (len > 0 && EVP_Digest(der, (size_t)len, sha256, &n, EVP_sha256(), NULL) == 1)
        hex(sha256, n, out);
    OPENSSL_free(der);
}

static void extract_public_key(X509 *leaf, const char *attribute, struct cert_names *out)
{
    char name[65];
    (void)attribute;
    cert_public_key_digest(leaf, name);
    if (name[0])
        cert_names_add(out, name);
}

/* clang-format off */
static const struct source {
    enum cert_source source;
    const char *word, *what;
    cert_extract_fn *extract;
    cert_form_fn *form; /* of a name that somebody writes; NULL for digests */
} sources[] = {
    {CERT_SOURCE_SAN_EMAIL,      "san-email",      "e-mail address (subjectAltName)",
        cert_extract_san_email,      cert_form_email},
    {CERT_SOURCE_SAN_DNS,        "san-dns",        "host name (subjectAltName)",
        cert_extract_san_dns,        cert_form_dns},
    {CERT_SOURCE_SAN_URI,        "san-uri",        "URI (subjectAltName)",
        cert_extract_san_uri,        cert_form_uri},
    {CERT_SOURCE_SAN_UPN,        "san-upn",        "user principal name (subjectAltName)",
        cert_extract_san_upn,        cert_form_upn},
    {CERT_SOURCE_SAN_EMAIL_UTF8, "san-email-utf8", "international e-mail address (subjectAltName)",
        cert_extract_san_email_utf8, cert_form_email_utf8},
    {CERT_SOURCE_SUBJECT_CN,     "subject-cn",     "common name (subject)",
        cert_extract_subject_cn,     cert_form_text},
    {CERT_SOURCE_SUBJECT_EMAIL,  "subject-email",  "e-mail address (subject)",
        cert_extract_subject_email,  cert_form_email},
    {CERT_SOURCE_SUBJECT_UID,    "subject-uid",    "UID (subject)",
        cert_extract_subject_uid,    cert_form_text},
    {CERT_SOURCE_SUBJECT,        "subject",        "attribute wanted here (subject)",
        cert_extract_subject,        cert_form_text},
    {CERT_SOURCE_FINGERPRINT,    "fingerprint",    "fingerprint",
        extract_fingerprint,         NULL},
    {CERT_SOURCE_PUBLIC_KEY,     "public-key",     "public key",
        extract_public_key,          NULL},
    {CERT_SOURCE_ISSUER_SERIAL,  "issuer-serial",  "issuer and serial number",
        cert_extract_issuer_serial,  NULL},
};
/* clang-format on */

static const struct source *source_find(enum cert_source source)
{
    size_t i = 0;
    while (sources[i].source != source) {
        i++;
        assert(i < ARRAY_LEN(sources)); /* a source without a row */
    }
    return &sources[i];
}

int cert_source_parse(const char *word, enum cert_source *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        if (strcmp(sources[i].word, word) == 0) {
            *ret = sources[i].source;
            return 0;
        }
    }
    return -EINVAL;
}

const char *cert_source_name(enum cert_source source)
{
    return source_find(source)->word;
}

const char *cert_source_what(enum cert_source source)
{
    return source_find(source)->what;
}

void cert_source_extract(const struct cert_rule *rule, X509 *leaf, struct cert_names *out)
{
    ERROR_SCOPE;
    source_find(rule->source)->extract(leaf, rule->attribute, out);
}

bool cert_source_normalise(enum cert_source source,
                           const char *name,
                           char out[CERT_IDENTITY_MAX + 1])
{
    cert_form_fn *form = source_find(source)->form;
    return form && normalise(str_of(name), CERT_IDENTITY_MAX, form, out);
}

/* An empty string when the digest cannot be had, which fits nobody. */
void cert_fingerprint(struct x509_st *cert, char out[65])
{
    unsigned char sha256[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    ERROR_SCOPE;
    out[0] = '\0';
    if (X509_digest(cert, EVP_sha256(), sha256, &n) == 1)
        hex(sha256, n, out);
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* Colons between all octets, as openssl x509 prints them, or none at all. */
int cert_fingerprint_parse(const char *text, char out[65])
{
    char digits[65];
    size_t len = strlen(text), step = len == 95 ? 3 : 2;
    if (len != 64 && len != 95)
        return -EINVAL;
    for (size_t i = 0; i < 32; i++) {
        const char *p = text + i * step;
        if (!is_hex(p[0]) || !is_hex(p[1]) || (step == 3 && i < 31 && p[2] != ':'))
            return -EINVAL;
        memcpy(digits + 2 * i, p, 2);
    }
    digits[64] = '\0';
    cert_lower(digits);
    memcpy(out, digits, sizeof(digits));
    return 0;
}
