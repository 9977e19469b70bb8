#include "unit.h"

#include "auth/dovecot.h"
#include "auth/plain.h"
#include "auth/scram.h"

#include "base/b64.h"

#include <errno.h>

/* The exchange of RFC 7677 section 3. */
#define CLIENT_NONCE "rOprNGfwEbeRWgbNEkqO"
#define SERVER_NONCE "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
#define SERVER_FIRST "r=" CLIENT_NONCE SERVER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
#define PROOF "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="

static struct scram_keys pencil(void)
{
    struct scram_keys k = {.iterations = 4096};
    struct buf salt = BUF_INIT(64);
    assert_int_equal(b64_decode(STR("W22ZaJ0SNY7soEsUEjb6gQ=="), &salt), 0);
    memcpy(k.salt, salt.data, salt.len);
    k.salt_len = salt.len;
    assert_int_equal(scram_keys_derive(&k, STR("pencil")), 0);
    buf_done(&salt);
    return k;
}

static struct scram *
after_challenge(const char *first, bool plus, bool offered, struct scram_channel channel)
{
    struct scram *s = scram_new(plus, offered, channel);
    struct scram_keys k = pencil();
    struct buf out = BUF_INIT(1000);
    assert_int_equal(scram_first(s, str_of(first)), 0);
    assert_int_equal(scram_challenge(s, &k, STR(SERVER_NONCE), &out), 0);
    assert_string_equal(out.data, SERVER_FIRST);
    buf_done(&out);
    return s;
}

