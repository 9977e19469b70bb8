#include "test_cert_zoo.h"

#include "base/str.h"
#include "cert/judge.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <pthread.h>

/* The CAs of the zoo, and the trust blocks made of them. */
enum issuer {
    ROOT,
    ISSUING,
    OTHER,
    NAMESAKE,
    NAMESAKE_BARE,
    NO_LENGTH,
    NOT_A_CA,
    NARROW,
    SHORT_LIVED,
    WEAK,
    SELF,
    N_ISSUERS
};
enum trust {
    STAFF,
    STAFF_CRL,
    STALE_CRL,
    EARLY_CRL,
    OTHER_CRL,
    ISSUING_ONLY,
    ISSUING_CRL,
    ROOT_STALE,
    TWO,
    N_TRUSTS
};

static struct zoo_dir dir;
static struct zoo_cert ca[N_ISSUERS];
static struct cert_trust *trusts[N_TRUSTS];

static struct cert_trust *load(const char *name, const char *ca_file, const char *crl_file)
{
    char ca_path[160], crl_path[160], why[CERT_WHY_MAX];
    snprintf(ca_path, sizeof(ca_path), "%s", zoo_path(&dir, ca_file));
    snprintf(crl_path, sizeof(crl_path), "%s", crl_file ? zoo_path(&dir, crl_file) : "");
    const char *cas[] = {ca_path}, *crls[] = {crl_path};
    struct cert_trust_config cfg = {name, cas, 1, crls, crl_file ? 1 : 0};
    struct cert_trust *t = NULL;
    if (cert_trust_load(&cfg, &t, why) < 0)
        fail_msg("%s", why);
    return t;
}

static void write_crl(const char *name, enum issuer issuer, struct zoo_crl_spec spec)
{
    X509_CRL *crl = zoo_crl(&ca[issuer], &spec);
    zoo_write(&dir, name, NULL, 0, crl);
    X509_CRL_free(crl);
}

static void make_issuers(void)
{
    ca[ROOT] = zoo_ca("Staff CA", NULL);
    ca[ISSUING] = zoo_make(&(struct zoo_spec){.cn = "Issuing CA",
                                              .bc = "critical,CA:TRUE,pathlen:0",
                                              .ku = "critical,keyCertSign,cRLSign",
                                              .serial = 50},
                           &ca[ROOT]);
    ca[OTHER] = zoo_ca("Other CA", NULL);
    ca[NAMESAKE] = zoo_ca("Staff CA", NULL);
    ca[NAMESAKE_BARE] = zoo_make(
        &(struct zoo_spec){.cn = "Staff CA", .bc = "critical,CA:TRUE", .no_key_ids = true}, NULL);
    ca[NO_LENGTH] = zoo_ca("Below", &ca[ISSUING]); /* which allows no CA below itself */
    ca[NOT_A_CA] = zoo_make(&(struct zoo_spec){.cn = "Not a CA", .ku = "keyCertSign"}, &ca[ROOT]);
    ca[NARROW] = zoo_make(&(struct zoo_spec){.cn = "Narrow CA",
                                             .bc = "critical,CA:TRUE",
                                             .nc = "permitted;email:example.org"},
                          &ca[ROOT]);
    ca[WEAK] =
        zoo_make(&(struct zoo_spec){.cn = "Weak CA", .bc = "critical,CA:TRUE", .key = ZOO_RSA_1024},
                 &ca[ROOT]);
    ca[SHORT_LIVED] =
        zoo_make(&(struct zoo_spec){.cn = "Old CA", .bc = "critical,CA:TRUE", .until = OCTOBER_1},
                 &ca[ROOT]);
}

static void make_trusts(void)
{
    X509 *both[] = {ca[OTHER].x, ca[ROOT].x};
    zoo_write(&dir, "root.pem", &ca[ROOT].x, 1, NULL);
    zoo_write(&dir, "issuing.pem", &ca[ISSUING].x, 1, NULL);
    zoo_write(&dir, "other.pem", &ca[OTHER].x, 1, NULL);
    zoo_write(&dir, "both.pem", both, 2, NULL);
    write_crl("root.crl", ROOT, (struct zoo_crl_spec){.revoked = 666});
    write_crl("stale.crl", ROOT,
              (struct zoo_crl_spec){.revoked = 666, .next_update = NOW - DAY / 2});
    write_crl("early.crl", ROOT, (struct zoo_crl_spec){.this_update = NOW + DAY});
    write_crl("other.crl", OTHER, (struct zoo_crl_spec){.revoked = 666});
    write_crl("issuing.crl", ISSUING, (struct zoo_crl_spec){.revoked = 666});
    zoo_concat(&dir, "root-stale.crl", "stale.crl", "issuing.crl");
    trusts[STAFF] = load("staff", "root.pem", NULL);
    trusts[STAFF_CRL] = load("staff-crl", "root.pem", "root.crl");
    trusts[STALE_CRL] = load("stale", "root.pem", "stale.crl");
    trusts[EARLY_CRL] = load("early", "root.pem", "early.crl");
    trusts[OTHER_CRL] = load("other-crl", "root.pem", "other.crl");
    trusts[ISSUING_ONLY] = load("issuing", "issuing.pem", NULL);
    trusts[ISSUING_CRL] = load("issuing-crl", "root.pem", "issuing.crl");
    trusts[ROOT_STALE] = load("root-stale", "root.pem", "root-stale.crl");
    trusts[TWO] = load("two", "both.pem", NULL);
}

static int setup(void **state)
{
    (void)state;
    zoo_dir_init(&dir);
    make_issuers();
    make_trusts();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ISSUERS; i++)
        zoo_free(&ca[i]);
    for (size_t i = 0; i < N_TRUSTS; i++)
        cert_trust_unref(trusts[i]);
    zoo_dir_done(&dir);
    return 0;
}

static const struct cert_rule by_email = {.name = "email", .source = CERT_SOURCE_SAN_EMAIL};

/* What the peer sent above its own certificate: nothing unless a CA of ours is named. */
static STACK_OF(X509) * chain_of(enum issuer a, enum issuer b)
{
    STACK_OF(X509) *sk = sk_X509_new_null();
    assert_non_null(sk);
    if (a != ROOT && a != SELF)
        assert_true(sk_X509_push(sk, ca[a].x) > 0);
    if (b != ROOT)
        assert_true(sk_X509_push(sk, ca[b].x) > 0);
    return sk;
}

struct row {
    const char *name;
    enum trust trust;
    enum issuer issuer;
    struct zoo_spec spec;
    enum issuer sent, sent_too; /* ROOT: nothing */
    enum cert_outcome want;
    enum cert_cause cause;
    const char *want_text; /* the whole reason, or the identity of an acceptable one */
};

#define ALICE .san = "email:alice@example.org"
#define RAW(octets) .raw_email = (octets), .raw_email_len = sizeof(octets) - 1
#define NO_ADDRESS                                                                                 \
    CERT_UNMAPPED, CERT_CAUSE_NO_IDENTITY,                                                         \
        "client certificate has no e-mail address (subjectAltName)"
#define BAD_ADDRESS                                                                                \
    CERT_UNMAPPED, CERT_CAUSE_NO_IDENTITY,                                                         \
        "client certificate has no usable e-mail address (subjectAltName)"
#define GOOD(identity) CERT_ACCEPTABLE, CERT_CAUSE_NONE, (identity)
#define BAD(cause, text) CERT_UNACCEPTABLE, (cause), (text)

