#include "net/wire.h"

#include "base/clock.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

void wire_init(struct wire *w, int fd)
{
    *w =
        (struct wire){.fd = fd, .alert_in = -1, .alert_out = -1, .active_ms = clock_monotonic_ms()};
}

void wire_close(struct wire *w)
{
    fd_closep(&w->fd);
}

void wire_done(struct wire *w)
{
    wire_close(w);
    /* [rfc5246 7.2.1] A connection that ends without close_notify does not spoil its session. */
    if (w->ssl)
        SSL_set_shutdown(w->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(w->ssl);
    w->ssl = NULL;
}

static ssize_t socket_read(struct wire *w, void *data, size_t len)
{
    if (w->dry)
        return -EAGAIN;
    ssize_t n;
    do {
        n = recv(w->fd, data, len, MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    int error = errno;
    /* A stream socket that gives less than asked for is empty; the loop calls again for more. */
    w->dry = n < (ssize_t)len;
    if (n < 0)
        return -error;
    if (n == 0)
        w->got_fin = true;
    else
        w->active_ms = clock_monotonic_ms();
    return n;
}

static ssize_t socket_write(struct wire *w, const void *data, size_t len)
{
    ssize_t n;
    do {
        n = send(w->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    w->active_ms = clock_monotonic_ms();
    return n;
}

/* OpenSSL's own socket BIO raises SIGPIPE and asks an empty socket twice; hence this one. */
static int bio_result(BIO *bio, ssize_t n, int retry_flag)
{
    BIO_clear_retry_flags(bio);
    if (n >= 0)
        return (int)n;
    if (n == -EAGAIN)
        BIO_set_flags(bio, retry_flag | BIO_FLAGS_SHOULD_RETRY);
    errno = (int)-n; /* what SSL_ERROR_SYSCALL is read with */
    return -1;
}

static int bio_read(BIO *bio, char *data, int len)
{
    ssize_t n = socket_read(BIO_get_data(bio), data, (size_t)MAX(len, 0));
    return bio_result(bio, n, BIO_FLAGS_READ);
}

static int bio_write(BIO *bio, const char *data, int len)
{
    ssize_t n = socket_write(BIO_get_data(bio), data, (size_t)MAX(len, 0));
    return bio_result(bio, n, BIO_FLAGS_WRITE);
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    struct wire *w = BIO_get_data(bio);
    if (command == BIO_CTRL_EOF)
        return w->got_fin;
    return command == BIO_CTRL_FLUSH;
}

static BIO_METHOD *bio_method;

static void make_bio_method(void)
{
    bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "postern wire");
    if (!bio_method || BIO_meth_set_read(bio_method, bio_read) != 1 ||
        BIO_meth_set_write(bio_method, bio_write) != 1 ||
        BIO_meth_set_ctrl(bio_method, bio_ctrl) != 1)
        abort();
}

static void on_ssl_info(const SSL *ssl, int where, int value)
{
    if (!(where & SSL_CB_ALERT))
        return;
    struct wire *w = SSL_get_app_data(ssl);
    int16_t alert = (int16_t)(value & 0xff);
    if (where & SSL_CB_WRITE)
        w->alert_out = alert;
    else if (alert == SSL_AD_CLOSE_NOTIFY)
        w->got_notify = true;
    else
        w->alert_in = alert;
}

static int on_certificate_request(SSL *ssl, void *arg)
{
    (void)ssl;
    ((struct wire *)arg)->asked = true;
    return 1;
}

bool wire_tls_begin(struct wire *w, struct tls_context *c, const char *name)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, make_bio_method);
    ERR_clear_error();
    SSL *ssl = tls_open(c, name);
    BIO *bio = ssl ? BIO_new(bio_method) : NULL;
    if (!bio) {
        SSL_free(ssl);
        return false;
    }
    BIO_set_data(bio, w);
    BIO_set_init(bio, 1);
    SSL_set_bio(ssl, bio, bio);
    (void)SSL_set_app_data(ssl, w);
    SSL_set_info_callback(ssl, on_ssl_info);
    if (!SSL_is_server(ssl)) /* which is called for its own certificate */
        SSL_set_cert_cb(ssl, on_certificate_request, w);
    w->ssl = ssl;
    w->tls = true;
    return true;
}

static void describe_failure(struct wire *w, char *why)
{
    if (w->alert_in >= 0) {
        (void)snprintf(why, WIRE_WHY_MAX, "the peer sent TLS alert %s",
                       tls_alert_name(w->alert_in));
        ERR_clear_error();
        return;
    }
    char reason[128], alert[64] = "";
    const char *verify = tls_verify_words(w->ssl);
    tls_error_words(reason, sizeof(reason));
    if (w->alert_out > SSL_AD_CLOSE_NOTIFY)
        (void)snprintf(alert, sizeof(alert), " (TLS alert %s sent)", tls_alert_name(w->alert_out));
    (void)snprintf(why, WIRE_WHY_MAX, "%s%s%s%s", reason, *verify ? ": " : "", verify, alert);
}

/* What a failed SSL call means in terms of this header; `error` is errno right after it. */
static int ssl_failure(struct wire *w, int n, int error, char *why)
{
    switch (SSL_get_error(w->ssl, n)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return -EAGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        if (w->got_fin)
            return 0;
        return error ? -error : -ECONNRESET;
    default:
        describe_failure(w, why);
        return -EPROTO;
    }
}

/* ERR_clear_error() goes through its whole queue each time, and there is hardly ever anything in it. */
static void forget_errors(void)
{
    if (ERR_peek_error())
        ERR_clear_error();
    errno = 0;
}

ssize_t wire_read(struct wire *w, void *data, size_t len, char *why)
{
    if (!w->tls)
        return socket_read(w, data, len);
    forget_errors();
    int n = SSL_read(w->ssl, data, (int)MIN(len, (size_t)INT32_MAX));
    return n > 0 ? n : ssl_failure(w, n, errno, why);
}

ssize_t wire_write(struct wire *w, const void *data, size_t len, char *why)
{
    if (!w->tls)
        return socket_write(w, data, len);
    forget_errors();
    int n = SSL_write(w->ssl, data, (int)MIN(len, (size_t)INT32_MAX));
    if (n > 0)
        return n;
    int r = ssl_failure(w, n, errno, why);
    return r ? r : -EPIPE;
}

bool wire_has_pending(const struct wire *w)
{
    return w->tls && SSL_has_pending(w->ssl) == 1;
}

int wire_handshake(struct wire *w, bool *ret_wants_write, char *why)
{
    forget_errors();
    int n = SSL_do_handshake(w->ssl);
    if (n == 1)
        return 0;
    int r = ssl_failure(w, n, errno, why);
    if (r == -EAGAIN)
        *ret_wants_write = SSL_want_write(w->ssl);
    if (r == -EAGAIN || r == -EPROTO)
        return r;
    (void)snprintf(why, WIRE_WHY_MAX, "the peer closed the connection during the TLS handshake%s%s",
                   r ? ": " : "", r ? strerror(-r) : "");
    return -EPROTO;
}

int wire_say_goodbye(struct wire *w)
{
    if (!w->tls || !SSL_is_init_finished(w->ssl))
        return 0;
    ERR_clear_error();
    int n = SSL_shutdown(w->ssl);
    bool blocked = n < 0 && SSL_get_error(w->ssl, n) == SSL_ERROR_WANT_WRITE;
    ERR_clear_error();
    return blocked ? -EAGAIN : 0;
}
