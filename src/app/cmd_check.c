#include "app/cmd_check.h"

#include "app/config.h"
#include "app/privileges.h"
#include "app/reread.h"
#include "base/clock.h"
#include "base/table.h"
#include "cert/age.h"
#include "relay/papers.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#define DEFAULT_FILE "/etc/postern/postern.conf"

struct check {
    const char *file;
    bool json;
    unsigned mistakes, warnings;
    json_t *findings; /* with --json */
};

/* Findings are the report, so they go to standard output. */
static void on_finding(void *arg, const struct loader_finding *f)
{
    struct check *ck = arg;
    ck->mistakes += !f->is_warning;
    ck->warnings += f->is_warning;
    if (!ck->json) {
        printf("%s:%u: %s%s\n", f->file, f->line, f->is_warning ? "warning: " : "", f->text);
        return;
    }
    json_t *entry = json_pack("{s:s, s:i, s:s, s:s}", "file", f->file, "line", (int)f->line,
                              "severity", f->is_warning ? "warning" : "mistake", "text", f->text);
    if (entry)
        (void)json_array_append_new(ck->findings, entry);
}

static void mistake(struct check *ck, const struct config_place *at, const char *fmt, ...)
    PRINTF(3, 4);

static void mistake(struct check *ck, const struct config_place *at, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    on_finding(ck, &(struct loader_finding){at->file, at->line, false, text});
}

/* ---- what the files named say: the same loading that `postern serve` does ---- */

static void
check_table(struct check *ck, const char *path, bool fold, const struct config_place *at)
{
    struct table *t = NULL;
    char why[TABLE_WHY_MAX] = "";
    if (path && table_open(path, fold, &t, why) < 0)
        mistake(ck, at, "%s", why);
    table_close(t);
}

/* Folded as the endpoint opens them, since that is what makes two keys one. */
static void
check_tables(struct check *ck, const struct listener_config *ls, const struct config_place *at)
{
    check_table(ck, ls->aliases, false, at);
    check_table(ck, ls->may_act_as, false, at);
    check_table(ck, ls->senders, false, at);
    check_table(ck, ls->priorities, false, at);
    check_table(ck, ls->disabled, true, at);
}

struct aging {
    struct check *check;
    const struct config_place *at;
};

static void on_age(void *arg, enum cert_age age, const char *words)
{
    const struct aging *a = arg;
    (void)age;
    on_finding(a->check, &(struct loader_finding){a->at->file, a->at->line, true, words});
}

static void check_age(struct check *ck, const struct tls_context *tls, const struct config_place *at)
{
    struct aging a = {ck, at};
    const char *where;
    const struct x509_st *own = tls ? tls_context_certificate(tls, &where) : NULL;
    if (own)
        (void)cert_leaf_age(own, where, clock_wall_ms(), on_age, &a);
}

static void
check_listener(struct check *ck, const struct listener_config *ls, uid_t server, const struct config_place *at)
{
    check_tables(ck, ls, at);
    if (ls->tls == LISTENER_TLS_NONE)
        return;
    struct tls_server_config cfg = {
        .certificate = ls->certificate,
        .key = ls->key,
        .passphrase_file = ls->key_password_file,
        .reader = server,
        .client_certificate = ls->client_certificate,
        .session_context = ls->name,
    };
    struct tls_context *tls = NULL;
    char why[TLS_WHY_MAX] = "";
    if (tls_server_context_new(&cfg, &tls, why) < 0)
        mistake(ck, at, "listener \"%s\": %s", ls->name, why);
    else
        check_age(ck, tls, at);
    tls_context_unref(tls);
}

static void
check_trust(struct check *ck, const struct trust_config *t, const struct config_place *at)
{
    struct cert_trust_config cfg = settings_trust(t);
    struct cert_trust *trust = NULL;
    char why[CERT_WHY_MAX] = "";
    struct aging a = {ck, at};
    if (cert_trust_load(&cfg, &trust, why) < 0)
        mistake(ck, at, "%s", why);
    else
        (void)cert_trust_age(trust, clock_wall_ms(), on_age, &a);
    cert_trust_unref(trust);
}

static void
check_identity(struct check *ck, const struct identity_config *id, const struct config_place *at)
{
    struct cert_rules *rules = NULL;
    char why[CERT_WHY_MAX] = "";
    if (settings_rules(id, 1, &rules, why) < 0)
        mistake(ck, at, "%s", why);
    cert_rules_free(rules);
}

static void
check_route(struct check *ck, const struct route_config *r, uid_t server, const struct config_place *at)
{
    struct papers papers = {0};
    char why[TLS_WHY_MAX] = "";
    if (papers_load(r, server, &papers, why) < 0)
        mistake(ck, at, "route \"%s\": %s", r->domain, why);
    else
        check_age(ck, papers.tls, at);
    papers_done(&papers);
}


/* What follows is asked as who serves: this process is nobody else any more.  False: it cannot become him. */
static bool become_server(struct check *ck, const struct config *c)
{
    char why[PRIVILEGES_WHY_MAX] = "";
    if (geteuid() != 0 || !c->user)
        return true;
    if (privileges_drop(c->user, c->group, why) == 0)
        return true;
    mistake(ck, &(struct config_place){c->path, 1}, "%s", why);
    return false;
}

