/* The last changes to a message: addresses completed, lines no longer than a server must take. */
#include "unit.h"

#include "send/mend.h"

#include <errno.h>
#include <stdio.h>

#define DATE "Date: x\r\n"
#define ID "Message-ID: <a@b>\r\n"
#define FROM "From: a@x.org\r\n"
#define HEAD FROM DATE ID

#define A10 "aaaaaaaaaa"
#define A50 A10 A10 A10 A10 A10
#define A75 A50 A10 A10 "aaaaa"
#define A100 A50 A50
#define A500 A100 A100 A100 A100 A100
#define A485 A100 A100 A100 A100 A75 A10
#define A900 A500 A100 A100 A100 A100
#define A998 A900 A50 A10 A10 A10 A10 "aaaaaaaa"
#define A999 A998 "a"
#define A975_QP                                                                                    \
    A75 "=\r\n" A75 "=\r\n" A75 "=\r\n" A75 "=\r\n" A75 "=\r\n" A75 "=\r\n" A75 "=\r\n" A75        \
        "=\r\n" A75 "=\r\n" A75 "=\r\n" A75 "=\r\n" A75 "=\r\n" A75 "=\r\n"
#define A999_QP A975_QP A10 A10 "aaaa"
#define QP "Content-Transfer-Encoding: quoted-printable\r\n"
#define PLAIN(charset) "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=" charset "\r\n" QP
#define MIXED "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n"
#define MIXED_SIGNED "MIME-Version: 1.0\r\nContent-Type: multipart/signed; boundary=s\r\n"
#define E_ACUTE "\xc3\xa9"

struct result {
    struct send_text text;
    struct recipients to;
    struct intake_facts facts;
    bool body_is_8bit;
    int r;
    char why[MEND_WHY_MAX];
};

static void run(const char *in, const char *domain, struct result *ret)
{
    struct intake_config cfg = {.hostname = "x.org", .id = "id"};
    send_text_init(&ret->text);
    recipients_init(&ret->to);
    struct intake *intake = intake_new(&cfg, &ret->text, &ret->to);
    assert_int_equal(intake_write(intake, in, strlen(in)), 0);
    assert_int_equal(intake_finish(intake), 0);
    ret->facts = *intake_facts(intake);
    struct mend_config mend = {.facts = &ret->facts, .domain = domain};
    ret->r = mend_text(&ret->text, &mend, &ret->body_is_8bit, ret->why);
    intake_free(intake);
}

static void result_done(struct result *res)
{
    send_text_done(&res->text);
    recipients_done(&res->to);
}

struct row {
    const char *name, *in, *want; /* want NULL: as it came in */
};

static void check_rows(const struct row *rows, size_t n, const char *domain)
{
    for (size_t i = 0; i < n; i++) {
        struct result res;
        run(rows[i].in, domain, &res);
        if (res.r != 0)
            fail_msg("%s: %s", rows[i].name, res.why);
        const char *want = rows[i].want ? rows[i].want : rows[i].in;
        if (!str_eq(buf_str(&res.text.memory), str_of(want)))
            fail_msg("%s: wanted\n%s\nbut got\n%.*s", rows[i].name, want,
                     STR_FMT(buf_str(&res.text.memory)));
        check(rows[i].name, res.text.size == res.text.memory.len);
        result_done(&res);
    }
}

