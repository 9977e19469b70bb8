/* tls.h - TLS settings shared by many streams, and what a finished handshake tells.
 *
 * A tls_context is immutable once made and counted: a stream keeps a reference for its handshake,
 * so a reload makes a new context, swaps the pointer and drops the old one; no session notices.
 *
 * TLS 1.2 and 1.3 only (conformance TLS-04..06), no compression, no renegotiation (EDG-19), no
 * early data (EDG-17), one session ticket, buffers released when idle.
 *
 * The certificate of a client is asked for without naming CAs, unless whoever made the context wants it (field notes:
 * naming them makes GnuTLS and NSS clients withhold another CA's certificate silently), and never fails a handshake by
 * itself: whoever made the context may set `verify`, which is asked only with
 * TLS_CLIENT_CERT_REQUIRE.
 */
#ifndef POSTERN_TLS_H
#define POSTERN_TLS_H

#include "base/str.h"

#include <sys/types.h>

struct x509_st;       /* OpenSSL's X509, for cert/ to look into */
struct stack_st_X509; /* a chain of them */
struct stack_st_X509_NAME;

struct tls_context;

enum tls_client_cert { TLS_CLIENT_CERT_OFF, TLS_CLIENT_CERT_REQUEST, TLS_CLIENT_CERT_REQUIRE };

/* Returns an X509_V_* code: 0 lets the handshake go on, anything else becomes the TLS alert. */
typedef int tls_verify_fn(void *arg, struct x509_st *leaf, struct stack_st_X509 *chain);

/* What sessions are resumed by, shared by the contexts of a server so that a reload ends none.  With cached_max the newest so many
 * stay in memory and a ticket is but a name [rfc8446 4.6.1]: quicker, since OpenSSL 3.0 decodes the client's
 * certificate again wherever a ticket is made or opened.  With 0 the session is in the ticket, sealed by a key that is
 * renewed every key_lifetime_ms; the one before still opens, older ones are gone (RES-04).  Nobody resumes longer than twice that
 * time after having last proved possession of the certificate's key (RES-02).  Counted, any thread. */
struct tls_tickets;
struct tls_tickets *tls_tickets_new(int64_t key_lifetime_ms, unsigned cached_max);
struct tls_tickets *tls_tickets_ref(struct tls_tickets *t);
void tls_tickets_unref(struct tls_tickets *t); /* NULL is fine */
/* Renews what is due, and forgets sessions whose time is over; keys also turn when a ticket is next made or used. */
void tls_tickets_turn(struct tls_tickets *t);

struct tls_server_config {
    const char *certificate; /* as of a client, below */
    const char *key;
    const char *passphrase_file;
    uid_t reader;
    enum tls_client_cert client_certificate;
    tls_verify_fn *verify; /* asked only with TLS_CLIENT_CERT_REQUIRE; may be NULL */
    void *verify_arg;
    /* PEM file of the CAs that the request names; NULL: it names none. */
    const char *named_ca;
    /* Names listener and policy: a ticket of another one is not taken (EDG-15). */
    const char *session_context;
    struct tls_tickets *tickets; /* NULL: sealed by a key of the context's own, as long as it lives */
};

/* TLS_VERIFY_NAME: chain and host name (ID-01), never the subject CN (ID-03); with pins, these too.
 * TLS_VERIFY_PIN: one of the pins and nothing else: for setting up an account; no confidentiality is
 * claimed (TLS-13), and PLAIN does not go over it (PLN-05). */
enum tls_verify_mode { TLS_VERIFY_NONE, TLS_VERIFY_NAME, TLS_VERIFY_PIN };

enum tls_version { TLS_VERSION_USUAL, TLS_VERSION_1_1, TLS_VERSION_1_2, TLS_VERSION_1_3 };

/* One account or route, one context: certificates (CERT-03) and kept sessions (RES-07) never cross. */
struct tls_client_config {
    const char *ca; /* PEM file of trust anchors; NULL: the system's roots */
    /* Ours; sent only when asked for (CERT-02).  NULL: none.  Each is a file, PEM or PKCS#12, leaf
     * before intermediates, or an OpenSSL store URI: "pkcs11:token=...;object=..." is asked of a
     * provider, else of the engine "pkcs11"; RFC 7512's module-path names the module. */
    const char *certificate;
    const char *key;       /* NULL: where the certificate is */
    struct str passphrase; /* of key or file, or the token's PIN; empty: there is none */
    const char *passphrase_file; /* the same, the first line of a file (base/secret_file.h); NULL: there is none */
    uid_t reader;                /* the account it is for */
    enum tls_verify_mode verify;
    /* SHA-256 of the server's certificate or of its public key: 64 hexadecimal digits with or without
     * colons, or "sha256//" and base64. */
    const char *const *pins;
    size_t n_pins;
    enum tls_version version_min; /* TLS_VERSION_1_3; others: 1.2 */
    bool resume; /* offer the newest session that a server of the same name gave to this context */
    /* This version alone, instead of 1.2 and 1.3; 1.1 only to find out who still speaks it (TLS-06). */
    enum tls_version version;
};

/* On failure `why` (at least TLS_WHY_MAX octets) says which file and what is wrong with it; returns
 * -errno. */
#define TLS_WHY_MAX 256
MUST_USE int
tls_server_context_new(const struct tls_server_config *cfg, struct tls_context **ret, char *why);
MUST_USE int
tls_client_context_new(const struct tls_client_config *cfg, struct tls_context **ret, char *why);
struct tls_context *tls_context_ref(struct tls_context *c);
void tls_context_unref(struct tls_context *c); /* NULL is fine */
bool tls_context_has_certificate(const struct tls_context *c); /* one of ours, to show */
/* It, as long as the context lives, and the file or store it came from, without what may be a PIN; NULL: none. */
const struct x509_st *tls_context_certificate(const struct tls_context *c, const char **ret_where);
/* Is our certificate good today?  -EKEYEXPIRED, and `why` has file and date (CERT-22). */
MUST_USE int tls_context_check_dates(const struct tls_context *c, char *why);

/* What a finished handshake tells.  Strings are static but the server's name. */
struct tls_facts {
    const char *version; /* "TLSv1.3" */
    const char *cipher;  /* registered name, "TLS_AES_256_GCM_SHA384" (TRC-05) */
    const char *group;   /* "x25519"; NULL when not known */
    bool resumed;
    bool verified; /* client: the server's certificate was, its name included; a pin alone does not count (TLS-13) */
    const char *server_name; /* what the client asked for by SNI, borrowed as `leaf` is; NULL: nothing */
    bool asked; /* the server wanted a client certificate in this handshake */
    /* The CAs it named for that, borrowed during `secured` only; NULL or empty: it named none. */
    const struct stack_st_X509_NAME *authorities;
    struct x509_st *leaf; /* the peer's certificate, borrowed while the stream lives; NULL: none */
    /* What the peer sent with it, borrowed during `secured` only: a client's without the leaf, a
     * server's with it; NULL when there is none, and on a resumed session. */
    struct stack_st_X509 *chain;
};

#endif
