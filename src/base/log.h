/* log.h - structured log lines: one event, one line, fields as key=value.
 *
 *     log_begin(&l, LOG_NOTICE, "login");
 *     log_text(&l, "session", id);
 *     log_number(&l, "failures", n);
 *     log_end(&l);
 *
 * prints  2026-10-01T12:00:00.123Z notice login session=a1b2 failures=2
 *
 * A line lives on the caller's stack and has a fixed maximum: a value that does not fit is cut and
 * marked with "...", a field that has no room left is dropped.  Values are quoted when they hold a
 * space, a quote or "=", and control characters, quotes and backslashes are escaped, so that
 * nothing a peer sends can forge a second line or field.  Safe from every thread; one write(2) a line, by whoever logs
 * or by a thread that is there for it.
 * Secrets are never given to a log function: that is the caller's duty.
 */
#ifndef POSTERN_LOG_H
#define POSTERN_LOG_H

#include "base/str.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_NOTICE, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

#define LOG_LINE_MAX 2048

struct log_line {
    size_t len;
    bool wanted; /* false when the level is below the threshold: every call is then a no-op */
    char text[LOG_LINE_MAX];
};

void log_begin(struct log_line *l, enum log_level level, const char *event);
void log_text(struct log_line *l, const char *key, const char *value); /* NULL: no field */
void log_str(struct log_line *l, const char *key, struct str value);
void log_number(struct log_line *l, const char *key, int64_t value);
void log_format(struct log_line *l, const char *key, const char *fmt, ...) PRINTF(3, 4);
void log_end(struct log_line *l);

/* One event with one field "message": for start-up, shutdown and trouble without more context. */
void log_message(enum log_level level, const char *event, const char *fmt, ...) PRINTF(3, 4);

/* Before threads start.  Standard error and LOG_LEVEL_INFO otherwise. */
void log_set_level(enum log_level level);
void log_set_fd(int fd);
/* From now on lines are written by a thread of their own, some milliseconds later and many at a time, so that nobody who
 * logs waits for a file system or a reader that is slow.  Up to 1 MiB waits; what comes beyond is lost, and counted in
 * a line "log-lost".  What waits is written, too, when the process falls; by SIGKILL it is lost.  Not before the last
 * fork() of a process that goes on logging.  Returns 0 or -errno. */
MUST_USE int log_thread_start(void);
void log_thread_stop(void); /* when other threads have ended; writes what waits; nothing when not started */

MUST_USE int log_level_parse(const char *name, enum log_level *ret); /* "error" ... "debug"; -EINVAL */

#endif
