/* porter.h - opens for a server that is root no more what only root may read.
 *
 * A renewed certificate often comes with a key that only root can read (certbot's do), long after the server has become
 * somebody else.  The porter is a child process that stays root, with the one capability to read.  It was made with a list
 * of files, and does one thing: asked for a file of the list, by its name, it hands over a descriptor to read from.  So
 * whoever takes over the server gets through it what the server was given anyway.
 *
 * It follows no way that others than root can change: where a folder of the path, or of a link in it, is not root's
 * alone, whoever owns it could otherwise have every file of the machine opened.
 *
 * It ends when the server does.
 */
#ifndef POSTERN_PORTER_H
#define POSTERN_PORTER_H

#include "base/base.h"

#define PORTER_WHY_MAX 256
#define PORTER_FILES_MAX 1024

/* Before privileges are dropped and before there is a second thread; base/file.h asks it from then on.  The paths are
 * copied.  -errno with `why`. */
MUST_USE int porter_start(const char *const *paths, size_t n, char *why);
void porter_stop(void); /* also when it was not started */

#endif
