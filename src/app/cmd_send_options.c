#include "app/cmd_send_internal.h"

#include "conf/suggest.h"
#include "conf/value.h"
#include "smtp/address.h"
#include "smtp/params.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <sysexits.h>
#include <time.h>

#define ENVID_MAX 100 /* RFC 3461 4.4 */

int send_say(const struct send_request *rq, int status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "%s: ", rq->program);
    (void)vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    return status;
}

/* ---- one function an option: false when its value is none ---- */

static bool word(const char *value, const char *const *words, size_t n, unsigned *ret)
{
    for (size_t i = 0; i < n; i++) {
        if (strcasecmp(value, words[i]) == 0) {
            *ret = (unsigned)i;
            return true;
        }
    }
    return false;
}

static bool take_account(struct send_request *rq, const char *value)
{
    rq->order.account = value;
    return *value;
}

static bool take_config(struct send_request *rq, const char *value)
{
    rq->config = value;
    return *value;
}

static bool take_port(struct send_request *rq, const char *value)
{
    uint64_t port = 0;
    if (str_to_u64(str_of(value), 65535, &port) < 0 || port == 0)
        return false;
    rq->order.given.port = (unsigned)port;
    return true;
}

/* The memory is the recipients': both live as long as the request. */
static bool take_host(struct send_request *rq, const char *value)
{
    const char *port = NULL;
    if (value_host_port(value, "", &rq->order.to.memory, &rq->order.given.host, &port) < 0)
        return false;
    return !*port || take_port(rq, port);
}

static bool take_tls(struct send_request *rq, const char *value)
{
    static const char *const words[] = {"implicit", "starttls", "off"};
    unsigned i;
    if (!word(value, words, ARRAY_LEN(words), &i))
        return false;
    rq->order.given.tls = (enum account_tls)(i + 1);
    return true;
}

static bool take_tls_name(struct send_request *rq, const char *value)
{
    rq->order.given.tls_name = value_domain(value, &rq->order.to.memory);
    return rq->order.given.tls_name != NULL;
}

static bool take_ca(struct send_request *rq, const char *value)
{
    rq->order.given.ca = value;
    return *value;
}

static bool take_pin(struct send_request *rq, const char *value)
{
    struct account *a = &rq->order.given;
    if (!a->pin)
        a->pin = arena_alloc(&rq->order.to.memory, ACCOUNT_PINS_MAX * sizeof(*a->pin));
    char *hex = arena_alloc(&rq->order.to.memory, 65);
    if (!a->pin || !hex || a->n_pin == ACCOUNT_PINS_MAX || value_pin(value, hex) < 0)
        return false;
    a->pin[a->n_pin++] = hex;
    return true;
}

static bool take_certificate(struct send_request *rq, const char *value)
{
    rq->order.given.certificate = value;
    return *value;
}

static bool take_key(struct send_request *rq, const char *value)
{
    rq->order.given.key = value;
    return *value;
}

static bool take_key_password_file(struct send_request *rq, const char *value)
{
    rq->order.given.key_password_file = value;
    return *value;
}

static bool take_login(struct send_request *rq, const char *value)
{
    static const char *const words[] = {"auto", "external", "implicit", "plain", "scram", "none"};
    unsigned i;
    if (!word(value, words, ARRAY_LEN(words), &i))
        return false;
    rq->order.given.login = (enum account_login)i;
    rq->order.login_given = true;
    return true;
}

static bool take_user(struct send_request *rq, const char *value)
{
    rq->order.given.user = value;
    return *value;
}

static bool take_password_file(struct send_request *rq, const char *value)
{
    rq->order.given.password_file = value;
    return *value;
}

static bool take_password_command(struct send_request *rq, const char *value)
{
    rq->order.given.password_command = value;
    return *value;
}

static bool take_authzid(struct send_request *rq, const char *value)
{
    rq->order.given.authzid = value;
    return *value;
}

static bool take_domain(struct send_request *rq, const char *value)
{
    rq->order.given.domain = value_domain(value, &rq->order.to.memory);
    return rq->order.given.domain != NULL;
}

