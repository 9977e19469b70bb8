#include "netkit.h"

#include "base/log.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/un.h>

static int port_of(int fd)
{
    struct sockaddr_in sin;
    socklen_t len = sizeof(sin);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
    return ntohs(sin.sin_port);
}

static int dial(int port)
{
    struct sockaddr_in sin = {.sin_family = AF_INET,
                              .sin_port = htons((uint16_t)port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
    return fd;
}

static void wrong_addresses_are_explained(void **state)
{
    (void)state;
    static const struct {
        const char *address;
        int error;
        const char *why;
    } rows[] = {
        {"",                       -EINVAL,        "no port number; write for example 127.0.0.1:587"},
        {"587",                    -EINVAL,        "no port number"                                 },
        {"127.0.0.1:",             -EINVAL,        "no port number"                                 },
        {"127.0.0.1:65536",        -EINVAL,        "no port number"                                 },
        {"127.0.0.1:smtp",         -EINVAL,        "no port number"                                 },
        {"localhost:587",          -EINVAL,        "not an address; write 127.0.0.1:587"            },
        {"::1:587",                -EINVAL,        "not an address"                                 },
        {"[::1:587",               -EINVAL,        "not an address"                                 },
        {"[]:587",                 -EINVAL,        "not an address"                                 },
        {"[*]:587",                -EINVAL,        "not an address"                                 },
        {":587",                   -EINVAL,        "not an address"                                 },
        {"unix:",                  -EINVAL,        "has 1 to 107 octets"                            },
        {"unix:/nonexistent/sock", -ENOENT,        "No such file or directory"                      },
        {"192.0.2.1:0",            -EADDRNOTAVAIL, "this machine does not have that address"        },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int fd = -1;
        char why[LISTENER_WHY_MAX] = "";
        check(rows[i].address, listener_bind(rows[i].address, 5, &fd, why) == rows[i].error);
        check(rows[i].address, fd == -1);
        if (!strstr(why, rows[i].why))
            fail_msg("%s: %s", rows[i].address, why);
    }
}

static void right_addresses_are_bound(void **state)
{
    (void)state;
    static const char *const rows[] = {"127.0.0.1:0", "[::1]:0", "*:0", "0.0.0.0:0", "[::]:0"};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int fd = -1;
        char why[LISTENER_WHY_MAX];
        int r = listener_bind(rows[i], 5, &fd, why);
        if (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL)
            continue; /* no IPv6 here */
        check(rows[i], r == 0);
        assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        (void)close(fd);
    }
}

static void several_loops_share_a_port_and_strangers_do_not(void **state)
{
    (void)state;
    int first, second, each[3];
    char why[LISTENER_WHY_MAX], address[32], want[128];
    assert_int_equal(listener_bind("127.0.0.1:0", 5, &first, why), 0);
    (void)snprintf(address, sizeof(address), "127.0.0.1:%d", port_of(first));
    assert_int_equal(listener_bind(address, 5, &second, why), 0);
    (void)close(second);
    /* A second server of the same user. */
    assert_int_equal(listener_bind_each(address, 5, each, 3, why), -EADDRINUSE);
    (void)snprintf(want, sizeof(want),
                   "%s: port %d is in use by another program (ss -ltnp shows which)", address,
                   port_of(first));
    assert_string_equal(why, want);
    (void)close(first);
    assert_int_equal(listener_bind_each(address, 5, each, 3, why), 0);
    for (size_t i = 0; i < ARRAY_LEN(each); i++)
        (void)close(each[i]);

    /* Another program that shares with nobody. */
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int alone = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(alone, (struct sockaddr *)&sin, sizeof(sin)), 0);
    assert_int_equal(listen(alone, 5), 0);
    (void)snprintf(address, sizeof(address), "*:%d", port_of(alone));
    assert_int_equal(listener_bind(address, 5, &first, why), -EADDRINUSE);
    (void)close(alone);
}

static void a_stale_socket_file_is_replaced_a_live_one_is_not(void **state)
{
    (void)state;
    char path[100], address[128], why[LISTENER_WHY_MAX], want[160];
    int fd, each[2];
    netkit_dir_make();
    (void)snprintf(path, sizeof(path), "%s/sock", netkit_dir);
    (void)snprintf(address, sizeof(address), "unix:%s", path);
    assert_int_equal(listener_bind(address, 5, &fd, why), 0);
    assert_int_equal(listener_bind_each(address, 5, each, 2, why), -EADDRINUSE);
    (void)snprintf(want, sizeof(want), "%s is in use by another program", address);
    assert_string_equal(why, want);
    (void)close(fd);
    assert_int_equal(listener_bind_each(address, 5, each, 2, why), 0);
    (void)close(each[0]);
    (void)close(each[1]);
    (void)unlink(path);
    /* What is no socket is somebody's file. */
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    (void)close(fd);
    assert_int_equal(listener_bind(address, 5, &fd, why), -EADDRINUSE);
    assert_int_equal(access(path, F_OK), 0);
    (void)unlink(path);
    netkit_dir_remove();
}

struct door {
    struct listener *ls;
    int fds[64];
    int count;
    bool close_after_one, time_is_up;
};

static void enter(void *arg, int fd)
{
    struct door *d = arg;
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    d->fds[d->count++] = fd;
    if (d->close_after_one)
        listener_free(d->ls);
    loop_stop(loop);
}

