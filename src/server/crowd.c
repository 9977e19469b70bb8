#include "server/crowd.h"

#include "base/net_range.h"

#include <assert.h>
#include <pthread.h>
#include <sys/random.h>

/* Invariants:
 * C1  A client is in its bucket exactly as long as `open` is not 0.
 * C2  `open` is at most each_max. */
struct crowd_client {
    struct crowd_client *next; /* in its bucket */
    uint64_t network;          /* of IPv6 the upper half, of IPv4 all of it */
    bool is_v4;
    bool said; /* that it is full */
    unsigned open;
};

struct crowd {
    pthread_mutex_t lock;
    unsigned each_max;
    size_t n_buckets; /* a power of two */
    uint64_t seed;    /* who picks the addresses does not pick the buckets */
    struct crowd_client **buckets;
};

struct crowd *crowd_new(unsigned each_max, unsigned clients_max)
{
    struct crowd *c = xcalloc(1, sizeof(*c));
    c->each_max = each_max;
    for (c->n_buckets = 16; c->n_buckets < clients_max && c->n_buckets < 1 << 16;)
        c->n_buckets *= 2;
    c->buckets = xcalloc(c->n_buckets, sizeof(struct crowd_client *));
    if (getrandom(&c->seed, sizeof(c->seed), GRND_NONBLOCK) != sizeof(c->seed))
        c->seed = (uint64_t)(uintptr_t)c; /* before the machine has gathered any */
    (void)pthread_mutex_init(&c->lock, NULL);
    return c;
}

void crowd_free(struct crowd *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->n_buckets; i++)
        assert(!c->buckets[i]);
    (void)pthread_mutex_destroy(&c->lock);
    free(c->buckets);
    free(c);
}

static bool identify(const char *address, struct crowd_client *ret)
{
    unsigned char ip[16];
    int len = net_address_parse(address, ip);
    if (len < 0)
        return false;
    *ret = (struct crowd_client){.is_v4 = len == 4};
    for (size_t i = 0; i < (len == 4 ? 4 : 8); i++)
        ret->network = ret->network << 8 | ip[i];
    return true;
}

/* The finaliser of splitmix64, keyed. */
static struct crowd_client **bucket_of(struct crowd *c, const struct crowd_client *who)
{
    uint64_t h = who->network ^ c->seed;
    h = (h ^ h >> 30) * 0xbf58476d1ce4e5b9ULL;
    h = (h ^ h >> 27) * 0x94d049bb133111ebULL;
    return &c->buckets[(h ^ h >> 31) & (c->n_buckets - 1)];
}

/* Under the lock; made when there is none, NULL: no memory. */
static struct crowd_client *get(struct crowd *c, const struct crowd_client *who)
{
    struct crowd_client **bucket = bucket_of(c, who);
    for (struct crowd_client *k = *bucket; k; k = k->next)
        if (k->network == who->network && k->is_v4 == who->is_v4)
            return k;
    struct crowd_client *k = malloc(sizeof(*k));
    if (!k)
        return NULL;
    *k = *who;
    k->next = *bucket;
    *bucket = k;
    return k;
}

enum crowd_answer crowd_enter(struct crowd *c, const char *address, struct crowd_client **ret_client)
{
    struct crowd_client who;
    enum crowd_answer answer = CROWD_COUNTED;
    *ret_client = NULL;
    if (!c || !identify(address, &who))
        return CROWD_NOT_COUNTED;
    (void)pthread_mutex_lock(&c->lock);
    struct crowd_client *k = get(c, &who);
    if (!k) {
        answer = CROWD_NOT_COUNTED;
    } else if (k->open < c->each_max) {
        k->open++;
        *ret_client = k;
    } else {
        answer = k->said ? CROWD_FULL : CROWD_FULL_NEWS;
        k->said = true;
    }
    (void)pthread_mutex_unlock(&c->lock);
    return answer;
}

void crowd_leave(struct crowd *c, struct crowd_client *client)
{
    if (!client)
        return;
    (void)pthread_mutex_lock(&c->lock);
    if (--client->open == 0) {
        struct crowd_client **at = bucket_of(c, client);
        while (*at != client)
            at = &(*at)->next;
        *at = client->next;
        free(client);
    }
    (void)pthread_mutex_unlock(&c->lock);
}
