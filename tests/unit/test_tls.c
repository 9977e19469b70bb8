#include "netkit.h"

#include "base/clock.h"
#include "net/tls_internal.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/ioctl.h>

static struct identity ca, server_id, client_id, other_ca, stranger_id, cn_only_id, odd_id,
    expired_id;

/* Contexts as the program makes them. */

static struct tls_context *server_context(struct tls_server_config cfg)
{
    struct tls_context *c = NULL;
    char why[TLS_WHY_MAX];
    cfg.certificate = cfg.certificate ? cfg.certificate : server_id.cert_file;
    cfg.key = cfg.key ? cfg.key : server_id.key_file;
    if (tls_server_context_new(&cfg, &c, why) < 0)
        fail_msg("%s", why);
    return c;
}

static struct tls_context *client_context(const struct identity *id, enum tls_verify_mode verify)
{
    struct tls_context *c = NULL;
    char why[TLS_WHY_MAX];
    struct tls_client_config cfg = {
        .ca = ca.cert_file,
        .certificate = id ? id->cert_file : NULL,
        .key = id ? id->key_file : NULL,
        .verify = verify,
    };
    if (tls_client_context_new(&cfg, &c, why) < 0)
        fail_msg("%s", why);
    return c;
}

/* A peer that speaks TLS by OpenSSL directly, to do what our own side never does.  It is driven in
 * step with the loop: while it waits for us, the loop takes a turn. */
struct raw {
    int fd;
    SSL *ssl;
};

static SSL_CTX *raw_context(bool server, const struct identity *id)
{
    SSL_CTX *ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    assert_non_null(ctx);
    SSL_CTX_set_mode(ctx, SSL_MODE_AUTO_RETRY);
    if (id) {
        assert_int_equal(SSL_CTX_use_certificate_chain_file(ctx, id->cert_file), 1);
        assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, id->key_file, SSL_FILETYPE_PEM), 1);
    }
    return ctx;
}

/* The raw side of a connection whose other end is `e`. */
static struct raw raw_peer(struct end *e, SSL_CTX *ctx)
{
    struct raw raw = {.fd = end_and_socket(e), .ssl = SSL_new(ctx)};
    assert_int_equal(fcntl(raw.fd, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(SSL_set_fd(raw.ssl, raw.fd), 1);
    return raw;
}

static void raw_done(struct raw *raw)
{
    SSL_free(raw->ssl);
    (void)close(raw->fd);
}

/* Result of SSL_get_error(), SSL_ERROR_NONE on success. */
static int raw_wait(struct raw *raw, int (*op)(SSL *ssl))
{
    for (int i = 0; i < 1000; i++) {
        ERR_clear_error();
        int n = op(raw->ssl);
        int error = SSL_get_error(raw->ssl, n);
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
            return error;
        turns(1);
    }
    fail_msg("the peer waits in vain");
    return -1;
}

static char raw_text[4096];
static size_t raw_len;

static int raw_read_once(SSL *ssl)
{
    size_t n = 0;
    int r = SSL_read_ex(ssl, raw_text, sizeof(raw_text) - 1, &n);
    raw_len = n;
    raw_text[n] = '\0';
    return r;
}

static void raw_say(struct raw *raw, const char *text)
{
    assert_int_equal(SSL_write(raw->ssl, text, (int)strlen(text)), (int)strlen(text));
}

/* The alert with which the other side ended it, by its place in the library's error queue. */
static int raw_alert(void)
{
    int reason = ERR_GET_REASON(ERR_peek_last_error());
    return reason > SSL_AD_REASON_OFFSET ? reason - SSL_AD_REASON_OFFSET : -1;
}

/* Both ends ours, on a socketpair, shaking hands. */
static void start_pair(struct end *server,
                       struct tls_context *sc,
                       struct end *client,
                       struct tls_context *cc,
                       const char *name)
{
    end_pair(server, client);
    stream_start_tls(server->s, sc, NULL);
    stream_start_tls(client->s, cc, name);
}

static void both_ends_learn_the_facts(void **state)
{
    (void)state;
    struct end s = END_INIT, c = END_INIT;
    struct tls_context *sc =
        server_context((struct tls_server_config){.client_certificate = TLS_CLIENT_CERT_REQUEST});
    struct tls_context *cc = client_context(&client_id, TLS_VERIFY_NAME);
    start_pair(&s, sc, &c, cc, "mail.example.org");
    say(&s, "220 hello");
    say(&c, "EHLO c");
    turns(1);
    tls_context_unref(sc); /* a reload: the handshake under way keeps its own */
    tls_context_unref(cc);
    WAIT(s.secures && c.secures && heard(&s, "EHLO c") && heard(&c, "220 hello"));
    assert_true(stream_is_secure(s.s) && stream_is_secure(c.s));
    assert_string_equal(s.facts.version, "TLSv1.3");
    assert_string_equal(s.facts.cipher, "TLS_AES_256_GCM_SHA384");
    assert_string_equal(s.facts.group, "x25519");
    assert_string_equal(s.facts.server_name, "mail.example.org");
    assert_false(s.facts.resumed);
    assert_int_equal(X509_cmp(s.facts.leaf, client_id.cert), 0);
    assert_int_equal(X509_cmp(c.facts.leaf, server_id.cert), 0);
    end_done(&s);
    end_done(&c);
}

static void a_request_names_authorities_when_told_to(void **state)
{
    (void)state;
    struct end s = END_INIT;
    struct tls_context *sc = server_context((struct tls_server_config){
        .client_certificate = TLS_CLIENT_CERT_REQUEST, .named_ca = other_ca.cert_file});
    SSL_CTX *ctx = raw_context(false, &client_id);
    struct raw raw = raw_peer(&s, ctx);
    stream_start_tls(s.s, sc, NULL);
    assert_int_equal(raw_wait(&raw, SSL_connect), SSL_ERROR_NONE);
    WAIT(s.secures);
    const STACK_OF(X509_NAME) *names = SSL_get0_peer_CA_list(raw.ssl);
    assert_int_equal(sk_X509_NAME_num(names), 1);
    assert_int_equal(
        X509_NAME_cmp(sk_X509_NAME_value(names, 0), X509_get_subject_name(other_ca.cert)), 0);
    assert_null(s.facts.server_name);
    raw_done(&raw);
    SSL_CTX_free(ctx);
    end_done(&s);
    tls_context_unref(sc);
}

static void any_certificate_or_none_gets_through(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int version;
        const struct identity *id;
    } rows[] = {
        {"1.2, none",     TLS1_2_VERSION, NULL        },
        {"1.2, good",     TLS1_2_VERSION, &client_id  },
        {"1.2, stranger", TLS1_2_VERSION, &stranger_id},
        {"1.3, none",     TLS1_3_VERSION, NULL        },
        {"1.3, good",     TLS1_3_VERSION, &client_id  },
        {"1.3, stranger", TLS1_3_VERSION, &stranger_id},
    };
    struct tls_context *sc =
        server_context((struct tls_server_config){.client_certificate = TLS_CLIENT_CERT_REQUEST});
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct end s = END_INIT;
        SSL_CTX *ctx = raw_context(false, rows[i].id);
        (void)SSL_CTX_set_max_proto_version(ctx, rows[i].version);
        struct raw raw = raw_peer(&s, ctx);
        stream_start_tls(s.s, sc, NULL);
        check(rows[i].name, raw_wait(&raw, SSL_connect) == SSL_ERROR_NONE);
        WAIT(s.secures);
        check(rows[i].name, (s.facts.leaf != NULL) == (rows[i].id != NULL));
        if (rows[i].id)
            check(rows[i].name, X509_cmp(s.facts.leaf, rows[i].id->cert) == 0);
        /* No CA is named, so that no client withholds its certificate. */
        check(rows[i].name, sk_X509_NAME_num(SSL_get0_peer_CA_list(raw.ssl)) <= 0);
        raw_say(&raw, "EHLO x");
        WAIT(heard(&s, "EHLO x"));
        raw_done(&raw);
        SSL_CTX_free(ctx);
        end_done(&s);
    }
    tls_context_unref(sc);
}

static int n_intermediates;

static void count_chain(struct end *e)
{
    n_intermediates = e->facts.chain ? sk_X509_num(e->facts.chain) : 0;
}

/* The judge sees the intermediates once; then they only cost memory. */
static void the_chain_is_there_to_be_judged_and_then_goes(void **state)
{
    (void)state;
    struct end s = END_INIT;
    SSL_CTX *ctx = raw_context(false, &client_id);
    assert_int_equal(SSL_CTX_add1_chain_cert(ctx, ca.cert), 1);
    struct raw raw = raw_peer(&s, ctx);
    struct tls_context *sc =
        server_context((struct tls_server_config){.client_certificate = TLS_CLIENT_CERT_REQUEST});
    stream_start_tls(s.s, sc, NULL);
    s.after_secured = count_chain;
    assert_int_equal(raw_wait(&raw, SSL_connect), SSL_ERROR_NONE);
    WAIT(s.secures);
    assert_int_equal(n_intermediates, 1);
    assert_int_equal(sk_X509_num(s.facts.chain), 0);
    assert_int_equal(X509_cmp(s.facts.leaf, client_id.cert), 0);
    raw_done(&raw);
    SSL_CTX_free(ctx);
    end_done(&s);
    tls_context_unref(sc);
}

