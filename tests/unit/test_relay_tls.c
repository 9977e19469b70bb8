/* The relay as somebody: TLS policies and the certificate's two sequences, against scripted next hops. */
#include "relaykit.h"

#include <sys/stat.h>

#define CLEAR                                                                                      \
    "S: 220 hi\nC: EHLO me.example\nS: 250-hop\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 go\nT:\n"
#define INSIDE(list) "C: EHLO me.example\nS: 250-hop\n" list "S: 250 HELP\n"
#define OK "S: 250 ok\n"
#define MESSAGE                                                                                    \
    "C: MAIL FROM:<ann@example.org>\n" OK "C: RCPT TO:<bob@example.net>\n" OK                      \
    "C: DATA\nS: 354 go\n.:\n" OK
#define BYE "C: QUIT\nS: 221 bye\n"

static struct identity ca, server, client;

static int make_identities(void **state)
{
    (void)state;
    netkit_dir_make();
    ca = identity_make("ca", NULL, NULL);
    server = identity_make("server", "DNS:hop.example,IP:127.0.0.1", &ca);
    client = identity_make("client", "email:me@example.org", &ca);
    return 0;
}

static int drop_identities(void **state)
{
    (void)state;
    identity_done(&ca);
    identity_done(&server);
    identity_done(&client);
    char password[128];
    (void)snprintf(password, sizeof(password), "%s/password", netkit_dir);
    (void)unlink(password);
    netkit_dir_remove();
    return 0;
}

static int accept_nobody(void *arg, struct x509_st *leaf, struct stack_st_X509 *chain)
{
    (void)arg;
    (void)leaf;
    (void)chain;
    return X509_V_ERR_CERT_REVOKED;
}

static void use_tls(struct peer *p, bool refuse)
{
    char why[TLS_WHY_MAX];
    struct tls_server_config cfg = {
        .certificate = server.cert_file,
        .key = server.key_file,
        .client_certificate = refuse ? TLS_CLIENT_CERT_REQUIRE : TLS_CLIENT_CERT_REQUEST,
        .verify = accept_nobody,
        .session_context = "test",
    };
    if (tls_server_context_new(&cfg, &p->tls, why) < 0)
        fail_msg("%s", why);
}

static struct route_config *tls_route(struct house *h, const struct peer *p, enum route_tls tls)
{
    house_route_to(h, "default", p);
    struct route_config *r = &h->routes[h->cfg.n_routes - 1];
    r->tls = tls;
    r->ca = ca.cert_file;
    r->tls_name = "hop.example";
    return r;
}

static void log_in(struct route_config *r, enum route_login login)
{
    r->certificate = client.cert_file;
    r->key = client.key_file;
    r->login = login;
}

static void send_one(struct house *h)
{
    house_send(h, "ann@example.org", "bob@example.net", "A: b\r\n\r\nc\r\n");
}

