#include "unit.h"

#include "smtp/address.h"

#include <stdio.h>

/* An initialiser: a NUL inside is counted. */
/* clang-format off */
#define S(literal) {(literal), sizeof(literal) - 1}
/* clang-format on */

static const struct {
    struct str in;
    bool utf8_allowed;
    const char *local, *domain, *rest;
} good_paths[] = {
    {S("<>"),                             false, "",                      "",                           ""             },
    {S("<> SIZE=1"),                      false, "",                      "",                           " SIZE=1"      },
    {S("<a@b>"),                          false, "a",                     "b",                          ""             },
    {S("<a@b> <c@d>"),                    false, "a",                     "b",                          " <c@d>"       },
    {S("<A.b+c@Mail.Example.ORG>X"),      false, "A.b+c",                 "Mail.Example.ORG",           "X"            },
    {S("<!#$%&'*+-/=?^_`{|}~@b>"),        false, "!#$%&'*+-/=?^_`{|}~",   "b",                          ""             },
    {S("<Postmaster>"),                   false, "Postmaster",            "",                           ""             }, /* SMTP-20 */
    {S("<pOSTMASTER> NOTIFY=NEVER"),      false, "pOSTMASTER",            "",                           " NOTIFY=NEVER"},
    {S("<postmaster@b>"),                 false, "postmaster",            "b",                          ""             },
    {S("<postmaster2@b>"),                false, "postmaster2",           "b",                          ""             },
    {S("<\"a b\"@c>"),                    false, "\"a b\"",               "c",                          ""             },
    {S("<\"a>b@c\"@d>"),                  false, "\"a>b@c\"",             "d",                          ""             },
    {S("<\"\\\"\\\\\"@d>"),               false, "\"\\\"\\\\\"",          "d",                          ""             },
    {S("<\"\"@d>"),                       false, "\"\"",                  "d",                          ""             },
    {S("<a@my_host.example>"),            false, "a",                     "my_host.example",            ""             },
    {S("<a@_x._y>"),                      false, "a",                     "_x._y",                      ""             },
    {S("<a@3com.example>"),               false, "a",                     "3com.example",               ""             },
    {S("<a@x--y.example>"),               false, "a",                     "x--y.example",               ""             },
    {S("<@x.example:a@b.example>"),       false, "a",                     "b.example",                  ""             }, /* SMTP-18 */
    {S("<@x,@y.z,@w:a@b>"),               false, "a",                     "b",                          ""             },
    {S("<@x:\"q r\"@[1.2.3.4]>"),         false, "\"q r\"",               "[1.2.3.4]",                  ""             },
    {S("<a@[1.2.3.4]>"),                  false, "a",                     "[1.2.3.4]",                  ""             },
    {S("<a@[0.0.0.0]>"),                  false, "a",                     "[0.0.0.0]",                  ""             },
    {S("<a@[255.255.255.255]>"),          false, "a",                     "[255.255.255.255]",          ""             },
    {S("<a@[IPv6:::1]>"),                 false, "a",                     "[IPv6:::1]",                 ""             },
    {S("<a@[ipv6:::]>"),                  false, "a",                     "[ipv6:::]",                  ""             },
    {S("<a@[IPv6:2001:db8::a]>"),         false, "a",                     "[IPv6:2001:db8::a]",         ""             },
    {S("<a@[IPv6:1:2:3:4:5:6:7:8]>"),     false, "a",                     "[IPv6:1:2:3:4:5:6:7:8]",     ""             },
    {S("<a@[IPv6:1:2:3:4:5:6:1.2.3.4]>"), false, "a",                     "[IPv6:1:2:3:4:5:6:1.2.3.4]", ""             },
    {S("<a@[IPv6:::ffff:1.2.3.4]>"),      false, "a",                     "[IPv6:::ffff:1.2.3.4]",      ""             },
    {S("<a@[IPv6:1::]>"),                 false, "a",                     "[IPv6:1::]",                 ""             },
    {S("<a@[IPv6:1:2:3:4:5:6:7::]>"),     false, "a",                     "[IPv6:1:2:3:4:5:6:7::]",     ""             },
    {S("<a@[x-25:a!b^~]>"),               false, "a",                     "[x-25:a!b^~]",               ""             },
    {S("<\xc3\xa9@b>"),                   true,  "\xc3\xa9",              "b",                          ""             }, /* UTF-01, RFC 6531 3.3 */
    {S("<a@\xe4\xbe\x8b.example>"),       true,  "a",                     "\xe4\xbe\x8b.example",       ""             },
    {S("<\"\xf0\x9f\x93\xae \"@b>"),      true,  "\"\xf0\x9f\x93\xae \"", "b",                          ""             },
    {S("<@\xc3\xa9:a@b>"),                true,  "a",                     "b",                          ""             },
    {S("<a\xc2\xa0@b>"),                  true,  "a\xc2\xa0",             "b",                          ""             },
};

