/* run_dialog FILE... - runs dialogue files against a session (README.md has the language of the files).
 *
 * Every case is run with the client's octets at once and in pieces of 1 to 7; with STARTTLS and with
 * implicit TLS where it does not choose; and under every policy it names.  The result is one line
 * of TAP a case; of a case that fails, the conversation is shown. */
#include "script.h"
#include "world.h"

#include "base/log.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <sysexits.h>

#define PIECES 8 /* 0: at once, then 1 to 7 octets */
#define CLIENT_MAX ((size_t)16 << 20)
#define TRANSCRIPT_MAX ((size_t)1 << 20)
#define POLICIES_MAX 3
#define LISTENS_MAX 3

/* What a case asks for before it begins. */
struct plan {
    struct world_setup setup;
    enum cert_auth policies[POLICIES_MAX];
    enum listener_tls listens[LISTENS_MAX];
    size_t n_policies, n_listens;
    char besieged[48]; /* of the setup */
};

struct run {
    const struct plan *plan;
    const struct script_case *script;
    struct world_setup setup;
    size_t piece;
    struct buf client; /* not sent yet */
    struct buf reply;  /* the last one, all its lines */
    struct buf transcript;
    size_t text_at; /* in the stored text: where "T: " goes on */
    size_t text_of; /* of which message, counted from 1 */
    bool greeted;
    unsigned line;
    char why[600]; /* "": all is well */
};

static bool fail(struct run *r, const char *fmt, ...) PRINTF(2, 3);
static bool fail(struct run *r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(r->why, sizeof(r->why), fmt, ap);
    va_end(ap);
    return false;
}

/* For the person who reads about a failure; cut where it gets too long. */
static void note(struct run *r, const char *who, struct str octets)
{
    int e = buf_puts(&r->transcript, who);
    for (size_t i = 0; e == 0 && i < MIN(octets.len, (size_t)300); i++) {
        char c = octets.p[i];
        if (c == '\n')
            e = buf_printf(&r->transcript, "\\n%s", i + 1 < octets.len ? "\n#      " : "");
        else if (c == '\r')
            e = buf_puts(&r->transcript, "\\r");
        else if ((unsigned char)c < ' ' || c == 0x7f)
            e = buf_printf(&r->transcript, "\\x%02x", (unsigned)(unsigned char)c);
        else
            e = buf_append(&r->transcript, &c, 1);
    }
    if (e == 0)
        e = buf_puts(&r->transcript, octets.len > 300 ? "...\n" : "\n");
    if (e < 0)
        buf_clear(&r->transcript);
}

/* ---- replies ---- */

/* The reply at the start of `out`, with its CRLFs; empty: it is not complete. */
static struct str first_reply(const struct buf *out)
{
    struct str all = buf_str(out);
    for (size_t at = 0; at < all.len;) {
        struct str rest = str_from(all, at);
        ssize_t lf = str_find(rest, '\n');
        if (lf < 0)
            break;
        at += (size_t)lf + 1;
        if (lf < 4 || rest.p[3] != '-')
            return str_upto(all, at);
    }
    return STR("");
}

static bool has_enhanced_code(struct str text, char class)
{
    int digits = 0, dots = 0;
    if (text.len < 5 || text.p[0] != class || text.p[1] != '.')
        return false;
    for (size_t i = 1; i < text.len && text.p[i] != ' '; i++) {
        dots += text.p[i] == '.';
        digits += isdigit((unsigned char)text.p[i]) != 0;
        if (text.p[i] != '.' && !isdigit((unsigned char)text.p[i]))
            return false;
    }
    return dots == 2 && digits >= 2;
}

/* ESC-01: every line of 2yz, 4yz, 5yz has a code of its class; the greeting, the answers to EHLO and HELO, and 3yz
 * have none. */