static void check_spool(struct check *ck, const struct config *c)
{
    CLEANUP(freep) char *copy = xstrdup(c->spool.database);
    const char *folder = dirname(copy), *user = c->user ? c->user : "USER";
    const char *file = c->spool.database;
    if (access(folder, F_OK) < 0 && errno != EACCES)
        mistake(ck, &c->spool_place,
                "the folder of the spool, \"%s\", is not there: %s; make it with `install -d -m "
                "700 -o %s %s`",
                folder, strerror(errno), user, folder);
    else if (access(folder, W_OK | X_OK) < 0)
        mistake(ck, &c->spool_place,
                "the folder of the spool, \"%s\", cannot be written by who serves: %s; give it to that account with "
                "`chown %s %s`",
                folder, strerror(errno), user, folder);
    else if (access(file, R_OK | W_OK) < 0 && errno != ENOENT)
        mistake(ck, &c->spool_place,
                "the spool, \"%s\", cannot be written by who serves: %s; give it to that account with `chown %s %s*`",
                file, strerror(errno), user, file);
}

static void on_denied(void *arg, const char *path, const struct config_place *at, const char *advice)
{
    (void)path;
    on_finding(arg, &(struct loader_finding){at->file, at->line, true, advice});
}

static void check_files(struct check *ck, const struct config *c)
{
    uid_t server = privileges_account(c->user);
    for (size_t i = 0; i < c->n_trusts; i++)
        check_trust(ck, &c->trusts[i], &c->trust_places[i]);
    for (size_t i = 0; i < c->n_identities; i++)
        check_identity(ck, &c->identities[i], &c->identity_places[i]);
    for (size_t i = 0; i < c->n_passwords; i++)
        check_table(ck, c->passwords[i].table, false, &c->passwords_places[i]);
    for (size_t i = 0; i < c->n_listeners; i++)
        check_listener(ck, &c->listeners[i], server, &c->listener_places[i]);
    for (size_t i = 0; i < c->relay.n_routes; i++)
        check_route(ck, &c->relay.routes[i], server, &c->route_places[i]);
    if (!become_server(ck, c))
        return;
    reread_denied(c, on_denied, ck);
    check_spool(ck, c);
}

/* ---- the report ---- */

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

static void print_summary(const struct check *ck, size_t listeners, size_t routes)
{
    if (ck->mistakes)
        printf("%s: %u mistake%s\n", ck->file, ck->mistakes, plural(ck->mistakes));
    else
        printf("%s: no mistakes; %zu listener%s, %zu route%s\n", ck->file, listeners,
               plural(listeners), routes, plural(routes));
}

static int print_json(const struct check *ck, size_t listeners, size_t routes)
{
    json_t *out =
        json_pack("{s:s, s:b, s:i, s:i, s:i, s:i, s:O}", "file", ck->file, "ok", ck->mistakes == 0,
                  "mistakes", (int)ck->mistakes, "warnings", (int)ck->warnings, "listeners",
                  (int)listeners, "routes", (int)routes, "findings", ck->findings);
    int r = out ? json_dumpf(out, stdout, JSON_INDENT(2)) : -1;
    json_decref(out);
    putchar('\n');
    return r;
}

static int run_check(struct check *ck)
{
    struct config *c = NULL;
    size_t listeners = 0, routes = 0;
    int r = config_read(ck->file, &c, on_finding, ck);
    if (r == 0) {
        listeners = c->n_listeners;
        routes = c->relay.n_routes;
        check_files(ck, c);
    }
    config_free(c);
    if (ck->json && print_json(ck, listeners, routes) < 0)
        return EX_SOFTWARE;
    if (!ck->json && r >= 0)
        print_summary(ck, listeners, routes);
    return r < 0 ? EX_NOINPUT : ck->mistakes ? EX_CONFIG : EX_OK;
}

static void print_help(void)
{
    puts("usage: postern check [-c FILE] [--json]\n"
         "\n"
         "Reads a configuration, the certificates and tables it names, and says every mistake\n"
         "with file, line and what would be right.  Starts nothing and changes nothing.\n"
         "\n"
         "  -c, --config FILE  the configuration (default " DEFAULT_FILE ")\n"
         "      --json         the report as JSON\n"
         "      --help\n"
         "\n"
         "Exit code: 0 no mistakes, 78 mistakes, 66 the file cannot be read.");
}

int cmd_check(int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"json",   no_argument,       NULL, 'j'},
        {"help",   no_argument,       NULL, 'h'},
        {NULL,     0,                 NULL, 0  },
    };
    struct check ck = {.file = DEFAULT_FILE};
    int opt;
    while ((opt = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (opt) {
        case 'c':
            ck.file = optarg;
            break;
        case 'j':
            ck.json = true;
            break;
        case 'h':
            print_help();
            return EX_OK;
        default:
            return EX_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "%s: \"%s\" is one word too many; write %s -c FILE\n", argv[0],
                argv[optind], argv[0]);
        return EX_USAGE;
    }
    ck.findings = ck.json ? json_array() : NULL;
    int status = run_check(&ck);
    json_decref(ck.findings);
    return status;
}
