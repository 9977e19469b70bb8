#include "app/config_internal.h"

#include "conf/suggest.h"
#include "conf/value.h"
#include "smtp/address.h"

#include <grp.h>
#include <pwd.h>

static bool is_written(const struct conf_node *block, const char *name)
{
    return conf_find(block, name) != NULL;
}

static bool trust_exists(struct loader *l, const char *name)
{
    for (const struct conf_node *n = l->root->items; n; n = n->next) {
        if (n->is_block && strcmp(n->name, "trust") == 0 && n->title && strcmp(n->title, name) == 0)
            return true;
    }
    return false;
}

static const char *trust_near(struct loader *l, const char *name)
{
    const char *names[64];
    size_t count = 0;
    for (const struct conf_node *n = l->root->items; n && count < ARRAY_LEN(names); n = n->next) {
        if (n->is_block && strcmp(n->name, "trust") == 0 && n->title)
            names[count++] = n->title;
    }
    return suggest(name, names, count);
}

static void check_trust_names(struct loader *l,
                              const struct conf_node *block,
                              char *const *names,
                              size_t n_names)
{
    const struct conf_node *at = conf_place(block, "trust");
    for (size_t i = 0; i < n_names; i++) {
        if (trust_exists(l, names[i]))
            continue;
        const char *near = trust_near(l, names[i]);
        if (near)
            loader_mistake(l, at, "there is no trust \"%s\"; did you mean \"%s\"?", names[i], near);
        else
            loader_mistake(l, at, "there is no trust \"%s\"; write trust %s { ca = {\"FILE\"} }",
                           names[i], names[i]);
    }
}

void rules_trust(struct loader *l, const struct conf_node *block, struct trust_config *t)
{
    const struct conf_node *ca = conf_find(block, "ca"), *pin = conf_find(block, "pin");
    if (pin && pin->values && !ca)
        return;
    if (!ca || (ca->is_list && !ca->values))
        loader_mistake(
            l, block,
            "trust \"%s\" names no CA, so nobody is trusted; write ca = {\"/path/ca.pem\"}",
            t->name);
}

/* One step after the other, so that the right setting is blamed.  The table is opened by whoever serves or checks. */
static void
identity_steps(struct loader *l, const struct conf_node *block, const struct identity_config *id)
{
    static const char *const settings[] = {"subject", "pattern", "name"};
    char why[CERT_WHY_MAX] = "";
    struct cert_rule_config rule = settings_rule(id);
    struct cert_rule_config steps[] = {rule, rule, rule};
    if (rule.source == CERT_SOURCE_SUBJECT && !rule.attribute)
        return; /* said already, where the setting was read */
    steps[0].pattern = NULL;
    steps[0].template = steps[1].template = NULL;
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        if (cert_rule_check(&steps[i], why) == 0)
            continue;
        loader_mistake(l, conf_place(block, settings[i]), "%s", why);
        return;
    }
}

void rules_identity(struct loader *l, const struct conf_node *block, struct identity_config *id)
{
    bool source = is_written(block, "source"), subject = is_written(block, "subject");
    if (!source && !subject)
        loader_mistake(l, block, "identity \"%s\" has no source; write source = san-email",
                       id->name);
    else if (source && subject)
        loader_mistake(l, conf_place(block, "subject"),
                       "\"subject\" is a source of its own; keep it or \"source\"");
    if (subject)
        id->source = CERT_SOURCE_SUBJECT;
    identity_steps(l, block, id);
    check_trust_names(l, block, id->trust, id->n_trust);
}

void rules_passwords(struct loader *l, const struct conf_node *block, struct passwords_config *p)
{
    if (is_written(block, "table") == is_written(block, "dovecot"))
        loader_mistake(l, block,
                       "passwords \"%s\" %s; write either table = \"FILE\" or dovecot = "
                       "\"/run/dovecot/auth-client\"",
                       p->name, is_written(block, "table") ? "has two sources" : "has no source");
}

