#include "cert/ocsp_internal.h"

#include <openssl/objects.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

/* Where the validation stands when it finds something wrong. */
struct finding {
    X509_STORE_CTX *ctx;
    X509 *cert;
    int code;
    char who[CERT_NAME_SHORT_MAX + 32]; /* or "issuing CA certificate (CN=...)" */
};

typedef void say_fn(const struct finding *f, char reason[CERT_REASON_MAX]);

static void say_expired(const struct finding *f, char reason[CERT_REASON_MAX])
{
    char date[CERT_DATE_MAX];
    cert_date(X509_get0_notAfter(f->cert), date);
    cert_say(reason, "%s expired %s", f->who, date);
}

static void say_not_yet_valid(const struct finding *f, char reason[CERT_REASON_MAX])
{
    char date[CERT_DATE_MAX];
    cert_date(X509_get0_notBefore(f->cert), date);
    cert_say(reason, "%s is not valid before %s", f->who, date);
}

/* A CA that was set up again under its old name puzzles people: both certificates show the same
 * issuer. */
static bool issuer_has_namesake(const struct finding *f)
{
    X509_OBJECT *o =
        X509_STORE_CTX_get_obj_by_subject(f->ctx, X509_LU_X509, X509_get_issuer_name(f->cert));
    X509_OBJECT_free(o);
    return o != NULL;
}

static void say_unknown_ca(const struct finding *f, char reason[CERT_REASON_MAX])
{
    char name[CERT_NAME_SHORT_MAX];
    cert_name_short(X509_get_issuer_name(f->cert), name);
    cert_say(reason, "client certificate was issued by an unknown CA (%s%s)", name,
             issuer_has_namesake(f) ? ", not the one known here by that name" : "");
}

static void say_self_signed(const struct finding *f, char reason[CERT_REASON_MAX])
{
    (void)f;
    cert_say(reason, "client certificate is self-signed and not known here");
}

/* The list is at hand only while the validation looks at it. */
static void say_revoked(const struct finding *f, char reason[CERT_REASON_MAX])
{
    char date[CERT_DATE_MAX];
    X509_REVOKED *entry = NULL;
    X509_CRL *crl = X509_STORE_CTX_get0_current_crl(f->ctx);
    if (crl && X509_CRL_get0_by_cert(crl, &entry, f->cert) > 0) {
        cert_date(X509_REVOKED_get0_revocationDate(entry), date);
        cert_say(reason, "%s was revoked on %s", f->who, date);
    } else {
        cert_say(reason, "%s was revoked", f->who);
    }
}

static void say_crl(const struct finding *f, const char *what, char reason[CERT_REASON_MAX])
{
    char name[CERT_NAME_SHORT_MAX];
    cert_name_short(X509_get_issuer_name(f->cert), name);
    cert_say(reason, "revocation list of %s %s", name, what);
}

static void say_crl_stale(const struct finding *f, char reason[CERT_REASON_MAX])
{
    say_crl(f, "is out of date", reason);
}

static void say_crl_early(const struct finding *f, char reason[CERT_REASON_MAX])
{
    say_crl(f, "is not valid yet", reason);
}

static void say_crl_missing(const struct finding *f, char reason[CERT_REASON_MAX])
{
    say_crl(f, "is missing", reason);
}

static void say_crl_broken(const struct finding *f, char reason[CERT_REASON_MAX])
{
    say_crl(f, "cannot be used", reason);
}

static void say_purpose(const struct finding *f, char reason[CERT_REASON_MAX])
{
    bool by_extended = X509_get_extension_flags(f->cert) & EXFLAG_XKUSAGE &&
                       !(X509_get_extended_key_usage(f->cert) & XKU_SSL_CLIENT);
    cert_say(reason, "%s is not for client authentication (%s)", f->who,
             by_extended ? "extended key usage" : "key usage");
}

static void say_no_purpose(const struct finding *f, char reason[CERT_REASON_MAX])
{
    cert_say(reason, "%s does not say that it is for client authentication (extended key usage)",
             f->who);
}

static void say_weak_key(const struct finding *f, char reason[CERT_REASON_MAX])
{
    char key[CERT_KEY_MAX];
    cert_key_text(X509_get0_pubkey(f->cert), key);
    cert_say(reason, "%s uses a weak key (%s)", f->who, key);
}

