/* address.h - paths and mailboxes of MAIL and RCPT (RFC 5321 section 4.1.2, RFC 6531 section 3.3). */
#ifndef POSTERN_ADDRESS_H
#define POSTERN_ADDRESS_H

#include "base/str.h"

#define SMTP_LOCAL_MAX 64   /* RFC 5321 4.5.3.1.1 */
#define SMTP_DOMAIN_MAX 255 /* 4.5.3.1.2 */
#define SMTP_PATH_MAX 320   /* both at their maximum, so a little above 4.5.3.1.3's 256 */

enum smtp_path_error {
    PATH_OK = 0,
    PATH_SYNTAX,     /* not a path */
    PATH_TOO_LONG,   /* a part is over its maximum */
    PATH_NEEDS_UTF8, /* non-ASCII without SMTPUTF8 (UTF-01) */
    PATH_BAD_UTF8,
};

struct smtp_path {
    struct str mailbox; /* local@domain as written, source route skipped (SMTP-18); empty for <> */
    struct str local, domain; /* parts of mailbox; domain empty for <> and <Postmaster> */
    bool is_null;             /* "<>" */
    bool is_utf8;             /* holds non-ASCII */
    bool is_literal;          /* domain is an address literal */
};

/* Parses "<...>" at the start of s; *ret_len is how many octets it took.  All of *ret borrows from
 * s (or is empty).  Which command takes "<>" (MAIL) and "<Postmaster>" (RCPT) is for the caller:
 * the first has is_null, the second a local part and an empty domain.  A failure leaves *ret and
 * *ret_len untouched. */
MUST_USE enum smtp_path_error
smtp_path_parse(struct str s, bool utf8_allowed, struct smtp_path *ret, size_t *ret_len);

/* "local@domain" with nothing around it. */
MUST_USE enum smtp_path_error
smtp_mailbox_parse(struct str s, bool utf8_allowed, struct smtp_path *ret);

/* Argument of EHLO and HELO: a domain or an address literal (SMTP-05). Underscores and IPv6
 * literals without their tag are let pass: clients send them.  Non-ASCII is not (UTF-03). */
bool smtp_helo_is_valid(struct str s);

/* Domain has at least two labels (SUB-03), or is an address literal. */
bool smtp_domain_is_qualified(struct str domain);

#endif