/* ---- listeners ---- */

static void listener_server_certificate(struct loader *l,
                                        const struct conf_node *b,
                                        const struct listener_config *ls)
{
    static const char *const names[] = {"certificate", "key", "key-password-file"};
    bool certificate = is_written(b, "certificate"), key = is_written(b, "key");
    if (ls->tls == LISTENER_TLS_NONE) {
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
            if (is_written(b, names[i]))
                loader_warning(l, conf_place(b, names[i]), "unused: this listener has tls = none");
        return;
    }
    const char *mode = ls->tls == LISTENER_TLS_STARTTLS ? "starttls" : "implicit";
    if (!certificate && !key)
        loader_mistake(l, b,
                       "listener \"%s\" has tls = %s and no certificate; write certificate = "
                       "\"FILE\" and key = \"FILE\"",
                       ls->name, mode);
    else if (!certificate)
        loader_mistake(l, conf_place(b, "key"),
                       "there is a key without its certificate; write certificate = \"FILE\" (it "
                       "may be the same file)");
}

/* What the listener asks of a client's certificate, and what it does with it. */
static void listener_client_defaults(const struct conf_node *b, struct listener_config *ls)
{
    bool tls = ls->tls != LISTENER_TLS_NONE;
    if (!is_written(b, "client-certificate"))
        ls->client_certificate =
            tls && (ls->n_trust || ls->n_peers) ? TLS_CLIENT_CERT_REQUEST : TLS_CLIENT_CERT_OFF;
    if (!is_written(b, "certificate-auth"))
        ls->cert_auth = ls->role == ROLE_SUBMISSION && ls->n_trust &&
                                (tls ? ls->client_certificate != TLS_CLIENT_CERT_OFF
                                     : ls->n_proxies > 0)
                            ? CERT_AUTH_IMPLICIT
                            : CERT_AUTH_OFF;
    if (!is_written(b, "require-tls"))
        ls->require_tls = tls && ls->role == ROLE_SUBMISSION;
}

static void
listener_without_tls(struct loader *l, const struct conf_node *b, const struct listener_config *ls)
{
    if (ls->client_certificate != TLS_CLIENT_CERT_OFF)
        loader_mistake(l, conf_place(b, "client-certificate"),
                       "a certificate comes with TLS, and this listener has tls = none; write tls "
                       "= starttls or client-certificate = off");
    else if (ls->cert_auth != CERT_AUTH_OFF)
        loader_mistake(l, conf_place(b, "certificate-auth"),
                       "a certificate comes with TLS, and this listener has tls = none; write tls "
                       "= starttls or certificate-auth = off");
    else if (ls->n_trust)
        loader_mistake(l, conf_place(b, "trust"),
                       "a certificate comes with TLS, and this listener has tls = none; write tls "
                       "= starttls or leave trust out");
    if (ls->require_tls)
        loader_mistake(l, conf_place(b, "require-tls"),
                       "require-tls = yes with tls = none shuts everybody out; write tls = "
                       "starttls or require-tls = no");
}

/* The proxy ends TLS and says whose certificate it has seen, or hands it over: ours is only what that is worth. */
static void
listener_behind_proxy(struct loader *l, const struct conf_node *b, const struct listener_config *ls)
{
    if (ls->client_certificate != TLS_CLIENT_CERT_OFF)
        loader_mistake(l, conf_place(b, "client-certificate"),
                       "with tls = none the proxy asks for certificates; leave client-certificate "
                       "out");
}

