/* Which account a message goes by, and by which port and TLS an account is reached. */
#include "unit.h"

#include "send/account.h"

static char work_addresses[][24] = {"alice@work.example", "@lists.work.example"};
static char *work_from[] = {work_addresses[0], work_addresses[1]};
static char home_addresses[][24] = {"home.example", "Alice@Home.example"};
static char *home_from[] = {home_addresses[0], home_addresses[1]};
static char boss_addresses[][24] = {"boss@home.example", "alice@work.example"};
static char *boss_from[] = {boss_addresses[0], boss_addresses[1]};

static const struct account list[] = {
    {.name = "relay", .system = true   },
    {            .name = "all", .system = true, .from = boss_from, .n_from = 2},
    { .name = "work",  .from = work_from, .n_from = 2},
    {.name = "home",  .from = home_from, .n_from = 2},
};
static const struct account with_default[] = {
    {.name = "work",    .from = work_from, .n_from = 2},
    {.name = "default"                },
    {.name = "default", .system = true                 },
};
static const struct account alone[] = {
    {.name = "only", .system = true, .from = work_from, .n_from = 2},
};

static const char *chosen(const struct account *accounts, size_t n, const char *sender)
{
    const struct account *a = account_for(accounts, n, sender);
    return a ? a->name : "-";
}

static void the_sender_chooses(void **state)
{
    (void)state;
    static const struct {
        const char *sender, *want;
    } rows[] = {
        {"alice@work.example",   "work"}, /* the user's before the machine's */
        {"ALICE@work.example",   "work"},
        {"x@lists.work.example", "work"},
        {"x@work.example",       "-"   },
        {"boss@home.example",    "home"}, /* a domain of the user before an address of the machine */
        {"alice@home.example",   "home"},
        {"x@sub.home.example",   "-"   },
        {"x@elsewhere.example",  "-"   },
        {"",                     "-"   },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *got = chosen(list, ARRAY_LEN(list), rows[i].sender);
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s: %s, not %s", rows[i].sender, got, rows[i].want);
    }
    assert_string_equal(chosen(list, ARRAY_LEN(list), NULL), "-");
}

static void else_the_default_or_the_only_one(void **state)
{
    (void)state;
    assert_string_equal(chosen(with_default, 3, "x@elsewhere.example"), "default");
    assert_false(account_for(with_default, 3, "x@elsewhere.example")->system);
    assert_string_equal(chosen(with_default, 3, "alice@work.example"), "work");
    assert_string_equal(chosen(alone, 1, "x@elsewhere.example"), "only");
    assert_string_equal(chosen(alone, 0, "alice@work.example"), "-");
}

static void by_name(void **state)
{
    (void)state;
    assert_ptr_equal(account_named(list, ARRAY_LEN(list), "home"), &list[3]);
    assert_null(account_named(list, ARRAY_LEN(list), "Home"));
}

static void the_first_address_is_the_sender(void **state)
{
    (void)state;
    assert_string_equal(account_address(&list[3]), "Alice@Home.example");
    assert_string_equal(account_address(&list[2]), "alice@work.example");
    assert_null(account_address(&list[0]));
}

/* TLS-03: the port for TLS alone comes first. */
static void port_and_tls(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned port;
        enum account_tls tls;
        unsigned want_port;
        enum account_tls want_tls;
    } rows[] = {
        {"nothing said", 0,    ACCOUNT_TLS_BY_PORT,  465,  ACCOUNT_TLS_IMPLICIT},
        {"465",          465,  ACCOUNT_TLS_BY_PORT,  465,  ACCOUNT_TLS_IMPLICIT},
        {"587",          587,  ACCOUNT_TLS_BY_PORT,  587,  ACCOUNT_TLS_STARTTLS},
        {"another",      2525, ACCOUNT_TLS_BY_PORT,  2525, ACCOUNT_TLS_STARTTLS},
        {"starttls",     0,    ACCOUNT_TLS_STARTTLS, 587,  ACCOUNT_TLS_STARTTLS},
        {"implicit",     2465, ACCOUNT_TLS_IMPLICIT, 2465, ACCOUNT_TLS_IMPLICIT},
        {"off",          25,   ACCOUNT_TLS_OFF,      25,   ACCOUNT_TLS_OFF     },
        {"off, no port", 0,    ACCOUNT_TLS_OFF,      587,  ACCOUNT_TLS_OFF     },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct account a = {.port = rows[i].port, .tls = rows[i].tls};
        check(rows[i].name, account_port_of(&a) == rows[i].want_port);
        check(rows[i].name, account_tls_of(&a) == rows[i].want_tls);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sender_chooses),
        cmocka_unit_test(else_the_default_or_the_only_one),
        cmocka_unit_test(by_name),
        cmocka_unit_test(the_first_address_is_the_sender),
        cmocka_unit_test(port_and_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
