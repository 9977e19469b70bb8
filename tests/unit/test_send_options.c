/* The command line of `postern send`, as people and as programs that know sendmail write it. */
#include "unit.h"

#include "app/cmd_send_internal.h"

#include <sysexits.h>

#define WORDS_MAX 32

/* Words with a space between; "_" stands for a space inside of one. */
static int read_line(struct send_request *rq, const char *line)
{
    static char copy[400];
    static char *argv[WORDS_MAX + 1];
    int argc = 0;
    (void)snprintf(copy, sizeof(copy), "send %s", line);
    for (char *word = strtok(copy, " "); word && argc < WORDS_MAX; word = strtok(NULL, " ")) {
        for (char *p = word; *p; p++)
            if (*p == '_')
                *p = ' ';
        argv[argc++] = word;
    }
    argv[argc] = NULL;
    *rq = (struct send_request){.program = "send"};
    return send_options_read(rq, argc, argv);
}

/* What is read, as text: only what differs from nothing given. */
static void describe(const struct send_request *rq, char *out, size_t size)
{
    static const char *const modes[] = {"", " flush", " list", " steer", " session"};
    size_t n = 0;
    n += (size_t)snprintf(out + n, size - n, "%s%s%s%s%s", modes[rq->mode],
                          rq->queue_them ? " queue" : "", rq->order.take_recipients ? " t" : "",
                          rq->ignore_dots ? " i" : "", rq->json ? " json" : "");
    if (rq->order.from)
        n += (size_t)snprintf(out + n, size - n, " from=%s", rq->order.from);
    if (rq->order.full_name)
        n += (size_t)snprintf(out + n, size - n, " name=%s", rq->order.full_name);
    if (rq->order.account)
        n += (size_t)snprintf(out + n, size - n, " account=%s", rq->order.account);
    if (rq->order.given.host)
        n += (size_t)snprintf(out + n, size - n, " host=%s:%u", rq->order.given.host, rq->order.given.port);
    for (size_t i = 0; i < rq->order.to.n; i++)
        n += (size_t)snprintf(out + n, size - n, " to=%s", rq->order.to.list[i]);
    for (size_t i = 0; i < rq->n_files; i++)
        n += (size_t)snprintf(out + n, size - n, " file=%s", rq->files[i]);
    const struct send_wishes *w = &rq->order.wishes;
    if (w->notify || w->ret || w->envid)
        n += (size_t)snprintf(out + n, size - n, " notify=%u ret=%c envid=%s", w->notify,
                              w->ret ? w->ret : '-', w->envid ? w->envid : "-");
    if (w->hold_for || w->hold_until)
        n += (size_t)snprintf(out + n, size - n, " hold=%lld %s", (long long)w->hold_for,
                              w->hold_until ? w->hold_until : "");
    if (w->deliver_by.mode)
        n += (size_t)snprintf(out + n, size - n, " by=%lld;%c", (long long)w->deliver_by.seconds,
                              w->deliver_by.mode);
    if (w->has_priority)
        (void)snprintf(out + n, size - n, " priority=%d", w->priority);
}