static void listener_client_certificates(struct loader *l,
                                         const struct conf_node *b,
                                         const struct listener_config *ls)
{
    bool asked = ls->client_certificate != TLS_CLIENT_CERT_OFF;
    if (asked && !ls->n_trust && !ls->n_peers && !is_written(b, "trust") && !is_written(b, "peers"))
        loader_mistake(l, conf_place(b, "client-certificate"),
                       "certificates are asked for and nobody's count; write trust = {NAME} or "
                       "client-certificate = off");
    if (ls->cert_auth != CERT_AUTH_OFF && !asked)
        loader_mistake(
            l, conf_place(b, "certificate-auth"),
            "certificate-auth = %s needs certificates; write %s or certificate-auth = off",
            ls->cert_auth == CERT_AUTH_EXPLICIT ? "explicit" : "implicit",
            is_written(b, "client-certificate") ? "client-certificate = request"
                                                : "trust = {NAME}");
    else if (ls->cert_auth != CERT_AUTH_OFF && !ls->n_trust && !is_written(b, "trust") &&
             ls->n_peers)
        loader_mistake(l, conf_place(b, "certificate-auth"),
                       "peers relay without logging in; who logs in needs trust = {NAME}, or write "
                       "certificate-auth = off");
    if (!asked && ls->n_trust)
        loader_warning(l, conf_place(b, "trust"),
                       "unused: client-certificate = off asks nobody for a certificate");
    else if (ls->n_trust && ls->role == ROLE_RELAY && !is_written(b, "certificate-auth"))
        loader_warning(l, conf_place(b, "trust"),
                       "unused: on a relay listener nobody logs in unless it says certificate-auth "
                       "= explicit or implicit");
}

static void
listener_workarounds(struct loader *l, const struct conf_node *b, const struct listener_config *ls)
{
    if (is_written(b, "workarounds") && ls->workarounds && ls->cert_auth != CERT_AUTH_IMPLICIT)
        loader_warning(l, conf_place(b, "workarounds"),
                       "auth-answered-by-command acts with certificate-auth = implicit only");
}

static void
listener_role_rules(struct loader *l, const struct conf_node *b, const struct listener_config *ls)
{
    const struct conf_node *peers = conf_find(b, "peers");
    if (peers && ls->role != ROLE_RELAY)
        loader_mistake(l, peers,
                       "peers relay without logging in, which a submission listener never allows; "
                       "write role = relay or trust = {NAME}");
    else if (peers && ls->client_certificate == TLS_CLIENT_CERT_OFF)
        loader_mistake(l, peers,
                       "peers are known by their certificates, and none is asked for; write "
                       "client-certificate = request with TLS");
    if (ls->role == ROLE_SUBMISSION && ls->cert_auth == CERT_AUTH_OFF &&
        ls->client_certificate == TLS_CLIENT_CERT_OFF && !ls->passwords && !ls->n_xclients)
        loader_warning(l, b, "nobody can log in on listener \"%s\"; write trust = {NAME} or passwords = NAME",
                       ls->name);
    const struct conf_node *hold = conf_find(b, "future-release");
    if (hold && ls->role == ROLE_RELAY)
        loader_mistake(l, hold,
                       "only a submission listener may hold mail for its sender (RFC 4865); remove "
                       "future-release");
    if (ls->recipients_max < 100)
        loader_warning(l, conf_place(b, "recipients"),
                       "RFC 5321 4.5.3.1.8 asks for at least 100 recipients a message");
}

static const struct conf_node *find_block(const struct loader *l, const char *kind, const char *name)
{
    for (const struct conf_node *n = l->root->items; n; n = n->next)
        if (n->is_block && strcmp(n->name, kind) == 0 && n->title && strcmp(n->title, name) == 0)
            return n;
    return NULL;
}

/* SCRAM wants keys, and Dovecot hands out none. */
static void listener_mechanisms(struct loader *l,
                                const struct conf_node *b,
                                const struct listener_config *ls,
                                const struct conf_node *source)
{
    if (ls->mechanisms == 0)
        loader_mistake(l, conf_place(b, "mechanisms"),
                       "no mechanism takes the passwords; write mechanisms = {plain}");
    if (conf_find(source, "dovecot") && ls->mechanisms & (MECHANISM_SCRAM | MECHANISM_SCRAM_PLUS))
        loader_mistake(l, conf_place(b, "mechanisms"),
                       "SCRAM needs passwords with a table; Dovecot is asked with plain or login");
    if (ls->tls == LISTENER_TLS_NONE)
        loader_mistake(l, conf_place(b, "passwords"),
                       "passwords are taken inside TLS only, and this listener has tls = none");
}

