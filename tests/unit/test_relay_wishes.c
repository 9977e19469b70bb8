/* What a sender asked of the way (deadlines, priority, TLS all along), carried on and kept.  Conformance DLB, PRI, RTLS. */
#include "relaykit.h"

#include "message/received.h"

#define OPEN(list) "S: 220 hi\nC: EHLO me.example\nS: 250-hop\n" list "S: 250 HELP\n"
#define OK "S: 250 ok\n"
#define TO_BOB "C: RCPT TO:<bob@example.net>\n" OK "C: DATA\nS: 354 go\n.:\nS: 250 2.0.0 taken\n"
#define REPORT                                                                                     \
    "C: MAIL FROM:<>\n" OK "C: RCPT TO:<ann@example.org>\n" OK                                     \
    "C: DATA\nS: 354 go\n.:\nS: 250 2.0.0 told\n"
#define BYE "C: QUIT\nS: 221 bye\n"

static struct identity ca, server;

static int make_identities(void **state)
{
    (void)state;
    netkit_dir_make();
    ca = identity_make("ca", NULL, NULL);
    server = identity_make("server", "DNS:hop.example,IP:127.0.0.1", &ca);
    return 0;
}

static int drop_identities(void **state)
{
    (void)state;
    identity_done(&ca);
    identity_done(&server);
    netkit_dir_remove();
    return 0;
}

static bool has(const struct buf *b, const char *text)
{
    return b->len && memmem(b->data, b->len, text, strlen(text));
}

static bool has_date(const struct buf *b, const char *field, int64_t ms)
{
    char date[40], line[80];
    date_format(ms, date);
    (void)snprintf(line, sizeof(line), "\r\n%s: %s\r\n", field, date);
    return has(b, line);
}

static void send_to_bob(struct house *h, struct spool_envelope env, unsigned notify)
{
    struct spool_recipient bob = {.address = "bob@example.net", .notify = notify};
    env.reverse_path = "ann@example.org";
    env.session = "s1";
    house_put(h, &env, &bob, 1, STR("Subject: hello\r\n\r\nsecret\r\n"));
}

/* What is left of the time, and the priority, go on to who understands them (DLB-01, PRI-01). */
static void wishes_are_passed_on(void **state)
{
    (void)state;
    struct peer p = {0};
    PEER_START(
        &p,
        OPEN(
            "S: 250-DELIVERBY 60\nS: 250-MT-PRIORITY\n") "C: MAIL FROM:<ann@example.org> BY=3599;R "
                                                         "MT-PRIORITY=-4\n" OK TO_BOB BYE);
    struct house h = {0};
    house_open(&h);
    house_route_to(&h, "default", &p);
    house_start(&h);
    struct spool_envelope env = {
        .by_mode = 'R', .deliver_by_ms = clock_wall_ms() + 3599999, .priority = -4};
    send_to_bob(&h, env, 0);
    LOG_WAIT(" delivered ", "to=bob@example.net");
    house_close(&h, 0);
    peer_stop(&p);
}

/* DLB-01: "return it" is given only to who knows how to; else it comes back. */
static void a_deadline_nobody_would_keep_comes_back(void **state)
{
    (void)state;
    struct peer p = {0};
    PEER_START(&p, OPEN("") REPORT BYE);
    struct house h = {0};
    house_open(&h);
    house_route_to(&h, "default", &p);
    house_start(&h);
    send_to_bob(
        &h, (struct spool_envelope){.by_mode = 'R', .deliver_by_ms = clock_wall_ms() + 3600000}, 0);
    LOG_WAIT(" failed ", "to=bob@example.net", "status=5.3.3");
    LOG_WAIT(" delivered ", "to=ann@example.org");
    house_close(&h, 0);
    struct buf text = BUF_INIT(1 << 20);
    peer_stop_keep(&p, &text);
    assert_true(has(&text, "Status: 5.3.3"));
    buf_done(&text);
}

