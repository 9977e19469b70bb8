#include "spool/log_file.h"

#include "base/base.h"

#include <pthread.h>
#include <string.h>

#include <sqlite3.h>

#define NAME "postern"

struct log_file {
    sqlite3_file base;
    unsigned char *held; /* LOG_GATHER_MAX; NULL until the first write */
    sqlite3_int64 at;    /* where in the file it begins */
    int len;
    /* SQLite's own file follows. */
};

#define ALIGNED(size) (((size) + 7) / 8 * 8)

static struct log_file *log_of(sqlite3_file *file)
{
    return (struct log_file *)(void *)file;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
    return (sqlite3_file *)(void *)((char *)file + ALIGNED(sizeof(struct log_file)));
}

static int write_real(sqlite3_file *file, const void *data, int len, sqlite3_int64 at)
{
    return real_of(file)->pMethods->xWrite(real_of(file), data, len, at);
}

static int flush(sqlite3_file *file)
{
    struct log_file *l = log_of(file);
    if (l->len == 0)
        return SQLITE_OK;
    int rc = write_real(file, l->held, l->len, l->at);
    l->len = 0; /* also when it failed: kept, it could come to stand in the log after its client was told otherwise */
    return rc;
}

/* SQLite writes a page at most. */
_Static_assert(LOG_GATHER_MAX >= 65536 && LOG_GATHER_MAX < 0x20000, "too little, or too much at a time");

/* Whether it goes on where what is held ends, or changes something of it. */
static bool adjoins(const struct log_file *l, int len, sqlite3_int64 at)
{
    return at >= l->at && at <= l->at + l->len && at - l->at + len <= LOG_GATHER_MAX;
}

static int log_write(sqlite3_file *file, const void *data, int len, sqlite3_int64 at)
{
    struct log_file *l = log_of(file);
    if (!l->held)
        l->held = xcalloc(1, LOG_GATHER_MAX);
    if (l->len > 0 && !adjoins(l, len, at)) {
        int rc = flush(file);
        if (rc != SQLITE_OK)
            return rc;
    }
    if (l->len == 0)
        l->at = at;
    int offset = (int)(at - l->at);
    memcpy(l->held + offset, data, (size_t)len);
    l->len = MAX(l->len, offset + len);
    return SQLITE_OK;
}

static int log_read(sqlite3_file *file, void *data, int len, sqlite3_int64 at)
{
    int rc = flush(file);
    return rc != SQLITE_OK ? rc : real_of(file)->pMethods->xRead(real_of(file), data, len, at);
}

static int log_sync(sqlite3_file *file, int flags)
{
    int rc = flush(file);
    return rc != SQLITE_OK ? rc : real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int log_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    int rc = flush(file);
    return rc != SQLITE_OK ? rc : real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int log_size(sqlite3_file *file, sqlite3_int64 *ret)
{
    int rc = flush(file);
    return rc != SQLITE_OK ? rc : real_of(file)->pMethods->xFileSize(real_of(file), ret);
}

static int log_close(sqlite3_file *file)
{
    free(log_of(file)->held); /* what it holds was not synced: no transaction that anybody was told of */
    log_of(file)->held = NULL;
    return real_of(file)->pMethods->xClose(real_of(file));
}

static int log_control(sqlite3_file *file, int op, void *arg)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), op, arg);
}

static int log_sector_size(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int log_characteristics(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

/* A log is neither locked nor mapped: its database is. */
static int log_lock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int log_unlock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int log_check_lock(sqlite3_file *file, int *ret)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), ret);
}

static const sqlite3_io_methods log_methods = {
    .iVersion = 1,
    .xClose = log_close,
    .xRead = log_read,
    .xWrite = log_write,
    .xTruncate = log_truncate,
    .xSync = log_sync,
    .xFileSize = log_size,
    .xLock = log_lock,
    .xUnlock = log_unlock,
    .xCheckReservedLock = log_check_lock,
    .xFileControl = log_control,
    .xSectorSize = log_sector_size,
    .xDeviceCharacteristics = log_characteristics,
};

static sqlite3_vfs *own; /* SQLite's own */

static int
file_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags, int *ret_flags)
{
    (void)vfs;
    if (!(flags & SQLITE_OPEN_WAL))
        return own->xOpen(own, name, file, flags, ret_flags);
    *log_of(file) = (struct log_file){0};
    int rc = own->xOpen(own, name, real_of(file), flags, ret_flags);
    if (real_of(file)->pMethods) /* it is to be closed, whatever came of it */
        file->pMethods = &log_methods;
    return rc;
}

static bool registered;

static void register_once(void)
{
    static sqlite3_vfs ours;
    own = sqlite3_vfs_find(NULL);
    if (!own)
        return;
    ours = *own; /* whose functions do not ask which of them they are called for */
    ours.zName = NAME;
    ours.pNext = NULL;
    ours.szOsFile = (int)ALIGNED(sizeof(struct log_file)) + own->szOsFile;
    ours.xOpen = file_open;
    registered = sqlite3_vfs_register(&ours, 0) == SQLITE_OK;
}

const char *log_file_system(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, register_once);
    return registered ? NAME : NULL;
}
