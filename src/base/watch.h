/* watch.h - has any of these files changed since we last asked?
 *
 * Looks at what stat(2) says and reads nothing: device, inode, size, times of content and of mode.  A directory stands
 * for itself and the files in it.  A file that comes or goes is a change, too.
 */
#ifndef POSTERN_WATCH_H
#define POSTERN_WATCH_H

#include "base/base.h"

struct watch {
    char **paths;
    size_t n;
    uint64_t seen; /* a digest of everything */
};

void watch_add(struct watch *w, const char *path); /* a zeroed struct watch has none */
void watch_done(struct watch *w);

/* True the first time, and when anything differs from the time before.  Ask first and read then: what changes while
 * it is read is seen the next time.  Blocks: not on a worker. */
bool watch_changed(struct watch *w);

#endif
