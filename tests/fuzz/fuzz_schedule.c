/* The values of HOLDFOR, HOLDUNTIL, BY and MT-PRIORITY, from hostile octets.
 *
 * Checked: what is taken lies in its range, and a date that is taken comes back to the second when it is written and
 * read again. */
#include "smtp/schedule.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        __builtin_trap();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = {(const char *)data, size};
    struct smtp_deliver_by by;
    int64_t n = 0, back = 0;
    int priority = 0;
    must(smtp_hold_for_parse(in, &n) < 0 || (n >= 1 && n <= SMTP_SECONDS_MAX));
    if (smtp_deliver_by_parse(in, &by) == 0) {
        must(by.seconds >= -SMTP_SECONDS_MAX && by.seconds <= SMTP_SECONDS_MAX);
        must((by.mode == 'R' && by.seconds > 0) || by.mode == 'N');
    }
    must(smtp_priority_parse(in, &priority) < 0 ||
         (priority >= -SMTP_PRIORITY_MAX && priority <= SMTP_PRIORITY_MAX));
    if (smtp_date_time_parse(in, &n) == 0 && n < INT64_C(253402300800000)) {
        char text[SMTP_DATE_TIME_MAX];
        must(n >= 0);
        smtp_date_time_format(n, text);
        must(smtp_date_time_parse(str_of(text), &back) == 0 && back == n - n % 1000);
    }
    return 0;
}
