#include "smtp/schedule.h"

#include <errno.h>
#include <stdio.h>

#define SECOND_MS INT64_C(1000)
#define DAY_SECONDS INT64_C(86400)

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Up to nine digits, nothing else. */
static int read_seconds(struct str s, int64_t *ret)
{
    uint64_t n = 0;
    if (s.len == 0 || s.len > 9 || str_to_u64(s, (uint64_t)SMTP_SECONDS_MAX, &n) < 0)
        return -EINVAL;
    *ret = (int64_t)n;
    return 0;
}

int smtp_hold_for_parse(struct str s, int64_t *ret_seconds)
{
    return s.len > 0 && s.p[0] != '0' ? read_seconds(s, ret_seconds) : -EINVAL;
}

/* by-mode [by-trace]; letters of ABNF have no case. */
static bool read_mode(struct str s, struct smtp_deliver_by *by)
{
    if (str_eq_nocase(str_upto(s, 1), STR("R")))
        by->mode = 'R';
    else if (str_eq_nocase(str_upto(s, 1), STR("N")))
        by->mode = 'N';
    else
        return false;
    by->trace = s.len == 2 && str_eq_nocase(str_from(s, 1), STR("T"));
    return s.len == 1 || by->trace;
}

int smtp_deliver_by_parse(struct str s, struct smtp_deliver_by *ret)
{
    struct smtp_deliver_by by = {0};
    ssize_t semicolon = str_find(s, ';');
    if (semicolon <= 0 || !read_mode(str_from(s, (size_t)semicolon + 1), &by))
        return -EINVAL;
    struct str time = str_upto(s, (size_t)semicolon);
    bool minus = time.p[0] == '-';
    if (read_seconds(str_from(time, minus || time.p[0] == '+'), &by.seconds) < 0)
        return -EINVAL;
    if (minus)
        by.seconds = -by.seconds;
    if (by.mode == 'R' && by.seconds <= 0)
        return -EINVAL;
    *ret = by;
    return 0;
}

int smtp_priority_parse(struct str s, int *ret)
{
    bool minus = s.len == 2 && s.p[0] == '-';
    struct str digit = str_from(s, minus);
    if (digit.len != 1 || !is_digit(digit.p[0]) || (minus && digit.p[0] == '0'))
        return -EINVAL;
    int n = digit.p[0] - '0';
    *ret = minus ? -n : n;
    return 0;
}

/* ---- dates ---- */

struct fields { /* of a date-time */
    int64_t year, month, day, hour, minute, second;
};

static bool is_leap(int64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int64_t days_of(int64_t year, int64_t month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return days[month - 1] + (month == 2 && is_leap(year));
}

/* Days from 1970-01-01 to the first of January. */
static int64_t days_before_year(int64_t year)
{
    int64_t y = year - 1;
    return (year - 1970) * 365 + (y / 4 - 1969 / 4) - (y / 100 - 1969 / 100) +
           (y / 400 - 1969 / 400);
}

static int64_t days_since_1970(const struct fields *f)
{
    int64_t days = days_before_year(f->year) + f->day - 1;
    for (int64_t m = 1; m < f->month; m++)
        days += days_of(f->year, m);
    return days;
}

/* Takes `n` digits off *rest, and the character behind them when there is to be one. */
static bool take(struct str *rest, size_t n, char behind, int64_t *ret)
{
    uint64_t v = 0;
    if (rest->len < n || str_to_u64(str_upto(*rest, n), UINT64_MAX, &v) < 0)
        return false;
    *rest = str_from(*rest, n);
    *ret = (int64_t)v;
    if (!behind)
        return true;
    bool there = rest->len > 0 && str_eq_nocase(str_upto(*rest, 1), (struct str){&behind, 1});
    *rest = str_from(*rest, 1);
    return there;
}

/* time-secfrac: less than a millisecond is nobody's wish. */
static bool take_fraction(struct str *rest, int64_t *ret_ms)
{
    size_t n = 1;
    int64_t ms = 0, unit = 100;
    *ret_ms = 0;
    if (rest->len == 0 || rest->p[0] != '.')
        return true;
    for (; n < rest->len && is_digit(rest->p[n]); n++, unit /= 10)
        ms += unit * (rest->p[n] - '0');
    *rest = str_from(*rest, n);
    *ret_ms = ms;
    return n > 1;
}

/* "Z" or "+01:30"; nothing may follow. */
static bool take_offset(struct str rest, int64_t *ret_seconds)
{
    int64_t hours = 0, minutes = 0;
    *ret_seconds = 0;
    if (str_eq_nocase(rest, STR("Z")))
        return true;
    if (rest.len == 0 || (rest.p[0] != '+' && rest.p[0] != '-'))
        return false;
    bool minus = rest.p[0] == '-';
    rest = str_from(rest, 1);
    if (!take(&rest, 2, ':', &hours) || !take(&rest, 2, '\0', &minutes) || rest.len || hours > 23 ||
        minutes > 59)
        return false;
    *ret_seconds = (hours * 60 + minutes) * (minus ? -60 : 60);
    return true;
}

static bool is_possible(const struct fields *f)
{
    return f->year >= 1970 && f->month >= 1 && f->month <= 12 && f->day >= 1 &&
           f->day <= days_of(f->year, f->month) && f->hour <= 23 && f->minute <= 59 &&
           f->second <= 60; /* a leap second is the one after 59 */
}

int smtp_date_time_parse(struct str s, int64_t *ret_ms)
{
    struct fields f;
    int64_t ms, offset;
    if (!take(&s, 4, '-', &f.year) || !take(&s, 2, '-', &f.month) || !take(&s, 2, 'T', &f.day) ||
        !take(&s, 2, ':', &f.hour) || !take(&s, 2, ':', &f.minute) ||
        !take(&s, 2, '\0', &f.second) || !take_fraction(&s, &ms) || !take_offset(s, &offset) ||
        !is_possible(&f))
        return -EINVAL;
    int64_t seconds =
        days_since_1970(&f) * DAY_SECONDS + (f.hour * 60 + f.minute) * 60 + f.second - offset;
    if (seconds < 0)
        return -EINVAL;
    *ret_ms = seconds * SECOND_MS + ms;
    return 0;
}

void smtp_date_time_format(int64_t ms, char out[SMTP_DATE_TIME_MAX])
{
    int64_t seconds = MAX(ms / SECOND_MS, 0), days = seconds / DAY_SECONDS;
    seconds %= DAY_SECONDS;
    int64_t year = 1970, month = 1;
    for (; days >= 365 + is_leap(year) && year < 9999; year++)
        days -= 365 + is_leap(year);
    for (; month < 12 && days >= days_of(year, month); month++)
        days -= days_of(year, month);
    (void)snprintf(out, SMTP_DATE_TIME_MAX, "%04d-%02d-%02dT%02d:%02d:%02dZ", (int)year, (int)month,
                   (int)MIN(days + 1, 31), (int)(seconds / 3600), (int)(seconds / 60 % 60),
                   (int)(seconds % 60));
}
