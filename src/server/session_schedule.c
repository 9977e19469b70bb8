/* When a message may go, until when, and how urgently: what a client may ask for with MAIL. */
#include "base/clock.h"
#include "server/session_internal.h"
#include "smtp/schedule.h"

#include <inttypes.h>

#define SECOND_MS INT64_C(1000)

/* The greatest priority this session may give.  A table that cannot answer grants no more than everybody has. */
static int priority_max(const struct session *s)
{
    const struct endpoint *e = s->endpoint;
    CLEANUP(buf_done) struct buf value = BUF_INIT(LOOKUP_VALUE_MAX);
    int own = 0;
    bool has_own = s->identity && e->priorities.get &&
                   lookup_name(&e->priorities, str_of(s->identity), &value) == 0 &&
                   smtp_priority_parse(str_trim(buf_str(&value)), &own) == 0;
    return has_own ? own : (int)e->cfg->priority_max;
}

static int64_t release_of(const struct session *s, const struct smtp_mail *mail)
{
    return mail->hold_for ? s->mail_ms + mail->hold_for * SECOND_MS : mail->hold_until_ms;
}

static int64_t deadline_of(const struct session *s, const struct smtp_mail *mail)
{
    return s->mail_ms + mail->deliver_by.seconds * SECOND_MS;
}

/* [rfc4865 4.2] A date that has passed is no hold (FUT-01). */
static bool
may_hold(const struct session *s, const struct smtp_mail *mail, struct smtp_reply *reply)
{
    int64_t max = s->endpoint->smtp.hold_max;
    if (release_of(s, mail) <= s->mail_ms + max * SECOND_MS)
        return true;
    *reply = smtp_reply(501, "5.5.4", "Mail is held for %" PRId64 " seconds at most", max);
    return false;
}

/* A message that must be back before it may go asks for what nobody can do. */
static bool
may_be_in_time(const struct session *s, const struct smtp_mail *mail, struct smtp_reply *reply)
{
    if (mail->deliver_by.mode != 'R' || release_of(s, mail) < deadline_of(s, mail))
        return true;
    *reply = smtp_reply(501, "5.5.4", "The release of the message is not before its deadline");
    return false;
}

/* [rfc6710 4.1] What an identity has no right to is refused, or lowered and said so (PRI-01). */
static bool
may_be_urgent(const struct session *s, const struct smtp_mail *mail, struct smtp_reply *reply)
{
    int max = priority_max(s);
    if (mail->priority <= max)
        return true;
    if (s->endpoint->cfg->priority_above == PRIORITY_ABOVE_REFUSE) {
        *reply = smtp_reply(550, "5.7.1", "Priority %d is above %d, the greatest you may use",
                            mail->priority, max);
        return false;
    }
    *reply = smtp_reply(250, "2.3.6", "Sender OK; %d is the new priority of the message", max);
    return true;
}

bool session_schedule_admits(struct session *s,
                             const struct smtp_mail *mail,
                             struct smtp_reply *reply)
{
    s->mail_ms = clock_wall_ms();
    return may_hold(s, mail, reply) && may_be_in_time(s, mail, reply) &&
           may_be_urgent(s, mail, reply);
}

void session_schedule(const struct session *s,
                      const struct smtp_mail *mail,
                      struct spool_envelope *env)
{
    int64_t release = release_of(s, mail);
    env->release_ms = release > env->received_ms ? release : 0;
    env->by_mode = mail->deliver_by.mode;
    env->by_trace = mail->deliver_by.trace;
    env->deliver_by_ms = env->by_mode ? deadline_of(s, mail) : 0;
    env->priority = MIN(mail->priority, priority_max(s));
}