/* clang-format off */
static const struct row rows[] = {
    {"good", STAFF, ROOT, {ALICE}, ROOT, ROOT, GOOD("alice@example.org")},
    {"good, Ed25519", STAFF, ROOT, {ALICE, .key = ZOO_ED25519}, ROOT, ROOT, GOOD("alice@example.org")},
    {"good, RSA 2048", STAFF, ROOT, {ALICE, .key = ZOO_RSA_2048}, ROOT, ROOT, GOOD("alice@example.org")},
    {"good, list in date", STAFF_CRL, ROOT, {ALICE}, ROOT, ROOT, GOOD("alice@example.org")},
    {"good, second anchor of the file", TWO, ROOT, {ALICE}, ROOT, ROOT, GOOD("alice@example.org")},
    {"good, empty subject", STAFF, ROOT, {.cn = "", .san = "critical,email:alice@example.org"}, ROOT, ROOT,
     GOOD("alice@example.org")},
    {"intermediate is the anchor", ISSUING_ONLY, ISSUING, {ALICE}, ROOT, ROOT, GOOD("alice@example.org")},
    {"good, intermediate sent", STAFF, ISSUING, {ALICE}, ISSUING, ROOT, GOOD("alice@example.org")},
    {"CERT-10 clientAuth", STAFF, ROOT, {ALICE, .eku = "clientAuth"}, ROOT, ROOT, GOOD("alice@example.org")},
    {"CERT-10 clientAuth among others", STAFF, ROOT, {ALICE, .eku = "emailProtection,clientAuth"}, ROOT, ROOT,
     GOOD("alice@example.org")},
    {"CERT-10 serverAuth only", STAFF, ROOT, {ALICE, .eku = "serverAuth"}, ROOT, ROOT,
     BAD(CERT_CAUSE_PURPOSE, "client certificate is not for client authentication (extended key usage)")},
    {"CERT-10 any purpose is not this one", STAFF, ROOT, {ALICE, .eku = "anyExtendedKeyUsage"}, ROOT, ROOT,
     BAD(CERT_CAUSE_PURPOSE, "client certificate is not for client authentication (extended key usage)")},
    {"CERT-09 digitalSignature", STAFF, ROOT, {ALICE, .ku = "digitalSignature"}, ROOT, ROOT, GOOD("alice@example.org")},
    {"CERT-09 key usage without signature", STAFF, ROOT, {ALICE, .ku = "keyEncipherment"}, ROOT, ROOT,
     BAD(CERT_CAUSE_PURPOSE, "client certificate is not for client authentication (key usage)")},
    {"CERT-09 key agreement only", STAFF, ROOT, {ALICE, .ku = "keyAgreement"}, ROOT, ROOT,
     BAD(CERT_CAUSE_PURPOSE, "client certificate is not for client authentication (key usage)")},
    {"EDG-25 expired", STAFF, ROOT, {ALICE, .until = OCTOBER_1}, ROOT, ROOT,
     BAD(CERT_CAUSE_EXPIRED, "client certificate expired 2026-10-01")},
    {"expired a second ago", STAFF, ROOT, {ALICE, .until = NOW - 1}, ROOT, ROOT,
     BAD(CERT_CAUSE_EXPIRED, "client certificate expired 2026-11-15")},
    {"expires in a second", STAFF, ROOT, {ALICE, .until = NOW + 1}, ROOT, ROOT, GOOD("alice@example.org")},
    {"EDG-25 future", STAFF, ROOT, {ALICE, .from = DECEMBER_1}, ROOT, ROOT,
     BAD(CERT_CAUSE_NOT_YET_VALID, "client certificate is not valid before 2026-12-01")},
    {"EDG-25 unknown CA", STAFF, OTHER, {ALICE}, ROOT, ROOT,
     BAD(CERT_CAUSE_UNKNOWN_CA, "client certificate was issued by an unknown CA (CN=Other CA)")},
    {"unknown CA that is sent along", STAFF, OTHER, {ALICE}, OTHER, ROOT,
     BAD(CERT_CAUSE_UNKNOWN_CA, "client certificate was issued by an unknown CA (CN=Other CA)")},
    {"expired and of an unknown CA", STAFF, OTHER, {ALICE, .until = OCTOBER_1}, ROOT, ROOT,
     BAD(CERT_CAUSE_UNKNOWN_CA, "client certificate was issued by an unknown CA (CN=Other CA)")},
    {"same subject, other key", STAFF, NAMESAKE, {ALICE}, ROOT, ROOT,
     BAD(CERT_CAUSE_UNKNOWN_CA,
         "client certificate was issued by an unknown CA (CN=Staff CA, not the one known here by that name)")},
    {"same subject, other key, sent along", STAFF, NAMESAKE, {ALICE}, NAMESAKE, ROOT,
     BAD(CERT_CAUSE_UNKNOWN_CA,
         "client certificate was issued by an unknown CA (CN=Staff CA, not the one known here by that name)")},
    {"same subject, other key, no key identifiers", STAFF, NAMESAKE_BARE, {ALICE, .no_key_ids = true}, ROOT, ROOT,
     BAD(CERT_CAUSE_UNKNOWN_CA,
         "client certificate was issued by an unknown CA (CN=Staff CA, not the one known here by that name)")},
    {"self-signed", STAFF, SELF, {ALICE}, ROOT, ROOT,
     BAD(CERT_CAUSE_UNKNOWN_CA, "client certificate is self-signed and not known here")},
    {"intermediate not sent", STAFF, ISSUING, {ALICE}, SELF, ROOT,
     BAD(CERT_CAUSE_UNKNOWN_CA, "client certificate was issued by an unknown CA (CN=Issuing CA)")},
    {"CERT-09 path length", STAFF, NO_LENGTH, {ALICE}, NO_LENGTH, ISSUING,
     BAD(CERT_CAUSE_BAD_PATH, "client certificate is further below its CA than that allows (CN=Issuing CA)")},
    {"CERT-09 issuer without basicConstraints", STAFF, NOT_A_CA, {ALICE}, NOT_A_CA, ROOT,
     BAD(CERT_CAUSE_BAD_PATH, "client certificate was issued by a certificate that is no CA (CN=Not a CA)")},
    {"CERT-09 name constraints kept", STAFF, NARROW, {ALICE}, NARROW, ROOT, GOOD("alice@example.org")},
    {"CERT-09 name constraints broken", STAFF, NARROW, {.san = "email:alice@example.net"}, NARROW, ROOT,
     BAD(CERT_CAUSE_BAD_PATH, "client certificate holds a name that its CA may not certify")},
    {"CERT-09 unknown critical extension", STAFF, ROOT, {ALICE, .critical = "1.3.6.1.4.1.55555.1"}, ROOT, ROOT,
     BAD(CERT_CAUSE_BAD_PATH, "client certificate has a critical extension that is not understood")},
    {"expired intermediate", STAFF, SHORT_LIVED, {ALICE}, SHORT_LIVED, ROOT,
     BAD(CERT_CAUSE_EXPIRED, "issuing CA certificate (CN=Old CA) expired 2026-10-01")},
    {"no time", STAFF, ROOT, {ALICE, .bad_time = true}, ROOT, ROOT,
     BAD(CERT_CAUSE_BAD_PATH, "client certificate is not valid: format error in certificate's notAfter field")},
    {"broken extension", STAFF, ROOT, {ALICE, .bad_bc = true}, ROOT, ROOT,
     BAD(CERT_CAUSE_BAD_PATH, "client certificate has an extension that cannot be read")},
    {"version 1", STAFF, ROOT, {.v1 = true}, ROOT, ROOT, NO_ADDRESS},
    {"CERT-11 revoked", STAFF_CRL, ROOT, {ALICE, .serial = 666}, ROOT, ROOT,
     BAD(CERT_CAUSE_REVOKED, "client certificate was revoked on 2026-11-02")},
    {"revoked and expired", STAFF_CRL, ROOT, {ALICE, .serial = 666, .until = OCTOBER_1}, ROOT, ROOT,
     BAD(CERT_CAUSE_REVOKED, "client certificate was revoked on 2026-11-02")},
    {"no list, no revocation", STAFF, ROOT, {ALICE, .serial = 666}, ROOT, ROOT, GOOD("alice@example.org")},
    {"CERT-11 stale list", STALE_CRL, ROOT, {ALICE}, ROOT, ROOT,
     BAD(CERT_CAUSE_REVOCATION_UNKNOWN, "revocation list of CN=Staff CA is out of date")},
    {"list of the future", EARLY_CRL, ROOT, {ALICE}, ROOT, ROOT,
     BAD(CERT_CAUSE_REVOCATION_UNKNOWN, "revocation list of CN=Staff CA is not valid yet")},
    {"list of another CA only", OTHER_CRL, ROOT, {ALICE}, ROOT, ROOT,
     BAD(CERT_CAUSE_REVOCATION_UNKNOWN, "revocation list of CN=Staff CA is missing")},
    {"list of the intermediate suffices", ISSUING_CRL, ISSUING, {ALICE}, ISSUING, ROOT, GOOD("alice@example.org")},
    {"revoked by the intermediate", ISSUING_CRL, ISSUING, {ALICE, .serial = 666}, ISSUING, ROOT,
     BAD(CERT_CAUSE_REVOKED, "client certificate was revoked on 2026-11-02")},
    {"list of the root only", STALE_CRL, ISSUING, {ALICE}, ISSUING, ROOT,
     BAD(CERT_CAUSE_REVOCATION_UNKNOWN, "revocation list of CN=Issuing CA is missing")},
    {"stale list further up", ROOT_STALE, ISSUING, {ALICE}, ISSUING, ROOT,
     BAD(CERT_CAUSE_REVOCATION_UNKNOWN, "revocation list of CN=Staff CA is out of date")},
    {"weak key", STAFF, ROOT, {ALICE, .key = ZOO_RSA_1024}, ROOT, ROOT,
     BAD(CERT_CAUSE_WEAK, "client certificate uses a weak key (RSA 1024)")},
    {"CERT-07 SHA-1", STAFF, ROOT, {ALICE, .sha1 = true}, ROOT, ROOT,
     BAD(CERT_CAUSE_WEAK, "client certificate has a weak signature (SHA1)")},
    {"weak key of the CA", STAFF, WEAK, {ALICE}, WEAK, ROOT,
     BAD(CERT_CAUSE_WEAK, "issuing CA certificate (CN=Weak CA) uses a weak key (RSA 1024)")},
    {"weak key of an unknown CA", STAFF, OTHER, {ALICE, .key = ZOO_RSA_1024}, ROOT, ROOT,
     BAD(CERT_CAUSE_WEAK, "client certificate uses a weak key (RSA 1024)")},
    {"EDG-01 no SAN", STAFF, ROOT, {.cn = "alice@example.org"}, ROOT, ROOT, NO_ADDRESS},
    {"EDG-01 other SANs", STAFF, ROOT, {.san = "DNS:mail.example.org,URI:spiffe://example.org/a"}, ROOT, ROOT, NO_ADDRESS},
    {"EDG-02 two addresses", STAFF, ROOT, {.san = "email:a@example.org,email:b@example.org"}, ROOT, ROOT,
     CERT_AMBIGUOUS, CERT_CAUSE_SEVERAL_IDENTITIES,
     "client certificate holds several addresses: choose one with an authorization identity"},
    {"CERT-16 equal but for the domain's case", STAFF, ROOT, {.san = "email:a@example.org,email:a@EXAMPLE.org"},
     ROOT, ROOT, GOOD("a@example.org")},
    {"CERT-16 local parts differ in case", STAFF, ROOT, {.san = "email:A@example.org,email:a@example.org"}, ROOT, ROOT,
     CERT_AMBIGUOUS, CERT_CAUSE_SEVERAL_IDENTITIES,
     "client certificate holds several addresses: choose one with an authorization identity"},
    {"CERT-16 local part untouched", STAFF, ROOT, {RAW("Alice.B@Example.ORG")}, ROOT, ROOT, GOOD("Alice.B@example.org")},
    {"quoted local part", STAFF, ROOT, {RAW("\"a b@c\"@example.org")}, ROOT, ROOT, GOOD("\"a b@c\"@example.org")},
    {"quoted quote and backslash", STAFF, ROOT, {RAW("\"a\\\"\\\\\"@example.org")}, ROOT, ROOT,
     GOOD("\"a\\\"\\\\\"@example.org")},
    {"quote in the middle", STAFF, ROOT, {RAW("\"a\"b\"@example.org")}, ROOT, ROOT, BAD_ADDRESS},
    {"quote left open", STAFF, ROOT, {RAW("\"ab\\\"@example.org")}, ROOT, ROOT, BAD_ADDRESS},
    {"empty quotes", STAFF, ROOT, {RAW("\"\"@example.org")}, ROOT, ROOT, BAD_ADDRESS},
    {"all of atext", STAFF, ROOT, {RAW("a!#$%&'*+-/=?^_`{|}~.b@example.org")}, ROOT, ROOT,
     GOOD("a!#$%&'*+-/=?^_`{|}~.b@example.org")},
    {"dots", STAFF, ROOT, {RAW("a..b@example.org")}, ROOT, ROOT, BAD_ADDRESS},
    {"dot first", STAFF, ROOT, {RAW(".a@example.org")}, ROOT, ROOT, BAD_ADDRESS},
    {"dot last", STAFF, ROOT, {RAW("a.@example.org")}, ROOT, ROOT, BAD_ADDRESS},
    {"comment", STAFF, ROOT, {RAW("a(b)@example.org")}, ROOT, ROOT, BAD_ADDRESS},
    {"CERT-20 NUL", STAFF, ROOT, {RAW("alice@example.org\0.evil.example")}, ROOT, ROOT, BAD_ADDRESS},
    {"CERT-20 NUL in the local part", STAFF, ROOT, {RAW("alice\0x@example.org")}, ROOT, ROOT, BAD_ADDRESS},
    {"CERT-20 NUL at the end", STAFF, ROOT, {RAW("alice@example.org\0")}, ROOT, ROOT, BAD_ADDRESS},
    {"CERT-20 control", STAFF, ROOT, {RAW("alice\r\n@example.org")}, ROOT, ROOT, BAD_ADDRESS},
    {"CERT-20 delete", STAFF, ROOT, {RAW("alice\x7f@example.org")}, ROOT, ROOT, BAD_ADDRESS},
    {"CERT-20 broken UTF-8", STAFF, ROOT, {RAW("al\xc3(ce@example.org")}, ROOT, ROOT, BAD_ADDRESS},
    {"CERT-20 overlong form", STAFF, ROOT, {RAW("al\xc1\xa1" "ce@example.org")}, ROOT, ROOT, BAD_ADDRESS},
    {"CERT-17 UTF-8 has its own name form", STAFF, ROOT, {RAW("al\xc3\xa9@example.org")}, ROOT, ROOT, BAD_ADDRESS},
    {"empty", STAFF, ROOT, {RAW("")}, ROOT, ROOT, BAD_ADDRESS},
    {"no @", STAFF, ROOT, {RAW("alice")}, ROOT, ROOT, BAD_ADDRESS},
    {"no local part", STAFF, ROOT, {RAW("@example.org")}, ROOT, ROOT, BAD_ADDRESS},
    {"no domain", STAFF, ROOT, {RAW("alice@")}, ROOT, ROOT, BAD_ADDRESS},
    {"two @", STAFF, ROOT, {RAW("alice@example.org@example.net")}, ROOT, ROOT, BAD_ADDRESS},
    {"space", STAFF, ROOT, {RAW("al ice@example.org")}, ROOT, ROOT, BAD_ADDRESS},
    {"space around", STAFF, ROOT, {RAW(" alice@example.org ")}, ROOT, ROOT, BAD_ADDRESS},
    {"angle brackets", STAFF, ROOT, {RAW("<alice@example.org>")}, ROOT, ROOT, BAD_ADDRESS},
    {"address literal", STAFF, ROOT, {RAW("alice@[192.0.2.1]")}, ROOT, ROOT, BAD_ADDRESS},
    {"empty label", STAFF, ROOT, {RAW("alice@example..org")}, ROOT, ROOT, BAD_ADDRESS},
    {"root dot", STAFF, ROOT, {RAW("alice@example.org.")}, ROOT, ROOT, BAD_ADDRESS},
    {"whole domain", STAFF, ROOT, {RAW(".example.org")}, ROOT, ROOT, BAD_ADDRESS},
    {"wildcard domain", STAFF, ROOT, {RAW("alice@*.example.org")}, ROOT, ROOT, BAD_ADDRESS},
    {"local part of 65", STAFF, ROOT,
     {RAW("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@example.org")}, ROOT, ROOT, BAD_ADDRESS},
};
/* clang-format on */

