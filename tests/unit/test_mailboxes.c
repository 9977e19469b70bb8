#include "unit.h"

#include "message/mailboxes.h"

#include <errno.h>

static int join(void *arg, struct str address)
{
    struct buf *out = arg;
    return buf_printf(out, "%s%.*s", out->len ? " " : "", STR_FMT(address));
}

/* clang-format off */
static const struct row {
    const char *name, *body, *want; /* want NULL: error */
    int result;
} rows[] = {
    {"address",                    " a@x.org\r\n", "a@x.org", 1},
    {"name and address",           " Alice Smith <a@x.org>\r\n", "a@x.org", 1},
    {"address alone in angles",    "<a@x.org>", "a@x.org", 1},
    {"quoted name",                " \"Smith, Alice <boss@x.org>\" <a@x.org>", "a@x.org", 1},
    {"name that looks like one",   " boss@x.org <a@x.org>", "a@x.org", 1},
    {"two",                        " a@x.org, B <b@x.org>", "a@x.org b@x.org", 2},
    {"folded",                     " Alice\r\n Smith\r\n\t<a@x.org>\r\n", "a@x.org", 1},
    {"comments",                   " (hm) a(b)@(c (d))x.org (boss@x.org)", "a@x.org", 1},
    {"comment with quoted paren",  " (\\)) a@x.org", "a@x.org", 1},
    {"spaces around the at",       " a @ x . org", "a@x.org", 1},
    {"quoted local part",          " \"a b\"@x.org", "\"a b\"@x.org", 1},
    {"address literal",            " a@[192.0.2.1]", "a@[192.0.2.1]", 1},
    {"UTF-8",                      " \xc3\xa9@x.org", "\xc3\xa9@x.org", 1},
    {"group",                      " Friends: a@x.org, <b@x.org>;, c@x.org", "a@x.org b@x.org c@x.org", 3},
    {"empty group",                " Undisclosed:;", "", 0},
    {"empty items",                " , a@x.org,,", "a@x.org", 1},
    {"nothing",                    " \r\n", "", 0},
    {"no address",                 " Alice", NULL, -EINVAL},
    {"two words",                  " alice smith@x.org", NULL, -EINVAL},
    {"two words in angles",        " <al ice@x.org>", NULL, -EINVAL},
    {"two in angles",              " <a@x.org> <b@x.org>", NULL, -EINVAL},
    {"text behind angles",         " <a@x.org> b@x.org", NULL, -EINVAL},
    {"empty angles",               " Alice <>", NULL, -EINVAL},
    {"angle not closed",           " <a@x.org", NULL, -EINVAL},
    {"closed only",                " a@x.org>", NULL, -EINVAL},
    {"source route",               " <@y.org:a@x.org>", NULL, -EINVAL},
    {"quote not closed",           " \"a@x.org", NULL, -EINVAL},
    {"comment not closed",         " a@x.org (", NULL, -EINVAL},
    {"comments too deep",          " ((((((((((((((((((x)))))))))))))))))) a@x.org", NULL, -EINVAL},
    {"group not closed",           " G: a@x.org", NULL, -EINVAL},
    {"group in a group",           " G: H: a@x.org;;", NULL, -EINVAL},
    {"group without a name",       " : a@x.org;", NULL, -EINVAL},
    {"semicolon without a group",  " a@x.org;", NULL, -EINVAL},
    {"comma in angles",            " <a@x.org,b@x.org>", NULL, -EINVAL},
    {"two ats",                    " a@b@x.org", NULL, -EINVAL},
    {"backslash",                  " a\\@x.org", NULL, -EINVAL},
    {"ill-formed UTF-8",           " a\xff@x.org", NULL, -EINVAL},
};
/* clang-format on */

static void addresses_of_a_field(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(buf_done) struct buf got = BUF_INIT(1000);
        int r = mailboxes_each(str_of(rows[i].body), join, &got);
        if (r != rows[i].result)
            fail_msg("%s: got %d", rows[i].name, r);
        check(rows[i].name, !rows[i].want || str_eq(buf_str(&got), str_of(rows[i].want)));
    }
}

static void a_nul_is_no_part_of_an_address(void **state)
{
    (void)state;
    struct buf got = BUF_INIT(100);
    assert_int_equal(mailboxes_each(STR("a\0@x.org"), join, &got), -EINVAL);
    buf_done(&got);
}

static void a_local_part_may_be_enough(void **state)
{
    (void)state;
    static const struct {
        const char *body, *want;
        int result;
    } table[] = {
        {"root",                      "root",            1      },
        {"Root <root>, bob@x.org",    "root bob@x.org",  2      },
        {"\"a b\"",                   "\"a b\"",         1      },
        {"two words",                 NULL,              -EINVAL},
        {"a..b",                      NULL,              -EINVAL},
        {"root@",                     NULL,              -EINVAL},
        {"[192.0.2.1]",               NULL,              -EINVAL},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        CLEANUP(buf_done) struct buf got = BUF_INIT(1000);
        int r = mailboxes_each_unqualified(str_of(table[i].body), join, &got);
        check(table[i].body, r == table[i].result);
        check(table[i].body, !table[i].want || str_eq(buf_str(&got), str_of(table[i].want)));
        check(table[i].body, mailboxes_each(STR("root"), join, &got) == -EINVAL);
    }
}