/* DLB-01: past its deadline nothing is tried. */
static void what_is_late_comes_back_untried(void **state)
{
    (void)state;
    struct peer p = {0};
    PEER_START(&p, OPEN("S: 250-DELIVERBY\n") REPORT BYE);
    struct house h = {0};
    house_open(&h);
    house_route_to(&h, "default", &p);
    house_start(&h);
    int64_t deadline = clock_wall_ms() - 1;
    send_to_bob(&h, (struct spool_envelope){.by_mode = 'R', .deliver_by_ms = deadline}, 0);
    LOG_WAIT(" failed ", "to=bob@example.net", "status=5.4.7");
    LOG_WAIT(" delivered ", "to=ann@example.org");
    house_close(&h, 0);
    struct buf text = BUF_INIT(1 << 20);
    peer_stop_keep(&p, &text);
    assert_true(has(&text, "Status: 5.4.7"));
    assert_true(has(&text, "Action: failed"));
    assert_true(has_date(&text, "Deliver-By-Date", deadline));
    buf_done(&text);
}

/* The next attempt would be in five minutes; the deadline is before. */
static void a_deferred_message_comes_back_at_its_deadline(void **state)
{
    (void)state;
    struct peer p = {0};
    PEER_START(&p, OPEN("S: 250-DELIVERBY\n") "C: MAIL *\nS: 451 4.3.0 later\n" REPORT BYE);
    struct house h = {0};
    house_open(&h);
    house_route_to(&h, "default", &p);
    house_start(&h);
    send_to_bob(
        &h, (struct spool_envelope){.by_mode = 'R', .deliver_by_ms = clock_wall_ms() + 1900}, 0);
    LOG_WAIT(" deferred ", "to=bob@example.net");
    LOG_WAIT(" failed ", "to=bob@example.net", "status=5.4.7");
    LOG_WAIT(" delivered ", "to=ann@example.org");
    house_close(&h, 0);
    peer_stop(&p);
}

/* DLB-01: who hears of a delay hears how long we go on: never past the deadline of what is to be returned. */
static void a_delayed_message_is_not_tried_past_its_deadline(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        char mode;
        int64_t deadline, until; /* from the arrival */
    } rows[] = {
        {"returned by its deadline", 'R', 3600000, 3600000},
        {"returned by its age",      'R', 9600000, 7200000},
        {"to be told of",            'N', 3600000, 7200000},
        {"no deadline",              0,   0,       7200000},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct peer p = {0};
        PEER_START(&p, OPEN("S: 250-DELIVERBY\n") "C: MAIL *\nS: 451 4.3.0 later\n" REPORT BYE);
        struct house h = {.cfg = {.delay_warning_ms = 1, .expire_ms = 7200000}};
        house_open(&h);
        house_route_to(&h, "default", &p);
        house_start(&h);
        int64_t arrival = clock_wall_ms() - 1000;
        struct spool_envelope env = {.received_ms = arrival, .by_mode = rows[i].mode};
        env.deliver_by_ms = rows[i].mode ? arrival + rows[i].deadline : 0;
        send_to_bob(&h, env, 0);
        LOG_WAIT(" deferred ", "to=bob@example.net");
        LOG_WAIT(" delivered ", "to=ann@example.org");
        house_close(&h, 1);
        struct buf text = BUF_INIT(1 << 20);
        peer_stop_keep(&p, &text);
        check(rows[i].name, has(&text, "Action: delayed"));
        check(rows[i].name, has_date(&text, "Will-Retry-Until", arrival + rows[i].until));
        check(rows[i].name, has(&text, "Deliver-By-Date") == (rows[i].mode != 0));
        buf_done(&text);
    }
}

/* DLB-01: with "tell me" the attempts go on, and the sender hears of it, once. */
static void a_late_message_is_told_of(void **state)
{
    (void)state;
    struct peer p = {0};
    PEER_START(&p, OPEN("S: 250-DELIVERBY\n") "C: MAIL FROM:<ann@example.org> BY=-*\nS: 451 4.3.0 "
                                              "later\n" REPORT BYE);
    struct house h = {0};
    house_open(&h);
    house_route_to(&h, "default", &p);
    house_start(&h);
    send_to_bob(&h,
                (struct spool_envelope){.by_mode = 'N', .deliver_by_ms = clock_wall_ms() - 5000},
                SPOOL_NOTIFY_FAILURE);
    LOG_WAIT(" deferred ", "to=bob@example.net");
    LOG_WAIT(" delivered ", "to=ann@example.org");
    house_close(&h, 1);
    struct buf text = BUF_INIT(1 << 20);
    peer_stop_keep(&p, &text);
    assert_true(has(&text, "Action: delayed"));
    buf_done(&text);
}

