#include "unit.h"

#include "auth/dovecot.h"
#include "auth/plain.h"
#include "auth/scram.h"
#include "auth/scram_client.h"

#include "base/b64.h"

#include <errno.h>
#include <gsasl.h>

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
        {"empty authzid",                        "n,a=,n=user,r=x",                    false, false, none, 0,       "user",  ""     },
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

/* ---- the client's side ---- */

static struct scram_client *
client_of(enum scram_binding binding, const char *user, const char *password, const char *authzid)
{
    const struct scram_login login = {
        .user = str_of(user),
        .password = str_of(password),
        .authzid = str_of(authzid),
        .binding = binding,
        .channel = str_of(binding == SCRAM_END_POINT ? "ENDPOINT" : "EXPORTED"),
        .nonce = STR(CLIENT_NONCE)};
    return scram_client_new(&login);
}

static void the_client_of_the_rfc(void **state)
{
    (void)state;
    struct scram_client *c = client_of(SCRAM_UNBOUND, "user", "pencil", "");
    struct buf out = BUF_INIT(1000);
    assert_int_equal(scram_client_first(c, &out), 0);
    assert_string_equal(out.data, "n,,n=user,r=" CLIENT_NONCE);
    buf_clear(&out);
    assert_int_equal(scram_client_proof(c, STR(SERVER_FIRST), &out), 0);
    assert_string_equal(out.data, "c=biws,r=" CLIENT_NONCE SERVER_NONCE ",p=" PROOF);
    assert_false(scram_client_is_proved(c));
    assert_int_equal(scram_client_check(c, STR("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")),
                     0);
    assert_true(scram_client_is_proved(c));
    buf_done(&out);
    scram_client_free(c);
}

static void both_sides_meet(void **state)
{
    (void)state;
    const struct scram_channel channel = {STR("EXPORTED"), STR("")},
                               offload = {STR(""), STR("ENDPOINT")},
                               other = {STR("ELSEWHERE"), STR("")}, none = {STR(""), STR("")};
    const struct {
        const char *name;
        enum scram_binding binding;
        bool plus, offered;
        struct scram_channel server;
        const char *password, *user, *authzid;
        int first, final;
    } rows[] = {
        {"unbound",                           SCRAM_UNBOUND,     false, false, none,    "pencil", "user",   "",       0,      0      },
        {"names with commas",                 SCRAM_UNBOUND,     false, false, none,    "pencil", "u=s,er", "b,o=ss", 0,
         0                                                                                                                           },
        {"prepared (AUTH-25)",                SCRAM_UNBOUND,     false, false, none,
         "pen\xc2\xad"
         "cil",                                                                                   "us\xc2\xad"
         "er",                                                                               "",       0,      0      },
        {"bound (CB-01)",                     SCRAM_EXPORTER,    true,  true,  channel, "pencil", "user",   "",       0,      0      },
        {"bound, with authzid",               SCRAM_EXPORTER,    true,  true,  channel, "pencil", "user",   "boss",   0,
         0                                                                                                                           },
        {"bound to a certificate (CB-05)",    SCRAM_END_POINT,   true,  true,  offload, "pencil", "user",
         "",                                                                                                          0,      0      },
        {"that binding is not known (CB-05)", SCRAM_EXPORTER,    true,  true,  offload, "pencil", "user",
         "",                                                                                                          -EPERM, 0      },
        {"bound to another channel",          SCRAM_EXPORTER,    true,  true,  other,   "pencil", "user",   "",       0,
         -EPERM                                                                                                                      },
        {"not offered, as we see it (CB-04)", SCRAM_NOT_OFFERED, false, true,  channel, "pencil",
         "user",                                                                                            "",       -EPERM, 0      },
        {"not offered",                       SCRAM_NOT_OFFERED, false, false, none,    "pencil", "user",   "",       0,      0      },
        {"wrong password",                    SCRAM_UNBOUND,     false, false, none,    "Pencil", "user",   "",       0,      -EACCES},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scram_client *c =
            client_of(rows[i].binding, rows[i].user, rows[i].password, rows[i].authzid);
        struct scram *s = scram_new(rows[i].plus, rows[i].offered, rows[i].server);
        struct scram_keys k = pencil();
        CLEANUP(buf_done) struct buf a = BUF_INIT(1000), b = BUF_INIT(1000);
        check(rows[i].name, c && scram_client_first(c, &a) == 0);
        check(rows[i].name, scram_first(s, buf_str(&a)) == rows[i].first);
        if (rows[i].first == 0) {
            check(rows[i].name, str_eq(scram_authzid(s), str_of(rows[i].authzid)));
            check(rows[i].name, scram_challenge(s, &k, STR(SERVER_NONCE), &b) == 0);
            buf_clear(&a);
            check(rows[i].name, scram_client_proof(c, buf_str(&b), &a) == 0);
            buf_clear(&b);
            check(rows[i].name, scram_final(s, buf_str(&a), &b) == rows[i].final);
        }
        if (rows[i].first == 0 && rows[i].final == 0)
            check(rows[i].name,
                  scram_client_check(c, buf_str(&b)) == 0 && scram_client_is_proved(c));
        else
            check(rows[i].name, !scram_client_is_proved(c));
        scram_client_free(c);
        scram_free(s);
    }
}

