#include "app/cmd_probe_client.h"

#include "app/report_out.h"
#include "base/clock.h"
#include "conf/suggest.h"
#include "probe/client_report.h"
#include "probe/observer.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#define TIMEOUT_S 3600
#define TIMEOUT_S_MAX 86400
#define SESSIONS_MAX 500

struct job {
    const char *program, *folder, *identity, *ca;
    char *host;
    unsigned port, sessions;
    int64_t timeout_ms;
    bool implicit_tls;
    struct report_out out;
    const struct observer_kind *only;
    const struct hint *hint;
    struct loop *loop;
    struct papers papers;
    struct observer *observer;
    char certificate[PAPERS_PATH_MAX], key[PAPERS_PATH_MAX], p12[PAPERS_PATH_MAX];
};

/* ---- options ---- */

static const struct option options[] = {
    {"listen",           required_argument, NULL, 'l'},
    {"kind",              required_argument, NULL, 'k'},
    {"tls",                  required_argument, NULL, 't'},
    {"folder",required_argument, NULL, 'f'},
    {"identity",               required_argument, NULL, 'i'},
    {"ca",              required_argument, NULL, 'a'},
    {"client",              required_argument, NULL, 'c'},
    {"sessions",                  required_argument, NULL, 'n'},
    {"timeout",              required_argument, NULL, 's'},
    {"json",               no_argument, NULL, 'j'},
    {"junit",         required_argument, NULL, 'u'},
    {"html",              required_argument, NULL, 'w'},
    {"help",                  no_argument, NULL, 'h'},
    {0},
};

static void print_help(FILE *to)
{
    size_t n;
    const struct hint *hints = hint_list(&n);
    fputs("usage: postern probe client [options]\n"
          "\n"
          "Plays each kind of submission server and tells what the client that connects did: which "
          "certificate\n"
          "sequence, in which shape, and what after a refusal.  Point the client at the ports it "
          "prints, one after the\n"
          "other.  Messages are counted and thrown away.\n"
          "\n"
          "  --listen ADDRESS[:PORT]  where; with a port this one and those after it [127.0.0.1, "
          "free ports]\n"
          "  --tls MODE        starttls or implicit [starttls]\n"
          "  --kind NAME       this kind only\n"
          "  --folder DIR      CA and certificates, made there and used again [postern-observer]\n"
          "  --identity NAME   address or host name in the certificates [tester@example.org]\n"
          "  --ca FILE         accept certificates of this CA, too\n"
          "  --client NAME     print a configuration for this client\n"
          "  --sessions N      report after so many sessions [when each kind was met]\n"
          "  --timeout SECONDS report by then [3600]\n"
          "  --json            the report as JSON\n"
          "  --junit FILE      the report as JUnit XML as well\n"
          "  --html FILE       the report as a page as well\n"
          "\n"
          "kinds\n",
          to);
    for (size_t i = 0; i < OBSERVER_KINDS; i++)
        fprintf(to, "  %-12s %s\n", observer_kinds[i].name, observer_kinds[i].plays);
    fputs("\nclients:", to);
    for (size_t i = 0; i < n; i++)
        fprintf(to, " %s", hints[i].client);
    fputs("\n\nExit code: 0 it logs in by certificate, 1 it does not or breaks a rule, 2 could not "
          "tell.\n",
          to);
}

static int usage_error(const struct job *j, const char *what, const char *word)
{
    fprintf(stderr, "%s: %s%s%s; see: postern probe client --help\n", j->program, what,
            *word ? " " : "", word);
    return EX_USAGE;
}

static int
unknown(const struct job *j, const char *what, const char *word, const char *const *names, size_t n)
{
    const char *near = suggest(word, names, n);
    fprintf(stderr, "%s: there is no %s \"%s\"", j->program, what, word);
    if (near)
        fprintf(stderr, "; did you mean \"%s\"?\n", near);
    else
        fprintf(stderr, "; postern probe client --help lists them\n");
    return EX_USAGE;
}

static int take_kind(struct job *j, const char *name)
{
    const char *names[OBSERVER_KINDS];
    j->only = observer_kind_find(name);
    for (size_t i = 0; i < OBSERVER_KINDS; i++)
        names[i] = observer_kinds[i].name;
    return j->only ? EX_OK : unknown(j, "kind", name, names, OBSERVER_KINDS);
}

static int take_client(struct job *j, const char *name)
{
    const char *names[32];
    size_t n;
    const struct hint *hints = hint_list(&n);
    n = MIN(n, ARRAY_LEN(names));
    j->hint = hint_find(name);
    for (size_t i = 0; i < n; i++)
        names[i] = hints[i].client;
    return j->hint ? EX_OK : unknown(j, "client", name, names, n);
}

