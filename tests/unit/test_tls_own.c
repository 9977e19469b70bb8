/* Certificates and keys of a client from each place they may be, and what is said when they cannot be used; pins. */
#include "netkit.h"

#include "net/tls_internal.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <openssl/ssl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define PASS "p\xc3\xa4ss word"

static struct identity ca, middle_ca, server_id, ann;
static char paths[24][160];
static size_t n_paths;

static const char *path_of(const char *name)
{
    char *path = paths[n_paths++];
    (void)snprintf(path, sizeof(paths[0]), "%s/%s", netkit_dir, name);
    return path;
}

static FILE *create(const char **ret_path, const char *name)
{
    *ret_path = path_of(name);
    FILE *f = fopen(*ret_path, "w");
    assert_non_null(f);
    return f;
}

static const char *write_pem(const char *name, const struct identity *id, bool with_key, const char *pass)
{
    const char *path;
    FILE *f = create(&path, name);
    if (with_key) {
        char kept[64];
        (void)snprintf(kept, sizeof(kept), "%s", pass ? pass : "");
        assert_int_equal(PEM_write_PKCS8PrivateKey(f, id->key, pass ? EVP_aes_256_cbc() : NULL, kept,
                                                   (int)strlen(kept), NULL, NULL),
                         1);
    }
    assert_int_equal(PEM_write_X509(f, id->cert), 1);
    assert_int_equal(PEM_write_X509(f, middle_ca.cert), 1);
    (void)fclose(f);
    return path;
}

static const char *write_p12(const char *name, const struct identity *id, const char *pass)
{
    const char *path;
    FILE *f = create(&path, name);
    STACK_OF(X509) *chain = sk_X509_new_null();
    assert_int_equal(sk_X509_push(chain, middle_ca.cert), 1);
    PKCS12 *p = PKCS12_create(pass, "ann", id->key, id->cert, chain, 0, 0, 0, 0, 0);
    assert_non_null(p);
    assert_int_equal(i2d_PKCS12_fp(f, p), 1);
    (void)fclose(f);
    PKCS12_free(p);
    sk_X509_free(chain);
    return path;
}

static const char *write_text(const char *name, const char *text)
{
    const char *path;
    FILE *f = create(&path, name);
    (void)fputs(text, f);
    (void)fclose(f);
    return path;
}

/* ---- a handshake ---- */

struct seen { /* by the server */
    bool is_anns;
    int intermediates;
};

static int see(void *arg, struct x509_st *leaf, struct stack_st_X509 *chain)
{
    struct seen *seen = arg;
    seen->is_anns = X509_cmp(leaf, ann.cert) == 0;
    seen->intermediates = chain ? sk_X509_num(chain) - 1 : 0; /* the leaf is among them here */
    return X509_V_OK;
}

static struct tls_context *server_context(struct seen *seen)
{
    struct tls_context *c = NULL;
    char why[TLS_WHY_MAX];
    struct tls_server_config cfg = {.certificate = server_id.cert_file,
                                    .key = server_id.key_file,
                                    .client_certificate = TLS_CLIENT_CERT_REQUIRE,
                                    .verify = see,
                                    .verify_arg = seen};
    if (tls_server_context_new(&cfg, &c, why) < 0)
        fail_msg("%s", why);
    return c;
}

static void shows_anns(const char *row, struct tls_context *cc)
{
    struct seen seen = {0};
    struct end s = END_INIT, c = END_INIT;
    struct tls_context *sc = server_context(&seen);
    end_pair(&s, &c);
    stream_start_tls(s.s, sc, NULL);
    stream_start_tls(c.s, cc, "mail.example.org");
    WAIT((s.secures && c.secures) || s.ends || c.ends);
    if (!s.secures || !c.secures)
        fail_msg("%s: %s / %s", row, s.detail, c.detail);
    check(row, c.facts.asked && c.facts.verified);
    check(row, seen.is_anns && seen.intermediates == 1);
    end_done(&s);
    end_done(&c);
    tls_context_unref(sc);
}

