/* tls_token.h - certificates and keys on PKCS#11 tokens (RFC 7512 URIs), where no OpenSSL provider serves them.
 *
 * Debian 12 has no such provider, but the engine "pkcs11" of libp11 (package libengine-pkcs11-openssl).  Engines are
 * deprecated by OpenSSL, so this is the only file that knows of them, and the provider is asked first.
 * Internal to src/net/.
 */
#ifndef POSTERN_TLS_TOKEN_H
#define POSTERN_TLS_TOKEN_H

#include "base/str.h"

struct x509_st;
struct evp_pkey_st;

bool tls_token_is(const char *uri);
/* NULL: not found, and OpenSSL's queue says why. */
struct x509_st *tls_token_certificate(const char *uri);
/* *ret_asked: the token wanted its PIN. */
struct evp_pkey_st *tls_token_key(const char *uri, struct str pin, bool *ret_asked);

#endif
