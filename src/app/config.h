/* config.h - the configuration file, read, checked and held as plain values.
 *
 * conf/ reads the syntax and single values, config.c knows the settings (one table a block), config_rules.c what must hold
 * between them.  Every mistake is reported with file, line and what would be right; unknown settings are
 * mistakes.  postern.conf(5) documents each setting with its default.
 *
 * A relative path starts at the folder of the file it is written in.
 * Owns every string; config_free() releases them.  Immutable after config_load(): any thread may read it.
 * Looks at the named certificate files only as far as "is it there": their content is judged by who loads them, or by
 * `postern check`.
 */
#ifndef POSTERN_CONFIG_H
#define POSTERN_CONFIG_H

#include "base/arena.h"
#include "base/log.h"
#include "conf/loader.h"
#include "relay/relay.h"
#include "server/settings.h"

struct config_place { /* where a block begins */
    const char *file;
    unsigned line;
};

struct config {
    char *path;
    char *hostname; /* default: the machine's fully qualified name */
    char *user,
        *group; /* after binding; default "postern" when started as root and the user exists; NULL: stay who we are */
    unsigned workers;         /* default: one a processor */
    enum log_level log_level; /* default info */
    int64_t ticket_key_lifetime_ms;
    unsigned tls_session_cache; /* sessions, default 4096; 0: in tickets */
    int64_t ocsp_timeout_ms;
    int64_t reload_interval_ms; /* how often files are looked at; 0: only on SIGHUP */
    struct trust_config *trusts;
    size_t n_trusts;
    struct identity_config *identities; /* default when none is written: one rule, san-email */
    size_t n_identities;
    struct limits_config *limits;
    size_t n_limits;
    struct passwords_config *passwords;
    size_t n_passwords;
    unsigned auth_threads; /* default 2 */
    struct listener_config *listeners;
    size_t n_listeners;
    struct spool_config spool; /* spool { database = ... } */
    struct relay_config relay; /* route blocks and delivery { retry-min, retry-max, expire, ... } */
    struct message_config message;                                      /* message { ... } */
    char *metrics_address;                                              /* NULL: no page */
    struct config_place spool_place;                                    /* line 1 without such a block */
    /* parallel to the blocks */
    struct config_place *trust_places, *identity_places, *passwords_places, *listener_places, *route_places;
    struct arena memory;                                                /* holds everything above */
};

/* Reports each mistake and returns how many there were (warnings are reported, not counted), or -errno when
 * the file cannot be read (also reported).  *ret is set only with 0. */
MUST_USE int
config_read(const char *path, struct config **ret, loader_finding_fn *report, void *arg);

/* The same, each finding as one line of text. */
MUST_USE int
config_load(const char *path, struct config **ret, loader_line_fn *report, void *arg);

void config_free(struct config *c); /* NULL is fine */

/* The trust block of that name, or NULL. */
const struct trust_config *config_trust(const struct config *c, const char *name);

#endif
