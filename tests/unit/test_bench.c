/* The instruments themselves: would they notice? */
#include "unit.h"

#include "bench/histogram.h"
#include "bench/stamp.h"
#include "bench/usage.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* ---- histogram ---- */

static void test_histogram_empty(void **state)
{
    (void)state;
    struct histogram h = {0};
    assert_int_equal(histogram_percentile(&h, 50), 0);
    assert_int_equal(histogram_mean(&h), 0);
}

static void test_histogram_precision(void **state)
{
    (void)state;
    static const int64_t values[] = {0,    1,    63,    64,     127,       128,        129,
                                     1000, 4095, 65537, 999999, 123456789, 86400000000};
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        struct histogram h = {0};
        char row[32];
        (void)snprintf(row, sizeof(row), "%lld", (long long)values[i]);
        histogram_add(&h, values[i]);
        histogram_add(&h, INT64_MAX / 4); /* so that the maximum does not hide it */
        int64_t got = histogram_percentile(&h, 50);
        check(row, got >= values[i]);
        check(row, (double)(got - values[i]) <= (double)values[i] / 64);
    }
}

static void test_histogram_percentiles(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        double percent;
        int64_t want;
    } rows[] = {
        {"lowest",  0,    1  },
        {"middle",  50,   50 },
        {"ninety",  90,   90 },
        {"almost",  99,   99 },
        {"highest", 100,  100},
        {"between", 89.5, 90 },
    };
    struct histogram h = {0};
    for (int64_t us = 100; us > 0; us--)
        histogram_add(&h, us);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check(rows[i].name, histogram_percentile(&h, rows[i].percent) == rows[i].want);
    assert_int_equal(histogram_mean(&h), 50);
    histogram_add(&h, -5);
    assert_int_equal(histogram_percentile(&h, 0), 0);
}

/* ---- stamp ---- */

static const struct stamp_header header = {
    .date = "Thu, 01 Oct 2026 12:00:00 +0000", .from = "a@example.org", .to = "b@example.org"};

static void test_stamp_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t size;
        int want;
    } rows[] = {
        {"too small",      STAMP_SIZE_MIN - 1, -EINVAL},
        {"smallest",       STAMP_SIZE_MIN,     0      },
        {"odd",            STAMP_SIZE_MIN + 1, 0      },
        {"usual",          4096,               0      },
        {"one more",       4097,               0      },
        {"several pieces", 300001,             0      },
        {"too large",      STAMP_SIZE_MAX + 1, -EINVAL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct stamp_text t;
        check(rows[i].name, stamp_text_make(&t, rows[i].size, &header) == rows[i].want);
        if (rows[i].want < 0)
            continue;
        check(rows[i].name, t.text.len == rows[i].size);
        check(rows[i].name, memcmp(t.text.data + t.text.len - 2, "\r\n", 2) == 0);
        for (size_t k = 0; k < t.text.len; k++)
            check(rows[i].name, (t.text.data[k] == '\n') == (k > 0 && t.text.data[k - 1] == '\r'));
        stamp_text_done(&t);
    }
}

static void test_stamp_is_found_again(void **state)
{
    (void)state;
    struct stamp_text t;
    struct stamp in = {.run = 0xdeadbeef, .number = 123456789012, .sent_us = 987654321}, out = {0};
    assert_int_equal(stamp_text_make(&t, 1024, &header), 0);
    stamp_put(&t, &in);
    struct buf relayed = BUF_INIT(4096); /* as a server hands it on */
    assert_int_equal(buf_puts(&relayed, "Received: from x by y; now\r\n"), 0);
    assert_int_equal(buf_append_str(&relayed, buf_str(&t.text)), 0);
    assert_int_equal(stamp_find(buf_str(&relayed), &out), 0);
    assert_int_equal(out.run, in.run);
    assert_int_equal(out.number, in.number);
    assert_int_equal(out.sent_us, in.sent_us);
    /* cut anywhere before its end it is not there yet, and no octet behind the cut is read */
    for (size_t len = 0; len < 90; len++) {
        char *cut = malloc(len + 1);
        assert_non_null(cut);
        memcpy(cut, relayed.data, len);
        char *exact = realloc(cut, MAX(len, (size_t)1));
        assert_int_equal(stamp_find((struct str){exact, len}, &out), -EAGAIN);
        free(exact);
    }
    buf_done(&relayed);
    stamp_text_done(&t);
}

static void test_stamp_nonsense(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        "Subject: no stamp\r\n\r\n",
        "Message-ID: <postern-bench-zzzzzzzz-0000000000000001-0000000000000002@bench.invalid>\r\n",
        "Message-ID: <postern-bench-00000000x0000000000000001-0000000000000002@bench.invalid>\r\n",
        "Message-ID: <postern-bench-00000000-00000000000000 1-0000000000000002@bench.invalid>\r\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct stamp s;
        check(rows[i], stamp_find(str_of(rows[i]), &s) == -EAGAIN);
    }
}

/* ---- usage ---- */

static volatile unsigned spun;

static void burn(int64_t us)
{
    int64_t until = usage_own_cpu_us() + us;
    while (usage_own_cpu_us() < until)
        spun++;
}

static void test_usage_process(void **state)
{
    (void)state;
    struct usage u = {0};
    int64_t before, after;
    struct usage_memory memory;
    assert_int_equal(usage_watch(&u, (struct usage_target){.kind = USAGE_PROCESS, .pid = getpid()}),
                     0);
    assert_int_equal(usage_cpu_us(&u, &before), 0);
    burn(30000);
    assert_int_equal(usage_cpu_us(&u, &after), 0);
    assert_true(after - before >= 30000);
    assert_int_equal(usage_memory(&u, &memory), 0);
    assert_int_equal(memory.processes, 1);
    assert_true(memory.rss_kib > 0 && memory.pss_kib > 0 && memory.pss_kib <= memory.rss_kib);
}

