#include "cert/age.h"

#include "cert/cert_internal.h"

#include <openssl/x509_vfy.h>
#include <stdio.h>

#define DAY_MS ((int64_t)24 * 60 * 60 * 1000)

struct life {
    const X509_NAME *name;
    const ASN1_TIME *begin, *end;
};

static enum cert_age age_of(const struct life *l, int64_t now_ms)
{
    int64_t begin = cert_time_ms(l->begin), end = cert_time_ms(l->end);
    if (now_ms >= end)
        return CERT_AGE_PAST;
    return end - now_ms < MIN((end - begin) / 10, 30 * DAY_MS) ? CERT_AGE_SOON : CERT_AGE_FINE;
}

/* ---- a trust block ---- */

static struct life life_of_list(const X509_CRL *crl)
{
    return (struct life){X509_CRL_get_issuer(crl), X509_CRL_get0_lastUpdate(crl),
                         X509_CRL_get0_nextUpdate(crl)};
}

static struct life life_of_certificate(const X509 *x)
{
    return (struct life){X509_get_subject_name(x), X509_get0_notBefore(x), X509_get0_notAfter(x)};
}

/* False: it is not of that kind, or has no end. */
static bool life_of(X509_OBJECT *o, X509_LOOKUP_TYPE kind, struct life *ret)
{
    if (X509_OBJECT_get_type(o) != kind)
        return false;
    *ret = kind == X509_LU_CRL ? life_of_list(X509_OBJECT_get0_X509_CRL(o))
                               : life_of_certificate(X509_OBJECT_get0_X509(o));
    return ret->end != NULL;
}

static bool is_outlived(const STACK_OF(X509_OBJECT) * all, X509_LOOKUP_TYPE kind, const struct life *l)
{
    struct life other;
    for (int i = 0; i < sk_X509_OBJECT_num(all); i++)
        if (life_of(sk_X509_OBJECT_value(all, i), kind, &other) && X509_NAME_cmp(other.name, l->name) == 0 &&
            ASN1_TIME_compare(other.end, l->end) > 0)
            return true;
    return false;
}

struct look {
    const struct cert_trust *trust;
    int64_t now_ms;
    cert_age_fn *tell;
    void *arg;
    enum cert_age worst;
};

static void say(struct look *k, enum cert_age age, const char *words)
{
    k->worst = MAX(k->worst, age);
    if (k->tell)
        k->tell(k->arg, age, words);
}

static void say_list(struct look *k, enum cert_age age, const struct life *l)
{
    char words[CERT_AGE_WORDS_MAX], name[CERT_NAME_SHORT_MAX], date[CERT_DATE_MAX];
    bool accepts = cert_trust_limits(k->trust)->accept_stale_crl;
    cert_name_short(l->name, name);
    cert_date(l->end, date);
    (void)snprintf(words, sizeof(words), "trust %s: the revocation list of %s %s out of date on %s, and %s%s; renew it",
                   cert_trust_name(k->trust), name, age == CERT_AGE_PAST ? "went" : "goes", date,
                   age == CERT_AGE_PAST ? "" : "from then on ",
                   accepts ? "who is revoked later gets in" : "every certificate of that CA is refused");
    say(k, age, words);
}

static void say_anchor(struct look *k, enum cert_age age, const struct life *l)
{
    char words[CERT_AGE_WORDS_MAX], name[CERT_NAME_SHORT_MAX], date[CERT_DATE_MAX];
    cert_name_short(l->name, name);
    cert_date(l->end, date);
    (void)snprintf(words, sizeof(words), "trust %s: the certificate %s in ca %s on %s, and with it all below it; add its successor",
                   cert_trust_name(k->trust), name, age == CERT_AGE_PAST ? "expired" : "expires", date);
    say(k, age, words);
}

static void look_at(struct look *k,
                    const STACK_OF(X509_OBJECT) * all,
                    X509_LOOKUP_TYPE kind,
                    void (*words)(struct look *, enum cert_age, const struct life *))
{
    struct life l;
    for (int i = 0; i < sk_X509_OBJECT_num(all); i++) {
        enum cert_age age;
        if (!life_of(sk_X509_OBJECT_value(all, i), kind, &l) || (age = age_of(&l, k->now_ms)) == CERT_AGE_FINE)
            continue;
        if (!is_outlived(all, kind, &l))
            words(k, age, &l);
    }
}

