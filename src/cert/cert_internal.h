/* cert_internal.h - what the files of cert/ share and nobody else sees. */
#ifndef POSTERN_CERT_INTERNAL_H
#define POSTERN_CERT_INTERNAL_H

#include "base/buf.h"
#include "base/table.h"
#include "cert/judge.h"

#include <openssl/x509.h>

/* Certificates and lists for scope cleanup. */
static inline void x509_freep(X509 **x)
{
    X509_free(*x);
    *x = NULL;
}

static inline void x509_stack_freep(STACK_OF(X509) * *sk)
{
    sk_X509_pop_free(*sk, X509_free);
    *sk = NULL;
}

/* OpenSSL leaves the story of every failure in a queue of the thread, where the TLS code would take
 * it for its own. An error_scope ends with the queue as it was found. */
struct error_scope {
    char unused;
};
struct error_scope error_scope_begin(void);
void error_scope_end(struct error_scope *s);
#define ERROR_SCOPE                                                                                \
    __attribute__((unused, cleanup(error_scope_end))) struct error_scope error_scope_ =            \
        error_scope_begin()

/* --- files.c: whole files into memory, with a maximum */

#define CERT_FILE_MAX ((size_t)64 << 20)

/* Every certificate of a PEM file, in its order.  -EINVAL: damaged, or none at all; `why` says
 * which. */
MUST_USE int cert_file_certificates(const char *path, STACK_OF(X509) * *ret, char *why);

typedef int cert_crl_fn(void *arg, X509_CRL *crl, const char *path, char *why);
/* Calls `each` with every revocation list of a PEM or DER file, or of the files *.pem, *.crl, *.der
 * of a directory. */
MUST_USE int cert_file_crls(const char *path, cert_crl_fn *each, void *arg, char *why);

/* --- name.c: names and dates for people */

/* A sentence of bounded length: what does not fit is cut off. */
void cert_say(char out[CERT_REASON_MAX], const char *fmt, ...) PRINTF(2, 3);

#define CERT_NAME_SHORT_MAX 68
#define CERT_NAME_LINE_MAX 512

/* "CN=Example CA", or the whole name when it has no CN; printable ASCII, cut with "..." at its
 * maximum. */
void cert_name_short(const X509_NAME *name, char out[CERT_NAME_SHORT_MAX]);
/* Holds C1 controls, line separators, a byte-order mark or characters that reverse the direction of the text. */
bool cert_text_is_deceptive(struct str s);
/* The whole name on one line, most specific part first: UTF-8 without control or direction-changing
 * characters, cut at CERT_NAME_LINE_MAX.  The caller frees it. */
char *cert_name_line(const X509_NAME *name);
/* "2026-10-01" */
#define CERT_DATE_MAX 16
void cert_date(const ASN1_TIME *t, char out[CERT_DATE_MAX]);
int64_t cert_time_ms(const ASN1_TIME *t);
/* "RSA 2048", "EC P-256", "Ed25519" */
#define CERT_KEY_MAX 48
void cert_key_text(const EVP_PKEY *key, char out[CERT_KEY_MAX]);

/* --- trust.c */

X509_STORE *cert_trust_store(const struct cert_trust *t);

/* What the block asks beyond the path. */
struct cert_trust_limits {
    int key_size_min;
    bool require_eku, accept_stale_crl;
    enum cert_ocsp_mode ocsp;
    char *ocsp_responder; /* NULL: the one that the certificate names */
};
const struct cert_trust_limits *cert_trust_limits(const struct cert_trust *t);

enum cert_pinned { CERT_NOT_PINNED, CERT_KEY_PINNED, CERT_PINNED };
enum cert_pinned cert_trust_pinned(const struct cert_trust *t, X509 *leaf);

/* The intermediates remembered from chains this snapshot has found valid; NULL when there is no
 * memory. */
STACK_OF(X509) * cert_trust_intermediates(struct cert_trust *t);
void cert_trust_remember(struct cert_trust *t, const STACK_OF(X509) * chain);

/* OpenSSL's own check of a list, which cert_check_list() stands before. */
X509_STORE_CTX_check_crl_fn cert_trust_openssl_check(const struct cert_trust *t);

/* Whether the list's signature was found to be this issuer's before. */
bool cert_trust_list_is_checked(struct cert_trust *t, const X509_CRL *crl, const X509 *issuer);
void cert_trust_list_checked(struct cert_trust *t, const X509_CRL *crl, X509 *issuer);

