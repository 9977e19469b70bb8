/* The observer without a network: shapes, what may be shown, each kind driven by scripts, and what a client is. */
#include "probe/client_report.h"
#include "probe/observer_hints.h"
#include "probe/observer_play.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#define PASSWORD "AGFsaWNlAHNlY3JldA==" /* NUL alice NUL secret */
#define ALICE "YWxpY2VAZXhhbXBsZS5vcmc="

static void test_shapes(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct {
        const char *command, *response; /* NULL: no challenge came */
        const char *want;
        bool right;
    } rows[] = {
        {"AUTH EXTERNAL =",           NULL,                   "equals",       true },
        {"auth external =",           NULL,                   "equals",       true },
        {"AUTH EXTERNAL =",           "",                     "equals",       true },
        {"AUTH EXTERNAL " ALICE,      NULL,                   "name",         true },
        {"AUTH EXTERNAL",             "",                     "bare-empty",   true },
        {"AUTH EXTERNAL",             "=",                    "bare-equals",  false},
        {"AUTH EXTERNAL",             ALICE,                  "bare-name",    true },
        {"AUTH EXTERNAL",             "*",                    "cancelled",    true },
        {"AUTH EXTERNAL",             "MAIL FROM:<a@b.example>", "command",   false},
        {"AUTH EXTERNAL",             "QUIT",                 "command",      false},
        {"AUTH EXTERNAL",             "a!",                   "no-base64",    false},
        {"AUTH EXTERNAL",             NULL,                   "bare",         true },
        {"AUTH EXTERNAL ",            "",                     "space-empty",  false},
        {"AUTH EXTERNAL ",            "=",                    "space-equals", false},
        {"AUTH EXTERNAL ",            ALICE,                  "space-name",   false},
        {"AUTH EXTERNAL alice@x.org", NULL,                   "no-base64",    false},
    };
    /* clang-format on */
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct line l = line_read(str_of(rows[i].command));
        enum external_first f = external_first(l.response);
        enum external_answer a =
            rows[i].response ? external_answer(str_of(rows[i].response)) : ANSWER_NOT_ASKED;
        if (strcmp(external_shape_name(f, a), rows[i].want) != 0)
            fail_msg("row %zu: got %s, want %s", i, external_shape_name(f, a), rows[i].want);
        check(rows[i].want, external_shape_is_right(f, a) == rows[i].right);
    }
    for (int f = FIRST_BARE; f <= FIRST_NO_BASE64; f++)
        for (int a = ANSWER_NOT_ASKED; a <= ANSWER_NO_BASE64; a++)
            assert_true(external_shape_words((enum external_first)f, (enum external_answer)a)[0]);
}

static void test_shown(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct {
        const char *line, *mechanism, *want;
    } rows[] = {
        {"AUTH PLAIN " PASSWORD,    NULL,       "AUTH PLAIN ***"                           },
        {"AUTH   plain   " PASSWORD, NULL,      "AUTH PLAIN ***"                           },
        {"AUTH XOAUTH2 " PASSWORD,  NULL,       "AUTH XOAUTH2 ***"                         },
        {"AUTH " PASSWORD,          NULL,       "AUTH "                                    },
        {"AUTH EXTERNAL " PASSWORD, NULL,       "AUTH EXTERNAL ***"                        },
        {"AUTH EXTERNAL " ALICE,    NULL,       "AUTH EXTERNAL " ALICE                     },
        {"AUTH EXTERNAL ",          NULL,       "AUTH EXTERNAL (a trailing space)"         },
        {"AUTH EXTERNAL =",         NULL,       "AUTH EXTERNAL ="                          },
        {PASSWORD,                  NULL,       "(a line of 20 octets that is no command)" },
        {PASSWORD,                  "PLAIN",    "***"                                      },
        {PASSWORD,                  "LOGIN",    "***"                                      },
        {PASSWORD,                  "EXTERNAL", "***"                                      },
        {"c2VjcmV0",                "LOGIN",    "***"                                      },
        {"",                        "EXTERNAL", "(an empty line)"                          },
        {ALICE,                     "EXTERNAL", ALICE                                      },
        {"*",                       "PLAIN",    "*"                                        },
        {"MAIL FROM:<a@b.example>", "EXTERNAL", "MAIL FROM:<a@b.example>"                  },
        {"MAIL FROM:<\x1b[2J>",     NULL,       "MAIL FROM:<?[2J>"                         },
    };
    /* clang-format on */
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char got[LINE_SHOWN];
        line_show(str_of(rows[i].line), rows[i].mechanism, got);
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s: got \"%s\", want \"%s\"", rows[i].line, got, rows[i].want);
    }
}

