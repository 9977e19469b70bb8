#include "cert/ca_internal.h"

#include <errno.h>
#include <string.h>

#define DAY_MS ((int64_t)86400 * 1000)

struct signer {
    X509 *cert;
    EVP_PKEY *key;
};

static void signer_done(struct signer *s)
{
    X509_free(s->cert);
    EVP_PKEY_free(s->key);
}

static int read_signer(const struct ca_flawed *f, struct signer *ret, char *why)
{
    CLEANUP(x509_stack_freep) STACK_OF(X509) *certs = NULL;
    int r = cert_file_certificates(f->ca_cert, &certs, why);
    if (r == 0)
        r = ca_read_key(f->ca_key, &ret->key, why);
    if (r < 0)
        return r;
    ret->cert = sk_X509_shift(certs);
    if (X509_check_private_key(ret->cert, ret->key) != 1)
        return ca_fail(why, -EINVAL, "the key in %.80s does not belong to the certificate in %.80s",
                       f->ca_key, f->ca_cert);
    return 0;
}

/* Of a CA nobody knows; or of itself, when it is to sign itself. */
static int
make_signer(const char *name, EVP_PKEY *key, int64_t now_ms, struct signer *ret, char *why)
{
    if (key && EVP_PKEY_up_ref(key) == 1)
        ret->key = key;
    else
        ret->key = ca_make_key(CA_KEY_EC);
    ret->cert = ret->key ? ca_make_root(name, ret->key, now_ms) : NULL;
    return ret->cert ? 0 : ca_openssl_trouble(why, "making a certificate");
}

static int choose_signer(
    const struct ca_flawed *f, const char *name, EVP_PKEY *key, struct signer *ret, char *why)
{
    if (f->flaw == CA_FLAW_UNKNOWN_CA)
        return make_signer("Unknown CA", NULL, f->now_ms, ret, why);
    if (f->flaw == CA_FLAW_SELF_SIGNED)
        return make_signer(name, key, f->now_ms, ret, why);
    return read_signer(f, ret, why);
}

static void set_times(const struct ca_flawed *f, struct ca_request *rq)
{
    int64_t shift = f->flaw == CA_FLAW_EXPIRED ? -10 : f->flaw == CA_FLAW_FUTURE ? 10 : 0;
    rq->not_before_ms = f->now_ms + (shift - 1) * DAY_MS;
    rq->not_after_ms = f->now_ms + (shift + 1) * DAY_MS;
}

int ca_write_flawed(const struct ca_flawed *f, const char *cert, const char *key, char *why)
{
    ERROR_SCOPE;
    static const char *const hosts[] = {"postern-probe.invalid"};
    bool has_email = f->flaw != CA_FLAW_NO_EMAIL;
    struct ca_request rq = {
        .kind = f->flaw == CA_FLAW_USAGE ? CA_SERVER : CA_CLIENT,
        .name = has_email && strlen(f->email) <= CA_NAME_MAX ? f->email : "postern probe",
        .emails = &f->email,
        .n_emails = has_email,
        .hosts = hosts,
        .n_hosts = !has_email,
    };
    CLEANUP(signer_done) struct signer ca = {NULL, NULL};
    CLEANUP(pkey_freep) EVP_PKEY *own = ca_make_key(CA_KEY_EC);
    CLEANUP(x509_freep) X509 *made = NULL;
    char serial[CA_SERIAL_LEN];
    set_times(f, &rq);
    int r =
        own ? choose_signer(f, rq.name, own, &ca, why) : ca_openssl_trouble(why, "making a key");
    if (r < 0)
        return r;
    if (ca_make_serial(serial) == 0)
        made = ca_make_certificate(&rq, serial, own, ca.cert, ca.key);
    if (!made)
        return ca_openssl_trouble(why, "making a certificate");
    r = ca_write_key(own, key, CA_WRITE_REPLACE, why);
    return r < 0 ? r : ca_write_certificate(made, cert, CA_WRITE_REPLACE, why);
}
