/* netkit.h - what the tests of net/ share: both ends of a connection in one process, and
 * certificates.
 *
 * Every callback stops the loop, so WAIT(condition) looks again after each turn that brought
 * something.  A watchdog ends a test whose condition never comes true.
 */
#ifndef POSTERN_NETKIT_H
#define POSTERN_NETKIT_H

#include "unit.h"

#include "net/listener.h"
#include "net/stream.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define WATCHDOG_MS 30000

static struct loop *loop; /* of the test that runs */
static struct loop_timer *watchdog;

#define WAIT(condition)                                                                            \
    do {                                                                                           \
        while (!(condition))                                                                       \
            loop_run(loop);                                                                        \
    } while (0)

struct turn {
    struct loop_task task;
    bool over;
};

static inline void turn_over(struct loop_task *task)
{
    container_of(task, struct turn, task)->over = true;
    loop_stop(loop);
}

/* So many turns of the loop, without waiting for the network. */
static inline void turns(int n)
{
    while (n--) {
        struct turn turn = {.task.run = turn_over};
        loop_post(loop, &turn.task);
        WAIT(turn.over);
    }
}

/* One end of a connection and all that happened to it. */
struct end {
    struct stream *s;
    struct buf got;
    size_t appetite;                        /* octets eaten at most at one call of input */
    void (*after_input)(struct end *e);     /* may be NULL */
    void (*after_secured)(struct end *e);   /* may be NULL */
    struct tls_context *tls_when_connected; /* outgoing: implicit TLS */
    const char *tls_name;
    int inputs, connects, secures, drains, ends;
    size_t offered; /* at the last call of input */
    enum stream_end end;
    char detail[512];
    struct tls_facts facts;
    struct x509_st *leaf; /* as seen in `secured` */
};

#define END_INIT                                                                                   \
    {                                                                                              \
        .appetite = SIZE_MAX, .got = BUF_INIT(16 * 1024 * 1024)                                    \
    }

static inline size_t end_input(void *ctx, const char *data, size_t len)
{
    struct end *e = ctx;
    assert_int_equal(e->ends, 0);
    size_t n = MIN(len, e->appetite);
    assert_int_equal(buf_append(&e->got, data, n), 0);
    e->inputs++;
    e->offered = len;
    loop_stop(loop);
    if (e->after_input)
        e->after_input(e);
    return n;
}

static inline void end_connected(void *ctx)
{
    struct end *e = ctx;
    e->connects++;
    if (e->tls_when_connected)
        stream_start_tls(e->s, e->tls_when_connected, e->tls_name);
    loop_stop(loop);
}

static inline void end_secured(void *ctx, const struct tls_facts *facts)
{
    struct end *e = ctx;
    e->secures++;
    e->facts = *facts;
    if (e->after_secured)
        e->after_secured(e);
    loop_stop(loop);
}

static inline void end_drained(void *ctx)
{
    ((struct end *)ctx)->drains++;
    loop_stop(loop);
}

static inline void end_ended(void *ctx, enum stream_end end, const char *detail)
{
    struct end *e = ctx;
    e->ends++;
    e->end = end;
    (void)snprintf(e->detail, sizeof(e->detail), "%s", detail);
    loop_stop(loop);
}

static const struct stream_ops end_ops = {
    .input = end_input,
    .connected = end_connected,
    .secured = end_secured,
    .drained = end_drained,
    .ended = end_ended,
};

static inline void end_done(struct end *e)
{
    if (e->s)
        stream_abort(e->s);
    e->s = NULL;
    buf_done(&e->got);
}

static inline void say(struct end *e, const char *text)
{
    assert_int_equal(stream_write(e->s, text, strlen(text)), 0);
}

static inline bool heard(const struct end *e, const char *text)
{
    return str_eq(buf_str(&e->got), str_of(text));
}

static inline void watchdog_barks(void *arg)
{
    (void)arg;
    fail_msg("nothing happened for %d s", WATCHDOG_MS / 1000);
}