/* ---- a client that follows a script, against the real session engine ---- */

static const struct smtp_server_config server = {
    .hostname = "localhost",
    .extensions = SMTP_SET(SMTP_EXT_PIPELINING) | SMTP_SET(SMTP_EXT_SIZE) |
                  SMTP_SET(SMTP_EXT_ENHANCEDSTATUSCODES)};

struct talk {
    struct record record;
    char replies[2048]; /* all of them */
};

/* `script` has lines with '\n' between them; all come in one go. */
static void converse(struct talk *t,
                     enum observer_place kind,
                     bool certificate,
                     const char *script,
                     enum record_end end)
{
    struct play p;
    struct buf out = BUF_INIT((size_t)16 * 1024), in = BUF_INIT((size_t)16 * 1024);
    record_init(&t->record, 1, &observer_kinds[kind], true, "127.0.0.1");
    t->record.certificate.sent = certificate;
    t->record.certificate.accepted =
        certificate && observer_kinds[kind].certificate != CERTIFICATE_REFUSED;
    play_init(&p, &observer_kinds[kind], true);
    p.engine = smtp_server_new(&server, &play_ops, &p, &out);
    p.out = &out;
    p.record = &t->record;
    record_secured(&t->record, 0, "TLSv1.3", NULL, false);
    smtp_server_secured(p.engine);
    smtp_server_greet(p.engine, NULL);
    for (const char *line = script; *line;) {
        const char *lf = strchrnul(line, '\n');
        assert_int_equal(buf_printf(&in, "%.*s\r\n", (int)(lf - line), line), 0);
        line = *lf ? lf + 1 : lf;
    }
    assert_int_equal(smtp_server_feed(p.engine, in.data, in.len), in.len);
    play_said(&p);
    record_ended(&t->record, 9, p.ended ? END_QUIT : end, NULL);
    (void)snprintf(t->replies, sizeof(t->replies), "%s", out.data);
    smtp_server_free(p.engine);
    buf_done(&out);
    buf_done(&in);
}

#define EHLO "EHLO c.example\n"
#define MAIL "MAIL FROM:<a@example.org>\n"

