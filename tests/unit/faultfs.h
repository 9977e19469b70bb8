/* faultfs.h - a file system for SQLite that fails, dies, waits, or loses power where a test says so.
 *
 * Registered as SQLite's default, it passes everything on to the real one, and counts each write, truncation and
 * sync of a database or its log as one event.  At an event a test may have it fail, kill the process, or wait.
 * It also knows at any moment what a device without power would still have: the content as of each file's
 * last sync, with any part of what was written since.
 */
#ifndef POSTERN_FAULTFS_H
#define POSTERN_FAULTFS_H

#include "base/base.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum faultfs_kind { FAULTFS_WRITE = 1, FAULTFS_SYNC = 2, FAULTFS_ANY = 3 };

struct faultfs_change { /* not synced yet; data NULL: a truncation to `at` */
    struct faultfs_change *next;
    sqlite3_int64 at;
    int len;
    char *data;
};

struct faultfs_disk { /* one file, whoever has it open */
    char name[256];
    char *synced;
    size_t len, cap;
    struct faultfs_change *changes, **tail;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t opened;
    sqlite3_vfs vfs, *real;
    bool track; /* remember what is synced, for faultfs_power_loss() */
    struct faultfs_disk disks[4];
    size_t n_disks;

    /* What the test asks for; guarded by the lock. */
    enum faultfs_kind fail_kind;
    long fail_at, fail_count; /* the event at which failing begins, and how many fail; 0: never */
    int fail_code;
    long kill_at;
    bool gate; /* syncs wait */
    void (*on_event)(void *arg, long event);
    void *arg;

    long events, writes, syncs, waiting;
} faultfs = {.lock = PTHREAD_MUTEX_INITIALIZER, .opened = PTHREAD_COND_INITIALIZER};

struct faultfs_file {
    sqlite3_file base;
    struct faultfs_disk *disk; /* NULL: not counted */
    sqlite3_file *real;
};

static inline sqlite3_file *faultfs_real(sqlite3_file *f)
{
    return ((struct faultfs_file *)(void *)f)->real;
}

/* ---- what is on the device ---- */

static inline void
faultfs_put(struct faultfs_disk *d, sqlite3_int64 at, const void *data, size_t len)
{
    size_t end = (size_t)at + len;
    if (end > d->cap) {
        d->cap = MAX(end, d->cap * 2);
        d->synced = realloc(d->synced, d->cap);
        if (!d->synced)
            abort();
    }
    if (end > d->len) {
        memset(d->synced + d->len, 0, end - d->len);
        d->len = end;
    }
    memcpy(d->synced + at, data, len);
}

static inline void faultfs_apply(struct faultfs_disk *d, const struct faultfs_change *c)
{
    if (c->data)
        faultfs_put(d, c->at, c->data, (size_t)c->len);
    else
        d->len = MIN(d->len, (size_t)c->at);
}

static inline void faultfs_forget(struct faultfs_disk *d)
{
    while (d->changes) {
        struct faultfs_change *c = d->changes;
        d->changes = c->next;
        free(c->data);
        free(c);
    }
    d->tail = &d->changes;
}

static inline void faultfs_note(struct faultfs_disk *d, sqlite3_int64 at, const void *data, int len)
{
    if (!faultfs.track)
        return;
    struct faultfs_change *c = xcalloc(1, sizeof(*c));
    *c = (struct faultfs_change){.at = at, .len = len};
    if (data) {
        c->data = xcalloc(1, (size_t)len);
        memcpy(c->data, data, (size_t)len);
    }
    *d->tail = c;
    d->tail = &c->next;
}

static inline void faultfs_synced(struct faultfs_disk *d)
{
    for (const struct faultfs_change *c = d->changes; c; c = c->next)
        faultfs_apply(d, c);
    faultfs_forget(d);
}

static inline struct faultfs_disk *faultfs_disk_of(const char *name)
{
    for (size_t i = 0; i < faultfs.n_disks; i++) {
        if (strcmp(faultfs.disks[i].name, name) == 0)
            return &faultfs.disks[i];
    }
    if (faultfs.n_disks == ARRAY_LEN(faultfs.disks))
        abort();
    struct faultfs_disk *d = &faultfs.disks[faultfs.n_disks++];
    (void)snprintf(d->name, sizeof(d->name), "%s", name);
    d->tail = &d->changes;
    return d;
}

/* Writes into `dir` what is left after a power loss now: everything synced, and of each later write all
 * (survive 100), nothing (0) or, sector by sector, perhaps.  For on_event(), which holds the lock. */