static void the_example_of_the_rfc(void **state)
{
    (void)state;
    struct scram *s =
        after_challenge("n,,n=user,r=" CLIENT_NONCE, false, false, (struct scram_channel){0});
    struct buf out = BUF_INIT(1000);
    assert_true(str_eq(scram_user(s), STR("user")));
    assert_int_equal(scram_authzid(s).len, 0);
    assert_int_equal(scram_final(s, STR("c=biws,r=" CLIENT_NONCE SERVER_NONCE ",p=" PROOF), &out),
                     0);
    assert_string_equal(out.data, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    buf_done(&out);
    scram_free(s);
}

static void what_is_no_final_message(void **state)
{
    (void)state;
    static const struct {
        const char *name, *message;
        int want;
    } rows[] = {
        {"wrong proof",
         "c=biws,r=" CLIENT_NONCE SERVER_NONCE ",p=AHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
         -EACCES                                                                                                 },
        {"short proof",                         "c=biws,r=" CLIENT_NONCE SERVER_NONCE ",p=AHzb",          -EINVAL},
        {"no proof",                            "c=biws,r=" CLIENT_NONCE SERVER_NONCE,                    -EINVAL},
        {"proof not last",                      "c=biws,r=" CLIENT_NONCE SERVER_NONCE ",p=" PROOF ",x=y", -EINVAL},
        {"another header",                      "c=eSws,r=" CLIENT_NONCE SERVER_NONCE ",p=" PROOF,        -EPERM },
        {"no base64",                           "c=!,r=" CLIENT_NONCE SERVER_NONCE ",p=" PROOF,           -EINVAL},
        {"nonce of the client alone",           "c=biws,r=" CLIENT_NONCE ",p=" PROOF,                     -EPERM },
        {"another nonce",
         "c=biws,r=" CLIENT_NONCE "x"
         ",p=" PROOF,
         -EPERM                                                                                                  },
        {"an extension changes what is signed",
         "c=biws,r=" CLIENT_NONCE SERVER_NONCE ",x=y,p=" PROOF,                                           -EACCES},
        {"empty",                               "",                                                       -EINVAL},
        {"other order",                         "r=" CLIENT_NONCE SERVER_NONCE ",c=biws,p=" PROOF,        -EINVAL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scram *s =
            after_challenge("n,,n=user,r=" CLIENT_NONCE, false, false, (struct scram_channel){0});
        CLEANUP(buf_done) struct buf out = BUF_INIT(1000);
        check(rows[i].name, scram_final(s, str_of(rows[i].message), &out) == rows[i].want);
        check(rows[i].name, out.len == 0);
        scram_free(s);
    }
}

static void first_messages(void **state)
{
    (void)state;
    const struct scram_channel both = {STR("EXPORTED"), STR("ENDPOINT")}, none = {STR(""), STR("")},
                               old = {STR(""), STR("ENDPOINT")};
    const struct {
        const char *name, *message;
        bool plus, offered;
        struct scram_channel channel;
        int want;
        const char *user, *authzid;
    } rows[] = {
        {"plain",                                "n,,n=user,r=x",                      false, false, none, 0,       "user",  ""     },
        {"authzid",                              "n,a=bo=2Cb=3D,n=user,r=x",           false, false, none, 0,       "user",  "bo,b="},
        {"empty authzid", "n,a=,n=user,r=x", false, false, none, 0, "user", ""},
        {"escaped name",                         "n,,n=a=3Db=2Cc,r=x",                 false, false, none, 0,       "a=b,c", ""     },
        {"AUTH-25 name is prepared",             "n,,n=u\xc2\xadser,r=x",              false, false, none, 0,       "user",  ""     },
        {"AUTH-26 emptied",                      "n,,n=\xc2\xad,r=x",                  false, false, none, -EINVAL, NULL,    NULL   },
        {"extension behind",                     "n,,n=user,r=x,y=z",                  false, false, none, 0,       "user",  ""     },
        {"bad escape",                           "n,,n=a=2c,r=x",                      false, false, none, -EINVAL, NULL,    NULL   },
        {"escape cut off",                       "n,,n=a=2,r=x",                       false, false, none, -EINVAL, NULL,    NULL   },
        {"empty name",                           "n,,n=,r=x",                          false, false, none, -EINVAL, NULL,    NULL   },
        {"no nonce",                             "n,,n=user",                          false, false, none, -EINVAL, NULL,    NULL   },
        {"empty nonce",                          "n,,n=user,r=",                       false, false, none, -EINVAL, NULL,    NULL   },
        {"nonce with a space",                   "n,,n=user,r=a b",                    false, false, none, -EINVAL, NULL,    NULL   },
        {"mandatory extension",                  "n,,m=x,n=user,r=x",                  false, false, none, -EINVAL, NULL,    NULL   },
        {"no header",                            "n=user,r=x",                         false, false, none, -EINVAL, NULL,    NULL   },
        {"empty",                                "",                                   false, false, none, -EINVAL, NULL,    NULL   },
        {"could bind, not offered",              "y,,n=user,r=x",                      false, false, none, 0,       "user",  ""     },
        {"CB-04 could bind, but it was offered", "y,,n=user,r=x",                      false, true,  both, -EPERM,  NULL,
         NULL                                                                                                                       },
        {"CB-01 tls-exporter",                   "p=tls-exporter,,n=user,r=x",         true,  true,  both, 0,       "user",  ""     },
        {"CB-05 tls-server-end-point",           "p=tls-server-end-point,,n=user,r=x", true,  true,  both, 0,
         "user",                                                                                                             ""     },
        {"CB-02 no exporter under TLS 1.2",      "p=tls-exporter,,n=user,r=x",         true,  true,  old,  -EPERM,
         NULL,                                                                                                               NULL   },
        {"CB-06 tls-unique",                     "p=tls-unique,,n=user,r=x",           true,  true,  both, -EPERM,  NULL,    NULL   },
        {"binding without -PLUS",                "p=tls-exporter,,n=user,r=x",         false, true,  both, -EINVAL, NULL,
         NULL                                                                                                                       },
        {"-PLUS without binding",                "n,,n=user,r=x",                      true,  true,  both, -EINVAL, NULL,    NULL   },
        {"CB-04 -PLUS with y",                   "y,,n=user,r=x",                      true,  true,  both, -EPERM,  NULL,    NULL   },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scram *s = scram_new(rows[i].plus, rows[i].offered, rows[i].channel);
        check(rows[i].name, scram_first(s, str_of(rows[i].message)) == rows[i].want);
        check(rows[i].name, rows[i].want || str_eq(scram_user(s), str_of(rows[i].user)));
        check(rows[i].name, rows[i].want || str_eq(scram_authzid(s), str_of(rows[i].authzid)));
        scram_free(s);
    }
}

/* CB-01: the same message with another channel is refused, and before the proof is looked at. */
static void a_channel_is_part_of_the_login(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(1000);
    const struct scram_channel mine = {STR("mine"), STR("")};
    struct scram *s = after_challenge("p=tls-exporter,,n=user,r=" CLIENT_NONCE, true, true, mine);
    /* base64 of "p=tls-exporter,,yours" and of "p=tls-exporter,,mine" */
    assert_int_equal(
        scram_final(s,
                    STR("c=cD10bHMtZXhwb3J0ZXIsLHlvdXJz,r=" CLIENT_NONCE SERVER_NONCE ",p=" PROOF),
                    &out),
        -EPERM);
    assert_int_equal(
        scram_final(s,
                    STR("c=cD10bHMtZXhwb3J0ZXIsLG1pbmU=,r=" CLIENT_NONCE SERVER_NONCE ",p=" PROOF),
                    &out),
        -EACCES);
    scram_free(s);
    buf_done(&out);
}

static void keys_are_written_and_read(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "4096",
        "4096,,,",
        "999,W22ZaJ0SNY7soEsUEjb6gQ==,x,y",
        "0,QQ==,QQ==,QQ==",
        "99999999999,QQ==,QQ==,QQ==",
        "4096,!,QQ==,QQ==",
    };
    struct scram_keys k = pencil(), again;
    struct buf text = BUF_INIT(500);
    assert_int_equal(scram_keys_format(&k, &text), 0);
    assert_int_equal(scram_keys_parse(buf_str(&text), &again), 0);
    assert_memory_equal(&k, &again, sizeof(k));
    assert_int_equal(buf_puts(&text, ",QQ=="), 0);
    assert_int_equal(scram_keys_parse(buf_str(&text), &again), -EINVAL);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        check(bad[i], scram_keys_parse(str_of(bad[i]), &again) == -EINVAL);
    buf_done(&text);
}

/* AUTH-21: who asks twice for a name there is not gets the same salt, and another for another. */
static void fake_keys_do_not_give_themselves_away(void **state)
{
    (void)state;
    const unsigned char secret[SCRAM_KEY] = "secret";
    struct scram_keys a, b, c;
    scram_keys_fake(&a, secret, STR("alice"));
    scram_keys_fake(&b, secret, STR("alice"));
    scram_keys_fake(&c, secret, STR("bob"));
    assert_memory_equal(&a, &b, sizeof(a));
    assert_memory_not_equal(a.salt, c.salt, a.salt_len);
    assert_int_equal(a.iterations, SCRAM_ITERATIONS);
}

/* ---- PLAIN ---- */

#define LONG255                                                                                    \
    "\
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void plain_messages(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct str message;
        const char *want; /* "authzid|user|password", NULL: -EINVAL */
    } rows[] = {
        {"PLN-02 user and password", {"\0u\0p", 4},                    "|u|p" },
        {"PLN-02 authzid",           {"a\0u\0p", 5},                   "a|u|p"},
        {"PLN-03 255 octets each",
         {LONG255 "\0" LONG255 "\0" LONG255, sizeof(LONG255) * 3 - 1},
         LONG255 "|" LONG255 "|" LONG255                                      },
        {"PLN-02 no user",           {"a\0\0p", 4},                    NULL   },
        {"PLN-02 no password",       {"a\0u\0", 4},                    NULL   },
        {"PLN-02 one NUL",           {"u\0p", 3},                      NULL   },
        {"PLN-02 no NUL",            {"up", 2},                        NULL   },
        {"PLN-02 three NULs",        {"\0u\0p\0", 5},                  NULL   },
        {"PLN-02 empty",             {"", 0},                          NULL   },
        {"PLN-02 no UTF-8",          {"\0\xff\0p", 4},                 NULL   },
        {"PLN-02 password no UTF-8", {"\0u\0\xff", 4},                 NULL   },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct plain p;
        CLEANUP(buf_done) struct buf got = BUF_INIT(2000);
        int r = plain_parse(rows[i].message, &p);
        check(rows[i].name, r == (rows[i].want ? 0 : -EINVAL));
        if (r < 0)
            continue;
        r = buf_printf(&got, "%.*s|%.*s|%.*s", STR_FMT(p.authzid), STR_FMT(p.user),
                       STR_FMT(p.password));
        check(rows[i].name, r == 0 && strcmp(got.data, rows[i].want) == 0);
    }
}

