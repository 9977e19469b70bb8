/* STARTTLS (RFC 3207). */
#include "smtp/server_internal.h"

void cmd_starttls(struct smtp_server *s, struct str args)
{
    struct smtp_offer offer = {0};
    struct smtp_reply r = {0};
    if (args.len) {
        server_say(s, 501, "5.5.4", "STARTTLS takes no argument"); /* STLS-01 */
        return;
    }
    if (s->secure) {
        server_say(s, 503, "5.5.1", "TLS is active already"); /* STLS-06 */
        return;
    }
    s->ops->offer(s->ctx, &offer);
    if (!offer.starttls) {
        server_say(s, 502, "5.5.1", "No TLS here");
        return;
    }
    enum smtp_decision d = s->ops->starttls(s->ctx, &r);
    if (d == SMTP_LATER)
        s->wait = WAIT_STARTTLS;
    else
        cmd_starttls_resume(s, d, &r);
}

void cmd_starttls_resume(struct smtp_server *s, enum smtp_decision d, const struct smtp_reply *r)
{
    if (!server_go_on(s, d, r))
        return;
    transaction_drop(s);
    server_set_state(s, SS_TLS);
    server_say(s, 220, "2.0.0", "Ready to start TLS"); /* STLS-02 */
}
