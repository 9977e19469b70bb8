/* settings.h - the blocks of the configuration that the server needs, as plain values.
 *
 * src/app/config.c fills them and owns every string; the server borrows them for its life.
 */
#ifndef POSTERN_SETTINGS_H
#define POSTERN_SETTINGS_H

#include "auth/authz.h"
#include "auth/policy.h"
#include "auth/sender.h"
#include "cert/rules.h"
#include "net/tls.h"
#include "smtp/extension.h"

enum listener_tls { LISTENER_TLS_NONE, LISTENER_TLS_STARTTLS, LISTENER_TLS_IMPLICIT };

/* What is done for clients that do not keep to the protocol.  Each is harmless where it acts. */
enum workaround {
    WORKAROUND_AUTH_ANSWERED_BY_COMMAND = 1 << 0, /* implicit listeners only */
};

enum { /* set of mechanisms that take a password */
    MECHANISM_PLAIN = 1 << 0,
    MECHANISM_LOGIN = 1 << 1,
    MECHANISM_SCRAM = 1 << 2,
    MECHANISM_SCRAM_PLUS = 1 << 3,
};

struct passwords_config {
    char *name;
    char *table;   /* this */
    char *dovecot; /* or this: a socket */
    unsigned failures_max;      /* an address or a name, in the window; default 10, 0: no limit */
    int64_t failures_window_ms; /* default 10 min */
    int64_t failure_delay_ms;   /* from AUTH to its refusal, at least; default 2 s */
};

struct limits_config { /* of one identity; 0: no limit */
    char *name;
    unsigned messages_per_minute, messages_per_day;
    unsigned recipients_per_minute, recipients_per_day;
    unsigned sessions; /* at the same time */
};

enum priority_above { PRIORITY_ABOVE_LOWER, PRIORITY_ABOVE_REFUSE };

struct listener_config {
    char *name;
    char **addresses; /* "127.0.0.1:587", "[::1]:587", "*:587" */
    size_t n_addresses;
    enum policy_role role;     /* submission | relay */
    enum listener_tls tls;     /* starttls | implicit | none; default starttls */
    bool require_tls;          /* nothing but EHLO, NOOP, STARTTLS, QUIT in the clear (STLS-10); default yes on submission */
    char *certificate, *key;   /* key NULL: beside the certificate */
    char *key_password_file;   /* NULL: none is needed */
    enum tls_client_cert client_certificate; /* off | request | require; default: request when trust is set, else off (CERT-01) */
    enum cert_auth cert_auth;                /* off | explicit | implicit; default implicit; off on a relay listener */
    char **trust; /* names of trust blocks */
    size_t n_trust;
    enum authz_rule authz;   /* match | ignore | table; default match */
    char *may_act_as;        /* table for AUTHZ_TABLE */
    char *aliases;           /* table, NULL: none */
    char *limits;            /* name of a limits block; NULL: none */
    char *passwords;         /* name of a passwords block; NULL: none are taken */
    unsigned mechanisms;     /* default PLAIN */
    enum login_need need;    /* any | certificate | password | certificate+password; default any */
    enum sender_rule sender; /* own | any | domain | table; default own */
    char *senders;           /* table for SENDER_TABLE */
    enum header_from header_from; /* ignore | reject | add-sender; default ignore */
    char *disabled;            /* table of identities and fingerprints that may not log in; NULL: none */
    char **peers; /* relay: SHA-256 fingerprints of certificates that may relay without AUTH, normalised hex */
    size_t n_peers;
    char **proxies;            /* ranges of hosts that begin with a PROXY header */
    size_t n_proxies;
    char **xclients;           /* ranges of hosts that may send XCLIENT */
    size_t n_xclients;
    unsigned workarounds;      /* set of WORKAROUND_*; default: all */
    unsigned hidden_extensions; /* set of smtp_extension: not offered; default none */
    int64_t hold_max_ms;        /* FUTURERELEASE, submission only; default 30 days, 0: not offered */
    unsigned priority_max;      /* MT-PRIORITY that anybody may use; default 0 */
    char *priorities;           /* table: that an identity may use; NULL: none */
    enum priority_above priority_above; /* lower | refuse; default lower */
    uint64_t message_size_max; /* default 50 MiB */
    unsigned recipients_max;   /* default 1000 */
    unsigned errors_max;       /* default 20 */
    unsigned connections_max;  /* default 10000 */
    unsigned client_connections_max; /* of one address at a time; default 50, 0: no limit */
    int64_t timeout_ms;        /* default 300 s (SMTP-22) */
    int64_t login_timeout_ms;  /* to the first login or MAIL, all in all; default 600 s, 0: no limit */
    unsigned line;             /* of the block in the file, for messages */
};

struct trust_config {
    char *name;
    char **ca, **crl;
    size_t n_ca, n_crl;
    char **pin; /* lower-case hex SHA-256 of certificates and of public keys */
    size_t n_pin;
    unsigned key_size_min, strength, depth_max; /* default 2048, 112, 10 */
    bool require_eku;                           /* default no */
    bool accept_stale_crl;                      /* default no */
    enum cert_ocsp_mode ocsp;                   /* default off */
    char *ocsp_responder;                       /* NULL: the one that each certificate names */
};

struct identity_config {
    char *name;
    enum cert_source source;
    char *subject; /* attribute of the subject, with CERT_SOURCE_SUBJECT */
    char *pattern, *template, *table; /* NULL: no such step (cert/rules.h) */
    char **trust;
    size_t n_trust;
};

struct message_config {
    bool add_date, add_message_id, remove_bcc; /* default yes */
    bool replace_date;                         /* default yes */
    bool refuses_defects;                      /* default no: MSG-05 */
    const char *complete_domain;               /* put behind a single label; NULL: it is refused (SUB-03) */
    unsigned hops_max;                         /* Received fields at most; default 100 (SMTP-23) */
};

/* For cert/: the same, borrowed. */
struct cert_trust_config settings_trust(const struct trust_config *t);
struct cert_rule_config settings_rule(const struct identity_config *id);
/* All rules, compiled; `why` as CERT_WHY_MAX. */
MUST_USE int settings_rules(const struct identity_config *ids,
                            size_t n,
                            struct cert_rules **ret,
                            char *why);

#endif
