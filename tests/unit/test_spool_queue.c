#include "spool_kit.h"

#include "app/cmd_queue.h"

#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <sysexits.h>

/* Runs `postern queue` with these words on the kit's spool; what it printed is in *out (the caller frees). */
static int run(struct kit *k, char **out, const char *words)
{
    char name[128], line[256];
    (void)snprintf(name, sizeof(name), "%s/output", k->dir);
    (void)snprintf(line, sizeof(line), "%s", words);
    char program[] = "postern queue", option[] = "--database";
    char *argv[16] = {program, option, k->path};
    int argc = 3;
    for (char *w = strtok(line, " "); w; w = strtok(NULL, " "))
        argv[argc++] = w;
    (void)fflush(stdout);
    int keep_out = dup(STDOUT_FILENO), keep_err = dup(STDERR_FILENO);
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && keep_out >= 0 && keep_err >= 0);
    (void)dup2(fd, STDOUT_FILENO);
    (void)dup2(fd, STDERR_FILENO);
    optind = 0;
    int status = cmd_queue(argc, argv);
    (void)fflush(stdout);
    (void)dup2(keep_out, STDOUT_FILENO);
    (void)dup2(keep_err, STDERR_FILENO);
    (void)close(keep_out);
    (void)close(keep_err);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    *out = xcalloc(1, (size_t)st.st_size + 1);
    assert_true(pread(fd, *out, (size_t)st.st_size, 0) == st.st_size);
    (void)close(fd);
    return status;
}

static void check_run(struct kit *k, const char *words, int want, const char *has)
{
    char *out = NULL;
    int status = run(k, &out, words);
    if (status != want || !strstr(out, has))
        fail_msg("%s: %d, wanted %d and \"%s\", printed:\n%s", words, status, want, has, out);
    free(out);
}

static void submit_text(struct kit *k, const char *from, const char *to, const char *text, char *id)
{
    struct kit_commit c = {.kit = k};
    struct spool_draft *d = spool_begin(k->spool, k->loop);
    (void)snprintf(id, SPOOL_QUEUE_ID_MAX, "%s", spool_draft_id(d));
    assert_int_equal(spool_write(d, text, strlen(text)), 0);
    struct spool_envelope env = {.reverse_path = from, .received_ms = clock_wall_ms()};
    struct spool_recipient rcpt = {.address = to};
    spool_commit(&d, &env, &rcpt, 1, kit_done, &c);
    KIT_WAIT(k, c.done);
    assert_int_equal(c.error, 0);
}

static void words_are_checked_before_anything_is_done(void **state)
{
    struct kit *k = *state;
    static const struct {
        const char *words;
        int want;
        const char *has;
    } rows[] = {
        {"",                         EX_USAGE,   "what is to be done"           },
        {"lst",                      EX_USAGE,   "did you mean \"list\"?"       },
        {"list 1mf3k9q0zabc",        EX_USAGE,   "takes no id"                  },
        {"show",                     EX_USAGE,   "needs the id"                 },
        {"show abc",                 EX_USAGE,   "is no queue id"               },
        {"show 1mf3k9q0zabc",        EX_NOINPUT, "there is no message"          },
        {"delete",                   EX_USAGE,   "--all for every one"          },
        {"hold",                     EX_USAGE,   "--all for every one"          },
        {"hold 1mf3k9q0zabc --all",  EX_USAGE,   "either an id or --all"        },
        {"show --all",               EX_USAGE,   "takes no --all"               },
        {"delete 1mf3k9q0zabc more", EX_USAGE,   "one word too many"            },
        {"--help",                   EX_OK,      "usage: postern queue"         },
        {"list",                     EX_OK,      "The queue is empty."          },
        {"stats",                    EX_OK,      "0 due"                        },
        {"flush",                    EX_OK,      "0 recipients made due at once"},
        {"delete --all",             EX_OK,      "0 recipients deleted"         },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check_run(k, rows[i].words, rows[i].want, rows[i].has);
}

static void a_spool_that_is_not_there_is_said(void **state)
{
    struct kit *k = *state;
    check_run(k, "list", EX_NOINPUT, "No such file");
    int fd = open(k->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "no database at all, but long enough", 35), 35);
    (void)close(fd);
    check_run(k, "list", EX_DATAERR, "no SQLite database");
}

