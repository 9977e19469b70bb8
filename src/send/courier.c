#include "send/courier.h"

#include "base/clock.h"
#include "base/table.h"
#include "message/mailboxes.h"
#include "send/mend.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>
#include <sysexits.h>

#define PIECE ((size_t)64 * 1024)
#define ALIAS_MAX ((size_t)4096)

struct courier {
    const struct send_order *order;
    const struct accounts *accounts;
    struct send_self self;
    struct carrier_hooks hooks;
    struct table *aliases; /* NULL: none */
    struct loop *loop;
    const struct account *chosen; /* of the files, NULL: the order describes one */
    struct account account;       /* that, with what the order says about it */
    char *described_from;         /* of an account that the order describes */
    struct carrier *carrier;      /* NULL: none yet */
    const struct account *connected_by;
    struct account connected; /* what the carrier goes by */
};

int courier_fail(char *why, int status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, COURIER_WHY_MAX, fmt, ap);
    va_end(ap);
    return status;
}

/* ---- the account ---- */

/* What the order says goes before what the file says. */
static void merge(struct account *a, const struct send_order *o)
{
    const struct account *given = &o->given;
    const struct {
        const char **to, *from;
    } texts[] = {
        {&a->host,              given->host             },
        {&a->tls_name,          given->tls_name         },
        {&a->ca,                given->ca               },
        {&a->certificate,       given->certificate      },
        {&a->key,               given->key              },
        {&a->key_password_file, given->key_password_file},
        {&a->user,              given->user             },
        {&a->authzid,           given->authzid          },
        {&a->domain,            given->domain           },
        {&a->hostname,          given->hostname         },
    };
    if (given->certificate)
        a->key = a->key_password_file = NULL;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (texts[i].from)
            *texts[i].to = texts[i].from;
    if (given->password_file || given->password_command) {
        a->password_file = given->password_file;
        a->password_command = given->password_command;
    }
    if (given->n_pin) {
        a->pin = given->pin;
        a->n_pin = given->n_pin;
    }
    a->port = given->port ? given->port : a->port;
    a->tls = given->tls ? given->tls : a->tls;
    a->login = o->login_given ? given->login : a->login;
    a->leaves_header = o->complete_header_given ? given->leaves_header : a->leaves_header;
    a->timeout_ms = given->timeout_ms ? given->timeout_ms : a->timeout_ms;
}

static int no_account(const struct courier *c, const char *name, const char *sender, char *why)
{
    char names[300] = "";
    size_t len = 0;
    for (size_t i = 0; i < c->accounts->n && len < sizeof(names); i++)
        len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s", i ? ", " : "",
                                c->accounts->list[i].name);
    if (c->accounts->n == 0)
        return courier_fail(
            why, EX_CONFIG,
            "there is no account; write one into ~/.config/postern/send.conf "
            "(postern-send(1) shows how in five lines), or name a server with --host");
    if (name)
        return courier_fail(why, EX_CONFIG, "there is no account \"%s\"; there are: %s", name,
                            names);
    if (!*sender)
        return courier_fail(
            why, EX_CONFIG,
            "nothing says whose message this is (no From, no -f), and no account is called "
            "\"default\"; there are: %s. Say --account NAME",
            names);
    return courier_fail(why, EX_CONFIG,
                        "no account is for %s, and none is called \"default\"; there are: %s. Say "
                        "--account NAME, or add the address to \"from\" of one",
                        sender, names);
}

/* The file's own mistakes were told when it was read. */
static int check_login(const struct account *a, char *why)
{
    bool password = a->password_file || a->password_command;
    bool certificate = a->login == ACCOUNT_LOGIN_EXTERNAL || a->login == ACCOUNT_LOGIN_IMPLICIT;
    bool by_password = a->login == ACCOUNT_LOGIN_PLAIN || a->login == ACCOUNT_LOGIN_SCRAM;
    if (certificate && !a->certificate)
        return courier_fail(why, EX_CONFIG,
                            "this login is by certificate and there is none; say --certificate FILE");
    if (by_password && !(a->user && password))
        return courier_fail(why, EX_CONFIG,
                            "this login is by password; say --user NAME, and --password-file FILE or "
                            "--password-command COMMAND");
    if (password && !a->user)
        return courier_fail(
            why, EX_CONFIG, "there is a password and nobody it belongs to; say --user NAME");
    return EX_OK;
}

