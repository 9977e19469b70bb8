#include "test_cert_zoo.h"

#include "base/str.h"
#include "cert/ca.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define NOW_MS (NOW * 1000)
#define DAY_MS (DAY * 1000)
#define ONE(kind, text) .kind = (const char *const[]){text}, .n_##kind = 1

static struct zoo_dir dir;
static char ca_dir[100];

static int setup(void **state)
{
    (void)state;
    zoo_dir_init(&dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    zoo_dir_done(&dir);
    return 0;
}

/* A CA of its own for each test. */
static void new_ca(const char *name)
{
    char why[CERT_WHY_MAX] = "";
    snprintf(ca_dir, sizeof(ca_dir), "%s/%s", dir.path, name);
    struct ca_config cfg = {.dir = ca_dir, .name = "Small CA", .now_ms = NOW_MS};
    if (ca_create(&cfg, why) < 0)
        fail_msg("%s", why);
}

static const char *in_ca(const char *name)
{
    static char path[200];
    snprintf(path, sizeof(path), "%s/%s", ca_dir, name);
    return path;
}

static struct ca *open_ca(void)
{
    char why[CERT_WHY_MAX];
    struct ca *ca = NULL;
    if (ca_open(ca_dir, &ca, why) < 0)
        fail_msg("%s", why);
    return ca;
}

static struct ca_request request_for(const char *const *email)
{
    return (struct ca_request){.emails = email,
                               .n_emails = 1,
                               .not_before_ms = NOW_MS - DAY_MS,
                               .not_after_ms = NOW_MS + 30 * DAY_MS};
}

static struct ca_issued *issue(struct ca *ca, const struct ca_request *rq)
{
    char why[CERT_WHY_MAX];
    struct ca_issued *is = NULL;
    if (ca_issue(ca, rq, &is, why) < 0)
        fail_msg("%s", why);
    return is;
}

/* One certificate for alice, written as NAME.pem and NAME.key in the CA's directory. */
static void issue_to(struct ca *ca, const char *email, const char *name)
{
    char cert[200], key[200], file[100], why[CERT_WHY_MAX] = "";
    struct ca_request rq = request_for(&email);
    struct ca_issued *is = issue(ca, &rq);
    snprintf(file, sizeof(file), "%s.pem", name);
    snprintf(cert, sizeof(cert), "%s", in_ca(file));
    snprintf(file, sizeof(file), "%s.key", name);
    snprintf(key, sizeof(key), "%s", in_ca(file));
    if (ca_issued_write(is, cert, key, false, why) < 0)
        fail_msg("%s", why);
    ca_issued_free(is);
}

static X509 *read_certificate(const char *path)
{
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    X509 *x = PEM_read_X509(f, NULL, NULL, NULL);
    assert_int_equal(fclose(f), 0);
    assert_non_null(x);
    return x;
}

static X509_CRL *read_list(void)
{
    FILE *f = fopen(in_ca("crl.pem"), "r");
    assert_non_null(f);
    X509_CRL *crl = PEM_read_X509_CRL(f, NULL, NULL, NULL);
    assert_int_equal(fclose(f), 0);
    assert_non_null(crl);
    return crl;
}

static int64_t list_number(void)
{
    X509_CRL *crl = read_list();
    ASN1_INTEGER *n = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
    assert_non_null(n);
    int64_t number = ASN1_INTEGER_get(n);
    ASN1_INTEGER_free(n);
    X509_CRL_free(crl);
    return number;
}

/* What the server makes of it: the identity, or the reason. */
static void judge(X509 *x, int64_t now_ms, char out[CERT_REASON_MAX])
{
    char ca_pem[200], crl_pem[200], why[CERT_WHY_MAX];
    snprintf(ca_pem, sizeof(ca_pem), "%s", in_ca("ca.pem"));
    snprintf(crl_pem, sizeof(crl_pem), "%s", in_ca("crl.pem"));
    const char *cas[] = {ca_pem}, *crls[] = {crl_pem};
    struct cert_trust *t = NULL;
    if (cert_trust_load(&(struct cert_trust_config){"ca", cas, 1, crls, 1}, &t, why) < 0)
        fail_msg("%s", why);
    static const struct cert_rule rules[] = {
        {"email", CERT_SOURCE_SAN_EMAIL, NULL, 0},
        {"dns",   CERT_SOURCE_SAN_DNS,   NULL, 0},
        {"uri",   CERT_SOURCE_SAN_URI,   NULL, 0}
    };
    struct cert_verdict v;
    cert_judge(&(struct cert_request){x, NULL, &t, 1, rules, 3, now_ms}, &v);
    snprintf(out, CERT_REASON_MAX, "%s", v.outcome == CERT_ACCEPTABLE ? v.identities[0] : v.reason);
    cert_verdict_done(&v);
    cert_trust_unref(t);
}

static mode_t mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

/* Each has the one thing wrong that it is named for, in the eyes of our own judge. */
static void flawed_certificates_are_refused_for_their_flaw(void **state)
{
    (void)state;
    static const struct {
        enum ca_flaw flaw;
        const char *want;
    } rows[] = {
        {CA_FLAW_EXPIRED,     "expired"                      },
        {CA_FLAW_FUTURE,      "not valid before"             },
        {CA_FLAW_USAGE,       "not for client authentication"},
        {CA_FLAW_UNKNOWN_CA,  "unknown CA (CN=Unknown CA)"   },
        {CA_FLAW_SELF_SIGNED, "self-signed"                  },
        {CA_FLAW_NO_EMAIL,    "postern-probe.invalid"        },
    };
    new_ca("flaws");
    char ca_cert[200], ca_key[200], cert[200], key[200];
    snprintf(ca_cert, sizeof(ca_cert), "%s", in_ca("ca.pem"));
    snprintf(ca_key, sizeof(ca_key), "%s", in_ca("ca.key"));
    snprintf(cert, sizeof(cert), "%s", in_ca("flawed.pem"));
    snprintf(key, sizeof(key), "%s", in_ca("flawed.key"));
    struct ca_flawed f = {
        .ca_cert = ca_cert, .ca_key = ca_key, .email = "alice@example.org", .now_ms = NOW_MS};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char why[CERT_WHY_MAX] = "", got[CERT_REASON_MAX];
        f.flaw = rows[i].flaw;
        if (ca_write_flawed(&f, cert, key, why) < 0)
            fail_msg("%s: %s", rows[i].want, why);
        X509 *x = read_certificate(cert);
        judge(x, NOW_MS, got);
        if (!strstr(got, rows[i].want))
            fail_msg("wanted %s, got %s", rows[i].want, got);
        X509_free(x);
        assert_int_equal(mode_of(key), 0600);
    }
    struct ca *ca = open_ca();
    assert_int_equal(ca_count(ca), 0); /* in no index */
    ca_close(ca);
    char why[CERT_WHY_MAX] = "";
    f.flaw = CA_FLAW_EXPIRED;
    f.ca_key = key;
    assert_int_equal(ca_write_flawed(&f, cert, key, why), -EINVAL);
    assert_non_null(strstr(why, "does not belong"));
}

