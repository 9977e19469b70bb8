#include "unit.h"

#include "app/sequences.h"

#include <stdio.h>

#define T(day) "2026-10-" day "T12:00:00.123Z "
#define LOGIN(day, listener, who, how, helo)                                                       \
    T(day)                                                                                         \
    "info login session=s listener=" listener " identity=" who " mechanism=EXTERNAL sequence=" how \
    " tls=TLSv1.3 cipher=X helo=" helo
#define REFUSED(day, listener, who)                                                                \
    T(day)                                                                                         \
    "notice refused session=s peer=::1 command=MAIL certificate=acceptable reply=\"530 5.7.0 "     \
    "Authentication required\" listener=" listener " sequence=implicit certificate-names=" who  \
    " helo=h"

static const char *const log_lines[] = {
    LOGIN("03", "b", "alice@x", "implicit", "two"),
    LOGIN("02", "b", "alice@x", "implicit", "one"),
    LOGIN("04", "b", "alice@x", "implicit", "two"),
    LOGIN("02", "a", "alice@x", "explicit", "one"),
    LOGIN("02", "b", "bob@x", "explicit", "one"),
    LOGIN("02", "b", "bob@x", "implicit", "one"),
    LOGIN("02", "b", "carol@x", "password", "one"),
    LOGIN("02", "b", "\"dave at \\\"x\\\"\"", "explicit", "one"),
    REFUSED("05", "b", "erin@x"),
    T("02") "notice refused session=s peer=::1 command=RCPT reply=\"550 5.1.2 no\"",
    T("02") "info connect session=s listener=b",
    "something else altogether",
};

static void adding_up(void **state)
{
    (void)state;
    static const struct {
        const char *listener, *identity;
        unsigned implicit, explicit, other, refused;
        const char *first, *last;
        enum lockout lockout;
    } want[] = {
        {"a", "alice@x",       0, 1, 0, 0, T("02"), T("02"), LOCKOUT_NONE},
        {"b", "alice@x",       3, 0, 0, 0, T("02"), T("04"), LOCKOUT_ALL },
        {"b", "bob@x",         1, 1, 0, 0, T("02"), T("02"), LOCKOUT_SOME},
        {"b", "carol@x",       0, 0, 1, 0, T("02"), T("02"), LOCKOUT_NONE},
        {"b", "dave at \"x\"", 0, 1, 0, 0, T("02"), T("02"), LOCKOUT_NONE},
        {"b", "erin@x",        0, 0, 0, 1, T("05"), T("05"), LOCKOUT_NONE},
    };
    struct sequences s = {0};
    for (size_t i = 0; i < ARRAY_LEN(log_lines); i++)
        sequences_line(&s, str_of(log_lines[i]));
    sequences_sort(&s);
    assert_int_equal(s.n, ARRAY_LEN(want));
    assert_int_equal(s.lines, ARRAY_LEN(log_lines));
    assert_int_equal(s.ours, ARRAY_LEN(log_lines) - 1);
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        const struct sequence_user *u = &s.users[i];
        check(want[i].identity, strcmp(u->listener, want[i].listener) == 0);
        check(want[i].identity, strcmp(u->identity, want[i].identity) == 0);
        check(want[i].identity, u->implicit == want[i].implicit && u->explicit == want[i].explicit);
        check(want[i].identity, u->other == want[i].other && u->refused == want[i].refused);
        check(want[i].identity, strncmp(u->first, want[i].first, 24) == 0);
        check(want[i].identity, strncmp(u->last, want[i].last, 24) == 0);
        check(want[i].identity, sequences_lockout(u) == want[i].lockout);
    }
    assert_string_equal(s.users[1].helos[0], "two");
    assert_string_equal(s.users[1].helos[1], "one");
    assert_null(s.users[1].helos[2]);
    sequences_done(&s);
}

static void many_identities(void **state)
{
    (void)state;
    struct sequences s = {0};
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 5000; i++) {
            char line[256];
            (void)snprintf(
                line, sizeof(line),
                T("02") "info login listener=l identity=u%u@x sequence=implicit helo=h%u", i,
                round);
            sequences_line(&s, str_of(line));
        }
    }
    sequences_sort(&s);
    assert_int_equal(s.n, 5000);
    for (size_t i = 0; i < s.n; i++)
        assert_int_equal(s.users[i].implicit, 2);
    sequences_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adding_up),
        cmocka_unit_test(many_identities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