/* A child that lives and one that ended both count for the tree, and neither for the process. */
static void test_usage_tree(void **state)
{
    (void)state;
    struct usage tree = {0}, process = {0};
    int64_t tree_before, tree_after, own_before, own_after;
    assert_int_equal(usage_watch(&tree, (struct usage_target){.kind = USAGE_TREE, .pid = getpid()}),
                     0);
    assert_int_equal(
        usage_watch(&process, (struct usage_target){.kind = USAGE_PROCESS, .pid = getpid()}), 0);
    assert_int_equal(usage_cpu_us(&tree, &tree_before), 0);
    assert_int_equal(usage_cpu_us(&process, &own_before), 0);
    pid_t ended = fork();
    if (ended == 0) {
        burn(100000);
        _exit(0);
    }
    assert_int_equal(waitpid(ended, NULL, 0), ended);
    int done[2], stay[2];
    assert_int_equal(pipe(done), 0);
    assert_int_equal(pipe(stay), 0);
    pid_t living = fork();
    if (living == 0) {
        char c;
        (void)close(stay[1]);
        burn(100000);
        _exit(write(done[1], "x", 1) == 1 && read(stay[0], &c, 1) == 0 ? 0 : 1);
    }
    char c;
    assert_int_equal(read(done[0], &c, 1), 1);
    struct usage_memory memory;
    assert_int_equal(usage_cpu_us(&tree, &tree_after), 0);
    assert_int_equal(usage_cpu_us(&process, &own_after), 0);
    assert_int_equal(usage_memory(&tree, &memory), 0);
    (void)close(stay[1]);
    assert_int_equal(waitpid(living, NULL, 0), living);
    assert_true(tree_after - tree_before >= 180000); /* the dead are accounted for in ticks */
    assert_true(own_after - own_before < 100000);
    assert_int_equal(memory.processes, 2);
    for (int i = 0; i < 2; i++) {
        (void)close(done[i]);
        if (i == 0)
            (void)close(stay[i]);
    }
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    (void)fclose(f);
}

static void remove_file(const char *dir, const char *name)
{
    char path[256];
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    (void)unlink(path);
}

static void test_usage_cgroup(void **state)
{
    (void)state;
    static const struct {
        const char *name, *file, *text;
        int want;
        int64_t us;
    } rows[] = {
        {"version 1",  "cpuacct.usage", "123456789\n",                        0,        123456},
        {"version 2",  "cpu.stat",      "user_usec 5\nusage_usec 777\nx 1\n", 0,        777   },
        {"first line", "cpu.stat",      "usage_usec 42\n",                    0,        42    },
        {"no number",  "cpu.stat",      "user_usec 5\n",                      -ENODATA, 0     },
        {"no file",    "other",         "",                                   -ENOENT,  0     },
    };
    char dir[] = "/tmp/postern-bench-XXXXXX";
    assert_non_null(mkdtemp(dir));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct usage u = {0};
        int64_t us = -1;
        write_file(dir, rows[i].file, rows[i].text);
        check(rows[i].name,
              usage_watch(&u, (struct usage_target){.kind = USAGE_CGROUP, .folder = dir}) == 0);
        check(rows[i].name, usage_cpu_us(&u, &us) == rows[i].want);
        check(rows[i].name, rows[i].want < 0 || us == rows[i].us);
        remove_file(dir, rows[i].file);
    }
    char pids[32];
    (void)snprintf(pids, sizeof(pids), "%d\n", (int)getpid());
    write_file(dir, "cgroup.procs", pids);
    struct usage u = {0};
    struct usage_memory memory;
    assert_int_equal(usage_watch(&u, (struct usage_target){.kind = USAGE_CGROUP, .folder = dir}),
                     0);
    assert_int_equal(usage_memory(&u, &memory), 0);
    assert_int_equal(memory.processes, 1);
    remove_file(dir, "cgroup.procs");
    (void)rmdir(dir);
}

static void test_usage_of_the_dead(void **state)
{
    (void)state;
    static const enum usage_kind kinds[] = {USAGE_PROCESS, USAGE_TREE};
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct usage u = {0};
        int64_t us;
        struct usage_memory memory;
        assert_int_equal(usage_watch(&u, (struct usage_target){.kind = kinds[i], .pid = pid}), 0);
        assert_true(usage_cpu_us(&u, &us) < 0);
        assert_true(usage_memory(&u, &memory) < 0);
    }
}

static void test_usage_has_a_maximum(void **state)
{
    (void)state;
    struct usage u = {0};
    for (size_t i = 0; i < USAGE_TARGETS_MAX; i++)
        assert_int_equal(usage_watch(&u, (struct usage_target){.kind = USAGE_PROCESS, .pid = 1}),
                         0);
    assert_int_equal(usage_watch(&u, (struct usage_target){.kind = USAGE_PROCESS, .pid = 1}),
                     -ENOSPC);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_histogram_empty),       cmocka_unit_test(test_histogram_precision),
        cmocka_unit_test(test_histogram_percentiles), cmocka_unit_test(test_stamp_sizes),
        cmocka_unit_test(test_stamp_is_found_again),  cmocka_unit_test(test_stamp_nonsense),
        cmocka_unit_test(test_usage_process),         cmocka_unit_test(test_usage_tree),
        cmocka_unit_test(test_usage_cgroup),          cmocka_unit_test(test_usage_of_the_dead),
        cmocka_unit_test(test_usage_has_a_maximum),
    };
    return cmocka_run_group_tests_name("bench", tests, NULL, NULL);
}
