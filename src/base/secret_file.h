/* secret_file.h - a password or passphrase that stands in a file of its own: its first line.
 *
 * The file belongs to whoever reads it, or to root; only its owner may read it, or its group too where it is root's (which
 * is how an account that is not root is given a secret).  Opened as base/file.h opens: by the porter where we may not.
 * The buffer is the caller's and wipes itself: buf_wipe().  Blocks: not on a worker.
 */
#ifndef POSTERN_SECRET_FILE_H
#define POSTERN_SECRET_FILE_H

#include "base/buf.h"

#include <sys/types.h>

#define SECRET_FILE_MAX ((size_t)1024) /* of the whole file; `out` has to be born with this much */
#define SECRET_FILE_WHY_MAX 256

/* `reader` is the account it is for, which may be another than who we are now.  On failure -errno, `out` is empty, and `why`
 * (SECRET_FILE_WHY_MAX) names the file and what to change, never what is in it. */
MUST_USE int secret_file_read(const char *path, uid_t reader, struct buf *out, char *why);

/* What a tool printed becomes its first line, the rest is wiped. */
void secret_first_line(struct buf *b);

#endif
