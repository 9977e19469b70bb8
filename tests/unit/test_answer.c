#include "unit.h"

#include "smtp/reply.h"

#include <errno.h>

struct row {
    const char *name, *in;
    ssize_t used; /* -1: all of it */
    int code;
    const char *enhanced, *text;
    unsigned lines;
    bool complete;
};

static const struct row good[] = {
    {"one line",               "250 2.1.0 Ok\r\n",               -1, 250, "2.1.0",     "Ok",          1, true },
    {"code alone",             "250\r\n",                        -1, 250, "",          "",            1, true },
    {"code and space",         "334 \r\n",                       -1, 334, "",          "",            1, true },
    {"only a code inside",     "221 2.0.0\r\n",                  -1, 221, "2.0.0",     "",            1, true },
    {"many lines",             "250-a\r\n250-b\r\n250 c\r\n",    -1, 250, "",          "a\nb\nc",     3, true },
    {"same code on each line", "550-5.7.1 a\r\n550 5.7.1 b\r\n", -1, 550, "5.7.1",     "a\nb",        2, true },
    {"other code stays",       "550-5.7.1 a\r\n550 5.7.2 b\r\n", -1, 550, "5.7.1",     "a\n5.7.2 b",  2, true },
    {"late code stays",        "550-a\r\n550 5.7.1 b\r\n",       -1, 550, "",          "a\n5.7.1 b",  2, true },
    {"of another class",       "550 2.0.0 odd\r\n",              -1, 550, "",          "2.0.0 odd",   1, true },
    {"three digits each",      "550 5.123.456 x\r\n",            -1, 550, "5.123.456", "x",           1, true },
    {"four digits",            "550 5.1234.1 x\r\n",             -1, 550, "",          "5.1234.1 x",  1, true },
    {"not a code",             "550 5.7.x x\r\n",                -1, 550, "",          "5.7.x x",     1, true },
    {"unknown 2yz (SMTP-01)",  "299 fine\r\n",                   -1, 299, "",          "fine",        1, true },
    {"unknown 4yz (SMTP-01)",  "499 later\r\n",                  -1, 499, "",          "later",       1, true },
    {"unknown 5yz (SMTP-01)",  "599 never\r\n",                  -1, 599, "",          "never",       1, true },
    {"stops after the reply",  "250 a\r\n354 b\r\n",             7,  250, "",          "a",           1, true },
    {"partial line",           "250-a\r\n250 b\r",               7,  250, "",          "a",           1, false},
    {"nothing",                "",                               0,  0,   "",          "",            0, false},
    {"controls",               "250 a\x1b[31m\x01\tb\rc\r\n",    -1, 250, "",          "a?[31m? b?c", 1, true },
    {"8-bit",                  "250 \xc3\xa9\r\n",               -1, 250, "",          "\xc3\xa9",    1, true },
    {"bare CR in the text",    "250 a\rb\r\n",                   -1, 250, "",          "a?b",         1, true },
};

static void replies_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        const struct row *w = &good[i];
        struct smtp_answer a;
        smtp_answer_init(&a);
        ssize_t want = w->used < 0 ? (ssize_t)strlen(w->in) : w->used;
        check(w->name, smtp_answer_feed(&a, w->in, strlen(w->in)) == want);
        check(w->name, a.code == w->code && a.lines == w->lines && a.complete == w->complete);
        check(w->name, strcmp(a.enhanced, w->enhanced) == 0);
        check(w->name, str_eq(buf_str(&a.text), str_of(w->text)));
        smtp_answer_done(&a);
    }
}

static void hostile_replies_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *in;
    } rows[] = {
        {"class 1",        "150 x\r\n"          },
        {"class 6",        "650 x\r\n"          },
        {"letters",        "2x0 x\r\n"          },
        {"short",          "25\r\n"             },
        {"empty line",     "\r\n"               },
        {"no separator",   "250x\r\n"           },
        {"codes differ",   "250-a\r\n251 b\r\n" },
        {"bare LF",        "250 a\n"            },
        {"LF in the text", "250 a\n250 ok\r\n"  },
        {"HTTP",           "HTTP/1.1 400 No\r\n"},
        {"TLS",            "\x15\x03\x01\r\n"   },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct smtp_answer a;
        smtp_answer_init(&a);
        check(rows[i].name, smtp_answer_feed(&a, rows[i].in, strlen(rows[i].in)) == -EBADMSG);
        smtp_answer_done(&a);
    }
}

/* SMTP-13: lines of 512 octets are read, and longer ones up to our own maximum. */
static void a_reply_has_a_maximum(void **state)
{
    (void)state;
    struct smtp_answer a;
    smtp_answer_init(&a);
    for (int i = 0; i < SMTP_REPLY_LINES; i++)
        assert_int_equal(smtp_answer_feed(&a, "250-x\r\n", 7), 7);
    assert_int_equal(smtp_answer_feed(&a, "250 x\r\n", 7), -EMSGSIZE);
    smtp_answer_clear(&a);
    char line[SMTP_REPLY_LINE + 2];
    memset(line, 'x', sizeof(line));
    memcpy(line, "250 ", 4);
    assert_int_equal(smtp_answer_feed(&a, line, SMTP_REPLY_LINE - 1), 0);
    assert_int_equal(smtp_answer_feed(&a, line, SMTP_REPLY_LINE), -EMSGSIZE);
    memcpy(line + SMTP_REPLY_LINE - 2, "\r\n", 2);
    assert_int_equal(smtp_answer_feed(&a, line, sizeof(line)), SMTP_REPLY_LINE);
    assert_true(a.complete);
    smtp_answer_done(&a);
}

/* However the octets come, the reply is the same. */
static void pieces_make_no_difference(void **state)
{
    (void)state;
    const char *in = "550-5.1.1 no such\r\n550-5.1.1 user\r\n550 5.1.1 here\r\n";
    size_t len = strlen(in);
    for (size_t piece = 1; piece <= len; piece++) {
        struct smtp_answer a;
        smtp_answer_init(&a);
        size_t used = 0;
        for (size_t have = 0; have < len && !a.complete;) {
            have = MIN(have + piece, len);
            ssize_t n = smtp_answer_feed(&a, in + used, have - used);
            assert_true(n >= 0);
            used += (size_t)n;
        }
        assert_true(a.complete && used == len);
        assert_string_equal(a.text.data, "no such\nuser\nhere");
        smtp_answer_done(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replies_are_read),
        cmocka_unit_test(hostile_replies_are_refused),
        cmocka_unit_test(a_reply_has_a_maximum),
        cmocka_unit_test(pieces_make_no_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
