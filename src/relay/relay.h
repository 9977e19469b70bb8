/* relay.h - deliveries: takes messages from the spool, carries them to their next hops, tells the spool.
 *
 * One thread, one loop.  A message's targets are grouped by route; one delivery serves all recipients of a
 * message that share a next hop.  Connections are kept and used again, bounded per next hop and in all.
 * A 4yz or a lost connection defers with back-off and jitter (REL-04, REL-05), a 5yz or the age limit ends in a
 * report to the reverse-path (REL-06, I4), or, for the null reverse-path, in the postmaster's log line and, if
 * configured, mailbox.  A next hop that cannot be reached is remembered, so that the others do not wait for it.
 */
#ifndef POSTERN_RELAY_H
#define POSTERN_RELAY_H

#include "link/timeouts.h"
#include "net/tls.h"
#include "spool/spool.h"

enum route_kind { ROUTE_SMTP, ROUTE_LMTP, ROUTE_MAILDIR, ROUTE_DISCARD };
enum route_tls { ROUTE_TLS_OPPORTUNISTIC, ROUTE_TLS_REQUIRE, ROUTE_TLS_VERIFY, ROUTE_TLS_OFF };
enum route_login {
    ROUTE_LOGIN_NONE,
    ROUTE_LOGIN_AUTO, /* with what there is: certificate, password */
    ROUTE_LOGIN_EXTERNAL,
    ROUTE_LOGIN_IMPLICIT,
    ROUTE_LOGIN_SCRAM,
    ROUTE_LOGIN_PLAIN,
};

struct route_config {
    const char *domain;   /* lower case; "default" for everything else */
    enum route_kind kind;
    const char *host, *port; /* smtp, lmtp over TCP */
    const char *path;        /* lmtp: UNIX socket; maildir: template with %u (local part), %d (domain) */
    enum route_tls tls;
    bool tls_implicit;       /* TLS from the first octet */
    const char *tls_name;    /* name to verify; NULL: host */
    const char *ca, *certificate, *key; /* key NULL: beside the certificate */
    const char *key_password_file;      /* NULL: none is needed */
    enum route_login login;
    const char *user, *password_file; /* both or neither, and only with ROUTE_TLS_VERIFY */
    unsigned connections_max; /* 0: 8 */
};

struct relay_config { /* must stay as it is until relay_stop() */
    const char *hostname;
    const struct route_config *routes;
    size_t n_routes;
    int64_t retry_min_ms, retry_max_ms; /* back-off between; 0: 5 min, 4 h */
    int64_t expire_ms;                  /* 0: 5 days */
    int64_t delay_warning_ms;           /* 0: no notice of delay unless NOTIFY=DELAY asked */
    unsigned deliveries_max;            /* messages in hand; 0: 256 */
    bool bounces_8bit; /* `downgrade = bounce`: not converted for a next hop that takes 7-bit only */
    const char *postmaster;             /* where failed reports go; NULL: log only */
    struct link_timeouts timeouts;
};

struct relay;

/* Checks routes and loads certificates and passwords; `why` as in tls.h.  Starts the thread; the spool's messages come by spool_attach(). */
MUST_USE int relay_start(const struct relay_config *cfg, struct spool *sp, struct relay **ret, char *why);
/* Finishes what is in flight within grace_ms, gives back the rest, stops the thread.  Before spool_close(). */
void relay_stop(struct relay *r, int64_t grace_ms);

/* Loads what has changed of the trust anchors, certificates, keys and passwords of the routes, or `all` of it (SIGHUP); connections made
 * from then on use it.  What cannot be loaded keeps what was there before, and one log line says why.  Adds to the counts
 * of next hops.  Reads files: the thread that started the relay. */
void relay_refresh(struct relay *r, bool all, unsigned *loaded, unsigned *failed);

/* Does any route take this domain?  Any thread (the routes do not change). */
bool relay_has_route(const struct relay *r, struct str domain);

#endif