static bool take_complete_header(struct send_request *rq, const char *value)
{
    static const char *const words[] = {"yes", "no"};
    unsigned i;
    if (!word(value, words, ARRAY_LEN(words), &i))
        return false;
    rq->order.given.leaves_header = i == 1;
    return rq->order.complete_header_given = true;
}

static bool take_helo(struct send_request *rq, const char *value)
{
    rq->order.given.hostname = value;
    return smtp_helo_is_valid(str_of(value));
}

static bool take_timeout(struct send_request *rq, const char *value)
{
    uint64_t s = 0;
    if (value_duration(value, &rq->order.given.timeout_ms) == 0)
        return rq->order.given.timeout_ms >= 1000 && rq->order.given.timeout_ms <= 3600000;
    if (str_to_u64(str_of(value), 3600, &s) < 0 || s == 0)
        return false;
    rq->order.given.timeout_ms = (int64_t)s * 1000;
    return true;
}

/* "a@x.org", "<a@x.org>", "Alice <a@x.org>", "root"; "" and "<>" are the null reverse-path. */
static bool take_from(struct send_request *rq, const char *value)
{
    struct recipients one;
    recipients_init(&one);
    bool null = !*value || strcmp(value, "<>") == 0;
    bool good = null || recipients_read(&one, str_of(value)) == 1;
    if (good) {
        free(rq->from_memory);
        rq->from_memory = xstrdup(null ? "" : one.list[0]);
        rq->order.from = rq->from_memory;
    }
    recipients_done(&one);
    return good;
}

static bool take_full_name(struct send_request *rq, const char *value)
{
    rq->order.full_name = value;
    return !str_has_control(str_of(value)) && str_is_utf8(str_of(value)) && strlen(value) < 256;
}

static bool take_t(struct send_request *rq, const char *value)
{
    (void)value;
    return rq->order.take_recipients = true;
}

static bool take_i(struct send_request *rq, const char *value)
{
    (void)value;
    return rq->ignore_dots = true;
}

static bool take_to(struct send_request *rq, const char *value)
{
    return recipients_read(&rq->order.to, str_of(value)) >= 0;
}

static bool take_files(struct send_request *rq, const char *value)
{
    (void)value;
    return rq->words_are_files = true;
}

static bool take_notify(struct send_request *rq, const char *value)
{
    static const char *const words[] = {"never", "success", "failure", "delay"};
    struct str left = str_of(value);
    unsigned set = 0;
    while (left.len) {
        ssize_t comma = str_find(left, ',');
        struct str one = str_upto(left, comma < 0 ? left.len : (size_t)comma);
        left = str_from(left, one.len + 1);
        unsigned before = set;
        for (size_t i = 0; i < ARRAY_LEN(words); i++)
            if (str_eq_nocase(one, str_of(words[i])))
                set |= 1u << i;
        if (set == before)
            return false;
    }
    rq->order.wishes.notify = set;
    return set && (!(set & SMTP_NOTIFY_NEVER) || set == SMTP_NOTIFY_NEVER);
}

static bool take_ret(struct send_request *rq, const char *value)
{
    static const char *const words[] = {"full", "hdrs"};
    unsigned i;
    if (!word(value, words, ARRAY_LEN(words), &i))
        return false;
    rq->order.wishes.ret = i == 0 ? 'F' : 'H';
    return true;
}

static bool take_envid(struct send_request *rq, const char *value)
{
    struct buf out = BUF_INIT(ENVID_MAX);
    struct str s = str_of(value);
    bool good = s.len && str_is_ascii(s) && !str_has_control(s) && xtext_encode(s, &out) == 0;
    if (good) {
        free(rq->envid);
        rq->order.wishes.envid = rq->envid = buf_take(&out);
    }
    buf_done(&out);
    return good;
}

/* What a message holds is looked at, so a promise about it changes nothing; binary text needs other line ends. */
static bool take_body(struct send_request *rq, const char *value)
{
    (void)rq;
    return strcasecmp(value, "7bit") == 0 || strcasecmp(value, "8bitmime") == 0;
}

static bool take_smtputf8(struct send_request *rq, const char *value)
{
    (void)value;
    return rq->order.wishes.smtputf8 = true;
}

