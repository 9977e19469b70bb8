/* identity.h - the one form in which identities are compared, wherever they were read.
 *
 * An identity is a line of UTF-8 of at most CERT_IDENTITY_MAX octets without control characters,
 * without characters that turn the direction of the text or part lines, and without a space at
 * either end (CERT-20).  If it reads as a mailbox its domain is written in lower case and in
 * A-labels; the local part is never touched: no case folding, no normalisation (CERT-16, CERT-18,
 * CERT-19).
 *
 * Pure; may be called from every thread.
 */
#ifndef POSTERN_IDENTITY_H
#define POSTERN_IDENTITY_H

#include "base/str.h"
#include "cert/verdict.h"

/* -EINVAL: `name` can be nobody's identity. */
MUST_USE int cert_identity_normalise(struct str name, char out[CERT_IDENTITY_MAX + 1]);

/* The same mailbox with its domain in U-labels, as a person may have written it in a table; -EINVAL when it has no
 * other form. */
MUST_USE int cert_identity_unicode(const char *identity, char *out, size_t size);

#endif