static void say_weak_signature(const struct finding *f, char reason[CERT_REASON_MAX])
{
    int digest = NID_undef;
    (void)X509_get_signature_info(f->cert, &digest, NULL, NULL, NULL);
    const char *name = digest == NID_undef ? "unknown" : OBJ_nid2sn(digest);
    cert_say(reason, "%s has a weak signature (%s)", f->who, name);
}

static void say_no_ca(const struct finding *f, char reason[CERT_REASON_MAX])
{
    char name[CERT_NAME_SHORT_MAX];
    cert_name_short(X509_get_subject_name(f->cert), name);
    cert_say(reason, "client certificate was issued by a certificate that is no CA (%s)", name);
}

static void say_path_length(const struct finding *f, char reason[CERT_REASON_MAX])
{
    char name[CERT_NAME_SHORT_MAX];
    cert_name_short(X509_get_subject_name(f->cert), name);
    cert_say(reason, "client certificate is further below its CA than that allows (%s)", name);
}

static void say_too_long(const struct finding *f, char reason[CERT_REASON_MAX])
{
    (void)f;
    cert_say(reason, "client certificate has too many CAs above it");
}

static void say_name_constraint(const struct finding *f, char reason[CERT_REASON_MAX])
{
    cert_say(reason, "%s holds a name that its CA may not certify", f->who);
}

static void say_critical(const struct finding *f, char reason[CERT_REASON_MAX])
{
    cert_say(reason, "%s has a critical extension that is not understood", f->who);
}

static void say_extension(const struct finding *f, char reason[CERT_REASON_MAX])
{
    cert_say(reason, "%s has an extension that cannot be read", f->who);
}

static void say_local(const struct finding *f, char reason[CERT_REASON_MAX])
{
    (void)f;
    cert_say(reason, "client certificate could not be checked now");
}

static void say_other(const struct finding *f, char reason[CERT_REASON_MAX])
{
    cert_say(reason, "%s is not valid: %.60s", f->who, X509_verify_cert_error_string(f->code));
}

/* What we refuse and OpenSSL has no code for. */
#define ERR_NO_EXTENDED_USAGE (-1)

