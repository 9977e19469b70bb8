/* The checkpointer carries pages from the write-ahead log into the database, on a thread and a connection of
 * its own, beside the commits and never in front of a waiting client.
 *
 * The log starts over from its beginning only when everything in it has been carried over and a commit then begins.
 * While commits keep coming the checkpointer alone never catches up, so above LOG_HIGH the committer itself
 * carries over the rest, which is little, as the checkpointer has just been there: that bounds the log. */
#include "spool/schema.h"
#include "spool/spool_internal.h"

#define PAGES(mib) ((mib)*1024 * 1024 / 4096)
#define LOG_LOW PAGES(4)   /* so much since the last time: the checkpointer runs */
#define LOG_HIGH PAGES(16) /* so much in all: the committer finishes its work */
#define CHECKPOINT_BUSY_MS 0

struct checkpointer {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work;
    bool wanted, finished, stopping;
    struct db *db;

    int pages_seen; /* the committer's: in the log when it last asked */
};

static bool next_run(struct checkpointer *k)
{
    (void)pthread_mutex_lock(&k->lock);
    while (!k->wanted && !k->stopping)
        (void)pthread_cond_wait(&k->work, &k->lock);
    bool run = !k->stopping;
    (void)pthread_mutex_unlock(&k->lock);
    return run;
}

static void *checkpoint_main(void *arg)
{
    struct checkpointer *k = ((struct spool *)arg)->checkpointer;
    while (next_run(k)) {
        /* Failing, it leaves everything in the log, which is as durable; the next time tries again. */
        int r = db_checkpoint(k->db);
        (void)pthread_mutex_lock(&k->lock);
        k->wanted = false;
        k->finished = r == 0;
        (void)pthread_mutex_unlock(&k->lock);
    }
    return NULL;
}

/* Asks for a run unless one is under way; true when one has finished since the last call. */
static bool ask(struct checkpointer *k, bool want)
{
    (void)pthread_mutex_lock(&k->lock);
    bool finished = k->finished && !k->wanted;
    if (finished)
        k->finished = false;
    if (want && !k->wanted && !finished) {
        k->wanted = true;
        (void)pthread_cond_signal(&k->work);
    }
    (void)pthread_mutex_unlock(&k->lock);
    return finished;
}

void checkpoint_consider(struct spool *sp)
{
    struct checkpointer *k = sp->checkpointer;
    int pages = db_log_pages(store_db(sp->store));
    if (pages < k->pages_seen)
        k->pages_seen = 0; /* the log started over */
    if (pages - k->pages_seen < LOG_LOW)
        return;
    bool finished = ask(k, true);
    if (!finished)
        return;
    k->pages_seen = pages;
    if (pages >= LOG_HIGH && db_checkpoint(store_db(sp->store)) < 0)
        k->pages_seen = 0; /* some reader is in the way, or the disk is: again soon */
}

static void checkpointer_free(struct checkpointer *k)
{
    db_close(k->db);
    (void)pthread_mutex_destroy(&k->lock);
    (void)pthread_cond_destroy(&k->work);
    free(k);
}

int checkpoint_start(struct spool *sp, char *why)
{
    struct checkpointer *k = xcalloc(1, sizeof(*k));
    (void)pthread_mutex_init(&k->lock, NULL);
    (void)pthread_cond_init(&k->work, NULL);
    sp->checkpointer = k;
    int r = schema_open_beside(sp->path, DB_WRITE, CHECKPOINT_BUSY_MS, &k->db, why);
    if (r == 0)
        r = -pthread_create(&k->thread, NULL, checkpoint_main, sp);
    if (r < 0) {
        sp->checkpointer = NULL;
        checkpointer_free(k);
        return r;
    }
    (void)pthread_setname_np(k->thread, "spool-checkpt");
    return 0;
}

void checkpoint_stop(struct spool *sp)
{
    struct checkpointer *k = sp->checkpointer;
    if (!k)
        return;
    (void)pthread_mutex_lock(&k->lock);
    k->stopping = true;
    (void)pthread_cond_signal(&k->work);
    (void)pthread_mutex_unlock(&k->lock);
    (void)pthread_join(k->thread, NULL);
    sp->checkpointer = NULL;
    checkpointer_free(k);
}