/* clang-format off */
static const struct row addresses[] = {
    {"as cron writes it", "From: root (Cron Daemon)\r\nTo: alice\r\n" DATE ID "\r\nTo: bob\r\n",
        "From: root@y.org (Cron Daemon)\r\nTo: alice@y.org\r\n" DATE ID "\r\nTo: bob\r\n"},
    {"every field that holds addresses", "Sender: s\r\nReply-To: r\r\nTO : t,\r\n\tu\r\nCc: c\r\nResent-From: f\r\nResent-To: g\r\n" HEAD "\r\n",
        "Sender: s@y.org\r\nReply-To: r@y.org\r\nTO : t@y.org,\r\n\tu@y.org\r\nCc: c@y.org\r\nResent-From: f@y.org\r\nResent-To: g@y.org\r\n" HEAD "\r\n"},
    {"no other", "Subject: root\r\nX-To: root\r\nIn-Reply-To: root\r\nResent-Date: root\r\n" HEAD "\r\n", NULL},
    {"whole already", "To: A <a@z.org>,\r\n b@z.org\r\n" HEAD "\r\nhi\r\n", NULL},
    {"not readable", "To: undisclosed recipients\r\nCc: a, <b\r\n" HEAD "\r\n", NULL},
    {"a header alone", "To: a\r\n" HEAD, "To: a@y.org\r\n" HEAD},
};
static const struct row headers[] = {
    {"998 octets", "Subject: " A900 A75 A10 "aaaa\r\n" HEAD "\r\n", NULL},
    {"999 octets", "X: " A500 " b " A500 "\r\n" HEAD "\r\n", "X: " A500 " b\r\n " A500 "\r\n" HEAD "\r\n"},
    {"several times", "X: " A500 " " A500 " \t" A500 "\r\n" HEAD "\r\n", "X: " A500 "\r\n " A500 "\r\n \t" A500 "\r\n" HEAD "\r\n"},
    {"behind the name, not before its colon", "X : " A900 A75 A10 A10 "\r\n" HEAD "\r\n", "X :\r\n " A900 A75 A10 A10 "\r\n" HEAD "\r\n"},
    {"a further line", "X: a\r\n b " A500 " " A500 "\r\n" HEAD "\r\n", "X: a\r\n b " A500 "\r\n " A500 "\r\n" HEAD "\r\n"},
    {"no line of blanks alone", "X: " A500 " " A485 "aaaaa" "        \r\n" HEAD "\r\n", "X: " A500 "\r\n " A485 "aaaaa" "        \r\n" HEAD "\r\n"},
    {"what was added is folded, too", "To: " A500 " " A485 " <a>\r\n" HEAD "\r\n", "To: " A500 " " A485 "\r\n <a@y.org>\r\n" HEAD "\r\n"},
};
static const struct row bodies[] = {
    {"998 octets", HEAD "\r\n" A998 "\r\n", NULL},
    {"999 octets", HEAD "\r\n" A999 "\r\n", HEAD PLAIN("us-ascii") "\r\n" A999_QP "\r\n"},
    {"the last line has no end", HEAD "\r\n" A999, HEAD PLAIN("us-ascii") "\r\n" A999_QP "\r\n"},
    {"lines that are short stay readable", HEAD "\r\na=b \r\n.\r\n" A999 "\r\n", HEAD PLAIN("us-ascii") "\r\na=3Db=20\r\n.\r\n" A999_QP "\r\n"},
    {"UTF-8", HEAD "\r\n" E_ACUTE "\r\n" A999 "\r\n", HEAD PLAIN("utf-8") "\r\n=C3=A9\r\n" A999_QP "\r\n"},
    {"unknown", HEAD "\r\n\xe9\r\n" A999 "\r\n", HEAD PLAIN("unknown-8bit") "\r\n=E9\r\n" A999_QP "\r\n"},
    {"what it says of its characters stays", "Content-Type: text/html; charset=latin1\r\nMIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\n" HEAD "\r\n\xe9\r\n" A999 "\r\n",
        "Content-Type: text/html; charset=latin1\r\nMIME-Version: 1.0\r\n" QP HEAD "\r\n=E9\r\n" A999_QP "\r\n"},
    {"base64 in one line", "MIME-Version: 1.0\r\nContent-Type: image/x\r\nContent-Transfer-Encoding: base64\r\n" HEAD "\r\n" A900 A100 "\r\n",
        "MIME-Version: 1.0\r\nContent-Type: image/x\r\nContent-Transfer-Encoding: base64\r\n" HEAD "\r\n" A75 "a\r\n" A75 "a\r\n" A75 "a\r\n" A75 "a\r\n" A75 "a\r\n" A75 "a\r\n" A75 "a\r\n" A75 "a\r\n" A75 "a\r\n" A75 "a\r\n" A75 "a\r\n" A75 "a\r\n" A75 "a\r\naaaaaaaaaaaa\r\n"},
    {"parts", MIXED HEAD "\r\n--b\r\n\r\n" A999 "\r\n--b\r\n" QP "\r\n=3D\r\n--b--\r\n", MIXED HEAD "\r\n--b\r\n" QP "\r\n" A999_QP "\r\n--b\r\n" QP "\r\n=3D\r\n--b--\r\n"},
    {"and an address", "To: a\r\n" HEAD "\r\n" A999 "\r\n", "To: a@y.org\r\n" HEAD PLAIN("us-ascii") "\r\n" A999_QP "\r\n"},
    {"8-bit in the header", "Subject: " E_ACUTE "\r\n" HEAD "\r\n" A999 "\r\n", "Subject: " E_ACUTE "\r\n" HEAD PLAIN("us-ascii") "\r\n" A999_QP "\r\n"},
};
/* clang-format on */

/* SUB-03, RFC 6409 4.2 */
static void addresses_in_the_header_are_completed(void **state)
{
    (void)state;
    check_rows(addresses, ARRAY_LEN(addresses), "y.org");
}

static void unless_nobody_asks_for_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        struct row row = {addresses[i].name, addresses[i].in, NULL};
        check_rows(&row, 1, NULL);
    }
}

/* RFC 5322 2.1.1, 2.2.3 */
static void long_lines_of_the_header_are_folded(void **state)
{
    (void)state;
    check_rows(headers, ARRAY_LEN(headers), "y.org");
}

