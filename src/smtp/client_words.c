/* MAIL and RCPT in words, and what a message must be like to be put into them. */
#include "smtp/client_internal.h"

#include "smtp/address.h"
#include "smtp/params.h"

#include <stdio.h>

static void put_signed(struct smtp_client *c, int64_t n)
{
    smtp_talk_put(&c->talk, n < 0 ? "-" : "");
    smtp_talk_put_number(&c->talk, (uint64_t)(n < 0 ? -n : n));
}

static void put_size(struct smtp_client *c)
{
    if (c->tx.msg->size < 0)
        return;
    smtp_talk_put(&c->talk, " SIZE=");
    smtp_talk_put_number(&c->talk, (uint64_t)c->tx.msg->size);
}

static void put_8bit(struct smtp_client *c)
{
    if (c->tx.msg->body == SMTP_BODY_8BITMIME)
        smtp_talk_put(&c->talk, " BODY=8BITMIME");
}

static void put_binary(struct smtp_client *c)
{
    if (c->tx.msg->body == SMTP_BODY_BINARYMIME)
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

/* [rfc4865 4] One of the two (FUT-01). */
static void put_hold(struct smtp_client *c)
{
    const struct smtp_client_message *m = c->tx.msg;
    if (m->hold_for) {
        smtp_talk_put(&c->talk, " HOLDFOR=");
        put_signed(c, m->hold_for);
    } else if (m->hold_until) {
        smtp_talk_put(&c->talk, " HOLDUNTIL=");
        smtp_talk_put(&c->talk, m->hold_until);
    }
}

/* [rfc2852 4] "BY=120;RT" (DLB-01) */
static void put_deliver_by(struct smtp_client *c)
{
    const struct smtp_deliver_by *by = &c->tx.msg->deliver_by;
    if (!by->mode)
        return;
    smtp_talk_put(&c->talk, " BY=");
    put_signed(c, by->seconds);
    smtp_talk_put(&c->talk, by->mode == 'R' ? ";R" : ";N");
    smtp_talk_put(&c->talk, by->trace ? "T" : "");
}

static void put_priority(struct smtp_client *c)
{
    if (c->tx.msg->priority == 0)
        return;
    smtp_talk_put(&c->talk, " MT-PRIORITY=");
    put_signed(c, c->tx.msg->priority);
}

static const struct {
    enum smtp_extension needs; /* SMTP-10 */
    void (*put)(struct smtp_client *c);
} mail_parameters[] = {
    {SMTP_EXT_SIZE,          put_size      },
    {SMTP_EXT_8BITMIME,      put_8bit      },
    {SMTP_EXT_BINARYMIME,    put_binary    },
    {SMTP_EXT_SMTPUTF8,      put_utf8      },
    {SMTP_EXT_DSN,           put_dsn       },
    {SMTP_EXT_AUTH,          put_auth      },
    {SMTP_EXT_REQUIRETLS,    put_requiretls},
    {SMTP_EXT_FUTURERELEASE, put_hold      },
    {SMTP_EXT_DELIVERBY,     put_deliver_by},
    {SMTP_EXT_MT_PRIORITY,   put_priority  },
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
        {SMTP_NOTIFY_NEVER,   "NEVER"  },
        {SMTP_NOTIFY_SUCCESS, "SUCCESS"},
        {SMTP_NOTIFY_FAILURE, "FAILURE"},
        {SMTP_NOTIFY_DELAY,   "DELAY"  },
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

static bool is_within(int64_t n, int64_t max)
{
    return n >= -max && n <= max;
}

/* What the grammars of BY=, HOLDFOR=, HOLDUNTIL= and MT-PRIORITY= can say. */
static bool schedule_is_sendable(const struct smtp_client_message *m)
{
    const struct smtp_deliver_by *by = &m->deliver_by;
    bool hold = m->hold_for >= 0 && m->hold_for <= SMTP_SECONDS_MAX &&
                !(m->hold_for && m->hold_until) && !(m->hold_until && !*m->hold_until) &&
                parameter_is_sendable(m->hold_until, false);
    bool deadline = !by->mode || by->mode == 'N' || (by->mode == 'R' && by->seconds > 0);
    return hold && deadline && is_within(by->seconds, SMTP_SECONDS_MAX) &&
           is_within(m->priority, SMTP_PRIORITY_MAX);
}

bool client_is_sendable(const struct smtp_client_message *m)
{
    bool ok = schedule_is_sendable(m) && address_is_sendable(m->reverse_path, m->smtputf8) &&
              parameter_is_sendable(m->envid, false) &&
              (!m->auth || strcmp(m->auth, "<>") == 0 || address_is_sendable(m->auth, m->smtputf8));
    for (size_t i = 0; ok && i < m->n_recipients; i++)
        ok = *m->recipients[i].address &&
             address_is_sendable(m->recipients[i].address, m->smtputf8) &&
             parameter_is_sendable(m->recipients[i].orcpt, m->smtputf8);
    return ok;
}

enum lack {
    LACK_NOTHING,
    LACK_UTF8,
    LACK_8BIT,
    LACK_BINARY,
    LACK_TLS,
    LACK_ROOM,
    LACK_HOLD,
    LACK_HOLD_SO_LONG,
    LACK_DEADLINE,
    LACK_DEADLINE_SO_SOON,
    LACK_COUNT,
};

static enum lack lack_of_body(const struct smtp_capabilities *caps, enum smtp_body body)
{
    if (body == SMTP_BODY_8BITMIME && !smtp_offers(caps, SMTP_EXT_8BITMIME))
        return LACK_8BIT;
    if (body == SMTP_BODY_BINARYMIME &&
        !(smtp_offers(caps, SMTP_EXT_BINARYMIME) && smtp_offers(caps, SMTP_EXT_CHUNKING)))
        return LACK_BINARY;
    return LACK_NOTHING;
}

/* A message released at once that was to wait, or delivered late that was to come back, is worse than one that was not
 * taken; a late one that only tells is not. */
static enum lack lack_of_schedule(const struct smtp_capabilities *caps,
                                  const struct smtp_client_message *m)
{
    if ((m->hold_for || m->hold_until) && !smtp_offers(caps, SMTP_EXT_FUTURERELEASE))
        return LACK_HOLD;
    if (caps->hold_seconds_max && (uint64_t)m->hold_for > caps->hold_seconds_max)
        return LACK_HOLD_SO_LONG;
    if (m->deliver_by.mode != 'R')
        return LACK_NOTHING;
    if (!smtp_offers(caps, SMTP_EXT_DELIVERBY))
        return LACK_DEADLINE;
    return (uint64_t)m->deliver_by.seconds < caps->by_seconds_min ? LACK_DEADLINE_SO_SOON
                                                                  : LACK_NOTHING;
}

static enum lack lack_of(const struct smtp_client *c, const struct smtp_client_message *m)
{
    const struct smtp_capabilities *caps = &c->caps;
    if (m->smtputf8 && !smtp_offers(caps, SMTP_EXT_SMTPUTF8))
        return LACK_UTF8;
    enum lack body = lack_of_body(caps, m->body);
    if (body != LACK_NOTHING)
        return body;
    if (m->requiretls && !(c->secure && smtp_offers(caps, SMTP_EXT_REQUIRETLS)))
        return LACK_TLS;
    if (caps->size_max && m->size > 0 && (uint64_t)m->size > caps->size_max)
        return LACK_ROOM;
    return lack_of_schedule(caps, m);
}

/* Of what the caller insists on; the first that is missing. */
static bool lacks_required(struct smtp_client *c,
                           const struct smtp_client_message *m,
                           struct smtp_outcome *ret_why)
{
    for (enum smtp_extension e = 0; e < SMTP_EXT_COUNT; e++) {
        if (!smtp_set_has(m->required, e) || smtp_offers(&c->caps, e))
            continue;
        (void)snprintf(c->last_text, sizeof(c->last_text),
                       "the message requires %s and the server does not offer it",
                       smtp_extension_name(e));
        *ret_why = client_outcome_ours(554, "5.3.3", c->last_text, SMTP_STAGE_MAIL);
        return true;
    }
    return false;
}

bool client_is_too_much(struct smtp_client *c,
                        const struct smtp_client_message *m,
                        struct smtp_outcome *ret_why)
{
    static const struct {
        int code;
        const char *enhanced, *text;
    } words[LACK_COUNT] = {
        [LACK_UTF8] = {550, "5.6.7",  "the message needs SMTPUTF8 and the server does not offer it"      },
        [LACK_8BIT] = {554, "5.6.3",  "the message is 8-bit and the server offers no 8BITMIME"           },
        [LACK_BINARY] = {554, "5.6.1",  "the message is binary and the server offers no BINARYMIME"        },
        [LACK_TLS] = {550, "5.7.30",
                       "the message demands TLS all the way, REQUIRETLS is not offered"                  },
        [LACK_ROOM] = {552, "5.3.4",  "the message is larger than the server takes"                      },
        [LACK_HOLD] = {554, "5.3.3",
                       "the message is to be held and the server does not offer FUTURERELEASE"           },
        [LACK_HOLD_SO_LONG] = {554, "5.3.3",
                       "the message is to be held for longer than the server does"                       },
        [LACK_DEADLINE] = {554, "5.3.3",
                       "the message has a deadline and the server does not offer DELIVERBY"              },
        [LACK_DEADLINE_SO_SOON] =
            {554, "5.4.7",  "the deadline of the message is sooner than the server can promise"},
    };
    enum lack lack = lack_of(c, m);
    if (lack == LACK_NOTHING)
        return lacks_required(c, m, ret_why);
    *ret_why = client_outcome_ours(words[lack].code, words[lack].enhanced, words[lack].text,
                                   SMTP_STAGE_MAIL);
    return true;
}
