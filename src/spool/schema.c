#include "spool/schema.h"

#include "spool/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>

/* How long the committer waits for `postern queue`, which keeps its transactions short. */
#define WRITER_BUSY_MS 10000

/* `recipient` is clustered by message, so that accepting and finishing touch one page each.  `due` holds only what
 * may be attempted: a fresh message that goes straight to the relay never enters it.  It is ordered by priority first:
 * the longest due of a priority is one step down the tree.  The body comes last in its row, so that reading an envelope
 * does not read the body's overflow pages; `tls` is an enum spool_tls, `by_mode` a character or 0. */
#define CREATE_DUE "CREATE INDEX due ON recipient(priority, next_ms) WHERE active = 0 AND held = 0;"

static const char *const tables =
    "CREATE TABLE message("
    " id INTEGER PRIMARY KEY,"
    " size INTEGER NOT NULL,"
    " received_ms INTEGER NOT NULL,"
    " release_ms INTEGER NOT NULL,"
    " body_type INTEGER NOT NULL,"
    " smtputf8 INTEGER NOT NULL,"
    " ret INTEGER NOT NULL,"
    " deliver_by_ms INTEGER NOT NULL,"
    " by_mode INTEGER NOT NULL,"
    " by_trace INTEGER NOT NULL,"
    " tls INTEGER NOT NULL,"
    " reverse_path TEXT NOT NULL,"
    " identity TEXT,"
    " session TEXT,"
    " auth TEXT,"
    " envid TEXT,"
    " body BLOB);"
    "CREATE TABLE recipient("
    " message INTEGER NOT NULL,"
    " n INTEGER NOT NULL,"
    " active INTEGER NOT NULL,"
    " held INTEGER NOT NULL,"
    " next_ms INTEGER NOT NULL,"
    " attempts INTEGER NOT NULL,"
    " notify INTEGER NOT NULL,"
    " delay_reported INTEGER NOT NULL,"
    " priority INTEGER NOT NULL,"
    " address TEXT NOT NULL,"
    " orcpt TEXT,"
    " last_reply TEXT,"
    " PRIMARY KEY(message, n)) WITHOUT ROWID;" CREATE_DUE "CREATE TABLE chunk("
    " id INTEGER PRIMARY KEY,"
    " message INTEGER NOT NULL,"
    " seq INTEGER NOT NULL,"
    " data BLOB NOT NULL);"
    "CREATE UNIQUE INDEX chunk_of ON chunk(message, seq);";

/* From each version to the next.  Columns that come later stand behind the body of rows that exist, without being
 * written to them: no upgrade rewrites the mail. */
static const char *const upgrades[SCHEMA_VERSION] = {
    [1] = "ALTER TABLE message ADD COLUMN deliver_by_ms INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE message ADD COLUMN by_mode INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE message ADD COLUMN by_trace INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE message ADD COLUMN tls INTEGER NOT NULL DEFAULT 0;"
          "ALTER TABLE recipient ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;"
          "DROP INDEX due;" CREATE_DUE,
};

/* Claims end with the process that held them; pieces of a body whose message was never committed go. */
static const char *const recovery =
    "BEGIN IMMEDIATE;"
    "UPDATE recipient SET active = 0 WHERE active = 1;"
    "DELETE FROM chunk WHERE id IN (SELECT id FROM chunk INDEXED BY chunk_of"
    " WHERE message NOT IN (SELECT id FROM message));"
    "COMMIT";

static int say(char *why, int error, const char *fmt, ...) PRINTF(3, 4);

static int say(char *why, int error, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, SPOOL_WHY_MAX, fmt, ap);
    va_end(ap);
    return error;
}

/* What an operator can do about an errno of open(2). */
static const char *cure(int error)
{
    switch (-error) {
    case ENOENT:
        return "; create the directory, owned by the user postern runs as";
    case EACCES:
    case EPERM:
    case EROFS:
        return "; directory and file must be writable by the user postern runs as";
    default:
        return "";
    }
}

