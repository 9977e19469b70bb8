#include "app/cmd_cert_internal.h"

#include "app/config.h"
#include "base/clock.h"
#include "cert/describe.h"
#include "cert/judge.h"
#include "cert/ocsp.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

#define OCSP_TIMEOUT_MS 5000
#define CONFIG_DEFAULT "/etc/postern/postern.conf"

static const char help[] =
    "usage: postern cert explain FILE [-c CONFIG] [--listener NAME] [options]\n"
    "       postern cert explain FILE --ca FILE... [--crl FILE...] [--source WORD...] [options]\n"
    "\n"
    "Says what the certificate in FILE holds, and what the server would make of it and why, by\n"
    "the server's own code.  Certificates that follow the first one in FILE are the chain that\n"
    "the client would send.\n"
    "\n"
    "  -c, --config CONFIG  judges it on each listener of that configuration that has a `trust`\n"
    "                       (default " CONFIG_DEFAULT ")\n"
    "      --listener NAME  on that listener only\n"
    "      --ca FILE        instead: with these CAs; may be repeated\n"
    "      --crl FILE       and these revocation lists; may be repeated\n"
    "      --source WORD    and identities from san-email (default), san-dns, san-uri, san-upn,\n"
    "                       san-email-utf8, subject-cn, subject-email, subject-uid, fingerprint,\n"
    "                       public-key, issuer-serial, in this order; may be repeated\n"
    "      --at TIME        judges it at 2026-12-31 or 2026-12-31T23:59:59Z instead of now\n"
    "      --json           as JSON\n"
    "      --help\n"
    "\n"
    "Exit code: 0 it has exactly one identity wherever it was judged, 77 it has not.\n";

struct explain {
    const char *program, *file, *config, *listener;
    struct certcmd_list ca, crl, sources;
    int64_t now_ms;
    bool json;
    json_t *verdicts; /* with --json */
    json_t *tried;    /* what the rules said, of the verdict being made */
    size_t judged, good;
    struct cert_bundle bundle;
    struct cert_ocsp *ocsp;
};

/* --- the report */

static void print_line(const char *label, const char *text)
{
    if (text[0])
        printf("%-13s %s\n", label, text);
}

static void print_description(const struct explain *ex, const struct cert_description *d)
{
    char from[32], until[32];
    certcmd_instant(d->not_before_ms, from);
    certcmd_instant(d->not_after_ms, until);
    printf("%-13s %s (%zu certificate%s)\n", "file", ex->file, cert_bundle_count(&ex->bundle),
           cert_bundle_count(&ex->bundle) == 1 ? "" : "s");
    print_line("subject", d->subject[0] ? d->subject : "(empty)");
    print_line("issuer", d->issuer);
    print_line("serial", d->serial);
    printf("%-13s %s to %s\n", "valid", from, until);
    printf("%-13s %s, signed with %s\n", "key", d->key, d->signature);
    print_line("CA", d->is_ca ? "yes" : "");
    print_line("usage", d->key_usage);
    print_line("", d->extended_usage);
    for (size_t i = 0; i < d->n_names; i++)
        print_line(i ? "" : "names", d->names[i]);
    print_line("fingerprint", d->fingerprint);
    print_line("public key", d->public_key);
}

static json_t *texts_json(char *const *texts, size_t n)
{
    json_t *out = json_array();
    for (size_t i = 0; i < n; i++)
        (void)json_array_append_new(out, json_string(texts[i]));
    return out;
}

static json_t *description_json(const struct explain *ex, const struct cert_description *d)
{
    char from[32], until[32];
    certcmd_instant(d->not_before_ms, from);
    certcmd_instant(d->not_after_ms, until);
    return json_pack(
        "{s:s, s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:s, s:s, s:o, s:s, s:s, s:O}", "file",
        ex->file, "certificates", (int)cert_bundle_count(&ex->bundle), "subject", d->subject,
        "issuer", d->issuer, "serial", d->serial, "notBefore", from, "notAfter", until, "key",
        d->key, "signature", d->signature, "isCa", d->is_ca, "keyUsage", d->key_usage,
        "extendedKeyUsage", d->extended_usage, "names", texts_json(d->names, d->n_names),
        "fingerprint", d->fingerprint, "publicKey", d->public_key, "verdicts", ex->verdicts);
}

