#include "base/watch.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define FNV_BASIS UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

static uint64_t digest(uint64_t h, const void *data, size_t len)
{
    const unsigned char *p = data;
    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * FNV_PRIME;
    return h;
}

static uint64_t digest_number(uint64_t h, int64_t n)
{
    return digest(h, &n, sizeof(n));
}

static uint64_t digest_time(uint64_t h, struct timespec t)
{
    return digest_number(digest_number(h, t.tv_sec), t.tv_nsec);
}

/* `name` is looked up in the directory dir_fd. */
static uint64_t digest_file(int dir_fd, const char *name, bool *ret_is_dir)
{
    struct stat st;
    uint64_t h = digest(FNV_BASIS, name, strlen(name));
    int r = dir_fd == AT_FDCWD ? file_stat(name, &st) : fstatat(dir_fd, name, &st, 0) < 0 ? -errno : 0;
    if (r < 0)
        return digest_number(h, r);
    *ret_is_dir = S_ISDIR(st.st_mode);
    h = digest_number(digest_number(h, (int64_t)st.st_dev), (int64_t)st.st_ino);
    h = digest_time(digest_number(h, st.st_size), st.st_mtim);
    return digest_time(h, st.st_ctim);
}

/* A sum, since a directory tells its files in any order. */
static uint64_t digest_directory(const char *path)
{
    uint64_t sum = 0;
    bool ignored;
    DIR *d = opendir(path);
    if (!d)
        return digest_number(FNV_BASIS, -errno);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.')
            sum += digest_file(dirfd(d), e->d_name, &ignored);
    (void)closedir(d);
    return sum;
}

void watch_add(struct watch *w, const char *path)
{
    char **paths = xcalloc(w->n + 1, sizeof(*paths));
    if (w->n)
        memcpy(paths, w->paths, w->n * sizeof(*paths));
    paths[w->n++] = xstrdup(path);
    free(w->paths);
    w->paths = paths;
}

void watch_done(struct watch *w)
{
    for (size_t i = 0; i < w->n; i++)
        free(w->paths[i]);
    free(w->paths);
    *w = (struct watch){0};
}

bool watch_changed(struct watch *w)
{
    uint64_t now = FNV_BASIS;
    for (size_t i = 0; i < w->n; i++) {
        bool is_dir = false;
        now = digest_number(now, (int64_t)digest_file(AT_FDCWD, w->paths[i], &is_dir));
        if (is_dir)
            now = digest_number(now, (int64_t)digest_directory(w->paths[i]));
    }
    now += now == 0; /* 0: never looked at */
    bool changed = now != w->seen;
    w->seen = now;
    return changed;
}
