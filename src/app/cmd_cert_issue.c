#include "app/cmd_cert_internal.h"

#include "base/clock.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>

#define CLOCK_SLACK_MS                                                                             \
    ((int64_t)300 * 1000) /* a server whose clock lags must not find it "of the future" */
#define DAYS_DEFAULT 365
#define PATH_TEXT_MAX 4096
#define PASSWORD_MAX 1024

static const char issue_help[] =
    "usage: postern cert issue DIR --email ADDRESS... [options]    for a person\n"
    "       postern cert issue DIR --dns HOST... [options]         for a device\n"
    "       postern cert issue DIR --server HOST... [options]      for a mail server\n"
    "\n"
    "Makes a key and a certificate, signed by the CA in DIR.\n"
    "\n"
    "      --email ADDRESS   e-mail address in the certificate; may be repeated\n"
    "      --dns HOST        host name in a client certificate; may be repeated\n"
    "      --uri URI         URI in a client certificate, such as a SPIFFE id; may be repeated\n"
    "      --server HOST     host name of a server; may be repeated\n"
    "      --address IP      IP address of a server; may be repeated\n"
    "      --name TEXT       common name (default: the first of the names above)\n"
    "      --days N          how long it is good (default 365)\n"
    "      --rsa, --ed25519  kind of key (default: EC P-256)\n"
    "      --out PREFIX      writes PREFIX.pem and PREFIX.key (default: DIR and the first name)\n"
    "      --p12             writes PREFIX.p12 too, for programs that import PKCS#12\n"
    "      --p12-password-file FILE   the first line of FILE protects it\n"
    "      --force           replaces files that are there\n"
    "      --json            says what was made as JSON\n"
    "      --help\n";

struct issue {
    const char *program, *dir, *prefix, *password_file;
    struct certcmd_list emails, hosts, servers, addresses, uris;
    enum ca_key key;
    const char *name;
    int64_t days;
    bool p12, force, json;
    char cert_file[PATH_TEXT_MAX], key_file[PATH_TEXT_MAX], p12_file[PATH_TEXT_MAX];
    char password[PASSWORD_MAX];
};

/* False when the value is no good (said), or the option is not one of these (getopt has said so). */
static bool issue_names(struct issue *is, int opt)
{
    struct certcmd_list *lists[] = {['m'] = &is->emails,
                                    ['d'] = &is->hosts,
                                    ['s'] = &is->servers,
                                    ['a'] = &is->addresses,
                                    ['u'] = &is->uris};
    struct certcmd_list *l = opt > 0 && (size_t)opt < ARRAY_LEN(lists) ? lists[opt] : NULL;
    return l && certcmd_list_add(l, is->program, optarg);
}

static bool issue_days(struct issue *is)
{
    uint64_t n;
    if (str_to_u64(str_of(optarg), CA_DAYS, &n) < 0 || n == 0) {
        (void)certcmd_usage_error(is->program, "--days %s: a number from 1 to %d is wanted", optarg,
                                  CA_DAYS);
        return false;
    }
    is->days = (int64_t)n;
    return true;
}

static bool issue_option(struct issue *is, int opt)
{
    switch (opt) {
    case 'n':
        is->name = optarg;
        return true;
    case 'D':
        return issue_days(is);
    case 'o':
        is->prefix = optarg;
        return true;
    case 'r':
        is->key = CA_KEY_RSA;
        return true;
    case 'e':
        is->key = CA_KEY_ED25519;
        return true;
    case 'p':
        is->p12 = true;
        return true;
    case 'P':
        is->password_file = optarg;
        return true;
    case 'f':
        is->force = true;
        return true;
    case 'j':
        is->json = true;
        return true;
    default:
        return issue_names(is, opt);
    }
}

static int issue_check(const struct issue *is)
{
    bool server = is->servers.n > 0 || is->addresses.n > 0;
    bool client = is->emails.n > 0 || is->hosts.n > 0 || is->uris.n > 0;
    if (server && client)
        return certcmd_usage_error(
            is->program, "--server and --address are for servers, --email, --dns and --uri for "
                         "clients; issue two certificates");
    if (!server && !client)
        return certcmd_usage_error(is->program,
                                   "whom is it for? --email, --dns, --uri or --server is missing");
    if (is->p12 != (is->password_file != NULL))
        return certcmd_usage_error(is->program, "--p12 and --p12-password-file go together");
    return EX_OK;
}

static const char *first_name(const struct issue *is)
{
    const struct certcmd_list *lists[] = {&is->emails, &is->hosts, &is->uris, &is->servers,
                                          &is->addresses};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        if (lists[i]->n > 0)
            return lists[i]->items[0];
    return "";
}

/* A name may hold a slash, and no name may reach out of the directory. */
static void default_prefix(const struct issue *is, char *out, size_t size)
{
    int at = snprintf(out, size, "%s/", is->dir);
    (void)snprintf(out, size, "%s/%s", is->dir, first_name(is));
    for (char *p = out + MIN((size_t)at, size - 1); *p; p++)
        if (strchr("/*\\ ", *p) || (*p == '.' && p[-1] == '/'))
            *p = '_';
}

static int issue_files(struct issue *is)
{
    char prefix[PATH_TEXT_MAX - 8];
    if (is->prefix)
        (void)snprintf(prefix, sizeof(prefix), "%s", is->prefix);
    else
        default_prefix(is, prefix, sizeof(prefix));
    (void)snprintf(is->cert_file, sizeof(is->cert_file), "%s.pem", prefix);
    (void)snprintf(is->key_file, sizeof(is->key_file), "%s.key", prefix);
    (void)snprintf(is->p12_file, sizeof(is->p12_file), "%s.p12", prefix);
    const char *files[] = {is->cert_file, is->key_file, is->p12 ? is->p12_file : NULL};
    for (size_t i = 0; !is->force && i < ARRAY_LEN(files); i++) {
        if (files[i] && access(files[i], F_OK) == 0) {
            fprintf(stderr,
                    "%s: %s: is there already; choose another --out, or replace it with --force\n",
                    is->program, files[i]);
            return EX_CANTCREAT;
        }
    }
    return EX_OK;
}

