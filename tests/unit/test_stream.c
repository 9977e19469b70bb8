#include "netkit.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

static void octets_go_both_ways(void **state)
{
    (void)state;
    struct end a = END_INIT, b = END_INIT;
    end_pair(&a, &b);
    say(&a, "hello");
    say(&b, "good ");
    say(&b, "day");
    WAIT(heard(&b, "hello") && heard(&a, "good day"));
    assert_int_equal(a.inputs, 1); /* two writes of one turn left as one */
    assert_int_equal(stream_output_pending(a.s), 0);
    assert_int_equal(a.drains, 1);
    assert_string_equal(stream_peer_address(a.s), "unix");
    assert_int_equal(stream_peer_port(a.s), 0);
    assert_false(stream_is_secure(a.s));
    end_done(&a);
    end_done(&b);
}

static void what_is_not_consumed_is_offered_again_with_more(void **state)
{
    (void)state;
    struct end a = END_INIT;
    int fd = end_and_socket(&a);
    a.appetite = 2;
    socket_send(fd, "abcde", 5);
    WAIT(a.inputs == 1);
    assert_true(heard(&a, "ab"));
    a.appetite = 3;
    socket_send(fd, "fgh", 3);
    WAIT(a.inputs == 2);
    assert_int_equal(a.offered, 6);
    assert_true(heard(&a, "abcde"));
    a.appetite = SIZE_MAX;
    socket_send(fd, "i", 1);
    WAIT(a.inputs == 3);
    assert_true(heard(&a, "abcdefghi"));
    end_done(&a);
    (void)close(fd);
}

static void pause_self(struct end *e)
{
    stream_pause(e->s);
}