static bool take_requiretls(struct send_request *rq, const char *value)
{
    (void)value;
    return rq->order.wishes.requiretls = true;
}

static bool take_hold_for(struct send_request *rq, const char *value)
{
    int64_t ms = 0;
    if (value_duration(value, &ms) < 0 || ms < 1000 || ms / 1000 > SMTP_SECONDS_MAX)
        return false;
    rq->order.wishes.hold_for = ms / 1000;
    return true;
}

/* "Z", "+01:00": how far the time before it is ahead, in seconds. */
static bool read_offset(const char *text, int64_t *ret_s)
{
    unsigned hours, minutes;
    int len = 0;
    if (strcmp(text, "Z") == 0) {
        *ret_s = 0;
        return true;
    }
    if ((*text != '+' && *text != '-') || strlen(text) != 6 ||
        sscanf(text + 1, "%2u:%2u%n", &hours, &minutes, &len) != 2 || len != 5)
        return false;
    *ret_s = (int64_t)(hours * 3600 + minutes * 60) * (*text == '-' ? -1 : 1);
    return true;
}

/* "2026-12-01T08:00:00Z" and with an offset (RFC 3339), or "2026-12-01 08:00" by the clock on the wall. */
static bool read_time(const char *value, int64_t *ret_s)
{
    struct tm tm = {0};
    int64_t offset;
    const char *rest = strptime(value, "%Y-%m-%dT%H:%M:%S", &tm);
    if (rest && read_offset(rest, &offset)) {
        *ret_s = (int64_t)timegm(&tm) - offset;
        return true;
    }
    tm = (struct tm){.tm_isdst = -1};
    rest = strptime(value, "%Y-%m-%d %H:%M", &tm);
    if (!rest || *rest)
        return false;
    *ret_s = (int64_t)mktime(&tm);
    return *ret_s > 0;
}

static bool take_hold_until(struct send_request *rq, const char *value)
{
    int64_t s = 0;
    struct tm utc;
    if (!read_time(value, &s) || !gmtime_r(&(time_t){(time_t)s}, &utc))
        return false;
    rq->order.wishes.hold_until = rq->hold_until;
    rq->order.wishes.hold_until_ms = s * 1000;
    return strftime(rq->hold_until, sizeof(rq->hold_until), "%Y-%m-%dT%H:%M:%SZ", &utc) > 0;
}

/* "4h": back when it is not there by then; "4h,notify": tell. */
static bool take_deliver_by(struct send_request *rq, const char *value)
{
    char time[32];
    int64_t ms = 0;
    size_t len = strcspn(value, ",");
    bool notify = strcmp(value + len, ",notify") == 0;
    (void)snprintf(time, sizeof(time), "%.*s", (int)MIN(len, sizeof(time) - 1), value);
    if ((value[len] && !notify) || value_duration(time, &ms) < 0 || ms < 1000 ||
        ms / 1000 > SMTP_SECONDS_MAX)
        return false;
    rq->order.wishes.deliver_by =
        (struct smtp_deliver_by){.seconds = ms / 1000, .mode = notify ? 'N' : 'R'};
    return true;
}

static bool take_priority(struct send_request *rq, const char *value)
{
    uint64_t n = 0;
    bool negative = *value == '-';
    if (str_to_u64(str_of(value + negative), SMTP_PRIORITY_MAX, &n) < 0)
        return false;
    rq->order.wishes.priority = negative ? -(int)n : (int)n;
    return rq->order.wishes.has_priority = true;
}

static bool take_json(struct send_request *rq, const char *value)
{
    (void)value;
    return rq->json = true;
}

static bool take_dry_run(struct send_request *rq, const char *value)
{
    (void)value;
    return rq->dry_run = true;
}

static bool take_trace(struct send_request *rq, const char *value)
{
    (void)value;
    return rq->trace = true;
}

static bool take_quiet(struct send_request *rq, const char *value)
{
    (void)value;
    return rq->quiet = true;
}

static bool take_queue(struct send_request *rq, const char *value)
{
    (void)value;
    return rq->queue_them = true;
}