/* REL-09: at a smart host we are a submission client; TLS-02: by STARTTLS and by TLS from the first octet. */
static void both_sequences_work(void **state)
{
    (void)state;
    static const struct {
        const char *name, *script, *sequence;
        enum route_login login;
        bool implicit_tls;
    } rows[] = {
        {"sequence 1, external",
         CLEAR INSIDE("S: 250-AUTH EXTERNAL\n") "C: AUTH EXTERNAL =\nS: 235 2.7.0 ok\n"
                                                "C: MAIL FROM:<ann@example.org> AUTH=<>\n" OK
                                                "C: RCPT TO:<bob@example.net>\n" OK
                                                "C: DATA\nS: 354 go\n.:\n" OK BYE,
         "sequence=explicit",                                                                                   ROUTE_LOGIN_EXTERNAL, false},
        {"sequence 1, auto",
         CLEAR INSIDE(
             "S: 250-AUTH EXTERNAL\n") "C: AUTH EXTERNAL =\nS: 235 2.7.0 ok\nC: MAIL *\n" OK
                                       "C: RCPT *\n" OK "C: DATA\nS: 354 go\n.:\n" OK BYE,
         "sequence=explicit",                                                                                   ROUTE_LOGIN_AUTO,     false},
        {"sequence 2, auto",         CLEAR INSIDE("") MESSAGE BYE,                         "sequence=implicit", ROUTE_LOGIN_AUTO,
         false                                                                                                                             },
        {"sequence 2, then 1",
         CLEAR INSIDE("S: 250-AUTH EXTERNAL\n") "C: MAIL *\nS: 530 5.7.0 login\nC: AUTH EXTERNAL "
                                                "=\nS: 235 ok\n"
                                                "C: MAIL *\n" OK "C: RCPT *\n" OK
                                                "C: DATA\nS: 354 go\n.:\n" OK BYE,
         "sequence=explicit",                                                                                   ROUTE_LOGIN_IMPLICIT, false},
        {"TLS from the first octet",
         "T:\nS: 220 hi\n" INSIDE(
             "S: 250-AUTH EXTERNAL\n") "C: AUTH EXTERNAL =\nS: 235 ok\nC: MAIL *\n" OK
                                       "C: RCPT *\n" OK "C: DATA\nS: 354 go\n.:\n" OK BYE,
         "sequence=explicit",                                                                                   ROUTE_LOGIN_AUTO,     true },
        {"no login asked",           CLEAR INSIDE("S: 250-AUTH EXTERNAL\n") MESSAGE BYE,   "tls=TLSv1.3",
         ROUTE_LOGIN_NONE,                                                                                                            false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct peer p = {0};
        use_tls(&p, false);
        PEER_START(&p, rows[i].script);
        struct house h = {0};
        house_open(&h);
        struct route_config *r = tls_route(&h, &p, ROUTE_TLS_VERIFY);
        log_in(r, rows[i].login);
        r->tls_implicit = rows[i].implicit_tls;
        house_start(&h);
        send_one(&h);
        LOG_WAIT(" delivered ", rows[i].sequence, "tls=TLSv1.3", "cipher=TLS_");
        house_close(&h, 0);
        peer_stop(&p);
    }
}

/* A certificate that no longer opens the door is our trouble, not the message's. */
static void a_refused_login_defers(void **state)
{
    (void)state;
    static const char *const scripts[] = {
        CLEAR INSIDE("S: 250-AUTH EXTERNAL\n") "C: AUTH EXTERNAL =\nS: 535 5.7.8 expired\n" BYE,
        CLEAR INSIDE("S: 250-AUTH PLAIN\n") "C: MAIL *\nS: 530 5.7.0 login\n" INSIDE(
            "S: 250-AUTH PLAIN\n") BYE,
    };
    static const char *const words[] = {"535 5.7.8 expired (in reply to AUTH)",
                                        "EXTERNAL is not among its mechanisms (PLAIN)"};
    for (size_t i = 0; i < ARRAY_LEN(scripts); i++) {
        struct peer p = {0};
        use_tls(&p, false);
        PEER_START(&p, scripts[i]);
        struct house h = {0};
        house_open(&h);
        log_in(tls_route(&h, &p, ROUTE_TLS_VERIFY), ROUTE_LOGIN_AUTO);
        house_start(&h);
        send_one(&h);
        LOG_WAIT(words[i]);
        house_close(&h, 1);
        peer_stop(&p);
    }
}

/* ---- passwords ---- */

static const char *password_file(const char *password, mode_t mode)
{
    static char path[128];
    (void)snprintf(path, sizeof(path), "%s/password", netkit_dir);
    (void)unlink(path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fchmod(fileno(f), mode), 0);
    (void)fprintf(f, "%s\n", password);
    assert_int_equal(fclose(f), 0);
    return path;
}

#define OF_ANN(password64) "C: AUTH PLAIN " password64 "\n"
#define ANN_SECRET "AGFubgBzZWNyZXQ="  /* "\0ann\0secret" */
#define ANN_RENEWED "AGFubgByZW5ld2Vk" /* "\0ann\0renewed" */
#define TO_BOB "C: MAIL *\n" OK "C: RCPT *\n" OK "C: DATA\nS: 354 go\n.:\n" OK

/* REL-09, PLN-01: a smart host that knows us by a password. */
static void passwords_work(void **state)
{
    (void)state;
    static const struct {
        const char *name, *script;
        enum route_login login;
        bool certificate, implicit_tls;
    } rows[] = {
        {"auto",
         CLEAR INSIDE("S: 250-AUTH LOGIN PLAIN\n") OF_ANN(ANN_SECRET) "S: 235 ok\n" TO_BOB BYE,
         ROUTE_LOGIN_AUTO,  false, false},
        {"plain",
         CLEAR INSIDE("S: 250-AUTH SCRAM-SHA-256 PLAIN\n")
             OF_ANN(ANN_SECRET) "S: 235 ok\n" TO_BOB BYE,
         ROUTE_LOGIN_PLAIN, false, false},
        {"scram first, as it is safer",
         CLEAR INSIDE("S: 250-AUTH SCRAM-SHA-256 PLAIN\n") "C: AUTH SCRAM-SHA-256 *\nS: 504 5.5.4 "
                                                           "no\n" OF_ANN(
                                                               ANN_SECRET) "S: 235 ok\n" TO_BOB BYE,
         ROUTE_LOGIN_AUTO,  false, false},
        {"TLS from the first octet",
         "T:\nS: 220 hi\n" INSIDE("S: 250-AUTH PLAIN\n")
             OF_ANN(ANN_SECRET) "S: 235 ok\n" TO_BOB BYE,
         ROUTE_LOGIN_AUTO,  false, true },
        {"the certificate first",
         CLEAR INSIDE("S: 250-AUTH EXTERNAL PLAIN\n") "C: AUTH EXTERNAL =\nS: 535 5.7.8 no\nC: "
                                                      "AUTH EXTERNAL YW5u\nS: 535 5.7.8 "
                                                      "no\n" OF_ANN(
                                                          ANN_SECRET) "S: 235 ok\n" TO_BOB BYE,
         ROUTE_LOGIN_AUTO,  true,  false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct peer p = {0};
        use_tls(&p, false);
        PEER_START(&p, rows[i].script);
        struct house h = {0};
        house_open(&h);
        struct route_config *r = tls_route(&h, &p, ROUTE_TLS_VERIFY);
        if (rows[i].certificate)
            log_in(r, rows[i].login);
        r->login = rows[i].login;
        r->user = "ann";
        r->password_file = password_file("secret", 0600);
        r->tls_implicit = rows[i].implicit_tls;
        house_start(&h);
        send_one(&h);
        LOG_WAIT(" delivered ", "sequence=password");
        house_close(&h, 0);
        peer_stop(&p);
    }
}

static void no_other_login_than_the_one_permitted(void **state)
{
    (void)state;
    struct peer p = {0};
    use_tls(&p, false);
    PEER_START(&p, CLEAR INSIDE("S: 250-AUTH PLAIN\n") BYE);
    struct house h = {0};
    house_open(&h);
    struct route_config *r = tls_route(&h, &p, ROUTE_TLS_VERIFY);
    r->login = ROUTE_LOGIN_SCRAM;
    r->user = "ann";
    r->password_file = password_file("secret", 0600);
    house_start(&h);
    send_one(&h);
    LOG_WAIT(" hop-down ", "no login the account permits (SCRAM): its mechanisms are PLAIN");
    house_close(&h, 1);
    peer_stop(&p);
}

static void a_password_is_renewed(void **state)
{
    (void)state;
    unsigned loaded = 0, failed = 0;
    struct peer p = {0};
    use_tls(&p, false);
    PEER_START(&p, CLEAR INSIDE("S: 250-AUTH PLAIN\n") OF_ANN(ANN_SECRET) "S: 235 ok\n" TO_BOB BYE,
               CLEAR INSIDE("S: 250-AUTH PLAIN\n") OF_ANN(ANN_RENEWED) "S: 235 ok\n" TO_BOB BYE);
    struct house h = {0};
    house_open(&h);
    h.cfg.timeouts.idle_ms = 1;
    struct route_config *r = tls_route(&h, &p, ROUTE_TLS_VERIFY);
    r->login = ROUTE_LOGIN_AUTO;
    r->user = "ann";
    r->password_file = password_file("secret", 0600);
    house_start(&h);
    send_one(&h);
    LOG_WAIT(" delivered ");
    peer_wait(&p, &p.n_done, 1);
    relay_refresh(h.relay, false, &loaded, &failed);
    assert_int_equal(loaded + failed, 0);
    (void)password_file("", 0600);
    relay_refresh(h.relay, false, &loaded, &failed);
    assert_int_equal(failed, 1);
    LOG_WAIT(" reload-failed ", "what was loaded before stays", "/password: the first line");
    (void)password_file("renewed", 0600);
    relay_refresh(h.relay, false, &loaded, &failed);
    assert_int_equal(loaded, 1);
    send_one(&h);
    LOG_WAIT(" delivered ");
    house_close(&h, 0);
    peer_stop(&p);
}

static void a_password_that_others_read_keeps_the_relay_from_starting(void **state)
{
    (void)state;
    struct house h = {0};
    house_open(&h);
    struct route_config *r = house_route(&h, "default", ROUTE_SMTP);
    r->host = "127.0.0.1";
    r->port = "25";
    r->tls = ROUTE_TLS_VERIFY;
    r->ca = ca.cert_file;
    r->login = ROUTE_LOGIN_AUTO;
    r->user = "ann";
    r->password_file = password_file("secret", 0644);
    char why[TLS_WHY_MAX] = "";
    h.cfg.hostname = "me.example";
    h.cfg.routes = h.routes;
    assert_true(relay_start(&h.cfg, h.spool, &h.relay, why) < 0);
    assert_non_null(strstr(why, "others may read it; chmod"));
    house_close(&h, 0);
}

/* STLS-13: neither AUTH nor MAIL without what the route asks for. */
static void a_policy_that_is_not_met_stops_the_mail(void **state)
{
    (void)state;
    static const struct {
        const char *script, *words;
    } rows[] = {
        {"S: 220 hi\nC: EHLO me.example\nS: 250 hop\n" BYE,
         "TLS is required and the server offers no STARTTLS"},
        {"S: 220 hi\nC: EHLO me.example\nS: 250-hop\nS: 250 STARTTLS\nC: STARTTLS\nS: 454 4.7.0 "
         "no\n" BYE,
         "454 4.7.0 no (in reply to STARTTLS)"              },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct peer p = {0};
        PEER_START(&p, rows[i].script);
        struct house h = {0};
        house_open(&h);
        (void)tls_route(&h, &p, ROUTE_TLS_REQUIRE);
        house_start(&h);
        send_one(&h);
        LOG_WAIT(" hop-down ", rows[i].words);
        LOG_WAIT(" deferred ", rows[i].words, "status=4.4.1");
        house_close(&h, 1);
        peer_stop(&p);
    }
}

/* ID-01, TLS-13: the handshake itself fails, so the script stands still at "T:". */
static void a_server_nobody_vouches_for_gets_nothing(void **state)
{
    (void)state;
    struct peer p = {0};
    use_tls(&p, false);
    PEER_START(&p, CLEAR "X:");
    struct house h = {0};
    house_open(&h);
    tls_route(&h, &p, ROUTE_TLS_VERIFY)->tls_name = "other.example";
    house_start(&h);
    send_one(&h);
    LOG_WAIT(" hop-down ", "the TLS handshake with other.example failed");
    house_close(&h, 1);
    p.n_done = p.n_scripts;
    peer_stop(&p);
}

/* EDG-22: under TLS 1.3 the refusal comes after our handshake; it is no dead host, and we do not go without. */
static void a_refused_certificate_is_named(void **state)
{
    (void)state;
    struct peer p = {0};
    use_tls(&p, true);
    PEER_START(&p, CLEAR "X:");
    struct house h = {0};
    house_open(&h);
    log_in(tls_route(&h, &p, ROUTE_TLS_VERIFY), ROUTE_LOGIN_AUTO);
    house_start(&h);
    send_one(&h);
    LOG_WAIT(" hop-down ", "the server refused our certificate: certificate revoked");
    house_close(&h, 1);
    p.n_done = p.n_scripts;
    peer_stop(&p);
}

/* REL-08: only opportunistic TLS may be given up, on a new connection. */
static void opportunistic_goes_on_in_the_clear(void **state)
{
    (void)state;
    struct peer p = {0};
    use_tls(&p, false);
    PEER_START(&p,
               "S: 220 hi\nC: EHLO me.example\nS: 250-hop\nS: 250 STARTTLS\nC: STARTTLS\nS: 220 "
               "go\nS: garbage\nX:",
               "S: 220 hi\nC: EHLO me.example\nS: 250-hop\nS: 250 STARTTLS\n" MESSAGE BYE);
    struct house h = {0};
    house_open(&h);
    (void)tls_route(&h, &p, ROUTE_TLS_OPPORTUNISTIC);
    house_start(&h);
    send_one(&h);
    LOG_WAIT(" tls-broken ");
    LOG_WAIT(" delivered ");
    house_close(&h, 0);
    peer_stop(&p);
}

static void opportunistic_does_not_ask_who_it_is(void **state)
{
    (void)state;
    struct peer p = {0};
    use_tls(&p, false);
    PEER_START(&p, CLEAR INSIDE("") MESSAGE BYE);
    struct house h = {0};
    house_open(&h);
    struct route_config *r = tls_route(&h, &p, ROUTE_TLS_OPPORTUNISTIC);
    r->ca = NULL;
    r->tls_name = "somebody.else.example";
    house_start(&h);
    send_one(&h);
    LOG_WAIT(" delivered ", "tls=TLSv1.3");
    house_close(&h, 0);
    peer_stop(&p);
}

/* CERT-22: trouble with our own key is found before any mail moves. */
static void a_missing_key_keeps_the_relay_from_starting(void **state)
{
    (void)state;
    struct house h = {0};
    house_open(&h);
    struct route_config *r = house_route(&h, "default", ROUTE_SMTP);
    r->host = "127.0.0.1";
    r->port = "25";
    r->tls = ROUTE_TLS_VERIFY;
    r->certificate = client.cert_file;
    r->key = "/nonexistent.key";
    char why[TLS_WHY_MAX] = "";
    h.cfg.hostname = "me.example";
    h.cfg.routes = h.routes;
    assert_true(relay_start(&h.cfg, h.spool, &h.relay, why) < 0);
    assert_non_null(strstr(why, "/nonexistent.key"));
    house_close(&h, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NETTEST(both_sequences_work),
        NETTEST(a_refused_login_defers),
        NETTEST(passwords_work),
        NETTEST(no_other_login_than_the_one_permitted),
        NETTEST(a_password_is_renewed),
        NETTEST(a_password_that_others_read_keeps_the_relay_from_starting),
        NETTEST(a_policy_that_is_not_met_stops_the_mail),
        NETTEST(a_server_nobody_vouches_for_gets_nothing),
        NETTEST(a_refused_certificate_is_named),
        NETTEST(opportunistic_goes_on_in_the_clear),
        NETTEST(opportunistic_does_not_ask_who_it_is),
        NETTEST(a_missing_key_keeps_the_relay_from_starting),
    };
    return cmocka_run_group_tests(tests, make_identities, drop_identities);
}
