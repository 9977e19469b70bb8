/* log_internal.h - between log.c, which makes lines, and log_thread.c, which may write them. */
#ifndef POSTERN_LOG_INTERNAL_H
#define POSTERN_LOG_INTERNAL_H

#include "base/log.h"

int log_fd(void);
/* True: the line is the thread's business now.  False: there is no such thread. */
bool log_thread_takes(const char *line, size_t len);

#endif
