/* What names a TLS connection to both of its ends: RFC 9266, RFC 5929. */
#include "net/stream_internal.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#define EXPORTER_LEN 32

/* [rfc9266 2] Label, no context, 32 octets (CB-01).  Under TLS 1.2 an empty context would make another value than none; none
 * is what OpenSSL's and GnuTLS's users take. */
static int exporter(SSL *ssl, struct buf *out)
{
    static const char label[] = "EXPORTER-Channel-Binding";
    unsigned char octets[EXPORTER_LEN];
    if (SSL_export_keying_material(ssl, octets, sizeof(octets), label, sizeof(label) - 1, NULL, 0,
                                   0) != 1)
        return -EOPNOTSUPP;
    return buf_append(out, octets, sizeof(octets));
}

/* [rfc5929 4.1] The server's certificate by the hash of its signature, MD5 and SHA-1 replaced by SHA-256 (CB-05). */
static int end_point(SSL *ssl, struct buf *out)
{
    unsigned char octets[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int hash = NID_undef;
    X509 *server = SSL_is_server(ssl) ? SSL_get_certificate(ssl) : SSL_get0_peer_certificate(ssl);
    if (!server || X509_get_signature_info(server, &hash, NULL, NULL, NULL) != 1 ||
        hash == NID_undef)
        return -EOPNOTSUPP; /* Ed25519 names none, and the RFC does not say what then */
    if (hash == NID_md5 || hash == NID_sha1)
        hash = NID_sha256;
    const EVP_MD *md = EVP_get_digestbynid(hash);
    if (!md || X509_digest(server, md, octets, &len) != 1)
        return -EOPNOTSUPP;
    return buf_append(out, octets, len);
}

/* [rfc7627 5.4] Without the extended master secret two connections could be made to share what is exported.  They cannot be
 * made to share the certificate, so a client may still bind to that; a server of ours offers neither (CB-02). */
static bool wants_extended_master_secret(const SSL *ssl, enum tls_binding kind)
{
    return SSL_version(ssl) < TLS1_3_VERSION &&
           (kind == TLS_BINDING_EXPORTER || SSL_is_server(ssl));
}

int stream_channel_binding(const struct stream *s, enum tls_binding kind, struct buf *out)
{
    SSL *ssl = s->wire.ssl;
    if (s->cover != COVER_SECURE || !ssl)
        return -EOPNOTSUPP;
    if (wants_extended_master_secret(ssl, kind) && SSL_get_extms_support(ssl) != 1)
        return -EOPNOTSUPP;
    buf_clear(out);
    return kind == TLS_BINDING_EXPORTER ? exporter(ssl, out) : end_point(ssl, out);
}
