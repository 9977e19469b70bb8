#include "probe/mailbox.h"

#include <errno.h>
#include <stdio.h>

struct mailbox {
    struct contact contact;
    struct mailbox_hearing hearing;
    struct mailbox_answer greeting;
    unsigned tags;
    bool listening; /* an answer is awaited */
    bool upgrading; /* the answer to STARTTLS is awaited */
    bool deaf;      /* what follows the go-ahead for TLS in the clear is nobody's */
    bool stray;
};

static size_t on_input(void *ctx, const char *data, size_t len)
{
    struct mailbox *m = ctx;
    if (m->deaf)
        return len;
    if (!m->listening) {
        m->stray = true;
        contact_finish(&m->contact, "a line that no command asked for");
        return len;
    }
    ssize_t n = mailbox_hearing_feed(&m->hearing, data, len);
    if (n < 0) {
        contact_finish(&m->contact, "what came is no answer, or one without measure");
        return len;
    }
    if (m->hearing.complete) {
        m->listening = false;
        m->deaf = m->upgrading && m->hearing.status == MAILBOX_OK;
        contact_answered(&m->contact);
    }
    return (size_t)n;
}

static void on_secured(void *ctx)
{
    ((struct mailbox *)ctx)->deaf = false;
}

static const struct contact_ops contact_ops = {.input = on_input, .secured = on_secured};

static struct mailbox_answer await(struct mailbox *m, const char *tag, bool several)
{
    struct mailbox_answer a = {MAILBOX_NONE, ""};
    if (m->contact.ended)
        return a;
    mailbox_hearing_begin(&m->hearing, tag, several);
    m->listening = true;
    contact_turn(&m->contact, 1);
    if (!m->hearing.complete)
        return a;
    a.status = m->hearing.status;
    (void)snprintf(a.text, sizeof(a.text), "%s", m->hearing.last);
    return a;
}

struct mailbox *mailbox_open(struct loop *l,
                             const struct contact_target *target,
                             struct tls_context *tls,
                             enum mailbox_kind kind)
{
    struct mailbox *m = xcalloc(1, sizeof(*m));
    mailbox_hearing_init(&m->hearing, kind);
    contact_init(&m->contact, l, target, tls, &contact_ops, m);
    m->greeting = await(m, "", false);
    return m;
}

void mailbox_close(struct mailbox *m)
{
    if (!m)
        return;
    if (!m->contact.ended && m->greeting.status != MAILBOX_NONE)
        (void)mailbox_say(m, m->hearing.kind == MAILBOX_IMAP ? "LOGOUT" : "QUIT", false);
    contact_done(&m->contact);
    mailbox_hearing_done(&m->hearing);
    free(m);
}

bool mailbox_ended(const struct mailbox *m)
{
    return m->contact.ended;
}

bool mailbox_is_stray(const struct mailbox *m)
{
    return m->stray;
}

const char *mailbox_why(const struct mailbox *m)
{
    return m->contact.why;
}

const struct contact_facts *mailbox_facts(const struct mailbox *m)
{
    return &m->contact.facts;
}

struct mailbox_answer mailbox_greeting(const struct mailbox *m)
{
    return m->greeting;
}

static void put(struct mailbox *m, const char *tag, const char *line)
{
    if (!m->contact.ended &&
        buf_printf(&m->contact.out, "%s%s%s\r\n", tag, *tag ? " " : "", line) < 0)
        contact_finish(&m->contact, "a line of ours could not be sent");
}

static void next_tag(struct mailbox *m, char ret[MAILBOX_TAG])
{
    ret[0] = '\0';
    if (m->hearing.kind == MAILBOX_IMAP)
        (void)snprintf(ret, MAILBOX_TAG, "p%u", ++m->tags % 1000);
}

struct mailbox_answer mailbox_say(struct mailbox *m, const char *command, bool several)
{
    char tag[MAILBOX_TAG];
    next_tag(m, tag);
    put(m, tag, command);
    return await(m, tag, several);
}

struct mailbox_answer mailbox_respond(struct mailbox *m, const char *line)
{
    char tag[MAILBOX_TAG];
    (void)snprintf(tag, sizeof(tag), "%s", m->hearing.tag);
    put(m, "", line);
    return await(m, tag, false);
}

bool mailbox_has(const struct mailbox *m, const char *word)
{
    return mailbox_hearing_has(&m->hearing, word);
}

bool mailbox_start_tls(struct mailbox *m, const char *injected, struct mailbox_answer *ret)
{
    char tag[MAILBOX_TAG], hidden[MAILBOX_TAG];
    next_tag(m, tag);
    put(m, tag, m->hearing.kind == MAILBOX_IMAP ? "STARTTLS" : "STLS");
    if (injected) {
        next_tag(m, hidden);
        put(m, hidden, injected);
    }
    m->upgrading = true;
    *ret = await(m, tag, false);
    m->upgrading = false;
    return ret->status == MAILBOX_OK && contact_start_tls(&m->contact);
}
