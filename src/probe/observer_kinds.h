/* observer_kinds.h - the kinds of servers that the observer plays.  Pure: a table.
 *
 * What a kind does is the session engine's honest protocol but for the decisions named here.
 */
#ifndef POSTERN_PROBE_OBSERVER_KINDS_H
#define POSTERN_PROBE_OBSERVER_KINDS_H

#include "base/base.h"

enum observer_external { /* AUTH EXTERNAL with a certificate the kind accepts; with others it is 535 */
    EXTERNAL_UNKNOWN,        /* 503 where AUTH is not offered at all, 504 elsewhere */
    EXTERNAL_HONEST,         /* empty challenge; any authzid is taken, and reported */
    EXTERNAL_PROMPTS_ALWAYS, /* an empty initial response is answered by 334, too */
    EXTERNAL_WANTS_NAME,     /* an empty authzid is 535 */
    EXTERNAL_WANTS_EMPTY,    /* any other authzid is 535 */
    EXTERNAL_ASKS_NAME,      /* the challenge is "Username:" */
    EXTERNAL_AT_ONCE,        /* 235 to a bare AUTH EXTERNAL */
    EXTERNAL_REFUSES,        /* always 535 */
};

enum observer_certificate {
    CERTIFICATE_ASKED,     /* and judged honestly */
    CERTIFICATE_NOT_ASKED, /* the handshake does not request one */
    CERTIFICATE_ALERT,     /* whatever comes, and nothing too, ends the handshake */
    CERTIFICATE_REFUSED,   /* the handshake goes on, SMTP says that it does not count */
    CERTIFICATE_OTHER_CA,  /* as asked, and the request names a CA that has issued none of them */
};

struct observer_kind {
    const char *name;
    const char *plays;        /* what a client meets */
    const char *like;         /* which real servers behave so */
    const char *offer;        /* AUTH line inside TLS with an accepted certificate; "": none */
    const char *offer_others; /* the same without one */
    enum observer_external external;
    bool implicit; /* MAIL is open with an accepted certificate alone */
    enum observer_certificate certificate;
};

/* Their places in the table: for those who judge. */
enum observer_place {
    KIND_EXPLICIT,
    KIND_IMPLICIT,
    KIND_HIDDEN,
    KIND_PROMPTS,
    KIND_WANTS_NAME,
    KIND_WANTS_EMPTY,
    KIND_ASKS_NAME,
    KIND_AT_ONCE,
    KIND_CHOICE,
    KIND_ALWAYS_535,
    KIND_PLAIN_ONLY,
    KIND_ALERT,
    KIND_REFUSED,
    KIND_OTHER_CA,
    OBSERVER_KINDS
};
extern const struct observer_kind observer_kinds[OBSERVER_KINDS];

const struct observer_kind *observer_kind_find(const char *name); /* NULL: there is none */
enum observer_place observer_kind_place(const struct observer_kind *k);

#endif
