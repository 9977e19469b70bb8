#include "unit.h"

#include "smtp/proxy.h"

#include <errno.h>
#include <stdio.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4                                                                                         \
    "\xc0\x00\x02\x07\xc6\x33\x64\x01\xc3\x51\x02\x4b" /* 192.0.2.7:50001 -> 198.51.100.1:587 */
#define V6                                                                                         \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07"                                                   \
    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\xc3\x51\x02\x4b"
#define OCTETS(s)                                                                                  \
    {                                                                                              \
        (s), sizeof(s) - 1                                                                         \
    }

/* The fixed part in front of a body. */
static struct str header(char *to, char version_command, char family, struct str body)
{
    memcpy(to, SIGNATURE, 12);
    to[12] = version_command;
    to[13] = family;
    to[14] = (char)(body.len >> 8);
    to[15] = (char)body.len;
    memcpy(to + 16, body.p, body.len);
    return (struct str){to, 16 + body.len};
}

static void bodies(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        char command, family;
        struct str body;
        bool good;
        struct proxy_header want; /* address and text are looked at below */
    } rows[] = {
        {"IPv4",                                  0x21, 0x11, OCTETS(V4),                        true,  {.family = PROXY_INET, .port = 50001}                                                    },
        {"IPv6",                                  0x21, 0x21, OCTETS(V6),                        true,  {.family = PROXY_INET6, .port = 50001}                                                   },
        {"LOCAL",                                 0x20, 0x00, OCTETS(""),                        true,  {.local = true}                                                                          },
        {"LOCAL with anything",                   0x20, 0x11, OCTETS("\xff"),                    true,  {.local = true}                                                                          },
        {"UNSPEC",                                0x21, 0x00, OCTETS("abc"),                     true,  {.family = PROXY_UNKNOWN}                                                                },
        {"UDP is as good as unknown",             0x21, 0x12, OCTETS(V4),                        true,  {.family = PROXY_UNKNOWN}                                                                },
        {"TLS, no certificate",
         0x21,                                          0x11,
         OCTETS(V4 "\x20\0\x05\x01\0\0\0\0"),
         true,                                                                                          {.family = PROXY_INET, .port = 50001, .tls = true}                                       },
        {"TLS, certificate",
         0x21,                                          0x11,
         OCTETS(V4 "\x20\0\x16\x07\0\0\0\0\x21\0\x07TLSv1.3\x22\0\x04"
                   "Anna"
                   "\xe0\0\x03"
                   "a@b"),
         true,                                                                                          {.family = PROXY_INET,
          .port = 50001,
          .tls = true,
          .certificate = true,
          .verified = true,
          .tls_version = "TLSv1.3",
          .common_name = "Anna",
          .identity = "a@b"}                                                                                                                                                       },
        {"TLS, certificate of a resumed session",
         0x21,                                          0x11,
         OCTETS(V4 "\x20\0\x05\x05\0\0\0\0"),
         true,                                                                                          {.family = PROXY_INET, .port = 50001, .tls = true, .certificate = true, .verified = true}},
        {"TLS, certificate not verified",
         0x21,                                          0x11,
         OCTETS(V4 "\x20\0\x05\x03\0\0\0\x0a"),
         true,                                                                                          {.family = PROXY_INET, .port = 50001, .tls = true, .certificate = true}                  },
        {"TLS, certificate handed over",
         0x21,                                          0x11,
         OCTETS(V4 "\x20\0\x0b\x07\0\0\0\0\x28\0\x03" "DER"),
         true,                                                                                          {.family = PROXY_INET, .port = 50001, .tls = true, .certificate = true, .verified = true, .der = STR("DER")}},
        {"one handed over that was not shown",
         0x21,                                          0x11,
         OCTETS(V4 "\x20\0\x0b\x01\0\0\0\0\x28\0\x03" "DER"),
         true,                                                                                          {.family = PROXY_INET, .port = 50001, .tls = true}                                       },
        {"certificate flag without TLS",
         0x21,                                          0x11,
         OCTETS(V4 "\x20\0\x05\x02\0\0\0\0"),
         true,                                                                                          {.family = PROXY_INET, .port = 50001}                                                    },
        {"other TLVs are passed over",
         0x21,                                          0x11,
         OCTETS(V4 "\x01\0\x02h2\x05\0\0"),
         true,                                                                                          {.family = PROXY_INET, .port = 50001}                                                    },
        {"two TLS fields",
         0x21,                                          0x11,
         OCTETS(V4 "\x20\0\x0b\x07\0\0\0\0\x28\0\x03" "DER" "\x20\0\x05\0\0\0\0\0"),
         false,                                                                                         {0}                                                                                      },
        {"two identities",
         0x21,                                          0x11,
         OCTETS(V4 "\xe0\0\x03" "a@b" "\xe0\0\x03" "a@b"),
         false,                                                                                         {0}                                                                                      },
        {"addresses cut short",                   0x21, 0x11, OCTETS("\xc0\0\x02"),              false, {0}                                                                                      },
        {"IPv6 cut short",                        0x21, 0x21, OCTETS(V4),                        false, {0}                                                                                      },
        {"TLV without length",                    0x21, 0x11, OCTETS(V4 "\x01\0"),               false, {0}                                                                                      },
        {"TLV beyond the end",                    0x21, 0x11, OCTETS(V4 "\x01\0\x03h2"),         false, {0}                                                                                      },
        {"TLS field too short",                   0x21, 0x11, OCTETS(V4 "\x20\0\x04\x01\0\0\0"), false, {0}                                                                                      },
        {"inner TLV beyond the end",
         0x21,                                          0x11,
         OCTETS(V4 "\x20\0\x09\x01\0\0\0\0\x21\0\x02T"),
         false,                                                                                         {0}                                                                                      },
        {"NUL in the identity",
         0x21,                                          0x11,
         OCTETS(V4 "\xe0\0\x03"
                   "a\0b"),
         false,                                                                                         {0}                                                                                      },
        {"line end in the name",
         0x21,                                          0x11,
         OCTETS(V4 "\x20\0\x0a\x01\0\0\0\0\x22\0\x02\r\n"),
         false,                                                                                         {0}                                                                                      },
        {"identity is no UTF-8",                  0x21, 0x11, OCTETS(V4 "\xe0\0\x01\xff"),       false, {0}                                                                                      },
        {"no such command",                       0x22, 0x11, OCTETS(V4),                        false, {0}                                                                                      },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char octets[512];
        struct proxy_header h;
        struct str all = header(octets, rows[i].command, rows[i].family, rows[i].body);
        check(rows[i].name, proxy_length(all) == (int)all.len);
        check(rows[i].name, (proxy_parse(all, &h) == 0) == rows[i].good);
        if (!rows[i].good)
            continue;
        const struct proxy_header *w = &rows[i].want;
        check(rows[i].name, h.local == w->local && h.family == w->family && h.port == w->port);
        check(rows[i].name,
              h.tls == w->tls && h.certificate == w->certificate && h.verified == w->verified);
        check(rows[i].name, strcmp(h.tls_version, w->tls_version) == 0);
        check(rows[i].name, strcmp(h.common_name, w->common_name) == 0);
        check(rows[i].name, strcmp(h.identity, w->identity) == 0);
        check(rows[i].name, str_eq(h.der, w->der));
        check(rows[i].name, h.family != PROXY_INET || memcmp(h.source, V4, 4) == 0);
        check(rows[i].name, h.family != PROXY_INET6 || memcmp(h.source, V6, 16) == 0);
    }
}