/* "127.0.0.1", "127.0.0.1:2600", "[::1]:2600", "*"; ":0" is no port. */
static int take_listen(struct job *j, const char *value)
{
    const char *end = strrchr(value, ']'), *colon = strrchr(end ? end : value, ':');
    uint64_t port = 0;
    struct str host = {value, colon ? (size_t)(colon - value) : strlen(value)};
    if (host.len == 0 ||
        (colon && str_to_u64(str_of(colon + 1), UINT16_MAX - OBSERVER_KINDS, &port) < 0))
        return usage_error(j, "--listen wants ADDRESS[:PORT], such as 127.0.0.1:2600, not", value);
    free(j->host);
    j->host = xstrndup(host.p, host.len);
    j->port = (unsigned)port;
    return EX_OK;
}

static int
take_number(struct job *j, const char *option, const char *value, uint64_t max, uint64_t *ret)
{
    char what[80];
    if (str_to_u64(str_of(value), max, ret) == 0 && *ret > 0)
        return EX_OK;
    (void)snprintf(what, sizeof(what), "--%s wants a number from 1 to %llu, not", option,
                   (unsigned long long)max);
    return usage_error(j, what, value);
}

static int take_tls(struct job *j, const char *value)
{
    j->implicit_tls = strcmp(value, "implicit") == 0;
    return j->implicit_tls || strcmp(value, "starttls") == 0
               ? EX_OK
               : usage_error(j, "--tls wants starttls or implicit, not", value);
}

static int take(struct job *j, int c)
{
    uint64_t n = 0;
    int r = EX_OK;
    switch (c) {
    case 'l':
        return take_listen(j, optarg);
    case 'k':
        return take_kind(j, optarg);
    case 't':
        return take_tls(j, optarg);
    case 'c':
        return take_client(j, optarg);
    case 'n':
        r = take_number(j, "sessions", optarg, SESSIONS_MAX, &n);
        j->sessions = (unsigned)n;
        return r;
    case 's':
        r = take_number(j, "timeout", optarg, TIMEOUT_S_MAX, &n);
        j->timeout_ms = (int64_t)n * 1000;
        return r;
    case 'f':
        j->folder = optarg;
        return r;
    case 'i':
        j->identity = optarg;
        return r;
    case 'a':
        j->ca = optarg;
        return r;
    case 'u':
        j->out.junit = optarg;
        return r;
    case 'w':
        j->out.html = optarg;
        return r;
    default:
        j->out.json = true;
        return r;
    }
}

/* -1: help was asked for. */
static int parse(struct job *j, int argc, char **argv)
{
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (c == 'h')
            return -1;
        if (c == '?')
            return EX_USAGE;
        int r = take(j, c);
        if (r != EX_OK)
            return r;
    }
    return optind == argc ? EX_OK : usage_error(j, "takes no", argv[optind]);
}

/* ---- what is said while it runs; the report alone goes to standard output ---- */

/* Some clients do not find an address in a certificate: s-nail. */
static const char *host_for_clients(const char *host)
{
    static const char *const local[] = {"127.0.0.1", "[::1]", "*"};
    for (size_t i = 0; i < ARRAY_LEN(local); i++)
        if (strcmp(host, local[i]) == 0)
            return "localhost";
    return host;
}

static struct hint_values hint_values(const struct job *j)
{
    int port = 0;
    for (size_t i = 0; port == 0 && i < OBSERVER_KINDS; i++)
        port = observer_port(j->observer, (enum observer_place)i);
    return (struct hint_values){
        .host = host_for_clients(j->host),
        .port = port,
        .implicit_tls = j->implicit_tls,
        .ca = j->papers.ca,
        .certificate = j->certificate,
        .key = j->key,
        .p12 = j->p12,
        .identity = j->identity,
    };
}

static void print_way(const char *title, const char *way, const struct hint_values *v)
{
    CLEANUP(buf_done) struct buf filled = BUF_INIT(HINT_MAX);
    if (!way)
        fprintf(stderr, "\n%s: it cannot\n", title);
    else if (hint_fill(way, v, &filled) == 0)
        fprintf(stderr, "\n%s:\n\n%s", title, filled.data);
}

static void print_hint(const struct job *j)
{
    struct hint_values v = hint_values(j);
    fprintf(stderr, "\n%s, %s; %s\n", j->hint->client, j->hint->where, j->hint->note);
    print_way("for sequence 1", j->hint->explicit_login, &v);
    print_way("for sequence 2", j->hint->straight, &v);
}