static inline void faultfs_power_loss(const char *dir, int survive, unsigned seed)
{
    for (size_t i = 0; i < faultfs.n_disks; i++) {
        struct faultfs_disk copy = faultfs.disks[i];
        copy.synced = xcalloc(1, MAX(copy.len, 1));
        copy.cap = MAX(copy.len, 1);
        if (copy.len)
            memcpy(copy.synced, faultfs.disks[i].synced, copy.len);
        for (const struct faultfs_change *c = copy.changes; c; c = c->next) {
            for (int at = 0; at < MAX(c->len, 1); at += 512) {
                seed = seed * 1103515245 + 12345;
                if ((int)(seed >> 16) % 100 >= survive)
                    continue;
                if (c->data)
                    faultfs_put(&copy, c->at + at, c->data + at, (size_t)MIN(512, c->len - at));
                else
                    faultfs_apply(&copy, c);
            }
        }
        char name[512];
        (void)snprintf(name, sizeof(name), "%s/%s", dir, strrchr(copy.name, '/') + 1);
        int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0 || write(fd, copy.synced, copy.len) != (ssize_t)copy.len)
            abort();
        (void)close(fd);
        free(copy.synced);
    }
}

/* ---- events ---- */

/* With the lock held.  SQLITE_OK, or what the event is to fail with. */
static inline int faultfs_event(enum faultfs_kind kind)
{
    faultfs.events++;
    *(kind == FAULTFS_WRITE ? &faultfs.writes : &faultfs.syncs) += 1;
    if (faultfs.on_event)
        faultfs.on_event(faultfs.arg, faultfs.events);
    if (faultfs.kill_at == faultfs.events)
        (void)kill(getpid(), SIGKILL);
    if (kind == FAULTFS_SYNC) {
        faultfs.waiting++;
        while (faultfs.gate)
            (void)pthread_cond_wait(&faultfs.opened, &faultfs.lock);
        faultfs.waiting--;
    }
    if (!(faultfs.fail_kind & kind) || faultfs.fail_at == 0 || faultfs.fail_count == 0)
        return SQLITE_OK;
    if (faultfs.events < faultfs.fail_at)
        return SQLITE_OK;
    faultfs.fail_count--;
    return faultfs.fail_code ? faultfs.fail_code
                             : (kind == FAULTFS_SYNC ? SQLITE_IOERR_FSYNC : SQLITE_IOERR_WRITE);
}

static inline int faultfs_write(sqlite3_file *f, const void *data, int len, sqlite3_int64 at)
{
    struct faultfs_disk *d = ((struct faultfs_file *)(void *)f)->disk;
    sqlite3_file *real = faultfs_real(f);
    if (!d)
        return real->pMethods->xWrite(real, data, len, at);
    (void)pthread_mutex_lock(&faultfs.lock);
    int rc = faultfs_event(FAULTFS_WRITE);
    if (rc == SQLITE_OK)
        rc = real->pMethods->xWrite(real, data, len, at);
    if (rc == SQLITE_OK)
        faultfs_note(d, at, data, len);
    (void)pthread_mutex_unlock(&faultfs.lock);
    return rc;
}

static inline int faultfs_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    struct faultfs_disk *d = ((struct faultfs_file *)(void *)f)->disk;
    sqlite3_file *real = faultfs_real(f);
    (void)pthread_mutex_lock(&faultfs.lock);
    int rc = d ? faultfs_event(FAULTFS_WRITE) : SQLITE_OK;
    if (rc == SQLITE_OK)
        rc = real->pMethods->xTruncate(real, size);
    if (rc == SQLITE_OK && d)
        faultfs_note(d, size, NULL, 0);
    (void)pthread_mutex_unlock(&faultfs.lock);
    return rc;
}

/* The real sync is left out: the test says what a device would have, and runs faster. */
static inline int faultfs_sync(sqlite3_file *f, int flags)
{
    (void)flags;
    struct faultfs_disk *d = ((struct faultfs_file *)(void *)f)->disk;
    if (!d)
        return SQLITE_OK;
    (void)pthread_mutex_lock(&faultfs.lock);
    int rc = faultfs_event(FAULTFS_SYNC);
    if (rc == SQLITE_OK)
        faultfs_synced(d);
    (void)pthread_mutex_unlock(&faultfs.lock);
    return rc;
}

/* ---- what is only passed on ---- */

static inline int faultfs_close(sqlite3_file *f)
{
    return faultfs_real(f)->pMethods->xClose(faultfs_real(f));
}

static inline int faultfs_read(sqlite3_file *f, void *data, int len, sqlite3_int64 at)
{
    return faultfs_real(f)->pMethods->xRead(faultfs_real(f), data, len, at);
}

static inline int faultfs_size(sqlite3_file *f, sqlite3_int64 *size)
{
    return faultfs_real(f)->pMethods->xFileSize(faultfs_real(f), size);
}

static inline int faultfs_lock(sqlite3_file *f, int level)
{
    return faultfs_real(f)->pMethods->xLock(faultfs_real(f), level);
}

static inline int faultfs_unlock(sqlite3_file *f, int level)
{
    return faultfs_real(f)->pMethods->xUnlock(faultfs_real(f), level);
}

static inline int faultfs_check_lock(sqlite3_file *f, int *out)
{
    return faultfs_real(f)->pMethods->xCheckReservedLock(faultfs_real(f), out);
}

static inline int faultfs_control(sqlite3_file *f, int op, void *arg)
{
    return faultfs_real(f)->pMethods->xFileControl(faultfs_real(f), op, arg);
}

static inline int faultfs_sector(sqlite3_file *f)
{
    return faultfs_real(f)->pMethods->xSectorSize(faultfs_real(f));
}

