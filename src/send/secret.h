/* secret.h - a password, from a file that nobody else can read or from a command that prints it.
 *
 * One line, its end taken off.  Never from the command line, where every user of the machine could read it.  The
 * buffer is the caller's and wipes itself: buf_wipe().
 * Fails with -errno and a sentence in `why` (SECRET_WHY_MAX).  Blocks: a command may ask a person.
 */
#ifndef POSTERN_SEND_SECRET_H
#define POSTERN_SEND_SECRET_H

#include "base/buf.h"

#define SECRET_MAX ((size_t)1024)
#define SECRET_WHY_MAX 400
#define SECRET_COMMAND_MS 120000 /* for a command that asks for a passphrase */

/* -EACCES: others than its owner may read or change the file, or it belongs to somebody else. */
MUST_USE int secret_from_file(const char *path, struct buf *out, char *why);

/* By /bin/sh; its standard error is ours, its standard input is empty. */
MUST_USE int
secret_from_command(const char *command, int64_t timeout_ms, struct buf *out, char *why);

#endif