static int open_door(struct door *d)
{
    int fd;
    char why[LISTENER_WHY_MAX];
    assert_int_equal(listener_bind("127.0.0.1:0", 5, &fd, why), 0);
    d->ls = listener_start(loop, fd, enter, d);
    return port_of(fd);
}

static void connections_are_handed_over(void **state)
{
    (void)state;
    struct door d = {.count = 0};
    int port = open_door(&d);
    assert_int_equal(listener_port(d.ls), port);
    int clients[3] = {dial(port), dial(port), dial(port)};
    WAIT(d.count == 3);
    for (int i = 0; i < 3; i++) {
        (void)close(clients[i]);
        (void)close(d.fds[i]);
    }
    listener_free(d.ls);
    listener_free(NULL);
}

static void it_may_be_freed_in_its_own_callback(void **state)
{
    (void)state;
    struct door d = {.close_after_one = true};
    int port = open_door(&d);
    int clients[2] = {dial(port), dial(port)};
    WAIT(d.count == 1);
    turns(3);
    assert_int_equal(d.count, 1);
    for (int i = 0; i < 2; i++)
        (void)close(clients[i]);
    (void)close(d.fds[0]);
}

#define SEVERAL_PAUSES_MS 500

static void time_is_up(void *arg)
{
    struct door *d = arg;
    d->time_is_up = true;
    loop_stop(loop);
}

static int64_t cpu_ms(void)
{
    struct rusage ru;
    assert_int_equal(getrusage(RUSAGE_SELF, &ru), 0);
    return (ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000 +
           (ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1000;
}

static void out_of_descriptors_it_waits_and_says_so_once(void **state)
{
    (void)state;
    struct door d = {.count = 0};
    int client = dial(open_door(&d)), log[2];
    assert_int_equal(pipe2(log, O_CLOEXEC | O_NONBLOCK), 0);
    log_set_fd(log[1]);
    struct rlimit was, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    none = was;
    none.rlim_cur = (rlim_t)log[1] + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    char text[1024];
    ssize_t n;
    while ((n = read(log[0], text, sizeof(text) - 1)) < 0)
        turns(1);
    int64_t cpu = cpu_ms();
    struct loop_timer *t = loop_timer_new(loop, time_is_up, &d);
    loop_timer_set(t, SEVERAL_PAUSES_MS);
    WAIT(d.time_is_up);
    loop_timer_free(t);
    assert_true(cpu_ms() - cpu < SEVERAL_PAUSES_MS / 2); /* it does not try all the time */
    assert_int_equal(d.count, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    WAIT(d.count == 1);
    text[n] = '\0';
    assert_non_null(strstr(text, "warning accept-paused message=\"cannot accept connections: "));
    assert_non_null(strstr(text, "LimitNOFILE"));
    assert_true(read(log[0], text, sizeof(text)) < 0);
    log_set_fd(STDERR_FILENO);
    (void)close(log[0]);
    (void)close(log[1]);
    (void)close(client);
    (void)close(d.fds[0]);
    listener_free(d.ls);
}

#define CROWD 40
#define SPARE 24 /* descriptors that are left once the crowd stands at the door */

static void let_time_pass(struct door *d)
{
    struct loop_timer *t = loop_timer_new(loop, time_is_up, d);
    d->time_is_up = false;
    loop_timer_set(t, SEVERAL_PAUSES_MS);
    WAIT(d->time_is_up);
    loop_timer_free(t);
}

/* A crowd at the door leaves the last quarter of the descriptors alone, and gets in as others go. */
static void the_rest_of_the_program_keeps_some_descriptors(void **state)
{
    (void)state;
    struct door d = {.count = 0};
    char why[LISTENER_WHY_MAX];
    int bound, clients[CROWD], quiet = open("/dev/null", O_WRONLY | O_CLOEXEC);
    struct rlimit was, few;
    assert_int_equal(listener_bind("127.0.0.1:0", CROWD, &bound, why), 0);
    for (int i = 0; i < CROWD; i++)
        clients[i] = dial(port_of(bound));
    int next = dup(bound);
    (void)close(next);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    few = was;
    few.rlim_cur = (rlim_t)next + SPARE;
    int ceiling = (int)few.rlim_cur - (int)few.rlim_cur / 4;
    assert_in_range(ceiling, next, next + SPARE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    log_set_fd(quiet);
    d.ls = listener_start(loop, bound, enter, &d);
    int inside = ceiling - next + 1; /* the one that touches the ceiling is served, too */
    WAIT(d.count == inside);
    let_time_pass(&d);
    assert_int_equal(d.count, inside);
    for (int i = 0; i < 3; i++)
        (void)close(d.fds[i]);
    let_time_pass(&d);
    assert_int_equal(d.count, inside + 3 + 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    log_set_fd(STDERR_FILENO);
    listener_free(d.ls);
    for (int i = 3; i < d.count; i++)
        (void)close(d.fds[i]);
    for (int i = 0; i < CROWD; i++)
        (void)close(clients[i]);
    (void)close(quiet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_addresses_are_explained),
        cmocka_unit_test(right_addresses_are_bound),
        cmocka_unit_test(several_loops_share_a_port_and_strangers_do_not),
        cmocka_unit_test(a_stale_socket_file_is_replaced_a_live_one_is_not),
        NETTEST(connections_are_handed_over),
        NETTEST(it_may_be_freed_in_its_own_callback),
        NETTEST(out_of_descriptors_it_waits_and_says_so_once),
        NETTEST(the_rest_of_the_program_keeps_some_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
