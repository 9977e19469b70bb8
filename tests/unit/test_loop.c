#include "unit.h"

#include "base/clock.h"
#include "base/str.h"
#include "net/loop.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>

/* A task that writes its letter down, and may stop the loop. */
struct letter {
    struct loop_task task;
    char c;
    struct loop *loop;
    struct letter *then_defer;
    bool then_stop;
};

static char written[64];
static size_t n_written;

static void write_letter(struct loop_task *task)
{
    struct letter *l = container_of(task, struct letter, task);
    written[n_written++] = l->c;
    written[n_written] = '\0';
    if (l->then_defer)
        loop_defer(l->loop, &l->then_defer->task);
    if (l->then_stop)
        loop_stop(l->loop);
}

static struct letter letter(struct loop *l, char c)
{
    return (struct letter){.task.run = write_letter, .c = c, .loop = l};
}

static int setup(void **state)
{
    n_written = 0;
    struct loop *l;
    assert_int_equal(loop_new(&l), 0);
    *state = l;
    return 0;
}

static int teardown(void **state)
{
    loop_free(*state);
    return 0;
}

static void tasks_run_in_the_order_given(void **state)
{
    struct loop *l = *state;
    struct letter a = letter(l, 'a'), b = letter(l, 'b'), c = letter(l, 'c');
    c.then_stop = true;
    loop_post(l, &a.task);
    loop_post(l, &b.task);
    loop_post(l, &c.task);
    loop_run(l);
    assert_string_equal(written, "abc");
}

static void deferred_tasks_come_after_the_callbacks_of_the_turn(void **state)
{
    struct loop *l = *state;
    struct letter a = letter(l, 'a'), b = letter(l, 'b'), late = letter(l, 'z');
    a.then_defer = &late;
    late.then_stop = true;
    loop_post(l, &a.task);
    loop_post(l, &b.task);
    loop_run(l);
    assert_string_equal(written, "abz");
}

static void what_a_deferred_task_defers_runs_too(void **state)
{
    struct loop *l = *state;
    struct letter a = letter(l, 'a'), b = letter(l, 'b');
    a.then_defer = &b;
    b.then_stop = true;
    loop_defer(l, &a.task);
    loop_run(l);
    assert_string_equal(written, "ab");
}

static void a_stop_before_the_run_is_not_lost(void **state)
{
    struct loop *l = *state;
    loop_stop(l);
    loop_run(l);
    struct letter a = letter(l, 'a');
    a.then_stop = true;
    loop_post(l, &a.task); /* and it stops one run only */
    loop_run(l);
    assert_string_equal(written, "a");
}

static void freeing_runs_what_was_posted(void **state)
{
    (void)state;
    struct loop *l;
    n_written = 0;
    assert_int_equal(loop_new(&l), 0);
    struct letter a = letter(l, 'a'), b = letter(l, 'b');
    a.then_defer = &b;
    loop_post(l, &a.task);
    loop_free(l);
    assert_string_equal(written, "ab");
    loop_free(NULL);
}

#define POSTERS 4
#define POSTS 2000

struct poster {
    struct loop *loop;
    struct post {
        struct loop_task task;
        struct poster *from;
        int number;
    } posts[POSTS];
    int next; /* touched by the loop's thread only */
};

static int posts_left;

static void post_arrived(struct loop_task *task)
{
    struct post *p = container_of(task, struct post, task);
    assert_int_equal(p->number, p->from->next);
    p->from->next++;
    if (--posts_left == 0)
        loop_stop(p->from->loop);
}

static void *post_all(void *arg)
{
    struct poster *from = arg;
    for (int i = 0; i < POSTS; i++) {
        from->posts[i] = (struct post){.task.run = post_arrived, .from = from, .number = i};
        loop_post(from->loop, &from->posts[i].task);
    }
    return NULL;
}

static void posts_of_other_threads_arrive_each_in_order(void **state)
{
    struct loop *l = *state;
    pthread_t threads[POSTERS];
    struct poster *posters = xcalloc(POSTERS, sizeof(*posters));
    posts_left = POSTERS * POSTS;
    for (int i = 0; i < POSTERS; i++) {
        posters[i].loop = l;
        assert_int_equal(pthread_create(&threads[i], NULL, post_all, &posters[i]), 0);
    }
    loop_run(l);
    for (int i = 0; i < POSTERS; i++)
        (void)pthread_join(threads[i], NULL);
    assert_int_equal(posts_left, 0);
    free(posters);
}

static void *stop_it(void *arg)
{
    loop_stop(arg);
    return NULL;
}

static void another_thread_may_stop_it(void **state)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, stop_it, *state), 0);
    loop_run(*state);
    (void)pthread_join(thread, NULL);
}

struct alarm {
    struct loop *loop;
    int64_t at;
    int count;
};

static void ring(void *arg)
{
    struct alarm *a = arg;
    a->at = clock_monotonic_ms();
    a->count++;
    loop_stop(a->loop);
}

static void never(void *arg)
{
    (void)arg;
    fail_msg("a cancelled timer fired");
}

static void timers_fire_once_and_can_be_moved_and_cancelled(void **state)
{
    struct loop *l = *state;
    struct alarm a = {.loop = l};
    struct loop_timer *t = loop_timer_new(l, ring, &a), *u = loop_timer_new(l, never, NULL);
    int64_t start = clock_monotonic_ms();
    loop_timer_set(u, 1);
    loop_timer_set(t, 3600 * 1000);
    loop_timer_set(t, 40);
    loop_timer_cancel(u);
    loop_run(l);
    assert_int_equal(a.count, 1);
    assert_true(a.at - start >= 30); /* the loop's clock is a coarse one */
    loop_timer_set(t, 0);
    loop_run(l);
    assert_int_equal(a.count, 2);
    loop_timer_set(t, 10);
    loop_timer_free(t);
    loop_timer_free(u);
    loop_timer_free(NULL);
}

static int got_signal;

static void note_signal(void *arg, int signo)
{
    got_signal = signo;
    loop_stop(arg);
}

static void signals_come_to_the_loop(void **state)
{
    struct loop *l = *state;
    static const int wanted[] = {SIGUSR1, SIGUSR2, 0};
    assert_int_equal(loop_signals(l, wanted, note_signal, l), 0);
    for (const int *signo = wanted; *signo; signo++) {
        got_signal = 0;
        (void)raise(*signo);
        loop_run(l);
        assert_int_equal(got_signal, *signo);
    }
}

int main(void)
{
#define WITH_LOOP(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_LOOP(tasks_run_in_the_order_given),
        WITH_LOOP(deferred_tasks_come_after_the_callbacks_of_the_turn),
        WITH_LOOP(what_a_deferred_task_defers_runs_too),
        WITH_LOOP(a_stop_before_the_run_is_not_lost),
        cmocka_unit_test(freeing_runs_what_was_posted),
        WITH_LOOP(posts_of_other_threads_arrive_each_in_order),
        WITH_LOOP(another_thread_may_stop_it),
        WITH_LOOP(timers_fire_once_and_can_be_moved_and_cancelled),
        WITH_LOOP(signals_come_to_the_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
