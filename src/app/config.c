#include "app/config.h"

#include "app/config_internal.h"
#include "conf/setting.h"
#include "conf/suggest.h"
#include "conf/value.h"

#include <errno.h>
#include <netdb.h>
#include <pwd.h>
#include <sched.h>

/* ---- the settings of each block, in the order of postern.conf(5) ---- */

/* Words are stored as the unsigned that gcc and clang make of these enums. */
_Static_assert(sizeof(enum listener_tls) == sizeof(unsigned), "an enum is stored as unsigned");

#define DAY_MS 86400000ull

/* clang-format off */
static const struct setting global_settings[] = {
    {"hostname",  setting_domain, FIELD(config, hostname)},
    {"user",      setting_text,   FIELD(config, user)},
    {"group",     setting_text,   FIELD(config, group)},
    {"workers",   setting_count,  FIELD(config, workers), RANGE(1, 256)},
    {"ticket-key-lifetime", setting_duration, FIELD(config, ticket_key_lifetime_ms), RANGE(1000, 3 * DAY_MS)},
    {"tls-session-cache", setting_count, FIELD(config, tls_session_cache), RANGE(0, 1000000)},
    {"reload-interval", setting_duration, FIELD(config, reload_interval_ms), RANGE(0, DAY_MS)},
    {"auth-threads", setting_count, FIELD(config, auth_threads), RANGE(1, 64)},
    {"ocsp-timeout", setting_duration, FIELD(config, ocsp_timeout_ms), RANGE(1000, 60000)},
    {"log-level", setting_word,   FIELD(config, log_level),
        WORDS({"error", LOG_LEVEL_ERROR}, {"warning", LOG_LEVEL_WARNING}, {"notice", LOG_LEVEL_NOTICE},
              {"info", LOG_LEVEL_INFO}, {"debug", LOG_LEVEL_DEBUG})},
    {0},
};
static const struct setting trust_settings[] = {
    {"ca",           setting_files,  LIST(trust_config, ca)},
    {"crl",          setting_files_or_directories, LIST(trust_config, crl)},
    {"crl-stale",    setting_flag,   FIELD(trust_config, accept_stale_crl),
        WORDS({"refuse", false}, {"accept", true})},
    {"ocsp",         setting_word,   FIELD(trust_config, ocsp),
        WORDS({"off", CERT_OCSP_OFF}, {"soft", CERT_OCSP_SOFT}, {"hard", CERT_OCSP_HARD})},
    {"ocsp-responder", setting_http, FIELD(trust_config, ocsp_responder)},
    {"pin",          setting_pins,   LIST(trust_config, pin)},
    {"key-size-min", setting_count,  FIELD(trust_config, key_size_min), RANGE(2048, 16384)},
    {"strength",     setting_word,   FIELD(trust_config, strength),
        WORDS({"112", 112}, {"128", 128}, {"192", 192})},
    {"depth",        setting_count,  FIELD(trust_config, depth_max), RANGE(1, 10)},
    {"require-eku",  setting_yes_no, FIELD(trust_config, require_eku)},
    {0},
};
static const struct setting identity_settings[] = {
    {"source",  setting_word,  FIELD(identity_config, source),
        WORDS({"san-email", CERT_SOURCE_SAN_EMAIL}, {"san-dns", CERT_SOURCE_SAN_DNS}, {"san-uri", CERT_SOURCE_SAN_URI},
              {"san-upn", CERT_SOURCE_SAN_UPN}, {"san-email-utf8", CERT_SOURCE_SAN_EMAIL_UTF8},
              {"subject-cn", CERT_SOURCE_SUBJECT_CN}, {"subject-email", CERT_SOURCE_SUBJECT_EMAIL},
              {"subject-uid", CERT_SOURCE_SUBJECT_UID}, {"fingerprint", CERT_SOURCE_FINGERPRINT},
              {"public-key", CERT_SOURCE_PUBLIC_KEY}, {"issuer-serial", CERT_SOURCE_ISSUER_SERIAL})},
    {"subject", setting_text,  FIELD(identity_config, subject)},
    {"pattern", setting_text,  FIELD(identity_config, pattern)},
    {"name",    setting_text,  FIELD(identity_config, template)},
    {"table",   setting_file,  FIELD(identity_config, table)},
    {"trust",   setting_names, LIST(identity_config, trust)},
    {0},
};
static const struct setting limits_settings[] = {
    {"messages-per-minute",   setting_count, FIELD(limits_config, messages_per_minute), RANGE(0, 1000000)},
    {"messages-per-day",      setting_count, FIELD(limits_config, messages_per_day), RANGE(0, 100000000)},
    {"recipients-per-minute", setting_count, FIELD(limits_config, recipients_per_minute), RANGE(0, 1000000)},
    {"recipients-per-day",    setting_count, FIELD(limits_config, recipients_per_day), RANGE(0, 100000000)},
    {"sessions",              setting_count, FIELD(limits_config, sessions), RANGE(0, 1000000)},
    {0},
};
static const struct setting passwords_settings[] = {
    {"table",           setting_file,     FIELD(passwords_config, table)},
    {"dovecot",         setting_path,     FIELD(passwords_config, dovecot)},
    {"failures",        setting_count,    FIELD(passwords_config, failures_max), RANGE(0, 1000000)},
    {"failures-window", setting_duration, FIELD(passwords_config, failures_window_ms), RANGE(1000, DAY_MS)},
    {"failure-delay",   setting_duration, FIELD(passwords_config, failure_delay_ms), RANGE(0, 60000)},
    {0},
};
static const struct setting listener_settings[] = {
    {"address",            setting_addresses,    LIST(listener_config, addresses)},
    {"role",               setting_word,         FIELD(listener_config, role),
        WORDS({"submission", ROLE_SUBMISSION}, {"relay", ROLE_RELAY})},
    {"tls",                setting_word,         FIELD(listener_config, tls),
        WORDS({"starttls", LISTENER_TLS_STARTTLS}, {"implicit", LISTENER_TLS_IMPLICIT}, {"none", LISTENER_TLS_NONE})},
    {"require-tls",        setting_yes_no,       FIELD(listener_config, require_tls)},
    {"certificate",        setting_file_or_uri,  FIELD(listener_config, certificate)},
    {"key",                setting_file_or_uri,  FIELD(listener_config, key)},
    {"key-password-file",  setting_file,         FIELD(listener_config, key_password_file)},
    {"client-certificate", setting_word,         FIELD(listener_config, client_certificate),
        WORDS({"off", TLS_CLIENT_CERT_OFF}, {"request", TLS_CLIENT_CERT_REQUEST}, {"require", TLS_CLIENT_CERT_REQUIRE})},
    {"certificate-auth",   setting_word,         FIELD(listener_config, cert_auth),
        WORDS({"off", CERT_AUTH_OFF}, {"explicit", CERT_AUTH_EXPLICIT}, {"implicit", CERT_AUTH_IMPLICIT})},
    {"trust",              setting_names,        LIST(listener_config, trust)},
    {"authzid",            setting_word,         FIELD(listener_config, authz),
        WORDS({"match", AUTHZ_MATCH}, {"ignore", AUTHZ_IGNORE}, {"table", AUTHZ_TABLE})},
    {"may-act-as",         setting_file,         FIELD(listener_config, may_act_as)},
    {"aliases",            setting_file,         FIELD(listener_config, aliases)},
    {"disabled",           setting_file,         FIELD(listener_config, disabled)},
    {"limits",             setting_text,         FIELD(listener_config, limits)},
    {"passwords",          setting_text,         FIELD(listener_config, passwords)},
    {"mechanisms",         setting_set,          FIELD(listener_config, mechanisms),
        WORDS({"plain", MECHANISM_PLAIN}, {"login", MECHANISM_LOGIN}, {"scram-sha-256", MECHANISM_SCRAM},
              {"scram-sha-256-plus", MECHANISM_SCRAM_PLUS})},
    {"require",            setting_word,         FIELD(listener_config, need),
        WORDS({"any", NEED_ANY}, {"certificate", NEED_CERTIFICATE}, {"password", NEED_PASSWORD},
              {"certificate+password", NEED_BOTH})},
    {"sender",             setting_word,         FIELD(listener_config, sender),
        WORDS({"own", SENDER_OWN}, {"any", SENDER_ANY}, {"domain", SENDER_DOMAIN}, {"table", SENDER_TABLE})},
    {"senders",            setting_file,         FIELD(listener_config, senders)},
    {"header-from",        setting_word,         FIELD(listener_config, header_from),
        WORDS({"ignore", HEADER_FROM_IGNORE}, {"reject", HEADER_FROM_REJECT}, {"add-sender", HEADER_FROM_ADD_SENDER})},
    {"peers",              setting_fingerprints, LIST(listener_config, peers)},
    {"proxy-protocol",     setting_ranges,       LIST(listener_config, proxies)},
    {"xclient",            setting_ranges,       LIST(listener_config, xclients)},
    {"workarounds",        setting_words,        FIELD(listener_config, workarounds),
        WORDS({"auth-answered-by-command", WORKAROUND_AUTH_ANSWERED_BY_COMMAND})},
    {"no-extensions",      setting_set,          FIELD(listener_config, hidden_extensions),
        WORDS({"8bitmime", SMTP_SET(SMTP_EXT_8BITMIME)}, {"binarymime", SMTP_SET(SMTP_EXT_BINARYMIME)},
              {"chunking", SMTP_SET(SMTP_EXT_CHUNKING)}, {"deliverby", SMTP_SET(SMTP_EXT_DELIVERBY)},
              {"dsn", SMTP_SET(SMTP_EXT_DSN)}, {"limits", SMTP_SET(SMTP_EXT_LIMITS)},
              {"mt-priority", SMTP_SET(SMTP_EXT_MT_PRIORITY)}, {"pipelining", SMTP_SET(SMTP_EXT_PIPELINING)},
              {"requiretls", SMTP_SET(SMTP_EXT_REQUIRETLS)}, {"size", SMTP_SET(SMTP_EXT_SIZE)},
              {"smtputf8", SMTP_SET(SMTP_EXT_SMTPUTF8)})},
    {"future-release",     setting_duration,     FIELD(listener_config, hold_max_ms), RANGE(0, 366 * DAY_MS)},
    {"priority-max",       setting_count,        FIELD(listener_config, priority_max), RANGE(0, SMTP_PRIORITY_MAX)},
    {"priorities",         setting_file,         FIELD(listener_config, priorities)},
    {"priority-above",     setting_word,         FIELD(listener_config, priority_above),
        WORDS({"lower", PRIORITY_ABOVE_LOWER}, {"refuse", PRIORITY_ABOVE_REFUSE})},
    {"message-size",       setting_size,         FIELD(listener_config, message_size_max), .min = 1024},
    {"recipients",         setting_count,        FIELD(listener_config, recipients_max), RANGE(1, 100000)},
    {"errors",             setting_count,        FIELD(listener_config, errors_max), RANGE(0, 100000)},
    {"connections",        setting_count,        FIELD(listener_config, connections_max), RANGE(1, 1000000)},
    {"connections-per-client", setting_count,    FIELD(listener_config, client_connections_max), RANGE(0, 1000000)},
    {"timeout",            setting_duration,     FIELD(listener_config, timeout_ms), RANGE(1000, DAY_MS)},
    {"login-timeout",      setting_duration,     FIELD(listener_config, login_timeout_ms), RANGE(0, DAY_MS)},
    {0},
};
static const struct setting spool_settings[] = {
    {"database", setting_database, FIELD(config, spool.database)},
    {"min-free", setting_size,     FIELD(config, spool.min_free_bytes)},
    {"max-size", setting_size,     FIELD(config, spool.max_bytes)},
    {0},
};
static void no_password(struct loader *l, const struct conf_node *n, const struct setting *s, void *block);
static const struct setting route_settings[] = {
    {"smtp",        setting_text,   FIELD(route_draft, smtp)},
    {"lmtp",        setting_text,   FIELD(route_draft, lmtp)},
    {"maildir",     setting_path,   FIELD(route_draft, maildir)},
    {"discard",     setting_yes_no, FIELD(route_draft, discard)},
    {"tls",         setting_word,   FIELD(route_draft, tls),
        WORDS({"off", TLS_WORD_OFF}, {"opportunistic", TLS_WORD_OPPORTUNISTIC}, {"require", TLS_WORD_REQUIRE},
              {"verify", TLS_WORD_VERIFY}, {"implicit", TLS_WORD_IMPLICIT})},
    {"tls-name",    setting_domain, FIELD(route_draft, tls_name)},
    {"ca",          setting_file,   FIELD(route_draft, ca)},
    {"certificate", setting_file_or_uri, FIELD(route_draft, certificate)},
    {"key",         setting_file_or_uri, FIELD(route_draft, key)},
    {"key-password-file", setting_file, FIELD(route_draft, key_password_file)},
    {"login",       setting_word,   FIELD(route_draft, login),
        WORDS({"none", ROUTE_LOGIN_NONE}, {"auto", ROUTE_LOGIN_AUTO}, {"external", ROUTE_LOGIN_EXTERNAL},
              {"implicit", ROUTE_LOGIN_IMPLICIT}, {"scram", ROUTE_LOGIN_SCRAM}, {"plain", ROUTE_LOGIN_PLAIN})},
    {"user",        setting_text,   FIELD(route_draft, user)},
    {"password-file", setting_file, FIELD(route_draft, password_file)},
    {"password",    no_password,    .field = 0},
    {"connections", setting_count,  FIELD(route_draft, connections_max), RANGE(1, 1000)},
    {0},
};
static const struct setting delivery_settings[] = {
    {"retry-min",        setting_duration, FIELD(config, relay.retry_min_ms), RANGE(1000, DAY_MS)},
    {"retry-max",        setting_duration, FIELD(config, relay.retry_max_ms), RANGE(1000, 7 * DAY_MS)},
    {"expire",           setting_duration, FIELD(config, relay.expire_ms), RANGE(1000, 60 * DAY_MS)},
    {"delay-warning",    setting_duration, FIELD(config, relay.delay_warning_ms), RANGE(0, 60 * DAY_MS)},
    {"connect-timeout",  setting_duration, FIELD(config, relay.timeouts.connect_ms), RANGE(1000, DAY_MS)},
    {"greeting-timeout", setting_duration, FIELD(config, relay.timeouts.greeting_ms), RANGE(1000, DAY_MS)},
    {"command-timeout",  setting_duration, FIELD(config, relay.timeouts.command_ms), RANGE(1000, DAY_MS)},
    {"data-timeout",     setting_duration, FIELD(config, relay.timeouts.data_ms), RANGE(1000, DAY_MS)},
    {"text-timeout",     setting_duration, FIELD(config, relay.timeouts.text_ms), RANGE(1000, DAY_MS)},
    {"final-timeout",    setting_duration, FIELD(config, relay.timeouts.final_ms), RANGE(1000, DAY_MS)},
    {"idle-timeout",     setting_duration, FIELD(config, relay.timeouts.idle_ms), RANGE(1000, DAY_MS)},
    {"concurrency",      setting_count,    FIELD(config, relay.deliveries_max), RANGE(1, 10000)},
    {"downgrade",        setting_flag,     FIELD(config, relay.bounces_8bit), WORDS({"convert", false}, {"bounce", true})},
    {"postmaster",       setting_text,     FIELD(config, relay.postmaster)},
    {0},
};
static const struct setting message_settings[] = {
    {"add-date",       setting_yes_no, FIELD(config, message.add_date)},
    {"add-message-id", setting_yes_no, FIELD(config, message.add_message_id)},
    {"remove-bcc",     setting_yes_no, FIELD(config, message.remove_bcc)},
    {"replace-date",   setting_yes_no, FIELD(config, message.replace_date)},
    {"defects",        setting_flag,   FIELD(config, message.refuses_defects), WORDS({"accept", false}, {"refuse", true})},
    {"complete-domain", setting_domain, FIELD(config, message.complete_domain)},
    {"hops",           setting_count,  FIELD(config, message.hops_max), RANGE(10, 1000)},
    {0},
};
static const struct setting metrics_settings[] = {
    {"address", setting_address, FIELD(config, metrics_address)},
    {0},
};
/* clang-format on */

