/* MAIL and RCPT in words, and what a message must be like to be put into them. */
#include "smtp/client_internal.h"

#include "smtp/address.h"
#include "smtp/params.h"

static void put_size(struct smtp_client *c)
{
    if (c->tx.msg->size < 0)
        return;
    smtp_talk_put(&c->talk, " SIZE=");
    smtp_talk_put_number(&c->talk, (uint64_t)c->tx.msg->size);
}

static void put_8bit(struct smtp_client *c)
{
    if (c->tx.msg->body == SMTP_CLIENT_8BITMIME)
        smtp_talk_put(&c->talk, " BODY=8BITMIME");
}

static void put_binary(struct smtp_client *c)
{
    if (c->tx.msg->body == SMTP_CLIENT_BINARYMIME)
        smtp_talk_put(&c->talk, " BODY=BINARYMIME");
}

static void put_utf8(struct smtp_client *c)
{
    if (c->tx.msg->smtputf8)
        smtp_talk_put(&c->talk, " SMTPUTF8");
}

static void put_dsn(struct smtp_client *c)
{
    const struct smtp_client_message *m = c->tx.msg;
    if (m->ret)
        smtp_talk_put(&c->talk, m->ret == 'F' ? " RET=FULL" : " RET=HDRS");
    if (m->envid) {
        smtp_talk_put(&c->talk, " ENVID=");
        smtp_talk_put(&c->talk, m->envid);
    }
}

/* [rfc4954 5] Only to a server that took us for somebody: to any other the parameter says nothing
 * (AUTH-30) and would give away who submitted the message. */
static void put_auth(struct smtp_client *c)
{
    const char *auth = c->tx.msg->auth;
    bool known = c->implicit || c->sequence != SMTP_SEQUENCE_NONE;
    if (!auth || !known || c->refuses_auth_param)
        return;
    c->tx.with_auth = true;
    smtp_talk_put(&c->talk, " AUTH=");
    if (strcmp(auth, "<>") == 0)
        smtp_talk_put(&c->talk, auth);
    else
        smtp_talk_put_error(&c->talk, xtext_encode(str_of(auth), c->out));
}

static void put_requiretls(struct smtp_client *c)
{
    if (c->tx.msg->requiretls)
        smtp_talk_put(&c->talk, " REQUIRETLS");
}

static const struct {
    enum smtp_extension needs; /* SMTP-10 */
    void (*put)(struct smtp_client *c);
} mail_parameters[] = {
    {SMTP_EXT_SIZE,       put_size      },
    {SMTP_EXT_8BITMIME,   put_8bit      },
    {SMTP_EXT_BINARYMIME, put_binary    },
    {SMTP_EXT_SMTPUTF8,   put_utf8      },
    {SMTP_EXT_DSN,        put_dsn       },
    {SMTP_EXT_AUTH,       put_auth      },
    {SMTP_EXT_REQUIRETLS, put_requiretls},
};

void client_put_mail(struct smtp_client *c)
{
    smtp_talk_put(&c->talk, "MAIL FROM:<");
    smtp_talk_put(&c->talk, c->tx.msg->reverse_path);
    smtp_talk_put(&c->talk, ">");
    for (size_t i = 0; i < ARRAY_LEN(mail_parameters); i++)
        if (smtp_offers(&c->caps, mail_parameters[i].needs))
            mail_parameters[i].put(c);
}

static void put_notify(struct smtp_client *c, unsigned notify)
{
    static const struct {
        unsigned bit;
        const char *word;
    } words[] = {
        {SMTP_CLIENT_NOTIFY_NEVER,   "NEVER"  },
        {SMTP_CLIENT_NOTIFY_SUCCESS, "SUCCESS"},
        {SMTP_CLIENT_NOTIFY_FAILURE, "FAILURE"},
        {SMTP_CLIENT_NOTIFY_DELAY,   "DELAY"  },
    };
    const char *before = " NOTIFY=";
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (!(notify & words[i].bit))
            continue;
        smtp_talk_put(&c->talk, before);
        smtp_talk_put(&c->talk, words[i].word);
        before = ",";
    }
}

