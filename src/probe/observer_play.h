/* observer_play.h - the decisions of one session of a kind: what the session engine asks its owner.  Pure.
 *
 *     struct play p;
 *     play_init(&p, kind, implicit_tls);
 *     engine = smtp_server_new(&cfg, &play_ops, &p, &out);
 *
 * The owner sets `record`, `now_ms` and, once TLS stands, `certificate`; it reads start_tls and ended.  Passwords are never
 * right: nobody's is kept or compared.  Messages are counted and thrown away.
 */
#ifndef POSTERN_PROBE_OBSERVER_PLAY_H
#define POSTERN_PROBE_OBSERVER_PLAY_H

#include "probe/observer_record.h"
#include "smtp/server.h"

enum play_exchange { PLAY_NONE, PLAY_EXTERNAL, PLAY_PLAIN, PLAY_LOGIN_USER, PLAY_LOGIN_PASSWORD };

struct play {
    const struct observer_kind *kind;
    bool implicit_tls;
    struct smtp_server *engine; /* set by the owner, who frees it */
    struct buf *out;            /* the engine's */
    struct record *record;
    int64_t now_ms; /* since the session began; kept up by the owner */

    bool start_tls, ended; /* for the owner to act upon */
    bool logged_in, auth_failed;
    enum play_exchange exchange;
    size_t said; /* octets of `out` the record has seen */
    uint64_t octets;
};

extern const struct smtp_server_ops play_ops;

void play_init(struct play *p, const struct observer_kind *kind, bool implicit_tls);
/* What the engine has answered since the last time goes into the record; before `out` is flushed. */
void play_said(struct play *p);
void play_flushed(struct play *p); /* `out` was emptied */

#endif
