#include "cert/ocsp.h"

#include "base/clock.h"
#include "base/log.h"
#include "cert/ocsp_internal.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

/* Invariants, all under the lock:
 *   O1  a key is in the list of open questions at most once;
 *   O2  whoever waits stands at a question of that list, and is told when it leaves the list;
 *   O3  a question leaves the list with its answer in the cache;
 *   O4  a question that is being asked belongs to its thread: when its time is over it leaves the list, and the thread
 *       frees it. */

#define SETS 1024 /* of the cache: a key belongs to one of them */
#define WAYS 4
#define QUESTIONS_MAX 256
#define WAITERS_MAX 4096
#define THREADS_MAX 16
#define URL_MAX 1024

struct entry {
    unsigned char key[CERT_AWAITS_LEN];
    struct ocsp_answer answer; /* until_ms = 0: empty */
};

struct waiter {
    struct waiter *next;
    cert_ocsp_told_fn *told;
    void *arg;
};

struct question {
    struct question *next;
    unsigned char key[CERT_AWAITS_LEN];
    struct ocsp_question asks;
    struct waiter *waiters;
    int64_t deadline_ms;      /* monotonic */
    bool is_asked, is_listed; /* O4 */
};

struct cert_ocsp {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a question came, or the end */
    struct entry cache[SETS][WAYS];
    struct question *open;
    size_t n_open, n_waiters;
    int64_t timeout_ms;
    pthread_t threads[THREADS_MAX + 1];
    unsigned n_threads, threads_wanted;
    bool stopping;
};

/* ---- cache */

static struct entry *cache_set(struct cert_ocsp *o, const unsigned char *key)
{
    return o->cache[((size_t)key[0] << 8 | key[1]) % SETS];
}

static struct entry *cache_find(struct cert_ocsp *o, const unsigned char *key, int64_t now_ms)
{
    struct entry *set = cache_set(o, key);
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].answer.until_ms > now_ms && memcmp(set[i].key, key, CERT_AWAITS_LEN) == 0)
            return &set[i];
    return NULL;
}

/* The place of the key itself, or of what ends first. */
static void
cache_put(struct cert_ocsp *o, const unsigned char *key, const struct ocsp_answer *answer)
{
    struct entry *set = cache_set(o, key), *at = &set[0];
    for (size_t i = 0; i < WAYS; i++) {
        if (memcmp(set[i].key, key, CERT_AWAITS_LEN) == 0) {
            at = &set[i];
            break;
        }
        if (set[i].answer.until_ms < at->answer.until_ms)
            at = &set[i];
    }
    memcpy(at->key, key, CERT_AWAITS_LEN);
    at->answer = *answer;
}

/* ---- questions */

static void question_free(struct question *q)
{
    X509_free(q->asks.leaf);
    X509_free(q->asks.issuer);
    free(q->asks.url);
    free(q);
}

static struct question *question_find(struct cert_ocsp *o, const unsigned char *key)
{
    for (struct question *q = o->open; q; q = q->next)
        if (memcmp(q->key, key, CERT_AWAITS_LEN) == 0)
            return q;
    return NULL;
}

/* O2, O3.  Afterwards it is nobody's but its thread's. */
static void
question_close(struct cert_ocsp *o, struct question *q, const struct ocsp_answer *answer)
{
    struct question **at = &o->open;
    while (*at != q)
        at = &(*at)->next;
    *at = q->next;
    q->is_listed = false;
    o->n_open--;
    cache_put(o, q->key, answer);
    for (struct waiter *w; (w = q->waiters);) {
        q->waiters = w->next;
        o->n_waiters--;
        w->told(w->arg);
        free(w);
    }
    if (!q->is_asked)
        question_free(q);
}

static void log_no_answer(const struct question *q, const char *why)
{
    struct log_line l;
    char issuer[CERT_NAME_SHORT_MAX];
    cert_name_short(X509_get_subject_name(q->asks.issuer), issuer);
    log_begin(&l, LOG_LEVEL_WARNING, "ocsp-no-answer");
    log_text(&l, "issuer", issuer);
    log_text(&l, "responder", q->asks.url);
    log_text(&l, "message", why);
    log_end(&l);
}

