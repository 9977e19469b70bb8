#include "unit.h"

#include "smtp/params.h"

#include <errno.h>

/* An initialiser: a NUL inside is counted. */
/* clang-format off */
#define S(literal) {(literal), sizeof(literal) - 1}
/* clang-format on */

/* Writes what was read as "KEY[value]" or "KEY" one after the other, then "!" for bad syntax. */
static void read_all(struct str s, struct buf *out)
{
    struct smtp_param p;
    int r;
    while ((r = smtp_param_next(&s, &p)) == 1) {
        assert_int_equal(buf_append_str(out, p.keyword), 0);
        if (p.has_value)
            assert_int_equal(buf_printf(out, "[%.*s]", STR_FMT(p.value)), 0);
        if (p.is_utf8)
            assert_int_equal(buf_puts(out, "u"), 0);
        assert_int_equal(buf_puts(out, " "), 0);
    }
    if (r < 0) {
        assert_int_equal(r, -EINVAL);
        assert_int_equal(buf_puts(out, "!"), 0);
    }
}

static void parameters_follow_the_grammar(void **state)
{
    (void)state;
    static const struct {
        struct str in;
        const char *want;
    } rows[] = {
        {S(""),                          ""                           },
        {S(" "),                         ""                           },
        {S(" SIZE=1000"),                "SIZE[1000] "                },
        {S("SIZE=1000"),                 "SIZE[1000] "                },
        {S(" SMTPUTF8"),                 "SMTPUTF8 "                  },
        {S(" SIZE=1 BODY=8BITMIME X-y"), "SIZE[1] BODY[8BITMIME] X-y "},
        {S("  SIZE=1   RET=HDRS  "),     "SIZE[1] RET[HDRS] "         },
        {S(" 8x=y"),                     "8x[y] "                     },
        {S(" A-=1"),                     "A-[1] "                     },
        {S(" AUTH=<>"),                  "AUTH[<>] "                  },
        {S(" K=!~;:[]\\\"+"),            "K[!~;:[]\\\"+] "            },
        {S(" ORCPT=utf-8;\xc3\xa9@x"),   "ORCPT[utf-8;\xc3\xa9@x]u "  },
        {S(" K"),                        "K "                         },
        {S(" K="),                       "!"                          },
        {S(" K= "),                      "!"                          },
        {S(" ="),                        "!"                          },
        {S(" =v"),                       "!"                          },
        {S(" K==v"),                     "!"                          },
        {S(" K=v=w"),                    "!"                          },
        {S(" A=1 K=v="),                 "A[1] !"                     },
        {S(" -K=v"),                     "!"                          },
        {S(" K_L=v"),                    "!"                          },
        {S(" K.L"),                      "!"                          },
        {S(" <a@b>"),                    "!"                          },
        {S("\tK=v"),                     "!"                          },
        {S(" K=v\t"),                    "!"                          },
        {S(" K=v\tL=w"),                 "!"                          },
        {S(" K=a\0b"),                   "!"                          },
        {S(" K\0"),                      "!"                          },
        {S("\0"),                        "!"                          },
        {S(" K=v\0 L"),                  "!"                          },
        {S(" K=\x7f"),                   "!"                          },
        {S(" K=a\rb"),                   "!"                          },
        {S(" K=\xff"),                   "!"                          },
        {S(" K=\xc3"),                   "!"                          },
        {S(" K\xc3\xa9=v"),              "!"                          },
        {S(" \xc3\xa9"),                 "!"                          },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out = BUF_INIT(1000);
        read_all(rows[i].in, &out);
        check(rows[i].in.p, str_eq(buf_str(&out), str_of(rows[i].want)));
        buf_done(&out);
    }
}

static void a_failure_leaves_everything_untouched(void **state)
{
    (void)state;
    struct str rest = STR(" A=1=2"), before = rest;
    struct smtp_param p = {.keyword = STR("untouched")};
    assert_int_equal(smtp_param_next(&rest, &p), -EINVAL);
    assert_true(rest.p == before.p && rest.len == before.len);
    assert_true(str_eq(p.keyword, STR("untouched")));
}

/* AUTH-29, DSN-01, RFC 3461 4 */
static void xtext_is_strict(void **state)
{
    (void)state;
    static const struct {
        struct str in;
        bool good;
        struct str want;
    } rows[] = {
        {S(""),                    true,  S("")                 },
        {S("e+3Dmc2@example.com"), true,  S("e=mc2@example.com")},
        {S("+2B"),                 true,  S("+")                },
        {S("+20+7F+00+0A"),        true,  S(" \x7f\0\n")        },
        {S("+C3+A9"),              true,  S("\xc3\xa9")         },
        {S("+FF"),                 true,  S("\xff")             },
        {S("!~"),                  true,  S("!~")               },
        {S("<>"),                  true,  S("<>")               },
        {S("+"),                   false, S("")                 },
        {S("a+"),                  false, S("")                 },
        {S("+2"),                  false, S("")                 },
        {S("+ZZ"),                 false, S("")                 },
        {S("+2b"),                 false, S("")                 }, /* lower case */
        {S("+-1"),                 false, S("")                 },
        {S("++2B"),                false, S("")                 },
        {S("a=b"),                 false, S("")                 },
        {S("a b"),                 false, S("")                 },
        {S("a\tb"),                false, S("")                 },
        {S("a\0b"),                false, S("")                 },
        {S("\x7f"),                false, S("")                 },
        {S("\xc3\xa9"),            false, S("")                 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out = BUF_INIT(100);
        assert_int_equal(buf_puts(&out, "="), 0);
        check(rows[i].in.p, xtext_decode(rows[i].in, &out) == (rows[i].good ? 0 : -EINVAL));
        check(rows[i].in.p, str_eq(str_from(buf_str(&out), 1), rows[i].want));
        check(rows[i].in.p, out.data[out.len] == '\0');
        buf_done(&out);
    }
}

static void xtext_of_any_octet_comes_back(void **state)
{
    (void)state;
    char all[256];
    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (char)i;
    struct str in = {all, sizeof(all)};
    struct buf text = BUF_INIT(1000), back = BUF_INIT(256);
    assert_int_equal(xtext_encode(in, &text), 0);
    for (size_t i = 0; i < text.len; i++)
        assert_true(text.data[i] > ' ' && text.data[i] <= '~' && text.data[i] != '=');
    assert_int_equal(xtext_decode(buf_str(&text), &back), 0);
    assert_true(str_eq(buf_str(&back), in));

    buf_done(&back);
    back.max = 255;
    assert_int_equal(xtext_decode(buf_str(&text), &back), -EMSGSIZE);
    assert_int_equal(back.len, 0);
    buf_done(&text);
    text.max = 10;
    assert_int_equal(xtext_encode(in, &text), -EMSGSIZE);
    assert_int_equal(text.len, 0);
    buf_done(&text);
    buf_done(&back);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_follow_the_grammar),
        cmocka_unit_test(a_failure_leaves_everything_untouched),
        cmocka_unit_test(xtext_is_strict),
        cmocka_unit_test(xtext_of_any_octet_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