/* ---- where it may be ---- */

static void certificates_are_found_where_they_are(void **state)
{
    (void)state;
    char uri[200];
    const char *chain = write_pem("chain.pem", &ann, false, NULL);
    const char *both = write_pem("both.pem", &ann, true, NULL);
    const char *locked = write_pem("locked.pem", &ann, true, PASS);
    const char *p12 = write_p12("ann.p12", &ann, PASS);
    const char *open_p12 = write_p12("open.p12", &ann, "");
    (void)snprintf(uri, sizeof(uri), "file:%s", p12);
    const struct {
        const char *name, *certificate, *key, *passphrase;
    } rows[] = {
        {"two PEM files",                   chain,    ann.key_file, ""  },
        {"two PEM files, no need of a passphrase", chain, ann.key_file, PASS},
        {"one PEM file",                    both,     NULL,         ""  },
        {"one PEM file, named twice",       both,     both,         ""  },
        {"PEM with a passphrase",           locked,   NULL,         PASS},
        {"the key alone has a passphrase",  chain,    locked,       PASS},
        {"PKCS#12",                         p12,      NULL,         PASS},
        {"PKCS#12, named twice",            p12,      p12,          PASS},
        {"PKCS#12 without a passphrase",    open_p12, NULL,         ""  },
        {"certificate in PEM, key in PKCS#12", chain, p12,          PASS},
        {"file: URI of a store",            uri,      NULL,         PASS},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_context *c = NULL;
        char why[TLS_WHY_MAX] = "";
        struct tls_client_config cfg = {.ca = ca.cert_file,
                                        .certificate = rows[i].certificate,
                                        .key = rows[i].key,
                                        .passphrase = str_of(rows[i].passphrase),
                                        .verify = TLS_VERIFY_NAME};
        if (tls_client_context_new(&cfg, &c, why) < 0)
            fail_msg("%s: %s", rows[i].name, why);
        check(rows[i].name, tls_context_has_certificate(c));
        check(rows[i].name, tls_context_check_dates(c, why) == 0);
        check(rows[i].name, ERR_peek_error() == 0);
        shows_anns(rows[i].name, c);
        tls_context_unref(c);
    }
}

/* Of a server, too, and both with a passphrase that stands in a file. */
static void passphrases_come_from_files(void **state)
{
    (void)state;
    const char *p12 = write_p12("ann4.p12", &ann, PASS);
    const char *server_p12 = write_p12("server.p12", &server_id, PASS);
    const char *pass = write_text("pass", PASS "\nmore\n"), *wrong = write_text("wrong", "x\n");
    char why[TLS_WHY_MAX] = "";
    struct tls_context *sc = NULL, *cc = NULL;
    struct end s = END_INIT, c = END_INIT;
    assert_int_equal(chmod(pass, 0600), 0);
    assert_int_equal(chmod(wrong, 0600), 0);
    struct tls_server_config server = {.certificate = server_p12, .passphrase_file = pass, .reader = geteuid()};
    struct tls_client_config client = {.ca = ca.cert_file,
                                       .certificate = p12,
                                       .passphrase_file = pass,
                                       .reader = geteuid(),
                                       .verify = TLS_VERIFY_NAME};
    assert_int_equal(tls_server_context_new(&server, &sc, why), 0);
    assert_int_equal(tls_client_context_new(&client, &cc, why), 0);
    shows_anns("client", cc);
    end_pair(&s, &c);
    stream_start_tls(s.s, sc, NULL);
    stream_start_tls(c.s, cc, "mail.example.org");
    WAIT((s.secures && c.secures) || s.ends || c.ends);
    assert_true(c.secures && c.facts.verified);
    end_done(&s);
    end_done(&c);
    tls_context_unref(sc);
    tls_context_unref(cc);
    server.passphrase_file = wrong;
    assert_int_equal(tls_server_context_new(&server, &sc, why), -EACCES);
    assert_non_null(strstr(why, "the passphrase does not open the certificate in"));
    assert_int_equal(chmod(pass, 0644), 0);
    client.passphrase_file = pass;
    assert_int_equal(tls_client_context_new(&client, &cc, why), -EACCES);
    assert_non_null(strstr(why, "others may read it"));
    client.passphrase_file = "/none";
    assert_int_equal(tls_client_context_new(&client, &cc, why), -ENOENT);
    assert_non_null(strstr(why, "/none"));
}

