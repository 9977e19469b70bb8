#include "auth/lookup.h"

#include <ctype.h>
#include <errno.h>

static int get_lower(const struct lookup *l, struct str name, size_t at, struct buf *value)
{
    CLEANUP(buf_done) struct buf key = BUF_INIT(LOOKUP_VALUE_MAX);
    int r = buf_append_str(&key, name);
    if (r < 0)
        return r;
    for (size_t i = at; i < key.len; i++)
        key.data[i] = (char)tolower((unsigned char)key.data[i]);
    return l->get(l->arg, buf_str(&key), value);
}

int lookup_name(const struct lookup *l, struct str name, struct buf *value)
{
    if (!l->get)
        return -ENOENT;
    int r = l->get(l->arg, name, value);
    const char *at = name.len ? memrchr(name.p, '@', name.len) : NULL;
    return r == -ENOENT && at ? get_lower(l, name, (size_t)(at - name.p), value) : r;
}
