/* endpoint.h - one listener block at work, shared by all workers.
 *
 * What a reload changes (TLS context, trust anchors) is an immutable, counted snapshot.  A session takes a reference
 * when it begins, and exchanges it for the newest before each command.
 */
#ifndef POSTERN_ENDPOINT_H
#define POSTERN_ENDPOINT_H

#include "base/net_range.h"
#include "base/table.h"
#include "base/watch.h"
#include "server/anchors.h"
#include "server/counters.h"
#include "server/crowd.h"
#include "server/passwords.h"
#include "smtp/server.h"

#include <pthread.h>
#include <stdatomic.h>

struct credentials {
    atomic_uint refs;
    struct tls_context *tls; /* NULL: no TLS on this listener */
    struct cert_trust **trusts;
    size_t n_trusts;
    const struct endpoint *endpoint;
};

struct endpoint {
    const struct listener_config *cfg;
    const struct service_config *service;
    struct smtp_server_config smtp;
    struct cert_rules *rules;
    struct cert_ocsp *ocsp; /* the service's */
    struct table *aliases, *may_act_as, *senders, *priority_table; /* NULL: not set */
    struct authz authz;                           /* reads the first two */
    struct sender_rights sender;                  /* and the third */
    struct lookup priorities;                     /* and the last */
    struct table *disabled_table;
    struct lookup disabled; /* who may not log in: identities and fingerprints of certificates */
    struct passwords *passwords; /* NULL: none are taken; shared, owned by the service */
    struct checker *checker;     /* of the service */
    struct limiter *limits;      /* of an identity; NULL: none; shared, owned by the service */
    pthread_mutex_t lock;
    struct credentials *current; /* under lock */
    /* Of `current`: an open session that has seen another one judges its certificate again (EDG-18). */
    atomic_uint generation;
    struct net_range *proxies, *xclients; /* of cfg, as many */
    struct tls_tickets *tickets;
    struct watch files;     /* certificate, key and passphrase; the main thread's, as is the next */
    enum cert_age said;     /* of the certificate, in the log */
    atomic_uint connections; /* open now */
    struct crowd *crowd;     /* the same by client; NULL: no limit */
    struct counters counters;
};

MUST_USE int endpoint_init(struct endpoint *e,
                           const struct listener_config *cfg,
                           const struct service_config *service,
                           struct anchors *anchors,
                           struct tls_tickets *tickets,
                           char *why);
void endpoint_done(struct endpoint *e);
/* Logs that its own certificate has expired, or soon will; once each.  On the thread of endpoint_refresh(). */
void endpoint_look(struct endpoint *e);
/* After anchors_refresh(), on the same thread.  Loads what has changed, or all; what cannot be loaded stays as it was,
 * which is logged once for each change. */
void endpoint_refresh(struct endpoint *e,
                      struct anchors *anchors,
                      bool all,
                      struct service_refreshed *count);

struct credentials *endpoint_credentials(struct endpoint *e); /* a new reference */
void credentials_unref(struct credentials *c);                /* NULL is fine */

/* The verdict on a presented certificate, as of now. */
void credentials_judge(const struct credentials *c,
                       struct x509_st *leaf,
                       struct stack_st_X509 *chain,
                       struct cert_verdict *ret);

/* What the identity rules make of a CN that a proxy tells; cert_judge_told(). */
void endpoint_judge_name(const struct endpoint *e, const char *common_name, struct cert_verdict *v);

/* Whoever comes from there begins with a PROXY header. */
bool endpoint_lists_proxy(const struct endpoint *e, const char *address);
/* Whoever comes from there may send XCLIENT. */
bool endpoint_lists_xclient(const struct endpoint *e, const char *address);

/* The certificate is among the peers that may relay without AUTH. */
bool endpoint_lists_peer(const struct endpoint *e, const char *fingerprint);

#endif
