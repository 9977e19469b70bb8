/* Deliveries that stay on this machine: LMTP over a UNIX socket, Maildirs, nowhere. */
#include "relaykit.h"

#include <dirent.h>

#define OK "S: 250 ok\n"

static void lmtp_speaks_of_each_recipient(void **state)
{
    (void)state;
    struct house h = {0};
    house_open(&h);
    char address[100];
    (void)snprintf(address, sizeof(address), "unix:%s/lmtp", h.dir);
    struct peer p = {0};
    const char *script[] = {"S: 220 hi\nC: LHLO me.example\nS: 250-hop\nS: 250 PIPELINING\nC: MAIL "
                            "FROM:<ann@example.org>\n"
                            "C: RCPT TO:<a@x>\nC: RCPT TO:<b@x>\nC: RCPT TO:<c@x>\nC: DATA\n" OK OK
                            "S: 550 5.1.1 no\n" OK
                            "S: 354 go\n.:\nS: 250 2.1.5 kept\nS: 452 4.2.2 full\n"
                            "C: MAIL FROM:<>\nC: RCPT TO:<ann@example.org>\nC: DATA\n" OK OK
                            "S: 354 go\n.:\n" OK "C: QUIT\nS: 221 bye\n",
                            NULL};
    peer_start_at(&p, address, script);
    house_route(&h, "default", ROUTE_LMTP)->path = address + strlen("unix:");
    house_start(&h);
    house_send(&h, "ann@example.org", "a@x b@x c@x", "A: b\r\n\r\nc\r\n");
    LOG_WAIT(" failed ", "to=b@x", "hop=lmtp:/", "peer=unix", "status=5.1.1");
    LOG_WAIT(" delivered ", "to=a@x", "text=kept");
    LOG_WAIT(" deferred ", "to=c@x", "status=4.2.2");
    LOG_WAIT(" delivered ", "to=ann@example.org");
    house_close(&h, 1);
    peer_stop(&p);
}

static size_t count_files(const char *dir, const char *box, struct buf *last)
{
    char path[700];
    (void)snprintf(path, sizeof(path), "%s/mail/%s/new", dir, box);
    size_t n = 0;
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (e->d_name[0] == '.')
            continue;
        n++;
        (void)snprintf(path, sizeof(path), "%s/mail/%s/new/%s", dir, box, e->d_name);
        FILE *f = fopen(path, "r");
        assert_non_null(f);
        static char text[1 << 20];
        size_t len = fread(text, 1, sizeof(text), f);
        (void)fclose(f);
        buf_clear(last);
        assert_int_equal(buf_append(last, text, len), 0);
    }
    if (d)
        (void)closedir(d);
    return n;
}

static void mail_lies_in_the_maildir(void **state)
{
    (void)state;
    struct house h = {0};
    house_open(&h);
    char pattern[100];
    (void)snprintf(pattern, sizeof(pattern), "%s/mail/%%d/%%u", h.dir);
    house_route(&h, "default", ROUTE_MAILDIR)->path = pattern;
    house_start(&h);
    house_send(&h, "ann@x.example", "bob@y.example Eve@y.example a/b@y.example",
               "A: b\r\n\r\n.\r\n");
    LOG_WAIT(" failed ", "to=a/b@y.example", "status=5.1.1", "hop=maildir:/");
    LOG_WAIT(" delivered ", "to=bob@y.example", "status=2.0.0");
    LOG_WAIT(" delivered ", "to=Eve@y.example");
    LOG_WAIT(" delivered ", "to=ann@x.example"); /* the report */
    struct buf text = BUF_INIT((size_t)2 << 20);
    assert_int_equal(count_files(h.dir, "y.example/bob", &text), 1);
    assert_string_equal(text.data,
                        "Return-Path: <ann@x.example>\nDelivered-To: bob@y.example\nA: b\n\n.\n");
    assert_int_equal(count_files(h.dir, "y.example/eve", &text), 1);
    assert_int_equal(count_files(h.dir, "x.example/ann", &text), 1);
    assert_non_null(strstr(text.data, "Return-Path: <>\n"));
    assert_non_null(strstr(text.data, "Status: 5.1.1"));
    buf_done(&text);
    house_close(&h, 0);
}

