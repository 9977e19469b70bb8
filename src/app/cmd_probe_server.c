#include "app/cmd_probe_server.h"

#include "base/clock.h"
#include "cert/describe.h"
#include "probe/server_report.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#define SECONDS_MAX 86400
#define NAME_MAX_OCTETS 250
#define SUBJECT_MAX 400

struct job {
    struct probe_targets targets, relay;
    struct probe_papers papers;
    struct report_out out;
    struct loop *loop;
    const char *tls, *tls_name, *helo, *from, *to, *identity;
    enum tls_version version; /* TLS_VERSION_USUAL: each */
    int64_t timeout_ms, total_ms;
    bool deliver, terminal;
    struct probe columns[REPORT_COLUMNS_MAX];
    bool optional[REPORT_COLUMNS_MAX];
    size_t n_columns;
    char subject[SUBJECT_MAX], own_address[NAME_MAX_OCTETS];
};

/* ---- options ---- */

static const struct option options[] = {
    {"certificate",      required_argument, NULL, 'c'},
    {"key",              required_argument, NULL, 'k'},
    {"ca",                  required_argument, NULL, 'a'},
    {"tls",required_argument, NULL, 't'},
    {"tls-name",               required_argument, NULL, 'n'},
    {"tls-version",               required_argument, NULL, 'v'},
    {"identity",              required_argument, NULL, 'i'},
    {"from",                  required_argument, NULL, 'f'},
    {"to",              required_argument, NULL, 'r'},
    {"helo",               required_argument, NULL, 'e'},
    {"bad",         required_argument, NULL, 'b'},
    {"ca-cert",              required_argument, NULL, 'C'},
    {"ca-key",                  required_argument, NULL, 'K'},
    {"relay",required_argument, NULL, 'R'},
    {"deliver",               no_argument, NULL, 'D'},
    {"timeout",         required_argument, NULL, 's'},
    {"total",              required_argument, NULL, 'S'},
    {"json",                  no_argument, NULL, 'j'},
    {"junit",required_argument, NULL, 'u'},
    {"html",               required_argument, NULL, 'l'},
    {"help",               no_argument, NULL, 'h'},
    {0             },
};

static const char help[] =
    "usage: postern probe server TARGET... [options]\n"
    "\n"
    "Tells which rule for client certificates a mail server follows. Sends no message unless "
    "told.\n"
    "A target is HOST (both ports of submission), HOST:PORT, or a URL: submission, submissions, "
    "smtp,\n"
    "smtps, imap, imaps, pop3, pop3s.\n"
    "\n"
    "  --certificate FILE  client certificate the server is known to accept, PEM\n"
    "  --key FILE          of the certificate, PEM\n"
    "  --identity NAME     what the certificate stands for: tried as authzid, and as sender\n"
    "  --from ADDRESS      reverse-path of MAIL [the identity, or the certificate's address]\n"
    "  --to ADDRESS        recipient of RCPT, which is taken back by RSET [the sender]\n"
    "  --deliver           send a message to it each way that is open\n"
    "  --relay HOST[:PORT] a port that relays, to tell Option 1 from Option 3\n"
    "\n"
    "  --ca-cert FILE      the CA of the client certificate, and its key: bad certificates of "
    "every\n"
    "  --ca-key FILE       kind are made with it, to see how each is refused\n"
    "  --bad KIND=FILE[,KEY]\n"
    "                      a bad certificate of yours: expired, future, server-only, unknown-ca,\n"
    "                      self-signed, no-email, revoked; may be repeated\n"
    "\n"
    "  --tls MODE          starttls or implicit [implicit on port 465]\n"
    "  --tls-version V     1.2 or 1.3 [each]\n"
    "  --ca FILE           verify the server by these trust anchors [do not verify]\n"
    "  --tls-name NAME     for SNI and verification [HOST]\n"
    "  --helo NAME         in EHLO [probe.invalid]\n"
    "  --timeout SECONDS   for each answer [10]\n"
    "  --total SECONDS     for all cases [1800]\n"
    "\n"
    "  --json              the report as JSON\n"
    "  --junit FILE        the report as JUnit XML as well\n"
    "  --html FILE         the report as a page as well\n"
    "\n"
    "Exit code: 0 conforming, 1 not conforming, 2 could not tell.\n";

static int usage_error(const char *program, const char *what, const char *word)
{
    fprintf(stderr, "%s: %s%s%s; see: %s --help\n", program, what, word ? " " : "",
            word ? word : "", program);
    return EX_USAGE;
}

static int not_understood(const char *program, int c)
{
    char what[80];
    size_t i = 0;
    while (options[i].name && options[i].val != c)
        i++;
    (void)snprintf(what, sizeof(what), "--%s: this value is not understood:", options[i].name ? options[i].name : "");
    return usage_error(program, what, optarg);
}

