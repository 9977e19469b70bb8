#include "unit.h"

#include "message/downgrade.h"
#include "mimekit.h"

#include <errno.h>

#define TEXT_MAX (4 << 20)

static int keep(void *arg, const char *data, size_t len)
{
    return buf_append(arg, data, len);
}

static const struct downgrade_config to_7bit, lines_only = {.lines_only = true, .charset = "utf-8"};

static int convert_by(
    const struct downgrade_config *cfg, struct str text, size_t piece, struct buf *out, char *why)
{
    struct downgrade *d = downgrade_new(cfg, keep, out);
    int r = 0;
    while (text.len && r == 0) {
        struct str head = str_upto(text, piece);
        r = downgrade_write(d, head.p, head.len);
        text = str_from(text, head.len);
    }
    int end = downgrade_finish(d);
    if (why)
        strcpy(why, downgrade_why(d));
    downgrade_free(d);
    return r ? r : end;
}

static int convert(struct str text, size_t piece, struct buf *out)
{
    return convert_by(&to_7bit, text, piece, out, NULL);
}

#define E_ACUTE "\xc3\xa9"
#define MIME "MIME-Version: 1.0\r\n"
#define TEXT MIME "Content-Type: text/plain\r\n"

/* BIT-01, CHNK-03: the forms messages have, and what becomes of them to the octet. */
static void each_form_has_its_encoding(void **state)
{
    (void)state;
    static const struct {
        const char *name, *in, *out; /* out NULL: it cannot be done */
    } rows[] = {
        {"text in 8bit",
         TEXT "Content-Transfer-Encoding: 8bit\r\nSubject: x\r\n\r\n" E_ACUTE "=\r\nplain\r\n",
         TEXT
         "Content-Transfer-Encoding: quoted-printable\r\nSubject: x\r\n\r\n=C3=A9=3D\r\nplain\r\n"                                                                                                   },
        {"no MIME",                       "Subject: x\r\n\r\n" E_ACUTE "\r\n",
         "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"
         "Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9\r\n"                                                                                                                             },
        {"no version",                    "Content-Type: text/plain; charset=utf-8\r\n\r\n" E_ACUTE "\r\n",
         "Content-Type: text/plain; charset=utf-8\r\nMIME-Version: 1.0\r\n"
         "Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9\r\n"                                                                                                                             },
        {"says 7bit and is not",          TEXT "Content-Transfer-Encoding: 7bit\r\n\r\n" E_ACUTE "\r\n",
         TEXT "Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9\r\n"                                                                                                                        },
        {"blanks at the end of a line",
         TEXT "Content-Transfer-Encoding: 8bit\r\n\r\na \r\n\t\r\nb  c \r\n",
         TEXT "Content-Transfer-Encoding: quoted-printable\r\n\r\na=20\r\n=09\r\nb  c=20\r\n"                                                                                                        },
        {"a long line",
         TEXT "Content-Transfer-Encoding: 8bit\r\n\r\n"
              "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" E_ACUTE
              "b\r\n",                                                                                      TEXT "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
              "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa=\r\n=C3="
              "A9b\r\n"                                                                                                                                                        },
        {"not text",
         MIME "Content-Type: application/x\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xff\xfe\r\n",
         MIME
         "Content-Type: application/x\r\nContent-Transfer-Encoding: base64\r\n\r\n//4NCg==\r\n"                                                                                                      },
        {"binary text",                   TEXT "Content-Transfer-Encoding: binary\r\n\r\na\nb",
         TEXT "Content-Transfer-Encoding: base64\r\n\r\nYQpi\r\n"                                                                                                                                    },
        {"binary that does not say so",   TEXT "\r\na\nb\rc",
         TEXT "Content-Transfer-Encoding: quoted-printable\r\n\r\na=0Ab=0Dc=\r\n"                                                                                                                    },
        {"encoded already",               TEXT "Content-Transfer-Encoding: base64\r\n\r\nYQpi\r\n",
         TEXT "Content-Transfer-Encoding: base64\r\n\r\nYQpi\r\n"                                                                                                                                    },
        {"multipart",
         MIME "Content-Transfer-Encoding: 8bit\r\nContent-Type: multipart/mixed; "
              "boundary=b\r\n\r\npr" E_ACUTE "\r\n--b\r\n\r\n" E_ACUTE
              "\r\n--b \r\nContent-Type: image/x\r\nContent-Transfer-Encoding: "
              "binary\r\n\r\n\r\n\r\n--b--\r\n" E_ACUTE "\r\n",
         MIME "Content-Transfer-Encoding: 7bit\r\nContent-Type: multipart/mixed; "
              "boundary=b\r\n\r\npr??\r\n"
              "--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9\r\n"
              "--b \r\nContent-Type: image/x\r\nContent-Transfer-Encoding: "
              "base64\r\n\r\nDQo=\r\n--b--\r\n??\r\n"                                                                                                                                                },
        {"what looks like a boundary",
         MIME "Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\n\r\n--bb\r\n-- "
              "b\r\n--b-\r\n--b--\r\n",                                                                     MIME
         "Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n--b\r\n"
         "Content-Transfer-Encoding: quoted-printable\r\n\r\n--bb\r\n-- b\r\n--b-\r\n--b--\r\n"                                                               },
        {"a message in it",
         MIME "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: "
              "in\r\n\r\n" E_ACUTE "\r\n",
         MIME "Content-Type: message/rfc822\r\nContent-Transfer-Encoding: 7bit\r\n\r\nSubject: "
              "in\r\nMIME-Version: 1.0\r\n"
              "Content-Type: text/plain; charset=unknown-8bit\r\nContent-Transfer-Encoding: "
              "quoted-printable\r\n\r\n=C3=A9\r\n"                                                                                                                                                   },
        {"a digest",
         MIME "Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\nFrom: a\r\n\r\n" E_ACUTE
              "\r\n--d--\r\n",                                                                              MIME "Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\nFrom: "
              "a\r\nMIME-Version: 1.0\r\n"
              "Content-Type: text/plain; charset=unknown-8bit\r\nContent-Transfer-Encoding: "
              "quoted-printable\r\n\r\n=C3=A9\r\n--d--\r\n"                                                                                                            },
        {"what is signed stays",
         MIME
         "Content-Type: multipart/signed; "
         "boundary=s\r\n\r\n--s\r\n\r\nplain=\r\n--s\r\nContent-Type: a/b\r\n\r\nsig\r\n--s--\r\n",         MIME
         "Content-Type: multipart/signed; "
         "boundary=s\r\n\r\n--s\r\n\r\nplain=\r\n--s\r\nContent-Type: a/b\r\n\r\nsig\r\n--s--\r\n"},
        {"an unclosed multipart",
         MIME "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: "
              "8bit\r\n\r\n" E_ACUTE "\r\n",
         MIME "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
              "Content-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9\r\n"                                                                                                                        },
        {"a header alone",                "Subject: x\r\n",
         "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n"
         "Content-Transfer-Encoding: quoted-printable\r\n"                                                                                                                                           },
        {"8-bit in a header",             "Subject: " E_ACUTE "\r\n\r\nx\r\n",                              NULL                                                                                     },
        {"8-bit in the header of a part",
         MIME
         "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Description: " E_ACUTE
         "\r\n\r\nx\r\n--b--\r\n",                                                                          NULL                                                                                     },
        {"8-bit in what is encoded",
         TEXT "Content-Transfer-Encoding: base64\r\n\r\n" E_ACUTE "\r\n",                                   NULL                                                                                     },
        {"8-bit under a signature",
         MIME "Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\n" E_ACUTE
              "\r\n--s--\r\n",                                                                              NULL                                                                                     },
        {"no boundary",                   MIME "Content-Type: multipart/mixed\r\n\r\n" E_ACUTE "\r\n",      NULL                                                                                     },
        {"a bare LF in a header",         "Subject: a\nb: c\r\n\r\nx\r\n",                                  NULL                                                                                     },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out = BUF_INIT(TEXT_MAX);
        int r = convert(str_of(rows[i].in), SIZE_MAX, &out);
        check(rows[i].name, r == (rows[i].out ? 0 : -EILSEQ));
        if (rows[i].out && !str_eq(buf_str(&out), str_of(rows[i].out)))
            fail_msg("%s: wanted\n%s\nbut got\n%s", rows[i].name, rows[i].out, buf_str(&out).p);
        buf_done(&out);
    }
}

