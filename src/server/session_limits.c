/* How many connections a client may have; how much one identity may send, and in how many sessions at a time: the same
 * count for all its sessions.
 *
 * MAIL and RCPT look whether there is room, so that a client hears early; the text takes it, for the message and its
 * recipients at once, so that two sessions do not take the same room. */
#include "server/session_internal.h"

#include <inttypes.h>

static int64_t seconds(int64_t ms)
{
    return (ms + 999) / 1000;
}

/* A proxy that speaks for others is not counted itself: what is, is told later, or it looks after its own health. */
static bool speaks_for_itself(const struct session *s)
{
    const char *address = stream_peer_address(s->stream);
    bool is_proxy = !s->proxied && endpoint_lists_proxy(s->endpoint, address);
    bool told = s->xclient && s->xclient->ip_len;
    bool may_tell = !told && endpoint_lists_xclient(s->endpoint, address);
    return !is_proxy && !may_tell;
}

bool session_limits_client(struct session *s, struct smtp_reply *reply)
{
    enum crowd_answer answer;
    crowd_leave(s->endpoint->crowd, s->client);
    s->client = NULL;
    if (!speaks_for_itself(s))
        return true;
    answer = crowd_enter(s->endpoint->crowd, stream_peer_address(s->stream), &s->client);
    if (answer == CROWD_COUNTED || answer == CROWD_NOT_COUNTED)
        return true;
    if (answer == CROWD_FULL_NEWS)
        session_log_crowded(s);
    counters_add(&s->endpoint->counters, COUNT_CONNECTIONS_CLIENT_OVER, 1);
    s->end_reason = "too many connections of this client";
    *reply =
        smtp_reply(421, "4.7.0", "Too many connections from %s", stream_peer_address(s->stream));
    return false;
}

void session_limits_leave(struct session *s)
{
    crowd_leave(s->endpoint->crowd, s->client);
    s->client = NULL;
    if (s->holds_limit)
        limiter_release(s->endpoint->limits, str_of(s->identity));
    s->holds_limit = false;
}

bool session_limits_mail(struct session *s, struct smtp_reply *reply)
{
    static const uint64_t one[LIMIT_WINDOWS] = {1, 1, 0, 0};
    if (!s->identity || !s->endpoint->limits)
        return true;
    s->holds_limit = s->holds_limit || limiter_hold(s->endpoint->limits, str_of(s->identity));
    if (!s->holds_limit) {
        *reply = smtp_reply(450, "4.7.1", "%s has too many sessions, try again when one has ended",
                            s->identity);
        return false;
    }
    int64_t wait = limiter_wait(s->endpoint->limits, str_of(s->identity), one);
    if (wait > 0)
        *reply = smtp_reply(450, "4.7.1",
                            "%s has sent too many messages, try again in %" PRId64 " seconds",
                            s->identity, seconds(wait));
    return wait == 0;
}

/* More recipients than fit: those before it go now, the client brings the rest with another message. */
bool session_limits_rcpt(struct session *s, struct smtp_reply *reply)
{
    uint64_t n = smtp_server_n_rcpts(s->engine) + 1;
    const uint64_t amounts[LIMIT_WINDOWS] = {0, 0, n, n};
    if (!s->identity || !s->endpoint->limits)
        return true;
    int64_t wait = limiter_wait(s->endpoint->limits, str_of(s->identity), amounts);
    if (wait < 0)
        *reply = smtp_reply(452, "4.5.3", "Too many recipients at a time for %s", s->identity);
    else if (wait > 0)
        *reply =
            smtp_reply(452, "4.5.3", "Too many recipients for %s, try again in %" PRId64 " seconds",
                       s->identity, seconds(wait));
    return wait == 0;
}

bool session_limits_take(struct session *s, struct smtp_reply *reply)
{
    uint64_t n = smtp_server_n_rcpts(s->engine);
    const uint64_t amounts[LIMIT_WINDOWS] = {1, 1, n, n};
    if (!s->identity || !s->endpoint->limits)
        return true;
    int64_t wait = limiter_take(s->endpoint->limits, str_of(s->identity), amounts);
    if (wait != 0)
        *reply = smtp_reply(450, "4.7.1", "%s has sent too much, try again in %" PRId64 " seconds",
                            s->identity, seconds(MAX(wait, (int64_t)1)));
    return wait == 0;
}
