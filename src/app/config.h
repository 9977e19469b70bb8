/* config.h - the configuration file, read, checked and held as plain values.
 *
 * libconfuse reads it; every mistake is reported with file, line and what would be right; unknown settings are
 * errors.  postern.conf(5) documents each setting with its default.
 * Owns every string; config_free() releases them.  Immutable after config_load().
 */
#ifndef POSTERN_CONFIG_H
#define POSTERN_CONFIG_H

#include "auth/policy.h"
#include "base/log.h"
#include "cert/judge.h"
#include "net/tls.h"
#include "relay/relay.h"

enum listener_tls { LISTENER_TLS_NONE, LISTENER_TLS_STARTTLS, LISTENER_TLS_IMPLICIT };
enum listener_role { LISTENER_SUBMISSION, LISTENER_RELAY };

struct listener_config {
    char *name;
    char **addresses; /* "127.0.0.1:587", "[::1]:587", "*:587" */
    size_t n_addresses;
    enum listener_role role;   /* submission | relay */
    enum listener_tls tls;     /* starttls | implicit | none; default starttls */
    bool require_tls;          /* nothing but EHLO, NOOP, STARTTLS, QUIT in the clear (STLS-10); default yes on submission */
    char *certificate, *key;
    enum tls_client_cert client_certificate; /* off | request | require; default: request when trust is set, else off (CERT-01) */
    enum cert_auth cert_auth;                /* off | explicit | implicit; default implicit */
    char **trust; /* names of trust blocks */
    size_t n_trust;
    char **peers; /* relay: SHA-256 fingerprints of certificates that may relay without AUTH, normalised hex */
    size_t n_peers;
    uint64_t message_size_max; /* default 50 MiB */
    unsigned recipients_max;   /* default 1000 */
    unsigned errors_max;       /* default 20 */
    unsigned connections_max;  /* default 10000 */
    int64_t timeout_ms;        /* default 300 s (SMTP-22) */
    unsigned line;             /* of the block in the file, for messages */
};

struct trust_config {
    char *name;
    char **ca, **crl;
    size_t n_ca, n_crl;
};

struct identity_config {
    char *name;
    enum cert_source source;
    char **trust;
    size_t n_trust;
};

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
    bool add_date, add_message_id, remove_bcc; /* message { ... }; default yes */
    unsigned hops_max;                         /* message { hops = 100 } (SMTP-23) */
};

/* Prints each mistake to `report` as "file:line: what is wrong; what would be right" and returns how many
 * there were, or -errno when the file cannot be read (also said).  *ret is set only with 0. */
typedef void config_report_fn(void *arg, const char *line);
int config_load(const char *path, struct config **ret, config_report_fn *report, void *arg);
void config_free(struct config *c); /* NULL is fine */

#endif
