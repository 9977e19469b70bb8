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
        {"nothing seen",                        {0},                                                "unknown" },
        {"anybody may send",
         {.anonymous = SEEN_YES, .implicit = SEEN_YES, .explicit_login = SEEN_YES},
         "open"                                                                                               },
        {"only the login was tried",            {.explicit_login = SEEN_YES},                       "unknown" },
        {"only MAIL was tried",                 {.implicit = SEEN_NO},                              "unknown" },
        {"login opens, MAIL alone does not",
         {.explicit_login = SEEN_YES, .implicit = SEEN_NO},
         "option-1-or-3"                                                                                      },
        {"both",                                {.explicit_login = SEEN_YES, .implicit = SEEN_YES}, "option-2"},
        {"neither",                             {.explicit_login = SEEN_NO, .implicit = SEEN_NO},   "none"    },
        {"MAIL alone, other mechanisms",
         {.explicit_login = SEEN_NO, .implicit = SEEN_YES, .auth = SEEN_YES},
         "access-rule"                                                                                        },
        {"a relay obeys the certificate alone",
         {.explicit_login = SEEN_YES, .implicit = SEEN_NO, .relays = SEEN_YES},
         "option-1"                                                                                           },
        {"EHLO tells more to the certificate",
         {.explicit_login = SEEN_YES, .implicit = SEEN_NO, .differs = SEEN_YES},
         "option-1"                                                                                           },
        {"a relay does not",
         {.explicit_login = SEEN_YES, .implicit = SEEN_NO, .relays = SEEN_NO, .differs = SEEN_NO},
         "option-3"                                                                                           },
        {"another version of TLS is spoken",    {.absent = SEEN_YES},                               "absent"  },
        {"MAIL alone, no AUTH",
         {.explicit_login = SEEN_NO, .implicit = SEEN_YES, .auth = SEEN_NO},
         "hidden-auth"                                                                                        },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *got = rule_name(rule_of(&rows[i].seen));
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s: got %s, want %s", rows[i].name, got, rows[i].want);
    }
}

static void test_mailbox_rule(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct observations seen;
        const char *want;
    } rows[] = {
        {"nothing seen",           {0},                                                "unknown" },
        {"PREAUTH",                {.preauth = SEEN_YES, .explicit_login = SEEN_NO},   "preauth" },
        {"EXTERNAL",               {.preauth = SEEN_NO, .explicit_login = SEEN_YES},   "explicit"},
        {"in without a word",      {.explicit_login = SEEN_YES, .implicit = SEEN_YES}, "silent"  },
        {"neither",                {.preauth = SEEN_NO, .explicit_login = SEEN_NO},    "none"    },
        {"another version of TLS", {.absent = SEEN_YES},                               "absent"  },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *got = rule_name(rule_of_mailboxes(&rows[i].seen));
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s: got %s, want %s", rows[i].name, got, rows[i].want);
    }
}

static void test_merge(void **state)
{
    (void)state;
    static const struct {
        enum rule a, b, want;
    } rows[] = {
        {RULE_BOTH,     RULE_BOTH,     RULE_BOTH    },
        {RULE_BOTH,     RULE_EXPLICIT, RULE_MIXED   },
        {RULE_MIXED,    RULE_BOTH,     RULE_MIXED   },
        {RULE_EXPLICIT, RULE_OPTION_1, RULE_OPTION_1},
        {RULE_OPTION_3, RULE_EXPLICIT, RULE_OPTION_3},
        {RULE_OPTION_1, RULE_OPTION_3, RULE_MIXED   },
        {RULE_ABSENT,   RULE_BOTH,     RULE_BOTH    },
        {RULE_BOTH,     RULE_UNKNOWN,  RULE_BOTH    },
        {RULE_ABSENT,   RULE_UNKNOWN,  RULE_UNKNOWN },
        {RULE_ABSENT,   RULE_ABSENT,   RULE_ABSENT  },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(rule_merge(rows[i].a, rows[i].b), rows[i].want);
        assert_int_equal(rule_merge(rows[i].b, rows[i].a), rows[i].want);
    }
    struct observations all = {.implicit = SEEN_YES, .equals = SEEN_UNKNOWN, .authzid = SEEN_NO};
    observations_merge(&all, &(struct observations){
                                 .implicit = SEEN_NO, .equals = SEEN_YES, .authzid = SEEN_UNKNOWN});
    assert_int_equal(all.implicit, SEEN_PARTLY);
    assert_int_equal(all.equals, SEEN_YES);
    assert_int_equal(all.authzid, SEEN_NO);
}

/* Every rule has its words, and says what to change unless there is nothing. */
static void test_words(void **state)
{
    (void)state;
    for (int r = 0; r < RULE_COUNT; r++) {
        assert_true(strlen(rule_name((enum rule)r)) > 2 && strlen(rule_words((enum rule)r)) > 10);
        assert_non_null(rule_advice((enum rule)r));
    }
    assert_string_equal(rule_lacks(&(struct observations){.implicit = SEEN_NO}),
                        "whether AUTH EXTERNAL logs in");
    assert_non_null(rule_lacks(&(struct observations){.explicit_login = SEEN_NO}));
    assert_null(rule_lacks(&(struct observations){.explicit_login = SEEN_NO, .implicit = SEEN_NO}));
    assert_null(rule_lacks(&(struct observations){.absent = SEEN_YES}));
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
    /* What works without being listed is found by some only; MAIL needs no list. */
    o = (struct observations){.equals = SEEN_YES, .implicit = SEEN_YES, .offered = SEEN_NO};
    client_classes(&o, c);
    assert_int_equal(c[0].works, SEEN_PARTLY);
    assert_true(strlen(c[0].note) > 0);
    assert_int_equal(c[CLIENT_CLASSES - 1].works, SEEN_YES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rule), cmocka_unit_test(test_mailbox_rule),
        cmocka_unit_test(test_merge), cmocka_unit_test(test_words), cmocka_unit_test(test_clients)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