static struct cert_verdict
judge_at(const struct zoo_cert *c, STACK_OF(X509) * chain, struct cert_trust *t, int64_t now)
{
    struct cert_verdict v;
    struct cert_request rq = {.leaf = c->x,
                              .chain = chain,
                              .trusts = &t,
                              .n_trusts = 1,
                              .rules = &by_email,
                              .n_rules = 1,
                              .now_ms = now * 1000};
    cert_judge(&rq, &v);
    return v;
}

static struct cert_verdict
judge(const struct zoo_cert *c, STACK_OF(X509) * chain, struct cert_trust *t)
{
    return judge_at(c, chain, t, NOW);
}

static void check_shape(const char *row, const struct cert_verdict *v)
{
    size_t want = v->outcome == CERT_ACCEPTABLE ? 1 : 0;
    check(row, v->outcome == CERT_AMBIGUOUS ? v->n_identities >= 2 : v->n_identities == want);
    check(row, (v->outcome == CERT_ACCEPTABLE) == (v->reason[0] == '\0'));
    check(row, strlen(v->fingerprint) == 64 && v->subject &&
                   (v->not_after_ms > 0 || strstr(row, "no time")));
    for (const char *p = v->reason; *p; p++)
        check(row, *p >= ' ' && *p <= '~');
    check(row, (cert_verify_code(v) == 0) == (v->outcome != CERT_UNACCEPTABLE));
    check(row, ERR_peek_error() == 0); /* nothing left for the TLS code to stumble over */
}

