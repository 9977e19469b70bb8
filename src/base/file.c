#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define PIECE 16384

static file_opener *on_denied;

void file_on_denied(file_opener *ask)
{
    on_denied = ask;
}

bool file_is_uri(const char *where)
{
    size_t len = strspn(where, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");
    bool letter = (where[0] >= 'a' && where[0] <= 'z') || (where[0] >= 'A' && where[0] <= 'Z');
    return len > 1 && where[len] == ':' && letter;
}

/* -errno, of the refusal itself when nobody can help. */
static int ask(const char *path, int error)
{
    return error == -EACCES && on_denied ? on_denied(path) : error;
}

int file_open(const char *path)
{
    struct stat st;
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        fd = ask(path, -errno);
    if (fd < 0)
        return fd;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
    return fd_take(&fd);
}

int file_stat(const char *path, struct stat *ret)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        CLEANUP(fd_closep) int fd = ask(path, -errno);
        if (fd < 0)
            return fd;
        if (fstat(fd, &st) < 0)
            return -errno;
    }
    *ret = st;
    return 0;
}

/* Octets to make room for: all of it and one more, so that the end is seen. */
static size_t piece_of(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_size > 0 ? (size_t)st.st_size + 1 : PIECE;
}

int file_read(const char *path, struct buf *out)
{
    CLEANUP(fd_closep) int fd = file_open(path);
    int r = fd < 0 ? fd : buf_reserve(out, piece_of(fd));
    while (r == 0) {
        size_t room = out->cap - out->len - 1;
        ssize_t n = room ? read(fd, out->data + out->len, room) : 0;
        if (room == 0) {
            r = buf_reserve(out, PIECE);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        out->len += (size_t)n;
        out->data[out->len] = '\0';
        if (n == 0)
            return 0;
    }
    return r == -EMSGSIZE ? -EFBIG : r;
}
