/* What the subject of a certificate, and its issuer, say of its holder. */
#include "cert/cert_internal.h"

#include <openssl/objects.h>
#include <stdio.h>
#include <string.h>

bool cert_form_text(struct str in, char *out)
{
    if (!cert_text_is_clean(in))
        return false;
    memcpy(out, in.p, in.len);
    out[in.len] = '\0';
    return true;
}

/* Every value of the attribute: which of several was meant is not ours to guess. */
static void
extract(X509 *leaf, const ASN1_OBJECT *attribute, cert_form_fn *form, struct cert_names *out)
{
    const X509_NAME *subject = X509_get_subject_name(leaf);
    for (int at = -1; (at = X509_NAME_get_index_by_OBJ(subject, attribute, at)) >= 0;) {
        unsigned char *utf8 = NULL;
        int len =
            ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
        if (len >= 0)
            cert_names_add_raw(out, (struct str){(const char *)utf8, (size_t)len}, form);
        else
            out->saw_unusable = true;
        OPENSSL_free(utf8);
    }
}

void cert_extract_subject_cn(X509 *leaf, const char *attribute, struct cert_names *out)
{
    (void)attribute;
    extract(leaf, OBJ_nid2obj(NID_commonName), cert_form_text, out);
}

void cert_extract_subject_email(X509 *leaf, const char *attribute, struct cert_names *out)
{
    (void)attribute;
    extract(leaf, OBJ_nid2obj(NID_pkcs9_emailAddress), cert_form_email, out);
}

void cert_extract_subject_uid(X509 *leaf, const char *attribute, struct cert_names *out)
{
    (void)attribute;
    extract(leaf, OBJ_nid2obj(NID_userId), cert_form_text, out);
}

void cert_extract_subject(X509 *leaf, const char *attribute, struct cert_names *out)
{
    ASN1_OBJECT *wanted = attribute ? OBJ_txt2obj(attribute, 0) : NULL;
    if (wanted)
        extract(leaf, wanted, cert_form_text, out);
    ASN1_OBJECT_free(wanted);
}

/* "1f0a;CN=Staff CA,O=Example": a serial number means something beside its issuer only.  A name that cannot be shown as
 * it is, or that had to be cut, would stand for others too. */
void cert_extract_issuer_serial(X509 *leaf, const char *attribute, struct cert_names *out)
{
    (void)attribute;
    char name[CERT_VALUE_MAX + 1];
    BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(leaf), NULL);
    char *hex = n && !BN_is_negative(n) ? BN_bn2hex(n) : NULL;
    CLEANUP(freep) char *issuer = cert_name_line(X509_get_issuer_name(leaf));
    bool whole = hex && strlen(hex) <= 40 && issuer[0] && issuer[0] != '(' &&
                 strlen(issuer) < CERT_NAME_LINE_MAX - 4;
    if (whole) {
        cert_lower(hex);
        (void)snprintf(name, sizeof(name), "%s;%s", hex, issuer);
        cert_names_add(out, name);
    } else {
        out->saw_unusable = true;
    }
    OPENSSL_free(hex);
    BN_free(n);
}
