/* `postern queue`: looks and steers from any process, beside a running server or without one.
 *
 * No transaction stays open while a callback runs or between slices of a large change: a reader that lingers would
 * let the write-ahead log grow, a writer that lingers would hold up every commit of the server. */
#include "spool/id.h"
#include "spool/schema.h"
#include "spool/spool.h"

#include "base/arena.h"
#include "base/clock.h"

#include <errno.h>
#include <stdio.h>

#define ADMIN_BUSY_MS 30000
#define ROWS_MAX 256 /* listed in one reading transaction */
#define ROWS_ARENA ((size_t)4 * 1024 * 1024)
#define SLICE 200       /* messages changed in one writing transaction */
#define CHUNKS_SLICE 64 /* chunks deleted in one */

struct spool_admin {
    struct db *db;
    char *path;
};

int spool_admin_open(const char *database, bool write, struct spool_admin **ret, char *why)
{
    char *path = realpath(database, NULL);
    if (!path) {
        int r = -errno;
        (void)snprintf(why, SPOOL_WHY_MAX, "%s: %s; name the database the server uses", database,
                       strerror(errno));
        return r;
    }
    struct spool_admin *a = xcalloc(1, sizeof(*a));
    a->path = path;
    int r = schema_open_beside(path, write ? DB_WRITE : DB_READ, ADMIN_BUSY_MS, &a->db, why);
    if (r < 0) {
        spool_admin_close(a);
        return r;
    }
    *ret = a;
    return 0;
}

void spool_admin_close(struct spool_admin *a)
{
    if (!a)
        return;
    db_close(a->db);
    free(a->path);
    free(a);
}

/* ---- list ---- */

/* One message's rows, or everybody's, after the row given. */
#define LIST_COLUMNS                                                                               \
    "SELECT r.message, r.n, r.active, r.held, r.next_ms, r.attempts, m.size, m.received_ms,"       \
    " m.reverse_path, m.identity, m.session, r.address, r.last_reply, m.release_ms,"               \
    " m.deliver_by_ms, m.by_mode, r.priority, m.tls"                             \
    " FROM recipient AS r JOIN message AS m ON m.id = r.message"
#define LIST_ALL LIST_COLUMNS " WHERE (r.message, r.n) > (?, ?) ORDER BY r.message, r.n LIMIT ?"
#define LIST_ONE LIST_COLUMNS " WHERE r.message = ? AND r.n > ? ORDER BY r.n LIMIT ?"

struct page {
    struct arena arena;
    size_t n;
    struct spool_row rows[ROWS_MAX];
    char ids[ROWS_MAX][SPOOL_QUEUE_ID_MAX];
    int64_t last_message, last_n;
    bool server; /* one is at work: a claim means something */
};

static enum spool_state state_of(const struct page *pg, struct query *q, int64_t now)
{
    if (query_int(q, 2) && pg->server)
        return SPOOL_STATE_ACTIVE;
    if (query_int(q, 3))
        return SPOOL_STATE_HELD;
    return query_int(q, 4) <= now ? SPOOL_STATE_DUE : SPOOL_STATE_DEFERRED;
}

static const char *keep(struct page *pg, struct query *q, int column)
{
    const char *s = query_text(q, column);
    return s ? arena_strdup(&pg->arena, str_of(s)) : NULL;
}

static const char *keep_or_empty(struct page *pg, struct query *q, int column)
{
    const char *s = keep(pg, q, column);
    return s ? s : "";
}

static void load_row(struct page *pg, struct query *q, int64_t now)
{
    pg->last_message = query_int(q, 0);
    pg->last_n = query_int(q, 1);
    id_format(pg->last_message, pg->ids[pg->n]);
    pg->rows[pg->n] = (struct spool_row){
        .queue_id = pg->ids[pg->n],
        .reverse_path = keep_or_empty(pg, q, 8),
        .identity = keep(pg, q, 9),
        .session = keep(pg, q, 10),
        .address = keep_or_empty(pg, q, 11),
        .last_reply = keep(pg, q, 12),
        .size = query_int(q, 6),
        .received_ms = query_int(q, 7),
        .next_attempt_ms = query_int(q, 4) == NEXT_ASKED ? now : query_int(q, 4),
        .release_ms = query_int(q, 13),
        .deliver_by_ms = query_int(q, 14),
        .by_mode = (char)query_int(q, 15),
        .priority = (int)query_int(q, 16),
        .tls = (enum spool_tls)query_int(q, 17),
        .attempts = (unsigned)query_int(q, 5),
        .state = state_of(pg, q, now),
    };
    pg->n++;
}

