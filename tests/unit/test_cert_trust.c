/* What a trust block asks beyond the path, and what counts without one. */
#include "test_cert_zoo.h"

#include "base/str.h"
#include "cert/judge.h"

static struct zoo_dir dir;
static struct zoo_cert ca, lower, lowest, rsa_ca;
static char ca_file[160], rsa_file[160], stale_file[160];

static void write_stale_list(void)
{
    X509_CRL *crl = zoo_crl(&ca, &(struct zoo_crl_spec){.revoked = 666, .next_update = NOW - DAY});
    zoo_write(&dir, "stale.crl", NULL, 0, crl);
    X509_CRL_free(crl);
    snprintf(stale_file, sizeof(stale_file), "%s", zoo_path(&dir, "stale.crl"));
}

static int setup(void **state)
{
    (void)state;
    zoo_dir_init(&dir);
    ca = zoo_ca("Staff CA", NULL);
    lower = zoo_ca("Lower CA", &ca);
    lowest = zoo_ca("Lowest CA", &lower);
    rsa_ca = zoo_make(
        &(struct zoo_spec){.cn = "RSA CA", .bc = "critical,CA:TRUE", .key = ZOO_RSA_2048}, NULL);
    zoo_write(&dir, "ca.pem", &ca.x, 1, NULL);
    snprintf(ca_file, sizeof(ca_file), "%s", zoo_path(&dir, "ca.pem"));
    zoo_write(&dir, "rsa.pem", &rsa_ca.x, 1, NULL);
    snprintf(rsa_file, sizeof(rsa_file), "%s", zoo_path(&dir, "rsa.pem"));
    write_stale_list();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    zoo_free(&ca);
    zoo_free(&lower);
    zoo_free(&lowest);
    zoo_free(&rsa_ca);
    zoo_dir_done(&dir);
    return 0;
}

enum by { BY_CA, BY_LOWER, BY_LOWEST, BY_RSA, BY_ITSELF };
enum pin { PIN_NONE, PIN_CERTIFICATE, PIN_KEY, PIN_OTHER };

/* clang-format off */
static const struct row {
    const char *name;
    enum by by;
    struct zoo_spec spec;
    bool no_ca, stale_list;
    enum pin pin;
    struct cert_trust_config limits;
    enum cert_source source;
    enum cert_cause want; /* CERT_CAUSE_NONE: acceptable */
    const char *reason;   /* or a part of it */
} rows[] = {
#define ALICE .san = "email:alice@example.org"
    {"CERT-10 strict, clientAuth", BY_CA, {ALICE, .eku = "clientAuth"}, .limits.require_eku = true},
    {"CERT-10 strict, none", BY_CA, {ALICE}, .limits.require_eku = true, .want = CERT_CAUSE_PURPOSE, .reason = "does not say that it is for client authentication (extended key usage)"},
    {"CERT-10 strict, serverAuth", BY_CA, {ALICE, .eku = "serverAuth"}, .limits.require_eku = true, .want = CERT_CAUSE_PURPOSE},
    {"RSA long enough", BY_RSA, {ALICE}, .limits.key_size_min = 2048},
    {"RSA of the leaf too short", BY_CA, {ALICE, .key = ZOO_RSA_2048}, .limits.key_size_min = 3072, .want = CERT_CAUSE_WEAK, .reason = "client certificate uses a weak key (RSA 2048)"},
    {"RSA of the CA too short", BY_RSA, {ALICE}, .limits.key_size_min = 3072, .want = CERT_CAUSE_WEAK, .reason = "issuing CA certificate (CN=RSA CA) uses a weak key (RSA 2048)"},
    {"curves know no key-size-min", BY_CA, {ALICE}, .limits.key_size_min = 3072},
    {"no floor below 2048", BY_CA, {ALICE, .key = ZOO_RSA_1024}, .limits.key_size_min = 512, .want = CERT_CAUSE_WEAK},
    {"strength 128, P-256", BY_CA, {ALICE}, .limits.strength = 128},
    {"strength 128, RSA 2048", BY_CA, {ALICE, .key = ZOO_RSA_2048}, .limits.strength = 128, .want = CERT_CAUSE_WEAK},
    {"strength 192, P-256", BY_CA, {ALICE}, .limits.strength = 192, .want = CERT_CAUSE_WEAK},
    {"depth 1, one intermediate", BY_LOWER, {ALICE}, .limits.depth_max = 1},
    {"depth 1, two intermediates", BY_LOWEST, {ALICE}, .limits.depth_max = 1, .want = CERT_CAUSE_BAD_PATH},
    {"depth 2, two intermediates", BY_LOWEST, {ALICE}, .limits.depth_max = 2},
    {"CERT-11 stale list", BY_CA, {ALICE}, .stale_list = true, .want = CERT_CAUSE_REVOCATION_UNKNOWN},
    {"CERT-11 stale list accepted", BY_CA, {ALICE}, .stale_list = true, .limits.accept_stale_crl = true},
    {"CERT-11 revoked by a stale list", BY_CA, {ALICE, .serial = 666}, .stale_list = true, .limits.accept_stale_crl = true, .want = CERT_CAUSE_REVOKED},
    {"EDG-20 pinned, self-signed", BY_ITSELF, {ALICE}, .no_ca = true, .pin = PIN_CERTIFICATE},
    {"EDG-20 pinned, of an unknown CA", BY_RSA, {ALICE}, .pin = PIN_CERTIFICATE},
    {"EDG-20 pinned, lists of others do not matter", BY_ITSELF, {ALICE}, .stale_list = true, .pin = PIN_CERTIFICATE},
    {"EDG-20 not pinned", BY_ITSELF, {ALICE}, .no_ca = true, .pin = PIN_OTHER, .want = CERT_CAUSE_UNKNOWN_CA},
    {"EDG-20 pinned and expired", BY_ITSELF, {ALICE, .until = OCTOBER_1}, .no_ca = true, .pin = PIN_CERTIFICATE, .want = CERT_CAUSE_EXPIRED},
    {"EDG-20 pinned for another purpose", BY_ITSELF, {ALICE, .eku = "serverAuth"}, .no_ca = true, .pin = PIN_CERTIFICATE, .want = CERT_CAUSE_PURPOSE},
    {"EDG-20 pinned and weak", BY_ITSELF, {ALICE, .key = ZOO_RSA_1024}, .no_ca = true, .pin = PIN_CERTIFICATE, .want = CERT_CAUSE_WEAK},
    {"EDG-20 pinned key", BY_ITSELF, {ALICE}, .no_ca = true, .pin = PIN_KEY, .source = CERT_SOURCE_PUBLIC_KEY},
    {"a pinned key proves no name", BY_ITSELF, {ALICE}, .no_ca = true, .pin = PIN_KEY, .want = CERT_CAUSE_NO_IDENTITY},
    {"a pinned key proves no certificate", BY_ITSELF, {ALICE}, .no_ca = true, .pin = PIN_KEY, .source = CERT_SOURCE_FINGERPRINT, .want = CERT_CAUSE_NO_IDENTITY},
    {"a revoked certificate is not saved by its pin", BY_CA, {ALICE, .serial = 666}, .stale_list = true, .limits.accept_stale_crl = true, .pin = PIN_CERTIFICATE, .want = CERT_CAUSE_REVOKED},
};
/* clang-format on */

