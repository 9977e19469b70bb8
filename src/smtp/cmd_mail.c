/* MAIL (RFC 5321 section 4.1.1.2) and its parameters. */
#include "smtp/params.h"
#include "smtp/schedule.h"
#include "smtp/server_internal.h"

#include <errno.h>

static void refuse_param(struct smtp_reply *r, const char *keyword)
{
    *r = smtp_reply(501, "5.5.4", "Bad value of %s", keyword);
}

static char *keep(struct transaction *t, struct str s)
{
    return arena_strdup(&t->arena, s);
}

static bool
param_size(struct smtp_server *s, struct transaction *t, struct str v, struct smtp_reply *r)
{
    int e = v.len > 20 ? -EINVAL : str_to_u64(v, UINT64_MAX, &t->mail.size);
    if (e == -EINVAL) {
        refuse_param(r, "SIZE");
        return false;
    }
    if (e == -ERANGE) /* twenty digits are syntax [rfc1870 4], whatever they come to */
        t->mail.size = UINT64_MAX;
    if (s->cfg->size_max && t->mail.size > s->cfg->size_max) { /* SIZE-01 */
        *r = smtp_reply(552, "5.3.4", "Message too big, the limit is %llu octets",
                        (unsigned long long)s->cfg->size_max);
        return false;
    }
    return true;
}

static bool
param_body(struct smtp_server *s, struct transaction *t, struct str v, struct smtp_reply *r)
{
    static const struct {
        const char *word;
        enum smtp_body body;
        enum smtp_extension extension;
    } bodies[] = {
        {"7BIT",       SMTP_BODY_7BIT,       SMTP_EXT_8BITMIME  },
        {"8BITMIME",   SMTP_BODY_8BITMIME,   SMTP_EXT_8BITMIME  },
        {"BINARYMIME", SMTP_BODY_BINARYMIME, SMTP_EXT_BINARYMIME},
    };
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        if (str_eq_nocase(v, str_of(bodies[i].word)) &&
            smtp_set_has(server_extensions(s), bodies[i].extension)) {
            t->mail.body = bodies[i].body;
            return true;
        }
    }
    refuse_param(r, "BODY");
    return false;
}

static bool
param_smtputf8(struct smtp_server *s, struct transaction *t, struct str v, struct smtp_reply *r)
{
    (void)s;
    (void)v;
    (void)r;
    t->mail.smtputf8 = true;
    return true;
}

/* [rfc4954 5] AUTH=<> or an xtext mailbox; malformed is a syntax error and triggers nothing
 * (AUTH-29, EDG-09). */
static bool
param_auth(struct smtp_server *s, struct transaction *t, struct str v, struct smtp_reply *r)
{
    (void)s;
    struct buf mailbox = BUF_INIT(SMTP_PATH_MAX);
    struct smtp_path path;
    bool good = xtext_decode(v, &mailbox) == 0 &&
                (str_eq(buf_str(&mailbox), STR("<>")) ||
                 smtp_mailbox_parse(buf_str(&mailbox), true, &path) == PATH_OK);
    if (good)
        t->mail.auth = keep(t, buf_str(&mailbox));
    else
        refuse_param(r, "AUTH");
    buf_done(&mailbox);
    return good;
}

static bool
param_ret(struct smtp_server *s, struct transaction *t, struct str v, struct smtp_reply *r)
{
    (void)s;
    if (str_eq_nocase(v, STR("FULL")))
        t->mail.ret = 'F';
    else if (str_eq_nocase(v, STR("HDRS")))
        t->mail.ret = 'H';
    else
        refuse_param(r, "RET");
    return t->mail.ret != 0;
}

static bool
param_envid(struct smtp_server *s, struct transaction *t, struct str v, struct smtp_reply *r)
{
    (void)s;
    struct buf text = BUF_INIT(SMTP_COMMAND_MAX);
    bool good = v.len >= 1 && v.len <= 100 && xtext_decode(v, &text) == 0 &&
                !str_has_control(buf_str(&text));
    if (good)
        t->mail.envid = keep(t, v);
    else
        refuse_param(r, "ENVID");
    buf_done(&text);
    return good;
}