static void test_kinds(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct {
        const char *name;
        enum observer_place kind;
        bool certificate;
        const char *script;
        const char *want[3]; /* what the replies hold, in this order */
    } rows[] = {
        {"explicit offers", KIND_EXPLICIT, true, EHLO "AUTH EXTERNAL =\n" MAIL, {"250-AUTH EXTERNAL\r\n", "235 2.7.0", "250 2.1.0"}},
        {"explicit wants AUTH", KIND_EXPLICIT, true, EHLO MAIL, {"250-AUTH EXTERNAL\r\n", "530 5.7.0"}},
        {"explicit without a certificate", KIND_EXPLICIT, false, EHLO "AUTH EXTERNAL =\n" MAIL, {"250-SIZE", "535 5.7.8", "530 5.7.0"}},
        {"explicit, MAIL for a response", KIND_EXPLICIT, true, EHLO "AUTH EXTERNAL\n" MAIL MAIL, {"334 \r\n", "501 5.5.2", "530 5.7.0"}},
        {"explicit, QUIT for a response", KIND_EXPLICIT, true, EHLO "AUTH EXTERNAL\nQUIT\nQUIT", {"334 \r\n", "535 5.7.8", "221"}},
        {"implicit, straight", KIND_IMPLICIT, true, EHLO MAIL, {"250-AUTH EXTERNAL\r\n", "250 2.1.0"}},
        {"implicit, no certificate", KIND_IMPLICIT, false, EHLO MAIL, {"530 5.7.0"}},
        {"implicit, MAIL for a response", KIND_IMPLICIT, true, EHLO "AUTH EXTERNAL\n" MAIL, {"334 \r\n", "250 2.1.0"}},
        {"implicit, after a failure", KIND_IMPLICIT, true, EHLO "AUTH EXTERNAL\n*\n" MAIL, {"334 \r\n", "501", "530 5.7.0"}},
        {"hidden", KIND_HIDDEN, true, EHLO "AUTH EXTERNAL =\n" MAIL, {"503 5.5.1", "250 2.1.0"}},
        {"prompts", KIND_PROMPTS, true, EHLO "AUTH EXTERNAL =\n\n", {"334 \r\n", "235 2.7.0"}},
        {"prompts, a name needs none", KIND_PROMPTS, true, EHLO "AUTH EXTERNAL " ALICE "\n", {"235 2.7.0"}},
        {"wants a name", KIND_WANTS_NAME, true, EHLO "AUTH EXTERNAL =\nAUTH EXTERNAL " ALICE "\n", {"535 5.7.8", "235 2.7.0"}},
        {"wants none", KIND_WANTS_EMPTY, true, EHLO "AUTH EXTERNAL " ALICE "\nAUTH EXTERNAL =\n", {"535 5.7.8", "235 2.7.0"}},
        {"asks for the name", KIND_ASKS_NAME, true, EHLO "AUTH EXTERNAL\n" ALICE "\n", {"334 VXNlcm5hbWU6\r\n", "235 2.7.0"}},
        {"at once", KIND_AT_ONCE, true, EHLO "AUTH EXTERNAL\n" MAIL, {"235 2.7.0", "250 2.1.0"}},
        {"choice", KIND_CHOICE, true, EHLO "AUTH PLAIN " PASSWORD "\n", {"250-AUTH EXTERNAL PLAIN LOGIN\r\n", "535 5.7.8"}},
        {"always 535", KIND_ALWAYS_535, false, EHLO "AUTH EXTERNAL =\n" MAIL, {"250-AUTH EXTERNAL PLAIN LOGIN\r\n", "535 5.7.8", "530"}},
        {"plain only", KIND_PLAIN_ONLY, false, EHLO "AUTH EXTERNAL =\nAUTH LOGIN\nYQ==\nYg==\n", {"504 5.5.4", "334 UGFzc3dvcmQ6", "535 5.7.8"}},
        {"refused in SMTP", KIND_REFUSED, true, EHLO "AUTH EXTERNAL =\n" MAIL, {"250-AUTH PLAIN LOGIN\r\n", "535 5.7.8", "530 5.7.0"}},
        {"no second login", KIND_EXPLICIT, true, EHLO "AUTH EXTERNAL =\nAUTH EXTERNAL =\n", {"235 2.7.0", "503 5.5.1"}},
        {"a NUL in the authzid", KIND_EXPLICIT, true, EHLO "AUTH EXTERNAL " PASSWORD "\n", {"535 5.7.8"}},
    };
    /* clang-format on */
    static struct talk t;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        converse(&t, rows[i].kind, rows[i].certificate, rows[i].script, END_CLOSED);
        const char *at = t.replies;
        for (size_t k = 0; k < 3 && rows[i].want[k]; k++) {
            at = strstr(at, rows[i].want[k]);
            if (!at)
                fail_msg("%s: no \"%s\" in its place in:\n%s", rows[i].name, rows[i].want[k],
                         t.replies);
            at += strlen(rows[i].want[k]);
        }
        for (unsigned k = 0; k < t.record.n_events; k++)
            check(rows[i].name, !strstr(t.record.events[k].text, PASSWORD));
    }
}

