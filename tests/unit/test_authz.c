/* authzid, aliases and SASLprep: the same rules for every mechanism. */
#include "unit.h"

#include "auth/authz.h"
#include "auth/prepare.h"
#include "cert/verdict.h"

#include <errno.h>

struct entry {
    const char *key, *value;
};

static int get(void *arg, struct str key, struct buf *value)
{
    for (const struct entry *e = arg; e->key; e++) {
        if (!str_eq(key, str_of(e->key)))
            continue;
        buf_clear(value);
        return buf_puts(value, e->value);
    }
    return -ENOENT;
}

static struct entry aliases[] = {
    {"alice",       "alice@example.org"},
    {"Alice Smith", "alice@example.org"},
    {"loop",        "alice"            },
    {"nobody",      ""                 },
    {NULL,          NULL               },
};
static struct entry may_act_as[] = {
    {"alice@example.org", "boss@example.org *@lists.example.org"},
    {"bob@example.org",   "boss@example.org"                    },
    {NULL,                NULL                                  },
};

static char alice[] = "alice@example.org", cn[] = "Alice Smith", bob[] = "bob@example.org";
static char *const is_alice[] = {alice}, *const is_cn[] = {cn}, *const is_both[] = {bob, cn};

/* clang-format off */
static const struct row {
    const char *name;
    enum authz_rule rule;
    char *const *identities;
    size_t n;
    struct str authzid;
    const char *want; /* NULL: error */
    int error;
} rows[] = {
    {"EXT-02 empty",                   AUTHZ_MATCH,  is_alice, 1, {"", 0}, alice, 0},
    {"empty, by alias",                AUTHZ_MATCH,  is_cn,    1, {"", 0}, alice, 0},
    {"EDG-02 empty, several",          AUTHZ_MATCH,  is_both,  2, {"", 0}, NULL, -ENOTUNIQ},
    {"EDG-02 empty, several, ignore",  AUTHZ_IGNORE, is_both,  2, {"", 0}, NULL, -ENOTUNIQ},
    {"EXT-03 own",                     AUTHZ_MATCH,  is_alice, 1, {alice, 17}, alice, 0},
    {"CERT-16 domain has no case",     AUTHZ_MATCH,  is_alice, 1, {"alice@EXAMPLE.org", 17}, alice, 0},
    {"CERT-16 local part has",         AUTHZ_MATCH,  is_alice, 1, {"Alice@example.org", 17}, NULL, -EACCES},
    {"local part is an alias",         AUTHZ_MATCH,  is_alice, 1, {"alice", 5}, alice, 0},
    {"CN is an alias",                 AUTHZ_MATCH,  is_alice, 1, {"Alice Smith", 11}, alice, 0},
    {"own name of an aliased one",     AUTHZ_MATCH,  is_cn,    1, {"Alice Smith", 11}, alice, 0},
    {"aliases are followed once",      AUTHZ_MATCH,  is_alice, 1, {"loop", 4}, NULL, -EACCES},
    {"an empty alias is nobody",       AUTHZ_MATCH,  is_alice, 1, {"nobody", 6}, NULL, -EACCES},
    {"the second one",                 AUTHZ_MATCH,  is_both,  2, {"alice", 5}, alice, 0},
    {"EXT-03 another",                 AUTHZ_MATCH,  is_alice, 1, {"boss@example.org", 16}, NULL, -EACCES},
    {"another, ignore",                AUTHZ_IGNORE, is_alice, 1, {"boss@example.org", 16}, alice, 0},
    {"own, ignore",                    AUTHZ_IGNORE, is_both,  2, {"bob@example.org", 15}, bob, 0},
    {"another, ignore, several",       AUTHZ_IGNORE, is_both,  2, {"boss@example.org", 16}, NULL, -EACCES},
    {"EXT-03 permitted delegate",      AUTHZ_TABLE,  is_alice, 1, {"boss@example.org", 16}, "boss@example.org", 0},
    {"delegate by domain",             AUTHZ_TABLE,  is_cn,    1, {"x@lists.example.org", 19}, "x@lists.example.org", 0},
    {"delegate of the second",         AUTHZ_TABLE,  is_both,  2, {"x@lists.example.org", 19}, "x@lists.example.org", 0},
    {"own, table",                     AUTHZ_TABLE,  is_alice, 1, {"alice", 5}, alice, 0},
    {"not listed",                     AUTHZ_TABLE,  is_alice, 1, {"eve@example.org", 15}, NULL, -EACCES},
    {"EXT-04 NUL",                     AUTHZ_IGNORE, is_alice, 1, {"alice\0x", 7}, NULL, -EINVAL},
    {"EXT-05 overlong",                AUTHZ_IGNORE, is_alice, 1, {"\xc0\xaf", 2}, NULL, -EINVAL},
    {"EXT-05 surrogate",               AUTHZ_IGNORE, is_alice, 1, {"\xed\xa0\x80", 3}, NULL, -EINVAL},
    {"AUTH-26 control characters",     AUTHZ_IGNORE, is_alice, 1, {"\x01\x02", 2}, NULL, -EINVAL},
    {"AUTH-26 emptied",                AUTHZ_IGNORE, is_alice, 1, {"\xc2\xad", 2}, NULL, -EINVAL},
    {"AUTH-26 prohibited",             AUTHZ_IGNORE, is_alice, 1, {"a\xe2\x80\x8e", 4}, NULL, -EINVAL},
    {"AUTH-25 soft hyphen",            AUTHZ_MATCH,  is_alice, 1, {"al\xc2\xadice", 7}, alice, 0},
    {"AUTH-25 full-width letters",     AUTHZ_MATCH,  is_alice, 1, {"\xef\xbd\x81lice", 7}, alice, 0},
};
/* clang-format on */

