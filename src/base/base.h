/* base.h - the few words every other file uses: attributes, scope cleanup, sizes.
 *
 * Memory of a small fixed size comes from xcalloc()/xstrdup(), which abort when there is none:
 * there is nothing sensible left to do.  A size that a peer, a file or a resolver can influence
 * is never asked for here; it goes through buf.h or arena.h, which have a maximum and an error.
 */
#ifndef POSTERN_BASE_H
#define POSTERN_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#define NORETURN __attribute__((noreturn))
#define CLEANUP(fn) __attribute__((cleanup(fn)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* The struct that holds `member` at `ptr`. */
#define container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Zeroed memory of a small fixed size; aborts when there is none. */
void *xcalloc(size_t n, size_t size) __attribute__((returns_nonnull, malloc));
char *xstrdup(const char *s) __attribute__((returns_nonnull, malloc));
char *xstrndup(const char *s, size_t len) __attribute__((returns_nonnull, malloc));

/* For CLEANUP(): each takes a pointer to the variable and leaves it empty. */
static inline void freep(void *p)
{
    void **pp = p;
    free(*pp);
    *pp = NULL;
}

static inline void fd_closep(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

/* Moves a descriptor out: the caller owns it, the variable is left empty. */
static inline int fd_take(int *fd)
{
    int out = *fd;
    *fd = -1;
    return out;
}

#endif