static void certificates_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];
        struct zoo_cert c = zoo_make(&r->spec, r->issuer == SELF ? NULL : &ca[r->issuer]);
        STACK_OF(X509) *chain = chain_of(r->sent, r->sent_too);
        struct cert_verdict v = judge(&c, chain, trusts[r->trust]);
        const char *got = v.outcome == CERT_ACCEPTABLE ? v.identities[0] : v.reason;
        if (v.outcome != r->want || v.cause != r->cause || strcmp(got, r->want_text) != 0)
            fail_msg("%s: got %s (%s) \"%s\"", r->name, cert_outcome_name(v.outcome),
                     cert_cause_name(v.cause), got);
        check_shape(r->name, &v);
        cert_verdict_done(&v);
        sk_X509_free(chain);
        zoo_free(&c);
    }
}

/* Every octet of a good certificate spoilt in three ways: whatever can still be read is refused, for a
 * reason that can be shown. */
static void a_spoilt_certificate_is_never_acceptable(void **state)
{
    (void)state;
    static const unsigned char spoilers[] = {0x01, 0x80, 0xff};
    struct zoo_cert c = zoo_make(&(struct zoo_spec){ALICE}, &ca[ROOT]);
    unsigned char *der = NULL;
    int len = i2d_X509(c.x, &der);
    assert_true(len > 300);
    size_t read = 0;
    for (int i = 0; i < len * (int)ARRAY_LEN(spoilers); i++) {
        unsigned char *octet = &der[i / (int)ARRAY_LEN(spoilers)], good = *octet;
        const unsigned char *p = der;
        *octet ^= spoilers[i % (int)ARRAY_LEN(spoilers)];
        struct zoo_cert spoilt = {d2i_X509(NULL, &p, len), NULL};
        ERR_clear_error();
        *octet = good;
        if (!spoilt.x)
            continue;
        struct cert_verdict v = judge(&spoilt, NULL, trusts[STAFF_CRL]);
        assert_int_equal(v.outcome, CERT_UNACCEPTABLE);
        assert_true(v.reason[0] && !str_has_control(str_of(v.reason)) &&
                    str_is_ascii(str_of(v.reason)));
        assert_true(str_is_utf8(str_of(v.subject)) && !str_has_control(str_of(v.subject)));
        assert_int_equal(ERR_peek_error(), 0);
        cert_verdict_done(&v);
        zoo_free(&spoilt);
        read++;
    }
    assert_true(read > 300);
    OPENSSL_free(der);
    zoo_free(&c);
}

static void no_certificate_is_no_verdict(void **state)
{
    (void)state;
    struct cert_verdict v;
    struct cert_request rq = {
        .trusts = trusts, .n_trusts = 1, .rules = &by_email, .n_rules = 1, .now_ms = NOW * 1000};
    cert_judge(&rq, &v);
    assert_int_equal(v.outcome, CERT_NONE);
    assert_string_equal(v.reason, "");
    assert_string_equal(v.fingerprint, "");
    assert_null(v.subject);
    assert_true(v.not_after_ms == 0);
    assert_int_not_equal(cert_verify_code(&v), X509_V_OK);
    cert_verdict_done(&v);
}

static void the_verdict_describes_the_certificate(void **state)
{
    (void)state;
    struct zoo_cert c =
        zoo_make(&(struct zoo_spec){.cn = "Al\xc3\xa9 A", ALICE, .until = NOW + DAY}, &ca[ROOT]);
    struct cert_verdict v = judge(&c, NULL, trusts[STAFF]);
    assert_string_equal(v.rule, "email");
    assert_string_equal(v.trust, "staff");
    assert_string_equal(v.subject, "CN=Al\xc3\xa9 A");
    assert_true(v.not_after_ms == (NOW + DAY) * 1000);
    cert_verdict_done(&v);
    assert_int_equal(v.outcome, CERT_NONE);
    assert_null(v.subject);
    zoo_free(&c);
}

/* RFC 5280 knows no limit; the search for a path needs one. */
static void a_chain_has_a_maximum(void **state)
{
    (void)state;
    struct zoo_cert above[11];
    STACK_OF(X509) *chain = sk_X509_new_null();
    for (size_t i = 0; i < ARRAY_LEN(above); i++) {
        char cn[32];
        snprintf(cn, sizeof(cn), "Level %zu", i);
        above[i] = zoo_ca(cn, i ? &above[i - 1] : &ca[ROOT]);
        assert_true(sk_X509_push(chain, above[i].x) > 0);
        struct zoo_cert c = zoo_make(&(struct zoo_spec){ALICE}, &above[i]);
        struct cert_verdict v = judge(&c, chain, trusts[STAFF]);
        assert_string_equal(v.reason, i < 10 ? "" : "client certificate has too many CAs above it");
        cert_verdict_done(&v);
        zoo_free(&c);
    }
    for (size_t i = 0; i < ARRAY_LEN(above); i++)
        zoo_free(&above[i]);
    sk_X509_free(chain);
}

/* A name is for a log line, a reply and a terminal: it must not be able to command any of them. */
static void hostile_names_are_defused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *cn, *subject, *issuer;
    } table[] = {
        {"line end",         "a\r\n250 ok",                                                      "CN=a\\0D\\0A250 ok", "CN=a??250 ok"                                                       },
        {"escape",           "a\x1b[2J",                                                         "CN=a\\1B[2J",        "CN=a?[2J"                                                           },
        {"C1 control",
         "a\xc2\x9b"
         "2J",                                                                                   "CN=a\\C2\\9B2J",     "CN=a??2J"                                                           },
        {"right to left",
         "a\xe2\x80\xae"
         "b",                                                                                    "CN=a\\E2\\80\\AEb",  "CN=a???b"                                                           },
        {"isolate",
         "a\xe2\x81\xa6"
         "b",                                                                                    "CN=a\\E2\\81\\A6b",  "CN=a???b"                                                           },
        {"second attribute", "a,O=b+C=c",                                                        "CN=a\\,O=b\\+C=c",   "CN=a,O=b+C=c"                                                       },
        {"64 characters",    "0123456789012345678901234567890123456789012345678901234567890123",
         "CN=0123456789012345678901234567890123456789012345678901234567890123",                                        "CN=0123456789012345678901234567890123456789012345678901234567890123"},
        {"nameless",         "",                                                                 "",                   "no name"                                                            },
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char want[CERT_REASON_MAX];
        struct zoo_spec spec = {.cn = table[i].cn, .bc = "CA:TRUE", ALICE};
        struct zoo_cert issuer = zoo_make(&spec, NULL), c = zoo_make(&spec, &issuer);
        struct cert_verdict v = judge(&c, NULL, trusts[STAFF]);
        snprintf(want, sizeof(want), "client certificate was issued by an unknown CA (%s)",
                 table[i].issuer);
        if (strcmp(v.reason, want) != 0 || strcmp(v.subject, table[i].subject) != 0)
            fail_msg("%s: \"%s\" \"%s\"", table[i].name, v.reason, v.subject);
        cert_verdict_done(&v);
        zoo_free(&c);
        zoo_free(&issuer);
    }
}

static void long_names_are_cut(void **state)
{
    (void)state;
    struct zoo_spec spec = {.cn = "", .long_name = true, .bc = "CA:TRUE", ALICE};
    struct zoo_cert issuer = zoo_make(&spec, NULL), c = zoo_make(&spec, &issuer);
    struct cert_verdict v = judge(&c, NULL, trusts[STAFF]);
    assert_int_equal(strlen(v.subject), 512);
    assert_string_equal(v.subject + 508, "0...");
    assert_string_equal(v.reason,
                        "client certificate was issued by an unknown CA "
                        "(OU=0123456789012345678901234567890123456789012345678901234567890...)");
    cert_verdict_done(&v);
    zoo_free(&c);
    zoo_free(&issuer);
}

/* EDG-13, EDG-14: a resumed session has no chain, and is judged as the first one was. */
static void resumed_sessions_are_judged_with_known_intermediates(void **state)
{
    (void)state;
    struct cert_trust *t = load("fresh", "root.pem", NULL),
                      *reloaded = load("fresh", "root.pem", NULL);
    struct zoo_cert c = zoo_make(&(struct zoo_spec){ALICE}, &ca[ISSUING]);
    STACK_OF(X509) *chain = chain_of(ISSUING, ROOT), *empty = chain_of(ROOT, ROOT);
    const struct {
        const char *name;
        STACK_OF(X509) * chain;
        struct cert_trust *trust;
        enum cert_outcome want;
    } steps[] = {
        {"not seen yet",                             NULL,  t,        CERT_UNACCEPTABLE},
        {"full handshake",                           chain, t,        CERT_ACCEPTABLE  },
        {"resumed",                                  NULL,  t,        CERT_ACCEPTABLE  },
        {"others do not profit from what this sent", empty, t,        CERT_UNACCEPTABLE},
        {"another snapshot",                         NULL,  reloaded, CERT_UNACCEPTABLE},
    };
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct cert_verdict v = judge(&c, steps[i].chain, steps[i].trust);
        check(steps[i].name, v.outcome == steps[i].want);
        cert_verdict_done(&v);
    }
    cert_trust_inherit(reloaded, t);
    struct cert_verdict v = judge(&c, NULL, reloaded);
    assert_int_equal(v.outcome, CERT_ACCEPTABLE);
    cert_verdict_done(&v);
    sk_X509_free(chain);
    sk_X509_free(empty);
    zoo_free(&c);
    cert_trust_unref(t);
    cert_trust_unref(reloaded);
}

