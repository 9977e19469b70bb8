/* Text through DATA: each case in one piece and split at every position. */
#include "unit.h"

#include "smtp/dots.h"

#include <errno.h>

static int collect(void *arg, const char *data, size_t len)
{
    return buf_append(arg, data, len);
}

struct outcome {
    struct buf text;
    size_t used;
    struct undot u;
};

static struct outcome run(struct str in, size_t split, bool raw)
{
    struct outcome o = {.text = BUF_INIT(4096)};
    undot_init(&o.u, raw);
    ssize_t n = undot_feed(&o.u, in.p, split, collect, &o.text);
    assert_true(n >= 0);
    o.used = (size_t)n;
    if (!o.u.ended) {
        n = undot_feed(&o.u, in.p + split, in.len - split, collect, &o.text);
        assert_true(n >= 0);
        o.used += (size_t)n;
    }
    if (raw)
        undot_finish(&o.u);
    return o;
}

static const struct {
    const char *name, *in, *want;
    size_t left; /* octets behind the end that must not be consumed */
    bool ended, bare;
} rows[] = {
    {"empty message",            ".\r\n",                  "",                 0, true,  false},
    {"one line",                 "a\r\n.\r\n",             "a\r\n",            0, true,  false},
    {"SMTP-17 stuffed dot",      "..a\r\n.\r\n",           ".a\r\n",           0, true,  false},
    {"SMTP-17 lone stuffed dot", "..\r\n.\r\n",            ".\r\n",            0, true,  false},
    {"dot not doubled",          ".a\r\n.\r\n",            "a\r\n",            0, true,  false},
    {"dot inside a line",        "a.\r\n.\r\n",            "a.\r\n",           0, true,  false},
    {"what follows stays",       "a\r\n.\r\nQUIT\r\n",     "a\r\n",            6, true,  false},
    {"not over",                 "a\r\n.",                 "a\r\n",            0, false, false},
 /* SMTP-15: the smuggling set.  None of these ends the text. */
    {"LF . LF",                  "a\n.\nb\r\n.\r\n",       "a\n.\nb\r\n",      0, true,  true },
    {"LF . CR LF",               "a\n.\r\nb\r\n.\r\n",     "a\n.\r\nb\r\n",    0, true,  true },
    {"CR . CR",                  "a\r.\rb\r\n.\r\n",       "a\r.\rb\r\n",      0, true,  true },
    {"CR LF . LF",               "a\r\n.\nb\r\n.\r\n",     "a\r\n\nb\r\n",     0, true,  true },
    {"CR LF . CR",               "a\r\n.\rb\r\n.\r\n",     "a\r\n\rb\r\n",     0, true,  true },
    {"CR LF . CR CR LF",         "a\r\n.\r\r\nb\r\n.\r\n", "a\r\n\r\r\nb\r\n", 0, true,  true },
    {"CR . CR LF",               "a\r.\r\nb\r\n.\r\n",     "a\r.\r\nb\r\n",    0, true,  true },
    {"CR CR LF",                 "a\r\r\n.\r\n",           "a\r\r\n",          0, true,  true },
    {"LF first",                 "\n.\r\n\r\n.\r\n",       "\n.\r\n\r\n",      0, true,  true },
};

static void transparency_is_undone(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct str in = str_of(rows[i].in);
        for (size_t split = 0; split <= in.len; split++) {
            struct outcome o = run(in, split, false);
            check(rows[i].name, str_eq(buf_str(&o.text), str_of(rows[i].want)));
            check(rows[i].name, o.u.ended == rows[i].ended);
            check(rows[i].name, o.u.bare == rows[i].bare);
            check(rows[i].name, o.used == in.len - rows[i].left);
            buf_done(&o.text);
        }
    }
}

