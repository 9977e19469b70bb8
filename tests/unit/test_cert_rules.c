#include "test_cert_zoo.h"

#include "base/str.h"
#include "cert/identity.h"
#include "cert/rules.h"

#include <errno.h>
#include <stdio.h>

#define UPN "1.3.6.1.4.1.311.20.2.3"
#define UTF8_MAILBOX "1.3.6.1.5.5.7.8.9"
#define OTHER(oid, text) .other_oid = (oid), .other = (text), .other_len = sizeof(text) - 1

static struct zoo_dir dir;
static struct zoo_cert ca;
static struct cert_trust *trust;

static int setup(void **state)
{
    (void)state;
    char path[160], why[CERT_WHY_MAX];
    zoo_dir_init(&dir);
    ca = zoo_ca("Staff CA", NULL);
    zoo_write(&dir, "ca.pem", &ca.x, 1, NULL);
    snprintf(path, sizeof(path), "%s", zoo_path(&dir, "ca.pem"));
    const char *files[] = {path};
    struct cert_trust_config cfg = {.name = "staff", .ca = files, .n_ca = 1};
    assert_int_equal(cert_trust_load(&cfg, &trust, why), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cert_trust_unref(trust);
    zoo_free(&ca);
    zoo_dir_done(&dir);
    return 0;
}

/* "outcome identity identity ..." */
static void
judge_by(const struct zoo_spec *spec, const struct cert_rules *rules, char *out, size_t size)
{
    struct cert_verdict v;
    struct zoo_cert leaf = zoo_make(spec, &ca);
    STACK_OF(X509) *chain = sk_X509_new_null();
    struct cert_request rq = {
        .leaf = leaf.x, .chain = chain, .trusts = &trust, .n_trusts = 1, .now_ms = NOW * 1000};
    rq.rules = cert_rules_items(rules, &rq.n_rules);
    cert_judge(&rq, &v);
    int at = snprintf(out, size, "%s", cert_outcome_name(v.outcome));
    for (size_t i = 0; i < v.n_identities; i++)
        at += snprintf(out + at, size - (size_t)at, " %s", v.identities[i]);
    cert_verdict_done(&v);
    sk_X509_free(chain);
    zoo_free(&leaf);
}

static void
judge(const struct zoo_spec *spec, const struct cert_rule_config *cfg, char *out, size_t size)
{
    char why[CERT_WHY_MAX] = "";
    struct cert_rules *rules = NULL;
    struct cert_rule_config named = *cfg;
    named.name = "rule";
    if (cert_rules_new(&named, 1, &rules, why) < 0)
        fail_msg("%s", why);
    judge_by(spec, rules, out, size);
    cert_rules_free(rules);
}

static const char long_pattern[] = "(a+)+b";

static const struct row {
    const char *name;
    struct zoo_spec spec;
    struct cert_rule_config rule;
    const char *want;
} rows[] = {
  /* otherName UPN */
    {"upn",
     {OTHER(UPN, "Alice@CORP.example")},
     {.source = CERT_SOURCE_SAN_UPN},
     "acceptable Alice@corp.example"                                                                                                                      },
    {"upn without domain",                  {OTHER(UPN, "alice")},                                 {.source = CERT_SOURCE_SAN_UPN},     "unmapped"        },
    {"upn with NUL (CERT-20)",
     {OTHER(UPN, "alice@corp.example\0.evil")},
     {.source = CERT_SOURCE_SAN_UPN},
     "unmapped"                                                                                                                                           },
    {"upn that is no UTF-8",
     {OTHER(UPN, "al\xff@corp.example")},
     {.source = CERT_SOURCE_SAN_UPN},
     "unmapped"                                                                                                                                           },
    {"upn of another type",
     {OTHER(UPN, "alice@corp.example"), .other_type = V_ASN1_OCTET_STRING},
     {.source = CERT_SOURCE_SAN_UPN},
     "unmapped"                                                                                                                                           },
    {"empty upn",                           {OTHER(UPN, "")},                                      {.source = CERT_SOURCE_SAN_UPN},     "unmapped"        },
    {"upn is no e-mail SAN",
     {OTHER(UPN, "alice@corp.example")},
     {.source = CERT_SOURCE_SAN_EMAIL},
     "unmapped"                                                                                                                                           },
 /* SmtpUTF8Mailbox: CERT-17, CERT-18 */
    {"utf8 mailbox",
     {OTHER(UTF8_MAILBOX, "j\xc3\xb6rg@example.org")},
     {.source = CERT_SOURCE_SAN_EMAIL_UTF8},
     "acceptable j\xc3\xb6rg@example.org"                                                                                                                 },
    {"utf8 mailbox, A-labels",
     {OTHER(UTF8_MAILBOX, "j\xc3\xb6rg@xn--bcher-kva.example")},
     {.source = CERT_SOURCE_SAN_EMAIL_UTF8},
     "acceptable j\xc3\xb6rg@xn--bcher-kva.example"                                                                                                       },
    {"CERT-17 ASCII local part",
     {OTHER(UTF8_MAILBOX, "joerg@example.org")},
     {.source = CERT_SOURCE_SAN_EMAIL_UTF8},
     "unmapped"                                                                                                                                           },
    {"CERT-17 domain in U-labels",
     {OTHER(UTF8_MAILBOX,
            "j\xc3\xb6rg@b\xc3\xbc"
            "cher.example")},
     {.source = CERT_SOURCE_SAN_EMAIL_UTF8},
     "unmapped"                                                                                                                                           },
    {"CERT-17 domain in capitals",
     {OTHER(UTF8_MAILBOX, "j\xc3\xb6rg@Example.org")},
     {.source = CERT_SOURCE_SAN_EMAIL_UTF8},
     "unmapped"                                                                                                                                           },
    {"CERT-17 byte-order mark",
     {OTHER(UTF8_MAILBOX, "\xef\xbb\xbfj\xc3\xb6rg@example.org")},
     {.source = CERT_SOURCE_SAN_EMAIL_UTF8},
     "unmapped"                                                                                                                                           },
    {"CERT-20 overlong form",
     {OTHER(UTF8_MAILBOX, "j\xc0\xafrg@example.org")},
     {.source = CERT_SOURCE_SAN_EMAIL_UTF8},
     "unmapped"                                                                                                                                           },
    {"CERT-20 direction changed",
     {OTHER(UTF8_MAILBOX, "j\xe2\x80\xae\xc3\xb6@example.org")},
     {.source = CERT_SOURCE_SAN_EMAIL_UTF8},
     "unmapped"                                                                                                                                           },
    {"CERT-20 C1 control",
     {OTHER(UTF8_MAILBOX, "j\xc2\x85\xc3\xb6@example.org")},
     {.source = CERT_SOURCE_SAN_EMAIL_UTF8},
     "unmapped"                                                                                                                                           },
 /* subject */
    {"common name",                         {.cn = "alice"},                                       {.source = CERT_SOURCE_SUBJECT_CN},  "acceptable alice"},
    {"common name as mailbox",
     {.cn = "Alice@EXAMPLE.org"},
     {.source = CERT_SOURCE_SUBJECT_CN},
     "acceptable Alice@example.org"                                                                                                                       },
    {"two common names",
     {.cn = "alice", .cn2 = "bob"},
     {.source = CERT_SOURCE_SUBJECT_CN},
     "ambiguous alice bob"                                                                                                                                },
    {"no common name",                      {.cn = "", .uid = "x"},                                {.source = CERT_SOURCE_SUBJECT_CN},  "unmapped"        },
    {"common name of two lines",
     {.cn = "alice\nbob"},
     {.source = CERT_SOURCE_SUBJECT_CN},
     "unmapped"                                                                                                                                           },
    {"common name with space at its end",
     {.cn = "alice "},
     {.source = CERT_SOURCE_SUBJECT_CN},
     "unmapped"                                                                                                                                           },
    {"uid",                                 {.uid = "alice"},                                      {.source = CERT_SOURCE_SUBJECT_UID}, "acceptable alice"},
    {"emailAddress",
     {.email = "Alice@EXAMPLE.org"},
     {.source = CERT_SOURCE_SUBJECT_EMAIL},
     "acceptable Alice@example.org"                                                                                                                       },
    {"emailAddress that is none",
     {.email = "alice"},
     {.source = CERT_SOURCE_SUBJECT_EMAIL},
     "unmapped"                                                                                                                                           },
    {"subject by name",
     {.uid = "alice"},
     {.source = CERT_SOURCE_SUBJECT, .attribute = "UID"},
     "acceptable alice"                                                                                                                                   },
    {"subject by OID",
     {.uid = "alice"},
     {.source = CERT_SOURCE_SUBJECT, .attribute = "0.9.2342.19200300.100.1.1"},
     "acceptable alice"                                                                                                                                   },
    {"subject without it",
     {.uid = "alice"},
     {.source = CERT_SOURCE_SUBJECT, .attribute = "OU"},
     "unmapped"                                                                                                                                           },
 /* issuer and serial */
    {"issuer and serial",
     {.serial = 0x1f0a},
     {.source = CERT_SOURCE_ISSUER_SERIAL},
     "acceptable 1f0a;CN=Staff CA"                                                                                                                        },
 /* SPIFFE */
    {"spiffe",
     {.san = "URI:spiffe://example.org/mail/sender-1"},
     {.source = CERT_SOURCE_SAN_URI},
     "acceptable spiffe://example.org/mail/sender-1"                                                                                                      },
    {"spiffe trust domain in capitals",
     {.san = "URI:spiffe://Example.org/a"},
     {.source = CERT_SOURCE_SAN_URI},
     "unmapped"                                                                                                                                           },
    {"spiffe scheme in capitals",
     {.san = "URI:SPIFFE://example.org/a"},
     {.source = CERT_SOURCE_SAN_URI},
     "unmapped"                                                                                                                                           },
    {"spiffe with port",
     {.san = "URI:spiffe://example.org:1/a"},
     {.source = CERT_SOURCE_SAN_URI},
     "unmapped"                                                                                                                                           },
    {"spiffe with user",
     {.san = "URI:spiffe://u@example.org/a"},
     {.source = CERT_SOURCE_SAN_URI},
     "unmapped"                                                                                                                                           },
    {"spiffe without path",
     {.san = "URI:spiffe://example.org"},
     {.source = CERT_SOURCE_SAN_URI},
     "unmapped"                                                                                                                                           },
    {"spiffe with empty segment",
     {.san = "URI:spiffe://example.org//a"},
     {.source = CERT_SOURCE_SAN_URI},
     "unmapped"                                                                                                                                           },
    {"spiffe with slash at its end",
     {.san = "URI:spiffe://example.org/a/"},
     {.source = CERT_SOURCE_SAN_URI},
     "unmapped"                                                                                                                                           },
    {"spiffe with dots",
     {.san = "URI:spiffe://example.org/a/../b"},
     {.source = CERT_SOURCE_SAN_URI},
     "unmapped"                                                                                                                                           },
    {"spiffe with query",
     {.san = "URI:spiffe://example.org/a?b"},
     {.source = CERT_SOURCE_SAN_URI},
     "unmapped"                                                                                                                                           },
    {"spiffe, percent",
     {.san = "URI:spiffe://example.org/%61"},
     {.source = CERT_SOURCE_SAN_URI},
     "unmapped"                                                                                                                                           },
    {"spiffe beside another URI",
     {.san = "URI:spiffe://example.org/a,URI:urn:x:y"},
     {.source = CERT_SOURCE_SAN_URI},
     "unmapped"                                                                                                                                           },
    {"two other URIs",
     {.san = "URI:urn:x:y,URI:urn:x:z"},
     {.source = CERT_SOURCE_SAN_URI},
     "ambiguous urn:x:y urn:x:z"                                                                                                                          },
    {"spiffe of a CA",
     {.san = "URI:spiffe://example.org/a", .bc = "CA:TRUE", .ku = "digitalSignature,keyCertSign"},
     {.source = CERT_SOURCE_SAN_URI},
     "unmapped"                                                                                                                                           },
 /* pattern and template */
    {"pattern and template",
     {.san = "DNS:printer-7.devices.example.org"},
     {.source = CERT_SOURCE_SAN_DNS,
      .pattern = "^(.+)\\.devices\\.example\\.org$",
      .template = "$1@example.org"},
     "acceptable printer-7@example.org"                                                                                                                   },
    {"pattern alone",
     {.san = "DNS:a.example.org"},
     {.source = CERT_SOURCE_SAN_DNS, .pattern = ".*\\.example\\.org"},
     "acceptable a.example.org"                                                                                                                           },
    {"pattern that does not fit",
     {.san = "DNS:a.example.net"},
     {.source = CERT_SOURCE_SAN_DNS, .pattern = ".*\\.example\\.org"},
     "unmapped"                                                                                                                                           },
    {"pattern must fit the whole",
     {.san = "DNS:a.example.org.evil.example"},
     {.source = CERT_SOURCE_SAN_DNS, .pattern = ".*\\.example\\.org"},
     "unmapped"                                                                                                                                           },
    {"pattern must fit from the start",
     {.san = "email:x@evil.example"},
     {.source = CERT_SOURCE_SAN_EMAIL, .pattern = "evil\\.example"},
     "unmapped"                                                                                                                                           },
    {"pattern picks one of several",
     {.san = "DNS:a.example.net,DNS:b.example.org"},
     {.source = CERT_SOURCE_SAN_DNS, .pattern = ".*\\.example\\.org"},
     "acceptable b.example.org"                                                                                                                           },
    {"two made one",
     {.san = "DNS:a.x.example,DNS:a.y.example"},
     {.source = CERT_SOURCE_SAN_DNS, .pattern = "([^.]+)\\..*", .template = "$1@example.org"},
     "acceptable a@example.org"                                                                                                                           },
    {"two stay two (EDG-02)",
     {.san = "DNS:a.x.example,DNS:b.x.example"},
     {.source = CERT_SOURCE_SAN_DNS, .pattern = "([^.]+)\\..*", .template = "$1@example.org"},
     "ambiguous a@example.org b@example.org"                                                                                                              },
    {"template without pattern",
     {.uid = "alice"},
     {.source = CERT_SOURCE_SUBJECT_UID, .template = "$0@Example.ORG"},
     "acceptable alice@example.org"                                                                                                                       },
    {"dollar",
     {.uid = "alice"},
     {.source = CERT_SOURCE_SUBJECT_UID, .template = "$$$0"},
     "acceptable $alice"                                                                                                                                  },
    {"group that matched nothing",
     {.uid = "alice"},
     {.source = CERT_SOURCE_SUBJECT_UID, .pattern = "alice|(bob)", .template = "$1@example.org"},
     "unmapped"                                                                                                                                           },
    {"group that matched the empty string",
     {.uid = "alice"},
     {.source = CERT_SOURCE_SUBJECT_UID, .pattern = "alice(x?)", .template = "$1"},
     "unmapped"                                                                                                                                           },
    {"template makes a control character",
     {.uid = "alice"},
     {.source = CERT_SOURCE_SUBJECT_UID, .template = "$0\n"},
     "unmapped"                                                                                                                                           },
    {"template makes it too long",
     {.uid = "alice"},
     {.source = CERT_SOURCE_SUBJECT_UID,
      .template =
          "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"
          "8901234567890123456789012345678901234567890123456789012345678901234567890123456789012345"
          "6789012345678901234567890123456789012345678901234567890123456789012345678901234567890123"
          "4567890123456789012345678901234567890123456789012345678$0"},
     "unmapped"                                                                                                                                           },
    {"a pattern that explodes gives up",
     {.san = "DNS:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac"},
     {.source = CERT_SOURCE_SAN_DNS, .pattern = long_pattern},
     "unmapped"                                                                                                                                           },
};

static void test_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char got[1024];
        judge(&rows[i].spec, &rows[i].rule, got, sizeof(got));
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s: got \"%s\", want \"%s\"", rows[i].name, got, rows[i].want);
    }
}

