#include "spool/store.h"

#include "spool/schema.h"

#include <errno.h>
#include <stdio.h>
#include <sys/statvfs.h>

/* A message with more due recipients than this is offered in parts. */
#define TARGETS_MAX 1000

/* Of the room given by max_bytes this much is kept for results and reports, which must not be refused. */
#define RESERVE_MAX ((int64_t)4 * 1024 * 1024)

/* How long one who is not the owner waits for the owner's transactions, which are short. */
#define BESIDE_BUSY_MS 30000

enum statement {
    Q_BEGIN,
    Q_COMMIT,
    Q_PAGES,
    Q_FREE_PAGES,
    Q_DATA_VERSION,
    Q_PUT_CHUNK,
    Q_PUT_MESSAGE,
    Q_PUT_RECIPIENT,
    Q_PRIORITY,
    Q_DUE,
    Q_NEXT_DUE,
    Q_ENVELOPE,
    Q_TARGETS,
    Q_CLAIM,
    Q_UNCLAIM,
    Q_SET_ASIDE,
    Q_DROP_RECIPIENT,
    Q_DEFER_RECIPIENT,
    Q_HOLD_RECIPIENT,
    Q_DROP_MESSAGE,
    Q_DROP_CHUNKS,
    Q_COUNT
};

static const char *const sql[Q_COUNT] = {
    [Q_BEGIN] = "BEGIN IMMEDIATE",
    [Q_COMMIT] = "COMMIT",
    [Q_PAGES] = "PRAGMA page_count",
    [Q_FREE_PAGES] = "PRAGMA freelist_count",
    [Q_DATA_VERSION] = "PRAGMA data_version",
    [Q_PUT_CHUNK] = "INSERT INTO chunk(message, seq, data) VALUES(?, ?, ?)",
    [Q_PUT_MESSAGE] =
        "INSERT INTO message(id, size, received_ms, release_ms, body_type, smtputf8, ret,"
        " deliver_by_ms, by_mode, by_trace, tls, reverse_path, identity, session, auth, envid, body)"
        " VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    [Q_PUT_RECIPIENT] = "INSERT INTO recipient(message, n, active, held, next_ms, attempts, notify,"
                        " delay_reported, priority, address, orcpt)"
                        " VALUES(?, ?, ?, 0, ?, 0, ?, 0, ?, ?, ?)",
    [Q_PRIORITY] = "SELECT priority FROM recipient WHERE active = 0 AND held = 0 AND priority < ?"
                   " ORDER BY priority DESC LIMIT 1",
    [Q_DUE] = "SELECT message FROM recipient WHERE active = 0 AND held = 0 AND priority = ?"
              " AND next_ms <= ? ORDER BY next_ms LIMIT 1",
    [Q_NEXT_DUE] = "SELECT next_ms FROM recipient WHERE active = 0 AND held = 0 AND priority = ?"
                   " ORDER BY next_ms LIMIT 1",
    [Q_ENVELOPE] = "SELECT size, received_ms, release_ms, body_type, smtputf8, ret, deliver_by_ms,"
                   " by_mode, by_trace, tls, reverse_path, identity, session, auth, envid, body"
                   " FROM message WHERE id = ?",
    [Q_TARGETS] = "SELECT n, notify, attempts, delay_reported, address, orcpt, next_ms, priority FROM recipient"
                  " WHERE message = ? AND active = 0 AND held = 0 AND +next_ms <= ? LIMIT ?",
    [Q_CLAIM] = "UPDATE recipient SET active = 1 WHERE message = ? AND n = ?",
    [Q_UNCLAIM] = "UPDATE recipient SET active = 0 WHERE message = ? AND n = ?",
    [Q_SET_ASIDE] = "UPDATE recipient SET held = 1, last_reply = 'the message itself is missing'"
                    " WHERE message = ?",
    [Q_DROP_RECIPIENT] = "DELETE FROM recipient WHERE message = ? AND n = ?",
    [Q_DEFER_RECIPIENT] = "UPDATE recipient SET active = 0, attempts = attempts + 1, next_ms = ?,"
                          " delay_reported = ?, last_reply = ? WHERE message = ? AND n = ?",
    [Q_HOLD_RECIPIENT] = "UPDATE recipient SET active = 0, held = 1, attempts = attempts + 1,"
                         " last_reply = ? WHERE message = ? AND n = ?",
    [Q_DROP_MESSAGE] = "DELETE FROM message WHERE id = ?1"
                       " AND NOT EXISTS (SELECT 1 FROM recipient WHERE message = ?1)",
    [Q_DROP_CHUNKS] = "DELETE FROM chunk WHERE id IN"
                      " (SELECT id FROM chunk WHERE message = ? ORDER BY seq LIMIT ?)",
};

struct store {
    struct db *db;
    struct query *q[Q_COUNT];
    char *path;
    int64_t page_size;
    int64_t accept_max; /* octets in use at which accepting ends; 0: no limit */
    int64_t data_version;
};

static int prepare(struct store *st, int64_t max_bytes)
{
    int r = db_number(st->db, "PRAGMA page_size", &st->page_size);
    if (r == 0)
        r = db_prepare_all(st->db, sql, Q_COUNT, st->q);
    if (max_bytes > 0)
        st->accept_max = MAX(max_bytes - MIN(RESERVE_MAX, max_bytes / 8), 1);
    return r;
}

/* Takes the connection. */
static int
open_on(struct db *db, const char *path, int64_t max_bytes, struct store **ret, char *why)
{
    struct store *st = xcalloc(1, sizeof(*st));
    st->db = db;
    st->path = xstrdup(path);
    int r = prepare(st, max_bytes);
    if (r < 0) {
        (void)snprintf(why, SPOOL_WHY_MAX, "%s: %s", path, db_words(db));
        store_close(st);
        return r;
    }
    *ret = st;
    return 0;
}

int store_open(const char *path, int64_t max_bytes, struct store **ret, char *why)
{
    struct db *db = NULL;
    int r = schema_open_writer(path, max_bytes, &db, why);
    return r < 0 ? r : open_on(db, path, max_bytes, ret, why);
}

int store_open_beside(const char *path, struct store **ret, char *why)
{
    struct db *db = NULL;
    int r = schema_open_beside(path, DB_WRITE, BESIDE_BUSY_MS, &db, why);
    return r < 0 ? r : open_on(db, path, 0, ret, why);
}

void store_close(struct store *st)
{
    if (!st)
        return;
    db_close(st->db);
    free(st->path);
    free(st);
}

struct db *store_db(struct store *st)
{
    return st->db;
}

int store_greatest_id(struct store *st, int64_t *ret)
{
    return db_number(st->db,
                     "SELECT max(ifnull((SELECT max(id) FROM message), 0),"
                     " ifnull((SELECT max(message) FROM chunk), 0))",
                     ret);
}

int store_begin(struct store *st)
{
    return query_run(st->q[Q_BEGIN], NO_VALUES);
}

int store_commit(struct store *st)
{
    return query_run(st->q[Q_COMMIT], NO_VALUES);
}

void store_rollback(struct store *st)
{
    db_rollback(st->db);
}

int store_scrub(struct store *st)
{
    char text[64];
    (void)snprintf(text, sizeof(text), "PRAGMA user_version = %d", SCHEMA_VERSION);
    return db_exec(st->db, text);
}

/* The first number of the first row. */
static int number_of(struct query *q, const struct db_value *values, size_t n, int64_t *ret)
{
    int r = query_start(q, values, n);
    if (r == 0)
        r = query_step(q);
    if (r < 0)
        return r;
    if (r == 0)
        return -ENOENT;
    *ret = query_int(q, 0);
    query_end(q);
    return 0;
}

static int file_room(struct store *st, char *words)
{
    int64_t pages = 0, free_pages = 0;
    int r = number_of(st->q[Q_PAGES], NO_VALUES, &pages);
    if (r == 0)
        r = number_of(st->q[Q_FREE_PAGES], NO_VALUES, &free_pages);
    if (r < 0)
        return r;
    if ((pages - free_pages) * st->page_size < st->accept_max)
        return 0;
    (void)snprintf(words, STORE_WORDS_MAX, "the database has nearly reached max-size");
    return -ENOSPC;
}

int store_room(struct store *st, int64_t min_free_bytes, char *words)
{
    if (db_file_moved(st->db))
        return -ESTALE;
    struct statvfs fs;
    if (statvfs(st->path, &fs) < 0)
        return -errno;
    uint64_t free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (free_bytes >= (uint64_t)min_free_bytes)
        return st->accept_max > 0 ? file_room(st, words) : 0;
    (void)snprintf(words, STORE_WORDS_MAX, "the file system has %llu KiB free, and min-free keeps %lld",
                   (unsigned long long)free_bytes / 1024, (long long)min_free_bytes / 1024);
    return -ENOSPC;
}

int store_put_chunk(struct store *st, int64_t id, int64_t seq, struct str data)
{
    return query_run(st->q[Q_PUT_CHUNK], VALUES(v_int(id), v_int(seq), v_blob(data)));
}

static int put_envelope(struct store *st, const struct parcel *p)
{
    const struct spool_message *m = &p->message;
    const struct spool_envelope *e = &m->envelope;
    return query_run(st->q[Q_PUT_MESSAGE],
                     VALUES(v_int(m->id), v_int(m->size), v_int(e->received_ms),
                            v_int(e->release_ms), v_int((int64_t)e->body), v_int(e->smtputf8),
                            v_int(e->ret), v_int(e->deliver_by_ms), v_int(e->by_mode),
                            v_int(e->by_trace), v_int((int64_t)e->tls), v_text(e->reverse_path), v_text(e->identity),
                            v_text(e->session), v_text(e->auth), v_text(e->envid),
                            parcel_is_chunked(p) ? v_null() : v_blob(m->body)));
}

int store_put_message(struct store *st, const struct parcel *p, bool claimed, int64_t next_ms)
{
    int r = put_envelope(st, p);
    for (size_t i = 0; r == 0 && i < p->message.n_targets; i++) {
        const struct spool_target *t = &p->message.targets[i];
        r = query_run(st->q[Q_PUT_RECIPIENT],
                      VALUES(v_int(p->message.id), v_int(t->row), v_int(claimed), v_int(next_ms),
                             v_int((int64_t)t->notify), v_int(p->message.envelope.priority),
                             v_text(t->address), v_text(t->orcpt)));
    }
    return r;
}

static int load_row(struct query *q, struct parcel *p)
{
    struct spool_message *m = &p->message;
    m->size = query_int(q, 0);
    int r = parcel_set_envelope(p, &(struct spool_envelope){
                                       .received_ms = query_int(q, 1),
                                       .release_ms = query_int(q, 2),
                                       .body = (enum spool_body)query_int(q, 3),
                                       .smtputf8 = query_int(q, 4) != 0,
                                       .ret = (char)query_int(q, 5),
                                       .deliver_by_ms = query_int(q, 6),
                                       .by_mode = (char)query_int(q, 7),
                                       .by_trace = query_int(q, 8) != 0,
                                       .tls = (enum spool_tls)query_int(q, 9),
                                       .reverse_path = query_text(q, 10),
                                       .identity = query_text(q, 11),
                                       .session = query_text(q, 12),
                                       .auth = query_text(q, 13),
                                       .envid = query_text(q, 14),
                                   });
    if (r < 0 || parcel_is_chunked(p))
        return r;
    struct str body = query_blob(q, 15);
    struct buf copy = BUF_INIT(SPOOL_CHUNK);
    r = buf_append_str(&copy, body);
    if (r == 0)
        parcel_take_body(p, &copy);
    buf_done(&copy);
    return r;
}

static int load_message(struct store *st, struct parcel *p)
{
    struct query *q = st->q[Q_ENVELOPE];
    int r = query_start(q, VALUES(v_int(p->message.id)));
    if (r == 0)
        r = query_step(q);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    r = load_row(q, p);
    query_end(q);
    return r;
}

static int load_targets(struct store *st, struct parcel *p, int64_t now_ms)
{
    struct query *q = st->q[Q_TARGETS];
    size_t capacity = 0;
    int r = query_start(q, VALUES(v_int(p->message.id), v_int(now_ms), v_int(TARGETS_MAX)));
    while (r == 0 && (r = query_step(q)) == 1) {
        const char *address = query_text(q, 4);
        p->message.envelope.priority = (int)query_int(q, 7);
        r = parcel_add_target(p,
                              (struct spool_target){
                                  .row = query_int(q, 0),
                                  .notify = (unsigned)query_int(q, 1),
                                  .attempts = (unsigned)query_int(q, 2),
                                  .delay_reported = query_int(q, 3) != 0,
                                  .asked = query_int(q, 6) == NEXT_ASKED,
                              },
                              address ? address : "", query_text(q, 5), &capacity);
        if (r < 0)
            query_end(q);
    }
    if (r == 0 && p->message.n_targets == 0)
        return -EUCLEAN; /* index and table disagree */
    return r;
}

static int claim_targets(struct store *st, const struct parcel *p)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < p->message.n_targets; i++)
        r = query_run(st->q[Q_CLAIM],
                      VALUES(v_int(p->message.id), v_int(p->message.targets[i].row)));
    return r;
}

