#include "base/secret_file.h"

#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

static int say(char *why, int error, const char *fmt, ...) PRINTF(3, 4);

static int say(char *why, int error, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, SECRET_FILE_WHY_MAX, fmt, ap);
    va_end(ap);
    return error;
}

static int cannot_read(const char *path, int error, char *why)
{
    if (error == -EACCES)
        return say(why, error,
                   "cannot read the password file %s: %s; let the account that needs it read it: "
                   "chgrp GROUP FILE && "
                   "chmod 640 FILE",
                   path, strerror(-error));
    return say(why, error, "cannot read the password file %s: %s", path,
               error == -EINVAL ? "it is no regular file" : strerror(-error));
}

static int check_owner(const char *path, const struct stat *st, uid_t reader, char *why)
{
    mode_t open = st->st_mode & (st->st_uid == 0 ? 037 : 077);
    if (st->st_uid != 0 && st->st_uid != reader)
        return say(why, -EACCES, "%s holds a password and belongs to somebody else; chown root %s",
                   path, path);
    if (open)
        return say(why, -EACCES, "%s holds a password and others may %s it; chmod %s %s", path,
                   open & 044 ? "read" : "change", st->st_uid == 0 ? "640" : "600", path);
    return 0;
}

/* Straight into a buffer that does not grow: nothing is left behind in another place. */
static int read_all(int fd, struct buf *out)
{
    int r = buf_reserve(out, SECRET_FILE_MAX);
    while (r == 0) {
        ssize_t n = read(fd, out->data + out->len, SECRET_FILE_MAX - out->len);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            break;
        out->len += n > 0 ? (size_t)n : 0;
        if (out->len == SECRET_FILE_MAX)
            return -EFBIG;
    }
    return r;
}

void secret_first_line(struct buf *out)
{
    struct str all = buf_str(out);
    ssize_t lf = str_find(all, '\n');
    size_t len = lf < 0 ? all.len : (size_t)lf;
    if (len && out->data[len - 1] == '\r')
        len--;
    explicit_bzero(out->data + len, out->len - len);
    out->data[len] = '\0';
    out->len = len;
}

static int read_secret(const char *path, uid_t reader, struct buf *out, char *why)
{
    struct stat st;
    CLEANUP(fd_closep) int fd = file_open(path);
    int r = fd < 0 ? fd : fstat(fd, &st) < 0 ? -errno : 0;
    if (r < 0)
        return cannot_read(path, r, why);
    r = check_owner(path, &st, reader, why);
    if (r < 0)
        return r;
    r = read_all(fd, out);
    if (r == -EFBIG)
        return say(why, r, "%s is too long for a password", path);
    if (r < 0)
        return cannot_read(path, r, why);
    secret_first_line(out);
    return out->len
               ? 0
               : say(why, -ENODATA, "%s: the first line, which is the password, is empty", path);
}

int secret_file_read(const char *path, uid_t reader, struct buf *out, char *why)
{
    int r = read_secret(path, reader, out, why);
    if (r < 0)
        buf_wipe(out);
    return r;
}
