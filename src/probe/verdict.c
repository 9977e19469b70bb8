#include "probe/verdict.h"

static const char serve_all[] = "Clients that go straight to MAIL are refused; accept an implicit "
                                "EXTERNAL (Option 2) to serve them too.";

/* clang-format off */
static const struct {
    const char *name, *words, *advice;
} rules[RULE_COUNT] = {
    [RULE_UNKNOWN] = {"unknown", "could not tell",
        "Give a certificate the server accepts (--certificate, --key), the name it stands for (--identity) and a "
        "recipient it takes (--to)."},
    [RULE_NO_LOGIN] = {"none", "no certificate login",
        "If certificates are meant to count: ask for one in the handshake and enable SASL EXTERNAL (RFC 8314 section "
        "4.2)."},
    [RULE_EXPLICIT] = {"option-1-or-3", "Option 1 or 3: AUTH EXTERNAL is required", serve_all},
    [RULE_OPTION_1] = {"option-1",
        "Option 1: AUTH EXTERNAL is required for submission, elsewhere the certificate alone counts", serve_all},
    [RULE_OPTION_3] = {"option-3", "Option 3: a certificate means nothing until AUTH EXTERNAL", serve_all},
    [RULE_BOTH] = {"option-2", "Option 2: AUTH EXTERNAL is offered and implied by MAIL", ""},
    [RULE_ACCESS] = {"access-rule", "certificate as access rule: mail is open, no EXTERNAL",
        "Enable SASL EXTERNAL (RFC 8314 section 4.2): clients that insist on logging in cannot."},
    [RULE_HIDDEN] = {"hidden-auth", "authenticates in TLS and hides AUTH",
        "Go on offering EXTERNAL after the handshake (RFC 8314 section 4.2): clients that insist on logging in find no "
        "AUTH."},
    [RULE_OPEN] = {"open", "takes mail without any login: nothing can be told",
        "Close submission to the unauthenticated (RFC 6409 section 4.3), or probe from an address without exemption and "
        "with a recipient elsewhere (--to)."},
    [RULE_PREAUTH] = {"preauth", "PREAUTH: the certificate logs in by the greeting",
        "RFC 8314 section 3.2 permits it; clients that insist on AUTHENTICATE find themselves logged in already."},
    [RULE_MAILBOX] = {"explicit", "EXTERNAL logs in, the certificate alone does not", ""},
    [RULE_SILENT] = {"silent", "the certificate logs in without a word",
        "Stay in the state before the login until EXTERNAL was said (RFC 8314 section 3.1)."},
    [RULE_ABSENT] = {"absent", "this version of TLS is not spoken here", ""},
    [RULE_MIXED] = {"mixed", "not the same rule everywhere",
        "Let every port and version of TLS follow the same rule: clients choose among them by themselves."},
};
/* clang-format on */

enum rule rule_of(const struct observations *o)
{
    if (o->absent == SEEN_YES)
        return RULE_ABSENT;
    if (o->anonymous == SEEN_YES)
        return RULE_OPEN;
    if (o->implicit == SEEN_UNKNOWN || o->explicit_login == SEEN_UNKNOWN)
        return RULE_UNKNOWN;
    if (o->explicit_login == SEEN_YES && o->implicit == SEEN_YES)
        return RULE_BOTH;
    if (o->explicit_login == SEEN_YES && (o->relays == SEEN_YES || o->differs == SEEN_YES))
        return RULE_OPTION_1;
    if (o->explicit_login == SEEN_YES)
        return o->relays == SEEN_NO ? RULE_OPTION_3 : RULE_EXPLICIT;
    if (o->implicit == SEEN_NO)
        return RULE_NO_LOGIN;
    return o->auth == SEEN_NO ? RULE_HIDDEN : RULE_ACCESS;
}

enum rule rule_of_mailboxes(const struct observations *o)
{
    if (o->absent == SEEN_YES)
        return RULE_ABSENT;
    if (o->preauth == SEEN_YES)
        return RULE_PREAUTH;
    if (o->implicit == SEEN_YES)
        return RULE_SILENT;
    if (o->explicit_login == SEEN_UNKNOWN)
        return RULE_UNKNOWN;
    return o->explicit_login == SEEN_YES ? RULE_MAILBOX : RULE_NO_LOGIN;
}

static bool says_something(enum rule r)
{
    return r != RULE_ABSENT && r != RULE_UNKNOWN;
}

