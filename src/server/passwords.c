#include "server/passwords.h"

#include "auth/password.h"
#include "auth/prepare.h"
#include "base/clock.h"
#include "base/log.h"
#include "server/dovecot_client.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/random.h>

#define NAMES_MAX ((size_t)1 << 16) /* of each of the two limiters */
#define WAITING_MAX 256             /* checks; a hash takes some 0.1 s of a processor */
#define PATIENCE_MS 20000           /* in the queue */

/* ---- a block ---- */

static int table_lookup(void *arg, struct str key, struct buf *value)
{
    return table_get(arg, key, value);
}

int passwords_init(struct passwords *p, const struct passwords_config *cfg, char *why)
{
    struct rate_window failures = {cfg->failures_max, cfg->failures_window_ms};
    *p = (struct passwords){.cfg = cfg};
    if (getrandom(p->secret, sizeof(p->secret), 0) != (ssize_t)sizeof(p->secret)) {
        (void)snprintf(why, TABLE_WHY_MAX, "no random octets: %s", strerror(errno));
        return -EIO;
    }
    int r = cfg->table ? table_open(cfg->table, false, &p->table, why) : 0;
    if (r < 0)
        return r;
    if (p->table)
        p->entries = (struct lookup){table_lookup, p->table};
    p->by_peer = limiter_new(&failures, 1, 0, NAMES_MAX);
    p->by_name = limiter_new(&failures, 1, 0, NAMES_MAX);
    return 0;
}

void passwords_done(struct passwords *p)
{
    table_close(p->table);
    limiter_free(p->by_peer);
    limiter_free(p->by_name);
    explicit_bzero(p->secret, sizeof(p->secret));
    *p = (struct passwords){0};
}

int passwords_refresh(struct passwords *p)
{
    char why[TABLE_WHY_MAX];
    int r = p->table ? table_refresh(p->table, why) : 0;
    if (r < 0)
        log_message(LOG_LEVEL_ERROR, "reload", "passwords %s keep what they had: %s", p->cfg->name,
                    why);
    return r;
}

/* ---- one check ---- */

void password_check_init(struct password_check *c)
{
    buf_init(&c->user, PASSWORD_MAX);
    buf_init(&c->password, PASSWORD_MAX);
    buf_init(&c->name, PASSWORD_MAX);
}

void password_check_done(struct password_check *c)
{
    buf_wipe(&c->user);
    buf_wipe(&c->password);
    buf_wipe(&c->name);
}

static int check_table(struct password_check *c)
{
    CLEANUP(buf_wipe) struct buf entry = BUF_INIT(PASSWORD_ENTRY_MAX);
    CLEANUP(buf_wipe) struct buf prepared = BUF_INIT(PASSWORD_MAX);
    int found = lookup_name(&c->passwords->entries, buf_str(&c->user), &entry);
    if (prepare_typed(buf_str(&c->password), &prepared) <
        0) /* no entry was made of such a one (PLN-02) */
        return -EACCES;
    if (found < 0 && found != -ENOENT)
        return found;
    struct str none = {NULL, 0};
    int r = password_check(found == 0 ? buf_str(&entry) : none, buf_str(&prepared));
    if (r == -EINVAL)
        log_message(LOG_LEVEL_ERROR, "password-entry",
                    "passwords %s: the entry of %s is none; make it with postern passwd",
                    c->passwords->cfg->name, c->user.data);
    return r < 0 ? r : buf_append_str(&c->name, buf_str(&c->user));
}

void password_check_run(struct password_check *c)
{
    const char *socket = c->passwords->cfg->dovecot;
    if (clock_monotonic_ms() - c->asked_ms > PATIENCE_MS)
        c->result = -ETIMEDOUT;
    else if (socket)
        c->result =
            dovecot_check(socket, buf_str(&c->user), buf_str(&c->password), c->peer, &c->name);
    else
        c->result = check_table(c);
    buf_wipe(&c->password);
}

/* ---- threads ---- */

struct checker {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct password_check *first, **last; /* waiting; under lock, as what follows */
    unsigned n_waiting;
    bool stopping;
    unsigned n_threads;
    pthread_t threads[];
};

static struct password_check *take(struct checker *c)
{
    struct password_check *check = c->first;
    c->first = check->next;
    if (!c->first)
        c->last = &c->first;
    c->n_waiting--;
    return check;
}

static void *checker_main(void *arg)
{
    struct checker *c = arg;
    (void)pthread_mutex_lock(&c->lock);
    for (;;) {
        while (!c->first && !c->stopping)
            (void)pthread_cond_wait(&c->changed, &c->lock);
        if (!c->first)
            break;
        struct password_check *check = take(c);
        check->result = c->stopping ? -ECANCELED : 0;
        (void)pthread_mutex_unlock(&c->lock);
        if (check->result == 0)
            password_check_run(check);
        loop_post(check->loop, &check->task); /* the worker's again */
        (void)pthread_mutex_lock(&c->lock);
    }
    (void)pthread_mutex_unlock(&c->lock);
    return NULL;
}

int checker_start(unsigned threads, struct checker **ret)
{
    struct checker *c = xcalloc(1, sizeof(*c) + threads * sizeof(c->threads[0]));
    (void)pthread_mutex_init(&c->lock, NULL);
    (void)pthread_cond_init(&c->changed, NULL);
    c->last = &c->first;
    for (; c->n_threads < threads; c->n_threads++) {
        int r = pthread_create(&c->threads[c->n_threads], NULL, checker_main, c);
        if (r != 0) {
            checker_stop(c);
            return -r;
        }
    }
    *ret = c;
    return 0;
}

void checker_stop(struct checker *c)
{
    if (!c)
        return;
    (void)pthread_mutex_lock(&c->lock);
    c->stopping = true;
    (void)pthread_cond_broadcast(&c->changed);
    (void)pthread_mutex_unlock(&c->lock);
    for (unsigned i = 0; i < c->n_threads; i++)
        (void)pthread_join(c->threads[i], NULL);
    (void)pthread_cond_destroy(&c->changed);
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
}

int checker_submit(struct checker *c, struct password_check *check)
{
    int r = -EAGAIN;
    check->asked_ms = clock_monotonic_ms();
    check->next = NULL;
    (void)pthread_mutex_lock(&c->lock);
    if (c->n_waiting < WAITING_MAX && !c->stopping) {
        *c->last = check;
        c->last = &check->next;
        c->n_waiting++;
        (void)pthread_cond_signal(&c->changed);
        r = 0;
    }
    (void)pthread_mutex_unlock(&c->lock);
    return r;
}
