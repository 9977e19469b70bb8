#include "app/porter.h"

#include "base/file.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define LINKS_MAX 16
#define ANSWER_TIMEOUT_S 5
#define ITS_SOCKET 3 /* in the child */

/* ---- the child: one path, step by step ---- */

struct way {
    int folder;          /* where we stand */
    char rest[PATH_MAX]; /* what is still to go */
    unsigned links;
};

static int stand_at_root(struct way *w)
{
    fd_closep(&w->folder);
    w->folder = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return w->folder < 0 ? -errno : 0;
}

/* Nobody but root can put another thing in the place of `entry`.  In a folder such as /tmp that takes root's own entry. */
static bool is_rootly(const struct stat *folder, const struct stat *entry)
{
    bool open_to_others = folder->st_mode & (S_IWGRP | S_IWOTH);
    bool sticky = folder->st_mode & S_ISVTX;
    return folder->st_uid == 0 && (!open_to_others || (sticky && entry->st_uid == 0));
}

/* Takes the next name off the way; false at its end. */
static bool next_name(struct way *w, char name[NAME_MAX + 1])
{
    size_t skip = strspn(w->rest, "/"), len = strcspn(w->rest + skip, "/");
    if (len == 0 || len > NAME_MAX)
        return false;
    memcpy(name, w->rest + skip, len);
    name[len] = '\0';
    memmove(w->rest, w->rest + skip + len, strlen(w->rest + skip + len) + 1);
    return true;
}

static int follow_link(struct way *w, const char *name)
{
    char target[PATH_MAX], rest[PATH_MAX];
    ssize_t len = readlinkat(w->folder, name, target, sizeof(target) - 1);
    if (len < 0)
        return -errno;
    target[len] = '\0';
    (void)snprintf(rest, sizeof(rest), "%s", w->rest);
    int n = snprintf(w->rest, sizeof(w->rest), "%s%s%s", target, rest[0] ? "/" : "", rest);
    if (++w->links > LINKS_MAX || n < 0 || (size_t)n >= sizeof(w->rest))
        return -ELOOP;
    return target[0] == '/' ? stand_at_root(w) : 0;
}

static int enter(struct way *w, const char *name)
{
    int next = openat(w->folder, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (next < 0)
        return -errno;
    fd_closep(&w->folder);
    w->folder = next;
    return 0;
}

/* A descriptor of the last name, 0 to go on, or -errno. */
static int step(struct way *w, const char *name)
{
    struct stat here, entry;
    if (fstat(w->folder, &here) < 0 || fstatat(w->folder, name, &entry, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (!is_rootly(&here, &entry))
        return -EPERM;
    if (S_ISLNK(entry.st_mode))
        return follow_link(w, name);
    if (w->rest[strspn(w->rest, "/")] || !S_ISREG(entry.st_mode))
        return enter(w, name); /* at its end: a folder, which opens nothing */
    int fd = openat(w->folder, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

static int walk(const char *path)
{
    struct way w = {.folder = -1};
    char name[NAME_MAX + 1];
    int r = stand_at_root(&w);
    (void)snprintf(w.rest, sizeof(w.rest), "%s", path);
    while (r == 0 && next_name(&w, name))
        r = step(&w, name);
    fd_closep(&w.folder);
    return r == 0 ? -EISDIR : r;
}

/* ---- the child: its life ---- */

struct list {
    char **asked, **absolute; /* as the configuration has them; and where that is */
    size_t n;
};

static int find(const struct list *l, const char *path)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->asked[i], path) == 0)
            return walk(l->absolute[i]);
    return -EACCES;
}

union control {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
};

/* The answer is a number, 0 with a descriptor beside it. */
static void answer(int fd)
{
    int error = fd < 0 ? fd : 0;
    union control c = {.room = {0}};
    struct iovec io = {&error, sizeof(error)};
    struct msghdr m = {.msg_iov = &io, .msg_iovlen = 1};
    if (fd >= 0) {
        m.msg_control = &c;
        m.msg_controllen = sizeof(c);
        c.head = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&c.head), &fd, sizeof(int));
    }
    (void)sendmsg(ITS_SOCKET, &m, MSG_NOSIGNAL); /* nobody there: the next recv() says so */
    fd_closep(&fd);
}