static void a_new_ca_is_complete(void **state)
{
    (void)state;
    new_ca("complete");
    assert_int_equal(mode_of(ca_dir), 0700);
    assert_int_equal(mode_of(in_ca("ca.key")), 0600);
    assert_int_equal(mode_of(in_ca("ca.pem")), 0644);
    X509 *x = read_certificate(in_ca("ca.pem"));
    assert_int_equal(X509_check_ca(x), 1);
    assert_int_equal(X509_get_pathlen(x), 0);
    assert_int_equal(X509_verify(x, X509_get0_pubkey(x)), 1);
    X509_CRL *crl = read_list();
    assert_int_equal(X509_CRL_verify(crl, X509_get0_pubkey(x)), 1);
    assert_true(X509_CRL_get_REVOKED(crl) == NULL);
    assert_int_equal(list_number(), 1);
    X509_CRL_free(crl);
    X509_free(x);
    struct ca *ca = open_ca();
    assert_int_equal(ca_count(ca), 0);
    ca_close(ca);
    ca_close(NULL);
}

static void a_ca_is_never_replaced(void **state)
{
    (void)state;
    char why[CERT_WHY_MAX];
    new_ca("once");
    X509 *before = read_certificate(in_ca("ca.pem"));
    struct ca_config cfg = {.dir = ca_dir, .now_ms = NOW_MS};
    assert_int_equal(ca_create(&cfg, why), -EEXIST);
    assert_non_null(strstr(why, "there is a CA here already"));
    X509 *after = read_certificate(in_ca("ca.pem"));
    assert_int_equal(X509_cmp(before, after), 0);
    X509_free(before);
    X509_free(after);
}