/* CERT-22: each told before anybody is called, by its cause and its file. */
static void what_cannot_be_used_is_told(void **state)
{
    (void)state;
    const char *locked = write_pem("locked2.pem", &ann, true, PASS);
    const char *chain = write_pem("chain2.pem", &ann, false, NULL);
    const char *p12 = write_p12("ann2.p12", &ann, PASS);
    const char *junk = write_text("junk", "this is neither\n");
    const char *empty = write_text("empty", "");
    const struct {
        const char *name, *certificate, *key, *passphrase;
        int want;
        const char *words;
    } rows[] = {
        {"no such file", "/none", NULL, "", -ENOENT, "cannot read the certificate file /none: No such file"},
        {"no such key", chain, "/none", "", -ENOENT, "cannot read the key file /none: No such file"},
        {"a folder", netkit_dir, ann.key_file, "", -EISDIR, "cannot read the certificate file"},
        {"junk", junk, ann.key_file, "", -EINVAL, "no usable PEM or PKCS#12 certificate in"},
        {"empty", empty, ann.key_file, "", -EINVAL, "no usable PEM or PKCS#12 certificate in"},
        {"no key beside it", chain, NULL, "", -EINVAL, "needs a key file"},
        {"no key there", chain, chain, "", -EINVAL, "no usable PEM or PKCS#12 private key in"},
        {"somebody else's key", chain, server_id.key_file, "", -EINVAL, "does not belong to the certificate in"},
        {"locked PEM", locked, NULL, "", -EACCES, "is encrypted"},
        {"wrong passphrase of PEM", locked, NULL, "x", -EACCES, "the passphrase does not open the private key in"},
        {"locked PKCS#12", p12, NULL, "", -EACCES, "is encrypted"},
        {"wrong passphrase of PKCS#12", p12, NULL, "x", -EACCES, "the passphrase does not open the certificate in"},
        {"a store nobody serves", "nowhere:x", NULL, "", -EINVAL, "no certificate at nowhere:x"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_context *c = NULL;
        char why[TLS_WHY_MAX] = "";
        struct tls_client_config cfg = {.certificate = rows[i].certificate,
                                        .key = rows[i].key,
                                        .passphrase = str_of(rows[i].passphrase)};
        int r = tls_client_context_new(&cfg, &c, why);
        if (r != rows[i].want || !strstr(why, rows[i].words))
            fail_msg("%s: %d %s", rows[i].name, r, why);
        check(rows[i].name, !c && ERR_peek_error() == 0);
        check(rows[i].name, !strstr(why, PASS));
    }
}

static void dates_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        long from_s, to_s;
        int want;
        const char *words;
    } rows[] = {
        {"good",     -3600,            3600,         0,            ""                   },
        {"expired",  -20L * 24 * 3600, -10L * 24 * 3600, -EKEYEXPIRED, "expired on 20"  },
        {"too soon", 10L * 24 * 3600,  20L * 24 * 3600,  -EKEYEXPIRED, "is not valid before 20"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct identity id = identity_make(rows[i].name, NULL, &ca);
        (void)X509_gmtime_adj(X509_getm_notBefore(id.cert), rows[i].from_s);
        (void)X509_gmtime_adj(X509_getm_notAfter(id.cert), rows[i].to_s);
        assert_true(X509_sign(id.cert, ca.key, EVP_sha256()) > 0);
        identity_write(&id, rows[i].name);
        struct tls_client_config cfg = {.certificate = id.cert_file, .key = id.key_file};
        struct tls_context *c = NULL;
        char why[TLS_WHY_MAX] = "";
        assert_int_equal(tls_client_context_new(&cfg, &c, why), 0);
        check(rows[i].name, tls_context_check_dates(c, why) == rows[i].want);
        check(rows[i].name, strstr(why, rows[i].words) && (!rows[i].want || strstr(why, id.cert_file)));
        tls_context_unref(c);
        identity_done(&id);
    }
    struct tls_client_config none = {0};
    struct tls_context *c = NULL;
    char why[TLS_WHY_MAX];
    assert_int_equal(tls_client_context_new(&none, &c, why), 0);
    assert_false(tls_context_has_certificate(c));
    assert_int_equal(tls_context_check_dates(c, why), 0);
    tls_context_unref(c);
}

