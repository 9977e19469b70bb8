#include "probe/observer_papers.h"

#include "cert/ca.h"
#include "cert/describe.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define DAY_MS ((int64_t)86400 * 1000)
#define SLACK_MS ((int64_t)300 * 1000)

/* The certificates of the tester. */
static const struct paper {
    const char *name, *ca;
    int from_days, until_days;
    bool revoked;
} client_papers[] = {
    {"good",    "ca",       0,   365, false},
    {"expired", "ca",       -30, -1,  false},
    {"revoked", "ca",       0,   365, true },
    {"other",   "other-ca", 0,   365, false},
};

void papers_path(const struct papers *p, const char *name, char out[PAPERS_PATH_MAX])
{
    (void)snprintf(out, PAPERS_PATH_MAX, "%s/%s", p->folder, name);
}

static void
file_of(const struct papers *p, const char *name, const char *ending, char out[PAPERS_PATH_MAX])
{
    (void)snprintf(out, PAPERS_PATH_MAX, "%s/%.20s%s", p->folder, name, ending);
}

/* ---- is what is there still good? ---- */

static bool names_identity(const struct cert_description *d, const char *identity)
{
    for (size_t i = 0; i < d->n_names; i++) {
        const char *colon = strchr(d->names[i], ':');
        if (colon && strcmp(colon + 1, identity) == 0)
            return true;
    }
    return false;
}

/* Of this name, and good for a day or, what is made expired, over.  Who replaced the CA makes all of them again. */
static bool is_usable(const char *file, const char *identity, bool expired, int64_t now_ms)
{
    struct cert_bundle b = {0};
    struct cert_description d = {0};
    char why[CERT_WHY_MAX];
    if (cert_bundle_load(file, &b, why) < 0)
        return false;
    cert_describe(b.leaf, &d);
    bool good = names_identity(&d, identity) &&
                (expired ? d.not_after_ms < now_ms : d.not_after_ms > now_ms + DAY_MS);
    cert_description_done(&d);
    cert_bundle_done(&b);
    return good;
}

/* ---- making them ---- */

static int
ca_there(const struct papers *p, const char *name, int64_t now_ms, bool *ret_fresh, char *why)
{
    char dir[PAPERS_PATH_MAX], file[PAPERS_PATH_MAX];
    file_of(p, name, "", dir);
    file_of(p, name, "/ca.pem", file);
    *ret_fresh = access(file, F_OK) != 0;
    struct ca_config cfg = {.dir = dir, .now_ms = now_ms};
    return *ret_fresh ? ca_create(&cfg, why) : 0;
}

static int write_issued(
    const struct papers *p, const char *name, const struct ca_issued *made, bool p12, char *why)
{
    char cert[PAPERS_PATH_MAX], key[PAPERS_PATH_MAX], bag[PAPERS_PATH_MAX];
    file_of(p, name, ".pem", cert);
    file_of(p, name, ".key", key);
    file_of(p, name, ".p12", bag);
    int r = p12 ? ca_issued_write_p12(made, bag, PAPERS_PASSWORD, true, why) : 0;
    return r < 0 ? r : ca_issued_write(made, cert, key, true, why);
}

static int revoke_issued(struct ca *ca, const char *serial, int64_t now_ms, char *why)
{
    size_t at;
    int r = ca_find(ca, serial, &at, why);
    return r < 0 ? r : ca_revoke(ca, at, CA_UNSPECIFIED, now_ms, why);
}

static int issue(const struct papers *p,
                 const char *ca_name,
                 const char *name,
                 const struct ca_request *rq,
                 bool revoked,
                 int64_t now_ms,
                 char *why)
{
    char dir[PAPERS_PATH_MAX];
    struct ca *ca = NULL;
    struct ca_issued *made = NULL;
    file_of(p, ca_name, "", dir);
    int r = ca_open(dir, &ca, why);
    if (r < 0)
        return r;
    r = ca_issue(ca, rq, &made, why);
    if (r == 0 && revoked)
        r = revoke_issued(ca, ca_issued_entry(made)->serial, now_ms, why);
    if (r == 0)
        r = write_issued(p, name, made, rq->kind == CA_CLIENT, why);
    ca_issued_free(made);
    ca_close(ca);
    return r;
}

static int make_client(const struct papers *p,
                       const struct paper *paper,
                       const char *identity,
                       int64_t now_ms,
                       char *why)
{
    struct ca_request rq = {
        .kind = CA_CLIENT,
        .not_before_ms = now_ms - SLACK_MS + paper->from_days * DAY_MS,
        .not_after_ms = now_ms + paper->until_days * DAY_MS,
    };
    bool address = strchr(identity, '@') != NULL;
    *(address ? &rq.emails : &rq.hosts) = &identity;
    *(address ? &rq.n_emails : &rq.n_hosts) = 1;
    return issue(p, paper->ca, paper->name, &rq, paper->revoked, now_ms, why);
}

static int make_server(const struct papers *p, int64_t now_ms, char *why)
{
    static const char *const hosts[] = {"localhost"}, *const addresses[] = {"127.0.0.1", "::1"};
    struct ca_request rq = {
        .kind = CA_SERVER,
        .hosts = hosts,
        .n_hosts = ARRAY_LEN(hosts),
        .addresses = addresses,
        .n_addresses = ARRAY_LEN(addresses),
        .not_before_ms = now_ms - SLACK_MS,
        .not_after_ms = now_ms + 365 * DAY_MS,
    };
    return issue(p, "ca", "server", &rq, false, now_ms, why);
}

