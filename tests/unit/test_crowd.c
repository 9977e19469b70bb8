#include "unit.h"

#include "server/crowd.h"

#include <pthread.h>
#include <stdio.h>

static void who_counts_as_whom(void **state)
{
    (void)state;
    static const struct {
        const char *first, *second;
        bool same, counted;
    } rows[] = {
        {"192.0.2.1",         "192.0.2.1",              true,  true },
        {"192.0.2.1",         "192.0.2.2",              false, true },
        {"2001:db8:0:1::1",   "2001:db8:0:1:ffff::2",   true,  true },
        {"2001:db8:0:1::1",   "2001:db8:0:2::1",        false, true },
        {"0:0:c000:201::",    "192.0.2.1",              false, true }, /* the same number, another family */
        {"unix",              "unix",                   false, false},
        {"unknown",           "unknown",                false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct crowd *c = crowd_new(1, 10);
        struct crowd_client *first, *second;
        enum crowd_answer counted = rows[i].counted ? CROWD_COUNTED : CROWD_NOT_COUNTED;
        check(rows[i].first, crowd_enter(c, rows[i].first, &first) == counted);
        check(rows[i].second, crowd_enter(c, rows[i].second, &second) ==
                                  (rows[i].same ? CROWD_FULL_NEWS : counted));
        check(rows[i].second, !!second == (rows[i].counted && !rows[i].same));
        crowd_leave(c, first);
        crowd_leave(c, second);
        crowd_free(c);
    }
}

static void room_comes_back_and_is_news_once(void **state)
{
    (void)state;
    struct crowd *c = crowd_new(2, 10);
    struct crowd_client *a, *b, *none;
    for (int round = 0; round < 2; round++) {
        assert_int_equal(crowd_enter(c, "192.0.2.1", &a), CROWD_COUNTED);
        assert_int_equal(crowd_enter(c, "192.0.2.1", &b), CROWD_COUNTED);
        assert_int_equal(crowd_enter(c, "192.0.2.1", &none), CROWD_FULL_NEWS);
        assert_int_equal(crowd_enter(c, "192.0.2.1", &none), CROWD_FULL);
        assert_null(none);
        crowd_leave(c, b);
        assert_int_equal(crowd_enter(c, "192.0.2.1", &b), CROWD_COUNTED);
        assert_int_equal(crowd_enter(c, "192.0.2.1", &none), CROWD_FULL);
        crowd_leave(c, a);
        crowd_leave(c, b);
    }
    crowd_free(c);
}

static void nobody_is_counted_without_a_limit(void **state)
{
    (void)state;
    struct crowd_client *none;
    assert_int_equal(crowd_enter(NULL, "192.0.2.1", &none), CROWD_NOT_COUNTED);
    assert_null(none);
    crowd_leave(NULL, none);
    crowd_free(NULL);
}

/* More clients than were expected, a few of each address: buckets are shared. */
static void many_clients(void **state)
{
    (void)state;
    static struct crowd_client *in[3000];
    struct crowd *c = crowd_new(1000000, 1);
    char address[32];
    for (size_t i = 0; i < ARRAY_LEN(in); i++) {
        (void)snprintf(address, sizeof(address), "10.0.%zu.%zu", i % 1000 / 250, i % 250);
        assert_int_equal(crowd_enter(c, address, &in[i]), CROWD_COUNTED);
        if (i >= 1000)
            assert_ptr_equal(in[i], in[i - 1000]);
    }
    for (size_t i = 0; i < ARRAY_LEN(in); i++)
        crowd_leave(c, in[i * 7 % ARRAY_LEN(in)]);
    crowd_free(c); /* asserts that nobody is left */
}

#define THREADS 4
#define ROUNDS 20000

static void *come_and_go(void *arg)
{
    struct crowd_client *k;
    unsigned long in = 0;
    for (int i = 0; i < ROUNDS; i++) {
        enum crowd_answer a = crowd_enter(arg, i % 2 ? "192.0.2.1" : "2001:db8::1", &k);
        in += a == CROWD_COUNTED;
        crowd_leave(arg, k);
    }
    return (void *)in; /* NOLINT(performance-no-int-to-ptr): a number is all it is */
}

static void threads_come_and_go(void **state)
{
    (void)state;
    struct crowd *c = crowd_new(THREADS, 10);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, c), 0);
    for (size_t i = 0; i < THREADS; i++) {
        void *in;
        assert_int_equal(pthread_join(threads[i], &in), 0);
        assert_int_equal((unsigned long)in, ROUNDS); /* never more at a time than may */
    }
    crowd_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_counts_as_whom),
        cmocka_unit_test(room_comes_back_and_is_news_once),
        cmocka_unit_test(nobody_is_counted_without_a_limit),
        cmocka_unit_test(many_clients),
        cmocka_unit_test(threads_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