/* ca.pem is written last, so without it nothing was issued. */
static void an_interrupted_init_can_be_repeated(void **state)
{
    (void)state;
    char why[CERT_WHY_MAX];
    new_ca("interrupted");
    assert_int_equal(unlink(in_ca("ca.pem")), 0);
    struct ca_config cfg = {.dir = ca_dir, .now_ms = NOW_MS};
    assert_int_equal(ca_create(&cfg, why), 0);
    struct ca *ca = open_ca();
    issue_to(ca, "alice@example.org", "alice");
    ca_close(ca);
}

static void init_refuses_what_cannot_be(void **state)
{
    (void)state;
    static const char too_long[] =
        "01234567890123456789012345678901234567890123456789012345678901234";
    const struct {
        const char *name, *dir, *cn, *want;
    } table[] = {
        {"no parent",    "gone/ca", NULL,     "No such file or directory"},
        {"a file",       "file",    NULL,     "Not a directory"          },
        {"empty name",   "n1",      "",       "name: must be 1 to 64"    },
        {"long name",    "n2",      too_long, "name: must be 1 to 64"    },
        {"broken UTF-8", "n3",      "a\xff",  "name: must be 1 to 64"    },
        {"line in name", "n4",      "a\nb",   "name: must be 1 to 64"    },
    };
    zoo_write_text(&dir, "file", "");
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char path[160], why[CERT_WHY_MAX] = "";
        snprintf(path, sizeof(path), "%s", zoo_path(&dir, table[i].dir));
        check(table[i].name,
              ca_create(&(struct ca_config){path, table[i].cn, CA_KEY_EC, NOW_MS}, why) < 0);
        if (!strstr(why, table[i].want))
            fail_msg("%s: %s", table[i].name, why);
    }
}

static void certificates_do_what_they_are_for(void **state)
{
    (void)state;
    new_ca("kinds");
    static const char long_name[] =
        "a-rather-long-local-part-of-an-address-and-its-domain@host.example.org";
    const struct {
        const char *name;
        struct ca_request rq;
        const char *subject, *names, *want;
    } table[] = {
        {"e-mail",
         {ONE(emails, "Alice@Example.org")},
         "CN=Alice@Example.org",      "email:Alice@Example.org",
         "Alice@example.org"                                                       },
        {"named",
         {ONE(emails, "a@example.org"), .name = "Al\xc3\xa9"},
         "CN=Al\xc3\xa9",             "email:a@example.org",
         "a@example.org"                                                           },
        {"RSA",
         {ONE(emails, "a@example.org"), .key = CA_KEY_RSA},
         "CN=a@example.org",          "email:a@example.org",
         "a@example.org"                                                           },
        {"Ed25519",
         {ONE(emails, "a@example.org"), .key = CA_KEY_ED25519},
         "CN=a@example.org",          "email:a@example.org",
         "a@example.org"                                                           },
        {"device",
         {ONE(hosts, "printer.example.org")},
         "CN=printer.example.org",    "DNS:printer.example.org",
         "printer.example.org"                                                     },
        {"URI",
         {ONE(uris, "spiffe://example.org/a")},
         "CN=spiffe://example.org/a", "URI:spiffe://example.org/a",
         "spiffe://example.org/a"                                                  },
        {"too long for a common name",
         {ONE(emails, long_name)},
         "",                          "email:a-rather-long-local-part-of-an-address-and-its-domain@host.example.org",
         long_name                                                                 },
        {"several names",
         {ONE(emails, "a@example.org"), ONE(hosts, "b.example.org")},
         "CN=a@example.org",          "email:a@example.org DNS:b.example.org",
         "a@example.org"                                                           },
        {"server",
         {.kind = CA_SERVER, ONE(hosts, "mail.example.org"), ONE(addresses, "::1")},
         "CN=mail.example.org",       "DNS:mail.example.org IP:::1",
         "client certificate is not for client authentication (extended key usage)"},
        {"wildcard server",
         {.kind = CA_SERVER, ONE(hosts, "*.example.org")},
         "CN=*.example.org",          "DNS:*.example.org",
         "client certificate is not for client authentication (extended key usage)"},
    };
    struct ca *ca = open_ca();
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char cert[200], key[200], got[CERT_REASON_MAX], why[CERT_WHY_MAX];
        struct ca_request rq = table[i].rq;
        rq.not_before_ms = NOW_MS - DAY_MS;
        rq.not_after_ms = NOW_MS + DAY_MS;
        struct ca_issued *is = issue(ca, &rq);
        const struct ca_entry *e = ca_issued_entry(is);
        check(table[i].name,
              strcmp(e->subject, table[i].subject) == 0 && strcmp(e->names, table[i].names) == 0);
        check(table[i].name, strlen(e->serial) == 32 && ca_count(ca) == i + 1);
        snprintf(cert, sizeof(cert), "%s", in_ca("x.pem"));
        snprintf(key, sizeof(key), "%s", in_ca("x.key"));
        check(table[i].name, ca_issued_write(is, cert, key, true, why) == 0);
        check(table[i].name, mode_of(key) == 0600);
        ca_issued_free(is);
        X509 *x = read_certificate(cert);
        judge(x, NOW_MS, got);
        if (strcmp(got, table[i].want) != 0)
            fail_msg("%s: %s", table[i].name, got);
        X509_free(x);
    }
    ca_close(ca);
}

