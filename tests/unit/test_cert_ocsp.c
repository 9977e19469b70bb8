/* OCSP against a real `openssl ocsp` responder, and against responders that misbehave. */
#include "test_cert_zoo.h"

#include "base/clock.h"
#include "base/str.h"
#include "cert/judge.h"
#include "cert/ocsp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/ocsp.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct zoo_dir dir;
static struct zoo_cert ca, other_ca, responder, plain;
static char ca_file[160];
static int64_t now_s;

enum { SERIAL_GOOD = 16, SERIAL_REVOKED = 32, SERIAL_UNKNOWN = 48 };

static void write_key(const char *name, EVP_PKEY *key)
{
    FILE *f = fopen(zoo_path(&dir, name), "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
}

static void write_index(void)
{
    FILE *f = fopen(zoo_path(&dir, "index.txt"), "w");
    assert_non_null(f);
    fputs("V\t391231235959Z\t\t10\tunknown\t/CN=good\n"
          "R\t391231235959Z\t261102000000Z\t20\tunknown\t/CN=revoked\n",
          f);
    assert_int_equal(fclose(f), 0);
}

/* These judge by the real clock, as a responder has no other. */
static struct zoo_cert make(const char *cn, const struct zoo_cert *issuer, long serial, const char *eku)
{
    struct zoo_spec s = {.cn = cn,
                         .serial = serial,
                         .eku = eku,
                         .san = "email:alice@example.org",
                         .from = now_s - DAY,
                         .until = now_s + DAY};
    return zoo_make(&s, issuer);
}

static struct zoo_cert make_ca(const char *cn)
{
    struct zoo_spec s = {
        .cn = cn, .bc = "critical,CA:TRUE", .from = now_s - DAY, .until = now_s + DAY};
    return zoo_make(&s, NULL);
}

static int setup(void **state)
{
    (void)state;
    now_s = clock_wall_ms() / 1000;
    zoo_dir_init(&dir);
    ca = make_ca("Staff CA");
    other_ca = make_ca("Other CA");
    responder = make("responder", &ca, 2, "OCSPSigning");
    plain = make("plain", &ca, 3, NULL);
    zoo_write(&dir, "ca.pem", &ca.x, 1, NULL);
    snprintf(ca_file, sizeof(ca_file), "%s", zoo_path(&dir, "ca.pem"));
    zoo_write(&dir, "other.pem", &other_ca.x, 1, NULL);
    zoo_write(&dir, "responder.pem", &responder.x, 1, NULL);
    zoo_write(&dir, "plain.pem", &plain.x, 1, NULL);
    write_key("ca.key", ca.key);
    write_key("other.key", other_ca.key);
    write_key("responder.key", responder.key);
    write_key("plain.key", plain.key);
    write_index();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    zoo_free(&ca);
    zoo_free(&other_ca);
    zoo_free(&responder);
    zoo_free(&plain);
    zoo_dir_done(&dir);
    return 0;
}

/* ---- the real one */

struct openssl {
    pid_t pid;
    int out;
    unsigned port;
};

/* "ACCEPT [::]:39307 PID=13667" */
static unsigned read_port(int fd)
{
    char line[200];
    size_t n = 0;
    while (n + 1 < sizeof(line) && read(fd, line + n, 1) == 1 && line[n] != '\n')
        n++;
    line[n] = '\0';
    char *end = strstr(line, " PID"), *colon;
    if (strncmp(line, "ACCEPT", 6) != 0)
        fail_msg("openssl ocsp said: %s", line);
    if (end)
        *end = '\0';
    colon = strrchr(line, ':');
    return colon ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;
}

static struct openssl openssl_start(const char *signer)
{
    char index[160], ca_path[160], cert[160], key[160];
    int fds[2];
    struct openssl o;
    posix_spawn_file_actions_t actions;
    snprintf(index, sizeof(index), "%s", zoo_path(&dir, "index.txt"));
    snprintf(ca_path, sizeof(ca_path), "%s", ca_file);
    snprintf(cert, sizeof(cert), "%s/%s.pem", dir.path, signer);
    snprintf(key, sizeof(key), "%s/%s.key", dir.path, signer);
    char *argv[] = {(char[]){"openssl"}, (char[]){"ocsp"},     (char[]){"-port"}, (char[]){"0"},
                    (char[]){"-index"},  index,                (char[]){"-CA"},   ca_path,
                    (char[]){"-rsigner"}, cert,                (char[]){"-rkey"}, key,
                    (char[]){"-nmin"},   (char[]){"5"},        (char[]){"-ignore_err"}, NULL};
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, fds[0]);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    assert_int_equal(posix_spawnp(&o.pid, "openssl", &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(fds[1]);
    o.out = fds[0];
    o.port = read_port(o.out);
    return o;
}

static void openssl_stop(struct openssl *o)
{
    int status;
    (void)kill(o->pid, SIGTERM);
    (void)waitpid(o->pid, &status, 0);
    close(o->out);
}

/* ---- one that is played: takes a connection, answers these octets (or nothing), closes */

struct stub {
    int fd;
    unsigned port;
    const unsigned char *body;
    int len;
    bool hang;
    atomic_uint asked;
    pthread_t thread;
};

static void stub_answer(const struct stub *s, int fd)
{
    char in[4096], head[200];
    (void)read(fd, in, sizeof(in));
    int n = snprintf(head, sizeof(head),
                     "HTTP/1.0 200 OK\r\nContent-Type: application/ocsp-response\r\n"
                     "Content-Length: %d\r\n\r\n",
                     s->len);
    (void)!send(fd, head, (size_t)n, MSG_NOSIGNAL);
    (void)!send(fd, s->body, (size_t)s->len, MSG_NOSIGNAL);
}

static void *stub_run(void *arg)
{
    struct stub *s = arg;
    int held = -1;
    for (int fd; (fd = accept(s->fd, NULL, NULL)) >= 0;) {
        atomic_fetch_add(&s->asked, 1);
        if (s->hang) {
            held = fd;
            continue;
        }
        stub_answer(s, fd);
        close(fd);
    }
    if (held >= 0)
        close(held);
    return NULL;
}

static void stub_start(struct stub *s)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(a);
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s->fd >= 0 && bind(s->fd, (struct sockaddr *)&a, len) == 0 &&
                listen(s->fd, 16) == 0 && getsockname(s->fd, (struct sockaddr *)&a, &len) == 0);
    s->port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, stub_run, s), 0);
}

