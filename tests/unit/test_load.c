/* A load upon a sink, and upon what is worse than a sink, in one process. */
#include "unit.h"

#include "bench/load.h"
#include "bench/sink.h"
#include "net/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* ---- a server on a thread of its own ---- */

struct server {
    pthread_t thread;
    struct loop *loop;
    struct sink *sink;
    char address[32], port[8];
};

static void *serve(void *arg)
{
    loop_run(((struct server *)arg)->loop);
    return NULL;
}

static void free_port(char *port, size_t size)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    (void)close(fd);
    (void)snprintf(port, size, "%u", (unsigned)ntohs(sa.sin_port));
}

static void server_start(struct server *s, struct tls_context *tls)
{
    char why[SINK_WHY_MAX];
    free_port(s->port, sizeof(s->port));
    (void)snprintf(s->address, sizeof(s->address), "127.0.0.1:%s", s->port);
    struct sink_config cfg = {.address = s->address, .hostname = "sink.example", .tls = tls};
    assert_int_equal(loop_new(&s->loop), 0);
    assert_int_equal(sink_new(s->loop, &cfg, &s->sink, why), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static struct sink_counts server_stop(struct server *s)
{
    loop_stop(s->loop);
    assert_int_equal(pthread_join(s->thread, NULL), 0);
    struct sink_counts counts = sink_counts(s->sink);
    sink_free(s->sink);
    loop_free(s->loop);
    return counts;
}

static struct load_config config_for(const char *port)
{
    return (struct load_config){
        .connections = 3,
        .count = 40,
        .size = 1024,
        .recipients = 1,
        .from = "load@example.org",
        .to = "sink@example.org",
        .drain_ms = 5000,
        .link = {.host = "127.0.0.1",
                 .port = port,
                 .timeouts = {.command_ms = 20000},
                 .smtp = {.hostname = "load.example"}},
    };
}

static struct load_result *run(const struct load_config *cfg)
{
    char why[LOAD_WHY_MAX] = "";
    struct load_result *r = xcalloc(1, sizeof(*r));
    if (load_run(cfg, r, why) < 0)
        fail_msg("%s", why);
    return r;
}

/* ---- loads that succeed ---- */

static void test_messages(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        unsigned connections, recipients;
        uint64_t count, warm_up, per_connection, sessions;
        size_t size;
        double rate;
    } rows[] = {
        {"plain",                     3, 1,  40, 0, 0, 3, 1024,    0   },
        {"fewer messages than hands", 8, 1,  2,  0, 0, 8, 1024,    0   },
        {"several recipients",        2, 30, 10, 0, 0, 2, 1024,    0   },
        {"new connections",           1, 1,  20, 0, 5, 4, 1024,    0   },
        {"warmed up",                 2, 1,  10, 7, 0, 2, 1024,    0   },
        {"larger than one piece",     2, 1,  6,  0, 0, 2, 1500000, 0   },
        {"at a rate",                 2, 1,  30, 0, 0, 2, 1024,    2000},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct server server;
        server_start(&server, NULL);
        struct load_config cfg = config_for(server.port);
        cfg.connections = rows[i].connections;
        cfg.recipients = rows[i].recipients;
        cfg.count = rows[i].count;
        cfg.warm_up = rows[i].warm_up;
        cfg.per_connection = rows[i].per_connection;
        cfg.size = rows[i].size;
        cfg.rate = rows[i].rate;
        struct load_result *r = run(&cfg);
        struct sink_counts seen = server_stop(&server);
        check(rows[i].name, r->messages == rows[i].count && r->messages_failed == 0);
        check(rows[i].name, r->recipients == rows[i].count * rows[i].recipients);
        check(rows[i].name, r->transaction.count == rows[i].count);
        check(rows[i].name, r->sessions == rows[i].sessions && r->lost == 0);
        check(rows[i].name, r->n_failures == 0);
        check(rows[i].name, seen.messages == rows[i].count + rows[i].warm_up);
        check(rows[i].name, seen.recipients == seen.messages * rows[i].recipients);
        check(rows[i].name, seen.octets == seen.messages * rows[i].size);
        free(r);
    }
}

static void test_rate_spreads_the_messages(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, NULL);
    struct load_config cfg = config_for(server.port);
    cfg.count = 21;
    cfg.rate = 100;
    struct load_result *r = run(&cfg);
    (void)server_stop(&server);
    assert_int_equal(r->messages, 21);
    assert_true(r->accept_us >= 195000); /* the last is due 200 ms after the first */
    free(r);
}