/* Asked for so often that the answer deserves words of its own. */
static void no_password(struct loader *l, const struct conf_node *n, const struct setting *s, void *block)
{
    (void)s;
    (void)block;
    loader_mistake(l, n,
                   "a password does not stand in this file; write it into one of its own that only root can "
                   "read, and password-file = \"FILE\"");
}

/* ---- one block ---- */

static char *name_of(struct loader *l, const struct conf_node *block)
{
    return loader_keep(l, block->title ? block->title : "");
}

static void load_trust(struct loader *l, struct config *c, const struct conf_node *b, size_t i)
{
    struct trust_config *t = &c->trusts[i];
    *t = (struct trust_config){.name = name_of(l, b)};
    c->trust_places[i] = (struct config_place){b->file, b->line};
    setting_read_all(l, b, trust_settings, t);
    rules_trust(l, b, t);
}

static void load_identity(struct loader *l, struct config *c, const struct conf_node *b, size_t i)
{
    struct identity_config *id = &c->identities[i];
    *id = (struct identity_config){.name = name_of(l, b)};
    c->identity_places[i] = (struct config_place){b->file, b->line};
    setting_read_all(l, b, identity_settings, id);
    rules_identity(l, b, id);
}

static void load_limits(struct loader *l, struct config *c, const struct conf_node *b, size_t i)
{
    c->limits[i] = (struct limits_config){.name = name_of(l, b)};
    setting_read_all(l, b, limits_settings, &c->limits[i]);
}