#define A25 "aaaaaaaaaaaaaaaaaaaaaaaaa"
#define A75 A25 A25 A25
#define A100 A25 A75
#define A1000 A100 A100 A100 A100 A100 A100 A100 A100 A100 A100
#define A1000_QP                                                                                   \
    A75 "=\r\n" A75 "=\r\n" A75 "=\r\n" A75 "=\r\n" A75 "=\r\n" A75 "=\r\n" A75 "=\r\n" A75        \
        "=\r\n" A75 "=\r\n" A75 "=\r\n" A75 "=\r\n" A75 "=\r\n" A75 "=\r\n" A25
#define MIXED MIME "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
#define QP "Content-Transfer-Encoding: quoted-printable\r\n"
#define SIGNED "Content-Type: multipart/signed; boundary=s\r\n\r\n"

/* SMTP-13: lines that are too long go, and nothing else does: octets above ASCII and signatures stay. */
static void long_lines_alone(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct {
        const char *name, *in, *out; /* out NULL: it cannot be done */
        const char *why;
    } rows[] = {
        {"no MIME", "Subject: " E_ACUTE "\r\n\r\n" A1000 "\r\n",
         "Subject: " E_ACUTE "\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n" QP
         "\r\n" A1000_QP "\r\n", ""},
        {"text in 8bit", TEXT "Content-Transfer-Encoding: 8bit\r\n\r\n" E_ACUTE "\r\n" A1000 "\r\n",
         TEXT QP "\r\n=C3=A9\r\n" A1000_QP "\r\n", ""},
        {"in one of the parts", MIXED "pr" E_ACUTE "\r\n--b\r\n\r\n" A1000 "\r\n--b\r\n" SIGNED
         "--s\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" E_ACUTE "\r\n--s--\r\n--b--\r\nend " E_ACUTE "\r\n",
         MIXED "pr" E_ACUTE "\r\n--b\r\n" QP "\r\n" A1000_QP "\r\n--b\r\n" SIGNED
         "--s\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" E_ACUTE "\r\n--s--\r\n--b--\r\nend " E_ACUTE "\r\n", ""},
        {"8bit holds a part in 8bit", MIME "Content-Transfer-Encoding: 8bit\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
         "--b\r\nContent-Description: " E_ACUTE "\r\n\r\nx\r\n--b--\r\n",
         MIME "Content-Transfer-Encoding: 8bit\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
         "--b\r\nContent-Description: " E_ACUTE "\r\n" QP "\r\nx\r\n--b--\r\n", ""},
        {"base64 in one line", TEXT "Content-Transfer-Encoding: BASE64\r\n\r\n" A100 "\r\nYQ==\r\n",
         TEXT "Content-Transfer-Encoding: BASE64\r\n\r\n" A75 "a\r\naaaaaaaaaaaaaaaaaaaaaaaa\r\nYQ==\r\n", ""},
        {"base64 under a signature stays", MIME SIGNED "--s\r\nContent-Transfer-Encoding: base64\r\n\r\n" A100 "\r\n--s--\r\n",
         MIME SIGNED "--s\r\nContent-Transfer-Encoding: base64\r\n\r\n" A100 "\r\n--s--\r\n", ""},
        {"signed", MIME SIGNED "--s\r\n\r\n" A1000 "\r\n--s--\r\n", NULL, "a signature covers it"},
        {"signed in 8bit", MIME SIGNED "--s\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" A1000 "\r\n--s--\r\n", NULL,
         "a signature covers it"},
        {"encoded already", TEXT QP "\r\n" A1000 "\r\n", NULL, "it says that it is encoded already"},
        {"before the first part", MIXED A1000 "\r\n--b\r\n\r\nx\r\n--b--\r\n", NULL, "it stands outside of every part"},
        {"a report", MIME "Content-Type: message/delivery-status\r\n\r\nX: " A1000 "\r\n", NULL,
         "what is of its type may not be encoded"},
        {"the header of a part", MIXED "--b\r\nX: " A1000 "\r\n\r\nx\r\n--b--\r\n", NULL, "it belongs to a header"},
        {"no boundary", MIME "Content-Type: multipart/mixed\r\n\r\n" A1000 "\r\n", NULL, "a multipart names no boundary"},
    };
    /* clang-format on */
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out = BUF_INIT(TEXT_MAX), pieces = BUF_INIT(TEXT_MAX);
        char why[100];
        int r = convert_by(&lines_only, str_of(rows[i].in), SIZE_MAX, &out, why);
        check(rows[i].name, r == (rows[i].out ? 0 : -EILSEQ));
        check(rows[i].name, strcmp(why, rows[i].why) == 0);
        if (rows[i].out && !str_eq(buf_str(&out), str_of(rows[i].out)))
            fail_msg("%s: wanted\n%s\nbut got\n%s", rows[i].name, rows[i].out, buf_str(&out).p);
        check(rows[i].name, convert_by(&lines_only, str_of(rows[i].in), 3, &pieces, why) == r);
        check(rows[i].name, r < 0 || str_eq(buf_str(&out), buf_str(&pieces)));
        buf_done(&out);
        buf_done(&pieces);
    }
}

