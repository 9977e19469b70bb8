/* client_internal.h - what client.c, client_login.c and client_send.c share.  Nobody else includes it. */
#ifndef POSTERN_SMTP_CLIENT_INTERNAL_H
#define POSTERN_SMTP_CLIENT_INTERNAL_H

#include "smtp/client.h"
#include "smtp/dots.h"

/* GREETING   -> HELLO                     on_greeting
 * HELLO      -> STARTTLS, LOGIN, READY    hello_done, client_login
 * STARTTLS   -> HANDSHAKE, LOGIN, READY   on_starttls
 * HANDSHAKE  -> HELLO                     smtp_client_secured
 * LOGIN      -> READY, MESSAGE            on_auth
 * READY      -> MESSAGE                   smtp_client_send
 * MESSAGE    -> READY, LOGIN, HELLO       message_done; a 530 that AUTH may cure
 * any        -> QUIT, ENDED               client_leave, client_end
 */
enum client_state {
    CS_GREETING,
    CS_HELLO,
    CS_STARTTLS,
    CS_HANDSHAKE,
    CS_LOGIN,
    CS_READY,
    CS_MESSAGE,
    CS_QUIT,
    CS_ENDED,
};

/* Where a transaction is in what it has to send. */
enum send_step { STEP_RESET, STEP_MAIL, STEP_RCPT, STEP_DATA, STEP_TEXT, STEP_DRAIN };

/* What becomes of the group after a MAIL was refused in a way we can cure; each at most once a message. */
enum send_redo { REDO_NO, REDO_LOGIN, REDO_WITHOUT_AUTH };

/* Of each recipient, one octet. */
enum mark { MARK_TODO, MARK_ASKED, MARK_ACCEPTED, MARK_LATER, MARK_DONE };

#define DOMAINS_MAX 16 /* distinct domains of a transaction that are kept apart for LIMITS RCPTDOMAINMAX */

struct transaction {
    const struct smtp_client_message *msg; /* NULL: none in hand */
    struct buf marks;
    enum send_step step;
    size_t next;            /* recipient to look at next */
    size_t asked, accepted; /* recipients in this transaction */
    struct str domains[DOMAINS_MAX];
    size_t n_domains;
    enum send_redo redo;
    bool mail_ok, mail_failed;
    bool with_auth;   /* MAIL carried AUTH= */
    bool text_open;   /* the driver may push */
    bool text_held;   /* it was told -EAGAIN */
    bool text_ended;
    uint64_t offset;  /* octets of text taken */
    struct dots dots;
};

/* One way to log in and how it is put, in the order of client.h. */
enum login_try {
    TRY_EXTERNAL = 1,
    TRY_NAMED, /* EXTERNAL with our identity as authzid */
    TRY_IMPLICIT,
    TRY_EXPORTER,  /* SCRAM-SHA-256-PLUS, bound by tls-exporter */
    TRY_END_POINT, /* by tls-server-end-point */
    TRY_SCRAM,
    TRY_PLAIN,
    TRY_END,
};

struct login {
    unsigned permitted;   /* set of SMTP_LOGIN_*, as it is now */
    enum login_try now;   /* under way, or the last one */
    bool tried;           /* an AUTH was sent in this session */
    bool refused;         /* by a server, here or in the session before */
    bool refused_here;    /* something was, on this connection */
    bool two_step;        /* initial responses are refused here */
    bool binding_refused; /* a -PLUS mechanism was, for more than not being there */
    bool hello_again;     /* the list was read again after a 530 */
    bool succeeded;
    unsigned rounds;      /* challenges answered */
    bool answered;        /* beyond our first message: with SCRAM, a proof went out */
    struct buf message;   /* the first message of the AUTH under way */
    const char *why;      /* we called it off */
};

struct smtp_client {
    struct smtp_client_config cfg;
    const struct smtp_client_ops *ops;
    void *ctx;
    struct buf *out;
    struct smtp_talk talk;
    enum client_state state;
    struct smtp_capabilities caps;
    bool secure, esmtp;
    bool verified;        /* the server's certificate was */
    bool quit_wanted;

