#include "test_cert_zoo.h"

#include "app/cmd_cert.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sysexits.h>

static struct zoo_dir dir;
static char out[65536], err[4096]; /* of the last command */

static void slurp(int fd, char *to, size_t size)
{
    assert_true(lseek(fd, 0, SEEK_SET) == 0);
    ssize_t n = read(fd, to, size - 1);
    assert_true(n >= 0);
    to[n] = '\0';
    assert_int_equal(close(fd), 0);
}

static int divert(int fd, int *ret_old)
{
    int file = memfd_create("output", MFD_CLOEXEC);
    *ret_old = dup(fd);
    assert_true(file >= 0 && *ret_old >= 0 && dup2(file, fd) == fd);
    return file;
}

static void restore(int fd, int old)
{
    assert_int_equal(dup2(old, fd), fd);
    assert_int_equal(close(old), 0);
}

/* Runs `postern cert LINE` in the directory; words are divided by single spaces. */
static int run(const char *line)
{
    static char program[] = "postern cert";
    char copy[1000], *words[40] = {program}, *rest = copy;
    int n = 1, old_out, old_err;
    snprintf(copy, sizeof(copy), "%s", line);
    for (char *word; (word = strsep(&rest, " "));)
        if (word[0])
            words[n++] = word;
    assert_int_equal(fflush(stdout), 0);
    int file_out = divert(STDOUT_FILENO, &old_out), file_err = divert(STDERR_FILENO, &old_err);
    int code = cmd_cert(n, words);
    (void)fflush(stdout);
    restore(STDOUT_FILENO, old_out);
    restore(STDERR_FILENO, old_err);
    slurp(file_out, out, sizeof(out));
    slurp(file_err, err, sizeof(err));
    return code;
}

static void must(const char *line)
{
    if (run(line) != EX_OK)
        fail_msg("%s: %s", line, err);
}

static json_t *run_json(const char *line, int want)
{
    json_error_t e;
    assert_int_equal(run(line), want);
    json_t *j = json_loads(out, 0, &e);
    if (!j)
        fail_msg("%s: %s in %s", line, e.text, out);
    return j;
}

static int setup(void **state)
{
    (void)state;
    zoo_dir_init(&dir);
    assert_int_equal(chdir(dir.path), 0);
    zoo_write_text(&dir, "password", "secret\nnot this\n");
    zoo_write_text(&dir, "empty", "\n");
    must("init ca --name Test_CA");
    must("issue ca --email alice@example.org");
    must("issue ca --server localhost --address 127.0.0.1 --out server");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(chdir("/"), 0);
    zoo_dir_done(&dir);
    return 0;
}

