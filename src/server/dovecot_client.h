/* dovecot_client.h - asks a Dovecot auth socket about one password.  Blocks, for a bounded time: never on a worker. */
#ifndef POSTERN_DOVECOT_CLIENT_H
#define POSTERN_DOVECOT_CLIENT_H

#include "base/buf.h"

/* 0 with the name it goes by there; -EACCES; or -errno: we could not tell, and the log says why. */
MUST_USE int dovecot_check(
    const char *socket, struct str user, struct str password, const char *peer, struct buf *name);

#endif
