#include "probe/observer_kinds.h"

#include <string.h>

#define BOTH "EXTERNAL PLAIN LOGIN"
#define PASSWORDS "PLAIN LOGIN"

/* clang-format off */
const struct observer_kind observer_kinds[OBSERVER_KINDS] = {
    [KIND_EXPLICIT] = {"explicit", "Option 1 or 3: EXTERNAL is offered, MAIL without it is 530",
        "Dovecot submission, Sendmail, Postern with certificate-auth = explicit",
        "EXTERNAL", "", EXTERNAL_HONEST, false, CERTIFICATE_ASKED},
    [KIND_IMPLICIT] = {"implicit", "Option 2: EXTERNAL is offered, MAIL without it implies it",
        "nginx with smtp_auth external none, Postern by default",
        "EXTERNAL", "", EXTERNAL_HONEST, true, CERTIFICATE_ASKED},
    [KIND_HIDDEN] = {"hidden", "the certificate opens MAIL; no AUTH is offered, AUTH is 503",
        "Exim with its tls authenticator, Postfix permit_tls_clientcerts, OpenSMTPD tls-require verify",
        "", "", EXTERNAL_UNKNOWN, true, CERTIFICATE_ASKED},
    [KIND_PROMPTS] = {"prompts", "334 in answer to AUTH EXTERNAL =",
        "Courier",
        "EXTERNAL", "", EXTERNAL_PROMPTS_ALWAYS, false, CERTIFICATE_ASKED},
    [KIND_WANTS_NAME] = {"wants-name", "an empty authorization identity is 535, a name is taken",
        "Exim with its external authenticator as the manual shows it",
        "EXTERNAL", "", EXTERNAL_WANTS_NAME, false, CERTIFICATE_ASKED},
    [KIND_WANTS_EMPTY] = {"wants-empty", "a name is 535, an empty authorization identity is taken",
        "servers whose own name for the certificate is not the user name of the account",
        "EXTERNAL", "", EXTERNAL_WANTS_EMPTY, false, CERTIFICATE_ASKED},
    [KIND_ASKS_NAME] = {"asks-name", "the challenge is 334 VXNlcm5hbWU6 (Username:) and not empty",
        "seen in the field",
        "EXTERNAL", "", EXTERNAL_ASKS_NAME, false, CERTIFICATE_ASKED},
    [KIND_AT_ONCE] = {"at-once", "235 at once to a bare AUTH EXTERNAL, without a challenge",
        "seen in the field",
        "EXTERNAL", "", EXTERNAL_AT_ONCE, false, CERTIFICATE_ASKED},
    [KIND_CHOICE] = {"choice", "EXTERNAL stands beside PLAIN and LOGIN",
        "servers that take passwords, too: Sendmail, Exim, Dovecot, Postern with a passwords block",
        BOTH, PASSWORDS, EXTERNAL_HONEST, false, CERTIFICATE_ASKED},
    [KIND_ALWAYS_535] = {"always-535", "EXTERNAL is offered to everybody and always refused",
        "Postfix with Dovecot SASL and smtpd_sasl_mechanism_filter = static:all",
        BOTH, BOTH, EXTERNAL_REFUSES, false, CERTIFICATE_ASKED},
    [KIND_PLAIN_ONLY] = {"plain-only", "PLAIN and LOGIN only; no certificate is asked for",
        "most submission servers as they come",
        PASSWORDS, PASSWORDS, EXTERNAL_UNKNOWN, false, CERTIFICATE_NOT_ASKED},
    [KIND_ALERT] = {"alert", "the certificate is refused in the handshake, by the alert unknown_ca",
        "OpenSMTPD tls-require verify, Postfix smtpd_tls_req_ccert, Postern with client-certificate = require",
        "", "", EXTERNAL_UNKNOWN, false, CERTIFICATE_ALERT},
    [KIND_REFUSED] = {"refused", "the certificate is refused in SMTP: no EXTERNAL, 535, 530 with the reason",
        "Postern with an expired, revoked or unknown certificate",
        PASSWORDS, PASSWORDS, EXTERNAL_REFUSES, false, CERTIFICATE_REFUSED},
    [KIND_OTHER_CA] = {"other-ca", "as implicit, but the certificate request names another CA",
        "servers that list in the request the CAs they know: Exim, Sendmail, nginx",
        "EXTERNAL", "", EXTERNAL_HONEST, true, CERTIFICATE_OTHER_CA},
};
/* clang-format on */

const struct observer_kind *observer_kind_find(const char *name)
{
    for (size_t i = 0; i < OBSERVER_KINDS; i++)
        if (strcmp(observer_kinds[i].name, name) == 0)
            return &observer_kinds[i];
    return NULL;
}

enum observer_place observer_kind_place(const struct observer_kind *k)
{
    return (enum observer_place)(k - observer_kinds);
}
