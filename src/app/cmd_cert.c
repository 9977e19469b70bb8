#include "app/cmd_cert.h"

#include "app/cmd_cert_internal.h"
#include "base/clock.h"
#include "cert/ca.h"
#include "conf/suggest.h"

#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>

/* --- what all of them need */

bool certcmd_list_add(struct certcmd_list *l, const char *program, const char *item)
{
    if (l->n == CERTCMD_LIST_MAX) {
        (void)certcmd_usage_error(program, "\"%s\" is one too many; %d at most", item,
                                  CERTCMD_LIST_MAX);
        return false;
    }
    l->items[l->n++] = item;
    return true;
}

static const struct {
    int error, code;
} exit_codes[] = {
    {EINVAL,  EX_DATAERR  },
    {ENOENT,  EX_NOINPUT  },
    {ENOTDIR, EX_NOINPUT  },
    {EISDIR,  EX_NOINPUT  },
    {EEXIST,  EX_CANTCREAT},
    {EBUSY,   EX_TEMPFAIL },
    {EACCES,  EX_NOPERM   },
    {EPERM,   EX_NOPERM   },
    {EROFS,   EX_CANTCREAT},
    {ENOSPC,  EX_IOERR    },
    {EIO,     EX_IOERR    },
    {EFBIG,   EX_DATAERR  },
};

int certcmd_failed(const char *program, int r, const char *text)
{
    fprintf(stderr, "%s: %s\n", program, text);
    for (size_t i = 0; i < ARRAY_LEN(exit_codes); i++)
        if (exit_codes[i].error == -r)
            return exit_codes[i].code;
    return EX_OSERR;
}

int certcmd_usage_error(const char *program, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "%s: ", program);
    vfprintf(stderr, fmt, ap);
    fprintf(stderr, "; see: %s --help\n", program);
    va_end(ap);
    return EX_USAGE;
}

static struct tm utc(int64_t ms)
{
    struct tm tm = {.tm_mday = 1};
    time_t t = (time_t)(ms / 1000);
    (void)gmtime_r(&t, &tm);
    return tm;
}

void certcmd_day(int64_t ms, char out[16])
{
    struct tm tm = utc(ms);
    out[strftime(out, 15, "%Y-%m-%d", &tm)] = '\0';
}

void certcmd_instant(int64_t ms, char out[32])
{
    struct tm tm = utc(ms);
    out[strftime(out, 31, "%Y-%m-%dT%H:%M:%SZ", &tm)] = '\0';
}

/* The words that are left after the options: from `min` to `max` of them, named by `what`. */
bool certcmd_words_are(int argc, char **argv, int min, int max, const char *what)
{
    int n = argc - optind;
    if (n < min)
        (void)certcmd_usage_error(argv[0], "%s is missing", what);
    else if (n > max)
        (void)certcmd_usage_error(argv[0], "\"%s\" is one word too many", argv[optind + max]);
    return n >= min && n <= max;
}

int certcmd_open_ca(const char *program, const char *dir, struct ca **ret)
{
    char why[CERT_WHY_MAX];
    int r = ca_open(dir, ret, why);
    return r < 0 ? certcmd_failed(program, r, why) : EX_OK;
}

void certcmd_ca_closep(struct ca **ca)
{
    ca_close(*ca);
    *ca = NULL;
}

void certcmd_json_decrefp(json_t **j)
{
    json_decref(*j);
    *j = NULL;
}

int certcmd_print_json(json_t *j)
{
    if (!j || json_dumpf(j, stdout, JSON_INDENT(2)) < 0)
        return EX_SOFTWARE;
    putchar('\n');
    return EX_OK;
}

static json_t *names_json(const char *names)
{
    json_t *out = json_array();
    CLEANUP(freep) char *copy = xstrdup(names);
    char *rest = copy;
    for (char *name; (name = strsep(&rest, " "));)
        if (name[0])
            (void)json_array_append_new(out, json_string(name));
    return out;
}

json_t *certcmd_entry_json(const struct ca_entry *e)
{
    char from[32], until[32], revoked[32];
    certcmd_instant(e->not_before_ms, from);
    certcmd_instant(e->not_after_ms, until);
    json_t *j = json_pack("{s:s, s:s, s:s, s:o, s:s, s:s}", "serial", e->serial, "kind",
                          ca_kind_name(e->kind), "subject", e->subject, "names",
                          names_json(e->names), "notBefore", from, "notAfter", until);
    if (j && e->revoked_ms) {
        certcmd_instant(e->revoked_ms, revoked);
        (void)json_object_set_new(j, "revoked", json_string(revoked));
        (void)json_object_set_new(j, "reason", json_string(ca_reason_name(e->reason)));
    }
    return j;
}

/* --- init */

static const char init_help[] =
    "usage: postern cert init DIR [--name TEXT] [--rsa | --ed25519]\n"
    "\n"
    "Makes a certificate authority in DIR: ca.pem and crl.pem for the `trust` block of a\n"
    "configuration, ca.key (keep it safe), index.txt.  Good for ten years.\n"
    "\n"
    "      --name TEXT  its common name (default \"Postern CA\" and a random number)\n"
    "      --rsa        a key for old software (default: EC P-256)\n"
    "      --ed25519\n"
    "      --help\n";