/* ---- tables */

static const char *write_table(const char *text)
{
    const char *path = zoo_path(&dir, "table");
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    return path;
}

static const struct {
    const char *name;
    struct zoo_spec spec;
    enum cert_source source;
    const char *template, *table, *want;
} table_rows[] = {
    {"listed",
     {.uid = "alice"},
     CERT_SOURCE_SUBJECT_UID,                                                             NULL,
     "alice Alice@Example.ORG\n",                                                                              "acceptable Alice@example.org"},
    {"not listed",
     {.uid = "bob"},
     CERT_SOURCE_SUBJECT_UID,                                                             NULL,
     "alice a@example.org\n",                                                                                  "unmapped"                    },
    {"the key counts octet for octet",
     {.uid = "Alice"},
     CERT_SOURCE_SUBJECT_UID,                                                             NULL,
     "alice a@example.org\n",                                                                                  "unmapped"                    },
    {"empty entry",                     {.uid = "alice"},        CERT_SOURCE_SUBJECT_UID, NULL,     "alice\n", "unmapped"                    },
    {"template, then table",
     {.uid = "alice"},
     CERT_SOURCE_SUBJECT_UID,                                                             "uid:$0",
     "uid:alice a@example.org\n",                                                                              "acceptable a@example.org"    },
    {"issuer and serial",
     {.serial = 0x1f0a},
     CERT_SOURCE_ISSUER_SERIAL,                                                           NULL,
     "\"1f0a;CN=Staff CA\" a@example.org\n",                                                                   "acceptable a@example.org"    },
    {"CERT-18 U-label configured",
     {OTHER(UTF8_MAILBOX, "j\xc3\xb6rg@xn--bcher-kva.example")},
     CERT_SOURCE_SAN_EMAIL_UTF8,                                                          NULL,
     "j\xc3\xb6rg@b\xc3\xbc"
     "cher.example joerg\n",                                                                                   "acceptable joerg"            },
    {"CERT-18 A-label configured",
     {OTHER(UTF8_MAILBOX, "j\xc3\xb6rg@xn--bcher-kva.example")},
     CERT_SOURCE_SAN_EMAIL_UTF8,                                                          NULL,
     "j\xc3\xb6rg@xn--bcher-kva.example joerg\n",                                                              "acceptable joerg"            },
    {"CERT-18 NFC against NFD",
     {OTHER(UTF8_MAILBOX, "j\xc3\xb6rg@example.org")},
     CERT_SOURCE_SAN_EMAIL_UTF8,                                                          NULL,
     "jo\xcc\x88rg@example.org joerg\n",                                                                       "unmapped"                    },
    {"CERT-19 compatibility character",
     {OTHER(UTF8_MAILBOX, "\xef\xac\x81x@example.org")},
     CERT_SOURCE_SAN_EMAIL_UTF8,                                                          NULL,
     "fix@example.org fix\n",                                                                                  "unmapped"                    },
};