static bool check_enhanced(struct run *r, struct str reply, struct str line)
{
    char class = line.p[0];
    bool has = has_enhanced_code(str_from(line, 4), class);
    bool hello = str_starts_nocase(reply, STR("250")) &&
                 str_starts_nocase(str_from(reply, 4), STR(WORLD_HOSTNAME));
    hello |= str_starts_nocase(reply, STR("220 " WORLD_HOSTNAME)); /* the greeting, XCLIENT's too */
    if (!smtp_set_has(r->setup.extensions, SMTP_EXT_ENHANCEDSTATUSCODES) || class == '3' || hello || !r->greeted)
        return !has || fail(r, "an enhanced code where none belongs: %.*s", STR_FMT(line));
    return has || fail(r, "no enhanced code of class %c: %.*s", class, STR_FMT(line));
}

/* What holds for every reply [rfc5321 4.2]. */
static bool check_reply(struct run *r, struct str reply)
{
    for (struct str rest = reply; rest.len > 0;) {
        size_t len = (size_t)str_find(rest, '\n');
        struct str line = str_upto(rest, len);
        rest = str_from(rest, len + 1);
        if (line.len < 5 || line.p[line.len - 1] != '\r')
            return fail(r, "a reply line of %zu octets or without CR LF", line.len);
        line.len--;
        if (line.len > 510)
            return fail(r, "a reply line of %zu octets", line.len + 2);
        if (line.p[0] < '2' || line.p[0] > '5' || memcmp(line.p, reply.p, 3) != 0)
            return fail(r, "bad reply code: %.*s", STR_FMT(line));
        if (line.p[3] != (rest.len > 0 ? '-' : ' '))
            return fail(r, "bad fourth octet: %.*s", STR_FMT(line));
        if (str_has_control(line) || !str_is_ascii(line))
            return fail(r, "not printable: %.*s", STR_FMT(line));
        if (!check_enhanced(r, reply, line))
            return false;
    }
    return true;
}

static bool take_reply(struct run *r)
{
    struct str reply = first_reply(world_output());
    if (reply.len == 0)
        return fail(r, "no reply%s", world_is_closed() ? ", the connection is closed" : "");
    note(r, "#   S: ", reply);
    buf_clear(&r->reply);
    if (!check_reply(r, reply) || buf_append_str(&r->reply, reply) < 0)
        return false;
    r->greeted = true;
    buf_consume(world_output(), reply.len);
    return true;
}

/* Whether the pattern, its escapes undone, fits. */
static bool matches(const char *pattern, struct str text)
{
    CLEANUP(buf_done) struct buf plain = BUF_INIT(CLIENT_MAX);
    return script_unescape(str_of(pattern), &plain) == 0 && script_matches(buf_str(&plain), text);
}

/* ---- what the client does ---- */

static bool nothing_unread(struct run *r)
{
    struct str more = first_reply(world_output());
    return world_output()->len == 0 || fail(r, "a reply nobody expects: %.*s",
                                            STR_FMT(str_upto(more, more.len - MIN(more.len, 2))));
}

static bool send_now(struct run *r)
{
    if (r->client.len == 0)
        return true;
    if (!nothing_unread(r))
        return false;
    note(r, "#   C: ", buf_str(&r->client));
    world_send(buf_str(&r->client), r->piece);
    buf_clear(&r->client);
    return true;
}

static bool send_and_settle(struct run *r)
{
    if (!send_now(r))
        return false;
    world_settle();
    return true;
}

static bool do_client(struct run *r, const char *text, bool crlf)
{
    if (script_unescape(str_of(text), &r->client) < 0)
        return fail(r, "bad escape");
    return !crlf || buf_puts(&r->client, "\r\n") == 0;
}

