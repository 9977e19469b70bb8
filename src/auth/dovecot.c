#include "auth/dovecot.h"

#include "base/b64.h"

#include <errno.h>

void dovecot_init(struct dovecot *d)
{
    *d = (struct dovecot){.user = BUF_INIT(DOVECOT_USER_MAX)};
}

void dovecot_done(struct dovecot *d)
{
    buf_done(&d->user);
}

static struct str next_field(struct str *line)
{
    ssize_t tab = str_find(*line, '\t');
    struct str field = str_upto(*line, tab < 0 ? line->len : (size_t)tab);
    *line = tab < 0 ? (struct str){line->p + line->len, 0} : str_from(*line, (size_t)tab + 1);
    return field;
}

/* Octet 1 escapes: "1" itself, "0" NUL, "t" tab, "r" CR, "n" LF.  None of what it hides may stand in a name. */
static int take_user(struct dovecot *d, struct str value)
{
    if (value.len == 0 || str_has_control(value) || !str_is_utf8(value))
        return -EINVAL;
    buf_clear(&d->user);
    return buf_append_str(&d->user, value);
}

static enum dovecot_word read_greeting(struct dovecot *d, struct str verb, struct str rest)
{
    if (str_eq(verb, STR("VERSION"))) {
        d->version = str_eq(next_field(&rest), STR("1"));
        return d->version ? DOVECOT_MORE : DOVECOT_BROKEN;
    }
    if (str_eq(verb, STR("MECH")))
        d->plain = d->plain || str_eq_nocase(next_field(&rest), STR("PLAIN"));
    if (!str_eq(verb, STR("DONE")))
        return DOVECOT_MORE; /* SPID, CUID, COOKIE, and whatever a later minor version says */
    d->greeted = true;
    return d->version && d->plain ? DOVECOT_READY : DOVECOT_BROKEN;
}

static enum dovecot_word read_ok(struct dovecot *d, struct str rest)
{
    while (rest.len) {
        struct str field = next_field(&rest);
        if (str_starts_nocase(field, STR("user=")) && take_user(d, str_from(field, 5)) < 0)
            return DOVECOT_BROKEN;
    }
    return DOVECOT_OK;
}

static enum dovecot_word read_fail(struct str rest)
{
    while (rest.len)
        if (str_eq(next_field(&rest), STR("temp")))
            return DOVECOT_LATER;
    return DOVECOT_REFUSED;
}

enum dovecot_word dovecot_read(struct dovecot *d, struct str line)
{
    struct str verb = next_field(&line);
    if (!d->greeted)
        return read_greeting(d, verb, line);
    bool ours = str_eq(next_field(&line), STR("1"));
    if (str_eq(verb, STR("OK")))
        return ours ? read_ok(d, line) : DOVECOT_BROKEN;
    if (str_eq(verb, STR("FAIL")))
        return ours ? read_fail(line) : DOVECOT_BROKEN;
    if (str_eq(verb, STR("CONT"))) /* PLAIN with its response asks nothing */
        return DOVECOT_BROKEN;
    return DOVECOT_MORE;
}

int dovecot_write_greeting(struct buf *out, unsigned pid)
{
    return buf_printf(out, "VERSION\t1\t1\nCPID\t%u\n", pid);
}

int dovecot_write_request(struct buf *out, struct str user, struct str password, const char *peer)
{
    CLEANUP(buf_wipe) struct buf plain = BUF_INIT(DOVECOT_LINE_MAX / 2);
    int r = buf_append(&plain, "", 1);
    if (r == 0)
        r = buf_append_str(&plain, user);
    if (r == 0)
        r = buf_append(&plain, "", 1);
    if (r == 0)
        r = buf_append_str(&plain, password);
    /* "resp" is the last field, whatever else there is. */
    if (r == 0)
        r = buf_printf(out, "AUTH\t1\tPLAIN\tservice=smtp\tsecured\trip=%s\tresp=", peer);
    if (r == 0)
        r = b64_encode(buf_str(&plain), out);
    return r < 0 ? r : buf_puts(out, "\n");
}