/* The word of a proxy is heard, and what it is heard for may not be worth anything here. */
static void listener_xclient(struct loader *l, const struct conf_node *b, const struct listener_config *ls)
{
    if (ls->n_xclients && ls->need != NEED_ANY)
        loader_warning(l, conf_place(b, "xclient"),
                       "who logged in at the proxy is nobody here: that counts with require = any only");
}

static void listener_passwords(struct loader *l, const struct conf_node *b, const struct listener_config *ls)
{
    const struct conf_node *source = ls->passwords ? find_block(l, "passwords", ls->passwords) : NULL;
    if (ls->passwords && !source)
        loader_mistake(l, conf_place(b, "passwords"),
                       "there is no passwords \"%s\"; write passwords %s { table = \"FILE\" }",
                       ls->passwords, ls->passwords);
    else if (source)
        listener_mechanisms(l, b, ls, source);
    else if (is_written(b, "mechanisms"))
        loader_warning(l, conf_place(b, "mechanisms"), "unused: this listener has no passwords");
    if ((ls->need == NEED_PASSWORD || ls->need == NEED_BOTH) && !ls->passwords)
        loader_mistake(l, conf_place(b, "require"), "this needs passwords; write passwords = NAME");
    if ((ls->need == NEED_CERTIFICATE || ls->need == NEED_BOTH) &&
        ls->client_certificate == TLS_CLIENT_CERT_OFF)
        loader_mistake(l, conf_place(b, "require"), "this needs client certificates; write trust = {NAME}");
}

/* A table that nothing reads, or a rule without its table. */
static void listener_table(
    struct loader *l, const struct conf_node *b, const char *setting, const char *rule, bool wanted)
{
    if (wanted && !is_written(b, setting))
        loader_mistake(l, conf_place(b, rule), "%s = table needs the table; write %s = \"FILE\"",
                       rule, setting);
    else if (!wanted && is_written(b, setting))
        loader_warning(l, conf_place(b, setting), "unused: only %s = table looks at it", rule);
}

void rules_listener(struct loader *l, const struct conf_node *b, struct listener_config *ls)
{
    const struct conf_node *address = conf_find(b, "address");
    if (!address || (address->is_list && !address->values))
        loader_mistake(l, b, "listener \"%s\" has no address; write address = \"*:587\"", ls->name);
    check_trust_names(l, b, ls->trust, ls->n_trust);
    listener_client_defaults(b, ls);
    listener_server_certificate(l, b, ls);
    if (ls->tls == LISTENER_TLS_NONE && ls->n_proxies)
        listener_behind_proxy(l, b, ls);
    else if (ls->tls == LISTENER_TLS_NONE)
        listener_without_tls(l, b, ls);
    else
        listener_client_certificates(l, b, ls);
    listener_table(l, b, "may-act-as", "authzid", ls->authz == AUTHZ_TABLE);
    listener_passwords(l, b, ls);
    listener_xclient(l, b, ls);
    if (ls->limits && !find_block(l, "limits", ls->limits))
        loader_mistake(l, conf_place(b, "limits"),
                       "there is no limits \"%s\"; write limits %s { messages-per-minute = 60 }",
                       ls->limits, ls->limits);
    listener_table(l, b, "senders", "sender", ls->sender == SENDER_TABLE);
    listener_role_rules(l, b, ls);
    listener_workarounds(l, b, ls);
}

/* ---- routes ---- */

static void route_domain(struct loader *l, const struct conf_node *b, struct route_config *r)
{
    char *domain = loader_keep(l, b->title ? b->title : "");
    for (char *p = domain; *p; p++)
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + ('a' - 'A') : *p);
    r->domain = domain;
    if (b->title && !value_is_domain(domain))
        loader_mistake(l, b,
                       "\"%s\" is no domain; write route example.org { ... } (an international "
                       "name in its xn-- form) or route default { ... }",
                       b->title);
}

