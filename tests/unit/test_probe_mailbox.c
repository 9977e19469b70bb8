#include "probe/mailbox_reply.h"
#include "unit.h"

#include <errno.h>

static const struct row {
    const char *name;
    enum mailbox_kind kind;
    const char *tag;
    bool several;
    const char *octets;
    int want; /* octets left over, or -errno */
    enum mailbox_status status;
    const char *last, *has; /* has: a word of it; NULL: do not look */
} rows[] = {
    {"IMAP greeting",          MAILBOX_IMAP, "",   false,
     "* OK [CAPABILITY IMAP4rev1 AUTH=EXTERNAL] hello\r\n* 1",                                           3,        MAILBOX_OK,
     "* OK [CAPABILITY IMAP4rev1 AUTH=EXTERNAL] hello",                                                                                           "auth=external"},
    {"IMAP PREAUTH",           MAILBOX_IMAP, "",   false, "* PREAUTH in\r\n",                            0,        MAILBOX_PREAUTH,
     "* PREAUTH in",                                                                                                                              NULL           },
    {"IMAP BYE",               MAILBOX_IMAP, "",   false, "* BYE\r\n",                                   0,        MAILBOX_BYE,     "* BYE",      NULL           },
    {"a word must end",        MAILBOX_IMAP, "",   false, "* OKAY then\r\n",                             -EBADMSG, 0,               "",           NULL           },
    {"a greeting has no tag",  MAILBOX_IMAP, "",   false, "p1 OK\r\n",                                   -EBADMSG, 0,               "",           NULL           },
    {"untagged, then tagged",  MAILBOX_IMAP, "p1", false,
     "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n* 3 EXISTS\r\np1 OK done\r\n",                                0,        MAILBOX_OK,
     "p1 OK done",                                                                                                                                "AUTH=PLAIN"   },
    {"no part of a word",      MAILBOX_IMAP, "p1", false, "p1 OK AUTH=EXTERNALS\r\n",                    0,        MAILBOX_OK,
     "p1 OK AUTH=EXTERNALS",                                                                                                                      NULL           },
    {"NO",                     MAILBOX_IMAP, "p1", false, "p1 NO [AUTHENTICATIONFAILED] no\r\n",         0,        MAILBOX_NO,
     "p1 NO [AUTHENTICATIONFAILED] no",                                                                                                           NULL           },
    {"BAD",                    MAILBOX_IMAP, "p1", false, "p1 bad\r\n",                                  0,        MAILBOX_BAD,     "p1 bad",     NULL           },
    {"prompt",                 MAILBOX_IMAP, "p1", false, "+ \r\n",                                      0,        MAILBOX_PROMPT,  "+ ",         NULL           },
    {"another tag",            MAILBOX_IMAP, "p1", false, "p10 OK\r\n",                                  -EBADMSG, 0,               "",           NULL           },
    {"BYE instead",            MAILBOX_IMAP, "p1", false, "* BYE too many\r\np1 OK\r\n",                 7,        MAILBOX_BYE,
     "* BYE too many",                                                                                                                            NULL           },
    {"a literal",              MAILBOX_IMAP, "p1", false, "* LIST {3}\r\nabc\r\n",                       -EBADMSG, 0,               "",           NULL           },
    {"bare LF",                MAILBOX_IMAP, "",   false, "* OK\n",                                      -EBADMSG, 0,               "",           NULL           },
    {"half a line",            MAILBOX_IMAP, "",   false, "* OK hel",                                    8,        0,               "",           NULL           },
    {"controls",               MAILBOX_IMAP, "",   false, "* OK \x1b[2J\xff\r\n",                        0,        MAILBOX_OK,      "* OK ?[2J?",
     NULL                                                                                                                                                        },
    {"POP3 greeting",          MAILBOX_POP3, "",   false, "+OK ready\r\n",                               0,        MAILBOX_OK,      "+OK ready",  NULL           },
    {"POP3 refusal",           MAILBOX_POP3, "",   true,  "-ERR [AUTH] no\r\nmore\r\n",                  6,        MAILBOX_NO,
     "-ERR [AUTH] no",                                                                                                                            NULL           },
    {"POP3 prompt",            MAILBOX_POP3, "",   false, "+ \r\n",                                      0,        MAILBOX_PROMPT,  "+ ",         NULL           },
    {"POP3 lines",             MAILBOX_POP3, "",   true,  "+OK list\r\nSASL PLAIN EXTERNAL\r\n.\r\n+OK", 3,
     MAILBOX_OK,                                                                                                                    "+OK list",   "external"     },
    {"POP3 lines without end", MAILBOX_POP3, "",   true,  "+OK list\r\nUIDL\r\n",                        0,        MAILBOX_OK,
     "+OK list",                                                                                                                                  NULL           },
    {"POP3 garbage",           MAILBOX_POP3, "",   false, "220 smtp\r\n",                                -EBADMSG, 0,               "",           NULL           },
};

static void test_replies(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *w = &rows[i];
        struct mailbox_hearing h;
        mailbox_hearing_init(&h, w->kind);
        mailbox_hearing_begin(&h, w->tag, w->several);
        ssize_t n = mailbox_hearing_feed(&h, w->octets, strlen(w->octets));
        ssize_t got = n < 0 ? n : (ssize_t)strlen(w->octets) - n;
        if (got != w->want)
            fail_msg("%s: %zd octets left, not %d", w->name, got, w->want);
        if (n >= 0) {
            check(w->name, h.status == w->status);
            check(w->name, strcmp(h.last, w->last) == 0);
            check(w->name, !w->has || mailbox_hearing_has(&h, w->has));
            check(w->name, !mailbox_hearing_has(&h, "AUTH=EXTERN"));
        }
        mailbox_hearing_done(&h);
    }
}

/* However many lines and octets come, what is kept has an end. */
static void test_bounds(void **state)
{
    (void)state;
    struct mailbox_hearing h;
    char *longest = malloc(MAILBOX_LINE + 10);
    memset(longest, 'x', MAILBOX_LINE + 10);
    mailbox_hearing_init(&h, MAILBOX_IMAP);
    mailbox_hearing_begin(&h, "", false);
    assert_int_equal(mailbox_hearing_feed(&h, longest, MAILBOX_LINE - 1), 0);
    assert_int_equal(mailbox_hearing_feed(&h, longest, MAILBOX_LINE + 10), -EMSGSIZE);
    free(longest);
    mailbox_hearing_begin(&h, "p1", false);
    ssize_t n = 0;
    int lines = 0;
    while (n >= 0 && lines < 1000) {
        n = mailbox_hearing_feed(&h, "* 1 EXISTS\r\n", 12);
        lines++;
    }
    assert_int_equal(n, -EMSGSIZE);
    assert_int_equal(lines, MAILBOX_LINES + 1);
    mailbox_hearing_done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_replies),
                                       cmocka_unit_test(test_bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
