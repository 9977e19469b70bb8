#include "base/arena.h"

#include <stdalign.h>

#define BLOCK_SIZE 1024

struct arena_block {
    struct arena_block *next;
    size_t len, cap;
    alignas(max_align_t) char data[];
};

void arena_init(struct arena *a, size_t max)
{
    *a = (struct arena){.max = max};
}

void arena_done(struct arena *a)
{
    while (a->blocks) {
        struct arena_block *b = a->blocks;
        a->blocks = b->next;
        free(b);
    }
    a->used = 0;
}

static struct arena_block *block_new(size_t cap)
{
    struct arena_block *b = malloc(sizeof(*b) + cap);
    if (b)
        *b = (struct arena_block){.cap = cap};
    return b;
}

void *arena_alloc(struct arena *a, size_t size)
{
    size_t align = alignof(max_align_t);
    if (size > a->max)
        return NULL;
    size_t room = MAX((size + align - 1) & ~(align - 1), align);
    if (room > a->max - a->used)
        return NULL;
    if (!a->blocks || room > a->blocks->cap - a->blocks->len) {
        struct arena_block *b = block_new(MAX(room, (size_t)BLOCK_SIZE - sizeof(struct arena_block)));
        if (!b)
            return NULL;
        b->next = a->blocks;
        a->blocks = b;
    }
    char *p = a->blocks->data + a->blocks->len;
    a->blocks->len += room;
    a->used += room;
    return memset(p, 0, room);
}

char *arena_strdup(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.len + 1);
    if (p && s.len)
        memcpy(p, s.p, s.len);
    return p;
}