/* Every way to be called, and the code of <sysexits.h> and the words that answer it. */
static void answers_fit_the_question(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        int code;
        const char *want; /* in what it prints, on either side */
    } table[] = {
        {"",                                                                  EX_USAGE,     "usage: postern cert SUBCOMMAND"                        },
        {"--help",                                                            EX_OK,        "postern cert revoke"                                   },
        {"isue",                                                              EX_USAGE,     "did you mean \"issue\"?"                               },
        {"xyzzy",                                                             EX_USAGE,     "postern cert --help"                                   },
        {"init --help",                                                       EX_OK,        "usage: postern cert init DIR"                          },
        {"init",                                                              EX_USAGE,     "the directory is missing"                              },
        {"init a b",                                                          EX_USAGE,     "\"b\" is one word too many"                            },
        {"init --bogus a",                                                    EX_USAGE,     "--bogus"                                               },
        {"init ca",                                                           EX_CANTCREAT, "there is a CA here already"                            },
        {"init gone/ca",                                                      EX_NOINPUT,   "No such file or directory"                             },
        {"init rsa --rsa",                                                    EX_OK,        "rsa/ca.pem"                                            },
        {"init ed --ed25519",                                                 EX_OK,        "trust { ca = {\"ed/ca.pem\"}  crl = {\"ed/crl.pem\"} }"},
        {"issue --help",                                                      EX_OK,        "--p12-password-file FILE"                              },
        {"issue",                                                             EX_USAGE,     "the directory of the CA is missing"                    },
        {"issue ca",                                                          EX_USAGE,     "whom is it for?"                                       },
        {"issue ca --email",                                                  EX_USAGE,     "requires an argument"                                  },
        {"issue ca --email a@example.org --server b",                         EX_USAGE,     "issue two certificates"                                },
        {"issue ca --email alice",                                            EX_DATAERR,   "alice: is no e-mail address"                           },
        {"issue ca --email alice@example.org",                                EX_CANTCREAT, "replace it with --force"                               },
        {"issue ca --email alice@example.org --force",                        EX_OK,        "ca/alice@example.org.pem"                              },
        {"issue ca --email b@example.org --days 0",                           EX_USAGE,     "a number from 1 to 3650"                               },
        {"issue ca --email b@example.org --days x",                           EX_USAGE,     "a number from 1 to 3650"                               },
        {"issue ca --email b@example.org --days 3649",                        EX_OK,        "certificate of a client"                               },
        {"issue ca --email b2@example.org --days 3650",                       EX_DATAERR,   "would outlive its CA"                                  },
        {"issue ca --email b2@example.org --days 3650",                       EX_DATAERR,   "would outlive its CA"                                  },
        {"issue ca --email b@example.org --days 3651",                        EX_USAGE,     "a number from 1 to 3650"                               },
        {"issue ca --email c@example.org --p12",                              EX_USAGE,     "go together"                                           },
        {"issue ca --email c@example.org --p12-password-file password",       EX_USAGE,     "go together"                                           },
        {"issue ca --email c@example.org --p12 --p12-password-file gone",     EX_NOINPUT,
         "gone: No such file"                                                                                                                       },
        {"issue ca --email c@example.org --p12 --p12-password-file empty",    EX_DATAERR,
         "its first line is empty"                                                                                                                  },
        {"issue ca --email c@example.org --p12 --p12-password-file password", EX_OK,
         "ca/c@example.org.p12"                                                                                                                     },
        {"issue ca --email a/b@example.org",                                  EX_OK,        "ca/a_b@example.org.pem"                                },
        {"issue ca --uri spiffe://example.org/x --ed25519",                   EX_OK,        "ca/spiffe:__example.org_x.pem"                         },
        {"issue ca --dns printer.example.org --rsa",                          EX_OK,        "printer.example.org.key  its key"                      },
        {"issue ca --server *.example.org",                                   EX_OK,        "ca/_.example.org.pem  certificate of a server"         },
        {"issue gone --email a@example.org",                                  EX_NOINPUT,   "make one with: postern cert init gone"                 },
        {"issue ca --email d@example.org --out gone/d",                       EX_NOINPUT,   "gone/d.key: No such file"                              },
        {"revoke --help",                                                     EX_OK,        "key-compromise"                                        },
        {"revoke ca",                                                         EX_USAGE,     "is missing"                                            },
        {"revoke ca 00",                                                      EX_NOINPUT,   "see: postern cert list ca"                             },
        {"revoke ca server.pem --reason bored",                               EX_USAGE,     "--reason bored is unknown"                             },
        {"revoke ca ca/ca.pem",                                               EX_NOINPUT,   "is not in the index"                                   },
        {"crl --help",                                                        EX_OK,        "usage: postern cert crl DIR"                           },
        {"crl",                                                               EX_USAGE,     "is missing"                                            },
        {"crl --bogus",                                                       EX_USAGE,     "--bogus"                                               },
        {"crl ca",                                                            EX_OK,        "ca/crl.pem  good until"                                },
        {"list --help",                                                       EX_OK,        "usage: postern cert list DIR"                          },
        {"list",                                                              EX_USAGE,     "is missing"                                            },
        {"list --bogus ca",                                                   EX_USAGE,     "--bogus"                                               },
        {"list ca",                                                           EX_OK,        "  client  valid    "                                   },
        {"explain --help",                                                    EX_OK,        "usage: postern cert explain FILE"                      },
        {"explain",                                                           EX_USAGE,     "the file of the certificate is missing"                },
        {"explain server.pem --crl ca/crl.pem",                               EX_USAGE,     "go with --ca"                                          },
        {"explain server.pem --ca ca/ca.pem -c x",                            EX_USAGE,     "instead of a configuration"                            },
        {"explain server.pem --ca ca/ca.pem --at yesterday",                  EX_USAGE,     "is no time such as"                                    },
        {"explain server.pem --ca ca/ca.pem --source CN",                     EX_USAGE,     "--source CN is unknown"                                },
        {"explain gone.pem --ca ca/ca.pem",                                   EX_NOINPUT,   "gone.pem: No such file"                                },
        {"explain server.key --ca ca/ca.pem",                                 EX_DATAERR,   "holds no certificate"                                  },
        {"explain server.pem --ca gone.pem",                                  EX_NOINPUT,   "gone.pem: No such file"                                },
        {"explain server.pem -c gone.conf",                                   EX_NOINPUT,   "gone.conf"                                             },
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        int code = run(table[i].line);
        if (code != table[i].code || !(strstr(out, table[i].want) || strstr(err, table[i].want)))
            fail_msg("%s: %d, %s%s", table[i].line, code, out, err);
        check(table[i].line, (code == EX_OK) == (err[0] == '\0'));
    }
}

