/* Every cell of the policy table against a second drawing of it, made from chapter 1 of the conformance
 * list and not from policy.c. */
#include "unit.h"

#include "auth/policy.h"

#include <errno.h>
#include <stdio.h>

/* O open  I open, implicit step  R refused, no word of certificates  W refused with the verdict's reason
 * E refused, "AUTH EXTERNAL"  F refused, AUTH failed before  C closed
 * Columns: none, unacceptable, unmapped, ambiguous, acceptable. */
static const struct {
    enum cert_auth rule;
    enum auth_history history;
    const char *row, *cells, *ids;
} drawing[] = {
    {CERT_AUTH_OFF,      AUTH_UNTRIED,  "off, untried",       "RRRRR", "OPN-01"             },
    {CERT_AUTH_OFF,      AUTH_FAILED,   "off, failed",        "RRRRR", "AUTH-04"            },
    {CERT_AUTH_OFF,      AUTH_OTHER,    "off, other",         "OOOOO", "AUTH-15"            },
    {CERT_AUTH_EXPLICIT, AUTH_UNTRIED,  "explicit, untried",  "RWWWE",
     "O1-01 O1-02 O3-02 EDG-01 EDG-02"                                                      },
    {CERT_AUTH_EXPLICIT, AUTH_FAILED,   "explicit, failed",   "RWWWE", "O1-05 AUTH-04"      },
    {CERT_AUTH_EXPLICIT, AUTH_EXPLICIT, "explicit, done",     "OCCOO", "O1-04 O3-04 EDG-18" },
    {CERT_AUTH_EXPLICIT, AUTH_OTHER,    "explicit, other",    "OOOOO", "O2-13"              },
    {CERT_AUTH_IMPLICIT, AUTH_UNTRIED,  "implicit, untried",  "RWWWI",
     "O2-01 O2-02 O2-07 EDG-01 EDG-02"                                                      },
    {CERT_AUTH_IMPLICIT, AUTH_FAILED,   "implicit, failed",   "RWWWF", "O2-12"              },
    {CERT_AUTH_IMPLICIT, AUTH_EXPLICIT, "implicit, explicit", "OCCOO", "O2-03 EDG-18"       },
    {CERT_AUTH_IMPLICIT, AUTH_IMPLICIT, "implicit, implicit", "OCCOO", "O2-10 EDG-05 EDG-18"},
    {CERT_AUTH_IMPLICIT, AUTH_OTHER,    "implicit, other",    "OOOOO", "O2-13"              },
};

/* The same when everybody the certificate names is disabled, and whom the session is authenticated as.
 * D refused, 525 5.7.13  X closed, "disabled". */
static const struct {
    enum cert_auth rule;
    enum auth_history history;
    const char *row, *cells, *ids;
} disabled_drawing[] = {
    {CERT_AUTH_OFF,      AUTH_UNTRIED,  "disabled, off, untried",       "RRRRR", "OPN-01"},
    {CERT_AUTH_OFF,      AUTH_FAILED,   "disabled, off, failed",        "RRRRR", "OPN-01"},
    {CERT_AUTH_OFF,      AUTH_OTHER,    "disabled, off, other",         "XXXXX", "EDG-18"},
    {CERT_AUTH_EXPLICIT, AUTH_UNTRIED,  "disabled, explicit, untried",  "RWWDD", "O2-08" },
    {CERT_AUTH_EXPLICIT, AUTH_FAILED,   "disabled, explicit, failed",   "RWWDD", "O2-08" },
    {CERT_AUTH_EXPLICIT, AUTH_EXPLICIT, "disabled, explicit, done",     "XXXXX", "EDG-18"},
    {CERT_AUTH_EXPLICIT, AUTH_OTHER,    "disabled, explicit, other",    "XXXXX", "EDG-18"},
    {CERT_AUTH_IMPLICIT, AUTH_UNTRIED,  "disabled, implicit, untried",  "RWWDD", "O2-08" },
    {CERT_AUTH_IMPLICIT, AUTH_FAILED,   "disabled, implicit, failed",   "RWWDD", "O2-08" },
    {CERT_AUTH_IMPLICIT, AUTH_EXPLICIT, "disabled, implicit, explicit", "XXXXX", "EDG-18"},
    {CERT_AUTH_IMPLICIT, AUTH_IMPLICIT, "disabled, implicit, implicit", "XXXXX", "EDG-18"},
    {CERT_AUTH_IMPLICIT, AUTH_OTHER,    "disabled, implicit, other",    "XXXXX", "EDG-18"},
};

