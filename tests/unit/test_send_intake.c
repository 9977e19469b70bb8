/* What becomes of a message between the program that has it and the server: line ends, header, recipients. */
#include "unit.h"

#include "send/intake.h"

#include <errno.h>
#include <stdio.h>

struct row {
    const char *name;
    bool dot, to; /* dot_ends, take_recipients */
    const char *in, *want;
    const char *recipients; /* joined with a space; NULL: reading the destinations fails */
    const char *sender;
};

#define DATE "Date: x\r\n"
#define ID "Message-ID: <a@b>\r\n"
#define FROM "From: a@x.org\r\n"
#define HEAD FROM DATE ID

/* clang-format off */
static const struct row rows[] = {
    /* line ends */
    {"crlf stays",               false, false, HEAD "\r\nhi\r\n", HEAD "\r\nhi\r\n", "", "a@x.org"},
    {"lf becomes crlf",          false, false, "From: a@x.org\nDate: x\nMessage-ID: <a@b>\n\nhi\nyou\n", HEAD "\r\nhi\r\nyou\r\n", "", "a@x.org"},
    {"crcrlf is one line end",   false, false, HEAD "\r\nhi\r\r\nyou\r\r\r\n", HEAD "\r\nhi\r\nyou\r\n", "", "a@x.org"},
    {"last line gets its end",   false, false, HEAD "\r\nhi", HEAD "\r\nhi\r\n", "", "a@x.org"},
    {"last cr is a line end",    false, false, HEAD "\r\nhi\r", HEAD "\r\nhi\r\n", "", "a@x.org"},
    {"cr in the body breaks",    false, false, HEAD "\r\n10%\r20%\r\n", HEAD "\r\n10%\r\n20%\r\n", "", "a@x.org"},
    {"cr in the header is a space", false, true, "Subject: x\rBcc: evil@x.org\n" HEAD "\r\n", "Subject: x Bcc: evil@x.org\r\n" HEAD "\r\n", "", "a@x.org"},
    {"empty lines stay",         false, false, HEAD "\n\n\n", HEAD "\r\n\r\n\r\n", "", "a@x.org"},
    /* dots */
    {"a dot ends",               true,  false, HEAD "\nhi\n.\nmore\n", HEAD "\r\nhi\r\n", "", "a@x.org"},
    {"a dot with cr ends",       true,  false, HEAD "\nhi\n.\r\nmore\n", HEAD "\r\nhi\r\n", "", "a@x.org"},
    {"a dot at the very end",    true,  false, HEAD "\nhi\n.", HEAD "\r\nhi\r\n", "", "a@x.org"},
    {"a dot with text stays",    true,  false, HEAD "\n.hi\n..\n. \nend\n", HEAD "\r\n.hi\r\n..\r\n. \r\nend\r\n", "", "a@x.org"},
    {"a dot behind a bare cr",   true,  false, HEAD "\nhi\r.\nmore\n", HEAD "\r\nhi\r\n.\r\nmore\r\n", "", "a@x.org"},
    {"a dot does not end with -i", false, false, HEAD "\nhi\n.\nmore\n", HEAD "\r\nhi\r\n.\r\nmore\r\n", "", "a@x.org"},
    {"a dot alone",              true,  false, HEAD ".\n", HEAD, "", "a@x.org"},
    /* fix-ups */
    {"From is added",            false, false, DATE ID "\nhi\n", DATE ID "From: Me <me@x.org>\r\n\r\nhi\r\n", "", ""},
    {"a body alone gets a header", false, false, "hello you\n", NULL, "", ""},
    {"an empty message gets one", false, false, "", NULL, "", ""},
    {"Bcc goes",                 false, false, "Bcc: b@x.org,\n c@x.org\n" HEAD "\n", HEAD "\r\n", "", "a@x.org"},
    {"a mailbox line goes",      false, false, "From me Thu Oct  1 12:00:00 2026\n" HEAD "\n", HEAD "\r\n", "", "a@x.org"},
    /* recipients */
    {"To, Cc and Bcc",           false, true,  "To: B <b@x.org>\nCC: c@x.org,\n d@x.org\nbcc: e@x.org\n" HEAD "\n",
        "To: B <b@x.org>\r\nCC: c@x.org,\r\n d@x.org\r\n" HEAD "\r\n", "b@x.org c@x.org d@x.org e@x.org", "a@x.org"},
    {"without -t nobody",        false, false, "To: b@x.org\n" HEAD "\n", "To: b@x.org\r\n" HEAD "\r\n", "", "a@x.org"},
    {"without a domain",         false, true,  "To: root\n" HEAD "\n", "To: root\r\n" HEAD "\r\n", "root", "a@x.org"},
    {"To in the body",           false, true,  HEAD "\nTo: b@x.org\n", HEAD "\r\nTo: b@x.org\r\n", "", "a@x.org"},
    {"Tox is another field",     false, true,  "Tox: b@x.org\n" HEAD "\n", "Tox: b@x.org\r\n" HEAD "\r\n", "", "a@x.org"},
    {"a group of nobody",        false, true,  "To: undisclosed-recipients:;\nBcc: b@x.org\n" HEAD "\n",
        "To: undisclosed-recipients:;\r\n" HEAD "\r\n", "b@x.org", "a@x.org"},
    {"not readable",             false, true,  "To: <b@x.org\n" HEAD "\n", NULL, NULL, "a@x.org"},
    {"not readable, not asked",  false, false, "To: <b@x.org\n" HEAD "\n", "To: <b@x.org\r\n" HEAD "\r\n", "", "a@x.org"},
    {"the last field without end", false, true, HEAD "To: b@x.org", HEAD "To: b@x.org\r\n", "b@x.org", "a@x.org"},
    /* sent again */
    {"the newest block names them", false, true,
        "Resent-From: r@x.org\nResent-To: s@x.org\nReceived: by y\nResent-To: old@x.org\nResent-From: old@x.org\nTo: t@x.org\n" HEAD "\n",
        "Resent-From: r@x.org\r\nResent-To: s@x.org\r\nReceived: by y\r\nResent-To: old@x.org\r\nResent-From: old@x.org\r\nTo: t@x.org\r\n" HEAD "\r\n",
        "s@x.org", "r@x.org"},
    {"Resent-Bcc goes and counts", false, true, "Resent-Bcc: s@x.org\nTo: t@x.org\n" HEAD "\n", "To: t@x.org\r\n" HEAD "\r\n", "s@x.org", ""},
    {"Resent-Sender speaks",     false, false, "Resent-Sender: q@x.org\nResent-From: r@x.org\n" HEAD "\n",
        "Resent-Sender: q@x.org\r\nResent-From: r@x.org\r\n" HEAD "\r\n", "", "q@x.org"},
    /* senders */
    {"From of cron",             false, false, "From: root (Cron Daemon)\n" DATE ID "\n", "From: root (Cron Daemon)\r\n" DATE ID "\r\n", "", "root"},
    {"several authors have a Sender", false, false, "From: a@x.org, b@x.org\nSender: s@x.org\n" DATE ID "\n",
        "From: a@x.org, b@x.org\r\nSender: s@x.org\r\n" DATE ID "\r\n", "", "s@x.org"},
    {"one author needs none",    false, false, "Sender: s@x.org\n" HEAD "\n", "Sender: s@x.org\r\n" HEAD "\r\n", "", "a@x.org"},
    {"several without Sender",   false, false, "From: a@x.org, b@x.org\n" DATE ID "\n", "From: a@x.org, b@x.org\r\n" DATE ID "\r\n", "", "a@x.org"},
};
/* clang-format on */

