/* policy.h - what a certificate is worth to SMTP: the three rules of 2010 as one table.
 *
 * The centre of the project: a function from (listener policy, TLS, verdict, what AUTH has done so far,
 * command) to (is it open, which reply, which identity) and to what EHLO offers.  Pure: no socket, no
 * clock, no TLS header.  The table in policy.c can be held against chapter 1 of the conformance list
 * line by line; tests/unit/test_policy.c walks every cell.
 *
 *   Option 1   submission listeners CERT_AUTH_EXPLICIT, relay listeners may list certificate peers
 *   Option 2   CERT_AUTH_IMPLICIT: EXTERNAL offered, MAIL without AUTH is an implicit "AUTH EXTERNAL ="
 *   Option 3   CERT_AUTH_EXPLICIT on every listener; a listed peer is then nobody before AUTH
 */
#ifndef POSTERN_POLICY_H
#define POSTERN_POLICY_H

#include "auth/authz.h"
#include "cert/verdict.h"
#include "smtp/reply.h"

enum cert_auth { CERT_AUTH_OFF, CERT_AUTH_EXPLICIT, CERT_AUTH_IMPLICIT };
const char *cert_auth_name(enum cert_auth a);
MUST_USE int cert_auth_parse(const char *word, enum cert_auth *ret);

/* What a client has to show before it is anybody. */
enum login_need {
    NEED_ANY,         /* a certificate, as cert_auth says, or a password */
    NEED_CERTIFICATE, /* no password is taken */
    NEED_PASSWORD,    /* no certificate counts */
    NEED_BOTH,        /* both, and they name the same identity (CB-07) */
};

/* What AUTH has done in this session so far. */
enum auth_history {
    AUTH_UNTRIED,
    AUTH_FAILED,   /* an explicit AUTH failed or was cancelled: no implicit step after it (O2-12) */
    AUTH_EXPLICIT, /* AUTH EXTERNAL succeeded */
    AUTH_IMPLICIT, /* the first MAIL did it */
    AUTH_OTHER,    /* another mechanism succeeded: the certificate adds nothing (O2-13) */
};

enum policy_role {
    ROLE_SUBMISSION, /* port 587, 465: nobody sends without authentication (OPN-01) */
    ROLE_RELAY,      /* port 25: anybody may send to the domains named here, elsewhere only whom we know */
};

struct policy_input {
    enum policy_role role;
    enum cert_auth cert_auth;
    enum login_need need;
    bool passwords;   /* the listener knows some */
    bool secure;      /* inside TLS */
    bool listed_peer; /* relay listener: this certificate is listed by fingerprint */
    enum auth_history history;
    const struct cert_verdict *verdict;
    const struct authz *authz; /* NULL: an authzid must match, and there are no aliases */
    int64_t now_ms; /* wall clock: an identity does not outlive its certificate (EDG-18) */
    /* Identities, and fingerprints of certificates, that may not log in; NULL: there are none. */
    const struct lookup *disabled;
    const char *identity; /* whom the session is authenticated as; NULL: nobody */
};

enum policy_access {
    POLICY_OPEN,     /* go on, as whoever the session is authenticated as, or as relay peer */
    POLICY_IMPLICIT, /* go on as if "AUTH EXTERNAL =" had come: policy_external() has the identity */
    POLICY_REFUSED,  /* reply says why */
    POLICY_CLOSE,    /* reply is a 421: answer and end the session */
};

/* EXTERNAL is offered exactly when AUTH EXTERNAL, with "=" or with some authzid, would now succeed (O1-03, O2-01). */
bool policy_offers_external(const struct policy_input *in);

/* MAIL, with good syntax. */
enum policy_access policy_mail(const struct policy_input *in, struct smtp_reply *ret);

/* RCPT, DATA, BDAT, VRFY: never take the implicit step, but answer as MAIL would when it is refused (SUB-04). */
enum policy_access policy_other(const struct policy_input *in, struct smtp_reply *ret);

/* RCPT to a domain that is not among those named here: the right to relay.  On a relay listener that is the
 * authenticated and, unless Option 3 rules (CERT_AUTH_EXPLICIT), the listed peers (O3-06). */
enum policy_access policy_relay(const struct policy_input *in, struct smtp_reply *ret);

/* AUTH EXTERNAL with this authzid ("" for every shape of empty).  On true `identity` holds who the client is now; else
 * reply says why (504 where it was not offered, 525 to a disabled account, 454 when we could not tell, 535 otherwise). */
bool policy_external(const struct policy_input *in, struct str authzid, struct buf *identity, struct smtp_reply *ret);

/* A mechanism with a password is offered, and may be tried: inside TLS only (AUTH-20). */
bool policy_offers_passwords(const struct policy_input *in);
/* Why it is not: the answer to AUTH with such a mechanism. */
struct smtp_reply policy_no_passwords(const struct policy_input *in, const char *mechanism);

/* A proxy that the listener lists has authenticated its client as `login`, and says so with XCLIENT.  It counts where any
 * kind of credential does (NEED_ANY), as the proxy does not tell which it was.  On true `identity` holds who the client is
 * now; else reply says why. */
bool policy_proxied(const struct policy_input *in, struct str login, struct buf *identity, struct smtp_reply *ret);

/* The password of `user` was right.  On true `identity` holds who the client is now; else reply says why. */
bool policy_password(const struct policy_input *in, struct str user, struct str authzid, struct buf *identity, struct smtp_reply *ret);

#endif
