/* One mail transaction of a session: rights, then the text through the fix-ups into the spool. */
#include "base/clock.h"
#include "message/received.h"
#include "server/session_internal.h"

#include <errno.h>
#include <stdio.h>

/* ---- rights ---- */

/* Is it a single label that a rule of ours completes? (SUB-03) */
static bool is_completed(const struct session *s, const struct smtp_path *p)
{
    return s->endpoint->cfg->role == ROLE_SUBMISSION &&
           s->endpoint->service->message.complete_domain && p->domain.len && !p->is_literal &&
           !smtp_domain_is_qualified(p->domain);
}

/* What stands behind the mailbox then, else "". */
static const char *completion(const struct session *s, const struct smtp_path *p)
{
    return is_completed(s, p) ? s->endpoint->service->message.complete_domain : "";
}

/* `text` of the path (its mailbox or its domain) as it is meant. */
static int
put_complete(const struct session *s, const struct smtp_path *p, struct str text, struct buf *out)
{
    const char *rest = completion(s, p);
    return buf_printf(out, "%.*s%s%s", STR_FMT(text), *rest ? "." : "", rest);
}

/* Addresses of a submission are complete (SUB-03). */
static bool
domain_is_complete(const struct session *s, const struct smtp_path *p, struct smtp_reply *reply)
{
    if (s->endpoint->cfg->role != ROLE_SUBMISSION || p->is_literal || is_completed(s, p) ||
        smtp_domain_is_qualified(p->domain))
        return true;
    *reply = smtp_reply(554, "5.1.2", "Domain %.*s is not fully qualified",
                        STR_FMT(str_upto(p->domain, 64)));
    return false;
}

/* The only place that words what the spool says (4yz: nothing is lost, try again). */
static struct smtp_reply refusal_of(int error)
{
    static const struct {
        int error, code;
        const char *enhanced, *text;
    } rows[] = {
        {ENOSPC,   452, "4.3.1", "No room for the message now, try again later"  },
        {EDQUOT,   452, "4.3.1", "No room for the message now, try again later"  },
        {EMSGSIZE, 552, "5.3.4", "Message too big"                               },
        {ELOOP,    554, "5.4.6", "Too many hops, the message is going in circles"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].error == -error)
            return smtp_reply(rows[i].code, rows[i].enhanced, "%s", rows[i].text);
    return smtp_reply(451, "4.3.0", "Local trouble, try again later");
}

/* [rfc1870 6.1] Better said before the text is sent than after; the log has it from the spool. */
static bool spool_admits(const struct session *s, struct smtp_reply *reply)
{
    if (spool_has_room(worker_spool(s->worker)))
        return true;
    *reply = refusal_of(-ENOSPC);
    return false;
}

enum smtp_decision session_mail(void *ctx, const struct smtp_mail *mail, struct smtp_reply *reply)
{
    struct session *s = ctx;
    struct policy_input in = session_policy(s);
    switch (policy_mail(&in, reply)) {
    case POLICY_REFUSED:
        return SMTP_NO;
    case POLICY_CLOSE:
        return SMTP_CLOSE;
    case POLICY_IMPLICIT: /* O2-02: as if "AUTH EXTERNAL =" had come just before */
        if (!session_login_implicit(s, reply))
            return SMTP_NO;
        break;
    case POLICY_OPEN:
        break;
    }
    if (!mail->path.is_null && !domain_is_complete(s, &mail->path, reply))
        return SMTP_NO;
    /* The authentication stands, only the command fails; the same reply under every rule (EDG-03). */
    CLEANUP(buf_done) struct buf mailbox = BUF_INIT(2 * SMTP_PATH_MAX);
    bool known = put_complete(s, &mail->path, mail->path.mailbox, &mailbox) == 0;
    if (s->identity && !(known && session_may_send_as(s, buf_str(&mailbox)))) {
        *reply =
            smtp_reply(550, "5.7.1", "%s may not send as <%s>", s->identity, mail->reverse_path);
        return SMTP_NO;
    }
    bool open = session_schedule_admits(s, mail, reply) && session_limits_mail(s, reply) &&
                spool_admits(s, reply);
    if (open)
        stream_deadline(s->stream, 0); /* of a relay: the first login has done so elsewhere */
    return open ? SMTP_YES : SMTP_NO;
}

