/* server.h - one SMTP session seen from the server: octets in, actions out.
 *
 * The only server-side engine: `postern serve` and the prober's observer both drive it.  It knows the protocol
 * (order, syntax, pipelining, what EHLO lists) and nothing of sockets, TLS libraries, clocks or policy:
 * decisions come from the owner through smtp_server_ops, octets go out through a buffer the owner flushes.
 *
 * A decision may be given at once or later.  An op that returns SMTP_LATER suspends the session: nothing
 * more is consumed until the owner calls smtp_server_resume() with the reply; pipelined commands
 * wait in the owner's input buffer, which bounds them (PIPE-01, O2-11).
 *
 * Memory: a few hundred octets idle; one transaction's envelope in an arena of SMTP_TRANSACTION_MAX.
 * Nothing a peer sends can make it abort.  docs/SESSION.md draws the states.
 */
#ifndef POSTERN_SMTP_SERVER_H
#define POSTERN_SMTP_SERVER_H

#include "base/arena.h"
#include "smtp/address.h"
#include "smtp/extension.h"
#include "smtp/reply.h"
#include "smtp/xclient.h"

#define SMTP_COMMAND_MAX 2048                  /* MAIL with every extension's allowance; others get as much */
#define SMTP_AUTH_LINE_MAX 12288               /* RFC 4954 section 4 */
#define SMTP_TRANSACTION_MAX ((size_t)1 << 20) /* octets of envelope at most */

struct smtp_server;

struct smtp_mail { /* MAIL, parsed; strings live as long as the transaction */
    struct smtp_path path;
    const char *reverse_path; /* NUL-terminated mailbox, "" for <> */
    uint64_t size;            /* declared; 0: not */
    enum smtp_body body;
    bool smtputf8;
    const char *auth;  /* decoded AUTH= mailbox, "<>", NULL: absent */
    const char *envid; /* as received */
    char ret;          /* 'F', 'H', 0 */
    int64_t hold_for;  /* seconds; 0: not said */
    int64_t hold_until_ms; /* wall clock; 0: not said */
    struct smtp_deliver_by deliver_by;
    int priority;
    bool requiretls;
};

struct smtp_rcpt {
    struct smtp_path path;
    const char *forward_path;
    const char *orcpt; /* as received, NULL: absent */
    unsigned notify;   /* set of SMTP_NOTIFY_*, 0: absent */
};

/* What EHLO lists beside the extensions of the configuration. */
struct smtp_offer {
    bool starttls;
    bool xclient;
    char auth[128]; /* mechanisms, space separated; "": no AUTH line */
    int64_t now_ms; /* wall clock: FUTURERELEASE names the last date it takes */
};

enum smtp_decision {
    SMTP_YES,   /* go on; *reply may hold a text to use in place of the engine's */
    SMTP_NO,    /* refuse with *reply */
    SMTP_CLOSE, /* answer *reply and end the session */
    SMTP_LATER, /* smtp_server_resume() will bring decision and reply */
};

enum smtp_auth_step {
    SMTP_AUTH_DONE,      /* *reply is the 235 */
    SMTP_AUTH_FAILED,    /* *reply says why */
    SMTP_AUTH_CHALLENGE, /* challenge holds the octets to send, unencoded */
    SMTP_AUTH_CLOSE,     /* answer *reply and end the session */
    SMTP_AUTH_LATER,
};

/* Every op gets the owner's ctx.  `reply` is empty on entry. */
struct smtp_server_ops {
    void (*offer)(void *ctx, struct smtp_offer *ret); /* asked at each EHLO */

    /* STARTTLS: may TLS begin now?  SMTP_NO with 454.  After SMTP_YES the engine has written the 220 and consumes
     * nothing more until smtp_server_secured(). */
    enum smtp_decision (*starttls)(void *ctx, struct smtp_reply *reply);

    /* XCLIENT, parsed, once `admit` has let it pass.  After SMTP_YES everything said before is forgotten, and the session
     * begins again with the greeting.  One that carries on (smtp_server_carries_on_xclient()) has what those before it told
     * in *x, too.  Never SMTP_LATER.  May be NULL: the command is not served. */
    enum smtp_decision (*xclient)(void *ctx, const struct smtp_xclient *x, struct smtp_reply *reply);

    /* AUTH with mechanism (upper case) and initial response, or response to a challenge (mechanism NULL).
     * has_response tells "AUTH X" from "AUTH X =".  The mechanism's own octets, base64 undone. */
    enum smtp_auth_step (*auth)(void *ctx,
                                const char *mechanism,
                                bool has_response,
                                struct str response,
                                struct buf *challenge,
                                struct smtp_reply *reply);
    /* The exchange ended without an outcome: "*", a response that is no base64 or is too long. */
    void (*auth_cancelled)(void *ctx);
    /* What came in place of a response reads as a command and is no base64.  True: the exchange is as if it had never
     * begun, and the command is served; false: it failed, auth_cancelled follows.  May be NULL: always false. */
    bool (*auth_overtaken)(void *ctx);

    /* Is this verb open to the session as it is now?  Asked of every verb but EHLO, STARTTLS, NOOP and QUIT (STLS-10),
     * before its arguments are looked at.  Never SMTP_LATER. */
    enum smtp_decision (*admit)(void *ctx, const char *verb, struct smtp_reply *reply);
    enum smtp_decision (*mail)(void *ctx, const struct smtp_mail *mail, struct smtp_reply *reply);
    enum smtp_decision (*rcpt)(void *ctx, const struct smtp_rcpt *rcpt, struct smtp_reply *reply);

