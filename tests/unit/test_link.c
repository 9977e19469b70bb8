/* A link against scripted servers (peerkit.h), and the words for how a connection ended. */
#include "peerkit.h"

#include "auth/scram.h"
#include "base/b64.h"
#include "link/link_internal.h"
#include "net/tls_internal.h"

#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

static struct identity ca, server_id, ann, late;

/* ---- a user of a link: what happens to it, in words ---- */

struct user {
    struct link_config cfg;
    struct link *link;
    const struct smtp_client_message *message; /* sent once ready; NULL: QUIT */
    struct str text;
    bool stay, ended;
    unsigned asked; /* for the text */
    size_t connections;
    struct buf events, trace;
};

static void event(struct user *u, const char *fmt, ...) PRINTF(2, 3);
static void event(struct user *u, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    assert_int_equal(buf_vprintf(&u->events, fmt, ap), 0);
    va_end(ap);
    assert_int_equal(buf_puts(&u->events, "\n"), 0);
    loop_stop(loop);
}

static void on_secured(void *ctx, const struct tls_facts *facts)
{
    struct user *u = ctx;
    u->connections++;
    event(u, "secured%s%s", facts->verified ? " verified" : "", facts->asked ? " asked" : "");
}

static void on_ready(void *ctx)
{
    struct user *u = ctx;
    struct smtp_outcome why;
    event(u, "ready %s %s", smtp_sequence_name(link_sequence(u->link)), link_mechanism(u->link));
    const struct smtp_client_message *m = u->message;
    u->message = NULL;
    int r = m ? link_send(u->link, m, &why) : 0;
    if (r < 0)
        event(u, "cannot send: %d %s", why.code, why.text);
    if ((!m && !u->stay) || r < 0)
        link_quit(u->link);
}

static void on_text(void *ctx, uint64_t offset)
{
    struct user *u = ctx;
    u->asked++;
    for (int r = 0; r == 0 && offset < u->text.len;) {
        size_t len = MIN(u->text.len - offset, SMTP_CLIENT_PIECE);
        r = link_text(u->link, u->text.p + offset, len, offset + len == u->text.len);
        offset += len;
    }
}

static void on_recipient(void *ctx, size_t i, const struct smtp_outcome *o)
{
    event(ctx, "rcpt %zu %s%d %s", i, o->ours ? "(ours) " : "", o->code, o->text);
}

static void on_finished(void *ctx)
{
    event(ctx, "finished");
}

static void on_ended(void *ctx, enum smtp_client_end end, const struct smtp_outcome *o)
{
    static const char *const names[] = {
        [SMTP_END_QUIT] = "quit",       [SMTP_END_REFUSED] = "refused",   [SMTP_END_TLS] = "tls",
        [SMTP_END_LOGIN] = "login",     [SMTP_END_CLOSING] = "closing",   [SMTP_END_PROTOCOL] = "protocol",
        [SMTP_END_LOST] = "lost",       [SMTP_END_AGAIN] = "again",
    };
    struct user *u = ctx;
    assert_false(u->ended);
    u->ended = true;
    u->link = NULL;
    event(u, "ended %s: %s%d %s", names[end], o->ours ? "(ours) " : "", o->code, o->text);
}

static void on_again(void *ctx, const struct smtp_outcome *o)
{
    event(ctx, "again [%s]", smtp_stage_name(o->stage));
}

static void on_sent(void *ctx, struct str line)
{
    struct user *u = ctx;
    assert_int_equal(buf_printf(&u->trace, "%.*s|", STR_FMT(line)), 0);
}

static const struct link_ops ops = {
    .secured = on_secured,
    .ready = on_ready,
    .text = on_text,
    .recipient = on_recipient,
    .finished = on_finished,
    .ended = on_ended,
    .again = on_again,
    .sent = on_sent,
};

static const struct smtp_client_recipient bob = {.address = "bob@example.net"};
static const struct smtp_client_message plain = {
    .reverse_path = "ann@example.org", .size = 4, .recipients = &bob, .n_recipients = 1};

static struct user user_of(const struct peer *p, struct tls_context *tls, unsigned login)
{
    return (struct user){
        .events = BUF_INIT(8192),
        .trace = BUF_INIT(8192),
        .text = STR("Hi\r\n"),
        .cfg = {.host = "127.0.0.1",
                .port = p->port,
                .tls = tls,
                .tls_name = "mail.example.org",
                .smtp = {.hostname = "me.example",
                         .tls = tls ? SMTP_CLIENT_TLS_REQUIRE : SMTP_CLIENT_TLS_OFF,
                         .login = login}},
    };
}

static void run(struct user *u)
{
    u->link = link_open(loop, &u->cfg, &ops, u);
    WAIT(u->ended);
    turns(1); /* the link goes */
}

static void expect(struct user *u, const char *want)
{
    if (!str_eq(buf_str(&u->events), str_of(want)))
        fail_msg("wanted\n%s\nbut got\n%s", want, buf_str(&u->events).p);
    buf_done(&u->events);
    buf_done(&u->trace);
}