static void test_reactions(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct {
        const char *name;
        enum observer_place kind;
        const char *script;
        enum record_end end;
        unsigned sequence;
        const char *what;
        enum record_next next;
        enum record_leak leak;
    } rows[] = {
        {"530, and QUIT", KIND_EXPLICIT, EHLO MAIL "QUIT\n", END_CLOSED, 2, "MAIL", NEXT_QUIT, LEAK_NONE},
        {"530, RSET and QUIT", KIND_EXPLICIT, EHLO MAIL "RSET\nQUIT\n", END_CLOSED, 2, "MAIL", NEXT_QUIT, LEAK_NONE},
        {"530 to a pipelined group", KIND_EXPLICIT, EHLO MAIL "RCPT TO:<b@example.org>\nDATA\n", END_CLOSED, 2, "MAIL", NEXT_CLOSED, LEAK_NONE},
        {"530, and EXTERNAL", KIND_EXPLICIT, EHLO MAIL "AUTH EXTERNAL =\n", END_LOST, 2, "MAIL", NEXT_EXTERNAL, LEAK_NONE},
        {"530, and a password", KIND_REFUSED, EHLO MAIL "AUTH PLAIN " PASSWORD "\n", END_LOST, 2, "MAIL", NEXT_PASSWORD, LEAK_REFUSED},
        {"535, and silence", KIND_ALWAYS_535, EHLO "AUTH EXTERNAL =\n", END_TIMEOUT, 1, "AUTH", NEXT_NOTHING, LEAK_NONE},
        {"535, and MAIL", KIND_ALWAYS_535, EHLO "AUTH EXTERNAL =\n" MAIL, END_CLOSED, 1, "AUTH", NEXT_MAIL, LEAK_NONE},
        {"535, and a password", KIND_ALWAYS_535, EHLO "AUTH EXTERNAL =\nAUTH PLAIN\n" PASSWORD "\n", END_CLOSED, 1, "AUTH", NEXT_PASSWORD,
         LEAK_REFUSED},
        {"535, and a bare PLAIN", KIND_ALWAYS_535, EHLO "AUTH EXTERNAL =\nAUTH PLAIN\n*\n", END_CLOSED, 1, "AUTH", NEXT_PASSWORD, LEAK_NONE},
        {"a password first", KIND_CHOICE, EHLO "AUTH LOGIN\nYWxpY2U=\nc2VjcmV0\n", END_CLOSED, 0, "AUTH", NEXT_CLOSED, LEAK_PREFERRED},
        {"the user of LOGIN is no secret", KIND_CHOICE, EHLO "AUTH LOGIN\nYWxpY2U=\n*\n", END_CLOSED, 0, "AUTH", NEXT_CLOSED, LEAK_NONE},
        {"EXTERNAL is missing", KIND_PLAIN_ONLY, EHLO "AUTH PLAIN " PASSWORD "\n", END_CLOSED, 0, "AUTH", NEXT_CLOSED, LEAK_NO_EXTERNAL},
        {"we ended it", KIND_EXPLICIT, EHLO MAIL, END_OURS, 2, "MAIL", NEXT_UNKNOWN, LEAK_NONE},
    };
    /* clang-format on */
    static struct talk t;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        converse(&t, rows[i].kind, true, rows[i].script, rows[i].end);
        const struct record *r = &t.record;
        check(rows[i].name, record_sequence(r) == rows[i].sequence);
        check(rows[i].name, r->n_refusals > 0 && strcmp(r->refusals[0].what, rows[i].what) == 0);
        check(rows[i].name, r->refusals[0].next == rows[i].next);
        check(rows[i].name, r->leak == rows[i].leak);
        check(rows[i].name, r->leak != LEAK_PREFERRED || strcmp(r->user, "alice") == 0);
    }
}