    /* The text begins (DATA accepted, first BDAT).  SMTP_NO before anything was stored. */
    enum smtp_decision (*data)(void *ctx, struct smtp_reply *reply);
    /* A piece of the text, transparency undone.  -EAGAIN: taken, but suspend until smtp_server_continue().
     * Any other error: the rest of the text is swallowed and `refuse` gives the reply. */
    int (*text)(void *ctx, const char *data, size_t len);
    /* The text is complete: SMTP_YES or SMTP_NO with the reply of the final dot, usually later. */
    enum smtp_decision (*finish)(void *ctx, struct smtp_reply *reply);
    /* The transaction is over without finish: RSET, EHLO, an error in the text, the session's end.  Called once
     * for each MAIL that was answered 250 and not finished. */
    void (*abandon)(void *ctx);
    /* Words for a -errno of text(). */
    void (*refuse)(void *ctx, int error, struct smtp_reply *reply);

    /* A line of the client as it came, its line end taken off and before it is served; `response`: it answers a
     * challenge, and may be secret.  For whoever watches clients; may be NULL. */
    void (*heard)(void *ctx, struct str line, bool response);
    void (*quit)(void *ctx); /* QUIT was answered, or a 421 written: flush and close */
    /* A command was answered with 4yz or 5yz: for the log and for limits.  `verb` is printable and short. */
    void (*refused)(void *ctx, const char *verb, const struct smtp_reply *reply);
};

struct smtp_server_config { /* borrowed, shared by the sessions of a listener */
    const char *hostname;
    uint32_t extensions;     /* what is offered; a parameter of one that is not is 555 (SMTP-10, SMTP-11) */
    int64_t hold_max;        /* seconds; what FUTURERELEASE names, for the owner to keep (FUT-01) */
    uint64_t size_max;       /* octets of text; 0: no limit */
    unsigned recipients_max; /* a transaction; 452 4.5.3 beyond (SMTP-14) */
    /* Replies of class 4 and 5 in a session, then 421 4.7.0; 0: no limit.  Those that are our own trouble (451, 452, 454)
     * do not count, up to fifty times as many. */
    unsigned errors_max;
    bool takes_long_lines;   /* of text, above DOTS_LINE_MAX: the owner sees to them */
};

/* `out` is the owner's: the engine appends replies, the owner sends and clears it.  Its maximum must be
 * at least 16 KiB; the owner stops feeding while it is more than half full. */
struct smtp_server *smtp_server_new(const struct smtp_server_config *cfg, const struct smtp_server_ops *ops, void *ctx, struct buf *out);
void smtp_server_free(struct smtp_server *s); /* calls abandon when a transaction is open; NULL is fine */

/* The greeting: 220, or the reply given, a 421 that ends the session. */
void smtp_server_greet(struct smtp_server *s, const struct smtp_reply *refusal);

/* Consumes what it can and returns how much.  0 may mean: no complete line yet, suspended, TLS awaited, ended, or
 * that `out` is more than half full. */
size_t smtp_server_feed(struct smtp_server *s, const char *data, size_t len);

/* Brings the outcome of an op that answered SMTP_LATER or SMTP_AUTH_LATER. The owner then feeds what is left. */
void smtp_server_resume(struct smtp_server *s, enum smtp_decision d, const struct smtp_reply *reply);
void smtp_server_resume_auth(struct smtp_server *s, enum smtp_auth_step step, struct str challenge, const struct smtp_reply *reply);
void smtp_server_continue(struct smtp_server *s, int error); /* after text() said -EAGAIN */

/* TLS is up: everything said before is forgotten (STLS-04).  Also at once on an implicit-TLS listener. */
void smtp_server_secured(struct smtp_server *s);

/* Writes `reply` (a 421: time-out, shutdown) and ends the session; inside a reply-less moment of DATA too. */
void smtp_server_shutdown(struct smtp_server *s, const struct smtp_reply *reply);

bool smtp_server_is_idle(const struct smtp_server *s); /* no transaction, nothing suspended; awaiting TLS is idle too */
bool smtp_server_is_waiting(const struct smtp_server *s); /* an op said "later" */
bool smtp_server_has_ended(const struct smtp_server *s);
/* Who ended the session, for the log: the client by QUIT, or we, after too many errors or by the reply before. */
enum smtp_server_end { SMTP_SERVER_END_REFUSED, SMTP_SERVER_END_QUIT, SMTP_SERVER_END_ERRORS };
enum smtp_server_end smtp_server_end(const struct smtp_server *s);
bool smtp_server_is_secure(const struct smtp_server *s);
bool smtp_server_is_esmtp(const struct smtp_server *s);
/* Nothing but XCLIENT was said since the last XCLIENT that was taken. */
bool smtp_server_carries_on_xclient(const struct smtp_server *s);
const char *smtp_server_helo(const struct smtp_server *s); /* "" before EHLO */
const struct smtp_mail *smtp_server_mail(const struct smtp_server *s); /* NULL outside a transaction */
size_t smtp_server_n_rcpts(const struct smtp_server *s);
const struct smtp_rcpt *smtp_server_rcpt(const struct smtp_server *s, size_t i);

#endif
