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
    unsigned workers;
    const struct listener_config *listeners;
    size_t n_listeners;
    const struct trust_config *trusts;
    size_t n_trusts;
    const struct identity_config *identities;
    size_t n_identities;
    struct message_config message;
    const struct route_config *routes; /* named domains are ours on a relay listener */
    size_t n_routes;
    const char *postmaster; /* what <Postmaster> without a domain stands for; NULL: postmaster@hostname */
};

#define SERVICE_WHY_MAX 512
MUST_USE int service_new(const struct service_config *cfg, struct service **ret, char *why);
MUST_USE int service_start(struct service *sv, struct spool *sp, struct relay *relay, char *why);

/* Loads certificates, keys, trust anchors and CRLs again (SIGHUP, TLS-16).  Sessions go on with what they began
 * with; a file that is broken keeps the old ones of its listener, and `why` names it. Any thread. */
MUST_USE int service_reload(struct service *sv, char *why);

/* Picks up every table that has changed; blocks on files, so the main thread calls it, from time to time.  Returns how
 * many are new; what cannot be read is logged. */
unsigned service_refresh(struct service *sv);

/* Accepts no more, tells idle clients 421 4.3.2, lets what is in flight finish for at most grace_ms, then ends every
 * session and its threads.  Before relay_stop() and spool_close(). NULL is fine. */
void service_stop(struct service *sv, int64_t grace_ms);
/* After spool_close(): a commit under way when its session was ended still finds the loop it reports to. */
void service_free(struct service *sv); /* NULL is fine */

#endif
