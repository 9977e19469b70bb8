/* reread.h - the files that are read again while the server runs, and whether whoever serves then may read them.
 *
 * The server reads all of them first as who starts it, which is root as a rule, and from then on as the account it has
 * become.  What that account cannot read stays as it was at the start: a certificate revoked later goes on logging
 * in, and so does a user who was taken out of a table.  Certificates and keys are not among them: porter.h brings those.
 */
#ifndef POSTERN_REREAD_H
#define POSTERN_REREAD_H

#include "app/config.h"

/* `path` is named in the block at `at`; `advice` says what is wrong and what would be right. */
typedef void reread_fn(void *arg, const char *path, const struct config_place *at, const char *advice);

/* Tells of each that this process, as who it is now, is not permitted to read.  Blocks. */
void reread_denied(const struct config *c, reread_fn *tell, void *arg);

#endif
