#include "netkit.h"

#include "net/loop_internal.h"

#include <arpa/inet.h>
#include <event2/dns.h>
#include <event2/dns_struct.h>
#include <netinet/in.h>

/* A name server of our own on the loop, and files that lead to it. */
static struct evdns_server_port *dns_port;
static int dns_fd;
static char resolv_conf[96], hosts[96];
static bool dns_is_silent;
static int n_questions;
static char last_question[256];

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    (void)fputs(text, f);
    (void)fclose(f);
}

static const struct {
    const char *name;
    const char *v4, *v6; /* NULL: none */
    int error;
} zone[] = {
    {"both.example",   "127.0.0.2", "::1", 0                   },
    {"four.example",   "127.0.0.2", NULL,  0                   },
    {"six.example",    NULL,        "::1", 0                   },
    {"none.example",   NULL,        NULL,  0                   },
    {"absent.example", NULL,        NULL,  DNS_ERR_NOTEXIST    },
    {"broken.example", NULL,        NULL,  DNS_ERR_SERVERFAILED},
};

static void
answer_from(size_t i, struct evdns_server_request *rq, const struct evdns_server_question *q)
{
    unsigned char octets[16];
    if (q->type == EVDNS_TYPE_A && zone[i].v4) {
        assert_int_equal(inet_pton(AF_INET, zone[i].v4, octets), 1);
        (void)evdns_server_request_add_a_reply(rq, q->name, 1, octets, 60);
    } else if (q->type == EVDNS_TYPE_AAAA && zone[i].v6) {
        assert_int_equal(inet_pton(AF_INET6, zone[i].v6, octets), 1);
        (void)evdns_server_request_add_aaaa_reply(rq, q->name, 1, octets, 60);
    }
}

static void on_question(struct evdns_server_request *rq, void *arg)
{
    (void)arg;
    const struct evdns_server_question *q = rq->questions[0];
    n_questions++;
    (void)snprintf(last_question, sizeof(last_question), "%s", q->name);
    if (dns_is_silent) {
        (void)evdns_server_request_drop(rq);
        loop_stop(loop);
        return;
    }
    int error = DNS_ERR_NOTEXIST;
    for (size_t i = 0; i < ARRAY_LEN(zone); i++)
        if (str_eq_nocase(str_of(q->name), str_of(zone[i].name))) {
            answer_from(i, rq, q);
            error = zone[i].error;
        }
    (void)evdns_server_request_respond(rq, error);
}

static int dns_setup(void **state)
{
    (void)netkit_setup(state);
    netkit_dir_make();
    (void)snprintf(resolv_conf, sizeof(resolv_conf), "%s/resolv.conf", netkit_dir);
    (void)snprintf(hosts, sizeof(hosts), "%s/hosts", netkit_dir);
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    dns_fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(dns_fd, (struct sockaddr *)&sin, len), 0);
    assert_int_equal(getsockname(dns_fd, (struct sockaddr *)&sin, &len), 0);
    dns_port = evdns_add_server_port_with_base(loop_event_base(loop), dns_fd, 0, on_question, NULL);
    char text[128];
    (void)snprintf(text, sizeof(text),
                   "search search.example\nnameserver 127.0.0.1:%d\n"
                   "options timeout:0.2 attempts:1\n",
                   ntohs(sin.sin_port));
    write_file(resolv_conf, text);
    write_file(hosts, "127.0.0.3 filed.example also.example\n");
    loop_resolver_files(loop, resolv_conf, hosts);
    dns_is_silent = false;
    n_questions = 0;
    return 0;
}

static int dns_teardown(void **state)
{
    evdns_close_server_port(dns_port);
    (void)unlink(resolv_conf);
    (void)unlink(hosts);
    netkit_dir_remove();
    int r = netkit_teardown(state);
    (void)close(dns_fd);
    return r;
}

/* Nobody listens on port 1, so that the detail tells what the name was resolved to. */
static void try_name(const char *name, struct end *e)
{
    e->s = stream_connect(loop, name, "1", &end_ops, e);
    WAIT(e->ends == 1);
}

