/* server_plain.h - the plain answers to what the server engine asks, for owners that have no opinion of their own.
 *
 * A sink takes everything; others override what they are about and name these for the rest:
 *
 *     static const struct smtp_server_ops ops = {.admit = smtp_plain_admit, .mail = smtp_plain_mail, .rcpt = on_rcpt, ...};
 *
 * Nothing here looks at ctx.
 */
#ifndef POSTERN_SMTP_SERVER_PLAIN_H
#define POSTERN_SMTP_SERVER_PLAIN_H

#include "smtp/server.h"

/* AUTH: 504, there is no mechanism. */
enum smtp_auth_step smtp_plain_auth(void *ctx,
                                    const char *mechanism,
                                    bool has_response,
                                    struct str response,
                                    struct buf *challenge,
                                    struct smtp_reply *reply);

/* Yes. */
enum smtp_decision smtp_plain_admit(void *ctx, const char *verb, struct smtp_reply *reply);
enum smtp_decision smtp_plain_mail(void *ctx, const struct smtp_mail *mail, struct smtp_reply *reply);
enum smtp_decision smtp_plain_rcpt(void *ctx, const struct smtp_rcpt *rcpt, struct smtp_reply *reply);

/* 451, whatever the error. */
void smtp_plain_refuse(void *ctx, int error, struct smtp_reply *reply);

/* Told, and nothing follows from it. */
void smtp_plain_forget(void *ctx); /* auth_cancelled, abandon */
void smtp_plain_refused(void *ctx, const char *verb, const struct smtp_reply *reply);

#endif
