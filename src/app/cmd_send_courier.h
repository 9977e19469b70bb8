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
    const struct send_conf *conf;
    struct send_self self;
    struct send_report *report;
    struct table *aliases; /* NULL: none */
    struct loop *loop;
    const struct account *chosen; /* of the files, NULL: the command line describes one */
    struct account account;       /* that, with what the command line says about it */
    struct carrier *carrier;      /* NULL: none yet */
    const struct account *connected_by;
    struct account connected; /* what the carrier goes by */
};

int courier_init(struct courier *c,
                 const struct send_request *rq,
                 const struct send_conf *conf,
                 struct send_report *report,
                 char *why);
void courier_done(struct courier *c);

/* Makes `account` the one of this name, or with NULL the one for the sender, "" being unknown. */
int courier_choose(struct courier *c, const char *name, const char *sender, char *why);

/* A message from a descriptor: taken in, account chosen, envelope made. */
int courier_take_in(struct courier *c, int fd, bool dot_ends, struct send_message *m, char *why);

/* What a message goes through that comes with its envelope (from a session): `m->to` and `sender` ("" or an address)
 * are the client's. */
struct intake *courier_intake(struct courier *c, struct send_message *m);
int courier_taken(struct courier *c, struct intake *in, const char *sender, struct send_message *m, char *why);

/* To the server, by the account chosen; afterwards each recipient has its result. */
int courier_send(struct courier *c, struct send_message *m, char *why);

#endif