static int load_page(struct page *pg, struct query *q)
{
    pg->n = 0;
    arena_done(&pg->arena);
    int64_t now = clock_wall_ms();
    int r = query_start(q, VALUES(v_int(pg->last_message), v_int(pg->last_n), v_int(ROWS_MAX)));
    while (r == 0 && (r = query_step(q)) == 1) {
        load_row(pg, q, now);
        r = 0;
    }
    return r;
}

static bool
show_page(const struct page *pg, bool (*row)(void *arg, const struct spool_row *r), void *arg)
{
    for (size_t i = 0; i < pg->n; i++) {
        if (!row(arg, &pg->rows[i]))
            return false;
    }
    return true;
}

static int
list(struct page *pg, struct query *q, bool (*row)(void *arg, const struct spool_row *r), void *arg)
{
    size_t seen = 0;
    do {
        int r = load_page(pg, q);
        if (r < 0)
            return r;
        seen += pg->n;
        if (!show_page(pg, row, arg))
            return 0;
    } while (pg->n == ROWS_MAX);
    return seen > 0 ? 0 : -ENOENT;
}

int spool_admin_list(struct spool_admin *a,
                     const char *queue_id,
                     bool (*row)(void *arg, const struct spool_row *r),
                     void *arg)
{
    int64_t id = -1;
    if (queue_id && id_parse(queue_id, &id) < 0)
        return -EINVAL;
    struct query *q = NULL;
    int r = db_prepare(a->db, queue_id ? LIST_ONE : LIST_ALL, &q);
    if (r < 0)
        return r;
    struct page *pg = xcalloc(1, sizeof(*pg));
    arena_init(&pg->arena, ROWS_ARENA);
    pg->last_message = id;
    pg->last_n = -1;
    pg->server = schema_is_locked(a->path);
    r = list(pg, q, row, arg);
    if (r == -ENOENT && !queue_id)
        r = 0; /* an empty queue is no error */
    arena_done(&pg->arena);
    free(pg);
    return r;
}

/* ---- body ---- */

/* The one row of `q` as octets; -ENOENT when there is none. */
static int
fetch(struct query *q, const struct db_value *values, size_t n, struct buf *out, int64_t *ret_size)
{
    buf_clear(out);
    int r = query_start(q, values, n);
    if (r == 0)
        r = query_step(q);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    r = buf_append_str(out, query_blob(q, 0));
    if (ret_size)
        *ret_size = query_int(q, 1);
    query_end(q);
    return r;
}

static int body_pieces(struct query *whole,
                       struct query *chunk,
                       int64_t id,
                       struct buf *b,
                       bool (*piece)(void *arg, struct str data),
                       void *arg)
{
    int64_t size = 0;
    int r = fetch(whole, VALUES(v_int(id)), b, &size);
    if (r < 0)
        return r;
    if (size <= (int64_t)SPOOL_CHUNK) {
        (void)piece(arg, buf_str(b));
        return 0;
    }
    for (int64_t done = 0, seq = 0; done < size; seq++) {
        r = fetch(chunk, VALUES(v_int(id), v_int(seq)), b, NULL);
        if (r < 0)
            return r;
        done += (int64_t)b->len;
        if (b->len == 0 || !piece(arg, buf_str(b)))
            break;
    }
    return 0;
}

