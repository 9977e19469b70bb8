#include "cert/identity.h"

#include "cert/cert_internal.h"
#include "smtp/address.h"

#include <errno.h>
#include <idn2.h>
#include <stdio.h>

void cert_lower(char *s)
{
    for (; *s; s++)
        if (*s >= 'A' && *s <= 'Z')
            *s = (char)(*s - 'A' + 'a');
}

bool cert_text_is_clean(struct str s)
{
    return s.len > 0 && str_is_utf8(s) && !str_has_control(s) && !cert_text_is_deceptive(s) &&
           s.p[0] != ' ' && s.p[s.len - 1] != ' ';
}

static bool is_mailbox(struct str s, struct smtp_path *ret)
{
    return smtp_mailbox_parse(s, true, ret) == PATH_OK && !ret->is_literal;
}

static int put(char *out, size_t size, struct str local, const char *domain)
{
    int n = snprintf(out, size, "%.*s@%s", STR_FMT(local), domain);
    return n > 0 && (size_t)n < size ? 0 : -EINVAL;
}

static int with_domain(struct str local,
                       struct str domain,
                       int (*convert)(const char *in, char **out, int flags),
                       int flags,
                       char *out,
                       size_t size)
{
    char *converted = NULL;
    CLEANUP(freep) char *in = xstrndup(domain.p, domain.len);
    int r = convert(in, &converted, flags) == IDN2_OK ? 0 : -EINVAL;
    if (r == 0)
        r = put(out, size, local, converted);
    idn2_free(converted);
    return r;
}

int cert_identity_normalise(struct str name, char out[CERT_IDENTITY_MAX + 1])
{
    char fresh[CERT_IDENTITY_MAX + 1];
    struct smtp_path path;
    if (name.len > CERT_IDENTITY_MAX || !cert_text_is_clean(name))
        return -EINVAL;
    int r = 0;
    if (!is_mailbox(name, &path)) {
        memcpy(fresh, name.p, name.len);
        fresh[name.len] = '\0';
    } else if (str_is_ascii(path.domain)) {
        memcpy(fresh, name.p, name.len);
        fresh[name.len] = '\0';
        cert_lower(fresh + (name.len - path.domain.len));
    } else {
        r = with_domain(path.local, path.domain, idn2_to_ascii_8z,
                        IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL, fresh, sizeof(fresh));
    }
    if (r == 0)
        memcpy(out, fresh, strlen(fresh) + 1);
    return r;
}

int cert_identity_unicode(const char *identity, char *out, size_t size)
{
    struct smtp_path path;
    if (!strstr(identity, "xn--") || !is_mailbox(str_of(identity), &path))
        return -EINVAL;
    return with_domain(path.local, path.domain, idn2_to_unicode_8z8z, 0, out, size);
}
