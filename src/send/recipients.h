/* recipients.h - who is to get a message: addresses as the user named them, complete, each once.
 *
 * Owns copies.  Bounded: RECIPIENTS_MAX addresses, RECIPIENTS_OCTETS of text.
 */
#ifndef POSTERN_SEND_RECIPIENTS_H
#define POSTERN_SEND_RECIPIENTS_H

#include "base/arena.h"

#define RECIPIENTS_MAX ((size_t)50000)
#define RECIPIENTS_OCTETS ((size_t)16 << 20)

struct recipients {
    struct arena memory;
    const char **list;
    size_t n, room;
};

void recipients_init(struct recipients *r);
void recipients_done(struct recipients *r);

/* -E2BIG at the maximum. */
MUST_USE int recipients_add(struct recipients *r, struct str address);

/* Each address of a text such as "Bob <bob@example.org>, carol@example.org": how many, or as mailboxes_each(). */
MUST_USE int recipients_read(struct recipients *r, struct str text);

/* "root" becomes "root@domain"; then of each address the first stays. */
MUST_USE int recipients_complete(struct recipients *r, const char *domain);

#endif
