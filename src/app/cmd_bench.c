#include "app/cmd_bench.h"

#include "app/cmd_bench_report.h"
#include "bench/load.h"
#include "bench/sink.h"
#include "conf/suggest.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>

#define OPTIONS_MAX 64
#define DURATION_MAX_S 86400
#define LINK_TIMEOUT_MS 60000

enum bench_tls { BENCH_TLS_NONE, BENCH_TLS_STARTTLS, BENCH_TLS_IMPLICIT };

struct bench { /* both parts' options */
    struct load_config load;
    struct usage server;
    char *host, *port; /* owned */
    enum bench_tls tls;
    struct tls_client_config client;
    bool resume, json, quiet, has_count;
    /* sink only */
    const char *address, *certificate, *key;
    uint64_t until;
};

/* ---- options, as tables ---- */

struct bench_option {
    const char *name, *arg; /* arg NULL: takes none */
    bool (*take)(struct bench *b, const char *value);
    const char *help;
};

static bool number(const char *value, uint64_t min, uint64_t max, uint64_t *ret)
{
    return str_to_u64(str_of(value), max, ret) == 0 && *ret >= min;
}

/* "4096", "64K", "10M" */
static bool octets(const char *value, size_t *ret)
{
    static const struct {
        char suffix;
        uint64_t factor;
    } units[] = {
        {'K',  1024       },
        {'M',  1024 * 1024},
        {'\0', 1          }
    };
    struct str s = str_of(value);
    uint64_t factor = 1, n;
    for (size_t i = 0; i < ARRAY_LEN(units) && s.len; i++) {
        if (s.p[s.len - 1] == units[i].suffix) {
            factor = units[i].factor;
            s.len--;
            break;
        }
    }
    if (str_to_u64(s, STAMP_SIZE_MAX / factor, &n) < 0 || n * factor < STAMP_SIZE_MIN)
        return false;
    *ret = (size_t)(n * factor);
    return true;
}

static bool seconds(const char *value, int64_t *ret_ms)
{
    char *end;
    double s = strtod(value, &end);
    if (end == value || *end || !(s >= 0 && s <= DURATION_MAX_S))
        return false;
    *ret_ms = (int64_t)(s * 1000);
    return true;
}

static bool word(const char *value, const char *const *words, size_t n, unsigned *ret)
{
    for (unsigned i = 0; i < n; i++) {
        if (strcmp(value, words[i]) == 0) {
            *ret = i;
            return true;
        }
    }
    return false;
}

static bool take_connections(struct bench *b, const char *value)
{
    uint64_t n;
    bool ok = number(value, 1, LOAD_CONNECTIONS_MAX, &n);
    b->load.connections = ok ? (unsigned)n : 0;
    return ok;
}

static bool take_count(struct bench *b, const char *value)
{
    b->has_count = true;
    return number(value, 1, LOAD_MESSAGES_MAX, &b->load.count);
}

static bool take_warm_up(struct bench *b, const char *value)
{
    return number(value, 0, LOAD_MESSAGES_MAX, &b->load.warm_up);
}

static bool take_per_connection(struct bench *b, const char *value)
{
    return number(value, 1, LOAD_MESSAGES_MAX, &b->load.per_connection);
}

static bool take_duration(struct bench *b, const char *value)
{
    return seconds(value, &b->load.duration_ms) && b->load.duration_ms > 0;
}

static bool take_rate(struct bench *b, const char *value)
{
    char *end;
    b->load.rate = strtod(value, &end);
    return end != value && !*end && b->load.rate > 0 && b->load.rate <= 1e6;
}

static bool take_size(struct bench *b, const char *value)
{
    return octets(value, &b->load.size);
}

static bool take_recipients(struct bench *b, const char *value)
{
    uint64_t n;
    bool ok = number(value, 1, LOAD_RECIPIENTS_MAX, &n);
    b->load.recipients = ok ? (unsigned)n : 0;
    return ok;
}

