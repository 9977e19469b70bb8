/* usage.h - CPU time and memory of a program under test, as the kernel accounts for them.
 *
 * What is watched is a set of targets, each one of
 *   a process     by its own CPU clock: exact, and threads that ended are in it
 *   a tree        a process and everything below it, with the children that ended and were waited for; for
 *                 servers made of many processes.  A process that outlives its parent leaves the tree and is lost
 *   a cgroup      a control group's folder (cpuacct.usage of version 1, cpu.stat of version 2): exact whatever forks
 *
 * Blocks for as long as reading /proc takes, which nobody minds between two phases of a measurement.
 */
#ifndef POSTERN_USAGE_H
#define POSTERN_USAGE_H

#include "base/base.h"

#define USAGE_TARGETS_MAX 16

enum usage_kind { USAGE_PROCESS, USAGE_TREE, USAGE_CGROUP };

struct usage_target {
    enum usage_kind kind;
    pid_t pid;
    const char *folder; /* of a cgroup; borrowed */
};

struct usage {
    struct usage_target targets[USAGE_TARGETS_MAX];
    size_t n;
};

/* -ENOSPC: too many. */
MUST_USE int usage_watch(struct usage *u, struct usage_target target);

/* CPU time used so far by all targets together; -errno when one cannot be read (it has ended). */
MUST_USE int usage_cpu_us(const struct usage *u, int64_t *ret_us);

struct usage_memory {
    int64_t rss_kib; /* resident */
    int64_t pss_kib; /* resident, pages shared with other processes counted by share */
    unsigned processes;
};
MUST_USE int usage_memory(const struct usage *u, struct usage_memory *ret);

/* Our own CPU time, all threads. */
int64_t usage_own_cpu_us(void);

/* Monotonic, for short durations. */
int64_t usage_now_us(void);

#endif