/* TLS is off and something belongs into TLS. */
static int check_merged(const struct account *a, char *why)
{
    if (account_tls_of(a) == ACCOUNT_TLS_OFF &&
        (a->certificate || a->password_file || a->password_command))
        return courier_fail(
            why, EX_CONFIG,
            "without TLS no certificate is shown and no password is sent; leave --tls off "
            "out");
    return check_login(a, why);
}

/* All of it is in the order; the sender named there is who we are. */
static struct account described_account(struct courier *c)
{
    bool named = c->order->from && strchr(c->order->from, '@');
    c->described_from = (char *)(uintptr_t)c->order->from; /* nobody writes to it */
    return (struct account){
        .name = c->order->given.host, .from = &c->described_from, .n_from = named ? 1 : 0};
}

int courier_choose(struct courier *c, const char *name, const char *sender, char *why)
{
    const struct account *list = c->accounts->list, *chosen = NULL;
    size_t n = c->accounts->n;
    bool described = c->order->given.host && !name;
    if (!described)
        chosen = name ? account_named(list, n, name) : account_for(list, n, sender);
    if (!described && !chosen)
        return no_account(c, name, sender, why);
    c->chosen = chosen;
    c->account = chosen ? *chosen : described_account(c);
    merge(&c->account, c->order);
    return check_merged(&c->account, why);
}

static const char *hostname_of(const struct courier *c)
{
    return c->account.hostname ? c->account.hostname : c->self.hostname;
}

static const char *domain_of(const struct courier *c)
{
    const char *address = account_address(&c->account);
    if (c->account.domain)
        return c->account.domain;
    return address ? strrchr(address, '@') + 1 : hostname_of(c);
}

/* ---- senders ---- */

/* "root" -> "root@domain" */
static void qualify(const struct courier *c, const char *address, char ret[SMTP_PATH_MAX + 1])
{
    bool whole = !*address || strchr(address, '@');
    (void)snprintf(ret, SMTP_PATH_MAX + 1, "%s%s%s", address, whole ? "" : "@",
                   whole ? "" : domain_of(c));
}

/* Whose message it is when it does not say. */
static void own_address(const struct courier *c, char ret[SMTP_PATH_MAX + 1])
{
    const char *address = account_address(&c->account);
    if (c->order->from && *c->order->from)
        address = c->order->from;
    qualify(c, address ? address : c->self.user, ret);
}

static void set_reverse_path(const struct courier *c, struct send_message *m, const char *sender)
{
    qualify(c, c->account.sender ? c->account.sender : sender, m->path);
    m->reverse_path = m->path;
}

/* ---- recipients ---- */

/* "root" may be somebody's name elsewhere; "default" stands for every local name without an entry. */
static int put_alias(struct courier *c, struct recipients *to, const char *local, char *why)
{
    CLEANUP(buf_done) struct buf value = BUF_INIT(ALIAS_MAX);
    int r = table_get(c->aliases, str_of(local), &value);
    if (r == -ENOENT)
        r = table_get(c->aliases, STR("default"), &value);
    if (r == -ENOENT && recipients_add(to, str_of(local)) < 0)
        return courier_fail(why, EX_DATAERR, "too many recipients");
    if (r == -ENOENT)
        return EX_OK;
    if (r < 0 || recipients_read(to, buf_str(&value)) <= 0)
        return courier_fail(why, EX_CONFIG, "%s: what stands behind \"%s\" is no list of addresses",
                            table_path(c->aliases), local);
    return EX_OK;
}

static int follow_aliases(struct courier *c, struct recipients *to, char *why)
{
    if (!c->aliases)
        return EX_OK;
    struct recipients out;
    recipients_init(&out);
    int status = EX_OK;
    for (size_t i = 0; status == EX_OK && i < to->n; i++) {
        if (!strchr(to->list[i], '@'))
            status = put_alias(c, &out, to->list[i], why);
        else if (recipients_add(&out, str_of(to->list[i])) < 0)
            status = courier_fail(why, EX_DATAERR, "too many recipients");
    }
    if (status == EX_OK) {
        recipients_done(to);
        *to = out;
    } else {
        recipients_done(&out);
    }
    return status;
}