static const struct {
    struct str in;
    bool utf8_allowed;
    enum smtp_path_error want;
} bad_paths[] = {
    {S("<@x:>"),                              false, PATH_SYNTAX    },
    {S("<@x:postmaster>"),                    false, PATH_SYNTAX    },
    {S("<@x>"),                               false, PATH_SYNTAX    },
    {S("<@x a@b>"),                           false, PATH_SYNTAX    },
    {S("<@x,a@b>"),                           false, PATH_SYNTAX    },
    {S("<@x,:a@b>"),                          false, PATH_SYNTAX    },
    {S("<@x,,@y:a@b>"),                       false, PATH_SYNTAX    },
    {S("<@x, @y:a@b>"),                       false, PATH_SYNTAX    },
    {S("<@x.:a@b>"),                          false, PATH_SYNTAX    },
    {S("<@[1.2.3.4]:a@b>"),                   false, PATH_SYNTAX    },
    {S("<@:a@b>"),                            false, PATH_SYNTAX    },
    {S("<x:a@b>"),                            false, PATH_SYNTAX    },
    {S(""),                                   false, PATH_SYNTAX    },
    {S("<"),                                  false, PATH_SYNTAX    },
    {S("a@b"),                                false, PATH_SYNTAX    },
    {S(" <a@b>"),                             false, PATH_SYNTAX    },
    {S("<a@b"),                               false, PATH_SYNTAX    },
    {S("<a@b >"),                             false, PATH_SYNTAX    },
    {S("< a@b>"),                             false, PATH_SYNTAX    },
    {S("< >"),                                false, PATH_SYNTAX    },
    {S("<<a@b>>"),                            false, PATH_SYNTAX    },
    {S("<a>"),                                false, PATH_SYNTAX    },
    {S("<postmaster"),                        false, PATH_SYNTAX    },
    {S("<postmaster@>"),                      false, PATH_SYNTAX    },
    {S("<\"postmaster\">"),                   false, PATH_SYNTAX    },
    {S("<@>"),                                false, PATH_SYNTAX    },
    {S("<a@>"),                               false, PATH_SYNTAX    },
    {S("<@b>"),                               false, PATH_SYNTAX    },
    {S("<a@b@c>"),                            false, PATH_SYNTAX    },
    {S("<.a@b>"),                             false, PATH_SYNTAX    },
    {S("<a.@b>"),                             false, PATH_SYNTAX    },
    {S("<a..b@c>"),                           false, PATH_SYNTAX    },
    {S("<a b@c>"),                            false, PATH_SYNTAX    },
    {S("<a,b@c>"),                            false, PATH_SYNTAX    },
    {S("<a(x)@c>"),                           false, PATH_SYNTAX    },
    {S("<a\\@b@c>"),                          false, PATH_SYNTAX    },
    {S("<\"a@b>"),                            false, PATH_SYNTAX    },
    {S("<\"a\\\"@b>"),                        false, PATH_SYNTAX    },
    {S("<\"a\\"),                             false, PATH_SYNTAX    },
    {S("<\""),                                false, PATH_SYNTAX    },
    {S("<\"a\"b@c>"),                         false, PATH_SYNTAX    },
    {S("<\"a\".b@c>"),                        false, PATH_SYNTAX    }, /* RFC 5322 has it as obsolete, RFC 5321 not at all */
    {S("<a@b.>"),                             false, PATH_SYNTAX    },
    {S("<a@.b>"),                             false, PATH_SYNTAX    },
    {S("<a@b..c>"),                           false, PATH_SYNTAX    },
    {S("<a@.>"),                              false, PATH_SYNTAX    },
    {S("<a@-b.c>"),                           false, PATH_SYNTAX    },
    {S("<a@b-.c>"),                           false, PATH_SYNTAX    },
    {S("<a@b.c->"),                           false, PATH_SYNTAX    },
    {S("<a@->"),                              false, PATH_SYNTAX    },
    {S("<a@b c>"),                            false, PATH_SYNTAX    },
    {S("<a@b+c>"),                            false, PATH_SYNTAX    },
    {S("<a@b\\.c>"),                          false, PATH_SYNTAX    },
    {S("<a\0b@c>"),                           false, PATH_SYNTAX    }, /* SMTP-21 */
    {S("<a@b\0>"),                            false, PATH_SYNTAX    },
    {S("<a@b\0c>"),                           false, PATH_SYNTAX    },
    {S("<\"a\0\"@c>"),                        true,  PATH_SYNTAX    },
    {S("<\"a\\\0\"@c>"),                      true,  PATH_SYNTAX    },
    {S("<\"a\tb\"@c>"),                       false, PATH_SYNTAX    },
    {S("<\"a\\\tb\"@c>"),                     false, PATH_SYNTAX    },
    {S("<\"a\rb\"@c>"),                       false, PATH_SYNTAX    },
    {S("<\"a\nb\"@c>"),                       false, PATH_SYNTAX    },
    {S("<\"a\x7f\"@c>"),                      false, PATH_SYNTAX    },
    {S("<a\x1b@c>"),                          false, PATH_SYNTAX    },
    {S("<a@c\x7f>"),                          false, PATH_SYNTAX    },
    {S("<a@[1.2.3.4\0]>"),                    false, PATH_SYNTAX    },
    {S("<\0>"),                               false, PATH_SYNTAX    },
    {S("<post\0master>"),                     false, PATH_SYNTAX    },
    {S("<a@[256.2.3.4]>"),                    false, PATH_SYNTAX    },
    {S("<a@[1.2.3]>"),                        false, PATH_SYNTAX    },
    {S("<a@[1.2.3.4.5]>"),                    false, PATH_SYNTAX    },
    {S("<a@[1.2.3.]>"),                       false, PATH_SYNTAX    },
    {S("<a@[1..3.4]>"),                       false, PATH_SYNTAX    },
    {S("<a@[01.2.3.4]>"),                     false, PATH_SYNTAX    },
    {S("<a@[1.2.3.4444444444444444444444]>"), false, PATH_SYNTAX    },
    {S("<a@[1.2.3.-4]>"),                     false, PATH_SYNTAX    },
    {S("<a@[1.2.3.4>"),                       false, PATH_SYNTAX    },
    {S("<a@1.2.3.4]>"),                       false, PATH_SYNTAX    },
    {S("<a@[1.2.3.4].com>"),                  false, PATH_SYNTAX    },
    {S("<a@[ 1.2.3.4 ]>"),                    false, PATH_SYNTAX    },
    {S("<a@[]>"),                             false, PATH_SYNTAX    },
    {S("<a@[>"),                              false, PATH_SYNTAX    },
    {S("<a@[example.org]>"),                  false, PATH_SYNTAX    },
    {S("<a@[IPv6:]>"),                        false, PATH_SYNTAX    },
    {S("<a@[IPv6:1]>"),                       false, PATH_SYNTAX    },
    {S("<a@[IPv6::1]>"),                      false, PATH_SYNTAX    },
    {S("<a@[IPv6:1:2:3:4:5:6:7]>"),           false, PATH_SYNTAX    },
    {S("<a@[IPv6:1:2:3:4:5:6:7:8:9]>"),       false, PATH_SYNTAX    },
    {S("<a@[IPv6:1:2:3:4:5:6:7:8::]>"),       false, PATH_SYNTAX    },
    {S("<a@[IPv6:1:2:3:4:5:6:7:1.2.3.4]>"),   false, PATH_SYNTAX    },
    {S("<a@[IPv6:1::2::3]>"),                 false, PATH_SYNTAX    },
    {S("<a@[IPv6:1:::2]>"),                   false, PATH_SYNTAX    },
    {S("<a@[IPv6::::]>"),                     false, PATH_SYNTAX    },
    {S("<a@[IPv6:1:2:3:4:5:6:7:]>"),          false, PATH_SYNTAX    },
    {S("<a@[IPv6:::12345]>"),                 false, PATH_SYNTAX    },
    {S("<a@[IPv6:::g]>"),                     false, PATH_SYNTAX    },
    {S("<a@[IPv6:fe80::1%eth0]>"),            false, PATH_SYNTAX    },
    {S("<a@[IPv6:1.2.3.4]>"),                 false, PATH_SYNTAX    },
    {S("<a@[IPv6:::1.2.3.4:1]>"),             false, PATH_SYNTAX    },
    {S("<a@[::1]>"),                          false, PATH_SYNTAX    },
    {S("<a@[x-:a]>"),                         false, PATH_SYNTAX    },
    {S("<a@[x y:a]>"),                        false, PATH_SYNTAX    },
    {S("<a@[x:]>"),                           false, PATH_SYNTAX    },
    {S("<a@[x:a b]>"),                        false, PATH_SYNTAX    },
    {S("<a@[x:a\\b]>"),                       false, PATH_SYNTAX    },
    {S("<a@[x:\xc3\xa9]>"),                   true,  PATH_SYNTAX    },
    {S("<\xc3\xa9@b>"),                       false, PATH_NEEDS_UTF8}, /* UTF-01, RFC 6531 3.3 */
    {S("<a@\xe4\xbe\x8b.example>"),           false, PATH_NEEDS_UTF8},
    {S("<\"\\\xc3\xa9\"@b>"),                 true,  PATH_SYNTAX    },
    {S("<@\xc3\xa9:a@b>"),                    false, PATH_NEEDS_UTF8},
    {S("<\xe9@b>"),                           true,  PATH_BAD_UTF8  },
    {S("<\xe9@b>"),                           false, PATH_BAD_UTF8  },
    {S("<\xc0\xaf@b>"),                       true,  PATH_BAD_UTF8  },
    {S("<\xed\xa0\x80@b>"),                   true,  PATH_BAD_UTF8  },
    {S("<\xf4\x90\x80\x80@b>"),               true,  PATH_BAD_UTF8  },
    {S("<a\xc3@b>"),                          true,  PATH_BAD_UTF8  },
    {S("<a@b\xc3>"),                          true,  PATH_BAD_UTF8  },
    {S("<a\xc2\x9b@b>"),                      true,  PATH_SYNTAX    }, /* C1 control */
    {S("<\xc3\xa9@-b>"),                      true,  PATH_SYNTAX    },
};
/* clang-format on */