static bool
param_hold_for(struct smtp_server *s, struct transaction *t, struct str v, struct smtp_reply *r)
{
    (void)s;
    bool good = t->mail.hold_until_ms == 0 && smtp_hold_for_parse(v, &t->mail.hold_for) == 0;
    if (!good)
        refuse_param(r, "HOLDFOR");
    return good;
}

/* [rfc4865 4.2] One of the two, once (FUT-01). */
static bool
param_hold_until(struct smtp_server *s, struct transaction *t, struct str v, struct smtp_reply *r)
{
    (void)s;
    bool good = t->mail.hold_for == 0 && smtp_date_time_parse(v, &t->mail.hold_until_ms) == 0;
    if (!good)
        refuse_param(r, "HOLDUNTIL");
    return good;
}

static bool
param_by(struct smtp_server *s, struct transaction *t, struct str v, struct smtp_reply *r)
{
    (void)s;
    bool good = smtp_deliver_by_parse(v, &t->mail.deliver_by) == 0;
    if (!good)
        refuse_param(r, "BY");
    return good;
}

/* [rfc6710 4.1] PRI-01 */
static bool
param_priority(struct smtp_server *s, struct transaction *t, struct str v, struct smtp_reply *r)
{
    (void)s;
    bool good = smtp_priority_parse(v, &t->mail.priority) == 0;
    if (!good)
        *r = smtp_reply(501, "5.5.2", "Bad value of MT-PRIORITY, it goes from -9 to 9");
    return good;
}

static bool
param_requiretls(struct smtp_server *s, struct transaction *t, struct str v, struct smtp_reply *r)
{
    (void)s;
    (void)v;
    (void)r;
    t->mail.requiretls = true;
    return true;
}

static const struct mail_param {
    const char *keyword;
    bool has_value;
    uint32_t
        extensions; /* of one of these; 0: always understood.  AUTH= never causes 555 (AUTH-28) */
    bool (*take)(struct smtp_server *s,
                 struct transaction *t,
                 struct str value,
                 struct smtp_reply *r);
} params[] = {
    {"SIZE",        true,  SMTP_SET(SMTP_EXT_SIZE),                                     param_size      },
    {"BODY",        true,  SMTP_SET(SMTP_EXT_8BITMIME) | SMTP_SET(SMTP_EXT_BINARYMIME), param_body      },
    {"SMTPUTF8",    false, SMTP_SET(SMTP_EXT_SMTPUTF8),                                 param_smtputf8  },
    {"AUTH",        true,  0,                                                           param_auth      },
    {"RET",         true,  SMTP_SET(SMTP_EXT_DSN),                                      param_ret       },
    {"HOLDFOR",     true,  SMTP_SET(SMTP_EXT_FUTURERELEASE),                            param_hold_for  },
    {"HOLDUNTIL",   true,  SMTP_SET(SMTP_EXT_FUTURERELEASE),                            param_hold_until},
    {"BY",          true,  SMTP_SET(SMTP_EXT_DELIVERBY),                                param_by        },
    {"MT-PRIORITY", true,  SMTP_SET(SMTP_EXT_MT_PRIORITY),                              param_priority  },
    {"REQUIRETLS",  false, SMTP_SET(SMTP_EXT_REQUIRETLS),                               param_requiretls},
    {"ENVID",       true,  SMTP_SET(SMTP_EXT_DSN),                                      param_envid     },
};

static bool take_param(struct smtp_server *s,
                       struct transaction *t,
                       const struct smtp_param *p,
                       unsigned *seen,
                       struct smtp_reply *r)
{
    for (size_t i = 0; i < ARRAY_LEN(params); i++) {
        const struct mail_param *m = &params[i];
        if (!str_eq_nocase(p->keyword, str_of(m->keyword)) ||
            (m->extensions && !(server_extensions(s) & m->extensions)))
            continue;
        if (*seen & 1U << i || p->has_value != m->has_value) {
            *r = smtp_reply(501, "5.5.4", "%s %s", m->keyword,
                            *seen & 1U << i ? "is there twice"
                            : m->has_value  ? "needs a value"
                                            : "takes no value");
            return false;
        }
        *seen |= 1U << i;
        return m->take(s, t, p->value, r);
    }
    *r = smtp_reply(555, "5.5.4", "Parameter %.*s not known",
                    STR_FMT(str_upto(p->keyword, 40))); /* SMTP-09 */
    return false;
}

