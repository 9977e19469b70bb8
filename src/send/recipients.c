#include "send/recipients.h"

#include "message/mailboxes.h"

#include <errno.h>

void recipients_init(struct recipients *r)
{
    *r = (struct recipients){0};
    arena_init(&r->memory, RECIPIENTS_OCTETS);
}

void recipients_done(struct recipients *r)
{
    arena_done(&r->memory);
    free(r->list);
    r->list = NULL;
    r->n = r->room = 0;
}

static int make_room(struct recipients *r)
{
    if (r->n < r->room)
        return 0;
    if (r->n >= RECIPIENTS_MAX)
        return -E2BIG;
    size_t room = MIN(MAX(r->room * 2, 16), RECIPIENTS_MAX);
    const char **list = realloc(r->list, room * sizeof(*list));
    if (!list)
        return -ENOMEM;
    r->list = list;
    r->room = room;
    return 0;
}

int recipients_add(struct recipients *r, struct str address)
{
    int e = make_room(r);
    if (e < 0)
        return e;
    char *copy = arena_strdup(&r->memory, address);
    if (!copy)
        return -E2BIG;
    r->list[r->n++] = copy;
    return 0;
}

static int add_one(void *arg, struct str address)
{
    return recipients_add(arg, address);
}

int recipients_read(struct recipients *r, struct str text)
{
    return mailboxes_each_unqualified(text, add_one, r);
}

static int qualify(struct recipients *r, const char *domain)
{
    for (size_t i = 0; i < r->n; i++) {
        const char *local = r->list[i];
        if (strchr(local, '@'))
            continue;
        size_t len = strlen(local), more = strlen(domain);
        char *whole = arena_alloc(&r->memory, len + more + 2);
        if (!whole)
            return -E2BIG;
        memcpy(whole, local, len);
        whole[len] = '@';
        memcpy(whole + len + 1, domain, more);
        r->list[i] = whole;
    }
    return 0;
}

static int by_text(const void *a, const void *b)
{
    const char *const *const *x = a, *const *const *y = b; /* places in the list */
    int order = strcmp(**x, **y);
    return order ? order : (*x > *y) - (*x < *y);
}

/* Sorted by text and then by place, what follows its equal is one too many. */
static int drop_doubles(struct recipients *r)
{
    const char ***places = calloc(MAX(r->n, 1), sizeof(*places));
    if (!places)
        return -ENOMEM;
    for (size_t i = 0; i < r->n; i++)
        places[i] = &r->list[i];
    qsort(places, r->n, sizeof(*places), by_text);
    const char *last = NULL;
    for (size_t i = 0; i < r->n; i++) {
        const char *text = *places[i];
        if (last && strcmp(last, text) == 0)
            *places[i] = NULL;
        last = text;
    }
    free(places);
    size_t kept = 0;
    for (size_t i = 0; i < r->n; i++)
        if (r->list[i])
            r->list[kept++] = r->list[i];
    r->n = kept;
    return 0;
}

int recipients_complete(struct recipients *r, const char *domain)
{
    int e = qualify(r, domain);
    return e < 0 ? e : drop_doubles(r);
}