static bool do_server(struct run *r, const char *text)
{
    if (!send_and_settle(r) || !take_reply(r))
        return false;
    struct str first = str_upto(buf_str(&r->reply), (size_t)str_find(buf_str(&r->reply), '\r'));
    char code[5] = "";
    memcpy(code, first.p, 3);
    code[3] = ' '; /* a reply of several lines is matched by its first */
    struct buf line = BUF_INIT(1000);
    bool good = buf_puts(&line, code) == 0 && buf_append_str(&line, str_from(first, 4)) == 0 &&
                matches(text, buf_str(&line));
    if (!good)
        (void)fail(r, "expected \"%s\", got \"%s\"", text, line.data);
    buf_done(&line);
    return good;
}

static bool reply_has(const struct run *r, const char *pattern)
{
    struct str rest = buf_str(&r->reply);
    for (ssize_t lf; (lf = str_find(rest, '\n')) >= 0; rest = str_from(rest, (size_t)lf + 1))
        if (matches(pattern, (struct str){rest.p + 4, (size_t)lf - 5}))
            return true;
    return false;
}

static bool do_server_line(struct run *r, const char *text, bool has)
{
    return reply_has(r, text) == has || fail(r, "the reply %s \"%s\"", has ? "lacks" : "has", text);
}

/* ---- what was stored ---- */

static bool last_message(struct run *r, size_t *ret)
{
    size_t n = world_n_messages();
    if (n == 0)
        return fail(r, "no message was stored");
    if (r->text_of != n)
        r->text_at = 0;
    r->text_of = n;
    *ret = n - 1;
    return true;
}

static bool do_text(struct run *r, const char *text, bool has)
{
    size_t i;
    if (!last_message(r, &i))
        return false;
    struct str rest = str_from(world_message_text(i), has ? r->text_at : 0);
    while (rest.len > 0) {
        ssize_t lf = str_find(rest, '\n');
        size_t len = lf < 0 ? rest.len : (size_t)lf + 1;
        struct str line = str_upto(rest, lf > 0 && rest.p[lf - 1] == '\r' ? len - 2 : len);
        rest = str_from(rest, len);
        if (!matches(text, line))
            continue;
        if (!has)
            return fail(r, "the stored text has \"%s\"", text);
        r->text_at = world_message_text(i).len - rest.len;
        return true;
    }
    if (has)
        note(r, "#   stored:\n#      ", world_message_text(i));
    return !has || fail(r, "the stored text lacks \"%s\" from octet %zu on", text, r->text_at);
}

static bool do_envelope(struct run *r, const char *text)
{
    size_t i;
    if (!last_message(r, &i))
        return false;
    const char *got = world_message_envelope(i);
    return matches(text, str_of(got)) || fail(r, "expected envelope \"%s\", got \"%s\"", text, got);
}

/* ---- directives inside a conversation ---- */

static bool is_certificate(const char *name)
{
    for (const char *const *c = world_certificates(); *c; c++)
        if (strcmp(*c, name) == 0)
            return true;
    return false;
}

static bool handshake(struct run *r, const char *certificate)
{
    if (!is_certificate(certificate))
        return fail(r, "no such certificate: %s", certificate);
    note(r, "#   TLS, certificate: ", str_of(certificate));
    return world_handshake(certificate) || fail(r, "the server awaits no TLS");
}

static bool dir_tls(struct run *r, const char *arg)
{
    return send_and_settle(r) && nothing_unread(r) && handshake(r, arg[0] ? arg : "none");
}

/* Up to the EHLO inside TLS, by the way of the listener. */
static bool dir_secure(struct run *r, const char *arg)
{
    const char *certificate = arg[0] ? arg : "none";
    switch (r->setup.tls) {
    case LISTENER_TLS_IMPLICIT:
        return handshake(r, certificate) && do_server(r, "220 *");
    case LISTENER_TLS_STARTTLS:
        return do_server(r, "220 *") && do_client(r, "EHLO client.example", true) &&
               do_server(r, "250 *") && do_client(r, "STARTTLS", true) && do_server(r, "220 *") &&
               handshake(r, certificate);
    case LISTENER_TLS_NONE:
        return do_server(r, "220 *");
    }
    return false;
}