static void requests_are_checked(void **state)
{
    (void)state;
    new_ca("checked");
    const char *many[40];
    for (size_t i = 0; i < 40; i++)
        many[i] = "a@example.org";
    const struct {
        const char *name;
        struct ca_request rq;
        const char *want;
    } table[] = {
        {"nobody",             {.name = "x"},                                           "needs at least one name"    },
        {"too many",
         {.emails = many, .n_emails = 40},
         "needs at least one name, and takes 32 at most"                                                             },
        {"no address",         {ONE(emails, "alice")},                                  "alice: is no e-mail address"},
        {"two addresses",
         {ONE(emails, "a@example.org,email:b@example.org")},
         "is no e-mail address"                                                                                      },
        {"quoted",             {ONE(emails, "\"a b\"@example.org")},                    "is no e-mail address"       },
        {"UTF-8",              {ONE(emails, "al\xc3\xa9@example.org")},                 "is no e-mail address"       },
        {"no host",            {ONE(hosts, "a b")},                                     "a b: is no host name"       },
        {"bare wildcard",      {ONE(hosts, "*")},                                       "*: is no host name"         },
        {"no IP address",      {ONE(addresses, "127.0.0")},                             "127.0.0: is no IP address"  },
        {"no URI",             {ONE(uris, "a b")},                                      "a b: is no URI"             },
        {"long name",
         {ONE(emails, "a@example.org"),
          .name = "01234567890123456789012345678901234567890123456789012345678901234"},
         "name: must be 1 to 64"                                                                                     },
        {"backwards",
         {ONE(emails, "a@example.org"), .not_after_ms = NOW_MS - 2 * DAY_MS},
         "would end before it begins"                                                                                },
        {"longer than the CA",
         {ONE(emails, "a@example.org"), .not_after_ms = NOW_MS + 4000 * DAY_MS},
         "would outlive its CA, which ends on 2036-11-12"                                                            },
    };
    struct ca *ca = open_ca();
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char why[CERT_WHY_MAX] = "";
        struct ca_request rq = table[i].rq;
        struct ca_issued *is = NULL;
        rq.not_before_ms = NOW_MS - DAY_MS;
        rq.not_after_ms = rq.not_after_ms ? rq.not_after_ms : NOW_MS + DAY_MS;
        check(table[i].name, ca_issue(ca, &rq, &is, why) == -EINVAL && !is);
        if (!strstr(why, table[i].want))
            fail_msg("%s: %s", table[i].name, why);
        check(table[i].name, ca_count(ca) == 0 && ERR_peek_error() == 0);
    }
    ca_close(ca);
}