static int claim_message(struct store *st, struct parcel *p, int64_t now_ms)
{
    int r = load_message(st, p);
    if (r == 0)
        r = load_targets(st, p, now_ms);
    if (r == 0)
        r = claim_targets(st, p);
    return r;
}

/* The next priority below *priority that anybody waits with, INT64_MAX at first.  -ENOENT: there is none. */
static int next_priority(struct store *st, int64_t *priority)
{
    return number_of(st->q[Q_PRIORITY], VALUES(v_int(*priority)), priority);
}

/* What is due the longest of the greatest priority that has something due: two steps down the index for each priority
 * in use, however much waits.  -ENOENT: nothing is due. */
static int find_due(struct store *st, int64_t now_ms, int64_t *ret_id)
{
    int64_t priority = INT64_MAX;
    int r;
    while ((r = next_priority(st, &priority)) == 0) {
        r = number_of(st->q[Q_DUE], VALUES(v_int(priority), v_int(now_ms)), ret_id);
        if (r != -ENOENT)
            return r;
    }
    return r;
}

int store_claim(struct store *st, struct spool *sp, int64_t now_ms, struct parcel **ret)
{
    for (;;) {
        int64_t id = 0;
        int r = find_due(st, now_ms, &id);
        if (r == -ENOENT) {
            *ret = NULL;
            return 0;
        }
        if (r < 0)
            return r;
        struct parcel *p = parcel_new(sp, id);
        r = claim_message(st, p, now_ms);
        if (r == 0) {
            *ret = p;
            return 0;
        }
        parcel_free(p);
        if (r != -ENOENT)
            return r;
        /* Only a damaged or hand-edited file has recipients without their message. */
        r = query_run(st->q[Q_SET_ASIDE], VALUES(v_int(id)));
        if (r < 0)
            return r;
    }
}