/* More recipients than files are open at a time, and a text that comes from the spool in pieces. */
static void a_large_text_for_many(void **state)
{
    (void)state;
    enum { N = 70 };
    struct house h = {0};
    house_open(&h);
    char pattern[100];
    (void)snprintf(pattern, sizeof(pattern), "%s/mail/%%u", h.dir);
    house_route(&h, "default", ROUTE_MAILDIR)->path = pattern;
    house_start(&h);
    struct buf large = BUF_INIT((size_t)2 << 20), want = BUF_INIT((size_t)2 << 20),
               got = BUF_INIT((size_t)2 << 20);
    assert_int_equal(buf_puts(&want, "Return-Path: <>\nDelivered-To: u69@x\n"), 0);
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(buf_printf(&large, "line %d\r\n", i), 0);
        assert_int_equal(buf_printf(&want, "line %d\n", i), 0);
    }
    struct spool_recipient rcpts[N];
    char names[N][16];
    for (int i = 0; i < N; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "u%d@x", i);
        rcpts[i] = (struct spool_recipient){.address = names[i]};
    }
    struct spool_envelope env = {.reverse_path = ""};
    house_put(&h, &env, rcpts, N, buf_str(&large));
    for (int i = 0; i < N; i++)
        LOG_WAIT(" delivered ");
    for (int i = 0; i < N; i++) {
        char box[16];
        (void)snprintf(box, sizeof(box), "u%d", i);
        assert_int_equal(count_files(h.dir, box, &got), 1);
    }
    assert_true(str_eq(buf_str(&got), buf_str(&want)));
    buf_done(&large);
    buf_done(&want);
    buf_done(&got);
    house_close(&h, 0);
}

static void a_maildir_that_cannot_be_written_defers(void **state)
{
    (void)state;
    struct house h = {0};
    house_open(&h);
    house_route(&h, "default", ROUTE_MAILDIR)->path = "/proc/nowhere/%u";
    house_start(&h);
    house_send(&h, "", "bob@x", "A: b\r\n\r\nc\r\n");
    LOG_WAIT(" maildir-trouble ", "maildir=/proc/nowhere/bob", "step=\"make the Maildir\"");
    LOG_WAIT(" deferred ", "to=bob@x", "code=451", "status=4.2.0");
    house_close(&h, 1);
}

static void some_mail_goes_nowhere(void **state)
{
    (void)state;
    struct house h = {0};
    house_open(&h);
    (void)house_route(&h, "x.example", ROUTE_DISCARD);
    house_start(&h);
    assert_true(relay_has_route(h.relay, STR("X.example")));
    assert_false(relay_has_route(h.relay, STR("y.example")));
    house_send(&h, "", "bob@x.example", "A: b\r\n\r\nc\r\n");
    LOG_WAIT(" delivered ", "hop=discard", "text=Discarded");
    house_close(&h, 0);
}

/* The route went with the last change of the configuration: it may come back. */
static void a_domain_without_route_waits(void **state)
{
    (void)state;
    struct house h = {0};
    house_open(&h);
    (void)house_route(&h, "x.example", ROUTE_DISCARD);
    house_start(&h);
    house_send(&h, "", "bob@y.example bob@x.example", "A: b\r\n\r\nc\r\n");
    LOG_WAIT(" delivered ", "to=bob@x.example");
    LOG_WAIT(" no-route ", "to=bob@y.example");
    house_close(&h, 1);
}

/* Thousands at once: credit bounds what is in hand, and all of it arrives. */
static void a_flood_is_worked_off(void **state)
{
    (void)state;
    enum { N = 2000 };
    struct house h = {.cfg.deliveries_max = 16};
    house_open(&h);
    (void)house_route(&h, "default", ROUTE_DISCARD);
    for (int i = 0; i < N; i++)
        house_send(&h, "", "bob@x", "A: b\r\n\r\nc\r\n");
    house_start(&h);
    for (int i = 0; i < N; i++)
        LOG_WAIT(" delivered ");
    house_close(&h, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NETTEST(lmtp_speaks_of_each_recipient), NETTEST(mail_lies_in_the_maildir),
        NETTEST(a_large_text_for_many),         NETTEST(a_maildir_that_cannot_be_written_defers),
        NETTEST(some_mail_goes_nowhere),        NETTEST(a_domain_without_route_waits),
        NETTEST(a_flood_is_worked_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