/* Nothing is said to a record in the clear but by hand: the engine of the scripts begins inside TLS. */
static void test_clear(void **state)
{
    (void)state;
    static struct record r;
    const struct record *one = &r;
    struct client_verdict v;
    record_init(&r, 1, &observer_kinds[KIND_EXPLICIT], false, "127.0.0.1");
    record_heard(&r, 0, STR("EHLO c.example"), false);
    record_said(&r, 0, STR("250-STARTTLS"));
    record_said(&r, 0, STR("250 HELP"));
    record_heard(&r, 1, STR("AUTH PLAIN " PASSWORD), false);
    record_said(&r, 1, STR("530 5.7.0 Must issue a STARTTLS command first"));
    record_heard(&r, 2, STR("QUIT"), false);
    record_ended(&r, 3, END_QUIT, NULL);
    assert_int_equal(r.leak, LEAK_CLEAR);
    assert_string_equal(r.user, "alice");
    assert_int_equal(record_sequence(&r), 0);
    client_judge(&one, 1, &v);
    assert_int_equal(v.class, CLIENT_NO_TLS);
    assert_int_equal(v.leak, LEAK_CLEAR);
}

static void test_bounds(void **state)
{
    (void)state;
    static struct record r;
    record_init(&r, 1, &observer_kinds[KIND_EXPLICIT], true, "127.0.0.1");
    record_secured(&r, 0, "TLSv1.3", NULL, false);
    for (int i = 0; i < 1000; i++) {
        record_heard(&r, i, STR("AUTH EXTERNAL =\x1b"), false);
        record_said(&r, i, STR("535 5.7.8 No"));
    }
    record_ended(&r, 1000, END_CLOSED, "an end");
    assert_int_equal(r.n_events, RECORD_EVENTS_MAX);
    assert_int_equal(r.events_lost, 2002 - RECORD_EVENTS_MAX);
    assert_int_equal(r.n_refusals, RECORD_REFUSALS_MAX);
    assert_int_equal(r.n_logins, RECORD_LOGINS_MAX);
}

/* ---- what a client is ---- */

struct meeting {
    enum observer_place kind;
    const char *script;
    bool bare; /* no certificate */
};

