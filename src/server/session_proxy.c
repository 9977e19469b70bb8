/* A proxy in front: its header says whom the session is with, and whose certificate it has seen. */
#include "server/session_internal.h"

#include <errno.h>
#include <stdio.h>

/* A proxy sends its header at once; one that is not told to never does, and then both sides wait for the other. */
#define HEADER_TIMEOUT_MS 10000

void session_await_proxy(struct session *s)
{
    s->awaits_proxy = true;
    stream_timeout(s->stream, MIN(s->endpoint->cfg->timeout_ms, HEADER_TIMEOUT_MS));
    stream_read_limit(s->stream, PROXY_HEADER_MIN);
}

static const char *reason_of(int error)
{
    switch (-error) {
    case ETIMEDOUT:
        return "no PROXY header came in time; does the proxy send one (send-proxy-v2 of HAProxy)?";
    case EPROTO:
        return "the PROXY header is of version 1; have the proxy send version 2 (send-proxy-v2 of HAProxy)";
    case EMSGSIZE:
        return "the PROXY header is too long";
    case EBADMSG:
        return "the checksum of the PROXY header (CRC32C) does not fit: it was changed on the way, "
               "or the "
               "proxy reckons otherwise";
    default:
        return "no PROXY header of version 2, or one that is wrong";
    }
}

static void refuse(struct session *s, int error)
{
    struct log_line l;
    session_log_begin(s, &l, LOG_LEVEL_WARNING, "proxy-refused");
    log_text(&l, "listener", s->endpoint->cfg->name);
    log_text(&l, "peer", stream_peer_address(s->stream));
    log_text(&l, "reason", reason_of(error));
    log_end(&l);
    s->end_reason = "no proxy header";
    session_finish_up(s, NULL);
}

static void speak_for(struct session *s, const struct proxy_header *h)
{
    if (h->family == PROXY_INET || h->family == PROXY_INET6)
        stream_speaks_for(s->stream, h->source, h->family == PROXY_INET ? 4 : 16,
                          (uint16_t)h->port);
    s->proxied = h->family == PROXY_INET || h->family == PROXY_INET6;
}

static void
conclude(struct session *s, enum cert_outcome outcome, enum cert_cause cause, const char *reason)
{
    s->verdict.outcome = outcome;
    s->verdict.cause = cause;
    (void)snprintf(s->verdict.reason, sizeof(s->verdict.reason), "%s", reason);
}

/* The listener has no CAs of its own: what the proxy says is worth as much as what we find out ourselves, which is why
 * only listed hosts are heard. */
static void take_word(struct session *s, const struct proxy_header *h)
{
    struct cert_verdict *v = &s->verdict;
    if (h->identity[0]) {
        v->identities[v->n_identities++] = xstrdup(h->identity);
        (void)snprintf(v->rule, sizeof(v->rule), "proxy-protocol");
        conclude(s, CERT_ACCEPTABLE, CERT_CAUSE_NONE, "");
        return;
    }
    if (h->common_name[0])
        endpoint_judge_name(s->endpoint, h->common_name, v);
    if (v->n_identities == 0)
        conclude(s, CERT_UNMAPPED, CERT_CAUSE_NO_IDENTITY,
                 "the proxy told no identity for the client certificate");
}

/* It has: only a certificate counts, and is judged like that of a handshake of ours.  The chain stayed with the proxy. */
static void judge_certificate(struct session *s, const struct proxy_header *h)
{
    if (h->der.len == 0) {
        conclude(s, CERT_UNACCEPTABLE, CERT_CAUSE_BAD_PATH,
                 "the proxy did not hand over the client certificate");
    } else if (cert_from_der(h->der, &s->handed) < 0) {
        conclude(s, CERT_UNACCEPTABLE, CERT_CAUSE_BAD_PATH,
                 "the proxy handed over no readable client certificate");
    } else {
        s->leaf = s->handed;
        session_judge_anew(s);
    }
}

/* Possession of the key was proved to the proxy, which says so by having verified. */
static void judge(struct session *s, const struct proxy_header *h)
{
    if (!h->certificate)
        return;
    if (asprintf(&s->verdict.subject, "CN=%s", h->common_name) < 0)
        s->verdict.subject = NULL;
    if (!h->verified)
        conclude(s, CERT_UNACCEPTABLE, CERT_CAUSE_BAD_PATH,
                 "the proxy did not accept the client certificate");
    else if (s->endpoint->cfg->n_trust)
        judge_certificate(s, h);
    else
        take_word(s, h);
}

/* On a listener with TLS of its own the client's TLS ends here, and the proxy knows nothing of it. */
static void take_tls(struct session *s, const struct proxy_header *h)
{
    if (!h->tls || s->endpoint->cfg->tls != LISTENER_TLS_NONE)
        return;
    s->proxy = xcalloc(1, sizeof(*s->proxy));
    *s->proxy = *h;
    s->proxy->der = STR(""); /* borrowed */
    s->tls_version = s->proxy->tls_version[0] ? s->proxy->tls_version : "TLS";
    s->tls_cipher = s->proxy->cipher[0] ? s->proxy->cipher : NULL;
    judge(s, h);
    smtp_server_secured(s->engine);
}

void session_proxy_late(struct session *s)
{
    refuse(s, -ETIMEDOUT);
}

size_t session_proxy_input(struct session *s, const char *data, size_t len)
{
    struct proxy_header h;
    int wrong = len ? proxy_begins((struct str){data, len}) : 0;
    if (wrong < 0) {
        refuse(s, wrong);
        return len;
    }
    if (len < PROXY_HEADER_MIN)
        return 0;
    int n = proxy_length((struct str){data, len});
    if (n > 0 && len < (size_t)n) {
        stream_read_limit(s->stream, (size_t)n - len);
        return 0;
    }
    int r = n < 0 ? n : proxy_parse((struct str){data, (size_t)n}, &h);
    if (r < 0) {
        refuse(s, r);
        return len;
    }
    s->awaits_proxy = false;
    stream_timeout(s->stream, s->endpoint->cfg->timeout_ms);
    stream_read_limit(s->stream, SIZE_MAX);
    speak_for(s, &h);
    take_tls(s, &h);
    if (!session_wait_for_responder(s))
        session_begin(s); /* may free s */
    return (size_t)n;
}