static const struct complaint {
    int code;
    enum cert_cause cause;
    say_fn *say;
} complaints[] = {
    {X509_V_ERR_CERT_HAS_EXPIRED,                  CERT_CAUSE_EXPIRED,            say_expired        },
    {X509_V_ERR_CERT_NOT_YET_VALID,                CERT_CAUSE_NOT_YET_VALID,      say_not_yet_valid  },
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT,         CERT_CAUSE_UNKNOWN_CA,         say_unknown_ca     },
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, CERT_CAUSE_UNKNOWN_CA,         say_unknown_ca     },
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,   CERT_CAUSE_UNKNOWN_CA,         say_unknown_ca     },
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN,         CERT_CAUSE_UNKNOWN_CA,         say_unknown_ca     },
    {X509_V_ERR_CERT_UNTRUSTED,                    CERT_CAUSE_UNKNOWN_CA,         say_unknown_ca     },
    {X509_V_ERR_CERT_SIGNATURE_FAILURE,            CERT_CAUSE_UNKNOWN_CA,         say_unknown_ca     },
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT,       CERT_CAUSE_UNKNOWN_CA,         say_self_signed    },
    {X509_V_ERR_CERT_REVOKED,                      CERT_CAUSE_REVOKED,            say_revoked        },
    {X509_V_ERR_CRL_HAS_EXPIRED,                   CERT_CAUSE_REVOCATION_UNKNOWN, say_crl_stale      },
    {X509_V_ERR_CRL_NOT_YET_VALID,                 CERT_CAUSE_REVOCATION_UNKNOWN, say_crl_early      },
    {X509_V_ERR_UNABLE_TO_GET_CRL,                 CERT_CAUSE_REVOCATION_UNKNOWN, say_crl_missing    },
    {X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER,          CERT_CAUSE_REVOCATION_UNKNOWN, say_crl_broken     },
    {X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE,   CERT_CAUSE_REVOCATION_UNKNOWN, say_crl_broken     },
    {X509_V_ERR_CRL_SIGNATURE_FAILURE,             CERT_CAUSE_REVOCATION_UNKNOWN, say_crl_broken     },
    {X509_V_ERR_ERROR_IN_CRL_LAST_UPDATE_FIELD,    CERT_CAUSE_REVOCATION_UNKNOWN, say_crl_broken     },
    {X509_V_ERR_ERROR_IN_CRL_NEXT_UPDATE_FIELD,    CERT_CAUSE_REVOCATION_UNKNOWN, say_crl_broken     },
    {X509_V_ERR_KEYUSAGE_NO_CRL_SIGN,              CERT_CAUSE_REVOCATION_UNKNOWN, say_crl_broken     },
    {X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION,  CERT_CAUSE_REVOCATION_UNKNOWN, say_crl_broken     },
    {X509_V_ERR_DIFFERENT_CRL_SCOPE,               CERT_CAUSE_REVOCATION_UNKNOWN, say_crl_broken     },
    {X509_V_ERR_CRL_PATH_VALIDATION_ERROR,         CERT_CAUSE_REVOCATION_UNKNOWN, say_crl_broken     },
    {X509_V_ERR_INVALID_PURPOSE,                   CERT_CAUSE_PURPOSE,            say_purpose        },
    {ERR_NO_EXTENDED_USAGE,                        CERT_CAUSE_PURPOSE,            say_no_purpose     },
    {X509_V_ERR_EE_KEY_TOO_SMALL,                  CERT_CAUSE_WEAK,               say_weak_key       },
    {X509_V_ERR_CA_KEY_TOO_SMALL,                  CERT_CAUSE_WEAK,               say_weak_key       },
    {X509_V_ERR_CA_MD_TOO_WEAK,                    CERT_CAUSE_WEAK,               say_weak_signature },
    {X509_V_ERR_INVALID_CA,                        CERT_CAUSE_BAD_PATH,           say_no_ca          },
    {X509_V_ERR_PATH_LENGTH_EXCEEDED,              CERT_CAUSE_BAD_PATH,           say_path_length    },
    {X509_V_ERR_CERT_CHAIN_TOO_LONG,               CERT_CAUSE_BAD_PATH,           say_too_long       },
    {X509_V_ERR_PERMITTED_VIOLATION,               CERT_CAUSE_BAD_PATH,           say_name_constraint},
    {X509_V_ERR_EXCLUDED_VIOLATION,                CERT_CAUSE_BAD_PATH,           say_name_constraint},
    {X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION,      CERT_CAUSE_BAD_PATH,           say_critical       },
    {X509_V_ERR_INVALID_EXTENSION,                 CERT_CAUSE_BAD_PATH,           say_extension      },
    {X509_V_ERR_OUT_OF_MEM,                        CERT_CAUSE_LOCAL,              say_local          },
};
static const struct complaint other_complaint = {0, CERT_CAUSE_BAD_PATH, say_other};
static const struct complaint local_complaint = {X509_V_ERR_OUT_OF_MEM, CERT_CAUSE_LOCAL,
                                                 say_local};

static const struct complaint *complaint_of(int code)
{
    for (size_t i = 0; i < ARRAY_LEN(complaints); i++)
        if (complaints[i].code == code)
            return &complaints[i];
    return &other_complaint;
}

static void complain(X509_STORE_CTX *ctx, X509 *cert, int depth, int code, struct cert_problem *p)
{
    char name[CERT_NAME_SHORT_MAX];
    struct finding f = {ctx, cert, code, "client certificate"};
    const struct complaint *c = cert ? complaint_of(code) : &local_complaint;
    if (cert && depth > 0) {
        cert_name_short(X509_get_subject_name(cert), name);
        snprintf(f.who, sizeof(f.who), "issuing CA certificate (%s)", name);
    }
    p->cause = c->cause;
    c->say(&f, p->reason);
}

/* No list for a CA above the issuer: those are looked at only where there is one.  A certificate
 * that is itself an anchor has no issuer here whose list could be asked for. */