static bool dir_hello(struct run *r, const char *arg)
{
    return dir_secure(r, arg) && do_client(r, "EHLO client.example", true) && do_server(r, "250 *");
}

static bool dir_later(struct run *r, const char *arg)
{
    return world_later(arg) || fail(r, "no such op: %s", arg);
}

static bool dir_spool(struct run *r, const char *arg)
{
    return world_spool(arg) || fail(r, "no such mood of the spool: %s", arg);
}

static bool dir_checker(struct run *r, const char *arg)
{
    return world_checker(arg) || fail(r, "no such mood of the checker: %s", arg);
}

/* What was sent so far is there, what was put off has not happened: no reply. */
static bool dir_silent(struct run *r, const char *arg)
{
    (void)arg;
    return send_now(r) && nothing_unread(r);
}

static bool dir_expire(struct run *r, const char *arg)
{
    (void)arg;
    world_certificate_expires();
    return send_and_settle(r);
}

/* What leaves before it is sent before the files change. */
static bool dir_becomes(struct run *r, const char *arg)
{
    return send_and_settle(r) &&
           (world_certificate_becomes(arg) || fail(r, "no such certificate: %s", arg));
}

static bool dir_disable(struct run *r, const char *arg)
{
    bool good = send_and_settle(r);
    world_disable(arg);
    return good;
}

static bool dir_timeout(struct run *r, const char *arg)
{
    (void)arg;
    bool good = send_and_settle(r);
    world_idle_too_long();
    return good;
}

static bool dir_late(struct run *r, const char *arg)
{
    (void)arg;
    bool good = send_and_settle(r);
    world_comes_to_nothing();
    return good;
}

static bool dir_leave(struct run *r, const char *arg)
{
    (void)arg;
    bool good = send_now(r);
    world_client_leaves();
    world_settle();
    return good;
}

static bool dir_shutdown(struct run *r, const char *arg)
{
    bool good = send_now(r);
    world_shuts_down(strcmp(arg, "later") != 0);
    return good;
}

static bool dir_closed(struct run *r, const char *arg)
{
    (void)arg;
    return send_and_settle(r) && nothing_unread(r) &&
           (world_is_closed() || fail(r, "the connection is open"));
}

static bool dir_open(struct run *r, const char *arg)
{
    (void)arg;
    return send_and_settle(r) && nothing_unread(r) &&
           (!world_is_closed() || fail(r, "the connection is closed"));
}

static bool parse_count(struct run *r, const char *arg, uint64_t *ret, const char **ret_rest)
{
    const char *space = strchr(arg, ' ');
    struct str digits = space ? (struct str){arg, (size_t)(space - arg)} : str_of(arg);
    if (str_to_u64(digits, 1000000000, ret) < 0)
        return fail(r, "no number: %s", arg);
    if (ret_rest)
        *ret_rest = space ? space + 1 : "";
    return true;
}

/* So many replies, all like this. */
static bool dir_replies(struct run *r, const char *arg)
{
    uint64_t n;
    const char *pattern;
    if (!parse_count(r, arg, &n, &pattern))
        return false;
    while (n > 0 && do_server(r, pattern))
        n--;
    return n == 0;
}

static bool dir_stored(struct run *r, const char *arg)
{
    uint64_t want;
    if (!send_and_settle(r) || !parse_count(r, arg, &want, NULL))
        return false;
    return world_n_messages() == want ||
           fail(r, "%zu messages were stored, not %s", world_n_messages(), arg);
}

static bool dir_logged(struct run *r, const char *arg)
{
    uint64_t want, got = 0;
    const char *pattern;
    if (!send_and_settle(r) || !parse_count(r, arg, &want, &pattern))
        return false;
    struct str log = world_log(), rest = log;
    for (ssize_t lf; (lf = str_find(rest, '\n')) >= 0; rest = str_from(rest, (size_t)lf + 1))
        got += matches(pattern, str_upto(rest, (size_t)lf));
    if (got != want)
        note(r, "#   log:\n#      ", log);
    return got == want || fail(r, "%d log lines match \"%s\"", (int)got, pattern);
}