/* GNU SASL as the server; what it is told of the channel. */
struct gnu {
    const char *unique, *exporter; /* base64; NULL: not known */
};

static int gnu_asks(Gsasl *ctx, Gsasl_session *session, Gsasl_property what)
{
    const struct gnu *g = gsasl_callback_hook_get(ctx);
    const char *value = what == GSASL_PASSWORD          ? "pencil"
                        : what == GSASL_CB_TLS_UNIQUE   ? g->unique
                        : what == GSASL_CB_TLS_EXPORTER ? g->exporter
                                                        : NULL;
    return value ? gsasl_property_set(session, what, value) : GSASL_NO_CALLBACK;
}

/* One step of both: what we say in `out` becomes what it says; GSASL_OK at its end. */
static int gnu_step(Gsasl_session *session, struct buf *out)
{
    char *said = NULL;
    size_t len = 0;
    int r = gsasl_step(session, out->data, out->len, &said, &len);
    buf_clear(out);
    if (r == GSASL_OK || r == GSASL_NEEDS_MORE)
        assert_int_equal(buf_append(out, said, len), 0);
    gsasl_free(said);
    return r;
}

/* What GNU SASL says to our first message; with GSASL_NEEDS_MORE it ends in a login. */
static int log_in_at_gnu(const char *mechanism, enum scram_binding binding, struct gnu *g)
{
    Gsasl *ctx = NULL;
    Gsasl_session *session = NULL;
    CLEANUP(buf_done) struct buf out = BUF_INIT(2000), answer = BUF_INIT(2000);
    struct scram_client *c = client_of(binding, "user", "pencil", "");
    assert_int_equal(gsasl_init(&ctx), GSASL_OK);
    gsasl_callback_set(ctx, gnu_asks);
    gsasl_callback_hook_set(ctx, g);
    assert_int_equal(gsasl_server_start(ctx, mechanism, &session), GSASL_OK);
    assert_int_equal(scram_client_first(c, &out), 0);
    int first = gnu_step(session, &out);
    if (first == GSASL_NEEDS_MORE) {
        assert_int_equal(scram_client_proof(c, buf_str(&out), &answer), 0);
        assert_int_equal(gnu_step(session, &answer), GSASL_OK);
        assert_int_equal(scram_client_check(c, buf_str(&answer)), 0);
        assert_true(scram_client_is_proved(c));
    }
    gsasl_finish(session);
    gsasl_done(ctx);
    scram_client_free(c);
    return first;
}

