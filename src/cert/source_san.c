/* What the subject alternative name of a certificate says of its holder. */
#include "cert/cert_internal.h"
#include "cert/identity.h"
#include "smtp/address.h"

#include <openssl/x509v3.h>
#include <string.h>

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
bool cert_form_email(struct str in, char *out)
{
    struct smtp_path path;
    if (in.len > CERT_IDENTITY_MAX || smtp_mailbox_parse(in, false, &path) != PATH_OK ||
        !is_host(path.domain) || str_eq(path.local, STR("\"\"")))
        return false;
    copy(in, out);
    cert_lower(out + (in.len - path.domain.len));
    return true;
}

bool cert_form_dns(struct str in, char *out)
{
    if (!is_host(in))
        return false;
    copy(in, out);
    cert_lower(out);
    return true;
}

/* ---- URIs */

static bool is_spiffe(struct str uri)
{
    return str_starts_nocase(uri, STR("spiffe://"));
}

static bool all_of(struct str s, const char *extra)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c && strchr(extra, c))))
            return false;
    }
    return s.len > 0;
}

static bool is_spiffe_segment(struct str s)
{
    return all_of(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ._-") && !str_eq(s, STR(".")) &&
           !str_eq(s, STR(".."));
}

/* SPIFFE-ID section 2: trust domain in lower case without port or user, then the path of a workload, whose segments are
 * plain; no query, no fragment, nothing encoded.  So one id has one spelling. */
static bool is_spiffe_id(struct str uri)
{
    struct str rest = str_from(uri, strlen("spiffe://"));
    ssize_t slash = str_find(rest, '/');
    if (memcmp(uri.p, "spiffe://", strlen("spiffe://")) != 0 || slash < 1 || slash > 255 ||
        !all_of(str_upto(rest, (size_t)slash), "._-"))
        return false;
    do {
        rest = str_from(rest, (size_t)slash + 1);
        slash = str_find(rest, '/');
        if (!is_spiffe_segment(slash < 0 ? rest : str_upto(rest, (size_t)slash)))
            return false;
    } while (slash >= 0);
    return true;
}

/* RFC 3986 section 2 knows no spaces; a scheme is what makes it a URI and not a path. */
bool cert_form_uri(struct str in, char *out)
{
    ssize_t colon = str_find(in, ':');
    if (!str_is_ascii(in) || colon < 1 || (size_t)colon + 1 == in.len || str_find(in, ' ') >= 0 ||
        (is_spiffe(in) && !is_spiffe_id(in)))
        return false;
    copy(in, out);
    return true;
}

/* ---- otherNames */

/* user@domain; Windows writes the domain of its directory, which need not be one of the DNS. */
bool cert_form_upn(struct str in, char *out)
{
    char name[CERT_IDENTITY_MAX + 1];
    if (str_find(in, '@') < 1 || in.p[in.len - 1] == '@' || cert_identity_normalise(in, name) < 0)
        return false;
    copy(str_of(name), out);
    return true;
}

static bool has_upper(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] >= 'A' && s.p[i] <= 'Z')
            return true;
    return false;
}

/* [rfc9598 3] Only for local parts that rfc822Name cannot hold; the domain is written in lower case and in A-labels, there
 * is no byte-order mark.  What breaks that has two spellings, so it is none of ours (CERT-17). */
bool cert_form_email_utf8(struct str in, char *out)
{
    struct smtp_path path;
    if (in.len > CERT_IDENTITY_MAX || !cert_text_is_clean(in) ||
        smtp_mailbox_parse(in, true, &path) != PATH_OK || str_is_ascii(path.local) ||
        !is_host(path.domain) || has_upper(path.domain))
        return false;
    copy(in, out);
    return true;
}

/* ---- extraction */

static struct str string_of(const ASN1_STRING *s)
{
    return (struct str){(const char *)ASN1_STRING_get0_data(s), (size_t)ASN1_STRING_length(s)};
}

/* [rfc5280 4.2.1.6] rfc822Name, dNSName and URI are IA5String, which is ASCII (CERT-20); their forms say so. */
static void extract_san(X509 *leaf, int type, cert_form_fn *form, struct cert_names *out)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
        int kind;
        void *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(all, i), &kind);
        if (kind == type)
            cert_names_add_raw(out, string_of(value), form);
    }
    GENERAL_NAMES_free(all);
}

static void extract_other(X509 *leaf, int nid, cert_form_fn *form, struct cert_names *out)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
        ASN1_OBJECT *type;
        ASN1_TYPE *value;
        if (GENERAL_NAME_get0_otherName(sk_GENERAL_NAME_value(all, i), &type, &value) != 1 ||
            OBJ_obj2nid(type) != nid)
            continue;
        if (value && value->type == V_ASN1_UTF8STRING)
            cert_names_add_raw(out, string_of(value->value.utf8string), form);
        else
            out->saw_unusable = true;
    }
    GENERAL_NAMES_free(all);
}

void cert_extract_san_email(X509 *leaf, const char *attribute, struct cert_names *out)
{
    (void)attribute;
    extract_san(leaf, GEN_EMAIL, cert_form_email, out);
}

void cert_extract_san_dns(X509 *leaf, const char *attribute, struct cert_names *out)
{
    (void)attribute;
    extract_san(leaf, GEN_DNS, cert_form_dns, out);
}

/* An X.509-SVID holds one URI and is no CA (X509-SVID 2 and 5.2). */
static bool breaks_spiffe(X509 *leaf)
{
    bool found = false;
    int uris = 0;
    GENERAL_NAMES *all = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
        int kind;
        void *value = GENERAL_NAME_get0_value(sk_GENERAL_NAME_value(all, i), &kind);
        if (kind != GEN_URI)
            continue;
        uris++;
        found = found || is_spiffe(string_of(value));
    }
    GENERAL_NAMES_free(all);
    return found && (uris > 1 || X509_check_ca(leaf) != 0);
}

void cert_extract_san_uri(X509 *leaf, const char *attribute, struct cert_names *out)
{
    (void)attribute;
    if (breaks_spiffe(leaf))
        out->saw_unusable = true;
    else
        extract_san(leaf, GEN_URI, cert_form_uri, out);
}

void cert_extract_san_upn(X509 *leaf, const char *attribute, struct cert_names *out)
{
    (void)attribute;
    extract_other(leaf, NID_ms_upn, cert_form_upn, out);
}

void cert_extract_san_email_utf8(X509 *leaf, const char *attribute, struct cert_names *out)
{
    (void)attribute;
    extract_other(leaf, NID_id_on_SmtpUTF8Mailbox, cert_form_email_utf8, out);
}