static void a_chunk_passes_unchanged_but_is_judged(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        bool bare;
    } chunks[] = {
        {".\r\n..\r\n.a\r\n", false},
        {"a\nb\r\n",          true },
        {"a\rb\r\n",          true },
        {"a\r\nb\r",          true },
        {"a\r\nb",            false},
    };
    for (size_t i = 0; i < ARRAY_LEN(chunks); i++) {
        struct str in = str_of(chunks[i].in);
        for (size_t split = 0; split <= in.len; split++) {
            struct outcome o = run(in, split, true);
            check(chunks[i].in, str_eq(buf_str(&o.text), in));
            check(chunks[i].in, !o.u.ended && o.u.bare == chunks[i].bare);
            buf_done(&o.text);
        }
    }
}

static void lines_have_a_length(void **state)
{
    (void)state;
    for (size_t len = DOTS_LINE_MAX - 1; len <= DOTS_LINE_MAX + 1; len++) {
        struct buf in = BUF_INIT(4096);
        assert_int_equal(buf_puts(&in, "x\r\n"), 0);
        assert_int_equal(buf_reserve(&in, len), 0);
        memset(in.data + in.len, 'x', len);
        in.len += len;
        assert_int_equal(buf_puts(&in, "\r\n.\r\n"), 0);
        for (size_t split = 0; split <= in.len; split += 7) {
            struct outcome o = run(buf_str(&in), split, false);
            assert_true(o.u.ended);
            assert_int_equal(o.u.long_line, len > DOTS_LINE_MAX); /* SMTP-13 */
            assert_false(o.u.eight_bit);
            buf_done(&o.text);
        }
        buf_done(&in);
    }
    struct outcome o = run(STR("plain text of some length \xc3\xa9\r\n.\r\n"), 3, false);
    assert_true(o.u.eight_bit);
    buf_done(&o.text);
}

/* What has many lines, each with something in it that a quick look at whole lines could pass over. */
static void lines_are_judged_one_by_one(void **state)
{
    (void)state;
    static const struct {
        const char *name, *in, *want;
        bool bare;
    } texts[] = {
        {"all ordinary",        "one\r\ntwo\r\n\r\nfour\r\n.\r\n", "one\r\ntwo\r\n\r\nfour\r\n", false},
        {"dot in the middle",   "one\r\n..two\r\nthree\r\n.\r\n",  "one\r\n.two\r\nthree\r\n",   false},
        {"CR in the middle",    "one\r\nt\rwo\r\nthree\r\n.\r\n",  "one\r\nt\rwo\r\nthree\r\n",  true },
        {"LF in the middle",    "one\r\nt\nwo\r\nthree\r\n.\r\n",  "one\r\nt\nwo\r\nthree\r\n",  true },
        {"CR CR LF later",      "one\r\ntwo\r\r\n.\r\n",           "one\r\ntwo\r\r\n",           true },
        {"LF after empty line", "one\r\n\r\n\nx\r\n.\r\n",         "one\r\n\r\n\nx\r\n",         true },
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct str in = str_of(texts[i].in);
        for (size_t split = 0; split <= in.len; split++) {
            struct outcome o = run(in, split, false);
            check(texts[i].name, str_eq(buf_str(&o.text), str_of(texts[i].want)));
            check(texts[i].name, o.u.ended && o.u.bare == texts[i].bare);
            buf_done(&o.text);
        }
    }
}

static int fail_at_once(void *arg, const char *data, size_t len)
{
    (void)arg;
    (void)data;
    (void)len;
    return -EIO;
}

static void a_failing_sink_ends_it(void **state)
{
    (void)state;
    struct undot u;
    undot_init(&u, false);
    assert_int_equal(undot_feed(&u, "a\r\n.b\r\n", 8, fail_at_once, NULL), -EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transparency_is_undone),
        cmocka_unit_test(a_chunk_passes_unchanged_but_is_judged),
        cmocka_unit_test(lines_have_a_length),
        cmocka_unit_test(lines_are_judged_one_by_one),
        cmocka_unit_test(a_failing_sink_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