struct result {
    struct send_text text;
    struct recipients to;
    struct intake_facts facts;
    int r;
    char why[INTAKE_WHY_MAX];
};

static void take_in(const struct row *row, size_t piece, struct result *ret)
{
    struct intake_config cfg = {
        .dot_ends = row->dot,
        .take_recipients = row->to,
        .from = "Me <me@x.org>",
        .hostname = "x.org",
        .id = "id",
    };
    send_text_init(&ret->text);
    recipients_init(&ret->to);
    struct intake *in = intake_new(&cfg, &ret->text, &ret->to);
    struct str left = str_of(row->in);
    ret->r = 0;
    while (ret->r == 0 && left.len) {
        struct str head = str_upto(left, piece);
        ret->r = intake_write(in, head.p, head.len);
        left = str_from(left, head.len);
    }
    if (ret->r == 0)
        ret->r = intake_finish(in);
    ret->facts = *intake_facts(in);
    strcpy(ret->why, intake_why(in));
    intake_free(in);
}

static void result_done(struct result *res)
{
    send_text_done(&res->text);
    recipients_done(&res->to);
}

static void check_row(const struct row *row, size_t piece)
{
    struct result res;
    take_in(row, piece, &res);
    char joined[500] = "";
    for (size_t i = 0; i < res.to.n; i++) {
        strcat(joined, i ? " " : "");
        strcat(joined, res.to.list[i]);
    }
    check(row->name, (res.r < 0) == !row->recipients);
    check(row->name, !row->recipients || strcmp(joined, row->recipients) == 0);
    check(row->name, row->recipients || strstr(res.why, "the field To"));
    check(row->name, !row->want || str_eq(buf_str(&res.text.memory), str_of(row->want)));
    check(row->name, strcmp(res.facts.sender, row->sender) == 0);
    result_done(&res);
}