static char alice[] = "alice@example.org", bob[] = "Bob@example.org";

/* `arg` is a list of keys. */
static int listed(void *arg, struct str key, struct buf *value)
{
    (void)value;
    for (char **k = arg; *k; k++)
        if (str_eq(key, str_of(*k)))
            return 0;
    return -ENOENT;
}

static char *both[] = {alice, bob, NULL}, *only_alice[] = {alice, NULL};
static const struct lookup both_disabled = {listed, both}, alice_disabled = {listed, only_alice};

static struct cert_verdict verdict_of(enum cert_outcome o)
{
    struct cert_verdict v = {.outcome = o};
    if (o == CERT_UNACCEPTABLE || o == CERT_UNMAPPED || o == CERT_AMBIGUOUS)
        (void)snprintf(v.reason, sizeof(v.reason), "reason %d", (int)o);
    if (o == CERT_ACCEPTABLE || o == CERT_AMBIGUOUS) {
        v.identities[v.n_identities++] = alice;
        v.not_after_ms = 1000;
    }
    if (o == CERT_AMBIGUOUS)
        v.identities[v.n_identities++] = bob;
    return v;
}

static char cell_of(enum policy_access a, const struct smtp_reply *r)
{
    if (a == POLICY_OPEN)
        return 'O';
    if (a == POLICY_IMPLICIT)
        return 'I';
    if (a == POLICY_CLOSE && (r->code != 421 || strcmp(r->enhanced, "4.7.0") != 0))
        return '?';
    if (a == POLICY_CLOSE)
        return strstr(r->text, "disabled") ? 'X' : 'C';
    if (r->code == 525)
        return strcmp(r->enhanced, "5.7.13") == 0 ? 'D' : '?';
    if (r->code != 530 || strcmp(r->enhanced, "5.7.0") != 0)
        return '?';
    if (strstr(r->text, "reason ") || strstr(r->text, "expired"))
        return 'W';
    if (strstr(r->text, "AUTH EXTERNAL"))
        return 'E';
    if (strstr(r->text, "AUTH failed"))
        return 'F';
    return strchr(r->text, '(') ? '?' : 'R';
}

static void every_cell_of_a_submission_listener(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(drawing); i++) {
        for (size_t o = 0; o < 5; o++) {
            struct cert_verdict v = verdict_of((enum cert_outcome)o);
            struct policy_input in = {.cert_auth = drawing[i].rule,
                                      .secure = true,
                                      .history = drawing[i].history,
                                      .verdict = &v,
                                      .now_ms = 500};
            struct smtp_reply r = {0};
            char got = cell_of(policy_mail(&in, &r), &r);
            if (got != drawing[i].cells[o])
                fail_msg("%s, verdict %zu (%s): want %c, got %c: %d %s", drawing[i].row, o,
                         drawing[i].ids, drawing[i].cells[o], got, r.code, r.text);
            /* The other commands answer as MAIL does, without the step (SUB-04). */
            struct smtp_reply r2 = {0};
            char other = cell_of(policy_other(&in, &r2), &r2);
            check(drawing[i].row, other == (got == 'I' ? 'O' : got));
            /* A listed peer is nobody on a submission listener (O1-02). */
            in.listed_peer = true;
            struct smtp_reply r3 = {0};
            check(drawing[i].row, cell_of(policy_mail(&in, &r3), &r3) == got);
        }
    }
}