static void stub_stop(struct stub *s)
{
    (void)shutdown(s->fd, SHUT_RDWR);
    (void)pthread_join(s->thread, NULL);
    close(s->fd);
}

/* A signed answer as no openssl ocsp would give it: from..next are seconds from now; next = 0: left out. */
static int make_answer(long serial,
                       const struct zoo_cert *issuer,
                       const struct zoo_cert *signer,
                       int status,
                       long from,
                       long next,
                       unsigned char **ret)
{
    struct zoo_cert leaf = make("alice", issuer, serial, NULL);
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(NULL, leaf.x, issuer->x);
    ASN1_TIME *thisupd = X509_gmtime_adj(NULL, from);
    ASN1_TIME *nextupd = next ? X509_gmtime_adj(NULL, next) : NULL;
    ASN1_TIME *when = X509_gmtime_adj(NULL, -3600);
    assert_true(basic && id && thisupd);
    assert_non_null(OCSP_basic_add1_status(basic, id, status, 0,
                                           status == V_OCSP_CERTSTATUS_REVOKED ? when : NULL,
                                           thisupd, nextupd));
    assert_int_equal(OCSP_basic_sign(basic, signer->x, signer->key, EVP_sha256(), NULL, 0), 1);
    OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    assert_non_null(response);
    *ret = NULL;
    int len = i2d_OCSP_RESPONSE(response, ret);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(thisupd);
    ASN1_TIME_free(nextupd);
    ASN1_TIME_free(when);
    zoo_free(&leaf);
    return len;
}

/* ---- judging */

static struct cert_trust *load(unsigned port, enum cert_ocsp_mode mode)
{
    char url[80], why[CERT_WHY_MAX] = "";
    const char *cas[] = {ca_file};
    struct cert_trust *t = NULL;
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", port);
    struct cert_trust_config cfg = {.name = "staff", .ca = cas, .n_ca = 1, .ocsp = mode, .ocsp_responder = url};
    if (cert_trust_load(&cfg, &t, why) < 0)
        fail_msg("%s", why);
    return t;
}

static struct cert_verdict judge_once(struct cert_ocsp *o, struct cert_trust *t, X509 *leaf)
{
    static const struct cert_rule rule = {.name = "email", .source = CERT_SOURCE_SAN_EMAIL};
    struct cert_verdict v;
    STACK_OF(X509) *chain = sk_X509_new_null();
    struct cert_request rq = {.leaf = leaf, .chain = chain, .trusts = &t, .n_trusts = 1, .rules = &rule,
                              .n_rules = 1, .now_ms = clock_wall_ms(), .ocsp = o};
    cert_judge(&rq, &v);
    sk_X509_free(chain);
    return v;
}

