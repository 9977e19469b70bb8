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
    LOG_WAIT(" retry ", "session=s1", "recipients=1", "at=20", "in-s=1"); /* of the one that waits */
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

/* I4: a report nobody can take is the postmaster's, whole, and one to him that fails is only logged. */
static void reports_that_fail_go_to_the_postmaster(void **state)
{
    (void)state;
    struct peer p = {0};
    PEER_START(
        &p,
        OPEN("S: 250-PIPELINING\n") "C: MAIL FROM:<>\nC: RCPT TO:<bob@example.net>\nC: DATA\n" OK
                                    "S: 550 5.1.1 no such user\nS: 554 nobody\nC: RSET\nC: MAIL "
                                    "FROM:<>\n"
                                    "C: RCPT TO:<root@example.org>\nC: DATA\n" OK OK OK
                                    "S: 354 go\n.:\nS: 550 5.1.1 not even he\nC: QUIT\nS: 221 "
                                    "bye\n");
    struct house h = {.cfg.postmaster = "root@example.org"};
    house_open(&h);
    house_route_to(&h, "default", &p);
    house_start(&h);
    house_send(&h, "", "bob@example.net", "A: b\r\n\r\nwhat it told\r\n");
    LOG_WAIT(" failed ", "to=bob@example.net");
    LOG_WAIT(" undeliverable ", "to=bob@example.net", "550 5.1.1 no such user");
    LOG_WAIT(" failed ", "to=root@example.org");
    LOG_WAIT(" undeliverable ", "to=root@example.org");
    house_close(&h, 0);
    struct buf text = BUF_INIT(1 << 20);
    peer_stop_keep(&p, &text);
    assert_true(has(&text, "what it told"));
    buf_done(&text);
}

/* REL-04: five days old, and it fails once more. */
static void an_old_message_expires(void **state)
{
    (void)state;
    struct peer p = {0};
    PEER_START(&p, OPEN("") "C: MAIL FROM:<>\nS: 451 4.3.0 later\nC: QUIT\nS: 221 bye\n");
    struct house h = {0};
    house_open(&h);
    house_route_to(&h, "default", &p);
    house_start(&h);
    struct spool_envelope env = {.reverse_path = "",
                                 .session = "s1",
                                 .received_ms = clock_wall_ms() - 6 * 24 * 3600 * (int64_t)1000};
    house_put(&h, &env, &(struct spool_recipient){.address = "bob@example.net"}, 1,
              STR("A: b\r\n\r\nc\r\n"));
    LOG_WAIT(" failed ", "to=bob@example.net", "code=451");
    house_close(&h, 0);
    peer_stop(&p);
}