/* clang-format off */
static const struct {
    const char *name;
    struct meeting meetings[4];
    size_t n;
    enum client_class_of class;
    const char *works; /* Option 1, 2, 3, hidden: y, n, ? */
    enum probe_conforms conforms;
} clients[] = {
    {"nobody came", {{0}}, 0, CLIENT_UNKNOWN, "????", PROBE_CANNOT_TELL},
    {"sequence 1 only",
     {{KIND_EXPLICIT, EHLO "AUTH EXTERNAL =\n" MAIL, false},
      {KIND_IMPLICIT, EHLO "AUTH EXTERNAL =\n" MAIL, false},
      {KIND_HIDDEN, EHLO "AUTH EXTERNAL =\nQUIT\n", false}},
     3, CLIENT_1, "yyyn", PROBE_CONFORMS},
    {"sequence 1, and no more seen", {{KIND_EXPLICIT, EHLO "AUTH EXTERNAL\n\n" MAIL, false}}, 1, CLIENT_1_SO_FAR, "yyy?", PROBE_CONFORMS},
    {"sequence 1 if offered, else 2",
     {{KIND_EXPLICIT, EHLO "AUTH EXTERNAL =\n" MAIL, false}, {KIND_HIDDEN, EHLO MAIL, false}}, 2, CLIENT_1_ELSE_2, "yyyy", PROBE_CONFORMS},
    {"sequence 1 insisted upon, else 2",
     {{KIND_EXPLICIT, EHLO "AUTH EXTERNAL =\n" MAIL, false}, {KIND_HIDDEN, EHLO "AUTH EXTERNAL =\n" MAIL, false}},
     2, CLIENT_1_ELSE_2, "yyyy", PROBE_CONFORMS},
    {"logs in only", {{KIND_EXPLICIT, EHLO "AUTH EXTERNAL =\nQUIT\n", false}}, 1, CLIENT_1_SO_FAR, "yyy?", PROBE_CONFORMS},
    {"sequence 2 only", {{KIND_EXPLICIT, EHLO MAIL "QUIT\n", false}}, 1, CLIENT_2, "nyny", PROBE_CONFORMS_NOT},
    {"sequence 2, seen where it works", {{KIND_IMPLICIT, EHLO MAIL, false}}, 1, CLIENT_2_SO_FAR, "?y?y", PROBE_CONFORMS},
    {"sequence 2, on 530 sequence 1",
     {{KIND_EXPLICIT, EHLO MAIL "AUTH EXTERNAL =\n" MAIL, false}}, 1, CLIENT_2_THEN_1, "yyyy", PROBE_CONFORMS},
    {"sequence 2, and in the next session sequence 1",
     {{KIND_EXPLICIT, EHLO MAIL "QUIT\n", false}, {KIND_EXPLICIT, EHLO "AUTH EXTERNAL =\n" MAIL, false}},
     2, CLIENT_2_THEN_1, "yyyy", PROBE_CONFORMS},
    {"MAIL for a response",
     {{KIND_EXPLICIT, EHLO "AUTH EXTERNAL\n" MAIL, false}, {KIND_IMPLICIT, EHLO "AUTH EXTERNAL\n" MAIL, false}},
     2, CLIENT_UNFINISHED, "nyn?", PROBE_CONFORMS_NOT},
    {"cancels", {{KIND_EXPLICIT, EHLO "AUTH EXTERNAL\n*\nQUIT\n", false}}, 1, CLIENT_UNFINISHED, "n?n?", PROBE_CONFORMS_NOT},
    {"no certificate", {{KIND_EXPLICIT, EHLO MAIL, true}, {KIND_IMPLICIT, EHLO MAIL, true}}, 2, CLIENT_NO_CERTIFICATE, "nnnn", PROBE_CONFORMS_NOT},
    {"the certificate of one who is not asked",
     {{KIND_PLAIN_ONLY, EHLO MAIL, true}, {KIND_EXPLICIT, EHLO MAIL, false}}, 2, CLIENT_2, "nyny", PROBE_CONFORMS_NOT},
    {"a password in place of EXTERNAL", {{KIND_CHOICE, EHLO "AUTH PLAIN " PASSWORD "\n", false}}, 1, CLIENT_PASSWORD, "nnn?", PROBE_CONFORMS},
    {"a password, and nothing where EXTERNAL stands alone",
     {{KIND_EXPLICIT, EHLO "QUIT\n", false}, {KIND_CHOICE, EHLO "AUTH PLAIN " PASSWORD "\n", false}},
     2, CLIENT_PASSWORD, "nnn?", PROBE_CONFORMS_NOT},
    {"looks and goes", {{KIND_EXPLICIT, EHLO "QUIT\n", false}}, 1, CLIENT_GIVES_UP, "nnn?", PROBE_CONFORMS_NOT},
    {"a password where EXTERNAL is missing",
     {{KIND_EXPLICIT, EHLO "AUTH EXTERNAL =\n" MAIL, false},
      {KIND_HIDDEN, EHLO "QUIT\n", false},
      {KIND_PLAIN_ONLY, EHLO "AUTH PLAIN " PASSWORD "\n", true}},
     3, CLIENT_1, "yyyn", PROBE_CONFORMS_NOT},
};
/* clang-format on */

