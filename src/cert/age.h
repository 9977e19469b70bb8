/* age.h - which certificates and revocation lists of a configuration go out of date, in words for the operator.
 *
 * A date passes without a file changing: a list that nobody renewed refuses everybody from one second to the next, and
 * clients of a listener whose own certificate has expired just go away.  So somebody has to look at the clock.
 * Soon is the last tenth of a life, and a month at most.
 */
#ifndef POSTERN_CERT_AGE_H
#define POSTERN_CERT_AGE_H

#include "cert/judge.h"

enum cert_age { CERT_AGE_FINE, CERT_AGE_SOON, CERT_AGE_PAST };

#define CERT_AGE_WORDS_MAX 512
/* `words` name what it is, the date, what follows from it, and what to do. */
typedef void cert_age_fn(void *arg, enum cert_age age, const char *words);

/* Tells of everything in the trust block that is not fine, and returns the worst; `tell` may be NULL.  Of several with
 * one name the one that lasts longest counts, as it does when a certificate is judged. */
enum cert_age cert_trust_age(const struct cert_trust *t, int64_t now_ms, cert_age_fn *tell, void *arg);

/* Tells of each CA with a revocation list, by its whole name, and when the latest of its lists goes out of date. */
typedef void cert_end_fn(void *arg, const char *trust, const char *ca, int64_t end_ms);
void cert_trust_lists_end(const struct cert_trust *t, cert_end_fn *tell, void *arg);

/* cert_trust_age() for a certificate of our own, loaded from `where`.  NULL is fine. */
enum cert_age cert_leaf_age(
    const struct x509_st *leaf, const char *where, int64_t now_ms, cert_age_fn *tell, void *arg);
int64_t cert_leaf_end_ms(const struct x509_st *leaf); /* wall clock; 0 for NULL */

#endif