static int run_init(int argc, char **argv)
{
    static const struct option options[] = {
        {"name",    required_argument, NULL, 'n'},
        {"rsa",     no_argument,       NULL, 'r'},
        {"ed25519", no_argument,       NULL, 'e'},
        {"help",    no_argument,       NULL, 'h'},
        {NULL,      0,                 NULL, 0  },
    };
    struct ca_config cfg = {.now_ms = clock_wall_ms()};
    char why[CERT_WHY_MAX];
    for (int opt; (opt = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        switch (opt) {
        case 'n':
            cfg.name = optarg;
            break;
        case 'r':
            cfg.key = CA_KEY_RSA;
            break;
        case 'e':
            cfg.key = CA_KEY_ED25519;
            break;
        case 'h':
            fputs(init_help, stdout);
            return EX_OK;
        default:
            return EX_USAGE;
        }
    }
    if (!certcmd_words_are(argc, argv, 1, 1, "the directory"))
        return EX_USAGE;
    cfg.dir = argv[optind];
    int r = ca_create(&cfg, why);
    if (r < 0)
        return certcmd_failed(argv[0], r, why);
    printf("%s/ca.pem   the CA: trust { ca = {\"%s/ca.pem\"}  crl = {\"%s/crl.pem\"} }\n"
           "%s/ca.key   its key: who has it can make certificates for everybody\n"
           "%s/crl.pem  the list of revoked certificates, good for %d days; renew it with: postern "
           "cert crl %s\n",
           cfg.dir, cfg.dir, cfg.dir, cfg.dir, cfg.dir, CA_CRL_DAYS, cfg.dir);
    return EX_OK;
}

/* --- revoke, crl */

static const char revoke_help[] =
    "usage: postern cert revoke DIR SERIAL|FILE [--reason WORD]\n"
    "\n"
    "Revokes a certificate of the CA in DIR, named by its serial number or by its file, and\n"
    "writes the revocation list anew.  The server takes it up within seconds.\n"
    "\n"
    "      --reason WORD  unspecified (default), key-compromise, affiliation-changed,\n"
    "                     superseded, cessation, privilege-withdrawn\n"
    "      --help\n";

static int write_list(const char *program, const char *dir, struct ca *ca)
{
    char why[CERT_WHY_MAX], day[16];
    int64_t now_ms = clock_wall_ms();
    int r = ca_write_crl(ca, now_ms, why);
    if (r < 0)
        return certcmd_failed(program, r, why);
    certcmd_day(now_ms + CA_CRL_DAYS * CERTCMD_DAY_MS, day);
    printf("%s/crl.pem  good until %s; a running server takes it up within seconds\n", dir, day);
    return EX_OK;
}

/* A certificate that is revoked already is no failure: the list may be what was missing. */
static int
revoke_one(const char *program, const char *dir, const char *which, enum ca_reason reason)
{
    char why[CERT_WHY_MAX];
    size_t at;
    CLEANUP(certcmd_ca_closep) struct ca *ca = NULL;
    int code = certcmd_open_ca(program, dir, &ca);
    if (code != EX_OK)
        return code;
    int r = ca_find(ca, which, &at, why);
    if (r == 0)
        r = ca_revoke(ca, at, reason, clock_wall_ms(), why);
    if (r < 0 && r != -EALREADY)
        return certcmd_failed(program, r, why);
    const struct ca_entry *e = ca_entry(ca, at);
    printf("%s  %s %s\n", e->serial,
           r == -EALREADY ? "was revoked already:" : "is revoked:", e->names);
    return write_list(program, dir, ca);
}

static int run_revoke(int argc, char **argv)
{
    static const struct option options[] = {
        {"reason", required_argument, NULL, 'r'},
        {"help",   no_argument,       NULL, 'h'},
        {NULL,     0,                 NULL, 0  }
    };
    enum ca_reason reason = CA_UNSPECIFIED;
    for (int opt; (opt = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (opt == 'h') {
            fputs(revoke_help, stdout);
            return EX_OK;
        }
        if (opt != 'r')
            return EX_USAGE;
        if (ca_reason_parse(optarg, &reason) < 0)
            return certcmd_usage_error(argv[0], "--reason %s is unknown", optarg);
    }
    if (!certcmd_words_are(argc, argv, 2, 2, "the directory of the CA, or what to revoke,"))
        return EX_USAGE;
    return revoke_one(argv[0], argv[optind], argv[optind + 1], reason);
}

static const char crl_help[] =
    "usage: postern cert crl DIR\n"
    "\n"
    "Writes the revocation list of the CA in DIR anew, good for the next 30 days.  A server\n"
    "that is given a list refuses everybody once the list is out of date: do this weekly.\n";

static int run_crl(int argc, char **argv)
{
    static const struct option options[] = {
        {"help", no_argument, NULL, 'h'},
        {NULL,   0,           NULL, 0  }
    };
    int opt = getopt_long(argc, argv, "h", options, NULL);
    if (opt == 'h')
        fputs(crl_help, stdout);
    if (opt != -1)
        return opt == 'h' ? EX_OK : EX_USAGE;
    if (!certcmd_words_are(argc, argv, 1, 1, "the directory of the CA"))
        return EX_USAGE;
    CLEANUP(certcmd_ca_closep) struct ca *ca = NULL;
    int code = certcmd_open_ca(argv[0], argv[optind], &ca);
    return code == EX_OK ? write_list(argv[0], argv[optind], ca) : code;
}

/* --- list */

static const char list_help[] = "usage: postern cert list DIR [--json]\n"
                                "\n"
                                "Shows what the CA in DIR has issued.\n";

static const char *status_of(const struct ca_entry *e, int64_t now_ms)
{
    return e->revoked_ms ? "revoked" : e->not_after_ms < now_ms ? "expired" : "valid";
}

static int list_json(const struct ca *ca, int64_t now_ms)
{
    CLEANUP(certcmd_json_decrefp) json_t *all = json_array();
    for (size_t i = 0; i < ca_count(ca); i++) {
        json_t *j = certcmd_entry_json(ca_entry(ca, i));
        (void)json_object_set_new(j, "status", json_string(status_of(ca_entry(ca, i), now_ms)));
        (void)json_array_append_new(all, j);
    }
    return certcmd_print_json(all);
}

static void list_text(const struct ca *ca, int64_t now_ms)
{
    char day[16];
    printf("%-32s  %-6s  %-7s  %-10s  %s\n", "SERIAL", "KIND", "STATUS", "UNTIL", "NAMES");
    for (size_t i = 0; i < ca_count(ca); i++) {
        const struct ca_entry *e = ca_entry(ca, i);
        certcmd_day(e->not_after_ms, day);
        printf("%-32s  %-6s  %-7s  %-10s  %s\n", e->serial, ca_kind_name(e->kind),
               status_of(e, now_ms), day, e->names);
    }
}

static int run_list(int argc, char **argv)
{
    static const struct option options[] = {
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL,   0,           NULL, 0  }
    };
    bool json = false;
    for (int opt; (opt = getopt_long(argc, argv, "h", options, NULL)) != -1; json = true) {
        if (opt == 'h')
            fputs(list_help, stdout);
        if (opt != 'j')
            return opt == 'h' ? EX_OK : EX_USAGE;
    }
    if (!certcmd_words_are(argc, argv, 1, 1, "the directory of the CA"))
        return EX_USAGE;
    CLEANUP(certcmd_ca_closep) struct ca *ca = NULL;
    int code = certcmd_open_ca(argv[0], argv[optind], &ca);
    if (code != EX_OK)
        return code;
    if (json)
        return list_json(ca, clock_wall_ms());
    list_text(ca, clock_wall_ms());
    return EX_OK;
}

/* --- which one */

static const struct subcommand {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} subcommands[] = {
    {"init",    run_init,         "make a certificate authority"                       },
    {"issue",   cmd_cert_issue,   "make a key and a certificate"                       },
    {"revoke",  run_revoke,       "revoke a certificate"                               },
    {"crl",     run_crl,          "write the revocation list anew"                     },
    {"list",    run_list,         "show what was issued"                               },
    {"explain", cmd_cert_explain, "say what the server makes of a certificate, and why"},
};

static void print_help(FILE *to)
{
    fputs("usage: postern cert SUBCOMMAND [options]\n\n", to);
    for (size_t i = 0; i < ARRAY_LEN(subcommands); i++)
        fprintf(to, "  postern cert %-8s %s\n", subcommands[i].name, subcommands[i].help);
    fputs("\n  postern cert SUBCOMMAND --help   what it takes\n\nManual page: postern-cert(1)\n",
          to);
}

static int unknown_subcommand(const char *program, const char *name)
{
    const char *names[ARRAY_LEN(subcommands)];
    for (size_t i = 0; i < ARRAY_LEN(subcommands); i++)
        names[i] = subcommands[i].name;
    const char *near = suggest(name, names, ARRAY_LEN(names));
    fprintf(stderr, "%s: there is no \"%s\"; %s%s%s\n", program, name,
            near ? "did you mean \"" : "see: ", near ? near : program, near ? "\"?" : " --help");
    return EX_USAGE;
}

int cmd_cert(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return EX_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
        return EX_OK;
    }
    for (size_t i = 0; i < ARRAY_LEN(subcommands); i++) {
        if (strcmp(argv[1], subcommands[i].name) != 0)
            continue;
        char name[64]; /* getopt_long() speaks of us by this name */
        (void)snprintf(name, sizeof(name), "%s %s", argv[0], argv[1]);
        argv[1] = name;
        optind = 0; /* from the start, should somebody have parsed before */
        return subcommands[i].run(argc - 1, argv + 1);
    }
    return unknown_subcommand(argv[0], argv[1]);
}
