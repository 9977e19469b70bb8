/* conf.h - the syntax of the configuration file: text in, a tree of blocks and settings out.
 *
 *     name = value            value: a word, a "string" or a {list, of, them}
 *     name title { ... }      a block; the title is left out where there can be only one
 *     include("file")         its items stand here; a relative name starts at this file's folder
 *
 * A comment is `# ...`, `// ...` or `/ * ... * /`.  Knows no setting by name: who asks does.  Every node
 * knows its file and line.  A mistake is reported and reading goes on, so that one run shows them all.
 *
 * Owns nothing: nodes and strings live in the arena that was given.
 * Fails by reporting; what could be understood is in the tree all the same.
 */
#ifndef POSTERN_CONF_H
#define POSTERN_CONF_H

#include "base/arena.h"

#define CONF_TEXT_MAX ((size_t)1 << 20) /* octets of all files together */
#define CONF_INCLUDES_MAX 64            /* files read in all */

struct conf_value {
    struct conf_value *next;
    const char *text;
    unsigned line;
};

struct conf_node {
    struct conf_node *next; /* the order is the one written */
    const char *file;
    unsigned line;
    const char *name;
    bool is_block;
    /* a setting */
    bool is_list;
    struct conf_value *values; /* NULL: an empty list, or a value that was not understood */
    /* a block */
    const char *title; /* NULL: none */
    struct conf_node *items, *last_item;
};

typedef void conf_report_fn(void *arg, const char *file, unsigned line, const char *text);

/* Always returns a root block when `path` could be read; NULL with -errno in *ret_error when not
 * (that too was reported). */
struct conf_node *conf_read(
    const char *path, struct arena *memory, conf_report_fn *report, void *arg, int *ret_error);
/* The same from memory: `file` is the name used in reports. */
struct conf_node *conf_parse(
    struct str text, const char *file, struct arena *memory, conf_report_fn *report, void *arg);

/* The first item of that name in a block, or NULL. */
const struct conf_node *conf_find(const struct conf_node *block, const char *name);
/* The item to blame: the one of that name if it is written, else the block. */
const struct conf_node *conf_place(const struct conf_node *block, const char *name);

/* `path` as seen from the folder of `file`: absolute ones stay as they are.  NULL when there is no memory. */
char *conf_path(const char *file, const char *path, struct arena *memory);

#endif
