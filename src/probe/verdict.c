#include "probe/verdict.h"

static const struct {
    const char *name, *words, *advice;
} rules[RULE_COUNT] = {
    [RULE_UNKNOWN] = {"unknown",       "could not tell",
                      "Give a certificate the server accepts (--certificate, --key) and a "
                      "recipient it takes (--to)."                                                            },
    [RULE_NO_LOGIN] = {"none",          "no certificate login",
                      "If certificates are meant to count: request one in the handshake and "
                      "enable SASL EXTERNAL "
                       "(RFC 8314 section 4.2)."                                                              },
    [RULE_EXPLICIT] =
        {"option-1-or-3", "Option 1 or 3: AUTH EXTERNAL is required",
                      "Clients that go straight to MAIL are refused; accept an implicit EXTERNAL (Option 2) to "
         "serve them too."                                                                                    },
    [RULE_BOTH] = {"option-2",      "Option 2: AUTH EXTERNAL is offered and implied by MAIL", ""           },
    [RULE_ACCESS] =
        {"access-rule",   "certificate as access rule: mail is open, no EXTERNAL",
                      "Enable SASL EXTERNAL (RFC 8314 section 4.2): clients that insist on logging in cannot."},
    [RULE_HIDDEN] = {"hidden-auth",   "authenticates in TLS and hides AUTH",
                      "Go on offering EXTERNAL after the handshake (RFC 8314 section 4.2): clients "
                      "that insist on "
                     "logging in find no AUTH."                                                               },
    [RULE_OPEN] =
        {"open",          "takes mail without any login: nothing can be told",
                      "Close submission to the unauthenticated (RFC 6409 section 4.3), or probe from an address "
         "without exemption."                                                                                 },
};

enum rule rule_of(const struct observations *o)
{
    if (o->anonymous == SEEN_YES)
        return RULE_OPEN;
    if (o->implicit == SEEN_UNKNOWN || o->explicit_login == SEEN_UNKNOWN)
        return RULE_UNKNOWN;
    if (o->explicit_login == SEEN_YES)
        return o->implicit == SEEN_YES ? RULE_BOTH : RULE_EXPLICIT;
    if (o->implicit == SEEN_NO)
        return RULE_NO_LOGIN;
    return o->auth == SEEN_NO ? RULE_HIDDEN : RULE_ACCESS;
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

void client_classes(const struct observations *o, struct client_class *ret)
{
    const struct client_class classes[CLIENT_CLASSES] = {
        {"AUTH EXTERNAL =",                    "s-nail externanon, curl --sasl-ir, nullmailer --auth-external",
         o->equals                                                                                                                   },
        {"AUTH EXTERNAL authzid",
         "s-nail, curl -u --sasl-ir, libesmtp, Exim, Sendmail, Net::SMTP, git",                                    o->authzid        },
        {"bare, then an empty line",           "mutt, gsasl, smtplib and Net::SMTP without a name",
         o->empty_line                                                                                                               },
        {"bare, then =",                       "curl",                                                             o->prompted_equals},
        {"trailing space, then an empty line", "Python smtplib",                                                   o->trailing_space },
        {"straight to MAIL",                   "Thunderbird, Postfix, OpenSMTPD, neomutt, dma, swaks, nodemailer",
         o->implicit                                                                                                                 },
    };
    for (size_t i = 0; i < CLIENT_CLASSES; i++)
        ret[i] = classes[i];
}

const char *seen_name(enum seen s)
{
    static const char *const names[] = {
        [SEEN_UNKNOWN] = "unknown", [SEEN_NO] = "no", [SEEN_YES] = "yes"};
    return names[s];
}
