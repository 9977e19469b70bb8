#include "unit.h"

#include "message/dsn.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define NOW_MS 1790856000000 /* Thu, 01 Oct 2026 12:00:00 +0000 */

static const struct dsn_recipient gone = {.address = "gone@example.net",
                                          .orcpt = "rfc822;old+2Bgone@example.net",
                                          .action = DSN_FAILED,
                                          .status = "5.1.1",
                                          .diagnostic = "550 5.1.1 No such user",
                                          .remote_mta = "mx.example.net",
                                          .last_attempt_ms = NOW_MS - 1000};

static struct dsn usual(const struct dsn_recipient *rcpts, size_t n)
{
    return (struct dsn){.hostname = "mail.example.org",
                        .queue_id = "1a2b",
                        .to = "sender@example.org",
                        .arrival_ms = NOW_MS - 60000,
                        .now_ms = NOW_MS,
                        .recipients = rcpts,
                        .n_recipients = n,
                        .returned = STR("From: sender@example.org\r\nSubject: hello\r\n")};
}

static void format(const struct dsn *d, struct buf *out)
{
    buf_init(out, 1 << 20);
    assert_int_equal(dsn_format(d, out), 0);
}

static bool holds(const struct buf *out, const char *text)
{
    return out->len > 0 && strstr(out->data, text) != NULL;
}

static void the_report_reads_as_it_should(void **state)
{
    (void)state;
    struct dsn d = usual(&gone, 1);
    d.envid = "id+3D7";
    struct buf out;
    format(&d, &out);
    assert_string_equal(
        out.data, "Date: Thu, 01 Oct 2026 12:00:00 +0000\r\n"
                  "From: Mail Delivery System <MAILER-DAEMON@mail.example.org>\r\n"
                  "To: <sender@example.org>\r\n"
                  "Subject: Your mail was not delivered\r\n"
                  "Message-ID: <1a0f755f200.1a2b.report@mail.example.org>\r\n"
                  "Auto-Submitted: auto-replied\r\n"
                  "MIME-Version: 1.0\r\n"
                  "Content-Type: multipart/report; report-type=delivery-status;\r\n"
                  "\tboundary=\"=_1a2b.1a0f755f200.0\"\r\n"
                  "\r\n"
                  "--=_1a2b.1a0f755f200.0\r\n"
                  "Content-Type: text/plain; charset=us-ascii\r\n"
                  "\r\n"
                  "This is the mail server mail.example.org.\r\n"
                  "\r\n"
                  "Your mail could not be delivered to the recipients below. No further attempt\r\n"
                  "will be made.\r\n"
                  "\r\n"
                  "  <gone@example.net>\r\n"
                  "    The server mx.example.net said:\r\n"
                  "      550 5.1.1 No such user\r\n"
                  "    What to do: Check the address for mistakes, and send again.\r\n"
                  "\r\n"
                  "If you need help, send this whole report to postmaster@mail.example.org.\r\n"
                  "The mail is known here as 1a2b.\r\n"
                  "\r\n"
                  "--=_1a2b.1a0f755f200.0\r\n"
                  "Content-Type: message/delivery-status\r\n"
                  "\r\n"
                  "Reporting-MTA: dns; mail.example.org\r\n"
                  "Original-Envelope-Id: id=7\r\n"
                  "Arrival-Date: Thu, 01 Oct 2026 11:59:00 +0000\r\n"
                  "\r\n"
                  "Original-Recipient: rfc822; old+gone@example.net\r\n"
                  "Final-Recipient: rfc822; gone@example.net\r\n"
                  "Action: failed\r\n"
                  "Status: 5.1.1\r\n"
                  "Remote-MTA: dns; mx.example.net\r\n"
                  "Diagnostic-Code: smtp; 550 5.1.1 No such user\r\n"
                  "Last-Attempt-Date: Thu, 01 Oct 2026 11:59:59 +0000\r\n"
                  "\r\n"
                  "--=_1a2b.1a0f755f200.0\r\n"
                  "Content-Type: text/rfc822-headers\r\n"
                  "\r\n"
                  "From: sender@example.org\r\n"
                  "Subject: hello\r\n"
                  "\r\n"
                  "--=_1a2b.1a0f755f200.0--\r\n");
    buf_done(&out);
}