static int give_verdict(void *arg, struct x509_st *leaf, struct stack_st_X509 *chain)
{
    assert_non_null(leaf);
    assert_non_null(chain);
    return *(int *)arg;
}

/* [rfc8446 4.4.2.4] and EDG-22: a client of TLS 1.3 learns of the refusal only after its own
 * handshake. */
static void a_refusal_names_its_alert(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const struct identity *id;
        int verdict;
        const char *alert; /* NULL: let in */
        const char *words;
    } rows[] = {
        {"good",     &client_id,   X509_V_OK,                              NULL,                   NULL                               },
        {"none",     NULL,         X509_V_OK,                              "certificate_required", "peer did not return a certificate"},
        {"expired",  &client_id,   X509_V_ERR_CERT_HAS_EXPIRED,            "certificate_expired",
         "certificate verify failed: certificate has expired"                                                                         },
        {"revoked",  &client_id,   X509_V_ERR_CERT_REVOKED,                "certificate_revoked",
         "certificate verify failed: certificate revoked"                                                                             },
        {"stranger", &stranger_id, X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "unknown_ca",
         "certificate verify failed: self-signed certificate"                                                                         },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct end s = END_INIT, c = END_INIT;
        int verdict = rows[i].verdict;
        struct tls_context *sc =
            server_context((struct tls_server_config){.client_certificate = TLS_CLIENT_CERT_REQUIRE,
                                                      .verify = give_verdict,
                                                      .verify_arg = &verdict});
        struct tls_context *cc = client_context(rows[i].id, TLS_VERIFY_NAME);
        start_pair(&s, sc, &c, cc, "mail.example.org");
        say(&c, "EHLO");
        if (!rows[i].alert) {
            WAIT(heard(&s, "EHLO"));
        } else {
            char want[256];
            WAIT(s.ends && c.ends);
            check(rows[i].name, c.end == STREAM_TLS_FAILED && s.end == STREAM_TLS_FAILED);
            check(rows[i].name, s.secures == 0);
            (void)snprintf(want, sizeof(want), "the peer sent TLS alert %s", rows[i].alert);
            assert_string_equal(c.detail, want);
            (void)snprintf(want, sizeof(want), "%s (TLS alert %s sent)", rows[i].words,
                           rows[i].alert);
            assert_string_equal(s.detail, want);
        }
        tls_context_unref(sc);
        tls_context_unref(cc);
        end_done(&s);
        end_done(&c);
    }
}

/* `verify` counts with REQUIRE only: a listener that merely asks explains in SMTP (EDG-21). */
static void a_request_alone_refuses_nobody(void **state)
{
    (void)state;
    struct end s = END_INIT, c = END_INIT;
    int verdict = X509_V_ERR_CERT_REVOKED;
    struct tls_context *sc =
        server_context((struct tls_server_config){.client_certificate = TLS_CLIENT_CERT_REQUEST,
                                                  .verify = give_verdict,
                                                  .verify_arg = &verdict});
    struct tls_context *cc = client_context(&client_id, TLS_VERIFY_NAME);
    start_pair(&s, sc, &c, cc, "mail.example.org");
    WAIT(s.secures && c.secures);
    assert_non_null(s.facts.leaf);
    tls_context_unref(sc);
    tls_context_unref(cc);
    end_done(&s);
    end_done(&c);
}

/* STARTTLS */

static struct tls_context *starttls_context;

static void answer_starttls(struct end *e)
{
    say(e, "220 go\r\n");
    stream_start_tls(e->s, starttls_context, e->tls_name);
}

/* STLS-08 at the server, STLS-09 at the client: what is injected behind the last clear line is not
 * heard. */
static void injected_plaintext_is_thrown_away(void **state)
{
    (void)state;
    struct end s = END_INIT;
    SSL_CTX *ctx = raw_context(false, NULL);
    struct raw raw = raw_peer(&s, ctx);
    starttls_context = server_context((struct tls_server_config){.client_certificate = 0});
    s.appetite = strlen("STARTTLS\r\n");
    s.after_input = answer_starttls;
    socket_send(raw.fd, "STARTTLS\r\nRSET\r\n", 16);
    WAIT(s.inputs == 1);
    s.after_input = NULL;
    s.appetite = SIZE_MAX;
    turns(2);
    char reply[32];
    assert_int_equal(recv(raw.fd, reply, sizeof(reply), 0), 8); /* in the clear */
    assert_memory_equal(reply, "220 go\r\n", 8);
    assert_int_equal(raw_wait(&raw, SSL_connect), SSL_ERROR_NONE);
    raw_say(&raw, "EHLO x");
    WAIT(s.inputs == 2);
    assert_true(heard(&s, "STARTTLS\r\nEHLO x"));
    raw_done(&raw);
    SSL_CTX_free(ctx);
    end_done(&s);
    tls_context_unref(starttls_context);

    struct end c = END_INIT;
    ctx = raw_context(true, &server_id);
    raw = raw_peer(&c, ctx);
    starttls_context = client_context(NULL, TLS_VERIFY_NAME);
    c.tls_name = "mail.example.org";
    c.appetite = strlen("220 go\r\n");
    c.after_input = answer_starttls; /* what it says itself leaves in the clear, too */
    socket_send(raw.fd, "220 go\r\n250 injected\r\n", 22);
    WAIT(c.inputs == 1);
    c.after_input = NULL;
    c.appetite = SIZE_MAX;
    turns(2);
    assert_int_equal(recv(raw.fd, reply, 8, 0), 8);
    assert_int_equal(raw_wait(&raw, SSL_accept), SSL_ERROR_NONE);
    raw_say(&raw, "250 true");
    WAIT(c.inputs == 2);
    assert_true(heard(&c, "220 go\r\n250 true"));
    assert_string_equal(SSL_get_servername(raw.ssl, TLSEXT_NAMETYPE_host_name), "mail.example.org");
    raw_done(&raw);
    SSL_CTX_free(ctx);
    end_done(&c);
    tls_context_unref(starttls_context);
}

static void plaintext_kept_by_a_paused_user_is_thrown_away_too(void **state)
{
    (void)state;
    struct end s = END_INIT;
    SSL_CTX *ctx = raw_context(false, NULL);
    struct raw raw = raw_peer(&s, ctx);
    struct tls_context *sc = server_context((struct tls_server_config){.client_certificate = 0});
    stream_pause(s.s);
    socket_send(raw.fd, "RSET\r\n", 6);
    turns(2);
    stream_start_tls(s.s, sc, NULL);
    stream_resume(s.s);
    assert_int_equal(raw_wait(&raw, SSL_connect), SSL_ERROR_NONE);
    stream_resume(s.s);
    raw_say(&raw, "EHLO x");
    WAIT(s.inputs == 1);
    assert_true(heard(&s, "EHLO x"));
    raw_done(&raw);
    SSL_CTX_free(ctx);
    end_done(&s);
    tls_context_unref(sc);
}

/* What a server must not take */

static void set_tls11(SSL_CTX *ctx)
{
    SSL_CTX_set_security_level(ctx, 0);
    (void)SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
    (void)SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION);
}

static void set_alpn(SSL_CTX *ctx)
{
    (void)SSL_CTX_set_alpn_protos(ctx, (const unsigned char *)"\x02h2", 3);
}

static void set_cbc(SSL_CTX *ctx)
{
    (void)SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    (void)SSL_CTX_set_cipher_list(ctx, "ECDHE-ECDSA-AES128-SHA");
}

/* STLS-12: what would be too weak for us does not get through the handshake, so that nothing is left to refuse after it. */
static void old_and_foreign_clients_are_refused_by_alert(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        void (*set)(SSL_CTX *ctx);
        int alert;
        const char *detail;
    } rows[] = {
        {"TLS-06: 1.1",        set_tls11, SSL_AD_PROTOCOL_VERSION,        "protocol_version"       },
        {"TLS-11: ALPN of h2", set_alpn,  SSL_AD_NO_APPLICATION_PROTOCOL, "no_application_protocol"},
        {"a cipher of CBC",    set_cbc,   SSL_AD_HANDSHAKE_FAILURE,       "handshake_failure"      },
    };
    struct tls_context *sc = server_context((struct tls_server_config){.client_certificate = 0});
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct end s = END_INIT;
        SSL_CTX *ctx = raw_context(false, NULL);
        rows[i].set(ctx);
        struct raw raw = raw_peer(&s, ctx);
        stream_start_tls(s.s, sc, NULL);
        check(rows[i].name, raw_wait(&raw, SSL_connect) == SSL_ERROR_SSL);
        check(rows[i].name, raw_alert() == rows[i].alert);
        WAIT(s.ends);
        check(rows[i].name, s.end == STREAM_TLS_FAILED && strstr(s.detail, rows[i].detail));
        raw_done(&raw);
        SSL_CTX_free(ctx);
        end_done(&s);
    }
    tls_context_unref(sc);
}

