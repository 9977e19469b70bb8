#include "send/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

void send_text_init(struct send_text *t)
{
    buf_init(&t->memory, SEND_TEXT_MEMORY);
    t->fd = -1;
    t->size = 0;
}

void send_text_done(struct send_text *t)
{
    buf_done(&t->memory);
    fd_closep(&t->fd);
    t->size = 0;
}

/* Some file systems know no file without a name: there it loses its name at once. */
static int open_nameless(const char *folder)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
    char name[4096];
    int len = snprintf(name, sizeof(name), "%s/postern-XXXXXX", folder);
    if (len < 0 || (size_t)len >= sizeof(name))
        return -ENAMETOOLONG;
    fd = mkostemp(name, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (unlink(name) < 0) {
        int r = -errno;
        (void)close(fd);
        return r;
    }
    return fd;
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

static int move_to_file(struct send_text *t)
{
    const char *folder = getenv("TMPDIR");
    CLEANUP(fd_closep) int fd = open_nameless(folder && *folder ? folder : "/tmp");
    if (fd < 0)
        return fd;
    int r = write_all(fd, t->memory.data, t->memory.len);
    if (r < 0)
        return r;
    buf_done(&t->memory);
    t->fd = fd_take(&fd);
    return 0;
}

int send_text_append(struct send_text *t, const char *data, size_t len)
{
    int r = 0;
    if (t->fd < 0 && t->memory.len + len <= SEND_TEXT_MEMORY) {
        r = buf_append(&t->memory, data, len);
    } else {
        if (t->fd < 0)
            r = move_to_file(t);
        if (r == 0)
            r = write_all(t->fd, data, len);
    }
    if (r == 0)
        t->size += len;
    return r;
}

ssize_t send_text_read(const struct send_text *t, uint64_t offset, char *to, size_t max)
{
    if (offset >= t->size)
        return 0;
    if (t->fd < 0) {
        struct str piece = str_upto(str_from(buf_str(&t->memory), offset), max);
        memcpy(to, piece.p, piece.len);
        return (ssize_t)piece.len;
    }
    ssize_t n;
    do
        n = pread(t->fd, to, max, (off_t)offset);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}