static void names_become_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *name, *v4, *v6, *words;
    } rows[] = {
        {"both.example",   "127.0.0.2: ", "::1: ", NULL                                          },
        {"four.example",   "127.0.0.2: ", NULL,    NULL                                          },
        {"six.example",    NULL,          "::1: ", NULL                                          },
        {"filed.example",  "127.0.0.3: ", NULL,    NULL                                          },
        {"also.example",   "127.0.0.3: ", NULL,    NULL                                          },
        {"absent.example", NULL,          NULL,    "no such host name"                           },
        {"none.example",   NULL,          NULL,    "no name server gave an address for this name"},
        {"broken.example", NULL,          NULL,    "no name server gave an address for this name"},
        {"*",              NULL,          NULL,    "no such host name"                           },
        {"127.1",          NULL,          NULL,    "no such host name"                           },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct end e = END_INIT;
        try_name(rows[i].name, &e);
        check(rows[i].name, e.end == STREAM_NO_CONNECT);
        check(rows[i].name, (strstr(e.detail, "127.0.0.") != NULL) == (rows[i].v4 != NULL));
        check(rows[i].name, !rows[i].v4 || strstr(e.detail, rows[i].v4));
        check(rows[i].name, !rows[i].v6 || strstr(e.detail, rows[i].v6));
        if (rows[i].words && !strstr(e.detail, rows[i].words))
            fail_msg("%s: %s", rows[i].name, e.detail);
        end_done(&e);
    }
}

static void search_domains_are_not_tried(void **state)
{
    (void)state;
    struct end e = END_INIT;
    try_name("short", &e);
    assert_true(n_questions > 0);
    assert_true(str_eq_nocase(str_of(last_question), STR("short")));
    end_done(&e);
}

static void files_that_change_are_read_again(void **state)
{
    (void)state;
    struct end e = END_INIT, f = END_INIT, g = END_INIT;
    try_name("filed.example", &e);
    assert_non_null(strstr(e.detail, "127.0.0.3: "));
    write_file(hosts, "127.0.0.40 filed.example\n");
    try_name("filed.example", &f);
    assert_non_null(strstr(f.detail, "127.0.0.40: "));
    assert_null(strstr(f.detail, "127.0.0.3: "));
    assert_int_equal(n_questions, 0);
    (void)unlink(hosts); /* as good as empty */
    try_name("filed.example", &g);
    assert_true(n_questions > 0);
    assert_non_null(strstr(g.detail, "no such host name"));
    end_done(&e);
    end_done(&f);
    end_done(&g);
}

static void a_silent_name_server_is_not_waited_for_longer_than_allowed(void **state)
{
    (void)state;
    struct end e = END_INIT;
    dns_is_silent = true;
    e.s = stream_connect(loop, "both.example", "1", &end_ops, &e);
    stream_timeout(e.s, 80);
    WAIT(e.ends == 1);
    assert_int_equal(e.end, STREAM_TIMEOUT);
    assert_string_equal(e.detail, "no progress for 1 s while resolving the name");
    end_done(&e);
}

static void a_question_may_be_given_up(void **state)
{
    (void)state;
    struct end e = END_INIT;
    dns_is_silent = true;
    e.s = stream_connect(loop, "both.example", "1", &end_ops, &e);
    WAIT(n_questions == 2);
    stream_abort(e.s);
    turns(3);
    e.s = stream_connect(loop, "both.example", "1", &end_ops, &e);
    WAIT(n_questions == 4);
    stream_abort(e.s); /* and the loop goes before anything can come of it */
    e.s = NULL;
    assert_int_equal(e.ends, 0);
    end_done(&e);
}

int main(void)
{
#define DNSTEST(f) cmocka_unit_test_setup_teardown(f, dns_setup, dns_teardown)
    const struct CMUnitTest tests[] = {
        DNSTEST(names_become_addresses),
        DNSTEST(search_domains_are_not_tried),
        DNSTEST(files_that_change_are_read_again),
        DNSTEST(a_silent_name_server_is_not_waited_for_longer_than_allowed),
        DNSTEST(a_question_may_be_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