static void told(void *arg)
{
    (void)sem_post(arg);
}

/* As a session does it: judge, wait, judge again. */
static struct cert_verdict judge(struct cert_ocsp *o, struct cert_trust *t, long serial)
{
    struct zoo_cert leaf = make("alice", &ca, serial, NULL);
    struct cert_verdict v = judge_once(o, t, leaf.x);
    sem_t s;
    assert_int_equal(sem_init(&s, 0, 0), 0);
    while (v.cause == CERT_CAUSE_PENDING) {
        assert_int_equal(cert_verify_code(&v), 0); /* the handshake goes on, the session waits */
        int r = cert_ocsp_wait(o, &v, told, &s);
        assert_true(r == 0 || r == -ENOENT);
        while (r == 0 && sem_wait(&s) < 0 && errno == EINTR)
            ;
        cert_verdict_done(&v);
        v = judge_once(o, t, leaf.x);
    }
    (void)sem_destroy(&s);
    zoo_free(&leaf);
    return v;
}

static void expect(const char *name, struct cert_ocsp *o, struct cert_trust *t, long serial, enum cert_cause want)
{
    struct cert_verdict v = judge(o, t, serial);
    if (v.cause != want || (v.outcome == CERT_ACCEPTABLE) != (want == CERT_CAUSE_NONE))
        fail_msg("%s: %s, \"%s\"", name, cert_cause_name(v.cause), v.reason);
    cert_verdict_done(&v);
}

/* ---- tests */

static void test_openssl(void **state)
{
    (void)state;
    static const struct {
        const char *name, *signer;
        long serial;
        enum cert_ocsp_mode mode;
        enum cert_cause want;
    } rows[] = {
        {"CERT-12 good, delegated responder", "responder", SERIAL_GOOD, CERT_OCSP_HARD, CERT_CAUSE_NONE},
        {"CERT-12 good, by the CA", "ca", SERIAL_GOOD, CERT_OCSP_HARD, CERT_CAUSE_NONE},
        {"CERT-12 revoked", "responder", SERIAL_REVOKED, CERT_OCSP_HARD, CERT_CAUSE_REVOKED},
        {"CERT-12 revoked, soft", "responder", SERIAL_REVOKED, CERT_OCSP_SOFT, CERT_CAUSE_REVOKED},
        {"CERT-12 unknown is not good", "responder", SERIAL_UNKNOWN, CERT_OCSP_HARD, CERT_CAUSE_REVOKED},
        {"CERT-12 unknown is not good, soft", "responder", SERIAL_UNKNOWN, CERT_OCSP_SOFT, CERT_CAUSE_REVOKED},
        {"CERT-12 signed by another CA", "other", SERIAL_GOOD, CERT_OCSP_HARD, CERT_CAUSE_NO_OCSP_ANSWER},
        {"CERT-12 signed by another CA, revoked, soft", "other", SERIAL_REVOKED, CERT_OCSP_SOFT, CERT_CAUSE_NONE},
        {"CERT-12 signed without OCSPSigning", "plain", SERIAL_GOOD, CERT_OCSP_HARD, CERT_CAUSE_NO_OCSP_ANSWER},
        {"off asks nobody", "responder", SERIAL_REVOKED, CERT_OCSP_OFF, CERT_CAUSE_NONE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct openssl real = openssl_start(rows[i].signer);
        struct cert_ocsp *o = cert_ocsp_new(2, 20000);
        struct cert_trust *t = load(real.port, rows[i].mode);
        expect(rows[i].name, o, t, rows[i].serial, rows[i].want);
        cert_trust_unref(t);
        cert_ocsp_free(o);
        openssl_stop(&real);
    }
}

static void test_stub(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int status;
        long from, next;
        bool of_other_ca;
        enum cert_cause want;
    } rows[] = {
        {"CERT-13 in date", V_OCSP_CERTSTATUS_GOOD, -60, 3600, false, CERT_CAUSE_NONE},
        {"CERT-13 replayed", V_OCSP_CERTSTATUS_GOOD, -7200, -3600, false, CERT_CAUSE_NO_OCSP_ANSWER},
        {"CERT-13 of the future", V_OCSP_CERTSTATUS_GOOD, 3600, 7200, false, CERT_CAUSE_NO_OCSP_ANSWER},
        {"CERT-13 a clock that runs ahead a little", V_OCSP_CERTSTATUS_GOOD, 120, 7200, false, CERT_CAUSE_NONE},
        {"without nextUpdate, new", V_OCSP_CERTSTATUS_GOOD, -60, 0, false, CERT_CAUSE_NONE},
        {"without nextUpdate, old", V_OCSP_CERTSTATUS_GOOD, -100000, 0, false, CERT_CAUSE_NO_OCSP_ANSWER},
        {"about a certificate of another CA", V_OCSP_CERTSTATUS_GOOD, -60, 3600, true, CERT_CAUSE_NO_OCSP_ANSWER},
        {"revoked", V_OCSP_CERTSTATUS_REVOKED, -60, 3600, false, CERT_CAUSE_REVOKED},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        unsigned char *body;
        int len = make_answer(SERIAL_GOOD, rows[i].of_other_ca ? &other_ca : &ca,
                              rows[i].of_other_ca ? &ca : &responder, rows[i].status, rows[i].from,
                              rows[i].next, &body);
        struct stub s = {.body = body, .len = len};
        stub_start(&s);
        struct cert_ocsp *o = cert_ocsp_new(2, 20000);
        struct cert_trust *t = load(s.port, CERT_OCSP_HARD);
        expect(rows[i].name, o, t, SERIAL_GOOD, rows[i].want);
        expect(rows[i].name, o, t, SERIAL_GOOD, rows[i].want); /* from the cache */
        if (atomic_load(&s.asked) != 1)
            fail_msg("%s: asked %u times", rows[i].name, atomic_load(&s.asked));
        cert_trust_unref(t);
        cert_ocsp_free(o);
        stub_stop(&s);
        OPENSSL_free(body);
    }
}