static void test_classes(void **state)
{
    (void)state;
    static struct talk t[4];
    for (size_t i = 0; i < ARRAY_LEN(clients); i++) {
        const struct record *records[4];
        struct client_verdict v;
        struct probe_result checks[CLIENT_CHECKS_MAX];
        for (size_t k = 0; k < clients[i].n; k++) {
            const struct meeting *m = &clients[i].meetings[k];
            converse(&t[k], m->kind, !m->bare, m->script, END_CLOSED);
            records[k] = &t[k].record;
        }
        client_judge(records, clients[i].n, &v);
        if (v.class != clients[i].class)
            fail_msg("%s: got %s", clients[i].name, client_class_name(v.class));
        for (unsigned k = 0; k < SERVER_OPTIONS; k++)
            check(clients[i].name, "?ny"[v.works[k]] == clients[i].works[k]);
        unsigned n = client_checks(&v, records, clients[i].n, checks);
        check(clients[i].name, client_conforms(&v, checks, n) == clients[i].conforms);
        for (unsigned k = 0; k < n; k++) {
            check(checks[k].id, checks[k].detail[0]);
            check(clients[i].name,
                  clients[i].class != CLIENT_2_THEN_1 || checks[k].status != PROBE_PASS ||
                      !strstr(checks[k].detail, "gave up"));
        }
    }
}

static enum probe_status status_of(const char *id, const struct record *const *records, size_t n)
{
    struct client_verdict v;
    struct probe_result checks[CLIENT_CHECKS_MAX];
    client_judge(records, n, &v);
    unsigned n_checks = client_checks(&v, records, n, checks);
    for (unsigned i = 0; i < n_checks; i++)
        if (strcmp(checks[i].id, id) == 0)
            return checks[i].status;
    fail_msg("there is no check %s", id);
    return PROBE_NOT_RUN;
}

static void handshake_refused(struct record *r, bool certificate)
{
    record_init(r, 1, &observer_kinds[KIND_ALERT], true, "127.0.0.1");
    r->certificate.sent = certificate;
    record_ended(r, 1, END_TLS_FAILED, "alert");
}

static void test_alert(void **state)
{
    (void)state;
    static struct record first, second;
    const struct record *records[] = {&first, &second};
    handshake_refused(&first, true);
    assert_string_equal(first.refusals[0].what, "TLS");
    assert_int_equal(status_of("alert", records, 1), PROBE_PASS);
    handshake_refused(&second, true);
    assert_int_equal(status_of("alert", records, 2), PROBE_PASS);
    handshake_refused(&second, false);
    assert_int_equal(second.n_refusals, 0);
    assert_int_equal(status_of("alert", records, 2), PROBE_FAIL);
    (void)snprintf(second.peer, sizeof(second.peer), "192.0.2.1");
    assert_int_equal(status_of("alert", records, 2), PROBE_PASS);
}