static enum cert_outcome
outcome_below(const struct zoo_cert *issuing, STACK_OF(X509) * chain, struct cert_trust *t)
{
    struct zoo_cert c = zoo_make(&(struct zoo_spec){ALICE}, issuing);
    struct cert_verdict v = judge(&c, chain, t);
    enum cert_outcome outcome = v.outcome;
    cert_verdict_done(&v);
    zoo_free(&c);
    return outcome;
}

static void known_intermediates_are_bounded(void **state)
{
    (void)state;
    struct zoo_cert issuing[65];
    struct cert_trust *t = load("bounded", "root.pem", NULL);
    for (size_t i = 0; i < ARRAY_LEN(issuing); i++) {
        char cn[32];
        snprintf(cn, sizeof(cn), "Issuing CA %zu", i);
        issuing[i] = zoo_ca(cn, &ca[ROOT]);
        STACK_OF(X509) *chain = sk_X509_new_null();
        assert_true(sk_X509_push(chain, issuing[i].x) > 0);
        assert_int_equal(outcome_below(&issuing[i], chain, t), CERT_ACCEPTABLE);
        sk_X509_free(chain);
    }
    assert_int_equal(outcome_below(&issuing[0], NULL, t),
                     CERT_UNACCEPTABLE); /* made room for the last one */
    assert_int_equal(outcome_below(&issuing[1], NULL, t), CERT_ACCEPTABLE);
    assert_int_equal(outcome_below(&issuing[64], NULL, t), CERT_ACCEPTABLE);
    for (size_t i = 0; i < ARRAY_LEN(issuing); i++)
        zoo_free(&issuing[i]);
    cert_trust_unref(t);
}

/* Several trust blocks and rules: which counts, and which reason is told. */
static void trust_blocks_are_tried_in_order(void **state)
{
    (void)state;
    static const char *const only_crl[] = {"staff-crl"}, *const only_other[] = {"other"};
    static const struct cert_rule rule_any[] = {
        {"email", CERT_SOURCE_SAN_EMAIL, NULL, 0}
    };
    static const struct cert_rule rule_second[] = {
        {"email", CERT_SOURCE_SAN_EMAIL, only_crl, 1}
    };
    static const struct cert_rule rule_other[] = {
        {"email", CERT_SOURCE_SAN_EMAIL, only_other, 1}
    };
    static const struct cert_rule rule_falls_through[] = {
        {"host",  CERT_SOURCE_SAN_DNS,     NULL, 0},
        {"email", CERT_SOURCE_SAN_EMAIL,   NULL, 0},
        {"print", CERT_SOURCE_FINGERPRINT, NULL, 0}
    };
    static const struct cert_rule rule_two_missing[] = {
        {"host",  CERT_SOURCE_SAN_DNS, NULL, 0},
        {"again", CERT_SOURCE_SAN_DNS, NULL, 0},
        {"uri",   CERT_SOURCE_SAN_URI, NULL, 0}
    };
    struct cert_trust *other = load("other", "other.pem", NULL);
    const struct {
        const char *name;
        struct cert_trust *first, *second;
        const struct cert_rule *rules;
        size_t n_rules;
        struct zoo_spec spec;
        const char *trust, *rule, *reason;
    } table[] = {
        {"first that is valid",
         trusts[STAFF],
         trusts[STAFF_CRL],
         rule_any,                                                                                     1,
         {ALICE},
         "staff",                                                                                                                               "email",
         ""                                                                                                                                                },
        {"second is valid",                                  other, trusts[STAFF], rule_any,           1, {ALICE},                     "staff", "email", ""},
        {"revoked in the first, unrevoked in the second",
         trusts[STAFF_CRL],
         trusts[STAFF],
         rule_any,                                                                                     1,
         {ALICE, .serial = 666},
         "staff",                                                                                                                               "email",
         ""                                                                                                                                                },
        {"rule holds for the second only",
         trusts[STAFF],
         trusts[STAFF_CRL],
         rule_second,                                                                                  1,
         {ALICE},
         "staff-crl",                                                                                                                           "email",
         ""                                                                                                                                                },
        {"CERT-15 rule holds for a CA that is not this one",
         trusts[STAFF],
         other,                                                                    rule_other,
         1,                                                                                               {ALICE},
         "staff",                                                                                                                               "",
         "no identity is taken here from certificates of this CA"                                                                                          },
        {"rule's trust block finds it revoked",
         trusts[STAFF],
         trusts[STAFF_CRL],
         rule_second,                                                                                  1,
         {ALICE, .serial = 666},
         "staff",                                                                                                                               "",
         "no identity is taken here from certificates of this CA"                                                                                          },
        {"promising after unknown",
         other,                                                     trusts[STAFF],
         rule_any,                                                                                     1,
         {ALICE, .until = OCTOBER_1},
         "",                                                                                                                                    "",
         "client certificate expired 2026-10-01"                                                                                                           },
        {"promising before unknown",
         trusts[STAFF],
         other,                                                                    rule_any,
         1,                                                                                               {ALICE, .until = OCTOBER_1},
         "",                                                                                                                                    "",
         "client certificate expired 2026-10-01"                                                                                                           },
        {"rules in order",
         trusts[STAFF],
         other,                                                                    rule_falls_through,
         3,                                                                                               {ALICE},
         "staff",                                                                                                                               "email",
         ""                                                                                                                                                },
        {"the last rule",
         trusts[STAFF],
         other,                                                                    rule_falls_through,
         3,                                                                                               {.cn = "x"},
         "staff",                                                                                                                               "print",
         ""                                                                                                                                                },
        {"all that is missing",
         trusts[STAFF],
         other,                                                                    rule_two_missing,
         3,                                                                                               {ALICE},
         "staff",                                                                                                                               "",
         "client certificate has no host name (subjectAltName) or URI (subjectAltName)"                                                                    },
        {"no rule at all",
         trusts[STAFF],
         other,                                                                    NULL,
         0,                                                                                               {ALICE},
         "staff",                                                                                                                               "",
         "no identity is taken here from certificates of this CA"                                                                                          },
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct zoo_cert c = zoo_make(&table[i].spec, &ca[ROOT]);
        struct cert_trust *two[] = {table[i].first, table[i].second};
        struct cert_verdict v;
        cert_judge(
            &(struct cert_request){c.x, NULL, two, 2, table[i].rules, table[i].n_rules, NOW * 1000},
            &v);
        if (strcmp(v.trust, table[i].trust) != 0 || strcmp(v.rule, table[i].rule) != 0 ||
            strcmp(v.reason, table[i].reason) != 0)
            fail_msg("%s: trust %s, rule %s, \"%s\"", table[i].name, v.trust, v.rule, v.reason);
        cert_verdict_done(&v);
        zoo_free(&c);
    }
    cert_trust_unref(other);
}

/* Set up again under its old name, and both still trusted: the key identifiers tell them apart. */
static void two_cas_may_have_one_name(void **state)
{
    (void)state;
    static const enum issuer issuers[] = {ROOT, NAMESAKE};
    X509 *both[] = {ca[ROOT].x, ca[NAMESAKE].x};
    zoo_write(&dir, "namesakes.pem", both, 2, NULL);
    struct cert_trust *t = load("namesakes", "namesakes.pem", NULL);
    for (size_t i = 0; i < ARRAY_LEN(issuers); i++) {
        struct zoo_cert c = zoo_make(&(struct zoo_spec){ALICE}, &ca[issuers[i]]);
        struct cert_verdict v = judge(&c, NULL, t);
        assert_string_equal(v.reason, "");
        cert_verdict_done(&v);
        zoo_free(&c);
    }
    cert_trust_unref(t);
}

static void no_trust_block_trusts_nobody(void **state)
{
    (void)state;
    struct zoo_cert c = zoo_make(&(struct zoo_spec){ALICE}, &ca[ROOT]);
    struct cert_verdict v;
    cert_judge(
        &(struct cert_request){.leaf = c.x, .rules = &by_email, .n_rules = 1, .now_ms = NOW * 1000},
        &v);
    assert_int_equal(v.outcome, CERT_UNACCEPTABLE);
    assert_int_equal(v.cause, CERT_CAUSE_UNKNOWN_CA);
    cert_verdict_done(&v);
    zoo_free(&c);
}

