/* sqlite.h - SQLite behind a small door: connections, prepared statements, values, errors as -errno.
 *
 * sqlite.c and log_file.c are the only files that see sqlite3.h; the SQL itself stands in schema.c, store.c, reader.c and admin.c.
 *
 * Threads   a connection and its queries belong to one thread at a time.
 * Owns      db_close() ends every query prepared on the connection.
 * Fails     -errno: ENOSPC or EDQUOT no room, EBUSY somebody else holds the lock, EUCLEAN the file is damaged or
 *           is no database, EROFS it may not be written, EIO the device failed.  db_words() has SQLite's own words.
 */
#ifndef POSTERN_SPOOL_SQLITE_H
#define POSTERN_SPOOL_SQLITE_H

#include "base/str.h"

struct db;
struct query;

enum db_mode { DB_READ, DB_WRITE };

/* The file must exist.  `busy_ms`: how long a statement waits for another connection's lock. */
MUST_USE int db_open(
    const char *path, enum db_mode mode, int busy_ms, struct db **ret, char *why, size_t why_size);
void db_close(struct db *db); /* NULL is fine */

MUST_USE int db_exec(struct db *db, const char *sql);
/* One number out of one statement: pragmas, counts. */
MUST_USE int db_number(struct db *db, const char *sql, int64_t *ret);
const char *db_words(struct db *db); /* about the last error, valid until the next call */

/* Ends a transaction that failed, if one is open, so that the connection can be used again. */
void db_rollback(struct db *db);
int64_t db_changes(struct db *db); /* rows the last statement changed */
bool db_file_moved(struct db *db); /* the file was renamed, removed or replaced under us */

/* Pages in the write-ahead log after the last commit of this connection. */
int db_log_pages(const struct db *db);
/* Carries pages from the log into the file, without waiting for anybody. */
MUST_USE int db_checkpoint(struct db *db);

MUST_USE int db_prepare(struct db *db, const char *sql, struct query **ret);
/* sql[i] becomes ret[i]; all or none. */
MUST_USE int db_prepare_all(struct db *db, const char *const *sql, size_t n, struct query **ret);

struct db_value {
    enum { DB_NULL, DB_INT, DB_TEXT, DB_BLOB } kind;
    int64_t number;
    struct str octets;
};

static inline struct db_value v_int(int64_t v)
{
    return (struct db_value){.kind = DB_INT, .number = v};
}

static inline struct db_value v_text(const char *s) /* NULL is SQL's NULL */
{
    return (struct db_value){.kind = s ? DB_TEXT : DB_NULL, .octets = str_of(s)};
}

static inline struct db_value v_blob(struct str s)
{
    return (struct db_value){.kind = DB_BLOB, .octets = s};
}

static inline struct db_value v_null(void)
{
    return (struct db_value){.kind = DB_NULL};
}

/* The values of a statement, in order: query_run(q, VALUES(v_int(id), v_text(name))). */
#define VALUES(...)                                                                                \
    (const struct db_value[]){__VA_ARGS__},                                                        \
        sizeof((const struct db_value[]){__VA_ARGS__}) / sizeof(struct db_value)
#define NO_VALUES NULL, 0

/* To the end, ignoring rows.  What the values point to is not needed after the call. */
MUST_USE int query_run(struct query *q, const struct db_value *values, size_t n);

/* Row by row: start, then step until it does not return 1; query_end() when leaving earlier. */
MUST_USE int query_start(struct query *q, const struct db_value *values, size_t n);
MUST_USE int
query_step(struct query *q); /* 1: a row, 0: the end, else -errno; the latter two end the query */
void query_end(struct query *q);

int64_t query_int(struct query *q, int column);
const char *query_text(struct query *q, int column); /* NULL for SQL's NULL; until the next step */
struct str query_blob(struct query *q, int column);  /* likewise; {NULL, 0} for SQL's NULL */

#endif