static bool missing_crl_is_fine(X509_STORE_CTX *ctx)
{
    return X509_STORE_CTX_get_error(ctx) == X509_V_ERR_UNABLE_TO_GET_CRL &&
           (X509_STORE_CTX_get_error_depth(ctx) > 0 ||
            sk_X509_num(X509_STORE_CTX_get0_chain(ctx)) == 1);
}

/* A list that is out of date still names those revoked before. */
static bool stale_crl_is_fine(X509_STORE_CTX *ctx)
{
    const struct cert_validation *v = X509_STORE_CTX_get_app_data(ctx);
    return X509_STORE_CTX_get_error(ctx) == X509_V_ERR_CRL_HAS_EXPIRED && v &&
           cert_trust_limits(v->trust)->accept_stale_crl;
}

/* OpenSSL asks here for every error (and every certificate found good). */
static int on_step(int ok, X509_STORE_CTX *ctx)
{
    if (ok)
        return 1;
    if (missing_crl_is_fine(ctx) || stale_crl_is_fine(ctx)) {
        X509_STORE_CTX_set_error(ctx, X509_V_OK);
        return 1;
    }
    struct cert_validation *v = X509_STORE_CTX_get_app_data(ctx);
    if (v)
        complain(ctx, X509_STORE_CTX_get_current_cert(ctx), X509_STORE_CTX_get_error_depth(ctx),
                 X509_STORE_CTX_get_error(ctx), v->problem);
    return 0;
}

/* [rfc5280 4.2.1.3] Where key usage is given, a certificate that signs the handshake needs
 * digitalSignature; OpenSSL is content with keyAgreement (CERT-09). */
static bool may_sign(X509_STORE_CTX *ctx, struct cert_problem *p)
{
    X509 *leaf = X509_STORE_CTX_get0_cert(ctx);
    if (X509_get_key_usage(leaf) & KU_DIGITAL_SIGNATURE)
        return true;
    complain(ctx, leaf, 0, X509_V_ERR_INVALID_PURPOSE, p);
    return false;
}

/* Looked at first: OpenSSL would find no issuer for such a certificate, and send the user after the CA. */
static bool can_be_read(X509_STORE_CTX *ctx, struct cert_problem *p)
{
    X509 *leaf = X509_STORE_CTX_get0_cert(ctx);
    if (!(X509_get_extension_flags(leaf) & EXFLAG_INVALID))
        return true;
    complain(ctx, leaf, 0, X509_V_ERR_INVALID_EXTENSION, p);
    return false;
}

/* OpenSSL's own floor follows from the strength; this one may be higher. */
static bool keys_are_long(X509_STORE_CTX *ctx, const struct cert_trust *t, struct cert_problem *p)
{
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
    for (int i = 0; i < sk_X509_num(chain); i++) {
        X509 *x = sk_X509_value(chain, i);
        const EVP_PKEY *key = X509_get0_pubkey(x);
        if (!key || (!EVP_PKEY_is_a(key, "RSA") && !EVP_PKEY_is_a(key, "RSA-PSS")) ||
            EVP_PKEY_get_bits(key) >= cert_trust_limits(t)->key_size_min)
            continue;
        complain(ctx, x, i, X509_V_ERR_EE_KEY_TOO_SMALL, p);
        return false;
    }
    return true;
}

static bool states_purpose(X509_STORE_CTX *ctx, const struct cert_trust *t, struct cert_problem *p)
{
    X509 *leaf = X509_STORE_CTX_get0_cert(ctx);
    if (!cert_trust_limits(t)->require_eku || X509_get_extension_flags(leaf) & EXFLAG_XKUSAGE)
        return true;
    complain(ctx, leaf, 0, ERR_NO_EXTENDED_USAGE, p);
    return false;
}

static bool validate(X509_STORE_CTX *ctx, struct cert_validation *v, int64_t now_ms)
{
    X509_VERIFY_PARAM_set_time(X509_STORE_CTX_get0_param(ctx), (time_t)(now_ms / 1000));
    X509_STORE_CTX_set_verify_cb(ctx, on_step);
    if (!can_be_read(ctx, v->problem) || X509_STORE_CTX_set_app_data(ctx, v) != 1 ||
        X509_verify_cert(ctx) != 1 || !may_sign(ctx, v->problem) ||
        !keys_are_long(ctx, v->trust, v->problem) || !states_purpose(ctx, v->trust, v->problem))
        return false;
    cert_trust_remember(v->trust, X509_STORE_CTX_get0_chain(ctx));
    return true;
}