static void load_passwords(struct loader *l, struct config *c, const struct conf_node *b, size_t i)
{
    struct passwords_config *p = &c->passwords[i];
    c->passwords_places[i] = (struct config_place){b->file, b->line};
    *p = (struct passwords_config){.name = name_of(l, b),
                                   .failures_max = 10,
                                   .failures_window_ms = 600000,
                                   .failure_delay_ms = 2000};
    setting_read_all(l, b, passwords_settings, p);
    rules_passwords(l, b, p);
}

static void load_listener(struct loader *l, struct config *c, const struct conf_node *b, size_t i)
{
    struct listener_config *ls = &c->listeners[i];
    *ls = (struct listener_config){
        .name = name_of(l, b),
        .tls = LISTENER_TLS_STARTTLS,
        .mechanisms = MECHANISM_PLAIN,
        .workarounds = WORKAROUND_AUTH_ANSWERED_BY_COMMAND,
        .hold_max_ms = 30 * DAY_MS,
        .message_size_max = 50ull << 20,
        .recipients_max = 1000,
        .errors_max = 20,
        .connections_max = 10000,
        .client_connections_max = 50,
        .timeout_ms = 300000,
        .login_timeout_ms = 600000,
        .line = b->line,
    };
    c->listener_places[i] = (struct config_place){b->file, b->line};
    setting_read_all(l, b, listener_settings, ls);
    rules_listener(l, b, ls);
}

