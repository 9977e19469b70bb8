#include "unit.h"

#include "smtp/schedule.h"

#include <errno.h>
#include <stdio.h>

#define BAD INT64_MIN

static void a_hold_is_one_to_nine_digits(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t want;
    } rows[] = {
        {"1",          1        },
        {"86400",      86400    },
        {"999999999",  999999999},
        {"0",          BAD      },
        {"01",         BAD      },
        {"1000000000", BAD      },
        {"-1",         BAD      },
        {"+1",         BAD      },
        {"1s",         BAD      },
        {"1.5",        BAD      },
        {"",           BAD      },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t got = BAD;
        check(rows[i].text, smtp_hold_for_parse(str_of(rows[i].text), &got) ==
                                (rows[i].want == BAD ? -EINVAL : 0));
        check(rows[i].text, got == rows[i].want);
    }
}

static void a_deadline_has_time_mode_and_trace(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds;
        char mode;
        bool trace;
    } rows[] = {
        {"120;R",         120,        'R', false},
        {"120;rt",        120,        'R', true },
        {"+1;RT",         1,          'R', true },
        {"0;N",           0,          'N', false},
        {"-3600;n",       -3600,      'N', false},
        {"-999999999;NT", -999999999, 'N', true },
        {"007;R",         7,          'R', false},
        {"0;R",           BAD,        0,   false},
        {"-1;R",          BAD,        0,   false},
        {"1000000000;N",  BAD,        0,   false},
        {"120",           BAD,        0,   false},
        {"120;",          BAD,        0,   false},
        {"120;X",         BAD,        0,   false},
        {"120;RN",        BAD,        0,   false},
        {"120;RTT",       BAD,        0,   false},
        {"120;T",         BAD,        0,   false},
        {";R",            BAD,        0,   false},
        {"-;N",           BAD,        0,   false},
        {"+-1;N",         BAD,        0,   false},
        {"1 ;N",          BAD,        0,   false},
        {"",              BAD,        0,   false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct smtp_deliver_by by = {.seconds = BAD};
        int want = rows[i].seconds == BAD ? -EINVAL : 0;
        check(rows[i].text, smtp_deliver_by_parse(str_of(rows[i].text), &by) == want);
        check(rows[i].text, by.seconds == rows[i].seconds && by.mode == rows[i].mode &&
                                by.trace == rows[i].trace);
    }
}

static void a_priority_is_one_digit(void **state)
{
    (void)state;
    for (int n = -12; n <= 12; n++) {
        char text[8];
        int got = 99;
        (void)snprintf(text, sizeof(text), "%d", n);
        bool good = n >= -9 && n <= 9;
        check(text, smtp_priority_parse(str_of(text), &got) == (good ? 0 : -EINVAL));
        check(text, got == (good ? n : 99));
    }
    static const char *const bad[] = {"", "-", "-0", "+1", "01", "1 ", "x", "--1"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        int got = 99;
        check(bad[i], smtp_priority_parse(str_of(bad[i]), &got) == -EINVAL && got == 99);
    }
}

static void a_date_time_is_that_of_rfc_3339(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t want;
    } rows[] = {
        {"1970-01-01T00:00:00Z",           0              },
        {"2026-10-01T12:00:00Z",           1790856000000  },
        {"2026-10-01t12:00:00z",           1790856000000  },
        {"2026-10-01T12:00:00.25Z",        1790856000250  },
        {"2026-10-01T12:00:00.123456789Z", 1790856000123  },
        {"2026-10-01T14:30:00+02:30",      1790856000000  },
        {"2026-09-30T23:00:00-13:00",      1790856000000  },
        {"2000-02-29T00:00:00Z",           951782400000   },
        {"2016-12-31T23:59:60Z",           1483228800000  },
        {"9999-12-31T23:59:59Z",           253402300799000},
        {"1969-12-31T23:59:59Z",           BAD            },
        {"1970-01-01T00:00:00+00:01",      BAD            },
        {"2100-02-29T00:00:00Z",           BAD            },
        {"2026-13-01T00:00:00Z",           BAD            },
        {"2026-00-01T00:00:00Z",           BAD            },
        {"2026-04-31T00:00:00Z",           BAD            },
        {"2026-10-01T24:00:00Z",           BAD            },
        {"2026-10-01T12:60:00Z",           BAD            },
        {"2026-10-01T12:00:61Z",           BAD            },
        {"2026-10-01T12:00:00",            BAD            },
        {"2026-10-01T12:00:00.Z",          BAD            },
        {"2026-10-01T12:00:00Zx",          BAD            },
        {"2026-10-01T12:00Z",              BAD            },
        {"2026-10-01 12:00:00Z",           BAD            },
        {"2026-10-01T12:00:00+2:30",       BAD            },
        {"2026-10-01T12:00:00+24:00",      BAD            },
        {"2026-10-1T12:00:00Z",            BAD            },
        {"26-10-01T12:00:00Z",             BAD            },
        {"",                               BAD            },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t got = BAD;
        check(rows[i].text, smtp_date_time_parse(str_of(rows[i].text), &got) ==
                                (rows[i].want == BAD ? -EINVAL : 0));
        check(rows[i].text, got == rows[i].want);
    }
}

/* What is written is read back, over four hundred years and every kind of day. */
static void a_date_time_comes_back(void **state)
{
    (void)state;
    for (int64_t ms = 0; ms < INT64_C(12622780800000); ms += INT64_C(86400000) * 17 + 3661000) {
        char text[SMTP_DATE_TIME_MAX];
        int64_t got = BAD;
        smtp_date_time_format(ms, text);
        check(text, smtp_date_time_parse(str_of(text), &got) == 0 && got == ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hold_is_one_to_nine_digits),
        cmocka_unit_test(a_deadline_has_time_mode_and_trace),
        cmocka_unit_test(a_priority_is_one_digit),
        cmocka_unit_test(a_date_time_is_that_of_rfc_3339),
        cmocka_unit_test(a_date_time_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