/* ---- TLS of both sides ---- */

static int verdict; /* of the server upon the client's certificate */

static int judge(void *arg, struct x509_st *leaf, struct stack_st_X509 *chain)
{
    (void)arg;
    (void)leaf;
    (void)chain;
    return verdict;
}

static struct tls_context *server_tls(enum tls_client_cert mode)
{
    struct tls_server_config cfg = {
        .certificate = server_id.cert_file, .key = server_id.key_file, .client_certificate = mode, .verify = judge};
    struct tls_context *c = NULL;
    char why[TLS_WHY_MAX];
    if (tls_server_context_new(&cfg, &c, why) < 0)
        fail_msg("%s", why);
    return c;
}

static struct tls_context *client_tls(const struct identity *id, enum tls_verify_mode verify)
{
    struct tls_client_config cfg = {.ca = ca.cert_file,
                                    .certificate = id ? id->cert_file : NULL,
                                    .key = id ? id->key_file : NULL,
                                    .verify = verify};
    struct tls_context *c = NULL;
    char why[TLS_WHY_MAX];
    if (tls_client_context_new(&cfg, &c, why) < 0)
        fail_msg("%s", why);
    return c;
}

#define STARTTLS "S: 220 hi\nC: EHLO me.example\nS: 250-srv\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\n"
#define INSIDE(extensions) "C: EHLO me.example\nS: 250-srv\n" extensions "S: 250 HELP\n"
#define MESSAGE                                                                                    \
    "C: MAIL FROM:<ann@example.org>\nS: 250 ok\nC: RCPT TO:<bob@example.net>\nS: 250 ok\n"          \
    "C: DATA\nS: 354 go\n.:\nS: 250 queued\n"
#define BYE "C: QUIT\nS: 221 bye\nX:"

/* ---- a session ---- */

static void a_message_goes_by_starttls_and_external(void **state)
{
    (void)state;
    struct peer p = {.tls = server_tls(TLS_CLIENT_CERT_REQUEST)};
    PEER_START(&p, STARTTLS "T:\n" INSIDE("S: 250-AUTH EXTERNAL\n") "C: AUTH EXTERNAL =\nS: 235 ok\n" MESSAGE BYE);
    struct tls_context *tls = client_tls(&ann, TLS_VERIFY_NAME);
    struct user u = user_of(&p, tls, SMTP_LOGIN_CERTIFICATE);
    u.message = &plain;
    run(&u);
    expect(&u, "secured verified asked\nready explicit EXTERNAL\nrcpt 0 250 queued\nfinished\n"
               "ready explicit EXTERNAL\nended quit: (ours) 221 Bye\n");
    tls_context_unref(tls);
    peer_stop(&p);
}

static void implicit_tls_comes_first(void **state)
{
    (void)state;
    struct peer p = {.tls = server_tls(TLS_CLIENT_CERT_OFF)};
    PEER_START(&p, "T:\nS: 220 hi\n" INSIDE("") BYE);
    struct tls_context *tls = client_tls(NULL, TLS_VERIFY_NAME);
    struct user u = user_of(&p, tls, 0);
    u.cfg.tls_implicit = true;
    run(&u);
    expect(&u, "secured verified\nready none \nended quit: (ours) 221 Bye\n");
    tls_context_unref(tls);
    peer_stop(&p);
}

static void a_unix_socket_will_do(void **state)
{
    (void)state;
    char address[200];
    struct peer p = {0};
    (void)snprintf(address, sizeof(address), "unix:%s/lmtp", netkit_dir);
    peer_start_at(&p, address, (const char *const[]){"S: 220 hi\nC: LHLO me.example\nS: 250 srv\n" BYE, NULL});
    struct user u = user_of(&p, NULL, 0);
    u.cfg.host = NULL;
    u.cfg.path = address + 5;
    u.cfg.smtp.lmtp = true;
    run(&u);
    expect(&u, "ready none \nended quit: (ours) 221 Bye\n");
    peer_stop(&p);
    (void)unlink(address + 5);
}

/* Far more than may wait in the stream: the text is asked for again and again, and comes whole. */
static void a_large_text_waits_for_the_server(void **state)
{
    (void)state;
    struct peer p = {0};
    struct buf big = BUF_INIT(4 << 20), got = BUF_INIT(4 << 20);
    for (int i = 0; i < 40000; i++)
        assert_int_equal(buf_printf(&big, "line %d of a text that is rather long\r\n", i), 0);
    PEER_START(&p, "S: 220 hi\n" INSIDE("") MESSAGE BYE);
    struct user u = user_of(&p, NULL, 0);
    struct smtp_client_message m = plain;
    m.size = (int64_t)big.len;
    u.message = &m;
    u.text = buf_str(&big);
    run(&u);
    assert_in_range(u.asked, 2, 1000);
    expect(&u, "ready none \nrcpt 0 250 queued\nfinished\nready none \nended quit: (ours) 221 Bye\n");
    peer_stop_keep(&p, &got);
    assert_true(str_eq(buf_str(&got), buf_str(&big)));
    buf_done(&big);
    buf_done(&got);
}

