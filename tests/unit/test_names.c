#include "unit.h"

#include "auth/lookup.h"
#include "auth/names.h"
#include "auth/pattern.h"

#include <errno.h>

static void lists_of_names(void **state)
{
    (void)state;
    static const struct {
        const char *name, *list, *wanted;
        bool want;
    } rows[] = {
        {"the name",                             "a@x.org",                "a@x.org",                                      true },
        {"second of two",                        "b@x.org a@x.org",        "a@x.org",                                      true },
        {"commas, tabs",                         "b@x.org,\ta@x.org ,",    "a@x.org",                                      true },
        {"CERT-16 domain without case",          "a@x.org",                "a@X.ORG",                                      true },
        {"CERT-16 local part is exact",          "a@x.org",                "A@x.org",                                      false},
        {"no prefix",                            "a@x.org",                "a@x.org.uk",                                   false},
        {"empty list",                           "",                       "a@x.org",                                      false},
        {"the empty name",                       "*",                      "",                                             false},
        {"no address",                           "printer",                "printer",                                      true },
        {"anything",                             "*",                      "x",                                            true },
        {"domain",                               "*@x.org",                "who@X.org",                                    true },
        {"domain below",                         "*@x.org",                "who@sub.x.org",                                false},
        {"domain, name without one",             "*@x.org",                "x.org",                                        false},
        {"domain, empty local part",             "*@x.org",                "@x.org",                                       false},
        {"domain of nothing",                    "*@",                     "a@",                                           false},
        {"pattern",                              "/sales-[0-9]+@x\\.org/", "sales-17@x.org",                               true },
        {"pattern fits as a whole",              "/sales@x\\.org/",        "sales@x.org.evil",                             false},
        {"pattern fits from the start",          "/sales@x\\.org/",        "my-sales@x.org",                               false},
        {"pattern sees a lower-case domain",     "/a@x\\.org/",            "a@X.Org",                                      true },
        {"pattern with a comma and a space",     "/a{1,2} ?@x\\.org/",     "aa@x.org",                                     true },
        {"pattern with a slash",                 "/a\\/b@x\\.org/",        "a/b@x.org",                                    true },
        {"pattern alternatives are anchored",    "/a@x\\.org|b@x\\.org/",  "b@x.orgs",                                     false},
        {"pattern that does not end",            "/a@x\\.org",             "a@x.org",                                      false},
        {"nothing behind one that does not end", "/( a@x.org",             "a@x.org",                                      false},
        {"no pattern",                           "/(/ a@x.org",            "a@x.org",                                      true },
        {"pattern that explodes",                "/(a+)+[bd]/",               "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac",
         false                                                                                                                  },
        {"name that is no UTF-8",                "/.*/",                   "\xff@x.org",                                   false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check(rows[i].name,
              names_include(str_of(rows[i].list), str_of(rows[i].wanted)) == rows[i].want);
}

static void mistakes_are_shown(void **state)
{
    (void)state;
    assert_int_equal(names_mistake(STR("a@x.org *@x.org /a+/ *")).len, 0);
    assert_true(str_eq(names_mistake(STR("a /(/ b")), STR("/(/")));
    assert_true(str_eq(names_mistake(STR("a /b c")), STR("/b c")));
}

static void patterns_say_what_is_wrong(void **state)
{
    (void)state;
    char why[PATTERN_WHY_MAX] = "";
    assert_int_equal(pattern_fits(STR("a("), STR("a"), why), -EINVAL);
    assert_non_null(strstr(why, "at octet 2"));
    assert_int_equal(pattern_fits(STR("(a+)+[bd]"), STR("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac"), why),
                     -E2BIG);
    char long_one[2000];
    memset(long_one, 'a', sizeof(long_one));
    assert_int_equal(pattern_fits((struct str){long_one, sizeof(long_one)}, STR("a"), why),
                     -EINVAL);
}

static int one_key(void *arg, struct str key, struct buf *value)
{
    if (!str_eq(key, str_of(arg)))
        return -ENOENT;
    buf_clear(value);
    return buf_puts(value, "found");
}

/* CERT-16: the domain without case, the local part as it is. */
static void keys_are_found_by_address(void **state)
{
    (void)state;
    static char key[] = "Alice@example.org";
    struct lookup l = {one_key, key};
    struct buf value = BUF_INIT(100);
    assert_int_equal(lookup_name(&l, STR("Alice@example.org"), &value), 0);
    assert_int_equal(lookup_name(&l, STR("Alice@EXAMPLE.Org"), &value), 0);
    assert_string_equal(value.data, "found");
    assert_int_equal(lookup_name(&l, STR("alice@example.org"), &value), -ENOENT);
    assert_int_equal(lookup_name(&l, STR("ALICE"), &value), -ENOENT);
    assert_int_equal(lookup_name(&(struct lookup){0}, STR("a"), &value), -ENOENT);
    buf_done(&value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_of_names),
        cmocka_unit_test(mistakes_are_shown),
        cmocka_unit_test(patterns_say_what_is_wrong),
        cmocka_unit_test(keys_are_found_by_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