static void route_kind(struct loader *l,
                       const struct conf_node *b,
                       const struct route_draft *d,
                       struct route_config *r)
{
    static const char *const kinds[] = {[ROUTE_SMTP] = "smtp",
                                        [ROUTE_LMTP] = "lmtp",
                                        [ROUTE_MAILDIR] = "maildir",
                                        [ROUTE_DISCARD] = "discard"};
    const struct conf_node *first = NULL;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const struct conf_node *n = conf_find(b, kinds[i]);
        if (!n || (i == ROUTE_DISCARD && !d->discard))
            continue;
        if (first)
            loader_mistake(l, n, "a route goes one way, and this one has both %s and %s; keep one",
                           first->name, n->name);
        else
            r->kind = (enum route_kind)i;
        first = first ? first : n;
    }
    if (!first)
        loader_mistake(l, b,
                       "route \"%s\" leads nowhere; write smtp = \"HOST:PORT\", lmtp = "
                       "\"/path/socket\", maildir = \"/path/%%u\" or discard = yes",
                       r->domain);
}

static void route_next_hop(struct loader *l,
                           const struct conf_node *b,
                           const struct route_draft *d,
                           struct route_config *r)
{
    const char *text = r->kind == ROUTE_SMTP ? d->smtp : d->lmtp;
    const char *port = r->kind == ROUTE_LMTP ? "24" : d->tls == TLS_WORD_IMPLICIT ? "465" : "25";
    if (!text)
        return;
    const struct conf_node *n = conf_place(b, r->kind == ROUTE_SMTP ? "smtp" : "lmtp");
    if (r->kind == ROUTE_LMTP && text[0] == '/')
        r->path = text;
    else if (value_host_port(text, port, l->memory, &r->host, &r->port) < 0)
        loader_mistake(
            l, n,
            "\"%s\" is no next hop; write %s = \"mail.example.net:%s\" or \"[2001:db8::1]:%s\"%s",
            text, n->name, port, port, r->kind == ROUTE_LMTP ? ", or \"/path/socket\"" : "");
}

/* Only names of the recipient's address may vary, so that a path never leaves the folder that was meant. */
static void route_maildir(struct loader *l,
                          const struct conf_node *b,
                          const struct route_draft *d,
                          struct route_config *r)
{
    r->path = d->maildir;
    for (const char *p = d->maildir; (p = strchr(p, '%')) != NULL; p += 2) {
        if (strchr("ud%", p[1]) && p[1])
            continue;
        loader_mistake(l, conf_place(b, "maildir"),
                       "\"%%\" stands for nothing here; write %%u for the local part, %%d for the "
                       "domain, %%%% for a percent sign");
        return;
    }
}

/* Whoever shows a certificate or logs in wants to know to whom, so the default then is to verify. */
static void route_tls(const struct route_draft *d, struct route_config *r)
{
    static const enum route_tls modes[] = {
        [TLS_WORD_OFF] = ROUTE_TLS_OFF,         [TLS_WORD_OPPORTUNISTIC] = ROUTE_TLS_OPPORTUNISTIC,
        [TLS_WORD_REQUIRE] = ROUTE_TLS_REQUIRE, [TLS_WORD_VERIFY] = ROUTE_TLS_VERIFY,
        [TLS_WORD_IMPLICIT] = ROUTE_TLS_VERIFY,
    };
    bool has_secret = d->certificate || d->password_file || d->login != ROUTE_LOGIN_NONE;
    bool no_tls =
        r->kind == ROUTE_MAILDIR || r->kind == ROUTE_DISCARD || (r->kind == ROUTE_LMTP && r->path);
    if (d->tls != TLS_WORD_UNSET)
        r->tls = modes[d->tls];
    else
        r->tls = no_tls ? ROUTE_TLS_OFF : has_secret ? ROUTE_TLS_VERIFY : ROUTE_TLS_OPPORTUNISTIC;
    r->tls_implicit = d->tls == TLS_WORD_IMPLICIT;
    r->tls_name = d->tls_name;
    r->ca = d->ca;
    r->certificate = d->certificate;
    r->key = d->key;
    r->key_password_file = d->key_password_file;
    r->login = d->login;
    r->user = d->user;
    r->password_file = d->password_file;
}

