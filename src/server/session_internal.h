/* session_internal.h - what the files of a session share. */
#ifndef POSTERN_SESSION_INTERNAL_H
#define POSTERN_SESSION_INTERNAL_H

#include "base/log.h"
#include "message/fixup.h"
#include "net/stream.h"
#include "server/session.h"
#include "smtp/proxy.h"

#define SESSION_ID_MAX 16

/* A message on its way from the engine to the spool.  Outlives its session while a commit is under way. */
struct transfer {
    struct session *session; /* NULL: the session is gone */
    struct spool_draft *draft;
    struct fixup *fixup;
    char queue_id[SPOOL_QUEUE_ID_MAX];
    int64_t size;
    int64_t began_ms; /* monotonic */
    bool pause;       /* the spool wants us to wait */
    bool committing;
    struct smtp_reply refusal; /* what -EPERM of the filter means; code 0: nothing */
};

struct session {
    struct session_link link;
    struct worker *worker;
    struct endpoint *endpoint;
    struct credentials *credentials;
    unsigned generation; /* of the endpoint, when they were taken */
    struct session_wait *wait; /* NULL: for no responder */
    struct x509_st *leaf; /* the client's certificate, the stream's or `handed`; NULL: none */
    struct x509_st *handed; /* owned: a proxy has handed it over; NULL: none has */
    struct stream *stream;
    struct smtp_server *engine;
    struct transfer *transfer; /* NULL outside the text of a message */
    struct buf out;
    char *identity; /* NULL: not authenticated */
    const char *tls_version, *tls_cipher, *tls_group; /* NULL in the clear */
    struct proxy_header *proxy; /* owned; of a proxy that ends TLS, NULL else */
    bool awaits_proxy;          /* its header comes before anything else */
    bool proxied;               /* and has told whom the proxy speaks for */
    struct smtp_xclient *xclient; /* owned; NULL: XCLIENT was not given */
    char *xclient_from;           /* owned; the proxy that gave it */
    struct cert_verdict verdict;
    enum auth_history history;
    bool sasl_external; /* the empty challenge of EXTERNAL was sent */
    const char *mechanism;     /* that identity came by; static */
    struct sasl *sasl;         /* an exchange with a password is under way */
    struct waiting *waiting;   /* its password is being checked */
    struct loop_timer *delay;  /* its refusal, `delayed`, waits */
    struct smtp_reply delayed;
    int64_t credentials_ms;    /* monotonic: when they were complete */
    struct crowd_client *client; /* it counts among its connections; NULL: it does not */
    bool holds_limit;          /* counts among the sessions of its identity */
    bool binding_used;         /* by a run of a -PLUS mechanism (CB-03) */
    bool listed_peer;
    bool resumed;
    bool start_tls; /* the 220 was written: TLS follows the flush */
    bool ending;    /* close after the flush */
    unsigned auth_failures, messages;
    int64_t began_ms; /* monotonic */
    int64_t mail_ms;  /* wall clock: when MAIL came, from which HOLDFOR and BY count */
    const char *end_reason;
    char id[SESSION_ID_MAX];
};

/* ---- session.c ---- */
void session_secured(struct session *s); /* the verdict stands: what the client says next is answered by it */
void session_pump(struct session *s); /* sends, starts TLS, closes: after every call into the engine.  May free s. */

void session_begin(struct session *s); /* who the client is, is known: the greeting, or TLS.  May free s. */
void session_finish_up(struct session *s, const char *detail); /* logs the end and frees s */

/* ---- session_proxy.c ---- */
void session_await_proxy(struct session *s);
void session_proxy_late(struct session *s); /* no header came: frees s */
size_t session_proxy_input(struct session *s, const char *data, size_t len); /* as stream_ops.input */

/* ---- session_xclient.c ---- */
bool session_offers_xclient(const struct session *s);
/* False with the refusal in *reply: not from this peer, or not now. */
bool session_admits_xclient(const struct session *s, struct smtp_reply *reply);
enum smtp_decision session_xclient(void *ctx, const struct smtp_xclient *x, struct smtp_reply *reply);
/* What the client said in EHLO: to a proxy that has told us, else to us. */
const char *session_helo(const struct session *s);

/* ---- session_auth.c ---- */
struct policy_input session_policy(const struct session *s);
bool session_is_authenticated(const struct session *s);
/* MAIL stands for "AUTH EXTERNAL =" (O2-02); false with the refusal in *reply. */
bool session_login_implicit(struct session *s, struct smtp_reply *reply);
void session_judge(struct session *s, const struct tls_facts *facts);
void session_judge_anew(struct session *s); /* without the chain, which is borrowed during the handshake only */
void session_offer(void *ctx, struct smtp_offer *ret);
enum smtp_decision session_admit(void *ctx, const char *verb, struct smtp_reply *reply);
enum smtp_auth_step session_auth(void *ctx,
                                 const char *mechanism,
                                 bool has_response,
                                 struct str response,
                                 struct buf *challenge,
                                 struct smtp_reply *reply);
