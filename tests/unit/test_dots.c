#include "unit.h"

#include "smtp/dots.h"

#include <errno.h>

static const struct {
    const char *name, *in, *want; /* want NULL: refused */
} rows[] = {
    {"empty text",            "",                   ".\r\n"                     },
    {"one line",              "a\r\n",              "a\r\n.\r\n"                },
    {"last line end missing", "a",                  "a\r\n.\r\n"                },
    {"leading dot (SMTP-17)", ".a\r\n",             "..a\r\n.\r\n"              },
    {"lone dot",              ".\r\n",              "..\r\n.\r\n"               },
    {"dots in a row",         "..\r\n.\r\n...\r\n", "...\r\n..\r\n....\r\n.\r\n"},
    {"dot inside",            "a.b\r\n",            "a.b\r\n.\r\n"              },
    {"dot at the end",        "a\r\n.",             "a\r\n..\r\n.\r\n"          },
    {"bare LF (SMTP-16)",     "a\nb\r\n",           NULL                        },
    {"bare LF first",         "\n",                 NULL                        },
    {"LF LF",                 "a\r\n\nb",           NULL                        },
    {"bare CR",               "a\rb\r\n",           NULL                        },
    {"CR CR LF",              "a\r\r\n",            NULL                        },
    {"CR at the end",         "a\r",                NULL                        },
    {"CR . CR",               "a\r.\r",             NULL                        },
    {"LF . CR LF",            "a\n.\r\n",           NULL                        },
};

static int stuff_in_pieces(struct str in, size_t piece, struct buf *out)
{
    struct dots d;
    dots_init(&d);
    for (size_t at = 0; at < in.len; at += piece) {
        int r = dots_feed(&d, in.p + at, MIN(piece, in.len - at), out);
        if (r < 0)
            return r;
    }
    return dots_finish(&d, out);
}

static int check_in_pieces(struct str in, size_t piece)
{
    struct dots d;
    dots_init(&d);
    for (size_t at = 0; at < in.len; at += piece) {
        int r = dots_check(&d, in.p + at, MIN(piece, in.len - at), at + piece >= in.len);
        if (r < 0)
            return r;
    }
    return dots_check(&d, NULL, 0, true);
}

static void dots_are_doubled_and_bare_ends_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str in = str_of(rows[i].in);
        for (size_t piece = 1; piece <= in.len + 1; piece++) {
            struct buf out = BUF_INIT(64);
            int want = rows[i].want ? 0 : -EBADMSG;
            check(rows[i].name, stuff_in_pieces(in, piece, &out) == want);
            check(rows[i].name, !rows[i].want || str_eq(buf_str(&out), str_of(rows[i].want)));
            check(rows[i].name, check_in_pieces(in, piece) == want);
            buf_done(&out);
        }
    }
}

static void a_full_buffer_takes_nothing(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(6);
    struct dots d;
    dots_init(&d);
    assert_int_equal(dots_feed(&d, "ab\r\n.c\r\n", 8, &out), -EMSGSIZE);
    assert_int_equal(out.len, 0);
    assert_int_equal(dots_feed(&d, ".c\r\n", 4, &out), 0);
    assert_string_equal(out.data, "..c\r\n");
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dots_are_doubled_and_bare_ends_refused),
        cmocka_unit_test(a_full_buffer_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
