/* passwords.h - one passwords block at work, shared by the listeners that name it.
 *
 * A password is checked by a few threads of their own (struct checker), as hashing is slow on purpose and a socket may
 * be slow by accident: a worker hands over a struct password_check and gets it back on its loop.
 */
#ifndef POSTERN_PASSWORDS_H
#define POSTERN_PASSWORDS_H

#include "auth/lookup.h"
#include "base/table.h"
#include "net/loop.h"
#include "server/limiter.h"
#include "server/settings.h"

struct passwords {
    const struct passwords_config *cfg;
    struct table *table;     /* NULL: Dovecot is asked */
    struct lookup entries;   /* reads it */
    struct limiter *by_peer, *by_name; /* failures */
    unsigned char secret[32]; /* keys for names there are not come from it */
};

MUST_USE int passwords_init(struct passwords *p, const struct passwords_config *cfg, char *why);
void passwords_done(struct passwords *p);
/* 1: the table has changed; 0; or -errno, with a line in the log: the old one stays. The thread that made the service. */
int passwords_refresh(struct passwords *p);

/* ---- checks ---- */

struct checker;

struct password_check {
    struct loop_task task; /* posted to `loop` when the result is there; its run() owns the check again */
    struct loop *loop;
    const struct passwords *passwords;
    struct buf user, password;
    char peer[64];
    int64_t asked_ms;

    int result;      /* 0; -EACCES: wrong name or password; anything else: we could not tell */
    struct buf name; /* with 0: who it is */
    struct password_check *next;
};

void password_check_init(struct password_check *c);
void password_check_done(struct password_check *c); /* wipes */

MUST_USE int checker_start(unsigned threads, struct checker **ret);
/* What is still waiting is brought back with -ECANCELED. NULL is fine. */
void checker_stop(struct checker *c);

/* Takes the check until it is posted; -EAGAIN: too many are waiting, the check stays the caller's. */
MUST_USE int checker_submit(struct checker *c, struct password_check *check);

/* What a thread does with a check; blocks. */
void password_check_run(struct password_check *check);

#endif
