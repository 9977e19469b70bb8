#include "auth/plain.h"

#include "auth/prepare.h"

#include <errno.h>

static bool part_is_sound(struct str s)
{
    return s.len <= PLAIN_PART_MAX && str_is_utf8(s) && !memchr(s.len ? s.p : "x", '\0', s.len);
}

int plain_parse(struct str message, struct plain *ret)
{
    ssize_t first = str_find(message, '\0');
    struct str rest = first < 0 ? STR("") : str_from(message, (size_t)first + 1);
    ssize_t second = str_find(rest, '\0');
    if (first < 0 || second <= 0)
        return -EINVAL;
    struct plain p = {.authzid = str_upto(message, (size_t)first),
                      .user = str_upto(rest, (size_t)second),
                      .password = str_from(rest, (size_t)second + 1)};
    if (p.password.len == 0 || !part_is_sound(p.authzid) || !part_is_sound(p.user) ||
        !part_is_sound(p.password))
        return -EINVAL;
    *ret = p;
    return 0;
}

int plain_format(const struct plain *p, struct buf *out)
{
    CLEANUP(buf_wipe) struct buf user = BUF_INIT(PLAIN_PART_MAX);
    CLEANUP(buf_wipe) struct buf password = BUF_INIT(PLAIN_PART_MAX);
    if (!part_is_sound(p->authzid) || prepare_typed(p->user, &user) < 0 ||
        prepare_typed(p->password, &password) < 0)
        return -EINVAL;
    int r = buf_reserve(out, p->authzid.len + user.len + password.len + 2);
    if (r == 0)
        r = buf_append_str(out, p->authzid);
    if (r == 0)
        r = buf_append(out, "", 1);
    if (r == 0)
        r = buf_append_str(out, buf_str(&user));
    if (r == 0)
        r = buf_append(out, "", 1);
    return r < 0 ? r : buf_append_str(out, buf_str(&password));
}