static bool take_from(struct bench *b, const char *value)
{
    b->load.from = value;
    return true;
}

static bool take_to(struct bench *b, const char *value)
{
    b->load.to = value;
    return *value;
}

static bool take_helo(struct bench *b, const char *value)
{
    b->load.link.smtp.hostname = value;
    return *value;
}

static bool take_tls(struct bench *b, const char *value)
{
    static const char *const words[] = {"none", "starttls", "implicit"};
    return word(value, words, ARRAY_LEN(words), &b->tls);
}

static bool take_certificate(struct bench *b, const char *value)
{
    b->client.certificate = b->certificate = value;
    return true;
}

static bool take_key(struct bench *b, const char *value)
{
    b->client.key = b->key = value;
    return true;
}

static bool take_ca(struct bench *b, const char *value)
{
    b->client.ca = value;
    b->client.verify = TLS_VERIFY_NAME;
    return true;
}

static bool take_tls_name(struct bench *b, const char *value)
{
    b->load.link.tls_name = value;
    return *value;
}

static bool take_login(struct bench *b, const char *value)
{
    static const char *const words[] = {"none", "auto", "external", "implicit"};
    static const unsigned sets[] = {0, SMTP_LOGIN_CERTIFICATE, SMTP_LOGIN_EXTERNAL, SMTP_LOGIN_IMPLICIT};
    unsigned i;
    bool ok = word(value, words, ARRAY_LEN(words), &i);
    b->load.link.smtp.login = ok ? sets[i] : 0;
    return ok;
}

static bool take_authzid(struct bench *b, const char *value)
{
    b->load.link.smtp.authzid = value;
    return true;
}

static bool take_resume(struct bench *b, const char *value)
{
    (void)value;
    b->client.resume = true;
    return true;
}

static bool take_handshake_only(struct bench *b, const char *value)
{
    (void)value;
    b->load.kind = LOAD_SESSIONS;
    return true;
}

static bool take_idle_hold(struct bench *b, const char *value)
{
    b->load.kind = LOAD_IDLE;
    b->has_count = true;
    return number(value, 1, LOAD_CONNECTIONS_MAX, &b->load.count);
}

static bool take_hold(struct bench *b, const char *value)
{
    return seconds(value, &b->load.hold_ms);
}

static bool take_sink(struct bench *b, const char *value)
{
    b->load.sink = value;
    return true;
}

static bool take_drain(struct bench *b, const char *value)
{
    return seconds(value, &b->load.drain_ms);
}

static bool watch_pid(struct bench *b, enum usage_kind kind, const char *value)
{
    uint64_t pid;
    return number(value, 1, INT32_MAX, &pid) &&
           usage_watch(&b->server, (struct usage_target){.kind = kind, .pid = (pid_t)pid}) == 0;
}

static bool take_server_pid(struct bench *b, const char *value)
{
    return watch_pid(b, USAGE_PROCESS, value);
}

static bool take_server_tree(struct bench *b, const char *value)
{
    return watch_pid(b, USAGE_TREE, value);
}

static bool take_server_cgroup(struct bench *b, const char *value)
{
    struct usage_target target = {.kind = USAGE_CGROUP, .folder = value};
    return usage_watch(&b->server, target) == 0;
}

static bool take_json(struct bench *b, const char *value)
{
    (void)value;
    b->json = true;
    return true;
}

static bool take_quiet(struct bench *b, const char *value)
{
    (void)value;
    b->quiet = true;
    return true;
}

static bool take_until(struct bench *b, const char *value)
{
    return number(value, 1, LOAD_MESSAGES_MAX, &b->until);
}