static void test_tables(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(table_rows); i++) {
        char got[1024];
        struct cert_rule_config rule = {.source = table_rows[i].source,
                                        .template = table_rows[i].template,
                                        .table = write_table(table_rows[i].table)};
        judge(&table_rows[i].spec, &rule, got, sizeof(got));
        if (strcmp(got, table_rows[i].want) != 0)
            fail_msg("%s: got \"%s\", want \"%s\"", table_rows[i].name, got, table_rows[i].want);
    }
}

static void test_refresh(void **state)
{
    (void)state;
    char why[CERT_WHY_MAX], got[1024];
    struct cert_rules *rules;
    struct cert_rule_config cfg[] = {
        {.name = "plain",                    .source = CERT_SOURCE_SAN_EMAIL    },
        { .name = "uid", .source = CERT_SOURCE_SUBJECT_UID, .table = write_table("alice one\n")},
    };
    assert_int_equal(cert_rules_new(cfg, 2, &rules, why), 0);
    const struct zoo_spec alice = {.uid = "alice"};
    assert_int_equal(cert_rules_refresh(rules), 0);
    (void)write_table("alice another\n");
    assert_int_equal(cert_rules_refresh(rules), 1);
    judge_by(&alice, rules, got, sizeof(got));
    assert_string_equal(got, "acceptable another");
    (void)write_table("\"alice\n"); /* broken: the old entries stay */
    assert_int_equal(cert_rules_refresh(rules), 0);
    judge_by(&alice, rules, got, sizeof(got));
    assert_string_equal(got, "acceptable another");
    cert_rules_free(rules);
}