static void nothing_is_written_over(void **state)
{
    (void)state;
    char cert[200], key[200], why[CERT_WHY_MAX];
    new_ca("over");
    struct ca *ca = open_ca();
    issue_to(ca, "alice@example.org", "alice");
    const char *email = "bob@example.org";
    struct ca_request rq = request_for(&email);
    struct ca_issued *is = issue(ca, &rq);
    snprintf(cert, sizeof(cert), "%s", in_ca("alice.pem"));
    snprintf(key, sizeof(key), "%s", in_ca("alice.key"));
    X509 *before = read_certificate(cert);
    assert_int_equal(ca_issued_write(is, cert, key, false, why), -EEXIST);
    assert_non_null(strstr(why, "alice.key: is there already"));
    X509 *after = read_certificate(cert);
    assert_int_equal(X509_cmp(before, after), 0);
    X509_free(before);
    X509_free(after);
    ca_issued_free(is);
    ca_issued_free(NULL);
    ca_close(ca);
}

static void p12_holds_all_three(void **state)
{
    (void)state;
    char file[200], why[CERT_WHY_MAX];
    new_ca("p12");
    struct ca *ca = open_ca();
    const char *email = "alice@example.org";
    struct ca_request rq = request_for(&email);
    struct ca_issued *is = issue(ca, &rq);
    snprintf(file, sizeof(file), "%s", in_ca("alice.p12"));
    assert_int_equal(ca_issued_write_p12(is, file, "secret", false, why), 0);
    assert_int_equal(ca_issued_write_p12(is, file, "secret", false, why), -EEXIST);
    assert_int_equal(mode_of(file), 0600);
    FILE *f = fopen(file, "r");
    assert_non_null(f);
    PKCS12 *p12 = d2i_PKCS12_fp(f, NULL);
    assert_non_null(p12);
    X509 *x = NULL;
    EVP_PKEY *key = NULL;
    STACK_OF(X509) *others = NULL;
    assert_int_equal(PKCS12_parse(p12, "wrong", &key, &x, &others), 0);
    assert_int_equal(PKCS12_parse(p12, "secret", &key, &x, &others), 1);
    assert_int_equal(X509_check_private_key(x, key), 1);
    assert_int_equal(sk_X509_num(others), 1);
    ERR_clear_error();
    sk_X509_pop_free(others, X509_free);
    X509_free(x);
    EVP_PKEY_free(key);
    PKCS12_free(p12);
    assert_int_equal(fclose(f), 0);
    ca_issued_free(is);
    ca_close(ca);
}

static void revocation_reaches_the_list(void **state)
{
    (void)state;
    char why[CERT_WHY_MAX], got[CERT_REASON_MAX], file[200];
    size_t at = 99;
    new_ca("revoke");
    struct ca *ca = open_ca();
    issue_to(ca, "alice@example.org", "alice");
    issue_to(ca, "bob@example.org", "bob");
    snprintf(file, sizeof(file), "%s", in_ca("bob.pem"));
    X509 *bob = read_certificate(file), *alice = read_certificate(in_ca("alice.pem"));
    judge(bob, NOW_MS, got);
    assert_string_equal(got, "bob@example.org");
    assert_int_equal(ca_find(ca, file, &at, why), 0);
    assert_int_equal(at, 1);
    assert_int_equal(ca_revoke(ca, at, CA_KEY_COMPROMISE, NOVEMBER_2 * 1000, why), 0);
    assert_int_equal(ca_revoke(ca, at, CA_SUPERSEDED, NOW_MS, why), -EALREADY);
    assert_int_equal(ca_write_crl(ca, NOW_MS, why), 0);
    judge(bob, NOW_MS, got);
    assert_string_equal(got, "client certificate was revoked on 2026-11-02");
    judge(alice, NOW_MS, got);
    assert_string_equal(got, "alice@example.org");
    judge(alice, NOW_MS + 31 * DAY_MS, got);
    assert_string_equal(got, "revocation list of CN=Small CA is out of date");
    ca_close(ca);

    ca = open_ca(); /* as the index has kept it */
    const struct ca_entry *e = ca_entry(ca, 1);
    assert_true(e->revoked_ms == NOVEMBER_2 * 1000 && ca_entry(ca, 0)->revoked_ms == 0);
    assert_int_equal(e->reason, CA_KEY_COMPROMISE);
    assert_int_equal(e->kind, CA_CLIENT);
    assert_true(e->not_after_ms == NOW_MS + 30 * DAY_MS && e->not_before_ms == NOW_MS - DAY_MS);
    assert_string_equal(e->names, "email:bob@example.org");
    ca_close(ca);
    X509_free(alice);
    X509_free(bob);
}

