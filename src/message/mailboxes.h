/* mailboxes.h - the addresses in the body of a From, Sender or destination field (RFC 5322 section 3.4).
 *
 * Reading is strict on purpose: it answers "whose name is on this message", so what two programs may read in two ways is not
 * read at all.  Comments, folding, display names, groups and quoted strings are understood; source routes are not.
 */
#ifndef POSTERN_MAILBOXES_H
#define POSTERN_MAILBOXES_H

#include "base/buf.h"

/* Each address found, as "local@domain" with comments and folding gone; not 0 ends the walk with that. */
typedef int mailbox_fn(void *arg, struct str address);

/* How many addresses there were (a group may have none), -EINVAL for what is no list of them, -EMSGSIZE for an address
 * that is too long. */
MUST_USE int mailboxes_each(struct str body, mailbox_fn *each, void *arg);

/* The same, and "root" is an address, too: whoever submits a message completes it. */
MUST_USE int mailboxes_each_unqualified(struct str body, mailbox_fn *each, void *arg);

/* The body as it came, appended, with "@domain" behind each address that has none: how many those were, or an error as
 * above, and then what was appended is of no use. */
MUST_USE int mailboxes_complete(struct str body, const char *domain, struct buf *out);

/* "Name <address>", appended; a name beyond ASCII (it is UTF-8, without controls) becomes encoded words [rfc2047 2].  NULL and
 * "": the address alone. */
MUST_USE int mailbox_write(const char *name, const char *address, struct buf *out);

#endif