/* The last question, as the path must be good before anybody's answer about it can be (CERT-12).  An anchor has no issuer
 * here whose responder could be asked. */
static bool
responder_allows(const struct cert_request *rq, X509_STORE_CTX *ctx, struct cert_validation *v)
{
    const struct cert_trust_limits *limits = cert_trust_limits(v->trust);
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
    struct cert_problem *p = v->problem;
    if (limits->ocsp == CERT_OCSP_OFF || sk_X509_num(chain) < 2)
        return true;
    struct ocsp_answer a = cert_ocsp_look(rq->ocsp, rq->leaf, sk_X509_value(chain, 1),
                                          limits->ocsp_responder, rq->now_ms, p->awaits);
    switch (a.status) {
    case OCSP_GOOD:
        return true;
    case OCSP_REVOKED:
        p->cause = CERT_CAUSE_REVOKED;
        cert_say(p->reason, "client certificate was revoked on %s", a.date);
        return false;
    case OCSP_UNKNOWN:
        p->cause = CERT_CAUSE_REVOKED;
        cert_say(p->reason, "client certificate is not known to the responder of its CA");
        return false;
    case OCSP_PENDING:
        p->cause = CERT_CAUSE_PENDING;
        cert_say(p->reason, "client certificate is being looked up at the responder of its CA");
        return false;
    case OCSP_NO_ANSWER:
        break;
    }
    p->cause = CERT_CAUSE_NO_OCSP_ANSWER;
    cert_say(p->reason, "responder of the client certificate's CA gives no answer");
    return limits->ocsp == CERT_OCSP_SOFT;
}

static bool is_valid_below_ca(const struct cert_request *rq, struct cert_validation *v)
{
    CLEANUP(x509_stack_freep)
    STACK_OF(X509) *known = rq->chain ? NULL : cert_trust_intermediates(v->trust);
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    bool valid = ctx &&
                 X509_STORE_CTX_init(ctx, cert_trust_store(v->trust), rq->leaf,
                                     rq->chain ? rq->chain : known) == 1 &&
                 validate(ctx, v, rq->now_ms) && responder_allows(rq, ctx, v);
    X509_STORE_CTX_free(ctx);
    return valid;
}

/* The certificate is its own anchor: dates, purpose and strength count as ever, the lists of a CA do not. */
static bool is_valid_as_pin(const struct cert_request *rq, struct cert_validation *v)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    STACK_OF(X509) *anchor = sk_X509_new_null();
    bool valid = false;
    if (ctx && anchor && sk_X509_push(anchor, rq->leaf) > 0 &&
        X509_STORE_CTX_init(ctx, cert_trust_store(v->trust), rq->leaf, NULL) == 1) {
        X509_STORE_CTX_set0_trusted_stack(ctx, anchor);
        (void)X509_VERIFY_PARAM_clear_flags(X509_STORE_CTX_get0_param(ctx),
                                            X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
        valid = validate(ctx, v, rq->now_ms);
    }
    X509_STORE_CTX_free(ctx);
    sk_X509_free(anchor);
    return valid;
}

enum cert_path cert_path_judge(const struct cert_request *rq,
                               struct cert_trust *t,
                               struct cert_problem *ret_problem)
{
    ERROR_SCOPE;
    struct cert_problem p;
    struct cert_validation v = {t, &p};
    complain(NULL, NULL, 0, X509_V_ERR_OUT_OF_MEM, &p);
    if (is_valid_below_ca(rq, &v))
        return CERT_PATH_VALID;
    enum cert_pinned pinned =
        p.cause == CERT_CAUSE_UNKNOWN_CA ? cert_trust_pinned(t, rq->leaf) : CERT_NOT_PINNED;
    if (pinned != CERT_NOT_PINNED && is_valid_as_pin(rq, &v))
        return pinned == CERT_PINNED ? CERT_PATH_VALID : CERT_PATH_KEY_ONLY;
    *ret_problem = p;
    return CERT_PATH_INVALID;
}
