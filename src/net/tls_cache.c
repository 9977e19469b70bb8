/* The sessions of a server's clients, kept in memory: the newest `max`, under the name the client brings back.  They
 * stand as they came in a ring, whose oldest place is the next to be taken, and hang in chains by their name, which is
 * random and so its own hash. */
#include "net/tls_internal.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <string.h>

#define NOBODY UINT32_MAX

struct place {
    SSL_SESSION *session; /* NULL: free */
    uint32_t next;        /* in its chain; NOBODY ends it */
};

struct tls_cache {
    pthread_mutex_t lock;
    struct place *ring;
    uint32_t max, oldest;
    uint32_t *chains; /* 2^n of them, at least max */
    uint32_t mask;
};

struct tls_cache *tls_cache_new(uint32_t max)
{
    struct tls_cache *c = xcalloc(1, sizeof(*c));
    (void)pthread_mutex_init(&c->lock, NULL);
    c->max = MAX(max, 1U);
    c->ring = xcalloc(c->max, sizeof(*c->ring));
    while (c->mask < c->max - 1)
        c->mask = c->mask * 2 + 1;
    c->chains = xcalloc((size_t)c->mask + 1, sizeof(*c->chains));
    for (size_t i = 0; i <= c->mask; i++)
        c->chains[i] = NOBODY;
    return c;
}

void tls_cache_free(struct tls_cache *c)
{
    if (!c)
        return;
    for (uint32_t i = 0; i < c->max; i++)
        SSL_SESSION_free(c->ring[i].session);
    (void)pthread_mutex_destroy(&c->lock);
    free(c->ring);
    free(c->chains);
    free(c);
}

static uint32_t *chain_of(struct tls_cache *c, const unsigned char *id, size_t len)
{
    uint32_t hash = 0;
    memcpy(&hash, id, MIN(len, sizeof(hash)));
    return &c->chains[hash & c->mask];
}

/* The link that leads to the session of this name, or to NOBODY. */
static uint32_t *find(struct tls_cache *c, const unsigned char *id, size_t len)
{
    uint32_t *at = chain_of(c, id, len);
    for (; *at != NOBODY; at = &c->ring[*at].next) {
        unsigned own_len;
        const unsigned char *own = SSL_SESSION_get_id(c->ring[*at].session, &own_len);
        if (own_len == len && memcmp(own, id, len) == 0)
            break;
    }
    return at;
}

/* Takes what a link leads to out of its chain and its place. */
static SSL_SESSION *unlink_at(struct tls_cache *c, uint32_t *at)
{
    struct place *p = &c->ring[*at];
    SSL_SESSION *session = p->session;
    *at = p->next;
    p->session = NULL;
    return session;
}

static SSL_SESSION *vacate(struct tls_cache *c, uint32_t i)
{
    if (!c->ring[i].session)
        return NULL;
    unsigned len;
    const unsigned char *id = SSL_SESSION_get_id(c->ring[i].session, &len);
    return unlink_at(c, find(c, id, len));
}

void tls_cache_put(struct tls_cache *c, SSL_SESSION *session)
{
    unsigned len;
    const unsigned char *id = SSL_SESSION_get_id(session, &len);
    (void)pthread_mutex_lock(&c->lock);
    uint32_t *same = find(c, id, len);
    SSL_SESSION *replaced = *same == NOBODY ? NULL : unlink_at(c, same);
    SSL_SESSION *old = vacate(c, c->oldest);
    uint32_t *chain = chain_of(c, id, len);
    c->ring[c->oldest] = (struct place){.session = session, .next = *chain};
    *chain = c->oldest;
    c->oldest = (c->oldest + 1) % c->max;
    (void)pthread_mutex_unlock(&c->lock);
    SSL_SESSION_free(replaced);
    SSL_SESSION_free(old);
}

SSL_SESSION *tls_cache_get(struct tls_cache *c, const unsigned char *id, size_t len)
{
    (void)pthread_mutex_lock(&c->lock);
    uint32_t at = *find(c, id, len);
    SSL_SESSION *copy = at == NOBODY ? NULL : SSL_SESSION_dup(c->ring[at].session);
    (void)pthread_mutex_unlock(&c->lock);
    return copy;
}

void tls_cache_drop(struct tls_cache *c, const unsigned char *id, size_t len)
{
    (void)pthread_mutex_lock(&c->lock);
    uint32_t *at = find(c, id, len);
    SSL_SESSION *session = *at == NOBODY ? NULL : unlink_at(c, at);
    (void)pthread_mutex_unlock(&c->lock);
    SSL_SESSION_free(session);
}

void tls_cache_sweep(struct tls_cache *c, int64_t now_s)
{
    (void)pthread_mutex_lock(&c->lock);
    for (uint32_t i = 0; i < c->max; i++) {
        const SSL_SESSION *s = c->ring[i].session;
        if (s && now_s - SSL_SESSION_get_time(s) >= SSL_SESSION_get_timeout(s))
            SSL_SESSION_free(vacate(c, i));
    }
    (void)pthread_mutex_unlock(&c->lock);
}