static int issue_password(struct issue *is)
{
    if (!is->password_file)
        return EX_OK;
    CLEANUP(fd_closep) int fd = open(is->password_file, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    ssize_t n = fd < 0 ? -1 : read(fd, is->password, sizeof(is->password) - 1);
    if (n < 0) {
        fprintf(stderr, "%s: %s: %s\n", is->program, is->password_file, strerror(errno));
        return EX_NOINPUT;
    }
    is->password[n] = '\0';
    is->password[strcspn(is->password, "\r\n")] = '\0';
    if (is->password[0])
        return EX_OK;
    fprintf(stderr, "%s: %s: its first line is empty; write a password there\n", is->program,
            is->password_file);
    return EX_DATAERR;
}

static void issue_report(const struct issue *is, const struct ca_entry *e)
{
    char day[16];
    certcmd_day(e->not_after_ms, day);
    printf("%s  certificate of a %s, good until %s, serial number %s\n", is->cert_file,
           ca_kind_name(e->kind), day, e->serial);
    printf("%s  its key\n", is->key_file);
    if (is->p12)
        printf("%s  both, and the CA\n", is->p12_file);
}

static int issue_report_json(const struct issue *is, const struct ca_entry *e)
{
    CLEANUP(certcmd_json_decrefp) json_t *j = certcmd_entry_json(e);
    (void)json_object_set_new(j, "certificate", json_string(is->cert_file));
    (void)json_object_set_new(j, "key", json_string(is->key_file));
    if (is->p12)
        (void)json_object_set_new(j, "p12", json_string(is->p12_file));
    return certcmd_print_json(j);
}

static int issue_write(const struct issue *is, const struct ca_issued *made)
{
    char why[CERT_WHY_MAX];
    int r = ca_issued_write(made, is->cert_file, is->key_file, is->force, why);
    if (r == 0 && is->p12)
        r = ca_issued_write_p12(made, is->p12_file, is->password, is->force, why);
    if (r < 0)
        return certcmd_failed(is->program, r, why);
    if (is->json)
        return issue_report_json(is, ca_issued_entry(made));
    issue_report(is, ca_issued_entry(made));
    return EX_OK;
}

static int issue_make(struct issue *is, int64_t now_ms)
{
    char why[CERT_WHY_MAX];
    CLEANUP(certcmd_ca_closep) struct ca *ca = NULL;
    int code = certcmd_open_ca(is->program, is->dir, &ca);
    if (code != EX_OK)
        return code;
    bool server = is->servers.n > 0 || is->addresses.n > 0;
    const struct certcmd_list *hosts = server ? &is->servers : &is->hosts;
    struct ca_request rq = {.kind = server ? CA_SERVER : CA_CLIENT,
                            .key = is->key,
                            .name = is->name,
                            .emails = is->emails.items,
                            .n_emails = is->emails.n,
                            .hosts = hosts->items,
                            .n_hosts = hosts->n,
                            .addresses = is->addresses.items,
                            .n_addresses = is->addresses.n,
                            .uris = is->uris.items,
                            .n_uris = is->uris.n,
                            .not_before_ms = now_ms - CLOCK_SLACK_MS,
                            .not_after_ms = now_ms + is->days * CERTCMD_DAY_MS};
    struct ca_issued *made = NULL;
    int r = ca_issue(ca, &rq, &made, why);
    code = r < 0 ? certcmd_failed(is->program, r, why) : issue_write(is, made);
    ca_issued_free(made);
    return code;
}

int cmd_cert_issue(int argc, char **argv)
{
    static const struct option options[] = {
        {"email",             required_argument, NULL, 'm'},
        {"dns",               required_argument, NULL, 'd'},
        {"uri",               required_argument, NULL, 'u'},
        {"server",            required_argument, NULL, 's'},
        {"address",           required_argument, NULL, 'a'},
        {"name",              required_argument, NULL, 'n'},
        {"days",              required_argument, NULL, 'D'},
        {"out",               required_argument, NULL, 'o'},
        {"rsa",               no_argument,       NULL, 'r'},
        {"ed25519",           no_argument,       NULL, 'e'},
        {"p12",               no_argument,       NULL, 'p'},
        {"p12-password-file", required_argument, NULL, 'P'},
        {"force",             no_argument,       NULL, 'f'},
        {"json",              no_argument,       NULL, 'j'},
        {"help",              no_argument,       NULL, 'h'},
        {NULL,                0,                 NULL, 0  },
    };
    struct issue is = {.program = argv[0], .days = DAYS_DEFAULT};
    for (int opt; (opt = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (opt == 'h') {
            fputs(issue_help, stdout);
            return EX_OK;
        }
        if (!issue_option(&is, opt))
            return EX_USAGE;
    }
    if (!certcmd_words_are(argc, argv, 1, 1, "the directory of the CA"))
        return EX_USAGE;
    is.dir = argv[optind];
    int code = issue_check(&is);
    if (code == EX_OK)
        code = issue_files(&is);
    if (code == EX_OK)
        code = issue_password(&is);
    if (code == EX_OK)
        code = issue_make(&is, clock_wall_ms());
    explicit_bzero(is.password, sizeof(is.password));
    return code;
}
