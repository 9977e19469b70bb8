#include "net/tls_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h> /* the host name flags only */
#include <stdatomic.h>
#include <stdio.h>

/* RFC 9325 4.2: forward secrecy and authenticated encryption only.  TLS 1.3 has nothing else. */
#define CIPHERS_TLS12 "ECDHE+AESGCM:ECDHE+CHACHA20"

#define TICKET_LIFETIME_S 3600L

struct tls_context {
    atomic_int refs;
    SSL_CTX *ctx;
    bool server;
    tls_verify_fn *verify; /* with TLS_CLIENT_CERT_REQUIRE, may be NULL */
    void *verify_arg;
    char *session_context; /* server */
    enum tls_verify_mode verify_server;
    char *certificate; /* where ours is, for complaints */
    bool resume;       /* client */
};

static const struct {
    int alert;
    const char *name;
} alert_names[] = {
    {SSL_AD_CLOSE_NOTIFY,                    "close_notify"                   },
    {SSL_AD_UNEXPECTED_MESSAGE,              "unexpected_message"             },
    {SSL_AD_BAD_RECORD_MAC,                  "bad_record_mac"                 },
    {SSL_AD_RECORD_OVERFLOW,                 "record_overflow"                },
    {SSL_AD_HANDSHAKE_FAILURE,               "handshake_failure"              },
    {SSL_AD_BAD_CERTIFICATE,                 "bad_certificate"                },
    {SSL_AD_UNSUPPORTED_CERTIFICATE,         "unsupported_certificate"        },
    {SSL_AD_CERTIFICATE_REVOKED,             "certificate_revoked"            },
    {SSL_AD_CERTIFICATE_EXPIRED,             "certificate_expired"            },
    {SSL_AD_CERTIFICATE_UNKNOWN,             "certificate_unknown"            },
    {SSL_AD_ILLEGAL_PARAMETER,               "illegal_parameter"              },
    {SSL_AD_UNKNOWN_CA,                      "unknown_ca"                     },
    {SSL_AD_ACCESS_DENIED,                   "access_denied"                  },
    {SSL_AD_DECODE_ERROR,                    "decode_error"                   },
    {SSL_AD_DECRYPT_ERROR,                   "decrypt_error"                  },
    {SSL_AD_PROTOCOL_VERSION,                "protocol_version"               },
    {SSL_AD_INSUFFICIENT_SECURITY,           "insufficient_security"          },
    {SSL_AD_INTERNAL_ERROR,                  "internal_error"                 },
    {SSL_AD_INAPPROPRIATE_FALLBACK,          "inappropriate_fallback"         },
    {SSL_AD_USER_CANCELLED,                  "user_canceled"                  },
    {SSL_AD_NO_RENEGOTIATION,                "no_renegotiation"               },
    {SSL_AD_MISSING_EXTENSION,               "missing_extension"              },
    {SSL_AD_UNSUPPORTED_EXTENSION,           "unsupported_extension"          },
    {SSL_AD_UNRECOGNIZED_NAME,               "unrecognized_name"              },
    {SSL_AD_BAD_CERTIFICATE_STATUS_RESPONSE, "bad_certificate_status_response"},
    {SSL_AD_UNKNOWN_PSK_IDENTITY,            "unknown_psk_identity"           },
    {SSL_AD_CERTIFICATE_REQUIRED,            "certificate_required"           },
    {SSL_AD_NO_APPLICATION_PROTOCOL,         "no_application_protocol"        },
};

const char *tls_alert_name(int alert)
{
    for (size_t i = 0; i < ARRAY_LEN(alert_names); i++)
        if (alert_names[i].alert == alert)
            return alert_names[i].name;
    return "unknown";
}

void tls_error_words(char *out, size_t size)
{
    const char *data = "";
    unsigned long code = ERR_get_error_all(NULL, NULL, NULL, &data, NULL);
    const char *reason = code ? ERR_reason_error_string(code) : "no reason given";
    if (ERR_SYSTEM_ERROR(code))
        (void)snprintf(out, size, "%s%s%s", data, *data ? ": " : "",
                       strerror(ERR_GET_REASON(code)));
    else if (reason)
        (void)snprintf(out, size, "%s", reason);
    else
        (void)snprintf(out, size, "error %lx", code);
    ERR_clear_error();
}