/* [proxy protocol 2.2.3] What HAProxy 2.6 sent with "proxy-v2-options crc32c", and what else there may be in its place. */
static void checksums(void **state)
{
    (void)state;
#define OF_HAPROXY "\x7f\0\0\x01\x7f\0\0\x01\xec\x94\xa6\x1d"
    static const struct {
        const char *name;
        char command;
        struct str body;
        int want;
    } rows[] = {
        {"of HAProxy",             0x21, OCTETS(OF_HAPROXY "\x03\0\4\x60\x41\x44\x77"),             0       },
        {"something behind it",    0x21, OCTETS(V4 "\x03\0\4\x3d\x1e\xe9\xa4\x01\0\2h2"),          0       },
        {"the sum was changed",    0x21, OCTETS(OF_HAPROXY "\x03\0\4\x60\x41\x44\x76"),             -EBADMSG},
        {"other octet order",      0x21, OCTETS(OF_HAPROXY "\x03\0\4\x77\x44\x41\x60"),             -EBADMSG},
        {"an address was changed", 0x21, OCTETS(V4 "\x03\0\4\x60\x41\x44\x77"),                     -EBADMSG},
        {"zeros are no sum",       0x21, OCTETS(OF_HAPROXY "\x03\0\4\0\0\0\0"),                      -EBADMSG},
        {"too short",              0x21, OCTETS(OF_HAPROXY "\x03\0\3\x60\x41\x44"),                 -EINVAL },
        {"too long",               0x21, OCTETS(OF_HAPROXY "\x03\0\5\x60\x41\x44\x77\0"),           -EINVAL },
        {"two",
         0x21,                           OCTETS(OF_HAPROXY "\x03\0\4\x4e\x0c\xa7\xdd\x03\0\4\0\0\0\0"), -EINVAL },
        {"LOCAL says nothing",     0x20, OCTETS(OF_HAPROXY "\x03\0\4\0\0\0\0"),                      0       },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char octets[512];
        struct proxy_header h;
        struct str all = header(octets, rows[i].command, 0x11, rows[i].body);
        check(rows[i].name, proxy_parse(all, &h) == rows[i].want);
    }
}

static void lengths(void **state)
{
    (void)state;
    char octets[PROXY_HEADER_MAX + 16];
    memset(octets, 0, sizeof(octets));
    struct str all = header(octets, 0x21, 0x11, (struct str)OCTETS(V4));
    struct proxy_header h;
    assert_int_equal(proxy_length(str_upto(all, 15)), -EINVAL);
    assert_int_equal(proxy_begins(str_upto(all, 1)), 0);
    assert_int_equal(proxy_begins(all), 0);
    assert_int_equal(proxy_begins(STR("PROXY TCP4 ")), -EPROTO);
    assert_int_equal(proxy_begins(STR("E")), -EINVAL);
    assert_int_equal(proxy_length(str_upto(all, 16)), 28);
    assert_int_equal(proxy_parse(str_upto(all, 27), &h), -EINVAL);
    assert_int_equal(proxy_parse((struct str){octets, 29}, &h), -EINVAL);
    octets[12] = 0x11; /* version 1 */
    assert_int_equal(proxy_length(all), -EINVAL);
    octets[12] = 0x21;
    octets[14] = 0x7f;
    assert_int_equal(proxy_length(all), -EMSGSIZE);
    octets[0] = 'P';
    assert_int_equal(proxy_length(all), -EINVAL);
    assert_int_equal(proxy_length(STR("PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n")), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies),
        cmocka_unit_test(checksums),
        cmocka_unit_test(lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