int spool_admin_body(struct spool_admin *a,
                     const char *queue_id,
                     bool (*piece)(void *arg, struct str data),
                     void *arg)
{
    int64_t id = 0;
    if (id_parse(queue_id, &id) < 0)
        return -EINVAL;
    struct query *whole = NULL, *chunk = NULL;
    int r = db_prepare(a->db, "SELECT body, size FROM message WHERE id = ?", &whole);
    if (r == 0)
        r = db_prepare(a->db, "SELECT data FROM chunk WHERE message = ? AND seq = ?", &chunk);
    if (r < 0)
        return r;
    struct buf b = BUF_INIT(SPOOL_CHUNK);
    r = body_pieces(whole, chunk, id, &b, piece, arg);
    buf_done(&b);
    return r;
}

/* ---- steering ---- */

static const char *const action_sql[] = {
    /* [rfc4865 4.2] What its sender wants held for a while stays held (FUT-01). */
    [SPOOL_FLUSH] =
        ("UPDATE recipient SET next_ms = ?4 WHERE message > ?1 AND message <= ?2"
         " AND active = 0 AND held = 0 AND next_ms <> ?4"
         " AND (SELECT release_ms FROM message WHERE id = recipient.message) <= ?3"),
    [SPOOL_HOLD] =
        "UPDATE recipient SET held = 1 WHERE message > ?1 AND message <= ?2 AND held = 0",
    [SPOOL_RELEASE] =
        "UPDATE recipient SET held = 0 WHERE message > ?1 AND message <= ?2 AND held = 1",
    [SPOOL_DELETE] = "DELETE FROM recipient WHERE message > ?1 AND message <= ?2",
};

enum { A_ACTION, A_SLICE_END, A_LARGE, A_MESSAGES, A_CHUNKS, A_COUNT };

struct steering {
    struct spool_admin *admin;
    enum spool_action action;
    struct query *q[A_COUNT];
    int64_t now_ms, changed;
    int64_t large[SLICE]; /* deleted messages whose body is in chunks */
    size_t n_large;
};

static int prepare(struct steering *s)
{
    const char *sql[A_COUNT] = {
        [A_ACTION] = action_sql[s->action],
        [A_SLICE_END] =
            "SELECT max(id) FROM (SELECT id FROM message WHERE id > ? ORDER BY id LIMIT ?)",
        [A_LARGE] = "SELECT id FROM message WHERE id > ? AND id <= ? AND size > ?",
        [A_MESSAGES] = "DELETE FROM message WHERE id > ? AND id <= ?",
        [A_CHUNKS] =
            "DELETE FROM chunk WHERE id IN (SELECT id FROM chunk WHERE message = ? LIMIT ?)",
    };
    return db_prepare_all(s->admin->db, sql, A_COUNT, s->q);
}

static int delete_messages(struct steering *s, int64_t from, int64_t to)
{
    struct query *q = s->q[A_LARGE];
    s->n_large = 0;
    int r = query_start(q, VALUES(v_int(from), v_int(to), v_int((int64_t)SPOOL_CHUNK)));
    while (r == 0 && (r = query_step(q)) == 1) {
        if (s->n_large < SLICE)
            s->large[s->n_large++] = query_int(q, 0);
        r = 0;
    }
    return r < 0 ? r : query_run(s->q[A_MESSAGES], VALUES(v_int(from), v_int(to)));
}

/* Messages with from < id <= to, in one transaction. */
static int change_slice(struct steering *s, int64_t from, int64_t to)
{
    struct db *db = s->admin->db;
    int r = db_exec(db, "BEGIN IMMEDIATE");
    if (r < 0)
        return r;
    int64_t changed = 0;
    r = s->action == SPOOL_FLUSH
            ? query_run(s->q[A_ACTION],
                        VALUES(v_int(from), v_int(to), v_int(s->now_ms), v_int(NEXT_ASKED)))
            : query_run(s->q[A_ACTION], VALUES(v_int(from), v_int(to)));
    if (r == 0)
        changed = db_changes(db);
    if (r == 0 && s->action == SPOOL_DELETE)
        r = delete_messages(s, from, to);
    if (r == 0)
        r = db_exec(db, "COMMIT");
    if (r < 0) {
        db_rollback(db);
        return r;
    }
    s->changed += changed;
    return 0;
}

/* A body of many chunks goes bit by bit, after its message: should we be killed in between, the
 * next start of the server removes the rest. */