static void good_paths_are_taken_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good_paths); i++) {
        struct str in = good_paths[i].in, domain = str_of(good_paths[i].domain);
        struct smtp_path p;
        size_t len;
        check(in.p, smtp_path_parse(in, good_paths[i].utf8_allowed, &p, &len) == PATH_OK);
        check(in.p, str_eq(p.local, str_of(good_paths[i].local)));
        check(in.p, str_eq(p.domain, domain));
        check(in.p, str_eq(str_from(in, len), str_of(good_paths[i].rest)));
        check(in.p, p.mailbox.len == p.local.len + domain.len + (domain.len > 0));
        check(in.p,
              domain.len == 0 || (p.mailbox.p == p.local.p && p.mailbox.p[p.local.len] == '@'));
        check(in.p, p.is_null == (p.local.len == 0));
        check(in.p, p.is_utf8 == !str_is_ascii(p.mailbox));
        check(in.p, p.is_literal == (domain.p[0] == '['));
    }
}

static void bad_paths_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad_paths); i++) {
        struct str in = bad_paths[i].in;
        struct smtp_path p = {.mailbox = STR("untouched")};
        size_t len = 4711;
        check(in.p, smtp_path_parse(in, bad_paths[i].utf8_allowed, &p, &len) == bad_paths[i].want);
        check(in.p, len == 4711 && str_eq(p.mailbox, STR("untouched")));
    }
}

