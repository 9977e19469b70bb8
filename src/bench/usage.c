#include "bench/usage.h"

#include "base/buf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define PIDS_MAX 65536 /* processes looked at, at most */

static int64_t timespec_us(const struct timespec *ts)
{
    return (int64_t)ts->tv_sec * 1000000 + ts->tv_nsec / 1000;
}

int64_t usage_now_us(void)
{
    struct timespec ts = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return timespec_us(&ts);
}

int64_t usage_own_cpu_us(void)
{
    struct timespec ts = {0};
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return timespec_us(&ts);
}

int usage_watch(struct usage *u, struct usage_target target)
{
    if (u->n == USAGE_TARGETS_MAX)
        return -ENOSPC;
    u->targets[u->n++] = target;
    return 0;
}

/* ---- files of the kernel ---- */

/* The whole of a small file, NUL-terminated. */
static int read_file(const char *path, char *out, size_t size)
{
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    size_t len = 0;
    ssize_t n = 1;
    while (len < size - 1 && (n = read(fd, out + len, size - 1 - len)) > 0)
        len += (size_t)n;
    int error = errno;
    out[len] = '\0';
    return n < 0 ? -error : 0;
}

/* The number behind `key` at the start of a line: "Pss:   1234 kB", "usage_usec 1234". */
static int number_after(const char *text, const char *key, int64_t *ret)
{
    size_t len = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        long long value;
        if (strncmp(line, key, len) == 0 && sscanf(line + len, "%lld", &value) == 1) {
            *ret = value;
            return 0;
        }
    }
    return -ENODATA;
}

/* ---- which processes ---- */

struct pids {
    struct buf list;
};

static size_t pids_count(const struct pids *p)
{
    return p->list.len / sizeof(pid_t);
}

static pid_t pids_get(const struct pids *p, size_t i)
{
    pid_t pid;
    memcpy(&pid, p->list.data + i * sizeof(pid), sizeof(pid));
    return pid;
}

static bool pids_has(const struct pids *p, pid_t pid)
{
    for (size_t i = 0; i < pids_count(p); i++)
        if (pids_get(p, i) == pid)
            return true;
    return false;
}

static void pids_done(struct pids *p)
{
    buf_done(&p->list);
}

#define PIDS_INIT                                                                                  \
    {                                                                                              \
        .list = BUF_INIT(PIDS_MAX * sizeof(pid_t))                                                 \
    }

static int pids_add(struct pids *p, pid_t pid)
{
    return buf_append(&p->list, &pid, sizeof(pid));
}

/* /proc/PID/stat behind the name in parentheses, which may hold anything. */
struct proc_stat {
    int ppid;
    unsigned long utime, stime;
    long cutime, cstime;
};

static int read_stat(pid_t pid, struct proc_stat *ret)
{
    char path[64], text[1024];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int r = read_file(path, text, sizeof(text));
    if (r < 0)
        return r;
    const char *rest = strrchr(text, ')');
    int n = !rest ? 0
                  : sscanf(rest + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld",
                           &ret->ppid, &ret->utime, &ret->stime, &ret->cutime, &ret->cstime);
    return n == 5 ? 0 : -EBADMSG;
}

static int list_all(struct pids *ret)
{
    DIR *dir = opendir("/proc");
    if (!dir)
        return -errno;
    int r = 0;
    for (struct dirent *e; r == 0 && (e = readdir(dir));) {
        int pid = atoi(e->d_name);
        if (pid > 0)
            r = pids_add(ret, pid);
    }
    (void)closedir(dir);
    return r;
}