/* SMTP-13, RFC 5321 4.5.3.1.6 */
static void long_lines_of_the_body_are_encoded(void **state)
{
    (void)state;
    check_rows(bodies, ARRAY_LEN(bodies), "y.org");
}

/* clang-format off */
static const struct refusal {
    const char *name, *in, *want; /* want: part of what is said */
} refusals[] = {
    {"signed", MIXED_SIGNED HEAD "\n--s\n\n" A999 "\n--s--\n", "line 9 is longer than 998 octets (RFC 5321 4.5.3.1.6), and cannot be encoded: a signature covers it"},
    {"the second, as the first can be", MIXED HEAD "\n--b\n\n" A999 "\n--b\n" QP "\n" A999 "\n--b--\n", "line 13 is longer than 998 octets (RFC 5321 4.5.3.1.6), and cannot be encoded: it says that it is encoded already"},
    {"counted as handed over", "Bcc: x@x.org\nBcc: y@x.org\n" MIXED HEAD "\n" A999 "\n", "line 9 is longer than 998 octets (RFC 5321 4.5.3.1.6), and cannot be encoded: it stands outside of every part"},
    {"without a header to speak of", "Content-Transfer-Encoding: x-uue\nbegin 644 x " A999 "\n", "line 2 is longer than"},
    {"another trouble than length", "Content-Type: multipart/mixed\n" HEAD "\n--b\n\n" A999 "\n", "line 8 is longer than 998 octets (RFC 5321 4.5.3.1.6), and cannot be encoded: a multipart names no boundary"},
    {"no space", "Subject: " A998 "\n" HEAD "\n", "a line of the field Subject is longer than 998 octets (RFC 5322 2.1.1), and has no space to fold it at"},
    {"no space but in front of the colon", "X :" A998 "\n" HEAD "\n", "a line of the field X is longer"},
};
/* clang-format on */

static void what_cannot_be_mended_is_said_and_stays(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refusals); i++) {
        struct result res;
        run(refusals[i].in, "y.org", &res);
        check(refusals[i].name, res.r == -EILSEQ);
        if (!strstr(res.why, refusals[i].want))
            fail_msg("%s: \"%s\" is not in: %s", refusals[i].name, refusals[i].want, res.why);
        check(refusals[i].name, memmem(res.text.memory.data, res.text.memory.len, A998, 998));
        result_done(&res);
    }
}

static void eight_bits_go_with_the_encoding(void **state)
{
    (void)state;
    static const struct {
        const char *name, *in;
        bool before, after;
    } table[] = {
        {"nothing encoded",   HEAD "\n" E_ACUTE "\n",                               true, true },
        {"encoded",           HEAD "\n" E_ACUTE "\n" A999 "\n",                     true, false},
        {"outside of a part", MIXED HEAD "\n" E_ACUTE "\n--b\n\n" A999 "\n--b--\n", true, true },
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct result res;
        run(table[i].in, NULL, &res);
        check(table[i].name, res.r == 0 && res.facts.body_is_8bit == table[i].before);
        check(table[i].name, res.body_is_8bit == table[i].after);
        result_done(&res);
    }
}

/* Pieces of the text as it is read end anywhere, and so does memory. */
static void a_large_message(void **state)
{
    (void)state;
    enum { LINES = 3000 };
    struct buf in = BUF_INIT(8 << 20), want = BUF_INIT(8 << 20);
    assert_int_equal(buf_puts(&in, "To: a\n" HEAD "\n"), 0);
    assert_int_equal(buf_puts(&want, "To: a@y.org\r\n" HEAD PLAIN("utf-8") "\r\n"), 0);
    for (int i = 0; i < LINES; i++) {
        assert_int_equal(buf_puts(&in, A999 E_ACUTE "\n"), 0);
        assert_int_equal(buf_puts(&want, A975_QP A10 A10 "aaaa=C3=A9\r\n"), 0);
    }
    struct result res;
    run(in.data, "y.org", &res);
    assert_int_equal(res.r, 0);
    assert_true(res.text.fd >= 0 && res.text.size == want.len);
    char *got = malloc(want.len);
    uint64_t at = 0;
    while (at < want.len) {
        ssize_t n = send_text_read(&res.text, at, got + at, want.len - at);
        assert_true(n > 0);
        at += (uint64_t)n;
    }
    assert_memory_equal(got, want.data, want.len);
    free(got);
    buf_done(&in);
    buf_done(&want);
    result_done(&res);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_in_the_header_are_completed),
        cmocka_unit_test(unless_nobody_asks_for_it),
        cmocka_unit_test(long_lines_of_the_header_are_folded),
        cmocka_unit_test(long_lines_of_the_body_are_encoded),
        cmocka_unit_test(what_cannot_be_mended_is_said_and_stays),
        cmocka_unit_test(eight_bits_go_with_the_encoding),
        cmocka_unit_test(a_large_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
