#include "test_cert_zoo.h"

#include "cert/describe.h"

#include <openssl/err.h>

static void a_certificate_is_put_in_words(void **state)
{
    (void)state;
    struct zoo_cert ca = zoo_ca("Some CA", NULL);
    struct zoo_cert c =
        zoo_make(&(struct zoo_spec){.cn = "Al\xc3\xa9, B",
                                    .serial = 0x1234abcd,
                                    .san = "email:a@example.org,DNS:b.example.org,IP:192.0.2.1,"
                                           "URI:spiffe://example.org/c",
                                    .ku = "digitalSignature,keyAgreement",
                                    .eku = "clientAuth,1.3.6.1.4.1.55555.1"},
                 &ca);
    struct cert_description d;
    cert_describe(c.x, &d);
    assert_string_equal(d.subject, "CN=Al\xc3\xa9\\, B");
    assert_string_equal(d.issuer, "CN=Some CA");
    assert_string_equal(d.serial, "1234abcd");
    assert_string_equal(d.key, "EC P-256");
    assert_string_equal(d.signature, "ecdsa-with-SHA256");
    assert_string_equal(d.key_usage, "digitalSignature, keyAgreement");
    assert_string_equal(d.extended_usage, "clientAuth, 1.3.6.1.4.1.55555.1");
    assert_false(d.is_ca);
    assert_true(d.not_before_ms == (NOW - 30 * DAY) * 1000 &&
                d.not_after_ms == (NOW + 365 * DAY) * 1000);
    assert_int_equal(d.n_names, 4);
    assert_string_equal(d.names[0], "email:a@example.org");
    assert_string_equal(d.names[1], "DNS:b.example.org");
    assert_string_equal(d.names[2], "IP Address:192.0.2.1");
    assert_string_equal(d.names[3], "URI:spiffe://example.org/c");
    assert_true(strlen(d.fingerprint) == 64 && strlen(d.public_key) == 64 &&
                strcmp(d.fingerprint, d.public_key) != 0);
    cert_description_done(&d);
    cert_describe(ca.x, &d);
    assert_true(d.is_ca);
    assert_string_equal(d.extended_usage, "");
    assert_int_equal(d.n_names, 0);
    cert_description_done(&d);
    zoo_free(&c);
    zoo_free(&ca);
}

static void keys_have_names(void **state)
{
    (void)state;
    static const struct {
        enum zoo_key key;
        const char *want;
    } table[] = {
        {ZOO_EC,       "EC P-256"},
        {ZOO_RSA_1024, "RSA 1024"},
        {ZOO_RSA_2048, "RSA 2048"},
        {ZOO_ED25519,  "Ed25519" }
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct cert_description d;
        struct zoo_cert c = zoo_make(&(struct zoo_spec){.key = table[i].key}, NULL);
        cert_describe(c.x, &d);
        if (strcmp(d.key, table[i].want) != 0)
            fail_msg("%s: %s", table[i].want, d.key);
        cert_description_done(&d);
        zoo_free(&c);
    }
}

/* What is printed on a terminal must not command it. */
static void hostile_names_are_defused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *octets;
        size_t len;
        const char *want;
    } table[] = {
#define RAW(text) (text), sizeof(text) - 1
        {"NUL",      RAW("a\0b@example.org"),      "email:a"                 },
        {"line end", RAW("a\r\nb@example.org"),    "email:a??b@example.org"  },
        {"escape",   RAW("a\x1b[2Jb@example.org"), "email:a.[2Jb@example.org"},
        {"8 bit",
                                                  RAW("a\xc2\x9b"
             "b@example.org"),
                                                  "email:a..b@example.org"                                            },
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct cert_description d;
        struct zoo_cert c = zoo_make(
            &(struct zoo_spec){.raw_email = table[i].octets, .raw_email_len = table[i].len}, NULL);
        cert_describe(c.x, &d);
        assert_int_equal(d.n_names, 1);
        if (strncmp(d.names[0], table[i].want, strlen(table[i].want)) != 0)
            fail_msg("%s: %s", table[i].name, d.names[0]);
        for (const char *p = d.names[0]; *p; p++)
            check(table[i].name, *p >= ' ' && *p <= '~');
        cert_description_done(&d);
        zoo_free(&c);
    }
}