/* Nothing is accepted before its ">". */
static void a_path_cut_short_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good_paths); i++) {
        struct str in = good_paths[i].in;
        struct smtp_path p;
        size_t len, cut;
        check(in.p, smtp_path_parse(in, true, &p, &len) == PATH_OK);
        for (size_t n = 0; n < len; n++)
            check(in.p, smtp_path_parse(str_upto(in, n), true, &p, &cut) != PATH_OK);
    }
}

static void mailboxes_stand_alone(void **state)
{
    (void)state;
    static const struct {
        struct str in;
        enum smtp_path_error want;
    } rows[] = {
        {S("a@b"),               PATH_OK        },
        {S("\"a b\"@[1.2.3.4]"), PATH_OK        },
        {S(""),                  PATH_SYNTAX    },
        {S("<a@b>"),             PATH_SYNTAX    },
        {S("<>"),                PATH_SYNTAX    },
        {S("postmaster"),        PATH_SYNTAX    },
        {S("@x:a@b"),            PATH_SYNTAX    },
        {S(" a@b"),              PATH_SYNTAX    },
        {S("a@b "),              PATH_SYNTAX    },
        {S("a@b,c@d"),           PATH_SYNTAX    },
        {S("a@b\0"),             PATH_SYNTAX    },
        {S("a@b>"),              PATH_SYNTAX    },
        {S("\xc3\xa9@b"),        PATH_NEEDS_UTF8},
        {S("\xc3@b"),            PATH_BAD_UTF8  },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct smtp_path p;
        check(rows[i].in.p, smtp_mailbox_parse(rows[i].in, false, &p) == rows[i].want);
        if (rows[i].want == PATH_OK)
            check(rows[i].in.p, str_eq(p.mailbox, rows[i].in) && !p.is_null);
    }
}