/* ---- mistakes */

static const struct {
    const char *name;
    struct cert_rule_config cfg;
    const char *why;
} mistakes[] = {
    {"pattern",               {.pattern = "("},                "the pattern cannot be used: missing closing parenthesis"},
    {"group",
     {.pattern = "(a)", .template = "$2"},
     "\"$2\" uses $2, and the pattern has 1 group in parentheses"                                                       },
    {"group without pattern", {.template = "$1"},              "the pattern has 0 groups"                               },
    {"dollar at the end",     {.template = "a$"},              "behind a \"$\" stands the number"                       },
    {"dollar before a word",  {.template = "$x"},              "behind a \"$\" stands the number"                       },
    {"attribute",
     {.source = CERT_SOURCE_SUBJECT, .attribute = "nonsense"},
     "\"nonsense\" is no attribute of a name"                                                                           },
    {"table",                 {.table = "/nonexistent/table"}, "cannot read the table /nonexistent/table"               },
};

static void test_mistakes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(mistakes); i++) {
        char why[CERT_WHY_MAX] = "";
        struct cert_rules *rules = NULL;
        struct cert_rule_config cfg = mistakes[i].cfg;
        cfg.name = "mine";
        if (cert_rules_new(&cfg, 1, &rules, why) >= 0 || rules || !strstr(why, mistakes[i].why) ||
            !strstr(why, "identity mine: "))
            fail_msg("%s: \"%s\"", mistakes[i].name, why);
        if (!cfg.table && cert_rule_check(&cfg, why) >= 0)
            fail_msg("%s: not seen by the check", mistakes[i].name);
    }
}

