/* How a connection ended, told to a person: the cause in front, the octets behind it last. */
#include "link/link_internal.h"

#include <stdio.h>

/* Alerts by which a server says that it is our certificate it does not like, or the want of one. */
static bool is_about_certificate(const char *alert)
{
    static const char *const names[] = {
        "bad_certificate",     "unsupported_certificate", "certificate_revoked",
        "certificate_expired", "certificate_unknown",     "unknown_ca",
        "access_denied",       "certificate_required",
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(alert, names[i]) == 0)
            return true;
    return false;
}

/* "certificate_expired" -> "certificate expired" */
static const char *alert_words(const char *alert, char *out, size_t size)
{
    (void)snprintf(out, size, "%s", alert);
    for (char *p = out; *p; p++)
        if (*p == '_')
            *p = ' ';
    return out;
}

static bool tell_refusal(const struct link_fall *f, char *out, size_t size)
{
    if (!f->tls_begun || f->heard || !f->alert || !is_about_certificate(f->alert))
        return false;
    char alert[64];
    if (f->has_certificate && strcmp(f->alert, "certificate_required") != 0)
        (void)snprintf(out, size, "the server refused our certificate: %s",
                       alert_words(f->alert, alert, sizeof(alert)));
    else
        (void)snprintf(out, size, "the server wants a client certificate%s: %s",
                       f->has_certificate ? " and did not get ours" : " and we have none to show",
                       alert_words(f->alert, alert, sizeof(alert)));
    return true;
}

static const char *plain_words(const struct link_fall *f)
{
    switch (f->end) {
    case STREAM_NO_CONNECT:
        return "cannot connect";
    case STREAM_TIMEOUT:
        return "timed out";
    case STREAM_TLS_FAILED:
        return "TLS failed";
    case STREAM_EOF:
    case STREAM_RESET:
        break;
    }
    return "the connection was lost";
}

/* Both ends wait for the other to begin, or one begins in the clear: the port speaks TLS in the other way. */
static const char *wrong_way(const struct link_fall *f)
{
    if (f->tls_wanted && !f->tls_implicit && !f->tls_begun && !f->heard &&
        f->end != STREAM_NO_CONNECT)
        return " (no greeting came: does this port speak TLS from the first octet?)";
    if (f->tls_implicit && !f->tls_up && strstr(f->detail, "wrong version number"))
        return " (does this port begin in the clear, for STARTTLS?)";
    return "";
}

/* [rfc8446 4.4.2.4] With TLS 1.3 our certificate is judged after our handshake is done: what ends the connection before the
 * first octet inside TLS is most likely about it (EDG-22). */
void link_words(const struct link_fall *f, char *out, size_t size)
{
    bool ended = f->end == STREAM_EOF || f->end == STREAM_RESET;
    if (tell_refusal(f, out, size))
        return;
    if (f->tls_begun && !f->tls_up && f->end == STREAM_TLS_FAILED)
        (void)snprintf(out, size, "the TLS handshake with %s failed: %s%s", f->name, f->detail,
                       wrong_way(f));
    else if (f->tls_up && !f->heard && f->has_certificate && ended)
        (void)snprintf(out, size,
                       "the server closed the connection right after the TLS handshake, perhaps "
                       "because of our "
                       "certificate: %s",
                       f->detail);
    else
        (void)snprintf(out, size, "%s: %s%s", plain_words(f), f->detail, wrong_way(f));
}

const char *link_certificate_warning(const struct tls_facts *facts, bool has_certificate)
{
    bool readable = has_certificate && facts->asked && strcmp(facts->version, "TLSv1.2") == 0;
    return readable ? "TLS 1.2 shows our certificate to everybody on the way, TLS 1.3 would not"
                    : NULL;
}