/* ---- pins ---- */

static void digest_words(const struct identity *id, bool of_key, const char *form, char out[160])
{
    unsigned char digest[EVP_MAX_MD_SIZE], *der = NULL, text[64];
    int len = i2d_PUBKEY(id->key, &der);
    if (of_key)
        assert_int_equal(EVP_Digest(der, (size_t)len, digest, NULL, EVP_sha256(), NULL), 1);
    else
        assert_int_equal(X509_digest(id->cert, EVP_sha256(), digest, NULL), 1);
    OPENSSL_free(der);
    out[0] = '\0';
    if (strcmp(form, "base64") == 0) {
        (void)EVP_EncodeBlock(text, digest, 32);
        (void)snprintf(out, 160, "sha256//%s", text);
        return;
    }
    for (size_t i = 0; i < 32; i++)
        (void)snprintf(out + strlen(out), 160 - strlen(out), strcmp(form, "hex") ? "%s%02X" : "%s%02x",
                       i && strcmp(form, "hex") ? ":" : "", digest[i]);
}

static void handshake(const struct tls_client_config *cfg, const char *name, struct end *c)
{
    struct seen seen = {0};
    struct end s = END_INIT;
    struct tls_server_config server = {.certificate = server_id.cert_file, .key = server_id.key_file};
    struct tls_context *sc = NULL, *cc = NULL;
    char why[TLS_WHY_MAX];
    (void)seen;
    assert_int_equal(tls_server_context_new(&server, &sc, why), 0);
    if (tls_client_context_new(cfg, &cc, why) < 0)
        fail_msg("%s", why);
    end_pair(&s, c);
    stream_start_tls(s.s, sc, NULL);
    stream_start_tls(c->s, cc, name);
    WAIT(c->secures || c->ends);
    end_done(&s);
    tls_context_unref(sc);
    tls_context_unref(cc);
}

