#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "cert/cert_internal.h"
#include "cert/identity.h"
#include "cert/rules.h"

#include <errno.h>
#include <stdio.h>

/* A value is short: what needs more than this is a pattern that explodes, or a certificate made to let it. */
#define STEPS_MAX 100000
#define DEPTH_MAX 1000
#define HEAP_KIB_MAX 1024
#define PATTERN_MAX 1024
#define GROUPS_MAX 9

struct cert_mapping {
    pcre2_code *code; /* NULL: every value fits */
    pcre2_match_context *context;
    unsigned n_groups;
    char *template; /* NULL: the value as it is */
    struct table *table;
};

void cert_mapping_free(struct cert_mapping *m)
{
    if (!m)
        return;
    pcre2_match_context_free(m->context);
    pcre2_code_free(m->code);
    table_close(m->table);
    free(m->template);
    free(m);
}

struct table *cert_mapping_table(const struct cert_mapping *m)
{
    return m ? m->table : NULL;
}

static void mapping_freep(struct cert_mapping **m)
{
    cert_mapping_free(*m);
    *m = NULL;
}

static int pattern_mistake(int error, size_t at, char *why)
{
    PCRE2_UCHAR text[120] = "";
    (void)pcre2_get_error_message(error, text, sizeof(text));
    (void)snprintf(why, CERT_WHY_MAX, "the pattern cannot be used: %s, at octet %zu",
                   (const char *)text, at);
    return -EINVAL;
}

/* The whole value must fit: a pattern that forgets its end would let a longer name in. */
static int pattern_compile(struct cert_mapping *m, const char *pattern, char *why)
{
    int error = 0;
    size_t at = 0;
    if (strlen(pattern) > PATTERN_MAX) {
        (void)snprintf(why, CERT_WHY_MAX, "the pattern is longer than %d octets", PATTERN_MAX);
        return -EINVAL;
    }
    m->code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                            PCRE2_UTF | PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_DOLLAR_ENDONLY |
                                PCRE2_NEVER_BACKSLASH_C,
                            &error, &at, NULL);
    if (!m->code)
        return pattern_mistake(error, at, why);
    m->context = pcre2_match_context_create(NULL);
    if (!m->context)
        return -ENOMEM;
    (void)pcre2_set_match_limit(m->context, STEPS_MAX);
    (void)pcre2_set_depth_limit(m->context, DEPTH_MAX);
    (void)pcre2_set_heap_limit(m->context, HEAP_KIB_MAX);
    uint32_t groups = 0;
    (void)pcre2_pattern_info(m->code, PCRE2_INFO_CAPTURECOUNT, &groups);
    m->n_groups = groups;
    return 0;
}

/* A "$" and what follows it: the group's number, or -1 for "$$".  False: none of these. */
static bool reference_parse(const char *p, int *ret)
{
    if (p[1] == '$')
        *ret = -1;
    else if (p[1] >= '0' && p[1] <= '9')
        *ret = p[1] - '0';
    else
        return false;
    return true;
}

static int template_check(const struct cert_mapping *m, const char *template, char *why)
{
    for (const char *p = template; (p = strchr(p, '$')); p += 2) {
        int group;
        if (!reference_parse(p, &group)) {
            (void)snprintf(why, CERT_WHY_MAX,
                           "\"%.80s\": behind a \"$\" stands the number of a group of the pattern, "
                           "0 for the whole value, or another \"$\"",
                           template);
            return -EINVAL;
        }
        if (group > 0 && (unsigned)group > m->n_groups) {
            (void)snprintf(why, CERT_WHY_MAX,
                           "\"%.80s\" uses $%d, and the pattern has %u group%s in parentheses",
                           template, group, m->n_groups, m->n_groups == 1 ? "" : "s");
            return -EINVAL;
        }
    }
    return 0;
}

int cert_mapping_new(const struct cert_rule_config *cfg, struct cert_mapping **ret, char *why)
{
    if (!cfg->pattern && !cfg->template && !cfg->table)
        return 0;
    CLEANUP(mapping_freep) struct cert_mapping *m = xcalloc(1, sizeof(*m));
    int r = cfg->pattern ? pattern_compile(m, cfg->pattern, why) : 0;
    if (r == 0 && cfg->template) {
        r = template_check(m, cfg->template, why);
        m->template = xstrdup(cfg->template);
    }
    if (r == 0 && cfg->table)
        r = table_open(cfg->table, false, &m->table, why);
    if (r < 0)
        return r;
    *ret = m;
    m = NULL;
    return 0;
}