/* Whether and how NOTIFY and the settings bring a report, row by row: what stands in it. */
static void notify_decides_about_reports(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned notify;
        const char *reply; /* to RCPT */
        int64_t warning_ms, age_ms;
        const char *action; /* NULL: no report */
        const char *dsn;    /* line of EHLO */
    } rows[] = {
        {"success",             SPOOL_NOTIFY_SUCCESS, "250 ok",    0,     0,        "Action: relayed", ""            },
        {"success, hop tells",  SPOOL_NOTIFY_SUCCESS, "250 ok",    0,     0,        NULL,              "S: 250-DSN\n"},
        {"success, not asked",  0,                    "250 ok",    0,     0,        NULL,              ""            },
        {"failure, by default", 0,                    "550 no",    0,     0,        "Action: failed",  ""            },
        {"failure, asked",      SPOOL_NOTIFY_FAILURE, "550 no",    0,     0,        "Action: failed",  ""            },
        {"failure, not wanted", SPOOL_NOTIFY_DELAY,   "550 no",    0,     0,        NULL,              ""            },
        {"failure, never",      SPOOL_NOTIFY_NEVER,   "550 no",    0,     0,        NULL,              ""            },
        {"delay, configured",   0,                    "450 later", 50,    1000,     "Action: delayed", ""            },
        {"delay, too early",    0,                    "450 later", 50000, 1000,     NULL,              ""            },
        {"delay, not set",      0,                    "450 later", 0,     86400000, NULL,              ""            },
        {"delay, asked",        SPOOL_NOTIFY_DELAY,   "450 later", 0,     86400000, "Action: delayed", ""            },
        {"delay, not wanted",   SPOOL_NOTIFY_FAILURE, "450 later", 50,    86400000, NULL,              ""            },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char script[1024];
        bool accepted = rows[i].reply[0] == '2';
        (void)snprintf(script, sizeof(script),
                       OPEN("%s") "C: MAIL FROM:<ann@example.org>\n" OK
                                  "C: RCPT TO:<bob@example.net>*\nS: %s\n%s",
                       rows[i].dsn, rows[i].reply, accepted ? "C: DATA\nS: 354 go\n.:\n" OK : "");
        size_t len = strlen(script);
        (void)snprintf(script + len, sizeof(script) - len, "%s%sC: QUIT\nS: 221 bye\n",
                       rows[i].action && !accepted ? "C: RSET\n" OK : "",
                       rows[i].action ? "C: MAIL FROM:<>\n" OK "C: RCPT TO:<ann@example.org>*\n" OK
                                        "C: DATA\nS: 354 go\n.:\nS: 250 report taken\n"
                                      : "");
        struct peer p = {0};
        PEER_START(&p, script);
        struct house h = {.cfg.delay_warning_ms = rows[i].warning_ms};
        house_open(&h);
        house_route_to(&h, "default", &p);
        house_start(&h);
        struct spool_envelope env = {.reverse_path = "ann@example.org",
                                     .session = "s1",
                                     .received_ms = clock_wall_ms() - rows[i].age_ms};
        struct spool_recipient to = {.address = "bob@example.net", .notify = rows[i].notify};
        house_put(&h, &env, &to, 1, STR("Subject: s\r\n\r\nc\r\n"));
        LOG_WAIT("to=bob@example.net");
        if (rows[i].action)
            LOG_WAIT("to=ann@example.org", "report taken");
        house_close(&h, rows[i].reply[0] == '4');
        struct buf text = BUF_INIT(1 << 20);
        peer_stop_keep(&p, &text);
        check(rows[i].name, !rows[i].action || has(&text, rows[i].action));
        buf_done(&text);
    }
}

/* RFC 3461 section 4.3 */
static void ret_full_brings_it_all_back(void **state)
{
    (void)state;
    struct peer p = {0};
    PEER_START(&p, OPEN("") "C: MAIL FROM:<ann@example.org>\nS: 550 5.7.1 no\n"
                            "C: MAIL FROM:<>\n" OK "C: RCPT TO:<ann@example.org>\n" OK
                            "C: DATA\nS: 354 go\n.:\n" OK "C: QUIT\nS: 221 bye\n");
    struct house h = {0};
    house_open(&h);
    house_route_to(&h, "default", &p);
    house_start(&h);
    struct spool_envelope env = {.reverse_path = "ann@example.org", .session = "s1", .ret = 'F'};
    house_put(&h, &env, &(struct spool_recipient){.address = "bob@example.net"}, 1,
              STR("Subject: s\r\n\r\nthe whole text\r\n"));
    LOG_WAIT(" delivered ", "to=ann@example.org");
    house_close(&h, 0);
    struct buf text = BUF_INIT(1 << 20);
    peer_stop_keep(&p, &text);
    assert_true(has(&text, "the whole text"));
    buf_done(&text);
}

/* ---- connections ---- */