static void pins_hold_a_server(void **state)
{
    (void)state;
    char pins[4][160], other[160], want[240];
    digest_words(&server_id, false, "hex", pins[0]);
    digest_words(&server_id, false, "colons", pins[1]);
    digest_words(&server_id, true, "hex", pins[2]);
    digest_words(&server_id, true, "base64", pins[3]);
    digest_words(&ann, false, "hex", other);
    (void)snprintf(want, sizeof(want), "it is not pinned, its SHA-256 is %s", pins[0]);
    const struct {
        const char *name, *pin;
        enum tls_verify_mode verify;
        const char *server, *ca;
        bool verified;
        const char *words; /* NULL: accepted */
    } rows[] = {
        {"certificate", pins[0], TLS_VERIFY_PIN, "elsewhere.example", NULL, false, NULL},
        {"with colons", pins[1], TLS_VERIFY_PIN, "elsewhere.example", NULL, false, NULL},
        {"public key", pins[2], TLS_VERIFY_PIN, "elsewhere.example", NULL, false, NULL},
        {"public key in base64", pins[3], TLS_VERIFY_PIN, "elsewhere.example", NULL, false, NULL},
        {"another one", other, TLS_VERIFY_PIN, "mail.example.org", NULL, false, want},
        {"chain, name and pin", pins[3], TLS_VERIFY_NAME, "mail.example.org", ca.cert_file, true, NULL},
        {"chain and name, another pin", other, TLS_VERIFY_NAME, "mail.example.org", ca.cert_file, false, want},
        {"pin, another name", pins[0], TLS_VERIFY_NAME, "elsewhere.example", ca.cert_file, false,
         "hostname mismatch, it is for mail.example.org, *.example.net"},
        {"pin, another CA", pins[0], TLS_VERIFY_NAME, "mail.example.org", ann.cert_file, false,
         "unable to get local issuer certificate, its issuer is /CN=ca: is that CA among the trust anchors?"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct end c = END_INIT;
        const char *const list[] = {other, rows[i].pin};
        struct tls_client_config cfg = {
            .ca = rows[i].ca, .verify = rows[i].verify, .pins = list, .n_pins = 2};
        handshake(&cfg, rows[i].server, &c);
        check(rows[i].name, (c.secures == 1) == !rows[i].words);
        check(rows[i].name, !c.secures || c.facts.verified == rows[i].verified);
        if (rows[i].words && !strstr(c.detail, rows[i].words))
            fail_msg("%s: %s", rows[i].name, c.detail);
        end_done(&c);
    }
}

static void what_is_no_pin(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "", "sha256//", "sha256//AAAA", "00", "not hexadecimal",
        "0000000000000000000000000000000000000000000000000000000000000000aa",
        "000000000000000000000000000000000000000000000000000000000000000g",
        "00::00000000000000000000000000000000000000000000000000000000000000",
    };
    struct tls_context *c = NULL;
    char why[TLS_WHY_MAX];
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_client_config cfg = {.verify = TLS_VERIFY_PIN, .pins = &rows[i], .n_pins = 1};
        check(rows[i], tls_client_context_new(&cfg, &c, why) == -EINVAL);
        check(rows[i], strstr(why, "is no pin") != NULL);
    }
    struct tls_client_config none = {.verify = TLS_VERIFY_PIN};
    assert_int_equal(tls_client_context_new(&none, &c, why), -EINVAL);
    assert_string_equal(why, "verification by pin needs a pin");
}

