/* The verbs that need a line each: RSET, NOOP, QUIT, VRFY, HELP, and those known but not served. */
#include "smtp/server_internal.h"

void cmd_rset(struct smtp_server *s, struct str args)
{
    (void)args;
    /* [rfc5321 4.1.1.5] Drops the transaction, not the identity (EDG-05), and never closes
     * (SMTP-08). */
    transaction_drop(s);
    if (s->state != SS_GREET)
        server_set_state(s, SS_READY);
    server_say(s, 250, "2.0.0", "Reset");
}

void cmd_noop(struct smtp_server *s, struct str args)
{
    (void)args;
    server_say(s, 250, "2.0.0", "OK");
}

void cmd_quit(struct smtp_server *s, struct str args)
{
    (void)args;
    server_say(s, 221, "2.0.0", "%s closing", s->cfg->hostname);
    s->end = SMTP_SERVER_END_QUIT;
    server_end(s);
}

/* [rfc6531 3.7.4.2] "VRFY address SMTPUTF8", in UTF-8 indeed. */
static bool asks_for_utf8(struct str args)
{
    struct str word = STR(" SMTPUTF8");
    return args.len > word.len && str_eq_nocase(str_from(args, args.len - word.len), word) &&
           str_is_utf8(args);
}

/* Nothing is verified, so nothing is confirmed: neutral whatever the name (SMTP-19). */
void cmd_vrfy(struct smtp_server *s, struct str args)
{
    args = str_trim(args);
    if (args.len == 0)
        server_say(s, 501, "5.5.4", "VRFY needs an address");
    else if (!str_is_ascii(args) && !asks_for_utf8(args)) /* UTF-03 */
        server_say(s, 553, "5.6.7", "An address outside ASCII needs VRFY with SMTPUTF8");
    else
        server_say(s, 252, "2.1.5", "Not verified, send the message and see");
}

void cmd_help(struct smtp_server *s, struct str args)
{
    (void)args;
    server_say(s, 214, "2.0.0",
               "EHLO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY QUIT; see postern(1)");
}

void cmd_not_served(struct smtp_server *s, struct str args)
{
    (void)args;
    server_say(s, 502, "5.5.1", "%s is not served here", s->verb);
}