/* RFC 5280 5.2.3 */
static void list_numbers_only_rise(void **state)
{
    (void)state;
    char why[CERT_WHY_MAX];
    new_ca("numbers");
    struct ca *ca = open_ca();
    assert_int_equal(ca_write_crl(ca, NOW_MS, why), 0);
    assert_int_equal(list_number(), 2);
    assert_int_equal(ca_write_crl(ca, NOW_MS, why), 0);
    assert_int_equal(list_number(), 3);
    assert_int_equal(unlink(in_ca("crl.pem")), 0);
    assert_int_equal(ca_write_crl(ca, NOW_MS, why), 0);
    assert_true(list_number() == NOW);
    assert_int_equal(ca_write_crl(ca, NOW_MS, why), 0);
    assert_true(list_number() == NOW + 1);
    ca_close(ca);
}

static void certificates_are_found(void **state)
{
    (void)state;
    new_ca("other");
    struct ca *ca = open_ca();
    issue_to(ca, "mallory@example.org", "mallory");
    ca_close(ca);
    char foreign[200];
    snprintf(foreign, sizeof(foreign), "%s", in_ca("mallory.pem"));
    new_ca("found"); /* has the same name */
    ca = open_ca();
    issue_to(ca, "alice@example.org", "alice");
    issue_to(ca, "bob@example.org", "bob");
    char own[200], upper[64] = "", colons[64] = "";
    snprintf(own, sizeof(own), "%s", in_ca("bob.pem"));
    const char *serial = ca_entry(ca, 1)->serial;
    for (size_t i = 0; i < 32; i++) {
        upper[i] = (char)(serial[i] >= 'a' ? serial[i] - 'a' + 'A' : serial[i]);
        snprintf(colons + strlen(colons), 3, "%s%c", i && i % 2 == 0 ? ":" : "", upper[i]);
    }
    const struct {
        const char *name, *which, *want; /* want NULL: it is the second */
    } table[] = {
        {"serial",     serial,                              NULL                        },
        {"upper case", upper,                               NULL                        },
        {"colons",     colons,                              NULL                        },
        {"file",       own,                                 NULL                        },
        {"unknown",    "00",                                "no such serial number here"},
        {"too long",   "0123456789abcdef0123456789abcdef0", "No such file or directory" },
        {"no file",    "bob",                               "No such file or directory" },
        {"foreign",    foreign,                             "was not issued by this CA" },
        {"empty",      "",                                  "No such file or directory" },
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char why[CERT_WHY_MAX] = "";
        size_t at = 99;
        int r = ca_find(ca, table[i].which, &at, why);
        check(table[i].name, table[i].want ? r == -ENOENT && at == 99 : r == 0 && at == 1);
        if (table[i].want && !strstr(why, table[i].want))
            fail_msg("%s: %s", table[i].name, why);
        check(table[i].name, ERR_peek_error() == 0);
    }
    ca_close(ca);
}

