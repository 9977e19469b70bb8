#include "unit.h"

#include "base/arena.h"
#include "base/b64.h"
#include "base/log.h"

#include <errno.h>

static void buf_stops_at_its_maximum(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(8);
    assert_int_equal(buf_puts(&b, "12345678"), 0);
    assert_int_equal(buf_puts(&b, "9"), -EMSGSIZE);
    assert_int_equal(buf_printf(&b, "%s", "x"), -EMSGSIZE);
    assert_string_equal(b.data, "12345678");
    buf_consume(&b, 3);
    assert_string_equal(b.data, "45678");
    assert_int_equal(buf_printf(&b, "%d", 901), 0);
    assert_string_equal(b.data, "45678901");
    buf_done(&b);
}

static void arena_stops_at_its_maximum(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 4096);
    size_t got = 0;
    while (arena_alloc(&a, 100))
        got++;
    assert_in_range(got, 30, 40);
    assert_null(arena_alloc(&a, 5000));
    arena_done(&a);
    char *s = arena_strdup(&a, STR("again"));
    assert_string_equal(s, "again");
    arena_done(&a);
}

static void b64_is_strict(void **state)
{
    (void)state;
    static const struct {
        const char *in, *want; /* want NULL: refused */
    } rows[] = {
        {"",         ""    },
        {"Zg==",     "f"   },
        {"Zm8=",     "fo"  },
        {"Zm9v",     "foo" },
        {"Zm9vYg==", "foob"},
        {"Zg=",      NULL  }, /* AUTH-10: padding missing */
        {"Zg",       NULL  },
        {"A B=",     NULL  },
        {"=AAA",     NULL  },
        {"AAA=BBB",  NULL  },
        {"AAA=BBBB", NULL  },
        {"Zh==",     NULL  }, /* unused bits set */
        {"Zm9=",     NULL  },
        {"====",     NULL  },
        {"Zm9v\r\n", NULL  },
        {"Z\xc3\xa9=", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out = BUF_INIT(64);
        int r = b64_decode(str_of(rows[i].in), &out);
        check(rows[i].in, r == (rows[i].want ? 0 : -EINVAL));
        check(rows[i].in, str_eq(buf_str(&out), str_of(rows[i].want ? rows[i].want : "")));
        if (rows[i].want) {
            struct buf back = BUF_INIT(64);
            check(rows[i].in, b64_encode(buf_str(&out), &back) == 0);
            check(rows[i].in, str_eq(buf_str(&back), str_of(rows[i].in)));
            buf_done(&back);
        }
        buf_done(&out);
    }
}

static void numbers_have_a_maximum(void **state)
{
    (void)state;
    uint64_t v = 7;
    assert_int_equal(str_to_u64(STR("18446744073709551615"), UINT64_MAX, &v), 0);
    assert_true(v == UINT64_MAX);
    assert_int_equal(str_to_u64(STR("18446744073709551616"), UINT64_MAX, &v), -ERANGE);
    assert_int_equal(str_to_u64(STR("11"), 10, &v), -ERANGE);
    assert_int_equal(str_to_u64(STR("10"), 10, &v), 0);
    assert_int_equal(str_to_u64(STR("9"), 3, &v), -ERANGE);
    assert_int_equal(str_to_u64(STR(""), 10, &v), -EINVAL);
    assert_int_equal(str_to_u64(STR("-1"), 10, &v), -EINVAL);
    assert_true(v == 10);
}

static void utf8_is_judged_as_rfc3629_has_it(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        bool want;
    } rows[] = {
        {"plain",            true },
        {"\xc3\xa9",         true },
        {"\xe2\x82\xac",     true },
        {"\xf0\x9f\x93\xae", true },
        {"\xf4\x8f\xbf\xbf", true },
        {"\xc0\xaf",         false}, /* overlong */
        {"\xe0\x80\xaf",     false},
        {"\xed\xa0\x80",     false}, /* surrogate */
        {"\xf4\x90\x80\x80", false}, /* above U+10FFFF */
        {"\xe2\x82",         false}, /* truncated */
        {"\x80",             false},
        {"\xff",             false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check(rows[i].in, str_is_utf8(str_of(rows[i].in)) == rows[i].want);
}

static void a_value_cannot_forge_a_log_field(void **state)
{
    (void)state;
    struct log_line l;
    log_begin(&l, LOG_LEVEL_ERROR, "event");
    size_t start = l.len;
    log_text(&l, "helo", "x\nfake=1 \"y\"");
    l.text[l.len] = '\0';
    assert_string_equal(l.text + start, " helo=\"x\\x0afake=1 \\\"y\\\"\"");
    char *big = xcalloc(5000, 1);
    memset(big, 'a', 4999);
    log_text(&l, "big", big);
    log_text(&l, "after", "dropped");
    assert_in_range(l.len, 2000, LOG_LINE_MAX - 1);
    assert_memory_equal(l.text + l.len - 3, "...", 3);
    free(big);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf_stops_at_its_maximum),
        cmocka_unit_test(arena_stops_at_its_maximum),
        cmocka_unit_test(b64_is_strict),
        cmocka_unit_test(numbers_have_a_maximum),
        cmocka_unit_test(utf8_is_judged_as_rfc3629_has_it),
        cmocka_unit_test(a_value_cannot_forge_a_log_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
