/* ca.h - the small certificate authority of `postern cert`: a directory and what may be done with it.
 *
 *     ca.pem      certificate of the CA: what a `trust` block names as `ca`
 *     ca.key      its key, mode 0600; may be kept elsewhere and put back when something is to be signed
 *     index.txt   what was issued, one line each, for people and programs to read
 *     crl.pem     the revocation list: what a `trust` block names as `crl`; good for 30 days
 *     lock        held while a command works here
 *
 * Every file is written beside its place, synced, renamed, and the directory synced: a crash leaves the old file
 * or the new one.  The order across files: a certificate is in the index before it exists as a file, so that none
 * is ever out that the index does not know; a revocation is in the index before it is in the list, and
 * ca_write_crl() makes the list from the index, so that doing it again repairs what was interrupted.
 *
 * Fails with -errno and a sentence in `why` (at least CERT_WHY_MAX octets) that names the file and the cure.
 * Blocks; not for the server's threads.
 */
#ifndef POSTERN_CA_H
#define POSTERN_CA_H

#include "cert/judge.h"

#define CA_DAYS 3650
#define CA_CRL_DAYS 30
#define CA_SERIAL_LEN 33 /* 32 hex digits and a NUL */

enum ca_key { CA_KEY_EC, CA_KEY_RSA, CA_KEY_ED25519 }; /* P-256, 3072 bits */
enum ca_kind { CA_CLIENT, CA_SERVER };

enum ca_reason { /* RFC 5280 5.3.1, those that fit somebody's certificate */
                 CA_UNSPECIFIED,
                 CA_KEY_COMPROMISE,
                 CA_AFFILIATION_CHANGED,
                 CA_SUPERSEDED,
                 CA_CESSATION,
                 CA_PRIVILEGE_WITHDRAWN,
};
const char *ca_reason_name(enum ca_reason r); /* "key-compromise" */
MUST_USE int ca_reason_parse(const char *word, enum ca_reason *ret);
const char *ca_kind_name(enum ca_kind k); /* "client" */

/* A new CA; the directory is made with mode 0700.  -EEXIST when it holds one already. */
struct ca_config {
    const char *dir;
    const char *
        name; /* common name; NULL: "Postern CA" and a random number, so that no two have the same */
    enum ca_key key;
    int64_t now_ms;
};
MUST_USE int ca_create(const struct ca_config *cfg, char *why);

/* Takes the lock (-EBUSY after ten seconds) and reads all but the key. */
struct ca;
MUST_USE int ca_open(const char *dir, struct ca **ret, char *why);
void ca_close(struct ca *ca); /* NULL is fine */

struct ca_entry {
    char serial[CA_SERIAL_LEN]; /* lower-case hex */
    enum ca_kind kind;
    int64_t not_before_ms, not_after_ms;
    int64_t revoked_ms; /* 0: it is not */
    enum ca_reason reason;
    char *names;   /* "email:alice@example.org", several with a space between */
    char *subject; /* one line */
};
size_t ca_count(const struct ca *ca);
const struct ca_entry *ca_entry(const struct ca *ca, size_t at);
/* By serial number (hex, with or without colons) or by a file that holds the certificate; -ENOENT. */
MUST_USE int ca_find(const struct ca *ca, const char *serial_or_file, size_t *ret, char *why);

struct ca_request {
    enum ca_kind kind;
    enum ca_key key;
    const char *name; /* common name; NULL: the first of the names below */
    const char *const *emails, *const *hosts, *const *addresses, *const *uris;
    size_t n_emails, n_hosts, n_addresses, n_uris;
    int64_t not_before_ms, not_after_ms;
};
struct ca_issued;
/* Signs, and writes the index; the certificate itself is in memory until it is written. */
MUST_USE int
ca_issue(struct ca *ca, const struct ca_request *rq, struct ca_issued **ret, char *why);
const struct ca_entry *ca_issued_entry(const struct ca_issued *is);
/* PEM; the key with mode 0600.  -EEXIST unless `replace`. */
MUST_USE int ca_issued_write(
    const struct ca_issued *is, const char *cert, const char *key, bool replace, char *why);
/* PKCS#12 with certificate, key and the CA, for mail programs that import it so; mode 0600. */
MUST_USE int ca_issued_write_p12(
    const struct ca_issued *is, const char *file, const char *password, bool replace, char *why);
void ca_issued_free(struct ca_issued *is); /* NULL is fine */

/* Client certificates with one thing wrong, for those who test servers.  They are in no index, and good for a day. */
enum ca_flaw {
    CA_FLAW_EXPIRED,
    CA_FLAW_FUTURE,
    CA_FLAW_USAGE, /* for servers only */
    CA_FLAW_UNKNOWN_CA,
    CA_FLAW_SELF_SIGNED,
    CA_FLAW_NO_EMAIL, /* a host name instead */
};
struct ca_flawed {
    const char *ca_cert, *ca_key; /* PEM files of a CA; not read for the two it does not sign */
    enum ca_flaw flaw;
    const char *email;
    int64_t now_ms;
};
/* Replaces the two files, PEM. */
MUST_USE int ca_write_flawed(const struct ca_flawed *f, const char *cert, const char *key, char *why);

/* Writes the index only; -EALREADY when it is revoked already, which stays as it was. */
MUST_USE int ca_revoke(struct ca *ca, size_t at, enum ca_reason reason, int64_t now_ms, char *why);
/* A new list with the next number, from now for CA_CRL_DAYS. */
MUST_USE int ca_write_crl(struct ca *ca, int64_t now_ms, char *why);

#endif