/* --- list.c */

/* For X509_STORE_set_check_crl(): OpenSSL's own check, with a memory for signatures. */
int cert_check_list(X509_STORE_CTX *ctx, X509_CRL *crl);

/* --- path.c */

struct cert_problem {
    enum cert_cause cause;
    char reason[CERT_REASON_MAX];
    unsigned char awaits[CERT_AWAITS_LEN]; /* CERT_CAUSE_PENDING */
};

/* What a validation in progress carries as its application data; one that OpenSSL starts by itself, for the path
 * of a list, carries none. */
struct cert_validation {
    struct cert_trust *trust;
    struct cert_problem *problem;
};

/* RFC 5280 section 6.1 against one trust block.  CERT_PATH_KEY_ONLY: known by its public key and by nothing else, so its
 * names prove nothing.  With CERT_PATH_INVALID *ret_problem says what is wrong. */
enum cert_path { CERT_PATH_INVALID, CERT_PATH_KEY_ONLY, CERT_PATH_VALID };
enum cert_path cert_path_judge(const struct cert_request *rq,
                               struct cert_trust *t,
                               struct cert_problem *ret_problem);

/* --- source.c */

struct cert_names {
    char **items; /* CERT_IDENTITIES_MAX of them, owned by whoever made the array */
    size_t n;
    bool saw_unusable; /* a name of the right kind was there, but is not fit to be an identity */
};

/* Brings a name into the one form in which it is compared; false: it cannot be an identity.  `in` is not empty, fits, is
 * UTF-8 of one line; `out` holds as much and a NUL. */
typedef bool cert_form_fn(struct str in, char *out);
cert_form_fn cert_form_email;

void cert_names_add(struct cert_names *names, const char *name);
/* Normalised, or counted as unusable. */
void cert_names_add_raw(struct cert_names *names, struct str raw, cert_form_fn *form);

/* Lower-case hex SHA-256 of the SubjectPublicKeyInfo; "" when it cannot be had. */
void cert_public_key_digest(X509 *x, char out[65]);

/* What one rule's source finds in a certificate: normalised, without duplicates. */
void cert_source_extract(const struct cert_rule *rule, X509 *leaf, struct cert_names *out);
/* The form in which such a name is compared; false: no certificate with it would have an identity. */
bool cert_source_normalise(enum cert_source source,
                           const char *name,
                           char out[CERT_IDENTITY_MAX + 1]);
/* "e-mail address (subjectAltName)" */
const char *cert_source_what(enum cert_source source);

/* --- source_san.c, source_subject.c: the extractors */

typedef void cert_extract_fn(X509 *leaf, const char *attribute, struct cert_names *out);
cert_extract_fn cert_extract_san_email, cert_extract_san_dns, cert_extract_san_uri,
    cert_extract_san_upn, cert_extract_san_email_utf8, cert_extract_subject_cn,
    cert_extract_subject_email, cert_extract_subject_uid, cert_extract_subject,
    cert_extract_issuer_serial;
cert_form_fn cert_form_dns, cert_form_uri, cert_form_upn, cert_form_email_utf8, cert_form_text;

/* --- identity.c */

/* UTF-8 of one line that shows what it holds, without a space at either end. */
bool cert_text_is_clean(struct str s);
void cert_lower(char *s); /* ASCII */

/* --- mapping.c */

struct cert_rule_config;

/* Leaves *ret alone when the rule has nothing to map. */
MUST_USE int
cert_mapping_new(const struct cert_rule_config *cfg, struct cert_mapping **ret, char *why);
void cert_mapping_free(struct cert_mapping *m);
struct table *cert_mapping_table(const struct cert_mapping *m); /* NULL: none */

enum cert_fit {
    CERT_FIT_YES,
    CERT_FIT_PATTERN,
    CERT_FIT_GAVE_UP,
    CERT_FIT_GROUP,
    CERT_FIT_UNLISTED,
    CERT_FIT_TOO_LONG,
    CERT_FIT_UNFIT,
};
const char *cert_fit_text(enum cert_fit fit);
/* m = NULL: the value is the identity. */
enum cert_fit cert_mapping_apply(const struct cert_mapping *m,
                                 const char *value,
                                 char out[CERT_IDENTITY_MAX + 1]);

#endif