static void load_route(struct loader *l, struct config *c, const struct conf_node *b, size_t i)
{
    struct route_config *routes = NULL;
    memcpy(&routes, &c->relay.routes,
           sizeof(routes)); /* ours until config_load() returns: const only for the relay */
    struct route_draft draft = {0};
    c->route_places[i] = (struct config_place){b->file, b->line};
    setting_read_all(l, b, route_settings, &draft);
    rules_route(l, b, &draft, &routes[i]);
}

static void load_spool(struct loader *l, struct config *c, const struct conf_node *b, size_t i)
{
    (void)i;
    c->spool_place = (struct config_place){b->file, b->line};
    setting_read_all(l, b, spool_settings, c);
}

static void load_delivery(struct loader *l, struct config *c, const struct conf_node *b, size_t i)
{
    (void)i;
    setting_read_all(l, b, delivery_settings, c);
}

static void load_metrics(struct loader *l, struct config *c, const struct conf_node *b, size_t i)
{
    (void)i;
    setting_read_all(l, b, metrics_settings, c);
    if (!c->metrics_address && !conf_find(b, "address"))
        loader_mistake(l, b, "\"metrics\" has no address; write address = \"127.0.0.1:9925\"");
}

static void load_message(struct loader *l, struct config *c, const struct conf_node *b, size_t i)
{
    (void)i;
    setting_read_all(l, b, message_settings, c);
}