/* ---- Dovecot ---- */

static void conversations_with_dovecot(void **state)
{
    (void)state;
    static const struct {
        const char *name, *lines;
        enum dovecot_word want;
        const char *user;
    } rows[] = {
        {"greeting",                       "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\tx\nDONE",
         DOVECOT_READY,                                                                                                                ""},
        {"another order",                  "SPID\t1\nMECH\tLOGIN\nMECH\tplain\nVERSION\t1\t9\nDONE",                   DOVECOT_READY,
         ""                                                                                                                              },
        {"another version",                "VERSION\t2\t0",                                                            DOVECOT_BROKEN, ""},
        {"no version",                     "MECH\tPLAIN\nDONE",                                                        DOVECOT_BROKEN, ""},
        {"no PLAIN",                       "VERSION\t1\t1\nMECH\tCRAM-MD5\nDONE",                                      DOVECOT_BROKEN, ""},
        {"something else",                 "* OK IMAP",                                                                DOVECOT_MORE,   ""},
        {"ok",                             "VERSION\t1\t1\nMECH\tPLAIN\nDONE\nOK\t1\tuser=alice\toriginal_user=al",    DOVECOT_OK,
         "alice"                                                                                                                         },
        {"ok without a name",              "VERSION\t1\t1\nMECH\tPLAIN\nDONE\nOK\t1",                                  DOVECOT_OK,     ""},
        {"ok for another request",         "VERSION\t1\t1\nMECH\tPLAIN\nDONE\nOK\t2\tuser=alice",
         DOVECOT_BROKEN,                                                                                                               ""},
        {"ok, empty name",                 "VERSION\t1\t1\nMECH\tPLAIN\nDONE\nOK\t1\tuser=",                           DOVECOT_BROKEN, ""},
        {"ok, escaped name",               "VERSION\t1\t1\nMECH\tPLAIN\nDONE\nOK\t1\tuser=a\001tb",
         DOVECOT_BROKEN,                                                                                                               ""},
        {"ok before the greeting is over", "VERSION\t1\t1\nOK\t1\tuser=alice",                                         DOVECOT_MORE,   ""},
        {"fail",                           "VERSION\t1\t1\nMECH\tPLAIN\nDONE\nFAIL\t1\tuser=alice\treason=no",
         DOVECOT_REFUSED,                                                                                                              ""},
        {"fail for now",                   "VERSION\t1\t1\nMECH\tPLAIN\nDONE\nFAIL\t1\tuser=alice\ttemp",
         DOVECOT_LATER,                                                                                                                ""},
        {"fail for another",               "VERSION\t1\t1\nMECH\tPLAIN\nDONE\nFAIL\t7",                                DOVECOT_BROKEN, ""},
        {"cont",                           "VERSION\t1\t1\nMECH\tPLAIN\nDONE\nCONT\t1\tYQ==",                          DOVECOT_BROKEN, ""},
        {"news",                           "VERSION\t1\t1\nMECH\tPLAIN\nDONE\nNEWS\t1",                                DOVECOT_MORE,   ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct dovecot d;
        enum dovecot_word got = DOVECOT_MORE;
        struct str rest = str_of(rows[i].lines);
        dovecot_init(&d);
        while (rest.len) {
            ssize_t lf = str_find(rest, '\n');
            struct str line = str_upto(rest, lf < 0 ? rest.len : (size_t)lf);
            rest = str_from(rest, line.len + 1);
            got = dovecot_read(&d, line);
        }
        check(rows[i].name, got == rows[i].want);
        check(rows[i].name, str_eq(buf_str(&d.user), str_of(rows[i].user)));
        dovecot_done(&d);
    }
}

static void what_dovecot_is_asked(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(1000);
    assert_int_equal(dovecot_write_greeting(&out, 42), 0);
    assert_int_equal(dovecot_write_request(&out, STR("u"), STR("p"), "192.0.2.7"), 0);
    assert_string_equal(out.data,
                        "VERSION\t1\t1\nCPID\t42\n"
                        "AUTH\t1\tPLAIN\tservice=smtp\tsecured\trip=192.0.2.7\tresp=AHUAcA==\n");
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_rfc),
        cmocka_unit_test(what_is_no_final_message),
        cmocka_unit_test(first_messages),
        cmocka_unit_test(a_channel_is_part_of_the_login),
        cmocka_unit_test(keys_are_written_and_read),
        cmocka_unit_test(fake_keys_do_not_give_themselves_away),
        cmocka_unit_test(plain_messages),
        cmocka_unit_test(conversations_with_dovecot),
        cmocka_unit_test(what_dovecot_is_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