static const struct {
    const char *name;
    bool (*act)(struct run *r, const char *arg);
} directives[] = {
    {"tls",      dir_tls     },
    {"secure",   dir_secure  },
    {"hello",    dir_hello   },
    {"later",    dir_later   },
    {"spool",    dir_spool   },
    {"checker",  dir_checker },
    {"silent",   dir_silent  },
    {"expire",   dir_expire  },
    {"becomes",  dir_becomes },
    {"disable",  dir_disable },
    {"timeout",  dir_timeout },
    {"late",     dir_late    },
    {"leave",    dir_leave   },
    {"shutdown", dir_shutdown},
    {"closed",   dir_closed  },
    {"open",     dir_open    },
    {"replies",  dir_replies },
    {"stored",   dir_stored  },
    {"logged",   dir_logged  },
};

/* ---- directives before a conversation ---- */

static bool plan_policy(struct plan *p, const char *word)
{
    return p->n_policies < POLICIES_MAX &&
           cert_auth_parse(word, &p->policies[p->n_policies++]) == 0;
}

static bool plan_listen(struct plan *p, const char *word)
{
    static const char *const names[] = {[LISTENER_TLS_NONE] = "none",
                                        [LISTENER_TLS_STARTTLS] = "starttls",
                                        [LISTENER_TLS_IMPLICIT] = "implicit"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(word, names[i]) == 0 && p->n_listens < LISTENS_MAX) {
            p->listens[p->n_listens++] = (enum listener_tls)i;
            return true;
        }
    }
    return false;
}

static bool plan_role(struct plan *p, const char *word)
{
    if (strcmp(word, "peer") == 0)
        p->setup.listed_peer = true;
    else if (strcmp(word, "relay") == 0)
        p->setup.role = ROLE_RELAY;
    else
        return strcmp(word, "submission") == 0;
    p->setup.allow_clear = p->setup.allow_clear || p->setup.role == ROLE_RELAY;
    return true;
}

static bool plan_authzid(struct plan *p, const char *word)
{
    static const char *const names[] = {
        [AUTHZ_MATCH] = "match", [AUTHZ_IGNORE] = "ignore", [AUTHZ_TABLE] = "table"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(word, names[i]) != 0)
            continue;
        p->setup.authz = (enum authz_rule)i;
        return true;
    }
    return false;
}

static bool plan_aliases(struct plan *p, const char *word)
{
    p->setup.aliases = word[0] == '\0';
    return p->setup.aliases;
}

/* "plain", "login"...: the mechanisms offered; without a word PLAIN. */
static bool plan_passwords(struct plan *p, const char *word)
{
    static const struct {
        const char *name;
        unsigned bit;
    } names[] = {
        {"plain", MECHANISM_PLAIN},
        {"login", MECHANISM_LOGIN},
        {"scram", MECHANISM_SCRAM},
        {"plus",  MECHANISM_SCRAM_PLUS},
    };
    if (!p->setup.passwords)
        p->setup.mechanisms = word[0] ? 0 : MECHANISM_PLAIN;
    p->setup.passwords = true;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(word, names[i].name) != 0)
            continue;
        p->setup.mechanisms |= names[i].bit;
        return true;
    }
    return word[0] == '\0';
}

static bool plan_require(struct plan *p, const char *word)
{
    static const char *const names[] = {[NEED_ANY] = "any",
                                        [NEED_CERTIFICATE] = "certificate",
                                        [NEED_PASSWORD] = "password",
                                        [NEED_BOTH] = "both"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(word, names[i]) != 0)
            continue;
        p->setup.need = (enum login_need)i;
        return true;
    }
    return false;
}

static bool plan_sender(struct plan *p, const char *word)
{
    return sender_rule_parse(word, &p->setup.sender) == 0;
}