/* TLS-13, ID-01..ID-03: the cause, and what there is instead. */
static void a_server_certificate_is_blamed_in_words(void **state)
{
    (void)state;
    static const struct {
        const char *name, *san;
        long from_s, to_s;
        const char *words;
    } rows[] = {
        {"expired",   "DNS:mail.example.org",  -20L * 24 * 3600, -10L * 24 * 3600, "certificate has expired on 20"},
        {"too soon",  "DNS:mail.example.org",  10L * 24 * 3600,  20L * 24 * 3600,
         "certificate is not yet valid, it will be from 20"},
        {"mail.example.org", NULL, -3600, 3600, "hostname mismatch, it names no host (a common name does not count)"},
        {"five", "DNS:a.example,DNS:b.example,DNS:c.example,DNS:d.example,DNS:e.example", -3600, 3600,
         "hostname mismatch, it is for a.example, b.example, c.example, d.example (TLS alert bad_certificate sent)"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct identity saved = server_id;
        struct end c = END_INIT;
        server_id = identity_make(rows[i].name, rows[i].san, &ca);
        (void)X509_gmtime_adj(X509_getm_notBefore(server_id.cert), rows[i].from_s);
        (void)X509_gmtime_adj(X509_getm_notAfter(server_id.cert), rows[i].to_s);
        assert_true(X509_sign(server_id.cert, ca.key, EVP_sha256()) > 0);
        identity_write(&server_id, rows[i].name);
        handshake(&(struct tls_client_config){.ca = ca.cert_file, .verify = TLS_VERIFY_NAME}, "mail.example.org", &c);
        if (c.secures || !strstr(c.detail, rows[i].words))
            fail_msg("%s: %s", rows[i].name, c.detail);
        identity_done(&server_id);
        server_id = saved;
        end_done(&c);
    }
}

static void the_least_version_is_kept(void **state)
{
    (void)state;
    for (int strict = 0; strict < 2; strict++) {
        struct end c = END_INIT;
        int fd = end_and_socket(&c);
        struct tls_context *cc = NULL;
        char why[TLS_WHY_MAX], hello[600] = "";
        struct tls_client_config cfg = {.version_min = strict ? TLS_VERSION_1_3 : TLS_VERSION_USUAL};
        assert_int_equal(tls_client_context_new(&cfg, &cc, why), 0);
        stream_start_tls(c.s, cc, "mail.example.org");
        turns(2);
        ssize_t n = recv(fd, hello, sizeof(hello), 0);
        assert_true(n > 50);
        /* supported_versions of the client hello: a list of two, or of one. */
        const char *two = memmem(hello, (size_t)n, "\x00\x2b\x00\x05\x04\x03\x04\x03\x03", 9);
        const char *one = memmem(hello, (size_t)n, "\x00\x2b\x00\x03\x02\x03\x04", 7);
        assert_true(strict ? one && !two : two && !one);
        (void)close(fd);
        end_done(&c);
        tls_context_unref(cc);
    }
}

/* ---- a token ---- */

static bool runs(const char *const *argv)
{
    extern char **environ;
    char *args[24] = {NULL};
    pid_t pid;
    int status = -1;
    for (size_t i = 0; argv[i]; i++)
        memcpy(&args[i], &argv[i], sizeof(args[i]));
    posix_spawn_file_actions_t quiet;
    (void)posix_spawn_file_actions_init(&quiet);
    (void)posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0);
    (void)posix_spawn_file_actions_addopen(&quiet, 2, "/dev/null", O_WRONLY, 0);
    bool ok = posix_spawnp(&pid, args[0], &quiet, NULL, args, environ) == 0 &&
              waitpid(pid, &status, 0) == pid && status == 0;
    (void)posix_spawn_file_actions_destroy(&quiet);
    return ok;
}

#define RUNS(...) runs((const char *const[]){__VA_ARGS__, NULL})
#define MODULE "/usr/lib/softhsm/libsofthsm2.so"
#define TOKEN "pkcs11:token=postern-test;object=ann"

/* A SoftHSM with the key, and the certificate when pkcs11-tool is there. */
static bool make_token(bool *ret_certificate)
{
    char tokens[128], line[200];
    (void)snprintf(tokens, sizeof(tokens), "%s/tokens", netkit_dir);
    assert_int_equal(mkdir(tokens, 0700), 0);
    (void)snprintf(line, sizeof(line), "directories.tokendir = %s\nlog.level = ERROR\n", tokens);
    const char *conf = write_text("softhsm2.conf", line);
    assert_int_equal(setenv("SOFTHSM2_CONF", conf, 1), 0);
    const char *key;
    FILE *f = create(&key, "pkcs8.pem");
    assert_int_equal(PEM_write_PKCS8PrivateKey(f, ann.key, NULL, NULL, 0, NULL, NULL), 1);
    (void)fclose(f);
    char engine[200];
    (void)snprintf(engine, sizeof(engine), "%s/pkcs11.so", OPENSSL_info(OPENSSL_INFO_ENGINES_DIR));
    if (access(MODULE, R_OK) < 0 || access(engine, R_OK) < 0)
        return false;
    assert_true(RUNS("softhsm2-util", "--init-token", "--free", "--label", "postern-test", "--pin", "1234", "--so-pin",
                     "5678"));
    assert_true(RUNS("softhsm2-util", "--import", key, "--token", "postern-test", "--label", "ann", "--id", "01", "--pin",
                     "1234"));
    *ret_certificate = RUNS("pkcs11-tool", "--module", MODULE, "--token-label", "postern-test", "--pin", "1234",
                            "--write-object", ann.cert_file, "--type", "cert", "--id", "01", "--label", "ann");
    return true;
}