static struct ocsp_answer failed_now(void)
{
    return (struct ocsp_answer){.status = OCSP_NO_ANSWER,
                                .until_ms = clock_wall_ms() + CERT_OCSP_FAILED_S * 1000};
}

/* ---- threads */

static struct question *next_to_ask(struct cert_ocsp *o)
{
    struct question *found = NULL; /* the oldest stands last */
    for (struct question *q = o->open; q; q = q->next)
        if (!q->is_asked)
            found = q;
    return found;
}

static void ask_one(struct cert_ocsp *o, struct question *q)
{
    char why[CERT_WHY_MAX] = "";
    q->is_asked = true;
    int64_t left_ms = q->deadline_ms - clock_monotonic_ms();
    (void)pthread_mutex_unlock(&o->lock);
    struct ocsp_answer answer = ocsp_ask(&q->asks, MAX(left_ms, 1), why);
    (void)pthread_mutex_lock(&o->lock);
    q->is_asked = false;
    if (q->is_listed) {
        if (answer.status == OCSP_NO_ANSWER)
            log_no_answer(q, why);
        question_close(o, q, &answer);
        return;
    }
    if (answer.status != OCSP_NO_ANSWER) /* too late for those who asked, not for the next */
        cache_put(o, q->key, &answer);
    question_free(q);
}

/* OpenSSL's socket BIO raises SIGPIPE when a responder has gone; blocked here it is an ordinary error. */
static void block_sigpipe(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
}

static void *run_asker(void *arg)
{
    struct cert_ocsp *o = arg;
    block_sigpipe();
    (void)pthread_mutex_lock(&o->lock);
    while (!o->stopping) {
        struct question *q = next_to_ask(o);
        if (q)
            ask_one(o, q);
        else
            (void)pthread_cond_wait(&o->changed, &o->lock);
    }
    (void)pthread_mutex_unlock(&o->lock);
    return NULL;
}

static int64_t close_overdue(struct cert_ocsp *o)
{
    int64_t now_ms = clock_monotonic_ms(), next_ms = now_ms + 60000;
    for (struct question *q = o->open, *next; q; q = next) {
        next = q->next;
        if (q->deadline_ms > now_ms) {
            next_ms = MIN(next_ms, q->deadline_ms);
            continue;
        }
        struct ocsp_answer none = failed_now();
        log_no_answer(q, "no answer in time");
        question_close(o, q, &none);
    }
    return next_ms;
}

/* Askers may hang in the resolver, which knows no time-out; this thread never does. */
static void *run_timekeeper(void *arg)
{
    struct cert_ocsp *o = arg;
    (void)pthread_mutex_lock(&o->lock);
    while (!o->stopping) {
        int64_t at_ms = close_overdue(o);
        struct timespec at = {.tv_sec = at_ms / 1000, .tv_nsec = at_ms % 1000 * 1000000};
        (void)pthread_cond_timedwait(&o->changed, &o->lock, &at);
    }
    (void)pthread_mutex_unlock(&o->lock);
    return NULL;
}

/* The first is the timekeeper; one asker at least, or nothing is asked. */
static bool start_threads(struct cert_ocsp *o)
{
    while (o->n_threads < o->threads_wanted &&
           pthread_create(&o->threads[o->n_threads], NULL,
                          o->n_threads == 0 ? run_timekeeper : run_asker, o) == 0)
        o->n_threads++;
    return o->n_threads >= 2;
}

struct cert_ocsp *cert_ocsp_new(unsigned threads, int64_t timeout_ms)
{
    struct cert_ocsp *o = xcalloc(1, sizeof(*o));
    pthread_condattr_t attr;
    (void)pthread_mutex_init(&o->lock, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&o->changed, &attr);
    (void)pthread_condattr_destroy(&attr);
    o->timeout_ms = timeout_ms;
    o->threads_wanted = 1 + MAX(MIN(threads, (unsigned)THREADS_MAX), 1U);
    return o;
}

void cert_ocsp_free(struct cert_ocsp *o)
{
    if (!o)
        return;
    struct ocsp_answer none = failed_now();
    (void)pthread_mutex_lock(&o->lock);
    o->stopping = true;
    while (o->open)
        question_close(o, o->open, &none);
    (void)pthread_cond_broadcast(&o->changed);
    (void)pthread_mutex_unlock(&o->lock);
    for (unsigned i = 0; i < o->n_threads; i++)
        (void)pthread_join(o->threads[i], NULL);
    (void)pthread_cond_destroy(&o->changed);
    (void)pthread_mutex_destroy(&o->lock);
    free(o);
}