static int stop(void *arg, struct str address)
{
    (void)arg;
    (void)address;
    return -EPERM;
}

static void the_walk_ends_when_asked_to(void **state)
{
    (void)state;
    assert_int_equal(mailboxes_each(STR("a@x.org, b@x.org"), stop, NULL), -EPERM);
}

static void lengths_have_a_maximum(void **state)
{
    (void)state;
    char body[6000];
    struct buf got = BUF_INIT(100);
    memset(body, 'a', sizeof(body));
    assert_int_equal(mailboxes_each((struct str){body, sizeof(body)}, join, &got), -EMSGSIZE);
    body[0] = '<';
    assert_int_equal(mailboxes_each((struct str){body, sizeof(body)}, join, &got), -EMSGSIZE);
    buf_done(&got);
}

/* SUB-03: only what is missing is added, and everything else stays as it was written. */
static void addresses_are_completed(void **state)
{
    (void)state;
    static const struct {
        const char *name, *body, *want; /* want NULL: not readable */
        int completed;
    } table[] = {
        {"alone",               " root\r\n", " root@x.org\r\n", 1},
        {"as cron writes it",   " root (Cron Daemon)\r\n", " root@x.org (Cron Daemon)\r\n", 1},
        {"a comment in front",  " (hm) root", " (hm) root@x.org", 1},
        {"in angles",           " \"root, the\" <root>\r\n", " \"root, the\" <root@x.org>\r\n", 1},
        {"blanks in angles",    " Root < root >", " Root < root@x.org >", 1},
        {"several, folded",     " a, b@y.org,\r\n\tC <c>\r\n", " a@x.org, b@y.org,\r\n\tC <c@x.org>\r\n", 2},
        {"dots",                " a . b ", " a . b@x.org ", 1},
        {"a quoted local part", " \"a b\"", " \"a b\"@x.org", 1},
        {"UTF-8",               " J\xc3\xb6rg <j\xc3\xb6rg>", " J\xc3\xb6rg <j\xc3\xb6rg@x.org>", 1},
        {"in a group",          " g: a, b@y.org;, c", " g: a@x.org, b@y.org;, c@x.org", 2},
        {"an empty group",      " undisclosed-recipients:;", " undisclosed-recipients:;", 0},
        {"whole already",       " A <a@y.org>, b@[192.0.2.1]", " A <a@y.org>, b@[192.0.2.1]", 0},
        {"an at in quotes",     " \"a@b\"", NULL, 0},
        {"two words",           " undisclosed recipients", NULL, 0},
        {"no list",             " a, <b", NULL, 0},
        {"Latin-1",             " J\xf6rg <root>", NULL, 0},
        {"nothing",             "\r\n", "\r\n", 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        CLEANUP(buf_done) struct buf out = BUF_INIT(1000);
        int r = mailboxes_complete(str_of(table[i].body), "x.org", &out);
        check(table[i].name, table[i].want ? r == table[i].completed : r < 0);
        check(table[i].name, !table[i].want || str_eq(buf_str(&out), str_of(table[i].want)));
    }
    CLEANUP(buf_done) struct buf small = BUF_INIT(8);
    assert_true(mailboxes_complete(STR("somebody"), "x.org", &small) < 0);
}

static void a_name_and_an_address(void **state)
{
    (void)state;
    static const struct {
        const char *name, *want;
    } table[] = {
        {NULL,                                                                                            "a@x.org"                           },
        {"",                                                                                              "a@x.org"                           },
        {"Alice Smith",                                                                                   "Alice Smith <a@x.org>"             },
        {"Smith, Alice",                                                                                  "\"Smith, Alice\" <a@x.org>"        },
        {"A \"B\" \\ C.",                                                                                 "\"A \\\"B\\\" \\\\ C.\" <a@x.org>" },
        {"J\xc3\xb6rg",                                                                                   "=?utf-8?B?SsO2cmc=?= <a@x.org>"    },
        {"\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4"
         "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xe2\x82\xac", "=?utf-8?B?w6TDpMOkw6TDpMOkw6TDpMOkw6TDpMOkw6TDpMOkw6TDpMOkw6TDpA==?=\r\n "
         "=?utf-8?B?4oKs?= <a@x.org>"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        CLEANUP(buf_done) struct buf out = BUF_INIT(1000);
        assert_int_equal(mailbox_write(table[i].name, "a@x.org", &out), 0);
        check(table[i].want, strcmp(out.data, table[i].want) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_of_a_field),
        cmocka_unit_test(a_nul_is_no_part_of_an_address),
        cmocka_unit_test(a_local_part_may_be_enough),
        cmocka_unit_test(the_walk_ends_when_asked_to),
        cmocka_unit_test(lengths_have_a_maximum),
        cmocka_unit_test(addresses_are_completed),
        cmocka_unit_test(a_name_and_an_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