/* ---- the whole ---- */

struct block_kind {
    const char *name;
    const char
        *title; /* what the title says, for messages; NULL: a block without one, written once */
    void (*load)(struct loader *l, struct config *c, const struct conf_node *b, size_t i);
};

static const struct block_kind block_kinds[] = {
    {"trust",    "NAME",   load_trust   },
    {"identity", "NAME",   load_identity},
    {"limits", "NAME", load_limits},
    {"passwords", "NAME", load_passwords},
    {"listener", "NAME",   load_listener},
    {"spool",    NULL,     load_spool   },
    {"route",    "DOMAIN", load_route   },
    {"delivery", NULL,     load_delivery},
    {"message",  NULL,     load_message },
    {"metrics",  NULL,     load_metrics },
};

static const struct block_kind *find_kind(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(block_kinds); i++) {
        if (strcmp(block_kinds[i].name, name) == 0)
            return &block_kinds[i];
    }
    return NULL;
}

static void unknown_block(struct loader *l, const struct conf_node *n)
{
    const char *names[ARRAY_LEN(block_kinds)];
    for (size_t i = 0; i < ARRAY_LEN(block_kinds); i++)
        names[i] = block_kinds[i].name;
    const char *near = suggest(n->name, names, ARRAY_LEN(names));
    if (setting_find(global_settings, n->name))
        loader_mistake(l, n, "\"%s\" is a setting, not a block; write %s = VALUE", n->name,
                       n->name);
    else if (near)
        loader_mistake(l, n, "unknown block \"%s\"; did you mean \"%s\"?", n->name, near);
    else
        loader_mistake(l, n,
                       "unknown block \"%s\"; there are trust, identity, limits, passwords, listener, spool, "
                       "route, delivery, message and metrics",
                       n->name);
}

