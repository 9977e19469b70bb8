/* log_file.h - the write-ahead log as SQLite's file system sees it, with one write where SQLite makes many.
 *
 * A commit appends its pages to the log one by one, each as a header of 24 octets and the page, and syncs it before
 * anybody may see them (spool invariants I1, I2).  Here they are gathered in memory and leave in one pwrite(2) when
 * the log is synced or read: a group of messages makes 30 of them and more.  What was not synced promised nothing before either.
 *
 * Everything else, the database itself included, goes straight to SQLite's own file system.
 *
 * Threads   as SQLite's connections: a file belongs to one thread at a time.
 * Memory    a buffer of LOG_GATHER_MAX for each connection that has written; longer transactions write as it fills.
 * Fails     with the code of SQLite's own file system, when what was gathered is written: so a full disk shows
 *           itself when syncing.  What was gathered is forgotten then, as its transaction has failed.
 * Needs     synchronous = FULL on every connection: without a sync other connections would be told of pages that
 *           nobody has written yet.
 */
#ifndef POSTERN_SPOOL_LOG_FILE_H
#define POSTERN_SPOOL_LOG_FILE_H

/* SQLite's own file system takes less than 128 KiB at a time. */
#define LOG_GATHER_MAX (124 * 1024)

/* The name to give sqlite3_open_v2(); NULL stands for SQLite's own, when ours cannot be had. */
const char *log_file_system(void);

#endif