/* OpenSSL thinks of 1.1 as insecure, and so do we: it is spoken to nobody but to see whether it is answered. */
static void use_version(SSL_CTX *ctx, enum tls_version version)
{
    static const int numbers[] = {
        [TLS_VERSION_1_1] = TLS1_1_VERSION,
        [TLS_VERSION_1_2] = TLS1_2_VERSION,
        [TLS_VERSION_1_3] = TLS1_3_VERSION,
    };
    if (version == TLS_VERSION_USUAL)
        return;
    (void)SSL_CTX_set_min_proto_version(ctx, numbers[version]);
    (void)SSL_CTX_set_max_proto_version(ctx, numbers[version]);
    if (version == TLS_VERSION_1_1)
        (void)SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0");
}

static struct tls_context *context_new(const SSL_METHOD *method)
{
    SSL_CTX *ctx = SSL_CTX_new(method);
    if (!ctx)
        abort();
    (void)SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION); /* TLS-04, TLS-05, TLS-06 */
    (void)SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION);
    (void)SSL_CTX_set_cipher_list(ctx, CIPHERS_TLS12);
    /* TLS-07, EDG-19.  A connection closed without close_notify reads as the end of input, since in
     * SMTP every command and message says itself where it ends; it must not hinder our answer. */
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
                                 SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1); /* one recv(2) for what would be two a record */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    struct tls_context *c = xcalloc(1, sizeof(*c));
    atomic_init(&c->refs, 1);
    c->ctx = ctx;
    return c;
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return c;
}

void tls_context_unref(struct tls_context *c)
{
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
        return;
    SSL_CTX_free(c->ctx); /* open connections hold it themselves */
    free(c->session_context);
    free(c->certificate);
    free(c);
}

static const char *day(const ASN1_TIME *t, char out[16])
{
    struct tm tm;
    if (ASN1_TIME_to_tm(t, &tm) != 1 || strftime(out, 16, "%Y-%m-%d", &tm) == 0)
        (void)snprintf(out, 16, "some day");
    return out;
}

int tls_context_check_dates(const struct tls_context *c, char *why)
{
    const X509 *own = SSL_CTX_get0_certificate(c->ctx);
    char date[16];
    if (!own)
        return 0;
    if (X509_cmp_current_time(X509_get0_notAfter(own)) < 0)
        return tls_complain(why, -EKEYEXPIRED, "our certificate in %s expired on %s",
                            c->certificate, day(X509_get0_notAfter(own), date));
    if (X509_cmp_current_time(X509_get0_notBefore(own)) > 0)
        return tls_complain(why, -EKEYEXPIRED, "our certificate in %s is not valid before %s",
                            c->certificate, day(X509_get0_notBefore(own), date));
    return 0;
}

const X509 *tls_context_certificate(const struct tls_context *c, const char **ret_where)
{
    *ret_where = c->certificate;
    return SSL_CTX_get0_certificate(c->ctx);
}

bool tls_context_has_certificate(const struct tls_context *c)
{
    return SSL_CTX_get0_certificate(c->ctx) != NULL;
}

static void unrefp(struct tls_context **c)
{
    tls_context_unref(*c);
}

/* Replaces OpenSSL's own path validation: the certificate is judged elsewhere, with a reason that
 * the SMTP session can tell (EDG-21). */
static int on_client_certificate(X509_STORE_CTX *store, void *arg)
{
    struct tls_context *c = arg;
    int code = X509_V_OK;
    if (c->verify)
        code = c->verify(c->verify_arg, X509_STORE_CTX_get0_cert(store),
                         X509_STORE_CTX_get0_untrusted(store));
    X509_STORE_CTX_set_error(store, code);
    return code == X509_V_OK;
}

/* A session is bound to the session_context and to the server name asked for, octet by octet
 * (EDG-15): one that comes back under another is not taken, and a full handshake follows.  With `once` it is bound to
 * this connection, and never taken again.
 */
static bool bind_session(SSL *ssl, const struct tls_context *c, bool once)
{
    const unsigned char *sni = NULL;
    size_t sni_len = 0;
    (void)SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &sni, &sni_len);
    unsigned char id[EVP_MAX_MD_SIZE], chance[32];
    unsigned id_len = 0;
    if (once && RAND_bytes(chance, sizeof(chance)) != 1)
        return false;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 &&
              EVP_DigestUpdate(md, c->session_context, strlen(c->session_context) + 1) == 1 &&
              EVP_DigestUpdate(md, sni, sni_len) == 1 &&
              (!once || EVP_DigestUpdate(md, chance, sizeof(chance)) == 1) &&
              EVP_DigestFinal_ex(md, id, &id_len) == 1 &&
              SSL_set_session_id_context(ssl, id, id_len) == 1;
    EVP_MD_CTX_free(md);
    return ok;
}

