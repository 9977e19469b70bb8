/* judge.h - from a presented certificate to a verdict: trust, validity, identity rules.
 *
 * Path validation as RFC 5280 section 6.1 (OpenSSL does it) against the anchors of the named trust
 * blocks, never the system's roots (CERT-15); extended key usage clientAuth, or none at all
 * (CERT-10).  Every certificate in a trust block's files is an anchor: a root, an intermediate
 * (then only what is below it counts), or a client's own certificate, which so is known without any
 * CA (EDG-20).  All trust blocks of a listener are tried in their order and the first in which the
 * certificate is valid counts; the reason told otherwise is that of the most promising one (expired
 * rather than unknown issuer).
 *
 * Revocation: a trust block without `crl` checks none.  With it, the issuer of the presented
 * certificate must have a list that is in date, else nobody of it gets in (unless accept_stale_crl); CAs further up are
 * looked up in their lists where there are any.
 *
 * With `ocsp` the issuer's responder is asked about the presented certificate, too; see ocsp.h.
 *
 * A cert_trust is an immutable snapshot of files; reloading makes a new one.  Counted: safe to
 * share between threads.  cert_judge() reads no file, waits for nothing but a lock held for moments,
 * and may be called from every thread.  A snapshot learns two things, each at most 64 times:
 * which intermediates it has seen in valid chains, as a resumed TLS session comes without its chain and is
 * judged with their help (EDG-13, EDG-14); and which signatures of revocation lists are good.
 */
#ifndef POSTERN_JUDGE_H
#define POSTERN_JUDGE_H

#include "base/str.h"
#include "cert/verdict.h"

struct x509_st;
struct stack_st_X509;
struct cert_trust;

/* What it takes that a responder says (RFC 6960, CERT-12).  "Revoked" and "unknown" refuse in either mode. */
enum cert_ocsp_mode {
    CERT_OCSP_OFF,
    CERT_OCSP_SOFT, /* without an answer the certificate counts */
    CERT_OCSP_HARD, /* without an answer it does not */
};

struct cert_trust_config {
    const char *name;
    const char *const *ca; /* PEM files */
    size_t n_ca;
    /* PEM or DER files, or directories of *.pem, *.crl, *.der.  A certificate listed is refused
     * (CERT-11); a stale list refuses all of its issuer. */
    const char *const *crl;
    size_t n_crl;
    /* Digests of certificates and of public keys that count without any CA (EDG-20), as cert_fingerprint_parse()
     * makes them.  A certificate known by its key alone has no other identity than by CERT_SOURCE_PUBLIC_KEY: whoever
     * holds the key can write any name into a certificate. */
    const char *const *pin;
    size_t n_pin;
    unsigned key_size_min; /* of RSA keys, bits; 0: 2048 */
    unsigned strength;     /* of keys and signatures, bits: 128, 192; 0: 112 */
    unsigned depth_max;    /* intermediates; 0: 10 */
    bool require_eku;      /* no extended key usage at all is refused, too (CERT-10) */
    enum cert_ocsp_mode ocsp;
    const char *ocsp_responder; /* "http://ocsp.example.org/"; NULL: the one each certificate names */
    bool accept_stale_crl; /* a list past its next update still counts, for what it lists (CERT-11) */
};

/* -errno; `why` (at least CERT_WHY_MAX octets) names the file and what is wrong with it. */
#define CERT_WHY_MAX 256
MUST_USE int
cert_trust_load(const struct cert_trust_config *cfg, struct cert_trust **ret, char *why);
struct cert_trust *cert_trust_ref(struct cert_trust *t);
void cert_trust_unref(struct cert_trust *t); /* NULL is fine */
const char *cert_trust_name(const struct cert_trust *t);

/* After a reload: what `old` has learned about intermediates, so that sessions made before it can
 * be resumed. */
void cert_trust_inherit(struct cert_trust *t, struct cert_trust *old);

/* What may name an identity (CERT-14).  Names are taken as RFC 5280 section 7 compares them:
 * domains in lower case, local parts untouched (CERT-16), equal names counted once.  A name that is
 * no possible address or host name, holds anything but what is said below, or is longer than
 * CERT_VALUE_MAX is not there at all (CERT-20). */
