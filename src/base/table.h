/* table.h - a text file of keys and values, looked up by key, picked up again when it changes.
 *
 *     # staff who left
 *     alice@example.org      left on 2026-10-01
 *     "CN=Old Printer,O=X"   printer-7@example.org
 *
 * One entry a line: key, white space, value (the rest of the line, may be empty).  A key with white space or "#"
 * stands in double quotes, with \" and \\ inside.  Empty lines and lines that begin with "#" do not count.
 *
 * What is looked up in is an immutable snapshot behind a lock held for a moment: any thread may look up while another
 * refreshes.  A file that has become unreadable or wrong keeps the snapshot before it.
 * Files above TABLE_FILE_MAX are refused.  Errors say file, line and what is wrong.
 */
#ifndef POSTERN_TABLE_H
#define POSTERN_TABLE_H

#include "base/buf.h"

#define TABLE_FILE_MAX ((size_t)64 * 1024 * 1024)
#define TABLE_WHY_MAX 256

struct table;

/* fold: keys are compared without (ASCII) case. */
MUST_USE int table_open(const char *path, bool fold, struct table **ret, char *why);
void table_close(struct table *t); /* NULL is fine; nobody may be looking up */

/* Looks whether the file has changed and loads it if so: 1, or 0 when it has not.  -errno and `why` when what is there
 * now cannot be used, once for each change; the old entries stay. Blocks: one thread, and not a worker. */
MUST_USE int table_refresh(struct table *t, char *why);

/* Replaces the content of `value` (NULL: only ask) by the entry's value; -ENOENT, or -EMSGSIZE when it does not fit. */
MUST_USE int table_get(struct table *t, struct str key, struct buf *value);

size_t table_size(struct table *t);
const char *table_path(const struct table *t);

#endif
