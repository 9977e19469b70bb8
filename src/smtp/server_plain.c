#include "smtp/server_plain.h"

enum smtp_auth_step smtp_plain_auth(void *ctx,
                                    const char *mechanism,
                                    bool has_response,
                                    struct str response,
                                    struct buf *challenge,
                                    struct smtp_reply *reply)
{
    (void)ctx;
    (void)mechanism;
    (void)has_response;
    (void)response;
    (void)challenge;
    *reply = smtp_reply(504, "5.5.4", "No mechanism here");
    return SMTP_AUTH_FAILED;
}

enum smtp_decision smtp_plain_admit(void *ctx, const char *verb, struct smtp_reply *reply)
{
    (void)ctx;
    (void)verb;
    (void)reply;
    return SMTP_YES;
}

enum smtp_decision
smtp_plain_mail(void *ctx, const struct smtp_mail *mail, struct smtp_reply *reply)
{
    (void)ctx;
    (void)mail;
    (void)reply;
    return SMTP_YES;
}

enum smtp_decision
smtp_plain_rcpt(void *ctx, const struct smtp_rcpt *rcpt, struct smtp_reply *reply)
{
    (void)ctx;
    (void)rcpt;
    (void)reply;
    return SMTP_YES;
}

void smtp_plain_refuse(void *ctx, int error, struct smtp_reply *reply)
{
    (void)ctx;
    (void)error;
    *reply = smtp_reply(451, "4.3.0", "Local trouble");
}

void smtp_plain_forget(void *ctx)
{
    (void)ctx;
}

void smtp_plain_refused(void *ctx, const char *verb, const struct smtp_reply *reply)
{
    (void)ctx;
    (void)verb;
    (void)reply;
}