static void of_very_many_names_the_first_are_shown(void **state)
{
    (void)state;
    char san[4096] = "";
    for (int i = 0; i < CERT_DESCRIBED_NAMES_MAX + 10; i++)
        snprintf(san + strlen(san), sizeof(san) - strlen(san), "%sDNS:h%d.example.org",
                 i ? "," : "", i);
    struct cert_description d;
    struct zoo_cert c = zoo_make(&(struct zoo_spec){.san = san}, NULL);
    cert_describe(c.x, &d);
    assert_int_equal(d.n_names, CERT_DESCRIBED_NAMES_MAX);
    cert_description_done(&d);
    zoo_free(&c);
}

static void long_lists_are_cut(void **state)
{
    (void)state;
    char eku[2048] = "";
    for (int i = 0; i < 40; i++)
        snprintf(eku + strlen(eku), sizeof(eku) - strlen(eku), "%s1.3.6.1.4.1.55555.%d",
                 i ? "," : "", i);
    struct cert_description d;
    struct zoo_cert c = zoo_make(&(struct zoo_spec){.eku = eku}, NULL);
    cert_describe(c.x, &d);
    assert_int_equal(strlen(d.extended_usage), sizeof(d.extended_usage) - 1);
    cert_description_done(&d);
    zoo_free(&c);
}

static void a_bundle_is_leaf_and_chain(void **state)
{
    (void)state;
    char why[CERT_WHY_MAX];
    struct zoo_dir dir;
    zoo_dir_init(&dir);
    struct zoo_cert ca = zoo_ca("Some CA", NULL),
                    c = zoo_make(&(struct zoo_spec){.cn = "leaf"}, &ca);
    X509 *both[] = {c.x, ca.x};
    struct cert_bundle b;
    zoo_write(&dir, "one.pem", both, 1, NULL);
    zoo_write(&dir, "two.pem", both, 2, NULL);
    assert_int_equal(cert_bundle_load(zoo_path(&dir, "one.pem"), &b, why), 0);
    assert_int_equal(cert_bundle_count(&b), 1);
    assert_non_null(b.chain); /* the peer has sent none, which is not the same as not known */
    cert_bundle_done(&b);
    assert_int_equal(cert_bundle_count(&b), 0);
    assert_int_equal(cert_bundle_load(zoo_path(&dir, "two.pem"), &b, why), 0);
    assert_int_equal(cert_bundle_count(&b), 2);
    assert_int_equal(X509_cmp(b.leaf, c.x), 0);
    cert_bundle_done(&b);
    assert_true(cert_bundle_load(zoo_path(&dir, "gone.pem"), &b, why) < 0);
    assert_non_null(strstr(why, "gone.pem: No such file"));
    zoo_free(&c);
    zoo_free(&ca);
    zoo_dir_done(&dir);
    assert_int_equal(ERR_peek_error(), 0);
}

static void push_name(STACK_OF(X509_NAME) * names, const char *cn)
{
    X509_NAME *one = X509_NAME_new();
    assert_int_equal(X509_NAME_add_entry_by_NID(one, NID_commonName, MBSTRING_UTF8,
                                                (const unsigned char *)cn, -1, -1, 0),
                     1);
    assert_true(sk_X509_NAME_push(names, one) > 0);
}

static void the_cas_a_server_names_are_told(void **state)
{
    (void)state;
    char text[64];
    assert_int_equal(cert_authorities_text(NULL, text, sizeof(text)), 0);
    assert_string_equal(text, "");
    STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
    push_name(names, "Staff CA");
    push_name(names, "Evil\x1b[2J CA");
    assert_int_equal(cert_authorities_text(names, text, sizeof(text)), 2);
    assert_string_equal(text, "CN=Staff CA; CN=Evil?[2J CA");
    for (int i = 0; i < 100; i++)
        push_name(names, "One of very many");
    assert_int_equal(cert_authorities_text(names, text, sizeof(text)), 102);
    assert_string_equal(text, "CN=Staff CA; CN=Evil?[2J CA; CN=One of very many; ...");
    sk_X509_NAME_pop_free(names, X509_NAME_free);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_is_put_in_words),
        cmocka_unit_test(keys_have_names),
        cmocka_unit_test(hostile_names_are_defused),
        cmocka_unit_test(of_very_many_names_the_first_are_shown),
        cmocka_unit_test(long_lists_are_cut),
        cmocka_unit_test(a_bundle_is_leaf_and_chain),
        cmocka_unit_test(the_cas_a_server_names_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
