/* carrier.h - takes messages to the server of one account, one after the other over one connection.
 *
 * Blocks: every call turns the loop until it has its answer or a time limit has passed.  Connects with the first
 * message, and again when the server has closed the connection meanwhile.  A server that cannot be reached, or has
 * us not log in, is not asked again by the same carrier: what follows gets the same answer at once.
 *
 * Owns      the connection and the TLS settings.  Borrows account, loop, hooks and each message while it is sent.
 * Never     goes on in the clear where the account says TLS; without a port it tries 465 first, and only where nobody
 *           answers there 587 with STARTTLS (TLS-03).
 */
#ifndef POSTERN_SEND_CARRIER_H
#define POSTERN_SEND_CARRIER_H

#include "link/link.h"
#include "send/account.h"
#include "send/recipients.h"
#include "send/text.h"
#include "smtp/address.h"

struct carrier;

struct send_result { /* of one recipient */
    int code;        /* 0: none yet */
    char enhanced[12];
    char *text; /* one line */
    enum smtp_stage stage;
    bool ours; /* our words, not the server's */
};

/* What is asked of the server beside delivery; strings are borrowed. */
struct send_wishes {
    const char *envid; /* xtext */
    char ret;          /* 'F', 'H', 0 */
    unsigned notify;   /* set of SMTP_NOTIFY_* */
    bool requiretls, smtputf8;
    int64_t hold_for;       /* seconds; 0: none */
    const char *hold_until; /* date-time of RFC 3339 */
    int64_t hold_until_ms;  /* the same, wall clock */
    struct smtp_deliver_by deliver_by;
    bool has_priority;
    int priority;
};

struct send_message {
    const char *reverse_path;
    char path[SMTP_PATH_MAX + 1]; /* a place for it */
    struct send_text text;
    struct recipients to;
    bool header_is_8bit, body_is_8bit;
    struct send_wishes wishes;
    struct send_result
        *results; /* parallel to `to`, made by the carrier, freed by send_message_done() */
};
void send_message_init(struct send_message *m);
void send_message_done(struct send_message *m);
/* The same answer, made by us, for all that have none. */
void send_message_fail(struct send_message *m, const struct smtp_outcome *o);

/* The connection a message went over; strings are "" or NULL where there is nothing to tell. */
struct carrier_facts {
    unsigned port;
    char address[64];
    const char *tls, *cipher, *group; /* NULL: in the clear */
    bool verified;                    /* the server's certificate was */
    const char *sequence;             /* smtp_sequence_name(); NULL: it did not come to that */
    char mechanism[24];               /* of an AUTH that succeeded; "" */
};

struct carrier_hooks { /* each may be NULL */
    void (*sent)(void *arg, struct str line);
    void (*received)(void *arg, const struct smtp_answer *a);
    void (*note)(void *arg, const char *text); /* for a trace: what is no line of the dialogue */
    void (*progress)(void *arg, uint64_t octets, uint64_t size); /* of the message in hand */
    void *arg;
};

#define CARRIER_WHY_MAX 512
/* Looks at certificate, key, CA and password, and says what is wrong with them before anybody is connected to.
 * `hostname` is said to the server. */
MUST_USE int carrier_new(struct loop *l,
                         const struct account *account,
                         const char *hostname,
                         const struct carrier_hooks *hooks,
                         struct carrier **ret,
                         char *why);
/* Takes leave in order, if there is a connection.  NULL is fine. */
void carrier_free(struct carrier *c);

/* Afterwards each recipient has its result. */
void carrier_send(struct carrier *c, struct send_message *m);

const struct carrier_facts *carrier_facts(const struct carrier *c);

#endif