static void what_cannot_be_sent_is_told_at_once(void **state)
{
    (void)state;
    struct peer p = {0};
    PEER_START(&p, "S: 220 hi\n" INSIDE("") BYE);
    struct user u = user_of(&p, NULL, 0);
    struct smtp_client_message m = plain;
    m.body = SMTP_BODY_8BITMIME;
    u.message = &m;
    run(&u);
    expect(&u, "ready none \ncannot send: 554 the message is 8-bit and the server offers no 8BITMIME\n"
               "ended quit: (ours) 221 Bye\n");
    peer_stop(&p);
}

/* ---- another connection ---- */

static void a_server_that_closes_is_called_again(void **state)
{
    (void)state;
    struct peer p = {.tls = server_tls(TLS_CLIENT_CERT_REQUEST)};
    PEER_START(&p,
               STARTTLS "T:\n" INSIDE("S: 250-AUTH EXTERNAL\n") "C: AUTH EXTERNAL =\nS: 501 no\nC: AUTH EXTERNAL\nX:",
               STARTTLS "T:\n" INSIDE("S: 250-AUTH EXTERNAL\n") "C: AUTH EXTERNAL\nS: 334 \nC: \nS: 235 ok\n" BYE);
    struct tls_context *tls = client_tls(&ann, TLS_VERIFY_NAME);
    struct user u = user_of(&p, tls, SMTP_LOGIN_EXTERNAL);
    run(&u);
    expect(&u, "secured verified asked\nagain [AUTH]\nsecured verified asked\nready explicit EXTERNAL\n"
               "ended quit: (ours) 221 Bye\n");
    tls_context_unref(tls);
    peer_stop(&p);
}

static void the_message_in_hand_comes_along(void **state)
{
    (void)state;
    struct peer p = {.tls = server_tls(TLS_CLIENT_CERT_REQUEST)};
    PEER_START(&p,
               STARTTLS "T:\n" INSIDE("S: 250-AUTH EXTERNAL\n") "C: MAIL FROM:<ann@example.org>\nS: 530 login\n"
                                                                 "C: AUTH EXTERNAL =\nX:",
               STARTTLS "T:\n" INSIDE("S: 250-AUTH EXTERNAL\n") "C: AUTH EXTERNAL =\nS: 235 ok\n" MESSAGE BYE);
    struct tls_context *tls = client_tls(&ann, TLS_VERIFY_NAME);
    struct user u = user_of(&p, tls, SMTP_LOGIN_IMPLICIT);
    u.message = &plain;
    run(&u);
    expect(&u, "secured verified asked\nready none \nagain [AUTH]\nsecured verified asked\nrcpt 0 250 queued\n"
               "finished\nready explicit EXTERNAL\nended quit: (ours) 221 Bye\n");
    tls_context_unref(tls);
    peer_stop(&p);
}

/* The second server cannot take it: the message is given up in words, and the link goes on. */
static void the_message_in_hand_may_not_fit_there(void **state)
{
    (void)state;
    struct peer p = {.tls = server_tls(TLS_CLIENT_CERT_REQUEST)};
    PEER_START(&p,
               STARTTLS "T:\n" INSIDE("S: 250-AUTH EXTERNAL\nS: 250-SIZE\n")
               "C: MAIL FROM:<ann@example.org> SIZE=4\nS: 530 login\nC: AUTH EXTERNAL =\nX:",
               STARTTLS "T:\n" INSIDE("S: 250-AUTH EXTERNAL\nS: 250-SIZE 3\n") "C: AUTH EXTERNAL =\nS: 235 ok\n" BYE);
    struct tls_context *tls = client_tls(&ann, TLS_VERIFY_NAME);
    struct user u = user_of(&p, tls, SMTP_LOGIN_IMPLICIT);
    u.message = &plain;
    run(&u);
    expect(&u, "secured verified asked\nready none \nagain [AUTH]\nsecured verified asked\n"
               "rcpt 0 (ours) 552 the message is larger than the server takes\nfinished\nready explicit EXTERNAL\n"
               "ended quit: (ours) 221 Bye\n");
    tls_context_unref(tls);
    peer_stop(&p);
}

/* ---- what TLS says ---- */

/* EDG-22: under TLS 1.3 the handshake is over when the refusal comes.  Nobody comes back without the certificate, and who
 * has none shows none, whatever others of the process have (CERT-03). */