static void test_checks(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct {
        const char *id;
        struct meeting meeting;
        enum probe_status want;
    } rows[] = {
        {"certificate", {KIND_EXPLICIT, EHLO, true}, PROBE_WARN},
        {"certificate", {KIND_EXPLICIT, EHLO, false}, PROBE_PASS},
        {"certificate", {KIND_OTHER_CA, EHLO, true}, PROBE_NOT_RUN},
        {"other-ca", {KIND_OTHER_CA, EHLO, true}, PROBE_WARN},
        {"other-ca", {KIND_OTHER_CA, EHLO, false}, PROBE_SEEN},
        {"recovery", {KIND_EXPLICIT, EHLO MAIL "QUIT\n", false}, PROBE_WARN},
        {"recovery", {KIND_EXPLICIT, EHLO MAIL "AUTH EXTERNAL =\n", false}, PROBE_PASS},
        {"recovery", {KIND_EXPLICIT, EHLO "AUTH EXTERNAL =\n", false}, PROBE_NOT_RUN},
        {"shape", {KIND_EXPLICIT, EHLO "AUTH EXTERNAL\n=\n", false}, PROBE_WARN},
        {"shape", {KIND_EXPLICIT, EHLO "AUTH EXTERNAL\n" MAIL, false}, PROBE_FAIL},
        {"shape", {KIND_EXPLICIT, EHLO "AUTH EXTERNAL\n\n", false}, PROBE_PASS},
        {"prompts", {KIND_PROMPTS, EHLO "AUTH EXTERNAL =\nQUIT\n", false}, PROBE_WARN},
        {"prompts", {KIND_PROMPTS, EHLO "AUTH EXTERNAL =\n\n", false}, PROBE_PASS},
        {"wants-name", {KIND_WANTS_NAME, EHLO "AUTH EXTERNAL =\n", false}, PROBE_WARN},
        {"wants-empty", {KIND_WANTS_EMPTY, EHLO "AUTH EXTERNAL =\n", false}, PROBE_PASS},
        {"asks-name", {KIND_ASKS_NAME, EHLO "AUTH EXTERNAL\n*\n", false}, PROBE_WARN},
        {"at-once", {KIND_AT_ONCE, EHLO "AUTH EXTERNAL\n" MAIL, false}, PROBE_PASS},
        {"password-missing", {KIND_HIDDEN, EHLO "AUTH PLAIN " PASSWORD "\n", false}, PROBE_FAIL},
        {"password-missing", {KIND_PLAIN_ONLY, EHLO "QUIT\n", true}, PROBE_PASS},
        {"password-refused", {KIND_ALWAYS_535, EHLO "AUTH EXTERNAL =\nAUTH PLAIN " PASSWORD "\n", false}, PROBE_WARN},
        {"password-preferred", {KIND_CHOICE, EHLO "AUTH PLAIN " PASSWORD "\n", false}, PROBE_WARN},
        {"password-preferred", {KIND_CHOICE, EHLO "AUTH EXTERNAL =\n", false}, PROBE_PASS},
        {"refused", {KIND_REFUSED, EHLO MAIL "QUIT\n", false}, PROBE_SEEN},
        {"hidden", {KIND_HIDDEN, EHLO MAIL, false}, PROBE_SEEN},
        {"hidden", {KIND_HIDDEN, EHLO MAIL, true}, PROBE_NOT_RUN},
    };
    /* clang-format on */
    static struct talk t;
    const struct record *one = &t.record;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        converse(&t, rows[i].meeting.kind, !rows[i].meeting.bare, rows[i].meeting.script,
                 END_CLOSED);
        enum probe_status got = status_of(rows[i].id, &one, 1);
        if (got != rows[i].want)
            fail_msg("row %zu, %s: got %s", i, rows[i].id, probe_status_name(got));
    }
}

/* ---- hints ---- */

static void test_hints(void **state)
{
    (void)state;
    const struct hint_values start = {.host = "HOST",
                                      .port = 26,
                                      .ca = "CA",
                                      .certificate = "CERT",
                                      .key = "KEY",
                                      .p12 = "P12",
                                      .identity = "ME"};
    struct buf out = BUF_INIT(HINT_MAX);
    size_t n;
    const struct hint *hints = hint_list(&n);
    for (size_t i = 0; i < n; i++) {
        const char *ways[] = {hints[i].explicit_login, hints[i].straight};
        assert_true(ways[0] || ways[1]);
        for (size_t k = 0; k < 4; k++) {
            struct hint_values v = start;
            v.implicit_tls = k >= 2;
            if (!ways[k % 2])
                continue;
            check(hints[i].client, hint_fill(ways[k % 2], &v, &out) == 0);
            check(hints[i].client,
                  strstr(out.data, "HOST") && strstr(out.data, "26") && !strpbrk(out.data, "{}|"));
        }
    }
    assert_int_equal(hint_fill("{smtp{port}|smtps}", &start, &out), 0);
    assert_string_equal(out.data, "smtp26");
    assert_true(hint_fill("{nothing}", &start, &out) < 0);
    buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),  cmocka_unit_test(test_shown),
        cmocka_unit_test(test_kinds),   cmocka_unit_test(test_reactions),
        cmocka_unit_test(test_clear),   cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_classes), cmocka_unit_test(test_alert),
        cmocka_unit_test(test_checks),  cmocka_unit_test(test_hints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
