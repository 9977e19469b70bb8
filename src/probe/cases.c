/* What is tried on a server, in the order it is run: what later cases need is found by earlier ones. */
#include "probe/cases.h"

#define WITH NEED_CERTIFICATE
#define LOGIN (NEED_CERTIFICATE | NEED_EXPLICIT)
#define SENDS (LOGIN | NEED_SENDER)
#define NAMED (NEED_CERTIFICATE | NEED_IDENTITY)
#define IMPLIED (NEED_CERTIFICATE | NEED_IMPLICIT)

/* clang-format off */
static const struct probe_case cases[] = {
    {"version", "this version of TLS", "RFC 9325 3.1.1", "TLS-04, TLS-05", 0, case_version},
    {"request", "certificate asked for, CAs named", "RFC 8446 4.3.2", "CERT-01, CERT-06", 0, case_request},
    {"clear", "EXTERNAL listed before TLS", "RFC 3207 4.2", "EDG-12", NEED_CLEAR, case_clear},
    {"clear-login", "AUTH EXTERNAL before TLS", "RFC 4422 A.3", "EXT-08, AUTH-20", NEED_CLEAR, case_clear_login},
    {"starttls-argument", "STARTTLS with an argument", "RFC 3207 4", "STLS-01", NEED_CLEAR, case_starttls_argument},
    {"no-certificate", "EXTERNAL listed without certificate", "RFC 4954 9", "OPN-10", 0, case_no_certificate},
    {"login-without", "AUTH EXTERNAL without certificate", "RFC 4422 A.1", "EXT-06", 0, case_login_without},
    {"anonymous", "mail without any login", "RFC 6409 4.3", "OPN-01", 0, case_anonymous},
    {"injection", "line injected behind STARTTLS", "RFC 3207 4.2", "STLS-08", NEED_CLEAR, case_injection},
    {"state", "EHLO carried over STARTTLS", "RFC 3207 4.2", "STLS-04", NEED_CLEAR, case_state},
    {"transaction", "transaction carried over STARTTLS", "RFC 3207 4.2", "STLS-04", NEED_CLEAR, case_transaction},
    {"starttls-twice", "STARTTLS inside TLS", "RFC 3207 4.2", "STLS-06", 0, case_starttls_twice},
    {"old-version", "TLS 1.1", "RFC 9325 3.1.1", "TLS-06", 0, case_old_version},

    {"offered", "AUTH line with certificate", "RFC 3207 4.2", "OPN-04", WITH, case_offered},
    {"visible", "EHLO with and without certificate", "RFC 3207 4.2", "O3-01, O3-03", WITH, case_visible},
    {"equals", "AUTH EXTERNAL =", "RFC 4954 4", "OPN-05", WITH, case_equals},
    {"empty-line", "bare EXTERNAL, then an empty line", "RFC 4954 4", "OPN-05, EXT-10", WITH, case_empty_line},
    {"prompted-equals", "bare EXTERNAL, then =", "RFC 4954 4", "EXT-10", WITH, case_prompted_equals},
    {"trailing-space", "EXTERNAL and a space, then an empty line", "RFC 4954 4", "OPN-05", WITH, case_trailing_space},
    {"lower-case", "auth external =", "RFC 4954 8", "AUTH-02", WITH, case_lower_case},
    {"authzid", "EXTERNAL with the own authzid", "RFC 4422 A.1", "EXT-03", NAMED, case_authzid},
    {"prompted-authzid", "bare EXTERNAL, then the own authzid", "RFC 4422 A.1", "EXT-01", NAMED, case_prompted_authzid},
    {"then-mail", "bare EXTERNAL, then MAIL", "RFC 4954 4", "AUTH-10", WITH, case_then_mail},
    {"prompt", "the prompt of EXTERNAL", "RFC 4954 4", "AUTH-06", WITH, case_prompt},
    {"cancel", "EXTERNAL cancelled", "RFC 4954 4", "AUTH-09", WITH, case_cancel},
    {"foreign", "EXTERNAL with a foreign authzid", "RFC 4422 A.1", "EXT-03, O1-05", LOGIN, case_foreign},
    {"not-base64", "EXTERNAL with no base64", "RFC 4954 4", "AUTH-10", WITH, case_not_base64},
    {"nul", "EXTERNAL with a NUL", "RFC 4422 A.1", "EXT-04", WITH, case_nul},
    {"not-utf8", "EXTERNAL with no UTF-8", "RFC 4422 A.1", "EXT-05", WITH, case_not_utf8},
    {"unknown-mechanism", "AUTH with an unknown mechanism", "RFC 4954 4", "AUTH-03", WITH, case_unknown_mechanism},
    {"implicit", "mail with the certificate alone", "RFC 6409 4.3", "O1-01, O2-02", WITH, case_implicit},
    {"enabled", "EXTERNAL where a certificate suffices", "RFC 8314 4.2", "OPN-06", WITH, case_enabled},
    {"relay", "relaying with the certificate alone", "RFC 3207 4", "O3-06", WITH | NEED_RELAY, case_relay},

    {"login-opens", "mail after AUTH EXTERNAL", "RFC 4954 4", "O1-04", SENDS, case_login_opens},
    {"after-failure", "mail after a failed AUTH", "RFC 4954 4", "O2-12", LOGIN, case_after_failure},
    {"after-implicit", "AUTH after an implied login", "RFC 4954 4", "O2-10, EDG-04", IMPLIED, case_after_implicit},
    {"second-auth", "a second AUTH", "RFC 4954 4", "AUTH-04", LOGIN, case_second_auth},
    {"in-transaction", "AUTH inside a transaction", "RFC 4954 4", "AUTH-05", SENDS, case_in_transaction},
    {"rset", "RSET keeps the login", "RFC 5321 4.1.1.5", "EDG-05", SENDS, case_rset},
    {"second-ehlo", "EHLO keeps the login", "RFC 5321 4.1.4", "EDG-06, EDG-07", SENDS, case_second_ehlo},
    {"auth-parameter", "MAIL with AUTH=<>", "RFC 4954 5", "AUTH-28", SENDS, case_auth_parameter},
    {"failures", "three failed AUTH on one connection", "RFC 4954 9", "AUTH-22", LOGIN, case_failures},
    {"pipelined", "AUTH EXTERNAL =, MAIL, RCPT in one write", "RFC 4954 4", "EDG-24", SENDS, case_pipelined},
    {"pipelined-failure", "the same with a login that fails", "RFC 4954 4", "EDG-24", LOGIN, case_pipelined_failure},
    {"resumption", "a resumed TLS session", "RFC 8446 2.2", "EDG-13", LOGIN, case_resumption},

    {"expired", "an expired certificate", "RFC 5280 6.1", "CERT-09, EDG-21", 0, case_bad_expired},
    {"future", "a certificate not yet valid", "RFC 5280 6.1", "CERT-09", 0, case_bad_future},
    {"server-only", "a certificate for servers only", "RFC 5280 4.2.1.12", "CERT-10", 0, case_bad_usage},
    {"unknown-ca", "a certificate of an unknown CA", "RFC 5280 6.1", "CERT-09, CERT-15", 0, case_bad_unknown},
    {"self-signed", "a self-signed certificate", "RFC 5280 6.1", "CERT-09, EDG-20", 0, case_bad_self_signed},
    {"revoked", "a revoked certificate", "RFC 5280 6.3", "CERT-11", 0, case_bad_revoked},
    {"no-email", "a certificate without e-mail address", "RFC 8314 4.2", "EDG-01, CERT-14", 0, case_bad_no_email},

    {"deliver-explicit", "a message after AUTH EXTERNAL", "RFC 5321 4.1.1.4", "O1-04", SENDS | NEED_DELIVER, case_deliver_explicit},
    {"deliver-implicit", "a message with the certificate alone", "RFC 5321 4.1.1.4", "O2-02", IMPLIED | NEED_DELIVER, case_deliver_implicit},
};

