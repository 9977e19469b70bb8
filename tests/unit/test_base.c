#include "unit.h"

#include "base/arena.h"
#include "base/b64.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

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

/* Room to spare, just enough, one octet too little, none at all; and the maximum in each of them. */
static void printing_fits_or_leaves_no_trace(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t max, before; /* octets in the buffer beforehand */
        size_t text;        /* octets to be printed */
        int want;
    } rows[] = {
        {"empty buffer",         4096, 0,   10,   0        },
        {"nothing to print",     4096, 0,   0,    0        },
        {"room to spare",        4096, 20,  20,   0        },
        {"fills what is there",  4096, 100, 27,   0        },
        {"one more than that",   4096, 100, 28,   0        },
        {"grows several times",  4096, 100, 3000, 0        },
        {"up to the maximum",    200,  100, 100,  0        },
        {"beyond it",            200,  100, 101,  -EMSGSIZE},
        {"far beyond it",        200,  100, 5000, -EMSGSIZE},
        {"small maximum",        10,   4,   6,    0        },
        {"small maximum passed", 10,   4,   7,    -EMSGSIZE},
    };
    static char zeros[5000];
    memset(zeros, '0', sizeof(zeros));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf b = BUF_INIT(rows[i].max);
        for (size_t k = 0; k < rows[i].before; k++)
            assert_int_equal(buf_append(&b, "b", 1), 0);
        check(rows[i].name, buf_printf(&b, "%.*s", (int)rows[i].text, zeros) == rows[i].want);
        check(rows[i].name, b.len == rows[i].before + (rows[i].want == 0 ? rows[i].text : 0));
        check(rows[i].name, !b.data || b.data[b.len] == '\0');
        for (size_t k = 0; k < b.len; k++)
            check(rows[i].name, b.data[k] == (k < rows[i].before ? 'b' : '0'));
        buf_done(&b);
    }
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
        {"",           ""    },
        {"Zg==",       "f"   },
        {"Zm8=",       "fo"  },
        {"Zm9v",       "foo" },
        {"Zm9vYg==",   "foob"},
        {"Zg=",        NULL  }, /* AUTH-10: padding missing */
        {"Zg",         NULL  },
        {"A B=",       NULL  },
        {"=AAA",       NULL  },
        {"AAA=BBB",    NULL  },
        {"AAA=BBBB",   NULL  },
        {"Zh==",       NULL  }, /* unused bits set */
        {"Zm9=",       NULL  },
        {"====",       NULL  },
        {"Zm9v\r\n",   NULL  },
        {"Z\xc3\xa9=", NULL  },
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

/* Octet by octet, as the words of the standards have it. */
static bool plainly_ascii(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.p[i] > 0x7f)
            return false;
    return true;
}

static bool plainly_has_control(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return true;
    return false;
}

/* Every octet at every place of strings of every length around the sizes that are looked at together. */
static void words_are_judged_as_octets_are(void **state)
{
    (void)state;
    for (size_t len = 1; len <= 70; len++) {
        for (size_t at = 0; at < len; at++) {
            for (unsigned octet = 0; octet < 256; octet++) {
                char *p = malloc(len); /* exactly, so that reading beyond is noticed */
                assert_non_null(p);
                memset(p, octet & 1 ? ' ' : '~', len);
                p[at] = (char)octet;
                struct str s = {p, len};
                char row[64];
                (void)snprintf(row, sizeof(row), "octet %02x at %zu of %zu", octet, at, len);
                check(row, str_is_ascii(s) == plainly_ascii(s));
                check(row, str_is_utf8(s) == plainly_ascii(s));
                check(row, str_has_control(s) == plainly_has_control(s));
                free(p);
            }
        }
    }
}

