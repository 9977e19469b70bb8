#include "base/base.h"

#include <string.h>

void *xcalloc(size_t n, size_t size)
{
    void *p = calloc(n, size);
    if (!p)
        abort();
    return p;
}

char *xstrndup(const char *s, size_t len)
{
    char *p = xcalloc(len + 1, 1);
    memcpy(p, s, len);
    return p;
}

char *xstrdup(const char *s)
{
    return xstrndup(s, strlen(s));
}