/* EDG-19 */
static void renegotiation_is_refused(void **state)
{
    (void)state;
    struct end s = END_INIT;
    SSL_CTX *ctx = raw_context(false, NULL);
    (void)SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    struct raw raw = raw_peer(&s, ctx);
    struct tls_context *sc = server_context((struct tls_server_config){.client_certificate = 0});
    stream_start_tls(s.s, sc, NULL);
    assert_int_equal(raw_wait(&raw, SSL_connect), SSL_ERROR_NONE);
    WAIT(s.secures);
    assert_int_equal(SSL_renegotiate(raw.ssl), 1);
    assert_int_equal(raw_wait(&raw, SSL_do_handshake), SSL_ERROR_SSL);
    assert_int_equal(ERR_GET_REASON(ERR_peek_last_error()), SSL_R_NO_RENEGOTIATION);
    assert_int_equal(s.secures, 1);
    raw_done(&raw);
    SSL_CTX_free(ctx);
    end_done(&s);
    tls_context_unref(sc);
}

/* What a client of ours takes: TLS-04, TLS-05, TLS-06. */
static void the_client_wants_a_new_version_too(void **state)
{
    (void)state;
    static const struct {
        int version; /* the server's newest */
        const char *want;
    } rows[] = {
        {TLS1_3_VERSION, "TLSv1.3"},
        {TLS1_2_VERSION, "TLSv1.2"},
        {TLS1_1_VERSION, NULL     },
    };
    struct tls_context *cc = client_context(NULL, TLS_VERIFY_NAME);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct end c = END_INIT;
        SSL_CTX *ctx = raw_context(true, &server_id);
        SSL_CTX_set_security_level(ctx, 0);
        (void)SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
        (void)SSL_CTX_set_max_proto_version(ctx, rows[i].version);
        struct raw raw = raw_peer(&c, ctx);
        stream_start_tls(c.s, cc, "mail.example.org");
        if (rows[i].want) {
            assert_int_equal(raw_wait(&raw, SSL_accept), SSL_ERROR_NONE);
            WAIT(c.secures);
            assert_string_equal(c.facts.version, rows[i].want);
        } else {
            assert_int_equal(raw_wait(&raw, SSL_accept), SSL_ERROR_SSL);
            WAIT(c.ends);
            assert_int_equal(c.secures, 0);
        }
        raw_done(&raw);
        SSL_CTX_free(ctx);
        end_done(&c);
    }
    tls_context_unref(cc);
}

/* The octets of a hello that are looked at: an area with its length of 1 or 2 octets in front. */
static struct str area(struct str *rest, size_t length_octets)
{
    size_t len = 0;
    assert_true(rest->len >= length_octets);
    for (size_t i = 0; i < length_octets; i++)
        len = len << 8 | (unsigned char)rest->p[i];
    *rest = str_from(*rest, length_octets);
    struct str found = str_upto(*rest, len);
    assert_int_equal(found.len, len);
    *rest = str_from(*rest, len);
    return found;
}

static bool has_extension(struct str extensions, unsigned type)
{
    while (extensions.len) {
        unsigned found =
            (unsigned)(unsigned char)extensions.p[0] << 8 | (unsigned char)extensions.p[1];
        extensions = str_from(extensions, 2);
        (void)area(&extensions, 2);
        if (found == type)
            return true;
    }
    return false;
}

/* TLS-07, TLS-08: what the first flight of our client says about TLS 1.2. */
static void the_hello_offers_what_makes_tls_1_2_safe(void **state)
{
    (void)state;
    struct end c = END_INIT;
    int fd = end_and_socket(&c);
    struct tls_context *cc = client_context(NULL, TLS_VERIFY_NAME);
    stream_start_tls(c.s, cc, "mail.example.org");
    turns(2);
    char octets[4096];
    ssize_t n = recv(fd, octets, sizeof(octets), 0);
    assert_true(n > 5 + 4 + 2 + 32);
    struct str hello = str_from((struct str){octets, (size_t)n}, 5 + 4 + 2 + 32);
    (void)area(&hello, 1); /* session id */
    struct str ciphers = area(&hello, 2), compression = area(&hello, 1);
    struct str extensions = area(&hello, 2);
    bool signalled =
        false; /* [rfc5746 3.3] TLS_EMPTY_RENEGOTIATION_INFO_SCSV says the same as the extension */
    for (size_t i = 0; i + 1 < ciphers.len; i += 2)
        signalled = signalled || memcmp(ciphers.p + i, "\x00\xff", 2) == 0;
    assert_true(signalled || has_extension(extensions, TLSEXT_TYPE_renegotiate));
    assert_true(has_extension(extensions, TLSEXT_TYPE_extended_master_secret));
    assert_true(str_eq(compression, (struct str){"\0", 1}));
    (void)close(fd);
    end_done(&c);
    tls_context_unref(cc);
}

/* TLS-08: a server that does not know of renegotiation_info may be somebody in between. */
static void a_server_without_renegotiation_info_is_left(void **state)
{
    (void)state;
    static const char answer[] = "\x16\x03\x03\x00\x2a"             /* a record of 42 octets */
                                 "\x02\x00\x00\x26\x03\x03"         /* ServerHello of TLS 1.2 */
                                 "0123456789abcdef0123456789abcdef" /* random */
                                 "\x00\xc0\x2b\x00"; /* no id, ECDHE_ECDSA_AES_128_GCM, null */
    struct end c = END_INIT;
    int fd = end_and_socket(&c);
    struct tls_context *cc = client_context(NULL, TLS_VERIFY_NAME);
    stream_start_tls(c.s, cc, "mail.example.org");
    turns(2);
    socket_send(fd, answer, sizeof(answer) - 1);
    WAIT(c.ends);
    assert_int_equal(c.end, STREAM_TLS_FAILED);
    assert_non_null(strstr(c.detail, "unsafe legacy renegotiation disabled"));
    (void)close(fd);
    end_done(&c);
    tls_context_unref(cc);
}

/* TLS-07, TLS-08: and what our server answers. */
static void the_server_answers_tls_1_2_safely(void **state)
{
    (void)state;
    struct end s = END_INIT;
    SSL_CTX *ctx = raw_context(false, NULL);
    (void)SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    struct raw raw = raw_peer(&s, ctx);
    struct tls_context *sc = server_context((struct tls_server_config){.client_certificate = 0});
    stream_start_tls(s.s, sc, NULL);
    assert_int_equal(raw_wait(&raw, SSL_connect), SSL_ERROR_NONE);
    assert_int_equal(SSL_get_secure_renegotiation_support(raw.ssl), 1);
    assert_int_equal(SSL_get_extms_support(raw.ssl), 1);
    assert_null(SSL_get_current_compression(raw.ssl));
    raw_done(&raw);
    SSL_CTX_free(ctx);
    end_done(&s);
    tls_context_unref(sc);
}

/* The length of the client's list of certificates, as a server hears it. */
struct heard_certificate {
    ssize_t list; /* -1: there was no Certificate message */
};

static void
on_message(int sent, int version, int type, const void *data, size_t len, SSL *ssl, void *arg)
{
    (void)version;
    struct heard_certificate *h = arg;
    const unsigned char *p = data;
    if (sent || type != SSL3_RT_HANDSHAKE || len < 4 || p[0] != SSL3_MT_CERTIFICATE)
        return;
    /* In TLS 1.3 the context of the request stands in front, which is empty. */
    size_t at = SSL_version(ssl) == TLS1_3_VERSION ? 5 : 4;
    assert_true(len >= at + 3);
    h->list = p[at] << 16 | p[at + 1] << 8 | p[at + 2];
}

/* CERT-02, CERT-04: our client shows its certificate when it is asked and has one; else it has nothing to say, or says
 * that it has none. */
static void a_client_shows_what_it_was_given_and_only_when_asked(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int version;
        bool asked;
        const struct identity *id;
        enum { NO_MESSAGE, EMPTY, FULL } want;
    } rows[] = {
        {"1.3, asked, none",    TLS1_3_VERSION, true,  NULL,       EMPTY     },
        {"1.3, asked, one",     TLS1_3_VERSION, true,  &client_id, FULL      },
        {"1.3, not asked, one", TLS1_3_VERSION, false, &client_id, NO_MESSAGE},
        {"1.2, asked, none",    TLS1_2_VERSION, true,  NULL,       EMPTY     },
        {"1.2, asked, one",     TLS1_2_VERSION, true,  &client_id, FULL      },
        {"1.2, not asked, one", TLS1_2_VERSION, false, &client_id, NO_MESSAGE},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct end c = END_INIT;
        struct heard_certificate h = {.list = -1};
        struct tls_context *cc = client_context(rows[i].id, TLS_VERIFY_NAME);
        SSL_CTX *ctx = raw_context(true, &server_id);
        (void)SSL_CTX_set_max_proto_version(ctx, rows[i].version);
        assert_int_equal(SSL_CTX_load_verify_locations(ctx, ca.cert_file, NULL), 1);
        if (rows[i].asked)
            SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
        struct raw raw = raw_peer(&c, ctx);
        SSL_set_msg_callback(raw.ssl, on_message);
        SSL_set_msg_callback_arg(raw.ssl, &h);
        stream_start_tls(c.s, cc, "mail.example.org");
        check(rows[i].name, raw_wait(&raw, SSL_accept) == SSL_ERROR_NONE);
        check(rows[i].name, (h.list < 0) == (rows[i].want == NO_MESSAGE));
        check(rows[i].name, (h.list == 0) == (rows[i].want == EMPTY));
        check(rows[i].name, (h.list > 0) == (rows[i].want == FULL));
        raw_done(&raw);
        SSL_CTX_free(ctx);
        end_done(&c);
        tls_context_unref(cc);
    }
}