static bool take_flush(struct send_request *rq, const char *value)
{
    rq->mode = SEND_FLUSH;
    return !value; /* "-q30m" asks for a daemon */
}

static bool take_list(struct send_request *rq, const char *value)
{
    (void)value;
    rq->mode = SEND_LIST;
    return true;
}

static bool take_release(struct send_request *rq, const char *value)
{
    rq->mode = SEND_STEER;
    rq->steer = SPOOL_RELEASE;
    rq->queue_id = value;
    return *value;
}

static bool take_delete(struct send_request *rq, const char *value)
{
    rq->mode = SEND_STEER;
    rq->steer = SPOOL_DELETE;
    rq->queue_id = value;
    return *value;
}

/* -bm -bs -bp; the others are about a daemon, aliases and addresses, of which we have none. */
static bool take_b(struct send_request *rq, const char *value)
{
    if (strcmp(value, "m") == 0)
        return true;
    if (strcmp(value, "s") == 0)
        rq->mode = SEND_SESSION;
    else if (strcmp(value, "p") == 0)
        rq->mode = SEND_LIST;
    else
        return false;
    return true;
}

/* -oi, -odq; -oem, -odb, -om, -o7 and whatever else programs have learned to say change nothing here. */
static bool take_o(struct send_request *rq, const char *value)
{
    if (strcmp(value, "i") == 0)
        rq->ignore_dots = true;
    else if (strcmp(value, "dq") == 0)
        rq->queue_them = true;
    return true;
}

static bool take_nothing(struct send_request *rq, const char *value)
{
    (void)rq;
    (void)value;
    return true;
}

static bool take_help(struct send_request *rq, const char *value)
{
    (void)value;
    return rq->help = true;
}

/* ---- the options ---- */

struct send_option {
    const char *name; /* of the long form; NULL: none */
    int letter;       /* of the short form; 0: none */
    const char *arg;
    bool (*take)(struct send_request *rq, const char *value);
    const char *help; /* NULL: not shown.  A text that ends with ":" is a heading */
};

