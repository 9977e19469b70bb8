/* sequences.h - which identity used which of the two certificate sequences, added up from log lines. */
#ifndef POSTERN_SEQUENCES_H
#define POSTERN_SEQUENCES_H

#include "base/buf.h"

#define SEQUENCES_IDENTITIES_MAX 1000000
#define SEQUENCES_HELOS_MAX 4 /* of an identity: the first ones seen */

struct sequence_user { /* one identity on one listener */
    char *listener, *identity;
    uint64_t explicit, implicit, other; /* sessions that logged in */
    uint64_t refused;                   /* MAIL without AUTH that was refused */
    char first[32], last[32];           /* times as logged */
    char *helos[SEQUENCES_HELOS_MAX];   /* how the clients called themselves; NULL behind the last */
};

struct sequences {
    struct sequence_user *users; /* sorted by sequences_sort() */
    size_t n, cap;
    uint32_t *slots; /* hash: index + 1, 0 free */
    size_t n_slots;
    uint64_t lines, ours; /* read; of our own log */
    bool full;            /* more identities than fit */
};

void sequences_line(struct sequences *s, struct str line); /* without its line end */
void sequences_sort(struct sequences *s);                  /* by listener and identity; no line after it */
void sequences_done(struct sequences *s);

/* What a change of its listener to certificate-auth = explicit does to the clients of an identity. */
enum lockout {
    LOCKOUT_NONE, /* they use AUTH */
    LOCKOUT_SOME, /* some do and some do not */
    LOCKOUT_ALL,
};
enum lockout sequences_lockout(const struct sequence_user *u);

#endif
