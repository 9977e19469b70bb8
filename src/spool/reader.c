/* The reader: bodies that are not in memory, read on a thread and a connection of their own, so that neither a
 * delivery loop nor the committer waits for the disk.  Each read is a transaction of its own: one that stays open
 * would keep the write-ahead log from starting over. */
#include "spool/schema.h"
#include "spool/spool_internal.h"

#include <errno.h>

#define READER_BUSY_MS 1000

struct reader {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work;
    pthread_cond_t idle;
    struct spool_call *queue, **tail;
    bool stopping, busy;
    struct db *db;
    struct query *whole, *chunk;
};

/* On the relay's loop. */
static void hand_over(struct spool_call *call, bool open)
{
    struct spool_read *rd = container_of(call, struct spool_read, call);
    struct buf data = rd->data; /* got() may free rd, or read on with it */
    buf_init(&rd->data, SPOOL_CHUNK);
    if (open)
        rd->got(rd, rd->error, rd->error ? (struct str){NULL, 0} : buf_str(&data));
    buf_done(&data);
}

/* The octets from `offset` on of the one row of `q`; -ENOENT when there is no row. */
static int
read_row(struct query *q, const struct db_value *values, size_t n, int64_t offset, struct buf *out)
{
    int r = query_start(q, values, n);
    if (r == 0)
        r = query_step(q);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    r = buf_append_str(out, str_upto(str_from(query_blob(q, 0), (size_t)offset), SPOOL_CHUNK));
    query_end(q);
    return r;
}

static int size_of(struct reader *rr, int64_t id, int64_t *ret)
{
    int r = query_start(rr->whole, VALUES(v_int(id)));
    if (r == 0)
        r = query_step(rr->whole);
    if (r <= 0)
        return r < 0 ? r : -ENOENT;
    *ret = query_int(rr->whole, 1);
    query_end(rr->whole);
    return 0;
}

static int read_piece(struct reader *rr, const struct spool_read *rd, struct buf *out)
{
    int64_t size = 0;
    int r = size_of(rr, rd->id, &size);
    if (r < 0)
        return r;
    if (rd->offset < 0 || rd->offset >= size)
        return rd->offset < 0 ? -EINVAL : 0;
    if (size <= (int64_t)SPOOL_CHUNK)
        return read_row(rr->whole, VALUES(v_int(rd->id)), rd->offset, out);
    int64_t seq = rd->offset / (int64_t)SPOOL_CHUNK;
    return read_row(rr->chunk, VALUES(v_int(rd->id), v_int(seq)), rd->offset % (int64_t)SPOOL_CHUNK,
                    out);
}

static struct spool_call *next_read(struct reader *rr)
{
    (void)pthread_mutex_lock(&rr->lock);
    while (!rr->queue && !rr->stopping)
        (void)pthread_cond_wait(&rr->work, &rr->lock);
    struct spool_call *c = rr->stopping ? NULL : rr->queue;
    if (c) {
        rr->busy = true;
        rr->queue = c->next;
        if (!rr->queue)
            rr->tail = &rr->queue;
    }
    (void)pthread_mutex_unlock(&rr->lock);
    return c;
}

static void read_done(struct reader *rr)
{
    (void)pthread_mutex_lock(&rr->lock);
    rr->busy = false;
    (void)pthread_cond_broadcast(&rr->idle);
    (void)pthread_mutex_unlock(&rr->lock);
}

/* Nobody wants the answers any more: when this returns no spool_read is touched again. */
void reader_forget(struct spool *sp)
{
    struct reader *rr = sp->reader;
    (void)pthread_mutex_lock(&rr->lock);
    rr->queue = NULL;
    rr->tail = &rr->queue;
    while (rr->busy)
        (void)pthread_cond_wait(&rr->idle, &rr->lock);
    (void)pthread_mutex_unlock(&rr->lock);
}

static void send_to_relay(struct spool *sp, struct spool_call *c)
{
    (void)pthread_mutex_lock(&sp->lock);
    struct port *port = sp->relay.port;
    if (port)
        port_ref(port);
    (void)pthread_mutex_unlock(&sp->lock);
    if (!port) {
        c->run(c, false);
        return;
    }
    port_send(port, c);
    port_unref(port);
}

static void *reader_main(void *arg)
{
    struct spool *sp = arg;
    struct spool_call *c;
    while ((c = next_read(sp->reader))) {
        struct spool_read *rd = container_of(c, struct spool_read, call);
        rd->error = read_piece(sp->reader, rd, &rd->data);
        send_to_relay(sp, c);
        read_done(sp->reader);
    }
    return NULL;
}

void spool_read(struct spool *sp, struct spool_read *rd)
{
    struct reader *rr = sp->reader;
    rd->spool = sp;
    rd->call = (struct spool_call){.run = hand_over};
    buf_init(&rd->data, SPOOL_CHUNK);
    (void)pthread_mutex_lock(&rr->lock);
    *rr->tail = &rd->call;
    rr->tail = &rd->call.next;
    (void)pthread_cond_signal(&rr->work);
    (void)pthread_mutex_unlock(&rr->lock);
}

static void reader_free(struct reader *rr)
{
    db_close(rr->db);
    (void)pthread_mutex_destroy(&rr->lock);
    (void)pthread_cond_destroy(&rr->work);
    (void)pthread_cond_destroy(&rr->idle);
    free(rr);
}

static int prepare(struct reader *rr)
{
    int r = db_prepare(rr->db, "SELECT body, size FROM message WHERE id = ?", &rr->whole);
    if (r == 0)
        r = db_prepare(rr->db, "SELECT data FROM chunk WHERE message = ? AND seq = ?", &rr->chunk);
    return r;
}

int reader_start(struct spool *sp, char *why)
{
    struct reader *rr = xcalloc(1, sizeof(*rr));
    rr->tail = &rr->queue;
    (void)pthread_mutex_init(&rr->lock, NULL);
    (void)pthread_cond_init(&rr->work, NULL);
    (void)pthread_cond_init(&rr->idle, NULL);
    sp->reader = rr;
    int r = schema_open_beside(sp->path, DB_READ, READER_BUSY_MS, &rr->db, why);
    if (r == 0)
        r = prepare(rr);
    if (r == 0)
        r = -pthread_create(&rr->thread, NULL, reader_main, sp);
    if (r < 0) {
        sp->reader = NULL;
        reader_free(rr);
        return r;
    }
    (void)pthread_setname_np(rr->thread, "spool-read");
    return 0;
}

/* Reads that were not begun are dropped. */
void reader_stop(struct spool *sp)
{
    struct reader *rr = sp->reader;
    if (!rr)
        return;
    (void)pthread_mutex_lock(&rr->lock);
    rr->stopping = true;
    (void)pthread_cond_signal(&rr->work);
    (void)pthread_mutex_unlock(&rr->lock);
    (void)pthread_join(rr->thread, NULL);
    sp->reader = NULL;
    reader_free(rr);
}