static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
    const unsigned char *data;
    size_t len;
    /* EDG-16, RFC 7627 5.4: without the extended master secret a TLS 1.2 session is not tied to one
     * certificate, so it gets no ticket and is not taken again. */
    bool once =
        SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_extended_master_secret, &data, &len) != 1;
    if (once) {
        SSL_set_options(ssl, SSL_OP_NO_TICKET);
        (void)SSL_set_num_tickets(ssl, 0);
    }
    if (bind_session(ssl, arg, once))
        return SSL_CLIENT_HELLO_SUCCESS;
    *alert = SSL_AD_INTERNAL_ERROR;
    return SSL_CLIENT_HELLO_ERROR;
}

/* TLS-11: no protocol name is registered for SMTP, so a client that offers some wants something
 * else. */
static int on_alpn(SSL *ssl,
                   const unsigned char **out,
                   unsigned char *out_len,
                   const unsigned char *in,
                   unsigned in_len,
                   void *arg)
{
    (void)ssl;
    (void)out;
    (void)out_len;
    (void)in;
    (void)in_len;
    (void)arg;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* By default no CA is named in the request, so that no client withholds its certificate. */
static int name_authorities(SSL_CTX *ctx, const char *file, char *why)
{
    int r = file ? tls_check_readable(file, "CA", why) : 0;
    if (!file || r < 0)
        return r;
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(file);
    if (!names)
        return tls_complain(why, -EINVAL, "no usable PEM certificate in %s", file);
    SSL_CTX_set_client_CA_list(ctx, names);
    return 0;
}

static void ask_for_certificate(struct tls_context *c, const struct tls_server_config *cfg)
{
    static const int modes[] = {
        [TLS_CLIENT_CERT_OFF] = SSL_VERIFY_NONE,
        [TLS_CLIENT_CERT_REQUEST] = SSL_VERIFY_PEER,
        [TLS_CLIENT_CERT_REQUIRE] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
    };
    if (cfg->client_certificate == TLS_CLIENT_CERT_REQUIRE) {
        c->verify = cfg->verify;
        c->verify_arg = cfg->verify_arg;
    }
    SSL_CTX_set_verify(c->ctx, modes[cfg->client_certificate], NULL);
    SSL_CTX_set_cert_verify_callback(c->ctx, on_client_certificate, c);
}

static int load_own(struct tls_context *c, const struct tls_own *own, char *why)
{
    struct str shown = tls_own_shown(own->certificate);
    c->certificate = xstrndup(shown.p, shown.len);
    return tls_own_load(c->ctx, own, why);
}

int tls_server_context_new(const struct tls_server_config *cfg, struct tls_context **ret, char *why)
{
    CLEANUP(unrefp) struct tls_context *c = context_new(TLS_server_method());
    c->server = true;
    c->session_context = xstrdup(cfg->session_context ? cfg->session_context : "");
    const struct tls_own own = {.certificate = cfg->certificate,
                                .key = cfg->key,
                                .passphrase_file = cfg->passphrase_file,
                                .reader = cfg->reader};
    int r = load_own(c, &own, why);
    if (r == 0)
        r = name_authorities(c->ctx, cfg->named_ca, why);
    if (r < 0)
        return r;
    ask_for_certificate(c, cfg);
    SSL_CTX_set_options(c->ctx, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    (void)SSL_CTX_set_num_tickets(c->ctx, 1); /* libesmtp hangs more often the more there are */
    (void)SSL_CTX_set_timeout(c->ctx, TICKET_LIFETIME_S);
    if (cfg->tickets)
        tls_tickets_use(c->ctx, cfg->tickets);
    SSL_CTX_set_client_hello_cb(c->ctx, on_client_hello, c);
    SSL_CTX_set_alpn_select_cb(c->ctx, on_alpn, NULL);
    *ret = c;
    c = NULL;
    return 0;
}

static int verify_servers(struct tls_context *c, const struct tls_client_config *cfg, char *why)
{
    struct tls_pins *pins = xcalloc(1, sizeof(*pins));
    pins->alone = cfg->verify == TLS_VERIFY_PIN;
    int r = tls_pins_parse(pins, cfg->pins, cfg->n_pins, why);
    if (r == 0 && pins->alone && pins->n == 0)
        r = tls_complain(why, -EINVAL, "verification by pin needs a pin");
    tls_verify_use(c->ctx, pins); /* takes them, whatever r is */
    return r;
}

static int use_own(struct tls_context *c, const struct tls_client_config *cfg, char *why)
{
    const struct tls_own own = {.certificate = cfg->certificate,
                                .key = cfg->key,
                                .passphrase = cfg->passphrase,
                                .passphrase_file = cfg->passphrase_file,
                                .reader = cfg->reader};
    return load_own(c, &own, why);
}

int tls_client_context_new(const struct tls_client_config *cfg, struct tls_context **ret, char *why)
{
    CLEANUP(unrefp) struct tls_context *c = context_new(TLS_client_method());
    c->verify_server = cfg->verify;
    use_version(c->ctx, cfg->version);
    int r = 0;
    if (cfg->verify == TLS_VERIFY_NAME)
        r = tls_own_load_anchors(c->ctx, cfg->ca, why);
    if (r == 0 && cfg->verify != TLS_VERIFY_NONE)
        r = verify_servers(c, cfg, why);
    if (r == 0 && cfg->certificate)
        r = use_own(c, cfg, why);
    if (r < 0)
        return r;
    if (cfg->version_min == TLS_VERSION_1_3)
        (void)SSL_CTX_set_min_proto_version(c->ctx, TLS1_3_VERSION);
    c->resume = cfg->resume;
    if (c->resume)
        tls_resume_enable(c->ctx);
    *ret = c;
    c = NULL;
    return 0;
}

static bool is_address_literal(const char *name)
{
    unsigned char address[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1;
}

/* ID-01, ID-03: the name is looked for in the subject alternative names only, and a "*" stands for
 * one whole label. */
static bool expect_name(SSL *ssl, const char *name)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT |
                                               X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    if (is_address_literal(name))
        return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1;
    return X509_VERIFY_PARAM_set1_host(param, name, 0) == 1;
}

/* TLS-09: the server is told the name it was looked for by, but never an address. */
static bool aim_at(SSL *ssl, const struct tls_context *c, const char *name)
{
    struct str host = str_of(name);
    if (host.len && host.p[host.len - 1] == '.')
        host.len--;
    char bare[256];
    if (host.len == 0 || host.len >= sizeof(bare))
        return false;
    memcpy(bare, host.p, host.len);
    bare[host.len] = '\0';
    if (!is_address_literal(bare) && SSL_set_tlsext_host_name(ssl, bare) != 1)
        return false;
    return c->verify_server != TLS_VERIFY_NAME || expect_name(ssl, bare);
}

SSL *tls_open(struct tls_context *c, const char *name)
{
    SSL *ssl = SSL_new(c->ctx);
    if (!ssl)
        return NULL;
    if (c->server) {
        SSL_set_accept_state(ssl);
        return ssl;
    }
    SSL_set_connect_state(ssl);
    /* Verifying a chain without a name to hold it against proves nothing, so that is refused. */
    if (name ? aim_at(ssl, c, name) : c->verify_server != TLS_VERIFY_NAME) {
        if (c->resume)
            tls_resume_offer(ssl);
        return ssl;
    }
    SSL_free(ssl);
    return NULL;
}

void tls_facts_read(SSL *ssl, struct tls_facts *ret)
{
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
    int group = (int)SSL_get_negotiated_group(ssl);
    *ret = (struct tls_facts){
        .version = SSL_get_version(ssl),
        .cipher = cipher ? SSL_CIPHER_standard_name(cipher) : NULL,
        .group = group ? SSL_group_to_name(ssl, group) : NULL,
        .resumed = SSL_session_reused(ssl) == 1,
        .verified = !SSL_is_server(ssl) && SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE &&
                    SSL_get_verify_result(ssl) == X509_V_OK,
        .leaf = SSL_get0_peer_certificate(ssl),
        .server_name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name),
    };
    if (!ret->resumed)
        ret->chain = SSL_get_peer_cert_chain(ssl);
    if (!SSL_is_server(ssl))
        ret->authorities = SSL_get0_peer_CA_list(ssl);
}

void tls_forget_chain(SSL *ssl)
{
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
    while (chain && sk_X509_num(chain) > 0)
        X509_free(sk_X509_pop(chain));
}
