/* client.h - one SMTP or LMTP session seen from the client: octets in, actions out.
 *
 * The only client-side engine: deliveries, `postern send`, `postern probe` and `postern bench` all drive it.
 * It knows the protocol (order, pipelining, what may be sent to whom, the certificate's two sequences) and
 * nothing of sockets, TLS libraries, clocks or queues: the driver brings octets, flushes `out` after every call,
 * begins TLS when told to, and pushes the text of a message when asked.
 *
 *     greeting -> EHLO (HELO) -> STARTTLS -> EHLO -> AUTH -> ready <-> message
 *                                                              |
 *                      anything that goes wrong ------------> QUIT -> ended
 *
 * A message is taken only while ready.  Each recipient gets exactly one outcome, `finished` follows, and then
 * either `ready` or `ended`.  A message for more recipients than the server takes at once goes in several
 * transactions; the driver notices only that the text is asked for again.
 *
 * Calls     Ops run inside the calls below.  They may call smtp_client_send(), _text() and _quit(), as said at
 *           each; none may free the client.
 * Memory    About 5 KiB, and one octet for each recipient of the message in hand.
 * Bounds    Nothing a server says can make it abort, loop or grow.
 */
#ifndef POSTERN_SMTP_CLIENT_H
#define POSTERN_SMTP_CLIENT_H

#include "smtp/client_ehlo.h"
#include "smtp/client_talk.h"

#define SMTP_CLIENT_OUTPUT ((size_t)512 * 1024) /* the maximum `out` must be born with */
#define SMTP_CLIENT_PIECE ((size_t)64 * 1024)   /* octets of text pushed at once, at most */
#define SMTP_CLIENT_RECIPIENTS_MAX 50000        /* of one message */

struct smtp_client;

enum smtp_client_tls {
    SMTP_CLIENT_TLS_OFF,
    SMTP_CLIENT_TLS_OPPORTUNISTIC, /* STARTTLS when offered; if the command is refused go on in the clear */
    SMTP_CLIENT_TLS_REQUIRE,       /* without TLS neither AUTH nor MAIL (STLS-13) */
};

/* The ways to log in.  An account permits a set of them; what is not in it is never tried, whatever the server offers or
 * refuses (O1-08, EDG-10).  Those in it are tried in this order, all of them inside TLS only:
 *
 *     EXTERNAL   sequence 1, when the server offers it: the authzid on the command, in a second step where that form is
 *                refused; then, with an `identity`, that as authzid where an empty one is refused
 *     IMPLICIT   sequence 2: MAIL at once.  Together with EXTERNAL where that is not there (O2-17), never after a refusal
 *                (O1-07); alone at once.  A MAIL answered by 530 is followed by EXTERNAL, once (O1-10), then by the rest
 *     SCRAM      SCRAM-SHA-256-PLUS where the connection can be bound to and the server offers it, else SCRAM-SHA-256.
 *                Bound by tls-exporter; by tls-server-end-point where the first cannot be had, or is refused before a
 *                proof of the password went out: then the server may not know it.  A refused binding is never followed
 *                by a login without one: whoever sits in between could refuse, too (CB-04)
 *     PLAIN      only where the server's certificate was verified (PLN-05)
 *
 * After a refusal (535) the next one of the set is tried, but no password goes out that another mechanism was already refused
 * with.  A temporary failure ends the session (AUTH-17). */
enum {
    SMTP_LOGIN_EXTERNAL = 1,
    SMTP_LOGIN_IMPLICIT = 2,
    SMTP_LOGIN_SCRAM = 4,
    SMTP_LOGIN_PLAIN = 8,
    SMTP_LOGIN_CERTIFICATE = SMTP_LOGIN_EXTERNAL | SMTP_LOGIN_IMPLICIT,
    SMTP_LOGIN_PASSWORD = SMTP_LOGIN_SCRAM | SMTP_LOGIN_PLAIN,
};

/* What a -PLUS mechanism is bound to. */
enum smtp_binding { SMTP_BINDING_NONE, SMTP_BINDING_EXPORTER, SMTP_BINDING_END_POINT };

struct smtp_mechanism {
    const char *name; /* "SCRAM-SHA-256-PLUS" */
    enum smtp_binding binding;
};

/* "EXTERNAL, SCRAM": the set in words. */
#define SMTP_LOGIN_WORDS_MAX 64
const char *smtp_login_words(unsigned set, char out[SMTP_LOGIN_WORDS_MAX]);

