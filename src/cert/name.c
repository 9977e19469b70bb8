#include "cert/cert_internal.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

struct error_scope error_scope_begin(void)
{
    (void)ERR_set_mark();
    return (struct error_scope){0};
}

void error_scope_end(struct error_scope *s)
{
    (void)s;
    (void)ERR_pop_to_mark();
}

void cert_say(char out[CERT_REASON_MAX], const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(out, CERT_REASON_MAX, fmt, ap);
    va_end(ap);
}

static void print_ascii(char *out, size_t size, struct str text)
{
    size_t n = 0;
    for (; n < text.len && n + 1 < size; n++)
        out[n] = text.p[n] >= ' ' && text.p[n] <= '~' ? text.p[n] : '?';
    out[n] = '\0';
    if (n < text.len && size > 4)
        memcpy(out + size - 4, "...", 4);
}

/* malloc'ed; NULL when the name holds what cannot be printed that way. */
static char *print_name(const X509_NAME *name, unsigned long flags)
{
    BIO *mem = BIO_new(BIO_s_mem());
    char *data = NULL, *out = NULL;
    if (mem && X509_NAME_print_ex(mem, name, 0, flags) >= 0) {
        long len = BIO_get_mem_data(mem, &data);
        out = xstrndup(data ? data : "", len > 0 ? (size_t)len : 0);
    }
    BIO_free(mem);
    return out;
}

static bool print_common_name(const X509_NAME *name, char out[CERT_NAME_SHORT_MAX])
{
    int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    if (at < 0)
        return false;
    for (int next; (next = X509_NAME_get_index_by_NID(name, NID_commonName, at)) >= 0;)
        at = next; /* the last one is the most specific */
    unsigned char *utf8 = NULL;
    int len = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    if (len <= 0) {
        OPENSSL_free(utf8);
        return false;
    }
    memcpy(out, "CN=", 3);
    print_ascii(out + 3, CERT_NAME_SHORT_MAX - 3, (struct str){(const char *)utf8, (size_t)len});
    OPENSSL_free(utf8);
    return true;
}

void cert_name_short(const X509_NAME *name, char out[CERT_NAME_SHORT_MAX])
{
    ERROR_SCOPE;
    if (print_common_name(name, out))
        return;
    CLEANUP(freep) char *line = print_name(name, XN_FLAG_RFC2253);
    print_ascii(out, CERT_NAME_SHORT_MAX, str_of(line && line[0] ? line : "no name"));
}

/* C1 controls, line separators and the characters that reverse the direction of what follows: a
 * name could make a log line or a terminal show something else than what is there. */
bool cert_text_is_deceptive(struct str s)
{
    for (size_t i = 0; i + 1 < s.len; i++) {
        unsigned char a = (unsigned char)s.p[i], b = (unsigned char)s.p[i + 1];
        unsigned char c = i + 2 < s.len ? (unsigned char)s.p[i + 2] : 0;
        if (a == 0xc2 && b < 0xa0)
            return true;
        if (a == 0xe2 && b == 0x80 && ((c >= 0xa8 && c <= 0xae) || (c >= 0x8e && c <= 0x8f)))
            return true;
        if (a == 0xef && b == 0xbb && c == 0xbf)
            return true;
        if (a == 0xe2 && b == 0x81 && c >= 0xa6 && c <= 0xa9)
            return true;
    }
    return false;
}

static bool is_showable(const char *line)
{
    struct str s = str_of(line);
    return line && str_is_utf8(s) && !str_has_control(s) && !cert_text_is_deceptive(s);
}

static void cut(char *line, size_t max)
{
    if (strlen(line) <= max)
        return;
    size_t at = max - 3;
    while (at > 0 && ((unsigned char)line[at] & 0xc0U) == 0x80)
        at--;
    memcpy(line + at, "...", 4);
}

char *cert_name_line(const X509_NAME *name)
{
    ERROR_SCOPE;
    char *line = print_name(name, XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB);
    if (!is_showable(line)) {
        free(line);
        line = print_name(name, XN_FLAG_RFC2253);
    }
    if (!is_showable(line)) {
        free(line);
        return xstrdup("(unreadable name)");
    }
    cut(line, CERT_NAME_LINE_MAX);
    return line;
}

void cert_date(const ASN1_TIME *t, char out[CERT_DATE_MAX])
{
    struct tm tm;
    if (!t || ASN1_TIME_to_tm(t, &tm) != 1 || strftime(out, CERT_DATE_MAX, "%Y-%m-%d", &tm) == 0)
        memcpy(out, "unknown date", sizeof("unknown date"));
}

int64_t cert_time_ms(const ASN1_TIME *t)
{
    struct tm tm;
    return t && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) * 1000 : 0;
}

void cert_key_text(const EVP_PKEY *key, char out[CERT_KEY_MAX])
{
    char group[32] = "";
    const char *type = key ? EVP_PKEY_get0_type_name(key) : NULL;
    if (!type)
        snprintf(out, CERT_KEY_MAX, "unknown kind");
    else if (EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1)
        snprintf(out, CERT_KEY_MAX, "%.12s %s", type,
                 strcmp(group, "prime256v1") == 0 ? "P-256" : group);
    else if (strncasecmp(type, "ED", 2) == 0)
        snprintf(out, CERT_KEY_MAX, "Ed%.10s", type + 2);
    else
        snprintf(out, CERT_KEY_MAX, "%.12s %d", type, EVP_PKEY_get_bits(key));
}
