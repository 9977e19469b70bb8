#include "send/accounts.h"

#include "base/file.h"
#include "conf/setting.h"
#include "conf/suggest.h"
#include "conf/value.h"

#include <errno.h>
#include <stdio.h>

#define TIMEOUT_MS_MAX ((uint64_t)3600000)

/* "~/x" is x at home. */
static void
read_file_name(struct loader *l, const struct conf_node *n, const struct setting *s, void *block)
{
    const char *home = getenv("HOME");
    if (!n->values || n->is_list || strncmp(n->values->text, "~/", 2) != 0 || !home) {
        setting_path(l, n, s, block);
        return;
    }
    size_t size = strlen(home) + strlen(n->values->text);
    char *path = loader_room(l, size);
    if (path)
        (void)snprintf(path, size, "%s%s", home, n->values->text + 1);
    memcpy((char *)block + s->field, &path, sizeof(path));
}

static void
read_file_or_uri(struct loader *l, const struct conf_node *n, const struct setting *s, void *block)
{
    if (n->values && !n->is_list && file_is_uri(n->values->text))
        setting_text(l, n, s, block);
    else
        read_file_name(l, n, s, block);
}

/* Asked for so often that the answer deserves words of its own. */
static void
read_password(struct loader *l, const struct conf_node *n, const struct setting *s, void *block)
{
    (void)s;
    (void)block;
    loader_mistake(l, n,
                   "a password does not stand in this file; write it into one of its own that only "
                   "you can read, and password-file = \"FILE\", or password-command = \"COMMAND\"");
}

static void
read_host(struct loader *l, const struct conf_node *n, const struct setting *s, void *block)
{
    struct account *a = block;
    (void)s;
    if (!n->values || n->is_list || !*n->values->text) {
        loader_mistake(l, n, "\"host\" names one server; write host = \"mail.example.org\"");
        return;
    }
    const char *port = NULL;
    uint64_t number = 0;
    if (value_host_port(n->values->text, "0", l->memory, &a->host, &port) < 0 ||
        str_to_u64(str_of(port), 65535, &number) < 0)
        loader_mistake(l, n,
                       "\"%s\" is no server; write host = \"mail.example.org\", "
                       "\"mail.example.org:587\", or \"[2001:db8::1]:587\"",
                       n->values->text);
    else if (number)
        a->port = (unsigned)number;
}

/* clang-format off */
static const struct setting account_settings[] = {
    {"host",             read_host},
    {"port",             setting_count,    FIELD(account, port), RANGE(1, 65535)},
    {"tls",              setting_word,     FIELD(account, tls),
        WORDS({"implicit", ACCOUNT_TLS_IMPLICIT}, {"starttls", ACCOUNT_TLS_STARTTLS}, {"off", ACCOUNT_TLS_OFF})},
    {"tls-name",         setting_domain,   FIELD(account, tls_name)},
    {"ca",               read_file_name,   FIELD(account, ca)},
    {"pin",              setting_pins,     LIST(account, pin)},
    {"certificate",      read_file_or_uri, FIELD(account, certificate)},
    {"key",              read_file_or_uri, FIELD(account, key)},
    {"key-password-file", read_file_name,  FIELD(account, key_password_file)},
    {"login",            setting_word,     FIELD(account, login),
        WORDS({"auto", ACCOUNT_LOGIN_AUTO}, {"external", ACCOUNT_LOGIN_EXTERNAL}, {"implicit", ACCOUNT_LOGIN_IMPLICIT},
              {"plain", ACCOUNT_LOGIN_PLAIN}, {"scram", ACCOUNT_LOGIN_SCRAM}, {"none", ACCOUNT_LOGIN_NONE})},
    {"user",             setting_text,     FIELD(account, user)},
    {"password-file",    read_file_name,   FIELD(account, password_file)},
    {"password-command", setting_text,     FIELD(account, password_command)},
    {"password",         read_password},
    {"authzid",          setting_text,     FIELD(account, authzid)},
    {"from",             setting_names,    LIST(account, from)},
    {"sender",           setting_text,     FIELD(account, sender)},
    {"domain",           setting_domain,   FIELD(account, domain)},
    {"complete-header",  setting_flag,     FIELD(account, leaves_header), WORDS({"yes", false}, {"no", true})},
    {"hostname",         setting_domain,   FIELD(account, hostname)},
    {"timeout",          setting_duration, FIELD(account, timeout_ms), RANGE(1000, TIMEOUT_MS_MAX)},
    {0},
};
static const struct setting global_settings[] = {
    {"aliases",          read_file_name,   FIELD(accounts, aliases)},
    {0},
};
/* clang-format on */

/* ---- what must hold between settings ---- */

