/* tls_internal.h - what stream.c's wire needs of a tls_context. */
#ifndef POSTERN_TLS_INTERNAL_H
#define POSTERN_TLS_INTERNAL_H

#include "net/tls.h"

struct ssl_st;
struct ssl_ctx_st;
struct ssl_session_st;

/* A connection object that is ready for its handshake, without a transport; NULL when there is no
 * memory or `name` cannot be used.  `name` is for client contexts: where the user set out to go, or
 * NULL. */
struct ssl_st *tls_open(struct tls_context *c, const char *name);

/* A client context keeps the newest session it is given, and its connections may offer that. */
void tls_resume_enable(struct ssl_ctx_st *ctx);
void tls_resume_offer(struct ssl_st *ssl);
/* [rfc8446 4.6.1] No session is kept for longer than seven days, whatever its server says of it (RES-03). */
bool tls_resume_is_fresh(const struct ssl_session_st *session, int64_t now_s);

void tls_tickets_use(struct ssl_ctx_st *ctx, struct tls_tickets *t);
void tls_tickets_turn_at(struct tls_tickets *t, int64_t now_ms); /* monotonic; for tests */

void tls_facts_read(struct ssl_st *ssl, struct tls_facts *ret);

/* The intermediates have served once the certificate is judged, and cost some 4 KiB each while a
 * connection is open.  The certificate itself stays. */
void tls_forget_chain(struct ssl_st *ssl);

/* As the RFCs spell it: "certificate_required". */
const char *tls_alert_name(int alert);

/* Empties this thread's queue of TLS library errors and puts the first, which is the cause, in
 * words. */
void tls_error_words(char *out, size_t size);

#endif