/* A domain named by a route of its own, not by "default". */
static bool domain_is_named(const struct session *s, struct str domain)
{
    const struct service_config *sv = s->endpoint->service;
    for (size_t i = 0; i < sv->n_routes; i++)
        if (strcmp(sv->routes[i].domain, "default") != 0 &&
            str_eq_nocase(domain, str_of(sv->routes[i].domain)))
            return true;
    return false;
}

enum smtp_decision session_rcpt(void *ctx, const struct smtp_rcpt *rcpt, struct smtp_reply *reply)
{
    struct session *s = ctx;
    struct policy_input in = session_policy(s);
    if (rcpt->path.domain.len == 0) /* <Postmaster>, the only path without a domain (SMTP-20) */
        return session_limits_rcpt(s, reply) ? SMTP_YES : SMTP_NO;
    if (!domain_is_complete(s, &rcpt->path, reply))
        return SMTP_NO;
    CLEANUP(buf_done) struct buf domain = BUF_INIT(2 * SMTP_PATH_MAX);
    int r = put_complete(s, &rcpt->path, rcpt->path.domain, &domain);
    if (!domain_is_named(s, buf_str(&domain)) && policy_relay(&in, reply) != POLICY_OPEN)
        return SMTP_NO;
    if (r < 0 || !relay_has_route(worker_relay(s->worker), buf_str(&domain))) {
        *reply = smtp_reply(550, "5.1.2", "No route to domain %.*s",
                            STR_FMT(str_upto(buf_str(&domain), 128)));
        return SMTP_NO;
    }
    return session_limits_rcpt(s, reply) ? SMTP_YES : SMTP_NO;
}

/* ---- transfer ---- */

static void transfer_free(struct transfer *t)
{
    fixup_free(t->fixup);
    spool_discard(&t->draft);
    free(t);
}

void transfer_leave(struct session *s)
{
    struct transfer *t = s->transfer;
    s->transfer = NULL;
    if (!t)
        return;
    t->session = NULL;
    if (!t->committing) /* else transfer_committed() will come and find nobody */
        transfer_free(t);
}

void session_refuse(void *ctx, int error, struct smtp_reply *reply)
{
    const struct session *s = ctx;
    struct log_line l;
    if (error == -EPERM && s->transfer && s->transfer->refusal.code) {
        *reply = s->transfer->refusal; /* the client's doing: "refused" is all the log needs */
        return;
    }
    if (error != -EMSGSIZE && error != -ELOOP) { /* likewise */
        session_log_begin(s, &l, LOG_LEVEL_ERROR, "not-stored");
        log_text(&l, "error", strerror(-error));
        log_end(&l);
    }
    *reply = refusal_of(error);
}

static int transfer_store(void *arg, const char *data, size_t len)
{
    struct transfer *t = arg;
    t->size += (int64_t)len;
    int r = spool_write(t->draft, data, len);
    if (r == -EAGAIN) {
        t->pause = true;
        return 0;
    }
    return r;
}

static void transfer_drained(void *arg, int error)
{
    struct transfer *t = arg;
    struct session *s = t->session;
    if (!s)
        return;
    smtp_server_continue(s->engine, error);
    session_pump(s);
}

static int put_received(struct session *s, struct transfer *t)
{
    struct buf line = BUF_INIT(8192);
    struct received_facts f = {
        .helo = str_of(session_helo(s)),
        .peer_name = s->xclient && s->xclient->name[0] ? s->xclient->name : NULL,
        .peer_address = stream_peer_address(s->stream),
        .hostname = s->endpoint->service->hostname,
        .queue_id = t->queue_id,
        .esmtp = smtp_server_is_esmtp(s->engine),
        .tls = smtp_server_is_secure(s->engine),
        .authenticated = session_is_authenticated(s), /* O1-11, O2-15 */
        .utf8 = smtp_server_mail(s->engine)->smtputf8,
        .tls_version = s->tls_version,
        .tls_cipher = s->tls_cipher,
        .tls_group = s->tls_group,
        .for_path = smtp_server_n_rcpts(s->engine) == 1
                        ? smtp_server_rcpt(s->engine, 0)->forward_path
                        : NULL,
        .now_ms = clock_wall_ms(),
    };
    int r = received_format(&f, &line);
    if (r == 0)
        r = transfer_store(t, line.data, line.len);
    buf_done(&line);
    return r;
}