static void
route_without_network(struct loader *l, const struct conf_node *b, const struct route_config *r)
{
    static const char *const names[] = {
        "tls",   "tls-name", "ca",            "certificate", "key", "key-password-file",
        "login", "user",     "password-file", "connections"};
    bool is_socket = r->kind == ROUTE_LMTP && r->path;
    if (r->kind != ROUTE_MAILDIR && r->kind != ROUTE_DISCARD && !is_socket)
        return;
    size_t count = is_socket ? ARRAY_LEN(names) - 1 : ARRAY_LEN(names);
    for (size_t i = 0; i < count; i++) {
        const struct conf_node *n = conf_find(b, names[i]);
        if (n)
            loader_mistake(l, n, "\"%s\" has no meaning for a %s; leave it out", names[i],
                           is_socket ? "UNIX socket" : "route without a next hop");
    }
}

/* It is written for a login, so there is one. */
static void route_login_default(const struct conf_node *b, struct route_draft *d)
{
    if (is_written(b, "password-file") && !is_written(b, "login"))
        d->login = ROUTE_LOGIN_AUTO;
}

static bool is_password_login(enum route_login login)
{
    return login == ROUTE_LOGIN_SCRAM || login == ROUTE_LOGIN_PLAIN;
}

/* What the login is to be shown, and what is shown to nobody. */
static void route_login(struct loader *l, const struct conf_node *b, const struct route_draft *d)
{
    bool certificate = is_written(b, "certificate") || is_written(b, "key");
    bool password = is_written(b, "password-file"), user = is_written(b, "user");
    bool by_certificate = d->login == ROUTE_LOGIN_EXTERNAL || d->login == ROUTE_LOGIN_IMPLICIT;
    if (password != user && !is_written(b, "password"))
        loader_mistake(l, conf_place(b, user ? "user" : "password-file"),
                       "user and password-file go together; write %s",
                       user ? "password-file = \"FILE\"" : "user = \"NAME\"");
    else if (is_password_login(d->login) && !password && !is_written(b, "password"))
        loader_mistake(l, conf_place(b, "login"),
                       "this login takes a password; write user = \"NAME\" and password-file = \"FILE\"");
    else if (by_certificate && !certificate)
        loader_mistake(l, conf_place(b, "login"),
                       "this login takes a certificate; write certificate = \"FILE\" and key = \"FILE\"");
    else if (d->login == ROUTE_LOGIN_AUTO && !certificate && !password && !is_written(b, "password"))
        loader_mistake(l, conf_place(b, "login"),
                       "login needs something to show; write certificate = \"FILE\" and key = \"FILE\", "
                       "or user = \"NAME\" and password-file = \"FILE\"");
    else if (password && (by_certificate || d->login == ROUTE_LOGIN_NONE))
        loader_warning(l, conf_place(b, "password-file"),
                       "unused: only login = auto, scram and plain send a password");
}

/* [rfc4616] PLAIN shows the password to whoever answers, and SCRAM what it can be guessed from (PLN-05). */
static void route_password_place(struct loader *l, const struct conf_node *b, const struct route_config *r)
{
    if (r->password_file && r->kind == ROUTE_SMTP && r->tls != ROUTE_TLS_VERIFY)
        loader_mistake(l, conf_place(b, "tls"),
                       "a password is sent only to a next hop whose name was verified; write tls = verify, or "
                       "tls = implicit on port 465");
}