enum cert_source {
    CERT_SOURCE_SAN_EMAIL, /* "san-email": rfc822Name, ASCII */
    CERT_SOURCE_SAN_DNS,   /* "san-dns": dNSName without wildcard */
    CERT_SOURCE_SAN_URI, /* "san-uri": uniformResourceIdentifier, as written; a SPIFFE id by its rules */
    CERT_SOURCE_SAN_UPN,        /* "san-upn": otherName userPrincipalName */
    CERT_SOURCE_SAN_EMAIL_UTF8, /* "san-email-utf8": otherName SmtpUTF8Mailbox (CERT-17) */
    CERT_SOURCE_SUBJECT_CN,     /* "subject-cn": UTF-8 of one line */
    CERT_SOURCE_SUBJECT_EMAIL,  /* "subject-email": emailAddress */
    CERT_SOURCE_SUBJECT_UID,    /* "subject-uid" */
    CERT_SOURCE_SUBJECT,        /* "subject": the attribute that the rule names */
    CERT_SOURCE_FINGERPRINT,    /* "fingerprint": lower-case hex SHA-256 of the certificate */
    CERT_SOURCE_PUBLIC_KEY, /* "public-key": lower-case hex SHA-256 of its SubjectPublicKeyInfo */
    CERT_SOURCE_ISSUER_SERIAL, /* "issuer-serial": "1f0a;CN=Staff CA,O=Example" */
};

#define CERT_VALUE_MAX                                                                             \
    1024 /* octets of what a source finds; an identity is at most CERT_IDENTITY_MAX */

struct cert_mapping;

/* One identity rule, compiled (rules.h); tried in the order written, the first that fits names the
 * identity. */
struct cert_rule {
    const char *name;
    enum cert_source source;
    const char *const
        *trust; /* names of the trust blocks it holds for; n_trust = 0: any of the listener's */
    size_t n_trust;
    const char *attribute;              /* CERT_SOURCE_SUBJECT: "UID", "2.5.4.5" */
    const struct cert_mapping *mapping; /* NULL: what the source finds is the identity */
};
MUST_USE int cert_source_parse(const char *word, enum cert_source *ret); /* "san-email"; -EINVAL */
const char *cert_source_name(enum cert_source source);

/* Told for each rule in its order, and for each value that its source finds: what came of it, in
 * words for the operator.  `value` is NULL where the rule got no value to look at. */
typedef void
cert_trace_fn(void *arg, const struct cert_rule *rule, const char *value, const char *finding);

struct cert_ocsp;

struct cert_request {
    struct x509_st *leaf; /* NULL: nothing presented */
    /* Intermediates the peer sent; may hold the leaf.  NULL: not known any more, as in a resumed
     * session or when an open one is judged again.  A peer that has sent none has an empty chain: it
     * does not profit from what others have sent. */
    struct stack_st_X509 *chain;
    struct cert_trust *const *trusts;
    size_t n_trusts;
    const struct cert_rule *rules;
    size_t n_rules;
    int64_t now_ms;       /* wall clock */
    cert_trace_fn *trace; /* NULL: nobody asks */
    void *trace_arg;
    struct cert_ocsp *ocsp; /* NULL: no responder is asked, as if none had answered */
};

/* Overwrites *ret, which the caller ends with cert_verdict_done(). */
void cert_judge(const struct cert_request *rq, struct cert_verdict *ret);

/* A name that others have found in a certificate which they have verified, such as the CN that a proxy tells: the first of
 * the rules with this source that fits, and holds whatever the CA, names the identity.  Overwrites outcome, cause,
 * reason, identities and rule of `v`, which has no identity yet. */
void cert_judge_told(const struct cert_rule *rules, size_t n_rules, enum cert_source source, const char *name, struct cert_verdict *v);

/* A certificate as others hand it over, DER and nothing behind it; -EINVAL. */
MUST_USE int cert_from_der(struct str der, struct x509_st **ret);
void cert_release(struct x509_st *cert); /* NULL is fine */

/* The X509_V_* code that fits the verdict, for TLS_CLIENT_CERT_REQUIRE; 0 with CERT_ACCEPTABLE,
 * CERT_UNMAPPED, CERT_AMBIGUOUS. */
int cert_verify_code(const struct cert_verdict *v);

/* Lower-case hex SHA-256 of the certificate into out[65]; for relay peers listed by fingerprint. */
void cert_fingerprint(struct x509_st *cert, char out[65]);
/* "AB:CD..." or "abcd..." to the form above; -EINVAL when it is no SHA-256. */
MUST_USE int cert_fingerprint_parse(const char *text, char out[65]);

#endif
