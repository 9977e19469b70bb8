/* BDAT (RFC 3030).  The octets of a chunk follow the command whatever we think of it, so a refused
 * chunk is swallowed before the refusal is said, and none of it is ever read as a command
 * (CHNK-02). */
#include "smtp/server_internal.h"

#include <errno.h>

#define CHUNK_MAX ((uint64_t)1 << 40)

/* "n" or "n LAST". */
static int bdat_parse(struct str args, uint64_t *ret_size, bool *ret_last)
{
    args = str_trim(args);
    ssize_t space = str_find(args, ' ');
    struct str word = space < 0 ? STR("") : str_trim(str_from(args, (size_t)space));
    if (word.len && !str_eq_nocase(word, STR("LAST")))
        return -EINVAL;
    *ret_last = word.len != 0;
    return str_to_u64(str_upto(args, space < 0 ? args.len : (size_t)space), CHUNK_MAX, ret_size);
}

/* Why this chunk may not be taken now; code 0: it may. */
static enum smtp_decision bdat_gate(struct smtp_server *s, struct smtp_reply *r)
{
    if (s->state == SS_GREET) {
        *r = smtp_reply(503, "5.5.1", "Send EHLO first");
        return SMTP_NO;
    }
    if (!smtp_set_has(s->cfg->extensions, SMTP_EXT_CHUNKING)) {
        *r = smtp_reply(502, "5.5.1", "BDAT is not served here");
        return SMTP_NO;
    }
    enum smtp_decision d = s->ops->admit(s->ctx, "BDAT", r);
    if (d != SMTP_YES)
        return d;
    if (s->state == SS_BETWEEN && s->t->chunk_void)
        *r = smtp_reply(503, "5.5.1", "An earlier chunk was refused, send RSET");
    else if (s->state != SS_RCPT && s->state != SS_BETWEEN)
        *r = smtp_reply(503, "5.5.1",
                        s->t ? "No recipient was accepted" : "MAIL and RCPT come before BDAT");
    return r->code ? SMTP_NO : SMTP_YES;
}

/* Outside a transaction that could hold the chunk: swallow, then answer. */
static void
bdat_refuse(struct smtp_server *s, uint64_t size, enum smtp_decision d, const struct smtp_reply *r)
{
    s->swallow = size;
    s->swallow_close = d == SMTP_CLOSE;
    s->swallow_reply = xcalloc(1, sizeof(*r));
    *s->swallow_reply = *r;
    server_swallow(s, 0);
}

void cmd_bdat(struct smtp_server *s, struct str args)
{
    struct smtp_reply r = {0};
    uint64_t size;
    bool last;
    int e = bdat_parse(args, &size, &last);
    if (e < 0) {
        server_say(s, 501, "5.5.4", "Say BDAT size, or BDAT size LAST");
        if (e ==
            -ERANGE) /* octets will follow that nobody can count: do not read them as commands */
            server_end(s);
        return;
    }
    enum smtp_decision d = bdat_gate(s, &r);
    if (d != SMTP_YES) {
        bdat_refuse(s, size, d, &r);
        return;
    }
    s->t->chunk_left = size;
    s->t->chunk_last = last;
    if (s->t->started) {
        server_set_state(s, SS_CHUNK);
        (void)text_feed(s, "", 0);
        return;
    }
    d = s->ops->data(s->ctx, &r);
    if (d == SMTP_LATER)
        s->wait = WAIT_BDAT;
    else
        cmd_bdat_resume(s, d, &r);
}

void cmd_bdat_resume(struct smtp_server *s, enum smtp_decision d, const struct smtp_reply *r)
{
    struct transaction *t = s->t;
    if (d == SMTP_YES) {
        text_begin(s, true);
    } else {
        t->chunk_void = true;
        t->chunk_reply = *r;
        t->chunk_close = d == SMTP_CLOSE;
    }
    server_set_state(s, SS_CHUNK);
    (void)text_feed(s, "", 0);
}