/* The other end closed a kept connection just as the next message came: that is no attempt. */
static void a_stale_connection_costs_nothing(void **state)
{
    (void)state;
    struct peer p = {0};
    PEER_START(
        &p,
        CHUNKED ENVELOPE "C: BDAT 11 LAST\nN: 11\n" OK OK OK ENVELOPE "S: 421 4.4.2 too late\nX:",
        CHUNKED ENVELOPE "C: BDAT 11 LAST\nN: 11\n" OK OK "S: 250 second\n" ENVELOPE "X:",
        CHUNKED ENVELOPE "C: BDAT 11 LAST\nN: 11\n" OK OK "S: 250 third\nC: QUIT\nS: 221 bye\n");
    struct house h = {0};
    house_open(&h);
    house_route_to(&h, "default", &p);
    house_start(&h);
    house_send(&h, "ann@example.org", "bob@example.net", "A: b\r\n\r\nc\r\n");
    LOG_WAIT(" delivered ");
    house_send(&h, "ann@example.org", "bob@example.net", "A: b\r\n\r\nc\r\n");
    LOG_WAIT(" delivered ", "text=second");
    house_send(&h, "ann@example.org", "bob@example.net", "A: b\r\n\r\nc\r\n");
    LOG_WAIT(" delivered ", "text=third");
    house_close(&h, 0);
    peer_stop(&p);
}

/* A new connection that is lost counts (REL-05), and the hop is left alone. */
static void a_lost_connection_defers(void **state)
{
    (void)state;
    struct peer p = {0};
    PEER_START(&p, OPEN("") "C: MAIL FROM:<ann@example.org>\nX:");
    struct house h = {0};
    house_open(&h);
    house_route_to(&h, "default", &p);
    house_start(&h);
    house_send(&h, "ann@example.org", "bob@example.net", "A: b\r\n\r\nc\r\n");
    LOG_WAIT(" deferred ", "code=451", "status=4.4.2",
             "the connection was lost: closed by the peer", "at=\"MAIL FROM\"");
    LOG_WAIT(" hop-down ", "failures=1");
    house_send(&h, "ann@example.org", "bob@example.net", "A: b\r\n\r\nc\r\n");
    LOG_WAIT(" deferred ", "status=4.4.1");
    house_close(&h, 2);
    peer_stop(&p);
}

static void nobody_listens(void **state)
{
    (void)state;
    struct peer p = {0};
    PEER_START(&p, "S: 554 5.3.2 not here\nC: QUIT\nS: 221 bye\n");
    struct house h = {0};
    house_open(&h);
    house_route_to(&h, "default", &p);
    struct route_config *dead = house_route(&h, "dead.example", ROUTE_SMTP);
    dead->host = "127.0.0.1";
    dead->port = "1";
    house_start(&h);
    house_send(&h, "ann@example.org", "bob@dead.example", "A: b\r\n\r\nc\r\n");
    LOG_WAIT(" hop-down ", "cannot connect", "127.0.0.1");
    LOG_WAIT(" deferred ", "to=bob@dead.example", "cannot connect", "status=4.4.1");
    house_send(&h, "ann@example.org", "bob@example.net", "A: b\r\n\r\nc\r\n");
    LOG_WAIT(" hop-down ", "554 5.3.2 not here (in reply to the greeting)");
    LOG_WAIT(" deferred ", "to=bob@example.net");
    house_close(&h, 2);
    peer_stop(&p);
}

/* REL-03: a hop that says nothing, at each stage.  Only the limit in question is short, and the one for commands,
 * which also holds where the hop does answer, is long enough for a busy machine. */
static void every_wait_has_an_end(void **state)
{
    (void)state;
    static const struct {
        const char *script, *words;
        struct link_timeouts limits;
    } rows[] = {
        {"W:",                                                                              "status=4.4.1",     {.greeting_ms = 50} },
        {"S: 220 hi\nC: EHLO me.example\nW:",                                               "status=4.4.1",     {.command_ms = 50}  },
        {OPEN("") "C: MAIL FROM:<ann@example.org>\nW:",                                     "at=\"MAIL FROM\"", {.command_ms = 2000}},
        {OPEN("") "C: MAIL FROM:<ann@example.org>\n" OK "C: RCPT TO:<bob@example.net>\nW:",
         "at=\"RCPT TO\"",                                                                                      {.command_ms = 2000}},
        {OPEN("S: 250-PIPELINING\n") ENVELOPE "C: DATA\n" OK OK "W:",                       "at=DATA",          {.data_ms = 50}     },
        {OPEN("S: 250-PIPELINING\n") ENVELOPE "C: DATA\n" OK OK "S: 354 go\n.:\nW:",
         "at=\"the end of the text\"",                                                                          {.final_ms = 50}    },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct peer p = {0};
        PEER_START(&p, rows[i].script);
        struct house h = {.cfg.timeouts = rows[i].limits};
        house_open(&h);
        house_route_to(&h, "default", &p);
        house_start(&h);
        house_send(&h, "ann@example.org", "bob@example.net", "A: b\r\n\r\nc\r\n");
        LOG_WAIT(" deferred ", "timed out: no progress", rows[i].words);
        house_close(&h, 1);
        peer_stop(&p);
    }
}

