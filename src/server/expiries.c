#include "server/expiries.h"

#include "net/tls.h"

struct page {
    struct buf *out;
    int64_t now_ms;
    int error; /* the first */
};

static void put_head(struct page *p, const char *metric, const char *help)
{
    if (p->error == 0)
        p->error = buf_printf(p->out, "# HELP postern_%s %s\n# TYPE postern_%s gauge\n", metric, help, metric);
}

/* [Prometheus text format 0.0.4] In the value of a label. */
static int put_value(struct buf *out, const char *text)
{
    int r = 0;
    for (; r == 0 && *text; text++) {
        if (*text == '\\' || *text == '"')
            r = buf_printf(out, "\\%c", *text);
        else
            r = *text == '\n' ? buf_puts(out, "\\n") : buf_append(out, text, 1);
    }
    return r;
}

static void put_row(struct page *p,
                    const char *metric,
                    const char *const labels[2],
                    const char *const values[2],
                    int64_t end_ms)
{
    for (size_t i = 0; p->error == 0 && i < 2; i++) {
        p->error = i ? buf_printf(p->out, "\",%s=\"", labels[i])
                     : buf_printf(p->out, "postern_%s{%s=\"", metric, labels[i]);
        if (p->error == 0)
            p->error = put_value(p->out, values[i]);
    }
    if (p->error == 0)
        p->error = buf_printf(p->out, "\"} %lld\n", (long long)(end_ms - p->now_ms) / 1000);
}

static void put_certificate(struct page *p, const struct endpoint *e)
{
    static const char *const labels[] = {"listener", "file"};
    const char *where;
    if (e->cfg->tls == LISTENER_TLS_NONE)
        return;
    const struct x509_st *own = tls_context_certificate(e->current->tls, &where);
    if (own)
        put_row(p, "certificate_expires_seconds", labels, (const char *[]){e->cfg->name, where}, cert_leaf_end_ms(own));
}

static void put_list(void *arg, const char *trust, const char *ca, int64_t end_ms)
{
    static const char *const labels[] = {"trust", "ca"};
    put_row(arg, "crl_expires_seconds", labels, (const char *[]){trust, ca}, end_ms);
}

int expiries_print(
    const struct endpoint *endpoints, size_t n, const struct anchors *a, int64_t now_ms, struct buf *out)
{
    struct page p = {.out = out, .now_ms = now_ms};
    put_head(&p, "certificate_expires_seconds", "Until the certificate that a listener shows expires.");
    for (size_t i = 0; i < n; i++)
        put_certificate(&p, &endpoints[i]);
    put_head(&p, "crl_expires_seconds", "Until a revocation list goes out of date.");
    anchors_each_list(a, put_list, &p);
    return p.error;
}
