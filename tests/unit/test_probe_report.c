#include "probe/report.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

/* Two columns, three cases, and a peer that tries to be markup and worse. */
#define EVIL "<script>alert(1)</script> & \"quotes\" '\x1b[2J\xff"

static const struct report_column columns[] = {
    {"587, TLS 1.2", "option-2", "Option 2"},
    {"587, TLS 1.3", "none",     EVIL      },
};
static const struct report_cell agree[] = {
    {PROBE_PASS, "the same", 1500},
    {PROBE_PASS, "the same", 0   },
};
static const struct report_cell differ[] = {
    {PROBE_FAIL,    EVIL,     7},
    {PROBE_NOT_RUN, "no way", 0},
};
static const struct report_cell words[] = {
    {PROBE_WARN, "a warning", 0},
    {PROBE_SEEN, "a sight",   0},
};
static const struct report_case cases[] = {
    {"one",   "first",  "RFC 1", "A-01", agree },
    {"two",   "second", "RFC 2", "A-02", differ},
    {"three", "third",  "RFC 3", "A-03", words },
};
static const char *rows[][REPORT_HEADS_MAX] = {
    {"yes", "AUTH", "a client" },
    {"no",  "MAIL", "<another>"},
};
static const struct report_table table = {
    .name = "clients",
    .title = "Clients",
    .heads = {"works", "sends", "clients"},
    .n_heads = 3,
    .rows = rows,
    .n_rows = ARRAY_LEN(rows),
};
static const struct report sample = {
    .command = "postern probe server",
    .subject = "mail.example.org",
    .at_ms = 1000000000000,
    .result = PROBE_CONFORMS_NOT,
    .verdict = "mixed",
    .verdict_text = "not the same everywhere",
    .change = "change <this>",
    .untold = "",
    .columns = columns,
    .n_columns = ARRAY_LEN(columns),
    .cases = cases,
    .n_cases = ARRAY_LEN(cases),
    .tables = &table,
    .n_tables = 1,
};

static int text_plain(const struct report *r, FILE *to)
{
    return report_write_text(r, to, false);
}

static int text_colour(const struct report *r, FILE *to)
{
    return report_write_text(r, to, true);
}

/* The caller frees it. */
static char *written(int (*write)(const struct report *r, FILE *to))
{
    char *out = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&out, &len);
    assert_non_null(to);
    assert_int_equal(write(&sample, to), 0);
    (void)fclose(to);
    return out;
}

static void expect(const char *text, const char *const *wanted, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strstr(text, wanted[i]))
            fail_msg("\"%s\" is missing in:\n%s", wanted[i], text);
}

static void test_counts(void **state)
{
    (void)state;
    assert_int_equal(report_count(&sample, PROBE_PASS), 2);
    assert_int_equal(report_count(&sample, PROBE_FAIL), 1);
    assert_int_equal(report_count(&sample, PROBE_NOT_RUN), 1);
    assert_true(report_agrees(&sample, &cases[0]));
    assert_false(report_agrees(&sample, &cases[1]));
}

static void test_text(void **state)
{
    (void)state;
    char *out = written(text_plain);
    static const char *const wanted[] = {
        "  A  587, TLS 1.2: Option 2\n",
        "  1   pass      pass      first",
        "      the same\n",
        "      A <script>",
        "      B no way\n",
        "2 passed, 1 failed, 1 warnings, 1 observations, 1 not run\n",
        "verdict  not the same everywhere\n",
        "result   not conforming\n",
        "fails    2 second\n",
        "change   change <this>\n",
        "  no   MAIL  <another>\n",
    };
    expect(out, wanted, ARRAY_LEN(wanted));
    assert_null(strchr(out, '\x1b')); /* not even a peer's */
    assert_null(strchr(out, '\xff'));
    free(out);
    out = written(text_colour);
    assert_non_null(strstr(out, "\x1b[1;31mfail"));
    assert_null(strstr(out, "\x1b[2J"));
    free(out);
}

static void test_junit(void **state)
{
    (void)state;
    char *out = written(report_write_junit);
    static const char *const wanted[] = {
        "<testsuites name=\"postern probe server\" tests=\"6\" failures=\"1\" errors=\"0\" "
        "skipped=\"1\">",
        "<testsuite name=\"587, TLS 1.2\" hostname=\"mail.example.org\" "
        "timestamp=\"2001-09-09T01:46:40\""
        " tests=\"3\" failures=\"1\" errors=\"0\" skipped=\"0\" time=\"1.507\">",
        "<failure message=\"&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;quotes&quot; "
        "&#39;?[2J?\"/>",
        "<skipped message=\"no way\"/>",
        "<system-out>warning: a warning</system-out>",
        "name=\"two: second (RFC 2; A-02)\"",
    };
    expect(out, wanted, ARRAY_LEN(wanted));
    assert_null(strstr(out, "<script"));
    free(out);
}

static void test_html(void **state)
{
    (void)state;
    char *out = written(report_write_html);
    static const char *const wanted[] = {
        "<!DOCTYPE html>",
        "prefers-color-scheme:dark",
        "default-src 'none'",
        "not the same everywhere",
        "<a href=\"#c2\">2</a> second</p>",
        "<tr class=\"f2\" id=\"c2\">",
        "change &lt;this&gt;",
        "&lt;script&gt;alert(1)",
        "<td>&lt;another&gt;</td>",
    };
    expect(out, wanted, ARRAY_LEN(wanted));
    assert_null(strstr(out, "<script"));
    assert_null(strstr(out, "http://"));
    assert_null(strstr(out, "https://"));
    free(out);
}

static void test_full_disk(void **state)
{
    (void)state;
    FILE *to = fopen("/dev/full", "w");
    if (!to)
        skip();
    assert_true(report_write_html(&sample, to) < 0);
    (void)fclose(to);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),    cmocka_unit_test(test_text),
        cmocka_unit_test(test_junit),     cmocka_unit_test(test_html),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
