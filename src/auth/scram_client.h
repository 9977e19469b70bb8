/* scram_client.h - the client's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677).  Pure.
 *
 *     scram_client_first()    who we are, and whether we bind to the channel
 *     scram_client_proof()    the answer to the server's salt: a proof that we know the password
 *     scram_client_check()    the server's signature: a proof that it knows the keys
 *
 * Only after the last one has anybody been logged in anywhere.
 */
#ifndef POSTERN_SCRAM_CLIENT_H
#define POSTERN_SCRAM_CLIENT_H

#include "base/buf.h"

/* What a server may ask us to compute: below, the proof would be cheap to guess the password from (RFC 7677 section 4);
 * above, it only keeps us busy. */
#define SCRAM_CLIENT_ITERATIONS_MIN 4096
#define SCRAM_CLIENT_ITERATIONS_MAX 1000000

enum scram_binding {
    SCRAM_UNBOUND, /* "n": we cannot bind */
    SCRAM_NOT_OFFERED, /* "y": we could, and the server did not offer to (CB-04) */
    SCRAM_EXPORTER,  /* "p": the -PLUS mechanism, bound by tls-exporter (CB-01) */
    SCRAM_END_POINT, /* likewise, by tls-server-end-point (CB-05) */
};

struct scram_login {
    struct str user, password, authzid; /* as typed; authzid empty: none */
    enum scram_binding binding;
    struct str channel; /* what the connection is called by that; read when bound */
    struct str nonce;    /* ours: printable, without comma, never used before */
};

struct scram_client;

/* Copies what it needs, and wipes it in _free().  NULL: a name or the password cannot be prepared (AUTH-26), or is too long. */
struct scram_client *scram_client_new(const struct scram_login *login);
void scram_client_free(struct scram_client *s); /* NULL is fine */

MUST_USE int scram_client_first(struct scram_client *s, struct buf *out);
/* -EINVAL: no such message; -ERANGE: an iteration count out of bounds; -EPERM: the nonce is not an answer to ours. */
MUST_USE int scram_client_proof(struct scram_client *s, struct str challenge, struct buf *out);
/* -EACCES: the signature is not that of somebody who knows the password; -EINVAL. */
MUST_USE int scram_client_check(struct scram_client *s, struct str challenge);
/* Has the check been passed? */
bool scram_client_is_proved(const struct scram_client *s);

#endif