static void test_duration_ends_it(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, NULL);
    struct load_config cfg = config_for(server.port);
    cfg.count = 0;
    cfg.duration_ms = 300;
    struct load_result *r = run(&cfg);
    struct sink_counts seen = server_stop(&server);
    assert_true(r->messages > 0);
    assert_int_equal(r->messages, seen.messages);
    assert_true(r->accept_us >= 300000);
    free(r);
}

static void test_sessions(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, NULL);
    struct load_config cfg = config_for(server.port);
    cfg.kind = LOAD_SESSIONS;
    cfg.warm_up = 5;
    struct load_result *r = run(&cfg);
    struct sink_counts seen = server_stop(&server);
    assert_int_equal(r->sessions, 40);
    assert_int_equal(r->setup.count, 40);
    assert_int_equal(seen.connections, 45);
    assert_int_equal(seen.messages, 0);
    assert_int_equal(r->n_failures, 0);
    free(r);
}

static void test_idle(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, NULL);
    struct usage usage = {0};
    assert_int_equal(usage_watch(&usage, (struct usage_target){.pid = getpid()}), 0);
    struct load_config cfg = config_for(server.port);
    cfg.kind = LOAD_IDLE;
    cfg.connections = 4;
    cfg.count = 50;
    cfg.server = &usage;
    struct load_result *r = run(&cfg);
    struct sink_counts seen = server_stop(&server);
    assert_int_equal(r->held, 50);
    assert_int_equal(seen.connections, 50);
    /* Both were taken; which is greater depends on what else the machine does with shared and idle pages. */
    assert_true(r->memory_before.pss_kib > 0 && r->memory_after.pss_kib > 0);
    assert_true(r->memory_before.rss_kib >= r->memory_before.pss_kib);
    free(r);
}

/* The server hands on to the sink of the load: here it is that sink itself. */
static void test_arrivals(void **state)
{
    (void)state;
    char port[8], address[32];
    free_port(port, sizeof(port));
    (void)snprintf(address, sizeof(address), "127.0.0.1:%s", port);
    struct load_config cfg = config_for(port);
    cfg.sink = address;
    cfg.recipients = 2;
    cfg.warm_up = 3;
    struct load_result *r = run(&cfg);
    assert_int_equal(r->messages, 40);
    assert_int_equal(r->arrived, 80);
    assert_int_equal(r->duplicates, 0);
    assert_int_equal(r->missing, 0);
    assert_int_equal(r->strangers, 0);
    assert_int_equal(r->delivery.count, 40);
    assert_true(r->empty_us >= r->accept_us || r->empty_us > 0);
    free(r);
}

static void test_what_does_not_arrive_is_missed(void **state)
{
    (void)state;
    struct server server;
    server_start(&server, NULL); /* accepts, and hands nothing on */
    char port[8], address[32];
    free_port(port, sizeof(port));
    (void)snprintf(address, sizeof(address), "127.0.0.1:%s", port);
    struct load_config cfg = config_for(server.port);
    cfg.sink = address;
    cfg.drain_ms = 300;
    struct load_result *r = run(&cfg);
    (void)server_stop(&server);
    assert_int_equal(r->messages, 40);
    assert_int_equal(r->arrived, 0);
    assert_int_equal(r->missing, 40);
    free(r);
}

/* ---- servers that do not do their duty ---- */

struct bad_server {
    pthread_t thread;
    int fd;
    char port[8];
    const char *const
        *lines; /* said in turn, each after whatever came; NULL ends it with a close */
};

static void play(int fd, const char *const *lines)
{
    char buf[65536];
    for (; *lines; lines++) {
        if (send(fd, *lines, strlen(*lines), MSG_NOSIGNAL) < 0)
            return;
        if (recv(fd, buf, sizeof(buf), 0) <= 0)
            return;
    }
}