/* clang-format off */
static const struct send_option options[] = {
    {NULL, 0, NULL, NULL, "The message:"},
    {NULL,            't', NULL, take_t,         "recipients are in To, Cc and Bcc"},
    {NULL,            'i', NULL, take_i,         "a line with a dot alone does not end the message"},
    {"from",          'f', "ADDRESS", take_from, "envelope sender"},
    {"full-name",     'F', "NAME", take_full_name, "for the From field, where the message has none"},
    {"to",             0,  "ADDRESS", take_to,   "a recipient, beside the words of the command line"},
    {"files",          0,  NULL, take_files,     "the words of the command line are files, a message each"},
    {NULL, 0, NULL, NULL, "Where to, and who we are:"},
    {"account",       'a', "NAME", take_account, "of send.conf [by the sender's address]"},
    {"config",        'C', "FILE", take_config,  "read this file alone"},
    {"host",           0,  "HOST[:PORT]", take_host, "this server, and no account of send.conf; IPv6 as [::1]"},
    {"port",           0,  "PORT", take_port,    "[465, and 587 where nobody answers there]"},
    {"tls",            0,  "MODE", take_tls,     "implicit, starttls or off [by the port]"},
    {"tls-name",       0,  "NAME", take_tls_name, "in the server's certificate [HOST]"},
    {"ca",             0,  "FILE", take_ca,      "trust anchors for the server [the system's]"},
    {"pin",            0,  "sha256:HEX", take_pin, "a certificate or key the server must have"},
    {"certificate",    0,  "FILE", take_certificate, "ours: PEM, PKCS#12, or the URI of a store"},
    {"key",            0,  "FILE", take_key,     "its key [in the same file]"},
    {"key-password-file", 0, "FILE", take_key_password_file, "what opens key or PKCS#12"},
    {"login",          0,  "HOW", take_login,    "auto, external, implicit, plain, scram or none [auto]"},
    {"user",           0,  "NAME", take_user,    "for a login with password"},
    {"password-file",  0,  "FILE", take_password_file, "that nobody else can read"},
    {"password-command", 0, "COMMAND", take_password_command, "prints the password"},
    {"authzid",        0,  "NAME", take_authzid, "act as this one [whom the server makes of the login]"},
    {"domain",         0,  "NAME", take_domain,  "completes addresses without one [that of the sender]"},
    {"complete-header", 0, "yes|no", take_complete_header, "complete those in the header, too [yes]"},
    {"helo",           0,  "NAME", take_helo,    "what we call ourselves"},
    {"timeout",        0,  "TIME", take_timeout, "for each answer [5m]"},
    {NULL, 0, NULL, NULL, "What is asked of the server (an error where it cannot):"},
    {"notify",        'N', "WHEN", take_notify,  "report: never, or some of success,failure,delay"},
    {"ret",           'R', "WHAT", take_ret,     "of the message in reports: full or hdrs"},
    {"envid",         'V', "ID", take_envid,     "name of the envelope in reports"},
    {"smtputf8",       0,  NULL, take_smtputf8,  "insist on SMTPUTF8"},
    {"requiretls",     0,  NULL, take_requiretls, "TLS with verified servers all the way, or a bounce"},
    {"hold-for",       0,  "TIME", take_hold_for, "deliver not before 90m, 8h, 2d have passed"},
    {"hold-until",     0,  "\"2026-12-01 08:00\"", take_hold_until, "deliver not before then"},
    {"deliver-by",     0,  "TIME[,notify]", take_deliver_by, "return it when later (or tell)"},
    {"priority",       0,  "N", take_priority,   "-9 to 9"},
    {NULL, 0, NULL, NULL, "The queue:"},
    {"queue",          0,  NULL, take_queue,     "keep the message, whatever the network says"},
    {"flush",          0,  NULL, take_flush,     "send what is in the queue (also -q)"},
    {"list",           0,  NULL, take_list,      "show what is in the queue (also -bp)"},
    {"release",        0,  "ID", take_release,   "try again what was refused"},
    {"delete",         0,  "ID", take_delete,    "remove it for good"},
    {NULL, 0, NULL, NULL, "What is told:"},
    {"dry-run",        0,  NULL, take_dry_run,   "say what would be done, and do nothing"},
    {"json",           0,  NULL, take_json,      "the result as JSON"},
    {"trace",         'v', NULL, take_trace,     "show the dialogue; secrets are masked"},
    {"quiet",          0,  NULL, take_quiet,     "no progress and no summary on a terminal"},
    {"help",          'h', NULL, take_help,      "this text"},
    /* the rest of sendmail */
    {NULL,            'b', "m, s or p (others need a sendmail)", take_b, NULL},
    {NULL,            'o', "", take_o, NULL},
    {NULL,            'B', "7BIT or 8BITMIME", take_body, NULL},
    {NULL,            'r', "ADDRESS", take_from, NULL},
    {NULL,            'e', "", take_nothing, NULL},
    {NULL,            'm', NULL, take_nothing, NULL},
    {NULL,            'n', NULL, take_nothing, NULL},
    {NULL,            'G', NULL, take_nothing, NULL},
    {NULL,            'U', NULL, take_nothing, NULL},
    {NULL,            'x', NULL, take_nothing, NULL},
    {NULL,            'A', "", take_nothing, NULL},
    {NULL,            'L', "", take_nothing, NULL},
    {NULL,            'O', "", take_nothing, NULL},
    {NULL,            'p', "", take_nothing, NULL},
    {NULL,            'X', "", take_nothing, NULL},
};
/* clang-format on */
#define N_OPTIONS ARRAY_LEN(options)
#define SHORT_OPTIONS "A:a:B:b:C:e:F:f:GhiL:mN:nO:o:p:q::R:r:tUV:vX:x"

static void print_option(FILE *to, const struct send_option *o)
{
    char left[48];
    (void)snprintf(left, sizeof(left), "%s%c%s%s%s%s%s", o->letter ? "-" : "",
                   o->letter ? o->letter : ' ', o->letter && o->name ? ", " : "",
                   o->letter ? "" : "   ", o->name ? "--" : "", o->name ? o->name : "", "");
    size_t len = strlen(left);
    if (o->arg)
        (void)snprintf(left + len, sizeof(left) - len, " %s", o->arg);
    fprintf(to, "  %-30s %s\n", left, o->help);
}