/* DLB-01: where the deadline ends with us, or a trace was asked for, the sender hears that it was passed on. */
static void a_relayed_deadline_is_told_of(void **state)
{
    (void)state;
    static const struct {
        const char *name, *list, *mail;
        bool trace;
        unsigned notify;
        bool told;
    } rows[] = {
        {"not known there", "S: 250-DSN\n",                   "C: MAIL FROM:<ann@example.org>\n",         false, 0,                  true },
        {"known there",     "S: 250-DSN\nS: 250-DELIVERBY\n",
         "C: MAIL FROM:<ann@example.org> BY=359*\n",                                                      false, 0,                  false},
        {"traced",          "S: 250-DSN\nS: 250-DELIVERBY\n", "C: MAIL FROM:<ann@example.org> BY=359*\n",
         true,                                                                                                   0,                  true },
        {"nobody asks",     "",                               "C: MAIL FROM:<ann@example.org>\n",         true,  SPOOL_NOTIFY_NEVER, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct peer p = {0};
        char script[2000];
        (void)snprintf(script, sizeof(script),
                       OPEN("%s") "%sS: 250 ok\nC: RCPT *\n" OK "C: DATA\nS: 354 go\n.:\n" OK
                                  "%s" BYE,
                       rows[i].list, rows[i].mail,
                       rows[i].told ? "C: MAIL FROM:<>*\n" OK "C: RCPT *\n" OK
                                      "C: DATA\nS: 354 go\n.:\nS: 250 told\n"
                                    : "");
        PEER_START(&p, script);
        struct house h = {0};
        house_open(&h);
        house_route_to(&h, "default", &p);
        house_start(&h);
        struct spool_envelope env = {
            .by_mode = 'N', .by_trace = rows[i].trace, .deliver_by_ms = clock_wall_ms() + 3599999};
        send_to_bob(&h, env, rows[i].notify);
        LOG_WAIT(" delivered ", "to=bob@example.net");
        if (rows[i].told)
            LOG_WAIT(" delivered ", "to=ann@example.org");
        house_close(&h, 0);
        struct buf text = BUF_INIT(1 << 20);
        peer_stop_keep(&p, &text);
        check(rows[i].name, has(&text, "Action: relayed") == rows[i].told);
        buf_done(&text);
    }
}

/* FUT-01: the age of what was held counts from its release, so it is not given up at once. */
static void a_held_message_is_as_old_as_its_release(void **state)
{
    (void)state;
    struct peer p = {0};
    PEER_START(&p, OPEN("") "C: MAIL *\nS: 451 4.3.0 later\n" BYE);
    struct house h = {.cfg.expire_ms = 3600000};
    house_open(&h);
    house_route_to(&h, "default", &p);
    house_start(&h);
    int64_t now = clock_wall_ms();
    send_to_bob(&h, (struct spool_envelope){.received_ms = now - 7200000, .release_ms = now - 1000},
                0);
    LOG_WAIT(" deferred ", "to=bob@example.net");
    house_close(&h, 1);
    peer_stop(&p);
}

/* PRI-01: what becomes due together goes out by priority, whatever the order it came in. */
static void the_most_urgent_goes_first(void **state)
{
    (void)state;
    struct peer p = {0};
    PEER_START(
        &p, OPEN("S: 250-MT-PRIORITY\n") "C: MAIL FROM:<ann@example.org> MT-PRIORITY=9\n" OK TO_BOB
                                         "C: MAIL FROM:<ann@example.org> MT-PRIORITY=3\n" OK TO_BOB
                                         "C: MAIL FROM:<ann@example.org> MT-PRIORITY=3\n" OK TO_BOB
                                         "C: MAIL FROM:<ann@example.org>\n" OK TO_BOB
                                         "C: MAIL FROM:<ann@example.org> MT-PRIORITY=-9\n" OK TO_BOB
                                             BYE);
    struct house h = {0};
    static const int priorities[] = {-9, 3, 9, 0, 3};
    house_open(&h);
    house_route_to(&h, "default", &p);
    h.routes[0].connections_max = 1;
    int64_t release =
        clock_wall_ms() + 1000; /* the house is open by then, or all are due when it opens */
    for (size_t i = 0; i < ARRAY_LEN(priorities); i++)
        send_to_bob(&h, (struct spool_envelope){.priority = priorities[i], .release_ms = release},
                    0);
    house_start(&h);
    for (size_t i = 0; i < ARRAY_LEN(priorities); i++)
        LOG_WAIT(" delivered ", "to=bob@example.net");
    house_close(&h, 0);
    peer_stop(&p);
}

static void send_marked(struct house *h, const char *from, const char *to, int priority)
{
    struct spool_recipient one = {.address = to};
    struct spool_envelope env = {.reverse_path = from, .session = "s1", .priority = priority};
    house_put(h, &env, &one, 1, STR("Subject: hello\r\n\r\nhello\r\n"));
}

/* PRI-01: so does what waits for a connection, equals in the order they came.  The spool hands messages to the relay in
 * order, so one thrown away after each says that it has reached the queue of its hop; it is the spool's order no more. */
static void the_most_urgent_goes_first_to_a_busy_hop(void **state)
{
    (void)state;
    static const struct {
        const char *from;
        int priority;
    } rows[] = {
        {"n1@example.org", 0 },
        {"n2@example.org", 5 },
        {"n3@example.org", -3},
        {"n4@example.org", 5 },
    };
    struct peer p = {0};
    PEER_START(&p, OPEN("S: 250-MT-PRIORITY\n") "C: MAIL FROM:<n0@example.org>\nH:\n" OK TO_BOB
                                                "C: MAIL FROM:<n2@example.org> MT-PRIORITY=5\n" OK TO_BOB
                                                "C: MAIL FROM:<n4@example.org> MT-PRIORITY=5\n" OK TO_BOB
                                                "C: MAIL FROM:<n1@example.org>\n" OK TO_BOB
                                                "C: MAIL FROM:<n3@example.org> MT-PRIORITY=-3\n" OK TO_BOB
                                                    BYE);
    struct house h = {0};
    house_open(&h);
    house_route_to(&h, "default", &p);
    h.routes[0].connections_max = 1;
    (void)house_route(&h, "mark.example", ROUTE_DISCARD);
    house_start(&h);
    send_marked(&h, "n0@example.org", "bob@example.net", 0);
    peer_wait(&p, &p.n_lines, 2); /* the connection is busy from here on */
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        send_marked(&h, rows[i].from, "bob@example.net", rows[i].priority);
        send_marked(&h, rows[i].from, "it@mark.example", rows[i].priority);
        LOG_WAIT(" delivered ", "to=it@mark.example");
    }
    peer_let_go(&p);
    for (size_t i = 0; i <= ARRAY_LEN(rows); i++)
        LOG_WAIT(" delivered ", "to=bob@example.net");
    house_close(&h, 0);
    peer_stop(&p);
}

