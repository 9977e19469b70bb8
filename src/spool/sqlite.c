#include "spool/sqlite.h"

#include "spool/log_file.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include <sqlite3.h>

struct query {
    struct query *next;
    struct db *db;
    sqlite3_stmt *stmt;
};

struct db {
    sqlite3 *handle;
    struct query *queries;
    int log_pages;
};

/* SQLite's memory statistics take a process-wide lock at every allocation; nobody reads them.  The call
 * fails when something else in the process has used SQLite before: then the statistics stay. */
static void library_init(void)
{
    (void)sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
}

static int io_errno(sqlite3 *handle)
{
    int e = sqlite3_system_errno(handle);
    return e == ENOSPC || e == EDQUOT ? e : EIO;
}

static int error_of(sqlite3 *handle, int rc)
{
    static const struct {
        int rc, error;
    } table[] = {
        {SQLITE_FULL,       ENOSPC  },
        {SQLITE_BUSY,       EBUSY   },
        {SQLITE_LOCKED,     EBUSY   },
        {SQLITE_NOMEM,      ENOMEM  },
        {SQLITE_READONLY,   EROFS   },
        {SQLITE_CORRUPT,    EUCLEAN },
        {SQLITE_NOTADB,     EUCLEAN },
        {SQLITE_PERM,       EACCES  },
        {SQLITE_AUTH,       EACCES  },
        {SQLITE_CANTOPEN,   ENOENT  },
        {SQLITE_TOOBIG,     EMSGSIZE},
        {SQLITE_CONSTRAINT, EEXIST  },
    };
    int primary = rc & 0xff;
    if (primary == SQLITE_IOERR)
        return -io_errno(handle);
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (table[i].rc == primary)
            return -table[i].error;
    }
    return -EIO;
}

static int result(struct db *db, int rc)
{
    return rc == SQLITE_OK ? 0 : error_of(db->handle, rc);
}

static int on_commit(void *arg, sqlite3 *handle, const char *name, int pages)
{
    (void)handle;
    (void)name;
    struct db *db = arg;
    db->log_pages = pages;
    return SQLITE_OK;
}

int db_open(
    const char *path, enum db_mode mode, int busy_ms, struct db **ret, char *why, size_t why_size)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, library_init);
    /* NOMUTEX: a connection is used by one thread at a time, so it needs no lock of its own. */
    int flags =
        SQLITE_OPEN_NOMUTEX | (mode == DB_WRITE ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY);
    sqlite3 *handle = NULL;
    int rc = sqlite3_open_v2(path, &handle, flags, log_file_system());
    if (rc != SQLITE_OK) {
        int error = handle ? error_of(handle, rc) : -ENOMEM;
        (void)snprintf(why, why_size, "%s: %s", path,
                       handle ? sqlite3_errmsg(handle) : "out of memory");
        (void)sqlite3_close(handle);
        return error;
    }
    (void)sqlite3_extended_result_codes(handle, 1);
    (void)sqlite3_busy_timeout(handle, busy_ms);
    struct db *db = xcalloc(1, sizeof(*db));
    db->handle = handle;
    /* Setting the hook also ends automatic checkpoints, which would run inside a commit. */
    (void)sqlite3_wal_hook(handle, on_commit, db);
    *ret = db;
    return 0;
}

void db_close(struct db *db)
{
    if (!db)
        return;
    while (db->queries) {
        struct query *q = db->queries;
        db->queries = q->next;
        (void)sqlite3_finalize(q->stmt);
        free(q);
    }
    (void)sqlite3_close(db->handle);
    free(db);
}

int db_exec(struct db *db, const char *sql)
{
    return result(db, sqlite3_exec(db->handle, sql, NULL, NULL, NULL));
}

int db_number(struct db *db, const char *sql, int64_t *ret)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db->handle, sql, -1, &stmt, NULL);
    if (rc != SQLITE_OK)
        return result(db, rc);
    rc = sqlite3_step(stmt);
    int r = rc == SQLITE_ROW ? 0 : rc == SQLITE_DONE ? -ENOENT : result(db, rc);
    if (r == 0)
        *ret = sqlite3_column_int64(stmt, 0);
    (void)sqlite3_finalize(stmt);
    return r;
}

const char *db_words(struct db *db)
{
    return sqlite3_errmsg(db->handle);
}

void db_rollback(struct db *db)
{
    if (!sqlite3_get_autocommit(db->handle))
        (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

int64_t db_changes(struct db *db)
{
    return sqlite3_changes64(db->handle);
}

bool db_file_moved(struct db *db)
{
    int moved = 0;
    int rc = sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
    return rc == SQLITE_OK && moved;
}

int db_log_pages(const struct db *db)
{
    return db->log_pages;
}

int db_checkpoint(struct db *db)
{
    return result(
        db, sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL));
}

int db_prepare(struct db *db, const char *sql, struct query **ret)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &stmt, NULL);
    if (rc != SQLITE_OK)
        return result(db, rc);
    struct query *q = xcalloc(1, sizeof(*q));
    *q = (struct query){.next = db->queries, .db = db, .stmt = stmt};
    db->queries = q;
    *ret = q;
    return 0;
}

int db_prepare_all(struct db *db, const char *const *sql, size_t n, struct query **ret)
{
    for (size_t i = 0; i < n; i++) {
        int r = db_prepare(db, sql[i], &ret[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

static int bind(sqlite3_stmt *stmt, int at, const struct db_value *v)
{
    switch (v->kind) {
    case DB_INT:
        return sqlite3_bind_int64(stmt, at, v->number);
    case DB_TEXT:
        return sqlite3_bind_text64(stmt, at, v->octets.p, v->octets.len, SQLITE_STATIC,
                                   SQLITE_UTF8);
    case DB_BLOB: /* a NULL pointer would bind SQL's NULL: an empty body is not a missing one */
        return sqlite3_bind_blob64(stmt, at, v->octets.p ? v->octets.p : "", v->octets.len,
                                   SQLITE_STATIC);
    case DB_NULL:
        break;
    }
    return sqlite3_bind_null(stmt, at);
}

int query_start(struct query *q, const struct db_value *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int rc = bind(q->stmt, (int)i + 1, &values[i]);
        if (rc != SQLITE_OK)
            return result(q->db, rc);
    }
    return 0;
}

int query_step(struct query *q)
{
    int rc = sqlite3_step(q->stmt);
    if (rc == SQLITE_ROW)
        return 1;
    int r = rc == SQLITE_DONE ? 0 : result(q->db, rc);
    query_end(q);
    return r;
}

void query_end(struct query *q)
{
    (void)sqlite3_reset(q->stmt); /* repeats the error of the step before, which was told then */
}

int query_run(struct query *q, const struct db_value *values, size_t n)
{
    int r = query_start(q, values, n);
    if (r < 0)
        return r;
    r = query_step(q);
    if (r == 1)
        query_end(q);
    return MIN(r, 0);
}

int64_t query_int(struct query *q, int column)
{
    return sqlite3_column_int64(q->stmt, column);
}

const char *query_text(struct query *q, int column)
{
    return (const char *)sqlite3_column_text(q->stmt, column);
}

struct str query_blob(struct query *q, int column)
{
    const void *p = sqlite3_column_blob(q->stmt, column);
    return (struct str){p, p ? (size_t)sqlite3_column_bytes(q->stmt, column) : 0};
}