static bool plan_header(struct plan *p, const char *word)
{
    static const char *const names[] = {[HEADER_FROM_IGNORE] = "ignore",
                                        [HEADER_FROM_REJECT] = "reject",
                                        [HEADER_FROM_ADD_SENDER] = "add-sender"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(word, names[i]) != 0)
            continue;
        p->setup.header_from = (enum header_from)i;
        return true;
    }
    return false;
}

static bool plan_allow(struct plan *p, const char *word)
{
    p->setup.allow_clear = strcmp(word, "clear") == 0;
    return p->setup.allow_clear;
}

static bool plan_crowded(struct plan *p, const char *word)
{
    p->setup.crowded = word[0] == '\0';
    return p->setup.crowded;
}

static bool plan_busy(struct plan *p, const char *word)
{
    p->setup.busy = word[0] == '\0';
    return p->setup.busy;
}

/* "192.0.2.7" */
static bool plan_besieged(struct plan *p, const char *word)
{
    (void)snprintf(p->besieged, sizeof(p->besieged), "%s", word);
    p->setup.besieged = p->besieged;
    return word[0] != '\0';
}

static bool plan_proxy(struct plan *p, const char *word)
{
    p->setup.proxy = true;
    p->setup.trust = strcmp(word, "trust") == 0;
    return word[0] == '\0' || p->setup.trust;
}

static bool plan_xclient(struct plan *p, const char *word)
{
    p->setup.xclient = word[0] == '\0';
    return p->setup.xclient;
}

static bool plan_strict(struct plan *p, const char *word)
{
    p->setup.workarounds = 0;
    return word[0] == '\0';
}

/* "size=1000" */
static bool plan_limit(struct plan *p, const char *word)
{
    const struct {
        const char *name;
        unsigned *number;
    } limits[] = {
        {"recipients=", &p->setup.recipients_max},
        {"errors=",     &p->setup.errors_max    },
        {"hops=",       &p->setup.hops_max      },
        {"failures=",   &p->setup.failures_max  },
        {"messages=",   &p->setup.messages      },
        {"rcpts=",      &p->setup.rcpts         },
    };
    uint64_t n;
    if (strncmp(word, "size=", 5) == 0)
        return str_to_u64(str_of(word + 5), UINT64_MAX, &p->setup.size_max) == 0;
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        size_t len = strlen(limits[i].name);
        if (strncmp(word, limits[i].name, len) != 0 ||
            str_to_u64(str_of(word + len), 1000000, &n) < 0)
            continue;
        *limits[i].number = (unsigned)n;
        return true;
    }
    return false;
}

/* "+binarymime", "-dsn" */
static bool plan_extension(struct plan *p, const char *word)
{
    for (enum smtp_extension e = 0; word[0] && e < SMTP_EXT_COUNT; e++) {
        if (strcasecmp(word + 1, smtp_extension_name(e)) != 0)
            continue;
        p->setup.extensions |= SMTP_SET(e);
        if (word[0] == '-')
            p->setup.extensions &= ~SMTP_SET(e);
        return true;
    }
    return false;
}

/* "refuse-defects", "complete" */
static bool plan_message(struct plan *p, const char *word)
{
    if (strcmp(word, "refuse-defects") == 0)
        p->setup.refuses_defects = true;
    else if (strcmp(word, "complete") == 0)
        p->setup.complete_domain = "example.org";
    else
        return false;
    return true;
}

/* "3", "table", "lower", "refuse" */
static bool plan_priority(struct plan *p, const char *word)
{
    if (word[0] >= '0' && word[0] <= '9')
        p->setup.priority_max = (unsigned)(word[0] - '0');
    else if (strcmp(word, "table") == 0)
        p->setup.priorities = true;
    else if (strcmp(word, "refuse") == 0)
        p->setup.priority_above = PRIORITY_ABOVE_REFUSE;
    else
        return strcmp(word, "lower") == 0;
    return true;
}

