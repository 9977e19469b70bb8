/* mend.h - the last changes to a message, once its account is known.
 *
 * - Addresses without a domain in the header get that of the account, as recipients do (SUB-03).  [rfc6409 4.2] asks
 *   it of whoever touches the text, and a name alone would be completed by every server on the way as it likes.
 *   A field that is no list of addresses stays as it is.
 * - Lines of the header that are longer than DOTS_LINE_MAX are folded in front of a blank [rfc5322 2.2.3].
 * - Where lines of the body are, its parts are encoded (message/downgrade.h) [rfc5321 4.5.3.1.6] (SMTP-13).
 *
 * What needs none of it stays as it is, to the octet.
 */
#ifndef POSTERN_SEND_MEND_H
#define POSTERN_SEND_MEND_H

#include "send/intake.h"

#define MEND_WHY_MAX 300

struct mend_config { /* borrowed during the call */
    const struct intake_facts *facts;
    const char *domain; /* NULL: the addresses stay */
};

/* Rewrites `text`; *ret_body_is_8bit is that of the facts, or what it has become.  -errno, and text is as before: then `why`
 * says what is wrong with the message, or "" and it is the errno of where the text goes. */
MUST_USE int
mend_text(struct send_text *text, const struct mend_config *cfg, bool *ret_body_is_8bit, char *why);

#endif