static bool has_list(const STACK_OF(X509_OBJECT) * all)
{
    for (int i = 0; i < sk_X509_OBJECT_num(all); i++)
        if (X509_OBJECT_get_type(sk_X509_OBJECT_value(all, i)) == X509_LU_CRL)
            return true;
    return false;
}

enum cert_age cert_trust_age(const struct cert_trust *t, int64_t now_ms, cert_age_fn *tell, void *arg)
{
    ERROR_SCOPE;
    struct look k = {t, now_ms, tell, arg, CERT_AGE_FINE};
    X509_STORE *store = cert_trust_store(t);
    bool wants_lists = X509_VERIFY_PARAM_get_flags(X509_STORE_get0_param(store)) & X509_V_FLAG_CRL_CHECK;
    (void)X509_STORE_lock(store); /* who looks something up may sort it */
    const STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(store);
    look_at(&k, all, X509_LU_CRL, say_list);
    look_at(&k, all, X509_LU_X509, say_anchor);
    bool lacks_lists = wants_lists && !has_list(all);
    (void)X509_STORE_unlock(store);
    if (lacks_lists) {
        char words[CERT_AGE_WORDS_MAX];
        (void)snprintf(words, sizeof(words), "trust %s: there is no revocation list in crl, and every certificate is refused; put one there, or leave crl out",
                       cert_trust_name(t));
        say(&k, CERT_AGE_PAST, words);
    }
    return k.worst;
}

/* Of lists of one CA that end together the first speaks for all. */
static bool is_first(const STACK_OF(X509_OBJECT) * all, int at, const struct life *l)
{
    struct life other;
    for (int i = 0; i < at; i++)
        if (life_of(sk_X509_OBJECT_value(all, i), X509_LU_CRL, &other) && X509_NAME_cmp(other.name, l->name) == 0 &&
            ASN1_TIME_compare(other.end, l->end) == 0)
            return false;
    return true;
}

void cert_trust_lists_end(const struct cert_trust *t, cert_end_fn *tell, void *arg)
{
    ERROR_SCOPE;
    struct life l;
    X509_STORE *store = cert_trust_store(t);
    (void)X509_STORE_lock(store);
    const STACK_OF(X509_OBJECT) *all = X509_STORE_get0_objects(store);
    for (int i = 0; i < sk_X509_OBJECT_num(all); i++) {
        if (!life_of(sk_X509_OBJECT_value(all, i), X509_LU_CRL, &l) || is_outlived(all, X509_LU_CRL, &l) ||
            !is_first(all, i, &l))
            continue;
        CLEANUP(freep) char *ca = cert_name_line(l.name);
        tell(arg, cert_trust_name(t), ca ? ca : "", cert_time_ms(l.end));
    }
    (void)X509_STORE_unlock(store);
}

/* ---- a file ---- */

int64_t cert_leaf_end_ms(const X509 *leaf)
{
    ERROR_SCOPE;
    return leaf ? cert_time_ms(X509_get0_notAfter(leaf)) : 0;
}


enum cert_age cert_leaf_age(
    const X509 *leaf, const char *where, int64_t now_ms, cert_age_fn *tell, void *arg)
{
    ERROR_SCOPE;
    char words[CERT_AGE_WORDS_MAX], name[CERT_NAME_SHORT_MAX], date[CERT_DATE_MAX];
    if (!leaf)
        return CERT_AGE_FINE;
    struct life l = life_of_certificate(leaf);
    enum cert_age age = age_of(&l, now_ms);
    if (age == CERT_AGE_FINE || !tell)
        return age;
    cert_name_short(l.name, name);
    cert_date(l.end, date);
    (void)snprintf(words, sizeof(words), "%.256s: the certificate %s %s on %s; renew it", where, name,
                   age == CERT_AGE_PAST ? "expired" : "expires", date);
    tell(arg, age, words);
    return age;
}