/* A list lasts for a month only, so there is a new one each time. */
static int write_list(const struct papers *p, int64_t now_ms, char *why)
{
    char dir[PAPERS_PATH_MAX];
    struct ca *ca = NULL;
    file_of(p, "ca", "", dir);
    int r = ca_open(dir, &ca, why);
    if (r == 0)
        r = ca_write_crl(ca, now_ms, why);
    ca_close(ca);
    return r;
}

static int make_all(const struct papers *p, const char *identity, int64_t now_ms, char *why)
{
    bool fresh = false, fresh_other = false;
    int r = ca_there(p, "ca", now_ms, &fresh, why);
    if (r == 0)
        r = ca_there(p, "other-ca", now_ms, &fresh_other, why);
    if (r == 0 && (fresh || !is_usable(p->certificate, "localhost", false, now_ms)))
        r = make_server(p, now_ms, why);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(client_papers); i++) {
        const struct paper *paper = &client_papers[i];
        char file[PAPERS_PATH_MAX];
        bool new_ca = strcmp(paper->ca, "ca") == 0 ? fresh : fresh_other;
        file_of(p, paper->name, ".pem", file);
        if (new_ca || !is_usable(file, identity, paper->until_days < 0, now_ms))
            r = make_client(p, paper, identity, now_ms, why);
    }
    return r < 0 ? r : write_list(p, now_ms, why);
}

/* ---- judging by them ---- */

/* Whatever of a certificate may be a name: the observer reports it, and grants nothing by it. */
static const struct cert_rule_config rules[] = {
    {.name = "email", .source = CERT_SOURCE_SAN_EMAIL },
    {.name = "host",  .source = CERT_SOURCE_SAN_DNS   },
    {.name = "upn",   .source = CERT_SOURCE_SAN_UPN   },
    {.name = "name",  .source = CERT_SOURCE_SUBJECT_CN},
};

static int load_trusts(struct papers *p, const char *more_ca, char *why)
{
    char list[PAPERS_PATH_MAX];
    const char *ca = p->ca, *crl = list;
    file_of(p, "ca", "/crl.pem", list);
    struct cert_trust_config own = {
        .name = "observer", .ca = &ca, .n_ca = 1, .crl = &crl, .n_crl = 1};
    struct cert_trust_config more = {.name = "yours", .ca = &more_ca, .n_ca = 1};
    int r = cert_trust_load(&own, &p->trusts[0], why);
    p->n_trusts = r == 0;
    if (r < 0 || !more_ca)
        return r;
    r = cert_trust_load(&more, &p->trusts[1], why);
    p->n_trusts += r == 0;
    return r;
}

/* The whole path, since what is printed of it is for pasting elsewhere. */
static int folder_there(struct papers *p, const char *folder, char *why)
{
    if (mkdir(folder, 0700) < 0 && errno != EEXIST) {
        int error = errno;
        (void)snprintf(why, CERT_WHY_MAX, "cannot make the folder %.100s: %s", folder,
                       strerror(error));
        return -error;
    }
    CLEANUP(freep) char *whole = realpath(folder, NULL);
    if (!whole || strlen(whole) >= sizeof(p->folder)) {
        (void)snprintf(why, CERT_WHY_MAX, "the name of the folder %.100s is too long", folder);
        return -ENAMETOOLONG;
    }
    (void)snprintf(p->folder, sizeof(p->folder), "%s", whole);
    file_of(p, "ca", "/ca.pem", p->ca);
    file_of(p, "other-ca", "/ca.pem", p->other_ca);
    file_of(p, "server", ".pem", p->certificate);
    file_of(p, "server", ".key", p->key);
    return 0;
}

int papers_open(struct papers *p,
                const char *folder,
                const char *identity,
                const char *more_ca,
                int64_t now_ms,
                char *why)
{
    *p = (struct papers){.folder = ""};
    int r = folder_there(p, folder, why);
    if (r == 0)
        r = make_all(p, identity, now_ms, why);
    if (r == 0)
        r = load_trusts(p, more_ca, why);
    if (r == 0)
        r = cert_rules_new(rules, ARRAY_LEN(rules), &p->rules, why);
    if (r < 0)
        papers_close(p);
    return r;
}

void papers_close(struct papers *p)
{
    while (p->n_trusts > 0)
        cert_trust_unref(p->trusts[--p->n_trusts]);
    cert_rules_free(p->rules);
    p->rules = NULL;
}

void papers_judge(const struct papers *p,
                  struct x509_st *leaf,
                  struct stack_st_X509 *chain,
                  int64_t now_ms,
                  struct cert_verdict *ret)
{
    struct cert_request rq = {.leaf = leaf,
                              .chain = chain,
                              .trusts = p->trusts,
                              .n_trusts = p->n_trusts,
                              .now_ms = now_ms};
    rq.rules = cert_rules_items(p->rules, &rq.n_rules);
    cert_judge(&rq, ret);
}
