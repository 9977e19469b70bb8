/* cmd_cert_internal.h - what the subcommands of `postern cert` share. */
#ifndef POSTERN_CMD_CERT_INTERNAL_H
#define POSTERN_CMD_CERT_INTERNAL_H

#include "cert/ca.h"

#include <getopt.h>
#include <jansson.h>

#define CERTCMD_DAY_MS ((int64_t)86400 * 1000)

/* Values of an option that may be given several times. */
#define CERTCMD_LIST_MAX 32
struct certcmd_list {
    const char *items[CERTCMD_LIST_MAX];
    size_t n;
};
/* False, with a message, when there are too many. */
MUST_USE bool certcmd_list_add(struct certcmd_list *l, const char *program, const char *item);

/* The code of <sysexits.h> that fits an errno, after "program: text" was written to standard error. */
int certcmd_failed(const char *program, int r, const char *text);
int certcmd_usage_error(const char *program, const char *fmt, ...) PRINTF(2, 3);

/* "2026-10-01", UTC */
void certcmd_day(int64_t ms, char out[16]);
/* "2026-10-01T12:00:00Z" */
void certcmd_instant(int64_t ms, char out[32]);

/* The words that are left after the options: from `min` to `max` of them, named by `what`; false has been said. */
MUST_USE bool certcmd_words_are(int argc, char **argv, int min, int max, const char *what);

/* EX_OK, or what has gone wrong, which has been said. */
MUST_USE int certcmd_open_ca(const char *program, const char *dir, struct ca **ret);
void certcmd_ca_closep(struct ca **ca);

json_t *certcmd_entry_json(const struct ca_entry *e);
MUST_USE int certcmd_print_json(json_t *j);
void certcmd_json_decrefp(json_t **j);

int cmd_cert_issue(int argc, char **argv);
int cmd_cert_explain(int argc, char **argv);

#endif