/* What the listener makes of the verdict; NULL where certificates do not log in. */
static const char *consequence(const struct listener_config *ls, const struct cert_verdict *v)
{
    if (!ls || ls->client_certificate == TLS_CLIENT_CERT_OFF)
        return ls ? "this listener asks for no certificate" : NULL;
    if (v->outcome == CERT_UNACCEPTABLE && ls->client_certificate == TLS_CLIENT_CERT_REQUIRE)
        return "the TLS handshake fails (client-certificate = require)";
    if (ls->cert_auth == CERT_AUTH_OFF)
        return "certificates do not log in here (certificate-auth = off)";
    if (v->outcome == CERT_AMBIGUOUS)
        return "AUTH EXTERNAL is offered and needs one of the identities as authorization identity";
    if (v->outcome != CERT_ACCEPTABLE)
        return "AUTH EXTERNAL is not offered, MAIL answers 530";
    return ls->cert_auth == CERT_AUTH_EXPLICIT
               ? "AUTH EXTERNAL is offered, and needed before MAIL"
               : "AUTH EXTERNAL is offered, and MAIL works without it";
}

static void
print_verdict(const char *title, const struct listener_config *ls, const struct cert_verdict *v)
{
    const char *effect = consequence(ls, v);
    printf("\n%s\n", title);
    printf("  verdict     %s%s%s\n", cert_outcome_name(v->outcome), v->reason[0] ? ": " : "",
           v->reason);
    for (size_t i = 0; i < v->n_identities; i++)
        printf("  identity    %s\n", v->identities[i]);
    if (v->trust[0])
        printf("  trust       %s\n", v->trust);
    if (v->rule[0])
        printf("  rule        %s\n", v->rule);
    if (effect)
        printf("  so          %s\n", effect);
}

static json_t *verdict_json(const char *title,
                            const struct listener_config *ls,
                            const struct cert_verdict *v,
                            json_t *tried)
{
    const char *effect = consequence(ls, v);
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:s, s:s, s:s*, s:O}", "where", title, "outcome",
                     cert_outcome_name(v->outcome), "cause", cert_cause_name(v->cause), "reason",
                     v->reason, "identities", texts_json(v->identities, v->n_identities), "trust",
                     v->trust, "rule", v->rule, "effect", effect, "tried", tried);
}

/* --- judging */

static void
keep_finding(void *arg, const struct cert_rule *rule, const char *value, const char *finding)
{
    struct explain *ex = arg;
    (void)json_array_append_new(ex->tried, json_pack("{s:s, s:s, s:s*, s:s}", "rule", rule->name,
                                                     "source", cert_source_name(rule->source),
                                                     "value", value, "finding", finding));
}

static void print_findings(const json_t *tried)
{
    size_t i;
    json_t *one;
    json_array_foreach(tried, i, one)
    {
        const char *rule, *source, *value = NULL, *finding;
        if (json_unpack(one, "{s:s, s:s, s?:s, s:s}", "rule", &rule, "source", &source, "value",
                        &value, "finding", &finding) == 0)
            printf("  %-11s %s (%s)%s%s: %s\n", i ? "" : "tried", rule, source, value ? " " : "",
                   value ? value : "", finding);
    }
}

static void told(void *arg)
{
    (void)sem_post(arg);
}

/* As a session does: when a responder has to be asked, again after its answer. */
static void
judge_with_responder(struct explain *ex, const struct cert_request *rq, struct cert_verdict *v)
{
    sem_t answered;
    (void)sem_init(&answered, 0, 0);
    for (cert_judge(rq, v); v->cause == CERT_CAUSE_PENDING; cert_judge(rq, v)) {
        if (cert_ocsp_wait(ex->ocsp, v, told, &answered) == 0)
            while (sem_wait(&answered) < 0 && errno == EINTR)
                ;
        cert_verdict_done(v);
        (void)json_array_clear(ex->tried);
    }
    (void)sem_destroy(&answered);
}

static void judge(struct explain *ex,
                  const char *title,
                  const struct listener_config *ls,
                  struct cert_trust *const *trusts,
                  size_t n_trusts,
                  const struct cert_rule *rules,
                  size_t n_rules)
{
    struct cert_verdict v;
    struct cert_request rq = {ex->bundle.leaf, ex->bundle.chain, trusts,       n_trusts, rules,
                              n_rules,         ex->now_ms,       keep_finding, ex,       ex->ocsp};
    CLEANUP(certcmd_json_decrefp) json_t *tried = ex->tried = json_array();
    judge_with_responder(ex, &rq, &v);
    ex->judged++;
    ex->good += v.outcome == CERT_ACCEPTABLE;
    if (ex->json)
        (void)json_array_append_new(ex->verdicts, verdict_json(title, ls, &v, tried));
    else
        print_verdict(title, ls, &v);
    if (!ex->json)
        print_findings(tried);
    cert_verdict_done(&v);
}