static void route_credentials(struct loader *l,
                              const struct conf_node *b,
                              const struct route_draft *d,
                              const struct route_config *r)
{
    bool certificate = is_written(b, "certificate"), key = is_written(b, "key");
    if (key && !certificate)
        loader_mistake(l, conf_place(b, "key"),
                       "there is a key without its certificate; write certificate = \"FILE\" (it "
                       "may be the same file)");
    if (is_written(b, "key-password-file") && !certificate)
        loader_warning(l, conf_place(b, "key-password-file"), "unused: there is no certificate");
    if (d->login != ROUTE_LOGIN_NONE && r->kind == ROUTE_LMTP)
        loader_mistake(l, conf_place(b, is_written(b, "login") ? "login" : "password-file"),
                       "there is no login with LMTP; leave it out");
    else
        route_login(l, b, d);
    route_password_place(l, b, r);
    if (r->tls == ROUTE_TLS_OFF && (certificate || key))
        loader_mistake(l, conf_place(b, "tls"), "a certificate needs TLS; write tls = verify");
    if ((r->tls == ROUTE_TLS_OFF || r->tls == ROUTE_TLS_REQUIRE ||
         r->tls == ROUTE_TLS_OPPORTUNISTIC) &&
        is_written(b, "ca"))
        loader_warning(l, conf_place(b, "ca"),
                       "unused: only tls = verify and tls = implicit look at who the next hop is");
    if (d->login != ROUTE_LOGIN_NONE && !r->password_file && r->tls != ROUTE_TLS_OFF &&
        r->tls != ROUTE_TLS_VERIFY)
        loader_warning(
            l, conf_place(b, "tls"),
            "this logs in at a next hop whose name was not verified; write tls = verify");
}

void rules_route(struct loader *l,
                 const struct conf_node *b,
                 struct route_draft *d,
                 struct route_config *r)
{
    route_domain(l, b, r);
    route_kind(l, b, d, r);
    if (r->kind == ROUTE_SMTP || r->kind == ROUTE_LMTP)
        route_next_hop(l, b, d, r);
    else if (r->kind == ROUTE_MAILDIR && d->maildir)
        route_maildir(l, b, d, r);
    route_login_default(b, d);
    route_tls(d, r);
    r->connections_max = d->connections_max;
    route_without_network(l, b, r);
    if (r->kind == ROUTE_SMTP || (r->kind == ROUTE_LMTP && !r->path))
        route_credentials(l, b, d, r);
}

/* ---- the whole ---- */

/* Addresses may stand in a list, so each is compared with every one before it. */
static void check_collisions(struct loader *l, const struct config *c, size_t i, size_t j)
{
    const struct listener_config *ls = &c->listeners[i];
    struct endpoint mine, other;
    if (value_endpoint(ls->addresses[j], &mine) < 0)
        return;
    for (size_t k = 0; k <= i; k++) {
        const struct listener_config *before = &c->listeners[k];
        for (size_t m = 0; m < (k == i ? j : before->n_addresses); m++) {
            if (value_endpoint(before->addresses[m], &other) < 0 ||
                !endpoint_collides(&mine, &other))
                continue;
            const struct conf_node at = {.file = c->listener_places[i].file, .line = ls->line};
            loader_mistake(l, &at,
                           "listener \"%s\" wants %s, which listener \"%s\" of line %u has as %s; "
                           "give each its own",
                           ls->name, ls->addresses[j], before->name, before->line,
                           before->addresses[m]);
            return;
        }
    }
}

static void check_metrics(struct loader *l, const struct config *c)
{
    struct endpoint mine, other;
    if (!c->metrics_address || value_endpoint(c->metrics_address, &mine) < 0)
        return;
    for (size_t i = 0; i < c->n_listeners; i++)
        for (size_t m = 0; m < c->listeners[i].n_addresses; m++)
            if (value_endpoint(c->listeners[i].addresses[m], &other) == 0 && endpoint_collides(&mine, &other))
                loader_mistake(l, conf_find(l->root, "metrics"),
                               "\"metrics\" wants %s, which listener \"%s\" of line %u has as %s; give each its own",
                               c->metrics_address, c->listeners[i].name, c->listeners[i].line,
                               c->listeners[i].addresses[m]);
}