static const struct bench_option send_options[] = {
    {"connections",    "N",       take_connections,    "kept open side by side [20]"                              },
    {"messages",       "N",       take_count,          "in all; sessions with --handshake-only [10000]"           },
    {"duration",       "SECONDS", take_duration,
     "instead of a number of messages, or whichever ends first"                                                   },
    {"warm-up",        "N",       take_warm_up,        "messages or sessions before that, not counted [0]"        },
    {"per-connection", "N",       take_per_connection,
     "messages, then QUIT and a new connection [no limit]"                                                        },
    {"rate",           "N",       take_rate,           "messages a second, due whether the server keeps up or not"},
    {"size",           "N[K|M]",  take_size,           "octets of a message, header included [4K]"                },
    {"recipients",     "N",       take_recipients,     "of each message [1]"                                      },
    {"from",           "ADDRESS", take_from,           "reverse-path [load@bench.invalid]"                        },
    {"to",             "ADDRESS", take_to,             "recipient; further ones get -2, -3 [sink@bench.invalid]"  },
    {"helo",           "NAME",    take_helo,           "in EHLO [bench.invalid]"                                  },
    {"tls",            "MODE",    take_tls,            "starttls, implicit or none [starttls]"                    },
    {"certificate",    "FILE",    take_certificate,    "shown to the server: PEM, PKCS#12, or the URI of a store"   },
    {"key",            "FILE",    take_key,            "of the certificate, PEM"                                  },
    {"ca",             "FILE",    take_ca,             "verify the server by these trust anchors [do not verify]" },
    {"tls-name",       "NAME",    take_tls_name,       "for SNI and verification [HOST]"                          },
    {"login",          "HOW",     take_login,
     "none, auto, external (sequence 1) or implicit (sequence 2) [auto]"                                          },
    {"authzid",        "NAME",    take_authzid,        "with AUTH EXTERNAL [the server's choice]"                 },
    {"resume",         NULL,      take_resume,         "offer the newest TLS session to new connections"          },
    {"handshake-only", NULL,      take_handshake_only, "sessions that log in and QUIT, without mail"              },
    {"idle-hold",      "N",       take_idle_hold,      "open N connections, log in, and hold them"                },
    {"hold",           "SECONDS", take_hold,           "how long, once all are open [0]"                          },
    {"sink",           "ADDRESS", take_sink,           "be the next hop there, and wait until all has arrived"    },
    {"drain",          "SECONDS", take_drain,          "without an arrival, before waiting ends [30]"             },
    {"server-pid",     "PID",     take_server_pid,     "report CPU and memory of this process"                    },
    {"server-tree",    "PID",     take_server_tree,    "the same, of it and all processes below it"               },
    {"server-cgroup",  "FOLDER",  take_server_cgroup,  "the same, of a control group"                             },
    {"json",           NULL,      take_json,           "the report as JSON"                                       },
    {"quiet",          NULL,      take_quiet,          "no progress"                                              },
};

static const struct bench_option sink_options[] = {
    {"messages",    "N",    take_until,       "end after so many [only when interrupted]"},
    {"certificate", "FILE", take_certificate, "for STARTTLS, PEM"                        },
    {"key",         "FILE", take_key,         "of the certificate, PEM"                  },
    {"helo",        "NAME", take_helo,        "our name [bench.invalid]"                 },
    {"json",        NULL,   take_json,        "the report as JSON"                       },
    {"quiet",       NULL,   take_quiet,       "no progress"                              },
};

static void print_options(FILE *to, const struct bench_option *options, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char left[40];
        (void)snprintf(left, sizeof(left), "--%s%s%s", options[i].name, options[i].arg ? " " : "",
                       options[i].arg ? options[i].arg : "");
        fprintf(to, "  %-25s %s\n", left, options[i].help);
    }
    fputs("  --help\n", to);
}

static int usage_error(const char *program, const char *what, const char *word_given)
{
    fprintf(stderr, "%s: %s%s%s; see: %s --help\n", program, what, word_given ? " " : "",
            word_given ? word_given : "", program);
    return EX_USAGE;
}