/* A domain of exactly `len` octets, in labels of at most `label`. */
static void make_domain(char *out, size_t len, size_t label)
{
    for (size_t i = 0; i < len; i++)
        out[i] = i % (label + 1) == label ? '.' : 'd';
    if (out[len - 1] == '.')
        out[len - 1] = 'd', out[len - 2] = '.', out[len - 3] = 'd';
    out[len] = '\0';
}

static enum smtp_path_error parse_sized(size_t local_len, size_t domain_len, size_t label_len)
{
    char local[400], domain[400], path[900];
    struct smtp_path p;
    size_t len;
    memset(local, 'l', local_len);
    local[local_len] = '\0';
    make_domain(domain, domain_len, label_len);
    (void)snprintf(path, sizeof(path), "<%s@%s>", local, domain);
    enum smtp_path_error e = smtp_path_parse(str_of(path), false, &p, &len);
    if (e == PATH_OK)
        assert_true(p.local.len == local_len && p.domain.len == domain_len);
    return e;
}

/* SMTP-13, SMTP-14 */
static void lengths_end_where_the_standard_says(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t local, domain, label;
        enum smtp_path_error want;
    } rows[] = {
        {"local 64",               64,  3,   63, PATH_OK      },
        {"local 65",               65,  3,   63, PATH_TOO_LONG},
        {"local 300",              300, 3,   63, PATH_TOO_LONG},
        {"domain 255",             1,   255, 40, PATH_OK      },
        {"domain 256",             1,   256, 40, PATH_TOO_LONG},
        {"domain 390",             1,   390, 40, PATH_TOO_LONG},
        {"label 63",               1,   63,  63, PATH_OK      },
        {"label 64",               1,   64,  64, PATH_TOO_LONG},
        {"label 63 in the middle", 1,   130, 63, PATH_OK      },
        {"label 64 in the middle", 1,   130, 64, PATH_TOO_LONG},
        {"all at their maximum",   64,  255, 63, PATH_OK      },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check(rows[i].name,
              parse_sized(rows[i].local, rows[i].domain, rows[i].label) == rows[i].want);
    assert_int_equal(SMTP_LOCAL_MAX + 1 + SMTP_DOMAIN_MAX, SMTP_PATH_MAX);
}