/* CERT-14: each source; a list of names is written with spaces. */
static void sources_find_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum cert_source source;
        const char *san, *want;
    } table[] = {
        {"host",                   CERT_SOURCE_SAN_DNS, "DNS:Printer-1.Example.ORG",             "printer-1.example.org"},
        {"hosts",                  CERT_SOURCE_SAN_DNS, "DNS:a.example.org,DNS:b.example.org",
         "a.example.org b.example.org"                                                                                  },
        {"equal hosts",            CERT_SOURCE_SAN_DNS, "DNS:a.example.org,DNS:A.example.org",
         "a.example.org"                                                                                                },
        {"single label",           CERT_SOURCE_SAN_DNS, "DNS:printer",                           "printer"              },
        {"wildcard",               CERT_SOURCE_SAN_DNS, "DNS:*.example.org",                     ""                     },
        {"wildcard beside a name", CERT_SOURCE_SAN_DNS, "DNS:*.example.org,DNS:a.example.org",
         "a.example.org"                                                                                                },
        {"hyphens outside",        CERT_SOURCE_SAN_DNS, "DNS:-a.example.org,DNS:a-.example.org", ""                     },
        {"empty labels",           CERT_SOURCE_SAN_DNS, "DNS:.a,DNS:a..b,DNS:a.",                ""                     },
        {"underscore",             CERT_SOURCE_SAN_DNS, "DNS:a_b.example.org",                   ""                     },
        {"e-mail is no host",      CERT_SOURCE_SAN_DNS, "email:a@example.org",                   ""                     },
        {"URI",                    CERT_SOURCE_SAN_URI, "URI:spiffe://example.org/Mail/a",
         "spiffe://example.org/Mail/a"                                                                                  },
        {"not a URI",              CERT_SOURCE_SAN_URI, "URI:mail,URI::x,URI:x:",                ""                     },
        {"space in a URI",         CERT_SOURCE_SAN_URI, "URI:spiffe://example.org/a b",          ""                     },
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char got[256] = "";
        struct cert_rule rule = {"r", table[i].source, NULL, 0};
        struct zoo_cert c = zoo_make(&(struct zoo_spec){.san = table[i].san}, &ca[ROOT]);
        struct cert_verdict v;
        cert_judge(&(struct cert_request){c.x, NULL, &trusts[STAFF], 1, &rule, 1, NOW * 1000}, &v);
        for (size_t n = 0; n < v.n_identities; n++)
            snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s", n ? " " : "",
                     v.identities[n]);
        if (strcmp(got, table[i].want) != 0)
            fail_msg("%s: got %s", table[i].name, got);
        cert_verdict_done(&v);
        zoo_free(&c);
    }
}

static void digest_of(const unsigned char *octets, int len, char out[65])
{
    unsigned char sha256[32];
    assert_true(len > 0 && EVP_Digest(octets, (size_t)len, sha256, NULL, EVP_sha256(), NULL) == 1);
    for (size_t i = 0; i < 32; i++)
        snprintf(out + 2 * i, 3, "%02x", sha256[i]);
}

static void digests_are_of_the_whole_and_of_the_key(void **state)
{
    (void)state;
    struct zoo_cert c = zoo_make(&(struct zoo_spec){ALICE}, &ca[ROOT]);
    unsigned char *cert = NULL, *key = NULL;
    char want[2][65];
    int cert_len = i2d_X509(c.x, &cert), key_len = i2d_PUBKEY(c.key, &key);
    digest_of(cert, cert_len, want[0]);
    digest_of(key, key_len, want[1]);
    static const enum cert_source kinds[] = {CERT_SOURCE_FINGERPRINT, CERT_SOURCE_PUBLIC_KEY};
    for (size_t i = 0; i < 2; i++) {
        struct cert_rule rule = {"r", kinds[i], NULL, 0};
        struct cert_verdict v;
        cert_judge(&(struct cert_request){c.x, NULL, &trusts[STAFF], 1, &rule, 1, NOW * 1000}, &v);
        assert_int_equal(v.outcome, CERT_ACCEPTABLE);
        assert_string_equal(v.identities[0], want[i]);
        assert_string_equal(v.fingerprint, want[0]);
        cert_verdict_done(&v);
    }
    OPENSSL_free(cert);
    OPENSSL_free(key);
    zoo_free(&c);
}

static void of_many_addresses_the_first_count(void **state)
{
    (void)state;
    char san[1024] = "";
    for (int i = 0; i < CERT_IDENTITIES_MAX + 4; i++)
        snprintf(san + strlen(san), sizeof(san) - strlen(san), "%semail:u%d@example.org",
                 i ? "," : "", i);
    struct zoo_cert c = zoo_make(&(struct zoo_spec){.san = san}, &ca[ROOT]);
    struct cert_verdict v = judge(&c, NULL, trusts[STAFF]);
    assert_int_equal(v.outcome, CERT_AMBIGUOUS);
    assert_int_equal(v.n_identities, CERT_IDENTITIES_MAX);
    assert_string_equal(v.identities[0], "u0@example.org");
    assert_string_equal(v.identities[15], "u15@example.org");
    cert_verdict_done(&v);
    zoo_free(&c);
}

/* EDG-20: known by being listed, without a CA; the other rules hold for it all the same. */
static void listed_certificates_need_no_ca(void **state)
{
    (void)state;
    struct zoo_cert c[] = {
        zoo_make(&(struct zoo_spec){.cn = "pinned", ALICE, .eku = "clientAuth"}, NULL),
        zoo_make(&(struct zoo_spec){.cn = "of an unknown CA", ALICE}, &ca[OTHER]),
        zoo_make(&(struct zoo_spec){.cn = "expired", ALICE, .until = OCTOBER_1}, NULL),
        zoo_make(&(struct zoo_spec){.cn = "server", ALICE, .eku = "serverAuth"}, NULL),
    };
    static const char *const want[] = {
        "", "", "client certificate expired 2026-10-01",
        "client certificate is not for client authentication (extended key usage)"};
    X509 *all[] = {c[0].x, c[1].x, c[2].x, c[3].x, ca[ROOT].x};
    zoo_write(&dir, "pinned.pem", all, 5, NULL);
    struct cert_trust *plain = load("pinned", "pinned.pem", NULL),
                      *crl = load("pinned", "pinned.pem", "root.crl");
    for (size_t i = 0; i < ARRAY_LEN(c); i++) {
        struct cert_verdict v = judge(&c[i], NULL, plain), w = judge(&c[i], NULL, crl);
        check(want[i], strcmp(v.reason, want[i]) == 0 && strcmp(w.reason, want[i]) == 0);
        cert_verdict_done(&v);
        cert_verdict_done(&w);
    }
    struct zoo_cert below = zoo_make(&(struct zoo_spec){.cn = "below", ALICE}, &c[0]);
    struct cert_verdict v = judge(&below, NULL, plain);
    assert_int_equal(v.outcome, CERT_UNACCEPTABLE); /* a listed client certificate is no CA */
    cert_verdict_done(&v);
    zoo_free(&below);
    for (size_t i = 0; i < ARRAY_LEN(c); i++)
        zoo_free(&c[i]);
    cert_trust_unref(plain);
    cert_trust_unref(crl);
}