static void messages_in_any_pieces(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 2, 3, 7, 64, 100000};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t p = 0; p < ARRAY_LEN(pieces); p++)
            check_row(&rows[i], pieces[p]);
}

static void what_has_no_header_gets_one(void **state)
{
    (void)state;
    struct row row = {.in = "hello you\n"};
    struct result res;
    take_in(&row, 100, &res);
    assert_int_equal(res.r, 0);
    const char *text = res.text.memory.data;
    assert_non_null(strstr(text, "Date: "));
    assert_non_null(strstr(text, "Message-ID: <0.id@x.org>\r\n"));
    assert_non_null(strstr(text, "From: Me <me@x.org>\r\n\r\nhello you\r\n"));
    result_done(&res);
}

static void eight_bits_are_noticed(void **state)
{
    (void)state;
    static const struct {
        const char *name, *in;
        bool header, body;
    } table[] = {
        {"ascii",     HEAD "\nhi\n",                        false, false},
        {"in a body", HEAD "\nh\xc3\xa9\n",                 false, true },
        {"on top",    "Subject: h\xc3\xa9\n" HEAD "\nhi\n", true,  false},
        {"both",      "Subject: \xff\n" HEAD "\n\xff\n",    true,  true },
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct row row = {.in = table[i].in};
        struct result res;
        take_in(&row, 5, &res);
        check(table[i].name, res.facts.header_is_8bit == table[i].header);
        check(table[i].name, res.facts.body_is_8bit == table[i].body);
        result_done(&res);
    }
}

#define A50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A900 A50 A50 A50 A50 A50 A50 A50 A50 A50 A50 A50 A50 A50 A50 A50 A50 A50 A50
#define A998 A900 A50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