/* Fills the socket until it takes no more; returns how many octets went in. */
static size_t stuff(int fd)
{
    static const char block[4096];
    size_t total = 0;
    ssize_t n;
    while ((n = send(fd, block, sizeof(block), MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
        total += (size_t)n;
    return total;
}

static void paused_it_holds_the_peer_back(void **state)
{
    (void)state;
    struct end a = END_INIT;
    int fd = end_and_socket(&a);
    a.after_input = pause_self;
    socket_send(fd, "x", 1);
    WAIT(a.inputs == 1);
    size_t sent = stuff(fd);
    turns(20);
    size_t more = stuff(fd);
    turns(20);
    assert_int_equal(stuff(fd), 0); /* what was read ahead has its maximum */
    assert_in_range(more, 0, 2 * STREAM_INPUT_MAX);
    assert_int_equal(a.inputs, 1);
    a.after_input = NULL;
    stream_resume(a.s);
    WAIT(a.got.len == sent + more + 1);
    end_done(&a);
    (void)close(fd);
}

static void paused_it_still_notices_a_reset(void **state)
{
    (void)state;
    struct end a = END_INIT;
    int fd = end_and_socket(&a);
    stream_pause(a.s);
    say(&a, "unread");
    WAIT(a.drains == 1);
    (void)close(fd); /* with octets unread, which is a reset */
    WAIT(a.ends == 1);
    assert_int_equal(a.end, STREAM_RESET);
    assert_string_equal(a.detail, strerror(ECONNRESET));
    end_done(&a);
}

/* EDG-22 in the small: what the peer said before it hung up is worth more than EPIPE. */
static void a_write_error_does_not_hide_the_last_words(void **state)
{
    (void)state;
    struct end a = END_INIT;
    int fd = end_and_socket(&a);
    socket_send(fd, "421 bye", 7);
    (void)close(fd);
    say(&a, "MAIL"); /* leaves at the end of the turn that has not read yet */
    WAIT(a.ends == 1);
    assert_true(heard(&a, "421 bye"));
    assert_int_equal(a.end, STREAM_RESET);
    assert_string_equal(a.detail, strerror(EPIPE));
    end_done(&a);
}

static void resuming_offers_what_was_left(void **state)
{
    (void)state;
    struct end a = END_INIT;
    int fd = end_and_socket(&a);
    a.appetite = 1;
    a.after_input = pause_self;
    socket_send(fd, "xyz", 3);
    WAIT(a.inputs == 1);
    a.appetite = SIZE_MAX;
    stream_resume(a.s);
    WAIT(a.inputs == 2);
    assert_true(heard(&a, "xyz"));
    end_done(&a);
    (void)close(fd);
}

static void the_end_of_input_waits_for_a_paused_user(void **state)
{
    (void)state;
    struct end a = END_INIT;
    int fd = end_and_socket(&a);
    a.appetite = 1;
    a.after_input = pause_self;
    socket_send(fd, "xyz", 3);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    WAIT(a.inputs == 1);
    turns(5);
    assert_int_equal(a.ends, 0);
    a.appetite = SIZE_MAX;
    a.after_input = NULL;
    stream_resume(a.s);
    WAIT(a.ends == 1);
    assert_true(heard(&a, "xyz"));
    assert_int_equal(a.end, STREAM_EOF);
    /* Half-closed: our answer still goes out. */
    say(&a, "221 bye");
    stream_close(a.s);
    a.s = NULL;
    turns(2);
    char reply[16];
    assert_int_equal(recv(fd, reply, sizeof(reply), 0), 7);
    assert_memory_equal(reply, "221 bye", 7);
    assert_int_equal(recv(fd, reply, sizeof(reply), 0), 0);
    end_done(&a);
    (void)close(fd);
}

static void output_has_a_maximum_and_says_when_it_has_left(void **state)
{
    (void)state;
    struct end a = END_INIT;
    int fd = end_and_socket(&a);
    static char block[64 * 1024];
    int r = 0;
    size_t taken = 0;
    while ((r = stream_write(a.s, block, sizeof(block))) == 0)
        taken += sizeof(block);
    assert_int_equal(r, -ENOBUFS);
    assert_int_equal(taken, STREAM_OUTPUT_MAX);
    turns(3);
    assert_int_equal(a.drains, 0);
    assert_true(stream_output_pending(a.s) > 0);
    for (size_t got = 0; got < taken;) {
        ssize_t n = recv(fd, block, sizeof(block), MSG_DONTWAIT);
        if (n > 0)
            got += (size_t)n;
        else
            turns(1);
    }
    WAIT(a.drains == 1);
    assert_int_equal(stream_output_pending(a.s), 0);
    end_done(&a);
    (void)close(fd);
}

static void time_runs_out_in_words(void **state)
{
    (void)state;
    static char block[STREAM_OUTPUT_MAX];
    struct end a = END_INIT;
    int fd = end_and_socket(&a);
    int64_t start = clock_monotonic_ms();
    stream_timeout(a.s, 50);
    WAIT(a.ends == 1);
    assert_true(clock_monotonic_ms() - start >= 50);
    assert_int_equal(a.end, STREAM_TIMEOUT);
    assert_string_equal(a.detail, "no progress for 1 s while waiting for input");
    /* The peer may still be told. */
    say(&a, "421");
    stream_close(a.s);
    a.s = NULL;
    turns(1);
    char reply[8];
    assert_int_equal(recv(fd, reply, sizeof(reply), 0), 3);
    end_done(&a);
    (void)close(fd);

    struct end b = END_INIT;
    fd = end_and_socket(&b);
    stream_timeout(b.s, 50);
    assert_int_equal(stream_write(b.s, block, sizeof(block)), 0);
    WAIT(b.ends == 1);
    assert_string_equal(b.detail, "no progress for 1 s while sending");
    assert_int_equal(stream_write(b.s, "x", 1), 0); /* into nothing */
    assert_int_equal(stream_output_pending(b.s), 0);
    end_done(&b);
    (void)close(fd);
}

struct ticker {
    struct loop_timer *timer;
    int fd, left;
};

static void tick(void *arg)
{
    struct ticker *t = arg;
    socket_send(t->fd, ".", 1);
    if (--t->left)
        loop_timer_set(t->timer, 40);
}

static void octets_put_the_end_off(void **state)
{
    (void)state;
    struct end a = END_INIT;
    struct ticker t = {.fd = end_and_socket(&a), .left = 5};
    t.timer = loop_timer_new(loop, tick, &t);
    loop_timer_set(t.timer, 40);
    int64_t start = clock_monotonic_ms();
    stream_timeout(a.s, 100);
    WAIT(a.ends == 1);
    assert_int_equal(a.got.len, 5);
    assert_true(clock_monotonic_ms() - start >= 5 * 36 + 100);
    loop_timer_free(t.timer);
    end_done(&a);
    (void)close(t.fd);
}

static void a_deadline_is_not_put_off(void **state)
{
    (void)state;
    struct end a = END_INIT, b = END_INIT;
    struct ticker t = {.fd = end_and_socket(&a), .left = 1000};
    int fd_b = end_and_socket(&b);
    t.timer = loop_timer_new(loop, tick, &t);
    loop_timer_set(t.timer, 40);
    stream_timeout(a.s, 3600 * 1000);
    stream_timeout(b.s, 3600 * 1000);
    stream_deadline(b.s, 60);
    stream_deadline(b.s, 0); /* taken back */
    stream_deadline(a.s, 150);
    assert_false(stream_is_overdue(a.s));
    WAIT(a.ends == 1);
    assert_int_equal(a.end, STREAM_TIMEOUT);
    assert_true(stream_is_overdue(a.s));
    assert_true(a.got.len >= 1);
    assert_true(t.left > 0);
    assert_int_equal(b.ends, 0);
    assert_false(stream_is_overdue(b.s));
    loop_timer_free(t.timer);
    end_done(&a);
    end_done(&b);
    (void)close(t.fd);
    (void)close(fd_b);
}

static void a_deadline_waits_while_we_are_to_act(void **state)
{
    (void)state;
    struct end a = END_INIT, b = END_INIT;
    int fd = end_and_socket(&a), fd_b = end_and_socket(&b);
    stream_timeout(a.s, 3600 * 1000);
    stream_timeout(b.s, 100);
    stream_deadline(a.s, 20);
    stream_pause(a.s);
    WAIT(b.ends == 1);
    assert_int_equal(a.ends, 0);
    stream_resume(a.s);
    WAIT(a.ends == 1);
    end_done(&a);
    end_done(&b);
    (void)close(fd);
    (void)close(fd_b);
}

static void a_shorter_timeout_counts_at_once_and_none_means_never(void **state)
{
    (void)state;
    struct end a = END_INIT, b = END_INIT;
    int fd = end_and_socket(&a), fd_b = end_and_socket(&b);
    stream_timeout(b.s, 20);
    stream_timeout(b.s, 0);
    stream_timeout(a.s, 3600 * 1000);
    stream_timeout(a.s, 60);
    WAIT(a.ends == 1);
    assert_int_equal(b.ends, 0);
    end_done(&a);
    end_done(&b);
    (void)close(fd);
    (void)close(fd_b);
}

static void a_paused_peer_is_not_blamed_for_our_delay(void **state)
{
    (void)state;
    struct end a = END_INIT, b = END_INIT;
    int fd = end_and_socket(&a), fd_b = end_and_socket(&b);
    stream_pause(a.s);
    stream_timeout(a.s, 20);
    stream_timeout(b.s, 100);
    WAIT(b.ends == 1);
    assert_int_equal(a.ends, 0);
    stream_resume(a.s);
    WAIT(a.ends == 1);
    end_done(&a);
    end_done(&b);
    (void)close(fd);
    (void)close(fd_b);
}

static void abort_self(struct end *e)
{
    stream_abort(e->s);
    e->s = NULL;
}

static void close_self(struct end *e)
{
    say(e, "bye");
    stream_close(e->s);
    e->s = NULL;
}

static void ending_it_inside_a_callback_is_fine(void **state)
{
    (void)state;
    static void (*const rows[])(struct end *) = {abort_self, close_self};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct end a = END_INIT;
        int fd = end_and_socket(&a);
        a.appetite = 1;
        a.after_input = rows[i];
        socket_send(fd, "xyz", 3);
        WAIT(a.inputs == 1);
        turns(3);
        assert_int_equal(a.inputs, 1);
        assert_int_equal(a.ends, 0);
        char reply[8];
        assert_int_equal(recv(fd, reply, sizeof(reply), 0), i ? 3 : 0);
        (void)close(fd);
        turns(3);
        end_done(&a);
    }
}

/* Unread octets at a close would make the kernel reset the connection and take our reply away. */
static void the_last_reply_survives_a_peer_that_goes_on_talking(void **state)
{
    (void)state;
    struct end a = END_INIT;
    int lfd, port;
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    char why[LISTENER_WHY_MAX];
    assert_int_equal(listener_bind("127.0.0.1:0", 5, &lfd, why), 0);
    assert_int_equal(getsockname(lfd, (struct sockaddr *)&sin, &len), 0);
    port = ntohs(sin.sin_port);
    (void)port;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    a.s = stream_accepted(loop, accept(lfd, NULL, NULL), &end_ops, &a);
    assert_string_equal(stream_peer_address(a.s), "127.0.0.1");
    say(&a, "421 go away");
    socket_send(fd, "EHLO x\r\n", 8);
    stream_close(a.s);
    a.s = NULL;
    turns(2);
    socket_send(fd, "NOOP\r\n", 6);
    turns(2);
    char reply[32];
    assert_int_equal(recv(fd, reply, sizeof(reply), 0), 11);
    assert_int_equal(recv(fd, reply, sizeof(reply), 0), 0);
    (void)close(fd);
    (void)close(lfd);
    end_done(&a);
}

static void a_stream_still_closing_goes_with_the_loop(void **state)
{
    (void)state;
    static char block[STREAM_OUTPUT_MAX];
    struct end a = END_INIT;
    int fd = end_and_socket(&a);
    assert_int_equal(stream_write(a.s, block, sizeof(block)), 0);
    stream_close(a.s);
    a.s = NULL;
    turns(2);
    end_done(&a);
    (void)close(fd);
}

/* Connecting */

static void accepted(void *arg, int fd)
{
    struct end *e = arg;
    e->s = stream_accepted(loop, fd, &end_ops, e);
    loop_stop(loop);
}

static struct listener *listen_somewhere(struct end *server, char port[8])
{
    int fd;
    struct sockaddr_in sin;
    socklen_t len = sizeof(sin);
    char why[LISTENER_WHY_MAX];
    assert_int_equal(listener_bind("127.0.0.1:0", 5, &fd, why), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
    (void)snprintf(port, 8, "%d", ntohs(sin.sin_port));
    return listener_start(loop, fd, accepted, server);
}

static void it_connects_to_names_and_literals(void **state)
{
    (void)state;
    static const char *const hosts[] = {"127.0.0.1", "localhost", "LocalHost.", "::ffff:127.0.0.1"};
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        struct end server = END_INIT, client = END_INIT;
        char port[8];
        struct listener *ls = listen_somewhere(&server, port);
        client.s = stream_connect(loop, hosts[i], port, &end_ops, &client);
        say(&client, "early"); /* waits for the connection */
        assert_int_equal(client.connects, 0);
        WAIT(client.connects == 1 && server.s && server.got.len);
        check(hosts[i], heard(&server, "early"));
        assert_string_equal(stream_peer_address(client.s), "127.0.0.1");
        assert_int_equal(stream_peer_port(client.s), atoi(port));
        end_done(&client);
        end_done(&server);
        listener_free(ls);
    }
}

static void failing_to_connect_says_what_was_tried(void **state)
{
    (void)state;
    struct end unused = END_INIT;
    char port[8], want[128];
    listener_free(listen_somewhere(&unused, port)); /* a port where nobody listens now */
    (void)snprintf(want, sizeof(want), "localhost:%s: 127.0.0.1: Connection refused; ::1: ", port);
    const struct {
        const char *host, *port, *want;
    } rows[] = {
        {"localhost", port,   want                                                      },
        {"127.0.0.1", "smtp", "127.0.0.1:smtp: the port is not a number from 1 to 65535"},
        {"127.0.0.1", "0",    "127.0.0.1:0: the port is not a number from 1 to 65535"   },
        {"",          "25",   ":25: "                                                   },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct end e = END_INIT;
        e.s = stream_connect(loop, rows[i].host, rows[i].port, &end_ops, &e);
        WAIT(e.ends == 1);
        check(rows[i].host, e.end == STREAM_NO_CONNECT);
        if (strncmp(e.detail, rows[i].want, strlen(rows[i].want)) != 0)
            fail_msg("%s: %s", rows[i].host, e.detail);
        end_done(&e);
    }
}

/* Whether there is a name server here or not. */
static void resolving_is_under_the_timeout(void **state)
{
    (void)state;
    struct end e = END_INIT;
    e.s = stream_connect(loop, "name.invalid", "25", &end_ops, &e);
    stream_timeout(e.s, 60);
    WAIT(e.ends == 1);
    if (e.end == STREAM_TIMEOUT)
        assert_string_equal(e.detail, "no progress for 1 s while resolving the name");
    else
        assert_int_equal(e.end, STREAM_NO_CONNECT);
    end_done(&e);
}

static void a_connection_may_be_given_up_while_it_is_made(void **state)
{
    (void)state;
    struct end e = END_INIT;
    static const char *const hosts[] = {"127.0.0.1", "localhost", "name.invalid"};
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        for (int wait = 0; wait < 3; wait++) {
            e.s = stream_connect(loop, hosts[i], "9", &end_ops, &e);
            turns(wait);
            stream_close(e.s);
            e.s = NULL;
        }
    }
    turns(3);
    end_done(&e);
}

static void it_connects_to_unix_sockets(void **state)
{
    (void)state;
    struct end server = END_INIT, client = END_INIT;
    char path[128], address[160], why[LISTENER_WHY_MAX];
    int fd;
    netkit_dir_make();
    (void)snprintf(path, sizeof(path), "%s/sock", netkit_dir);
    (void)snprintf(address, sizeof(address), "unix:%s", path);
    assert_int_equal(listener_bind(address, 5, &fd, why), 0);
    struct listener *ls = listener_start(loop, fd, accepted, &server);
    client.s = stream_connect_unix(loop, path, &end_ops, &client);
    WAIT(client.connects == 1 && server.s);
    assert_string_equal(stream_peer_address(server.s), "unix");
    listener_free(ls);
    end_done(&server);
    end_done(&client);

    char long_path[200] = {0};
    memset(long_path, 'x', sizeof(long_path) - 1);
    const struct {
        const char *path, *want;
    } rows[] = {
        {path,                "Connection refused"                 },
        {"/nonexistent/sock", "No such file or directory"          },
        {long_path,           "a socket's path has 1 to 107 octets"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct end e = END_INIT;
        e.s = stream_connect_unix(loop, rows[i].path, &end_ops, &e);
        WAIT(e.ends == 1);
        check(rows[i].path, e.end == STREAM_NO_CONNECT && strstr(e.detail, rows[i].want));
        end_done(&e);
    }
    (void)unlink(path);
    netkit_dir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NETTEST(octets_go_both_ways),
        NETTEST(what_is_not_consumed_is_offered_again_with_more),
        NETTEST(paused_it_holds_the_peer_back),
        NETTEST(paused_it_still_notices_a_reset),
        NETTEST(a_write_error_does_not_hide_the_last_words),
        NETTEST(resuming_offers_what_was_left),
        NETTEST(the_end_of_input_waits_for_a_paused_user),
        NETTEST(output_has_a_maximum_and_says_when_it_has_left),
        NETTEST(time_runs_out_in_words),
        NETTEST(octets_put_the_end_off),
        NETTEST(a_deadline_is_not_put_off),
        NETTEST(a_deadline_waits_while_we_are_to_act),
        NETTEST(a_shorter_timeout_counts_at_once_and_none_means_never),
        NETTEST(a_paused_peer_is_not_blamed_for_our_delay),
        NETTEST(ending_it_inside_a_callback_is_fine),
        NETTEST(the_last_reply_survives_a_peer_that_goes_on_talking),
        NETTEST(a_stream_still_closing_goes_with_the_loop),
        NETTEST(it_connects_to_names_and_literals),
        NETTEST(failing_to_connect_says_what_was_tried),
        NETTEST(resolving_is_under_the_timeout),
        NETTEST(a_connection_may_be_given_up_while_it_is_made),
        NETTEST(it_connects_to_unix_sockets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