enum smtp_client_sequence {
    SMTP_SEQUENCE_NONE,
    SMTP_SEQUENCE_EXTERNAL,
    SMTP_SEQUENCE_IMPLICIT,
    SMTP_SEQUENCE_PASSWORD,
};

struct smtp_client_config { /* copied; the strings are borrowed */
    const char *hostname;   /* ours, for EHLO: ASCII (UTF-03) */
    bool lmtp;
    enum smtp_client_tls tls;
    unsigned login;          /* set of SMTP_LOGIN_*; 0: none */
    const char *authzid;     /* UTF-8: act as this one and as nobody else (O2-18); NULL: the identity the server derives */
    const char *identity;    /* with no authzid: who we are, for servers that refuse an empty authzid; NULL: not known */
    unsigned login_from;     /* smtp_client_login_next() of a session that ended with SMTP_END_AGAIN; 0: from the first */
    unsigned recipients_max; /* in one transaction; 0: 1000 */
};

struct smtp_client_recipient {
    const char *address; /* without <> */
    const char *orcpt;   /* "rfc822;xtext", NULL: none */
    unsigned notify;     /* set of SMTP_NOTIFY_*; 0: not said */
};

/* Borrowed until `finished`.  Of the parameters only those go out that the server offered (SMTP-10); what makes no
 * sense without its extension (an 8-bit text, SMTPUTF8, REQUIRETLS, a release time, return by a deadline), and what
 * `required` names, is then refused. */
struct smtp_client_message {
    const char *reverse_path; /* without <>, "" for the null reverse-path */
    const char *auth;         /* mailbox or "<>" for AUTH=; NULL: none (RFC 4954 section 5) */
    const char *envid;        /* xtext, NULL: none */
    char ret;                 /* 'F', 'H', 0 */
    enum smtp_body body;
    bool smtputf8;
    bool requiretls;
    int64_t hold_for;         /* seconds, HOLDFOR= (RFC 4865); 0: none */
    const char *hold_until;   /* date-time of RFC 3339, HOLDUNTIL=; NULL: none */
    struct smtp_deliver_by deliver_by;
    int priority;             /* MT-PRIORITY (RFC 6710), 0: the ordinary one */
    uint32_t required;        /* extensions the message must not go without */
    int64_t size; /* octets of text; -1: not known */
    const struct smtp_client_recipient *recipients;
    size_t n_recipients;
};

/* What became of one recipient, or of the session.  Strings are valid during the call that brings it. */
struct smtp_outcome {
    int code;             /* 250; for what no server said: the code that fits (a lost connection: 451, REL-05) */
    const char *enhanced; /* "" when there was none */
    const char *text;     /* lines joined with '\n' */
    enum smtp_stage stage; /* which command was answered so */
    bool ours;            /* our words, not the server's */
};

enum smtp_client_end {
    SMTP_END_QUIT,     /* said goodbye in order */
    SMTP_END_REFUSED,  /* greeting or EHLO was refused */
    SMTP_END_TLS,      /* TLS is required and cannot be had, or our certificate is out of date */
    SMTP_END_LOGIN,    /* no login as configured */
    SMTP_END_CLOSING,  /* 421 */
    SMTP_END_PROTOCOL, /* what came makes no sense; the connection is of no more use */
    SMTP_END_LOST,     /* smtp_client_lost() */
    /* The server closed after it had refused a form of login, and the account permits another: a new connection may go on
     * from there (smtp_client_login_next()).  A message in hand is neither refused nor finished: send it there again. */
    SMTP_END_AGAIN,
};

/* Every op gets the driver's ctx. */
struct smtp_client_ops {
    /* The 220 to STARTTLS came: start the handshake, call smtp_client_secured() after it.  What else had arrived
     * in the clear was swallowed (STLS-09). */
    void (*start_tls)(void *ctx);
    /* A message may be sent: now, inside this call, or later. */
    void (*ready)(void *ctx);
    /* Push the text from octet `offset` on, now or later.  0 may come again: then from the start again. */
    void (*text)(void *ctx, uint64_t offset);
    /* recipients[i] has its outcome.  No calls back into the client here. */
    void (*recipient)(void *ctx, size_t i, const struct smtp_outcome *o);
    /* All recipients have theirs; the message is no longer needed.  `ready` or `ended` follows, maybe later. */
    void (*finished)(void *ctx);
    /* The session is over, once: close the connection. */
    void (*ended)(void *ctx, enum smtp_client_end end, const struct smtp_outcome *o);
    /* For a trace; may be NULL.  Secrets show as ***. */
    void (*sent)(void *ctx, struct str line);
    void (*received)(void *ctx, const struct smtp_answer *a);
    /* The next message of a password mechanism, in octets, to `message`, which wipes itself.  challenge NULL: the mechanism
     * begins, and this is its first message; -EOPNOTSUPP then: not on this connection, try the next.  With a challenge it
     * means that the server refused our first message, as a 535 would.  Any other -errno calls the AUTH off, and *ret_why
     * (static) says why in all cases but the first.  May be NULL when no password is permitted. */
    int (*sasl)(void *ctx,
                const struct smtp_mechanism *m,
                const struct str *challenge,
                struct buf *message,
                const char **ret_why);
    /* The server took the login: has it proved itself, as the mechanism wants?  NULL: yes. */
    bool (*sasl_proved)(void *ctx);
};

