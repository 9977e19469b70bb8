/* observer_papers.h - the folder of the observer: a CA, a certificate for the server, and some for the tester.
 *
 *     ca/ca.pem                      what the client under test must trust
 *     server.pem, server.key         for localhost, 127.0.0.1 and ::1
 *     good.pem .key .p12             the identity, accepted
 *     expired.* revoked.*            refused by every kind
 *     other.*                        of another CA (other-ca/), refused as unknown
 *
 * What is there and still good is used again, so that what somebody imported into a mail program stays right.
 * The PKCS#12 files are protected by PAPERS_PASSWORD, as some programs take none without: whoever can read the folder
 * may have them.  Fails with -errno and a sentence in `why` (CERT_WHY_MAX octets).  Blocks.
 */
#ifndef POSTERN_PROBE_OBSERVER_PAPERS_H
#define POSTERN_PROBE_OBSERVER_PAPERS_H

#include "cert/judge.h"
#include "cert/rules.h"

#define PAPERS_PASSWORD "postern"
#define PAPERS_PATH_MAX 1024

struct papers {
    char folder[PAPERS_PATH_MAX - 64];
    char ca[PAPERS_PATH_MAX], other_ca[PAPERS_PATH_MAX]; /* certificates */
    char certificate[PAPERS_PATH_MAX], key[PAPERS_PATH_MAX]; /* of the server */
    struct cert_trust *trusts[2];
    size_t n_trusts;
    struct cert_rules *rules;
};

/* `more_ca`: certificates of that CA are accepted, too; NULL: none. */
MUST_USE int papers_open(struct papers *p, const char *folder, const char *identity, const char *more_ca, int64_t now_ms, char *why);
void papers_close(struct papers *p); /* a zeroed one is fine */

void papers_path(const struct papers *p, const char *name, char out[PAPERS_PATH_MAX]);
void papers_judge(const struct papers *p, struct x509_st *leaf, struct stack_st_X509 *chain, int64_t now_ms, struct cert_verdict *ret);

#endif
