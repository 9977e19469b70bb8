/* file.h - files that are read, also those that only the account which started us may read.
 *
 * Whoever gave up that account may have left somebody behind to ask (app/porter.h).  Regular files only: nothing here
 * waits for a pipe.  Blocks: not on a worker.
 */
#ifndef POSTERN_FILE_H
#define POSTERN_FILE_H

#include "base/buf.h"

struct stat;

/* "scheme:...", the URI of a store, is no file; one whose name looks like that can be written "./name:". */
bool file_is_uri(const char *where);

/* A descriptor to read from, or -errno: -EISDIR, -EINVAL for what is no regular file. */
MUST_USE int file_open(const char *path);

/* Appends the whole; -errno, -EFBIG when it does not fit into `out`.  Where it fits at once no copy of a part is left
 * behind, so a buffer that wipes itself is enough for a key. */
MUST_USE int file_read(const char *path, struct buf *out);

/* As stat(2), directories and all; -errno. */
MUST_USE int file_stat(const char *path, struct stat *ret);

/* Asked for a descriptor, or -errno, when we are not permitted to open a path.  For the whole process, before its second
 * thread; NULL: nobody is. */
typedef int file_opener(const char *path);
void file_on_denied(file_opener *ask);

#endif
