/* XCLIENT (Postfix's XCLIENT_README): a listed proxy says whom it speaks for, and the session begins again as that
 * client's.  Whether the peer is one was asked by the command table.
 *
 * XCLIENT right after XCLIENT carries on: its attributes join those before, and the greeting comes again. */
#include "smtp/server_internal.h"

void cmd_xclient(struct smtp_server *s, struct str args)
{
    struct smtp_xclient x = {0};
    struct smtp_reply r = {0};
    struct str bad;
    if (!s->ops->xclient) {
        cmd_not_served(s, args);
        return;
    }
    if (s->t) {
        server_say(s, 503, "5.5.1", "No XCLIENT inside a mail transaction");
        return;
    }
    if (s->xclient)
        x = *s->xclient;
    if (smtp_xclient_parse(args, &x, &bad) < 0) {
        server_say(s, 501, "5.5.4", "XCLIENT takes words such as ADDR=192.0.2.7%s%.*s",
                   bad.len ? " and not " : "", STR_FMT(str_upto(bad, 80)));
        return;
    }
    if (!server_go_on(s, s->ops->xclient(s->ctx, &x, &r), &r))
        return;
    if (!s->xclient)
        s->xclient = xcalloc(1, sizeof(*s->xclient));
    *s->xclient = x;
    s->errors = s->troubles = 0;
    server_start_over(s);
    smtp_server_greet(s, NULL); /* this is the reply */
}
