/* loader.h - one configuration being read: where its values are kept, and what is wrong with it.
 *
 *     struct loader l = {.memory = &arena, .report = report, .arg = arg};
 *     if (loader_read(&l, path))
 *         ... setting_read_all(), loader_mistake() ...
 *     return loader_finish(&l);
 *
 * Nothing stops at the first mistake: findings are held and told at the end, in the order of the lines.
 *
 * Owns nothing: findings and kept values live in the arena that was given.
 */
#ifndef POSTERN_CONF_LOADER_H
#define POSTERN_CONF_LOADER_H

#include "conf/conf.h"

#define LOADER_MEMORY_MAX                                                                          \
    ((size_t)256 << 20)         /* CONF_TEXT_MAX of the shortest settings need a fifth of it */
#define LOADER_FINDINGS_MAX 100 /* more are counted, not shown */

struct loader_finding {
    const char *file;
    unsigned line;
    bool is_warning;  /* legal, but hardly meant */
    const char *text; /* what is wrong; what would be right */
};
typedef void loader_finding_fn(void *arg, const struct loader_finding *f);

struct loader_held;

struct loader { /* begins zeroed, but for memory, report and its arg */
    struct arena *memory;
    loader_finding_fn *report;
    void *arg;
    const char *path; /* of the file that was named */
    const struct conf_node *root;
    struct loader_held *held;
    unsigned findings, mistakes;
    int error; /* -errno of a file that cannot be read, or of no memory */
};

/* The root block, or NULL after a report: the file cannot be read.  What was not understood is a mistake by now.
 * `path` is borrowed until loader_finish(). */
const struct conf_node *loader_read(struct loader *l, const char *path);

void loader_mistake(struct loader *l, const struct conf_node *at, const char *fmt, ...)
    PRINTF(3, 4);
void loader_warning(struct loader *l, const struct conf_node *at, const char *fmt, ...)
    PRINTF(3, 4);

/* A copy that lives as long as the memory.  Never NULL: without memory it is empty, and loader_finish() fails. */
char *loader_keep(struct loader *l, const char *text);
void *loader_room(struct loader *l, size_t size); /* the same, but NULL */
/* conf_path(), kept. */
char *loader_path(struct loader *l, const char *file, const char *path);

/* Tells what was found and returns the number of mistakes, or -errno. */
MUST_USE int loader_finish(struct loader *l);

/* A loader_finding_fn that makes one line of each: "file:line: what is wrong; what would be right". */
typedef void loader_line_fn(void *arg, const char *line);
struct loader_lines { /* its argument */
    loader_line_fn *report;
    void *arg;
};
void loader_report_line(void *lines, const struct loader_finding *f);

#endif