static int judge_with_files(struct explain *ex)
{
    char why[CERT_WHY_MAX];
    struct cert_rule rules[CERTCMD_LIST_MAX];
    struct cert_trust *t = NULL;
    if (ex->sources.n == 0)
        ex->sources = (struct certcmd_list){{"san-email"}, 1};
    for (size_t i = 0; i < ex->sources.n; i++) {
        rules[i] = (struct cert_rule){.name = ex->sources.items[i]};
        if (cert_source_parse(ex->sources.items[i], &rules[i].source) < 0 ||
            rules[i].source == CERT_SOURCE_SUBJECT)
            return certcmd_usage_error(ex->program, "--source %s is unknown", ex->sources.items[i]);
    }
    int r = cert_trust_load(
        &(struct cert_trust_config){"files", ex->ca.items, ex->ca.n, ex->crl.items, ex->crl.n}, &t,
        why);
    if (r < 0)
        return certcmd_failed(ex->program, r, why);
    judge(ex, "with these files", NULL, &t, 1, rules, ex->sources.n);
    cert_trust_unref(t);
    return EX_OK;
}

/* All trust blocks of the configuration, as loaded; parallel to its list. */
struct loaded {
    struct cert_trust **trusts;
    struct cert_rules *rules;
    size_t n_trusts;
};

static void loaded_done(struct loaded *l)
{
    for (size_t i = 0; i < l->n_trusts; i++)
        cert_trust_unref(l->trusts[i]);
    free(l->trusts);
    cert_rules_free(l->rules);
}

static int load_trusts(const struct explain *ex, const struct config *c, struct loaded *l)
{
    char why[CERT_WHY_MAX];
    l->trusts = xcalloc(MAX(c->n_trusts, (size_t)1), sizeof(struct cert_trust *));
    for (; l->n_trusts < c->n_trusts; l->n_trusts++) {
        const struct trust_config *t = &c->trusts[l->n_trusts];
        struct cert_trust_config cfg = settings_trust(t);
        int r = cert_trust_load(&cfg, &l->trusts[l->n_trusts], why);
        if (r < 0)
            return certcmd_failed(ex->program, r, why);
    }
    return EX_OK;
}

static int load_rules(const struct explain *ex, const struct config *c, struct loaded *l)
{
    char why[CERT_WHY_MAX];
    int r = settings_rules(c->identities, c->n_identities, &l->rules, why);
    return r < 0 ? certcmd_failed(ex->program, r, why) : EX_OK;
}

/* The trust blocks a listener names, in its order. */
static size_t
pick_trusts(const struct listener_config *ls, const struct loaded *l, struct cert_trust **out)
{
    size_t n = 0;
    for (size_t i = 0; i < ls->n_trust; i++)
        for (size_t k = 0; k < l->n_trusts; k++)
            if (strcmp(cert_trust_name(l->trusts[k]), ls->trust[i]) == 0)
                out[n++] = l->trusts[k];
    return n;
}

static void
judge_on_listener(struct explain *ex, const struct listener_config *ls, const struct loaded *l)
{
    char title[160];
    CLEANUP(freep)
    struct cert_trust **mine = xcalloc(ls->n_trust * l->n_trusts + 1, sizeof(struct cert_trust *));
    size_t n = pick_trusts(ls, l, mine), n_rules;
    const struct cert_rule *rules = cert_rules_items(l->rules, &n_rules);
    (void)snprintf(title, sizeof(title), "listener %.140s", ls->name);
    judge(ex, title, ls, mine, n, rules, n_rules);
}