static void a_quoted_local_part_counts_its_quotes(void **state)
{
    (void)state;
    char s[100] = "<\"";
    struct smtp_path p;
    size_t len;
    memset(s + 2, ' ', 62);
    strcpy(s + 64, "\"@d>");
    assert_int_equal(smtp_path_parse(str_of(s), false, &p, &len), PATH_OK);
    assert_int_equal(p.local.len, 64);
    strcpy(s + 64, " \"@d>");
    assert_int_equal(smtp_path_parse(str_of(s), false, &p, &len), PATH_TOO_LONG);
}

/* An A-label of 63 octets can stand for more octets of UTF-8; the domain's own maximum stays. */
static void a_label_in_utf8_may_be_longer(void **state)
{
    (void)state;
    char s[400] = "<a@";
    struct smtp_path p;
    size_t len;
    for (size_t i = 0; i < 127; i++)
        memcpy(s + 3 + 2 * i, "\xc3\xa9", 2);
    strcpy(s + 3 + 254, "x>");
    assert_int_equal(smtp_path_parse(str_of(s), true, &p, &len), PATH_OK);
    strcpy(s + 3 + 254, "xx>");
    assert_int_equal(smtp_path_parse(str_of(s), true, &p, &len), PATH_TOO_LONG);
}

static void helo_takes_hosts_and_literals(void **state)
{
    (void)state;
    static const struct {
        struct str in;
        bool want;
    } rows[] = {
        {S("client.example.org"), true },
        {S("localhost"),          true },
        {S("WIN_PC_7"),           true },
        {S("1.2.3.4"),            true },
        {S("[1.2.3.4]"),          true },
        {S("[IPv6:2001:db8::1]"), true },
        {S("[2001:db8::1]"),      true }, /* as JavaMail writes it */
        {S("[::1]"),              true },
        {S(""),                   false},
        {S("a b"),                false},
        {S("a."),                 false},
        {S(".a"),                 false},
        {S("-a"),                 false},
        {S("a@b"),                false},
        {S("[]"),                 false},
        {S("[1.2.3]"),            false},
        {S("[1.2.3.4"),           false},
        {S("[1.2.3.4] x"),        false},
        {S("a\0"),                false},
        {S("a\tb"),               false},
        {S("<a>"),                false},
        {S("a\"b"),               false},
        {S("(a)"),                false},
        {S("\xc3\xa9.example"),   false}, /* UTF-03 */
        {S("caf\xe9"),            false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check(rows[i].in.p, smtp_helo_is_valid(rows[i].in) == rows[i].want);
    char name[300];
    make_domain(name, 255, 63);
    assert_true(smtp_helo_is_valid(str_of(name)));
    make_domain(name, 256, 63);
    assert_false(smtp_helo_is_valid(str_of(name)));
}

/* SUB-03 */
static void qualified_means_two_labels(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        bool want;
    } rows[] = {
        {"example.org", true },
        {"a.b.c",       true },
        {"[1.2.3.4]",   true },
        {"[IPv6:::1]",  true },
        {"host",        false},
        {"",            false},
        {"host.",       false},
        {".org",        false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check(rows[i].in, smtp_domain_is_qualified(str_of(rows[i].in)) == rows[i].want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_paths_are_taken_apart),
        cmocka_unit_test(bad_paths_are_refused),
        cmocka_unit_test(a_path_cut_short_is_refused),
        cmocka_unit_test(mailboxes_stand_alone),
        cmocka_unit_test(lengths_end_where_the_standard_says),
        cmocka_unit_test(a_quoted_local_part_counts_its_quotes),
        cmocka_unit_test(a_label_in_utf8_may_be_longer),
        cmocka_unit_test(helo_takes_hosts_and_literals),
        cmocka_unit_test(qualified_means_two_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
