/* store.h - what the committer does to the database, one function a statement or two.
 *
 * Everything between store_begin() and store_commit() becomes durable together or not at all.  After any
 * error the caller calls store_rollback(), and the store can be used again.
 */
#ifndef POSTERN_SPOOL_STORE_H
#define POSTERN_SPOOL_STORE_H

#include "spool/parcel.h"
#include "spool/sqlite.h"

struct store;

MUST_USE int store_open(const char *path, int64_t max_bytes, struct store **ret, char *why);
/* Beside whoever has the lock: accepting only. */
MUST_USE int store_open_beside(const char *path, struct store **ret, char *why);
void store_close(struct store *st); /* NULL is fine */
struct db *store_db(struct store *st);

MUST_USE int store_greatest_id(struct store *st, int64_t *ret);

MUST_USE int store_begin(struct store *st);
MUST_USE int store_commit(struct store *st);
void store_rollback(struct store *st);
/* Overwrites what a failed commit may have left in the log.  See docs/QUEUE.md, "A commit that fails". */
MUST_USE int store_scrub(struct store *st);

#define STORE_WORDS_MAX 160

/* Why nothing new may be accepted now: -ENOSPC, -ESTALE when the file is not the one we opened; else 0.  Beside
 * -ENOSPC `words` says which limit it was, for the operator: the disk may look as if it had room. */
MUST_USE int store_room(struct store *st, int64_t min_free_bytes, char *words);

/* ---- accepting ---- */

MUST_USE int store_put_chunk(struct store *st, int64_t id, int64_t seq, struct str data);
/* The message and its recipients: claimed at once, or due at `next_ms`. */
MUST_USE int
store_put_message(struct store *st, const struct parcel *p, bool claimed, int64_t next_ms);

/* ---- delivering ---- */

/* Claims the message that is due the longest, of those of the greatest priority; *ret is NULL when there is none. */
MUST_USE int store_claim(struct store *st, struct spool *sp, int64_t now_ms, struct parcel **ret);
MUST_USE int store_next_due(struct store *st, int64_t *ret_ms); /* INT64_MAX: none */
MUST_USE int store_unclaim(struct store *st, int64_t id, int64_t n);
MUST_USE int store_unclaim_all(struct store *st);

/* `*count` grows by the recipients that were still there: `postern queue` may have deleted them meanwhile. */
MUST_USE int store_drop_recipient(struct store *st, int64_t id, int64_t n, int64_t *count);
MUST_USE int store_defer_recipient(
    struct store *st, int64_t id, int64_t n, const struct spool_result *result, int64_t *count);
MUST_USE int store_hold_recipient(
    struct store *st, int64_t id, int64_t n, const struct spool_result *result, int64_t *count);
/* Removes the message when no recipient is left; its chunks stay for store_drop_chunks(). */
MUST_USE int store_drop_message(struct store *st, int64_t id, bool *ret_gone);
/* Removes at most `limit` chunks; *ret_gone tells how many. */
MUST_USE int store_drop_chunks(struct store *st, int64_t id, int64_t limit, int64_t *ret_gone);

/* Did another process change the database since the last call? */
MUST_USE int store_changed_by_others(struct store *st, bool *ret);

#endif