static void garbage_for_a_hello_ends_it(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
    } rows[] = {
        {"SMTP",    "EHLO mail.example.org\r\n"},
        {"HTTP",    "GET / HTTP/1.1\r\n\r\n"   },
        {"noise",   "\xff\x00\x80zzzzzzzz"     },
        {"SSLv2",   "\x80\x2e\x01\x00\x02....."},
        {"one",     "\x16"                     },
        {"nothing", ""                         },
    };
    struct tls_context *sc = server_context((struct tls_server_config){.client_certificate = 0});
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct end s = END_INIT;
        int fd = end_and_socket(&s);
        stream_start_tls(s.s, sc, NULL);
        socket_send(fd, rows[i].text, strlen(rows[i].text));
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        WAIT(s.ends);
        check(rows[i].name, s.end == STREAM_TLS_FAILED && s.detail[0]);
        if (strlen(rows[i].text) < 2)
            check(rows[i].name, strstr(s.detail, "closed the connection during the TLS handshake"));
        stream_close(s.s);
        s.s = NULL;
        turns(2);
        (void)close(fd);
        end_done(&s);
    }
    tls_context_unref(sc);
}

static void a_stalled_handshake_times_out(void **state)
{
    (void)state;
    struct end s = END_INIT, c = END_INIT;
    int fd_s = end_and_socket(&s), fd_c = end_and_socket(&c);
    struct tls_context *sc = server_context((struct tls_server_config){.client_certificate = 0});
    struct tls_context *cc = client_context(NULL, TLS_VERIFY_NAME);
    stream_start_tls(s.s, sc, NULL);
    stream_start_tls(c.s, cc, "mail.example.org");
    stream_timeout(s.s, 40);
    stream_timeout(c.s, 40);
    stream_pause(c.s); /* does not help the peer: it is not we who are waited for */
    WAIT(s.ends && c.ends);
    assert_int_equal(s.end, STREAM_TIMEOUT);
    assert_string_equal(s.detail, "no progress for 1 s in the TLS handshake");
    assert_string_equal(c.detail, s.detail);
    end_done(&s);
    end_done(&c);
    (void)close(fd_s);
    (void)close(fd_c);
    tls_context_unref(sc);
    tls_context_unref(cc);
}

/* Resumption */

static SSL_SESSION *saved;
static int n_tickets;

static int save_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    n_tickets++;
    SSL_SESSION_free(saved);
    saved = session;
    return 1;
}

static SSL_CTX *resuming_context(int version, const struct identity *id)
{
    SSL_CTX *ctx = raw_context(false, id);
    (void)SSL_CTX_set_max_proto_version(ctx, version);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(ctx, save_session);
    return ctx;
}

/* One connection from hello to goodbye; the end that was ours is left in *s. */
static void visit(struct end *s, struct tls_context *sc, SSL_CTX *ctx, const char *sni, bool resume)
{
    struct raw raw = raw_peer(s, ctx);
    char name[64]; /* the macro below casts const away */
    (void)snprintf(name, sizeof(name), "%s", sni ? sni : "");
    if (sni)
        (void)SSL_set_tlsext_host_name(raw.ssl, name);
    if (resume)
        assert_int_equal(SSL_set_session(raw.ssl, saved), 1);
    stream_start_tls(s->s, sc, NULL);
    assert_int_equal(raw_wait(&raw, SSL_connect), SSL_ERROR_NONE);
    WAIT(s->secures);
    s->leaf = s->facts.leaf;
    if (s->leaf)
        X509_up_ref(s->leaf);
    say(s, "x");
    assert_int_equal(raw_wait(&raw, raw_read_once), SSL_ERROR_NONE);
    assert_int_equal(SSL_session_reused(raw.ssl), s->facts.resumed);
    (void)SSL_shutdown(raw.ssl);
    raw_done(&raw);
    end_done(s);
}

/* The names asked for are none of those in the certificate: that refuses nobody (TLS-10). */
static void taken_back_only_where_it_was_given(struct tls_tickets *t)
{
    static const struct {
        const char *name;
        int version;
        const char *context;
        const char *sni;
        bool extended_master_secret, want;
    } rows[] = {
        {"1.3",                         TLS1_3_VERSION, "submission", "a.example", true,  true },
        {"1.2",                         TLS1_2_VERSION, "submission", "a.example", true,  true },
        {"EDG-15: other listener, 1.3", TLS1_3_VERSION, "other",      "a.example", true,  false},
        {"EDG-15: other listener, 1.2", TLS1_2_VERSION, "other",      "a.example", true,  false},
        {"EDG-15: other name, 1.3",     TLS1_3_VERSION, "submission", "b.example", true,  false},
        {"EDG-15: other name, 1.2",     TLS1_2_VERSION, "submission", "b.example", true,  false},
        {"EDG-15: no name, 1.3",        TLS1_3_VERSION, "submission", NULL,        true,  false},
        {"EDG-16: no extended secret",  TLS1_2_VERSION, "submission", "a.example", false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_context *sc = server_context((struct tls_server_config){
            .client_certificate = TLS_CLIENT_CERT_REQUEST, .session_context = "submission", .tickets = t});
        struct tls_context *sc2 = sc;
        if (strcmp(rows[i].context, "submission") != 0)
            sc2 = server_context((struct tls_server_config){
                .client_certificate = TLS_CLIENT_CERT_REQUEST, .session_context = rows[i].context, .tickets = t});
        SSL_CTX *ctx = resuming_context(rows[i].version, &client_id);
        if (!rows[i].extended_master_secret)
            SSL_CTX_set_options(ctx, SSL_OP_NO_EXTENDED_MASTER_SECRET);
        n_tickets = 0;
        struct end first = END_INIT, second = END_INIT;
        visit(&first, sc, ctx, "a.example", false);
        check(rows[i].name, !first.facts.resumed && first.leaf);
        check(rows[i].name, n_tickets == (rows[i].extended_master_secret ? 1 : n_tickets));
        visit(&second, sc2, ctx, rows[i].sni, saved != NULL);
        check(rows[i].name, second.facts.resumed == rows[i].want);
        /* With or without: whose certificate it was is known, so that it can be judged again
         * (EDG-14). */
        check(rows[i].name, second.leaf && X509_cmp(second.leaf, client_id.cert) == 0);
        check(rows[i].name, !second.facts.resumed || !second.facts.chain);
        X509_free(first.leaf);
        X509_free(second.leaf);
        SSL_SESSION_free(saved);
        saved = NULL;
        SSL_CTX_free(ctx);
        if (sc2 != sc)
            tls_context_unref(sc2);
        tls_context_unref(sc);
    }
}

static void a_session_is_taken_back_only_where_it_was_given(void **state)
{
    (void)state;
    taken_back_only_where_it_was_given(NULL);
    struct tls_tickets *cached = tls_tickets_new(60000, 16);
    taken_back_only_where_it_was_given(cached);
    tls_tickets_unref(cached);
}

/* RES-04: a reload makes another context, and time makes other keys. */
static void ticket_keys_survive_a_reload_and_grow_old(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int version;
        bool shared;
        unsigned cached;
        unsigned turns; /* lifetimes that pass between the two visits, one at a time */
        unsigned leap;  /* and at once */
        bool want;
    } rows[] = {
        {"keys of its own, 1.3",        TLS1_3_VERSION, false, 0, 0, 0, false},
        {"keys of its own, 1.2",        TLS1_2_VERSION, false, 0, 0, 0, false},
        {"shared keys, 1.3",            TLS1_3_VERSION, true,  0, 0, 0, true },
        {"shared keys, 1.2",            TLS1_2_VERSION, true,  0, 0, 0, true },
        {"RES-04: the key before, 1.3", TLS1_3_VERSION, true,  0, 1, 0, true },
        {"RES-04: the key before, 1.2", TLS1_2_VERSION, true,  0, 1, 0, true },
        {"RES-04: an older key, 1.3",   TLS1_3_VERSION, true,  0, 2, 0, false},
        {"RES-04: an older key, 1.2",   TLS1_2_VERSION, true,  0, 2, 0, false},
        {"RES-04: nobody came, 1.3",    TLS1_3_VERSION, true,  0, 0, 2, false},
        {"cached, 1.3",                 TLS1_3_VERSION, true,  8, 0, 0, true },
        {"cached, 1.2",                 TLS1_2_VERSION, true,  8, 0, 0, true },
        {"cached: no key, 1.3",         TLS1_3_VERSION, true,  8, 2, 0, true },
        {"cached: no key, 1.2",         TLS1_2_VERSION, true,  8, 2, 0, true },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_tickets *t = tls_tickets_new(60000, rows[i].cached);
        struct tls_server_config cfg = {.client_certificate = TLS_CLIENT_CERT_REQUEST,
                                        .session_context = "submission",
                                        .tickets = rows[i].shared ? t : NULL};
        struct tls_context *before = server_context(cfg), *after = server_context(cfg);
        SSL_CTX *ctx = resuming_context(rows[i].version, &client_id);
        struct end first = END_INIT, second = END_INIT;
        visit(&first, before, ctx, "a.example", false);
        int64_t now = clock_monotonic_ms();
        for (unsigned turn = 1; turn <= rows[i].turns; turn++)
            tls_tickets_turn_at(t, now += 60001);
        if (rows[i].leap)
            tls_tickets_turn_at(t, now + 60001 * (int64_t)rows[i].leap);
        visit(&second, after, ctx, "a.example", saved != NULL);
        check(rows[i].name, second.facts.resumed == rows[i].want);
        check(rows[i].name, second.leaf && X509_cmp(second.leaf, client_id.cert) == 0);
        X509_free(first.leaf);
        X509_free(second.leaf);
        SSL_SESSION_free(saved);
        saved = NULL;
        SSL_CTX_free(ctx);
        tls_context_unref(before);
        tls_context_unref(after);
        tls_tickets_unref(t);
    }
}