/* ---- the form of an identity */

static const struct {
    const char *in, *want; /* NULL: none */
} forms[] = {
    {"alice",             "alice"                      },
    {"Alice Smith",       "Alice Smith"                },
    {"Alice@EXAMPLE.org", "Alice@example.org"          },
    {"alice@b\xc3\xbc"
     "cher.example", "alice@xn--bcher-kva.example"},
    {"alice@B\xc3\x9c"
     "CHER.example", "alice@xn--bcher-kva.example"},
    {"",                  NULL                         },
    {" alice",            NULL                         },
    {"alice\t",           NULL                         },
    {"al\x7fice",         NULL                         },
    {"al\xc2\x9bice",     NULL                         },
    {"al\xe2\x80\xa8ice", NULL                         },
    {"al\xed\xa0\x80ice", NULL                         },
};

static void test_forms(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        char got[CERT_IDENTITY_MAX + 1] = "untouched";
        int r = cert_identity_normalise(str_of(forms[i].in), got);
        if ((r < 0) != !forms[i].want ||
            strcmp(got, forms[i].want ? forms[i].want : "untouched") != 0)
            fail_msg("\"%s\": %d \"%s\"", forms[i].in, r, got);
    }
}

/* ---- the trace */

struct trace {
    char text[1024];
};

