#include "unit.h"

#include "message/received.h"

#include <errno.h>
#include <regex.h>
#include <time.h>

#define NOW_MS 1790856000000 /* Thu, 01 Oct 2026 12:00:00 +0000 */

static struct received_facts usual(void)
{
    return (struct received_facts){.helo = STR("client.example.net"),
                                   .peer_address = "192.0.2.1",
                                   .hostname = "mail.example.org",
                                   .queue_id = "1a2b",
                                   .esmtp = true,
                                   .now_ms = NOW_MS};
}

static struct received_facts full(void)
{
    struct received_facts f = usual();
    f.tls = f.authenticated = true;
    f.tls_version = "TLSv1.3";
    f.tls_cipher = "TLS_AES_256_GCM_SHA384";
    f.tls_group = "x25519";
    f.for_path = "u@example.com";
    return f;
}

static void assert_field(const struct received_facts *f, const char *want)
{
    struct buf out = BUF_INIT(2000);
    assert_int_equal(received_format(f, &out), 0);
    assert_string_equal(out.data, want);
    buf_done(&out);
}

/* TRC-05: the suite by its registered name, the group right behind it. */
static void the_field_is_as_the_standard_has_it(void **state)
{
    (void)state;
    struct received_facts f = full();
    assert_field(&f, "Received: from client.example.net ([192.0.2.1])\r\n"
                     "\tby mail.example.org with ESMTPSA id 1a2b\r\n"
                     "\tfor <u@example.com>\r\n"
                     "\ttls TLS_AES_256_GCM_SHA384 group x25519 (TLSv1.3);\r\n"
                     "\tThu, 01 Oct 2026 12:00:00 +0000\r\n");
    f = usual();
    assert_field(&f, "Received: from client.example.net ([192.0.2.1])\r\n"
                     "\tby mail.example.org with ESMTP id 1a2b;\r\n"
                     "\tThu, 01 Oct 2026 12:00:00 +0000\r\n");
}

/* The clauses of RFC 5321 4.4 in their order, optional ones included, no obsolete date (TRC-02). */
static bool fits_the_grammar(const char *field)
{
#define LITERAL "\\[(IPv6:[0-9a-fA-F:.]+|[0-9.]+)]"
    static const char pattern[] =
        "^Received: from ([a-zA-Z0-9_.-]+|" LITERAL ")( \\(" LITERAL "\\))?\r\n"
        "\tby [a-z.]+ with [A-Z0-9]+ id [0-9a-z]+"
        "(\r\n\tfor <[^>\r\n]+>)?"
        "(\r\n\ttls [A-Z0-9_]+( group [a-z0-9]+)?( \\([^)]*\\))?)?;\r\n"
        "\t[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} "
        "[+-][0-9]{4}\r\n$";
    regex_t re;
    assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
    bool fits = regexec(&re, field, 0, NULL, 0) == 0;
    regfree(&re);
    return fits;
}

static void every_combination_fits_the_grammar(void **state)
{
    (void)state;
    static const char *const helos[] = {
        "h", "my_host", "[192.0.2.1]", "[IPv6:::1]", "[::1]", "[2001:db8::2]", ""};
    static const char *const peers[] = {"192.0.2.1", "2001:db8::1", "::ffff:1.2.3.4",
                                        "fe80::1%eth0", NULL};
    for (unsigned i = 0; i < ARRAY_LEN(helos) * ARRAY_LEN(peers) * 16; i++) {
        struct received_facts f = full();
        unsigned rest = i / 16;
        f.helo = str_of(helos[rest % ARRAY_LEN(helos)]);
        f.peer_address = peers[rest / ARRAY_LEN(helos)];
        f.tls = i & 1;
        if (i & 2)
            f.tls_version = NULL;
        if (i & 4)
            f.tls_group = NULL;
        if (i & 8)
            f.for_path = NULL;
        struct buf out = BUF_INIT(2000);
        assert_int_equal(received_format(&f, &out), 0);
        check(out.data, fits_the_grammar(out.data));
        buf_done(&out);
    }
}

static void literals_are_tagged(void **state)
{
    (void)state;
    static const struct {
        const char *helo, *peer, *want;
    } rows[] = {
        {"[::1]",       "::1",          "Received: from [IPv6:::1] ([IPv6:::1])\r\n"    },
        {"[IPv6:::1]",  "fe80::1%eth0", "Received: from [IPv6:::1] ([IPv6:fe80::1])\r\n"},
        {"[192.0.2.9]", "192.0.2.1",    "Received: from [192.0.2.9] ([192.0.2.1])\r\n"  },
        {"[x:y]",       NULL,           "Received: from [x:y]\r\n"                      },
        {"h",           "2001:db8::1",  "Received: from h ([IPv6:2001:db8::1])\r\n"     },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct received_facts f = usual();
        struct buf out = BUF_INIT(2000);
        f.helo = str_of(rows[i].helo);
        f.peer_address = rows[i].peer;
        assert_int_equal(received_format(&f, &out), 0);
        check(rows[i].want, str_starts_nocase(buf_str(&out), str_of(rows[i].want)));
        buf_done(&out);
    }
}

