/* The schedule with a fake clock (REL-04), and routes by domain. */
#include "unit.h"

#include "relay/retry.h"
#include "relay/routes.h"

#define MIN_MS ((int64_t)60 * 1000)
#define HOUR_MS (60 * MIN_MS)
#define DAY_MS (24 * HOUR_MS)

#define MIDDLE ((uint64_t)1 << 62) /* some chance; the tests give bounds */

static void waits_double_between_the_bounds(void **state)
{
    (void)state;
    struct retry_policy p = retry_policy(0, 0, 0);
    static const struct {
        const char *name;
        int64_t age, want;
    } rows[] = {
        {"fresh",             0,            5 * MIN_MS },
        {"five minutes",      5 * MIN_MS,   5 * MIN_MS },
        {"ten minutes",       10 * MIN_MS,  10 * MIN_MS},
        {"an hour",           HOUR_MS,      HOUR_MS    },
        {"a day",             DAY_MS,       4 * HOUR_MS},
        {"clock jumped back", -3 * HOUR_MS, 5 * MIN_MS },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (uint64_t random = 0; random < 20; random++) {
            int64_t got = retry_delay(&p, rows[i].age, random * 0x9e3779b97f4a7c15U);
            check(rows[i].name, got >= rows[i].want * 9 / 10 && got <= rows[i].want * 11 / 10);
        }
}

static void what_failed_together_is_spread(void **state)
{
    (void)state;
    struct retry_policy p = retry_policy(0, 0, 0);
    int64_t first = retry_delay(&p, HOUR_MS, 12345), second = retry_delay(&p, HOUR_MS, 99999999);
    assert_true(first != second);
}

/* A message nobody takes: when is it tried, and when is it given up? */
static void a_message_is_given_up_after_five_days(void **state)
{
    (void)state;
    struct retry_policy p = retry_policy(0, 0, 0);
    int64_t now = 0;
    unsigned attempts = 0, in_first_hour = 0;
    while (!retry_is_over(&p, now)) {
        now += retry_delay(&p, now, MIDDLE + attempts * 7919);
        attempts++;
        in_first_hour += now <= HOUR_MS;
    }
    assert_in_range(now, 5 * DAY_MS, 5 * DAY_MS + 5 * HOUR_MS);
    assert_in_range(attempts, 30, 45);
    assert_in_range(in_first_hour, 3, 5);
}

static void settings_are_kept(void **state)
{
    (void)state;
    struct retry_policy p = retry_policy(1000, 500, 9000);
    assert_int_equal(p.min_ms, 1000);
    assert_int_equal(p.max_ms, 1000);
    assert_false(retry_is_over(&p, 8999));
    assert_true(retry_is_over(&p, 9000));
}

static void a_dead_hop_is_left_alone_longer_and_longer(void **state)
{
    (void)state;
    static const int64_t want_s[] = {30, 60, 120, 240, 480, 600, 600};
    for (unsigned i = 0; i < ARRAY_LEN(want_s); i++) {
        int64_t got = retry_hop_pause(i + 1, MIDDLE);
        assert_in_range(got, want_s[i] * 900, want_s[i] * 1100);
    }
    assert_in_range(retry_hop_pause(4000000000U, MIDDLE), 540 * 1000, 660 * 1000);
}

static void domains_find_their_routes(void **state)
{
    (void)state;
    const struct route_config list[] = {
        {.domain = "example.org"},
        {.domain = "default"},
        {.domain = "a.example.org"},
        {.domain = "mx.example"},
    };
    struct relay_config cfg = {
        .hostname = "MX.example", .routes = list, .n_routes = ARRAY_LEN(list)};
    struct routes r;
    routes_init(&r, &cfg);
    static const struct {
        const char *address, *want;
    } rows[] = {
        {"u@example.org",       "example.org"  },
        {"u@EXAMPLE.Org",       "example.org"  },
        {"u@a.example.org",     "a.example.org"},
        {"u@b.example.org",     "default"      },
        {"u@org",               "default"      },
        {"\"u@example.org\"@x", "default"      },
        {"Postmaster",          "mx.example"   }, /* SMTP-20 */
        {"u@[192.0.2.1]",       "default"      },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct route_config *got = routes_find(&r, address_domain(rows[i].address));
        check(rows[i].address, got && strcmp(got->domain, rows[i].want) == 0);
    }
    char longest[300];
    memset(longest, 'a', sizeof(longest));
    assert_ptr_equal(routes_find(&r, (struct str){longest, sizeof(longest)}), &list[1]);
    routes_done(&r);
    cfg.n_routes = 1;
    routes_init(&r, &cfg);
    assert_null(routes_find(&r, STR("example.com")));
    routes_done(&r);
}

static void only_equal_hops_share_connections(void **state)
{
    (void)state;
    const struct route_config base = {
        .domain = "a", .host = "h", .port = "25", .certificate = "c", .key = "k"};
    struct route_config other = base;
    other.domain = "b";
    assert_true(route_is_same_hop(&base, &other));
    other.certificate =
        "d"; /* CERT-03: a connection made as somebody is not used by somebody else */
    assert_false(route_is_same_hop(&base, &other));
    other = base;
    other.port = "26";
    assert_false(route_is_same_hop(&base, &other));
    other = base;
    other.tls = ROUTE_TLS_VERIFY;
    assert_false(route_is_same_hop(&base, &other));
    other = base;
    other.login = ROUTE_LOGIN_AUTO;
    assert_false(route_is_same_hop(&base, &other));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_double_between_the_bounds),
        cmocka_unit_test(what_failed_together_is_spread),
        cmocka_unit_test(a_message_is_given_up_after_five_days),
        cmocka_unit_test(settings_are_kept),
        cmocka_unit_test(a_dead_hop_is_left_alone_longer_and_longer),
        cmocka_unit_test(domains_find_their_routes),
        cmocka_unit_test(only_equal_hops_share_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