static void a_refused_certificate_is_told_as_that(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool shown;
        int verdict;
        const char *want;
    } rows[] = {
        {"expired",    true,  X509_V_ERR_CERT_HAS_EXPIRED,
         "secured verified asked\nended lost: (ours) 451 the server refused our certificate: certificate expired\n"},
        {"revoked",    true,  X509_V_ERR_CERT_REVOKED,
         "secured verified asked\nended lost: (ours) 451 the server refused our certificate: certificate revoked\n"},
        {"unknown CA", true,  X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT,
         "secured verified asked\nended lost: (ours) 451 the server refused our certificate: unknown ca\n"},
        {"none",       false, X509_V_OK,
         "secured verified asked\nended lost: (ours) 451 the server wants a client certificate and we have none to "
         "show: certificate required\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct peer p = {.tls = server_tls(TLS_CLIENT_CERT_REQUIRE)};
        verdict = rows[i].verdict;
        PEER_START(&p, STARTTLS "F:");
        struct tls_context *tls = client_tls(rows[i].shown ? &ann : NULL, TLS_VERIFY_NAME);
        struct user u = user_of(&p, tls, rows[i].shown ? SMTP_LOGIN_CERTIFICATE : 0);
        u.message = &plain;
        run(&u);
        expect(&u, rows[i].want);
        tls_context_unref(tls);
        peer_stop(&p); /* one script: a second connection would be trouble */
    }
    verdict = X509_V_OK;
}

/* TLS-13, ID-01: no AUTH, no MAIL, and the cause in words. */
static void a_server_nobody_vouches_for_hears_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *tls_name, *want;
    } rows[] = {
        {"other.example",
         "ended lost: (ours) 451 the TLS handshake with other.example failed: certificate verify failed: hostname "
         "mismatch, it is for mail.example.org (TLS alert bad_certificate sent)\n"},
        {"mail.example.org",
         "ended lost: (ours) 451 the TLS handshake with mail.example.org failed: certificate verify failed: unable to "
         "get local issuer certificate, its issuer is /CN=ca: is that CA among the trust anchors? (TLS alert "
         "unknown_ca sent)\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct peer p = {.tls = server_tls(TLS_CLIENT_CERT_OFF)};
        PEER_START(&p, STARTTLS "F:");
        struct tls_client_config cfg = {.ca = i ? ann.cert_file : ca.cert_file, .verify = TLS_VERIFY_NAME};
        struct tls_context *tls = NULL;
        char why[TLS_WHY_MAX];
        assert_int_equal(tls_client_context_new(&cfg, &tls, why), 0);
        struct user u = user_of(&p, tls, SMTP_LOGIN_PASSWORD);
        u.cfg.tls_name = rows[i].tls_name;
        u.cfg.user = "ann";
        u.cfg.password = STR("secret");
        run(&u);
        expect(&u, rows[i].want);
        tls_context_unref(tls);
        peer_stop(&p);
    }
}

static void a_server_that_never_asked_is_told_of(void **state)
{
    (void)state;
    struct peer p = {.tls = server_tls(TLS_CLIENT_CERT_OFF)};
    PEER_START(&p, STARTTLS "T:\n" INSIDE("S: 250-AUTH PLAIN\n") BYE);
    struct tls_context *tls = client_tls(&ann, TLS_VERIFY_NAME);
    struct user u = user_of(&p, tls, SMTP_LOGIN_EXTERNAL);
    run(&u);
    expect(&u, "secured verified\nended login: (ours) 454 the server offers no certificate authentication: EXTERNAL is not "
               "among its mechanisms (PLAIN); nor did it ask for our certificate in the TLS handshake\n");
    tls_context_unref(tls);
    peer_stop(&p);
}

/* CERT-22: nobody is called. */
static void a_certificate_out_of_date_stays_at_home(void **state)
{
    (void)state;
    struct peer p = {0};
    char want[400], day[16];
    struct tm tm;
    time_t then = time(NULL) - 10L * 24 * 3600;
    (void)strftime(day, sizeof(day), "%Y-%m-%d", gmtime_r(&then, &tm));
    (void)snprintf(want, sizeof(want), "ended tls: (ours) 454 our certificate in %s expired on %s\n", late.cert_file, day);
    peer_start_at(&p, "127.0.0.1:0", (const char *const[]){NULL});
    struct tls_context *tls = client_tls(&late, TLS_VERIFY_NAME);
    struct user u = user_of(&p, tls, SMTP_LOGIN_CERTIFICATE);
    run(&u);
    expect(&u, want);
    /* And when it is dropped before that could be told. */
    struct user v = user_of(&p, tls, SMTP_LOGIN_CERTIFICATE);
    v.link = link_open(loop, &v.cfg, &ops, &v);
    assert_string_equal(link_peer_address(v.link), "unknown");
    link_drop(v.link);
    turns(2);
    expect(&v, "");
    tls_context_unref(tls);
    assert_int_equal(p.n_conns, 0);
    peer_stop(&p);
}

/* ---- passwords ---- */

