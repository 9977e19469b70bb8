/* privileges.h - from the account that may bind port 25 to the one that reads strangers' mail.
 *
 * Called once, after every socket is bound and every key is read, and before a second thread exists.  What root alone can
 * read is opened by the porter from then on.
 */
#ifndef POSTERN_PRIVILEGES_H
#define POSTERN_PRIVILEGES_H

#include "base/base.h"

#include <sys/types.h>

#define PRIVILEGES_WHY_MAX 256

/* Becomes `user`, with `group` or else the user's own groups; for good: regaining is tried and must fail.  user NULL:
 * stays who it is.  Either way no later exec can gain rights, and the process cannot be dumped or traced by its own account.
 * On failure `why` says what would be right; the process must then end. */
MUST_USE int privileges_drop(const char *user, const char *group, char *why);

/* Who we are after that, or are already. */
uid_t privileges_account(const char *user);

#endif
