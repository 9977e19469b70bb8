/* One message into a spool, from a program that has no other business with it: `postern send --queue`.
 *
 * Works beside whoever has the spool open, who notices within a second, and needs the lock only to make the file. */
#include "spool/id.h"
#include "spool/parcel.h"
#include "spool/schema.h"
#include "spool/spool.h"
#include "spool/store.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>

#define MIN_FREE_BYTES ((int64_t)16 << 20)
#define WAIT_TRIES 200 /* for somebody who is just making the file */
#define WAIT_US 50000

/* What was read before the transaction begins, and the rest of a body that is not whole. */
struct deposit {
    const struct spool_source *source;
    struct store *store;
    struct parcel *parcel;
    struct buf piece;
};

/* A new spool, or one that an older version left: whoever has the lock makes it what it should be. */
static int make_ready(const char *path, char *why)
{
    CLEANUP(fd_closep) int lock = -1;
    struct store *store = NULL;
    int r = schema_lock(path, &lock, why);
    if (r == 0)
        r = store_open(path, 0, &store, why);
    store_close(store);
    return r;
}

static bool may_become_ready(int error)
{
    return error == -EMEDIUMTYPE || error == -EPROTONOSUPPORT;
}

static int open_store(const char *path, struct store **ret, char *why)
{
    int r = store_open_beside(path, ret, why);
    for (int i = 0; may_become_ready(r) && i < WAIT_TRIES; i++) {
        r = make_ready(path, why);
        if (r == -EBUSY)
            (void)usleep(WAIT_US);
        else if (r < 0)
            return r;
        r = store_open_beside(path, ret, why);
    }
    return r;
}

/* -EIO when the source ends before its size. */
static int read_piece(struct deposit *d, int64_t offset)
{
    size_t want = (size_t)MIN(d->source->size - offset, (int64_t)SPOOL_CHUNK);
    buf_clear(&d->piece);
    int r = buf_reserve(&d->piece, want);
    while (r == 0 && d->piece.len < want) {
        ssize_t n = d->source->read(d->source->arg, offset + (int64_t)d->piece.len,
                                    d->piece.data + d->piece.len, want - d->piece.len);
        if (n <= 0)
            return n < 0 ? (int)n : -EIO;
        d->piece.len += (size_t)n;
    }
    return r;
}

static int put_chunks(struct deposit *d)
{
    int r = 0;
    for (int64_t done = 0, seq = 0; r == 0 && done < d->source->size; seq++) {
        r = read_piece(d, done);
        if (r == 0)
            r = store_put_chunk(d->store, d->parcel->message.id, seq, buf_str(&d->piece));
        done += (int64_t)d->piece.len;
    }
    return r;
}

static int put_all(struct deposit *d)
{
    int64_t now = clock_wall_ms();
    char words[STORE_WORDS_MAX];
    int r = store_room(d->store, MIN_FREE_BYTES, words);
    if (r == 0)
        r = store_begin(d->store);
    if (r == 0 && parcel_is_chunked(d->parcel))
        r = put_chunks(d);
    if (r == 0)
        r = store_put_message(d->store, d->parcel, false, now);
    if (r == 0)
        r = store_commit(d->store);
    if (r < 0)
        store_rollback(d->store);
    return r;
}

static int make_parcel(struct deposit *d,
                       const struct spool_envelope *env,
                       const struct spool_recipient *recipients,
                       size_t n_recipients)
{
    struct id_source ids;
    int64_t greatest = 0;
    int r = store_greatest_id(d->store, &greatest);
    if (r < 0)
        return r;
    id_source_init(&ids, greatest);
    d->parcel = parcel_new(NULL, id_next(&ids, clock_wall_ms()));
    d->parcel->message.size = d->source->size;
    r = parcel_set_envelope(d->parcel, env);
    if (r == 0)
        r = parcel_set_recipients(d->parcel, recipients, n_recipients);
    if (r == 0 && !parcel_is_chunked(d->parcel))
        r = read_piece(d, 0);
    if (r == 0 && !parcel_is_chunked(d->parcel))
        parcel_take_body(d->parcel, &d->piece);
    return r;
}

int spool_deposit(const char *database,
                  const struct spool_envelope *env,
                  const struct spool_recipient *recipients,
                  size_t n_recipients,
                  const struct spool_source *source,
                  char ret_id[SPOOL_QUEUE_ID_MAX],
                  char *why)
{
    struct deposit d = {.source = source};
    CLEANUP(freep) char *path = NULL;
    int r = schema_create_file(database, &path, why);
    if (r == 0)
        r = open_store(path, &d.store, why);
    if (r < 0)
        return r;
    buf_init(&d.piece, SPOOL_CHUNK);
    r = make_parcel(&d, env, recipients, n_recipients);
    if (r == 0)
        r = put_all(&d);
    if (r < 0)
        (void)snprintf(why, SPOOL_WHY_MAX, "%s: %s", path,
                       r == -ENOSPC ? "there is no room on the disk" : strerror(-r));
    else
        id_format(d.parcel->message.id, ret_id);
    if (r == 0)
        why[0] = '\0'; /* of the first try, which made the file */
    parcel_free(d.parcel);
    buf_done(&d.piece);
    store_close(d.store);
    return r;
}
