/* floor - what the machine itself asks for the two things a submission cannot do without.
 *
 *     floor handshake CA CERTIFICATE KEY CLIENT-CERTIFICATE CLIENT-KEY SESSIONS
 *     floor commit FILE MESSAGES
 *     floor paced RATE FILE MESSAGES
 *
 * handshake  bare OpenSSL on blocking sockets of the loopback: accept, mutual TLS 1.3 with one ticket and the chain of the
 *            client verified, close_notify, close.  CPU of the serving thread a session, kernel included, of full and of
 *            resumed ones.  No SMTP is spoken.
 * commit     4 KiB appended for each message to a file that lies allocated, one fdatasync for every 64: CPU a
 *            message, and how long an fdatasync takes.
 * paced      the same with RATE messages a second, each due at its time; those that are due when an fdatasync ends share
 *            the next one.  How long it takes from when a message is due until it is on the disk.
 *
 * Prints JSON.  Part of bench/compare; links nothing of the server.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WARM_UP 50
#define MESSAGE_SIZE 4096
#define GROUP 64
#define FILE_MESSAGES 4096 /* then from its start again: 16 MiB, as a log that is checkpointed */

static _Noreturn void die(const char *what)
{
    (void)fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
    ERR_print_errors_fp(stderr);
    exit(1);
}

static int64_t now_ns(clockid_t clock)
{
    struct timespec ts;
    if (clock_gettime(clock, &ts) < 0)
        die("clock");
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Sorts; the value that a share of them do not pass. */
static double percentile_us(int64_t *ns, size_t n, double share)
{
    qsort(ns, n, sizeof(*ns), compare);
    return (double)ns[(size_t)((double)(n - 1) * share)] / 1000;
}

/* ---- handshake ---- */

struct server {
    SSL_CTX *ctx;
    int fd;
    size_t sessions;
    int64_t cpu_ns;
    size_t resumed;
};

static void load(SSL_CTX *ctx, const char *certificate, const char *key)
{
    if (SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        die(certificate);
}

static SSL_CTX *make_context(const SSL_METHOD *method, const char *ca)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (!ctx || SSL_CTX_load_verify_file(ctx, ca) != 1)
        die(ca);
    (void)SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return ctx;
}

static void serve_one(struct server *s)
{
    int fd = accept(s->fd, NULL, NULL);
    SSL *ssl = SSL_new(s->ctx);
    if (fd < 0 || !ssl || SSL_set_fd(ssl, fd) != 1)
        die("accept");
    if (SSL_accept(ssl) != 1)
        die("handshake");
    s->resumed += SSL_session_reused(ssl) == 1;
    (void)SSL_shutdown(ssl);
    SSL_free(ssl);
    (void)close(fd);
}

static void *serve(void *arg)
{
    struct server *s = arg;
    for (size_t i = 0; i < WARM_UP; i++)
        serve_one(s);
    int64_t from = now_ns(CLOCK_THREAD_CPUTIME_ID);
    for (size_t i = 0; i < s->sessions; i++)
        serve_one(s);
    s->cpu_ns = now_ns(CLOCK_THREAD_CPUTIME_ID) - from;
    return NULL;
}

static SSL_SESSION *newest;

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(newest);
    newest = session;
    return 1;
}

static void visit(SSL_CTX *ctx, const struct sockaddr_in *to, bool resume)
{
    char rest[16];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    SSL *ssl = SSL_new(ctx);
    if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
        die("connect");
    if (!ssl || SSL_set_fd(ssl, fd) != 1 || (resume && newest && SSL_set_session(ssl, newest) != 1))
        die("session");
    if (SSL_connect(ssl) != 1)
        die("handshake");
    while (SSL_read(ssl, rest, sizeof(rest)) > 0) /* the ticket, then close_notify */
        ;
    (void)SSL_shutdown(ssl);
    SSL_free(ssl);
    (void)close(fd);
}

static int listen_on_loopback(struct sockaddr_in *ret)
{
    socklen_t len = sizeof(*ret);
    *ret = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)ret, len) < 0 || listen(fd, 8) < 0 ||
        getsockname(fd, (struct sockaddr *)ret, &len) < 0)
        die("listen");
    return fd;
}

