#include "send/carrier.h"

#include "send/secret.h"

#include <errno.h>
#include <stdio.h>

struct carrier {
    struct loop *loop;
    const struct account *account;
    struct carrier_hooks hooks;
    struct tls_context *tls;
    struct buf password; /* as long as a new connection may need it */
    struct link_config cfg;
    char port[8];
    struct link *link; /* NULL: no connection */
    struct carrier_facts facts;
    unsigned given;                    /* messages the connection was given */
    bool was_ready;                    /* so it is good for something */
    bool contact;                      /* the server was reached */
    bool second_port;                  /* 587 is being tried, or was taken */
    char first_words[CARRIER_WHY_MAX]; /* why 465 was not */

    /* the message in hand */
    struct send_message *msg;
    struct smtp_client_message envelope;
    struct smtp_client_recipient *recipients;
    bool sending; /* the link has it */
    bool touched; /* a recipient has an answer */
    bool again;   /* it is for a new connection */
    bool tried_again;
    bool done;

    /* the answer for everything, once there is no use in asking */
    struct smtp_outcome verdict;
    char verdict_enhanced[16], verdict_text[CARRIER_WHY_MAX];
};

/* ---- messages ---- */

void send_message_init(struct send_message *m)
{
    *m = (struct send_message){0};
    send_text_init(&m->text);
    recipients_init(&m->to);
}

static void drop_results(struct send_message *m)
{
    for (size_t i = 0; m->results && i < m->to.n; i++)
        free(m->results[i].text);
    free(m->results);
    m->results = NULL;
}

void send_message_done(struct send_message *m)
{
    drop_results(m);
    send_text_done(&m->text);
    recipients_done(&m->to);
}

static void need_results(struct send_message *m)
{
    if (!m->results)
        m->results = xcalloc(MAX(m->to.n, 1), sizeof(*m->results));
}

