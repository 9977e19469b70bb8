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

#define FAR_MS (10 * MIN_MS)

/* Turns come at once and one by one, at a pace that follows the hop's own. */
static void a_busy_hop_gives_turns_at_its_pace(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t takes_every_ms, want_each_us; /* 0: it has taken none yet */
    } rows[] = {
        {"not known yet", 0,     1000   },
        {"fast",          1,     750    },
        {"slow",          100,   75000  },
        {"very slow",     60000, 45000000},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct retry_pace p = {0};
        int64_t now = 5000;
        for (int n = 0; rows[i].takes_every_ms && n < 1000; n++)
            retry_pace_taken(&p, now += rows[i].takes_every_ms, true);
        int64_t first = retry_pace_turn(&p, now, MIDDLE), last = first;
        check(rows[i].name, first >= now && first <= now + rows[i].want_each_us / 1000 + 20);
        for (int n = 1; n < 10; n++)
            last = retry_pace_turn(&p, now, MIDDLE);
        check(rows[i].name, last == first + 9 * rows[i].want_each_us / 1000);
    }
}

/* What lies idle in between says nothing about how fast a hop is. */
static void an_idle_hop_is_not_a_slow_one(void **state)
{
    (void)state;
    struct retry_pace p = {0};
    int64_t now = 5000;
    for (int n = 0; n < 3000; n++)
        retry_pace_taken(&p, now += n % 300 ? 1 : 3600000, n % 300 != 299);
    assert_in_range(p.gap_us, 900, 1100);
}

static void no_turn_is_too_far(void **state)
{
    (void)state;
    struct retry_pace p = {.gap_us = MIN_MS * 1000};
    int64_t now = 5000, late = 0;
    for (uint64_t n = 0; n < 1000; n++) {
        int64_t turn = retry_pace_turn(&p, now, n * 0x9e3779b97f4a7c15U);
        check("a turn", turn > now && turn <= now + FAR_MS);
        late += turn > now + FAR_MS * 3 / 4;
    }
    assert_in_range(late, 300, 700); /* they do not come back all at once */
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
        cmocka_unit_test(a_busy_hop_gives_turns_at_its_pace),
        cmocka_unit_test(an_idle_hop_is_not_a_slow_one),
        cmocka_unit_test(no_turn_is_too_far),
        cmocka_unit_test(domains_find_their_routes),
        cmocka_unit_test(only_equal_hops_share_connections),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
