#include "app/sequences.h"

#include "base/log_read.h"

#include <stdio.h>
#include <string.h>

#define FIELD_MAX 2048

static uint64_t hash(const char *listener, const char *identity)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (const char *p = listener; *p; p++)
        h = (h ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
    h *= 31;
    for (const char *p = identity; *p; p++)
        h = (h ^ (unsigned char)*p) * UINT64_C(0x100000001b3);
    return h ^ h >> 29;
}

/* The slot of this pair, or the free one where it would go. */
static size_t slot_of(const struct sequences *s, const char *listener, const char *identity)
{
    size_t at = (size_t)hash(listener, identity) & (s->n_slots - 1);
    for (; s->slots[at]; at = (at + 1) & (s->n_slots - 1)) {
        const struct sequence_user *u = &s->users[s->slots[at] - 1];
        if (strcmp(u->identity, identity) == 0 && strcmp(u->listener, listener) == 0)
            break;
    }
    return at;
}

/* Twice as much room; never more than half of the slots are taken. */
static void grow(struct sequences *s)
{
    size_t cap = s->cap ? s->cap * 2 : 64;
    struct sequence_user *users = xcalloc(cap, sizeof(*users));
    if (s->n)
        memcpy(users, s->users, s->n * sizeof(*users));
    free(s->users);
    free(s->slots);
    s->users = users;
    s->cap = cap;
    s->n_slots = cap * 2;
    s->slots = xcalloc(s->n_slots, sizeof(*s->slots));
    for (size_t i = 0; i < s->n; i++)
        s->slots[slot_of(s, users[i].listener, users[i].identity)] = (uint32_t)i + 1;
}

static struct sequence_user *
user_of(struct sequences *s, const char *listener, const char *identity)
{
    if (s->n == s->cap && s->n < SEQUENCES_IDENTITIES_MAX)
        grow(s);
    size_t at = slot_of(s, listener, identity);
    if (s->slots[at])
        return &s->users[s->slots[at] - 1];
    if (s->n == s->cap) {
        s->full = true;
        return NULL;
    }
    struct sequence_user *u = &s->users[s->n++];
    s->slots[at] = (uint32_t)s->n;
    u->listener = xstrdup(listener);
    u->identity = xstrdup(identity);
    return u;
}

/* Times of one form, so that the order of their letters is theirs; lines of several logs may come in any order. */
static void note_time(struct sequence_user *u, struct str time)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%.*s", STR_FMT(str_upto(time, sizeof(text) - 1)));
    if (!u->first[0] || strcmp(text, u->first) < 0)
        memcpy(u->first, text, sizeof(text));
    if (strcmp(text, u->last) > 0)
        memcpy(u->last, text, sizeof(text));
}

static void note_helo(struct sequence_user *u, const char *helo)
{
    for (size_t i = 0; helo[0] && i < SEQUENCES_HELOS_MAX; i++) {
        if (u->helos[i] && strcmp(u->helos[i], helo) != 0)
            continue;
        if (!u->helos[i])
            u->helos[i] = xstrdup(helo);
        return;
    }
}

static const char *field(const struct log_record *r, const char *key, struct buf *value)
{
    return log_read_field(r, key, value) == 0 && value->len ? value->data : "";
}

static void add(struct sequences *s, const struct log_record *r, const char *identity_key)
{
    CLEANUP(buf_done)
    struct buf listener = BUF_INIT(FIELD_MAX),
               identity = BUF_INIT(FIELD_MAX), sequence = BUF_INIT(FIELD_MAX),
               helo = BUF_INIT(FIELD_MAX);
    const char *how = field(r, "sequence", &sequence);
    const char *who = field(r, identity_key, &identity);
    struct sequence_user *u =
        who[0] && how[0] ? user_of(s, field(r, "listener", &listener), who) : NULL;
    if (!u)
        return;
    if (strcmp(identity_key, "identity") != 0)
        u->refused++;
    else if (strcmp(how, "implicit") == 0)
        u->implicit++;
    else if (strcmp(how, "explicit") == 0)
        u->explicit ++;
    else
        u->other++;
    note_time(u, r->time);
    note_helo(u, field(r, "helo", &helo));
}

void sequences_line(struct sequences *s, struct str line)
{
    struct log_record r;
    s->lines++;
    if (!log_read(line, &r))
        return;
    s->ours++;
    if (str_eq(r.event, STR("login")))
        add(s, &r, "identity");
    else if (str_eq(r.event, STR("refused")))
        add(s, &r, "certificate-names");
}

static int by_name(const void *a, const void *b)
{
    const struct sequence_user *x = a, *y = b;
    int r = strcmp(x->listener, y->listener);
    return r ? r : strcmp(x->identity, y->identity);
}

void sequences_sort(struct sequences *s)
{
    if (s->n)
        qsort(s->users, s->n, sizeof(*s->users), by_name);
}

void sequences_done(struct sequences *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free(s->users[i].listener);
        free(s->users[i].identity);
        for (size_t k = 0; k < SEQUENCES_HELOS_MAX; k++)
            free(s->users[i].helos[k]);
    }
    free(s->users);
    free(s->slots);
    *s = (struct sequences){0};
}

enum lockout sequences_lockout(const struct sequence_user *u)
{
    if (u->implicit == 0)
        return LOCKOUT_NONE;
    return u->explicit || u->other ? LOCKOUT_SOME : LOCKOUT_ALL;
}