static void every_cell_of_a_disabled_account(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(disabled_drawing); i++) {
        for (size_t o = 0; o < 5; o++) {
            struct cert_verdict v = verdict_of((enum cert_outcome)o);
            struct policy_input in = {.cert_auth = disabled_drawing[i].rule,
                                      .secure = true,
                                      .history = disabled_drawing[i].history,
                                      .verdict = &v,
                                      .now_ms = 500,
                                      .disabled = &both_disabled,
                                      .identity = alice};
            struct smtp_reply r = {0};
            CLEANUP(buf_done) struct buf identity = BUF_INIT(CERT_IDENTITY_MAX);
            char got = cell_of(policy_mail(&in, &r), &r);
            if (got != disabled_drawing[i].cells[o])
                fail_msg("%s, verdict %zu (%s): want %c, got %c: %d %s", disabled_drawing[i].row, o,
                         disabled_drawing[i].ids, disabled_drawing[i].cells[o], got, r.code,
                         r.text);
            check(disabled_drawing[i].row, !policy_offers_external(&in));
            check(disabled_drawing[i].row, !policy_external(&in, STR(""), &identity, &r));
            check(disabled_drawing[i].row, got != 'D' || r.code == 525);
            check(disabled_drawing[i].row, !policy_external(&in, str_of(alice), &identity, &r));
        }
    }
}

/* Of two identities one is disabled: the other may be asked for, and nothing is said of who is no business of the
 * client's. */
static void one_of_two_identities_is_disabled(void **state)
{
    (void)state;
    struct cert_verdict v = verdict_of(CERT_AMBIGUOUS);
    struct policy_input in = {.cert_auth = CERT_AUTH_IMPLICIT,
                              .secure = true,
                              .verdict = &v,
                              .now_ms = 1,
                              .disabled = &alice_disabled};
    struct smtp_reply r = {0};
    CLEANUP(buf_done) struct buf identity = BUF_INIT(CERT_IDENTITY_MAX);
    assert_true(policy_offers_external(&in));
    assert_false(policy_external(&in, str_of(alice), &identity, &r));
    assert_int_equal(r.code, 525);
    assert_false(policy_external(&in, STR(""), &identity, &r)); /* EDG-02: it chooses nobody */
    assert_int_equal(r.code, 535);
    assert_false(policy_external(&in, STR("eve@example.org"), &identity, &r));
    assert_int_equal(r.code, 535);
    assert_null(strstr(r.text, "disabled"));
    assert_true(policy_external(&in, str_of(bob), &identity, &r));
    assert_int_equal(cell_of(policy_mail(&in, &r), &r), 'W');
}

/* On a relay listener a disabled account brings mail like anybody, and relays nothing. */
static void a_disabled_account_on_a_relay_listener(void **state)
{
    (void)state;
    struct cert_verdict v = verdict_of(CERT_ACCEPTABLE);
    struct policy_input in = {.role = ROLE_RELAY,
                              .cert_auth = CERT_AUTH_IMPLICIT,
                              .secure = true,
                              .verdict = &v,
                              .now_ms = 1,
                              .disabled = &alice_disabled};
    struct smtp_reply r = {0};
    assert_int_equal(policy_mail(&in, &r), POLICY_OPEN);
    assert_int_equal(policy_relay(&in, &r), POLICY_REFUSED);
}

static void in_the_clear_a_certificate_does_not_exist(void **state)
{
    (void)state;
    for (int rule = CERT_AUTH_OFF; rule <= CERT_AUTH_IMPLICIT; rule++) {
        struct cert_verdict v = verdict_of(CERT_ACCEPTABLE);
        struct policy_input in = {.cert_auth = (enum cert_auth)rule, .verdict = &v, .now_ms = 1};
        struct smtp_reply r = {0};
        assert_int_equal(cell_of(policy_mail(&in, &r), &r), 'R');
        assert_false(policy_offers_external(&in)); /* EXT-08, EDG-12 */
    }
}

