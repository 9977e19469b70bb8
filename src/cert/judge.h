/* judge.h - from a presented certificate to a verdict: trust, validity, identity rules.
 *
 * Path validation as RFC 5280 section 6.1 (OpenSSL does it) against the anchors of the named trust blocks, never the
 * system's roots (CERT-15); extended key usage clientAuth, or none at all (CERT-10).  All trust blocks
 * of a listener are tried in their order; the reason told is that of the most promising one (expired rather
 * than unknown issuer).
 *
 * A cert_trust is an immutable snapshot of files; reloading makes a new one.  Counted: safe to share
 * between threads.  cert_judge() only reads, never blocks, and may be called from every thread.
 */
#ifndef POSTERN_JUDGE_H
#define POSTERN_JUDGE_H

#include "cert/verdict.h"

struct x509_st;
struct stack_st_X509;
struct cert_trust;

struct cert_trust_config {
    const char *name;
    const char *const *ca; /* PEM files */
    size_t n_ca;
    const char *const *crl; /* PEM or DER files; a certificate listed is refused (CERT-11); a stale CRL refuses all of its issuer */
    size_t n_crl;
};

#define CERT_WHY_MAX 256
MUST_USE int cert_trust_load(const struct cert_trust_config *cfg, struct cert_trust **ret, char *why);
struct cert_trust *cert_trust_ref(struct cert_trust *t);
void cert_trust_unref(struct cert_trust *t);

enum cert_source { CERT_SOURCE_SAN_EMAIL, CERT_SOURCE_SAN_DNS, CERT_SOURCE_FINGERPRINT };

/* One identity rule, compiled; tried in the order written, the first that fits names the identity. */
struct cert_rule {
    const char *name;
    enum cert_source source;
    const char *const *trust; /* names of the trust blocks it holds for; n_trust = 0: any of the listener's */
    size_t n_trust;
};
MUST_USE int cert_source_parse(const char *word, enum cert_source *ret); /* "san-email"; -EINVAL */

struct cert_request {
    struct x509_st *leaf;        /* NULL: nothing presented */
    struct stack_st_X509 *chain; /* intermediates the peer sent; may hold the leaf; may be NULL */
    struct cert_trust *const *trusts;
    size_t n_trusts;
    const struct cert_rule *rules;
    size_t n_rules;
    int64_t now_ms; /* wall clock */
};

void cert_judge(const struct cert_request *rq, struct cert_verdict *ret);

/* The X509_V_* code that fits the verdict, for TLS_CLIENT_CERT_REQUIRE; 0 with CERT_ACCEPTABLE, CERT_UNMAPPED, CERT_AMBIGUOUS. */
int cert_verify_code(const struct cert_verdict *v);

/* Lower-case hex SHA-256 of the certificate into out[65]; for relay peers listed by fingerprint. */
void cert_fingerprint(struct x509_st *cert, char out[65]);
/* "AB:CD..." or "abcd..." to the form above; -EINVAL when it is no SHA-256. */
MUST_USE int cert_fingerprint_parse(const char *text, char out[65]);

#endif