static void no_answer(const char *name, struct stub *s, unsigned port)
{
    (void)s;
    struct cert_ocsp *o = cert_ocsp_new(1, 300);
    struct cert_trust *hard = load(port, CERT_OCSP_HARD), *soft = load(port, CERT_OCSP_SOFT);
    int64_t began = clock_monotonic_ms();
    expect(name, o, hard, SERIAL_GOOD, CERT_CAUSE_NO_OCSP_ANSWER);
    expect(name, o, soft, SERIAL_GOOD, CERT_CAUSE_NONE);
    assert_true(clock_monotonic_ms() - began < 10000);
    cert_trust_unref(hard);
    cert_trust_unref(soft);
    cert_ocsp_free(o);
}

static void test_no_answer(void **state)
{
    (void)state;
    struct stub dead = {.len = 0}, slow = {.hang = true},
                garbage = {.body = (const unsigned char *)"garbage", .len = 7};
    stub_start(&dead);
    stub_stop(&dead);
    no_answer("dead", &dead, dead.port);
    stub_start(&slow);
    no_answer("slow", &slow, slow.port);
    stub_stop(&slow);
    stub_start(&garbage);
    no_answer("garbage", &garbage, garbage.port);
    stub_stop(&garbage);
}

/* Whoever waits when the service ends is told, and a verdict that is not pending has nothing to wait for. */
static void test_end(void **state)
{
    (void)state;
    struct stub slow = {.hang = true};
    stub_start(&slow);
    struct cert_ocsp *o = cert_ocsp_new(1, 1000);
    struct cert_trust *t = load(slow.port, CERT_OCSP_HARD);
    struct zoo_cert leaf = make("alice", &ca, SERIAL_GOOD, NULL);
    struct cert_verdict v = judge_once(o, t, leaf.x);
    struct cert_verdict none = {.outcome = CERT_NONE};
    sem_t s;
    assert_int_equal(sem_init(&s, 0, 0), 0);
    assert_int_equal(v.cause, CERT_CAUSE_PENDING);
    assert_int_equal(cert_ocsp_wait(o, &none, told, &s), -ENOENT);
    assert_int_equal(cert_ocsp_wait(o, &v, told, &s), 0);
    assert_int_equal(cert_ocsp_wait(o, &v, told, &s), 0);
    cert_ocsp_free(o);
    assert_int_equal(sem_trywait(&s), 0);
    assert_int_equal(sem_trywait(&s), 0);
    assert_int_equal(sem_trywait(&s), -1);
    (void)sem_destroy(&s);
    cert_verdict_done(&v);
    zoo_free(&leaf);
    cert_trust_unref(t);
    stub_stop(&slow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_openssl),
        cmocka_unit_test(test_stub),
        cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_end),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