static struct tls_context *cached_context(struct tls_tickets *t)
{
    return server_context((struct tls_server_config){
        .client_certificate = TLS_CLIENT_CERT_REQUEST, .session_context = "submission", .tickets = t});
}

/* Leaves the session of one client in `saved`. */
static SSL_CTX *visited(struct tls_context *sc, int version)
{
    SSL_CTX *ctx = resuming_context(version, &client_id);
    struct end s = END_INIT;
    visit(&s, sc, ctx, "a.example", false);
    assert_false(s.facts.resumed);
    X509_free(s.leaf);
    return ctx;
}

/* [rfc5246 7.2.2] Only a fatal alert spoils it; not that the peer went away without a word [rfc5246 7.2.1]. */
static void an_alert_ends_a_cached_session(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int version;
        bool spoil, want;
    } rows[] = {
        {"1.3, no close_notify", TLS1_3_VERSION, false, true },
        {"1.2, no close_notify", TLS1_2_VERSION, false, true },
        {"1.3, fatal alert",     TLS1_3_VERSION, true,  false},
        {"1.2, fatal alert",     TLS1_2_VERSION, true,  false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_tickets *t = tls_tickets_new(60000, 16);
        struct tls_context *sc = cached_context(t);
        SSL_CTX *ctx = visited(sc, rows[i].version);
        struct end second = END_INIT, third = END_INIT;
        struct raw raw = raw_peer(&second, ctx);
        (void)SSL_set_tlsext_host_name(raw.ssl, "a.example");
        assert_int_equal(SSL_set_session(raw.ssl, saved), 1);
        stream_start_tls(second.s, sc, NULL);
        assert_int_equal(raw_wait(&raw, SSL_connect), SSL_ERROR_NONE);
        WAIT(second.secures);
        check(rows[i].name, second.facts.resumed);
        say(&second, "x"); /* and the next ticket before it */
        assert_int_equal(raw_wait(&raw, raw_read_once), SSL_ERROR_NONE);
        if (rows[i].spoil) /* a record that authenticates as nothing */
            assert_int_equal(write(raw.fd, "\x17\x03\x03\x00\x20" "0123456789abcdef0123456789abcdef", 37), 37);
        assert_int_equal(shutdown(raw.fd, SHUT_WR), 0);
        WAIT(second.ends);
        end_done(&second);
        SSL_set_shutdown(raw.ssl, SSL_SENT_SHUTDOWN); /* or the peer's own copy would be spoilt */
        raw_done(&raw);
        visit(&third, sc, ctx, "a.example", true);
        check(rows[i].name, third.facts.resumed == rows[i].want);
        X509_free(third.leaf);
        SSL_SESSION_free(saved);
        saved = NULL;
        SSL_CTX_free(ctx);
        tls_context_unref(sc);
        tls_tickets_unref(t);
    }
}

/* One connection of ours from hello to goodbye: was the session of an earlier one taken up again? */
static bool
resumes_after(struct tls_context *sc, struct tls_context *cc, const char *name, bool in_order)
{
    struct end s = END_INIT, c = END_INIT;
    start_pair(&s, sc, &c, cc, name);
    WAIT(s.secures && c.secures);
    say(&s, "x"); /* and the ticket before it */
    WAIT(heard(&c, "x"));
    bool resumed = c.facts.resumed;
    assert_int_equal(s.facts.resumed, resumed);
    if (in_order)
        stream_close(c.s);
    else
        stream_abort(c.s);
    c.s = NULL;
    WAIT(s.ends);
    end_done(&s);
    end_done(&c);
    return resumed;
}

static bool resumes(struct tls_context *sc, struct tls_context *cc, const char *name)
{
    return resumes_after(sc, cc, name, true);
}

static void a_client_takes_up_its_session_where_it_got_it(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool resume;
        const char *first, *second;
        bool want;
    } rows[] = {
        {"same name",       true,  "mail.example.org", "mail.example.org", true },
        {"not wanted",      false, "mail.example.org", "mail.example.org", false},
        {"another name",    true,  "mail.example.org", "www.example.net",  false},
        {"name, then none", true,  "mail.example.org", "127.0.0.1",        false},
        {"none, then name", true,  "127.0.0.1",        "mail.example.org", false},
        {"no name at all",  true,  "127.0.0.1",        "127.0.0.1",        true },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_context *sc = server_context((struct tls_server_config){
            .client_certificate = TLS_CLIENT_CERT_REQUEST, .session_context = "submission"});
        struct tls_context *cc = NULL;
        char why[TLS_WHY_MAX];
        struct tls_client_config cfg = {.ca = ca.cert_file,
                                        .certificate = client_id.cert_file,
                                        .key = client_id.key_file,
                                        .verify = TLS_VERIFY_NAME,
                                        .resume = rows[i].resume};
        assert_int_equal(tls_client_context_new(&cfg, &cc, why), 0);
        check(rows[i].name, !resumes(sc, cc, rows[i].first));
        check(rows[i].name, resumes(sc, cc, rows[i].second) == rows[i].want);
        check(rows[i].name, !rows[i].want || resumes_after(sc, cc, rows[i].second, false));
        /* [rfc5246 7.2.1] A connection that broke off does not spoil its session. */
        check(rows[i].name, !rows[i].want || resumes(sc, cc, rows[i].second));
        tls_context_unref(cc);
        tls_context_unref(sc);
    }
}

/* RES-03 */
static void no_session_is_kept_for_more_than_seven_days(void **state)
{
    (void)state;
    enum { DAY_S = 24 * 3600, THEN = 1000000000 };
    SSL_SESSION *session = SSL_SESSION_new();
    (void)SSL_SESSION_set_time(session, THEN);
    assert_true(tls_resume_is_fresh(session, THEN));
    assert_true(tls_resume_is_fresh(session, THEN + 7 * DAY_S - 1));
    assert_false(tls_resume_is_fresh(session, THEN + 7 * DAY_S));
    SSL_SESSION_free(session);
}

/* RES-07: the session of one account is not taken up by another, whoever gave it. */
static void accounts_do_not_share_sessions(void **state)
{
    (void)state;
    struct tls_context *sc = server_context((struct tls_server_config){
        .client_certificate = TLS_CLIENT_CERT_REQUEST, .session_context = "submission"});
    struct tls_client_config cfg = {.ca = ca.cert_file, .verify = TLS_VERIFY_NAME, .resume = true};
    struct tls_context *without = NULL, *with = NULL;
    char why[TLS_WHY_MAX];
    assert_int_equal(tls_client_context_new(&cfg, &without, why), 0);
    cfg.certificate = client_id.cert_file;
    cfg.key = client_id.key_file;
    assert_int_equal(tls_client_context_new(&cfg, &with, why), 0);
    assert_false(resumes(sc, with, "mail.example.org"));
    assert_false(resumes(sc, without, "mail.example.org"));
    assert_true(resumes(sc, with, "mail.example.org"));
    assert_true(resumes(sc, without, "mail.example.org"));
    tls_context_unref(with);
    tls_context_unref(without);
    tls_context_unref(sc);
}

