#include "unit.h"

#include "net/tls_internal.h"

#include <openssl/ssl.h>

#define ID_LEN 32
#define NOW 1000000
#define LIFE 3600

/* Ids that differ late, and hang in few chains. */
static void name(unsigned number, unsigned char *id)
{
    memset(id, 0, ID_LEN);
    id[0] = (unsigned char)(number % 3);
    memcpy(id + ID_LEN - sizeof(number), &number, sizeof(number));
}

static void put(struct tls_cache *c, unsigned number, long time)
{
    unsigned char id[ID_LEN];
    name(number, id);
    SSL_SESSION *s = SSL_SESSION_new();
    assert_int_equal(SSL_SESSION_set1_id(s, id, ID_LEN), 1);
    (void)SSL_SESSION_set_time(s, time);
    (void)SSL_SESSION_set_timeout(s, LIFE);
    tls_cache_put(c, s);
}

static bool has(struct tls_cache *c, unsigned number)
{
    unsigned char id[ID_LEN];
    name(number, id);
    SSL_SESSION *s = tls_cache_get(c, id, ID_LEN);
    unsigned len = 0;
    if (s)
        assert_memory_equal(SSL_SESSION_get_id(s, &len), id, ID_LEN);
    SSL_SESSION_free(s);
    return s;
}

static void drop(struct tls_cache *c, unsigned number)
{
    unsigned char id[ID_LEN];
    name(number, id);
    tls_cache_drop(c, id, ID_LEN);
}

static void the_newest_are_kept(void **state)
{
    (void)state;
    for (uint32_t max = 1; max <= 9; max++) {
        struct tls_cache *c = tls_cache_new(max);
        for (unsigned i = 0; i < 30; i++) {
            put(c, i, NOW);
            for (unsigned k = 0; k < 31; k++)
                assert_int_equal(has(c, k), k <= i && k + max > i);
        }
        tls_cache_free(c);
    }
}

static void a_name_is_kept_once(void **state)
{
    (void)state;
    struct tls_cache *c = tls_cache_new(4);
    put(c, 1, NOW);
    put(c, 2, NOW);
    put(c, 1, NOW);
    drop(c, 1);
    assert_false(has(c, 1));
    assert_true(has(c, 2));
    drop(c, 1);
    drop(c, 7);
    assert_true(has(c, 2));
    tls_cache_free(c);
}

static void a_copy_outlives_the_cache(void **state)
{
    (void)state;
    struct tls_cache *c = tls_cache_new(1);
    unsigned char id[ID_LEN];
    put(c, 1, NOW);
    name(1, id);
    SSL_SESSION *s = tls_cache_get(c, id, ID_LEN);
    put(c, 2, NOW);
    tls_cache_free(c);
    assert_int_equal(SSL_SESSION_get_time(s), NOW);
    SSL_SESSION_free(s);
}

static void a_part_of_a_name_is_none(void **state)
{
    (void)state;
    struct tls_cache *c = tls_cache_new(4);
    unsigned char id[ID_LEN];
    put(c, 0, NOW);
    name(0, id);
    for (size_t len = 0; len < ID_LEN; len++)
        assert_null(tls_cache_get(c, id, len));
    tls_cache_free(c);
}

static void what_is_over_is_swept(void **state)
{
    (void)state;
    struct tls_cache *c = tls_cache_new(8);
    for (unsigned i = 0; i < 8; i++)
        put(c, i, NOW + i % 2);
    tls_cache_sweep(c, NOW + LIFE - 1);
    for (unsigned i = 0; i < 8; i++)
        assert_true(has(c, i));
    tls_cache_sweep(c, NOW + LIFE);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(has(c, i), i % 2);
    tls_cache_free(c);
}

/* Against a list that is looked through from end to end. */
static void whatever_happens_it_agrees_with_a_list(void **state)
{
    (void)state;
    enum { MAX_KEPT = 5, NAMES = 12 };
    struct tls_cache *c = tls_cache_new(MAX_KEPT);
    int place_of[NAMES], ring[MAX_KEPT], at = 0; /* -1: none */
    for (int i = 0; i < NAMES; i++)
        place_of[i] = -1;
    for (int i = 0; i < MAX_KEPT; i++)
        ring[i] = -1;
    unsigned seed = 1;
    for (int step = 0; step < 20000; step++) {
        seed = seed * 1103515245U + 12345U;
        unsigned which = (seed >> 16) % NAMES;
        if (place_of[which] >= 0)
            ring[place_of[which]] = -1;
        place_of[which] = -1;
        if ((seed >> 24) % 4 == 0) {
            drop(c, which);
        } else {
            put(c, which, NOW);
            if (ring[at] >= 0)
                place_of[ring[at]] = -1;
            ring[at] = (int)which;
            place_of[which] = at;
            at = (at + 1) % MAX_KEPT;
        }
        for (unsigned i = 0; i < NAMES; i++)
            assert_int_equal(has(c, i), place_of[i] >= 0);
    }
    tls_cache_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_are_kept),
        cmocka_unit_test(a_name_is_kept_once),
        cmocka_unit_test(a_copy_outlives_the_cache),
        cmocka_unit_test(a_part_of_a_name_is_none),
        cmocka_unit_test(what_is_over_is_swept),
        cmocka_unit_test(whatever_happens_it_agrees_with_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
