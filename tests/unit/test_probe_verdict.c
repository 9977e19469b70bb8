#include "probe/verdict.h"
#include "unit.h"

#include <string.h>

static void test_rule(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct observations seen;
        const char *want;
    } rows[] = {
        {"nothing seen",                     {0},                                                "unknown" },
        {"anybody may send",
         {.anonymous = SEEN_YES, .implicit = SEEN_YES, .explicit_login = SEEN_YES},
         "open"                                                                                            },
        {"only the login was tried",         {.explicit_login = SEEN_YES},                       "unknown" },
        {"only MAIL was tried",              {.implicit = SEEN_NO},                              "unknown" },
        {"login opens, MAIL alone does not",
         {.explicit_login = SEEN_YES, .implicit = SEEN_NO},
         "option-1-or-3"                                                                                   },
        {"both",                             {.explicit_login = SEEN_YES, .implicit = SEEN_YES}, "option-2"},
        {"neither",                          {.explicit_login = SEEN_NO, .implicit = SEEN_NO},   "none"    },
        {"MAIL alone, other mechanisms",
         {.explicit_login = SEEN_NO, .implicit = SEEN_YES, .auth = SEEN_YES},
         "access-rule"                                                                                     },
        {"MAIL alone, no AUTH",
         {.explicit_login = SEEN_NO, .implicit = SEEN_YES, .auth = SEEN_NO},
         "hidden-auth"                                                                                     },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *got = rule_name(rule_of(&rows[i].seen));
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s: got %s, want %s", rows[i].name, got, rows[i].want);
    }
}

static void test_clients(void **state)
{
    (void)state;
    struct observations o = {.equals = SEEN_NO, .implicit = SEEN_YES};
    struct client_class c[CLIENT_CLASSES];
    client_classes(&o, c);
    assert_int_equal(c[0].works, SEEN_NO);
    assert_int_equal(c[1].works, SEEN_UNKNOWN);
    assert_int_equal(c[CLIENT_CLASSES - 1].works, SEEN_YES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rule), cmocka_unit_test(test_clients)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
