#include "netkit.h"

#include <openssl/ssl.h>

static struct identity ca, server_id, client_id, other_ca, stranger_id;

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

/* Both ends of a socketpair, shaking hands. */
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

static void note_leaf(struct end *e)
{
    e->leaf = e->facts.leaf;
}

static void both_ends_learn_the_facts(void **state)
{
    (void)state;
    struct end s = END_INIT, c = END_INIT;
    struct tls_context *sc =
        server_context((struct tls_server_config){.client_certificate = TLS_CLIENT_CERT_REQUEST});
    struct tls_context *cc = client_context(&client_id, TLS_VERIFY_NAME);
    start_pair(&s, sc, &c, cc, "mail.example.org");
    tls_context_unref(sc); /* a reload: the handshake under way keeps its own */
    tls_context_unref(cc);
    say(&s, "220 hello");
    say(&c, "EHLO c");
    WAIT(s.secures && c.secures && heard(&s, "EHLO c") && heard(&c, "220 hello"));
    assert_true(stream_is_secure(s.s) && stream_is_secure(c.s));
    assert_string_equal(s.facts.version, "TLSv1.3");
    assert_string_equal(s.facts.cipher, "TLS_AES_256_GCM_SHA384");
    assert_string_equal(s.facts.group, "x25519");
    assert_false(s.facts.resumed);
    assert_non_null(s.facts.leaf);
    assert_int_equal(X509_cmp(s.facts.leaf, client_id.cert), 0);
    assert_int_equal(X509_cmp(c.facts.leaf, server_id.cert), 0);
    end_done(&s);
    end_done(&c);
}

int main(void)
{
    netkit_dir_make();
    ca = identity_make("ca", NULL, NULL);
    other_ca = identity_make("other-ca", NULL, NULL);
    server_id = identity_make("server", "DNS:mail.example.org,DNS:*.example.net,IP:127.0.0.1", &ca);
    client_id = identity_make("client", "email:ann@example.org", &ca);
    stranger_id = identity_make("stranger", "email:eve@example.org", &other_ca);
    (void)note_leaf;
    const struct CMUnitTest tests[] = {
        NETTEST(both_ends_learn_the_facts),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    identity_done(&ca);
    identity_done(&other_ca);
    identity_done(&server_id);
    identity_done(&client_id);
    identity_done(&stranger_id);
    netkit_dir_remove();
    return failed;
}