static void check_title(struct loader *l, const struct conf_node *n, const struct block_kind *kind)
{
    if (kind->title && !n->title)
        loader_mistake(l, n, "this \"%s\" has no name; write %s %s { ... }", n->name, n->name,
                       kind->title);
    else if (!kind->title && n->title)
        loader_mistake(l, n, "\"%s\" takes no name; write %s { ... }", n->name, n->name);
    else if (kind->title && kind->load != load_route && !value_is_name(n->title))
        loader_mistake(
            l, n,
            "\"%s\" is no name for \"%s\"; use at most %d letters, digits, \"-\", \"_\" and \".\"",
            n->title, n->name, VALUE_NAME_MAX);
    for (const struct conf_node *b = l->root->items; b != n; b = b->next) {
        if (!b->is_block || strcmp(b->name, n->name) != 0)
            continue;
        if (!kind->title)
            loader_mistake(l, n,
                           "\"%s\" is written twice, first on line %u; put both into one block",
                           n->name, b->line);
        else if (n->title && b->title && strcasecmp(b->title, n->title) == 0)
            loader_mistake(l, n, "\"%s %s\" is written twice, first on line %u; keep one", n->name,
                           n->title, b->line);
        else
            continue;
        return;
    }
}

static size_t count_blocks(const struct conf_node *root, const char *name)
{
    size_t count = 0;
    for (const struct conf_node *n = root->items; n; n = n->next)
        count += n->is_block && strcmp(n->name, name) == 0;
    return count;
}

/* Room for every block, and for the identity rule that stands when none is written. */
static bool make_room(struct loader *l, struct config *c)
{
    c->n_trusts = count_blocks(l->root, "trust");
    c->n_identities = count_blocks(l->root, "identity");
    c->n_limits = count_blocks(l->root, "limits");
    c->n_passwords = count_blocks(l->root, "passwords");
    c->n_listeners = count_blocks(l->root, "listener");
    c->relay.n_routes = count_blocks(l->root, "route");
    c->trusts = loader_room(l, (c->n_trusts + 1) * sizeof(*c->trusts));
    c->identities = loader_room(l, (c->n_identities + 1) * sizeof(*c->identities));
    c->limits = loader_room(l, (c->n_limits + 1) * sizeof(*c->limits));
    c->passwords = loader_room(l, (c->n_passwords + 1) * sizeof(*c->passwords));
    c->listeners = loader_room(l, (c->n_listeners + 1) * sizeof(*c->listeners));
    c->relay.routes = loader_room(l, (c->relay.n_routes + 1) * sizeof(*c->relay.routes));
    c->trust_places = loader_room(l, (c->n_trusts + 1) * sizeof(*c->trust_places));
    c->identity_places = loader_room(l, (c->n_identities + 1) * sizeof(*c->identity_places));
    c->passwords_places = loader_room(l, (c->n_passwords + 1) * sizeof(*c->passwords_places));
    c->listener_places = loader_room(l, (c->n_listeners + 1) * sizeof(*c->listener_places));
    c->route_places = loader_room(l, (c->relay.n_routes + 1) * sizeof(*c->route_places));
    return l->error == 0;
}

