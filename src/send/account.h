/* account.h - a server to submit to, and who one is there; and which of several a message goes by.  Pure.
 *
 * What belongs to an account (certificate, password, server) is never used for another one [rfc8314 5.5] (CERT-02,
 * CERT-03): an account is chosen as a whole, or the command line describes a whole one.
 */
#ifndef POSTERN_SEND_ACCOUNT_H
#define POSTERN_SEND_ACCOUNT_H

#include "base/str.h"

#define ACCOUNT_PINS_MAX 16 /* of one account */

/* In the order of the names in the files; the first is chosen by the port. */
enum account_tls {
    ACCOUNT_TLS_BY_PORT,
    ACCOUNT_TLS_IMPLICIT,
    ACCOUNT_TLS_STARTTLS,
    ACCOUNT_TLS_OFF
};

enum account_login {
    ACCOUNT_LOGIN_AUTO, /* the best that certificate, password and server allow (docs/SEND.md has the table) */
    ACCOUNT_LOGIN_EXTERNAL,
    ACCOUNT_LOGIN_IMPLICIT,
    ACCOUNT_LOGIN_PLAIN,
    ACCOUNT_LOGIN_SCRAM,
    ACCOUNT_LOGIN_NONE,
};

struct account { /* strings belong to whoever made it */
    const char *name;
    const char *file; /* where it is written; NULL: the command line */
    unsigned line;
    bool system; /* in the machine's file, not in the user's */

    const char *host;
    unsigned port; /* 0: not said */
    enum account_tls tls;
    const char *tls_name; /* name to verify; NULL: the host */
    const char *ca;       /* NULL: the system's */
    char **pin;           /* SHA-256 of certificate or public key, lower-case hex */
    size_t n_pin;
    const char *certificate, *key; /* PEM, PKCS#12, or the URI of an OpenSSL store */
    const char *key_password_file;

    enum account_login login;
    const char *user, *password_file, *password_command;
    const char *authzid;

    char **
        from; /* addresses and domains it is for; the first address is the sender where none is named */
    size_t n_from;
    const char *sender; /* the reverse-path, whatever else says; NULL: by -f or the message */
    const char
        *domain; /* completes addresses without one; NULL: that of `from`, or the machine's name */
    bool leaves_header; /* the addresses in it are not completed */
    const char *hostname;
    int64_t timeout_ms;
};

/* TLS as it is meant, with the choice by port made (TLS-03): 465 and no port are implicit. */
enum account_tls account_tls_of(const struct account *a);
/* The port to begin with. */
unsigned account_port_of(const struct account *a);

/* The first address in `from`; NULL: there are only domains, or nothing. */
const char *account_address(const struct account *a);

/* By name, or by the sender's address: the accounts of the user before those of the machine; in each the address as
 * it is, then its domain.  When no account names it: the user's account "default" or only one, then the
 * machine's.  NULL: none fits. */
const struct account *account_named(const struct account *list, size_t n, const char *name);
const struct account *account_for(const struct account *list, size_t n, const char *sender);

#endif