static void fingerprints_are_parsed(void **state)
{
    (void)state;
#define HEX_16 "0123456789abcdef"
#define HEX_64 HEX_16 HEX_16 HEX_16 HEX_16
#define COLONS "01:23:45:67:89:AB:CD:EF"
    static const struct {
        const char *name, *in;
        bool want;
    } table[] = {
        {"plain",           HEX_64,                                                     true },
        {"upper case",      "0123456789ABCDEF" HEX_16 HEX_16 HEX_16,                    true },
        {"colons",          COLONS ":" COLONS ":" COLONS ":" COLONS,                    true },
        {"empty",           "",                                                         false},
        {"SHA-1",           "0123456789abcdef0123456789abcdef01234567",                 false},
        {"too long",        HEX_64 "0",                                                 false},
        {"no hex",          "g123456789abcdef" HEX_16 HEX_16 HEX_16,                    false},
        {"last no hex",     HEX_16 HEX_16 HEX_16 "0123456789abcdeg",                    false},
        {"other separator", COLONS "-" COLONS ":" COLONS ":" COLONS,                    false},
        {"leading colon",   ":" COLONS ":" COLONS ":" COLONS ":01:23:45:67:89:AB:CD:E", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char out[65] = "untouched";
        check(table[i].name,
              cert_fingerprint_parse(table[i].in, out) == (table[i].want ? 0 : -EINVAL));
        check(table[i].name, strcmp(out, table[i].want ? HEX_64 : "untouched") == 0);
    }
}

static void sources_have_words(void **state)
{
    (void)state;
    enum cert_source s;
    assert_int_equal(cert_source_parse("san-email", &s), 0);
    assert_int_equal(s, CERT_SOURCE_SAN_EMAIL);
    assert_int_equal(cert_source_parse("fingerprint", &s), 0);
    assert_int_equal(s, CERT_SOURCE_FINGERPRINT);
    assert_string_equal(cert_source_name(CERT_SOURCE_SAN_DNS), "san-dns");
    assert_int_equal(cert_source_parse("SAN-EMAIL", &s), -EINVAL);
    assert_int_equal(cert_source_parse("", &s), -EINVAL);
}

/* What a snapshot remembers of its revocation lists must not outlive their dates, nor help a CA that
 * has not signed them. */
static void lists_are_remembered_for_their_issuer_and_time(void **state)
{
    (void)state;
    X509 *both[] = {ca[ROOT].x, ca[NAMESAKE].x};
    zoo_write(&dir, "namesakes.pem", both, 2, NULL);
    struct cert_trust *t = load("namesakes", "namesakes.pem", "root.crl");
    struct zoo_cert good = zoo_make(&(struct zoo_spec){ALICE}, &ca[ROOT]);
    struct zoo_cert revoked = zoo_make(&(struct zoo_spec){ALICE, .serial = 666}, &ca[ROOT]);
    struct zoo_cert namesake = zoo_make(&(struct zoo_spec){ALICE}, &ca[NAMESAKE]);
    const struct {
        const char *name;
        const struct zoo_cert *cert;
        int64_t now;
        const char *want;
    } steps[] = {
        {"not seen yet",          &good,     NOW,            ""                                               },
        {"seen",                  &good,     NOW,            ""                                               },
        {"revoked",               &revoked,  NOW,            "client certificate was revoked on 2026-11-02"   },
        {"not signed by this CA", &namesake, NOW,            "revocation list of CN=Staff CA cannot be used"  },
        {"and still not",         &namesake, NOW,            "revocation list of CN=Staff CA cannot be used"  },
        {"stale by now",          &good,     NOW + 31 * DAY, "revocation list of CN=Staff CA is out of date"  },
        {"clock set back",        &good,     NOW - 2 * DAY,  "revocation list of CN=Staff CA is not valid yet"},
        {"in date again",         &good,     NOW,            ""                                               },
    };
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct cert_verdict v = judge_at(steps[i].cert, NULL, t, steps[i].now);
        if (strcmp(v.reason, steps[i].want) != 0)
            fail_msg("%s: %s", steps[i].name, v.reason);
        cert_verdict_done(&v);
    }
    zoo_free(&good);
    zoo_free(&revoked);
    zoo_free(&namesake);
    cert_trust_unref(t);
}

/* A list for some of a CA's certificates says nothing about the others, however often it was looked
 * at. */
static void partial_lists_are_looked_at_each_time(void **state)
{
    (void)state;
    write_crl("partial.crl", ROOT, (struct zoo_crl_spec){.only_attributes = true});
    struct cert_trust *t = load("partial", "root.pem", "partial.crl");
    struct zoo_cert c = zoo_make(&(struct zoo_spec){ALICE}, &ca[ROOT]);
    for (int i = 0; i < 3; i++) {
        struct cert_verdict v = judge(&c, NULL, t);
        assert_int_equal(v.cause, CERT_CAUSE_REVOCATION_UNKNOWN);
        cert_verdict_done(&v);
    }
    zoo_free(&c);
    cert_trust_unref(t);
}

