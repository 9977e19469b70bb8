#include "unit.h"

#include "base/log.h"
#include "base/log_read.h"

#include <errno.h>
#include <stdio.h>

#define T "2026-10-01T12:00:00.123Z "

static void lines(void **state)
{
    (void)state;
    static const struct {
        const char *name, *line, *event; /* NULL: none of ours */
    } rows[] = {
        {"a line",            T "info login session=1 identity=a@b",       "login"},
        {"no field",          T "notice ready",                            "ready"},
        {"a journal's front", "Oct 01 mx postern[7]: " T "info login a=b", "login"},
        {"another program",   "Oct 01 12:00:00 mx sshd[1]: hello",         NULL   },
        {"no such level",     T "loud login a=b",                          NULL   },
        {"only a time",       T,                                           NULL   },
        {"cut short",         "2026-10-01T12:00",                          NULL   },
        {"empty",             "",                                          NULL   },
        {"a time in a value", "x=\"" T "info login a=b\"",                 NULL   },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct log_record r;
        bool ours = log_read(str_of(rows[i].line), &r);
        check(rows[i].name, ours == (rows[i].event != NULL));
        check(rows[i].name, !ours || str_eq(r.event, str_of(rows[i].event)));
        check(rows[i].name, !ours || r.time.len == 24);
    }
}

static void fields(void **state)
{
    (void)state;
    static const struct {
        const char *name, *line, *key, *want; /* NULL: there is none */
    } rows[] = {
        {"plain",                T "info e a=1 b=2",                 "b", "2"     },
        {"quoted",               T "info e a=\"x y\" b=2",           "a", "x y"   },
        {"escapes",              T "info e a=\"\\\"\\\\\\x0a\" b=2", "a", "\"\\\n"},
        {"behind a quoted one",  T "info e a=\"b=9 \\\" b=8\" b=2",  "b", "2"     },
        {"empty",                T "info e a=\"\"",                  "a", ""      },
        {"no such",              T "info e a=\"b=9\"",               "b", NULL    },
        {"a longer name",        T "info e aa=1",                    "a", NULL    },
        {"quote without an end", T "info e a=\"x",                   "b", NULL    },
        {"nothing but a name",   T "info e a",                       "a", NULL    },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct log_record r;
        CLEANUP(buf_done) struct buf value = BUF_INIT(100);
        check(rows[i].name, log_read(str_of(rows[i].line), &r));
        int got = log_read_field(&r, rows[i].key, &value);
        check(rows[i].name, got == (rows[i].want ? 0 : -ENOENT));
        check(rows[i].name, !rows[i].want || str_eq(buf_str(&value), str_of(rows[i].want)));
    }
}

/* Whatever octets a peer sends, they come back as they were. */
static void every_octet_comes_back(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        char value[] = {'a', (char)c, '"', ' ', '=', (char)c, '\\'};
        struct log_line l;
        struct log_record r;
        CLEANUP(buf_done) struct buf got = BUF_INIT(100);
        log_begin(&l, LOG_LEVEL_INFO, "e");
        log_str(&l, "before", (struct str){value, sizeof(value)});
        log_str(&l, "it", (struct str){value, sizeof(value)});
        assert_true(log_read((struct str){l.text, l.len}, &r));
        assert_int_equal(log_read_field(&r, "it", &got), 0);
        if (!str_eq(buf_str(&got), (struct str){value, sizeof(value)}))
            fail_msg("octet %d", c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines),
        cmocka_unit_test(fields),
        cmocka_unit_test(every_octet_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
