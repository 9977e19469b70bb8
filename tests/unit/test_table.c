#include "unit.h"

#include "base/table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

static char path[] = "/tmp/test_table_XXXXXX";

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int drop_file(void **state)
{
    (void)state;
    return unlink(path);
}

/* As editors do it: a new file under the old name. */
static void write_table(const char *text, size_t len)
{
    char fresh[sizeof(path) + 4];
    (void)snprintf(fresh, sizeof(fresh), "%s.new", path);
    FILE *f = fopen(fresh, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(fresh, path), 0);
}

static void write_text(const char *text)
{
    write_table(text, strlen(text));
}

static void entries_are_found(void **state)
{
    (void)state;
    write_text("# comment\n"
               "\n"
               "  alice@example.org \t  one two  \r\n"
               "\"CN=a b,O=\\\"x\\\\\"  device\n"
               "lonely\n"
               "last value without line end");
    struct table *t;
    char why[TABLE_WHY_MAX];
    assert_int_equal(table_open(path, false, &t, why), 0);
    static const struct {
        const char *key, *want; /* NULL: not there */
    } rows[] = {
        {"alice@example.org", "one two"               },
        {"CN=a b,O=\"x\\",    "device"                },
        {"lonely",            ""                      },
        {"last",              "value without line end"},
        {"Alice@example.org", NULL                    },
        {"alice@example.or",  NULL                    },
        {"#",                 NULL                    },
        {"",                  NULL                    },
    };
    struct buf value = BUF_INIT(64);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int r = table_get(t, str_of(rows[i].key), &value);
        check(rows[i].key, r == (rows[i].want ? 0 : -ENOENT));
        check(rows[i].key, !rows[i].want || str_eq(buf_str(&value), str_of(rows[i].want)));
        check(rows[i].key, table_get(t, str_of(rows[i].key), NULL) == r);
    }
    struct buf small = BUF_INIT(3);
    assert_int_equal(table_get(t, STR("alice@example.org"), &small), -EMSGSIZE);
    assert_int_equal(table_size(t), 4);
    buf_done(&small);
    buf_done(&value);
    table_close(t);
}

static void case_can_be_folded(void **state)
{
    (void)state;
    write_text("AB:cd x\nB y\na z\n");
    struct table *t;
    char why[TABLE_WHY_MAX];
    assert_int_equal(table_open(path, true, &t, why), 0);
    assert_int_equal(table_get(t, STR("ab:CD"), NULL), 0);
    assert_int_equal(table_get(t, STR("A"), NULL), 0);
    assert_int_equal(table_get(t, STR("b"), NULL), 0);
    table_close(t);
}

static void mistakes_name_file_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct str text;
        const char *want;
    } rows[] = {
        {"a key twice",      STR("a 1\nb 2\n\na 3\n"),  ":4: the key of line 1"},
        {"quote not closed", STR("x y\n\"abc d\n"),     ":2: the quoted key"   },
        {"empty quoted key", STR("\"\" x\n"),           ":1: the quoted key"   },
        {"NUL",              STR("a b\nc\0d e\n"),       ":2: a NUL"            },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct table *t;
        char why[TABLE_WHY_MAX] = "";
        write_table(rows[i].text.p, rows[i].text.len);
        check(rows[i].name, table_open(path, false, &t, why) == -EINVAL);
        check(rows[i].name, strstr(why, rows[i].want) && strstr(why, path));
    }
    struct table *t;
    char why[TABLE_WHY_MAX] = "";
    assert_int_equal(table_open("/nonexistent/table", false, &t, why), -ENOENT);
    assert_non_null(strstr(why, "/nonexistent/table"));
    assert_int_equal(table_open("/tmp", false, &t, why), -EINVAL);
}

static void changes_are_picked_up_and_bad_ones_are_not(void **state)
{
    (void)state;
    struct table *t;
    char why[TABLE_WHY_MAX] = "";
    write_text("a 1\n");
    assert_int_equal(table_open(path, false, &t, why), 0);
    assert_int_equal(table_refresh(t, why), 0);
    write_text("b 2\n");
    assert_int_equal(table_get(t, STR("a"), NULL), 0);
    assert_int_equal(table_refresh(t, why), 1);
    assert_int_equal(table_get(t, STR("a"), NULL), -ENOENT);
    assert_int_equal(table_get(t, STR("b"), NULL), 0);
    write_text("b 2\nb 3\n");
    assert_int_equal(table_refresh(t, why), -EINVAL); /* said once, the old entries stay */
    assert_int_equal(table_refresh(t, why), 0);
    assert_int_equal(table_get(t, STR("b"), NULL), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(table_refresh(t, why), -ENOENT);
    assert_int_equal(table_refresh(t, why), 0);
    assert_int_equal(table_get(t, STR("b"), NULL), 0);
    write_text("c 4\n");
    assert_int_equal(table_refresh(t, why), 1);
    assert_int_equal(table_get(t, STR("c"), NULL), 0);
    table_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_are_found),
        cmocka_unit_test(case_can_be_folded),
        cmocka_unit_test(mistakes_name_file_and_line),
        cmocka_unit_test(changes_are_picked_up_and_bad_ones_are_not),
    };
    return cmocka_run_group_tests(tests, make_file, drop_file);
}
