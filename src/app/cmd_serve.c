#include "app/cmd_serve.h"

#include "app/config.h"
#include "app/porter.h"
#include "app/privileges.h"
#include "app/reread.h"
#include "app/service_manager.h"
#include "base/file.h"
#include "net/loop.h"
#include "server/metrics.h"
#include "server/service.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sysexits.h>

#define DEFAULT_CONFIG "/etc/postern/postern.conf"
#define GRACE_MS 30000
#define DESCRIPTORS_OWN 256

struct server {
    struct config *config;
    struct loop *loop; /* of the main thread: signals, and looking after files */
    struct loop_timer *reload_timer;
    struct spool *spool;
    struct relay *relay;
    struct service *service;
    struct metrics *metrics;
};

static const int signals[] = {SIGTERM, SIGINT, SIGHUP, 0};

static void usage(FILE *to)
{
    fprintf(to,
            "usage: postern serve [-c FILE]\n"
            "\n"
            "Runs the submission server in the foreground until SIGTERM or SIGINT.\n"
            "Certificates, keys, revocation lists and tables are loaded again when they\n"
            "change, and on SIGHUP.  The log goes to standard error.\n"
            "\n"
            "  -c, --config FILE   configuration, see postern.conf(5) [%s]\n"
            "  -h, --help          this text\n",
            DEFAULT_CONFIG);
}

/* The path of the configuration, or NULL with the exit status in *status. */
static const char *parse_args(int argc, char **argv, int *status)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"help",   no_argument,       NULL, 'h'},
        {NULL,     0,                 NULL, 0  },
    };
    const char *path = DEFAULT_CONFIG;
    int c;
    optind = 1;
    while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        if (c == 'c') {
            path = optarg;
            continue;
        }
        usage(c == 'h' ? stdout : stderr);
        *status = c == 'h' ? EX_OK : EX_USAGE;
        return NULL;
    }
    if (optind < argc) {
        fprintf(stderr,
                "postern serve: unexpected argument \"%s\"; the configuration is named with -c\n",
                argv[optind]);
        *status = EX_USAGE;
        return NULL;
    }
    return path;
}

static void report_line(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "%s\n", line);
}

static int fail(int status, const char *what, const char *why)
{
    log_message(LOG_LEVEL_ERROR, "start-failed", "%s: %s", what, why);
    return status;
}

