/* server_internal.h - what the files of the server engine share.  Nobody outside src/smtp/server*.c, cmd_*.c includes it. */
#ifndef POSTERN_SMTP_SERVER_INTERNAL_H
#define POSTERN_SMTP_SERVER_INTERNAL_H

#include "smtp/dots.h"
#include "smtp/server.h"

/*            EHLO          MAIL          RCPT       DATA           "."
 *   GREET ---------> READY -----> MAIL -----> RCPT -----> TEXT --------> READY
 *                      ^            |           | BDAT n  (CHUNK <-> BETWEEN) -- LAST --> READY
 *                      +--RSET/EHLO-+-----------+
 *   XCLIENT: any outside a transaction -> GREET
 *   STARTTLS: any -> TLS -> GREET        any -> ENDED
 *   AUTH with a challenge: READY -> SASL -> READY */
enum server_state {
    SS_GREET,
    SS_READY,
    SS_MAIL,    /* transaction open, no recipient yet */
    SS_RCPT,    /* transaction open, recipients accepted */
    SS_TEXT,    /* after 354: text up to the final dot */
    SS_CHUNK,   /* inside a BDAT chunk */
    SS_BETWEEN, /* after a BDAT chunk that was not LAST */
    SS_SASL,    /* a response line is expected */
    SS_TLS,     /* 220 was written, the handshake is the owner's */
    SS_ENDED,
};

enum server_wait { /* which op answered "later" */
    WAIT_NOTHING,
    WAIT_STARTTLS,
    WAIT_AUTH,
    WAIT_MAIL,
    WAIT_RCPT,
    WAIT_DATA,
    WAIT_BDAT,
    WAIT_TEXT,
    WAIT_FINISH,
};

/* One mail transaction: MAIL to the final dot. */
struct transaction {
    struct arena arena; /* every string of mail and rcpts */
    struct smtp_mail mail;
    struct smtp_rcpt *rcpts;
    size_t n_rcpts, cap_rcpts;
    struct smtp_rcpt pending; /* the RCPT an op is thinking about */
    struct undot undot;
    uint64_t size;       /* octets of text so far */
    uint64_t chunk_left; /* of the present BDAT chunk */
    bool chunk_last;
    bool accepted;   /* MAIL was answered 250: the owner holds something */
    bool started;    /* ops->data said yes */
    bool finished;   /* ops->finish was asked: nothing to abandon */
    bool pause;      /* text() said -EAGAIN */
    int error;       /* -errno that ended the text; the rest is swallowed */
    bool chunk_void; /* the present chunk, or one before it, was refused: swallow until RSET (CHNK-02) */
    bool chunk_close;
    struct smtp_reply chunk_reply; /* what a refused chunk is answered with */
};

struct smtp_server {
    const struct smtp_server_config *cfg;
    const struct smtp_server_ops *ops;
    void *ctx;
    struct buf *out;
    struct transaction *t; /* NULL outside a transaction */
    char *helo;
    enum server_state state;
    enum server_wait wait;
    bool secure, esmtp;
    bool skipping; /* the rest of an over-long line */
    uint64_t swallow; /* octets of a BDAT chunk that has no transaction to go to */
    struct smtp_reply *swallow_reply; /* owned; NULL: nothing is being swallowed */
    bool swallow_close;
    struct smtp_xclient *xclient; /* owned; what was told by XCLIENT, while nothing else was said since; else NULL */
    unsigned errors, troubles; /* the client's, and ours */
    enum smtp_server_end end; /* once ended */
    char verb[12]; /* of the command being served, printable */
};

/* ---- server.c ---- */
void server_set_state(struct smtp_server *s, enum server_state next);
void server_reply(struct smtp_server *s, const struct smtp_reply *r);
void server_say(struct smtp_server *s, int code, const char *enhanced, const char *fmt, ...) PRINTF(4, 5);
void server_end(struct smtp_server *s); /* after the reply was written */
void server_start_over(struct smtp_server *s); /* to the state in which the greeting comes */
void server_line(struct smtp_server *s, struct str line); /* a command line, its CR LF taken off */
/* What is offered now: of the configured, what makes sense beside the others and in this state. */
uint32_t server_extensions(const struct smtp_server *s);
bool server_knows_command(struct str line);               /* it begins with a verb and a space */
/* Acts on a decision that is not SMTP_LATER: true to go on; else the refusal was written. */
bool server_go_on(struct smtp_server *s, enum smtp_decision d, const struct smtp_reply *r);
void transaction_drop(struct smtp_server *s); /* abandons when the owner holds something */

/* ---- one verb a file; args is what follows the verb, trimmed in front ---- */
void cmd_ehlo(struct smtp_server *s, struct str args);
void cmd_helo(struct smtp_server *s, struct str args);
void cmd_starttls(struct smtp_server *s, struct str args);
void cmd_starttls_resume(struct smtp_server *s, enum smtp_decision d, const struct smtp_reply *r);
void cmd_xclient(struct smtp_server *s, struct str args);
void cmd_auth(struct smtp_server *s, struct str args);
void cmd_auth_response(struct smtp_server *s, struct str line, bool too_long);
void cmd_auth_step(struct smtp_server *s, enum smtp_auth_step step, struct str challenge, const struct smtp_reply *r);
void cmd_mail(struct smtp_server *s, struct str args);
void cmd_mail_resume(struct smtp_server *s, enum smtp_decision d, const struct smtp_reply *r);
void cmd_rcpt(struct smtp_server *s, struct str args);
void cmd_rcpt_resume(struct smtp_server *s, enum smtp_decision d, const struct smtp_reply *r);
void cmd_data(struct smtp_server *s, struct str args);
void cmd_data_resume(struct smtp_server *s, enum smtp_decision d, const struct smtp_reply *r);
void cmd_bdat(struct smtp_server *s, struct str args);
void cmd_bdat_resume(struct smtp_server *s, enum smtp_decision d, const struct smtp_reply *r);
void cmd_rset(struct smtp_server *s, struct str args);
void cmd_noop(struct smtp_server *s, struct str args);
void cmd_quit(struct smtp_server *s, struct str args);
void cmd_vrfy(struct smtp_server *s, struct str args);
void cmd_help(struct smtp_server *s, struct str args);
void cmd_not_served(struct smtp_server *s, struct str args);

/* ---- server_text.c: the text, by DATA or BDAT ---- */
void text_begin(struct smtp_server *s, bool raw);
size_t text_feed(struct smtp_server *s, const char *data, size_t len);
void text_finish(struct smtp_server *s); /* the last octet is there */
size_t server_swallow(struct smtp_server *s, size_t len);
void text_finish_resume(struct smtp_server *s, enum smtp_decision d, const struct smtp_reply *r);

#endif
