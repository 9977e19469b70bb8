/* What workers share of TLS: contexts, tickets and their keys, the cache of sessions, a client's newest session.  With the thread
 * sanitizer (tools/check threads) this shows what is not locked. */
#include "netkit.h"

#include "base/clock.h"
#include "net/tls_internal.h"

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdatomic.h>

#define THREADS 3
#define SESSIONS 30 /* of each thread */
#define LIFETIME_MS 60000
#define NAME "mail.example.org"

static struct identity ca, server_id, client_id;

struct shared {
    struct tls_context *servers[2], *client; /* two listeners' */
    atomic_uint begun, ended, resumed, failed;
};

/* Relaxed, or counting would put in order what nothing else does, and hide that from the sanitizer. */
static void count(atomic_uint *n, bool more)
{
    (void)atomic_fetch_add_explicit(n, more, memory_order_relaxed);
}

static unsigned counted(const atomic_uint *n)
{
    return atomic_load_explicit(n, memory_order_relaxed);
}

/* Both ends in step; false: they do not come together. */
static bool shake_hands(SSL *server, SSL *client)
{
    for (int i = 0; i < 10; i++) {
        int c = SSL_do_handshake(client), s = SSL_do_handshake(server);
        if (c == 1 && s == 1)
            return true;
    }
    return false;
}

/* Under TLS 1.3 the ticket comes before the octet. */
static bool hear(SSL *server, SSL *client)
{
    char octet = 0;
    return SSL_write(server, "x", 1) == 1 && SSL_read(client, &octet, 1) == 1 && octet == 'x';
}

static void leave(SSL *ssl)
{
    SSL_set_shutdown(ssl,
                     SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* else the session is spoilt */
    SSL_free(ssl);
}

static void have_session(struct shared *sh, struct tls_context *sc)
{
    SSL *server = tls_open(sc, NULL), *client = tls_open(sh->client, NAME);
    BIO *a = NULL, *b = NULL;
    bool good = BIO_new_bio_pair(&a, 0, &b, 0) == 1;
    SSL_set_bio(server, a, a);
    SSL_set_bio(client, b, b);
    good = good && shake_hands(server, client) && hear(server, client);
    count(&sh->failed, !good);
    count(&sh->resumed, good && SSL_session_reused(server) == 1);
    leave(client);
    leave(server);
}

static void *work(void *arg)
{
    struct shared *sh = arg;
    for (unsigned i = 0; i < SESSIONS; i++) {
        count(&sh->begun, true);
        have_session(sh, sh->servers[i % ARRAY_LEN(sh->servers)]);
    }
    count(&sh->ended, true);
    return NULL;
}

static void contexts_open(struct shared *sh, struct tls_tickets *t)
{
    char why[TLS_WHY_MAX];
    struct tls_server_config sc = {.certificate = server_id.cert_file,
                                   .key = server_id.key_file,
                                   .client_certificate = TLS_CLIENT_CERT_REQUEST,
                                   .session_context = "submission",
                                   .tickets = t};
    struct tls_client_config cc = {.ca = ca.cert_file,
                                   .certificate = client_id.cert_file,
                                   .key = client_id.key_file,
                                   .verify = TLS_VERIFY_NAME,
                                   .resume = true};
    for (size_t i = 0; i < ARRAY_LEN(sh->servers); i++)
        assert_int_equal(tls_server_context_new(&sc, &sh->servers[i], why), 0);
    assert_int_equal(tls_client_context_new(&cc, &sh->client, why), 0);
}

/* As the main thread does it, but a lifetime of the keys passes every few sessions. */
static void turn_keys(struct shared *sh, struct tls_tickets *t)
{
    unsigned next = 0;
    while (counted(&sh->ended) < THREADS) {
        tls_tickets_turn(t);
        if (counted(&sh->begun) < next)
            continue;
        next += 4 * THREADS;
        tls_tickets_turn_at(t, clock_monotonic_ms() + (int64_t)next * LIFETIME_MS);
    }
}

static void threads_share(uint32_t cached)
{
    struct tls_tickets *t = tls_tickets_new(LIFETIME_MS, cached);
    struct shared sh = {0};
    pthread_t threads[THREADS];
    contexts_open(&sh, t);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work, &sh), 0);
    turn_keys(&sh, t);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(counted(&sh.failed), 0);
    assert_true(counted(&sh.resumed) > THREADS * SESSIONS / 2);
    tls_context_unref(sh.client);
    for (size_t i = 0; i < ARRAY_LEN(sh.servers); i++)
        tls_context_unref(sh.servers[i]);
    tls_tickets_unref(t);
}

static void threads_share_tickets(void **state)
{
    (void)state;
    threads_share(0);
}

/* So few that each soon makes room for another. */
static void threads_share_sessions(void **state)
{
    (void)state;
    threads_share(8);
}

static int setup(void **state)
{
    (void)state;
    netkit_dir_make();
    ca = identity_make("ca", NULL, NULL);
    server_id = identity_make("server", "DNS:" NAME, &ca);
    client_id = identity_make("client", "email:alice@example.org", &ca);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    identity_done(&client_id);
    identity_done(&server_id);
    identity_done(&ca);
    netkit_dir_remove();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_share_tickets),
        cmocka_unit_test(threads_share_sessions),
    };
    return cmocka_run_group_tests_name("tls_threads", tests, setup, teardown);
}