static bool is_text(json_t *j, const char *key, const char *want)
{
    const char *got = json_string_value(json_object_get(j, key));
    return got && strcmp(got, want) == 0;
}

static json_t *first_verdict(json_t *report)
{
    json_t *v = json_array_get(json_object_get(report, "verdicts"), 0);
    assert_non_null(v);
    return v;
}

static void one_certificate_through_its_life(void **state)
{
    (void)state;
    char command[300];
    must("init life");
    json_t *made = run_json("issue life --email carol@Example.org --json", EX_OK);
    assert_true(is_text(made, "certificate", "life/carol@Example.org.pem"));
    const char *serial = json_string_value(json_object_get(made, "serial"));
    assert_non_null(serial);

#define EXPLAIN "explain life/carol@Example.org.pem --ca life/ca.pem --crl life/crl.pem --json"
    json_t *j = run_json(EXPLAIN, EX_OK);
    assert_true(is_text(j, "serial", serial));
    assert_true(is_text(j, "extendedKeyUsage", "clientAuth"));
    assert_true(is_text(first_verdict(j), "outcome", "acceptable"));
    json_t *identities = json_object_get(first_verdict(j), "identities");
    assert_string_equal(json_string_value(json_array_get(identities, 0)), "carol@example.org");
    json_t *tried = json_array_get(json_object_get(first_verdict(j), "tried"), 0);
    assert_true(is_text(tried, "value", "carol@example.org"));
    assert_true(is_text(tried, "finding", "fits: carol@example.org"));
    json_decref(j);

    must("explain life/carol@Example.org.pem --ca life/ca.pem --source san-email --source san-dns");
    assert_non_null(strstr(out, "tried       san-email (san-email) carol@example.org: fits: carol@example.org"));
    assert_non_null(strstr(out, "san-dns (san-dns): not looked at, as an earlier rule fits"));

    j = run_json(EXPLAIN " --at 2001-01-01", EX_NOPERM);
    assert_true(is_text(first_verdict(j), "cause", "revocation-unknown") ||
                is_text(first_verdict(j), "cause", "not-yet-valid"));
    json_decref(j);

    snprintf(command, sizeof(command), "revoke life %s --reason superseded", serial);
    must(command);
    must(command); /* again: repairs the list, harms nothing */
    assert_non_null(strstr(out, "was revoked already"));
    j = run_json(EXPLAIN, EX_NOPERM);
    assert_true(is_text(first_verdict(j), "cause", "revoked"));
    json_decref(j);

    j = run_json("list life --json", EX_OK);
    assert_int_equal(json_array_size(j), 1);
    assert_true(is_text(json_array_get(j, 0), "status", "revoked"));
    assert_true(is_text(json_array_get(j, 0), "reason", "superseded"));
    assert_true(is_text(json_array_get(j, 0), "serial", serial));
    json_decref(j);
    json_decref(made);
}