static void plain_goes_where_the_server_is_known(void **state)
{
    (void)state;
    struct peer p = {.tls = server_tls(TLS_CLIENT_CERT_OFF)};
    PEER_START(&p, STARTTLS "T:\n" INSIDE("S: 250-AUTH PLAIN LOGIN\n") "C: AUTH PLAIN AGFubgBzZWNyZXQ=\nS: 235 ok\n" BYE,
               STARTTLS "T:\n" INSIDE("S: 250-AUTH PLAIN LOGIN\n") BYE);
    struct tls_context *tls = client_tls(NULL, TLS_VERIFY_NAME), *blind = client_tls(NULL, TLS_VERIFY_NONE);
    struct user u = user_of(&p, tls, SMTP_LOGIN_PASSWORD), v = user_of(&p, blind, SMTP_LOGIN_PASSWORD);
    u.cfg.user = v.cfg.user = "ann";
    u.cfg.password = v.cfg.password = STR("secret");
    run(&u);
    assert_non_null(strstr(u.trace.data, "|AUTH PLAIN ***|QUIT|"));
    expect(&u, "secured verified\nready password PLAIN\nended quit: (ours) 221 Bye\n");
    run(&v);
    expect(&v, "secured\nended login: (ours) 454 the server's certificate was not verified, so no password is sent by PLAIN "
               "(it offers PLAIN LOGIN)\n");
    tls_context_unref(tls);
    tls_context_unref(blind);
    peer_stop(&p);
}

enum { REFUSED = 100 }; /* a step: AUTH is to be cancelled */

/* A server that knows SCRAM, on the test's own loop: bound to the connection, or not. */
struct scram_server {
    struct listener *listener;
    char port[8];
    struct tls_context *tls;
    struct stream *stream;
    const char *offers, *password;
    bool forget_proof; /* says 235 without the server's signature */
    bool end_point;    /* knows tls-server-end-point alone, as servers behind other software's TLS do */
    const char *error; /* of a first message it does not take; NULL: 535 */
    struct scram *scram;
    bool plus;
    unsigned step;
    size_t auths; /* heard */
};

static void server_say(struct scram_server *s, const char *text)
{
    assert_int_equal(stream_write(s->stream, text, strlen(text)), 0);
}

static void server_challenge(struct scram_server *s, struct str message)
{
    CLEANUP(buf_done) struct buf line = BUF_INIT(4000);
    assert_int_equal(b64_encode(message, &line), 0);
    server_say(s, "334 ");
    assert_int_equal(stream_write_str(s->stream, buf_str(&line)), 0);
    server_say(s, "\r\n");
}

static void server_refuse(struct scram_server *s)
{
    s->step = REFUSED;
    if (s->error)
        server_challenge(s, str_of(s->error));
    else
        server_say(s, "535 5.7.8 no\r\n");
}

/* As a server names it that does not ask for the extended master secret. */
static void name_channel(const struct scram_server *s, struct buf *out)
{
    unsigned char hash[32];
    if (!s->end_point) {
        (void)!stream_channel_binding(s->stream, TLS_BINDING_EXPORTER, out);
        return;
    }
    assert_int_equal(X509_digest(server_id.cert, EVP_sha256(), hash, NULL), 1);
    assert_int_equal(buf_append(out, hash, sizeof(hash)), 0);
}

static void scram_step(struct scram_server *s, struct str base64)
{
    CLEANUP(buf_done) struct buf in = BUF_INIT(4000), out = BUF_INIT(4000), binding = BUF_INIT(200);
    assert_true(str_eq(base64, STR("*")) == (s->step == REFUSED));
    assert_true(s->step == REFUSED || b64_decode(base64, &in) == 0);
    if (s->step == REFUSED) {
        server_say(s, "501 5.7.0 cancelled\r\n");
        return;
    }
    if (s->step == 0) {
        struct scram_keys k = {.iterations = 4096, .salt_len = 8, .salt = "saltsalt"};
        static char name[64];
        struct scram_channel channel = {STR(""), STR("")};
        assert_int_equal(scram_keys_derive(&k, str_of(s->password)), 0);
        name_channel(s, &binding);
        memcpy(name, binding.data ? binding.data : "", binding.len);
        *(s->end_point ? &channel.end_point : &channel.exporter) = (struct str){name, binding.len};
        scram_free(s->scram);
        s->scram = scram_new(s->plus, strstr(s->offers, "PLUS"), channel);
        if (scram_first(s->scram, buf_str(&in)) < 0) {
            server_refuse(s);
            return;
        }
        assert_int_equal(scram_challenge(s->scram, &k, STR("nonce"), &out), 0);
        server_challenge(s, buf_str(&out));
    } else if (s->step == 1) {
        int r = scram_final(s->scram, buf_str(&in), &out);
        if (r < 0 || s->forget_proof)
            server_say(s, r < 0 ? "535 5.7.8 no\r\n" : "235 ok\r\n");
        else
            server_challenge(s, buf_str(&out));
    } else {
        server_say(s, "235 ok\r\n");
    }
    s->step++;
}

static void server_line(struct scram_server *s, struct str line)
{
    if (str_starts_nocase(line, STR("EHLO"))) {
        server_say(s, "250-srv\r\n250 AUTH ");
        server_say(s, s->offers);
        server_say(s, "\r\n");
    } else if (str_starts_nocase(line, STR("AUTH SCRAM-SHA-256"))) {
        s->plus = str_starts_nocase(line, STR("AUTH SCRAM-SHA-256-PLUS"));
        s->step = 0;
        s->auths++;
        scram_step(s, str_from(line, strlen(s->plus ? "AUTH SCRAM-SHA-256-PLUS " : "AUTH SCRAM-SHA-256 ")));
    } else if (str_starts_nocase(line, STR("QUIT"))) {
        server_say(s, "221 bye\r\n");
    } else {
        scram_step(s, line);
    }
}