static void check_login(struct loader *l, const struct conf_node *b, const struct account *a)
{
    bool password = a->password_file || a->password_command;
    bool certificate = a->login == ACCOUNT_LOGIN_EXTERNAL || a->login == ACCOUNT_LOGIN_IMPLICIT;
    bool by_password = a->login == ACCOUNT_LOGIN_PLAIN || a->login == ACCOUNT_LOGIN_SCRAM;
    if (certificate && !a->certificate)
        loader_mistake(
            l, conf_place(b, "login"),
            "this login is by certificate and there is none; write certificate = \"FILE\"");
    if (by_password && (!a->user || !password))
        loader_mistake(l, conf_place(b, "login"),
                       "this login is by password; write user = \"NAME\" and password-file = "
                       "\"FILE\" or password-command = \"COMMAND\"");
    if (a->password_file && a->password_command)
        loader_mistake(l, conf_place(b, "password-command"),
                       "the password comes from a file or from a command; keep one of the two");
    if (password && !a->user)
        loader_mistake(l, conf_place(b, a->password_file ? "password-file" : "password-command"),
                       "there is a password and nobody it belongs to; write user = \"NAME\"");
}

static void check_account(struct loader *l, const struct conf_node *b, const struct account *a)
{
    if (!a->host && !conf_find(b, "host"))
        loader_mistake(l, b, "account \"%s\" names no server; write host = \"mail.example.org\"",
                       a->name);
    if (a->n_pin > ACCOUNT_PINS_MAX)
        loader_mistake(l, conf_place(b, "pin"), "an account has at most %d pins", ACCOUNT_PINS_MAX);
    if (a->key && !a->certificate)
        loader_mistake(l, conf_place(b, "key"),
                       "there is a key without its certificate; write certificate = \"FILE\"");
    if (a->tls == ACCOUNT_TLS_OFF &&
        (a->certificate || a->password_file || a->password_command || a->ca || a->n_pin))
        loader_mistake(l, conf_place(b, "tls"),
                       "without TLS no certificate is shown and no password is sent; leave them "
                       "out, or tls = off");
    check_login(l, b, a);
}

/* ---- the file ---- */

static void load_account(struct loader *l,
                         const struct conf_node *b,
                         bool system,
                         struct account *a,
                         const struct conf_node *root)
{
    *a = (struct account){.name = loader_keep(l, b->title ? b->title : ""),
                          .file = b->file,
                          .line = b->line,
                          .system = system};
    if (!b->title)
        loader_mistake(l, b, "this account has no name; write account work { ... }");
    else if (!value_is_name(b->title))
        loader_mistake(l, b,
                       "\"%s\" is no name for an account; use letters, digits, \"-\", \"_\" "
                       "and \".\"",
                       b->title);
    for (const struct conf_node *n = root->items; b->title && n != b; n = n->next)
        if (n->is_block && n->title && strcmp(n->title, b->title) == 0)
            loader_mistake(l, b, "account \"%s\" is written twice, first on line %u; keep one",
                           b->title, n->line);
    setting_read_all(l, b, account_settings, a);
    check_account(l, b, a);
}

static void unknown_item(struct loader *l, const struct conf_node *n)
{
    static const char *const names[] = {"account"};
    if (n->is_block && suggest(n->name, names, ARRAY_LEN(names)))
        loader_mistake(l, n, "unknown block \"%s\"; did you mean \"account\"?", n->name);
    else if (n->is_block)
        loader_mistake(l, n, "unknown block \"%s\"; there is account NAME { ... }", n->name);
    else if (setting_find(account_settings, n->name))
        loader_mistake(l, n, "\"%s\" belongs into an account; write account NAME { %s = ... }",
                       n->name, n->name);
}

static size_t count_accounts(const struct conf_node *root)
{
    size_t n = 0;
    for (const struct conf_node *b = root->items; b; b = b->next)
        n += b->is_block && strcmp(b->name, "account") == 0;
    return n;
}

static void load(struct loader *l, const struct conf_node *root, bool system, struct accounts *into)
{
    struct account *all = loader_room(l, (into->n + count_accounts(root) + 1) * sizeof(*all));
    if (!all)
        return;
    if (into->n)
        memcpy(all, into->list, into->n * sizeof(*all));
    into->list = all;
    for (const struct conf_node *n = root->items; n; n = n->next) {
        if (n->is_block && strcmp(n->name, "account") == 0)
            load_account(l, n, system, &all[into->n++], root);
        else if (n->is_block || setting_find(account_settings, n->name))
            unknown_item(l, n);
        else
            setting_read(l, root, n, global_settings, into);
    }
}

int accounts_read(struct accounts *into,
                  const char *path,
                  bool system,
                  bool must_exist,
                  loader_line_fn *report,
                  void *arg)
{
    if (into->memory.max == 0)
        arena_init(&into->memory, LOADER_MEMORY_MAX);
    if (!must_exist && access(path, F_OK) < 0 && (errno == ENOENT || errno == ENOTDIR))
        return 0;
    struct loader_lines lines = {report, arg};
    struct loader l = {.memory = &into->memory, .report = loader_report_line, .arg = &lines};
    if (loader_read(&l, path))
        load(&l, l.root, system, into);
    return loader_finish(&l);
}

void accounts_done(struct accounts *c)
{
    arena_done(&c->memory);
    *c = (struct accounts){0};
}