/* Only the main thread takes signals; threads made while they are blocked never see them. */
static void signals_block(bool block)
{
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; signals[i]; i++)
        (void)sigaddset(&set, signals[i]);
    (void)pthread_sigmask(block ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

static void reload(struct server *s, bool all)
{
    struct service_refreshed count;
    struct log_line l;
    service_refresh(s->service, all, &count);
    relay_refresh(s->relay, all, &count.loaded, &count.failed);
    if (count.loaded == 0 && count.failed == 0)
        return;
    log_begin(&l, count.failed ? LOG_LEVEL_WARNING : LOG_LEVEL_NOTICE, "reloaded");
    log_number(&l, "loaded", count.loaded);
    log_number(&l, "failed", count.failed);
    log_end(&l);
}

static void on_reload_timer(void *arg)
{
    struct server *s = arg;
    reload(s, false);
    loop_timer_set(s->reload_timer, s->config->reload_interval_ms);
}

static void on_signal(void *arg, int signo)
{
    struct server *s = arg;
    if (signo != SIGHUP) {
        log_message(LOG_LEVEL_NOTICE, "stopping", "signal %s, finishing what is in flight",
                    sigabbrev_np(signo));
        loop_stop(s->loop);
    } else {
        reload(s, true);
    }
}

static struct service_config service_settings(const struct config *c)
{
    return (struct service_config){
        .hostname = c->hostname,
        .account = privileges_account(c->user),
        .workers = c->workers,
        .listeners = c->listeners,
        .n_listeners = c->n_listeners,
        .trusts = c->trusts,
        .n_trusts = c->n_trusts,
        .identities = c->identities,
        .n_identities = c->n_identities,
        .limits = c->limits,
        .n_limits = c->n_limits,
        .passwords = c->passwords,
        .n_passwords = c->n_passwords,
        .auth_threads = c->auth_threads,
        .ocsp_timeout_ms = c->ocsp_timeout_ms,
        .message = c->message,
        .ticket_key_lifetime_ms = c->ticket_key_lifetime_ms,
        .sessions_cached = c->tls_session_cache,
        .routes = c->relay.routes,
        .n_routes = c->relay.n_routes,
        .postmaster = c->relay.postmaster,
    };
}

static void add_path(const char **paths, size_t *n, const char *path)
{
    if (path && !file_is_uri(path))
        paths[(*n)++] = path;
}

/* Certificates, keys and passwords of both sides, which may come anew while we run. */
static int leave_porter(const struct config *c, char *why)
{
    size_t n = 0;
    CLEANUP(freep)
    const char **paths = xcalloc(3 * c->n_listeners + 5 * c->relay.n_routes + 1, sizeof(*paths));
    if (geteuid() != 0 || !c->user || strcmp(c->user, "root") == 0)
        return 0; /* who we are now is who we stay */
    for (size_t i = 0; i < c->n_listeners; i++) {
        add_path(paths, &n, c->listeners[i].certificate);
        add_path(paths, &n, c->listeners[i].key);
        add_path(paths, &n, c->listeners[i].key_password_file);
    }
    for (size_t i = 0; i < c->relay.n_routes; i++) {
        add_path(paths, &n, c->relay.routes[i].ca);
        add_path(paths, &n, c->relay.routes[i].certificate);
        add_path(paths, &n, c->relay.routes[i].key);
        add_path(paths, &n, c->relay.routes[i].key_password_file);
        add_path(paths, &n, c->relay.routes[i].password_file);
    }
    return n ? porter_start(paths, n, why) : 0;
}

static void on_denied(void *arg, const char *path, const struct config_place *at, const char *advice)
{
    (void)arg, (void)path, (void)at;
    log_message(LOG_LEVEL_WARNING, "unreadable", "%s", advice);
}

/* Sockets and keys as the user who started us, everything after it as the one who serves. */
static int start(struct server *s)
{
    char why[SERVICE_WHY_MAX] = "";
    struct service_config sc = service_settings(s->config);
    if (service_new(&sc, &s->service, why) < 0)
        return fail(EX_CONFIG, "cannot serve", why);
    if (s->config->metrics_address &&
        metrics_start(s->loop, s->config->metrics_address, s->service, &s->metrics, why) < 0)
        return fail(EX_CONFIG, "cannot serve metrics", why);
    if (leave_porter(s->config, why) < 0)
        return fail(EX_OSERR, "cannot serve", why);
    if (privileges_drop(s->config->user, s->config->group, why) < 0)
        return fail(EX_NOPERM, "cannot become the user who serves", why);
    reread_denied(s->config, on_denied, NULL);
    if (log_thread_start() < 0)
        return fail(EX_OSERR, "cannot serve", "there is no thread for the log");
    if (spool_open(&s->config->spool, &s->spool, why) < 0)
        return fail(EX_CANTCREAT, "cannot open the spool", why);
    if (relay_start(&s->config->relay, s->spool, &s->relay, why) < 0)
        return fail(EX_CONFIG, "cannot deliver", why);
    if (service_start(s->service, s->spool, s->relay, why) < 0)
        return fail(EX_OSERR, "cannot serve", why);
    return EX_OK;
}

static void log_listeners(const struct config *c)
{
    for (size_t i = 0; i < c->n_listeners; i++) {
        const struct listener_config *l = &c->listeners[i];
        for (size_t k = 0; k < l->n_addresses; k++) {
            struct log_line line;
            log_begin(&line, LOG_LEVEL_NOTICE, "listening");
            log_text(&line, "listener", l->name);
            log_text(&line, "address", l->addresses[k]);
            log_text(&line, "certificate-auth", cert_auth_name(l->cert_auth));
            log_end(&line);
        }
    }
    log_message(LOG_LEVEL_NOTICE, "ready", "serving as %s", c->hostname);
}

/* The log tells the rest; a manager that cannot be told waits in vain for "ready", so that is worth a line. */
static void tell_manager(const char *state)
{
    int r = service_manager_tell(state);
    if (r < 0)
        log_message(LOG_LEVEL_WARNING, "service-manager", "cannot say %s to NOTIFY_SOCKET: %s", state,
                    strerror(-r));
}

static void stop(struct server *s)
{
    metrics_stop(s->metrics);
    service_stop(s->service, GRACE_MS);
    if (s->relay)
        relay_stop(s->relay, GRACE_MS);
    if (s->spool)
        spool_close(s->spool);
    service_free(s->service);
    loop_timer_free(s->reload_timer);
    loop_free(s->loop);
    config_free(s->config);
    porter_stop();
}

/* What sessions and deliveries may have at the same time, and what we need besides. */
static uint64_t descriptors_wanted(const struct config *c)
{
    uint64_t n = DESCRIPTORS_OWN;
    for (size_t i = 0; i < c->n_listeners; i++)
        n += c->listeners[i].connections_max;
    for (size_t i = 0; i < c->relay.n_routes; i++)
        n += c->relay.routes[i].connections_max; /* 0 where it is the default, which is few */
    return n;
}

/* The soft limit is 1024 for the sake of select(2), which nobody here calls. */
static void raise_descriptor_limit(const struct config *c)
{
    struct rlimit limit;
    uint64_t wanted = descriptors_wanted(c);
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < wanted)
        log_message(LOG_LEVEL_NOTICE, "descriptors",
                    "%llu may be open, and \"connections\" of listeners and routes add up to %llu; new connections "
                    "will wait; raise LimitNOFILE or lower \"connections\"",
                    (unsigned long long)limit.rlim_max, (unsigned long long)wanted);
}

static int serve(struct server *s)
{
    raise_descriptor_limit(s->config);
    signals_block(true);
    int status = start(s);
    signals_block(false);
    if (status != EX_OK)
        return status;
    log_listeners(s->config);
    s->reload_timer = loop_timer_new(s->loop, on_reload_timer, s);
    if (s->config->reload_interval_ms)
        loop_timer_set(s->reload_timer, s->config->reload_interval_ms);
    tell_manager("READY=1");
    loop_run(s->loop);
    tell_manager("STOPPING=1");
    return EX_OK;
}

int cmd_serve(int argc, char **argv)
{
    struct server s = {0};
    int status = EX_OK;
    const char *path = parse_args(argc, argv, &status);
    if (!path)
        return status;
    int r = config_load(path, &s.config, report_line, NULL);
    if (r != 0)
        return r < 0 ? EX_NOINPUT : EX_CONFIG;
    log_set_level(s.config->log_level);
    if (loop_new(&s.loop) < 0 || loop_signals(s.loop, signals, on_signal, &s) < 0)
        status = fail(EX_OSERR, "cannot take signals", strerror(errno));
    if (status == EX_OK)
        status = serve(&s);
    stop(&s);
    log_thread_stop();
    if (status == EX_OK)
        log_message(LOG_LEVEL_NOTICE, "stopped", "everything accepted is in the spool");
    return status;
}