static size_t server_input(void *ctx, const char *data, size_t len)
{
    struct str all = {data, len};
    ssize_t lf;
    while ((lf = str_find(all, '\n')) >= 0) {
        server_line(ctx, str_upto(all, (size_t)lf - 1));
        all = str_from(all, (size_t)lf + 1);
    }
    return len - all.len;
}

static void server_secured(void *ctx, const struct tls_facts *facts)
{
    (void)facts;
    server_say(ctx, "220 hi\r\n");
}

static void server_ended(void *ctx, enum stream_end end, const char *detail)
{
    (void)end;
    (void)detail;
    struct scram_server *s = ctx;
    stream_close(s->stream);
    s->stream = NULL;
}

static const struct stream_ops server_ops = {
    .input = server_input, .connected = peer_drained, .secured = server_secured, .ended = server_ended};

static void server_accept(void *arg, int fd)
{
    struct scram_server *s = arg;
    s->stream = stream_accepted(loop, fd, &server_ops, s);
    stream_start_tls(s->stream, s->tls, NULL);
}

static void scram_start(struct scram_server *s)
{
    char why[LISTENER_WHY_MAX];
    struct sockaddr_in sa;
    socklen_t len = sizeof(sa);
    int fd;
    assert_int_equal(listener_bind("127.0.0.1:0", 16, &fd, why), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
    (void)snprintf(s->port, sizeof(s->port), "%d", ntohs(sa.sin_port));
    s->listener = listener_start(loop, fd, server_accept, s);
    s->tls = server_tls(TLS_CLIENT_CERT_OFF);
}

static void scram_stop(struct scram_server *s)
{
    listener_free(s->listener);
    if (s->stream)
        stream_abort(s->stream);
    scram_free(s->scram);
    tls_context_unref(s->tls);
}

/* TLS 1.2 without the extended master secret; nobody can configure that. */
static void make_old(struct tls_context *tls)
{
    SSL *ssl = tls_open(tls, NULL);
    assert_non_null(ssl);
    SSL_CTX *ctx = SSL_get_SSL_CTX(ssl);
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION), 1);
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_EXTENDED_MASTER_SECRET);
    SSL_free(ssl);
}

#define PLUS_ONLY "secured verified\nready password SCRAM-SHA-256-PLUS\nended quit: (ours) 221 Bye\n"

static void scram_is_bound_to_the_connection(void **state)
{
    (void)state;
    static const struct {
        const char *name, *offers, *password;
        bool forget_proof, end_point, old; /* TLS 1.2 without the extended master secret */
        const char *error;
        size_t auths; /* that went out */
        const char *want;
    } rows[] = {
        {.name = "bound (CB-01)", .offers = "SCRAM-SHA-256 SCRAM-SHA-256-PLUS PLAIN", .auths = 1, .want = PLUS_ONLY},
        {.name = "not offered (CB-04)", .offers = "SCRAM-SHA-256", .auths = 1,
         .want = "secured verified\nready password SCRAM-SHA-256\nended quit: (ours) 221 Bye\n"},
        {.name = "not offered under TLS 1.2 (CB-04)", .offers = "SCRAM-SHA-256", .auths = 1, .old = true,
         .want = "secured verified\nready password SCRAM-SHA-256\nended quit: (ours) 221 Bye\n"},
        {.name = "bound to the certificate (CB-05)", .offers = "SCRAM-SHA-256-PLUS", .end_point = true, .auths = 2,
         .want = PLUS_ONLY},
        {.name = "told in the mechanism's words (CB-05)", .offers = "SCRAM-SHA-256 SCRAM-SHA-256-PLUS", .end_point = true,
         .error = "e=unsupported-channel-binding-type", .auths = 2, .want = PLUS_ONLY},
        {.name = "nothing is exported from an old secret (CB-02)", .offers = "SCRAM-SHA-256-PLUS", .end_point = true,
         .old = true, .auths = 1, .want = PLUS_ONLY},
        {.name = "neither binding is known", .offers = "SCRAM-SHA-256 SCRAM-SHA-256-PLUS PLAIN", .old = true, .auths = 1,
         .error = "e=unsupported-channel-binding-type",
         .want = "secured verified\nended login: (ours) 454 the server refused the login before it saw a proof of the "
                 "password: it knows neither binding of ours, or not the user\n"},
        {.name = "wrong password", .offers = "SCRAM-SHA-256-PLUS PLAIN", .password = "other", .auths = 1,
         .want = "secured verified\nended login: 535 no\n"},
        {.name = "no proof", .offers = "SCRAM-SHA-256-PLUS", .forget_proof = true, .auths = 1,
         .want = "secured verified\nended login: (ours) 454 the server took the login without proof that it knows the "
                 "password: it is not used\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct scram_server s = {.offers = rows[i].offers,
                                 .password = rows[i].password ? rows[i].password : "secret",
                                 .forget_proof = rows[i].forget_proof,
                                 .end_point = rows[i].end_point,
                                 .error = rows[i].error};
        scram_start(&s);
        if (rows[i].old)
            make_old(s.tls);
        struct peer p = {0};
        (void)snprintf(p.port, sizeof(p.port), "%s", s.port);
        struct tls_context *tls = client_tls(NULL, TLS_VERIFY_NAME);
        struct user u = user_of(&p, tls, SMTP_LOGIN_PASSWORD);
        u.cfg.tls_implicit = true;
        u.cfg.user = "ann";
        u.cfg.password = STR("secret");
        run(&u);
        check(rows[i].name, s.auths == rows[i].auths);
        expect(&u, rows[i].want);
        tls_context_unref(tls);
        scram_stop(&s);
    }
}