static int delete_chunks(struct steering *s)
{
    for (size_t i = 0; i < s->n_large; i++) {
        int64_t gone;
        do {
            int r = query_run(s->q[A_CHUNKS], VALUES(v_int(s->large[i]), v_int(CHUNKS_SLICE)));
            if (r < 0)
                return r;
            gone = db_changes(s->admin->db);
        } while (gone == CHUNKS_SLICE);
    }
    s->n_large = 0;
    return 0;
}

/* The id at which the slice that begins after `from` ends; 0: nothing is left. */
static int slice_end(struct steering *s, int64_t from, int64_t *ret)
{
    struct query *q = s->q[A_SLICE_END];
    int r = query_start(q, VALUES(v_int(from), v_int(SLICE)));
    if (r == 0)
        r = query_step(q);
    if (r < 0)
        return r;
    *ret = r == 1 ? query_int(q, 0) : 0;
    query_end(q);
    return 0;
}

/* What arrives meanwhile is left alone: that bounds the work. */
static int change_all(struct steering *s)
{
    int64_t last = 0, from = 0;
    int r = db_number(s->admin->db, "SELECT ifnull(max(id), 0) FROM message", &last);
    while (r == 0 && from < last) {
        int64_t to = 0;
        r = slice_end(s, from, &to);
        if (r < 0 || to == 0)
            break;
        to = MIN(to, last);
        r = change_slice(s, from, to);
        if (r == 0)
            r = delete_chunks(s);
        from = to;
    }
    return r;
}

static int change_one(struct steering *s, int64_t id)
{
    char text[96];
    int64_t there = 0;
    (void)snprintf(text, sizeof(text), "SELECT count(*) FROM message WHERE id = %lld",
                   (long long)id);
    int r = db_number(s->admin->db, text, &there);
    if (r < 0)
        return r;
    if (there == 0)
        return -ENOENT;
    r = change_slice(s, id - 1, id);
    return r < 0 ? r : delete_chunks(s);
}

int spool_admin_apply(struct spool_admin *a,
                      enum spool_action action,
                      const char *queue_id,
                      int64_t *ret_changed)
{
    int64_t id = 0;
    if (queue_id && id_parse(queue_id, &id) < 0)
        return -EINVAL;
    struct steering s = {.admin = a, .action = action, .now_ms = clock_wall_ms()};
    int r = prepare(&s);
    if (r == 0)
        r = queue_id ? change_one(&s, id) : change_all(&s);
    if (r == 0)
        *ret_changed = s.changed;
    return r;
}

/* ---- figures ---- */

static int count_recipients(struct spool_admin *a, struct spool_stats *st)
{
    struct query *q = NULL;
    int r = db_prepare(a->db,
                       "SELECT count(*), total(a), total(NOT a AND held), total(NOT a AND NOT held "
                       "AND next_ms <= ?1)"
                       " FROM (SELECT active AND ?2 AS a, held, next_ms FROM recipient)",
                       &q);
    if (r == 0)
        r = query_start(q, VALUES(v_int(clock_wall_ms()), v_int(schema_is_locked(a->path))));
    if (r == 0)
        r = query_step(q);
    if (r < 0)
        return r;
    st->recipients = query_int(q, 0);
    st->active = query_int(q, 1);
    st->held = query_int(q, 2);
    st->due = query_int(q, 3);
    st->deferred = st->recipients - st->active - st->held - st->due;
    query_end(q);
    return 0;
}

static int count_messages(struct spool_admin *a, struct spool_stats *st)
{
    struct query *q = NULL;
    int r = db_prepare(a->db, "SELECT count(*), total(size), min(received_ms) FROM message", &q);
    if (r == 0)
        r = query_step(q);
    if (r < 0)
        return r;
    st->messages = query_int(q, 0);
    st->bytes = query_int(q, 1);
    st->oldest_ms = query_int(q, 2);
    query_end(q);
    return 0;
}

int spool_admin_stats(struct spool_admin *a, struct spool_stats *ret)
{
    struct spool_stats st = {0};
    int r = count_recipients(a, &st);
    if (r == 0)
        r = count_messages(a, &st);
    if (r == 0)
        *ret = st;
    return r;
}
