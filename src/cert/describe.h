/* describe.h - what a certificate file says, in words, for `postern cert explain`.
 *
 * Every text is one line of UTF-8 without control characters, whatever the certificate holds.
 */
#ifndef POSTERN_DESCRIBE_H
#define POSTERN_DESCRIBE_H

#include "cert/judge.h"

/* The first certificate of a PEM file, and those that follow it as the chain a client would send (not NULL when there
 * are none).  `why` as in judge.h. */
struct cert_bundle {
    struct x509_st *leaf;
    struct stack_st_X509 *chain;
};
MUST_USE int cert_bundle_load(const char *path, struct cert_bundle *ret, char *why);
size_t cert_bundle_count(const struct cert_bundle *b); /* certificates, the first included */
void cert_bundle_done(struct cert_bundle *b);

#define CERT_DESCRIBED_NAMES_MAX 64

struct cert_description {
    char *subject, *issuer;
    char serial[48]; /* lower-case hex, "..." when it is longer than RFC 5280 allows */
    int64_t not_before_ms, not_after_ms;
    char key[48];       /* "RSA 2048", "EC P-256", "Ed25519" */
    char signature[48]; /* "ecdsa-with-SHA256" */
    bool is_ca;
    char key_usage[160]; /* "digitalSignature, keyEncipherment"; "" when the extension is absent */
    char extended_usage[160]; /* "clientAuth, emailProtection"; "" likewise */
    char *names
        [CERT_DESCRIBED_NAMES_MAX]; /* subjectAltName: "email:alice@example.org"; of more, the first */
    size_t n_names;
    char fingerprint[65], public_key[65]; /* lower-case hex SHA-256; "" when it cannot be had */
};
void cert_describe(struct x509_st *cert, struct cert_description *ret);
void cert_description_done(struct cert_description *d);

struct stack_st_X509_NAME;
/* The names of CAs a server said it would take, "CN=Staff CA; CN=Branch CA" in printable ASCII: as many as fit, with
 * "..." behind them.  Returns how many there are. */
size_t cert_authorities_text(const struct stack_st_X509_NAME *names, char *ret, size_t room);

#endif
