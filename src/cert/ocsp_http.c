/* One question to one responder. */
#include "base/clock.h"
#include "cert/ocsp_internal.h"

#include <openssl/http.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#define ANSWER_MAX ((size_t)64 * 1024)
#define SKEW_S 300    /* clocks of responders that run ahead */
#define UNDATED_S 300 /* how long an answer without nextUpdate is news */
#define UNDATED_AGE_MAX                                                                            \
    86400 /* and how old it may be: else a recorded "good" would be good forever */
#define UNKNOWN_S 60

static struct ocsp_answer no_answer(char *why, const char *text)
{
    (void)snprintf(why, CERT_WHY_MAX, "%s", text);
    return (struct ocsp_answer){.status = OCSP_NO_ANSWER,
                                .until_ms = clock_wall_ms() + CERT_OCSP_FAILED_S * 1000};
}

/* ---- the way there and back */

/* No proxy from the environment: the server asks whom it is told to ask. */
static BIO *post(const char *host, const char *port, const char *path, BIO *body, int timeout_s)
{
    return OSSL_HTTP_transfer(NULL, host, port, path, 0, "", NULL, NULL, NULL, NULL, NULL, 0, NULL,
                              "application/ocsp-request", body, "application/ocsp-response", 1,
                              ANSWER_MAX, timeout_s, 0);
}

static OCSP_RESPONSE *fetch(const char *url, const OCSP_REQUEST *request, int64_t timeout_ms)
{
    char *host = NULL, *port = NULL, *path = NULL;
    int ssl = 0;
    OCSP_RESPONSE *response = NULL;
    BIO *body = ASN1_item_i2d_mem_bio(ASN1_ITEM_rptr(OCSP_REQUEST), (const ASN1_VALUE *)request);
    if (body && OSSL_HTTP_parse_url(url, &ssl, NULL, &host, &port, NULL, &path, NULL, NULL) == 1 &&
        !ssl) {
        BIO *in = post(host, port, path, body, (int)MAX(timeout_ms / 1000, 1));
        response = in ? ASN1_item_d2i_bio(ASN1_ITEM_rptr(OCSP_RESPONSE), in, NULL) : NULL;
        BIO_free_all(in);
    }
    BIO_free(body);
    OPENSSL_free(host);
    OPENSSL_free(port);
    OPENSSL_free(path);
    return response;
}

/* ---- what it says */

/* [rfc6960 4.2.2.2] The issuer itself, or a certificate it has signed for this purpose; nobody further up or beside. */
static bool is_signed(OCSP_BASICRESP *basic, X509 *issuer)
{
    X509_STORE *store = X509_STORE_new();
    STACK_OF(X509) *signers = sk_X509_new_null();
    bool good = store && signers && X509_STORE_add_cert(store, issuer) == 1 &&
                X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1 &&
                sk_X509_push(signers, issuer) > 0 &&
                OCSP_basic_verify(basic, signers, store, 0) == 1;
    sk_X509_free(signers);
    X509_STORE_free(store);
    return good;
}

/* Until when the answer can be used, in seconds; 0: not at all (CERT-13). */
static int64_t
usable_until(const ASN1_GENERALIZEDTIME *from, const ASN1_GENERALIZEDTIME *next, int64_t now_s)
{
    int64_t from_s = cert_time_ms(from) / 1000, next_s = next ? cert_time_ms(next) / 1000 : 0;
    if (from_s == 0 || from_s > now_s + SKEW_S || (next && next_s <= now_s))
        return 0;
    if (!next)
        return from_s < now_s - UNDATED_AGE_MAX ? 0 : now_s + UNDATED_S;
    return MIN(next_s, now_s + CERT_OCSP_FRESH_S);
}

static struct ocsp_answer read_status(OCSP_BASICRESP *basic, OCSP_CERTID *id, char *why)
{
    struct ocsp_answer out = {.status = OCSP_UNKNOWN};
    ASN1_GENERALIZEDTIME *revoked = NULL, *from = NULL, *next = NULL;
    int64_t now_s = clock_wall_ms() / 1000;
    int status = -1, reason;
    if (OCSP_resp_find_status(basic, id, &status, &reason, &revoked, &from, &next) != 1)
        return no_answer(why, "the answer is about another certificate");
    int64_t until_s = usable_until(from, next, now_s);
    if (until_s == 0)
        return no_answer(why, "the answer is out of date");
    if (status == V_OCSP_CERTSTATUS_GOOD)
        out.status = OCSP_GOOD;
    else if (status == V_OCSP_CERTSTATUS_REVOKED)
        out.status = OCSP_REVOKED;
    else
        until_s = MIN(until_s, now_s + UNKNOWN_S);
    cert_date(revoked, out.date);
    out.until_ms = until_s * 1000;
    return out;
}

static struct ocsp_answer read_response(const struct ocsp_question *q,
                                        OCSP_RESPONSE *response,
                                        OCSP_REQUEST *request,
                                        OCSP_CERTID *id,
                                        char *why)
{
    int status = OCSP_response_status(response);
    if (status != OCSP_RESPONSE_STATUS_SUCCESSFUL)
        return no_answer(why, OCSP_response_status_str(status));
    OCSP_BASICRESP *basic = OCSP_response_get1_basic(response);
    struct ocsp_answer out;
    if (!basic)
        out = no_answer(why, "the answer cannot be read");
    else if (OCSP_check_nonce(request, basic) ==
             0) /* left out by responders that sign beforehand */
        out = no_answer(why, "the answer is to another question");
    else if (!is_signed(basic, q->issuer))
        out = no_answer(why, "the answer is not signed by the CA or its responder");
    else
        out = read_status(basic, id, why);
    OCSP_BASICRESP_free(basic);
    return out;
}

struct ocsp_answer ocsp_ask(const struct ocsp_question *q, int64_t timeout_ms, char *why)
{
    ERROR_SCOPE;
    struct ocsp_answer out = no_answer(why, "out of memory");
    OCSP_REQUEST *request = OCSP_REQUEST_new();
    OCSP_CERTID *id = OCSP_cert_to_id(NULL, q->leaf, q->issuer);
    OCSP_CERTID *asked = id ? OCSP_CERTID_dup(id) : NULL;
    if (request && asked && OCSP_request_add0_id(request, asked)) {
        asked = NULL;
        (void)OCSP_request_add1_nonce(request, NULL, -1);
        OCSP_RESPONSE *response = fetch(q->url, request, timeout_ms);
        out = response ? read_response(q, response, request, id, why)
                       : no_answer(why, "no answer came, or none that can be read");
        OCSP_RESPONSE_free(response);
    }
    OCSP_CERTID_free(asked);
    OCSP_CERTID_free(id);
    OCSP_REQUEST_free(request);
    return out;
}
