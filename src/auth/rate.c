#include "auth/rate.h"

/* Invariants:
 * R1  Every entry is in one bucket and in the list; the list is in order of use, the newest first.
 * R2  At most names_max entries; one with `held` is never the one that goes. */
struct entry {
    struct entry *next_in_bucket;
    struct entry *newer, *older;
    unsigned held;
    struct {
        int64_t began_ms;
        uint64_t count;
    } windows[RATE_WINDOWS_MAX];
    size_t len;
    char name[];
};

struct rates {
    struct rate_window windows[RATE_WINDOWS_MAX];
    size_t n_windows;
    unsigned held_max;
    size_t n_names, names_max, n_buckets;
    struct entry **buckets;
    struct entry *newest, *oldest;
};

struct rates *
rates_new(const struct rate_window *windows, size_t n, unsigned held_max, size_t names_max)
{
    struct rates *r = xcalloc(1, sizeof(*r));
    r->n_windows = MIN(n, (size_t)RATE_WINDOWS_MAX);
    for (size_t i = 0; i < r->n_windows; i++)
        r->windows[i] = windows[i];
    r->held_max = held_max;
    r->names_max = MAX(names_max, (size_t)1);
    for (r->n_buckets = 16; r->n_buckets < r->names_max; r->n_buckets *= 2)
        ;
    r->buckets = xcalloc(r->n_buckets, sizeof(struct entry *));
    return r;
}

void rates_free(struct rates *r)
{
    if (!r)
        return;
    for (struct entry *e = r->newest, *next; e; e = next) {
        next = e->older;
        free(e);
    }
    free(r->buckets);
    free(r);
}

/* FNV-1a: names are typed by strangers, but a bucket that grows long costs them no more than it costs us, and there
 * are at most names_max in all. */
static struct entry **bucket_of(struct rates *r, struct str name)
{
    uint64_t h = 14695981039346656037ULL;
    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (unsigned char)name.p[i]) * 1099511628211ULL;
    return &r->buckets[(h ^ h >> 32) & (r->n_buckets - 1)];
}

static void list_remove(struct rates *r, struct entry *e)
{
    *(e->newer ? &e->newer->older : &r->newest) = e->older;
    *(e->older ? &e->older->newer : &r->oldest) = e->newer;
}

static void list_put_first(struct rates *r, struct entry *e)
{
    e->newer = NULL;
    e->older = r->newest;
    *(r->newest ? &r->newest->newer : &r->oldest) = e;
    r->newest = e;
}

static struct entry *find(struct rates *r, struct str name)
{
    for (struct entry *e = *bucket_of(r, name); e; e = e->next_in_bucket)
        if (str_eq(name, (struct str){e->name, e->len}))
            return e;
    return NULL;
}

static void forget(struct rates *r, struct entry *e)
{
    struct entry **at = bucket_of(r, (struct str){e->name, e->len});
    while (*at != e)
        at = &(*at)->next_in_bucket;
    *at = e->next_in_bucket;
    list_remove(r, e);
    r->n_names--;
    free(e);
}

/* The name's entry, made when there is none; NULL: no room, as every name is held, or no memory. */
static struct entry *get(struct rates *r, struct str name)
{
    struct entry *e = find(r, name);
    if (e) {
        list_remove(r, e);
        list_put_first(r, e);
        return e;
    }
    for (e = r->oldest; e && e->held && r->n_names >= r->names_max;)
        e = e->newer;
    if (r->n_names >= r->names_max) {
        if (!e)
            return NULL;
        forget(r, e);
    }
    e = calloc(1, sizeof(*e) + name.len + 1);
    if (!e)
        return NULL;
    e->len = name.len;
    memcpy(e->name, name.p, name.len);
    struct entry **bucket = bucket_of(r, name);
    e->next_in_bucket = *bucket;
    *bucket = e;
    list_put_first(r, e);
    r->n_names++;
    return e;
}

static bool is_over(const struct rates *r, const struct entry *e, size_t i, int64_t now_ms)
{
    return e->windows[i].count == 0 || now_ms - e->windows[i].began_ms >= r->windows[i].length_ms;
}

static int64_t
window_wait(const struct rates *r, const struct entry *e, size_t i, uint64_t amount, int64_t now_ms)
{
    uint64_t max = r->windows[i].max;
    if (max == 0 || amount == 0)
        return 0;
    if (amount > max)
        return -1;
    if (!e || is_over(r, e, i, now_ms) || e->windows[i].count + amount <= max)
        return 0;
    return e->windows[i].began_ms + r->windows[i].length_ms - now_ms;
}

int64_t rates_wait(struct rates *r, struct str name, const uint64_t *amounts, int64_t now_ms)
{
    const struct entry *e = find(r, name);
    int64_t wait = 0;
    for (size_t i = 0; i < r->n_windows; i++) {
        int64_t own = window_wait(r, e, i, amounts[i], now_ms);
        if (own < 0)
            return own;
        wait = MAX(wait, own);
    }
    return wait;
}

void rates_add(struct rates *r, struct str name, const uint64_t *amounts, int64_t now_ms)
{
    struct entry *e = get(r, name);
    for (size_t i = 0; e && i < r->n_windows; i++) {
        if (is_over(r, e, i, now_ms)) {
            e->windows[i].count = 0;
            e->windows[i].began_ms = now_ms;
        }
        e->windows[i].count += amounts[i];
    }
}

bool rates_hold(struct rates *r, struct str name)
{
    struct entry *e = get(r, name);
    if (!e)
        return r->held_max == 0;
    if (r->held_max && e->held >= r->held_max)
        return false;
    e->held++;
    return true;
}

void rates_release(struct rates *r, struct str name)
{
    struct entry *e = find(r, name);
    if (e && e->held)
        e->held--;
}