static int complete_recipients(struct courier *c, struct send_message *m, char *why)
{
    int status = follow_aliases(c, &m->to, why);
    if (status != EX_OK)
        return status;
    if (recipients_complete(&m->to, domain_of(c)) < 0)
        return courier_fail(why, EX_DATAERR, "too many recipients");
    if (m->to.n == 0)
        return courier_fail(why, EX_USAGE,
                            c->order->take_recipients
                                ? "the message names no recipient in To, Cc or Bcc"
                                : "there is no recipient");
    return EX_OK;
}

/* ---- a message comes in ---- */

/* What the message may lack. */
static int make_up(struct courier *c, struct reception *rec, char *why)
{
    char address[SMTP_PATH_MAX + 1];
    uint64_t random = 0;
    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
        random = (uint64_t)clock_monotonic_ms();
    (void)snprintf(rec->id, sizeof(rec->id), "%llx", (unsigned long long)random);
    own_address(c, address);
    const char *name = c->order->full_name ? c->order->full_name : c->self.full_name;
    if (mailbox_write(name, address, &rec->from) < 0)
        return courier_fail(why, EX_USAGE, "the name for the From field is too long");
    return EX_OK;
}

static int cannot_keep(int error, char *why)
{
    return courier_fail(why, EX_CANTCREAT, "cannot keep the message: %s", strerror(-error));
}

int courier_begin(struct courier *c,
                  struct reception *rec,
                  struct send_message *m,
                  const char *sender,
                  bool dot_ends,
                  char *why)
{
    char ignored[COURIER_WHY_MAX];
    *rec = (struct reception){.m = m, .sender = sender, .from = BUF_INIT(4096)};
    /* Nobody knows yet whose message this is; without an account for it the user's own name will do. */
    if (courier_choose(c, c->order->account, sender ? sender : "", ignored) != EX_OK)
        c->account = (struct account){0};
    int status = make_up(c, rec, why);
    struct intake_config cfg = {
        .dot_ends = dot_ends,
        .take_recipients = c->order->take_recipients,
        .from = rec->from.data,
        .hostname = hostname_of(c),
        .id = rec->id,
        .now_ms = clock_wall_ms(),
    };
    m->wishes = c->order->wishes;
    rec->intake = intake_new(&cfg, &m->text, &m->to);
    return status;
}

int courier_piece(struct reception *rec, const char *data, size_t len)
{
    return intake_write(rec->intake, data, len);
}

void courier_dismiss(struct reception *rec)
{
    intake_free(rec->intake);
    buf_done(&rec->from);
}

/* Who sends it, by which account. */
static int find_sender(struct courier *c, const struct reception *rec, char *why)
{
    const struct intake_facts *facts = intake_facts(rec->intake);
    char own[SMTP_PATH_MAX + 1];
    const char *said = rec->sender ? rec->sender : facts->sender;
    int status = courier_choose(c, c->order->account, *said ? said : facts->sender, why);
    if (status != EX_OK)
        return status;
    if (!rec->sender && !*said) {
        own_address(c, own);
        said = own;
    }
    set_reverse_path(c, rec->m, said);
    return EX_OK;
}

/* The text as it can be sent. */
static int mend(struct courier *c, struct reception *rec, char *why)
{
    const struct intake_facts *facts = intake_facts(rec->intake);
    struct mend_config cfg = {.facts = facts,
                              .domain = c->account.leaves_header ? NULL : domain_of(c)};
    char reason[MEND_WHY_MAX];
    int r = mend_text(&rec->m->text, &cfg, &rec->m->body_is_8bit, reason);
    if (r < 0)
        return *reason ? courier_fail(why, EX_DATAERR, "%s", reason) : cannot_keep(r, why);
    if (facts->long_line && c->hooks.note) {
        char text[100];
        (void)snprintf(text, sizeof(text), "line %zu is too long for mail; the text is encoded",
                       facts->long_line);
        c->hooks.note(c->hooks.arg, text);
    }
    return EX_OK;
}