enum smtp_decision session_data(void *ctx, struct smtp_reply *reply)
{
    struct session *s = ctx;
    const struct service_config *sv = s->endpoint->service;
    if (!session_limits_take(s, reply))
        return SMTP_NO;
    struct transfer *t = xcalloc(1, sizeof(*t));
    t->session = s;
    t->began_ms = clock_monotonic_ms();
    t->draft = spool_begin(worker_spool(s->worker), worker_loop(s->worker));
    if (!t->draft) {
        free(t);
        session_refuse(s, -ENOMEM, reply);
        return SMTP_NO;
    }
    spool_on_drained(t->draft, transfer_drained, t);
    (void)snprintf(t->queue_id, sizeof(t->queue_id), "%s", spool_draft_id(t->draft));
    bool submission =
        s->endpoint->cfg->role == ROLE_SUBMISSION; /* a relay changes nothing (REL-07) */
    struct fixup_config fc = {
        .add_date = submission && sv->message.add_date,
        .add_message_id = submission && sv->message.add_message_id,
        .remove_bcc = submission && sv->message.remove_bcc,
        .replace_date = sv->message.replace_date,
        .hostname = sv->hostname,
        .queue_id = t->queue_id,
        .now_ms = clock_wall_ms(),
        .on_names = session_judges_header(s) ? session_judge_names : NULL,
        .take_sender = s->endpoint->cfg->header_from == HEADER_FROM_ADD_SENDER,
    };
    t->fixup = fixup_new(&fc, transfer_store, t);
    s->transfer = t;
    int r = put_received(s, t);
    if (r < 0) {
        transfer_leave(s);
        session_refuse(s, r, reply);
        return SMTP_NO;
    }
    return SMTP_YES;
}

int session_text(void *ctx, const char *data, size_t len)
{
    struct session *s = ctx;
    struct transfer *t = s->transfer;
    int r = fixup_write(t->fixup, data, len);
    if (r < 0)
        return r;
    if (fixup_facts(t->fixup)->received > s->endpoint->service->message.hops_max)
        return -ELOOP; /* SMTP-23 */
    if (!t->pause)
        return 0;
    t->pause = false;
    return -EAGAIN;
}

void session_abandon(void *ctx)
{
    transfer_leave(ctx);
}

/* ---- commit ---- */

static void transfer_committed(void *arg, int error)
{
    struct transfer *t = arg;
    struct session *s = t->session;
    struct smtp_reply reply;
    if (!s) { /* gone meanwhile; what is committed is delivered (docs/QUEUE.md, I2) */
        transfer_free(t);
        return;
    }
    if (error == 0) {
        s->messages++;
        session_log_accepted(s, t);
        reply = smtp_reply(250, "2.0.0", "Queued as %s", t->queue_id); /* I1: durable by now */
    } else {
        session_refuse(s, error, &reply);
    }
    s->transfer = NULL;
    transfer_free(t);
    smtp_server_resume(s->engine, error == 0 ? SMTP_YES : SMTP_NO, &reply);
    session_pump(s);
}

/* <Postmaster> without a domain gets the one it means here; NULL: leave the address as it is. */
static char *postmaster_address(const struct session *s)
{
    const struct service_config *sv = s->endpoint->service;
    char *out;
    if (sv->postmaster)
        return xstrdup(sv->postmaster);
    return asprintf(&out, "postmaster@%s", sv->hostname) < 0 ? NULL : out;
}

/* [rfc4954 5] A client vouches for whom it may send as; anything else is as if AUTH=<> had come, so that
 * nobody further on takes the message for that user's own (AUTH-30, AUTH-31, EDG-08). */
