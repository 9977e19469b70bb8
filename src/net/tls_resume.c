#include "net/tls_internal.h"

#include "base/clock.h"

#include <openssl/ssl.h>
#include <pthread.h>
#include <string.h>

/* The newest session a client context was given.  Hangs on the SSL_CTX and not on the tls_context, since under
 * TLS 1.3 a ticket comes after the handshake, when the stream has let go of the latter. */
struct shelf {
    pthread_mutex_t lock;
    SSL_SESSION *session; /* under lock; NULL: none yet */
};

static int shelf_index;

static void
free_shelf(void *parent, void *pointer, CRYPTO_EX_DATA *data, int index, long number, void *arg)
{
    (void)parent;
    (void)data;
    (void)index;
    (void)number;
    (void)arg;
    struct shelf *s = pointer;
    if (!s)
        return;
    SSL_SESSION_free(s->session);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}

static void make_index(void)
{
    shelf_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_shelf);
    if (shelf_index < 0)
        abort();
}

/* A copy is kept: the session itself counts as spoilt once its connection ended without close_notify, which [rfc5246
 * 7.2.1] does not ask for, and which happens to whoever is closed on first.  Returns 0: OpenSSL keeps the original. */
static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct shelf *s = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), shelf_index);
    SSL_SESSION *copy = SSL_SESSION_dup(session);
    /* By itself it knows the name only when the server said that it had made use of it. */
    if (!copy ||
        SSL_SESSION_set1_hostname(copy, SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name)) != 1) {
        SSL_SESSION_free(copy);
        return 0;
    }
    (void)pthread_mutex_lock(&s->lock);
    SSL_SESSION *old = s->session;
    s->session = copy;
    (void)pthread_mutex_unlock(&s->lock);
    SSL_SESSION_free(old);
    return 0;
}

void tls_resume_enable(SSL_CTX *ctx)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, make_index);
    struct shelf *s = xcalloc(1, sizeof(*s));
    (void)pthread_mutex_init(&s->lock, NULL);
    if (SSL_CTX_set_ex_data(ctx, shelf_index, s) != 1)
        abort();
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_new_session);
}

#define KEPT_MAX_S ((int64_t)7 * 24 * 3600)

bool tls_resume_is_fresh(const SSL_SESSION *session, int64_t now_s)
{
    return now_s - SSL_SESSION_get_time(session) < KEPT_MAX_S;
}

void tls_resume_offer(SSL *ssl)
{
    struct shelf *s = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), shelf_index);
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)pthread_mutex_lock(&s->lock);
    const char *of = s->session ? SSL_SESSION_get0_hostname(s->session) : NULL;
    /* Elsewhere it would be refused, and tell a stranger that we have been somewhere. */
    bool fits = name ? of && strcmp(name, of) == 0 : !of;
    /* A copy: OpenSSL takes a session of TLS 1.3 for spent once it was used, and not every server gives a new one with
     * each connection. */
    bool fresh = s->session && tls_resume_is_fresh(s->session, clock_wall_ms() / 1000);
    SSL_SESSION *copy = fresh && fits ? SSL_SESSION_dup(s->session) : NULL;
    (void)pthread_mutex_unlock(&s->lock);
    if (copy)
        (void)SSL_set_session(ssl, copy);
    SSL_SESSION_free(copy);
}