int courier_complete(struct courier *c, struct reception *rec, char *why)
{
    int r = intake_finish(rec->intake);
    if (r < 0 && *intake_why(rec->intake))
        return courier_fail(why, EX_DATAERR, "%s", intake_why(rec->intake));
    if (r < 0)
        return cannot_keep(r, why);
    rec->m->header_is_8bit = intake_facts(rec->intake)->header_is_8bit;
    int status = find_sender(c, rec, why);
    if (status == EX_OK)
        status = mend(c, rec, why);
    return status == EX_OK ? complete_recipients(c, rec->m, why) : status;
}

static int read_all(int fd, struct reception *rec, char *why)
{
    char piece[PIECE];
    for (;;) {
        ssize_t n = read(fd, piece, sizeof(piece));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return courier_fail(why, EX_NOINPUT, "cannot read the message: %s", strerror(errno));
        if (n == 0)
            return EX_OK;
        int r = courier_piece(rec, piece, (size_t)n);
        if (r < 0)
            return cannot_keep(r, why);
        if (intake_facts(rec->intake)->ended)
            return EX_OK;
    }
}

static int add_words(const struct courier *c, struct send_message *m)
{
    for (size_t i = 0; i < c->order->to.n; i++)
        if (recipients_add(&m->to, str_of(c->order->to.list[i])) < 0)
            return -E2BIG;
    return 0;
}

int courier_take_in(struct courier *c, int fd, bool dot_ends, struct send_message *m, char *why)
{
    struct reception rec;
    int status = courier_begin(c, &rec, m, c->order->from, dot_ends, why);
    if (status == EX_OK && add_words(c, m) < 0)
        status = courier_fail(why, EX_USAGE, "too many recipients");
    if (status == EX_OK)
        status = read_all(fd, &rec, why);
    if (status == EX_OK)
        status = courier_complete(c, &rec, why);
    courier_dismiss(&rec);
    return status;
}

/* ---- sending ---- */

/* The connection there is will do when it is by the same account. */
static int connect_by(struct courier *c, char *why)
{
    if (c->carrier && c->connected_by == c->chosen)
        return EX_OK;
    carrier_free(c->carrier);
    c->carrier = NULL;
    c->connected_by = c->chosen;
    c->connected = c->account;
    char reason[CARRIER_WHY_MAX] = "";
    int r = carrier_new(c->loop, &c->connected, hostname_of(c), &c->hooks, &c->carrier, reason);
    return r < 0 ? courier_fail(why, EX_CONFIG, "account %s: %s", c->account.name, reason) : EX_OK;
}

int courier_send(struct courier *c, struct send_message *m, char *why)
{
    int status = connect_by(c, why);
    if (status != EX_OK)
        return status;
    carrier_send(c->carrier, m);
    return EX_OK;
}

/* ---- life ---- */

static int open_all(struct courier *c, char *why)
{
    char reason[TABLE_WHY_MAX];
    const char *aliases = c->accounts->aliases;
    if (aliases && table_open(aliases, true, &c->aliases, reason) < 0)
        return courier_fail(why, EX_CONFIG, "%s", reason);
    if (loop_new(&c->loop) < 0)
        return courier_fail(why, EX_OSERR, "cannot make an event loop: %s", strerror(errno));
    return EX_OK;
}

int courier_new(const struct courier_config *cfg, struct courier **ret, char *why)
{
    struct courier *c = xcalloc(1, sizeof(*c));
    c->order = cfg->order;
    c->accounts = cfg->accounts;
    c->self = cfg->self;
    c->hooks = cfg->hooks;
    int status = open_all(c, why);
    if (status == EX_OK)
        *ret = c;
    else
        courier_free(c);
    return status;
}

void courier_free(struct courier *c)
{
    if (!c)
        return;
    carrier_free(c->carrier);
    loop_free(c->loop);
    table_close(c->aliases);
    free(c);
}

const struct account *courier_account(const struct courier *c)
{
    return &c->account;
}

const struct carrier_facts *courier_facts(const struct courier *c)
{
    return c->carrier ? carrier_facts(c->carrier) : NULL;
}

struct loop *courier_loop(const struct courier *c)
{
    return c->loop;
}