static void long_utf8_is_followed_to_its_end(void **state)
{
    (void)state;
    struct buf b = BUF_INIT(1000);
    for (int i = 0; i < 40; i++)
        assert_int_equal(buf_puts(&b, i % 3 ? "plain ascii here " : "\xc3\xa9\xe2\x82\xac"), 0);
    assert_true(str_is_utf8(buf_str(&b)));
    assert_int_equal(buf_puts(&b, "\xe2\x82"), 0); /* cut */
    assert_false(str_is_utf8(buf_str(&b)));
    buf_done(&b);
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

static void log_fields_read_as_written(void **state)
{
    (void)state;
    static const struct {
        int64_t number;
        const char *want;
    } numbers[] = {
        {0,             " n=0"                   },
        {-1,            " n=-1"                  },
        {1234567890123, " n=1234567890123"       },
        {INT64_MAX,     " n=9223372036854775807" },
        {INT64_MIN,     " n=-9223372036854775808"},
    };
    static const struct {
        const char *text, *want;
    } texts[] = {
        {"plain@example.org",   " t=plain@example.org"      },
        {"",                    " t=\"\""                   },
        {"two words",           " t=\"two words\""          },
        {"a=b",                 " t=\"a=b\""                },
        {"caf\xc3\xa9",         " t=caf\xc3\xa9"            },
        {"caf\xc3\xa9 au lait", " t=\"caf\xc3\xa9 au lait\""},
        {"\xff",                " t=\"\\xff\""              },
        {"back\\slash",         " t=\"back\\\\slash\""      },
        {"\x7f",                " t=\"\\x7f\""              },
    };
    struct log_line l;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        log_begin(&l, LOG_LEVEL_ERROR, "event");
        size_t start = l.len;
        log_number(&l, "n", numbers[i].number);
        check(numbers[i].want,
              str_eq((struct str){l.text + start, l.len - start}, str_of(numbers[i].want)));
    }
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        log_begin(&l, LOG_LEVEL_ERROR, "event");
        size_t start = l.len;
        log_text(&l, "t", texts[i].text);
        check(texts[i].want,
              str_eq((struct str){l.text + start, l.len - start}, str_of(texts[i].want)));
    }
}

/* "2026-10-01T12:00:00.123Z error event", and the next second is not taken for this one. */
static void a_log_line_begins_with_the_time(void **state)
{
    (void)state;
    struct log_line l;
    struct tm tm = {0};
    for (int i = 0; i < 3; i++) {
        int64_t before = clock_wall_ms();
        log_begin(&l, LOG_LEVEL_ERROR, "event");
        int64_t after = clock_wall_ms();
        l.text[l.len] = '\0';
        const char *rest = strptime(l.text, "%Y-%m-%dT%H:%M:%S", &tm);
        assert_non_null(rest);
        assert_string_equal(rest + 4, "Z error event");
        int64_t said = (int64_t)timegm(&tm) * 1000 + atoi(rest + 1);
        assert_true(said >= before && said <= after);
        while (clock_wall_ms() / 1000 == before / 1000)
            (void)usleep(1000);
    }
}

static void checksums_are_those_of_the_rfc(void **state)
{
    (void)state;
    static const char zeros[32];
    char ones[32], rising[32], falling[32];
    for (size_t i = 0; i < 32; i++) {
        ones[i] = (char)0xff;
        rising[i] = (char)i;
        falling[i] = (char)(31 - i);
    }
    const struct {
        const char *name;
        struct str octets;
        uint32_t want;
    } rows[] = {
        {"nothing",                {"", 0},          0         },
        {"the usual digits",       STR("123456789"), 0xe3069283},
        {"rfc3720 B.4 zeros",      {zeros, 32},      0x8a9136aa},
        {"rfc3720 B.4 ones",       {ones, 32},       0x62a8ab43},
        {"rfc3720 B.4 increasing", {rising, 32},     0x46dd794e},
        {"rfc3720 B.4 decreasing", {falling, 32},    0x113fdb5c},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        check(rows[i].name, crc32c(0, rows[i].octets) == rows[i].want);
        uint32_t half = crc32c(0, str_upto(rows[i].octets, rows[i].octets.len / 2));
        check(rows[i].name,
              crc32c(half, str_from(rows[i].octets, rows[i].octets.len / 2)) == rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf_stops_at_its_maximum),
        cmocka_unit_test(printing_fits_or_leaves_no_trace),
        cmocka_unit_test(arena_stops_at_its_maximum),
        cmocka_unit_test(b64_is_strict),
        cmocka_unit_test(checksums_are_those_of_the_rfc),
        cmocka_unit_test(numbers_have_a_maximum),
        cmocka_unit_test(utf8_is_judged_as_rfc3629_has_it),
        cmocka_unit_test(words_are_judged_as_octets_are),
        cmocka_unit_test(long_utf8_is_followed_to_its_end),
        cmocka_unit_test(a_value_cannot_forge_a_log_field),
        cmocka_unit_test(log_fields_read_as_written),
        cmocka_unit_test(a_log_line_begins_with_the_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