static const struct {
    const char *name;
    bool (*take)(struct plan *p, const char *word);
} settings[] = {
    {"policy",    plan_policy   },
    {"listen",    plan_listen   },
    {"role",      plan_role     },
    {"passwords", plan_passwords},
    {"require",   plan_require  },
    {"authzid",   plan_authzid  },
    {"aliases",   plan_aliases  },
    {"sender",    plan_sender   },
    {"header",    plan_header   },
    {"allow",     plan_allow    },
    {"busy",      plan_busy     },
    {"besieged",  plan_besieged },
    {"crowded",   plan_crowded  },
    {"strict",    plan_strict   },
    {"proxy",     plan_proxy    },
    {"xclient",   plan_xclient  },
    {"limit",     plan_limit    },
    {"extension", plan_extension},
    {"priority",  plan_priority },
    {"message",   plan_message  },
};

/* The name of a directive, and its argument. */
static const char *split_directive(const char *text, char name[16])
{
    size_t len = strcspn(text, " ");
    (void)snprintf(name, 16, "%.*s", (int)len, text);
    return text + len + strspn(text + len, " ");
}

/* 1: taken; 0: no setting; -EINVAL: a bad one. */
static int plan_take(struct plan *p, const char *text)
{
    char name[16], word[40];
    const char *arg = split_directive(text, name);
    for (size_t i = 0; i < ARRAY_LEN(settings); i++) {
        if (strcmp(settings[i].name, name) != 0)
            continue;
        do {
            size_t len = strcspn(arg, " ");
            (void)snprintf(word, sizeof(word), "%.*s", (int)len, arg);
            if (!settings[i].take(p, word))
                return -EINVAL;
            arg += len + strspn(arg + len, " ");
        } while (arg[0]);
        return 1;
    }
    return 0;
}

static bool uses_prelude(const struct script_case *c)
{
    for (size_t i = 0; i < c->n_lines; i++)
        if (c->lines[i].kind == LINE_DIRECTIVE && (strncmp(c->lines[i].text, "secure", 6) == 0 ||
                                                   strncmp(c->lines[i].text, "hello", 5) == 0))
            return true;
    return false;
}

/* Settings stand in front; *ret_first is the first line of the conversation. */
static int plan_make(const struct script_case *c, struct plan *p, size_t *ret_first)
{
    size_t i;
    *p = (struct plan){.setup = world_default_setup()};
    for (i = 0; i < c->n_lines && c->lines[i].kind == LINE_DIRECTIVE; i++) {
        int r = plan_take(p, c->lines[i].text);
        if (r < 0) {
            printf("# line %u: bad setting: @%s\n", c->lines[i].number, c->lines[i].text);
            return r;
        }
        if (r == 0)
            break;
    }
    if (p->n_policies == 0)
        p->policies[p->n_policies++] =
            p->setup.role == ROLE_RELAY ? CERT_AUTH_OFF : CERT_AUTH_IMPLICIT;
    if (p->n_listens == 0)
        p->listens[p->n_listens++] = LISTENER_TLS_STARTTLS;
    if (p->n_listens == 1 && p->listens[0] == LISTENER_TLS_STARTTLS && uses_prelude(c) &&
        p->setup.role == ROLE_SUBMISSION)
        p->listens[p->n_listens++] = LISTENER_TLS_IMPLICIT; /* OPN-11 */
    *ret_first = i;
    return 0;
}

/* ---- running ---- */

static bool do_directive(struct run *r, const char *text)
{
    char name[16];
    const char *arg = split_directive(text, name);
    for (size_t i = 0; i < ARRAY_LEN(directives); i++)
        if (strcmp(directives[i].name, name) == 0)
            return directives[i].act(r, arg);
    return fail(r, "no such directive here: @%s", text);
}