/* W2 */
static bool is_7bit(struct str s)
{
    size_t column = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool end = c == '\r' && i + 1 < s.len && s.p[i + 1] == '\n';
        if (c == 0 || c >= 0x80 || (c == '\r' && !end) ||
            (c == '\n' && (i == 0 || s.p[i - 1] != '\r')))
            return false;
        column = c == '\n' ? 0 : column + 1;
        if (column > 999)
            return false;
    }
    return true;
}

/* Whatever a message is made of: what comes out is 7-bit, says the same, and does not depend on the pieces. */
static void what_is_converted_decodes_to_the_same(void **state)
{
    (void)state;
    unsigned char seed[4096];
    uint64_t x = 88172645463325252u;
    for (unsigned round = 0; round < 3000; round++) {
        for (size_t i = 0; i < sizeof(seed); i++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            seed[i] = (unsigned char)x;
        }
        struct mime_source s = {seed, sizeof(seed), 0};
        struct buf in = BUF_INIT(TEXT_MAX), out = BUF_INIT(TEXT_MAX), again = BUF_INIT(TEXT_MAX);
        struct buf want = BUF_INIT(TEXT_MAX), got = BUF_INIT(TEXT_MAX);
        mime_say(&in, "From: a@example.org\r\nMIME-Version: 1.0\r\n");
        mime_entity(&s, 4, true, false, &in, &want);
        int r = convert(buf_str(&in), SIZE_MAX, &out);
        if (r < 0)
            fail_msg("round %u: %s\n%.*s", round, strerror(-r), STR_FMT(buf_str(&in)));
        mime_read(buf_str(&out), &got);
        if (!is_7bit(buf_str(&out)) || !str_eq(buf_str(&got), buf_str(&want)))
            fail_msg("round %u\n%.*s\n---- became\n%.*s", round, STR_FMT(buf_str(&in)),
                     STR_FMT(buf_str(&out)));
        assert_int_equal(convert(buf_str(&in), 1 + round % 7, &again), 0);
        assert_true(str_eq(buf_str(&again), buf_str(&out)));
        buf_done(&in), buf_done(&out), buf_done(&again), buf_done(&want), buf_done(&got);
    }
}

