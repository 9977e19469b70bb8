/* observer_hints.h - how well-known clients are told to use a certificate, ready to paste.  Pure: a table.
 *
 * What each can do was measured (docs/PROBE.md): a way that is NULL does not exist in that client.
 */
#ifndef POSTERN_PROBE_OBSERVER_HINTS_H
#define POSTERN_PROBE_OBSERVER_HINTS_H

#include "base/buf.h"

#define HINT_MAX 4096 /* octets of one, filled in */

struct hint {
    const char *client; /* "msmtp" */
    const char *where;  /* "~/.msmtprc" */
    const char *explicit_login, *straight; /* sequence 1, sequence 2 */
    const char *note;   /* "" when there is nothing to add */
};

struct hint_values {
    const char *host;
    int port;
    bool implicit_tls;
    const char *ca, *certificate, *key, *p12;
    const char *identity;
};

const struct hint *hint_find(const char *client); /* NULL: not known */
const struct hint *hint_list(size_t *ret_n);

/* `text` is one of the ways; {host}, {port}, {ca}, {cert}, {key}, {p12}, {user}, and {A|B}, which is A with STARTTLS and
 * B with implicit TLS, are filled in.  -EMSGSIZE beyond HINT_MAX; `out` is cleared before. */
MUST_USE int hint_fill(const char *text, const struct hint_values *v, struct buf *out);

#endif
