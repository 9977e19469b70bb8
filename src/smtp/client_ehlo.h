/* client_ehlo.h - what a server says it can do: the reply to EHLO or LHLO as values (RFC 5321 section 4.1.1.1).
 *
 * A plain value.  Only the newest list counts: the whole value is replaced by each EHLO, and emptied when TLS
 * begins (STLS-05, LIM-01).  What is not understood is skipped: a server may list anything.
 */
#ifndef POSTERN_SMTP_CLIENT_EHLO_H
#define POSTERN_SMTP_CLIENT_EHLO_H

#include "base/str.h"
#include "smtp/extension.h"

#define SMTP_MECHANISMS_MAX 256

struct smtp_capabilities {
    uint32_t offered;                      /* set of extensions */
    char mechanisms[SMTP_MECHANISMS_MAX];  /* of AUTH, upper case, one space between; what does not fit is left out */
    uint64_t size_max;                     /* SIZE; 0: no limit was named */
    uint64_t mail_max, rcpt_max, domain_max; /* LIMITS (RFC 9422); 0: none */
    uint64_t hold_seconds_max;             /* FUTURERELEASE (RFC 4865 section 4.1); 0: not named */
    uint64_t by_seconds_min;               /* DELIVERBY (RFC 2852 section 4); 0: none */
};

/* `text` is that of the reply: lines joined with '\n', the first names the server. */
void smtp_capabilities_read(struct smtp_capabilities *caps, struct str text);

bool smtp_offers(const struct smtp_capabilities *caps, enum smtp_extension ext);
bool smtp_offers_mechanism(const struct smtp_capabilities *caps, const char *mechanism);

#endif