static inline int faultfs_device(sqlite3_file *f)
{
    return faultfs_real(f)->pMethods->xDeviceCharacteristics(faultfs_real(f));
}

static inline int
faultfs_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **out)
{
    return faultfs_real(f)->pMethods->xShmMap(faultfs_real(f), page, size, extend, out);
}

static inline int faultfs_shm_lock(sqlite3_file *f, int offset, int n, int flags)
{
    return faultfs_real(f)->pMethods->xShmLock(faultfs_real(f), offset, n, flags);
}

static inline void faultfs_shm_barrier(sqlite3_file *f)
{
    faultfs_real(f)->pMethods->xShmBarrier(faultfs_real(f));
}

static inline int faultfs_shm_unmap(sqlite3_file *f, int remove)
{
    return faultfs_real(f)->pMethods->xShmUnmap(faultfs_real(f), remove);
}

static const sqlite3_io_methods faultfs_methods = {
    .iVersion = 2, /* no memory-mapped reading */
    .xClose = faultfs_close,
    .xRead = faultfs_read,
    .xWrite = faultfs_write,
    .xTruncate = faultfs_truncate,
    .xSync = faultfs_sync,
    .xFileSize = faultfs_size,
    .xLock = faultfs_lock,
    .xUnlock = faultfs_unlock,
    .xCheckReservedLock = faultfs_check_lock,
    .xFileControl = faultfs_control,
    .xSectorSize = faultfs_sector,
    .xDeviceCharacteristics = faultfs_device,
    .xShmMap = faultfs_shm_map,
    .xShmLock = faultfs_shm_lock,
    .xShmBarrier = faultfs_shm_barrier,
    .xShmUnmap = faultfs_shm_unmap,
};

static inline int
faultfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *out_flags)
{
    (void)vfs;
    struct faultfs_file *file = (struct faultfs_file *)(void *)f;
    *file = (struct faultfs_file){.real = (sqlite3_file *)(void *)(file + 1)};
    int rc = faultfs.real->xOpen(faultfs.real, name, file->real, flags, out_flags);
    if (rc != SQLITE_OK || !file->real->pMethods)
        return rc;
    file->base.pMethods = &faultfs_methods;
    if (name && flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) {
        (void)pthread_mutex_lock(&faultfs.lock);
        file->disk = faultfs_disk_of(name);
        (void)pthread_mutex_unlock(&faultfs.lock);
    }
    return SQLITE_OK;
}

static inline int faultfs_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
    (void)vfs;
    return faultfs.real->xDelete(faultfs.real, name, sync_dir);
}

/* ---- for tests ---- */

static inline void faultfs_install(void)
{
    faultfs.real = sqlite3_vfs_find(NULL);
    faultfs.vfs = *faultfs.real;
    faultfs.vfs.zName = "faultfs";
    faultfs.vfs.szOsFile = (int)sizeof(struct faultfs_file) + faultfs.real->szOsFile;
    faultfs.vfs.xOpen = faultfs_open;
    faultfs.vfs.xDelete = faultfs_delete;
    if (sqlite3_vfs_register(&faultfs.vfs, 1) != SQLITE_OK)
        abort();
}

/* Everything passes again, every count is zero. */
static inline void faultfs_reset(void)
{
    (void)pthread_mutex_lock(&faultfs.lock);
    for (size_t i = 0; i < faultfs.n_disks; i++) {
        faultfs_forget(&faultfs.disks[i]);
        free(faultfs.disks[i].synced);
        faultfs.disks[i] = (struct faultfs_disk){0};
    }
    faultfs.n_disks = 0;
    faultfs.track = false;
    faultfs.fail_kind = FAULTFS_ANY;
    faultfs.fail_at = faultfs.fail_count = faultfs.kill_at = 0;
    faultfs.fail_code = 0;
    faultfs.gate = false;
    faultfs.on_event = NULL;
    faultfs.events = faultfs.writes = faultfs.syncs = 0;
    (void)pthread_cond_broadcast(&faultfs.opened);
    (void)pthread_mutex_unlock(&faultfs.lock);
}

/* From now on `count` events of this kind fail with `code` (0: as a failing device does); 0 ends it. */
static inline void faultfs_fail(enum faultfs_kind kind, long count, int code)
{
    (void)pthread_mutex_lock(&faultfs.lock);
    faultfs.fail_kind = kind;
    faultfs.fail_at = faultfs.events + 1;
    faultfs.fail_count = count;
    faultfs.fail_code = code;
    (void)pthread_mutex_unlock(&faultfs.lock);
}

static inline void faultfs_set_gate(bool closed)
{
    (void)pthread_mutex_lock(&faultfs.lock);
    faultfs.gate = closed;
    (void)pthread_cond_broadcast(&faultfs.opened);
    (void)pthread_mutex_unlock(&faultfs.lock);
}

static inline long faultfs_count(const long *counter)
{
    (void)pthread_mutex_lock(&faultfs.lock);
    long n = *counter;
    (void)pthread_mutex_unlock(&faultfs.lock);
    return n;
}

#endif
