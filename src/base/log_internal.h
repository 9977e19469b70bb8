/* log_internal.h - between log.c, which makes lines, and log_thread.c, which may write them. */
#ifndef POSTERN_LOG_INTERNAL_H
#define POSTERN_LOG_INTERNAL_H

#include "base/log.h"

int log_fd(void);

/* Who gets the lines from now on; NULL: the descriptor again.  Returns who got them before.  Any thread. */
typedef void log_taker(const char *line, size_t len);
log_taker *log_give_to(log_taker *taker);

#endif