static void check_account(struct loader *l, const struct config *c)
{
    if (c->user && !getpwnam(c->user))
        loader_mistake(
            l, conf_place(l->root, "user"),
            "there is no user \"%s\" on this machine; make one with `adduser --system --group %s`",
            c->user, c->user);
    if (c->group && !getgrnam(c->group))
        loader_mistake(
            l, conf_place(l->root, "group"),
            "there is no group \"%s\" on this machine; make one with `addgroup --system %s`",
            c->group, c->group);
    if (c->group && !c->user)
        loader_mistake(l, conf_place(l->root, "group"), "a group without a user; write user = NAME");
}

/* RFC 5321 4.5.3.2: less is the operator's right, and leaves slow next hops behind (REL-03). */
static void check_patience(struct loader *l, const struct conf_node *b, const struct link_timeouts *t)
{
    const struct {
        const char *name;
        int64_t ms, least_s;
    } rows[] = {
        {"greeting-timeout", t->greeting_ms, 300},
        {"command-timeout",  t->command_ms,  300},
        {"data-timeout",     t->data_ms,     120},
        {"text-timeout",     t->text_ms,     180},
        {"final-timeout",    t->final_ms,    600},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].ms && rows[i].ms < rows[i].least_s * 1000)
            loader_warning(l, conf_place(b, rows[i].name),
                           "RFC 5321 4.5.3.2 asks for at least %lld minutes",
                           (long long)rows[i].least_s / 60);
}

static void check_delivery(struct loader *l, const struct relay_config *rc)
{
    const struct conf_node *b = conf_find(l->root, "delivery");
    if (!b)
        return;
    check_patience(l, b, &rc->timeouts);
    struct smtp_path path;
    int64_t retry_min = rc->retry_min_ms ? rc->retry_min_ms : 300000;
    int64_t retry_max = rc->retry_max_ms ? rc->retry_max_ms : 4 * 3600000;
    int64_t expire = rc->expire_ms ? rc->expire_ms : 5 * 86400000ll;
    if (retry_min > retry_max)
        loader_mistake(l, conf_place(b, is_written(b, "retry-max") ? "retry-max" : "retry-min"),
                       "retry-min is above retry-max (5m and 4h unless written)");
    if (retry_min > expire)
        loader_mistake(
            l, conf_place(b, is_written(b, "expire") ? "expire" : "retry-min"),
            "mail would expire before it is tried again; expire must be above retry-min");
    if (rc->postmaster && smtp_mailbox_parse(str_of(rc->postmaster), false, &path) != PATH_OK)
        loader_mistake(l, conf_place(b, "postmaster"),
                       "\"%s\" is no mail address; write postmaster = \"postmaster@example.org\"",
                       rc->postmaster);
}

void rules_whole(struct loader *l, const struct config *c)
{
    if (c->n_listeners == 0)
        loader_mistake(
            l, l->root,
            "there is no listener; write listener submission { address = \"*:587\" ... }");
    for (size_t i = 0; i < c->n_listeners; i++) {
        for (size_t j = 0; j < c->listeners[i].n_addresses; j++)
            check_collisions(l, c, i, j);
    }
    check_metrics(l, c);
    check_account(l, c);
    check_delivery(l, &c->relay);
    bool has_default = false;
    for (size_t i = 0; i < c->relay.n_routes; i++)
        has_default |= strcmp(c->relay.routes[i].domain, "default") == 0;
    if (c->relay.n_routes == 0)
        loader_mistake(l, l->root,
                       "there is no route, so no recipient can be accepted; write route default { "
                       "smtp = \"HOST:PORT\" }");
    else if (!has_default)
        loader_warning(
            l, l->root,
            "there is no route default: recipients in domains without a route are refused");
}
