#include "auth/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <errno.h>
#include <stdio.h>

/* A name is short; what needs more steps than these is a pattern that explodes. */
#define STEPS_MAX 100000
#define HEAP_KIB_MAX 1024
#define PATTERN_MAX 1024

static int complain(int error, size_t at, char *why)
{
    PCRE2_UCHAR text[120] = "";
    (void)pcre2_get_error_message(error, text, sizeof(text));
    if (why)
        (void)snprintf(why, PATTERN_WHY_MAX, "%s, at octet %zu", (const char *)text, at);
    return -EINVAL;
}

static int match(const pcre2_code *code, struct str name)
{
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    int r = PCRE2_ERROR_NOMEMORY;
    if (context && data) {
        (void)pcre2_set_match_limit(context, STEPS_MAX);
        (void)pcre2_set_heap_limit(context, HEAP_KIB_MAX);
        r = pcre2_match(code, (PCRE2_SPTR)name.p, name.len, 0, 0, data, context);
    }
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    if (r >= 0)
        return 1;
    return r == PCRE2_ERROR_NOMATCH ? 0 : -E2BIG;
}

int pattern_fits(struct str pattern, struct str name, char *why)
{
    int error = 0;
    size_t at = 0;
    if (pattern.len > PATTERN_MAX) {
        if (why)
            (void)snprintf(why, PATTERN_WHY_MAX, "longer than %d octets", PATTERN_MAX);
        return -EINVAL;
    }
    if (!str_is_utf8(name)) /* before PCRE2 says so in its own way */
        return 0;
    pcre2_code *code =
        pcre2_compile((PCRE2_SPTR)pattern.p, pattern.len,
                      PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_NEVER_BACKSLASH_C,
                      &error, &at, NULL);
    if (!code)
        return complain(error, at, why);
    int r = match(code, name);
    pcre2_code_free(code);
    return r;
}