static void note(void *arg, const struct cert_rule *rule, const char *value, const char *finding)
{
    struct trace *t = arg;
    size_t at = strlen(t->text);
    snprintf(t->text + at, sizeof(t->text) - at, "%s|%s|%s\n", rule->name, value ? value : "-",
             finding);
}

static void test_trace(void **state)
{
    (void)state;
    char why[CERT_WHY_MAX];
    const char *elsewhere[] = {"elsewhere"};
    struct cert_rules *rules;
    struct cert_verdict v;
    struct trace trace = {""};
    struct zoo_cert leaf = zoo_make(&(struct zoo_spec){.cn = "alice", .cn2 = "bob"}, &ca);
    STACK_OF(X509) *chain = sk_X509_new_null();
    struct cert_rule_config cfg[] = {
        {.name = "a",                       .source = CERT_SOURCE_SUBJECT_CN, .trust = elsewhere, .n_trust = 1},
        {.name = "b",                     .source = CERT_SOURCE_SAN_EMAIL                                                    },
        {.name = "c",.source = CERT_SOURCE_SUBJECT_CN,.pattern = "a.*"},
        {.name = "d",                    .source = CERT_SOURCE_FINGERPRINT                                                                          },
    };
    assert_int_equal(cert_rules_new(cfg, ARRAY_LEN(cfg), &rules, why), 0);
    struct cert_request rq = {.leaf = leaf.x,
                              .chain = chain,
                              .trusts = &trust,
                              .n_trusts = 1,
                              .now_ms = NOW * 1000,
                              .trace = note,
                              .trace_arg = &trace};
    rq.rules = cert_rules_items(rules, &rq.n_rules);
    cert_judge(&rq, &v);
    assert_string_equal(v.rule, "c");
    assert_string_equal(trace.text,
                        "a|-|does not hold for the trust blocks in which the certificate is valid\n"
                        "b|-|the certificate has no e-mail address (subjectAltName)\n"
                        "c|alice|fits: alice\n"
                        "c|bob|the pattern does not fit\n"
                        "d|-|not looked at, as an earlier rule fits\n");
    cert_verdict_done(&v);
    cert_rules_free(rules);
    sk_X509_free(chain);
    zoo_free(&leaf);
}

