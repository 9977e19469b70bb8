#include "unit.h"

#include "app/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

/* ---- a folder with the files that configurations name ---- */

static char folder[] = "/tmp/postern-config-XXXXXX";

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static const char *write_file(const char *name, const char *text, size_t len)
{
    const char *path = path_of(name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    fclose(f);
    return path;
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    write_file("ca.pem", "", 0);
    write_file("cert.pem", "", 0);
    write_file("key.pem", "", 0);
    write_file("pw", "", 0);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = {"ca.pem", "cert.pem",  "key.pem",  "pw",
                                        "t.conf", "more.conf", "loop.conf"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        (void)unlink(path_of(names[i]));
    return rmdir(folder);
}

/* What was reported, one "LINE: text" each; other files than t.conf with their name. */
static struct buf said;

static void on_finding(void *arg, const struct loader_finding *f)
{
    (void)arg;
    const char *name = strrchr(f->file, '/') + 1;
    assert_int_equal(buf_printf(&said, "%s%s%u: %s%s\n", strcmp(name, "t.conf") == 0 ? "" : name,
                                strcmp(name, "t.conf") == 0 ? "" : ":", f->line,
                                f->is_warning ? "warning: " : "", f->text),
                     0);
}

static int read_text(const char *text, size_t len, struct config **ret)
{
    said.max = 1 << 16;
    buf_clear(&said);
    return config_read(write_file("t.conf", text, len), ret, on_finding, NULL);
}

#define ROUTE "route default { discard = yes }\n"
#define TLS "certificate = cert.pem  key = key.pem "
#define TRUST "trust staff { ca = ca.pem }\n"

/* ---- what is read ---- */

static const char whole[] =
    "# everything once\n"
    "hostname = \"mail.example.org\"\n"
    "workers = 3  log-level = debug  reload-interval = 5s  ticket-key-lifetime = 1h  tls-session-cache = 0\n"
    "trust staff { ca = {\"ca.pem\"}  crl = {\"ca.pem\", 'key.pem',} }\n"
    "trust devices { ca = ca.pem  crl = \"/\" crl-stale = accept key-size-min = 3072 strength = 128 depth = 2 ocsp = hard ocsp-responder = \"http://ocsp.example.org/\"\n"
    "  require-eku = yes pin = {\"sha256:00112233445566778899AABBCCDDEEFF00112233445566778899aabbccddeeff\"} }\n"
    "identity email { source = san-email }\n"
    "identity device { source = san-dns  pattern = '(.+)\\.devices\\.example\\.org'\n"
    "                  name = '$1@example.org'  table = ca.pem  trust = {devices} }\n"
    "identity person { subject = UID }\n"
    "listener submission {\n"
    "    address            = {\"127.0.0.1:587\", \"[::1]:587\"}  // two\n"
    "    tls                = starttls\n"
    "    certificate        = \"cert.pem\"\n"
    "    key                = \"key.pem\"\n"
    "    client-certificate = require\n"
    "    certificate-auth   = explicit\n"
    "    trust              = {staff, devices}\n"
    "    sender = any  message-size = 10M  recipients = 200  errors = 0\n"
    "    connections = 7  connections-per-client = 3  timeout = 1m  login-timeout = 0  workarounds = {}  proxy-protocol = {\"10.0.0.0/8\", \"unix\"} xclient = \"127.0.0.1\"  disabled = ca.pem\n"
    "}\n"
    "listener mx { address = \"*:25\" role = relay " TLS
    " peers = {\"00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:"
    "99:AA:BB:CC:DD:EE:FF\"} }\n"
    "spool { database = \"spool.db\"  min-free = 1G  max-size = 2T }\n"
    "route Example.ORG { lmtp = \"/run/dovecot/lmtp\" }\n"
    "route lmtp.test { lmtp = \"lmtp.example.net\" }\n"
    "route local.test { maildir = \"mail/%u\" }\n"
    "route default { smtp = \"[2001:db8::1]:587\"  tls = implicit  certificate = cert.pem\n"
    "                key = key.pem  login = auto  tls-name = smart.example.net  ca = ca.pem }\n"
    "delivery { retry-min = 1m  retry-max = 1h  expire = 2d  delay-warning = 4h\n"
    "           connect-timeout = 10s  greeting-timeout = 6m  command-timeout = 7m  data-timeout = 8m\n"
    "           text-timeout = 9m  final-timeout = 11m  idle-timeout = 12s\n"
    "           concurrency = 9  postmaster = \"postmaster@example.org\" }\n"
    "metrics { address = \"127.0.0.1:9925\" }\n"
    "message { add-date = no  add-message-id = off  remove-bcc = false  hops = 50 }\n";

static struct config *load_good(const char *text)
{
    struct config *c = NULL;
    int r = read_text(text, strlen(text), &c);
    if (r != 0)
        fail_msg("%d: %s", r, said.data);
    return c;
}

static void every_setting_is_read(void **state)
{
    (void)state;
    struct config *c = load_good(whole);
    assert_string_equal(said.len ? said.data : "", "");
    assert_string_equal(c->hostname, "mail.example.org");
    assert_int_equal(c->workers, 3);
    assert_int_equal(c->log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(c->n_trusts, 2);
    assert_string_equal(c->trusts[0].name, "staff");
    assert_int_equal(c->trusts[0].n_ca, 1);
    assert_string_equal(c->trusts[0].ca[0], path_of("ca.pem")); /* beside the file */
    assert_int_equal(c->trusts[0].n_crl, 2);
    assert_ptr_equal(config_trust(c, "devices"), &c->trusts[1]);
    assert_null(config_trust(c, "nobody"));
    const struct trust_config *t = config_trust(c, "devices");
    assert_true(t->accept_stale_crl && t->require_eku);
    assert_int_equal(t->key_size_min, 3072);
    assert_int_equal(t->strength, 128);
    assert_int_equal(t->depth_max, 2);
    assert_int_equal(t->n_pin, 1);
    assert_int_equal(t->ocsp, CERT_OCSP_HARD);
    assert_string_equal(t->ocsp_responder, "http://ocsp.example.org/");
    assert_string_equal(t->pin[0], "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
    assert_int_equal(c->n_identities, 3);
    assert_int_equal(c->identities[1].source, CERT_SOURCE_SAN_DNS);
    assert_string_equal(c->identities[1].trust[0], "devices");
    assert_string_equal(c->identities[1].pattern, "(.+)\\.devices\\.example\\.org");
    assert_string_equal(c->identities[1].template, "$1@example.org");
    assert_string_equal(c->identities[1].table, path_of("ca.pem"));
    assert_int_equal(c->identities[2].source, CERT_SOURCE_SUBJECT);
    assert_string_equal(c->identities[2].subject, "UID");
    assert_false(c->message.add_date || c->message.add_message_id || c->message.remove_bcc);
    assert_int_equal(c->message.hops_max, 50);
    assert_string_equal(c->spool.database, path_of("spool.db"));
    assert_true(c->spool.min_free_bytes == 1ll << 30 && c->spool.max_bytes == 2ll << 40);
    config_free(c);
}

static void listeners_are_read(void **state)
{
    (void)state;
    struct config *c = load_good(whole);
    const struct listener_config *a = &c->listeners[0], *b = &c->listeners[1];
    assert_int_equal(c->n_listeners, 2);
    assert_int_equal(a->n_addresses, 2);
    assert_string_equal(a->addresses[1], "[::1]:587");
    assert_int_equal(a->tls, LISTENER_TLS_STARTTLS);
    assert_true(a->require_tls);
    assert_string_equal(a->certificate, path_of("cert.pem"));
    assert_string_equal(a->key, path_of("key.pem"));
    assert_int_equal(a->client_certificate, TLS_CLIENT_CERT_REQUIRE);
    assert_int_equal(a->cert_auth, CERT_AUTH_EXPLICIT);
    assert_int_equal(a->n_trust, 2);
    assert_int_equal(a->sender, SENDER_ANY);
    assert_true(a->message_size_max == 10 << 20);
    assert_int_equal(a->recipients_max, 200);
    assert_int_equal(a->errors_max, 0);
    assert_int_equal(a->connections_max, 7);
    assert_int_equal(a->client_connections_max, 3);
    assert_int_equal(a->login_timeout_ms, 0);
    assert_int_equal(a->workarounds, 0);
    assert_int_equal(a->n_proxies, 2);
    assert_int_equal(a->n_xclients, 1);
    assert_non_null(strstr(a->disabled, "/ca.pem"));
    assert_int_equal(c->reload_interval_ms, 5000);
    assert_int_equal(c->ticket_key_lifetime_ms, 3600000);
    assert_int_equal(c->tls_session_cache, 0);
    assert_string_equal(c->metrics_address, "127.0.0.1:9925");
    assert_int_equal(a->timeout_ms, 60000);
    assert_int_equal(a->line, 11);
    assert_int_equal(b->role, ROLE_RELAY);
    assert_int_equal(b->n_peers, 1);
    assert_string_equal(b->peers[0],
                        "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
    assert_int_equal(b->client_certificate, TLS_CLIENT_CERT_REQUEST); /* peers show certificates */
    assert_int_equal(b->cert_auth, CERT_AUTH_OFF); /* a rule is that of its listener (O3-07) */
    assert_false(b->require_tls);
    config_free(c);
}

static void routes_are_read(void **state)
{
    (void)state;
    struct config *c = load_good(whole);
    const struct route_config *r = c->relay.routes;
    assert_int_equal(c->relay.n_routes, 4);
    assert_string_equal(r[0].domain, "example.org");
    assert_int_equal(r[0].kind, ROUTE_LMTP);
    assert_string_equal(r[0].path, "/run/dovecot/lmtp");
    assert_int_equal(r[0].tls, ROUTE_TLS_OFF);
    assert_string_equal(r[1].host, "lmtp.example.net");
    assert_string_equal(r[1].port, "24");
    assert_null(r[1].path);
    assert_int_equal(r[1].tls, ROUTE_TLS_OPPORTUNISTIC);
    assert_int_equal(r[2].kind, ROUTE_MAILDIR);
    assert_string_equal(r[2].path, path_of("mail/%u"));
    assert_int_equal(r[3].kind, ROUTE_SMTP);
    assert_string_equal(r[3].host, "2001:db8::1");
    assert_string_equal(r[3].port, "587");
    assert_int_equal(r[3].tls, ROUTE_TLS_VERIFY);
    assert_true(r[3].tls_implicit);
    assert_string_equal(r[3].tls_name, "smart.example.net");
    assert_string_equal(r[3].ca, path_of("ca.pem"));
    assert_int_equal(r[3].login, ROUTE_LOGIN_AUTO);
    assert_null(r[3].user);
    assert_null(r[3].password_file);
    assert_string_equal(c->relay.hostname, "mail.example.org");
    assert_int_equal(c->relay.retry_min_ms, 60000);
    assert_int_equal(c->relay.retry_max_ms, 3600000);
    assert_int_equal(c->relay.expire_ms, 2 * 86400000);
    assert_int_equal(c->relay.delay_warning_ms, 4 * 3600000);
    assert_int_equal(c->relay.timeouts.connect_ms, 10000);
    assert_int_equal(c->relay.timeouts.greeting_ms, 6 * 60000);
    assert_int_equal(c->relay.timeouts.command_ms, 7 * 60000);
    assert_int_equal(c->relay.timeouts.data_ms, 8 * 60000);
    assert_int_equal(c->relay.timeouts.text_ms, 9 * 60000);
    assert_int_equal(c->relay.timeouts.final_ms, 11 * 60000);
    assert_int_equal(c->relay.timeouts.idle_ms, 12000);
    assert_int_equal(c->relay.deliveries_max, 9);
    assert_string_equal(c->relay.postmaster, "postmaster@example.org");
    config_free(c);
}

/* Whoever names a password wants to log in with it, and to whom it may be shown. */
static void routes_have_passwords(void **state)
{
    (void)state;
    static const struct {
        const char *words;
        enum route_login login;
    } rows[] = {
        {"user = ann  password-file = pw",                              ROUTE_LOGIN_AUTO },
        {"user = ann  password-file = pw  tls = implicit",              ROUTE_LOGIN_AUTO },
        {"user = ann  password-file = pw  login = scram",               ROUTE_LOGIN_SCRAM},
        {"user = ann  password-file = pw  login = plain  tls = verify", ROUTE_LOGIN_PLAIN},
        {TLS "user = ann  password-file = pw",                          ROUTE_LOGIN_AUTO },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[512];
        (void)snprintf(text, sizeof(text), "%slistener s { address = \"*:587\" %strust = staff }\nroute default { smtp = h  %s }\n",
                       TRUST, TLS, rows[i].words);
        struct config *c = load_good(text);
        const struct route_config *r = c->relay.routes;
        check(rows[i].words, said.len == 0 && r->login == rows[i].login && r->tls == ROUTE_TLS_VERIFY);
        check(rows[i].words, strcmp(r->user, "ann") == 0 && strcmp(r->password_file, path_of("pw")) == 0);
        config_free(c);
    }
}

/* PKCS#12 holds the key, too, and a store is no file to look for. */
static void certificates_come_from_stores(void **state)
{
    (void)state;
    struct config *c = load_good(
        TRUST "listener s { address = \"*:587\" certificate = cert.pem key-password-file = pw trust = staff }\n"
              "listener t { address = \"*:465\" certificate = \"pkcs11:token=a;object=b\" key = \"PKCS11:token=a\" trust = staff }\n"
              "route default { smtp = h certificate = \"pkcs11:token=a\" key-password-file = pw login = auto }\n");
    assert_int_equal(said.len, 0);
    assert_null(c->listeners[0].key);
    assert_string_equal(c->listeners[0].key_password_file, path_of("pw"));
    assert_string_equal(c->listeners[1].certificate, "pkcs11:token=a;object=b");
    assert_string_equal(c->listeners[1].key, "PKCS11:token=a");
    assert_string_equal(c->relay.routes[0].certificate, "pkcs11:token=a");
    assert_null(c->relay.routes[0].key);
    assert_string_equal(c->relay.routes[0].key_password_file, path_of("pw"));
    config_free(c);
}

static void what_is_not_written_has_its_default(void **state)
{
    (void)state;
    struct config *c = load_good(TRUST "listener s { address = \"*:587\" " TLS "trust = staff }\n"
                                       "route default { smtp = \"mx.example.net\" }\n");
    const struct listener_config *ls = &c->listeners[0];
    assert_true(*c->hostname);
    assert_in_range(c->workers, 1, 256);
    assert_int_equal(c->log_level, LOG_LEVEL_INFO);
    assert_int_equal(c->n_identities, 1);
    assert_int_equal(c->identities[0].source, CERT_SOURCE_SAN_EMAIL);
    assert_int_equal(ls->role, ROLE_SUBMISSION);
    assert_int_equal(ls->tls, LISTENER_TLS_STARTTLS);
    assert_true(ls->require_tls);
    assert_int_equal(ls->client_certificate, TLS_CLIENT_CERT_REQUEST);
    assert_int_equal(ls->cert_auth, CERT_AUTH_IMPLICIT);
    assert_int_equal(ls->sender, SENDER_OWN);
    assert_true(ls->message_size_max == 50 << 20);
    assert_int_equal(ls->recipients_max, 1000);
    assert_int_equal(ls->errors_max, 20);
    assert_int_equal(ls->connections_max, 10000);
    assert_int_equal(ls->client_connections_max, 50);
    assert_int_equal(ls->login_timeout_ms, 600000);
    assert_int_equal(ls->workarounds, WORKAROUND_AUTH_ANSWERED_BY_COMMAND);
    assert_int_equal(ls->timeout_ms, 300000);
    assert_string_equal(c->spool.database, "/var/lib/postern/spool.db");
    assert_true(c->message.add_date && c->message.add_message_id && c->message.remove_bcc);
    assert_int_equal(c->message.hops_max, 100);
    assert_string_equal(c->relay.routes[0].port, "25");
    assert_int_equal(c->relay.routes[0].tls, ROUTE_TLS_OPPORTUNISTIC);
    config_free(c);
}

/* ID-02, UTF-03: what is looked up, said and compared is ASCII, however it was written. */
static void international_names_of_hosts_become_a_labels(void **state)
{
    (void)state;
    struct config *c = load_good("hostname = \"b\xc3\xbc" "cher.example\"\n"
                                 "route a.test { smtp = \"B\xc3\x9c"
                                           "CHER.example:587\" tls = verify tls-name = \"b\xc3\xbc"
                                           "cher.example\" }\nroute b.test { lmtp = \"xn--bcher-kva.example\" }\n"
                                           "listener s { address = \"*:587\" " TLS "}\n" ROUTE);
    assert_string_equal(c->hostname, "xn--bcher-kva.example");
    assert_string_equal(c->relay.routes[0].host, "xn--bcher-kva.example");
    assert_string_equal(c->relay.routes[0].port, "587");
    assert_string_equal(c->relay.routes[0].tls_name, "xn--bcher-kva.example");
    assert_string_equal(c->relay.routes[1].host, "xn--bcher-kva.example");
    config_free(c);
}

/* CERT-01: no CertificateRequest unless some certificate would count. */
static void nobody_is_asked_for_a_certificate_unless_it_counts(void **state)
{
    (void)state;
    struct config *c = load_good("listener s { address = \"*:587\" " TLS "}\n" ROUTE);
    assert_int_equal(c->listeners[0].client_certificate, TLS_CLIENT_CERT_OFF);
    assert_int_equal(c->listeners[0].cert_auth, CERT_AUTH_OFF);
    assert_string_equal(said.data,
                        "1: warning: nobody can log in on listener \"s\"; write trust = {NAME} or passwords = NAME\n");
    config_free(c);
}

/* ---- what is wrong ---- */

#define GOOD_LISTENER TRUST "listener s { address = \"*:587\" " TLS "trust = staff }\n"

/* clang-format off */
static const struct mistake_row {
    const char *name, *text, *want; /* want: part of what is said */
} mistakes[] = {
    {"unknown setting", GOOD_LISTENER "hostnam = x\n" ROUTE, "3: unknown setting \"hostnam\"; did you mean \"hostname\"?"},
    {"unknown in a block", TRUST "listener s { address = \"*:587\" " TLS "trust = staff\n certficate-auth = explicit }\n" ROUTE, "3: unknown setting \"certficate-auth\" in \"listener\"; did you mean \"certificate-auth\"?"},
    {"unknown, nothing near", "spool { colour = blue }\n", "1: unknown setting \"colour\" in \"spool\"; there are database, min-free, max-size"},
    {"unknown block", "listner s { }\n", "1: unknown block \"listner\"; did you mean \"listener\"?"},
    {"unknown block, nothing near", "zebra { }\n", "1: unknown block \"zebra\"; there are trust,"},
    {"block as setting", "spool = \"x\"\n", "1: \"spool\" is a block; write spool { ... }"},
    {"setting as block", "hostname { }\n", "1: \"hostname\" is a setting, not a block"},
    {"setting as block inside", "spool { database { } }\n", "1: \"database\" is a setting, not a block"},
    {"block inside a block", "spool {\nroute x { discard = yes }\n}\n", "2: the block \"route\" stands inside \"spool\" of line 1; is the \"}\" of that one missing?"},
    {"set twice", "hostname = a\n\nhostname = b\n", "3: \"hostname\" is set twice in one block, first on line 1"},
    {"block twice", "spool { }\nspool { }\n", "2: \"spool\" is written twice, first on line 1"},
    {"name twice", TRUST TRUST, "2: \"trust staff\" is written twice, first on line 1"},
    {"route twice, case apart", "route a.test { discard = yes }\nroute A.Test { discard = yes }\n", "2: \"route A.Test\" is written twice"},
    {"no name", "trust { ca = ca.pem }\n", "1: this \"trust\" has no name; write trust NAME"},
    {"name too many", "spool x { }\n", "1: \"spool\" takes no name"},
    {"name with spaces", "trust \"a b\" { ca = ca.pem }\n", "1: \"a b\" is no name for \"trust\""},
    {"list for one", "hostname = {a, b}\n", "1: \"hostname\" takes one value, not a list"},
    {"empty", "user = \"\"\n", "1: \"user\" is empty"},
    {"no host name", "hostname = \"a b\"\n", "1: \"a b\" is no domain name"},
    {"no U-label", "hostname = \"\xe2\x98\x83.example\"\n", "1: \"\xe2\x98\x83.example\" is no domain name; write hostname = \"mail.example.org\""},
    {"no number", "workers = many\n", "1: \"many\" is no number from 1 to 256 for \"workers\""},
    {"no duration", "delivery { expire = 5 }\n", "1: \"5\" is no duration for \"expire\"; write a number with ms, s, m, h, d or w, such as expire = 5m"},
    {"too short", "delivery { expire = 5ms }\n", "1: \"5ms\" is too short for \"expire\""},
    {"too long", "delivery { expire = 99w }\n", "1: \"99w\" is too long for \"expire\""},
    {"no size", "spool { min-free = 5X }\n", "1: \"5X\" is no size for \"min-free\""},
    {"not yes", "message { add-date = maybe }\n", "1: \"maybe\" is not yes or no; write add-date = yes"},
    {"no word", "log-level = loud\n", "1: \"loud\" is no value of \"log-level\"; write error, warning, notice, info or debug"},
    {"no file", "trust a { ca = {\"ca.pem\",\n \"none.pem\"} }\n", "none.pem\", named by \"ca\": No such file or directory"},
    {"the line in a list", "trust a { ca = {\"ca.pem\",\n \"none.pem\"} }\n", "2: cannot read"},
    {"a folder", "trust a { ca = \"/tmp\" }\n", "1: cannot read \"/tmp\", named by \"ca\": Is a directory"},
    {"no ca", "trust a { }\n", "1: trust \"a\" names no CA"},
    {"no pin", "trust a {\n pin = \"sha256:12\" }\n", "2: \"sha256:12\" is no pin; write \"sha256:\""},
    {"weak strength", "trust a { ca = ca.pem strength = 80 }\n", "1: \"80\" is no value of \"strength\"; write 112, 128 or 192"},
    {"weak keys", "trust a { ca = ca.pem key-size-min = 1024 }\n", "1: \"1024\" is no number from 2048 to 16384"},
    {"no responder", "trust a { ca = ca.pem ocsp = hard\n ocsp-responder = \"https://x/\" }\n", "2: \"https://x/\" is no http address; write ocsp-responder"},
    {"empty ca", "trust a { ca = {} }\n", "1: trust \"a\" names no CA"},
    {"postgresql", "spool { database = \"postgresql://db/x\" }\n", "1: this build has no PostgreSQL spool"},
    {"no such trust", TRUST "identity i { source = san-email trust = {stuff} }\n", "2: there is no trust \"stuff\"; did you mean \"staff\"?"},
    {"no source", "identity i { }\n", "1: identity \"i\" has no source"},
    {"two sources", "identity i { source = san-email subject = UID }\n", "1: \"subject\" is a source of its own"},
    {"no attribute", "identity i {\n subject = nonsense }\n", "2: \"nonsense\" is no attribute of a name; write one such as \"UID\""},
    {"no pattern", "identity i { source = san-dns\n pattern = '(' }\n", "2: the pattern cannot be used: missing closing parenthesis"},
    {"no group", "identity i { source = san-dns\n pattern = '.*'\n name = '$1@example.org' }\n", "3: \"$1@example.org\" uses $1, and the pattern has 0 groups"},
    {"no table", "identity i { source = san-dns table = none }\n", "none\", named by \"table\": No such file"},
    {"no user", "user = no-such-user-here\n", "1: there is no user \"no-such-user-here\""},
    {"no group", "group = no-such-group-here\n", "1: there is no group \"no-such-group-here\""},
    {"no listener", ROUTE, "1: there is no listener"},
    {"no route", GOOD_LISTENER, "1: there is no route, so no recipient can be accepted"},
    {"no default", GOOD_LISTENER "route a.test { discard = yes }\n", "1: warning: there is no route default"},

    {"no address", "listener s { }\n", "1: listener \"s\" has no address; write address = \"*:587\""},
    {"bad address", "listener s { address = \"localhost:587\" }\n", "1: \"localhost:587\" is no address to listen on"},
    {"same address", GOOD_LISTENER "listener t { address = \"*:587\" }\n", "3: listener \"t\" wants *:587, which listener \"s\" of line 2 has as *:587"},
    {"same address, other words", GOOD_LISTENER "listener t { address = \"0.0.0.0:587\" }\n", "3: listener \"t\" wants 0.0.0.0:587"},
    {"an address of all", GOOD_LISTENER "listener t { address = \"127.0.0.1:587\" }\n", "3: listener \"t\" wants 127.0.0.1:587, which listener \"s\" of line 2 has as *:587"},
    {"metrics at a listener's address", GOOD_LISTENER "metrics { address = \"127.0.0.1:587\" }\n", "3: \"metrics\" wants 127.0.0.1:587, which listener \"s\" of line 2 has as *:587"},
    {"same address in one list", "listener t { address = {\"[::1]:25\", \"[0::1]:25\"} }\n", "1: listener \"t\" wants [0::1]:25"},
    {"no certificate", "listener s { address = \"*:587\" }\n", "1: listener \"s\" has tls = starttls and no certificate"},
    {"passphrase of nothing", "listener s { tls = none key-password-file = pw }\n", "1: warning: unused: this listener has tls = none"},
    {"key alone", "listener s { key = cert.pem }\n", "1: there is a key without its certificate"},
    {"certificate unused", "listener s { tls = none certificate = cert.pem }\n", "1: warning: unused: this listener has tls = none"},
    {"request without trust", "listener s { client-certificate = request }\n", "1: certificates are asked for and nobody's count"},
    {"explicit without certificates", "listener s { certificate-auth = explicit }\n", "1: certificate-auth = explicit needs certificates; write trust = {NAME}"},
    {"implicit, certificates off", TRUST "listener s { client-certificate = off trust = staff\n certificate-auth = implicit }\n", "3: certificate-auth = implicit needs certificates; write client-certificate = request"},
    {"trust unused", TRUST "listener s { client-certificate = off trust = staff }\n", "2: warning: unused: client-certificate = off"},
    {"trust unused on relay", TRUST "listener s { role = relay trust = staff }\n", "2: warning: unused: on a relay listener"},
    {"no TLS, certificates", "listener s { tls = none client-certificate = request }\n", "1: a certificate comes with TLS"},
    {"no TLS, auth", "listener s { tls = none certificate-auth = implicit }\n", "1: a certificate comes with TLS"},
    {"no TLS, trust", TRUST "listener s { tls = none trust = staff }\n", "2: a certificate comes with TLS"},
    {"no TLS, required", "listener s { tls = none require-tls = yes }\n", "1: require-tls = yes with tls = none shuts everybody out"},
    {"peers on submission", "listener s { peers = {} }\n", "1: peers relay without logging in, which a submission listener never allows"},
    {"peers without certificates", "listener s { role = relay client-certificate = off peers = {} }\n", "1: peers are known by their certificates"},
    {"peers are no login", "listener s { role = relay certificate-auth = explicit peers = {\"" "0011223344556677889900112233445566778899001122334455667788990011" "\"} }\n", "1: peers relay without logging in; who logs in needs trust"},
    {"no table", GOOD_LISTENER "listener t { authzid = table }\n", "3: authzid = table needs the table; write may-act-as = \"FILE\""},
    {"table unused", GOOD_LISTENER "listener t { may-act-as = ca.pem }\n", "3: warning: unused: only authzid = table looks at it"},
    {"no senders", GOOD_LISTENER "listener t { sender = table }\n", "3: sender = table needs the table; write senders = \"FILE\""},
    {"passwords, no source", "passwords p { }\n", "1: passwords \"p\" has no source; write either table = \"FILE\" or dovecot"},
    {"passwords, two sources", "passwords p { table = ca.pem dovecot = \"/x\" }\n", "1: passwords \"p\" has two sources"},
    {"no such passwords", "listener t { passwords = p }\n", "1: there is no passwords \"p\"; write passwords p { table = \"FILE\" }"},
    {"no mechanisms", "passwords p { table = ca.pem }\nlistener t { passwords = p mechanisms = {} }\n", "2: no mechanism takes the passwords"},
    {"no such mechanism", "passwords p { table = ca.pem }\nlistener t { passwords = p mechanisms = {plain,\n gssapi} }\n", "3: \"gssapi\" is no value of \"mechanisms\"; there are plain, login, scram-sha-256 or scram-sha-256-plus"},
    {"SCRAM by Dovecot", "passwords p { dovecot = \"/x\" }\nlistener t { passwords = p mechanisms = scram-sha-256 }\n", "2: SCRAM needs passwords with a table"},
    {"AUTH-20 passwords in the clear", "passwords p { table = ca.pem }\nlistener t { tls = none passwords = p }\n", "2: passwords are taken inside TLS only"},
    {"mechanisms unused", "listener t { mechanisms = login }\n", "1: warning: unused: this listener has no passwords"},
    {"password required, none taken", "listener t { require = password }\n", "1: this needs passwords; write passwords = NAME"},
    {"certificate required, none asked for", "listener t { require = \"certificate+password\" }\n", "1: this needs client certificates; write trust = {NAME}"},
    {"no such limits", "listener t { limits = x }\n", "1: there is no limits \"x\"; write limits x { messages-per-minute = 60 }"},
    {"bad fingerprint", "listener s { role = relay peers = {\"AB:CD\"} }\n", "1: \"AB:CD\" is no SHA-256 fingerprint"},
    {"no range", "listener s { proxy-protocol = {\"10.0.0.1/8\"} }\n", "1: \"10.0.0.1/8\" is no range of hosts; write"},
    {"no range for XCLIENT", "listener s { xclient = {\"localhost\"} }\n", "1: \"localhost\" is no range of hosts; write"},
    {"no workaround", "listener s { workarounds = {\"be-nice\"} }\n", "1: \"be-nice\" is no value of \"workarounds\"; write auth-answered-by-command"},
    {"workaround unused", "listener s { workarounds = {\"auth-answered-by-command\"} }\n", "1: warning: auth-answered-by-command acts with certificate-auth = implicit only"},
    {"an impatient relay (REL-03)", "delivery {\ndata-timeout = 2m\nfinal-timeout = 1m }\n", "3: warning: RFC 5321 4.5.3.2 asks for at least 10 minutes"},
    {"few recipients", "listener s { recipients = 10 }\n", "1: warning: RFC 5321 4.5.3.1.8"},

    {"route nowhere", "route a.test { }\n", "1: route \"a.test\" leads nowhere"},
    {"discard = no", "route a.test { discard = no }\n", "1: route \"a.test\" leads nowhere"},
    {"route two ways", "route a.test { smtp = \"h\"\n lmtp = \"/x\" }\n", "2: a route goes one way, and this one has both smtp and lmtp"},
    {"route domain", "route \"a b\" { discard = yes }\n", "1: \"a b\" is no domain"},
    {"next hop", "route a.test { smtp = \"h:99999\" }\n", "1: \"h:99999\" is no next hop; write smtp = \"mail.example.net:25\""},
    {"maildir template", "route a.test { maildir = \"/x/%x\" }\n", "1: \"%\" stands for nothing here"},
    {"maildir template, end", "route a.test { maildir = \"/x/%\" }\n", "1: \"%\" stands for nothing here"},
    {"TLS to a folder", "route a.test { maildir = \"/x\" tls = verify }\n", "1: \"tls\" has no meaning for a route without a next hop"},
    {"TLS to a socket", "route a.test { lmtp = \"/x\" tls = verify }\n", "1: \"tls\" has no meaning for a UNIX socket"},
    {"half a pair", "route a.test { smtp = h key = key.pem }\n", "1: there is a key without its certificate"},
    {"passphrase of no certificate", "route a.test { smtp = h key-password-file = pw }\n", "1: warning: unused: there is no certificate"},
    {"certificate to a folder", "route a.test { maildir = \"/x\" certificate = \"pkcs11:token=a\" }\n", "1: \"certificate\" has no meaning for a route without a next hop"},
    {"no such file", "route a.test { smtp = h certificate = \"./pkcs11:token=a\" }\n", "1: cannot read"},
    {"login with nothing", "route a.test { smtp = h login = auto }\n", "1: login needs something to show"},
    {"login to LMTP", "route a.test { lmtp = h login = auto " TLS "}\n", "1: there is no login with LMTP"},
    {"password to anybody", "route a.test { smtp = h user = ann\n password-file = pw\n tls = require }\n", "3: a password is sent only to a next hop whose name was verified; write tls = verify, or tls = implicit on port 465"},
    {"password to anybody, opportunistic", "route a.test { smtp = h user = ann password-file = pw login = scram tls = opportunistic }\n", "1: a password is sent only to a next hop whose name was verified"},
    {"password in the clear", "route a.test { smtp = h user = ann password-file = pw tls = off }\n", "1: a password is sent only to a next hop whose name was verified"},
    {"password in the file", "route a.test { smtp = h user = ann\n password = geheim }\n", "2: a password does not stand in this file; write it into one of its own"},
    {"password of nobody", "route a.test { smtp = h password-file = pw }\n", "1: user and password-file go together; write user = \"NAME\""},
    {"user without password", "route a.test { smtp = h user = ann }\n", "1: user and password-file go together; write password-file = \"FILE\""},
    {"login by a password there is not", "route a.test { smtp = h login = scram " TLS "}\n", "1: this login takes a password; write user"},
    {"login by a certificate there is not", "route a.test { smtp = h login = external user = ann password-file = pw }\n", "1: this login takes a certificate; write certificate"},
    {"password nobody sends", "route a.test { smtp = h login = external " TLS "user = ann\n password-file = pw }\n", "2: warning: unused: only login = auto, scram and plain send a password"},
    {"password, and no login", "route a.test { smtp = h login = none user = ann password-file = pw }\n", "1: warning: unused: only login = auto"},
    {"password to LMTP", "route a.test { lmtp = h user = ann password-file = pw }\n", "1: there is no login with LMTP"},
    {"password to a folder", "route a.test { maildir = \"/x\" user = ann password-file = pw }\n", "1: \"user\" has no meaning for a route without a next hop"},
    {"certificate in the clear", "route a.test { smtp = h tls = off " TLS "}\n", "1: a certificate needs TLS"},
    {"login to anybody", "route a.test { smtp = h tls = require login = auto " TLS "}\n", "1: warning: this logs in at a next hop whose name was not verified"},
    {"ca unused", "route a.test { smtp = h ca = ca.pem }\n", "1: warning: unused: only tls = verify"},
    {"retry order", "delivery { retry-min = 5h }\n", "1: retry-min is above retry-max"},
    {"expires first", "delivery { expire = 1m }\n", "1: mail would expire before it is tried again"},
    {"postmaster's syntax", "delivery { postmaster = \"a b@example.org\" }\n", "1: \"a b@example.org\" is no mail address"},
    {"postmaster", "delivery { postmaster = root }\n", "1: \"root\" is no mail address"},
};
/* clang-format on */

static void each_mistake_is_named_with_its_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(mistakes); i++) {
        const struct mistake_row *row = &mistakes[i];
        struct config *c = NULL;
        int r = read_text(row->text, strlen(row->text), &c);
        bool is_warning = strstr(row->want, ": warning: ") != NULL;
        if (!said.data || !strstr(said.data, row->want))
            fail_msg("%s: \"%s\" is not in:\n%s", row->name, row->want, said.data ? said.data : "");
        check(row->name, is_warning || r > 0);
        check(row->name, (c != NULL) == (r == 0));
        config_free(c);
    }
}

/* ---- includes ---- */

static void a_file_can_include_another(void **state)
{
    (void)state;
    static const char more[] = "\n\nworkers = 5\n" ROUTE;
    write_file("more.conf", more, strlen(more));
    struct config *c = load_good(GOOD_LISTENER "include(\"more.conf\")\n");
    assert_int_equal(c->workers, 5);
    assert_int_equal(c->relay.n_routes, 1);
    assert_string_equal(c->route_places[0].file, path_of("more.conf"));
    assert_int_equal(c->route_places[0].line, 4);
    config_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_setting_is_read),
        cmocka_unit_test(listeners_are_read),
        cmocka_unit_test(routes_are_read),
        cmocka_unit_test(routes_have_passwords),
        cmocka_unit_test(certificates_come_from_stores),
        cmocka_unit_test(what_is_not_written_has_its_default),
        cmocka_unit_test(international_names_of_hosts_become_a_labels),
        cmocka_unit_test(nobody_is_asked_for_a_certificate_unless_it_counts),
        cmocka_unit_test(each_mistake_is_named_with_its_line),
        cmocka_unit_test(a_file_can_include_another),
    };
    int failed = cmocka_run_group_tests(tests, make_folder, remove_folder);
    buf_done(&said);
    return failed;
}