/* TRC-04 */
static void the_protocol_tells_what_happened(void **state)
{
    (void)state;
    static const struct {
        bool esmtp, tls, auth, utf8;
        const char *want;
    } rows[] = {
        {false, false, false, false, "SMTP"      },
        {false, true,  true,  true,  "SMTP"      },
        {true,  false, false, false, "ESMTP"     },
        {true,  true,  false, false, "ESMTPS"    },
        {true,  false, true,  false, "ESMTPA"    },
        {true,  true,  true,  false, "ESMTPSA"   },
        {true,  false, false, true,  "UTF8SMTP"  },
        {true,  true,  false, true,  "UTF8SMTPS" },
        {true,  false, true,  true,  "UTF8SMTPA" },
        {true,  true,  true,  true,  "UTF8SMTPSA"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *got = received_protocol(rows[i].esmtp, rows[i].tls, rows[i].auth, rows[i].utf8);
        check(rows[i].want, strcmp(got, rows[i].want) == 0);
    }
}

static void lines_stay_short_with_everything_at_its_maximum(void **state)
{
    (void)state;
    char host[256] = {0}, path[321] = {0};
    memset(host, 'h', sizeof(host) - 1);
    memset(path, 'p', sizeof(path) - 1);
    struct received_facts f = full();
    f.helo = str_of(host);
    f.hostname = host;
    f.for_path = path;
    struct buf out = BUF_INIT(4000);
    assert_int_equal(received_format(&f, &out), 0);
    struct str rest = buf_str(&out);
    for (ssize_t lf; (lf = str_find(rest, '\n')) >= 0; rest = str_from(rest, (size_t)lf + 1))
        assert_in_range(lf, 1, 998 + 1);
    buf_done(&out);
}

static void nothing_forges_a_second_field(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(2000);
    assert_int_equal(buf_puts(&out, "before"), 0);
    struct received_facts f = full();
    f.for_path = "u@x\r\nX-Forged: 1";
    assert_int_equal(received_format(&f, &out), -EINVAL);
    f = full();
    f.helo = STR("h\0h");
    assert_int_equal(received_format(&f, &out), -EINVAL);
    assert_string_equal(out.data, "before");
    buf_done(&out);
}

static void no_room_leaves_nothing_behind(void **state)
{
    (void)state;
    struct received_facts f = full();
    for (size_t max = 6; max < 150; max++) {
        struct buf out = BUF_INIT(max);
        assert_int_equal(buf_puts(&out, "before"), 0);
        assert_int_equal(received_format(&f, &out), -EMSGSIZE);
        assert_string_equal(out.data, "before");
        buf_done(&out);
    }
}

static void set_zone(const char *zone)
{
    (void)setenv("TZ", zone, 1);
    tzset();
}

static void dates_carry_a_numeric_offset(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *zone, *want;
    } rows[] = {
        {NOW_MS,       "UTC0",                       "Thu, 01 Oct 2026 12:00:00 +0000"     },
        {NOW_MS + 999, "UTC0",                       "Thu, 01 Oct 2026 12:00:00 +0000"     },
        {NOW_MS,       "CET-1CEST,M3.5.0,M10.5.0/3", "Thu, 01 Oct 2026 14:00:00 +0200"     },
        {NOW_MS,       "IST-5:30",                   "Thu, 01 Oct 2026 17:30:00 +0530"     },
        {NOW_MS,       "NST3:30",                    "Thu, 01 Oct 2026 08:30:00 -0330"     },
        {0,            "UTC0",                       "Thu, 01 Jan 1970 00:00:00 +0000"     },
        {-1,           "UTC0",                       "Wed, 31 Dec 1969 23:59:59 +0000"     },
        {951782400000, "UTC0",                       "Tue, 29 Feb 2000 00:00:00 +0000"     },
        {INT64_MAX,    "UTC0",                       "Sun, 17 Aug 292278994 07:12:55 +0000"},
        {INT64_MIN,    "UTC0",                       NULL                                  }, /* no crash, no overrun */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char out[40];
        set_zone(rows[i].zone);
        date_format(rows[i].ms, out);
        check(rows[i].zone, !rows[i].want || strcmp(out, rows[i].want) == 0);
    }
    set_zone("UTC0");
}

/* MSG-02: what a client wrote stays when any reader of dates would understand it. */
static void a_date_is_known_when_it_is_one(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        bool want;
    } rows[] = {
        {" Thu, 01 Oct 2026 12:00:00 +0000",              true },
        {"1 Oct 2026 12:00 -0330",                        true },
        {" Thu, 1 Oct 26 1:2:3 GMT",                      true },
        {" thu,\r\n 1 OCT 2026 12:00:60 +0100 (CET)\r\n", true },
        {" (a \\) b) 1 Jan 70 0:0 Z",                     true },
        {" Fri , 1 Jan 1999 23 : 59 : 59 EST",            true },
        {"",                                              false},
        {" yesterday",                                    false},
        {" 2026-10-01T12:00:00Z",                         false},
        {" Thu Oct  1 12:00:00 2026",                     false},
        {" Don, 01 Okt 2026 12:00:00 +0000",              false},
        {" Thu, 32 Oct 2026 12:00:00 +0000",              false},
        {" Thu, 01 Oct 2026 24:00:00 +0000",              false},
        {" Thu, 01 Oct 2026 12:00:00",                    false},
        {" Thu, 01 Oct 2026 12:00:00 +000",               false},
        {" Thu, 01 Oct 2026 12:00:00 +0000 x",            false},
        {" Thu, 01 Oct 2026",                             false},
        {" (unclosed",                                    false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check(rows[i].body, date_is_valid(str_of(rows[i].body)) == rows[i].want);
}

int main(void)
{
    set_zone("UTC0");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_field_is_as_the_standard_has_it),
        cmocka_unit_test(every_combination_fits_the_grammar),
        cmocka_unit_test(literals_are_tagged),
        cmocka_unit_test(the_protocol_tells_what_happened),
        cmocka_unit_test(lines_stay_short_with_everything_at_its_maximum),
        cmocka_unit_test(nothing_forges_a_second_field),
        cmocka_unit_test(no_room_leaves_nothing_behind),
        cmocka_unit_test(dates_carry_a_numeric_offset),
        cmocka_unit_test(a_date_is_known_when_it_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