static void a_certificate_that_expired_meanwhile_is_no_good(void **state)
{
    (void)state;
    struct cert_verdict v = verdict_of(CERT_ACCEPTABLE);
    struct smtp_reply r = {0};
    struct policy_input in = {
        .cert_auth = CERT_AUTH_IMPLICIT, .secure = true, .verdict = &v, .now_ms = 1001};
    assert_int_equal(cell_of(policy_mail(&in, &r), &r), 'W');
    assert_false(policy_offers_external(&in));
    in.history = AUTH_IMPLICIT;
    assert_int_equal(cell_of(policy_mail(&in, &r), &r), 'C');
    in.history = AUTH_OTHER;
    assert_int_equal(policy_mail(&in, &r), POLICY_OPEN);
}

/* What `require` makes of every cell.  Columns as above; P refused, a password is asked for beside the certificate. */
static void every_cell_of_what_is_required(void **state)
{
    (void)state;
    static const struct {
        const char *row;
        enum login_need need;
        enum auth_history history;
        const char *cells, *external, *passwords; /* +: offered */
    } rows[] = {
        {"any, untried",               NEED_ANY,         AUTH_UNTRIED, "RWWWI", "---++", "+++++"},
        {"any, failed",                NEED_ANY,         AUTH_FAILED,  "RWWWF", "---++", "+++++"},
        {"any, by password",           NEED_ANY,         AUTH_OTHER,   "OOOOO", "-----", "-----"},
        {"certificate, untried",       NEED_CERTIFICATE, AUTH_UNTRIED, "RWWWI", "---++", "-----"},
        {"password, untried",          NEED_PASSWORD,    AUTH_UNTRIED, "RRRRR", "-----", "+++++"},
        {"password, by password",      NEED_PASSWORD,    AUTH_OTHER,   "OOOOO", "-----", "-----"},
        {"CB-07 both, untried",        NEED_BOTH,        AUTH_UNTRIED, "RWWPP", "-----", "---++"},
        {"CB-07 both, failed",         NEED_BOTH,        AUTH_FAILED,  "RWWPP", "-----", "---++"},
        {"CB-07 EDG-18 both, by both", NEED_BOTH,        AUTH_OTHER,   "CCCOO", "-----", "-----"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t o = 0; o < 5; o++) {
            struct cert_verdict v = verdict_of((enum cert_outcome)o);
            struct policy_input in = {.cert_auth = CERT_AUTH_IMPLICIT,
                                      .need = rows[i].need,
                                      .passwords = true,
                                      .secure = true,
                                      .history = rows[i].history,
                                      .verdict = &v,
                                      .now_ms = 500};
            struct smtp_reply r = {0};
            char got = cell_of(policy_mail(&in, &r), &r);
            if (strstr(r.text, "a password beside"))
                got = 'P';
            if (got != rows[i].cells[o])
                fail_msg("%s, verdict %zu: want %c, got %c: %d %s", rows[i].row, o, rows[i].cells[o],
                         got, r.code, r.text);
            check(rows[i].row, policy_offers_external(&in) == (rows[i].external[o] == '+'));
            check(rows[i].row, policy_offers_passwords(&in) == (rows[i].passwords[o] == '+'));
            in.passwords = false;
            check(rows[i].row, !policy_offers_passwords(&in));
            in.passwords = true;
            in.secure = false; /* AUTH-20 */
            check(rows[i].row, !policy_offers_passwords(&in));
        }
    }
}