static void load_items(struct loader *l, struct config *c)
{
    size_t seen[ARRAY_LEN(block_kinds)] = {0};
    for (const struct conf_node *n = l->root->items; n; n = n->next) {
        const struct block_kind *kind = find_kind(n->name);
        if (!n->is_block && kind) {
            loader_mistake(l, n, "\"%s\" is a block; write %s %s%s{ ... }", n->name, n->name,
                           kind->title ? kind->title : "", kind->title ? " " : "");
        } else if (!n->is_block) {
            setting_read(l, l->root, n, global_settings, c);
        } else if (!kind) {
            unknown_block(l, n);
        } else {
            check_title(l, n, kind);
            kind->load(l, c, n, seen[kind - block_kinds]++);
        }
    }
}

/* The machine's fully qualified name as the resolver knows it; its bare name when it knows none. */
static char *machine_name(struct loader *l)
{
    char name[256] = "localhost";
    if (gethostname(name, sizeof(name) - 1) < 0)
        return loader_keep(l, "localhost");
    struct addrinfo hints = {.ai_flags = AI_CANONNAME, .ai_socktype = SOCK_STREAM}, *found = NULL;
    const char *best = name;
    if (!strchr(name, '.') && getaddrinfo(name, NULL, &hints, &found) == 0 && found->ai_canonname &&
        value_is_domain(found->ai_canonname))
        best = found->ai_canonname;
    char *copy = loader_keep(l, best);
    if (found)
        freeaddrinfo(found);
    return copy;
}

static unsigned processors(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    return n < 1 ? 1 : n > 256 ? 256 : (unsigned)n;
}

static void fill_defaults(struct loader *l, struct config *c)
{
    if (!c->hostname)
        c->hostname = machine_name(l);
    c->relay.hostname = c->hostname;
    if (c->workers == 0)
        c->workers = processors();
    if (!c->user && geteuid() == 0 && getpwnam("postern"))
        c->user = loader_keep(l, "postern");
    if (c->n_identities == 0) {
        c->n_identities = 1;
        c->identity_places[0] = (struct config_place){c->path, 1};
        c->identities[0] = (struct identity_config){.name = loader_keep(l, "san-email"),
                                                    .source = CERT_SOURCE_SAN_EMAIL};
    }
}

static struct config *new_config(void)
{
    struct config *c = xcalloc(1, sizeof(*c));
    arena_init(&c->memory, LOADER_MEMORY_MAX);
    c->log_level = LOG_LEVEL_INFO;
    c->ocsp_timeout_ms = 5000;
    c->reload_interval_ms = 2000;
    c->ticket_key_lifetime_ms = DAY_MS / 2;
    c->tls_session_cache = 4096;
    c->auth_threads = 2;
    c->spool.database = "/var/lib/postern/spool.db";
    c->message = (struct message_config){
        .add_date = true, .add_message_id = true, .remove_bcc = true, .replace_date = true, .hops_max = 100};
    return c;
}

int config_read(const char *path, struct config **ret, loader_finding_fn *report, void *arg)
{
    struct config *c = new_config();
    struct loader l = {.memory = &c->memory, .report = report, .arg = arg};
    c->path = loader_keep(&l, path);
    c->spool_place = (struct config_place){c->path, 1};
    if (loader_read(&l, path) && make_room(&l, c)) {
        load_items(&l, c);
        fill_defaults(&l, c);
        rules_whole(&l, c);
    }
    int r = loader_finish(&l);
    if (r != 0) {
        config_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

int config_load(const char *path, struct config **ret, loader_line_fn *report, void *arg)
{
    struct loader_lines to = {report, arg};
    return config_read(path, ret, loader_report_line, &to);
}

void config_free(struct config *c)
{
    if (!c)
        return;
    arena_done(&c->memory);
    free(c);
}

const struct trust_config *config_trust(const struct config *c, const char *name)
{
    for (size_t i = 0; i < c->n_trusts; i++) {
        if (strcmp(c->trusts[i].name, name) == 0)
            return &c->trusts[i];
    }
    return NULL;
}
