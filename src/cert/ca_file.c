#include "cert/ca_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#define LOCK_TRIES 100
#define LOCK_PAUSE_NS 100000000L /* times the tries: ten seconds */

int ca_fail(char *why, int r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, CERT_WHY_MAX, fmt, ap);
    va_end(ap);
    return r;
}

int ca_say(char *why, int r, const char *what)
{
    return ca_fail(why, r, "%s: %s", what, strerror(-r));
}

void ca_path(const char *dir, const char *name, char out[CA_PATH_MAX])
{
    (void)snprintf(out, CA_PATH_MAX, "%s/%s", dir, name);
}

bool ca_file_exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static int write_all(int fd, struct str s)
{
    while (s.len > 0) {
        ssize_t n = write(fd, s.p, s.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        s = str_from(s, (size_t)n);
    }
    return 0;
}

static int sync_directory_of(const char *path)
{
    CLEANUP(freep) char *copy = xstrdup(path);
    CLEANUP(fd_closep) int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int write_temporary(char *temporary, struct str content, mode_t mode)
{
    CLEANUP(fd_closep)
    int fd = mkostemp(temporary, O_CLOEXEC); /* 0600 from the start: it may be a key */
    if (fd < 0)
        return -errno;
    int r = write_all(fd, content);
    if (r == 0 && (fchmod(fd, mode) < 0 || fsync(fd) < 0))
        r = -errno;
    if (r < 0)
        (void)unlink(temporary);
    return r;
}

/* A link, unlike a rename, does not replace what is there. */
static int put_in_place(const char *temporary, const char *path, enum ca_write how)
{
    int r = how == CA_WRITE_REPLACE ? rename(temporary, path) : link(temporary, path);
    r = r < 0 ? -errno : 0;
    if (r < 0 || how == CA_WRITE_NEW)
        (void)unlink(temporary);
    return r;
}

/* Bytes synced, then the name, then the directory.  A crash leaves the old file, or the new one, and perhaps a
 * stub beside it whose name ends in six random characters. */
int ca_file_write(const char *path, struct str content, mode_t mode, enum ca_write how)
{
    char temporary[CA_PATH_MAX];
    if ((size_t)snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= sizeof(temporary))
        return -ENAMETOOLONG;
    int r = write_temporary(temporary, content, mode);
    if (r == 0)
        r = put_in_place(temporary, path, how);
    return r < 0 ? r : sync_directory_of(path);
}

int ca_lock(const char *dir, int *ret_fd)
{
    static const struct timespec pause = {.tv_nsec = LOCK_PAUSE_NS};
    char path[CA_PATH_MAX];
    ca_path(dir, "lock", path);
    CLEANUP(fd_closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    for (int i = 0; flock(fd, LOCK_EX | LOCK_NB) < 0; i++) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return -errno;
        if (i == LOCK_TRIES)
            return -EBUSY;
        (void)nanosleep(&pause, NULL);
    }
    *ret_fd = fd_take(&fd);
    return 0;
}