    struct login login;
    enum smtp_client_sequence sequence;
    bool implicit;        /* MAIL without AUTH is meant to count as login */

    /* messages */
    struct transaction tx;
    bool needs_reset;     /* the server may still hold a transaction */
    bool refuses_auth_param;
    uint64_t transactions;
    size_t batch_max;     /* recipients a transaction, as learned (REL-05) */

    /* how it ends, told once QUIT is answered */
    enum smtp_client_end end;
    struct smtp_outcome last_words;
    char last_enhanced[12];
    char last_text[512];
};

void client_enter(struct smtp_client *c, enum client_state to);

struct smtp_outcome client_outcome_of(const struct smtp_answer *a, enum smtp_stage stage);
struct smtp_outcome client_outcome_ours(int code, const char *enhanced, const char *text, enum smtp_stage stage);

/* The session is over now: recipients still without outcome get `o`. */
void client_end(struct smtp_client *c, enum smtp_client_end end, const struct smtp_outcome *o);
/* The same, with a QUIT and the wait for its answer. */
void client_leave(struct smtp_client *c, enum smtp_client_end end, const struct smtp_outcome *o);
/* A reply of a class that has no meaning where it came. */
void client_nonsense(struct smtp_client *c, enum smtp_stage stage, const struct smtp_answer *a);
/* Sends EHLO; the state becomes CS_HELLO. */
void client_hello(struct smtp_client *c);
/* The session can take a message (or says the QUIT that was asked for). */
void client_ready(struct smtp_client *c);

static inline int client_class(const struct smtp_answer *a)
{
    return a->code / 100;
}

/* ---- client_login.c: which way is next ---- */

void client_login_init(struct smtp_client *c);
/* Logs in as configured, or not, and goes on to ready or to the message in hand. */
void client_login(struct smtp_client *c);
/* A 530 came to MAIL: can AUTH cure it? (O1-10) */
bool client_login_can_cure(const struct smtp_client *c, const struct smtp_answer *a);
/* Does so; the message in hand is sent again after it. */
void client_login_cure(struct smtp_client *c);

/* The connection ends under a login: would another one get further? */
bool client_login_wants_again(const struct smtp_client *c);
/* What came of an AUTH: 235, or its last reply. */
void client_login_succeeded(struct smtp_client *c);
void client_login_refused(struct smtp_client *c, const struct smtp_answer *a);
/* The first message of a -PLUS mechanism was refused, in the mechanism's own words. */
void client_login_binding_refused(struct smtp_client *c, const char *why);
/* It was called off, or ended in a way that makes no sense. */
void client_login_failed(struct smtp_client *c, const char *why);
/* This way cannot be gone on this connection. */
void client_login_impossible(struct smtp_client *c);

/* ---- client_auth.c: one AUTH ---- */

void client_auth(struct smtp_client *c);
const struct smtp_mechanism *client_auth_mechanism(enum login_try t);

/* The words of MAIL and of RCPT for recipient i, without the line end. */
void client_put_mail(struct smtp_client *c);
void client_put_rcpt(struct smtp_client *c, size_t i);
/* Can its addresses and parameters stand in commands? */
bool client_is_sendable(const struct smtp_client_message *m);
/* Does it need what this server does not have?  BIT-01, CHNK-03, UTF-02, RTLS-01, SIZE-03, FUT-01, DLB-01. */
bool client_is_too_much(struct smtp_client *c, const struct smtp_client_message *m, struct smtp_outcome *ret_why);

/* Sends the message in hand, from the first command. */
void client_send_again(struct smtp_client *c);
/* Gives `o` to every recipient without outcome, and lets the message go. */
void client_send_abandon(struct smtp_client *c, const struct smtp_outcome *o);
/* No recipient of the message in hand has an outcome; true without one. */
bool client_send_is_untouched(const struct smtp_client *c);
/* A reply nobody waited for, while text goes out: a server may refuse in the middle. */
bool client_send_is_interrupted(struct smtp_client *c, const struct smtp_answer *a);

#endif