static void *misbehave(void *arg)
{
    struct bad_server *s = arg;
    for (int fd; (fd = accept(s->fd, NULL, NULL)) >= 0;) {
        play(fd, s->lines);
        (void)close(fd);
    }
    return NULL;
}

static void bad_start(struct bad_server *s, const char *const *lines)
{
    char address[32], why[LISTENER_WHY_MAX];
    free_port(s->port, sizeof(s->port));
    (void)snprintf(address, sizeof(address), "127.0.0.1:%s", s->port);
    assert_int_equal(listener_bind(address, 16, &s->fd, why), 0);
    int flags = fcntl(s->fd, F_GETFL);
    assert_int_equal(fcntl(s->fd, F_SETFL, flags & ~O_NONBLOCK), 0);
    s->lines = lines;
    assert_int_equal(pthread_create(&s->thread, NULL, misbehave, s), 0);
}

static void bad_stop(struct bad_server *s)
{
    (void)shutdown(s->fd, SHUT_RDWR);
    assert_int_equal(pthread_join(s->thread, NULL), 0);
    (void)close(s->fd);
}

static void test_failures(void **state)
{
    (void)state;
#define EHLO "220 x\r\n", "250-x\r\n250 PIPELINING\r\n"
    static const struct {
        const char *name;
        const char *lines[8];
        bool opens;
        int code;
        enum smtp_stage stage;
    } rows[] = {
        {"refused at once",   {"554 no\r\n", "221 bye\r\n"},        false, 554, SMTP_STAGE_GREETING},
        {"closed at once",    {NULL},                               false, 451, SMTP_STAGE_GREETING},
        {"no SMTP",           {"HTTP/1.1 400 Bad Request\r\n"},     false, 451, SMTP_STAGE_GREETING},
        {"closed after EHLO", {EHLO},                               true,  451, SMTP_STAGE_MAIL    },
        {"sender refused",
         {EHLO, "550 5.7.1 no\r\n503 x\r\n503 x\r\n", "221 x\r\n"},
         true,                                                             550,
         SMTP_STAGE_MAIL                                                                           },
        {"busy, then closed", {EHLO, "421 4.3.2 busy\r\n"},         true,  421, SMTP_STAGE_MAIL    },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct bad_server bad;
        bad_start(&bad, rows[i].lines);
        struct load_config cfg = config_for(bad.port);
        cfg.connections = 1;
        cfg.count = 1;
        struct load_result *r = run(&cfg);
        bad_stop(&bad);
        check(rows[i].name, r->messages == 0);
        check(rows[i].name, (r->sessions > 0) == rows[i].opens);
        check(rows[i].name, r->n_failures >= 1);
        check(rows[i].name, r->failures[0].code == rows[i].code);
        check(rows[i].name, r->failures[0].stage == rows[i].stage);
        check(rows[i].name, r->failures[0].text[0]);
        free(r);
    }
}

static void test_nobody_there(void **state)
{
    (void)state;
    char port[8];
    free_port(port, sizeof(port));
    static const enum load_kind kinds[] = {LOAD_MESSAGES, LOAD_SESSIONS, LOAD_IDLE};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct load_config cfg = config_for(port);
        cfg.kind = kinds[i];
        cfg.count = 5;
        struct load_result *r = run(&cfg);
        assert_int_equal(r->sessions, 0);
        assert_true(r->sessions_failed > 0);
        assert_true(r->n_failures == 1 && strstr(r->failures[0].text, "refused"));
        free(r);
    }
}

static void test_sink_address_taken(void **state)
{
    (void)state;
    struct load_config cfg = config_for("1");
    cfg.sink = "127.0.0.1:nonsense";
    struct load_result r;
    char why[LOAD_WHY_MAX] = "";
    assert_true(load_run(&cfg, &r, why) < 0);
    assert_true(why[0]);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_rate_spreads_the_messages),
        cmocka_unit_test(test_duration_ends_it),
        cmocka_unit_test(test_sessions),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_arrivals),
        cmocka_unit_test(test_what_does_not_arrive_is_missed),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_nobody_there),
        cmocka_unit_test(test_sink_address_taken),
    };
    return cmocka_run_group_tests_name("load", tests, NULL, NULL);
}
