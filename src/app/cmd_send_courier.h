/* cmd_send_courier.h - what happens to one message: taken in, given an account and an envelope, and sent.
 *
 * The courier keeps its connection while the next message goes by the same account.
 * Each step answers EX_OK, or a code of <sysexits.h> and `why`.
 */
#ifndef POSTERN_CMD_SEND_COURIER_H
#define POSTERN_CMD_SEND_COURIER_H

#include "app/cmd_send_internal.h"
#include "base/table.h"
#include "send/intake.h"

#define COURIER_WHY_MAX 768

struct courier {
    const struct send_request *rq;
    const struct accounts *conf;
    struct send_self self;
    struct send_report *report;
    struct table *aliases; /* NULL: none */
    struct loop *loop;
    const struct account *chosen; /* of the files, NULL: the command line describes one */
    struct account account;       /* that, with what the command line says about it */
    char *described_from;         /* of an account that the command line describes */
    struct carrier *carrier;      /* NULL: none yet */
    const struct account *connected_by;
    struct account connected; /* what the carrier goes by */
};

int courier_init(struct courier *c,
                 const struct send_request *rq,
                 const struct accounts *conf,
                 struct send_report *report,
                 char *why);
void courier_done(struct courier *c);

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

/* All of it from a descriptor, with the recipients of the command line. */
int courier_take_in(struct courier *c, int fd, bool dot_ends, struct send_message *m, char *why);

/* To the server, by the account chosen; afterwards each recipient has its result. */
int courier_send(struct courier *c, struct send_message *m, char *why);

#endif