/* ---- TLS all the way ---- */

#define CLEAR                                                                                      \
    "S: 220 hi\nC: EHLO me.example\nS: 250-hop\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nT:\n"
#define INSIDE(list) "C: EHLO me.example\nS: 250-hop\n" list "S: 250 HELP\n"

/* RTLS-01, RTLS-02: a tagged message, and its report, go only where TLS is verified and the demand is passed on; a
 * report holds the header only, whatever RET said. */
static void tls_is_demanded_all_the_way(void **state)
{
    (void)state;
    static const struct {
        const char *name, *script;
        enum route_tls tls;
        const char *event, *status;
    } rows[] = {
        {"passed on",
         CLEAR INSIDE(
             "S: 250-REQUIRETLS\n") "C: MAIL FROM:<ann@example.org> REQUIRETLS\n" OK TO_BOB BYE,
         ROUTE_TLS_VERIFY,                                                                                          " delivered ", "status=2.0.0" },
        {"not offered",  CLEAR INSIDE("") BYE,                                                   ROUTE_TLS_VERIFY,  " failed ",    "status=5.7.30"},
        {"not verified", CLEAR INSIDE("S: 250-REQUIRETLS\n") BYE,                                ROUTE_TLS_REQUIRE, " failed ",
         "status=5.7.10"                                                                                                                          },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct peer p = {0}, home = {0};
        char why[TLS_WHY_MAX];
        struct tls_server_config cfg = {
            .certificate = server.cert_file, .key = server.key_file, .session_context = "test"};
        assert_int_equal(tls_server_context_new(&cfg, &p.tls, why), 0);
        assert_int_equal(tls_server_context_new(&cfg, &home.tls, why), 0);
        bool fails = rows[i].event[1] == 'f';
        PEER_START(&p, rows[i].script);
        PEER_START(&home,
                   CLEAR INSIDE("S: 250-REQUIRETLS\n") "C: MAIL FROM:<> REQUIRETLS\n" OK
                                                       "C: RCPT TO:<ann@example.org>\n" OK
                                                       "C: DATA\nS: 354 go\n.:\nS: 250 told\n" BYE);
        struct house h = {0};
        house_open(&h);
        house_route_to(&h, "example.org", &home);
        house_route_to(&h, "default", &p);
        for (size_t k = 0; k < 2; k++) {
            h.routes[k].tls = k ? rows[i].tls : ROUTE_TLS_VERIFY;
            h.routes[k].ca = ca.cert_file;
            h.routes[k].tls_name = "hop.example";
        }
        house_start(&h);
        send_to_bob(&h, (struct spool_envelope){.tls = SPOOL_TLS_REQUIRED, .ret = 'F'}, 0);
        LOG_WAIT(rows[i].event, "to=bob@example.net", rows[i].status);
        if (fails)
            LOG_WAIT(" delivered ", "to=ann@example.org", "text=told");
        house_close(&h, 0);
        peer_stop(&p);
        struct buf text = BUF_INIT(1 << 20);
        if (!fails)
            home.n_scripts = 0; /* nobody came */
        peer_stop_keep(&home, &text);
        check(rows[i].name, has(&text, "Subject: hello") == fails);
        check(rows[i].name, !has(&text, "secret"));
        buf_done(&text);
    }
}

