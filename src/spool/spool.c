#include "spool/schema.h"
#include "spool/spool_internal.h"

#include <errno.h>
#include <stdio.h>

#define MIN_FREE_DEFAULT ((int64_t)16 * 1024 * 1024)

static struct spool *spool_new(const struct spool_config *cfg)
{
    struct spool *sp = xcalloc(1, sizeof(*sp));
    sp->lock_fd = -1;
    sp->min_free_bytes = cfg->min_free_bytes > 0 ? cfg->min_free_bytes : MIN_FREE_DEFAULT;
    sp->jobs_tail = &sp->jobs;
    sp->soon_ms = INT64_MAX;
    ports_init(&sp->ports);
    (void)pthread_mutex_init(&sp->lock, NULL);
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&sp->work, &attr);
    (void)pthread_condattr_destroy(&attr);
    return sp;
}

static int open_files(struct spool *sp, const struct spool_config *cfg, char *why)
{
    int r = schema_create_file(cfg->database, &sp->path, why);
    if (r == 0)
        r = schema_lock(sp->path, &sp->lock_fd, why);
    if (r == 0)
        r = store_open(sp->path, cfg->max_bytes, &sp->store, why);
    if (r < 0)
        return r;
    int64_t greatest = 0;
    r = store_greatest_id(sp->store, &greatest);
    if (r < 0)
        (void)snprintf(why, SPOOL_WHY_MAX, "%s: %s", sp->path, db_words(store_db(sp->store)));
    id_source_init(&sp->ids, greatest);
    return r;
}

static int start_threads(struct spool *sp, char *why)
{
    (void)snprintf(why, SPOOL_WHY_MAX, "%s: no thread could be started", sp->path);
    int r = reader_start(sp, why);
    if (r == 0)
        r = checkpoint_start(sp, why);
    if (r == 0)
        r = committer_start(sp);
    return r;
}

int spool_open(const struct spool_config *cfg, struct spool **ret, char *why)
{
    struct spool *sp = spool_new(cfg);
    int r = open_files(sp, cfg, why);
    if (r == 0)
        r = start_threads(sp, why);
    if (r < 0) {
        spool_close(sp);
        return r;
    }
    *ret = sp;
    return 0;
}

bool spool_has_room(const struct spool *sp)
{
    return !atomic_load(&sp->full);
}

/* In this order: nothing reads, nothing is committed any more, what comes back is freed without a call. */
void spool_close(struct spool *sp)
{
    if (!sp)
        return;
    reader_stop(sp);
    committer_stop(sp);
    checkpoint_stop(sp);
    ports_done(&sp->ports);
    store_close(sp->store); /* the last connection also empties and removes the log */
    fd_closep(&sp->lock_fd);
    (void)pthread_mutex_destroy(&sp->lock);
    (void)pthread_cond_destroy(&sp->work);
    free(sp->path);
    free(sp);
}