/* CB-07: whoever the password is for, one of the certificate's names is the same. */
static void both_factors_name_the_same(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum login_need need;
        enum cert_outcome outcome;
        const char *user, *authzid;
        int want; /* code of the refusal, 0: good */
    } rows[] = {
        {"password only",             NEED_PASSWORD, CERT_NONE,       "alice@example.org", "",                  0  },
        {"PLN-04 own authzid",        NEED_PASSWORD, CERT_NONE,       "alice@example.org", "alice@EXAMPLE.org", 0  },
        {"PLN-04 another's",          NEED_PASSWORD, CERT_NONE,       "alice@example.org", "Bob@example.org",   535},
        {"same",                      NEED_BOTH,     CERT_ACCEPTABLE, "alice@example.org", "",                  0  },
        {"another",                   NEED_BOTH,     CERT_ACCEPTABLE, "Bob@example.org",   "",                  535},
        {"one of two",                NEED_BOTH,     CERT_AMBIGUOUS,  "Bob@example.org",   "",                  0  },
        {"one of two, as the other",  NEED_BOTH,     CERT_AMBIGUOUS,  "Bob@example.org",   "alice@example.org", 535},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct cert_verdict v = verdict_of(rows[i].outcome);
        struct policy_input in = {.cert_auth = CERT_AUTH_EXPLICIT,
                                  .need = rows[i].need,
                                  .passwords = true,
                                  .secure = true,
                                  .verdict = &v,
                                  .now_ms = 500};
        struct smtp_reply r = {0};
        CLEANUP(buf_done) struct buf identity = BUF_INIT(CERT_IDENTITY_MAX);
        bool good = policy_password(&in, str_of(rows[i].user), str_of(rows[i].authzid), &identity, &r);
        check(rows[i].name, good == (rows[i].want == 0));
        check(rows[i].name, good ? strcmp(identity.data, rows[i].user) == 0 : r.code == rows[i].want);
    }
}

/* O1-03, O2-01: the offer and the outcome of AUTH EXTERNAL agree in every cell. */
static void the_offer_is_a_promise(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(drawing); i++) {
        for (size_t o = 0; o < 5; o++) {
            struct cert_verdict v = verdict_of((enum cert_outcome)o);
            struct policy_input in = {.cert_auth = drawing[i].rule,
                                      .secure = true,
                                      .history = drawing[i].history,
                                      .verdict = &v,
                                      .now_ms = 500};
            struct smtp_reply r = {0};
            CLEANUP(buf_done) struct buf identity = BUF_INIT(CERT_IDENTITY_MAX);
            bool empty = policy_external(&in, STR(""), &identity, &r);
            bool named = policy_external(&in, STR("alice@EXAMPLE.org"), &identity, &r);
            check(drawing[i].row, policy_offers_external(&in) == (empty || named));
            check(drawing[i].row, empty == (named && o == CERT_ACCEPTABLE)); /* EDG-02 */
        }
    }
}

static void authorization_identities(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct str authzid;
        const char *want; /* NULL: 535 */
    } rows[] = {
        {"EXT-03 own name",             {"alice@example.org", 17},        alice},
        {"EXT-03 the other one",        {"Bob@Example.ORG", 15},          bob  },
        {"CERT-16 local part is exact", {"bob@example.org", 15},          NULL },
        {"EXT-03 stranger",             {"eve@example.org", 15},          NULL },
        {"EXT-04 NUL",                  {"alice\0@example.org", 18},      NULL },
        {"EXT-05 ill-formed UTF-8",     {"\xc0\x61lice@example.org", 18}, NULL },
        {"AUTH-26 control characters",  {"\x01", 1},                      NULL },
        {"EDG-02 empty",                {"", 0},                          NULL },
    };
    struct cert_verdict v = verdict_of(CERT_AMBIGUOUS);
    struct policy_input in = {
        .cert_auth = CERT_AUTH_EXPLICIT, .secure = true, .verdict = &v, .now_ms = 1};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct smtp_reply r = {0};
        CLEANUP(buf_done) struct buf identity = BUF_INIT(CERT_IDENTITY_MAX);
        bool ok = policy_external(&in, rows[i].authzid, &identity, &r);
        check(rows[i].name, ok == (rows[i].want != NULL));
        check(rows[i].name, !ok || strcmp(identity.data, rows[i].want) == 0);
        check(rows[i].name, ok || (r.code == 535 && strcmp(r.enhanced, "5.7.8") == 0));
    }
}

static void what_is_not_offered_is_504_and_says_why(void **state)
{
    (void)state;
    struct cert_verdict v = verdict_of(CERT_UNACCEPTABLE);
    struct policy_input in = {
        .cert_auth = CERT_AUTH_EXPLICIT, .secure = true, .verdict = &v, .now_ms = 1};
    struct smtp_reply r = {0};
    CLEANUP(buf_done) struct buf identity = BUF_INIT(CERT_IDENTITY_MAX);
    assert_false(policy_external(&in, STR(""), &identity, &r));
    assert_int_equal(r.code, 504);
    assert_non_null(strstr(r.text, "reason 1"));
    in.cert_auth = CERT_AUTH_OFF; /* nothing is said about certificates where they play no part */
    assert_false(policy_external(&in, STR(""), &identity, &r));
    assert_null(strstr(r.text, "reason"));
}