/* An octet now and then is progress, but not for ever. */
static void a_trickle_has_an_end_too(void **state)
{
    (void)state;
    struct peer p = {0};
    PEER_START(&p, "S: 220 hi\nC: EHLO me.example\nZ:");
    struct house h = {.cfg.timeouts = {.command_ms = 1000}};
    house_open(&h);
    house_route_to(&h, "default", &p);
    house_start(&h);
    house_send(&h, "ann@example.org", "bob@example.net", "A: b\r\n\r\nc\r\n");
    LOG_WAIT(" deferred ", "no end to EHLO in sight");
    house_close(&h, 1);
    peer_stop(&p);
}

/* An idle connection is given up, politely. */
static void an_idle_connection_says_goodbye(void **state)
{
    (void)state;
    struct peer p = {0};
    PEER_START(&p, CHUNKED ENVELOPE "C: BDAT 11 LAST\nN: 11\n" OK OK OK "C: QUIT\n",
               CHUNKED ENVELOPE "C: BDAT 11 LAST\nN: 11\n" OK OK "S: 250 second\nC: QUIT\n");
    struct house h = {
        .cfg.timeouts = {.idle_ms = 30, .quit_ms = 100}
    };
    house_open(&h);
    house_route_to(&h, "default", &p);
    house_start(&h);
    house_send(&h, "ann@example.org", "bob@example.net", "A: b\r\n\r\nc\r\n");
    LOG_WAIT(" delivered ");
    peer_wait(&p, &p.n_done, 1);
    house_send(&h, "ann@example.org", "bob@example.net", "A: b\r\n\r\nc\r\n");
    LOG_WAIT(" delivered ", "text=second");
    house_close(&h, 0);
    peer_stop(&p);
}

/* Stopping: what is in flight may end, what never began goes back untouched. */
static void stopping_loses_nothing(void **state)
{
    (void)state;
    struct peer p = {0};
    PEER_START(&p, OPEN("") "C: MAIL FROM:<ann@example.org>\nW:");
    struct house h = {0};
    house_open(&h);
    house_route_to(&h, "default", &p);
    h.routes[0].connections_max = 1;
    house_start(&h);
    house_send(&h, "ann@example.org", "bob@example.net", "A: b\r\n\r\nc\r\n");
    house_send(&h, "ann@example.org", "eve@example.net", "A: b\r\n\r\nc\r\n");
    peer_wait(&p, &p.n_lines, 2); /* the first message is in flight */
    relay_stop(h.relay, 50);
    h.relay = NULL;
    assert_int_equal(house_stats(&h).recipients, 2);
    house_close(&h, 2);
    peer_stop(&p);
}

/* ---- large texts: from the spool, piece by piece ---- */

static struct buf make_large(size_t lines)
{
    struct buf b = BUF_INIT((size_t)4 << 20);
    assert_int_equal(buf_puts(&b, "Subject: large\r\n\r\n"), 0);
    for (size_t i = 0; i < lines; i++)
        assert_int_equal(buf_printf(&b, "%s%zu a line of some length, so that it becomes much\r\n",
                                    i % 7 ? "" : ".", i),
                         0);
    return b;
}

