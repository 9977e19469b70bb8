#include "unit.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 4
#define LINES 2000

static int ends[2]; /* a pipe: what is read, what is logged to */

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(pipe(ends), 0);
    log_set_fd(ends[1]);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    log_set_fd(STDERR_FILENO);
    (void)close(ends[0]);
    (void)close(ends[1]);
    return 0;
}

static void say(int64_t who, int64_t number)
{
    struct log_line l;
    log_begin(&l, LOG_LEVEL_INFO, "said");
    log_number(&l, "who", who);
    log_number(&l, "number", number);
    log_end(&l);
}

static void *say_many(void *arg)
{
    for (int64_t i = 0; i < LINES; i++)
        say(*(int *)arg, i);
    return NULL;
}

static void *stop(void *arg)
{
    (void)arg;
    log_thread_stop();
    (void)close(ends[1]);
    ends[1] = -1;
    return NULL;
}

static void lines_are_whole_and_in_order(void **state)
{
    (void)state;
    assert_int_equal(log_thread_start(), 0);
    pthread_t threads[THREADS], stopper;
    int who[THREADS];
    int64_t next[THREADS] = {0};
    FILE *in = fdopen(dup(ends[0]), "r");
    for (int i = 0; i < THREADS; i++) {
        who[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, say_many, &who[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    assert_int_equal(pthread_create(&stopper, NULL, stop, NULL), 0);
    char line[LOG_LINE_MAX];
    unsigned n = 0;
    for (; fgets(line, sizeof(line), in); n++) {
        long from = -1, number = -1;
        assert_non_null(strstr(line, " info said who="));
        assert_int_equal(sscanf(strstr(line, "who="), "who=%ld number=%ld\n", &from, &number), 2);
        assert_in_range(from, 0, THREADS - 1);
        assert_int_equal(number, next[from]++);
    }
    assert_int_equal(n, THREADS * LINES);
    (void)fclose(in);
    (void)pthread_join(stopper, NULL);
}

/* Nobody reads: whoever logs goes on, and what found no room is counted. */
static void nobody_waits_for_the_log(void **state)
{
    (void)state;
    enum { MANY = 100000 };
    assert_int_equal(log_thread_start(), 0);
    for (int i = 0; i < MANY; i++)
        say(1, i);
    FILE *in = fdopen(dup(ends[0]), "r");
    pthread_t stopper;
    assert_int_equal(pthread_create(&stopper, NULL, stop, NULL), 0);
    char line[LOG_LINE_MAX];
    long said = 0, lost = 0;
    while (fgets(line, sizeof(line), in)) {
        long n = 0;
        if (strstr(line, " warning log-lost lines=")) {
            assert_int_equal(sscanf(strstr(line, "lines="), "lines=%ld", &n), 1);
            lost += n;
        } else {
            assert_non_null(strstr(line, " said who=1 number="));
            said++;
        }
    }
    assert_true(lost > 0);
    assert_int_equal(said + lost, MANY);
    (void)fclose(in);
    (void)pthread_join(stopper, NULL);
}

/* The reader is there but does not read: we end all the same. */
static void the_end_does_not_wait_for_a_reader(void **state)
{
    (void)state;
    assert_int_equal(log_thread_start(), 0);
    for (int i = 0; i < 5000; i++)
        say(1, i);
    int64_t began = clock_monotonic_ms();
    log_thread_stop();
    assert_true(clock_monotonic_ms() - began < 30000);

}

static void what_waits_is_written_when_the_process_falls(void **state)
{
    (void)state;
    static const int numbers[] = {SIGABRT, SIGBUS};
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            const struct rlimit none = {0, 0};
            (void)setrlimit(RLIMIT_CORE, &none);
            (void)signal(numbers[i], SIG_DFL);
            if (log_thread_start() < 0)
                _exit(1);
            say(7, (int64_t)i);
            (void)raise(numbers[i]);
            _exit(2);
        }
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == numbers[i]);
        char line[LOG_LINE_MAX] = "";
        char want[32];
        (void)snprintf(want, sizeof(want), "who=7 number=%zu\n", i);
        assert_true(read(ends[0], line, sizeof(line) - 1) > 0);
        assert_non_null(strstr(line, want));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_are_whole_and_in_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nobody_waits_for_the_log, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_end_does_not_wait_for_a_reader, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_waits_is_written_when_the_process_falls, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