void client_put_rcpt(struct smtp_client *c, size_t i)
{
    const struct smtp_client_recipient *r = &c->tx.msg->recipients[i];
    smtp_talk_put(&c->talk, "RCPT TO:<");
    smtp_talk_put(&c->talk, r->address);
    smtp_talk_put(&c->talk, ">");
    if (!smtp_offers(&c->caps, SMTP_EXT_DSN))
        return;
    put_notify(c, r->notify);
    if (r->orcpt) {
        smtp_talk_put(&c->talk, " ORCPT=");
        smtp_talk_put(&c->talk, r->orcpt);
    }
}

/* An address that cannot be taken for more than one argument.  Its meaning is not our business. */
static bool address_is_sendable(const char *address, bool utf8)
{
    struct str s = str_of(address);
    bool quoted = false;
    if (s.len > SMTP_PATH_MAX || str_has_control(s) || (!utf8 && !str_is_ascii(s)))
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] == '"')
            quoted = !quoted;
        else if (quoted && s.p[i] == '\\')
            i++;
        else if (!quoted && (s.p[i] == '<' || s.p[i] == '>' || s.p[i] == ' '))
            return false;
    }
    return !quoted;
}

static bool parameter_is_sendable(const char *value, bool utf8)
{
    struct str s = str_of(value);
    return s.len <= 1000 && !str_has_control(s) && str_find(s, ' ') < 0 &&
           (utf8 || str_is_ascii(s));
}

bool client_is_sendable(const struct smtp_client_message *m)
{
    bool ok = address_is_sendable(m->reverse_path, m->smtputf8) &&
              parameter_is_sendable(m->envid, false) &&
              (!m->auth || strcmp(m->auth, "<>") == 0 || address_is_sendable(m->auth, m->smtputf8));
    for (size_t i = 0; ok && i < m->n_recipients; i++)
        ok = *m->recipients[i].address &&
             address_is_sendable(m->recipients[i].address, m->smtputf8) &&
             parameter_is_sendable(m->recipients[i].orcpt, m->smtputf8);
    return ok;
}

enum lack { LACK_NOTHING, LACK_UTF8, LACK_8BIT, LACK_BINARY, LACK_TLS, LACK_ROOM, LACK_COUNT };

static enum lack lack_of(const struct smtp_client *c, const struct smtp_client_message *m)
{
    const struct smtp_capabilities *caps = &c->caps;
    if (m->smtputf8 && !smtp_offers(caps, SMTP_EXT_SMTPUTF8))
        return LACK_UTF8;
    if (m->body == SMTP_CLIENT_8BITMIME && !smtp_offers(caps, SMTP_EXT_8BITMIME))
        return LACK_8BIT;
    if (m->body == SMTP_CLIENT_BINARYMIME &&
        !(smtp_offers(caps, SMTP_EXT_BINARYMIME) && smtp_offers(caps, SMTP_EXT_CHUNKING)))
        return LACK_BINARY;
    if (m->requiretls && !(c->secure && smtp_offers(caps, SMTP_EXT_REQUIRETLS)))
        return LACK_TLS;
    if (caps->size_max && m->size > 0 && (uint64_t)m->size > caps->size_max)
        return LACK_ROOM;
    return LACK_NOTHING;
}

bool client_is_too_much(const struct smtp_client *c,
                        const struct smtp_client_message *m,
                        struct smtp_outcome *ret_why)
{
    static const struct {
        int code;
        const char *enhanced, *text;
    } words[LACK_COUNT] = {
        [LACK_UTF8] = {550, "5.6.7",  "the message needs SMTPUTF8 and the server does not offer it"},
        [LACK_8BIT] = {554, "5.6.3",  "the message is 8-bit and the server offers no 8BITMIME"     },
        [LACK_BINARY] = {554, "5.6.1",  "the message is binary and the server offers no BINARYMIME"  },
        [LACK_TLS] = {550, "5.7.30",
                       "the message demands TLS all the way, REQUIRETLS is not offered"            },
        [LACK_ROOM] = {552, "5.3.4",  "the message is larger than the server takes"                },
    };
    enum lack lack = lack_of(c, m);
    if (lack == LACK_NOTHING)
        return false;
    *ret_why = client_outcome_ours(words[lack].code, words[lack].enhanced, words[lack].text,
                                   SMTP_STAGE_MAIL);
    return true;
}