/* One pass finds the children of those already known, so it is repeated until it finds none. */
static int add_children(struct pids *tree, const struct pids *all)
{
    for (size_t before = 0; before != pids_count(tree);) {
        before = pids_count(tree);
        for (size_t i = 0; i < pids_count(all); i++) {
            pid_t pid = pids_get(all, i);
            struct proc_stat st;
            if (pids_has(tree, pid) || read_stat(pid, &st) < 0 || !pids_has(tree, st.ppid))
                continue;
            int r = pids_add(tree, pid);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int list_tree(pid_t root, struct pids *ret)
{
    CLEANUP(pids_done) struct pids all = PIDS_INIT;
    int r = list_all(&all);
    if (r == 0 && !pids_has(&all, root))
        r = -ESRCH;
    if (r == 0)
        r = pids_add(ret, root);
    return r == 0 ? add_children(ret, &all) : r;
}

static int list_cgroup(const char *folder, struct pids *ret)
{
    char path[512];
    (void)snprintf(path, sizeof(path), "%s/cgroup.procs", folder);
    FILE *f = fopen(path, "re");
    if (!f)
        return -errno;
    int r = 0, pid;
    while (r == 0 && fscanf(f, "%d", &pid) == 1)
        r = pids_add(ret, pid);
    (void)fclose(f);
    return r;
}

static int list_target(const struct usage_target *t, struct pids *ret)
{
    if (t->kind == USAGE_PROCESS)
        return pids_add(ret, t->pid);
    return t->kind == USAGE_TREE ? list_tree(t->pid, ret) : list_cgroup(t->folder, ret);
}

/* ---- CPU time ---- */

static int process_cpu(pid_t pid, int64_t *ret_us)
{
    clockid_t clock;
    struct timespec ts;
    int r = clock_getcpuclockid(pid, &clock);
    if (r)
        return -r;
    if (clock_gettime(clock, &ts) < 0)
        return -errno;
    *ret_us = timespec_us(&ts);
    return 0;
}

/* Of the living their own clock, of the dead what was credited to the parent that waited. */
static int tree_cpu(pid_t root, int64_t *ret_us)
{
    CLEANUP(pids_done) struct pids tree = PIDS_INIT;
    int r = list_tree(root, &tree);
    if (r < 0)
        return r;
    int64_t sum = 0, tick_us = 1000000 / sysconf(_SC_CLK_TCK);
    for (size_t i = 0; i < pids_count(&tree); i++) {
        struct proc_stat st;
        int64_t own;
        if (process_cpu(pids_get(&tree, i), &own) < 0 || read_stat(pids_get(&tree, i), &st) < 0)
            continue; /* ended meanwhile: in its parent's share the next time */
        sum += own + (st.cutime + st.cstime) * tick_us;
    }
    *ret_us = sum;
    return 0;
}

static int cgroup_cpu(const char *folder, int64_t *ret_us)
{
    char path[512], text[4096];
    (void)snprintf(path, sizeof(path), "%s/cpuacct.usage", folder);
    if (read_file(path, text, sizeof(text)) == 0) {
        *ret_us = strtoll(text, NULL, 10) / 1000;
        return 0;
    }
    (void)snprintf(path, sizeof(path), "%s/cpu.stat", folder);
    int r = read_file(path, text, sizeof(text));
    return r < 0 ? r : number_after(text, "usage_usec", ret_us);
}

static int target_cpu(const struct usage_target *t, int64_t *ret_us)
{
    if (t->kind == USAGE_PROCESS)
        return process_cpu(t->pid, ret_us);
    return t->kind == USAGE_TREE ? tree_cpu(t->pid, ret_us) : cgroup_cpu(t->folder, ret_us);
}

int usage_cpu_us(const struct usage *u, int64_t *ret_us)
{
    int64_t sum = 0;
    for (size_t i = 0; i < u->n; i++) {
        int64_t us;
        int r = target_cpu(&u->targets[i], &us);
        if (r < 0)
            return r;
        sum += us;
    }
    *ret_us = sum;
    return 0;
}

/* ---- memory ---- */

static int process_memory(pid_t pid, struct usage_memory *sum)
{
    char path[64], text[4096];
    int64_t rss, pss;
    (void)snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    int r = read_file(path, text, sizeof(text));
    if (r == 0)
        r = number_after(text, "Rss:", &rss);
    if (r == 0)
        r = number_after(text, "Pss:", &pss);
    if (r < 0)
        return r;
    sum->rss_kib += rss;
    sum->pss_kib += pss;
    sum->processes++;
    return 0;
}

static int target_memory(const struct usage_target *t, struct usage_memory *sum)
{
    CLEANUP(pids_done) struct pids pids = PIDS_INIT;
    int r = list_target(t, &pids);
    for (size_t i = 0; r == 0 && i < pids_count(&pids); i++) {
        r = process_memory(pids_get(&pids, i), sum);
        if (t->kind != USAGE_PROCESS && (r == -ENOENT || r == -ESRCH || r == -ENODATA))
            r = 0; /* ended meanwhile */
    }
    return r;
}

int usage_memory(const struct usage *u, struct usage_memory *ret)
{
    struct usage_memory sum = {0};
    for (size_t i = 0; i < u->n; i++) {
        int r = target_memory(&u->targets[i], &sum);
        if (r < 0)
            return r;
    }
    *ret = sum;
    return 0;
}
