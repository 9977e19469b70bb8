/* cases.h - the tables of cases, and the cases themselves; read by probe.c and the tables alone. */
#ifndef POSTERN_CASES_H
#define POSTERN_CASES_H

#include "probe/probe.h"

enum probe_need {
    NEED_CLEAR = 1, /* a target that begins in the clear */
    NEED_CERTIFICATE = 2,
    NEED_EXPLICIT = 4, /* AUTH EXTERNAL worked */
    NEED_IDENTITY = 8,
    NEED_IMPLICIT = 16, /* mail was open with the certificate alone */
    NEED_DELIVER = 32,  /* --deliver */
    NEED_RELAY = 64,    /* --relay */
    NEED_SENDER = 128,  /* one that is not refused after a login */
};

struct probe_case {
    const char *id, *title, *section, *rows;
    unsigned needs;
    void (*run)(struct probe *p, struct probe_result *r);
};

const struct probe_case *probe_cases(enum probe_protocol protocol, size_t *ret_n);

#define CASE(name) void case_##name(struct probe *p, struct probe_result *r)

/* case_tls.c: what stands between clear and TLS */
CASE(version);
CASE(old_version);
CASE(request);
CASE(clear);
CASE(clear_login);
CASE(starttls_argument);
CASE(injection);
CASE(state);
CASE(transaction);
CASE(starttls_twice);
CASE(resumption);

/* case_login.c: without and with the certificate, until somebody is logged in */
CASE(no_certificate);
CASE(login_without);
CASE(anonymous);
CASE(offered);
CASE(visible);
CASE(equals);
CASE(empty_line);
CASE(prompted_equals);
CASE(trailing_space);
CASE(lower_case);
CASE(authzid);
CASE(prompted_authzid);
CASE(then_mail);
CASE(prompt);
CASE(cancel);
CASE(not_base64);
CASE(nul);
CASE(not_utf8);
CASE(unknown_mechanism);
CASE(foreign);
CASE(implicit);
CASE(enabled);
CASE(relay);

/* case_session.c: what a login is worth, and how long */
CASE(login_opens);
CASE(after_failure);
CASE(after_implicit);
CASE(second_auth);
CASE(in_transaction);
CASE(rset);
CASE(second_ehlo);
CASE(auth_parameter);
CASE(failures);
CASE(pipelined);
CASE(pipelined_failure);
CASE(deliver_explicit);
CASE(deliver_implicit);

/* case_bad.c: certificates that should not be taken */
CASE(bad_expired);
CASE(bad_future);
CASE(bad_usage);
CASE(bad_unknown);
CASE(bad_self_signed);
CASE(bad_revoked);
CASE(bad_no_email);

/* case_mailbox.c: IMAP and POP3 */
struct contact_facts
case_mailbox_shake(struct probe *p, struct tls_context *tls, char why[CONTACT_WHY]);
CASE(mailbox_clear);
CASE(mailbox_clear_login);
CASE(mailbox_injection);
CASE(mailbox_without);
CASE(mailbox_login_without);
CASE(mailbox_greeting);
CASE(mailbox_offered);
CASE(mailbox_equals);
CASE(mailbox_empty_line);
CASE(mailbox_authzid);
CASE(mailbox_prompted_authzid);
CASE(mailbox_foreign);
CASE(mailbox_alone);
CASE(mailbox_enabled);
CASE(mailbox_opens);
CASE(mailbox_second);
CASE(mailbox_resumption);
CASE(mailbox_expired);
CASE(mailbox_future);
CASE(mailbox_usage);
CASE(mailbox_unknown);
CASE(mailbox_self_signed);
CASE(mailbox_revoked);
CASE(mailbox_no_email);

#undef CASE

#endif
