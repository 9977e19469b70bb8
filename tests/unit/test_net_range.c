#include "unit.h"

#include "base/net_range.h"

static void ranges(void **state)
{
    (void)state;
    static const struct {
        const char *range, *address;
        bool want;
    } rows[] = {
        {"10.0.0.0/8",    "10.255.0.1",       true },
        {"10.0.0.0/8",    "11.0.0.1",         false},
        {"192.0.2.7",     "192.0.2.7",        true },
        {"192.0.2.7",     "192.0.2.8",        false},
        {"192.0.2.4/31",  "192.0.2.5",        true },
        {"192.0.2.4/31",  "192.0.2.6",        false},
        {"0.0.0.0/0",     "255.255.255.255",  true },
        {"0.0.0.0/0",     "2001:db8::1",      false},
        {"2001:db8::/32", "2001:db8:ffff::1", true },
        {"2001:db8::/32", "2001:db9::1",      false},
        {"::/0",          "2001:db8::1",      true },
        {"::1",           "::1",              true },
        {"unix",          "unix",             true },
        {"unix",          "127.0.0.1",        false},
        {"127.0.0.0/8",   "unix",             false},
        {"127.0.0.0/8",   "unknown",          false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct net_range r;
        check(rows[i].range, net_range_parse(rows[i].range, &r) == 0);
        check(rows[i].range, net_range_holds(&r, rows[i].address) == rows[i].want);
    }
}

static void mistakes(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "/8",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.1/8",
        "10.0.0/8",
        "10.0.0.0/-1",
        "10.0.0.0/ 8",
        "10.0.0.0/8/8",
        "::/129",
        "2001:db8::1/32",
        "localhost",
        "10.0.0.0/0008",
        "1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee"};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct net_range r;
        check(rows[i], net_range_parse(rows[i], &r) < 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges),
        cmocka_unit_test(mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