/* SMTP-13: numbers are those of the message as it was handed over, whatever goes and comes in its header. */
static void long_lines_are_noticed(void **state)
{
    (void)state;
    static const struct {
        const char *name, *in;
        size_t body_line, long_line;
    } table[] = {
        {"none",                  HEAD "\nhi\n",                                    4, 0},
        {"998 octets",            HEAD "\n" A998 "\r\n" A998,                       4, 0},
        {"999 octets",            HEAD "\nhi\n" A998 "a\nhi\n" A998 "ab\n",         4, 6},
        {"the last, without end", HEAD "\nhi\n" A998 "a",                           4, 6},
        {"fields that go",        "Bcc: b@x.org,\n c@x.org\n" HEAD "\n" A998 "a\n", 6, 7},
        {"in the header",         "Subject: " A998 "\n" HEAD "\nhi\n",              5, 0},
        {"no header",             A998 "a\n",                                       1, 1},
        {"no empty line",         "Subject: x\nhello you\n" A998 "a\n",             2, 3},
        {"a CR ends a line",      HEAD "\n" A998 "\r" A998 "a\n",                   4, 6},
        {"a header alone",        HEAD,                                             4, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        for (size_t piece = 1; piece < 5000; piece = piece * 7 + 1) {
            struct row row = {.in = table[i].in};
            struct result res;
            take_in(&row, piece, &res);
            check(table[i].name, res.facts.body_line == table[i].body_line);
            check(table[i].name, res.facts.long_line == table[i].long_line);
            const char *text = res.text.memory.data;
            uint64_t at = res.facts.body_at;
            check(table[i].name, at <= res.text.size && at >= 2 && text[at - 1] == '\n');
            result_done(&res);
        }
    }
}

/* A text beyond what is kept in memory reads the same as one within. */
static void large_texts_go_to_a_file(void **state)
{
    (void)state;
    struct send_text t;
    send_text_init(&t);
    char line[100], back[150];
    uint64_t written = 0;
    for (unsigned n = 0; n < 20000; n++) {
        int len = snprintf(line, sizeof(line), "line %u of a text that is large\r\n", n);
        assert_int_equal(send_text_append(&t, line, (size_t)len), 0);
        written += (size_t)len;
        assert_true((t.fd >= 0) == (written > SEND_TEXT_MEMORY));
    }
    for (unsigned n = 0; n < 40000; n++) {
        int len = snprintf(line, sizeof(line), "line %u of a text that is large\r\n", n);
        assert_int_equal(send_text_append(&t, line, (size_t)len), 0);
    }
    assert_true(t.fd >= 0);
    assert_int_equal(t.memory.len, 0);
    assert_int_equal(send_text_read(&t, 0, back, 6), 6);
    assert_memory_equal(back, "line 0", 6);
    assert_int_equal(send_text_read(&t, t.size - 4, back, sizeof(back)), 4);
    assert_memory_equal(back, "ge\r\n", 4);
    assert_int_equal(send_text_read(&t, t.size, back, sizeof(back)), 0);
    send_text_done(&t);
}

static void addresses_are_completed_and_come_once(void **state)
{
    (void)state;
    struct recipients r;
    recipients_init(&r);
    assert_int_equal(recipients_read(&r, STR("root, Bob <b@x.org>, a@x.org")), 3);
    assert_int_equal(recipients_read(&r, STR("root@y.org, b@x.org, \"q@q\"@x.org, B@x.org")), 4);
    assert_int_equal(recipients_read(&r, STR("no address")), -EINVAL);
    assert_int_equal(recipients_complete(&r, "y.org"), 0);
    static const char *const want[] = {"root@y.org", "b@x.org", "a@x.org", "\"q@q\"@x.org",
                                       "B@x.org"};
    assert_int_equal(r.n, ARRAY_LEN(want));
    for (size_t i = 0; i < r.n; i++)
        assert_string_equal(r.list[i], want[i]);
    recipients_done(&r);
}

static void recipients_have_a_maximum(void **state)
{
    (void)state;
    struct recipients r;
    recipients_init(&r);
    int e = 0;
    size_t n = 0;
    while (e == 0 && n <= RECIPIENTS_MAX) {
        e = recipients_add(&r, STR("a@x.org"));
        n += e == 0;
    }
    assert_int_equal(e, -E2BIG);
    assert_int_equal(n, RECIPIENTS_MAX);
    assert_int_equal(recipients_complete(&r, "x"), 0);
    assert_int_equal(r.n, 1);
    recipients_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_in_any_pieces),
        cmocka_unit_test(what_has_no_header_gets_one),
        cmocka_unit_test(eight_bits_are_noticed),
        cmocka_unit_test(long_lines_are_noticed),
        cmocka_unit_test(large_texts_go_to_a_file),
        cmocka_unit_test(addresses_are_completed_and_come_once),
        cmocka_unit_test(recipients_have_a_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
