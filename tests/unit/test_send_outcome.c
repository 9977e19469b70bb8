/* What a program is told about the end of a message. */
#include "unit.h"

#include "send/outcome.h"

#include <sysexits.h>

static void exit_codes(void **state)
{
    (void)state;
    static const struct {
        int code;
        const char *enhanced;
        enum smtp_stage stage;
        int want;
    } rows[] = {
        {250, "2.0.0",  SMTP_STAGE_FINAL, EX_OK         },
        {251, "",       SMTP_STAGE_RCPT,  EX_OK         },
        {451, "4.3.0",  SMTP_STAGE_FINAL, EX_TEMPFAIL   },
        {421, "",       SMTP_STAGE_MAIL,  EX_TEMPFAIL   },
        {454, "4.7.0",  SMTP_STAGE_LOGIN, EX_TEMPFAIL   },
        {550, "5.1.1",  SMTP_STAGE_RCPT,  EX_NOUSER     },
        {550, "5.1.10", SMTP_STAGE_RCPT,  EX_NOHOST     },
        {550, "5.1.2",  SMTP_STAGE_RCPT,  EX_NOHOST     },
        {550, "",       SMTP_STAGE_RCPT,  EX_NOUSER     },
        {553, "",       SMTP_STAGE_RCPT,  EX_NOUSER     },
        {553, "",       SMTP_STAGE_MAIL,  EX_UNAVAILABLE},
        {550, "",       SMTP_STAGE_FINAL, EX_UNAVAILABLE},
        {550, "5.7.1",  SMTP_STAGE_RCPT,  EX_NOPERM     },
        {530, "5.7.0",  SMTP_STAGE_MAIL,  EX_NOPERM     },
        {530, "",       SMTP_STAGE_MAIL,  EX_NOPERM     },
        {535, "",       SMTP_STAGE_LOGIN, EX_NOPERM     },
        {552, "5.3.4",  SMTP_STAGE_MAIL,  EX_DATAERR    },
        {552, "",       SMTP_STAGE_FINAL, EX_DATAERR    },
        {554, "5.6.0",  SMTP_STAGE_FINAL, EX_DATAERR    },
        {501, "5.5.4",  SMTP_STAGE_MAIL,  EX_PROTOCOL   },
        {554, "5.3.0",  SMTP_STAGE_FINAL, EX_UNAVAILABLE},
        {554, "",       SMTP_STAGE_MAIL,  EX_UNAVAILABLE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct smtp_outcome o = {
            .code = rows[i].code, .enhanced = rows[i].enhanced, .text = "", .stage = rows[i].stage};
        int got = outcome_exit_code(&o);
        if (got != rows[i].want)
            fail_msg("%d %s: %d, not %d", rows[i].code, rows[i].enhanced, got, rows[i].want);
    }
}

static void the_worse_of_two(void **state)
{
    (void)state;
    static const int rows[][3] = {
        {EX_OK,       EX_OK,       EX_OK      },
        {EX_OK,       EX_TEMPFAIL, EX_TEMPFAIL},
        {EX_TEMPFAIL, EX_OK,       EX_TEMPFAIL},
        {EX_TEMPFAIL, EX_NOUSER,   EX_NOUSER  },
        {EX_NOUSER,   EX_TEMPFAIL, EX_NOUSER  },
        {EX_NOUSER,   EX_NOPERM,   EX_NOUSER  },
        {EX_NOUSER,   EX_OK,       EX_NOUSER  },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(outcome_worse(rows[i][0], rows[i][1]), rows[i][2]);
}

static void names_that_servers_give(void **state)
{
    (void)state;
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"Queued as 1mf3k9q0zabc",                       "1mf3k9q0zabc"    },
        {"Ok: queued as 4XyZ0123ab",                     "4XyZ0123ab"      },
        {"OK id=1rABcd-000123-4e",                       "1rABcd-000123-4e"},
        {"4ATBx0Z1012345 Message accepted for delivery", "4ATBx0Z1012345"  },
        {"<a@b.example> Queued mail for delivery",       ""                },
        {"Ok: queued as ABC.\nmore",                     "ABC"             },
        {"Ok, queued as <abc@mail.example>",             "abc@mail.example"},
        {"OK",                                           ""                },
        {"",                                             ""                },
        {"queued as ",                                   ""                },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char id[OUTCOME_ID_MAX];
        outcome_queue_id(rows[i].text, id);
        if (strcmp(id, rows[i].want) != 0)
            fail_msg("\"%s\": \"%s\"", rows[i].text, id);
    }
    char big[300], id[OUTCOME_ID_MAX];
    memset(big, 'x', sizeof(big));
    memcpy(big, "queued as ", 10);
    big[sizeof(big) - 1] = '\0';
    outcome_queue_id(big, id);
    assert_int_equal(strlen(id), OUTCOME_ID_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exit_codes),
        cmocka_unit_test(the_worse_of_two),
        cmocka_unit_test(names_that_servers_give),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
