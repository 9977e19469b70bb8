/* verdict.h - from what was seen to what it means.  Pure: values in, words out. */
#ifndef POSTERN_PROBE_VERDICT_H
#define POSTERN_PROBE_VERDICT_H

#include "base/base.h"

enum seen { SEEN_UNKNOWN, SEEN_NO, SEEN_YES };

/* What the cases found; everything begins as SEEN_UNKNOWN. */
struct observations {
    enum seen anonymous;      /* mail is open without certificate and without AUTH */
    enum seen offered;        /* EXTERNAL stands in the AUTH line, with the certificate */
    enum seen auth;           /* an AUTH line of any kind is there, with the certificate */
    enum seen explicit_login; /* AUTH EXTERNAL, in any shape, and mail is open after it */
    enum seen implicit;       /* mail is open with the certificate alone */
    enum seen equals, empty_line, prompted_equals, trailing_space,
        authzid; /* the shapes, each by itself */
};

enum rule {
    RULE_UNKNOWN,
    RULE_NO_LOGIN, /* no certificate login */
    RULE_EXPLICIT, /* Option 1 or 3: told apart on a port where a certificate may open more than mail (O3-06) */
    RULE_BOTH,   /* Option 2 */
    RULE_ACCESS, /* the certificate as an access rule; other logins remain */
    RULE_HIDDEN, /* authenticates in TLS and hides AUTH */
    RULE_OPEN,   /* takes mail from everybody: nothing can be told */
    RULE_COUNT,
};

enum rule rule_of(const struct observations *o);
const char *rule_name(enum rule r); /* "option-2": for programs */
const char *rule_words(enum rule r);
const char *rule_advice(enum rule r); /* what to change; "" when nothing */

struct client_class {
    const char *sends, *clients;
    enum seen works;
};
#define CLIENT_CLASSES 6
void client_classes(const struct observations *o, struct client_class *ret);

const char *seen_name(enum seen s); /* "yes", "no", "unknown" */

#endif