/* A new name is on disk only once its directory is. */
static int sync_directory_of(const char *path)
{
    CLEANUP(freep) char *copy = xstrdup(path);
    CLEANUP(fd_closep) int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) < 0)
        return -errno;
    return 0;
}

int schema_create_file(const char *path, char **ret_path, char *why)
{
    /* SQLite gives -wal and -shm the mode of the file beside them. */
    CLEANUP(fd_closep) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int r = fd < 0 ? -errno : sync_directory_of(path);
    if (r < 0)
        return say(why, r, "%s: %s%s", path, strerror(-r), cure(r));
    char *real = realpath(path, NULL);
    if (!real)
        return say(why, -errno, "%s: %s", path, strerror(errno));
    *ret_path = real;
    return 0;
}

static char *lock_name(const char *path)
{
    size_t size = strlen(path) + sizeof("-lock");
    char *name = xcalloc(1, size);
    (void)snprintf(name, size, "%s-lock", path);
    return name;
}

/* A lock of the open file description: fork and other descriptors of this process do not end it, and
 * `postern queue` can ask for it without taking it. */
static const struct flock whole_file = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

static long long owner_of(int fd)
{
    char text[32] = "";
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    return n > 0 ? atoll(text) : 0;
}

int schema_lock(const char *path, int *ret_fd, char *why)
{
    CLEANUP(freep) char *name = lock_name(path);
    CLEANUP(fd_closep) int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return say(why, -errno, "%s: %s%s", name, strerror(errno), cure(-errno));
    struct flock lock = whole_file;
    if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
        return say(
            why, -EBUSY,
            "%s is in use by another postern serve (process %lld); stop that, or name another "
            "database",
            path, owner_of(fd));
    char pid[32];
    int len = snprintf(pid, sizeof(pid), "%lld\n", (long long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)len, 0) < 0)
        errno = 0; /* the number is only for people; the lock holds without it */
    *ret_fd = fd_take(&fd);
    return 0;
}