static void gnu_sasl_understands_us(void **state)
{
    (void)state;
    struct gnu none = {NULL, NULL}, exporter = {NULL, "RVhQT1JURUQ="},
               unique = {"RVhQT1JURUQ=", NULL};
    struct {
        const char *name, *mechanism;
        enum scram_binding binding;
        struct gnu *server;
        bool taken;
    } rows[] = {
        {"unbound",                            "SCRAM-SHA-256",      SCRAM_UNBOUND,     &none,     true },
        {"could bind",                         "SCRAM-SHA-256",      SCRAM_NOT_OFFERED, &none,     true },
        {"CB-01 by tls-exporter",              "SCRAM-SHA-256-PLUS", SCRAM_EXPORTER,    &exporter, true },
        {"CB-06 it has tls-unique alone",      "SCRAM-SHA-256-PLUS", SCRAM_EXPORTER,    &unique,   false},
        {"CB-05 it knows no end points",       "SCRAM-SHA-256-PLUS", SCRAM_END_POINT,   &exporter, false},
        {"CB-04 could bind, and it offers to", "SCRAM-SHA-256",      SCRAM_NOT_OFFERED, &exporter,
         false                                                                                          },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check(rows[i].name, (log_in_at_gnu(rows[i].mechanism, rows[i].binding, rows[i].server) ==
                             GSASL_NEEDS_MORE) == rows[i].taken);
}

static void what_is_no_challenge(void **state)
{
    (void)state;
    static const struct {
        const char *name, *message;
        int want;
    } rows[] = {
        {"empty",                         "",                                                                      -EINVAL},
        {"the nonce is not ours",         "r=x" SERVER_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",                 -EPERM },
        {"the nonce is ours alone",       "r=" CLIENT_NONCE ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",                  -EPERM },
        {"no salt",                       "r=" CLIENT_NONCE "x,i=4096",                                            -EINVAL},
        {"empty salt",                    "r=" CLIENT_NONCE "x,s=,i=4096",                                         -EINVAL},
        {"salt is no base64",             "r=" CLIENT_NONCE "x,s=!,i=4096",                                        -EINVAL},
        {"no count",                      "r=" CLIENT_NONCE "x,s=W22ZaJ0SNY7soEsUEjb6gQ==",                        -EINVAL},
        {"count is no number",            "r=" CLIENT_NONCE "x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096x",                -EINVAL},
        {"too cheap to guess (RFC 7677)", "r=" CLIENT_NONCE "x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4095",
         -ERANGE                                                                                                          },
        {"too dear to compute",           "r=" CLIENT_NONCE "x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=1000001",
         -ERANGE                                                                                                          },
        {"far too dear",                  "r=" CLIENT_NONCE "x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=99999999999999999999",
         -ERANGE                                                                                                          },
        {"mandatory extension",           "m=x,r=" CLIENT_NONCE "x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
         -EINVAL                                                                                                          },
        {"extension behind",              "r=" CLIENT_NONCE "x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,x=y",             0      },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scram_client *c = client_of(SCRAM_UNBOUND, "user", "pencil", "");
        CLEANUP(buf_done) struct buf out = BUF_INIT(1000);
        check(rows[i].name, scram_client_proof(c, str_of(rows[i].message), &out) == rows[i].want);
        check(rows[i].name, (out.len == 0) == (rows[i].want < 0));
        if (rows[i].want < 0)
            check(rows[i].name,
                  scram_client_check(c, STR("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")) ==
                      -EINVAL);
        scram_client_free(c);
    }
}

static void a_server_that_proves_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *name, *message;
        int want;
    } rows[] = {
        {"wrong signature", "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", -EACCES},
        {"short",           "v=6rri",                                         -EINVAL},
        {"an error",        "e=invalid-proof",                                -EINVAL},
        {"empty",           "",                                               -EINVAL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scram_client *c = client_of(SCRAM_UNBOUND, "user", "pencil", "");
        CLEANUP(buf_done) struct buf out = BUF_INIT(1000);
        check(rows[i].name, scram_client_proof(c, STR(SERVER_FIRST), &out) == 0);
        check(rows[i].name, scram_client_check(c, str_of(rows[i].message)) == rows[i].want);
        check(rows[i].name, !scram_client_is_proved(c));
        scram_client_free(c);
    }
}

static void names_that_cannot_be_sent(void **state)
{
    (void)state;
    assert_null(client_of(SCRAM_UNBOUND, "", "pencil", ""));
    assert_null(client_of(SCRAM_UNBOUND, "user", "", ""));
    assert_null(client_of(SCRAM_UNBOUND, "us\ner", "pencil", ""));
    assert_null(client_of(SCRAM_UNBOUND, "user", "\xc2\xad", "")); /* AUTH-26 */
    assert_null(client_of(SCRAM_UNBOUND, "user", "pencil", "b\x01"));
    scram_client_free(NULL);
}

static void plain_messages_are_made(void **state)
{
    (void)state;
    const struct {
        const char *name;
        struct plain p;
        int want;
        struct str message;
    } rows[] = {
        {"user",                {STR(""), STR("ann"), STR("s")},                    0,       STR("\0ann\0s")    },
        {"authzid",             {STR("boss"), STR("ann"), STR("s")},                0,       STR("boss\0ann\0s")},
        {"prepared",            {STR(""), STR("a\xc2\xadnn"), STR("\xef\xbd\x93")}, 0,       STR("\0ann\0s")    },
        {"no user",             {STR(""), STR(""), STR("s")},                       -EINVAL, STR("")            },
        {"no password",         {STR(""), STR("ann"), STR("")},                     -EINVAL, STR("")            },
        {"NUL in the password", {STR(""), STR("ann"), STR("a\0b")},                 -EINVAL, STR("")            },
        {"NUL in the authzid",  {STR("a\0b"), STR("ann"), STR("s")},                -EINVAL, STR("")            },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(buf_done) struct buf out = BUF_INIT(5000);
        check(rows[i].name, plain_format(&rows[i].p, &out) == rows[i].want);
        check(rows[i].name, str_eq(buf_str(&out), rows[i].message));
    }
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
        cmocka_unit_test(the_client_of_the_rfc),
        cmocka_unit_test(both_sides_meet),
        cmocka_unit_test(gnu_sasl_understands_us),
        cmocka_unit_test(what_is_no_challenge),
        cmocka_unit_test(a_server_that_proves_nothing),
        cmocka_unit_test(names_that_cannot_be_sent),
        cmocka_unit_test(plain_messages_are_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