/* clang-format off */
static const struct row {
    const char *line, *want; /* want NULL: refused */
} rows[] = {
    {"bob@x.org",                            " to=bob@x.org"},
    {"Bob_<bob@x.org> c@x.org,d@x.org root", " to=bob@x.org to=c@x.org to=d@x.org to=root"},
    {"-t",                                   " t"},
    {"-t -i -f a@x.org",                     " t i from=a@x.org"},
    {"-ti -fa@x.org",                        " t i from=a@x.org"},
    {"bob@x.org -oi",                        " i to=bob@x.org"},
    {"-oi -oem -odb -om -o7 bob@x.org",      " i to=bob@x.org"},
    {"-odq -t",                              " queue t"},
    {"-bm bob@x.org",                        " to=bob@x.org"},
    {"-FCronDaemon -i -B8BITMIME -oem root", " i name=CronDaemon to=root"},
    {"-F A_Name -r a@x.org -- b@x.org",      " from=a@x.org name=A Name to=b@x.org"},
    {"-f Alice_<a@x.org> -t",                " t from=a@x.org"},
    {"-f root -t",                           " t from=root"},
    {"-f <> -t",                             " t from="},
    {"-i -- -b@x.org",                       " i to=-b@x.org"},
    {"-G -U -n -m -x -e q -L tag -O a=b -p smtp:h -X /tmp/x -A c b@x.org", " to=b@x.org"},
    {"-N success,DELAY -R hdrs -V a=b b@x.org", " to=b@x.org notify=10 ret=H envid=a+3Db"},
    {"-N never --ret full b@x.org",          " to=b@x.org notify=1 ret=F envid=-"},
    {"-t --files a.eml - b.eml",             " t file=a.eml file=- file=b.eml"},
    {"--to b@x.org --files a.eml",           " to=b@x.org file=a.eml"},
    {"--host mail.x.org b@x.org",            " host=mail.x.org:0 to=b@x.org"},
    {"--host [2001:db8::1]:587 b@x.org",     " host=2001:db8::1:587 to=b@x.org"},
    {"--host mail.x.org --port 26 b@x.org",  " host=mail.x.org:26 to=b@x.org"},
    {"-a work --json b@x.org",               " json account=work to=b@x.org"},
    {"--hold-for 90m b@x.org",               " to=b@x.org hold=5400 "},
    {"--hold-until 2030-01-02T03:04:05Z -t", " t hold=0 2030-01-02T03:04:05Z"},
    {"--hold-until 2030-01-02T03:04:05+01:00 -t", " t hold=0 2030-01-02T02:04:05Z"},
    {"--hold-until 2030-01-02_03:04 -t",     " t hold=0 2030-01-02T03:04:00Z"},
    {"--deliver-by 4h -t",                   " t by=14400;R"},
    {"--deliver-by 2d,notify -t",            " t by=172800;N"},
    {"--priority -3 -t",                     " t priority=-3"},
    {"--priority 0 -t",                      " t priority=0"},
    {"--flush",                              " flush"},
    {"-q",                                   " flush"},
    {"-bp",                                  " list"},
    {"-bs",                                  " session"},
    {"-bs --queue",                          " session queue"},
    {"--release 1mf3k9q0zabc",               " steer"},
    {"",                                     NULL},
    {"-i",                                   NULL},
    {"-t -Z",                                NULL},
    {"-t --nothing",                         NULL},
    {"-bd",                                  NULL},
    {"-bi",                                  NULL},
    {"-bv b@x.org",                          NULL},
    {"-q30m",                                NULL},
    {"-t -f a@b@c",                          NULL},
    {"-t -f a@x.org,b@x.org",                NULL},
    {"two_words",                            NULL},
    {"/dev/null",                            NULL},
    {"-B BINARYMIME b@x.org",                NULL},
    {"-N never,delay b@x.org",               NULL},
    {"-N often b@x.org",                     NULL},
    {"-N , b@x.org",                         NULL},
    {"-R some b@x.org",                      NULL},
    {"-t --files",                           NULL},
    {"-t --port 25",                         NULL},
    {"-t --host a_b",                        NULL},
    {"-t --host h:0",                        NULL},
    {"-t --host h -a work",                  NULL},
    {"-t --key k",                           NULL},
    {"-t --tls maybe",                       NULL},
    {"-t --login guess",                     NULL},
    {"-t --pin sha256:12",                   NULL},
    {"-t --helo a_b",                        NULL},
    {"-t --timeout 0",                       NULL},
    {"-t --hold-for 5",                      NULL},
    {"-t --hold-until tomorrow",             NULL},
    {"-t --hold-until 2030-01-02T03:04:05",  NULL},
    {"-t --hold-for 1h --hold-until 2030-01-02_03:04", NULL},
    {"-t --deliver-by 4h,perhaps",           NULL},
    {"-t --priority 10",                     NULL},
    {"-t --password-file a --password-command b", NULL},
    {"--flush b@x.org",                      NULL},
    {"-bs -t",                               NULL},
    {"--list --files x",                     NULL},
};
/* clang-format on */

static void command_lines(void **state)
{
    (void)state;
    (void)setenv("TZ", "UTC", 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct send_request rq;
        char got[600] = "";
        int status = read_line(&rq, rows[i].line);
        if (status != (rows[i].want ? EX_OK : EX_USAGE))
            fail_msg("%s: %d", rows[i].line, status);
        describe(&rq, got, sizeof(got));
        if (rows[i].want && strcmp(got, rows[i].want) != 0)
            fail_msg("%s:%s, not%s", rows[i].line, got, rows[i].want);
        send_options_done(&rq);
    }
}

static void accounts_are_described(void **state)
{
    (void)state;
    struct send_request rq;
    assert_int_equal(
        read_line(&rq, "-t --host h:26 --tls implicit --login scram --user me --password-file p "
                       "--helo me.x.org --timeout 30"),
        EX_OK);
    const struct account *a = &rq.order.given;
    assert_int_equal(a->tls, ACCOUNT_TLS_IMPLICIT);
    assert_int_equal(a->login, ACCOUNT_LOGIN_SCRAM);
    assert_string_equal(a->user, "me");
    assert_string_equal(a->password_file, "p");
    assert_string_equal(a->hostname, "me.x.org");
    assert_int_equal(a->timeout_ms, 30000);
    send_options_done(&rq);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(command_lines),
        cmocka_unit_test(accounts_are_described),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
