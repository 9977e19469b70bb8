/* RCPT (RFC 5321 section 4.1.1.3) and its parameters. */
#include "smtp/params.h"
#include "smtp/server_internal.h"

#include <ctype.h>

/* [rfc3461 4.1] NEVER alone, or a list of the others (DSN-01). */
static bool notify_parse(struct str v, unsigned *ret)
{
    static const struct {
        const char *word;
        unsigned bit;
    } words[] = {
        {"NEVER",   SMTP_NOTIFY_NEVER  },
        {"SUCCESS", SMTP_NOTIFY_SUCCESS},
        {"FAILURE", SMTP_NOTIFY_FAILURE},
        {"DELAY",   SMTP_NOTIFY_DELAY  },
    };
    unsigned set = 0;
    for (bool more = true; more;) {
        ssize_t comma = str_find(v, ',');
        struct str word = str_upto(v, comma < 0 ? v.len : (size_t)comma);
        unsigned bit = 0;
        for (size_t i = 0; i < ARRAY_LEN(words); i++)
            if (str_eq_nocase(word, str_of(words[i].word)))
                bit = words[i].bit;
        if (!bit || set & bit)
            return false;
        set |= bit;
        more = comma >= 0;
        v = str_from(v, more ? (size_t)comma + 1 : v.len);
    }
    *ret = set;
    return !(set & SMTP_NOTIFY_NEVER) || set == SMTP_NOTIFY_NEVER;
}

/* [rfc3461 4.2] type;xtext, 500 octets at most. */
static bool orcpt_is_valid(struct str v)
{
    struct buf text = BUF_INIT(SMTP_COMMAND_MAX);
    ssize_t semicolon = str_find(v, ';');
    bool good = semicolon > 0 && v.len <= 500;
    for (ssize_t i = 0; good && i < semicolon; i++)
        good = isalnum((unsigned char)v.p[i]) || v.p[i] == '-';
    struct str address = str_from(v, good ? (size_t)semicolon + 1 : v.len);
    good = good && address.len && xtext_decode(address, &text) == 0 &&
           !str_has_control(buf_str(&text));
    buf_done(&text);
    return good;
}

static bool take_param(struct smtp_server *s,
                       const struct smtp_param *p,
                       struct smtp_rcpt *rcpt,
                       struct smtp_reply *r)
{
    bool dsn = smtp_set_has(s->cfg->extensions, SMTP_EXT_DSN);
    if (dsn && str_eq_nocase(p->keyword, STR("NOTIFY"))) {
        if (rcpt->notify == 0 && p->has_value && notify_parse(p->value, &rcpt->notify))
            return true;
        *r = smtp_reply(501, "5.5.4", "NOTIFY is NEVER, or a list of SUCCESS, FAILURE, DELAY");
        return false;
    }
    if (dsn && str_eq_nocase(p->keyword, STR("ORCPT"))) {
        if (!rcpt->orcpt && p->has_value && orcpt_is_valid(p->value)) {
            rcpt->orcpt = arena_strdup(&s->t->arena, p->value);
            return true;
        }
        *r = smtp_reply(501, "5.5.4", "ORCPT is a type, a semicolon and an address as xtext");
        return false;
    }
    *r = smtp_reply(555, "5.5.4", "Parameter %.*s not known",
                    STR_FMT(str_upto(p->keyword, 40))); /* SMTP-09 */
    return false;
}

static bool
take_params(struct smtp_server *s, struct str rest, struct smtp_rcpt *rcpt, struct smtp_reply *r)
{
    struct smtp_param p;
    int more;
    if (rest.len && rest.p[0] != ' ') {
        *r = smtp_reply(501, "5.5.4", "A space goes between address and parameters");
        return false;
    }
    while ((more = smtp_param_next(&rest, &p)) > 0)
        if (!take_param(s, &p, rcpt, r))
            return false;
    if (more < 0)
        *r = smtp_reply(501, "5.5.4", "Bad parameter syntax");
    return more == 0;
}

static void refuse_path(enum smtp_path_error e, struct smtp_reply *r)
{
    if (e == PATH_NEEDS_UTF8)
        *r = smtp_reply(553, "5.6.7",
                        "A recipient outside ASCII needs MAIL with SMTPUTF8"); /* UTF-01 */
    else
        *r = smtp_reply(501, "5.1.3", "%s",
                        e == PATH_TOO_LONG ? "Recipient address too long"
                                           : "Bad recipient address, <user@example.org> is right");
}

static bool
rcpt_parse(struct smtp_server *s, struct str args, struct smtp_rcpt *rcpt, struct smtp_reply *r)
{
    size_t len;
    if (!str_starts_nocase(args, STR("TO:"))) {
        *r = smtp_reply(501, "5.5.4", "Say RCPT TO:<address>");
        return false;
    }
    args = str_trim(str_from(args, 3));
    args.p = arena_strdup(&s->t->arena, args);
    if (!args.p) {
        *r = smtp_reply(452, "4.5.3", "Too many recipients for one message"); /* SMTP-14 */
        return false;
    }
    enum smtp_path_error e = smtp_path_parse(args, s->t->mail.smtputf8, &rcpt->path, &len);
    if (e == PATH_OK && rcpt->path.is_null)
        e = PATH_SYNTAX;
    if (e != PATH_OK) {
        refuse_path(e, r);
        return false;
    }
    rcpt->forward_path = arena_strdup(&s->t->arena, rcpt->path.mailbox);
    return take_params(s, str_from(args, len), rcpt, r);
}

void cmd_rcpt(struct smtp_server *s, struct str args)
{
    struct smtp_reply r = {0};
    struct transaction *t = s->t;
    if (s->state != SS_MAIL && s->state != SS_RCPT) { /* SMTP-06 */
        server_say(s, 503, "5.5.1", t ? "The text has begun" : "MAIL comes before RCPT");
        return;
    }
    if (t->n_rcpts >= s->cfg->recipients_max) {
        server_say(s, 452, "4.5.3", "Too many recipients, %u at most",
                   s->cfg->recipients_max); /* SMTP-14 */
        return;
    }
    t->pending = (struct smtp_rcpt){0};
    if (!rcpt_parse(s, args, &t->pending, &r)) {
        server_reply(s, &r);
        return;
    }
    enum smtp_decision d = s->ops->rcpt(s->ctx, &t->pending, &r);
    if (d == SMTP_LATER)
        s->wait = WAIT_RCPT;
    else
        cmd_rcpt_resume(s, d, &r);
}

static bool rcpts_grow(struct transaction *t)
{
    if (t->n_rcpts < t->cap_rcpts)
        return true;
    size_t cap = t->cap_rcpts ? t->cap_rcpts * 2 : 2;
    struct smtp_rcpt *more = reallocarray(t->rcpts, cap, sizeof(*more));
    if (!more)
        return false;
    t->rcpts = more;
    t->cap_rcpts = cap;
    return true;
}

void cmd_rcpt_resume(struct smtp_server *s, enum smtp_decision d, const struct smtp_reply *r)
{
    struct transaction *t = s->t;
    if (!server_go_on(s, d, r))
        return;
    if (!t->pending.forward_path || !rcpts_grow(t)) {
        server_say(s, 452, "4.5.3", "Too many recipients for one message");
        return;
    }
    t->rcpts[t->n_rcpts++] = t->pending;
    server_set_state(s, SS_RCPT);
    server_say(s, 250, "2.1.5", "Recipient OK");
}
