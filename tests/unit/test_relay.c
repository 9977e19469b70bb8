/* The relay with a real spool, against next hops that follow a script. */
#include "relaykit.h"

#define OPEN(list) "S: 220 hi\nC: EHLO me.example\nS: 250-hop\n" list "S: 250 HELP\n"
#define CHUNKED OPEN("S: 250-PIPELINING\nS: 250-CHUNKING\nS: 250-8BITMIME\n")
#define ENVELOPE "C: MAIL FROM:<ann@example.org>\nC: RCPT TO:<bob@example.net>\n"
#define OK "S: 250 ok\n"

static void a_kept_connection_takes_the_next_message(void **state)
{
    (void)state;
    struct peer p = {0};
    PEER_START(&p, CHUNKED ENVELOPE "C: BDAT 13 LAST\nD: A: b\\n\\none\\n\n" OK OK
                                    "S: 250 2.0.0 first\n" ENVELOPE
                                    "C: BDAT 13 LAST\nD: A: b\\n\\ntwo\\n\n" OK OK
                                    "S: 250 2.0.0 second\nC: QUIT\nS: 221 bye\n");
    struct house h = {0};
    house_open(&h);
    house_route_to(&h, "default", &p);
    house_start(&h);
    house_send(&h, "ann@example.org", "bob@example.net", "A: b\r\n\r\none\r\n");
    LOG_WAIT(" delivered ", "session=s1", "to=bob@example.net",
             "hop=smtp:127.0.0.1:", "peer=127.0.0.1", "code=250", "status=2.0.0", "text=first",
             "ms=");
    house_send(&h, "ann@example.org", "bob@example.net", "A: b\r\n\r\ntwo\r\n");
    LOG_WAIT(" delivered ", "text=second");
    house_close(&h, 0);
    peer_stop(&p);
}

static void an_old_server_gets_it_step_by_step(void **state)
{
    (void)state;
    struct peer p = {0};
    PEER_START(&p, "S: 220 hi\nC: EHLO me.example\nS: 502 what\nC: HELO me.example\nS: 250 hop\n"
                   "C: MAIL FROM:<ann@example.org>\n" OK "C: RCPT TO:<bob@example.net>\n" OK
                   "C: DATA\nS: 354 go\nD: A: b\\n\\n..dot\\n.\\n\n" OK "C: QUIT\nS: 221 bye\n");
    struct house h = {0};
    house_open(&h);
    house_route_to(&h, "default", &p);
    house_start(&h);
    house_send(&h, "ann@example.org", "bob@example.net", "A: b\r\n\r\n.dot\r\n");
    LOG_WAIT(" delivered ");
    house_close(&h, 0);
    peer_stop(&p);
}

/* Recipients in different domains with one next hop share a transaction; each has its own outcome (REL-05). */
static void outcomes_are_per_recipient(void **state)
{
    (void)state;
    struct peer p = {0};
    PEER_START(
        &p,
        OPEN("S: 250-PIPELINING\n") "C: MAIL FROM:<ann@example.org>\nC: RCPT TO:<a@x.example>\nC: "
                                    "RCPT TO:<b@y.example>\nC: DATA\n" OK "S: 450 4.2.1 later\n" OK
                                    "S: 354 go\n.:\nS: 250 2.0.0 one\n"
                                    "C: MAIL FROM:<ann@example.org>\nC: RCPT TO:<a@x.example>\nC: "
                                    "DATA\n" OK OK
                                    "S: 354 go\n.:\nS: 250 2.0.0 two\nC: QUIT\nS: 221 bye\n");
    struct house h = {.cfg.retry_min_ms = 50, .cfg.retry_max_ms = 50};
    house_open(&h);
    house_route_to(&h, "x.example", &p);
    house_route_to(&h, "default", &p);
    house_start(&h);
    house_send(&h, "ann@example.org", "a@x.example b@y.example", "A: b\r\n\r\nc\r\n");
    LOG_WAIT(" deferred ", "to=a@x.example", "code=450", "status=4.2.1", "at=\"RCPT TO\"");
    LOG_WAIT(" delivered ", "to=b@y.example", "text=one");
    LOG_WAIT(" delivered ", "to=a@x.example", "text=two");
    house_close(&h, 0);
    peer_stop(&p);
}

static bool has(const struct buf *b, const char *text)
{
    return b->len && memmem(b->data, b->len, text, strlen(text));
}

/* REL-06, DSN-03 */
static void a_failure_is_reported_to_the_sender(void **state)
{
    (void)state;
    struct peer p = {0};
    PEER_START(&p, OPEN("S: 250-PIPELINING\n") ENVELOPE
               "C: DATA\n" OK "S: 550 5.1.1 no such user\nS: 554 nobody\n"
               "C: RSET\nC: MAIL FROM:<>\nC: RCPT TO:<ann@example.org>\nC: DATA\n" OK OK OK
               "S: 354 go\n.:\nS: 250 2.0.0 taken\nC: QUIT\nS: 221 bye\n");
    struct house h = {0};
    house_open(&h);
    house_route_to(&h, "default", &p);
    house_start(&h);
    house_send(&h, "ann@example.org", "bob@example.net", "Subject: hello\r\n\r\nsecret\r\n");
    LOG_WAIT(" failed ", "to=bob@example.net", "code=550", "status=5.1.1", "text=\"no such user\"");
    LOG_WAIT(" delivered ", "to=ann@example.org", "text=taken");
    house_close(&h, 0);
    struct buf text = BUF_INIT(1 << 20);
    peer_stop_keep(&p, &text);
    assert_true(has(&text, "Action: failed"));
    assert_true(has(&text, "Status: 5.1.1"));
    assert_true(has(&text, "550 5.1.1 no such user"));
    assert_true(has(&text, "Final-Recipient: rfc822; bob@example.net"));
    assert_true(has(&text, "Subject: hello"));
    assert_false(has(&text, "secret"));
    buf_done(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NETTEST(a_kept_connection_takes_the_next_message),
        NETTEST(an_old_server_gets_it_step_by_step),
        NETTEST(outcomes_are_per_recipient),
        NETTEST(a_failure_is_reported_to_the_sender),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
