#include "relay/passage.h"

/* A header that was held back and a piece in quoted-printable, at three octets for one and soft line breaks. */
#define CONVERTED_MAX ((size_t)2 * 1024 * 1024)

static int keep(void *arg, const char *data, size_t len)
{
    struct passage *t = arg;
    return buf_append(&t->converted, data, len);
}

void passage_init(struct passage *t, bool converts)
{
    *t = (struct passage){.converted = BUF_INIT(CONVERTED_MAX)};
    if (converts)
        t->filter = downgrade_new(&(struct downgrade_config){0}, keep, t);
}

void passage_done(struct passage *t)
{
    downgrade_free(t->filter);
    buf_done(&t->converted);
    *t = (struct passage){0};
}

void passage_seek(struct passage *t, uint64_t offset)
{
    if (offset == 0 && t->filter) {
        passage_done(t);
        passage_init(t, true);
    } else if (!t->filter) {
        t->source_at = offset;
        t->ended = false;
        passage_forget(t);
    }
}

bool passage_next(
    const struct passage *t, uint64_t offset, size_t max, struct str *ret_piece, bool *ret_last)
{
    struct str have = t->filter ? buf_str(&t->converted) : t->plain;
    uint64_t at = t->filter ? t->converted_at : t->plain_at;
    if (offset < at || offset - at > have.len)
        return false;
    struct str rest = str_from(have, offset - at);
    *ret_piece = str_upto(rest, max);
    *ret_last = t->ended && ret_piece->len == rest.len;
    return ret_piece->len > 0 || *ret_last;
}

uint64_t passage_source_at(const struct passage *t)
{
    return t->source_at;
}

static int convert(struct passage *t, struct str data, bool last)
{
    t->converted_at += t->converted.len;
    buf_clear(&t->converted);
    int r = downgrade_write(t->filter, data.p, data.len);
    return r == 0 && last ? downgrade_finish(t->filter) : r;
}

int passage_feed(struct passage *t, struct str data, bool last)
{
    t->plain = data;
    t->plain_at = t->source_at;
    t->source_at += data.len;
    t->ended = last;
    return t->filter ? convert(t, data, last) : 0;
}

void passage_forget(struct passage *t)
{
    t->plain_at += t->plain.len; /* of what was given, nothing is at hand */
    t->plain = (struct str){NULL, 0};
}
