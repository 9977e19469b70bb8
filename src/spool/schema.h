/* schema.h - the file on disk: its lock, its tables, its version, and what a start puts in order.
 *
 * `why` takes SPOOL_WHY_MAX octets and names cause and cure.
 */
#ifndef POSTERN_SPOOL_SCHEMA_H
#define POSTERN_SPOOL_SCHEMA_H

#include "spool/sqlite.h"

#define SCHEMA_APPLICATION                                                                         \
    0x506f7374 /* "Post", in the file's header: file(1) and we know it by that */
#define SCHEMA_VERSION 2

/* recipient.next_ms of what `postern queue flush` asks for: before everything else, and seen to be asked for. */
#define NEXT_ASKED 0

/* Creates the file (mode 0600) when it is missing; *ret_path is its real path, malloc'ed: a spool reached by
 * two names must not look like two. */
MUST_USE int schema_create_file(const char *path, char **ret_path, char *why);

/* At most one server has a spool: holds <path>-lock until the descriptor is closed. */
MUST_USE int schema_lock(const char *path, int *ret_fd, char *why);
bool schema_is_locked(const char *path); /* a server is at work; asks without taking the lock */

/* The committer's connection: creates or upgrades the tables, and takes back what a crash left.  Needs the lock. */
MUST_USE int schema_open_writer(const char *path, int64_t max_bytes, struct db **ret, char *why);
/* Beside a writer, or alone: refuses what is not a spool of this version. */
MUST_USE int
schema_open_beside(const char *path, enum db_mode mode, int busy_ms, struct db **ret, char *why);

#endif
