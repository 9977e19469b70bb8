/* DATA (RFC 5321 section 4.1.1.4). */
#include "smtp/server_internal.h"

void cmd_data(struct smtp_server *s, struct str args)
{
    struct smtp_reply r = {0};
    if (args.len) {
        server_say(s, 501, "5.5.4", "DATA takes no argument");
        return;
    }
    if (s->state == SS_BETWEEN) { /* CHNK-01 */
        server_say(s, 503, "5.5.1", "DATA and BDAT do not mix in one transaction");
        return;
    }
    if (s->state != SS_RCPT) { /* SMTP-06, PIPE-03 */
        server_say(s, 503, "5.5.1",
                   s->t ? "No recipient was accepted" : "MAIL and RCPT come before DATA");
        return;
    }
    if (s->t->mail.body == SMTP_BODY_BINARYMIME) { /* CHNK-03 */
        server_say(s, 503, "5.5.1", "BODY=BINARYMIME needs BDAT");
        return;
    }
    enum smtp_decision d = s->ops->data(s->ctx, &r);
    if (d == SMTP_LATER)
        s->wait = WAIT_DATA;
    else
        cmd_data_resume(s, d, &r);
}

void cmd_data_resume(struct smtp_server *s, enum smtp_decision d, const struct smtp_reply *r)
{
    if (!server_go_on(s, d, r))
        return;
    text_begin(s, false);
    server_set_state(s, SS_TEXT);
    server_say(s, 354, "", "Send the message, end with CR LF . CR LF");
}