void session_auth_cancelled(void *ctx);
/* Counts and logs it; always SMTP_AUTH_FAILED. */
enum smtp_auth_step session_auth_failed(struct session *s, const char *mechanism, const struct smtp_reply *reply);

/* ---- session_sasl.c: mechanisms with a password ---- */
MUST_USE int session_sasl_offer(const struct session *s, struct buf *out); /* names, parted by spaces */
/* False with the refusal in *reply: the mechanism is not offered. */
bool session_sasl_begin(struct session *s, const char *name, struct smtp_reply *reply);
enum smtp_auth_step session_sasl_step(
    struct session *s, bool has_response, struct str response, struct buf *challenge, struct smtp_reply *reply);
const char *session_sasl_mechanism(const struct session *s); /* NULL: no exchange is under way */
void session_sasl_end(struct session *s);
void session_sasl_leave(struct session *s); /* the session goes away */
/* What SCRAM can be bound to here; false: nothing. */
bool session_binding(const struct session *s, struct buf *exporter, struct buf *end_point);
bool session_auth_overtaken(void *ctx);

/* ---- session_renew.c ---- */
/* Takes over what was loaded since: before each command, and before TLS begins. */
void session_renew(struct session *s);

/* ---- session_wait.c ---- */
/* True: a responder is being asked about the certificate, and session_secured() follows when it has answered. */
bool session_wait_for_responder(struct session *s);
void session_wait_leave(struct session *s); /* the session goes away */

/* ---- session_mail.c ---- */
enum smtp_decision session_mail(void *ctx, const struct smtp_mail *mail, struct smtp_reply *reply);
enum smtp_decision session_rcpt(void *ctx, const struct smtp_rcpt *rcpt, struct smtp_reply *reply);
enum smtp_decision session_data(void *ctx, struct smtp_reply *reply);
int session_text(void *ctx, const char *data, size_t len);
enum smtp_decision session_finish(void *ctx, struct smtp_reply *reply);
void session_abandon(void *ctx);
void session_refuse(void *ctx, int error, struct smtp_reply *reply);
void transfer_leave(struct session *s); /* the session goes away */

/* ---- session_limits.c: false with the refusal in *reply ---- */
bool session_limits_mail(struct session *s, struct smtp_reply *reply);
bool session_limits_rcpt(struct session *s, struct smtp_reply *reply);
bool session_limits_take(struct session *s, struct smtp_reply *reply);
/* Are there not too many connections of the client that it is with now?  Called again when that changes. */
bool session_limits_client(struct session *s, struct smtp_reply *reply);
void session_limits_leave(struct session *s); /* the session goes away */

/* ---- session_schedule.c ---- */
/* May the message be held, be in time and be as urgent as MAIL asks?  False with the refusal in *reply; true perhaps
 * with what is to be said in place of the usual. */
bool session_schedule_admits(struct session *s, const struct smtp_mail *mail, struct smtp_reply *reply);
void session_schedule(const struct session *s, const struct smtp_mail *mail, struct spool_envelope *env);

/* ---- session_sender.c ---- */
bool session_may_send_as(const struct session *s, struct str address);
bool session_judges_header(const struct session *s);
/* For the filter of a transfer, its `arg`; -EPERM with `refusal` set. */
int session_judge_names(void *arg, const struct fixup_names *names, struct buf *add);

/* ---- session_auth.c, the one place where a session gets its identity ---- */
void session_login(struct session *s, const char *identity, enum auth_history how, const char *mechanism);

/* ---- session_log.c ---- */
void session_log_begin(const struct session *s, struct log_line *l, enum log_level level, const char *event);
void session_log_connect(const struct session *s);
void session_log_tls(const struct session *s);
void session_log_crowded(const struct session *s); /* this client has as many connections as it may */
void session_log_xclient(const struct session *s);
void session_log_judged_again(const struct session *s);
void session_log_login(const struct session *s);
void session_log_login_refused(const struct session *s, const char *mechanism, const struct smtp_reply *reply);
void session_log_workaround(const struct session *s, const char *name);
void session_log_accepted(const struct session *s, const struct transfer *t);
void session_log_refused(void *ctx, const char *verb, const struct smtp_reply *reply);
void session_log_end(const struct session *s, const char *detail);

#endif