static void who_a_client_acts_as(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *t = &rows[i];
        struct authz a = {
            t->rule, {get, aliases   },
             {get, may_act_as}
        };
        CLEANUP(buf_done) struct buf got = BUF_INIT(CERT_IDENTITY_MAX);
        int r = authz_choose(&a, t->identities, t->n, t->authzid, &got);
        check(t->name, r == t->error);
        check(t->name, !t->want || strcmp(got.data, t->want) == 0);
    }
}

/* CERT-19: U+FB01 in a certificate is not "fi", and is reached by nobody who types either. */
static void what_a_certificate_says_is_not_prepared(void **state)
{
    (void)state;
    static char ligature[] = "\xef\xac\x81@example.org";
    char *const one[] = {ligature};
    struct authz a = {0};
    struct buf got = BUF_INIT(CERT_IDENTITY_MAX);
    assert_int_equal(authz_choose(&a, one, 1, STR(""), &got), 0);
    assert_string_equal(got.data, ligature);
    assert_int_equal(authz_choose(&a, one, 1, STR("fi@example.org"), &got), -EACCES);
    buf_done(&got);
}

static int broken(void *arg, struct str key, struct buf *value)
{
    (void)arg;
    (void)key;
    (void)value;
    return -EMSGSIZE;
}

static void a_table_that_fails_lets_nobody_in(void **state)
{
    (void)state;
    struct buf got = BUF_INIT(CERT_IDENTITY_MAX);
    struct authz a = {
        AUTHZ_TABLE, {get,    aliases},
         {broken, NULL   }
    };
    assert_int_equal(authz_choose(&a, is_alice, 1, STR("x@y.org"), &got), -EMSGSIZE);
    a.aliases.get = broken;
    assert_int_equal(authz_choose(&a, is_alice, 1, STR(""), &got), -EMSGSIZE);
    buf_done(&got);
}

static void names_have_a_maximum(void **state)
{
    (void)state;
    char long_name[CERT_IDENTITY_MAX + 1];
    memset(long_name, 'a', sizeof(long_name));
    struct authz a = {0};
    struct buf got = BUF_INIT(CERT_IDENTITY_MAX);
    struct str typed = {long_name, sizeof(long_name)};
    assert_int_equal(authz_choose(&a, is_alice, 1, typed, &got), -EMSGSIZE);
    buf_done(&got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_a_client_acts_as),
        cmocka_unit_test(what_a_certificate_says_is_not_prepared),
        cmocka_unit_test(a_table_that_fails_lets_nobody_in),
        cmocka_unit_test(names_have_a_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