/* ---- time, and ends by the user ---- */

static void stages_have_limits(void **state)
{
    (void)state;
    static const struct {
        const char *script;
        struct link_timeouts limits;
        const char *want;
    } rows[] = {
        {"W:", {.greeting_ms = 50}, "ended lost: (ours) 451 timed out: no progress for 1 s while waiting for input\n"},
        {"Z:", {.greeting_ms = 200}, "ended lost: (ours) 451 no end to the greeting in sight\n"},
        {"S: 220 hi\nC: EHLO me.example\nZ:", {.command_ms = 200}, "ended lost: (ours) 451 no end to EHLO in sight\n"},
        {"S: 220 hi\n" INSIDE("") "C: QUIT\nW:", {.quit_ms = 50}, "ready none \nended quit: (ours) 221 Bye\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct peer p = {0};
        PEER_START(&p, rows[i].script);
        struct user u = user_of(&p, NULL, 0);
        u.cfg.timeouts = rows[i].limits;
        run(&u);
        expect(&u, rows[i].want);
        peer_wait(&p, &p.n_done, 1);
        peer_stop(&p);
    }
}

static void an_idle_link_says_goodbye(void **state)
{
    (void)state;
    struct peer p = {0};
    PEER_START(&p, "S: 220 hi\n" INSIDE("") "C: QUIT\nX:");
    struct user u = user_of(&p, NULL, 0);
    u.stay = true;
    u.cfg.timeouts.idle_ms = 50;
    run(&u);
    expect(&u, "ready none \nended quit: (ours) 221 Bye\n");
    peer_wait(&p, &p.n_done, 1);
    peer_stop(&p);
}

static void a_link_is_stopped_or_dropped(void **state)
{
    (void)state;
    static const char script[] = "S: 220 hi\n" INSIDE("") "C: MAIL FROM:<ann@example.org>\nW:";
    struct peer p = {0};
    PEER_START(&p, script, script);
    struct user u = user_of(&p, NULL, 0), v = user_of(&p, NULL, 0);
    u.message = v.message = &plain;
    u.link = link_open(loop, &u.cfg, &ops, &u);
    peer_wait(&p, &p.n_lines, 2);
    link_stop(u.link, "we go home");
    assert_true(u.ended);
    expect(&u, "ready none \nrcpt 0 (ours) 451 we go home\nfinished\nended lost: (ours) 451 we go home\n");
    v.link = link_open(loop, &v.cfg, &ops, &v);
    peer_wait(&p, &p.n_lines, 4);
    link_drop(v.link);
    turns(2);
    assert_false(v.ended);
    expect(&v, "ready none \n");
    peer_wait(&p, &p.n_done, 2);
    peer_stop(&p);
}

/* ---- words ---- */

static void the_end_is_told_by_its_cause(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct link_fall fall;
        const char *want;
    } rows[] = {
        {"nobody there",
         {.end = STREAM_NO_CONNECT, .detail = "a:25: ::1: Connection refused"},
         "cannot connect: a:25: ::1: Connection refused"                                       },
        {"silent",
         {.end = STREAM_TIMEOUT, .detail = "no progress for 5 s"},
         "timed out: no progress for 5 s"                                                      },
        {"closed in the clear",
         {.end = STREAM_EOF, .detail = "closed by the peer", .has_certificate = true},
         "the connection was lost: closed by the peer"                                         },
        {"implicit TLS is spoken there",
         {.end = STREAM_TIMEOUT, .detail = "no progress for 5 s", .tls_wanted = true},
         "timed out: no progress for 5 s (no greeting came: does this port speak TLS from the "
         "first octet?)"                                                                       },
        {"closed after a greeting",
         {.end = STREAM_EOF, .detail = "closed by the peer", .tls_wanted = true, .heard = true},
         "the connection was lost: closed by the peer"                                         },
        {"STARTTLS is spoken there",
         {.end = STREAM_TLS_FAILED,
          .detail = "wrong version number",
          .name = "mx.example",
          .tls_wanted = true,
          .tls_implicit = true,
          .tls_begun = true},
         "the TLS handshake with mx.example failed: wrong version number (does this port begin in "
         "the clear, for STARTTLS?)"                                                           },
        {"expired, TLS 1.3 (EDG-22)",
         {.end = STREAM_TLS_FAILED,
          .detail = "x",
          .alert = "certificate_expired",
          .tls_begun = true,
          .tls_up = true,
          .has_certificate = true},
         "the server refused our certificate: certificate expired"                             },
        {"unknown CA, TLS 1.2",
         {.end = STREAM_TLS_FAILED,
          .detail = "x",
          .alert = "unknown_ca",
          .tls_begun = true,
          .has_certificate = true},
         "the server refused our certificate: unknown ca"                                      },
        {"the alert lies behind a reset",
         {.end = STREAM_RESET,
          .detail = "Connection reset by peer",
          .alert = "bad_certificate",
          .tls_begun = true,
          .tls_up = true,
          .has_certificate = true},
         "the server refused our certificate: bad certificate"                                 },
        {"wanted and not there",
         {.end = STREAM_TLS_FAILED,
          .detail = "x",
          .alert = "certificate_required",
          .tls_begun = true,
          .tls_up = true},
         "the server wants a client certificate and we have none to show: certificate required"},
        {"no word at all",
         {.end = STREAM_EOF,
          .detail = "closed by the peer",
          .tls_begun = true,
          .tls_up = true,
          .has_certificate = true},
         "the server closed the connection right after the TLS handshake, perhaps because of our "
         "certificate: closed "
         "by the peer"                                                                         },
        {"an alert in the middle is no refusal",
         {.end = STREAM_TLS_FAILED,
          .detail = "the peer sent TLS alert certificate_expired",
          .alert = "certificate_expired",
          .tls_begun = true,
          .tls_up = true,
          .heard = true,
          .has_certificate = true},
         "TLS failed: the peer sent TLS alert certificate_expired"                             },
        {"the server's certificate",
         {.end = STREAM_TLS_FAILED,
          .detail = "certificate verify failed: certificate has expired",
          .name = "mx.example",
          .tls_begun = true,
          .has_certificate = true},
         "the TLS handshake with mx.example failed: certificate verify failed: certificate has "
         "expired"                                                                             },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char got[LINK_WORDS_MAX];
        link_words(&rows[i].fall, got, sizeof(got));
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s: wanted\n%s\nbut got\n%s", rows[i].name, rows[i].want, got);
    }
}