static void a_message_is_steered_by_its_id(void **state)
{
    struct kit *k = *state;
    char id[SPOOL_QUEUE_ID_MAX], words[64];
    submit_text(k, "a@example.org", "b@example.net", "Subject: one\r\nX: y\r\n\r\nthe body\r\n",
                id);
    check_run(k, "list", EX_OK, "a@example.org -> b@example.net");
    check_run(k, "list", EX_OK, "1 message, 1 recipient, 32 B");
    static const struct {
        const char *words, *has;
    } rows[] = {
        {"show",        "Subject: one\nX: y\n"},
        {"show --body", "\r\n\r\nthe body\r\n"},
        {"hold",        "1 recipient held"    },
        {"show",        "held, 0 attempts"    },
        {"flush",       "0 recipients"        },
        {"release",     "1 recipient released"},
        {"show",        "due, 0 attempts"     },
        {"delete",      "1 recipient deleted" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        (void)snprintf(words, sizeof(words), "%s %s", rows[i].words, id);
        check_run(k, words, EX_OK, rows[i].has);
    }
    check_run(k, "list", EX_OK, "The queue is empty.");
}

/* What a peer sent must not steer the terminal of the operator. */
static void hostile_text_is_made_harmless(void **state)
{
    struct kit *k = *state;
    char id[SPOOL_QUEUE_ID_MAX], words[64];
    submit_text(k, "a\x1b[2J@example.org", "b\xc2\x9b@\xff.net", "Subject: \x1b]0;x\a\r\n\r\n", id);
    (void)snprintf(words, sizeof(words), "show %s", id);
    static const char *const shown[] = {"list", "stats"};
    char *out = NULL;
    for (size_t i = 0; i <= ARRAY_LEN(shown); i++) {
        assert_int_equal(run(k, &out, i < ARRAY_LEN(shown) ? shown[i] : words), EX_OK);
        for (const char *p = out; *p; p++)
            check(out, (unsigned char)*p >= 0x20 || *p == '\n');
        check(out, str_is_utf8(str_of(out)));
        check(out, strstr(out, "\xc2\x9b") == NULL);
        free(out);
    }
    check_run(k, "list", EX_OK, "a?[2J@example.org -> b?@?.net");
}

static void json_is_json(void **state)
{
    struct kit *k = *state;
    char id[3][SPOOL_QUEUE_ID_MAX];
    for (size_t n = 0; n <= 3; n++) {
        char *out = NULL;
        assert_int_equal(run(k, &out, "list --json"), EX_OK);
        json_error_t error;
        json_t *list = json_loads(out, 0, &error);
        check(out, list && json_array_size(list) == n);
        json_decref(list);
        free(out);
        if (n < 3)
            submit_text(k, n ? "a\xff@example.org" : "", "b@example.net", "x\r\n", id[n]);
    }
    char words[64], *out = NULL;
    (void)snprintf(words, sizeof(words), "show --json %s", id[1]);
    assert_int_equal(run(k, &out, words), EX_OK);
    json_t *one = json_loads(out, 0, NULL);
    free(out);
    const char *from = NULL, *to = NULL, *st = NULL;
    assert_int_equal(json_unpack(one, "{s:s, s:[{s:s, s:s}]}", "from", &from, "recipients", "to",
                                 &to, "state", &st),
                     0);
    assert_string_equal(from, "a\xef\xbf\xbd@example.org");
    assert_string_equal(to, "b@example.net");
    assert_string_equal(st, "due");
    json_decref(one);
    assert_int_equal(run(k, &out, "stats --json"), EX_OK);
    json_t *stats = json_loads(out, 0, NULL);
    free(out);
    assert_int_equal(json_integer_value(json_object_get(stats, "messages")), 3);
    assert_int_equal(json_integer_value(json_object_get(stats, "due")), 3);
    json_decref(stats);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(words_are_checked_before_anything_is_done, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(a_spool_that_is_not_there_is_said, kit_setup_closed,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(a_message_is_steered_by_its_id, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(hostile_text_is_made_harmless, kit_setup, kit_teardown),
        cmocka_unit_test_setup_teardown(json_is_json, kit_setup, kit_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
