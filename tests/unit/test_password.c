#include "unit.h"

#include "auth/password.h"

#include <errno.h>

static void entries_fit_their_password_only(void **state)
{
    (void)state;
    int (*const make[])(struct str, struct buf *) = {password_make_crypt, password_make_scram};
    for (size_t i = 0; i < ARRAY_LEN(make); i++) {
        CLEANUP(buf_done)
        struct buf entry = BUF_INIT(PASSWORD_ENTRY_MAX),
                   other = BUF_INIT(PASSWORD_ENTRY_MAX);
        assert_int_equal(make[i](STR("pencil"), &entry), 0);
        assert_int_equal(make[i](STR("pencil"), &other), 0);
        assert_string_not_equal(entry.data, other.data); /* salted */
        assert_int_equal(password_check(buf_str(&entry), STR("pencil")), 0);
        assert_int_equal(password_check(buf_str(&entry), STR("pencil2")), -EACCES);
        assert_int_equal(password_check(buf_str(&entry), STR("")), -EACCES);
    }
}

/* AUTH-21 */
static void nobody_has_no_password(void **state)
{
    (void)state;
    struct str none = {NULL, 0};
    assert_int_equal(password_check(none, STR("pencil")), -EACCES);
}

static void what_is_no_entry(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "pencil",
        "*",
        "!",
        "x",
        "$",
        "$y$",
        "$nosuch$a$b",
        "{SSHA}abc",
        "{SCRAM-SHA-256}",
        "{SCRAM-SHA-256}4096,QQ==,QQ==,QQ==",
        "abJnggxhB/yWI",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scram_keys k;
        check(rows[i], password_check(str_of(rows[i]), STR("pencil")) == -EINVAL);
        check(rows[i], password_scram_keys(str_of(rows[i]), &k) == -EINVAL);
    }
    assert_int_equal(password_check((struct str){"$y$\0", 4}, STR("a")), -EINVAL);
}

static void passwords_have_a_maximum(void **state)
{
    (void)state;
    static char text[PASSWORD_MAX + 1];
    struct buf entry = BUF_INIT(PASSWORD_ENTRY_MAX);
    memset(text, 'a', sizeof(text));
    struct str password = {text, sizeof(text)};
    assert_int_equal(password_make_crypt(password, &entry), -EMSGSIZE);
    assert_int_equal(password_make_scram(password, &entry), -EMSGSIZE);
    buf_done(&entry);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_fit_their_password_only),
        cmocka_unit_test(nobody_has_no_password),
        cmocka_unit_test(what_is_no_entry),
        cmocka_unit_test(passwords_have_a_maximum),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