void send_options_help(FILE *to)
{
    fputs("usage: postern send [options] RECIPIENT... <MESSAGE\n"
          "       postern send [options] -t <MESSAGE\n"
          "       postern send [options] -t --files FILE...\n"
          "       postern send --flush | --list | --release ID | --delete ID\n"
          "\n"
          "Submits messages to a mail server: the one of an account of ~/.config/postern/send.conf "
          "or\n"
          "/etc/postern/send.conf, or the one named with --host. Takes the options of sendmail, "
          "too.\n",
          to);
    for (size_t i = 0; i < N_OPTIONS; i++) {
        if (!options[i].take)
            fprintf(to, "\n%s\n", options[i].help);
        else if (options[i].help)
            print_option(to, &options[i]);
    }
    fputs("\n"
          "Exit code: 0 sent (or queued); 64 wrong usage; 65 the message; 66 a file; 67, 68 a "
          "recipient;\n"
          "69 refused; 75 try again later; 76 protocol; 77 not permitted; 78 the configuration.\n"
          "Manual page: postern-send(1)\n",
          to);
}

/* ---- reading them ---- */

static int unknown_option(const struct send_request *rq, const char *given)
{
    const char *names[N_OPTIONS];
    size_t n = 0;
    for (size_t i = 0; i < N_OPTIONS; i++)
        if (options[i].name)
            names[n++] = options[i].name;
    if (strncmp(given, "--", 2) != 0)
        return send_say(rq, EX_USAGE, "there is no option -%c; see: postern send --help", optopt);
    char word_given[64];
    (void)snprintf(word_given, sizeof(word_given), "%.*s", (int)strcspn(given + 2, "="), given + 2);
    const char *near = suggest(word_given, names, n);
    return send_say(rq, EX_USAGE, "there is no option --%s; %s%s", word_given,
                    near ? "did you mean --" : "see: postern send --help", near ? near : "");
}

static const struct send_option *option_of(int c)
{
    if (c >= 256)
        return &options[c - 256];
    for (size_t i = 0; i < N_OPTIONS; i++)
        if (options[i].letter == c)
            return &options[i];
    return NULL;
}

static int take_option(struct send_request *rq, int c, const char *given)
{
    static const struct send_option flush = {"flush", 'q',
                                             "no value; postern send --flush sends what is in the "
                                             "queue, a timer does so again and again",
                                             take_flush, NULL};
    if (c == '?')
        return unknown_option(rq, given);
    const struct send_option *o = c == 'q' ? &flush : option_of(c == ':' ? optopt : c);
    if (!o)
        return unknown_option(rq, given);
    char name[32];
    (void)snprintf(name, sizeof(name), o->name && c != 'q' ? "--%s" : "-%s",
                   o->name && c != 'q' ? o->name : (char[]){(char)o->letter, '\0'});
    if (c == ':')
        return send_say(rq, EX_USAGE, "%s needs a value: %s%s%s", name, o->arg ? o->arg : "",
                        o->help ? ", " : "", o->help ? o->help : "");
    if (o->take(rq, optarg))
        return EX_OK;
    return send_say(rq, EX_USAGE, "%s: \"%s\" is none of what it takes: %s%s%s", name,
                    optarg ? optarg : "", o->arg, o->help ? ", " : "", o->help ? o->help : "");
}

static void make_long_options(struct option *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < N_OPTIONS; i++)
        if (options[i].name)
            ret[n++] =
                (struct option){options[i].name, options[i].arg ? required_argument : no_argument,
                                NULL, 256 + (int)i};
    ret[n] = (struct option){0};
}

/* "root" may be a user, and a file by chance. */
static bool looks_like_file(const char *s)
{
    return !strchr(s, '@') && strpbrk(s, "./") && access(s, F_OK) == 0;
}