static bool take_seconds(int64_t *ret_ms, const char *value)
{
    uint64_t s;
    if (str_to_u64(str_of(value), SECONDS_MAX, &s) < 0 || s == 0)
        return false;
    *ret_ms = (int64_t)s * 1000;
    return true;
}

/* A name goes into a command line. */
static bool take_name(const char **ret, const char *value)
{
    struct str s = str_of(value);
    *ret = value;
    return s.len > 0 && s.len <= NAME_MAX_OCTETS && !str_has_control(s) && str_is_ascii(s);
}

static bool take_version(struct job *j, const char *value)
{
    j->version = strcmp(value, "1.2") == 0 ? TLS_VERSION_1_2 : TLS_VERSION_1_3;
    return j->version == TLS_VERSION_1_2 || strcmp(value, "1.3") == 0;
}

static bool take_tls(struct job *j, const char *value)
{
    j->tls = value;
    return strcmp(value, "starttls") == 0 || strcmp(value, "implicit") == 0;
}

/* Values that are taken as they are. */
static const char **plain_value(struct job *j, int c)
{
    switch (c) {
    case 'c':
        return &j->papers.certificate;
    case 'k':
        return &j->papers.key;
    case 'a':
        return &j->papers.ca;
    case 'C':
        return &j->papers.ca_cert;
    case 'K':
        return &j->papers.ca_key;
    case 'u':
        return &j->out.junit;
    case 'l':
        return &j->out.html;
    default:
        return NULL;
    }
}

static bool take(struct job *j, int c)
{
    const char **plain = plain_value(j, c);
    if (plain)
        *plain = optarg;
    switch (c) {
    case 'n':
        return take_name(&j->tls_name, optarg);
    case 'i':
        return take_name(&j->identity, optarg);
    case 'f':
        return take_name(&j->from, optarg);
    case 'r':
        return take_name(&j->to, optarg);
    case 'e':
        return take_name(&j->helo, optarg);
    case 't':
        return take_tls(j, optarg);
    case 'v':
        return take_version(j, optarg);
    case 'b':
        return probe_papers_add_bad(&j->papers, optarg);
    case 'R':
        return j->relay.n == 0 && !probe_targets_add(&j->relay, optarg, "starttls");
    case 's':
        return take_seconds(&j->timeout_ms, optarg);
    case 'S':
        return take_seconds(&j->total_ms, optarg);
    case 'D':
        j->deliver = true;
        return true;
    case 'j':
        j->out.json = true;
        return true;
    default:
        return true;
    }
}

static int take_targets(struct job *j, int argc, char **argv)
{
    size_t used = 0;
    if (optind == argc)
        return usage_error(argv[0], "wants a target, such as mail.example.org", NULL);
    for (int i = optind; i < argc; i++) {
        const char *wrong = probe_targets_add(&j->targets, argv[i], j->tls);
        if (wrong)
            return usage_error(argv[0], wrong, argv[i]);
        if (used < sizeof(j->subject))
            used += (size_t)snprintf(j->subject + used, sizeof(j->subject) - used, "%s%.250s",
                                     used ? ", " : "", argv[i]);
    }
    return EX_OK;
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
            return not_understood(argv[0], c);
    }
    if (!j->papers.certificate != !j->papers.key)
        return usage_error(argv[0], "--certificate and --key belong together", NULL);
    if (!j->papers.ca_cert != !j->papers.ca_key)
        return usage_error(argv[0], "--ca-cert and --ca-key belong together", NULL);
    return take_targets(j, argc, argv);
}

/* ---- the columns: each target under each version of TLS ---- */

static struct contact_target contact_of(const struct job *j, const struct probe_target *t)
{
    return (struct contact_target){
        .host = t->host,
        .port = t->port,
        .tls_name = j->tls_name ? j->tls_name : t->host,
        .implicit = t->implicit,
        .timeout_ms = j->timeout_ms,
    };
}

static void name_column(const struct job *j, const struct probe_target *t, struct probe *p)
{
    bool one_host = true;
    for (size_t i = 1; i < j->targets.n; i++)
        one_host = one_host && strcmp(j->targets.list[i].host, j->targets.list[0].host) == 0;
    const char *upgrade = p->protocol == PROBE_POP3 ? "STLS" : "STARTTLS";
    (void)snprintf(p->name, sizeof(p->name), "%.24s%s%.6s %s, TLS %s", one_host ? "" : t->host,
                   one_host ? "" : ":", t->port, t->implicit ? "implicit" : upgrade,
                   p->version == TLS_VERSION_1_2 ? "1.2" : "1.3");
}

