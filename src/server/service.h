/* service.h - the submission service: listeners, workers, sessions.
 *
 * service_new() loads certificates and binds sockets, as the user who may; service_start() makes the worker
 * threads, each with its own loop and its own sessions; nothing blocks a worker.  Between the two the
 * privileges are dropped and spool and relay opened.
 * Owns everything it makes; borrows the configuration until service_free(), spool and relay until service_stop() returned.
 */
#ifndef POSTERN_SERVICE_H
#define POSTERN_SERVICE_H

#include "relay/relay.h"
#include "server/settings.h"
#include "spool/spool.h"

struct service;

struct service_config {
    const char *hostname;
    uid_t account; /* that serves, once we are root no more */
    unsigned workers;
    const struct listener_config *listeners;
    size_t n_listeners;
    const struct trust_config *trusts;
    size_t n_trusts;
    const struct identity_config *identities;
    size_t n_identities;
    const struct limits_config *limits;
    size_t n_limits;
    const struct passwords_config *passwords;
    size_t n_passwords;
    unsigned auth_threads;
    int64_t ocsp_timeout_ms; /* how long a responder may take */
    struct message_config message;
    const struct route_config *routes; /* named domains are ours on a relay listener */
    size_t n_routes;
    int64_t ticket_key_lifetime_ms;
    unsigned sessions_cached; /* TLS sessions; 0: they are sealed in tickets */
    const char *postmaster; /* what <Postmaster> without a domain stands for; NULL: postmaster@hostname */
};

#define SERVICE_WHY_MAX 512
MUST_USE int service_new(const struct service_config *cfg, struct service **ret, char *why);
MUST_USE int service_start(struct service *sv, struct spool *sp, struct relay *relay, char *why);

struct service_refreshed {
    unsigned loaded, failed; /* trust blocks, server certificates, tables */
};

/* Loads whatever has changed of certificates, keys, trust anchors, revocation lists and tables, or `all` of it (SIGHUP,
 * TLS-16).  No session ends by it but those whose client is not welcome any more (EDG-18).  What cannot be loaded keeps
 * what was there before; one log line for each change names the file.  The thread that made the service. */
void service_refresh(struct service *sv, bool all, struct service_refreshed *ret);

/* Appends the counters of every listener in the Prometheus text format, and what goes out of date when.  The thread that
 * made the service. */
MUST_USE int service_metrics(struct service *sv, struct buf *out);

/* Accepts no more, tells idle clients 421 4.3.2, lets what is in flight finish for at most grace_ms, then ends every
 * session and its threads.  Before relay_stop() and spool_close(). NULL is fine. */
void service_stop(struct service *sv, int64_t grace_ms);
/* After spool_close(): a commit under way when its session was ended still finds the loop it reports to. */
void service_free(struct service *sv); /* NULL is fine */

#endif
