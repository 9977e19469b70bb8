#include "app/cmd_probe.h"

#include "app/cmd_probe_client.h"
#include "app/report_out.h"
#include "probe/server_report.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#define TIMEOUT_S_MAX 3600
#define NAME_MAX_OCTETS 250

struct job {
    struct probe probe;
    const char *ca, *certificate, *key, *tls; /* tls NULL: by the port */
    const char *tls_name;
    char *host, *port;
    struct report_out out;
    bool terminal;
};

/* ---- options ---- */

static const struct option options[] = {
    {"certificate",      required_argument, NULL, 'c'},
    {"key",              required_argument, NULL, 'k'},
    {"ca",                  required_argument, NULL, 'a'},
    {"tls",required_argument, NULL, 't'},
    {"tls-name",               required_argument, NULL, 'n'},
    {"identity",               required_argument, NULL, 'i'},
    {"from",              required_argument, NULL, 'f'},
    {"to",                  required_argument, NULL, 'r'},
    {"helo",              required_argument, NULL, 'e'},
    {"timeout",               required_argument, NULL, 's'},
    {"json",         no_argument, NULL, 'j'},
    {"junit",              required_argument, NULL, 'u'},
    {"html",                  required_argument, NULL, 'l'},
    {"help",no_argument, NULL, 'h'},
    {0              },
};

static void print_help(FILE *to)
{
    fputs(
        "usage: postern probe server HOST[:PORT] [options]\n"
        "       postern probe client [options]              see: postern probe client --help\n"
        "\n"
        "Tells which rule for client certificates a submission server follows. Sends no message.\n"
        "\n"
        "  --certificate FILE  client certificate the server is known to accept, PEM\n"
        "  --key FILE          of the certificate, PEM\n"
        "  --identity NAME     what the certificate stands for: tried as authzid, and as sender\n"
        "  --from ADDRESS      reverse-path of MAIL [the identity]\n"
        "  --to ADDRESS        recipient of RCPT, which is taken back by RSET [the sender]\n"
        "  --tls MODE          starttls or implicit [implicit on port 465]\n"
        "  --ca FILE           verify the server by these trust anchors [do not verify]\n"
        "  --tls-name NAME     for SNI and verification [HOST]\n"
        "  --helo NAME         in EHLO [probe.invalid]\n"
        "  --timeout SECONDS   for each answer [10]\n"
        "  --json              the report as JSON\n"
        "  --junit FILE        the report as JUnit XML as well\n"
        "  --html FILE         the report as a page as well\n"
        "\n"
        "Exit code: 0 conforming, 1 not conforming, 2 could not tell.\n",
        to);
}

static int usage_error(const char *program, const char *what, const char *word)
{
    fprintf(stderr, "%s: %s%s%s; see: %s --help\n", program, what, word ? " " : "",
            word ? word : "", program);
    return EX_USAGE;
}

static bool take_timeout(struct job *j, const char *value)
{
    uint64_t s;
    if (str_to_u64(str_of(value), TIMEOUT_S_MAX, &s) < 0 || s == 0)
        return false;
    j->probe.target.timeout_ms = (int64_t)s * 1000;
    return true;
}

/* A name goes into a command line. */
static bool is_name(const char *value)
{
    struct str s = str_of(value);
    return s.len > 0 && s.len <= NAME_MAX_OCTETS && !str_has_control(s) && str_is_ascii(s);
}

static bool take(struct job *j, int c)
{
    switch (c) {
    case 'c':
        j->certificate = optarg;
        return true;
    case 'k':
        j->key = optarg;
        return true;
    case 'a':
        j->ca = optarg;
        return true;
    case 'n':
        j->tls_name = optarg;
        return is_name(optarg);
    case 'i':
        j->probe.identity = optarg;
        return is_name(optarg);
    case 'f':
        j->probe.from = optarg;
        return is_name(optarg);
    case 'r':
        j->probe.to = optarg;
        return is_name(optarg);
    case 'e':
        j->probe.helo = optarg;
        return is_name(optarg);
    case 't':
        j->tls = optarg;
        return strcmp(optarg, "starttls") == 0 || strcmp(optarg, "implicit") == 0;
    case 's':
        return take_timeout(j, optarg);
    case 'u':
        j->out.junit = optarg;
        return true;
    case 'l':
        j->out.html = optarg;
        return true;
    default:
        j->out.json = true;
        return true;
    }
}