/* Of root's capabilities the one to read; fewer when there were fewer. */
static void keep_reading_only(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    if (syscall(SYS_capget, &head, data) < 0)
        _exit(1);
    data[0].permitted &= 1U << CAP_DAC_READ_SEARCH;
    data[0].effective = data[0].permitted;
    data[0].inheritable = data[1].effective = data[1].permitted = data[1].inheritable = 0;
    if (syscall(SYS_capset, &head, data) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        _exit(1);
}

/* Without the server's sockets and files, and deaf to what is sent to its process group. */
static void __attribute__((noreturn)) serve(int fd, const struct list *l)
{
    char path[PATH_MAX];
    sigset_t all;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, NULL);
    if (dup2(fd, ITS_SOCKET) < 0 || close_range(ITS_SOCKET + 1, ~0U, 0) < 0 || chdir("/") < 0)
        _exit(1);
    (void)prctl(PR_SET_NAME, "postern-porter");
    keep_reading_only();
    for (;;) {
        ssize_t len = recv(ITS_SOCKET, path, sizeof(path) - 1, 0);
        if (len < 0 && errno == EINTR)
            continue;
        if (len <= 0)
            _exit(0); /* the server has ended */
        path[len] = '\0';
        answer(find(l, path));
    }
}

/* ---- the server's side ---- */

static struct {
    pthread_mutex_t lock;
    int socket; /* -1: there is none, or it is not to be relied upon any more */
    pid_t pid;
    bool has_warned; /* files are looked at every few seconds */
} porter = {PTHREAD_MUTEX_INITIALIZER, -1, -1, false};

static int receive(int *ret_fd)
{
    int error = 0;
    union control c = {.room = {0}};
    struct iovec io = {&error, sizeof(error)};
    struct msghdr m = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = &c, .msg_controllen = sizeof(c)};
    if (recvmsg(porter.socket, &m, MSG_CMSG_CLOEXEC) != (ssize_t)sizeof(error))
        return -EIO;
    if (error < 0)
        return error;
    if (m.msg_controllen < CMSG_LEN(sizeof(int)) || c.head.cmsg_type != SCM_RIGHTS)
        return -EIO;
    memcpy(ret_fd, CMSG_DATA(&c.head), sizeof(int));
    return 0;
}

static int ask(const char *path)
{
    int fd = -1, r = -EACCES;
    bool warn = false;
    (void)pthread_mutex_lock(&porter.lock);
    if (porter.socket >= 0 && strlen(path) < PATH_MAX) {
        bool sent = send(porter.socket, path, strlen(path), MSG_NOSIGNAL) >= 0;
        r = sent ? receive(&fd) : -EIO;
        if (r == -EIO) /* an answer that comes late would be taken for the next one's */
            fd_closep(&porter.socket);
        warn = r == -EPERM && !porter.has_warned;
        porter.has_warned = porter.has_warned || warn;
    }
    (void)pthread_mutex_unlock(&porter.lock);
    if (warn)
        log_message(
            LOG_LEVEL_WARNING, "porter",
            "%s is not opened: a folder on the way to it can be changed by others than root", path);
    if (r == -EIO)
        log_message(LOG_LEVEL_ERROR, "porter",
                    "the process that opens files of root's has ended; restart the server");
    return r == 0 ? fd : -EACCES;
}

static char *absolute(const char *path)
{
    char here[PATH_MAX], *out;
    if (path[0] == '/' || !getcwd(here, sizeof(here)))
        return xstrdup(path);
    return asprintf(&out, "%s/%s", here, path) < 0 ? xstrdup(path) : out;
}

static void list_make(struct list *l, const char *const *paths, size_t n)
{
    l->asked = xcalloc(n + 1, sizeof(*l->asked));
    l->absolute = xcalloc(n + 1, sizeof(*l->absolute));
    for (; l->n < n; l->n++) {
        l->asked[l->n] = xstrdup(paths[l->n]);
        l->absolute[l->n] = absolute(paths[l->n]);
    }
}

static void list_done(struct list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        free(l->asked[i]);
        free(l->absolute[i]);
    }
    free(l->asked);
    free(l->absolute);
}

static int fail(int error, char *why)
{
    (void)snprintf(why, PORTER_WHY_MAX, "cannot leave a process behind that reads root's files: %s",
                   strerror(error));
    return -error;
}

int porter_start(const char *const *paths, size_t n, char *why)
{
    static const struct timeval patience = {.tv_sec = ANSWER_TIMEOUT_S};
    int ends[2];
    struct list l = {0};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return fail(errno, why);
    list_make(&l, paths, MIN(n, (size_t)PORTER_FILES_MAX));
    (void)setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    (void)setsockopt(ends[0], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    pid_t pid = fork();
    if (pid == 0)
        serve(ends[1], &l);
    int error = errno;
    fd_closep(&ends[1]);
    list_done(&l);
    if (pid < 0) {
        fd_closep(&ends[0]);
        return fail(error, why);
    }
    porter.socket = ends[0];
    porter.pid = pid;
    file_on_denied(ask);
    return 0;
}

void porter_stop(void)
{
    if (porter.pid < 0)
        return;
    file_on_denied(NULL);
    fd_closep(&porter.socket);
    (void)waitpid(porter.pid, NULL, 0);
    porter.pid = -1;
}
