/* courier.h - what happens to one message: taken in, given an account and an envelope, and sent.
 *
 * The courier keeps its connection while the next message goes by the same account.
 * Each step answers EX_OK, or a code of <sysexits.h> and `why`.
 *
 * Owns      connection, loop and the table of aliases.  Borrows what its config points to, until courier_free().
 * Blocks    as the carrier does.
 */
#ifndef POSTERN_SEND_COURIER_H
#define POSTERN_SEND_COURIER_H

#include "send/accounts.h"
#include "send/carrier.h"
#include "send/intake.h"

#define COURIER_WHY_MAX 768

/* What is asked for, the same for every message. */
struct send_order {
    struct account
        given; /* what is said about an account beside the files; with a host it is one of its own */
    bool login_given, complete_header_given;
    const char *account; /* by name; NULL: the sender's */

    const char *from;      /* the reverse-path; NULL: the message says, "": the null one */
    const char *full_name; /* for a From field that is added; NULL: the user's own */
    bool take_recipients;  /* from the message */
    struct recipients to;  /* beside them */
    struct send_wishes wishes;
};

/* Who we are where nothing says so. */
struct send_self {
    char hostname[256]; /* for EHLO and Message-ID: a domain, "localhost" at the worst */
    char user[128];
    char full_name[256]; /* UTF-8; "" when there is none */
};

struct courier_config {
    const struct send_order *order;
    const struct accounts *accounts;
    struct send_self self;
    struct carrier_hooks hooks;
};

struct courier;

int courier_new(const struct courier_config *cfg, struct courier **ret, char *why);
void courier_free(struct courier *c); /* NULL is fine */

/* Makes `account` the one of this name, or with NULL the one for the sender, "" being unknown. */
int courier_choose(struct courier *c, const char *name, const char *sender, char *why);

/* A message as it comes in.  With a `sender` ("" is the null reverse-path) that is the envelope's, else the message
 * says whose it is. */
struct reception {
    struct send_message *m;
    const char *sender;
    struct intake *intake;
    struct buf from; /* what is added where it does not say whose it is */
    char id[24];
};
int courier_begin(struct courier *c,
                  struct reception *rec,
                  struct send_message *m,
                  const char *sender,
                  bool dot_ends,
                  char *why);
/* -errno of where it is kept. */
MUST_USE int courier_piece(struct reception *rec, const char *data, size_t len);
/* The account is chosen, the envelope made. */
int courier_complete(struct courier *c, struct reception *rec, char *why);
void courier_dismiss(struct reception *rec); /* after each courier_begin() */

/* All of it from a descriptor, with the recipients of the order. */
int courier_take_in(struct courier *c, int fd, bool dot_ends, struct send_message *m, char *why);

/* To the server, by the account chosen; afterwards each recipient has its result. */
int courier_send(struct courier *c, struct send_message *m, char *why);

/* The account chosen last, with what the order says about it.  Without a file, the order describes all of it. */
const struct account *courier_account(const struct courier *c);
const struct carrier_facts *courier_facts(const struct courier *c); /* NULL: nobody was asked */
struct loop *courier_loop(const struct courier *c);

/* Words `why` (COURIER_WHY_MAX) and returns `status`. */
int courier_fail(char *why, int status, const char *fmt, ...) PRINTF(3, 4);

#endif