/* Waits for the greeting.  `out` is the driver's; every call below may append to it. */
struct smtp_client *smtp_client_new(const struct smtp_client_config *cfg,
                                    const struct smtp_client_ops *ops,
                                    void *ctx,
                                    struct buf *out);
void smtp_client_free(struct smtp_client *c); /* calls no op; NULL is fine */

/* Consumes what it can and returns how much: a partial line stays with the driver. */
size_t smtp_client_feed(struct smtp_client *c, const char *data, size_t len);

/* TLS is up: before the greeting (implicit TLS), or after ops->start_tls. Capabilities are forgotten (STLS-05).
 * verified: the server's certificate was, its name included (PLN-05). */
void smtp_client_secured(struct smtp_client *c, bool verified);

/* The connection is gone.  `why` becomes the text of the outcomes that are still due. */
void smtp_client_lost(struct smtp_client *c, const char *why);
/* The same, by the server's doing: may end with SMTP_END_AGAIN. */
void smtp_client_closed(struct smtp_client *c, const char *why);

/* Begins a message.  Nothing was sent when it fails:
 * -EBUSY    not ready
 * -ENOTSUP  this server cannot take this message; *ret_why says so as every recipient's outcome;
 *           its strings are good until the next call
 * -EINVAL   an address or parameter holds what may not be sent; *ret_why likewise
 * -E2BIG    too many recipients
 * -ENOMEM */
MUST_USE int smtp_client_send(struct smtp_client *c,
                              const struct smtp_client_message *m,
                              struct smtp_outcome *ret_why);

/* A piece of the text, CRLF lines, at most SMTP_CLIENT_PIECE.  With CHUNKING it becomes one BDAT as it is, else
 * it goes out with transparency.  `last` (len may be 0) ends the text.
 * 0         taken
 * -ENOBUFS  `out` is too full: flush it first; nothing was taken
 * -EAGAIN   ops->text will ask again; nothing was taken
 * -EPIPE    nobody wants the text any more
 * -EBADMSG  a bare CR or LF: the transaction cannot be saved, the session has ended */
MUST_USE int smtp_client_text(struct smtp_client *c, const char *data, size_t len, bool last);

/* The text cannot be sent after all: recipients without outcome get `o`, with static strings, and the session ends, as
 * there is no other way out of a text half sent. */
void smtp_client_give_up(struct smtp_client *c, const struct smtp_outcome *o);

/* Says QUIT as soon as no message is in hand; `ended` follows the answer. */
void smtp_client_quit(struct smtp_client *c);

bool smtp_client_is_ready(const struct smtp_client *c);
bool smtp_client_is_secure(const struct smtp_client *c);
/* What is waited for: the driver sets its time limit by it (REL-03). */
enum smtp_stage smtp_client_stage(const struct smtp_client *c);
/* The sequence that was used; IMPLICIT once a MAIL without AUTH was accepted. */
enum smtp_client_sequence smtp_client_sequence(const struct smtp_client *c);
/* The mechanism of an AUTH that succeeded, "SCRAM-SHA-256"; "" for none. */
const char *smtp_client_mechanism(const struct smtp_client *c);
/* After SMTP_END_AGAIN: the next session's login_from. */
unsigned smtp_client_login_next(const struct smtp_client *c);
/* Did a secret go to `out` since this was last asked?  Then the driver wipes what it copied. */
bool smtp_client_take_secrecy(struct smtp_client *c);
const char *smtp_sequence_name(enum smtp_client_sequence s);
const struct smtp_capabilities *smtp_client_capabilities(const struct smtp_client *c);
bool smtp_client_is_esmtp(const struct smtp_client *c);
/* Octets that followed the 220 of STARTTLS in the clear: somebody tried something. */
size_t smtp_client_unheard(const struct smtp_client *c);

#endif
