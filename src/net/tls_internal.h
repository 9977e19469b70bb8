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

/* Sessions by their id, the newest `max`.  Any thread. */
struct tls_cache;
struct tls_cache *tls_cache_new(uint32_t max);
void tls_cache_free(struct tls_cache *c);                                /* NULL is fine */
void tls_cache_put(struct tls_cache *c, struct ssl_session_st *session); /* takes it */
/* The caller's own copy; NULL: there is none, or no memory. */
struct ssl_session_st *tls_cache_get(struct tls_cache *c, const unsigned char *id, size_t len);
void tls_cache_drop(struct tls_cache *c, const unsigned char *id, size_t len);
void tls_cache_sweep(struct tls_cache *c, int64_t now_s); /* those whose time is over */

/* ---- tls_own.c: certificate and key of ours ---- */

struct tls_own {
    const char *certificate, *key; /* as in tls_client_config */
    struct str passphrase;
    const char *passphrase_file;
    uid_t reader;
};

/* A file or URI as complaints may show it. */
struct str tls_own_shown(const char *where);
MUST_USE int tls_own_load(struct ssl_ctx_st *ctx, const struct tls_own *own, char *why);
MUST_USE int tls_own_load_anchors(struct ssl_ctx_st *ctx, const char *ca, char *why);
/* 0, or the errno with words that name the file. */
MUST_USE int tls_check_readable(const char *path, const char *what, char *why);
/* Writes TLS_WHY_MAX octets at most, empties the queue of errors, returns `error`. */
int tls_complain(char *why, int error, const char *fmt, ...) PRINTF(3, 4);

/* ---- tls_verify.c: whom we talk to ---- */

#define TLS_PIN_LEN 32

struct tls_pins {
    unsigned char (*sha256)[TLS_PIN_LEN];
    size_t n;
    bool alone; /* nothing else is looked at */
};

MUST_USE int tls_pins_parse(struct tls_pins *p, const char *const *texts, size_t n, char *why);
/* The context verifies servers, and by these pins; takes *p and what it holds. */
void tls_verify_use(struct ssl_ctx_st *ctx, struct tls_pins *p);
/* Why the peer's certificate was refused, a server's with what is to blame; "" when it was not. */
#define TLS_VERIFY_WORDS_MAX 320
const char *tls_verify_words(const struct ssl_st *ssl);

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