static void print_finding(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

static void config_freep(struct config **c)
{
    config_free(*c);
    *c = NULL;
}

static int judge_with_config(struct explain *ex)
{
    CLEANUP(config_freep) struct config *c = NULL;
    CLEANUP(loaded_done) struct loaded l = {NULL, NULL, 0};
    int r = config_load(ex->config, &c, print_finding, NULL);
    if (r != 0)
        return r < 0 ? EX_NOINPUT : EX_CONFIG;
    int code = load_trusts(ex, c, &l);
    if (code == EX_OK)
        code = load_rules(ex, c, &l);
    if (code != EX_OK)
        return code;
    for (size_t i = 0; i < c->n_listeners; i++)
        if (ex->listener ? strcmp(ex->listener, c->listeners[i].name) == 0
                         : c->listeners[i].n_trust > 0)
            judge_on_listener(ex, &c->listeners[i], &l);
    if (ex->judged > 0)
        return EX_OK;
    fprintf(stderr, "%s: %s: %s%s\n", ex->program, ex->config,
            ex->listener ? "there is no listener " : "no listener has a trust; name CAs with --ca",
            ex->listener ? ex->listener : "");
    return EX_USAGE;
}

static int explain(struct explain *ex)
{
    char why[CERT_WHY_MAX];
    int r = cert_bundle_load(ex->file, &ex->bundle, why);
    if (r < 0)
        return certcmd_failed(ex->program, r, why);
    struct cert_description d;
    cert_describe(ex->bundle.leaf, &d);
    ex->verdicts = json_array();
    if (!ex->json)
        print_description(ex, &d);
    ex->ocsp = cert_ocsp_new(1, OCSP_TIMEOUT_MS);
    int code = ex->ca.n > 0 ? judge_with_files(ex) : judge_with_config(ex);
    cert_ocsp_free(ex->ocsp);
    CLEANUP(certcmd_json_decrefp)
    json_t *j = ex->json && code == EX_OK ? description_json(ex, &d) : NULL;
    if (ex->json && code == EX_OK)
        code = certcmd_print_json(j);
    json_decref(ex->verdicts);
    cert_description_done(&d);
    cert_bundle_done(&ex->bundle);
    return code == EX_OK && ex->good < ex->judged ? EX_NOPERM : code;
}

/* --- what is asked for */

static bool parse_time(struct explain *ex, const char *text)
{
    static const char *const formats[] = {"%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"};
    for (size_t i = 0; i < ARRAY_LEN(formats); i++) {
        struct tm tm = {.tm_sec = 0};
        const char *end = strptime(text, formats[i], &tm);
        if (!end || *end)
            continue;
        ex->now_ms = (int64_t)timegm(&tm) * 1000;
        return true;
    }
    (void)certcmd_usage_error(
        ex->program, "--at %s is no time such as 2026-12-31 or 2026-12-31T23:59:59Z", text);
    return false;
}

static bool take_option(struct explain *ex, int opt)
{
    switch (opt) {
    case 'c':
        ex->config = optarg;
        return true;
    case 'l':
        ex->listener = optarg;
        return true;
    case 'a':
        return certcmd_list_add(&ex->ca, ex->program, optarg);
    case 'r':
        return certcmd_list_add(&ex->crl, ex->program, optarg);
    case 's':
        return certcmd_list_add(&ex->sources, ex->program, optarg);
    case 't':
        return parse_time(ex, optarg);
    case 'j':
        ex->json = true;
        return true;
    default:
        return false;
    }
}

int cmd_cert_explain(int argc, char **argv)
{
    static const struct option options[] = {
        {"config",   required_argument, NULL, 'c'},
        {"listener", required_argument, NULL, 'l'},
        {"ca",       required_argument, NULL, 'a'},
        {"crl",      required_argument, NULL, 'r'},
        {"source",   required_argument, NULL, 's'},
        {"at",       required_argument, NULL, 't'},
        {"json",     no_argument,       NULL, 'j'},
        {"help",     no_argument,       NULL, 'h'},
        {NULL,       0,                 NULL, 0  },
    };
    struct explain ex = {.program = argv[0], .now_ms = clock_wall_ms()};
    for (int opt; (opt = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
        if (opt == 'h') {
            fputs(help, stdout);
            return EX_OK;
        }
        if (!take_option(&ex, opt))
            return EX_USAGE;
    }
    if (!certcmd_words_are(argc, argv, 1, 1, "the file of the certificate"))
        return EX_USAGE;
    if (ex.ca.n > 0 && (ex.config || ex.listener))
        return certcmd_usage_error(ex.program,
                                   "--ca is instead of a configuration and its listeners");
    if (ex.ca.n == 0 && (ex.crl.n > 0 || ex.sources.n > 0))
        return certcmd_usage_error(ex.program, "--crl and --source go with --ca");
    ex.file = argv[optind];
    ex.config = ex.config ? ex.config : CONFIG_DEFAULT;
    return explain(&ex);
}
