/* EHLO and HELO (RFC 5321 section 4.1.1.1). */
#include "smtp/server_internal.h"

#include <inttypes.h>

/* Keywords that follow from the configuration alone, in the order listed. */
static const enum smtp_extension keywords[] = {
    SMTP_EXT_PIPELINING,
    SMTP_EXT_8BITMIME,
    SMTP_EXT_SMTPUTF8,
    SMTP_EXT_CHUNKING,
    SMTP_EXT_BINARYMIME,
    SMTP_EXT_DSN,
    SMTP_EXT_ENHANCEDSTATUSCODES,
};

/* False when the name is no name: the state stays as it was (SMTP-05). */
static bool hello(struct smtp_server *s, struct str args, bool esmtp)
{
    struct str name = str_trim(args);
    if (!smtp_helo_is_valid(name)) {
        server_say(s, 501, "5.5.4", "%s needs a domain name or an address literal",
                   esmtp ? "EHLO" : "HELO");
        return false;
    }
    /* [rfc5321 4.1.4] A second EHLO acts as RSET and keeps TLS and authentication (EDG-06). */
    transaction_drop(s);
    free(s->helo);
    s->helo = xstrndup(name.p, name.len);
    s->esmtp = esmtp;
    server_set_state(s, SS_READY);
    return true;
}

void cmd_helo(struct smtp_server *s, struct str args)
{
    if (hello(s, args, false))
        server_say(s, 250, "", "%s", s->cfg->hostname); /* never a list (SMTP-03) */
}

/* AUTH and STARTTLS stand early: a client in the field overlooks them on the last line. */
static int put_list(struct smtp_server *s, const struct smtp_offer *o)
{
    uint32_t set = s->cfg->extensions;
    int r = buf_printf(s->out, "250-%s\r\n", s->cfg->hostname);
    if (r == 0 && o->starttls)
        r = buf_puts(s->out, "250-STARTTLS\r\n");
    if (r == 0 && o->xclient)
        r = buf_puts(s->out, "250-XCLIENT " SMTP_XCLIENT_ATTRIBUTES "\r\n");
    if (r == 0 && o->auth[0])
        r = buf_printf(s->out, "250-AUTH %s\r\n", o->auth);
    if (r == 0 && smtp_set_has(set, SMTP_EXT_SIZE))
        r = s->cfg->size_max ? buf_printf(s->out, "250-SIZE %" PRIu64 "\r\n", s->cfg->size_max)
                             : buf_puts(s->out, "250-SIZE\r\n");
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(keywords); i++)
        if (smtp_set_has(set, keywords[i]))
            r = buf_printf(s->out, "250-%s\r\n", smtp_extension_name(keywords[i]));
    return r < 0 ? r : buf_puts(s->out, "250 HELP\r\n");
}

void cmd_ehlo(struct smtp_server *s, struct str args)
{
    if (!hello(s, args, true))
        return;
    struct smtp_offer offer = {0};
    s->ops->offer(s->ctx, &offer);
    if (put_list(s, &offer) < 0)
        server_end(s);
}
