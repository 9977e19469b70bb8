#include "spool/parcel.h"

#include "spool/id.h"

#include <assert.h>
#include <errno.h>

static_assert(SPOOL_QUEUE_ID_MAX > ID_TEXT_LEN, "the text form of an id fits");

struct parcel *parcel_new(struct spool *sp, int64_t id)
{
    struct parcel *p = xcalloc(1, sizeof(*p));
    arena_init(&p->arena, PARCEL_ARENA_MAX);
    buf_init(&p->body, SPOOL_CHUNK);
    p->spool = sp;
    p->message.id = id;
    id_format(id, p->message.queue_id);
    return p;
}

void parcel_free(struct parcel *p)
{
    if (!p)
        return;
    arena_done(&p->arena);
    buf_done(&p->body);
    free(p);
}

/* A copy of `s` in *ret; NULL stays NULL. */
static int keep(struct parcel *p, const char *s, char **ret)
{
    *ret = NULL;
    if (!s)
        return 0;
    *ret = arena_strdup(&p->arena, str_of(s));
    return *ret ? 0 : -ENOMEM;
}

static int keep_const(struct parcel *p, const char *s, const char **ret)
{
    char *copy;
    int r = keep(p, s, &copy);
    *ret = copy;
    return r;
}

int parcel_set_envelope(struct parcel *p, const struct spool_envelope *env)
{
    struct spool_envelope *e = &p->message.envelope;
    *e = *env;
    int r = keep_const(p, env->reverse_path ? env->reverse_path : "", &e->reverse_path);
    if (r == 0)
        r = keep_const(p, env->identity, &e->identity);
    if (r == 0)
        r = keep_const(p, env->session, &e->session);
    if (r == 0)
        r = keep_const(p, env->auth, &e->auth);
    if (r == 0)
        r = keep_const(p, env->envid, &e->envid);
    return r;
}

int parcel_set_recipients(struct parcel *p, const struct spool_recipient *list, size_t n)
{
    struct spool_target *targets = n <= PARCEL_ARENA_MAX / sizeof(*targets)
                                       ? arena_alloc(&p->arena, n * sizeof(*targets))
                                       : NULL;
    if (!targets)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        targets[i] = (struct spool_target){.row = (int64_t)i, .notify = list[i].notify};
        int r = keep(p, list[i].address, &targets[i].address);
        if (r == 0)
            r = keep(p, list[i].orcpt, &targets[i].orcpt);
        if (r < 0)
            return r;
    }
    p->message.targets = targets;
    p->message.n_targets = n;
    return 0;
}

/* The array doubles in the arena; the halves left behind cost at most as much again. */
static int grow_targets(struct parcel *p, size_t *capacity)
{
    size_t more = MAX(*capacity * 2, 4);
    struct spool_target *targets = arena_alloc(&p->arena, more * sizeof(*targets));
    if (!targets)
        return -ENOMEM;
    if (p->message.n_targets)
        memcpy(targets, p->message.targets, p->message.n_targets * sizeof(*targets));
    p->message.targets = targets;
    *capacity = more;
    return 0;
}

int parcel_add_target(struct parcel *p,
                      struct spool_target t,
                      const char *address,
                      const char *orcpt,
                      size_t *capacity)
{
    int r = p->message.n_targets < *capacity ? 0 : grow_targets(p, capacity);
    if (r == 0)
        r = keep(p, address, &t.address);
    if (r == 0)
        r = keep(p, orcpt, &t.orcpt);
    if (r == 0)
        p->message.targets[p->message.n_targets++] = t;
    return r;
}

void parcel_take_body(struct parcel *p, struct buf *body)
{
    p->body.len = body->len;
    p->body.cap = body->cap;
    p->body.data = body->data;
    buf_init(body, body->max);
    p->message.body = buf_str(&p->body);
}
