#include "cert/cert_internal.h"

#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

/* OpenSSL checks the signature of a revocation list each time it looks into it, which for a list of 100,000
 * entries is 3 ms of every handshake.  The signature cannot change, so a list that passed the whole check
 * once, for this issuer, is held only against the clock after that.  What of the check depends on the certificate
 * looked up and not on list and issuer (distribution points, deltas, lists signed by somebody else) is why
 * only plain lists are remembered: those of the CA above, for all of its certificates. */

static bool is_plain(X509_STORE_CTX *ctx, X509_CRL *crl, X509 *issuer)
{
    const X509_NAME *wanted = X509_get_issuer_name(X509_STORE_CTX_get_current_cert(ctx));
    return X509_NAME_cmp(X509_CRL_get_issuer(crl), wanted) == 0 &&
           X509_NAME_cmp(X509_get_subject_name(issuer), wanted) == 0 &&
           X509_CRL_get_ext_by_NID(crl, NID_issuing_distribution_point, -1) < 0 &&
           X509_CRL_get_ext_by_NID(crl, NID_delta_crl, -1) < 0;
}

/* The CA that OpenSSL holds responsible for the list, if it is one of the path that is being validated. */
static X509 *issuer_in_path(X509_STORE_CTX *ctx)
{
    X509 *issuer = X509_STORE_CTX_get0_current_issuer(ctx);
    STACK_OF(X509) *path = X509_STORE_CTX_get0_chain(ctx);
    for (int i = 0; issuer && i < sk_X509_num(path); i++)
        if (sk_X509_value(path, i) == issuer)
            return issuer;
    return NULL;
}

static bool is_in_date(X509_STORE_CTX *ctx, const X509_CRL *crl)
{
    time_t now = X509_VERIFY_PARAM_get_time(X509_STORE_CTX_get0_param(ctx));
    const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl);
    return X509_cmp_time(X509_CRL_get0_lastUpdate(crl), &now) < 0 && next &&
           X509_cmp_time(next, &now) > 0;
}

int cert_check_list(X509_STORE_CTX *ctx, X509_CRL *crl)
{
    struct cert_validation *v = X509_STORE_CTX_get_app_data(ctx);
    if (!v) /* the path of a list that its issuer has not signed itself: nothing we allow */
        return 0;
    X509 *issuer = issuer_in_path(ctx);
    bool plain = issuer && is_plain(ctx, crl, issuer);
    if (plain && cert_trust_list_is_checked(v->trust, crl, issuer) && is_in_date(ctx, crl))
        return 1;
    int ok = cert_trust_openssl_check(v->trust)(ctx, crl);
    if (ok == 1 && plain)
        cert_trust_list_checked(v->trust, crl, issuer);
    return ok;
}
