/* EHLO and HELO (RFC 5321 section 4.1.1.1). */
#include "smtp/schedule.h"
#include "smtp/server_internal.h"

#include <inttypes.h>

static int put_size(struct smtp_server *s, const struct smtp_offer *o)
{
    (void)o;
    return s->cfg->size_max ? buf_printf(s->out, " %" PRIu64, s->cfg->size_max) : 0;
}

/* [rfc4865 4] Both maxima. */
static int put_hold_max(struct smtp_server *s, const struct smtp_offer *o)
{
    char date[SMTP_DATE_TIME_MAX];
    smtp_date_time_format(o->now_ms + s->cfg->hold_max * 1000, date);
    return buf_printf(s->out, " %" PRId64 " %s", s->cfg->hold_max, date);
}

/* [rfc9422 4] */
static int put_limits(struct smtp_server *s, const struct smtp_offer *o)
{
    (void)o;
    return buf_printf(s->out, " RCPTMAX=%u", s->cfg->recipients_max);
}

/* In the order listed. */
static const struct {
    enum smtp_extension extension;
    int (*put)(struct smtp_server *s,
               const struct smtp_offer *o); /* what stands behind the keyword; NULL: nothing */
} keywords[] = {
    {SMTP_EXT_SIZE,                put_size    },
    {SMTP_EXT_PIPELINING,          NULL        },
    {SMTP_EXT_8BITMIME,            NULL        },
    {SMTP_EXT_SMTPUTF8,            NULL        },
    {SMTP_EXT_CHUNKING,            NULL        },
    {SMTP_EXT_BINARYMIME,          NULL        },
    {SMTP_EXT_DSN,                 NULL        },
    {SMTP_EXT_DELIVERBY,           NULL        },
    {SMTP_EXT_FUTURERELEASE,       put_hold_max},
    {SMTP_EXT_MT_PRIORITY,         NULL        },
    {SMTP_EXT_REQUIRETLS,          NULL        },
    {SMTP_EXT_LIMITS,              put_limits  },
    {SMTP_EXT_ENHANCEDSTATUSCODES, NULL        },
};

static int put_keyword(struct smtp_server *s, size_t i, const struct smtp_offer *o)
{
    int r = buf_printf(s->out, "250-%s", smtp_extension_name(keywords[i].extension));
    if (r == 0 && keywords[i].put)
        r = keywords[i].put(s, o);
    return r < 0 ? r : buf_puts(s->out, "\r\n");
}

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
    uint32_t set = server_extensions(s);
    int r = buf_printf(s->out, "250-%s\r\n", s->cfg->hostname);
    if (r == 0 && o->starttls)
        r = buf_puts(s->out, "250-STARTTLS\r\n");
    if (r == 0 && o->xclient)
        r = buf_puts(s->out, "250-XCLIENT " SMTP_XCLIENT_ATTRIBUTES "\r\n");
    if (r == 0 && o->auth[0])
        r = buf_printf(s->out, "250-AUTH %s\r\n", o->auth);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(keywords); i++)
        if (smtp_set_has(set, keywords[i].extension))
            r = put_keyword(s, i, o);
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