/* "1 or 3" gives way to whichever was found elsewhere. */
static bool is_explicit(enum rule r)
{
    return r == RULE_EXPLICIT || r == RULE_OPTION_1 || r == RULE_OPTION_3;
}

enum rule rule_merge(enum rule a, enum rule b)
{
    if (a == b)
        return a;
    if (!says_something(a) && !says_something(b))
        return RULE_UNKNOWN;
    if (!says_something(a) || !says_something(b))
        return says_something(a) ? a : b;
    if (is_explicit(a) && is_explicit(b) && (a == RULE_EXPLICIT || b == RULE_EXPLICIT))
        return a == RULE_EXPLICIT ? b : a;
    return RULE_MIXED;
}

const char *rule_name(enum rule r)
{
    return rules[r].name;
}

const char *rule_words(enum rule r)
{
    return rules[r].words;
}

const char *rule_advice(enum rule r)
{
    return rules[r].advice;
}

const char *rule_lacks(const struct observations *o)
{
    if (o->absent == SEEN_YES || o->anonymous == SEEN_YES)
        return NULL;
    if (o->explicit_login == SEEN_UNKNOWN)
        return "whether AUTH EXTERNAL logs in";
    return o->implicit == SEEN_UNKNOWN ? "whether the certificate alone opens mail" : NULL;
}

static void merge(enum seen *into, enum seen from)
{
    if (*into == SEEN_UNKNOWN)
        *into = from;
    else if (from != SEEN_UNKNOWN && from != *into)
        *into = SEEN_PARTLY;
}

void observations_merge(struct observations *into, const struct observations *from)
{
    merge(&into->absent, from->absent);
    merge(&into->anonymous, from->anonymous);
    merge(&into->asked, from->asked);
    merge(&into->offered, from->offered);
    merge(&into->auth, from->auth);
    merge(&into->explicit_login, from->explicit_login);
    merge(&into->implicit, from->implicit);
    merge(&into->equals, from->equals);
    merge(&into->empty_line, from->empty_line);
    merge(&into->prompted_equals, from->prompted_equals);
    merge(&into->trailing_space, from->trailing_space);
    merge(&into->authzid, from->authzid);
    merge(&into->prompted_authzid, from->prompted_authzid);
    merge(&into->then_mail, from->then_mail);
    merge(&into->differs, from->differs);
    merge(&into->relays, from->relays);
    merge(&into->preauth, from->preauth);
}

static const char unlisted[] = "only clients that try EXTERNAL without seeing it listed";

void client_classes(const struct observations *o, struct client_class *ret)
{
    /* clang-format off */
    const struct client_class classes[CLIENT_CLASSES] = {
        {"AUTH EXTERNAL =", "s-nail externanon, curl --sasl-ir, nullmailer --auth-external", o->equals, ""},
        {"AUTH EXTERNAL authzid", "s-nail, curl -u --sasl-ir, libesmtp, Exim, Sendmail, Net::SMTP, git", o->authzid, ""},
        {"bare, then an empty line", "mutt, gsasl, smtplib and Net::SMTP without a name", o->empty_line, ""},
        {"bare, then the authzid", "msmtp and mutt with a user, curl -u, gsasl --authorization-id", o->prompted_authzid, ""},
        {"bare, then =", "curl", o->prompted_equals, ""},
        {"trailing space, then an empty line", "Python smtplib", o->trailing_space, ""},
        {"bare, then MAIL", "msmtp without a user", o->then_mail, "its MAIL stands where a response is awaited"},
        {"straight to MAIL", "Thunderbird, Postfix, OpenSMTPD, neomutt, dma, swaks, nodemailer", o->implicit, ""},
    };
    /* clang-format on */
    for (size_t i = 0; i < CLIENT_CLASSES; i++) {
        ret[i] = classes[i];
        bool logs_in = i + 1 < CLIENT_CLASSES;
        if (logs_in && ret[i].works == SEEN_YES && o->offered == SEEN_NO) {
            ret[i].works = SEEN_PARTLY;
            ret[i].note = unlisted;
        }
    }
}

const char *seen_name(enum seen s)
{
    static const char *const names[] = {
        [SEEN_UNKNOWN] = "unknown", [SEEN_NO] = "no", [SEEN_YES] = "yes", [SEEN_PARTLY] = "partly"};
    return names[s];
}