/* EX_OK: go on, with the words that are left at optind; -1: help was wanted. */
static int parse(struct bench *b, int argc, char **argv, const struct bench_option *table, size_t n)
{
    struct option options[OPTIONS_MAX] = {0};
    for (size_t i = 0; i < n; i++)
        options[i] = (struct option){table[i].name, table[i].arg ? required_argument : no_argument,
                                     NULL, 256 + (int)i};
    options[n] = (struct option){"help", no_argument, NULL, 'h'};
    int c;
    optind = 1;
    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (c == 'h')
            return -1;
        if (c == '?')
            return EX_USAGE;
        const struct bench_option *o = &table[c - 256];
        char what[64];
        (void)snprintf(what, sizeof(what), "--%s wants %s, not", o->name, o->arg ? o->arg : "");
        if (!o->take(b, optarg))
            return usage_error(argv[0], what, optarg);
    }
    return EX_OK;
}

/* ---- send ---- */

static bool is_terminal;

static void on_progress(void *arg, const struct load_result *r)
{
    char line[160];
    report_progress(line, sizeof(line), arg, r);
    fprintf(stderr, "\r%-78.78s", line);
}

static void end_progress(void)
{
    if (is_terminal)
        fprintf(stderr, "\r%-78s\r", "");
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* "host:port", "[::1]:port" */
static bool split_target(struct bench *b, const char *target)
{
    const char *colon = strrchr(target, ':');
    if (!colon || colon == target || !colon[1])
        return false;
    bool bracketed = target[0] == '[' && colon[-1] == ']';
    size_t skip = bracketed ? 1 : 0;
    b->host = xstrndup(target + skip, (size_t)(colon - target) - 2 * skip);
    b->port = xstrdup(colon + 1);
    return *b->host;
}

static int complete(struct bench *b, const char *program)
{
    struct link_config *link = &b->load.link;
    link->host = b->host;
    link->port = b->port;
    link->tls_implicit = b->tls == BENCH_TLS_IMPLICIT;
    if (!link->tls_name)
        link->tls_name = b->host;
    link->smtp.tls = b->tls == BENCH_TLS_NONE ? SMTP_CLIENT_TLS_OFF : SMTP_CLIENT_TLS_REQUIRE;
    bool is_auto = link->smtp.login == SMTP_LOGIN_CERTIFICATE;
    if (is_auto && !b->client.certificate)
        link->smtp.login = 0;
    bool wants_login = link->smtp.login && !is_auto;
    if (wants_login && (b->tls == BENCH_TLS_NONE || !b->client.certificate))
        return usage_error(program, "--login external and implicit need TLS and --certificate",
                           NULL);
    if (!b->has_count && !b->load.duration_ms)
        b->load.count = 10000;
    if (b->server.n)
        b->load.server = &b->server;
    is_terminal = isatty(STDERR_FILENO) && !b->quiet;
    if (is_terminal) {
        b->load.progress = on_progress;
        b->load.progress_arg = &b->load;
    }
    return EX_OK;
}

static int run_load(struct bench *b, const char *program)
{
    struct load_result *r = xcalloc(1, sizeof(*r));
    char why[LOAD_WHY_MAX];
    int status = EX_OK;
    raise_descriptor_limit();
    if (load_run(&b->load, r, why) < 0) {
        end_progress();
        fprintf(stderr, "%s: %s\n", program, why);
        free(r);
        return EX_OSERR;
    }
    end_progress();
    if (!b->json)
        report_text(stdout, &b->load, r);
    else if (report_json(stdout, &b->load, r) < 0)
        status = EX_SOFTWARE;
    if (r->sessions == 0 || r->n_failures || r->missing)
        status = EX_UNAVAILABLE;
    free(r);
    return status;
}

static int run_send(struct bench *b, const char *program)
{
    int status = complete(b, program);
    if (status != EX_OK)
        return status;
    char why[TLS_WHY_MAX];
    struct tls_context *tls = NULL;
    if (b->tls != BENCH_TLS_NONE && tls_client_context_new(&b->client, &tls, why) < 0) {
        fprintf(stderr, "%s: %s\n", program, why);
        return EX_NOINPUT;
    }
    b->load.link.tls = tls;
    status = run_load(b, program);
    tls_context_unref(tls);
    return status;
}

static void send_help(FILE *to)
{
    fputs(
        "usage: postern bench send HOST:PORT [options]\n"
        "\n"
        "Puts a load upon an SMTP server and reports messages a second, latencies, failures, and\n"
        "what the server paid for it.\n"
        "\n",
        to);
    print_options(to, send_options, ARRAY_LEN(send_options));
    fputs("\n"
          "Exit code: 0 nothing failed, 69 something did or did not arrive.\n",
          to);
}

static int bench_send(int argc, char **argv)
{
    struct bench b = {
        .tls = BENCH_TLS_STARTTLS,
        .load =
            {
                   .connections = 20,
                   .size = 4096,
                   .recipients = 1,
                   .from = "load@bench.invalid",
                   .to = "sink@bench.invalid",
                   .drain_ms = 30000,
                   .link =
                    {
                        .timeouts = {.connect_ms = LINK_TIMEOUT_MS,
                                     .greeting_ms = LINK_TIMEOUT_MS,
                                     .command_ms = LINK_TIMEOUT_MS,
                                     .data_ms = LINK_TIMEOUT_MS,
                                     .text_ms = LINK_TIMEOUT_MS,
                                     .final_ms = LINK_TIMEOUT_MS,
                                     .idle_ms = -1},
                        .smtp = {.hostname = "bench.invalid",
                                 .login = SMTP_LOGIN_CERTIFICATE},
                    }, },
    };
    int status = parse(&b, argc, argv, send_options, ARRAY_LEN(send_options));
    if (status == -1) {
        send_help(stdout);
        return EX_OK;
    }
    if (status == EX_OK && argc - optind != 1)
        status = usage_error(argv[0], "one HOST:PORT is wanted", NULL);
    else if (status == EX_OK && !split_target(&b, argv[optind]))
        status = usage_error(argv[0], "HOST:PORT is wanted, not", argv[optind]);
    if (status == EX_OK)
        status = run_send(&b, argv[0]);
    free(b.host);
    free(b.port);
    return status;
}

/* ---- sink ---- */

struct sink_run {
    const struct bench *b;
    struct loop *loop;
    struct sink *sink;
    struct loop_timer *tick;
    uint64_t messages;
    int64_t first_us, last_us;
};

static void sink_on_message(void *ctx, const struct stamp *stamp, size_t recipients)
{
    struct sink_run *s = ctx;
    (void)stamp;
    (void)recipients;
    s->last_us = usage_now_us();
    if (s->messages++ == 0)
        s->first_us = s->last_us;
    if (s->b->until && s->messages == s->b->until)
        loop_stop(s->loop);
}

static void sink_on_signal(void *arg, int signo)
{
    (void)signo;
    loop_stop(((struct sink_run *)arg)->loop);
}

static void sink_on_tick(void *arg)
{
    struct sink_run *s = arg;
    struct sink_counts c = sink_counts(s->sink);
    fprintf(stderr, "\r%llu messages, %llu connections open   ", (unsigned long long)c.messages,
            (unsigned long long)c.open);
    loop_timer_set(s->tick, 250);
}

static int sink_tls(struct bench *b, struct tls_context **ret, char *why)
{
    if (!b->certificate)
        return 0;
    struct tls_server_config cfg = {.certificate = b->certificate, .key = b->key};
    return tls_server_context_new(&cfg, ret, why);
}

static int sink_serve(struct sink_run *s, struct tls_context *tls, char *why)
{
    static const int signals[] = {SIGINT, SIGTERM, 0};
    struct sink_config cfg = {
        .address = s->b->address,
        .hostname = s->b->load.link.smtp.hostname,
        .tls = tls,
        .message = sink_on_message,
        .ctx = s,
    };
    int r = sink_new(s->loop, &cfg, &s->sink, why);
    if (r == 0)
        r = loop_signals(s->loop, signals, sink_on_signal, s);
    if (r < 0)
        return r;
    s->tick = loop_timer_new(s->loop, sink_on_tick, s);
    if (is_terminal)
        sink_on_tick(s);
    loop_run(s->loop);
    end_progress();
    struct sink_counts c = sink_counts(s->sink);
    int64_t us = s->last_us - s->first_us;
    if (!s->b->json)
        report_sink_text(stdout, &c, us);
    else
        r = report_sink_json(stdout, &c, us);
    return r;
}

static int run_sink(struct bench *b, const char *program)
{
    char why[TLS_WHY_MAX] = "out of memory";
    struct sink_run s = {.b = b};
    struct tls_context *tls = NULL;
    is_terminal = isatty(STDERR_FILENO) && !b->quiet;
    raise_descriptor_limit();
    int r = sink_tls(b, &tls, why);
    if (r == 0)
        r = loop_new(&s.loop);
    if (r == 0)
        r = sink_serve(&s, tls, why);
    if (r < 0)
        fprintf(stderr, "%s: %s\n", program, why);
    sink_free(s.sink);
    loop_timer_free(s.tick);
    loop_free(s.loop);
    tls_context_unref(tls);
    return r < 0 ? EX_OSERR : EX_OK;
}

static void sink_help(FILE *to)
{
    fputs("usage: postern bench sink ADDRESS [options]\n"
          "\n"
          "A next hop at ADDRESS (127.0.0.1:2526) that accepts everything, counts it and throws it "
          "away.\n"
          "\n",
          to);
    print_options(to, sink_options, ARRAY_LEN(sink_options));
}

static int bench_sink(int argc, char **argv)
{
    struct bench b = {.load.link.smtp.hostname = "bench.invalid"};
    int status = parse(&b, argc, argv, sink_options, ARRAY_LEN(sink_options));
    if (status == -1) {
        sink_help(stdout);
        return EX_OK;
    }
    if (status == EX_OK && argc - optind != 1)
        status = usage_error(argv[0], "one ADDRESS to listen on is wanted", NULL);
    if (status != EX_OK)
        return status;
    b.address = argv[optind];
    return run_sink(&b, argv[0]);
}

/* ---- which of the two ---- */

static void bench_help(FILE *to)
{
    fputs("usage: postern bench send HOST:PORT [options]\n"
          "       postern bench sink ADDRESS [options]\n"
          "\n"
          "  send   put a load upon an SMTP server and report what came of it\n"
          "  sink   be a next hop that accepts everything and counts\n"
          "\n"
          "postern bench send --help and postern bench sink --help list the options.\n",
          to);
}

int cmd_bench(int argc, char **argv)
{
    static const char *const parts[] = {"send", "sink"};
    const char *part = argc > 1 ? argv[1] : NULL;
    if (!part) {
        bench_help(stderr);
        return EX_USAGE;
    }
    if (strcmp(part, "--help") == 0 || strcmp(part, "-h") == 0) {
        bench_help(stdout);
        return EX_OK;
    }
    unsigned which;
    if (!word(part, parts, ARRAY_LEN(parts), &which)) {
        const char *near = suggest(part, parts, ARRAY_LEN(parts));
        return usage_error(argv[0],
                           near ? "send or sink is wanted, perhaps you meant"
                                : "send or sink is wanted, not",
                           near ? near : part);
    }
    char name[48];
    (void)snprintf(name, sizeof(name), "%s %s", argv[0], part);
    argv[1] = name;
    return which == 0 ? bench_send(argc - 1, argv + 1) : bench_sink(argc - 1, argv + 1);
}