/* ---- for the judge, and for those who wait */

/* Issuer by its certificate, and the serial number. */
static bool make_key(X509 *leaf, const X509 *issuer, unsigned char key[CERT_AWAITS_LEN])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    const ASN1_INTEGER *serial = X509_get0_serialNumber(leaf);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool good =
        md && X509_digest(issuer, EVP_sha256(), digest, &n) == 1 && n == CERT_AWAITS_LEN &&
        EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 && EVP_DigestUpdate(md, digest, n) == 1 &&
        EVP_DigestUpdate(md, ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial)) ==
            1 &&
        EVP_DigestFinal_ex(md, key, &n) == 1;
    EVP_MD_CTX_free(md);
    return good;
}

/* The first http: address that the certificate names; the caller frees it. */
static char *named_responder(X509 *leaf)
{
    STACK_OF(OPENSSL_STRING) *all = X509_get1_ocsp(leaf);
    char *url = NULL;
    for (int i = 0; !url && i < sk_OPENSSL_STRING_num(all); i++) {
        struct str one = str_of(sk_OPENSSL_STRING_value(all, i));
        if (one.len <= URL_MAX && str_starts_nocase(one, STR("http://")) && str_is_ascii(one) &&
            !str_has_control(one) && str_find(one, ' ') < 0)
            url = xstrndup(one.p, one.len);
    }
    X509_email_free(all);
    return url;
}

static bool question_open(
    struct cert_ocsp *o, const unsigned char *key, X509 *leaf, X509 *issuer, const char *url)
{
    if (o->stopping || o->n_open >= QUESTIONS_MAX || !start_threads(o))
        return false;
    char *responder = url ? xstrdup(url) : named_responder(leaf);
    if (!responder)
        return false;
    struct question *q = xcalloc(1, sizeof(*q));
    memcpy(q->key, key, CERT_AWAITS_LEN);
    q->asks.url = responder;
    q->asks.leaf = X509_up_ref(leaf) == 1 ? leaf : NULL;
    q->asks.issuer = X509_up_ref(issuer) == 1 ? issuer : NULL;
    if (!q->asks.leaf || !q->asks.issuer) {
        question_free(q);
        return false;
    }
    q->deadline_ms = clock_monotonic_ms() + o->timeout_ms;
    q->is_listed = true;
    q->next = o->open;
    o->open = q;
    o->n_open++;
    (void)pthread_cond_broadcast(&o->changed);
    return true;
}

struct ocsp_answer cert_ocsp_look(struct cert_ocsp *o,
                                  X509 *leaf,
                                  X509 *issuer,
                                  const char *url,
                                  int64_t now_ms,
                                  unsigned char key[CERT_AWAITS_LEN])
{
    struct ocsp_answer out = {.status = OCSP_NO_ANSWER};
    if (!o || !make_key(leaf, issuer, key))
        return out;
    (void)pthread_mutex_lock(&o->lock);
    const struct entry *e = cache_find(o, key, now_ms);
    if (e)
        out = e->answer;
    else if (question_find(o, key) || question_open(o, key, leaf, issuer, url))
        out.status = OCSP_PENDING;
    (void)pthread_mutex_unlock(&o->lock);
    return out;
}

int cert_ocsp_wait(struct cert_ocsp *o,
                   const struct cert_verdict *v,
                   cert_ocsp_told_fn *told,
                   void *arg)
{
    int r = -ENOENT;
    (void)pthread_mutex_lock(&o->lock);
    struct question *q = v->cause == CERT_CAUSE_PENDING ? question_find(o, v->awaits) : NULL;
    if (q && o->n_waiters < WAITERS_MAX) {
        struct waiter *w = xcalloc(1, sizeof(*w));
        *w = (struct waiter){q->waiters, told, arg};
        q->waiters = w;
        o->n_waiters++;
        r = 0;
    }
    (void)pthread_mutex_unlock(&o->lock);
    return r;
}