static void a_key_stays_on_its_token(void **state)
{
    (void)state;
    bool has_certificate = false;
    if (!make_token(&has_certificate)) {
        print_message("SoftHSM or the engine pkcs11 are not installed (softhsm2, libengine-pkcs11-openssl)\n");
        skip();
    }
    const char *chain = write_pem("chain3.pem", &ann, false, NULL);
    const struct {
        const char *name, *certificate, *key, *pin;
        const char *words; /* NULL: works */
    } rows[] = {
        /* Once opened, a token stays open as long as the process. */
        {"no PIN", chain, TOKEN "?module-path=" MODULE, "", "is locked: it needs a PIN"},
        {"wrong PIN", chain, TOKEN, "4321", "refuses the PIN"},
        {"wrong PIN in the URI", chain, TOKEN "?pin-value=987654", "",
         "no private key at pkcs11:token=postern-test;object=ann: "},
        {"PIN is given", chain, TOKEN, "1234", NULL},
        {"PIN in the URI", chain, TOKEN "?module-path=/usr/lib/softhsm%2flibsofthsm2.so&pin-value=1234", "", NULL},
        {"no such key", chain, "pkcs11:token=postern-test;object=bob", "1234", "no private key at pkcs11:"},
        {"no such token", chain, "pkcs11:token=none;object=ann", "1234", "no private key at pkcs11:"},
        {"the certificate, too", TOKEN, TOKEN, "1234", has_certificate ? NULL : "no certificate at pkcs11:"},
        {"both at once", TOKEN, NULL, "1234", has_certificate ? NULL : "no certificate at pkcs11:"},
        {"no such certificate", "pkcs11:token=postern-test;object=bob", NULL, "1234", "no certificate at pkcs11:"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct tls_context *c = NULL;
        char why[TLS_WHY_MAX] = "";
        struct tls_client_config cfg = {.ca = ca.cert_file,
                                        .certificate = rows[i].certificate,
                                        .key = rows[i].key,
                                        .passphrase = str_of(rows[i].pin),
                                        .verify = TLS_VERIFY_NAME};
        int r = tls_client_context_new(&cfg, &c, why);
        if (!rows[i].words != (r == 0) || (rows[i].words && !strstr(why, rows[i].words)))
            fail_msg("%s: %d %s", rows[i].name, r, why);
        check(rows[i].name, ERR_peek_error() == 0 && !strstr(why, "987654"));
        if (r == 0 && rows[i].certificate == chain)
            shows_anns(rows[i].name, c);
        tls_context_unref(c);
    }
}

/* ---- */

static int make_identities(void **state)
{
    (void)state;
    netkit_dir_make();
    ca = identity_make("ca", NULL, NULL);
    middle_ca = identity_make("middle", NULL, NULL);
    server_id = identity_make("server", "DNS:mail.example.org,DNS:*.example.net", &ca);
    ann = identity_make("ann", "email:ann@example.org", &ca);
    return 0;
}

static int drop_identities(void **state)
{
    (void)state;
    identity_done(&ca);
    identity_done(&middle_ca);
    identity_done(&server_id);
    identity_done(&ann);
    (void)RUNS("rm", "-rf", netkit_dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        NETTEST(certificates_are_found_where_they_are),
        NETTEST(passphrases_come_from_files),
        NETTEST(what_cannot_be_used_is_told),
        NETTEST(dates_are_told),
        NETTEST(pins_hold_a_server),
        NETTEST(what_is_no_pin),
        NETTEST(a_server_certificate_is_blamed_in_words),
        NETTEST(the_least_version_is_kept),
        NETTEST(a_key_stays_on_its_token),
    };
    return cmocka_run_group_tests(tests, make_identities, drop_identities);
}
