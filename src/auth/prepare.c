#include "auth/prepare.h"

#include <errno.h>
#include <gsasl.h>

static void wipe(char *s)
{
    if (s)
        explicit_bzero(s, strlen(s));
    gsasl_free(s);
}

int prepare_typed(struct str typed, struct buf *out)
{
    /* [rfc4422 A.1] NUL is no character of a name; GNU SASL takes C strings. */
    if (typed.len == 0 || !str_is_utf8(typed) || str_has_control(typed))
        return -EINVAL;
    CLEANUP(buf_wipe) struct buf copy = BUF_INIT(typed.len);
    int r = buf_append_str(&copy, typed);
    if (r < 0)
        return r;
    char *prepared = NULL;
    /* [rfc4013 2.5] What is compared with stored strings is a query: unassigned code points may stand in it. */
    if (gsasl_saslprep(copy.data, GSASL_ALLOW_UNASSIGNED, &prepared, NULL) != GSASL_OK)
        return -EINVAL;
    buf_clear(out);
    r = prepared[0] ? buf_puts(out, prepared) : -EINVAL;
    wipe(prepared);
    return r;
}