/* RFC 2852: DLB-01 */
static void a_deadline_is_told(void **state)
{
    (void)state;
    struct dsn d = usual(&gone, 1);
    struct buf out;
    format(&d, &out);
    assert_false(holds(&out, "Deliver-By-Date"));
    buf_done(&out);
    d.deliver_by_ms = NOW_MS - 30000;
    format(&d, &out);
    assert_true(holds(&out, "Arrival-Date: Thu, 01 Oct 2026 11:59:00 +0000\r\n"
                            "Deliver-By-Date: Thu, 01 Oct 2026 11:59:30 +0000\r\n"
                            "\r\n"
                            "Original-Recipient:"));
    buf_done(&out);
}

static void each_action_has_its_words(void **state)
{
    (void)state;
    static const struct {
        enum dsn_action action;
        const char *subject, *field, *status;
    } rows[] = {
        {DSN_FAILED,    "Subject: Your mail was not delivered\r\n", "Action: failed\r\n",
         "Status: 5.0.0\r\n"},
        {DSN_DELAYED,   "Subject: Your mail is delayed\r\n",        "Action: delayed\r\n",
         "Status: 4.0.0\r\n"},
        {DSN_DELIVERED, "Subject: Your mail was delivered\r\n",     "Action: delivered\r\n",
         "Status: 2.0.0\r\n"},
        {DSN_RELAYED,   "Subject: Your mail was passed on\r\n",     "Action: relayed\r\n",
         "Status: 2.0.0\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct dsn_recipient rcpt = {.address = "u@example.net",
                                     .action = rows[i].action,
                                     .status = "nonsense",
                                     .retry_until_ms = NOW_MS};
        struct dsn d = usual(&rcpt, 1);
        struct buf out;
        format(&d, &out);
        check(rows[i].subject, holds(&out, rows[i].subject));
        check(rows[i].subject, holds(&out, rows[i].field));
        check(rows[i].subject, holds(&out, rows[i].status));
        bool delayed = rows[i].action == DSN_DELAYED;
        check(rows[i].subject, holds(&out, "Will-Retry-Until:") == delayed);
        check(rows[i].subject,
              holds(&out, "    Attempts will be made until Thu, 01 Oct") == delayed);
        check(rows[i].subject, holds(&out, "What to do:") == (rows[i].action == DSN_FAILED));
        check(rows[i].subject, !holds(&out, "Original-"));
        check(rows[i].subject, !holds(&out, "Remote-MTA"));
        check(rows[i].subject, !holds(&out, "Diagnostic-Code"));
        buf_done(&out);
    }
}

static void the_worst_action_names_a_mixed_report(void **state)
{
    (void)state;
    struct dsn_recipient rcpts[] = {
        {.address = "a@x.example", .action = DSN_DELIVERED, .status = "2.1.5"},
        {.address = "b@x.example", .action = DSN_FAILED,    .status = "5.7.1"},
        {.address = "c@x.example", .action = DSN_FAILED,    .status = "4.4.7"},
    };
    struct dsn d = usual(rcpts, ARRAY_LEN(rcpts));
    struct buf out;
    format(&d, &out);
    assert_true(holds(&out, "Subject: Your mail was not delivered\r\n"));
    assert_true(holds(
        &out,
        "\r\nFinal-Recipient: rfc822; a@x.example\r\nAction: delivered\r\nStatus: 2.1.5\r\n\r\n"));
    assert_true(holds(
        &out,
        "\r\nFinal-Recipient: rfc822; b@x.example\r\nAction: failed\r\nStatus: 5.7.1\r\n\r\n"));
    assert_true(holds(
        &out,
        "\r\nFinal-Recipient: rfc822; c@x.example\r\nAction: failed\r\nStatus: 4.4.7\r\n\r\n"));
    assert_true(holds(&out, "to have it allowed") || holds(&out, "to allow it"));
    assert_true(strstr(out.data, "could not be delivered") <
                strstr(out.data, "Your mail was delivered to"));
    buf_done(&out);
}