/* A name that a proxy has read: rules bound to a CA do not hold, as the proxy tells none (CERT-14, CERT-15). */
static void test_told(void **state)
{
    (void)state;
    static const char *const staff[] = {"staff"};
    static const struct cert_rule_config cfg[] = {
        {.name = "bound",     .source = CERT_SOURCE_SUBJECT_CN, .trust = staff, .n_trust = 1},
        {.name = "email",     .source = CERT_SOURCE_SAN_EMAIL },
        {.name = "free",
         .source = CERT_SOURCE_SUBJECT_CN,
         .pattern = "[a-z]+",
         .template = "$0@example.org"             },
    };
    static const struct {
        const char *name, *identity; /* NULL: none */
    } told[] = {
        {"alice",             "alice@example.org"},
        {"Alice",             NULL               },
        {"",                  NULL               },
        {"alice@example.org", NULL               },
        {" alice",            NULL               },
        {"alice\n",           NULL               },
        {"al\xc0\xaf",        NULL               },
    };
    struct cert_rules *rules = NULL;
    char why[CERT_WHY_MAX];
    size_t n;
    assert_int_equal(cert_rules_new(cfg, ARRAY_LEN(cfg), &rules, why), 0);
    const struct cert_rule *items = cert_rules_items(rules, &n);
    for (size_t i = 0; i < ARRAY_LEN(told); i++) {
        struct cert_verdict v = {0};
        cert_judge_told(items, n, CERT_SOURCE_SUBJECT_CN, told[i].name, &v);
        check(told[i].name, (v.outcome == CERT_ACCEPTABLE) == (told[i].identity != NULL));
        check(told[i].name, v.n_identities == (told[i].identity ? 1 : 0));
        check(told[i].name, !told[i].identity || (strcmp(v.identities[0], told[i].identity) == 0 &&
                                                  strcmp(v.rule, "free") == 0));
        check(told[i].name, told[i].identity || v.reason[0]);
        cert_verdict_done(&v);
    }
    cert_rules_free(rules);
}

/* As a proxy hands a certificate over: whole, and nothing behind it. */
static void test_der(void **state)
{
    (void)state;
    unsigned char *der = NULL;
    struct x509_st *x = NULL;
    int len = i2d_X509(ca.x, &der);
    assert_true(len > 0);
    struct str whole = {(const char *)der, (size_t)len};
    assert_int_equal(cert_from_der(whole, &x), 0);
    assert_int_equal(X509_cmp(x, ca.x), 0);
    cert_release(x);
    x = NULL;
    for (size_t cut = 0; cut < whole.len; cut += 7)
        assert_int_equal(cert_from_der(str_upto(whole, cut), &x), -EINVAL);
    CLEANUP(freep) char *more = calloc(1, whole.len + 1);
    memcpy(more, der, whole.len);
    assert_int_equal(cert_from_der((struct str){more, whole.len + 1}, &x), -EINVAL);
    assert_null(x);
    cert_release(NULL);
    OPENSSL_free(der);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),   cmocka_unit_test(test_tables),
        cmocka_unit_test(test_refresh), cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_forms),   cmocka_unit_test(test_trace),
        cmocka_unit_test(test_told),    cmocka_unit_test(test_der),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