static const struct probe_case imap_cases[] = {
    {"version", "this version of TLS", "RFC 9325 3.1.1", "TLS-04, TLS-05", 0, case_version},
    {"request", "certificate asked for, CAs named", "RFC 8446 4.3.2", "CERT-01, CERT-06", 0, case_request},
    {"clear", "EXTERNAL listed before TLS", "RFC 9051 6.2.1", "EXT-08", NEED_CLEAR, case_mailbox_clear},
    {"clear-login", "EXTERNAL before TLS", "RFC 4422 A.3", "EXT-08", NEED_CLEAR, case_mailbox_clear_login},
    {"injection", "command injected behind STARTTLS", "RFC 9051 6.2.1", "STLS-08", NEED_CLEAR, case_mailbox_injection},
    {"no-certificate", "EXTERNAL listed without certificate", "RFC 4422 A.1", "OPN-10", 0, case_mailbox_without},
    {"login-without", "EXTERNAL without certificate", "RFC 4422 A.1", "EXT-06", 0, case_mailbox_login_without},
    {"old-version", "TLS 1.1", "RFC 9325 3.1.1", "TLS-06", 0, case_old_version},
    {"greeting", "greeting with the certificate", "RFC 8314 3.2", "OPN-12", WITH, case_mailbox_greeting},
    {"offered", "EXTERNAL listed with certificate", "RFC 9051 6.2.2", "OPN-04", WITH, case_mailbox_offered},
    {"equals", "AUTHENTICATE EXTERNAL =", "RFC 4959 3", "EXT-02", WITH, case_mailbox_equals},
    {"empty-line", "EXTERNAL, then an empty line", "RFC 9051 6.2.2", "EXT-01", WITH, case_mailbox_empty_line},
    {"authzid", "EXTERNAL with the own authzid", "RFC 4959 3", "EXT-03", NAMED, case_mailbox_authzid},
    {"prompted-authzid", "EXTERNAL, then the own authzid", "RFC 4422 A.1", "EXT-03", NAMED, case_mailbox_prompted_authzid},
    {"foreign", "EXTERNAL with a foreign authzid", "RFC 4422 A.1", "EXT-03", LOGIN, case_mailbox_foreign},
    {"alone", "a mailbox with the certificate alone", "RFC 9051 3.1", "OPN-12", WITH, case_mailbox_alone},
    {"enabled", "EXTERNAL or PREAUTH where a certificate suffices", "RFC 8314 3.2", "OPN-06", WITH, case_mailbox_enabled},
    {"login-opens", "a mailbox after the login", "RFC 9051 3.3", "EXT-02", LOGIN, case_mailbox_opens},
    {"second-auth", "a second login", "RFC 9051 6.2.2", "AUTH-04", LOGIN, case_mailbox_second},
    {"resumption", "a resumed TLS session", "RFC 8446 2.2", "EDG-13", LOGIN, case_mailbox_resumption},
    {"expired", "an expired certificate", "RFC 5280 6.1", "CERT-09", 0, case_mailbox_expired},
    {"future", "a certificate not yet valid", "RFC 5280 6.1", "CERT-09", 0, case_mailbox_future},
    {"server-only", "a certificate for servers only", "RFC 5280 4.2.1.12", "CERT-10", 0, case_mailbox_usage},
    {"unknown-ca", "a certificate of an unknown CA", "RFC 5280 6.1", "CERT-09, CERT-15", 0, case_mailbox_unknown},
    {"self-signed", "a self-signed certificate", "RFC 5280 6.1", "CERT-09", 0, case_mailbox_self_signed},
    {"revoked", "a revoked certificate", "RFC 5280 6.3", "CERT-11", 0, case_mailbox_revoked},
    {"no-email", "a certificate without e-mail address", "RFC 8314 3.2", "CERT-14", 0, case_mailbox_no_email},
};

