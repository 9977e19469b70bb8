#include "unit.h"

#include "server/counters.h"

#include <errno.h>
#include <stdio.h>

static struct counters a, b;
static const struct counters_of both[] = {
    {"submission", "implicit", &a, 3},
    {"mx",         "off",      &b, 0},
};

static void the_page(void **state)
{
    (void)state;
    static const char *const wanted[] = {
        ("# HELP postern_connections_total Connections accepted.\n"
         "# TYPE postern_connections_total counter\n"
         "postern_connections_total{listener=\"submission\"} 7\n"
         "postern_connections_total{listener=\"mx\"} 0\n"),
        "postern_logins_total{listener=\"submission\",sequence=\"implicit\"} 1\n",
        "postern_refused_total{listener=\"mx\",class=\"5\"} 2\n",
        ("postern_certificates_total{listener=\"submission\",verdict=\"unacceptable\","
         "cause=\"revoked\"} 1\n"),
        "postern_sessions{listener=\"submission\",certificate_auth=\"implicit\"} 3\n",
    };
    CLEANUP(buf_done) struct buf page = BUF_INIT(1 << 16);
    counters_add(&a, COUNT_CONNECTIONS, 7);
    counters_add(&a, COUNT_LOGIN_IMPLICIT, 1);
    counters_add(&b, COUNT_REFUSED_5YZ, 2);
    struct cert_verdict v = {.outcome = CERT_UNACCEPTABLE, .cause = CERT_CAUSE_REVOKED};
    counters_add_verdict(&a, &v);
    assert_int_equal(counters_print(both, 2, &page), 0);
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
        if (!strstr(page.data, wanted[i]))
            fail_msg("no \"%s\" in\n%s", wanted[i], page.data);
    assert_null(strstr(page.data, "verdict=\"none\"")); /* what never occurred */
}

/* [Prometheus text format 0.0.4] One HELP and one TYPE a metric, and its samples right behind them. */
static void each_metric_is_one_group(void **state)
{
    (void)state;
    CLEANUP(buf_done) struct buf page = BUF_INIT(1 << 16);
    char metric[64] = "", seen[1 << 12] = "";
    assert_int_equal(counters_print(both, 2, &page), 0);
    for (char *line = strtok(page.data, "\n"); line; line = strtok(NULL, "\n")) {
        if (strncmp(line, "# HELP ", 7) == 0) {
            assert_int_equal(sscanf(line, "# HELP %63s", metric), 1);
            if (strstr(seen, metric))
                fail_msg("%s comes twice", metric);
            (void)snprintf(seen + strlen(seen), sizeof(seen) - strlen(seen), "%s ", metric);
        } else if (line[0] != '#') {
            check(line, strncmp(line, metric, strlen(metric)) == 0 && line[strlen(metric)] == '{');
        }
    }
}

static void a_page_that_does_not_fit_is_an_error(void **state)
{
    (void)state;
    CLEANUP(buf_done) struct buf page = BUF_INIT(500);
    assert_true(counters_print(both, 2, &page) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page),
        cmocka_unit_test(each_metric_is_one_group),
        cmocka_unit_test(a_page_that_does_not_fit_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