static void trust_files_are_checked(void **state)
{
    (void)state;
    char command[800];
    X509_CRL *forged = zoo_crl(&ca[ROOT], &(struct zoo_crl_spec){.signer = ca[OTHER].key});
    zoo_write(&dir, "forged.crl", NULL, 0, forged);
    X509_CRL_free(forged);
    struct zoo_cert odd = zoo_make(&(struct zoo_spec){.cn = "Odd CA", .bad_bc = true}, NULL);
    zoo_write(&dir, "odd.pem", &odd.x, 1, NULL);
    zoo_free(&odd);
    zoo_write_text(&dir, "empty.pem", "");
    zoo_write_text(&dir, "text.pem", "this is no certificate\n");
    zoo_write_text(&dir, "damaged.pem",
                   "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    zoo_write_text(&dir, "cut.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
    zoo_concat(&dir, "second-damaged.pem", "root.pem", "damaged.pem");
    snprintf(command, sizeof(command),
             "mkfifo '%s/pipe' && mkdir '%s/none' '%s/lists' && cp '%s/root.crl' '%s/lists'",
             dir.path, dir.path, dir.path, dir.path, dir.path);
    assert_int_equal(system(command), 0);
    static const struct {
        const char *name, *ca, *crl, *want; /* want NULL: fine */
    } table[] = {
        {"fine",                  "root.pem",           "root.crl",    NULL                                  },
        {"directory of lists",    "root.pem",           "lists",       NULL                                  },
        {"empty directory",       "root.pem",           "none",        NULL                                  },
        {"list of unknown CA",    "root.pem",           "issuing.crl", NULL                                  },
        {"missing",               "gone.pem",           NULL,          "gone.pem: No such file or directory" },
        {"empty",                 "empty.pem",          NULL,          "empty.pem: holds no certificate"     },
        {"text",                  "text.pem",           NULL,          "text.pem: holds no certificate"      },
        {"a list is no CA",       "root.crl",           NULL,          "root.crl: holds no certificate"      },
        {"damaged",               "damaged.pem",        NULL,          "certificate 1 of the file is damaged"},
        {"cut",                   "cut.pem",            NULL,          "certificate 1 of the file is damaged"},
        {"second damaged",        "second-damaged.pem", NULL,          "certificate 2 of the file is damaged"},
        {"odd",                   "odd.pem",            NULL,
         "odd.pem: certificate (CN=Odd CA) holds extensions that cannot be read"                             },
        {"directory",             "lists",              NULL,          "lists: Is a directory"               },
        {"pipe",                  "pipe",               NULL,          "pipe: is no regular file"            },
        {"list missing",          "root.pem",           "gone.crl",    "gone.crl: No such file or directory" },
        {"list empty",            "root.pem",           "empty.pem",   "the revocation list is damaged"      },
        {"a certificate no list", "root.pem",           "root.pem",    "the revocation list is damaged"      },
        {"list forged",           "root.pem",           "forged.crl",  "is not signed by the CA it names"    },
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char ca_path[160], crl_path[160], why[CERT_WHY_MAX] = "";
        snprintf(ca_path, sizeof(ca_path), "%s", zoo_path(&dir, table[i].ca));
        snprintf(crl_path, sizeof(crl_path), "%s",
                 table[i].crl ? zoo_path(&dir, table[i].crl) : "");
        const char *cas[] = {ca_path}, *crls[] = {crl_path};
        struct cert_trust *t = NULL;
        int r = cert_trust_load(
            &(struct cert_trust_config){"t", cas, 1, crls, table[i].crl ? 1 : 0}, &t, why);
        check(table[i].name, table[i].want ? r < 0 && !t : r == 0 && t);
        if (table[i].want && (!strstr(why, table[i].want) || strncmp(why, "trust t: ", 9) != 0))
            fail_msg("%s: %s", table[i].name, why);
        check(table[i].name, ERR_peek_error() == 0);
        cert_trust_unref(t);
    }
    struct cert_trust *t = NULL;
    char why[CERT_WHY_MAX];
    assert_int_equal(cert_trust_load(&(struct cert_trust_config){.name = "t"}, &t, why), -EINVAL);
    assert_non_null(strstr(why, "names no CA file"));
    cert_trust_unref(NULL);
}

/* CERT-11: an empty directory of lists is a promise of lists, so nobody gets in before they come. */
static void without_the_promised_list_nobody_gets_in(void **state)
{
    (void)state;
    struct cert_trust *none = load("none", "root.pem", "none"),
                      *some = load("some", "root.pem", "lists");
    struct zoo_cert c = zoo_make(&(struct zoo_spec){ALICE}, &ca[ROOT]);
    struct cert_verdict v = judge(&c, NULL, none), w = judge(&c, NULL, some);
    assert_string_equal(v.reason, "revocation list of CN=Staff CA is missing");
    assert_int_equal(w.outcome, CERT_ACCEPTABLE);
    cert_verdict_done(&v);
    cert_verdict_done(&w);
    zoo_free(&c);
    cert_trust_unref(none);
    cert_trust_unref(some);
}

static void causes_have_names_and_alerts(void **state)
{
    (void)state;
    static const struct {
        enum cert_outcome outcome;
        enum cert_cause cause;
        const char *name;
        int code;
    } table[] = {
        {CERT_ACCEPTABLE,   CERT_CAUSE_NONE,               "none",               X509_V_OK                          },
        {CERT_UNMAPPED,     CERT_CAUSE_NO_IDENTITY,        "no-identity",        X509_V_OK                          },
        {CERT_AMBIGUOUS,    CERT_CAUSE_SEVERAL_IDENTITIES, "several-identities", X509_V_OK                          },
        {CERT_UNACCEPTABLE, CERT_CAUSE_EXPIRED,            "expired",            X509_V_ERR_CERT_HAS_EXPIRED        },
        {CERT_UNACCEPTABLE, CERT_CAUSE_REVOKED,            "revoked",            X509_V_ERR_CERT_REVOKED            },
        {CERT_UNACCEPTABLE, CERT_CAUSE_REVOCATION_UNKNOWN, "revocation-unknown",
         X509_V_ERR_APPLICATION_VERIFICATION                                                                        },
        {CERT_UNACCEPTABLE, CERT_CAUSE_NO_OCSP_ANSWER,     "no-ocsp-answer",     X509_V_ERR_APPLICATION_VERIFICATION},
        {CERT_UNACCEPTABLE, CERT_CAUSE_PENDING,            "pending",            X509_V_OK                          },
        {CERT_UNACCEPTABLE, CERT_CAUSE_LOCAL,              "local",              X509_V_ERR_APPLICATION_VERIFICATION},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct cert_verdict v = {.outcome = table[i].outcome, .cause = table[i].cause};
        check(table[i].name, strcmp(cert_cause_name(v.cause), table[i].name) == 0);
        check(table[i].name, cert_verify_code(&v) == table[i].code);
    }
    assert_string_equal(cert_outcome_name(CERT_NONE), "none");
    assert_string_equal(cert_outcome_name(CERT_ACCEPTABLE), "acceptable");
    assert_string_equal(cert_outcome_name((enum cert_outcome)99), "?");
    assert_string_equal(cert_cause_name((enum cert_cause)99), "?");
}

/* The openssl program as a second opinion on validity; it does not know our identities, strict rules or pinned CRLs. */
static bool cli_accepts(const struct zoo_cert *c,
                        STACK_OF(X509) * chain,
                        const char *ca_file,
                        const char *crl_file)
{
    char command[1000], crl[300] = "", sent[200] = "";
    X509 *certs[4];
    for (int i = 0; i < sk_X509_num(chain); i++)
        certs[i] = sk_X509_value(chain, i);
    zoo_write(&dir, "leaf.pem", &c->x, 1, NULL);
    zoo_write(&dir, "chain.pem", certs, (size_t)sk_X509_num(chain), NULL);
    if (crl_file)
        snprintf(crl, sizeof(crl), "-crl_check -CRLfile '%s/%s'", dir.path, crl_file);
    if (sk_X509_num(chain) > 0)
        snprintf(sent, sizeof(sent), "-untrusted '%s/chain.pem'", dir.path);
    snprintf(command, sizeof(command),
             "openssl verify -no-CApath -no-CAstore -partial_chain -purpose sslclient -auth_level "
             "2 -attime %lld "
             "-CAfile '%s/%s' %s %s '%s/leaf.pem' >/dev/null 2>&1",
             (long long)NOW, dir.path, ca_file, crl, sent, dir.path);
    return system(command) == 0;
}

static void openssl_verify_agrees(void **state)
{
    (void)state;
    if (system("openssl version >/dev/null 2>&1") != 0)
        skip();
    static const char *const files[N_TRUSTS][2] = {
        [STAFF] = {"root.pem",    NULL         },
        [STAFF_CRL] = {"root.pem",    "root.crl"   },
        [STALE_CRL] = {"root.pem",    "stale.crl"  },
        [EARLY_CRL] = {"root.pem",    "early.crl"  },
        [OTHER_CRL] = {"root.pem",    "other.crl"  },
        [ISSUING_ONLY] = {"issuing.pem", NULL         },
        [ISSUING_CRL] = {"root.pem",    "issuing.crl"},
        [TWO] = {"both.pem",    NULL         },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *r = &rows[i];
        bool ours_alone =
            strstr(r->name, "key agreement") || strstr(r->name, "without basicConstraints");
        if (!files[r->trust][0] || ours_alone || r->spec.raw_email)
            continue;
        struct zoo_cert c = zoo_make(&r->spec, r->issuer == SELF ? NULL : &ca[r->issuer]);
        STACK_OF(X509) *chain = chain_of(r->sent, r->sent_too);
        check(r->name, cli_accepts(&c, chain, files[r->trust][0], files[r->trust][1]) ==
                           (r->want != CERT_UNACCEPTABLE));
        sk_X509_free(chain);
        zoo_free(&c);
    }
}

/* Workers judge while another thread swaps the snapshot under them, as a reload does. */
static struct {
    pthread_mutex_t lock;
    struct cert_trust *trust;
    bool stop;
} shared = {PTHREAD_MUTEX_INITIALIZER, NULL, false};

static struct cert_trust *shared_ref(bool *stop)
{
    (void)pthread_mutex_lock(&shared.lock);
    struct cert_trust *t = cert_trust_ref(shared.trust);
    *stop = shared.stop;
    (void)pthread_mutex_unlock(&shared.lock);
    return t;
}

static void *judging(void *arg)
{
    size_t *wrong = arg;
    struct zoo_cert good = zoo_make(&(struct zoo_spec){ALICE}, &ca[ISSUING]);
    struct zoo_cert bad = zoo_make(&(struct zoo_spec){ALICE, .serial = 666}, &ca[ROOT]);
    STACK_OF(X509) *chain = chain_of(ISSUING, ROOT), *empty = chain_of(ROOT, ROOT);
    for (bool stop = false; !stop;) {
        struct cert_trust *t = shared_ref(&stop);
        struct cert_verdict v = judge(&good, chain, t), w = judge(&bad, empty, t),
                            x = judge(&good, NULL, t);
        *wrong += v.outcome != CERT_ACCEPTABLE || w.cause != CERT_CAUSE_REVOKED ||
                  x.outcome != CERT_ACCEPTABLE;
        cert_verdict_done(&v);
        cert_verdict_done(&w);
        cert_verdict_done(&x);
        cert_trust_unref(t);
    }
    sk_X509_free(chain);
    sk_X509_free(empty);
    zoo_free(&good);
    zoo_free(&bad);
    return NULL;
}

static void reload_shared(bool stop)
{
    struct cert_trust *fresh = load("shared", "root.pem", "both.crl");
    (void)pthread_mutex_lock(&shared.lock);
    struct cert_trust *old = shared.trust;
    if (old)
        cert_trust_inherit(fresh, old);
    shared.trust = fresh;
    shared.stop = stop;
    (void)pthread_mutex_unlock(&shared.lock);
    cert_trust_unref(old);
}

static void snapshots_are_shared_between_threads(void **state)
{
    (void)state;
    pthread_t threads[3];
    size_t wrong[3] = {0};
    zoo_concat(&dir, "both.crl", "root.crl", "issuing.crl");
    reload_shared(false);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, judging, &wrong[i]), 0);
    for (int i = 0; i < 100; i++)
        reload_shared(i == 99);
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(wrong[i], 0);
    }
    cert_trust_unref(shared.trust);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificates_are_judged),
        cmocka_unit_test(a_spoilt_certificate_is_never_acceptable),
        cmocka_unit_test(no_certificate_is_no_verdict),
        cmocka_unit_test(the_verdict_describes_the_certificate),
        cmocka_unit_test(a_chain_has_a_maximum),
        cmocka_unit_test(hostile_names_are_defused),
        cmocka_unit_test(long_names_are_cut),
        cmocka_unit_test(resumed_sessions_are_judged_with_known_intermediates),
        cmocka_unit_test(known_intermediates_are_bounded),
        cmocka_unit_test(trust_blocks_are_tried_in_order),
        cmocka_unit_test(two_cas_may_have_one_name),
        cmocka_unit_test(no_trust_block_trusts_nobody),
        cmocka_unit_test(sources_find_names),
        cmocka_unit_test(digests_are_of_the_whole_and_of_the_key),
        cmocka_unit_test(of_many_addresses_the_first_count),
        cmocka_unit_test(listed_certificates_need_no_ca),
        cmocka_unit_test(fingerprints_are_parsed),
        cmocka_unit_test(sources_have_words),
        cmocka_unit_test(lists_are_remembered_for_their_issuer_and_time),
        cmocka_unit_test(partial_lists_are_looked_at_each_time),
        cmocka_unit_test(trust_files_are_checked),
        cmocka_unit_test(without_the_promised_list_nobody_gets_in),
        cmocka_unit_test(causes_have_names_and_alerts),
        cmocka_unit_test(openssl_verify_agrees),
        cmocka_unit_test(snapshots_are_shared_between_threads),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