/* ---- 8-bit mail for who takes 7-bit only ---- */

#define HEAD "MIME-Version: 1.0\r\nContent-Transfer-Encoding: 8bit\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
#define QP_HEAD                                                                                    \
    "MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\nContent-Type: text/plain; "  \
    "charset=utf-8\r\n\r\n"

static void send_8bit(struct house *h, enum spool_body body, struct str text)
{
    struct spool_recipient bob = {.address = "bob@example.net"};
    struct spool_envelope env = {.reverse_path = "ann@example.org", .session = "s1", .body = body};
    house_put(h, &env, &bob, 1, text);
}

/* BIT-01, CHNK-03: converted where it has to be, octet for octet where not; bounced when the operator says so, or when it
 * cannot be done. */
static void an_8bit_text_is_made_7bit_for_who_takes_no_other(void **state)
{
    (void)state;
    static const struct {
        const char *name, *list, *mail, *text, *want; /* want NULL: it bounces with `status` */
        enum spool_body body;
        bool bounces;
        const char *status;
    } rows[] = {
        {"8-bit to 7-bit", "", "C: MAIL FROM:<ann@example.org>\n", HEAD "\xc3\xa9\r\n", QP_HEAD "=C3=A9\r\n", SPOOL_BODY_8BITMIME, false, NULL},
        {"8-bit to 8-bit", "S: 250-8BITMIME\n", "C: MAIL FROM:<ann@example.org> BODY=8BITMIME\n", HEAD "\xc3\xa9\r\n",
         HEAD "\xc3\xa9\r\n", SPOOL_BODY_8BITMIME, false, NULL},
        {"binary to 8-bit", "S: 250-8BITMIME\n", "C: MAIL FROM:<ann@example.org>\n",
         "MIME-Version: 1.0\r\nContent-Type: image/x\r\nContent-Transfer-Encoding: binary\r\n\r\na\nb",
         "MIME-Version: 1.0\r\nContent-Type: image/x\r\nContent-Transfer-Encoding: base64\r\n\r\nYQpi\r\n", SPOOL_BODY_BINARYMIME, false, NULL},
        {"the operator's choice", "", NULL, HEAD "\xc3\xa9\r\n", NULL, SPOOL_BODY_8BITMIME, true, "status=5.6.3"},
        {"the operator's choice, binary", "S: 250-8BITMIME\n", NULL, HEAD "\xc3\xa9\r\n", NULL, SPOOL_BODY_BINARYMIME, true, "status=5.6.1"},
        {"cannot be done", "", "C: MAIL FROM:<ann@example.org>\n", "Subject: \xc3\xa9\r\n\r\nx\r\n", NULL, SPOOL_BODY_8BITMIME, false, "status=5.6.3"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct peer p = {0}, home = {0};
        char script[2000];
        (void)snprintf(script, sizeof(script), OPEN("%s") "%s%s", rows[i].list, rows[i].mail ? rows[i].mail : "",
                       rows[i].want ? OK TO_BOB BYE : rows[i].mail ? OK "C: RCPT *\n" OK "C: DATA\nS: 354 go\nW:" : BYE);
        PEER_START(&p, script);
        PEER_START(&home, OPEN("S: 250-8BITMIME\n") "C: MAIL FROM:<>*\n" OK "C: RCPT TO:<ann@example.org>\n" OK "C: DATA\nS: 354 go\n.:\nS: 250 told\n" BYE);
        struct house h = {.cfg.bounces_8bit = rows[i].bounces};
        house_open(&h);
        house_route_to(&h, "example.org", &home);
        house_route_to(&h, "default", &p);
        house_start(&h);
        send_8bit(&h, rows[i].body, str_of(rows[i].text));
        LOG_WAIT(rows[i].want ? " delivered " : " failed ", "to=bob@example.net", rows[i].want ? "code=250" : rows[i].status);
        if (!rows[i].want)
            LOG_WAIT(" delivered ", "to=ann@example.org", "text=told");
        house_close(&h, 0);
        struct buf text = BUF_INIT(1 << 20);
        peer_stop_keep(&p, &text);
        if (rows[i].want && !str_eq(buf_str(&text), str_of(rows[i].want)))
            fail_msg("%s: got\n%s", rows[i].name, buf_str(&text).p);
        buf_done(&text);
        home.n_scripts = rows[i].want ? 0 : home.n_scripts; /* nobody came */
        peer_stop(&home);
    }
}

/* A text of many pieces, read from the spool while it is converted, by DATA and by BDAT. */
static void a_long_text_is_converted_as_it_is_read(void **state)
{
    (void)state;
    static const char *const scripts[] = {
        OPEN("") "C: MAIL FROM:<ann@example.org>\n" OK TO_BOB BYE,
        OPEN("S: 250-CHUNKING\n") "C: MAIL FROM:<ann@example.org>\n" OK "C: RCPT *\n" OK "C: BDAT *\nN: 65536\nW:",
    };
    enum { LINES = 20000 };
    struct buf text = BUF_INIT(4 << 20), want = BUF_INIT(8 << 20);
    assert_int_equal(buf_puts(&text, HEAD), 0);
    assert_int_equal(buf_puts(&want, QP_HEAD), 0);
    for (int i = 0; i < LINES; i++) {
        assert_int_equal(buf_printf(&text, "line %d \xc3\xa9 and more of it\r\n", i), 0);
        assert_int_equal(buf_printf(&want, "line %d =C3=A9 and more of it\r\n", i), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
        struct peer p = {0};
        PEER_START(&p, scripts[i]);
        struct house h = {.cfg.retry_min_ms = 3600000};
        house_open(&h);
        house_route_to(&h, "default", &p);
        house_start(&h);
        send_8bit(&h, SPOOL_BODY_8BITMIME, buf_str(&text));
        if (i == 0)
            LOG_WAIT(" delivered ", "to=bob@example.net");
        else
            peer_wait(&p, &p.text.len, 65536);
        house_close(&h, i == 0 ? 0 : 1);
        struct buf got = BUF_INIT(8 << 20);
        peer_stop_keep(&p, &got);
        assert_int_equal(got.len, i == 0 ? want.len : 65536);
        assert_memory_equal(got.data, want.data, got.len);
        buf_done(&got);
    }
    buf_done(&text);
    buf_done(&want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NETTEST(wishes_are_passed_on),
        NETTEST(a_deadline_nobody_would_keep_comes_back),
        NETTEST(what_is_late_comes_back_untried),
        NETTEST(a_deferred_message_comes_back_at_its_deadline),
        NETTEST(a_delayed_message_is_not_tried_past_its_deadline),
        NETTEST(a_late_message_is_told_of),
        NETTEST(a_relayed_deadline_is_told_of),
        NETTEST(a_held_message_is_as_old_as_its_release),
        NETTEST(the_most_urgent_goes_first),
        NETTEST(the_most_urgent_goes_first_to_a_busy_hop),
        NETTEST(tls_is_demanded_all_the_way),
        NETTEST(an_8bit_text_is_made_7bit_for_who_takes_no_other),
        NETTEST(a_long_text_is_converted_as_it_is_read),
    };
    return cmocka_run_group_tests(tests, make_identities, drop_identities);
}