static int take_words(struct send_request *rq, int n, char **words)
{
    if (rq->words_are_files) {
        rq->files = xcalloc((size_t)n + 1, sizeof(*rq->files));
        for (int i = 0; i < n; i++)
            rq->files[rq->n_files++] = words[i];
        if (n == 0)
            return send_say(rq, EX_USAGE,
                            "--files needs at least one file; \"-\" is standard input");
        return EX_OK;
    }
    for (int i = 0; i < n; i++) {
        if (looks_like_file(words[i]))
            return send_say(rq, EX_USAGE,
                            "\"%s\" is a file; for files write: postern send -t --files FILE...",
                            words[i]);
        int r = recipients_read(&rq->order.to, str_of(words[i]));
        if (r < 0)
            return send_say(rq, EX_USAGE,
                            r == -E2BIG ? "too many recipients" : "\"%s\" is no address", words[i]);
    }
    return EX_OK;
}

/* What says how a server is trusted, or who we are there. */
static bool gives_credentials(const struct send_order *o)
{
    const struct account *a = &o->given;
    return a->tls || a->tls_name || a->ca || a->n_pin || a->certificate || a->key_password_file ||
           o->login_given || a->user || a->password_file || a->password_command || a->authzid;
}

/* The queue keeps the name of an account, and a flush goes by all of them: what is said here would be forgotten, or
 * shown to the wrong server (RFC 8314 5.5). */
static int check_queue(const struct send_request *rq)
{
    bool flush = rq->mode == SEND_FLUSH;
    if ((!rq->queue_them && !flush) || !(gives_credentials(&rq->order) || (flush && rq->order.given.host)))
        return EX_OK;
    return send_say(rq, EX_USAGE,
                    "with %s servers, certificates and logins are those of the accounts in send.conf; "
                    "write them there",
                    flush ? "--flush" : "--queue");
}

static int check(const struct send_request *rq)
{
    const struct account *a = &rq->order.given;
    bool works = rq->mode == SEND_NOW;
    if (a->host && rq->order.account)
        return send_say(rq, EX_USAGE,
                        "--host is an account of its own: what belongs to \"%s\" is not for "
                        "another server; leave one of the two out",
                        rq->order.account);
    if (a->port && !a->host)
        return send_say(rq, EX_USAGE, "--port needs --host");
    if (rq->order.wishes.hold_for && rq->order.wishes.hold_until)
        return send_say(rq, EX_USAGE, "either --hold-for or --hold-until");
    if (a->key && !a->certificate)
        return send_say(rq, EX_USAGE, "--key needs --certificate");
    if (a->password_file && a->password_command)
        return send_say(rq, EX_USAGE, "either --password-file or --password-command");
    if (!works && (rq->n_files || rq->order.to.n || rq->order.take_recipients))
        return send_say(rq, EX_USAGE, "with %s no message and no recipient is named",
                        rq->mode == SEND_FLUSH     ? "--flush"
                        : rq->mode == SEND_LIST    ? "--list"
                        : rq->mode == SEND_SESSION ? "-bs"
                                                   : "--release and --delete");
    if (works && rq->order.to.n == 0 && !rq->order.take_recipients)
        return send_say(rq, EX_USAGE,
                        "to whom? Name recipients, or write -t to take them from the message");
    return check_queue(rq);
}

int send_options_read(struct send_request *rq, int argc, char **argv)
{
    struct option longs[N_OPTIONS + 1];
    make_long_options(longs);
    recipients_init(&rq->order.to);
    int c, status = EX_OK;
    optind = 0; /* from the very beginning, should it be called again */
    opterr = 0;
    while (status == EX_OK) {
        int at = MAX(
            optind,
            1); /* of the word the next option stands in, unless words before it are recipients */
        c = getopt_long(argc, argv, ":" SHORT_OPTIONS, longs, NULL);
        if (c == -1)
            break;
        const char *given = c == '?' && optopt == 0 ? argv[optind - 1] : argv[at];
        status = take_option(rq, c, given);
    }
    if (status == EX_OK && !rq->help)
        status = take_words(rq, argc - optind, argv + optind);
    if (status == EX_OK && !rq->help)
        status = check(rq);
    return status;
}

void send_options_done(struct send_request *rq)
{
    recipients_done(&rq->order.to);
    free(rq->files);
    free(rq->from_memory);
    free(rq->envid);
}