static bool
take_params(struct smtp_server *s, struct transaction *t, struct str rest, struct smtp_reply *r)
{
    struct smtp_param p;
    unsigned seen = 0;
    int more;
    if (rest.len && rest.p[0] != ' ') {
        *r = smtp_reply(501, "5.5.4", "A space goes between address and parameters");
        return false;
    }
    while ((more = smtp_param_next(&rest, &p)) > 0)
        if (!take_param(s, t, &p, &seen, r))
            return false;
    if (more < 0)
        *r = smtp_reply(501, "5.5.4", "Bad parameter syntax");
    return more == 0;
}

static const struct {
    enum smtp_path_error error;
    int code;
    const char *enhanced, *text;
} path_replies[] = {
    {PATH_SYNTAX,     501, "5.1.7", "Bad sender address, <user@example.org> or <> is right"      },
    {PATH_TOO_LONG,   501, "5.1.7", "Sender address too long"                                    },
    {PATH_NEEDS_UTF8, 550, "5.6.7", "A sender address outside ASCII needs the parameter SMTPUTF8"},
    {PATH_BAD_UTF8,   501, "5.1.7", "Sender address is no UTF-8"                                 },
};

static void refuse_path(enum smtp_path_error e, struct smtp_reply *r)
{
    for (size_t i = 0; i < ARRAY_LEN(path_replies); i++)
        if (path_replies[i].error == e)
            *r = smtp_reply(path_replies[i].code, path_replies[i].enhanced, "%s",
                            path_replies[i].text);
}

static bool
mail_parse(struct smtp_server *s, struct transaction *t, struct str args, struct smtp_reply *r)
{
    size_t len;
    if (!str_starts_nocase(args, STR("FROM:"))) {
        *r = smtp_reply(501, "5.5.4", "Say MAIL FROM:<address>");
        return false;
    }
    args = str_trim(str_from(args, 5)); /* a space after the colon is common and harmless */
    char *text = keep(t, args);
    if (!text) {
        *r = smtp_reply(451, "4.3.0", "Out of memory, try again later");
        return false;
    }
    args.p = text;
    enum smtp_path_error e = smtp_path_parse(args, true, &t->mail.path, &len);
    if (e == PATH_OK && !t->mail.path.is_null && t->mail.path.domain.len == 0)
        e = PATH_SYNTAX; /* <Postmaster> is a forward path only [rfc5321 4.1.1.3] */
    if (e != PATH_OK) {
        refuse_path(e, r);
        return false;
    }
    if (!take_params(s, t, str_from(args, len), r))
        return false;
    if (t->mail.path.is_utf8 && !t->mail.smtputf8) { /* UTF-01 */
        refuse_path(PATH_NEEDS_UTF8, r);
        return false;
    }
    t->mail.reverse_path = keep(t, t->mail.path.mailbox);
    if (!t->mail.reverse_path)
        *r = smtp_reply(451, "4.3.0", "Out of memory, try again later");
    return t->mail.reverse_path != NULL;
}

void cmd_mail(struct smtp_server *s, struct str args)
{
    struct smtp_reply r = {0};
    if (s->t) {
        server_say(s, 503, "5.5.1", "A mail transaction is open already"); /* SMTP-06 */
        return;
    }
    s->t = xcalloc(1, sizeof(*s->t));
    arena_init(&s->t->arena, SMTP_TRANSACTION_MAX);
    /* Syntax first: a MAIL with bad syntax leaves everything as it was, no implicit step (O2-14).
     */
    if (!mail_parse(s, s->t, args, &r)) {
        transaction_drop(s);
        server_reply(s, &r);
        return;
    }
    enum smtp_decision d = s->ops->mail(s->ctx, &s->t->mail, &r);
    if (d == SMTP_LATER)
        s->wait = WAIT_MAIL;
    else
        cmd_mail_resume(s, d, &r);
}

void cmd_mail_resume(struct smtp_server *s, enum smtp_decision d, const struct smtp_reply *r)
{
    if (d != SMTP_YES)
        transaction_drop(s);
    if (!server_go_on(s, d, r))
        return;
    s->t->accepted = true;
    server_set_state(s, SS_MAIL);
    if (r->code)
        server_reply(s, r);
    else
        server_say(s, 250, "2.1.0", "Sender OK");
}