/* CERT-21 */
static void a_certificate_that_others_read_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct tls_facts facts;
        bool has_certificate, want;
    } rows[] = {
        {"1.2, shown",           {.version = "TLSv1.2", .asked = true}, true,  true },
        {"1.2, none to show",    {.version = "TLSv1.2", .asked = true}, false, false},
        {"1.2, nobody asked",    {.version = "TLSv1.2"},                true,  false},
        {"1.3 keeps it private", {.version = "TLSv1.3", .asked = true}, true,  false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check(rows[i].name, (link_certificate_warning(&rows[i].facts, rows[i].has_certificate) !=
                             NULL) == rows[i].want);
}

/* ---- */

static int make_identities(void **state)
{
    (void)state;
    netkit_dir_make();
    ca = identity_make("ca", NULL, NULL);
    server_id = identity_make("server", "DNS:mail.example.org", &ca);
    ann = identity_make("ann", "email:ann@example.org", &ca);
    late = identity_make("late", "email:late@example.org", &ca);
    (void)X509_gmtime_adj(X509_getm_notBefore(late.cert), -20L * 24 * 3600);
    (void)X509_gmtime_adj(X509_getm_notAfter(late.cert), -10L * 24 * 3600);
    assert_true(X509_sign(late.cert, ca.key, EVP_sha256()) > 0);
    identity_write(&late, "late");
    return 0;
}

static int drop_identities(void **state)
{
    (void)state;
    identity_done(&ca);
    identity_done(&server_id);
    identity_done(&ann);
    identity_done(&late);
    netkit_dir_remove();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_is_told_by_its_cause),
        cmocka_unit_test(a_certificate_that_others_read_is_told),
        NETTEST(a_message_goes_by_starttls_and_external),
        NETTEST(implicit_tls_comes_first),
        NETTEST(a_unix_socket_will_do),
        NETTEST(a_large_text_waits_for_the_server),
        NETTEST(what_cannot_be_sent_is_told_at_once),
        NETTEST(a_server_that_closes_is_called_again),
        NETTEST(the_message_in_hand_comes_along),
        NETTEST(the_message_in_hand_may_not_fit_there),
        NETTEST(a_refused_certificate_is_told_as_that),
        NETTEST(a_server_nobody_vouches_for_hears_nothing),
        NETTEST(a_server_that_never_asked_is_told_of),
        NETTEST(a_certificate_out_of_date_stays_at_home),
        NETTEST(plain_goes_where_the_server_is_known),
        NETTEST(scram_is_bound_to_the_connection),
        NETTEST(stages_have_limits),
        NETTEST(an_idle_link_says_goodbye),
        NETTEST(a_link_is_stopped_or_dropped),
    };
    return cmocka_run_group_tests(tests, make_identities, drop_identities);
}