static void add_column(struct job *j, const struct probe_target *t, enum tls_version version)
{
    if (j->version != TLS_VERSION_USUAL && j->version != version)
        return;
    j->optional[j->n_columns] = t->optional;
    struct probe *p = &j->columns[j->n_columns++];
    *p = (struct probe){
        .loop = j->loop,
        .protocol = t->protocol,
        .target = contact_of(j, t),
        .version = version,
        .helo = j->helo,
        .from = j->from,
        .to = j->to,
        .identity = j->identity,
        .deliver = j->deliver,
        .until_ms = clock_monotonic_ms() + j->total_ms,
    };
    if (j->relay.n > 0)
        p->relay = contact_of(j, &j->relay.list[0]);
    name_column(j, t, p);
}

static int make_columns(struct job *j, const char *program)
{
    char why[PROBE_WHY] = "";
    for (size_t i = 0; i < j->targets.n; i++) {
        add_column(j, &j->targets.list[i], TLS_VERSION_1_2);
        add_column(j, &j->targets.list[i], TLS_VERSION_1_3);
    }
    int r = probe_papers_make(&j->papers, j->from, why);
    for (size_t k = 0; r == 0 && k < j->n_columns; k++)
        r = probe_papers_show(&j->papers, &j->columns[k], why);
    probe_papers_sweep(&j->papers);
    if (r < 0)
        fprintf(stderr, "%s: %s\n", program, why);
    return r;
}

/* The first address in the certificate: a server that looks at senders takes hardly another. */
static void take_own_address(struct job *j)
{
    struct cert_bundle b;
    struct cert_description d;
    char why[PROBE_WHY];
    if (!j->papers.certificate || cert_bundle_load(j->papers.certificate, &b, why) < 0)
        return; /* whoever needs it will say so */
    cert_describe(b.leaf, &d);
    for (size_t i = 0; i < d.n_names && !j->from; i++)
        if (strncmp(d.names[i], "email:", 6) == 0 &&
            snprintf(j->own_address, sizeof(j->own_address), "%s", d.names[i] + 6) < (int)sizeof(j->own_address))
            (void)take_name(&j->from, j->own_address);
    cert_description_done(&d);
    cert_bundle_done(&b);
}

static void complete(struct job *j)
{
    if (!j->from && !(j->identity && strchr(j->identity, '@')))
        take_own_address(j);
    if (!j->from)
        j->from = j->identity && strchr(j->identity, '@') ? j->identity : "probe@probe.invalid";
    if (!j->to)
        j->to = j->from;
    j->terminal = isatty(STDERR_FILENO);
}

/* ---- the run ---- */

static void on_progress(void *arg, unsigned done, unsigned of, const char *title)
{
    const struct probe *p = arg;
    char line[160];
    (void)snprintf(line, sizeof(line), "%s: %u of %u: %s", p->name, done + 1, of, title);
    fprintf(stderr, "\r%-78.78s", line);
}

/* A port that was only guessed and is not there is no news, as long as another is. */
static void drop_guesses(struct job *j)
{
    size_t kept = 0;
    bool any = false;
    for (size_t k = 0; k < j->n_columns; k++)
        any = any || j->columns[k].reached;
    for (size_t k = 0; any && k < j->n_columns; k++) {
        const struct probe *p = &j->columns[k];
        if (j->optional[k] && !p->reached && p->seen.absent != SEEN_YES)
            probe_papers_hide(&j->columns[k]);
        else
            j->columns[kept++] = *p;
    }
    j->n_columns = any ? kept : j->n_columns;
}

static int run(struct job *j, const char *program)
{
    int r = loop_new(&j->loop);
    if (r < 0) {
        fprintf(stderr, "%s: cannot set up the event loop: %s\n", program, strerror(-r));
        return EX_OSERR;
    }
    complete(j);
    if (make_columns(j, program) < 0)
        return EX_NOINPUT;
    for (size_t k = 0; k < j->n_columns; k++)
        probe_run(&j->columns[k], j->terminal ? on_progress : NULL, &j->columns[k]);
    if (j->terminal)
        fprintf(stderr, "\r%-78s\r", "");
    drop_guesses(j);
    struct server_report *report = xcalloc(1, sizeof(*report));
    server_report(report, j->subject, j->columns, j->n_columns);
    int code = report_out(&report->r, &j->out, program);
    free(report);
    return code;
}

static void done(struct job *j)
{
    for (size_t k = 0; k < j->n_columns; k++)
        probe_papers_hide(&j->columns[k]);
    probe_papers_done(&j->papers);
    probe_targets_done(&j->targets);
    probe_targets_done(&j->relay);
    loop_free(j->loop);
    free(j);
}

int cmd_probe_server(int argc, char **argv)
{
    struct job *j = xcalloc(1, sizeof(*j));
    j->helo = "probe.invalid";
    j->timeout_ms = 10000;
    j->total_ms = 1800000;
    int status = parse(j, argc, argv);
    if (status == EX_OK)
        status = run(j, argv[0]);
    else if (status == -1) {
        fputs(help, stdout);
        status = EX_OK;
    }
    done(j);
    return status;
}