/* One listener for each way to use a certificate. */
static void write_configuration(void)
{
    static const char *const listeners[][2] = {
        {"implicit",   "trust = {staff}"                                    },
        {"explicit",   "trust = {other, staff}  certificate-auth = explicit"},
        {"elsewhere",  "trust = {other}"                                    },
        {"strict",     "trust = {other}  client-certificate = require"      },
        {"off",        "trust = {staff}  certificate-auth = off"            },
        {"untrusting", "client-certificate = off"                           },
    };
    FILE *f = fopen("postern.conf", "w");
    assert_non_null(f);
    fputs("hostname = \"mail.example.org\"\n"
          "trust staff { ca = {\"ca/ca.pem\"} }\n"
          "trust other { ca = {\"other/ca.pem\"} }\n"
          "identity email { source = san-email }\n"
          "spool { database = \"spool.db\" }\n"
          "route default { smtp = \"localhost:25\" }\n",
          f);
    for (size_t i = 0; i < ARRAY_LEN(listeners); i++)
        fprintf(f,
                "listener %s { address = \"127.0.0.1:%zu\" certificate = \"server.pem\" key = "
                "\"server.key\" %s }\n",
                listeners[i][0], 2500 + i, listeners[i][1]);
    assert_int_equal(fclose(f), 0);
}

static void listeners_are_explained(void **state)
{
    (void)state;
    write_configuration();
    must("init other --name Other");
    must("issue ca --email dave@example.org --email eve@example.org --out two");
    must("issue ca --email frank@example.org --out one");
    static const struct {
        const char *name, *line;
        int code;
        const char *want;
    } table[] = {
        {"implicit",   "explain one.pem -c postern.conf --listener implicit",   EX_OK,
         "so          AUTH EXTERNAL is offered, and MAIL works without it"                      },
        {"explicit",   "explain one.pem -c postern.conf --listener explicit",   EX_OK,
         "so          AUTH EXTERNAL is offered, and needed before MAIL"                         },
        {"trust",      "explain one.pem -c postern.conf --listener explicit",   EX_OK,
         "trust       staff"                                                                    },
        {"elsewhere",  "explain one.pem -c postern.conf --listener elsewhere",  EX_NOPERM,
         "verdict     unacceptable: client certificate was issued by an unknown CA (CN=Test_CA)"},
        {"elsewhere",  "explain one.pem -c postern.conf --listener elsewhere",  EX_NOPERM,
         "so          AUTH EXTERNAL is not offered, MAIL answers 530"                           },
        {"strict",     "explain one.pem -c postern.conf --listener strict",     EX_NOPERM,
         "so          the TLS handshake fails"                                                  },
        {"off",        "explain one.pem -c postern.conf --listener off",        EX_OK,
         "so          certificates do not log in here"                                          },
        {"untrusting", "explain one.pem -c postern.conf --listener untrusting", EX_NOPERM,
         "so          this listener asks for no certificate"                                    },
        {"two",        "explain two.pem -c postern.conf --listener implicit",   EX_NOPERM,
         "so          AUTH EXTERNAL is offered and needs one of the identities"                 },
        {"unknown",    "explain one.pem -c postern.conf --listener nobody",     EX_USAGE,
         "there is no listener nobody"                                                          },
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        int code = run(table[i].line);
        if (code != table[i].code || !(strstr(out, table[i].want) || strstr(err, table[i].want)))
            fail_msg("%s: %d, %s%s", table[i].name, code, out, err);
    }
    json_t *j = run_json("explain one.pem -c postern.conf --json", EX_NOPERM);
    assert_int_equal(json_array_size(json_object_get(j, "verdicts")), 5); /* those with a trust */
    json_decref(j);
}

/* The secret key never leaves its file. */
static void no_key_is_printed(void **state)
{
    (void)state;
    struct stat st;
    must("issue ca --email grace@example.org --out grace --p12 --p12-password-file password");
    assert_null(strstr(out, "PRIVATE"));
    assert_null(strstr(out, "secret"));
    assert_int_equal(stat("grace.key", &st), 0);
    assert_int_equal(st.st_mode & 077, 0);
    assert_int_equal(stat("grace.p12", &st), 0);
    assert_int_equal(st.st_mode & 077, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_fit_the_question),
        cmocka_unit_test(one_certificate_through_its_life),
        cmocka_unit_test(listeners_are_explained),
        cmocka_unit_test(no_key_is_printed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