static const char *vouched_for(const struct session *s, const char *auth)
{
    if (!auth || strcmp(auth, "<>") == 0)
        return auth;
    return session_may_send_as(s, str_of(auth)) ? auth : "<>";
}

static struct spool_envelope envelope_of(const struct session *s, const struct smtp_mail *mail)
{
    struct spool_envelope env = {
        .reverse_path = mail->reverse_path,
        .identity = s->identity,
        .session = s->id,
        .auth = vouched_for(s, mail->auth),
        .envid = mail->envid,
        .ret = mail->ret,
        .body = (enum spool_body)mail->body,
        .smtputf8 = mail->smtputf8,
        .received_ms = clock_wall_ms(),
        .tls = mail->requiretls ? SPOOL_TLS_REQUIRED : SPOOL_TLS_USUAL,
    };
    session_schedule(s, mail, &env);
    return env;
}

/* An address as it is meant here, the caller's to free; NULL: as it came. */
static char *meant(const struct session *s, const struct smtp_path *p)
{
    char *out;
    if (!p->is_null && p->domain.len == 0)
        return postmaster_address(s);
    if (!is_completed(s, p))
        return NULL;
    return asprintf(&out, "%.*s.%s", STR_FMT(p->mailbox), completion(s, p)) < 0 ? NULL : out;
}

static void transfer_commit(struct session *s, struct transfer *t)
{
    const struct smtp_mail *mail = smtp_server_mail(s->engine);
    size_t n = smtp_server_n_rcpts(s->engine);
    struct spool_envelope env = envelope_of(s, mail);
    struct spool_recipient *list = xcalloc(n, sizeof(*list));
    char **own = xcalloc(n, sizeof(*own)); /* addresses */
    CLEANUP(freep) char *sender = meant(s, &mail->path);
    env.reverse_path = sender ? sender : env.reverse_path;
    for (size_t i = 0; i < n; i++) {
        const struct smtp_rcpt *r = smtp_server_rcpt(s->engine, i);
        own[i] = meant(s, &r->path);
        list[i] = (struct spool_recipient){own[i] ? own[i] : r->forward_path, r->orcpt, r->notify};
    }
    const struct fixup_facts *facts = fixup_facts(t->fixup);
    bool is_8bit = facts->body_is_8bit || facts->header_is_8bit;
    if (is_8bit && env.body == SPOOL_BODY_7BIT)
        env.body = SPOOL_BODY_8BITMIME; /* what it is, not what it was called */
    if (facts->tls_is_optional && env.tls == SPOOL_TLS_USUAL)
        env.tls = SPOOL_TLS_OPTIONAL; /* [rfc8689 4.1] the parameter outranks the field (RTLS-02) */
    t->committing = true;
    spool_commit(&t->draft, &env, list, n, transfer_committed, t);
    for (size_t i = 0; i < n; i++)
        free(own[i]);
    free(own);
    free(list);
}

/* MSG-05: format is the sender's business, unless the operator says otherwise. */
static bool
refuses_defects(const struct session *s, const struct transfer *t, struct smtp_reply *reply)
{
    const struct fixup_facts *facts = fixup_facts(t->fixup);
    if (!s->endpoint->service->message.refuses_defects ||
        s->endpoint->cfg->role != ROLE_SUBMISSION || (facts->has_from && !facts->repeated))
        return false;
    if (facts->repeated)
        *reply =
            smtp_reply(554, "5.6.0", "The message has more than one %s field", facts->repeated);
    else
        *reply = smtp_reply(554, "5.6.0", "The message has no From field");
    return true;
}

enum smtp_decision session_finish(void *ctx, struct smtp_reply *reply)
{
    struct session *s = ctx;
    struct transfer *t = s->transfer;
    int r = fixup_finish(t->fixup);
    if (r < 0) {
        session_refuse(s, r, reply);
        transfer_leave(s);
        return SMTP_NO;
    }
    if (refuses_defects(s, t, reply)) {
        transfer_leave(s);
        return SMTP_NO;
    }
    transfer_commit(s, t);
    return SMTP_LATER;
}
