#include "cert/describe.h"

#include "cert/cert_internal.h"

#include <openssl/objects.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

int cert_bundle_load(const char *path, struct cert_bundle *ret, char *why)
{
    STACK_OF(X509) *certs = NULL;
    int r = cert_file_certificates(path, &certs, why);
    if (r < 0)
        return r;
    *ret = (struct cert_bundle){sk_X509_shift(certs), certs};
    return 0;
}

size_t cert_bundle_count(const struct cert_bundle *b)
{
    return (b->leaf ? 1 : 0) + (size_t)MAX(sk_X509_num(b->chain), 0);
}

void cert_bundle_done(struct cert_bundle *b)
{
    x509_freep(&b->leaf);
    x509_stack_freep(&b->chain);
}

void cert_description_done(struct cert_description *d)
{
    free(d->subject);
    free(d->issuer);
    for (size_t i = 0; i < d->n_names; i++)
        free(d->names[i]);
    *d = (struct cert_description){.subject = NULL};
}

static void describe_serial(const X509 *x, char *out, size_t size)
{
    BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), NULL);
    char *hex = n ? BN_bn2hex(n) : NULL;
    size_t len = hex ? strlen(hex) : 0;
    (void)snprintf(out, size, "%.40s%s", hex ? hex : "", len > 40 ? "..." : "");
    for (char *p = out; *p; p++)
        *p = (char)(*p >= 'A' && *p <= 'F' ? *p - 'A' + 'a' : *p);
    OPENSSL_free(hex);
    BN_free(n);
}

/* Appends to a list with commas, as long as it fits. */
static void append(char *out, size_t size, const char *word)
{
    size_t len = strlen(out);
    (void)snprintf(out + len, size - len, "%s%s", len ? ", " : "", word);
}

static void describe_key_usage(X509 *x, char *out, size_t size)
{
    static const struct {
        uint32_t bit;
        const char *word;
    } usages[] = {
        {KU_DIGITAL_SIGNATURE, "digitalSignature"},
        {KU_NON_REPUDIATION,   "nonRepudiation"  },
        {KU_KEY_ENCIPHERMENT,  "keyEncipherment" },
        {KU_DATA_ENCIPHERMENT, "dataEncipherment"},
        {KU_KEY_AGREEMENT,     "keyAgreement"    },
        {KU_KEY_CERT_SIGN,     "keyCertSign"     },
        {KU_CRL_SIGN,          "cRLSign"         },
    };
    if (!(X509_get_extension_flags(x) & EXFLAG_KUSAGE))
        return;
    for (size_t i = 0; i < ARRAY_LEN(usages); i++)
        if (X509_get_key_usage(x) & usages[i].bit)
            append(out, size, usages[i].word);
}

static void describe_extended_usage(X509 *x, char *out, size_t size)
{
    char oid[80];
    EXTENDED_KEY_USAGE *all = X509_get_ext_d2i(x, NID_ext_key_usage, NULL, NULL);
    for (int i = 0; i < sk_ASN1_OBJECT_num(all); i++) {
        const ASN1_OBJECT *o = sk_ASN1_OBJECT_value(all, i);
        int nid = OBJ_obj2nid(o);
        if (nid == NID_undef)
            (void)OBJ_obj2txt(oid, sizeof(oid), o, 1);
        append(out, size, nid == NID_undef ? oid : OBJ_nid2sn(nid));
    }
    EXTENDED_KEY_USAGE_free(all);
}

/* What OpenSSL prints of a name, with everything but printable ASCII replaced: these names are ASCII by their type
 * (CERT-20), and what else is in them is meant to deceive. */
static char *name_text(GENERAL_NAME *name)
{
    char *data = NULL, *out = NULL;
    BIO *mem = BIO_new(BIO_s_mem());
    if (mem && GENERAL_NAME_print(mem, name) == 1) {
        long len = BIO_get_mem_data(mem, &data);
        out =
            xstrndup(data ? data : "", len > 0 ? MIN((size_t)len, (size_t)CERT_NAME_LINE_MAX) : 0);
        for (char *p = out; *p; p++)
            *p = (char)(*p >= ' ' && *p <= '~' ? *p : '?');
    }
    BIO_free(mem);
    return out ? out : xstrdup("(unreadable name)");
}

static void describe_names(X509 *x, struct cert_description *d)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    int n = MIN(sk_GENERAL_NAME_num(all), CERT_DESCRIBED_NAMES_MAX);
    for (int i = 0; i < n; i++)
        d->names[d->n_names++] = name_text(sk_GENERAL_NAME_value(all, i));
    GENERAL_NAMES_free(all);
}

void cert_describe(struct x509_st *cert, struct cert_description *ret)
{
    ERROR_SCOPE;
    *ret = (struct cert_description){
        .subject = cert_name_line(X509_get_subject_name(cert)),
        .issuer = cert_name_line(X509_get_issuer_name(cert)),
        .not_before_ms = cert_time_ms(X509_get0_notBefore(cert)),
        .not_after_ms = cert_time_ms(X509_get0_notAfter(cert)),
        .is_ca = X509_check_ca(cert) > 0,
    };
    describe_serial(cert, ret->serial, sizeof(ret->serial));
    cert_key_text(X509_get0_pubkey(cert), ret->key);
    (void)snprintf(ret->signature, sizeof(ret->signature), "%.40s",
                   OBJ_nid2sn(X509_get_signature_nid(cert)));
    describe_key_usage(cert, ret->key_usage, sizeof(ret->key_usage));
    describe_extended_usage(cert, ret->extended_usage, sizeof(ret->extended_usage));
    describe_names(cert, ret);
    cert_fingerprint(cert, ret->fingerprint);
    cert_public_key_digest(cert, ret->public_key);
}

size_t cert_authorities_text(const struct stack_st_X509_NAME *names, char *ret, size_t room)
{
    int n = names ? sk_X509_NAME_num(names) : 0;
    size_t used = 0;
    ret[0] = '\0';
    for (int i = 0; i < n; i++) {
        char name[CERT_NAME_SHORT_MAX];
        cert_name_short(sk_X509_NAME_value(names, i), name);
        if (used + strlen(name) + sizeof("; ...") > room) {
            (void)snprintf(ret + used, room - used, "%s...", used ? "; " : "");
            break;
        }
        used += (size_t)snprintf(ret + used, room - used, "%s%s", used ? "; " : "", name);
    }
    return (size_t)MAX(n, 0);
}