bool schema_is_locked(const char *path)
{
    CLEANUP(freep) char *name = lock_name(path);
    CLEANUP(fd_closep) int fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    struct flock lock = whole_file;
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

struct version {
    int64_t application, schema, tables;
};

static int read_version(struct db *db, const char *path, struct version *ret, char *why)
{
    int r = db_number(db, "PRAGMA application_id", &ret->application);
    if (r == 0)
        r = db_number(db, "PRAGMA user_version", &ret->schema);
    if (r == 0)
        r = db_number(db, "SELECT count(*) FROM sqlite_schema", &ret->tables);
    if (r == -EUCLEAN)
        return say(
            why, r,
            "%s is damaged or is no SQLite database (%s); name another file, or restore this one",
            path, db_words(db));
    if (r < 0)
        return say(why, r, "%s: %s%s", path, db_words(db), cure(r));
    return 0;
}

static bool is_empty(const struct version *v)
{
    return v->application == 0 && v->schema == 0 && v->tables == 0;
}

static int judge_version(const struct version *v, const char *path, char *why)
{
    if (v->application != SCHEMA_APPLICATION)
        return say(why, -EMEDIUMTYPE,
                   "%s is an SQLite database of some other program; name another file", path);
    if (v->schema > SCHEMA_VERSION)
        return say(
            why, -EPROTONOSUPPORT,
            "%s was written by a newer postern (schema %lld, this one knows %d); run that one",
            path, (long long)v->schema, SCHEMA_VERSION);
    return 0;
}

/* A whole schema or none of it: a crash in between leaves the file as it was. */
static int bring_up_to_date(struct db *db, const struct version *v)
{
    char finish[128];
    (void)snprintf(finish, sizeof(finish),
                   "PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
                   SCHEMA_APPLICATION, SCHEMA_VERSION);
    int r = db_exec(db, "BEGIN IMMEDIATE");
    if (r == 0 && is_empty(v))
        r = db_exec(db, tables);
    for (int64_t i = MAX(v->schema, 1); r == 0 && !is_empty(v) && i < SCHEMA_VERSION; i++)
        r = db_exec(db, upgrades[i]);
    if (r == 0)
        r = db_exec(db, finish);
    if (r < 0)
        db_rollback(db);
    return r;
}

/* synchronous=FULL: a commit has reached the device when it returns (I1).  secure_delete off: Debian turns
 * it on, and it writes every page of a finished message once more; docs/QUEUE.md has the figures.
 * No auto_vacuum: free pages are used again by the next message. */
static int set_up_writer(struct db *db, int64_t max_bytes)
{
    int r = db_exec(db, "PRAGMA page_size = 4096;"
                        "PRAGMA journal_mode = WAL;"
                        "PRAGMA synchronous = FULL;"
                        "PRAGMA secure_delete = OFF;"
                        "PRAGMA trusted_schema = OFF;"
                        "PRAGMA temp_store = MEMORY;"
                        "PRAGMA cache_size = -8000;"
                        "PRAGMA journal_size_limit = 67108864");
    int64_t page_size = 0;
    if (r == 0)
        r = db_number(db, "PRAGMA page_size", &page_size);
    if (r < 0 || max_bytes <= 0)
        return r;
    char limit[64];
    (void)snprintf(limit, sizeof(limit), "PRAGMA max_page_count = %lld",
                   (long long)MAX(max_bytes / page_size, 1));
    return db_exec(db, limit);
}

/* Some file systems give no shared memory, and SQLite then quietly keeps another journal. */
static bool has_write_ahead_log(struct db *db)
{
    struct query *q = NULL;
    if (db_prepare(db, "PRAGMA journal_mode", &q) < 0 || query_step(q) != 1)
        return false;
    const char *mode = query_text(q, 0);
    bool yes = mode && strcmp(mode, "wal") == 0;
    query_end(q);
    return yes;
}

static int prepare_file(struct db *db, const char *path, int64_t max_bytes, char *why)
{
    struct version v;
    int r = read_version(db, path, &v, why);
    if (r < 0)
        return r;
    if (!is_empty(&v)) {
        r = judge_version(&v, path, why);
        if (r < 0)
            return r;
    }
    r = set_up_writer(db, max_bytes);
    if (r == 0 && !has_write_ahead_log(db))
        return say(why, -EOPNOTSUPP,
                   "%s: its file system cannot hold a write-ahead log; use a local one", path);
    if (r == 0 && v.schema < SCHEMA_VERSION)
        r = bring_up_to_date(db, &v);
    if (r == 0)
        r = db_exec(db, recovery);
    if (r < 0) {
        (void)say(why, r, "%s: %s%s", path, db_words(db), cure(r));
        db_rollback(db);
    }
    return r;
}

int schema_open_writer(const char *path, int64_t max_bytes, struct db **ret, char *why)
{
    struct db *db = NULL;
    int r = db_open(path, DB_WRITE, WRITER_BUSY_MS, &db, why, SPOOL_WHY_MAX);
    if (r < 0)
        return r;
    r = prepare_file(db, path, max_bytes, why);
    if (r < 0) {
        db_close(db);
        return r;
    }
    *ret = db;
    return 0;
}

static int judge_beside(struct db *db, const char *path, char *why)
{
    struct version v;
    int r = read_version(db, path, &v, why);
    if (r < 0)
        return r;
    r = judge_version(&v, path, why);
    if (r < 0)
        return r;
    if (v.schema < SCHEMA_VERSION)
        return say(why, -EPROTONOSUPPORT,
                   "%s has an older schema; start postern serve once, it upgrades the file", path);
    r = db_exec(
        db, "PRAGMA synchronous = FULL; PRAGMA secure_delete = OFF; PRAGMA trusted_schema = OFF");
    return r < 0 ? say(why, r, "%s: %s", path, db_words(db)) : 0;
}

int schema_open_beside(const char *path, enum db_mode mode, int busy_ms, struct db **ret, char *why)
{
    struct db *db = NULL;
    int r = db_open(path, mode, busy_ms, &db, why, SPOOL_WHY_MAX);
    if (r < 0)
        return r;
    r = judge_beside(db, path, why);
    if (r < 0) {
        db_close(db);
        return r;
    }
    *ret = db;
    return 0;
}
