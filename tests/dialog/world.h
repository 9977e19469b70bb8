/* world.h - everything a session of the service needs, made of memory: one connection, one spool.
 *
 * The session (src/server/session*.c), the engine, the policy and the fix-ups are the real ones.  What
 * lies around them is played here: the stream, the worker, the judge of certificates, the spool and the
 * relay.  So a dialogue says what the service does, and needs no socket, no TLS and no disk.
 *
 * One world at a time; every function belongs to it.
 */
#ifndef POSTERN_DIALOG_WORLD_H
#define POSTERN_DIALOG_WORLD_H

#include "server/settings.h"
#include "smtp/server.h"

#define WORLD_HOSTNAME "mail.example.org"

/* The listener. */
struct world_setup {
    enum policy_role role;
    enum cert_auth cert_auth;
    enum listener_tls tls;
    bool passwords;         /* the table of README.md */
    unsigned mechanisms;
    enum login_need need;
    unsigned failures_max;  /* 0: no limit */
    unsigned messages, rcpts; /* of an identity in a minute; 0: no limit */
    bool crowded;             /* another session of alice@example.org is all there may be */
    enum authz_rule authz;
    bool aliases; /* the table of README.md holds */
    enum sender_rule sender;
    enum header_from header_from;
    bool allow_clear; /* not require-tls (STLS-10) */
    bool listed_peer; /* the certificate shown is among the peers */
    uint64_t size_max;
    unsigned recipients_max, errors_max, hops_max;
    uint32_t extensions;
    int64_t hold_max; /* seconds */
    unsigned priority_max;
    bool priorities; /* the table of README.md holds */
    enum priority_above priority_above;
    bool refuses_defects;        /* `defects = refuse` */
    const char *complete_domain; /* NULL: none */
    bool busy; /* connections-max is reached */
    const char *besieged; /* an address that has all connections it may have; NULL: none */
    bool xclient; /* from one that may send XCLIENT */
    bool trust; /* CAs of its own, for what a proxy hands over */
    bool proxy; /* the client comes from a host that is listed as a proxy */
    unsigned workarounds;
};

struct world_setup world_default_setup(void);

/* The client connects.  `setup` is borrowed until world_close(). */
void world_open(const struct world_setup *setup);
void world_close(void);

/* What the client sends, in pieces of `piece` octets (0: as a stream reads).  Nothing that was put off happens yet. */
void world_send(struct str octets, size_t piece);
/* What was put off happens: outcomes of `later`, the spool's answers, input that waited. */
void world_settle(void);

/* What the server sent and nobody has taken yet. */
struct buf *world_output(void);
bool world_is_closed(void);

/* The handshake ends, with this certificate (world_certificates() lists them).  False when the server awaits none. */
bool world_handshake(const char *certificate);
const char *const *world_certificates(void);

/* The next time the engine asks this op, the outcome comes later: at world_settle().  False: no such op. */
bool world_later(const char *op);
/* Password checks: "ok", "busy" (the queue is full), "broken" (no answer can be had). */
bool world_checker(const char *mood);
/* "ok", "slow" (takes octets, asks for a pause), "full", "broken", "full-at-commit", "broken-at-commit". */
bool world_spool(const char *mood);
void world_certificate_expires(void);
/* From now on the files say so of the client's certificate: false when there is no such one. */
bool world_certificate_becomes(const char *certificate);
/* An identity or a fingerprint enters the table of the disabled. */
void world_disable(const char *key);
void world_idle_too_long(void);
void world_comes_to_nothing(void); /* the login-timeout is over, if it still holds */
void world_client_leaves(void);
void world_shuts_down(bool now);

/* The messages committed so far; strings live until world_close(). */
size_t world_n_messages(void);
const char *world_message_envelope(size_t i); /* "from=<a@b> to=<c@d>,<e@f> identity=a@b ..." */
struct str world_message_text(size_t i);

/* Log lines, without time and level. */
struct str world_log(void);

#endif
