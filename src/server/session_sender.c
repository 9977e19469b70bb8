/* Whose name a message may bear: the reverse-path and AUTH= of MAIL, the From and Sender of the header. */
#include "message/mailboxes.h"
#include "server/session_internal.h"
#include "smtp/address.h"

#include <errno.h>

bool session_may_send_as(const struct session *s, struct str address)
{
    return s->identity && sender_is_allowed(&s->endpoint->sender, str_of(s->identity), address);
}

bool session_judges_header(const struct session *s)
{
    return s->identity && s->endpoint->cfg->header_from != HEADER_FROM_IGNORE;
}

struct walk {
    const struct session *session;
    struct buf foreign; /* the first address the identity may not use */
};

static int on_address(void *arg, struct str address)
{
    struct walk *w = arg;
    if (w->foreign.len || session_may_send_as(w->session, address))
        return 0;
    return buf_append_str(&w->foreign, address);
}

/* Addresses in the body, or -errno when nobody can be sure what it says. */
static int look(struct walk *w, struct str body, unsigned n_fields, bool too_long)
{
    buf_clear(&w->foreign);
    if (n_fields > 1 || too_long)
        return -EINVAL;
    return mailboxes_each(body, on_address, w);
}

static int refuse(struct transfer *t, struct smtp_reply reply)
{
    t->refusal = reply;
    return -EPERM;
}

/* header-from = reject */
static int judge_field(struct transfer *t,
                       struct walk *w,
                       const char *name,
                       struct str body,
                       unsigned n,
                       bool too_long)
{
    int found = look(w, body, n, too_long);
    if (found <= 0)
        return refuse(t, smtp_reply(554, "5.6.0", "%s must name its %s in a field that can be read",
                                    w->session->identity, name));
    if (w->foreign.len)
        return refuse(t, smtp_reply(550, "5.7.1", "%s may not send with %s <%s>",
                                    w->session->identity, name, w->foreign.data));
    return 0;
}

static bool identity_is_address(const struct session *s)
{
    struct smtp_path path;
    return smtp_mailbox_parse(str_of(s->identity), true, &path) == PATH_OK && path.domain.len;
}

/* header-from = add-sender [rfc6409 8.1]: the client's own Sender stays if it may use it. */
static int
judge_sender(struct transfer *t, struct walk *w, const struct fixup_names *n, struct buf *add)
{
    const struct session *s = w->session;
    int found = look(w, n->sender, n->n_sender, n->too_long);
    if (found == 1 && !w->foreign.len) {
        struct str body = n->sender;
        while (body.len && strchr("\r\n", body.p[body.len - 1]))
            body.len--;
        return buf_printf(add, "Sender:%.*s\r\n", STR_FMT(body));
    }
    found = look(w, n->from, n->n_from, n->too_long);
    if (found == 1 && !w->foreign.len) /* one From, and its own: MSG-04 wants no Sender then */
        return 0;
    if (!identity_is_address(s))
        return refuse(t,
                      smtp_reply(550, "5.7.1",
                                 "%s may not send with this From, and is no address for a Sender",
                                 s->identity));
    return buf_printf(add, "Sender: <%s>\r\n", s->identity);
}

int session_judge_names(void *arg, const struct fixup_names *names, struct buf *add)
{
    struct transfer *t = arg;
    struct walk w = {.session = t->session, .foreign = BUF_INIT(SMTP_PATH_MAX)};
    int r;
    if (t->session->endpoint->cfg->header_from == HEADER_FROM_ADD_SENDER) {
        r = judge_sender(t, &w, names, add);
    } else {
        r = judge_field(t, &w, "From", names->from, names->n_from, names->too_long);
        if (r == 0 && names->n_sender)
            r = judge_field(t, &w, "Sender", names->sender, names->n_sender, names->too_long);
    }
    buf_done(&w.foreign);
    return r;
}
