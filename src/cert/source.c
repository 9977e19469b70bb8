#include "cert/cert_internal.h"
#include "smtp/address.h"

#include <assert.h>
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

/* Brings a name into the one form in which it is compared; false: it cannot be an identity.  `out`
 * holds CERT_IDENTITY_MAX octets and a NUL; `in` is not empty, fits, and is ASCII without control
 * characters. */
typedef bool normalise_fn(struct str in, char *out);

static void lower(char *s)
{
    for (; *s; s++)
        if (*s >= 'A' && *s <= 'Z')
            *s = (char)(*s - 'A' + 'a');
}

static void copy(struct str in, char *out)
{
    memcpy(out, in.p, in.len);
    out[in.len] = '\0';
}

static bool is_host_label(struct str s)
{
    if (s.len == 0 || s.len > 63 || s.p[0] == '-' || s.p[s.len - 1] == '-')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-'))
            return false;
    }
    return true;
}

/* Letters, digits and hyphens (RFC 5280 4.2.1.6); so no wildcard, which would name many hosts and
 * not one. */
static bool is_host(struct str s)
{
    if (s.len == 0 || s.len > SMTP_DOMAIN_MAX)
        return false;
    for (;;) {
        ssize_t dot = str_find(s, '.');
        if (!is_host_label(dot < 0 ? s : str_upto(s, (size_t)dot)))
            return false;
        if (dot < 0)
            return true;
        s = str_from(s, (size_t)dot + 1);
    }
}

/* No address literal: an identity belongs to a name, not to a machine.  The local part is the mailbox owner's own
 * business, the domain knows no case (CERT-16). */
static bool normalise_email(struct str in, char *out)
{
    struct smtp_path path;
    if (smtp_mailbox_parse(in, false, &path) != PATH_OK || !is_host(path.domain) ||
        str_eq(path.local, STR("\"\"")))
        return false;
    copy(in, out);
    lower(out + (in.len - path.domain.len));
    return true;
}

static bool normalise_dns(struct str in, char *out)
{
    if (!is_host(in))
        return false;
    copy(in, out);
    lower(out);
    return true;
}

/* RFC 3986 section 2 knows no spaces; a scheme is what makes it a URI and not a path. */
static bool normalise_uri(struct str in, char *out)
{
    ssize_t colon = str_find(in, ':');
    if (colon < 1 || (size_t)colon + 1 == in.len || str_find(in, ' ') >= 0)
        return false;
    copy(in, out);
    return true;
}

static void names_add(struct cert_names *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++)
        if (strcmp(names->items[i], name) == 0)
            return;
    if (names->n < CERT_IDENTITIES_MAX)
        names->items[names->n++] = xstrdup(name);
}

/* [rfc5280 4.2.1.6] All three forms are IA5String, which is ASCII (CERT-20). */
static bool normalise(struct str raw, normalise_fn *form, char out[CERT_IDENTITY_MAX + 1])
{
    return raw.len > 0 && raw.len <= CERT_IDENTITY_MAX && str_is_ascii(raw) &&
           !str_has_control(raw) && form(raw, out);
}

static void names_add_raw(struct cert_names *names, struct str raw, normalise_fn *form)
{
    char name[CERT_IDENTITY_MAX + 1];
    if (normalise(raw, form, name))
        names_add(names, name);
    else
        names->saw_unusable = true;
}

static struct str ia5_str(const ASN1_IA5STRING *s)
{
    return (struct str){(const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)};
}

static void extract_san(X509 *leaf, int type, normalise_fn *form, struct cert_names *out)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
        int kind;
        void *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(all, i), &kind);
        if (kind == type)
            names_add_raw(out, ia5_str(value), form);
    }
    GENERAL_NAMES_free(all);
}

static void extract_san_email(X509 *leaf, struct cert_names *out)
{
    extract_san(leaf, GEN_EMAIL, normalise_email, out);
}

static void extract_san_dns(X509 *leaf, struct cert_names *out)
{
    extract_san(leaf, GEN_DNS, normalise_dns, out);
}

static void extract_san_uri(X509 *leaf, struct cert_names *out)
{
    extract_san(leaf, GEN_URI, normalise_uri, out);
}

static void hex(const unsigned char *octets, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++)
        snprintf(out + 2 * i, 3, "%02x", octets[i]);
}

static void extract_fingerprint(X509 *leaf, struct cert_names *out)
{
    char name[65];
    cert_fingerprint(leaf, name);
    if (name[0])
        names_add(out, name);
}

static void extract_public_key(X509 *leaf, struct cert_names *out)
{
    char name[65];
    unsigned char sha256[EVP_MAX_MD_SIZE], *der = NULL;
    unsigned n = 0;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(leaf), &der);
    if (len > 0 && EVP_Digest(der, (size_t)len, sha256, &n, EVP_sha256(), NULL) == 1) {
        hex(sha256, n, name);
        names_add(out, name);
    }
    OPENSSL_free(der);
}

static const struct source {
    enum cert_source source;
    const char *word, *what;
    void (*extract)(X509 *leaf, struct cert_names *out);
    normalise_fn *form; /* of a name that somebody writes; NULL for digests */
} sources[] = {
    {CERT_SOURCE_SAN_EMAIL,   "san-email",   "e-mail address (subjectAltName)", extract_san_email,
     normalise_email                                                                                              },
    {CERT_SOURCE_SAN_DNS,     "san-dns",     "host name (subjectAltName)",      extract_san_dns,     normalise_dns},
    {CERT_SOURCE_SAN_URI,     "san-uri",     "URI (subjectAltName)",            extract_san_uri,     normalise_uri},
    {CERT_SOURCE_FINGERPRINT, "fingerprint", "fingerprint",                     extract_fingerprint, NULL         },
    {CERT_SOURCE_PUBLIC_KEY,  "public-key",  "public key",                      extract_public_key,  NULL         },
};

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

void cert_source_extract(enum cert_source source, X509 *leaf, struct cert_names *out)
{
    ERROR_SCOPE;
    source_find(source)->extract(leaf, out);
}

bool cert_source_normalise(enum cert_source source,
                           const char *name,
                           char out[CERT_IDENTITY_MAX + 1])
{
    normalise_fn *form = source_find(source)->form;
    return form && normalise(str_of(name), form, out);
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
    lower(digits);
    memcpy(out, digits, sizeof(digits));
    return 0;
}