/* What a prober wants to know of the other side: the version is the one asked for, and whether a certificate was. */
static void a_client_chooses_its_version_and_knows_that_it_was_asked(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum tls_version version;
        enum tls_client_cert request;
        const char *want; /* NULL: there is no handshake */
    } rows[] = {
        {"1.2, asked",     TLS_VERSION_1_2,   TLS_CLIENT_CERT_REQUEST, "TLSv1.2"},
        {"1.3, asked",     TLS_VERSION_1_3,   TLS_CLIENT_CERT_REQUEST, "TLSv1.3"},
        {"1.2, not asked", TLS_VERSION_1_2,   TLS_CLIENT_CERT_OFF,     "TLSv1.2"},
        {"usual",          TLS_VERSION_USUAL, TLS_CLIENT_CERT_OFF,     "TLSv1.3"},
        {"TLS-06: 1.1",    TLS_VERSION_1_1,   TLS_CLIENT_CERT_REQUEST, NULL     },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_context *sc =
            server_context((struct tls_server_config){.client_certificate = rows[i].request});
        struct tls_context *cc = NULL;
        char why[TLS_WHY_MAX];
        struct tls_client_config cfg = {.version = rows[i].version};
        assert_int_equal(tls_client_context_new(&cfg, &cc, why), 0);
        struct end s = END_INIT, c = END_INIT;
        start_pair(&s, sc, &c, cc, "mail.example.org");
        WAIT(rows[i].want ? s.secures && c.secures : c.ends);
        if (rows[i].want) {
            check(rows[i].name, strcmp(c.facts.version, rows[i].want) == 0);
            check(rows[i].name, c.facts.asked == (rows[i].request != TLS_CLIENT_CERT_OFF));
            check(rows[i].name, stream_was_asked(c.s) == c.facts.asked);
            check(rows[i].name, !s.facts.asked && !stream_was_asked(s.s));
        } else {
            check(rows[i].name, strcmp(stream_alert(c.s), "protocol_version") == 0);
        }
        end_done(&s);
        end_done(&c);
        tls_context_unref(cc);
        tls_context_unref(sc);
    }
}

/* EDG-17 */
static void tickets_allow_no_early_data(void **state)
{
    (void)state;
    struct tls_context *sc = server_context((struct tls_server_config){.client_certificate = 0});
    SSL_CTX *ctx = resuming_context(TLS1_3_VERSION, NULL);
    struct end s = END_INIT;
    visit(&s, sc, ctx, NULL, false);
    assert_int_equal(SSL_SESSION_get_max_early_data(saved), 0);
    SSL_SESSION_free(saved);
    saved = NULL;
    SSL_CTX_free(ctx);
    tls_context_unref(sc);
}

/* Data */

static void a_pipelined_group_is_answered_in_one_record(void **state)
{
    (void)state;
    struct end s = END_INIT;
    SSL_CTX *ctx = raw_context(false, NULL);
    struct raw raw = raw_peer(&s, ctx);
    struct tls_context *sc = server_context((struct tls_server_config){.client_certificate = 0});
    stream_start_tls(s.s, sc, NULL);
    assert_int_equal(raw_wait(&raw, SSL_connect), SSL_ERROR_NONE);
    WAIT(s.secures);
    say(&s, "x"); /* and the ticket before it */
    assert_int_equal(raw_wait(&raw, raw_read_once), SSL_ERROR_NONE);
    say(&s, "250 one\r\n");
    say(&s, "250 two\r\n");
    say(&s, "354 three\r\n");
    turns(1);
    unsigned char record[256];
    ssize_t n = recv(raw.fd, record, sizeof(record), MSG_PEEK);
    assert_true(n > 5);
    assert_int_equal(n, 5 + (record[3] << 8 | record[4]));
    assert_int_equal(raw_wait(&raw, raw_read_once), SSL_ERROR_NONE);
    assert_string_equal(raw_text, "250 one\r\n250 two\r\n354 three\r\n");
    raw_done(&raw);
    SSL_CTX_free(ctx);
    end_done(&s);
    tls_context_unref(sc);
}

/* Sends a pattern of `left` octets as fast as `drained` and the maximum allow. */
struct pump {
    struct end *e;
    size_t sent, size;
};

static unsigned char pattern(size_t i)
{
    return (unsigned char)(i * 31 + i / 251);
}

static void pump_some(struct pump *p)
{
    static char block[100000];
    while (p->sent < p->size) {
        size_t n = MIN(sizeof(block), p->size - p->sent);
        for (size_t i = 0; i < n; i++)
            block[i] = (char)pattern(p->sent + i);
        int r = stream_write(p->e->s, block, n);
        if (r == -ENOBUFS)
            return;
        assert_int_equal(r, 0);
        p->sent += n;
    }
}

static void toggle_pause(void *arg)
{
    static bool paused;
    struct end *e = arg;
    paused = !paused;
    if (paused)
        stream_pause(e->s);
    else
        stream_resume(e->s);
}

static void large_transfers_cross_unharmed(void **state)
{
    (void)state;
    const size_t size = 6 * 1024 * 1024 + 12345;
    struct end s = END_INIT, c = END_INIT;
    struct tls_context *sc = server_context((struct tls_server_config){.client_certificate = 0});
    struct tls_context *cc = client_context(NULL, TLS_VERIFY_NONE);
    start_pair(&s, sc, &c, cc, NULL);
    s.appetite = 50000; /* some is left over at nearly every call */
    struct pump there = {.e = &s, .size = size}, back = {.e = &c, .size = size};
    while (c.got.len < size || s.got.len < size) {
        pump_some(&there);
        pump_some(&back);
        toggle_pause(&s);
        turns(1);
    }
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)s.got.data[i] != pattern(i) ||
            (unsigned char)c.got.data[i] != pattern(i))
            fail_msg("octet %zu differs", i);
    assert_int_equal(stream_output_pending(s.s), 0);
    end_done(&s);
    end_done(&c);
    tls_context_unref(sc);
    tls_context_unref(cc);
}

/* The socket is empty then, and only the TLS layer knows that there is more. */
static void what_tls_holds_back_comes_after_a_pause(void **state)
{
    (void)state;
    struct end s = END_INIT, c = END_INIT;
    static const char block[200 * 1024];
    struct tls_context *sc = server_context((struct tls_server_config){.client_certificate = 0});
    struct tls_context *cc = client_context(NULL, TLS_VERIFY_NONE);
    start_pair(&s, sc, &c, cc, NULL);
    WAIT(s.secures && c.secures);
    stream_pause(s.s);
    assert_int_equal(stream_write(c.s, block, sizeof(block)), 0);
    turns(10);
    assert_int_equal(s.got.len, 0);
    stream_resume(s.s);
    WAIT(s.got.len == sizeof(block));
    end_done(&s);
    end_done(&c);
    tls_context_unref(sc);
    tls_context_unref(cc);
}