static enum cert_fit match(const struct cert_mapping *m, struct str value, pcre2_match_data *data)
{
    int r = pcre2_match(m->code, (PCRE2_SPTR)value.p, value.len, 0, 0, data, m->context);
    return r >= 0 ? CERT_FIT_YES : r == PCRE2_ERROR_NOMATCH ? CERT_FIT_PATTERN : CERT_FIT_GAVE_UP;
}

static enum cert_fit
append_group(struct buf *out, struct str value, int group, pcre2_match_data *data)
{
    struct str part = value;
    if (group > 0) {
        const size_t *at = pcre2_get_ovector_pointer(data);
        size_t from = at[2 * group], to = at[2 * group + 1];
        if (from == PCRE2_UNSET || to < from)
            return CERT_FIT_GROUP;
        part = (struct str){value.p + from, to - from};
    }
    return buf_append_str(out, part) == 0 ? CERT_FIT_YES : CERT_FIT_TOO_LONG;
}

static enum cert_fit
fill_template(const char *template, struct str value, pcre2_match_data *data, struct buf *out)
{
    enum cert_fit fit = CERT_FIT_YES;
    for (const char *p = template; *p && fit == CERT_FIT_YES;) {
        int group = -1;
        size_t plain = strcspn(p, "$");
        if (buf_append(out, p, plain) < 0)
            return CERT_FIT_TOO_LONG;
        p += plain;
        if (!*p || !reference_parse(p, &group))
            continue;
        p += 2;
        fit = group < 0 ? (buf_puts(out, "$") == 0 ? CERT_FIT_YES : CERT_FIT_TOO_LONG)
                        : append_group(out, value, group, data);
    }
    return fit;
}

static enum cert_fit make_name(const struct cert_mapping *m, struct str value, struct buf *out)
{
    enum cert_fit fit = CERT_FIT_YES;
    pcre2_match_data *data = NULL;
    if (m->code) {
        data = pcre2_match_data_create_from_pattern(m->code, NULL);
        fit = data ? match(m, value, data) : CERT_FIT_GAVE_UP;
    }
    if (fit == CERT_FIT_YES && m->template)
        fit = fill_template(m->template, value, data, out);
    else if (fit == CERT_FIT_YES && buf_append_str(out, value) < 0)
        fit = CERT_FIT_TOO_LONG;
    pcre2_match_data_free(data);
    return fit;
}

/* The key as it is compared, then with its domain as a person may have written it (CERT-18). */
static enum cert_fit look_up(struct table *t, struct buf *name)
{
    char key[CERT_VALUE_MAX + 1], unicode[CERT_VALUE_MAX + 1];
    (void)snprintf(key, sizeof(key), "%.*s", STR_FMT(buf_str(name)));
    int r = table_get(t, str_of(key), name);
    if (r == -ENOENT && cert_identity_unicode(key, unicode, sizeof(unicode)) == 0)
        r = table_get(t, str_of(unicode), name);
    return r == 0 ? CERT_FIT_YES : r == -ENOENT ? CERT_FIT_UNLISTED : CERT_FIT_TOO_LONG;
}

enum cert_fit
cert_mapping_apply(const struct cert_mapping *m, const char *value, char out[CERT_IDENTITY_MAX + 1])
{
    CLEANUP(buf_done) struct buf name = BUF_INIT(CERT_VALUE_MAX);
    enum cert_fit fit = CERT_FIT_YES;
    if (m)
        fit = make_name(m, str_of(value), &name);
    if (fit == CERT_FIT_YES && m && m->table)
        fit = look_up(m->table, &name);
    if (fit != CERT_FIT_YES)
        return fit;
    return cert_identity_normalise(m ? buf_str(&name) : str_of(value), out) == 0 ? CERT_FIT_YES
                                                                                 : CERT_FIT_UNFIT;
}

const char *cert_fit_text(enum cert_fit fit)
{
    static const char *const texts[] = {
        [CERT_FIT_YES] = "fits",
        [CERT_FIT_PATTERN] = "the pattern does not fit",
        [CERT_FIT_GAVE_UP] = "the pattern needs too many steps and was given up",
        [CERT_FIT_GROUP] = "a group that the template uses is not part of the match",
        [CERT_FIT_UNLISTED] = "the table has no such entry",
        [CERT_FIT_TOO_LONG] = "what the template or the table makes of it is too long",
        [CERT_FIT_UNFIT] = "what comes out cannot be an identity (empty, too long, controls, or no UTF-8)",
    };
    return texts[fit];
}
