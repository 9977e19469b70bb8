/* verdict.h - from what was seen to what it means.  Pure: values in, words out. */
#ifndef POSTERN_PROBE_VERDICT_H
#define POSTERN_PROBE_VERDICT_H

#include "base/base.h"

enum seen {
    SEEN_UNKNOWN,
    SEEN_NO,
    SEEN_YES,
    SEEN_PARTLY, /* of several ways to talk to the server: yes in some, no in others */
};
const char *seen_name(enum seen s); /* "yes", "no", "partly", "unknown" */

/* What the cases found; everything begins as SEEN_UNKNOWN.  All members are of type enum seen. */
struct observations {
    enum seen absent;         /* this version of TLS is not spoken, but another is */
    enum seen anonymous;      /* mail is open without certificate and without AUTH */
    enum seen asked;          /* a certificate is asked for */
    enum seen offered;        /* EXTERNAL stands in the AUTH line, with the certificate */
    enum seen auth;           /* an AUTH line of any kind is there, with the certificate */
    enum seen explicit_login; /* AUTH EXTERNAL works, in one shape at least */
    enum seen implicit;       /* mail is open with the certificate alone */
    /* The shapes of AUTH EXTERNAL, each by itself. */
    enum seen equals, empty_line, prompted_equals, trailing_space, authzid, prompted_authzid,
        then_mail;
    enum seen
        differs; /* EHLO tells more than another AUTH line to who shows the certificate (O3-01) */
    enum seen
        relays; /* the certificate alone opens what is a relay, not a submission port (O3-06) */
    enum seen preauth; /* IMAP: PREAUTH with the certificate */
};

enum rule {
    RULE_UNKNOWN,
    RULE_NO_LOGIN, /* no certificate login */
    RULE_EXPLICIT, /* Option 1 or 3: told apart by what a certificate may do elsewhere (O3-01, O3-06) */
    RULE_OPTION_1,
    RULE_OPTION_3,
    RULE_BOTH,    /* Option 2 */
    RULE_ACCESS,  /* the certificate as an access rule; other logins remain */
    RULE_HIDDEN,  /* authenticates in TLS and hides AUTH */
    RULE_OPEN,    /* takes mail from everybody: nothing can be told */
    RULE_PREAUTH, /* IMAP: logged in by the greeting */
    RULE_MAILBOX, /* IMAP, POP3: AUTHENTICATE, AUTH */
    RULE_SILENT,  /* POP3: logged in without a word */
    RULE_ABSENT,  /* nothing to judge: this version of TLS is not spoken */
    RULE_MIXED,   /* several ways to talk to the server, several rules */
    RULE_COUNT,
};

enum rule rule_of(const struct observations *o);           /* of a submission server */
enum rule rule_of_mailboxes(const struct observations *o); /* of an IMAP or POP3 server */
/* What holds for all: RULE_MIXED where they differ; what is absent or unknown speaks only when nothing else does. */
enum rule rule_merge(enum rule a, enum rule b);
const char *rule_name(enum rule r); /* "option-2": for programs */
const char *rule_words(enum rule r);
const char *rule_advice(enum rule r); /* what to change; "" when nothing */

/* Which of what rule_of() needs is unknown: "whether ..."; NULL: nothing is. */
const char *rule_lacks(const struct observations *o);

void observations_merge(struct observations *into, const struct observations *from);

struct client_class {
    const char *sends, *clients;
    enum seen works;
    const char *note; /* "" */
};
#define CLIENT_CLASSES 8
void client_classes(const struct observations *o, struct client_class *ret);

#endif