static void large_texts_arrive_whole(void **state)
{
    (void)state;
    struct buf large = make_large(30000);
    char chunked[2000], *at = chunked;
    at += sprintf(at, CHUNKED ENVELOPE OK OK);
    for (size_t left = large.len; left;) {
        size_t n = MIN(left, SPOOL_CHUNK);
        left -= n;
        at += sprintf(at, "C: BDAT %zu%s\nN: %zu\n" OK, n, left ? "" : " LAST", n);
    }
    (void)sprintf(at, "C: QUIT\nS: 221 bye\n");
    const char *scripts[] = {
        chunked, OPEN("") "C: MAIL FROM:<ann@example.org>\n" OK "C: RCPT TO:<bob@example.net>\n" OK
                          "C: DATA\nS: 354 go\n.:\n" OK "C: QUIT\nS: 221 bye\n"};
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
        struct peer p = {0};
        PEER_START(&p, scripts[i]);
        struct house h = {0};
        house_open(&h);
        house_route_to(&h, "default", &p);
        house_start(&h);
        struct spool_envelope env = {.reverse_path = "ann@example.org"};
        house_put(&h, &env, &(struct spool_recipient){.address = "bob@example.net"}, 1,
                  buf_str(&large));
        LOG_WAIT(" delivered ");
        house_close(&h, 0);
        struct buf got = BUF_INIT((size_t)8 << 20);
        peer_stop_keep(&p, &got);
        if (i == 1) { /* the doubled dots again */
            struct buf plain = BUF_INIT((size_t)8 << 20);
            for (size_t k = 0; k < got.len; k++)
                if (!(got.data[k] == '.' && k && got.data[k - 1] == '\n'))
                    assert_int_equal(buf_append(&plain, &got.data[k], 1), 0);
                else if (got.data[k + 1] == '.')
                    assert_int_equal(buf_append(&plain, &got.data[k++], 1), 0);
            buf_done(&got);
            got = plain;
        }
        assert_int_equal(got.len, large.len);
        assert_memory_equal(got.data, large.data, large.len);
        buf_done(&got);
    }
    buf_done(&large);
}

/* What the hop does not offer the message must not need (BIT-01, UTF-02, SIZE-03). */
static void a_hop_too_small_for_the_message(void **state)
{
    (void)state;
    static const struct {
        const char *offer, *status;
        struct spool_envelope env;
    } rows[] = {
        {"",                "status=5.6.3", {.reverse_path = "", .body = SPOOL_BODY_8BITMIME}},
        {"",                "status=5.6.7", {.reverse_path = "", .smtputf8 = true}           },
        {"S: 250-SIZE 5\n", "status=5.3.4", {.reverse_path = ""}                             },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char script[200];
        (void)snprintf(script, sizeof(script), OPEN("%s") "C: QUIT\nS: 221 bye\n", rows[i].offer);
        struct peer p = {0};
        PEER_START(&p, script);
        struct house h = {.cfg.bounces_8bit = true};
        house_open(&h);
        house_route_to(&h, "default", &p);
        house_start(&h);
        house_put(&h, &rows[i].env, &(struct spool_recipient){.address = "bob@example.net"}, 1,
                  STR("A: b\r\n\r\nc\r\n"));
        LOG_WAIT(" failed ", rows[i].status);
        house_close(&h, 0);
        peer_stop(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NETTEST(a_kept_connection_takes_the_next_message),
        NETTEST(an_old_server_gets_it_step_by_step),
        NETTEST(outcomes_are_per_recipient),
        NETTEST(a_failure_is_reported_to_the_sender),
        NETTEST(reports_that_fail_go_to_the_postmaster),
        NETTEST(an_old_message_expires),
        NETTEST(notify_decides_about_reports),
        NETTEST(ret_full_brings_it_all_back),
        NETTEST(a_stale_connection_costs_nothing),
        NETTEST(a_lost_connection_defers),
        NETTEST(nobody_listens),
        NETTEST(every_wait_has_an_end),
        NETTEST(a_trickle_has_an_end_too),
        NETTEST(an_idle_connection_says_goodbye),
        NETTEST(stopping_loses_nothing),
        NETTEST(large_texts_arrive_whole),
        NETTEST(a_hop_too_small_for_the_message),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
