#include "unit.h"

#include "spool/log_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

struct kit {
    char folder[32], path[64], log[80];
    sqlite3 *db;
};

static sqlite3 *open_db(const struct kit *k)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open_v2(k->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, log_file_system()),
                     SQLITE_OK);
    return db;
}

static void run(sqlite3 *db, const char *sql)
{
    char *why = NULL;
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s: %s", sql, why);
}

static int number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *q = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    int n = sqlite3_column_int(q, 0);
    (void)sqlite3_finalize(q);
    return n;
}

static int set_up(void **state)
{
    static struct kit k;
    (void)snprintf(k.folder, sizeof(k.folder), "log-file.XXXXXX");
    assert_non_null(mkdtemp(k.folder));
    (void)snprintf(k.path, sizeof(k.path), "%s/x.db", k.folder);
    (void)snprintf(k.log, sizeof(k.log), "%s-wal", k.path);
    k.db = open_db(&k);
    run(k.db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)");
    *state = &k;
    return 0;
}

static int tear_down(void **state)
{
    struct kit *k = *state;
    (void)sqlite3_close(k->db);
    char command[64];
    (void)snprintf(command, sizeof(command), "rm -r %s", k->folder);
    return system(command);
}

static off_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : -1;
}

static void ours_is_used(void **state)
{
    struct kit *k = *state;
    assert_non_null(log_file_system());
    sqlite3_file *log = NULL;
    assert_int_equal(sqlite3_file_control(k->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, (void *)&log), SQLITE_OK);
    assert_int_equal(log->pMethods->iVersion, 1); /* SQLite's own have more */
}

/* Nothing reaches the log before the commit, unless it is more than is gathered. */
static void writes_wait_for_the_sync(void **state)
{
    struct kit *k = *state;
    sqlite3_file *log = NULL;
    assert_int_equal(sqlite3_file_control(k->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, (void *)&log), SQLITE_OK);
    off_t before = size_of(k->log);
    const sqlite3_io_methods *m = log->pMethods;
    char page[4096];
    memset(page, 'x', sizeof(page));
    assert_int_equal(m->xWrite(log, page, sizeof(page), before), SQLITE_OK);
    assert_int_equal(m->xWrite(log, page, sizeof(page), before + 4096), SQLITE_OK);
    assert_int_equal(size_of(k->log), before);
    assert_int_equal(m->xWrite(log, "y", 1, before + 4000), SQLITE_OK); /* in what is held */
    assert_int_equal(size_of(k->log), before);
    assert_int_equal(m->xSync(log, SQLITE_SYNC_NORMAL), SQLITE_OK);
    assert_int_equal(size_of(k->log), before + 8192);
    char back[4096];
    assert_int_equal(m->xRead(log, back, sizeof(back), before), SQLITE_OK);
    page[4000] = 'y';
    assert_memory_equal(back, page, sizeof(page));
    /* What is held is seen by whoever asks. */
    sqlite3_int64 size = 0;
    assert_int_equal(m->xWrite(log, "z", 1, before + 8192), SQLITE_OK);
    assert_int_equal(m->xFileSize(log, &size), SQLITE_OK);
    assert_int_equal(size, before + 8193);
    assert_int_equal(m->xWrite(log, "a", 1, before + 8193), SQLITE_OK);
    assert_int_equal(m->xRead(log, back, 1, before + 8193), SQLITE_OK);
    assert_int_equal(back[0], 'a');
    /* Elsewhere: what is held goes first. */
    assert_int_equal(m->xWrite(log, "b", 1, before + 8194), SQLITE_OK);
    assert_int_equal(m->xWrite(log, "c", 1, before), SQLITE_OK);
    assert_int_equal(size_of(k->log), before + 8195);
    assert_int_equal(m->xTruncate(log, before), SQLITE_OK);
    assert_int_equal(size_of(k->log), before);
}

static void more_than_fits_goes_as_it_comes(void **state)
{
    struct kit *k = *state;
    run(k->db, "PRAGMA cache_size = 16; BEGIN;"
               "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 2000)"
               "INSERT INTO t SELECT i, randomblob(3000) FROM n");
    assert_true(size_of(k->log) > LOG_GATHER_MAX); /* the transaction is open, and does not fit into the cache */
    assert_int_equal(number(k->db, "SELECT count(*) FROM t WHERE length(b) = 3000"), 2000);
    sqlite3 *other = open_db(k);
    assert_int_equal(number(other, "SELECT count(*) FROM t"), 0);
    run(k->db, "ROLLBACK");
    assert_int_equal(number(k->db, "SELECT count(*) FROM t"), 0);
    run(k->db, "INSERT INTO t VALUES (1, 'x')");
    assert_int_equal(number(other, "SELECT count(*) FROM t"), 1);
    (void)sqlite3_close(other);
}

/* Another connection, another process and a start after a crash see each commit, and nothing else. */
static void every_commit_is_seen(void **state)
{
    struct kit *k = *state;
    sqlite3 *other = open_db(k);
    for (int i = 1; i <= 200; i++) {
        char sql[128];
        (void)snprintf(sql, sizeof(sql), "INSERT INTO t VALUES (%d, randomblob(%d))", i, i * 37 % 9000);
        run(k->db, sql);
        assert_int_equal(number(other, "SELECT count(*) FROM t"), i);
        if (i % 50 == 0)
            assert_int_equal(sqlite3_wal_checkpoint_v2(other, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL), SQLITE_OK);
    }
    (void)sqlite3_close(other);
    char sql[256];
    (void)snprintf(sql, sizeof(sql), "cp %s %s/copy.db && cp %s %s/copy.db-wal", k->path, k->folder, k->log, k->folder);
    assert_int_equal(system(sql), 0);
    run(k->db, "BEGIN; INSERT INTO t VALUES (1000, 'never')");
    struct kit copy = *k;
    (void)snprintf(copy.path, sizeof(copy.path), "%s/copy.db", k->folder);
    sqlite3 *after = open_db(&copy);
    assert_int_equal(number(after, "SELECT count(*) FROM t"), 200);
    (void)sqlite3_close(after);
    run(k->db, "ROLLBACK");
    assert_int_equal(number(k->db, "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ours_is_used, set_up, tear_down),
        cmocka_unit_test_setup_teardown(writes_wait_for_the_sync, set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_than_fits_goes_as_it_comes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_commit_is_seen, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
