/* extension.h - the service extensions both engines speak of, and the values their parameters carry.
 *
 * One list: what a server of ours offers and what a server we talk to offers are sets over it.  Plain values.
 */
#ifndef POSTERN_SMTP_EXTENSION_H
#define POSTERN_SMTP_EXTENSION_H

#include "base/base.h"

enum smtp_extension {
    SMTP_EXT_8BITMIME,
    SMTP_EXT_AUTH,
    SMTP_EXT_BINARYMIME,
    SMTP_EXT_BURL,
    SMTP_EXT_CHUNKING,
    SMTP_EXT_DELIVERBY,
    SMTP_EXT_DSN,
    SMTP_EXT_ENHANCEDSTATUSCODES,
    SMTP_EXT_ETRN,
    SMTP_EXT_EXPN,
    SMTP_EXT_FUTURERELEASE,
    SMTP_EXT_HELP,
    SMTP_EXT_LIMITS,
    SMTP_EXT_MT_PRIORITY,
    SMTP_EXT_PIPELINING,
    SMTP_EXT_REQUIRETLS,
    SMTP_EXT_SIZE,
    SMTP_EXT_SMTPUTF8,
    SMTP_EXT_STARTTLS,
    SMTP_EXT_VRFY,
    SMTP_EXT_XCLIENT,
    SMTP_EXT_COUNT,
};

/* A set of extensions: the bits of its members, joined with |. */
#define SMTP_SET(ext) (1U << (ext))

static inline bool smtp_set_has(uint32_t set, enum smtp_extension ext)
{
    return set & SMTP_SET(ext);
}

/* The keyword of EHLO. */
const char *smtp_extension_name(enum smtp_extension ext);

enum smtp_body { SMTP_BODY_7BIT, SMTP_BODY_8BITMIME, SMTP_BODY_BINARYMIME };

enum { SMTP_NOTIFY_NEVER = 1, SMTP_NOTIFY_SUCCESS = 2, SMTP_NOTIFY_FAILURE = 4, SMTP_NOTIFY_DELAY = 8 };

#define SMTP_PRIORITY_MAX 9               /* MT-PRIORITY goes from -9 to 9 (RFC 6710 section 5) */
#define SMTP_SECONDS_MAX INT64_C(999999999) /* BY= and HOLDFOR= have nine digits (RFC 2852, RFC 4865) */

struct smtp_deliver_by { /* BY= (RFC 2852 section 4) */
    int64_t seconds;     /* may be negative with 'N': late already */
    char mode;           /* 'R': return it when late, 'N': tell, 0: no BY= */
    bool trace;
};

#endif