int store_next_due(struct store *st, int64_t *ret_ms)
{
    int64_t priority = INT64_MAX, first = INT64_MAX;
    int r;
    while ((r = next_priority(st, &priority)) == 0) {
        int64_t next = 0;
        r = number_of(st->q[Q_NEXT_DUE], VALUES(v_int(priority)), &next);
        if (r < 0)
            return r;
        first = MIN(first, next);
    }
    if (r != -ENOENT)
        return r;
    *ret_ms = first;
    return 0;
}

int store_unclaim(struct store *st, int64_t id, int64_t n)
{
    return query_run(st->q[Q_UNCLAIM], VALUES(v_int(id), v_int(n)));
}

int store_unclaim_all(struct store *st)
{
    return db_exec(st->db, "UPDATE recipient SET active = 0 WHERE active = 1");
}

int store_drop_recipient(struct store *st, int64_t id, int64_t n, int64_t *count)
{
    int r = query_run(st->q[Q_DROP_RECIPIENT], VALUES(v_int(id), v_int(n)));
    if (r == 0)
        *count += db_changes(st->db);
    return r;
}

int store_defer_recipient(
    struct store *st, int64_t id, int64_t n, const struct spool_result *result, int64_t *count)
{
    int r = query_run(st->q[Q_DEFER_RECIPIENT],
                      VALUES(v_int(result->retry_ms), v_int(result->delay_reported),
                             v_text(result->last_reply), v_int(id), v_int(n)));
    if (r == 0)
        *count += db_changes(st->db);
    return r;
}

int store_hold_recipient(
    struct store *st, int64_t id, int64_t n, const struct spool_result *result, int64_t *count)
{
    int r = query_run(st->q[Q_HOLD_RECIPIENT],
                      VALUES(v_text(result->last_reply), v_int(id), v_int(n)));
    if (r == 0)
        *count += db_changes(st->db);
    return r;
}

int store_drop_message(struct store *st, int64_t id, bool *ret_gone)
{
    int r = query_run(st->q[Q_DROP_MESSAGE], VALUES(v_int(id)));
    if (r == 0)
        *ret_gone = db_changes(st->db) > 0;
    return r;
}

int store_drop_chunks(struct store *st, int64_t id, int64_t limit, int64_t *ret_gone)
{
    int r = query_run(st->q[Q_DROP_CHUNKS], VALUES(v_int(id), v_int(limit)));
    if (r == 0)
        *ret_gone = db_changes(st->db);
    return r;
}

int store_changed_by_others(struct store *st, bool *ret)
{
    int64_t version = 0;
    int r = number_of(st->q[Q_DATA_VERSION], NO_VALUES, &version);
    if (r < 0)
        return r;
    *ret = version != st->data_version;
    st->data_version = version;
    return 0;
}
