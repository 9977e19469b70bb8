/* config.h - the configuration file, read, checked and held as plain values.
 *
 * libconfuse reads it; every mistake is reported with file, line and what would be right; unknown settings are
 * errors.  postern.conf(5) documents each setting with its default.
 * Owns every string; config_free() releases them.  Immutable after config_load().
 */
#ifndef POSTERN_CONFIG_H
#define POSTERN_CONFIG_H

#include "base/log.h"
#include "relay/relay.h"
#include "server/settings.h"

struct config {
    char *path;
    char *hostname;     /* default: the machine's fully qualified name */
    char *user, *group; /* after binding; default "postern" when started as root and the user exists */
    unsigned workers;   /* default: one a processor */
    enum log_level log_level; /* default info */
    struct trust_config *trusts;
    size_t n_trusts;
    struct identity_config *identities; /* default when none is written: one rule, san-email */
    size_t n_identities;
    struct listener_config *listeners;
    size_t n_listeners;
    struct spool_config spool; /* spool { database = ... } */
    struct relay_config relay; /* route blocks and delivery { retry-min, retry-max, expire, ... } */
    struct message_config message; /* message { ... } */
};

/* Prints each mistake to `report` as "file:line: what is wrong; what would be right" and returns how many
 * there were, or -errno when the file cannot be read (also said).  *ret is set only with 0. */
typedef void config_report_fn(void *arg, const char *line);
int config_load(const char *path, struct config **ret, config_report_fn *report, void *arg);
void config_free(struct config *c); /* NULL is fine */

#endif