/* O3-06: the test that tells Option 3 from Option 1. */
static void who_may_relay(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum cert_auth rule;
        bool listed, secure;
        enum auth_history history;
        bool want;
    } rows[] = {
        {"Option 1, listed peer",               CERT_AUTH_OFF,      true,  true,  AUTH_UNTRIED,  true },
        {"Option 2, listed peer",               CERT_AUTH_IMPLICIT, true,  true,  AUTH_UNTRIED,  true },
        {"Option 3, listed peer",               CERT_AUTH_EXPLICIT, true,  true,  AUTH_UNTRIED,  false},
        {"Option 3, listed peer after AUTH",    CERT_AUTH_EXPLICIT, true,  true,  AUTH_EXPLICIT, true },
        {"unlisted",                            CERT_AUTH_OFF,      false, true,  AUTH_UNTRIED,  false},
        {"unlisted, authenticated implicitly",  CERT_AUTH_IMPLICIT, false, true,  AUTH_IMPLICIT,
         true                                                                                         },
        {"unlisted, authenticated by password", CERT_AUTH_OFF,      false, true,  AUTH_OTHER,    true },
        {"listed, in the clear",                CERT_AUTH_OFF,      true,  false, AUTH_UNTRIED,  false},
        {"listed, AUTH failed",                 CERT_AUTH_EXPLICIT, true,  true,  AUTH_FAILED,   false},
    };
    struct cert_verdict v = verdict_of(CERT_UNMAPPED);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct policy_input in = {.role = ROLE_RELAY,
                                  .cert_auth = rows[i].rule,
                                  .secure = rows[i].secure,
                                  .listed_peer = rows[i].listed,
                                  .history = rows[i].history,
                                  .verdict = &v};
        struct smtp_reply r = {0};
        check(rows[i].name, (policy_relay(&in, &r) == POLICY_OPEN) == rows[i].want);
        check(rows[i].name, rows[i].want || (r.code == 550 && strcmp(r.enhanced, "5.7.1") == 0));
        in.role = ROLE_SUBMISSION; /* guarded at MAIL there */
        check(rows[i].name, policy_relay(&in, &r) == POLICY_OPEN);
    }
}

/* On a relay listener MAIL is open to anybody, and still takes the implicit step and still closes. */
static void mail_on_a_relay_listener(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(drawing); i++) {
        for (size_t o = 0; o < 5; o++) {
            struct cert_verdict v = verdict_of((enum cert_outcome)o);
            struct policy_input in = {.role = ROLE_RELAY,
                                      .cert_auth = drawing[i].rule,
                                      .secure = true,
                                      .history = drawing[i].history,
                                      .verdict = &v,
                                      .now_ms = 500};
            struct smtp_reply r = {0};
            char want = drawing[i].cells[o], got = cell_of(policy_mail(&in, &r), &r);
            check(drawing[i].row, got == (want == 'I' || want == 'C' ? want : 'O'));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_cell_of_a_submission_listener),
        cmocka_unit_test(every_cell_of_a_disabled_account),
        cmocka_unit_test(one_of_two_identities_is_disabled),
        cmocka_unit_test(a_disabled_account_on_a_relay_listener),
        cmocka_unit_test(in_the_clear_a_certificate_does_not_exist),
        cmocka_unit_test(a_certificate_that_expired_meanwhile_is_no_good),
        cmocka_unit_test(every_cell_of_what_is_required),
        cmocka_unit_test(both_factors_name_the_same),
        cmocka_unit_test(the_offer_is_a_promise),
        cmocka_unit_test(authorization_identities),
        cmocka_unit_test(what_is_not_offered_is_504_and_says_why),
        cmocka_unit_test(who_may_relay),
        cmocka_unit_test(mail_on_a_relay_listener),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
