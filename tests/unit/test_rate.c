#include "unit.h"

#include "auth/rate.h"

#include <stdio.h>

static const uint64_t once = 1;

static void a_window_fills_and_is_over(void **state)
{
    (void)state;
    const struct rate_window w = {3, 1000};
    struct rates *r = rates_new(&w, 1, 0, 10);
    assert_int_equal(rates_wait(r, STR("a"), &once, 0), 0);
    for (int i = 0; i < 3; i++)
        rates_add(r, STR("a"), &once, 100);
    assert_int_equal(rates_wait(r, STR("a"), &once, 100), 1000);
    assert_int_equal(rates_wait(r, STR("a"), &once, 1099), 1);
    assert_int_equal(rates_wait(r, STR("b"), &once, 100), 0);
    assert_int_equal(rates_wait(r, STR("a"), &once, 1100), 0);
    rates_add(r, STR("a"), &once, 1100);
    rates_add(r, STR("a"), &once, 1200);
    rates_add(r, STR("a"), &once, 1300);
    assert_int_equal(rates_wait(r, STR("a"), &once, 1300), 800);
    rates_free(r);
}

static void the_longest_wait_counts(void **state)
{
    (void)state;
    const struct rate_window w[] = {
        {2, 1000 },
        {5, 10000},
        {0, 1000 }
    };
    const uint64_t two[] = {2, 2, 100}, six[] = {0, 6, 0};
    struct rates *r = rates_new(w, 3, 0, 10);
    assert_int_equal(rates_wait(r, STR("a"), six, 0), -1); /* never */
    rates_add(r, STR("a"), two, 0);
    assert_int_equal(rates_wait(r, STR("a"), two, 0), 1000);
    rates_add(r, STR("a"), two, 1000);
    assert_int_equal(rates_wait(r, STR("a"), two, 1500), 8500);
    rates_free(r);
}

static void no_maximum_is_no_limit(void **state)
{
    (void)state;
    const struct rate_window w = {0, 1000};
    struct rates *r = rates_new(&w, 1, 0, 10);
    for (int i = 0; i < 1000; i++)
        rates_add(r, STR("a"), &once, 0);
    assert_int_equal(rates_wait(r, STR("a"), &once, 0), 0);
    rates_free(r);
    rates_free(NULL);
}

/* A flood of names costs the oldest its history, and never memory. */
static void names_are_forgotten_in_turn(void **state)
{
    (void)state;
    const struct rate_window w = {1, 1000};
    struct rates *r = rates_new(&w, 1, 0, 100);
    char name[16];
    rates_add(r, STR("early"), &once, 0);
    for (int i = 0; i < 99; i++) {
        (void)snprintf(name, sizeof(name), "n%d", i);
        rates_add(r, str_of(name), &once, 0);
    }
    rates_add(r, STR("early"), &once, 0); /* heard of again: the next to go is n0 */
    rates_add(r, STR("late"), &once, 0);
    assert_int_equal(rates_wait(r, STR("early"), &once, 0), 1000);
    assert_int_equal(rates_wait(r, STR("n0"), &once, 0), 0);
    assert_int_equal(rates_wait(r, STR("n1"), &once, 0), 1000);
    rates_free(r);
}

static void what_is_held_is_counted_and_kept(void **state)
{
    (void)state;
    struct rates *r = rates_new(NULL, 0, 2, 3);
    assert_true(rates_hold(r, STR("a")));
    assert_true(rates_hold(r, STR("a")));
    assert_false(rates_hold(r, STR("a")));
    assert_true(rates_hold(r, STR("b")));
    assert_true(rates_hold(r, STR("c")));
    assert_false(rates_hold(r, STR("d"))); /* no room, and nobody may be forgotten */
    rates_release(r, STR("b"));
    assert_true(rates_hold(r, STR("d")));
    rates_release(r, STR("a"));
    assert_true(rates_hold(r, STR("a")));
    rates_release(r, STR("nobody"));
    rates_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_window_fills_and_is_over),
        cmocka_unit_test(the_longest_wait_counts),
        cmocka_unit_test(no_maximum_is_no_limit),
        cmocka_unit_test(names_are_forgotten_in_turn),
        cmocka_unit_test(what_is_held_is_counted_and_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