static void fields_appear_only_when_true(void **state)
{
    (void)state;
    static const struct {
        const char *name, *orcpt, *diagnostic, *remote, *status, *want, *never;
    } rows[] = {
        {"our own words",          NULL,          "no route to host", NULL,          "4.4.7",           "    no route to host\r\n",
         "Diagnostic-Code"                                                                                                                                      },
        {"reply without text",     NULL,          "550",              "mx.y",        "5.0.0",           "Diagnostic-Code: smtp; 550\r\n",
         "was asked"                                                                                                                                            },
        {"reply of several lines", NULL,          "550-a",            "mx.y",        "5.0.0",
         "Diagnostic-Code: smtp; 550-a\r\n",                                                                                                "was asked"         },
        {"number that is no code", NULL,          "1234 things",      NULL,          "5.0.0",           "    1234 things\r\n",
         "Diagnostic-Code"                                                                                                                                      },
        {"socket path",            NULL,          "550 x",            "/run/lmtp",   "5.0.0",
         "The server /run/lmtp said:",                                                                                                      "Remote-MTA"        },
        {"literal",                NULL,          "550 x",            "[192.0.2.1]", "5.0.0",           "Remote-MTA: dns; [192.0.2.1]\r\n",
         "X-"                                                                                                                                                   },
        {"silent server",          NULL,          NULL,               "mx.y",        "5.0.0",           "The server mx.y was asked.\r\n",
         "Diagnostic-Code"                                                                                                                                      },
        {"orcpt without type",     "a@b",         NULL,               NULL,          "5.0.0",           "Final-Recipient",                  "Original-Recipient"},
        {"orcpt that is no xtext", "rfc822;a+zz", NULL,               NULL,          "5.0.0",
         "Original-Recipient: rfc822; a+zz\r\n",                                                                                            "X-"                },
        {"status of four numbers", NULL,          NULL,               NULL,          "5.1.1.1",         "Status: 5.0.0\r\n",                "5.1.1"             },
        {"status of class 3",      NULL,          NULL,               NULL,          "3.1.1",           "Status: 5.0.0\r\n",                "3.1.1"             },
        {"status with text",       NULL,          NULL,               NULL,          "5.1.1\r\nX-A: b", "Status: 5.0.0\r\n",                "X-A"               },
        {"no status",              NULL,          NULL,               NULL,          NULL,              "Status: 5.0.0\r\n",                "null"              },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct dsn_recipient rcpt = {.address = "u@example.net",
                                     .orcpt = rows[i].orcpt,
                                     .status = rows[i].status,
                                     .diagnostic = rows[i].diagnostic,
                                     .remote_mta = rows[i].remote};
        struct dsn d = usual(&rcpt, 1);
        struct buf out;
        format(&d, &out);
        check(rows[i].name, holds(&out, rows[i].want));
        check(rows[i].name, !holds(&out, rows[i].never));
        buf_done(&out);
    }
}

/* RFC 6533: the address types, the second part and the report change together. */
static void utf8_addresses_bring_the_global_forms(void **state)
{
    (void)state;
    struct dsn_recipient rcpt = gone;
    rcpt.address = "\xc3\xa9t\xc3\xa9@example.net";
    rcpt.orcpt = "utf-8;\\x{E9}t\\x{E9}@example.net";
    rcpt.diagnostic = "550 5.1.1 \xc3\xa9t\xc3\xa9 is over";
    struct dsn d = usual(&rcpt, 1);
    struct buf out;
    format(&d, &out);
    assert_true(holds(&out, "multipart/report; report-type=global-delivery-status;"));
    assert_true(holds(
        &out,
        "Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n"));
    assert_true(holds(
        &out, "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"));
    assert_true(holds(&out, "Original-Recipient: utf-8; \\x{E9}t\\x{E9}@example.net\r\n"));
    assert_true(holds(&out, "Final-Recipient: utf-8; \xc3\xa9t\xc3\xa9@example.net\r\n"));
    assert_true(holds(&out, "Diagnostic-Code: smtp; 550 5.1.1 \xc3\xa9t\xc3\xa9 is over\r\n"));
    assert_true(holds(&out, "MIME-Version: 1.0\r\nContent-Type: "));
    assert_true(str_is_utf8(buf_str(&out)));
    buf_done(&out);
}