/* "host", "host:port", "[::1]", "[::1]:port" */
static bool split_target(struct job *j, const char *target)
{
    const char *end = target[0] == '[' ? strchr(target, ']') : NULL;
    const char *colon = strchr(end ? end : target, ':');
    const char *from = end ? target + 1 : target;
    const char *to = end ? end : colon ? colon : target + strlen(target);
    if (to == from || (colon && !colon[1]) || (end && end[1] && end[1] != ':'))
        return false;
    j->host = xstrndup(from, (size_t)(to - from));
    j->port = xstrdup(colon                                       ? colon + 1
                      : j->tls && strcmp(j->tls, "implicit") == 0 ? "465"
                                                                  : "587");
    return true;
}

static int parse(struct job *j, int argc, char **argv)
{
    int c;
    optind = 1;
    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (c == 'h')
            return -1;
        if (c == '?')
            return EX_USAGE;
        if (!take(j, c))
            return usage_error(argv[0], "this value of an option is not understood:", optarg);
    }
    if (argc - optind != 2 || strcmp(argv[optind], "server") != 0)
        return usage_error(argv[0], "wants the words: server HOST[:PORT], or: client", NULL);
    if (!split_target(j, argv[optind + 1]))
        return usage_error(argv[0], "wants HOST[:PORT], not", argv[optind + 1]);
    if (!j->certificate != !j->key)
        return usage_error(argv[0], "--certificate and --key belong together", NULL);
    return EX_OK;
}

static void complete(struct job *j)
{
    struct probe *p = &j->probe;
    p->target.host = j->host;
    p->target.port = j->port;
    p->target.tls_name = j->tls_name ? j->tls_name : j->host;
    p->target.implicit = j->tls ? strcmp(j->tls, "implicit") == 0 : strcmp(j->port, "465") == 0;
    if (!p->from)
        p->from = p->identity && strchr(p->identity, '@') ? p->identity : "probe@probe.invalid";
    if (!p->to)
        p->to = p->from;
    j->terminal = isatty(STDERR_FILENO);
    (void)snprintf(p->name, sizeof(p->name), "port %.20s, %s", j->port,
                   p->target.implicit ? "implicit TLS" : "STARTTLS");
}

static int make_contexts(struct job *j, const char *program)
{
    struct tls_client_config c = {.ca = j->ca, .verify = j->ca ? TLS_VERIFY_NAME : TLS_VERIFY_NONE};
    char why[TLS_WHY_MAX] = "";
    int r = tls_client_context_new(&c, &j->probe.plain, why);
    c.certificate = j->certificate;
    c.key = j->key;
    if (r == 0 && j->certificate)
        r = tls_client_context_new(&c, &j->probe.with_certificate, why);
    c.resume = true;
    if (r == 0 && j->certificate)
        r = tls_client_context_new(&c, &j->probe.resuming, why);
    if (r < 0)
        fprintf(stderr, "%s: %s\n", program, why);
    return r;
}

/* ---- the run ---- */

static void on_progress(void *arg, unsigned done, unsigned of, const char *title)
{
    (void)arg;
    char line[80];
    (void)snprintf(line, sizeof(line), "%u of %u: %s", done + 1, of, title);
    fprintf(stderr, "\r%-78.78s", line);
}

static int run(struct job *j, const char *program)
{
    complete(j);
    if (make_contexts(j, program) < 0)
        return EX_NOINPUT;
    int r = loop_new(&j->probe.loop);
    if (r < 0) {
        fprintf(stderr, "%s: cannot set up the event loop: %s\n", program, strerror(-r));
        return EX_OSERR;
    }
    probe_run(&j->probe, j->terminal ? on_progress : NULL, j);
    if (j->terminal)
        fprintf(stderr, "\r%-78s\r", "");
    struct server_report *report = xcalloc(1, sizeof(*report));
    server_report(report, &j->probe, 1);
    int code = report_out(&report->r, &j->out, program);
    free(report);
    return code;
}

int cmd_probe(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "client") == 0) {
        argv[1] = argv[0];
        return cmd_probe_client(argc - 1, argv + 1);
    }
    struct job j = {
        .probe = {.helo = "probe.invalid", .target.timeout_ms = 10000}
    };
    int status = parse(&j, argc, argv);
    if (status == EX_OK)
        status = run(&j, argv[0]);
    else if (status == -1) {
        print_help(stdout);
        status = EX_OK;
    }
    loop_free(j.probe.loop);
    tls_context_unref(j.probe.plain);
    tls_context_unref(j.probe.with_certificate);
    tls_context_unref(j.probe.resuming);
    free(j.host);
    free(j.port);
    return status;
}