static const struct probe_case pop3_cases[] = {
    {"version", "this version of TLS", "RFC 9325 3.1.1", "TLS-04, TLS-05", 0, case_version},
    {"request", "certificate asked for, CAs named", "RFC 8446 4.3.2", "CERT-01, CERT-06", 0, case_request},
    {"clear", "EXTERNAL listed before TLS", "RFC 2595 4", "EXT-08", NEED_CLEAR, case_mailbox_clear},
    {"clear-login", "EXTERNAL before TLS", "RFC 4422 A.3", "EXT-08", NEED_CLEAR, case_mailbox_clear_login},
    {"injection", "command injected behind STLS", "RFC 2595 4", "STLS-08", NEED_CLEAR, case_mailbox_injection},
    {"no-certificate", "EXTERNAL listed without certificate", "RFC 4422 A.1", "OPN-10", 0, case_mailbox_without},
    {"login-without", "EXTERNAL without certificate", "RFC 4422 A.1", "EXT-06", 0, case_mailbox_login_without},
    {"old-version", "TLS 1.1", "RFC 9325 3.1.1", "TLS-06", 0, case_old_version},
    {"offered", "EXTERNAL listed with certificate", "RFC 5034 6", "OPN-04", WITH, case_mailbox_offered},
    {"equals", "AUTH EXTERNAL =", "RFC 5034 4", "EXT-02", WITH, case_mailbox_equals},
    {"empty-line", "EXTERNAL, then an empty line", "RFC 5034 4", "EXT-01", WITH, case_mailbox_empty_line},
    {"authzid", "EXTERNAL with the own authzid", "RFC 5034 4", "EXT-03", NAMED, case_mailbox_authzid},
    {"prompted-authzid", "EXTERNAL, then the own authzid", "RFC 4422 A.1", "EXT-03", NAMED, case_mailbox_prompted_authzid},
    {"foreign", "EXTERNAL with a foreign authzid", "RFC 4422 A.1", "EXT-03", LOGIN, case_mailbox_foreign},
    {"alone", "a mailbox with the certificate alone", "RFC 8314 3.1", "OPN-12", WITH, case_mailbox_alone},
    {"enabled", "EXTERNAL where a certificate suffices", "RFC 8314 3.1", "OPN-06", WITH, case_mailbox_enabled},
    {"login-opens", "a mailbox after the login", "RFC 1939 5", "EXT-02", LOGIN, case_mailbox_opens},
    {"second-auth", "a second login", "RFC 5034 4", "AUTH-04", LOGIN, case_mailbox_second},
    {"resumption", "a resumed TLS session", "RFC 8446 2.2", "EDG-13", LOGIN, case_mailbox_resumption},
    {"expired", "an expired certificate", "RFC 5280 6.1", "CERT-09", 0, case_mailbox_expired},
    {"future", "a certificate not yet valid", "RFC 5280 6.1", "CERT-09", 0, case_mailbox_future},
    {"server-only", "a certificate for servers only", "RFC 5280 4.2.1.12", "CERT-10", 0, case_mailbox_usage},
    {"unknown-ca", "a certificate of an unknown CA", "RFC 5280 6.1", "CERT-09, CERT-15", 0, case_mailbox_unknown},
    {"self-signed", "a self-signed certificate", "RFC 5280 6.1", "CERT-09", 0, case_mailbox_self_signed},
    {"revoked", "a revoked certificate", "RFC 5280 6.3", "CERT-11", 0, case_mailbox_revoked},
    {"no-email", "a certificate without e-mail address", "RFC 8314 3.1", "CERT-14", 0, case_mailbox_no_email},
};
/* clang-format on */

static const struct {
    const struct probe_case *list;
    size_t n;
} tables[] = {
    [PROBE_SMTP] = {cases,      ARRAY_LEN(cases)     },
    [PROBE_IMAP] = {imap_cases, ARRAY_LEN(imap_cases)},
    [PROBE_POP3] = {pop3_cases, ARRAY_LEN(pop3_cases)},
};
_Static_assert(ARRAY_LEN(cases) <= PROBE_CASES_MAX, "struct probe has a result for each case");

const struct probe_case *probe_cases(enum probe_protocol protocol, size_t *ret_n)
{
    *ret_n = tables[protocol].n;
    return tables[protocol].list;
}
