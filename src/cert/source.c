#include "cert/cert_internal.h"

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

#define LOCAL_MAX 64 /* RFC 5321 4.5.3.1.1 and 2 */
#define HOST_MAX 255

/* Letters, digits and hyphens (RFC 5280 4.2.1.6); so no wildcard, which would name many hosts and
 * not one. */
static bool is_host(struct str s)
{
    if (s.len == 0 || s.len > HOST_MAX)
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

static bool is_atext(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* Atoms with single dots between them. */
static bool is_dot_string(struct str s)
{
    char before = '.';
    for (size_t i = 0; i < s.len; before = s.p[i++])
        if (!is_atext(s.p[i]) && (s.p[i] != '.' || before == '.'))
            return false;
    return before != '.';
}

static bool is_quoted_string(struct str s)
{
    if (s.len < 3 || s.p[0] != '"' || s.p[s.len - 1] != '"')
        return false;
    size_t i = 1;
    for (; i + 1 < s.len; i++) {
        if (s.p[i] == '"')
            return false;
        if (s.p[i] == '\\')
            i++;
    }
    return i + 1 == s.len; /* the last quote is not itself quoted */
}

/* A Mailbox of RFC 5321 section 4.1.2, but no address literal: an identity belongs to a name, not to a machine.
 * The local part is the mailbox owner's own business, the domain knows no case (CERT-16). */
static bool normalise_email(struct str in, char *out)
{
    const char *at = memrchr(in.p, '@', in.len);
    size_t local_len = at ? (size_t)(at - in.p) : in.len;
    struct str local = str_upto(in, local_len);
    if (!at || local.len > LOCAL_MAX || !is_host(str_from(in, local_len + 1)))
        return false;
    if (!is_dot_string(local) && !is_quoted_string(local))
        return false;
    copy(in, out);
    lower(out + local_len);
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

static void names_add_raw(struct cert_names *names, struct str raw, normalise_fn *normalise)
{
    char name[CERT_IDENTITY_MAX + 1];
    bool is_sane = raw.len > 0 && raw.len <= CERT_IDENTITY_MAX && str_is_ascii(raw) &&
                   !str_has_control(raw) && memchr(raw.p, '\0', raw.len) == NULL;
    if (is_sane && normalise(raw, name))
        names_add(names, name);
    else
        names->saw_unusable = true;
}

static struct str ia5_str(const ASN1_IA5STRING *s)
{
    return (struct str){(const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)};
}

static void extract_san(X509 *leaf, int type, normalise_fn *normalise, struct cert_names *out)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
        int kind;
        void *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(all, i), &kind);
        if (kind == type) /* rfc822Name, dNSName and uniformResourceIdentifier are all IA5String */
            names_add_raw(out, ia5_str(value), normalise);
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
    const char *word, *what;
    void (*extract)(X509 *leaf, struct cert_names *out);
} sources[] = {
    [CERT_SOURCE_SAN_EMAIL] = {"san-email",   "e-mail address (subjectAltName)", extract_san_email  },
    [CERT_SOURCE_SAN_DNS] = {"san-dns",     "host name (subjectAltName)",      extract_san_dns    },
    [CERT_SOURCE_SAN_URI] = {"san-uri",     "URI (subjectAltName)",            extract_san_uri    },
    [CERT_SOURCE_FINGERPRINT] = {"fingerprint", "fingerprint",                     extract_fingerprint},
    [CERT_SOURCE_PUBLIC_KEY] = {"public-key",  "public key",                      extract_public_key },
};

int cert_source_parse(const char *word, enum cert_source *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
        if (strcmp(sources[i].word, word) == 0) {
            *ret = (enum cert_source)i;
            return 0;
        }
    }
    return -EINVAL;
}

const char *cert_source_name(enum cert_source source)
{
    return sources[source].word;
}

const char *cert_source_what(enum cert_source source)
{
    return sources[source].what;
}

void cert_source_extract(enum cert_source source, X509 *leaf, struct cert_names *out)
{
    ERROR_SCOPE;
    sources[source].extract(leaf, out);
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
