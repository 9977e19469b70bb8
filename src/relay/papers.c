#include "relay/papers.h"

#include "base/secret_file.h"

_Static_assert(SECRET_FILE_WHY_MAX <= TLS_WHY_MAX, "a complaint fits");

static int load_tls(const struct route_config *r, uid_t reader, struct tls_context **ret, char *why)
{
    if (r->tls == ROUTE_TLS_OFF || !r->host)
        return 0;
    const struct tls_client_config tls = {
        .ca = r->ca,
        .certificate = r->certificate,
        .key = r->key,
        .passphrase_file = r->key_password_file,
        .reader = reader,
        .verify = r->tls == ROUTE_TLS_VERIFY ? TLS_VERIFY_NAME : TLS_VERIFY_NONE,
    };
    return tls_client_context_new(&tls, ret, why);
}

int papers_load(const struct route_config *route, uid_t reader, struct papers *ret, char *why)
{
    struct papers p = {.password = BUF_INIT(SECRET_FILE_MAX)};
    int r = load_tls(route, reader, &p.tls, why);
    if (r == 0 && route->password_file)
        r = secret_file_read(route->password_file, reader, &p.password, why);
    if (r < 0)
        papers_done(&p);
    else
        *ret = p;
    return r;
}

struct papers papers_copy(const struct papers *p)
{
    struct papers copy = {.tls = p->tls ? tls_context_ref(p->tls) : NULL,
                          .password = BUF_INIT(SECRET_FILE_MAX)};
    if (buf_append_str(&copy.password, buf_str(&p->password)) < 0)
        abort(); /* it is as small as the other */
    return copy;
}

void papers_done(struct papers *p)
{
    tls_context_unref(p->tls);
    p->tls = NULL;
    buf_wipe(&p->password);
}