static void damaged_directories_are_refused(void **state)
{
    (void)state;
    char foreign_key[400];
    new_ca("key-of-another");
    snprintf(foreign_key, sizeof(foreign_key), "%s", in_ca("ca.key"));
#define SERIAL "0123456789abcdef0123456789abcdef"
#define TIMES "2026-01-01T00:00:00Z\t2027-01-01T00:00:00Z"
    const struct {
        const char *name, *command; /* in the directory of the CA */
        const char *index, *want;
    } table[] = {
        {"no CA",                      "rm ca.pem",                     NULL,                                                             "there is no CA here; make one with: postern cert init"},
        {"CA damaged",                 "echo x >ca.pem",                NULL,                                                             "ca.pem: holds no certificate"                         },
        {"no index",                   "rm index.txt",                  NULL,                                                             "index.txt: No such file"                              },
        {"no key",                     "rm ca.key",                     NULL,                                                             "ca.key: the key of the CA is not here"                },
        {"key damaged",                "echo x >ca.key",                NULL,                                                             "ca.key: holds no private key"                         },
        {"key of another",             "cp ../key-of-another/ca.key .", NULL,
         "ca.key: is not the key of ca.pem"                                                                                                                                                      },
        {"fine",                       "true",                          SERIAL "\tclient\t" TIMES "\t-\t-\temail:a@b\tCN=a\n",            NULL                                                   },
        {"empty subject and names",    "true",                          SERIAL "\tclient\t" TIMES "\t-\t-\t-\t\n",                        NULL                                                   },
        {"comments, no last line end", "true",                          "# x\n\n" SERIAL "\tserver\t" TIMES "\t-\t-\t-\t",
         NULL                                                                                                                                                                                    },
        {"column missing",             "true",                          "#\n" SERIAL "\tclient\t" TIMES "\t-\t-\t-\n",
         "index.txt: line 2 is damaged"                                                                                                                                                          },
        {"column too many",            "true",                          SERIAL "\tclient\t" TIMES "\t-\t-\t-\t\t\n",
         "line 1 is damaged"                                                                                                                                                                     },
        {"serial",                     "true",                          "xyz\tclient\t" TIMES "\t-\t-\t-\t\n",                            "line 1 is damaged"                                    },
        {"no serial",                  "true",                          "\tclient\t" TIMES "\t-\t-\t-\t\n",                               "line 1 is damaged"                                    },
        {"long serial",                "true",                          SERIAL "0\tclient\t" TIMES "\t-\t-\t-\t\n",                       "line 1 is damaged"                                    },
        {"kind",                       "true",                          SERIAL "\tCLIENT\t" TIMES "\t-\t-\t-\t\n",                        "line 1 is damaged"                                    },
        {"time",                       "true",                          SERIAL "\tclient\t2026-01-01\t2027-01-01T00:00:00Z\t-\t-\t-\t\n",
         "line 1 is damaged"                                                                                                                                                                     },
        {"time and more",              "true",                          SERIAL "\tclient\t" TIMES "x\t-\t-\t-\t\n",                       "line 1 is damaged"                                    },
        {"reason without time",        "true",                          SERIAL "\tclient\t" TIMES "\t-\tsuperseded\t-\t\n",
         "line 1 is damaged"                                                                                                                                                                     },
        {"unknown reason",             "true",                          SERIAL "\tclient\t" TIMES "\t2026-05-01T00:00:00Z\tbored\t-\t\n",
         "line 1 is damaged"                                                                                                                                                                     },
        {"broken UTF-8",               "true",                          SERIAL "\tclient\t" TIMES "\t-\t-\t-\tCN=\xff\n",
         "line 1 is damaged"                                                                                                                                                                     },
        {"control",                    "true",                          SERIAL "\tclient\t" TIMES "\t-\t-\ta\x1b\t\n",                    "line 1 is damaged"                                    },
        {"NUL",                        "printf 'a\\0b\\n' >index.txt",  NULL,                                                             "index.txt: holds NUL octets"                          },
        {"empty index",                "true",                          "",                                                               NULL                                                   },
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        char name[32], command[300], why[CERT_WHY_MAX] = "";
        struct ca *ca = NULL;
        struct ca_issued *is = NULL;
        snprintf(name, sizeof(name), "damaged-%zu", i);
        new_ca(name);
        snprintf(command, sizeof(command), "cd '%s' && %s", ca_dir, table[i].command);
        assert_int_equal(system(command), 0);
        snprintf(name, sizeof(name), "damaged-%zu/index.txt", i);
        if (table[i].index)
            zoo_write_text(&dir, name, table[i].index);
        const char *email = "alice@example.org";
        struct ca_request rq = request_for(&email);
        int r = ca_open(ca_dir, &ca, why);
        r = r < 0 ? r : ca_issue(ca, &rq, &is, why);
        check(table[i].name, table[i].want ? r < 0 && !is : r == 0);
        if (table[i].want && !strstr(why, table[i].want))
            fail_msg("%s: %s", table[i].name, why);
        check(table[i].name, ERR_peek_error() == 0);
        ca_issued_free(is);
        ca_close(ca);
    }
}

