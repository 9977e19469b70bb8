/* ocsp_internal.h - what ocsp.c (questions, cache, threads) and ocsp_http.c (one question to one responder) share. */
#ifndef POSTERN_OCSP_INTERNAL_H
#define POSTERN_OCSP_INTERNAL_H

#include "cert/cert_internal.h"
#include "cert/ocsp.h"

enum ocsp_status {
    OCSP_GOOD,
    OCSP_REVOKED,
    OCSP_UNKNOWN,   /* the responder does not know the certificate: not good (CERT-12) */
    OCSP_NO_ANSWER, /* none that could be used */
    OCSP_PENDING,
};

struct ocsp_answer {
    enum ocsp_status status;
    int64_t until_ms;         /* wall clock: not to be used after */
    char date[CERT_DATE_MAX]; /* OCSP_REVOKED */
};

struct ocsp_question {
    X509 *leaf, *issuer;
    char *url;
};

/* The answer from the cache; OCSP_PENDING when somebody is being asked now, with `key` for cert_ocsp_wait().  `url` (NULL:
 * the one that the certificate names) is who to ask. */
struct ocsp_answer cert_ocsp_look(struct cert_ocsp *o,
                                  X509 *leaf,
                                  X509 *issuer,
                                  const char *url,
                                  int64_t now_ms,
                                  unsigned char key[CERT_AWAITS_LEN]);

/* Asks, blocking for some timeout_ms; `why` (CERT_WHY_MAX) says what was wrong with OCSP_NO_ANSWER. */
struct ocsp_answer ocsp_ask(const struct ocsp_question *q, int64_t timeout_ms, char *why);

#endif
