/* schedule.h - what MAIL says about when and how urgently: the values of HOLDFOR, HOLDUNTIL (RFC 4865), BY (RFC 2852)
 * and MT-PRIORITY (RFC 6710).
 *
 * Strict, and pure: times are values.  The parsers return 0 or -EINVAL and then leave *ret untouched.
 */
#ifndef POSTERN_SMTP_SCHEDULE_H
#define POSTERN_SMTP_SCHEDULE_H

#include "base/str.h"
#include "smtp/extension.h"

/* Seconds, 1 to SMTP_SECONDS_MAX, without leading zero (RFC 4865 section 4). */
MUST_USE int smtp_hold_for_parse(struct str s, int64_t *ret_seconds);

/* "120;RT" (RFC 2852 section 4): 'R' needs a time above zero (DLB-01). */
MUST_USE int smtp_deliver_by_parse(struct str s, struct smtp_deliver_by *ret);

/* -9 to 9, as short as it goes (RFC 6710 section 5). */
MUST_USE int smtp_priority_parse(struct str s, int *ret);

/* date-time of RFC 3339 section 5.6, of the years 1970 to 9999, as milliseconds since 1970. */
MUST_USE int smtp_date_time_parse(struct str s, int64_t *ret_ms);

#define SMTP_DATE_TIME_MAX 24 /* "2031-01-01T00:00:00Z", NUL included */
void smtp_date_time_format(int64_t ms, char out[SMTP_DATE_TIME_MAX]);

#endif