/* A TCP connection on loopback, whose socket holds more than one turn of the loop moves. */
static struct raw raw_peer_tcp(struct end *e, SSL_CTX *ctx)
{
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sin);
    int lfd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), size = 1024 * 1024;
    (void)setsockopt(lfd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    assert_int_equal(bind(lfd, (struct sockaddr *)&sin, len), 0);
    assert_int_equal(listen(lfd, 1), 0);
    assert_int_equal(getsockname(lfd, (struct sockaddr *)&sin, &len), 0);
    struct raw raw = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), .ssl = SSL_new(ctx)};
    (void)setsockopt(raw.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    assert_int_equal(connect(raw.fd, (struct sockaddr *)&sin, len), 0);
    e->s = stream_accepted(loop, accept(lfd, NULL, NULL), &end_ops, e);
    (void)close(lfd);
    assert_int_equal(fcntl(raw.fd, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(SSL_set_fd(raw.ssl, raw.fd), 1);
    return raw;
}

/* A turn ends in the middle of a record whose rest is not in the socket any more. */
static void a_turn_that_moved_its_share_is_followed_by_another(void **state)
{
    (void)state;
    enum { RECORD = 16000, RECORDS = 17 }; /* just more than the 256 KiB of one turn */
    static const char record[RECORD];
    struct end s = END_INIT;
    SSL_CTX *ctx = raw_context(false, NULL);
    struct raw raw = raw_peer_tcp(&s, ctx);
    struct tls_context *sc = server_context((struct tls_server_config){.client_certificate = 0});
    stream_start_tls(s.s, sc, NULL);
    assert_int_equal(raw_wait(&raw, SSL_connect), SSL_ERROR_NONE);
    WAIT(s.secures);
    for (int i = 0; i < RECORDS;)
        if (SSL_write(raw.ssl, record, RECORD) == RECORD)
            i++;
        else
            turns(1);
    int left = 1;
    for (int i = 0; left && i < 100000; i++)
        assert_int_equal(ioctl(raw.fd, TIOCOUTQ, &left), 0);
    WAIT(s.got.len == (size_t)RECORD * RECORDS);
    raw_done(&raw);
    SSL_CTX_free(ctx);
    end_done(&s);
    tls_context_unref(sc);
}

static void a_key_update_goes_unnoticed(void **state)
{
    (void)state;
    struct end s = END_INIT;
    SSL_CTX *ctx = raw_context(false, NULL);
    struct raw raw = raw_peer(&s, ctx);
    struct tls_context *sc = server_context((struct tls_server_config){.client_certificate = 0});
    stream_start_tls(s.s, sc, NULL);
    assert_int_equal(raw_wait(&raw, SSL_connect), SSL_ERROR_NONE);
    WAIT(s.secures);
    assert_int_equal(SSL_key_update(raw.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    raw_say(&raw, "after");
    WAIT(heard(&s, "after"));
    say(&s, "yes");
    assert_int_equal(raw_wait(&raw, raw_read_once), SSL_ERROR_NONE);
    assert_string_equal(raw_text, "yes");
    raw_done(&raw);
    SSL_CTX_free(ctx);
    end_done(&s);
    tls_context_unref(sc);
}

/* Closing */

static void closing_says_goodbye_after_the_last_reply(void **state)
{
    (void)state;
    struct end s = END_INIT;
    SSL_CTX *ctx = raw_context(false, NULL);
    struct raw raw = raw_peer(&s, ctx);
    struct tls_context *sc = server_context((struct tls_server_config){.client_certificate = 0});
    stream_start_tls(s.s, sc, NULL);
    assert_int_equal(raw_wait(&raw, SSL_connect), SSL_ERROR_NONE);
    WAIT(s.secures);
    say(&s, "221 bye");
    stream_close(s.s);
    s.s = NULL;
    assert_int_equal(raw_wait(&raw, raw_read_once), SSL_ERROR_NONE);
    assert_string_equal(raw_text, "221 bye");
    assert_int_equal(raw_wait(&raw, raw_read_once), SSL_ERROR_ZERO_RETURN); /* TLS-12 */
    raw_done(&raw);
    SSL_CTX_free(ctx);
    end_done(&s);
    tls_context_unref(sc);
}

/* An opportunistic client takes any certificate; it must not be blamed for what comes later. */
static void noise_in_a_secure_stream_is_named_as_such(void **state)
{
    (void)state;
    struct end c = END_INIT;
    SSL_CTX *ctx = raw_context(true, &stranger_id);
    struct raw raw = raw_peer(&c, ctx);
    struct tls_context *cc = client_context(NULL, TLS_VERIFY_NONE);
    stream_start_tls(c.s, cc, "mail.example.org");
    assert_int_equal(raw_wait(&raw, SSL_accept), SSL_ERROR_NONE);
    WAIT(c.secures);
    socket_send(raw.fd, "\x17\x03\x03\x00\x20--------------------------------", 37);
    WAIT(c.ends);
    assert_int_equal(c.end, STREAM_TLS_FAILED);
    assert_string_equal(c.detail,
                        "decryption failed or bad record mac (TLS alert bad_record_mac sent)");
    raw_done(&raw);
    SSL_CTX_free(ctx);
    end_done(&c);
    tls_context_unref(cc);
}

static void an_end_with_and_without_goodbye(void **state)
{
    (void)state;
    static const struct {
        bool notify;
        const char *detail;
    } rows[] = {
        {true,  "closed by the peer"             },
        {false, "closed without TLS close_notify"},
    };
    struct tls_context *sc = server_context((struct tls_server_config){.client_certificate = 0});
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct end s = END_INIT;
        SSL_CTX *ctx = raw_context(false, NULL);
        struct raw raw = raw_peer(&s, ctx);
        stream_start_tls(s.s, sc, NULL);
        assert_int_equal(raw_wait(&raw, SSL_connect), SSL_ERROR_NONE);
        raw_say(&raw, "QUIT");
        if (rows[i].notify)
            (void)SSL_shutdown(raw.ssl);
        assert_int_equal(shutdown(raw.fd, SHUT_WR), 0);
        WAIT(s.ends);
        assert_int_equal(s.end, STREAM_EOF);
        assert_string_equal(s.detail, rows[i].detail);
        assert_true(heard(&s, "QUIT"));
        say(&s, "221 bye"); /* half-closed: it still hears us */
        stream_close(s.s);
        s.s = NULL;
        assert_int_equal(raw_wait(&raw, raw_read_once), SSL_ERROR_NONE);
        assert_string_equal(raw_text, "221 bye");
        raw_done(&raw);
        SSL_CTX_free(ctx);
        end_done(&s);
    }
    tls_context_unref(sc);
}

static void closing_in_the_handshake_lets_nothing_out_in_the_clear(void **state)
{
    (void)state;
    struct end s = END_INIT;
    int fd = end_and_socket(&s);
    struct tls_context *sc = server_context((struct tls_server_config){.client_certificate = 0});
    say(&s, "220 go");
    stream_start_tls(s.s, sc, NULL);
    say(&s, "secret");
    stream_close(s.s); /* before the 220 has left */
    s.s = NULL;
    turns(2);
    char reply[32];
    assert_int_equal(recv(fd, reply, sizeof(reply), 0), 6);
    assert_memory_equal(reply, "220 go", 6);
    assert_int_equal(recv(fd, reply, sizeof(reply), 0), 0);
    (void)close(fd);
    fd = end_and_socket(&s);
    stream_start_tls(s.s, sc, NULL);
    say(&s, "secret");
    turns(2);
    stream_close(s.s); /* in the middle of the handshake */
    s.s = NULL;
    turns(2);
    assert_int_equal(recv(fd, reply, sizeof(reply), 0), 0);
    (void)close(fd);
    end_done(&s);
    tls_context_unref(sc);
}

/* Names and files */

/* ID-01 to ID-04: whom we take for the server we were looking for; with what alert the others are left. */
static void the_server_is_held_to_its_name(void **state)
{
    (void)state;
    static const char mismatch[] = "hostname mismatch";
    static const struct {
        const char *name;
        const struct identity *server;
        const char *want; /* NULL: accepted */
        int alert;
    } rows[] = {
        {"mail.example.org",      &server_id,   NULL,                                     0                         },
        {"mail.example.org.",     &server_id,   NULL,                                     0                         },
        {"MAIL.example.org",      &server_id,   NULL,                                     0                         },
        {"a.example.net",         &server_id,   NULL,                                     0                         },
        {"127.0.0.1",             &server_id,   NULL,                                     0                         },
        {"a.b.example.net",       &server_id,   mismatch,                                 SSL_AD_BAD_CERTIFICATE    },
        {"example.net",           &server_id,   mismatch,                                 SSL_AD_BAD_CERTIFICATE    },
        {"example.org",           &server_id,   mismatch,                                 SSL_AD_BAD_CERTIFICATE    },
        {"127.0.0.2",             &server_id,   "IP address mismatch",                    SSL_AD_BAD_CERTIFICATE    },
        {"xn--bcher-kva.example", &odd_id,      NULL,                                     0                         },
        {"XN--BCHER-KVA.example", &odd_id,      NULL,                                     0                         },
        {"foo.example.com",       &odd_id,      mismatch,                                 SSL_AD_BAD_CERTIFICATE    }, /* f* */
        {"a.b.example.com",       &odd_id,      mismatch,                                 SSL_AD_BAD_CERTIFICATE    }, /* a.* */
        {"127.0.0.3",             &odd_id,      "IP address mismatch",                    SSL_AD_BAD_CERTIFICATE    }, /* as DNS name */
        {"cn-only",               &cn_only_id,  mismatch,                                 SSL_AD_BAD_CERTIFICATE    }, /* ID-03 */
        {"mail.example.org",      &expired_id,  "certificate has expired",                SSL_AD_CERTIFICATE_EXPIRED},
        {"stranger.example",      &stranger_id, "unable to get local issuer certificate",
         SSL_AD_UNKNOWN_CA                                                                                          },
        {"",                      &server_id,   "TLS cannot be started",                  0                         },
        {NULL,                    &server_id,   "TLS cannot be started",                  0                         },
    };
    struct tls_context *cc = client_context(NULL, TLS_VERIFY_NAME);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const char *name = rows[i].name ? rows[i].name : "no name";
        struct end c = END_INIT;
        SSL_CTX *ctx = raw_context(true, rows[i].server);
        struct raw raw = raw_peer(&c, ctx);
        stream_start_tls(c.s, cc, rows[i].name);
        if (!rows[i].want) {
            check(name, raw_wait(&raw, SSL_accept) == SSL_ERROR_NONE);
            WAIT(c.secures);
            const char *sni = SSL_get_servername(raw.ssl, TLSEXT_NAMETYPE_host_name);
            bool literal = name[0] == '1';
            check(name, (sni == NULL) == literal); /* TLS-09 */
            check(name, !sni || sni[strlen(sni) - 1] != '.');
        } else {
            if (rows[i].alert) {
                check(name, raw_wait(&raw, SSL_accept) == SSL_ERROR_SSL);
                check(name, raw_alert() == rows[i].alert);
            }
            WAIT(c.ends);
            check(name, c.end == STREAM_TLS_FAILED);
            if (!strstr(c.detail, rows[i].want))
                fail_msg("%s: %s", name, c.detail);
        }
        raw_done(&raw);
        SSL_CTX_free(ctx);
        end_done(&c);
    }
    tls_context_unref(cc);
}

/* CB-05: the server's certificate as its client sees it. */
static bool is_server_certificate(struct str name)
{
    unsigned char hash[32];
    return X509_digest(server_id.cert, EVP_sha256(), hash, NULL) == 1 &&
           str_eq(name, (struct str){(const char *)hash, sizeof(hash)});
}

/* CB-01, CB-02: both ends of a connection call it the same, under TLS 1.2 by the exporter only with the extended master
 * secret. */
static void a_connection_has_one_name(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int version;
        bool no_ems;
        int want;
    } rows[] = {
        {"TLS 1.3",             TLS1_3_VERSION, false, 0          },
        {"TLS 1.2",             TLS1_2_VERSION, false, 0          },
        {"TLS 1.2 without EMS", TLS1_2_VERSION, true,  -EOPNOTSUPP},
    };
    static const char label[] = "EXPORTER-Channel-Binding";
    struct tls_context *cc = client_context(NULL, TLS_VERIFY_NAME);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct end c = END_INIT;
        struct buf ours = BUF_INIT(64);
        unsigned char theirs[32];
        SSL_CTX *ctx = raw_context(true, &server_id);
        assert_int_equal(SSL_CTX_set_max_proto_version(ctx, rows[i].version), 1);
        if (rows[i].no_ems)
            SSL_CTX_set_options(ctx, SSL_OP_NO_EXTENDED_MASTER_SECRET);
        struct raw raw = raw_peer(&c, ctx);
        check(rows[i].name, stream_channel_binding(c.s, TLS_BINDING_EXPORTER, &ours) == -EOPNOTSUPP);
        stream_start_tls(c.s, cc, "mail.example.org");
        check(rows[i].name, raw_wait(&raw, SSL_accept) == SSL_ERROR_NONE);
        WAIT(c.secures);
        check(rows[i].name, stream_channel_binding(c.s, TLS_BINDING_EXPORTER, &ours) == rows[i].want);
        if (rows[i].want == 0) {
            assert_int_equal(SSL_export_keying_material(raw.ssl, theirs, 32, label, sizeof(label) - 1, NULL, 0, 0), 1);
            check(rows[i].name, str_eq(buf_str(&ours), (struct str){(const char *)theirs, 32}));
        }
        check(rows[i].name, stream_channel_binding(c.s, TLS_BINDING_END_POINT, &ours) == 0);
        check(rows[i].name, is_server_certificate(buf_str(&ours)));
        buf_done(&ours);
        raw_done(&raw);
        SSL_CTX_free(ctx);
        end_done(&c);
    }
    tls_context_unref(cc);
}