static void a_header_has_a_maximum(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(TEXT_MAX);
    struct downgrade *d = downgrade_new(&to_7bit, keep, &out);
    int r = 0;
    for (size_t i = 0; i < DOWNGRADE_HEADER_MAX / 16 + 1 && r == 0; i++)
        r = downgrade_write(d, "X-Filler: abc \r\n", 16);
    assert_int_equal(r, -EMSGSIZE);
    assert_int_equal(downgrade_finish(d), -EMSGSIZE);
    assert_int_equal(out.len, 0);
    downgrade_free(d);
    buf_done(&out);
}

static int full(void *arg, const char *data, size_t len)
{
    (void)arg;
    (void)data;
    (void)len;
    return -ENOSPC;
}

static void an_error_of_the_owner_ends_it(void **state)
{
    (void)state;
    struct downgrade *d = downgrade_new(&to_7bit, full, NULL);
    assert_int_equal(downgrade_write(d, "A: b\r\n\r\n", 8), -ENOSPC);
    assert_int_equal(downgrade_write(d, "c", 1), -ENOSPC);
    assert_int_equal(downgrade_finish(d), -ENOSPC);
    downgrade_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_form_has_its_encoding),
        cmocka_unit_test(long_lines_alone),
        cmocka_unit_test(what_is_converted_decodes_to_the_same),
        cmocka_unit_test(a_header_has_a_maximum),
        cmocka_unit_test(an_error_of_the_owner_ends_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
