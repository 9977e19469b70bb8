#include "send/secret.h"

#include "base/clock.h"
#include "base/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>

extern char **environ;

static int say(char *why, int error, const char *fmt, ...) PRINTF(3, 4);

static int say(char *why, int error, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, SECRET_WHY_MAX, fmt, ap);
    va_end(ap);
    return error;
}

/* Octet by octet or in pieces, straight into a buffer that does not grow: nothing is left behind in another place.
 * 1: more may come. */
static int read_some(int fd, struct buf *out)
{
    if (out->len == SECRET_MAX)
        return -EMSGSIZE;
    ssize_t n = read(fd, out->data + out->len, SECRET_MAX - out->len);
    if (n < 0)
        return errno == EINTR ? 1 : -errno;
    out->len += (size_t)n;
    out->data[out->len] = '\0';
    return n > 0;
}

int secret_from_file(const char *path, struct buf *out, char *why)
{
    return secret_file_read(path, geteuid(), out, why);
}

/* ---- a command ---- */

static int start(const char *command, pid_t *ret_pid, int *ret_fd)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    posix_spawn_file_actions_t files;
    char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, xstrdup(command), NULL};
    (void)posix_spawn_file_actions_init(&files);
    (void)posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    (void)posix_spawn_file_actions_adddup2(&files, ends[1], STDOUT_FILENO);
    int r = posix_spawn(ret_pid, "/bin/sh", &files, NULL, argv, environ);
    (void)posix_spawn_file_actions_destroy(&files);
    free(argv[2]);
    (void)close(ends[1]);
    if (r == 0)
        *ret_fd = ends[0];
    else
        (void)close(ends[0]);
    return -r;
}

static int read_until(int fd, int64_t deadline_ms, struct buf *out)
{
    for (;;) {
        int64_t left = deadline_ms - clock_monotonic_ms();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int n = left > 0 ? poll(&p, 1, (int)left) : 0;
        if (n == 0)
            return -ETIMEDOUT;
        if (n < 0 && errno != EINTR)
            return -errno;
        int r = n > 0 ? read_some(fd, out) : 1;
        if (r <= 0)
            return r;
    }
}

static int wait_for(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return status;
}

int secret_from_command(const char *command, int64_t timeout_ms, struct buf *out, char *why)
{
    CLEANUP(fd_closep) int fd = -1;
    pid_t pid = 0;
    int r = buf_reserve(out, SECRET_MAX);
    if (r == 0)
        r = start(command, &pid, &fd);
    if (r < 0)
        return say(why, r, "cannot run the password command: %s", strerror(-r));
    r = read_until(fd, clock_monotonic_ms() + timeout_ms, out);
    if (r < 0)
        (void)kill(pid, SIGTERM);
    int status = wait_for(pid);
    if (r == -ETIMEDOUT)
        return say(why, r, "the password command took longer than %lld s",
                   (long long)timeout_ms / 1000);
    if (r < 0)
        return say(why, r, "the password command: %s",
                   r == -EMSGSIZE ? "this is too long for a password" : strerror(-r));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return say(why, -EIO, "the password command failed (%s %d): %.200s",
                   WIFEXITED(status) ? "exit code" : "signal",
                   WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), command);
    secret_first_line(out);
    return out->len ? 0 : say(why, -ENODATA, "the first line of what the password command printed is empty");
}