static void set_result(struct send_result *r, const struct smtp_outcome *o)
{
    free(r->text);
    r->code = o->code;
    r->stage = o->stage;
    r->ours = o->ours;
    (void)snprintf(r->enhanced, sizeof(r->enhanced), "%s", o->enhanced);
    r->text = xstrdup(o->text);
    for (char *p = r->text; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = ' ';
}

void send_message_fail(struct send_message *m, const struct smtp_outcome *o)
{
    need_results(m);
    for (size_t i = 0; i < m->to.n; i++)
        if (m->results[i].code == 0)
            set_result(&m->results[i], o);
}

/* ---- the envelope ---- */

/* An option is a promise: what the server cannot do is refused, not left out. */
static uint32_t required_by(const struct send_wishes *w)
{
    uint32_t set = 0;
    if (w->notify || w->ret || w->envid)
        set |= SMTP_SET(SMTP_EXT_DSN);
    if (w->hold_for || w->hold_until)
        set |= SMTP_SET(SMTP_EXT_FUTURERELEASE);
    if (w->deliver_by.mode)
        set |= SMTP_SET(SMTP_EXT_DELIVERBY);
    if (w->has_priority)
        set |= SMTP_SET(SMTP_EXT_MT_PRIORITY);
    return set;
}

static bool has_utf8_address(const struct send_message *m)
{
    bool found = !str_is_ascii(str_of(m->reverse_path));
    for (size_t i = 0; !found && i < m->to.n; i++)
        found = !str_is_ascii(str_of(m->to.list[i]));
    return found;
}

/* A header in UTF-8 is announced where it can be [rfc6531 3.1]; with plain addresses it goes elsewhere as what programs
 * have always sent. */
static void make_envelope(struct carrier *c, const struct smtp_capabilities *caps)
{
    struct send_message *m = c->msg;
    const struct send_wishes *w = &m->wishes;
    for (size_t i = 0; i < m->to.n; i++)
        c->recipients[i] =
            (struct smtp_client_recipient){.address = m->to.list[i], .notify = w->notify};
    c->envelope = (struct smtp_client_message){
        .reverse_path = m->reverse_path,
        .envid = w->envid,
        .ret = w->ret,
        .body = m->header_is_8bit || m->body_is_8bit ? SMTP_BODY_8BITMIME : SMTP_BODY_7BIT,
        .smtputf8 = w->smtputf8 || has_utf8_address(m) ||
                    (m->header_is_8bit && smtp_offers(caps, SMTP_EXT_SMTPUTF8)),
        .requiretls = w->requiretls,
        .hold_for = w->hold_for,
        .hold_until = w->hold_until,
        .deliver_by = w->deliver_by,
        .priority = w->priority,
        .required = required_by(w),
        .size = (int64_t)m->text.size,
        .recipients = c->recipients,
        .n_recipients = m->to.n,
    };
}

/* ---- the session ---- */

static void finish(struct carrier *c)
{
    c->sending = false;
    c->done = true;
    loop_stop(c->loop);
}

static void give(struct carrier *c)
{
    struct smtp_outcome why = {.enhanced = "", .text = "", .ours = true};
    make_envelope(c, link_capabilities(c->link));
    c->given++;
    c->sending = true;
    int r = link_send(c->link, &c->envelope, &why);
    if (r == 0)
        return;
    if (!*why.text)
        why = (struct smtp_outcome){.code = 451,
                                    .enhanced = "4.3.0",
                                    .text = strerror(-r),
                                    .stage = SMTP_STAGE_MAIL,
                                    .ours = true};
    send_message_fail(c->msg, &why);
    finish(c);
}

static void on_ready(void *ctx)
{
    struct carrier *c = ctx;
    c->was_ready = true;
    if (c->msg && !c->done && !c->sending && !c->again)
        give(c);
}

static void push(struct carrier *c, uint64_t offset)
{
    char piece[SMTP_CLIENT_PIECE];
    int r = 0;
    while (r == 0) {
        ssize_t n = send_text_read(&c->msg->text, offset, piece, sizeof(piece));
        if (n < 0 || (n == 0 && offset < c->msg->text.size)) {
            char why[CARRIER_WHY_MAX];
            (void)snprintf(why, sizeof(why), "cannot read the message back: %s",
                           n < 0 ? strerror((int)-n) : "it ends too early");
            link_stop(c->link, why);
            return;
        }
        bool last = offset + (uint64_t)n >= c->msg->text.size;
        r = link_text(c->link, piece, (size_t)n, last);
        if (r >= 0)
            offset += (uint64_t)n;
        if (r >= 0 && last)
            r = 1;
    }
    if (c->hooks.progress)
        c->hooks.progress(c->hooks.arg, offset, c->msg->text.size);
}

static void on_text(void *ctx, uint64_t offset)
{
    push(ctx, offset);
}

/* A connection that was kept and is closed by the other end just when the next message comes says nothing about that
 * message: it takes a new one, once. */
static bool is_about_connection(const struct carrier *c, const struct smtp_outcome *o)
{
    bool early = o->stage == SMTP_STAGE_MAIL || o->stage == SMTP_STAGE_RESET;
    return c->given > 1 && !c->tried_again && !c->touched && early && o->code / 100 == 4 &&
           (o->ours || o->code == 421);
}

static void on_recipient(void *ctx, size_t i, const struct smtp_outcome *o)
{
    struct carrier *c = ctx;
    c->again = c->again || is_about_connection(c, o);
    if (c->again)
        return;
    c->touched = true;
    set_result(&c->msg->results[i], o);
}

static void on_finished(void *ctx)
{
    struct carrier *c = ctx;
    c->sending = false;
    c->facts.sequence = smtp_sequence_name(link_sequence(c->link));
    (void)snprintf(c->facts.mechanism, sizeof(c->facts.mechanism), "%s", link_mechanism(c->link));
    if (!c->again)
        finish(c);
}

static void on_secured(void *ctx, const struct tls_facts *facts)
{
    struct carrier *c = ctx;
    c->contact = true;
    c->facts.tls = facts->version;
    c->facts.cipher = facts->cipher;
    c->facts.group = facts->group;
    c->facts.verified = facts->verified;
    char note[200];
    (void)snprintf(note, sizeof(note), "%s, %s%s%s", facts->version, facts->cipher,
                   facts->group ? ", " : "", facts->group ? facts->group : "");
    const char *warning = link_certificate_warning(facts, c->account->certificate != NULL);
    if (c->hooks.note)
        c->hooks.note(c->hooks.arg, note);
    if (c->hooks.note && warning)
        c->hooks.note(c->hooks.arg, warning);
}

static void on_again(void *ctx, const struct smtp_outcome *o)
{
    struct carrier *c = ctx;
    char note[CARRIER_WHY_MAX];
    (void)snprintf(
        note, sizeof(note),
        "the server has closed after it said %d %.200s; connecting again for another login",
        o->code, o->text);
    if (c->hooks.note)
        c->hooks.note(c->hooks.arg, note);
}

static void on_sent(void *ctx, struct str line)
{
    struct carrier *c = ctx;
    if (c->hooks.sent)
        c->hooks.sent(c->hooks.arg, line);
}

static void on_received(void *ctx, const struct smtp_answer *a)
{
    struct carrier *c = ctx;
    c->contact = true;
    (void)snprintf(c->facts.address, sizeof(c->facts.address), "%s", link_peer_address(c->link));
    if (c->hooks.received)
        c->hooks.received(c->hooks.arg, a);
}

static void open_link(struct carrier *c);

/* Nobody answered at the port for TLS alone. */
static bool may_try_second_port(const struct carrier *c, enum smtp_client_end end)
{
    const struct account *a = c->account;
    return end == SMTP_END_LOST && !c->contact && !c->second_port && a->port == 0 &&
           a->tls == ACCOUNT_TLS_BY_PORT;
}

static void try_second_port(struct carrier *c, const struct smtp_outcome *o)
{
    c->second_port = true;
    (void)snprintf(c->first_words, sizeof(c->first_words), "%s", o->text);
    if (c->hooks.note)
        c->hooks.note(c->hooks.arg, "nobody at port 465, trying 587 with STARTTLS");
    open_link(c);
}

/* What is kept of the end of a session that was of no use: the answer to all that follows. */
static void pass_verdict(struct carrier *c, const struct smtp_outcome *o)
{
    bool both = c->second_port && !c->contact && strcmp(o->text, c->first_words) != 0;
    c->verdict = *o;
    (void)snprintf(c->verdict_enhanced, sizeof(c->verdict_enhanced), "%s", o->enhanced);
    (void)snprintf(c->verdict_text, sizeof(c->verdict_text), "%.240s%s%.240s", o->text,
                   both ? "; before that, at port 465: " : "", both ? c->first_words : "");
    c->verdict.enhanced = c->verdict_enhanced;
    c->verdict.text = c->verdict_text;
}

static void on_ended(void *ctx, enum smtp_client_end end, const struct smtp_outcome *o)
{
    struct carrier *c = ctx;
    c->link = NULL;
    if (may_try_second_port(c, end)) {
        try_second_port(c, o);
        return;
    }
    if (!c->was_ready)
        pass_verdict(c, o);
    if (c->msg && !c->done) {
        if (c->was_ready && !c->tried_again && !c->touched) {
            c->tried_again = true;
            c->again = false;
            open_link(c);
            return;
        }
        send_message_fail(c->msg, c->was_ready ? o : &c->verdict);
        finish(c);
    }
    loop_stop(c->loop);
}

static const struct link_ops link_ops = {
    .secured = on_secured,
    .ready = on_ready,
    .text = on_text,
    .recipient = on_recipient,
    .finished = on_finished,
    .ended = on_ended,
    .again = on_again,
    .sent = on_sent,
    .received = on_received,
};

static void open_link(struct carrier *c)
{
    struct account as = *c->account;
    if (c->second_port)
        as.port = 587;
    bool implicit = account_tls_of(&as) == ACCOUNT_TLS_IMPLICIT;
    (void)snprintf(c->port, sizeof(c->port), "%u", account_port_of(&as));
    c->facts = (struct carrier_facts){.port = account_port_of(&as)};
    c->cfg.port = c->port;
    c->cfg.tls_implicit = implicit;
    c->given = 0;
    c->was_ready = c->contact = false;
    char note[CARRIER_WHY_MAX];
    (void)snprintf(note, sizeof(note), "connecting to %.250s, port %s%s", c->cfg.host, c->port,
                   implicit ? ", TLS from the start"
                   : c->tls ? ", STARTTLS"
                            : ", without TLS");
    if (c->hooks.note)
        c->hooks.note(c->hooks.arg, note);
    c->link = link_open(c->loop, &c->cfg, &link_ops, c);
}

void carrier_send(struct carrier *c, struct send_message *m)
{
    need_results(m);
    if (c->verdict.code) {
        send_message_fail(m, &c->verdict);
        return;
    }
    c->msg = m;
    c->recipients = xcalloc(MAX(m->to.n, 1), sizeof(*c->recipients));
    c->sending = c->touched = c->again = c->tried_again = c->done = false;
    if (!c->link)
        open_link(c);
    else if (link_is_ready(c->link))
        give(c);
    while (!c->done)
        loop_run(c->loop);
    c->msg = NULL;
    free(c->recipients);
    c->recipients = NULL;
}

/* ---- life ---- */

/* A server that is shown a certificate out of date may answer in many ways, few of which name the cause: so it is not
 * asked (CERT-22). */
static int make_context(struct carrier *c, struct str passphrase, char *why)
{
    const struct account *a = c->account;
    const char *pins[ACCOUNT_PINS_MAX];
    size_t n_pins = MIN(a->n_pin, (size_t)ACCOUNT_PINS_MAX);
    for (size_t i = 0; i < n_pins; i++)
        pins[i] = a->pin[i];
    const struct tls_client_config cfg = {
        .ca = a->ca,
        .certificate = a->certificate,
        .key = a->key,
        .passphrase = passphrase,
        .verify = TLS_VERIFY_NAME,
        .pins = pins,
        .n_pins = n_pins,
    };
    int r = tls_client_context_new(&cfg, &c->tls, why);
    return r == 0 && a->certificate ? tls_context_check_dates(c->tls, why) : r;
}

static int set_up_tls(struct carrier *c, char *why)
{
    CLEANUP(buf_wipe) struct buf passphrase = BUF_INIT(SECRET_MAX);
    const struct account *a = c->account;
    int r = 0;
    if (account_tls_of(a) == ACCOUNT_TLS_OFF)
        return 0;
    if (a->key_password_file)
        r = secret_from_file(a->key_password_file, &passphrase, why);
    return r < 0 ? r : make_context(c, buf_str(&passphrase), why);
}

/* docs/SEND.md has the table. */
static unsigned permitted(const struct account *a, bool password)
{
    static const unsigned sets[] = {
        [ACCOUNT_LOGIN_AUTO] = SMTP_LOGIN_CERTIFICATE | SMTP_LOGIN_PASSWORD,
        [ACCOUNT_LOGIN_EXTERNAL] = SMTP_LOGIN_EXTERNAL,
        [ACCOUNT_LOGIN_IMPLICIT] = SMTP_LOGIN_IMPLICIT,
        [ACCOUNT_LOGIN_PLAIN] = SMTP_LOGIN_PLAIN,
        [ACCOUNT_LOGIN_SCRAM] = SMTP_LOGIN_SCRAM,
        [ACCOUNT_LOGIN_NONE] = 0,
    };
    unsigned have =
        (a->certificate ? SMTP_LOGIN_CERTIFICATE : 0U) | (password ? SMTP_LOGIN_PASSWORD : 0U);
    return sets[a->login] & have;
}

static int set_up_login(struct carrier *c, char *why)
{
    const struct account *a = c->account;
    bool by_certificate = a->login == ACCOUNT_LOGIN_EXTERNAL || a->login == ACCOUNT_LOGIN_IMPLICIT;
    bool wanted = !by_certificate && a->login != ACCOUNT_LOGIN_NONE;
    int r = 0;
    if (wanted && a->password_file)
        r = secret_from_file(a->password_file, &c->password, why);
    else if (wanted && a->password_command)
        r = secret_from_command(a->password_command, SECRET_COMMAND_MS, &c->password, why);
    if (r < 0)
        return r;
    const char *address = account_address(a);
    c->cfg.user = a->user;
    c->cfg.password = buf_str(&c->password);
    c->cfg.smtp.login = permitted(a, c->password.len > 0);
    c->cfg.smtp.authzid = a->authzid;
    c->cfg.smtp.identity = a->user ? a->user : address;
    return 0;
}

/* One time for a person to think about; the end of a text may take longer, as the server may have to look into it. */
static struct link_timeouts timeouts_of(const struct account *a)
{
    int64_t ms = a->timeout_ms;
    return (struct link_timeouts){
        .connect_ms = ms ? MIN(ms, (int64_t)30000) : 0,
        .greeting_ms = ms,
        .command_ms = ms,
        .data_ms = ms,
        .text_ms = ms,
        .final_ms = 2 * ms,
    };
}

int carrier_new(struct loop *l,
                const struct account *account,
                const char *hostname,
                const struct carrier_hooks *hooks,
                struct carrier **ret,
                char *why)
{
    struct carrier *c = xcalloc(1, sizeof(*c));
    c->loop = l;
    c->account = account;
    c->hooks = *hooks;
    buf_init(&c->password, SECRET_MAX);
    int r = set_up_tls(c, why);
    c->cfg = (struct link_config){
        .host = account->host,
        .tls = c->tls,
        .tls_name = account->tls_name,
        .timeouts = timeouts_of(account),
        .smtp = {.hostname = hostname,
                 .tls = c->tls ? SMTP_CLIENT_TLS_REQUIRE : SMTP_CLIENT_TLS_OFF},
    };
    if (r == 0)
        r = set_up_login(c, why);
    if (r < 0) {
        carrier_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

void carrier_free(struct carrier *c)
{
    if (!c)
        return;
    if (c->link)
        link_quit(c->link);
    while (c->link)
        loop_run(c->loop);
    tls_context_unref(c->tls);
    buf_wipe(&c->password);
    free(c);
}

const struct carrier_facts *carrier_facts(const struct carrier *c)
{
    return &c->facts;
}