/* CPU of the server a session, in microseconds. */
static double run_sessions(char **files, size_t sessions, bool resume)
{
    struct sockaddr_in address;
    struct server s = {.ctx = make_context(TLS_server_method(), files[0]),
                       .fd = listen_on_loopback(&address),
                       .sessions = sessions};
    SSL_CTX *client = make_context(TLS_client_method(), files[0]);
    pthread_t thread;
    load(s.ctx, files[1], files[2]);
    load(client, files[3], files[4]);
    (void)SSL_CTX_set_session_id_context(s.ctx, (const unsigned char *)"floor", 5);
    (void)SSL_CTX_set_num_tickets(s.ctx, 1);
    SSL_CTX_set_session_cache_mode(s.ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_cache_mode(client, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client, keep_session);
    if (pthread_create(&thread, NULL, serve, &s) != 0)
        die("thread");
    for (size_t i = 0; i < WARM_UP + sessions; i++)
        visit(client, &address, resume);
    (void)pthread_join(thread, NULL);
    if (s.resumed < (resume ? sessions : 0))
        die("a session was not resumed");
    SSL_SESSION_free(newest);
    newest = NULL;
    SSL_CTX_free(s.ctx);
    SSL_CTX_free(client);
    (void)close(s.fd);
    return (double)s.cpu_ns / 1000 / (double)sessions;
}

static void measure_handshake(char **files, size_t sessions)
{
    double full = run_sessions(files, sessions, false);
    double resumed = run_sessions(files, sessions, true);
    (void)printf("{\"full_us\": %.1f, \"resumed_us\": %.1f}\n", full, resumed);
}

/* ---- commit ---- */

static void put(int fd, const char *message, size_t i)
{
    if (pwrite(fd, message, MESSAGE_SIZE, (off_t)(i % FILE_MESSAGES) * MESSAGE_SIZE) != MESSAGE_SIZE)
        die("write");
}

static int64_t sync_ns(int fd)
{
    int64_t from = now_ns(CLOCK_MONOTONIC);
    if (fdatasync(fd) < 0)
        die("fdatasync");
    return now_ns(CLOCK_MONOTONIC) - from;
}

static char message[MESSAGE_SIZE];

static int open_written(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0)
        die(path);
    memset(message, 'x', sizeof(message));
    for (size_t i = 0; i < FILE_MESSAGES; i++)
        put(fd, message, i);
    (void)sync_ns(fd);
    return fd;
}

static int64_t *times(size_t n)
{
    int64_t *p = calloc(n, sizeof(*p));
    if (!p)
        die("memory");
    return p;
}

static void measure_commit(const char *path, size_t messages)
{
    size_t groups = messages / GROUP;
    int64_t *took = times(groups);
    int fd = open_written(path);
    int64_t from = now_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (size_t g = 0; g < groups; g++) {
        for (size_t i = 0; i < GROUP; i++)
            put(fd, message, g * GROUP + i);
        took[g] = sync_ns(fd);
    }
    int64_t cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID) - from;
    (void)close(fd);
    (void)unlink(path);
    (void)printf("{\"message_us\": %.2f, \"fdatasync_p50_us\": %.1f, \"fdatasync_p99_us\": %.1f}\n",
                 (double)cpu / 1000 / (double)(groups * GROUP), percentile_us(took, groups, 0.5),
                 percentile_us(took, groups, 0.99));
    free(took);
}

static void sleep_until(int64_t ns)
{
    const struct timespec ts = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL);
}

static void measure_paced(int64_t rate, const char *path, size_t messages)
{
    int64_t *took = times(messages);
    int fd = open_written(path);
    int64_t start = now_ns(CLOCK_MONOTONIC), each = 1000000000 / rate;
    for (size_t done = 0; done < messages;) {
        sleep_until(start + (int64_t)done * each);
        size_t due = (size_t)((now_ns(CLOCK_MONOTONIC) - start) / each) + 1, first = done;
        for (; done < due && done < messages; done++)
            put(fd, message, done);
        (void)sync_ns(fd);
        int64_t now = now_ns(CLOCK_MONOTONIC);
        for (size_t i = first; i < done; i++)
            took[i] = now - (start + (int64_t)i * each);
    }
    (void)close(fd);
    (void)unlink(path);
    (void)printf("{\"paced_p50_us\": %.1f, \"paced_p99_us\": %.1f}\n", percentile_us(took, messages, 0.5),
                 percentile_us(took, messages, 0.99));
    free(took);
}

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN);
    size_t n = argc > 2 ? strtoul(argv[argc - 1], NULL, 10) : 0;
    if (argc == 8 && strcmp(argv[1], "handshake") == 0 && n > 0)
        measure_handshake(argv + 2, n);
    else if (argc == 4 && strcmp(argv[1], "commit") == 0 && n >= GROUP)
        measure_commit(argv[2], n);
    else if (argc == 5 && strcmp(argv[1], "paced") == 0 && n > 0 && strtol(argv[2], NULL, 10) > 0)
        measure_paced(strtol(argv[2], NULL, 10), argv[3], n);
    else {
        (void)fprintf(stderr, "usage: floor handshake CA CERTIFICATE KEY CLIENT-CERTIFICATE CLIENT-KEY SESSIONS\n"
                              "       floor commit FILE MESSAGES\n"
                              "       floor paced RATE FILE MESSAGES\n");
        return 64;
    }
    return 0;
}
