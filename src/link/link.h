/* link.h - one client session at work: the engine of smtp/client.h over a stream.
 *
 * The one place where a client session meets the network: deliveries, `postern send` and `postern bench` use it.
 * It connects, begins TLS, carries octets both ways, keeps the time limits of each stage, and says in words how
 * the session ended; what is sent, and when, is its user's.
 *
 *     link_open -> (secured) -> ready -> link_send -> text... -> recipient... -> finished -> ready ... -> ended
 *
 * Life      On the loop's thread.  `ended` comes exactly once and is the last call: it may come inside link_send(),
 *           _text(), _quit() and _stop(), never inside link_open().  A certificate of ours that is out of date ends the link
 *           without a connection (CERT-22).  The link frees itself after it, at the end of the
 *           turn.  link_drop() is the other way to be rid of it.
 * Ops       `ready`, `recipient`, `finished`, `sent` and `received` come while the engine works: link_send() and link_quit()
 *           may be called there, as said at smtp/client.h.  `secured`, `text` and `ended` come outside of it.
 * Again     A server that closes after a refused AUTH, while the account permits another form, is called again by the link
 *           itself: at most once for each refusal.
 * Never     A connection in the clear where TLS was asked for, another one without the certificate (EDG-22).
 */
#ifndef POSTERN_LINK_H
#define POSTERN_LINK_H

#include "link/timeouts.h"
#include "net/stream.h"
#include "smtp/client.h"

struct link;

struct link_config {         /* borrowed for the life of the link */
    const char *host, *port;
    const char *path;        /* UNIX socket, when host is NULL */
    struct tls_context *tls; /* NULL: never */
    const char *tls_name;    /* for SNI and verification; NULL: host */
    bool tls_implicit;       /* from the first octet */
    struct link_timeouts timeouts;
    struct smtp_client_config smtp; /* with the ways to log in that the account permits */
    /* For SMTP_LOGIN_SCRAM and _PLAIN; whoever read the password wipes it. */
    const char *user;
    struct str password;
};

struct link_ops {
    /* TLS is up; comes again with each connection.  May be NULL. */
    void (*secured)(void *ctx, const struct tls_facts *facts);
    /* A message may be sent, or link_quit() called: now or later. */
    void (*ready)(void *ctx);
    /* Push the text from octet `offset` on by link_text(), now or later, until that takes no more; then it is asked again. */
    void (*text)(void *ctx, uint64_t offset);
    void (*recipient)(void *ctx, size_t i, const struct smtp_outcome *o);
    void (*finished)(void *ctx);
    /* The session is over.  With o->ours the text names the cause for a person: who was not reached, what TLS said, which
     * file is to blame; otherwise it is the server's last word. */
    void (*ended)(void *ctx, enum smtp_client_end end, const struct smtp_outcome *o);
    /* The server closed after it had refused one form of login; another is tried on a new connection, a message in hand
     * goes on there.  May be NULL. */
    void (*again)(void *ctx, const struct smtp_outcome *o);
    /* For a trace, no secret in it; may be NULL. */
    void (*sent)(void *ctx, struct str line);
    void (*received)(void *ctx, const struct smtp_answer *a);
};

struct link *link_open(struct loop *l, const struct link_config *cfg, const struct link_ops *ops, void *ctx);

/* As smtp_client_send() and smtp_client_quit(). */
MUST_USE int link_send(struct link *k, const struct smtp_client_message *m, struct smtp_outcome *ret_why);
void link_quit(struct link *k);

/* A piece of the text, at most SMTP_CLIENT_PIECE; `last` ends it.  Outside of the ops that come while the engine works.
 * 0         taken; push on
 * 1         taken, and enough for now: ops->text will ask for the rest
 * -ENOBUFS, -EAGAIN  nothing was taken; ops->text will ask again
 * -EPIPE    nobody wants it any more
 * -EBADMSG, -ENOMEM  the session has ended over it */
MUST_USE int link_text(struct link *k, const char *data, size_t len, bool last);

/* The text of the message in hand cannot be sent after all: its recipients get `o`, with static strings, then `ended` comes. */
void link_give_up(struct link *k, const struct smtp_outcome *o);

/* Ends the session now; `why` becomes the outcome of what is still due, then `ended` comes. */
void link_stop(struct link *k, const char *why);
/* Away with it, without another word: no op is called. */
void link_drop(struct link *k);

bool link_is_ready(const struct link *k);
enum smtp_client_sequence link_sequence(const struct link *k);
const char *link_mechanism(const struct link *k); /* of the AUTH that succeeded; "" for none */
const struct smtp_capabilities *link_capabilities(const struct link *k);
/* What a person should know of how our certificate went; NULL: nothing [rfc8314 8] (CERT-21).  For use in `secured`. */
const char *link_certificate_warning(const struct tls_facts *facts, bool has_certificate);
/* "192.0.2.1", or "unknown" before the connection stands; lives as long as the link. */
const char *link_peer_address(const struct link *k);

#endif
