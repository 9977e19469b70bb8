/* send.conf: what its settings become, and what is said about each mistake. */
#include "unit.h"

#include "send/accounts.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static char dir[64], user_path[80], system_path[80];

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

struct said {
    char text[4000];
};

static void remember(void *arg, const char *line)
{
    struct said *s = arg;
    size_t len = strlen(s->text);
    (void)snprintf(s->text + len, sizeof(s->text) - len, "%s\n", line);
}

static void a_full_account(void **state)
{
    (void)state;
    struct accounts c = {0};
    struct said said = {""};
    (void)setenv("HOME", "/home/alice", 1);
    put(user_path,
        "aliases = \"aliases\"\n"
        "account work {\n"
        "  host = \"mail.example.org:2587\" tls = starttls tls-name = \"mx.example.org\"\n"
        "  ca = \"~/ca.pem\" certificate = \"alice.p12\" key = \"pkcs11:token=x;object=y\"\n"
        "  key-password-file = \"/etc/p\" login = external authzid = \"team@example.org\"\n"
        "  pin = {\"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}\n"
        "  from = {\"alice@example.org\", example.net} sender = \"a@example.org\"\n"
        "  domain = \"example.org\" hostname = \"me.example.org\" timeout = 90s\n"
        "  complete-header = no\n"
        "}\n");
    assert_int_equal(accounts_read(&c, user_path, false, true, remember, &said), 0);
    assert_int_equal(c.n, 1);
    const struct account *a = &c.list[0];
    char want[120];
    assert_string_equal(a->name, "work");
    assert_string_equal(a->host, "mail.example.org");
    assert_int_equal(a->port, 2587);
    assert_int_equal(a->tls, ACCOUNT_TLS_STARTTLS);
    assert_string_equal(a->ca, "/home/alice/ca.pem");
    (void)snprintf(want, sizeof(want), "%s/alice.p12", dir);
    assert_string_equal(a->certificate, want);
    assert_string_equal(a->key, "pkcs11:token=x;object=y");
    assert_int_equal(a->login, ACCOUNT_LOGIN_EXTERNAL);
    assert_int_equal(a->n_pin, 1);
    assert_int_equal(a->n_from, 2);
    assert_string_equal(a->sender, "a@example.org");
    assert_int_equal(a->timeout_ms, 90000);
    assert_true(a->leaves_header);
    assert_false(a->system);
    assert_int_equal(a->line, 2);
    (void)snprintf(want, sizeof(want), "%s/aliases", dir);
    assert_string_equal(c.aliases, want);
    accounts_done(&c);
}

static void the_users_accounts_come_first(void **state)
{
    (void)state;
    struct accounts c = {0};
    struct said said = {""};
    put(user_path, "account a { host = h }\n");
    put(system_path, "account a { host = other }\naccount b { host = h port = 465 }\n");
    assert_int_equal(accounts_read(&c, user_path, false, false, remember, &said), 0);
    assert_int_equal(accounts_read(&c, system_path, true, false, remember, &said), 0);
    assert_int_equal(c.n, 3);
    assert_string_equal(account_named(c.list, c.n, "a")->host, "h");
    assert_true(c.list[2].system);
    assert_int_equal(c.list[2].port, 465);
    assert_false(c.list[2].leaves_header);
    accounts_done(&c);
}

static void a_file_that_is_not_there(void **state)
{
    (void)state;
    struct accounts c = {0};
    struct said said = {""};
    assert_int_equal(accounts_read(&c, "/no/such/send.conf", false, false, remember, &said), 0);
    assert_string_equal(said.text, "");
    assert_true(accounts_read(&c, "/no/such/send.conf", false, true, remember, &said) < 0);
    assert_non_null(strstr(said.text, "/no/such/send.conf"));
    accounts_done(&c);
}

static void mistakes(void **state)
{
    (void)state;
    static const struct {
        const char *text, *said;
    } rows[] = {
        {"account w { }",                                                          "names no server"                   },
        {"account { host = h }",                                                   "has no name"                       },
        {"account \"a b\" { host = h }",                                           "is no name"                        },
        {"account w { host = h }\naccount w { host = h }",                         ":2: account \"w\" is written twice"},
        {"account w { host = \"h:x\" }",                                           "is no server"                      },
        {"account w { host = {a, b} }",                                            "names one server"                  },
        {"account w {\n hots = h\n}",                                              ":2: unknown setting \"hots\""      },
        {"account w { host = h tls = on }",                                        "implicit, starttls"                },
        {"account w { host = h login = cram }",                                    "auto, external"                    },
        {"account w { host = h login = external }",                                "by certificate"                    },
        {"account w { host = h login = plain user = u }",                          "by password"                       },
        {"account w { host = h password-file = p }",                               "nobody it belongs to"              },
        {"account w { host = h user = u password-file = p password-command = c }",
         "keep one of the two"                                                                                         },
        {"account w { host = h password = geheim }",                               "does not stand in this file"       },
        {"account w { host = h key = k }",                                         "without its certificate"           },
        {"account w { host = h tls = off certificate = c }",                       "without TLS"                       },
        {"account w { host = h pin = {x} }",                                       "is no pin"                         },
        {"account w { host = h port = 0 }",                                        "no number from 1 to 65535"         },
        {"account w { host = h complete-header = x }",                             "write yes or no"                   },
        {"account w { host = h timeout = soon }",                                  "is no duration"                    },
        {"acount w { host = h }",                                                  "did you mean \"account\""          },
        {"listener w { }",                                                         "there is account NAME"             },
        {"host = h",                                                               "belongs into an account"           },
        {"alias = x",                                                              "aliases"                           },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct accounts c = {0};
        struct said said = {""};
        put(user_path, rows[i].text);
        int r = accounts_read(&c, user_path, false, true, remember, &said);
        if (r <= 0 || !strstr(said.text, rows[i].said))
            fail_msg("%s: %d, %s", rows[i].text, r, said.text);
        check(rows[i].text, strstr(said.text, user_path) && !strstr(said.text, "geheim"));
        accounts_done(&c);
    }
}

int main(void)
{
    (void)snprintf(dir, sizeof(dir), "/tmp/postern-send-conf-XXXXXX");
    if (!mkdtemp(dir))
        return 1;
    (void)snprintf(user_path, sizeof(user_path), "%s/send.conf", dir);
    (void)snprintf(system_path, sizeof(system_path), "%s/system.conf", dir);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_account),
        cmocka_unit_test(the_users_accounts_come_first),
        cmocka_unit_test(a_file_that_is_not_there),
        cmocka_unit_test(mistakes),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(user_path);
    (void)unlink(system_path);
    (void)rmdir(dir);
    return failed;
}