static bool do_line(struct run *r, const struct line *l)
{
    r->line = l->number;
    switch (l->kind) {
    case LINE_CLIENT:
    case LINE_CLIENT_RAW:
        return do_client(r, l->text, l->kind == LINE_CLIENT);
    case LINE_SERVER:
        return do_server(r, l->text);
    case LINE_SERVER_HAS:
    case LINE_SERVER_LACKS:
        return do_server_line(r, l->text, l->kind == LINE_SERVER_HAS);
    case LINE_TEXT:
    case LINE_TEXT_LACKS:
        return send_and_settle(r) && do_text(r, l->text, l->kind == LINE_TEXT);
    case LINE_ENVELOPE:
        return send_and_settle(r) && do_envelope(r, l->text);
    case LINE_DIRECTIVE:
        return do_directive(r, l->text);
    }
    return false;
}

static bool run_once(struct run *r, size_t first)
{
    bool good = true;
    world_open(&r->setup);
    for (size_t i = first; i < r->script->n_lines && good; i++)
        good = do_line(r, &r->script->lines[i]);
    good = good && send_and_settle(r) && nothing_unread(r);
    world_close();
    return good;
}

static const char *listen_name(enum listener_tls tls)
{
    return tls == LISTENER_TLS_NONE       ? "none"
           : tls == LISTENER_TLS_STARTTLS ? "starttls"
                                          : "implicit";
}

static void show_failure(const struct run *r, const char *file)
{
    printf("# %s:%u: %s\n", file, r->line, r->why);
    printf("# policy %s, listener %s, ", cert_auth_name(r->setup.cert_auth),
           listen_name(r->setup.tls));
    if (r->piece)
        printf("pieces of %zu octets:\n", r->piece);
    else
        printf("octets at once:\n");
    printf("%s", r->transcript.data ? r->transcript.data : "");
}

static bool run_combination(const char *file,
                            const struct script_case *c,
                            const struct plan *p,
                            size_t first,
                            unsigned number)
{
    struct run r = {.plan = p,
                    .script = c,
                    .setup = p->setup,
                    .piece = number % PIECES,
                    .client = BUF_INIT(CLIENT_MAX),
                    .reply = BUF_INIT(CLIENT_MAX),
                    .transcript = BUF_INIT(TRANSCRIPT_MAX)};
    number /= PIECES;
    r.setup.tls = p->listens[number % p->n_listens];
    r.setup.cert_auth = p->policies[number / p->n_listens];
    bool good = run_once(&r, first);
    if (!good)
        show_failure(&r, file);
    buf_done(&r.client);
    buf_done(&r.reply);
    buf_done(&r.transcript);
    return good;
}

static bool run_case(const char *file, const struct script_case *c, unsigned *runs)
{
    struct plan plan;
    size_t first;
    if (plan_make(c, &plan, &first) < 0)
        return false;
    unsigned n = (unsigned)(PIECES * plan.n_listens * plan.n_policies);
    for (unsigned i = 0; i < n; i++, (*runs)++)
        if (!run_combination(file, c, &plan, first, i))
            return false;
    return true;
}

static int run_file(const char *file, unsigned *number, unsigned *runs)
{
    struct script s;
    int failures = 0, r = script_read(file, &s);
    if (r < 0)
        return -1;
    for (size_t i = 0; i < s.n_cases; i++) {
        bool good = run_case(file, &s.cases[i], runs);
        failures += !good;
        printf("%sok %u - %s\n", good ? "" : "not ", ++*number, s.cases[i].name);
    }
    script_done(&s);
    return failures;
}

int main(int argc, char **argv)
{
    unsigned number = 0, runs = 0;
    int failures = 0;
    if (argc < 2) {
        fprintf(stderr, "usage: run_dialog FILE...\n");
        return EX_USAGE;
    }
    for (int i = 1; i < argc; i++) {
        int r = run_file(argv[i], &number, &runs);
        if (r < 0)
            return EX_DATAERR;
        failures += r;
    }
    printf("1..%u\n# %u conversations, %d cases failed\n", number, runs, failures);
    return failures > 0;
}