static void what_is_returned_has_the_right_type(void **state)
{
    (void)state;
    static const struct {
        const char *name, *returned;
        bool full;
        const char *type, *content, *never;
    } rows[] = {
        {"header",             "A: b\r\n",             false, "text/rfc822-headers\r\n\r\n", "A: b\r\n\r\n--", "8bit"          },
        {"header of more",     "A: b\r\n\r\nsecret",   false, "text/rfc822-headers\r\n\r\n",
         "A: b\r\n\r\n--",                                                                                     "secret"        },
        {"full",               "A: b\r\n\r\nbody\r\n", true,  "message/rfc822\r\n\r\n",
         "A: b\r\n\r\nbody\r\n\r\n--",                                                                         "8bit"          },
        {"full, 8-bit body",   "A: b\r\n\r\n\xe9\r\n", true,
         "message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",                        "\xe9",           "global"        },
        {"full, UTF-8 header", "A: \xc3\xa9\r\n\r\n",  true,
         "message/global\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",                        "A: \xc3\xa9",
         "rfc822-headers"                                                                                                      },
        {"UTF-8 header",       "A: \xc3\xa9\r\n",      false,
         "message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",                "A: \xc3\xa9",
         "rfc822-headers"                                                                                                      },
        {"8-bit header",       "A: \xe9\r\n",          false,
         "text/rfc822-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",                   "A: \xe9",        "global"        },
        {"nothing",            "",                     false, "message/delivery-status",     "--=_1a2b",       "rfc822-headers"},
        {"no header",          "\r\nbody",             false, "message/delivery-status",     "--=_1a2b",       "rfc822-headers"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct dsn d = usual(&gone, 1);
        struct buf out;
        d.returned = str_of(rows[i].returned);
        d.returned_is_full = rows[i].full;
        format(&d, &out);
        check(rows[i].name, holds(&out, rows[i].type));
        check(rows[i].name, holds(&out, rows[i].content));
        check(rows[i].name, !holds(&out, rows[i].never));
        check(rows[i].name, holds(&out, "\r\n--=_1a2b.1a0f755f200.0--\r\n"));
        buf_done(&out);
    }
}

static void a_long_header_is_cut_at_a_line(void **state)
{
    (void)state;
    struct buf header = BUF_INIT(1 << 20), out;
    for (unsigned i = 0; i < 10000; i++)
        assert_int_equal(buf_printf(&header, "X-Line: %u\r\n", i), 0);
    struct dsn d = usual(&gone, 1);
    d.returned = buf_str(&header);
    format(&d, &out);
    assert_in_range(out.len, 64000, 70000);
    const char *end = strstr(out.data, "\r\n--=_1a2b.1a0f755f200.0--");
    assert_non_null(end);
    unsigned last;
    assert_int_equal(sscanf(memrchr(out.data, 'X', (size_t)(end - out.data)), "X-Line: %u", &last),
                     1);
    char line[40];
    (void)snprintf(line, sizeof(line), "X-Line: %u\r\n\r\n--", last);
    assert_true(holds(&out, line));
    buf_done(&out);

    header.len = 0; /* one line longer than the bound */
    for (unsigned i = 0; i < 20000; i++)
        assert_int_equal(buf_puts(&header, "xxxxx"), 0);
    d.returned = buf_str(&header);
    format(&d, &out);
    assert_in_range(out.len, 1000, 3000);
    buf_done(&out);
    buf_done(&header);
}

static void the_boundary_avoids_what_is_returned(void **state)
{
    (void)state;
    struct dsn d = usual(&gone, 1);
    struct buf out, all = BUF_INIT(1 << 20);
    d.returned = STR("A: b\r\n\r\n--=_1a2b.1a0f755f200.0--\r\n=_1a2b.1a0f755f200.1\r\n");
    d.returned_is_full = true;
    format(&d, &out);
    assert_true(holds(&out, "boundary=\"=_1a2b.1a0f755f200.2\"\r\n"));
    assert_true(holds(&out, "\r\n--=_1a2b.1a0f755f200.2--\r\n"));
    buf_done(&out);

    for (unsigned i = 0; i < 2000; i++)
        assert_int_equal(buf_printf(&all, "=_1a2b.1a0f755f200.%u\r\n", i), 0);
    d.returned = buf_str(&all);
    format(&d, &out);
    assert_false(holds(&out, "message/rfc822"));
    assert_true(holds(&out, "Action: failed"));
    buf_done(&out);
    buf_done(&all);
}

/* D1, D2: of every line, and the count of fields, with texts from a hostile peer. */
static void hostile_texts_stay_where_they_are(void **state)
{
    (void)state;
    char big[5000], words[5000];
    memset(big, 'x', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    for (size_t i = 0; i < sizeof(words); i++)
        words[i] = i % 7 ? 'w' : ' ';
    words[sizeof(words) - 1] = '\0';
    const char *const texts[] = {"550 a\r\nX-Forged: b",
                                 "550 a\n\n--=_1a2b.1a0f755f200.0--",
                                 "550 \x1b[2J\x07\x7f",
                                 "550 \xff\xfe",
                                 "550 \xc3\xa9",
                                 "",
                                 "   ",
                                 "550 %s%n%d",
                                 "550 \r\n.\r\n",
                                 big,
                                 words};
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct dsn_recipient rcpt = {.address = texts[i],
                                     .orcpt = texts[i],
                                     .diagnostic = texts[i],
                                     .remote_mta = texts[i],
                                     .status = texts[i]};
        struct dsn d = usual(&rcpt, 1);
        struct buf out;
        d.envid = d.to = texts[i];
        format(&d, &out);
        check(texts[i], !holds(&out, "\nX-Forged"));
        check(texts[i], !holds(&out, "\n."));
        check(texts[i], strlen(out.data) == out.len);
        check(texts[i], strchr(texts[i], '\xc3') || str_is_ascii(buf_str(&out)));
        struct str rest = buf_str(&out);
        for (ssize_t lf; (lf = str_find(rest, '\n')) >= 0; rest = str_from(rest, (size_t)lf + 1)) {
            check(texts[i], lf > 0 && rest.p[lf - 1] == '\r');
            check(texts[i], lf - 1 <= 998);
            check(texts[i],
                  !str_has_control((struct str){rest.p, (size_t)lf - 1}) || rest.p[0] == '\t');
        }
        buf_done(&out);
    }
}

static void a_cut_text_ends_with_a_whole_character(void **state)
{
    (void)state;
    for (size_t shift = 0; shift < 3; shift++) {
        char text[2000] = "aaa";
        for (size_t i = shift; i + 3 < sizeof(text); i += 3)
            memcpy(text + i, "\xe2\x82\xac", 4);
        struct dsn_recipient rcpt = gone;
        rcpt.address = "\xc3\xa9@b";
        rcpt.diagnostic = text;
        struct dsn d = usual(&rcpt, 1);
        struct buf out;
        format(&d, &out);
        assert_true(str_is_utf8(buf_str(&out)));
        assert_true(holds(&out, "\xe2\x82\xac\r\n"));
        buf_done(&out);
    }
}

static void no_room_leaves_nothing_behind(void **state)
{
    (void)state;
    struct dsn d = usual(&gone, 1);
    struct buf whole;
    format(&d, &whole);
    for (size_t max = 6; max < whole.len + 6; max += 7) {
        struct buf out = BUF_INIT(max);
        assert_int_equal(buf_puts(&out, "before"), 0);
        assert_int_equal(dsn_format(&d, &out), -EMSGSIZE);
        assert_string_equal(out.data, "before");
        buf_done(&out);
    }
    buf_done(&whole);
}

int main(void)
{
    (void)setenv("TZ", "UTC0", 1);
    tzset();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_report_reads_as_it_should),
        cmocka_unit_test(each_action_has_its_words),
        cmocka_unit_test(a_deadline_is_told),
        cmocka_unit_test(the_worst_action_names_a_mixed_report),
        cmocka_unit_test(fields_appear_only_when_true),
        cmocka_unit_test(utf8_addresses_bring_the_global_forms),
        cmocka_unit_test(what_is_returned_has_the_right_type),
        cmocka_unit_test(a_long_header_is_cut_at_a_line),
        cmocka_unit_test(the_boundary_avoids_what_is_returned),
        cmocka_unit_test(hostile_texts_stay_where_they_are),
        cmocka_unit_test(a_cut_text_ends_with_a_whole_character),
        cmocka_unit_test(no_room_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