static void print_start(const struct job *j)
{
    fprintf(stderr,
            "trust       %s\ncertificate %s\nkey         %s\nPKCS#12     %s (password: %s)\nalso   "
            "     expired, revoked, other (of another CA)\n\n",
            j->papers.ca, j->certificate, j->key, j->p12, PAPERS_PASSWORD);
    for (size_t i = 0; i < OBSERVER_KINDS; i++) {
        int port = observer_port(j->observer, (enum observer_place)i);
        if (port)
            fprintf(stderr, "%s:%-6d %-12s %s\n", j->host, port, observer_kinds[i].name,
                    observer_kinds[i].plays);
    }
    if (j->hint)
        print_hint(j);
    fprintf(stderr, "\nready: %s; Ctrl-C ends and reports\n",
            j->implicit_tls ? "implicit TLS" : "STARTTLS");
}

static void on_told(void *ctx, const struct record *r)
{
    (void)ctx;
    unsigned sequence = record_sequence(r);
    fprintf(stderr, "session %u, %s: %s, %s, %s%s\n", r->number, r->kind->name,
            r->secured ? r->tls_version : "no TLS",
            r->certificate.sent ? "certificate" : "no certificate",
            sequence == 1   ? "sequence 1"
            : sequence == 2 ? "sequence 2"
                            : "no sequence",
            r->logged_in || r->mail_open ? ", got in" : "");
}

static void on_done(void *ctx, enum observer_done why)
{
    static const char *const words[] = {[OBSERVER_ALL_MET] = "each kind was met",
                                        [OBSERVER_COUNT] = "so many sessions were asked for",
                                        [OBSERVER_TIMEOUT] = "the time is over"};
    struct job *j = ctx;
    fprintf(stderr, "done: %s\n", words[why]);
    loop_stop(j->loop);
}

static void on_signal(void *arg, int signo)
{
    (void)signo;
    loop_stop(((struct job *)arg)->loop);
}

/* ---- the run ---- */

static int failed(const struct job *j, int code, const char *what, const char *why)
{
    fprintf(stderr, "%s: %s: %s\n", j->program, what, why);
    return code;
}

static int start(struct job *j)
{
    static const int signals[] = {SIGINT, SIGTERM, 0};
    char why[CERT_WHY_MAX] = "";
    _Static_assert(CERT_WHY_MAX >= OBSERVER_WHY_MAX, "one buffer for both");
    if (papers_open(&j->papers, j->folder, j->identity, j->ca, clock_wall_ms(), why) < 0)
        return failed(j, EX_CANTCREAT, "cannot make the certificates", why);
    papers_path(&j->papers, "good.pem", j->certificate);
    papers_path(&j->papers, "good.key", j->key);
    papers_path(&j->papers, "good.p12", j->p12);
    int r = loop_new(&j->loop);
    if (r == 0)
        r = loop_signals(j->loop, signals, on_signal, j);
    if (r < 0)
        return failed(j, EX_OSERR, "cannot set up the event loop", strerror(-r));
    struct observer_config cfg = {
        .host = j->host,
        .port = j->port,
        .implicit_tls = j->implicit_tls,
        .only = j->only,
        .papers = &j->papers,
        .sessions_max = j->sessions,
        .timeout_ms = j->timeout_ms,
        .told = on_told,
        .done = on_done,
        .ctx = j,
    };
    return observer_new(j->loop, &cfg, &j->observer, why) < 0
               ? failed(j, EX_UNAVAILABLE, "cannot listen", why)
               : EX_OK;
}

static int report(const struct job *j)
{
    struct client_report_input in = {
        .implicit_tls = j->implicit_tls, .hint = j->hint, .values = hint_values(j)};
    struct client_report *c = xcalloc(1, sizeof(*c));
    observer_stop(j->observer);
    in.records = observer_records(j->observer, &in.n);
    in.turned_away = observer_turned_away(j->observer);
    client_report_init(c, &in);
    int code = report_out(&c->r, &j->out, j->program);
    client_report_done(c);
    free(c);
    return code;
}

int cmd_probe_client(int argc, char **argv)
{
    struct job j = {
        .program = argv[0],
        .folder = "postern-observer",
        .identity = "tester@example.org",
        .host = xstrdup("127.0.0.1"),
        .timeout_ms = (int64_t)TIMEOUT_S * 1000,
    };
    int status = parse(&j, argc, argv);
    if (status == EX_OK)
        status = start(&j);
    else if (status == -1)
        print_help(stdout);
    if (status == EX_OK) {
        print_start(&j);
        loop_run(j.loop);
        status = report(&j);
    }
    observer_free(j.observer);
    loop_free(j.loop);
    papers_close(&j.papers);
    free(j.host);
    return status == -1 ? EX_OK : status;
}