static void key_digest(X509 *x, char out[65])
{
    unsigned char md[32];
    unsigned char *der = NULL;
    int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
    assert_true(len > 0 && EVP_Digest(der, (size_t)len, md, NULL, EVP_sha256(), NULL) == 1);
    for (size_t i = 0; i < sizeof(md); i++)
        snprintf(out + 2 * i, 3, "%02x", md[i]);
    OPENSSL_free(der);
}

static struct cert_trust *load(const struct row *row, X509 *leaf)
{
    char pin[65], why[CERT_WHY_MAX] = "";
    const char *cas[] = {row->by == BY_RSA && row->pin == PIN_NONE ? rsa_file : ca_file};
    const char *crls[] = {stale_file}, *pins[] = {pin};
    struct cert_trust_config cfg = row->limits;
    struct cert_trust *t = NULL;
    cert_fingerprint(row->pin == PIN_OTHER ? ca.x : leaf, pin);
    if (row->pin == PIN_KEY)
        key_digest(leaf, pin);
    cfg.name = "staff";
    cfg.ca = cas;
    cfg.n_ca = row->no_ca ? 0 : 1;
    cfg.crl = crls;
    cfg.n_crl = row->stale_list ? 1 : 0;
    cfg.pin = pins;
    cfg.n_pin = row->pin == PIN_NONE ? 0 : 1;
    if (cert_trust_load(&cfg, &t, why) < 0)
        fail_msg("%s: %s", row->name, why);
    return t;
}

static void run(const struct row *row)
{
    const struct zoo_cert *issuers[] = {&ca, &lower, &lowest, &rsa_ca, NULL};
    struct zoo_cert leaf = zoo_make(&row->spec, issuers[row->by]);
    struct cert_trust *t = load(row, leaf.x);
    STACK_OF(X509) *chain = sk_X509_new_null();
    assert_true(sk_X509_push(chain, lower.x) > 0 && sk_X509_push(chain, lowest.x) > 0);
    struct cert_rule rule = {.name = "rule", .source = row->source};
    struct cert_request rq = {.leaf = leaf.x,
                              .chain = chain,
                              .trusts = &t,
                              .n_trusts = 1,
                              .rules = &rule,
                              .n_rules = 1,
                              .now_ms = NOW * 1000};
    struct cert_verdict v;
    cert_judge(&rq, &v);
    if (v.cause != row->want || (row->want == CERT_CAUSE_NONE) != (v.outcome == CERT_ACCEPTABLE) ||
        (row->reason && !strstr(v.reason, row->reason)))
        fail_msg("%s: %s, %s: \"%s\"", row->name, cert_outcome_name(v.outcome),
                 cert_cause_name(v.cause), v.reason);
    cert_verdict_done(&v);
    sk_X509_free(chain);
    cert_trust_unref(t);
    zoo_free(&leaf);
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        run(&rows[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