static void write_file(char path[128], const char *name, const char *text)
{
    (void)snprintf(path, 128, "%s/%s", netkit_dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    (void)fputs(text, f);
    (void)fclose(f);
}

static void wrong_files_are_named(void **state)
{
    (void)state;
    char junk[128], locked[128];
    write_file(junk, "junk", "this is no PEM\n");
    write_file(locked, "locked", "");
    FILE *f = fopen(locked, "w");
    assert_non_null(f);
    unsigned char pass[] = "pass";
    assert_int_equal(
        PEM_write_PKCS8PrivateKey(f, server_id.key, EVP_aes_128_cbc(), (char *)pass, 4, NULL, NULL),
        1);
    (void)fclose(f);
    const char *cert = server_id.cert_file, *key = server_id.key_file;
    const struct {
        const char *name, *cert, *key, *want;
    } rows[] = {
        {"absent",      "/none", key,                "the certificate file /none: No such file"   },
        {"no key file", cert,    "/none",            "the key file /none: No such file"           },
        {"no key",      cert,    NULL,               "needs a key file"                           },
        {"junk",        junk,    key,                "no usable PEM or PKCS#12 certificate in"               },
        {"junk key",    cert,    junk,               "no usable PEM or PKCS#12 private key in"               },
        {"other's key", cert,    client_id.key_file, "does not belong to the certificate in"      },
        {"locked",      cert,    locked,             "is encrypted: store it without a passphrase"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_server_config cfg = {.certificate = rows[i].cert, .key = rows[i].key};
        struct tls_client_config client = {.certificate = rows[i].cert, .key = rows[i].key};
        struct tls_context *c = NULL;
        char why[TLS_WHY_MAX] = "";
        check(rows[i].name, tls_server_context_new(&cfg, &c, why) < 0 && !c);
        if (!strstr(why, rows[i].want))
            fail_msg("%s: %s", rows[i].name, why);
        check(rows[i].name, tls_client_context_new(&client, &c, why) < 0 && !c);
        check(rows[i].name, ERR_peek_error() == 0);
    }
    struct tls_client_config bad_ca = {.ca = junk, .verify = TLS_VERIFY_NAME};
    struct tls_context *c = NULL;
    char why[TLS_WHY_MAX] = "";
    assert_int_equal(tls_client_context_new(&bad_ca, &c, why), -EINVAL);
    assert_non_null(strstr(why, "no usable PEM certificate in"));
    bad_ca.ca = NULL; /* the system's */
    assert_int_equal(tls_client_context_new(&bad_ca, &c, why), 0);
    tls_context_unref(c);
    (void)unlink(junk);
    (void)unlink(locked);
}

/* SIGPIPE is left as it is by default here: the test program would die of it. */
static void writing_to_a_closed_peer_kills_nobody(void **state)
{
    (void)state;
    static const char block[64 * 1024];
    struct end s = END_INIT;
    SSL_CTX *ctx = raw_context(false, NULL);
    struct raw raw = raw_peer(&s, ctx);
    struct tls_context *sc = server_context((struct tls_server_config){.client_certificate = 0});
    stream_start_tls(s.s, sc, NULL);
    assert_int_equal(raw_wait(&raw, SSL_connect), SSL_ERROR_NONE);
    WAIT(s.secures);
    stream_pause(s.s);
    raw_done(&raw);
    assert_int_equal(stream_write(s.s, block, sizeof(block)), 0);
    WAIT(s.ends);
    assert_int_equal(s.end, STREAM_RESET);
    SSL_CTX_free(ctx);
    end_done(&s);
    tls_context_unref(sc);
}

static void expire(struct identity *id, const char *name)
{
    (void)X509_gmtime_adj(X509_getm_notAfter(id->cert), -60);
    assert_true(X509_sign(id->cert, ca.key, EVP_sha256()) > 0);
    identity_write(id, name);
}

int main(void)
{
    netkit_dir_make();
    ca = identity_make("ca", NULL, NULL);
    other_ca = identity_make("other-ca", NULL, NULL);
    server_id = identity_make("server", "DNS:mail.example.org,DNS:*.example.net,IP:127.0.0.1", &ca);
    client_id = identity_make("client", "email:ann@example.org", &ca);
    stranger_id =
        identity_make("stranger", "email:eve@example.org,DNS:stranger.example", &other_ca);
    cn_only_id = identity_make("cn-only", NULL, &ca);
    odd_id = identity_make(
        "odd", "DNS:xn--bcher-kva.example,DNS:f*.example.com,DNS:a.*.example.com,DNS:127.0.0.3",
        &ca);
    expired_id = identity_make("expired", "DNS:mail.example.org", &ca);
    expire(&expired_id, "expired");
    const struct CMUnitTest tests[] = {
        NETTEST(both_ends_learn_the_facts),
        NETTEST(a_request_names_authorities_when_told_to),
        NETTEST(any_certificate_or_none_gets_through),
        NETTEST(the_chain_is_there_to_be_judged_and_then_goes),
        NETTEST(a_refusal_names_its_alert),
        NETTEST(a_request_alone_refuses_nobody),
        NETTEST(injected_plaintext_is_thrown_away),
        NETTEST(plaintext_kept_by_a_paused_user_is_thrown_away_too),
        NETTEST(old_and_foreign_clients_are_refused_by_alert),
        NETTEST(renegotiation_is_refused),
        NETTEST(the_client_wants_a_new_version_too),
        NETTEST(the_hello_offers_what_makes_tls_1_2_safe),
        NETTEST(a_server_without_renegotiation_info_is_left),
        NETTEST(the_server_answers_tls_1_2_safely),
        NETTEST(a_client_shows_what_it_was_given_and_only_when_asked),
        NETTEST(garbage_for_a_hello_ends_it),
        NETTEST(a_stalled_handshake_times_out),
        NETTEST(a_session_is_taken_back_only_where_it_was_given),
        NETTEST(a_client_takes_up_its_session_where_it_got_it),
        NETTEST(ticket_keys_survive_a_reload_and_grow_old),
        NETTEST(an_alert_ends_a_cached_session),
        NETTEST(no_session_is_kept_for_more_than_seven_days),
        NETTEST(accounts_do_not_share_sessions),
        NETTEST(a_client_chooses_its_version_and_knows_that_it_was_asked),
        NETTEST(tickets_allow_no_early_data),
        NETTEST(a_pipelined_group_is_answered_in_one_record),
        NETTEST(large_transfers_cross_unharmed),
        NETTEST(what_tls_holds_back_comes_after_a_pause),
        NETTEST(a_turn_that_moved_its_share_is_followed_by_another),
        NETTEST(a_key_update_goes_unnoticed),
        NETTEST(closing_says_goodbye_after_the_last_reply),
        NETTEST(noise_in_a_secure_stream_is_named_as_such),
        NETTEST(an_end_with_and_without_goodbye),
        NETTEST(closing_in_the_handshake_lets_nothing_out_in_the_clear),
        NETTEST(the_server_is_held_to_its_name),
        NETTEST(a_connection_has_one_name),
        NETTEST(wrong_files_are_named),
        NETTEST(writing_to_a_closed_peer_kills_nobody),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    struct identity *all[] = {&ca,          &other_ca,   &server_id, &client_id,
                              &stranger_id, &cn_only_id, &odd_id,    &expired_id};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        identity_done(all[i]);
    netkit_dir_remove();
    return failed;
}
