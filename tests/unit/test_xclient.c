#include "unit.h"

#include "smtp/xclient.h"

#include <errno.h>

static void good(void **state)
{
    (void)state;
    static const struct {
        const char *args;
        const char *name, *proto, *helo, *login, *destaddr;
        unsigned port, destport;
        size_t ip_len;
        unsigned char last; /* octet of the address */
    } rows[] = {
        {"ADDR=192.0.2.7 NAME=client.example.org LOGIN=alice@example.org", "client.example.org", "",
         "",                                                                                                             "alice@example.org",       "",            0,     0,   4,  7},
        {"addr=IPV6:2001:db8::9 port=50001 proto=ESMTP",                   "",                   "ESMTP", "",            "",                        "",            50001, 0,   16, 9},
        {"ADDR=2001:db8::9",                                               "",                   "",      "",            "",                        "",            0,     0,   16, 9},
        {"HELO=[192.0.2.9] PROTO=smtp",                                    "",                   "smtp",  "[192.0.2.9]", "",                        "",            0,     0,   0,  0},
        {"NAME=[UNAVAILABLE] ADDR=[TEMPUNAVAIL] LOGIN=[unavailable]",      "",                   "",      "",            "",                        "",            0,     0,   0,
         0                                                                                                                                                                          },
        {"LOGIN=a+2Bb+C3+A9@example.org",                                  "",                   "",      "",            "a+b\xc3\xa9@example.org", "",            0,     0,   0,  0},
        {"DESTADDR=203.0.113.1  DESTPORT=587",                             "",                   "",      "",            "",                        "203.0.113.1", 0,     587, 0,  0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct smtp_xclient x = {0};
        struct str bad;
        check(rows[i].args, smtp_xclient_parse(str_of(rows[i].args), &x, &bad) == 0);
        check(rows[i].args, strcmp(x.name, rows[i].name) == 0);
        check(rows[i].args, strcmp(x.proto, rows[i].proto) == 0);
        check(rows[i].args, strcmp(x.helo, rows[i].helo) == 0);
        check(rows[i].args, strcmp(x.login, rows[i].login) == 0);
        check(rows[i].args, strcmp(x.destaddr, rows[i].destaddr) == 0);
        check(rows[i].args, x.port == rows[i].port && x.destport == rows[i].destport);
        check(rows[i].args, x.ip_len == rows[i].ip_len);
        check(rows[i].args, x.ip_len == 0 || x.ip[x.ip_len - 1] == rows[i].last);
    }
}

static void bad(void **state)
{
    (void)state;
    static const struct {
        const char *args, *word;
    } rows[] = {
        {"",                              ""                         },
        {"ADDR",                          "ADDR"                     },
        {"=192.0.2.7",                    "=192.0.2.7"               },
        {"COLOUR=red",                    "COLOUR=red"               },
        {"NAME=a.example ADDR=192.0.2",   "ADDR=192.0.2"             },
        {"ADDR=IPV6:192.0.2.7",           "ADDR=IPV6:192.0.2.7"      },
        {"ADDR=192.0.2.7 ADDR=192.0.2.8", "ADDR=192.0.2.8"           },
        {"PORT=65536",                    "PORT=65536"               },
        {"PORT=",                         "PORT="                    },
        {"PROTO=LMTP",                    "PROTO=LMTP"               },
        {"NAME=[192.0.2.7]",              "NAME=[192.0.2.7]"         },
        {"NAME=a+20b",                    "NAME=a+20b"               },
        {"HELO=-",                        "HELO=-"                   },
        {"LOGIN=",                        "LOGIN="                   },
        {"LOGIN=a+0Ab",                   "LOGIN=a+0Ab"              },
        {"LOGIN=a+00b",                   "LOGIN=a+00b"              },
        {"LOGIN=+C0+AF",                  "LOGIN=+C0+AF"             },
        {"LOGIN=a+b",                     "LOGIN=a+b"                },
        {"LOGIN=a=b",                     "LOGIN=a=b"                },
        {"DESTADDR=mail.example.org",     "DESTADDR=mail.example.org"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct smtp_xclient x = {.port = 7};
        struct str word = STR("untouched");
        check(rows[i].args, smtp_xclient_parse(str_of(rows[i].args), &x, &word) == -EINVAL);
        check(rows[i].args, str_eq(word, str_of(rows[i].word)));
        check(rows[i].args, x.port == 7);
    }
}

static void too_long(void **state)
{
    (void)state;
    char args[400] = "LOGIN=";
    struct smtp_xclient x = {0}, none = {0};
    struct str word;
    memset(args + 6, 'a', 320);
    assert_int_equal(smtp_xclient_parse(str_of(args), &x, &word), 0);
    args[6 + 320] = 'a';
    x = none;
    assert_int_equal(smtp_xclient_parse(str_of(args), &x, &word), -EINVAL);
}

/* Dovecot's way where one command would be longer than 512 octets. */
static void several_commands(void **state)
{
    (void)state;
    struct smtp_xclient x = {0};
    struct str word;
    assert_int_equal(smtp_xclient_parse(STR("HELO=laptop.example LOGIN=alice NAME=[UNAVAILABLE]"), &x, &word), 0);
    assert_int_equal(smtp_xclient_parse(STR("PORT=50001 ADDR=192.0.2.7"), &x, &word), 0);
    assert_string_equal(x.helo, "laptop.example");
    assert_string_equal(x.login, "alice");
    assert_int_equal(x.port, 50001);
    assert_int_equal(x.ip_len, 4);
    static const char *const again[] = {"LOGIN=alice", "LOGIN=bob", "NAME=a.example", "PROTO=ESMTP ADDR=192.0.2.8"};
    for (size_t i = 0; i < ARRAY_LEN(again); i++) {
        struct smtp_xclient before = x;
        check(again[i], smtp_xclient_parse(str_of(again[i]), &x, &word) == -EINVAL);
        check(again[i], memcmp(&before, &x, sizeof(x)) == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(bad),
        cmocka_unit_test(too_long),
        cmocka_unit_test(several_commands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
