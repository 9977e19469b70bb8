/* ocsp.h - asking responders whether a certificate is revoked (RFC 6960), while nobody who judges has to wait.
 *
 * cert_judge() looks into the cache.  Where that has no answer it leaves a question behind and says CERT_CAUSE_PENDING; a
 * few threads of the service ask the responder by HTTP.  Whoever has such a verdict calls cert_ocsp_wait() and
 * judges again when told: by then there is an answer, or it is known that none came in time.
 *
 * An answer counts when it is signed by the issuer of the certificate or by a responder that the issuer has certified
 * for it, is in date, and is about this certificate (CERT-12, CERT-13).  It is remembered as long as it is in date,
 * at most CERT_OCSP_FRESH_S; that no usable answer came, for CERT_OCSP_FAILED_S.
 *
 * Everything grows to a maximum: answers remembered, questions open, octets of an answer.  Threads start with the first
 * question.  May be called from every thread.
 */
#ifndef POSTERN_OCSP_H
#define POSTERN_OCSP_H

#include "cert/verdict.h"

#define CERT_OCSP_FRESH_S 3600
#define CERT_OCSP_FAILED_S 30

struct cert_ocsp;

/* A question is open for at most timeout_ms, whatever the responder or the resolver does. */
struct cert_ocsp *cert_ocsp_new(unsigned threads, int64_t timeout_ms);
/* Tells everybody who waits, then waits for the threads; NULL is fine. */
void cert_ocsp_free(struct cert_ocsp *o);

/* Told once, on a thread of the service, when judging again will say more.  Must not block nor call back. */
typedef void cert_ocsp_told_fn(void *arg);
/* -ENOENT: nothing is pending any more, judge again now; `told` is not called. */
MUST_USE int cert_ocsp_wait(struct cert_ocsp *o,
                            const struct cert_verdict *v,
                            cert_ocsp_told_fn *told,
                            void *arg);

#endif