/* The lock lets one command work at a time; no entry is lost. */
static void several_commands_may_work_at_once(void **state)
{
    (void)state;
    enum { CHILDREN = 4, EACH = 5 };
    pid_t children[CHILDREN];
    new_ca("crowd");
    for (size_t i = 0; i < CHILDREN; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] > 0)
            continue;
        for (int n = 0; n < EACH; n++) {
            char why[CERT_WHY_MAX];
            const char *email = "alice@example.org";
            struct ca *ca = NULL;
            struct ca_issued *is = NULL;
            struct ca_request rq = request_for(&email);
            if (ca_open(ca_dir, &ca, why) < 0 || ca_issue(ca, &rq, &is, why) < 0)
                _exit(1);
            ca_issued_free(is);
            ca_close(ca);
        }
        _exit(0);
    }
    for (size_t i = 0; i < CHILDREN; i++) {
        int status = -1;
        assert_true(waitpid(children[i], &status, 0) == children[i]);
        assert_int_equal(status, 0);
    }
    struct ca *ca = open_ca();
    assert_int_equal(ca_count(ca), CHILDREN * EACH);
    ca_close(ca);
}

/* A disk that takes no more: the old files stay, and nothing is left beside them. */
static void a_full_disk_changes_nothing(void **state)
{
    (void)state;
    char why[CERT_WHY_MAX] = "", command[200];
    size_t at;
    new_ca("full");
    struct ca *ca = open_ca();
    issue_to(ca, "alice@example.org", "alice");
    assert_int_equal(ca_find(ca, in_ca("alice.pem"), &at, why), 0);
    struct rlimit old, none = {0, RLIM_INFINITY};
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    none.rlim_max = old.rlim_max;
    void (*before)(int) = signal(SIGXFSZ, SIG_IGN);
    const char *email = "bob@example.org";
    struct ca_request rq = request_for(&email);
    struct ca_issued *is = NULL;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    int issued = ca_issue(ca, &rq, &is, why),
        revoked = ca_revoke(ca, at, CA_UNSPECIFIED, NOW_MS, why);
    int listed = ca_write_crl(ca, NOW_MS, why);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    (void)signal(SIGXFSZ, before);
    assert_int_equal(issued, -EFBIG);
    assert_int_equal(revoked, -EFBIG);
    assert_int_equal(listed, -EFBIG);
    assert_null(is);
    assert_int_equal(ca_count(ca), 1);
    assert_true(ca_entry(ca, 0)->revoked_ms == 0);
    ca_close(ca);
    ca = open_ca();
    assert_int_equal(ca_count(ca), 1);
    assert_int_equal(list_number(), 1);
    snprintf(command, sizeof(command), "test $(ls '%s' | wc -l) = 7", ca_dir);
    assert_int_equal(system(command), 0);
    ca_close(ca);
}

static void words_are_known(void **state)
{
    (void)state;
    enum ca_reason r;
    for (int i = CA_UNSPECIFIED; i <= CA_PRIVILEGE_WITHDRAWN; i++) {
        assert_int_equal(ca_reason_parse(ca_reason_name((enum ca_reason)i), &r), 0);
        assert_int_equal(r, i);
    }
    assert_int_equal(ca_reason_parse("", &r), -EINVAL);
    assert_int_equal(ca_reason_parse("Superseded", &r), -EINVAL);
    assert_string_equal(ca_kind_name(CA_SERVER), "server");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flawed_certificates_are_refused_for_their_flaw),
        cmocka_unit_test(a_new_ca_is_complete),
        cmocka_unit_test(a_ca_is_never_replaced),
        cmocka_unit_test(an_interrupted_init_can_be_repeated),
        cmocka_unit_test(init_refuses_what_cannot_be),
        cmocka_unit_test(certificates_do_what_they_are_for),
        cmocka_unit_test(requests_are_checked),
        cmocka_unit_test(nothing_is_written_over),
        cmocka_unit_test(p12_holds_all_three),
        cmocka_unit_test(revocation_reaches_the_list),
        cmocka_unit_test(list_numbers_only_rise),
        cmocka_unit_test(certificates_are_found),
        cmocka_unit_test(damaged_directories_are_refused),
        cmocka_unit_test(several_commands_may_work_at_once),
        cmocka_unit_test(a_full_disk_changes_nothing),
        cmocka_unit_test(words_are_known),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