static inline int netkit_setup(void **state)
{
    (void)state;
    assert_int_equal(loop_new(&loop), 0);
    watchdog = loop_timer_new(loop, watchdog_barks, NULL);
    loop_timer_set(watchdog, WATCHDOG_MS);
    return 0;
}

static inline int netkit_teardown(void **state)
{
    (void)state;
    loop_timer_free(watchdog);
    loop_free(loop);
    return 0;
}

#define NETTEST(f) cmocka_unit_test_setup_teardown(f, netkit_setup, netkit_teardown)

/* Two streams on a socketpair. */
static inline void end_pair(struct end *a, struct end *b)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    a->s = stream_accepted(loop, fds[0], &end_ops, a);
    b->s = stream_accepted(loop, fds[1], &end_ops, b);
}

/* A stream and a bare, blocking socket at its other end. */
static inline int end_and_socket(struct end *a)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    a->s = stream_accepted(loop, fds[0], &end_ops, a);
    return fds[1];
}

static inline void socket_send(int fd, const void *data, size_t len)
{
    assert_int_equal(send(fd, data, len, MSG_NOSIGNAL), (ssize_t)len);
}

/* Certificates, made anew for every run. */

struct identity {
    X509 *cert;
    EVP_PKEY *key;
    char cert_file[128], key_file[128];
};

static char netkit_dir[64];

static inline void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(ext);
    assert_int_equal(X509_add_ext(cert, ext, -1), 1);
    X509_EXTENSION_free(ext);
}

static inline void identity_write(struct identity *id, const char *name)
{
    (void)snprintf(id->cert_file, sizeof(id->cert_file), "%s/%s.pem", netkit_dir, name);
    (void)snprintf(id->key_file, sizeof(id->key_file), "%s/%s.key", netkit_dir, name);
    FILE *f = fopen(id->cert_file, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, id->cert), 1);
    (void)fclose(f);
    f = fopen(id->key_file, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_PrivateKey(f, id->key, NULL, NULL, 0, NULL, NULL), 1);
    (void)fclose(f);
}

/* Signed by `ca`, or by itself when that is NULL and so a CA. */
static inline struct identity identity_make(const char *name, const char *san, struct identity *ca)
{
    static long serial = 1;
    struct identity id = {.cert = X509_new(), .key = EVP_EC_gen("P-256")};
    assert_non_null(id.cert);
    assert_non_null(id.key);
    X509 *issuer = ca ? ca->cert : id.cert;
    (void)X509_set_version(id.cert, 2);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(id.cert), serial++);
    (void)X509_gmtime_adj(X509_getm_notBefore(id.cert), -3600);
    (void)X509_gmtime_adj(X509_getm_notAfter(id.cert), 24L * 3600);
    (void)X509_NAME_add_entry_by_txt(X509_get_subject_name(id.cert), "CN", MBSTRING_ASC,
                                     (const unsigned char *)name, -1, -1, 0);
    (void)X509_set_issuer_name(id.cert, X509_get_subject_name(issuer));
    (void)X509_set_pubkey(id.cert, id.key);
    add_extension(id.cert, issuer, NID_basic_constraints,
                  ca ? "critical,CA:FALSE" : "critical,CA:TRUE");
    add_extension(id.cert, issuer, NID_subject_key_identifier, "hash");
    add_extension(id.cert, issuer, NID_authority_key_identifier, "keyid:always");
    if (san)
        add_extension(id.cert, issuer, NID_subject_alt_name, san);
    assert_true(X509_sign(id.cert, ca ? ca->key : id.key, EVP_sha256()) > 0);
    identity_write(&id, name);
    return id;
}

static inline void identity_done(struct identity *id)
{
    X509_free(id->cert);
    EVP_PKEY_free(id->key);
    (void)unlink(id->cert_file);
    (void)unlink(id->key_file);
}

static inline void netkit_dir_make(void)
{
    (void)snprintf(netkit_dir, sizeof(netkit_dir), "/tmp/postern-net-XXXXXX");
    assert_non_null(mkdtemp(netkit_dir));
}

static inline void netkit_dir_remove(void)
{
    (void)rmdir(netkit_dir);
}

#endif
