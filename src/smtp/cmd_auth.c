/* AUTH (RFC 4954): the frame of a SASL exchange.  What a mechanism's octets mean is the owner's. */
#include "base/b64.h"
#include "smtp/server_internal.h"

#include <ctype.h>

#define MECHANISM_MAX 20 /* RFC 4422 section 3.1 */

static void auth_fail(struct smtp_server *s, int code, const char *enhanced, const char *why)
{
    s->ops->auth_cancelled(s->ctx);
    if (s->state == SS_SASL)
        server_set_state(s, SS_READY);
    server_say(s, code, enhanced, "%s", why);
}

static void
auth_step(struct smtp_server *s, const char *mechanism, bool has_response, struct str response)
{
    struct smtp_reply r = {0};
    struct buf challenge = BUF_INIT(SMTP_AUTH_LINE_MAX / 4 * 3);
    enum smtp_auth_step step =
        s->ops->auth(s->ctx, mechanism, has_response, response, &challenge, &r);
    if (step == SMTP_AUTH_LATER)
        s->wait = WAIT_AUTH;
    else
        cmd_auth_step(s, step, buf_str(&challenge), &r);
    buf_wipe(&challenge);
}

/* Some clients take the 334 for the end of the exchange and go on with MAIL.  No base64 has a space in it, so a verb
 * and a space are never a response. */
static bool auth_is_overtaken(struct smtp_server *s, struct str line)
{
    if (s->state != SS_SASL || !s->ops->auth_overtaken || !server_knows_command(line) ||
        !s->ops->auth_overtaken(s->ctx))
        return false;
    server_set_state(s, SS_READY);
    server_line(s, line);
    return true;
}

/* Undoes base64 and goes on; what is no base64 ends the exchange (AUTH-10). */
static void auth_decode(struct smtp_server *s, const char *mechanism, struct str text)
{
    struct buf octets = BUF_INIT(SMTP_AUTH_LINE_MAX);
    if (b64_decode(text, &octets) == 0)
        auth_step(s, mechanism, true, buf_str(&octets));
    else if (!auth_is_overtaken(s, text))
        auth_fail(s, 501, "5.5.2", "That is no base64");
    buf_wipe(&octets);
}

static bool mechanism_parse(struct str word, char out[MECHANISM_MAX + 1])
{
    if (word.len == 0 || word.len > MECHANISM_MAX)
        return false;
    for (size_t i = 0; i < word.len; i++) {
        unsigned char c = (unsigned char)word.p[i];
        if (!isalnum(c) && c != '-' && c != '_')
            return false;
        out[i] = (char)toupper(c); /* matched without case (AUTH-02) */
    }
    out[word.len] = '\0';
    return true;
}

void cmd_auth(struct smtp_server *s, struct str args)
{
    char mechanism[MECHANISM_MAX + 1];
    args = str_trim(args); /* a trailing space is no initial response: Python's smtplib sends one */
    ssize_t space = str_find(args, ' ');
    struct str word = str_upto(args, space < 0 ? args.len : (size_t)space);
    struct str initial = space < 0 ? STR("") : str_trim(str_from(args, (size_t)space));
    if (s->t) {
        server_say(s, 503, "5.5.1", "No AUTH inside a mail transaction"); /* AUTH-05 */
        return;
    }
    if (!mechanism_parse(word, mechanism)) {
        auth_fail(s, 501, "5.5.4", "AUTH needs the name of a mechanism");
        return;
    }
    if (initial.len == 0)
        auth_step(s, mechanism, false, STR(""));
    else if (str_eq(initial, STR("="))) /* the empty initial response (AUTH-07) */
        auth_step(s, mechanism, true, STR(""));
    else
        auth_decode(s, mechanism, initial);
}

void cmd_auth_response(struct smtp_server *s, struct str line, bool too_long)
{
    if (too_long)
        auth_fail(s, 500, "5.5.6", "Response too long"); /* AUTH-13 */
    else if (str_eq(line, STR("*")))
        auth_fail(s, 501, "5.0.0", "Authentication cancelled"); /* AUTH-09 */
    else if (str_eq(line, STR("=")))
        /* Not base64, but what some clients send for "empty" (EXT-10); no mechanism can mean
         * another thing by it. */
        auth_step(s, NULL, true, STR(""));
    else
        auth_decode(s, NULL, line);
}

static void put_challenge(struct smtp_server *s, struct str challenge)
{
    /* [rfc4954 4] "334 ", base64, nothing else; an empty challenge leaves the space (AUTH-06). */
    int r = buf_puts(s->out, "334 ");
    if (r == 0)
        r = b64_encode(challenge, s->out);
    if (r == 0)
        r = buf_puts(s->out, "\r\n");
    if (r < 0)
        server_end(s);
    else
        server_set_state(s, SS_SASL);
}

void cmd_auth_step(struct smtp_server *s,
                   enum smtp_auth_step step,
                   struct str challenge,
                   const struct smtp_reply *r)
{
    if (step == SMTP_AUTH_CHALLENGE) {
        put_challenge(s, challenge);
        return;
    }
    if (s->state == SS_SASL)
        server_set_state(s, SS_READY);
    server_reply(s, r);
    if (step == SMTP_AUTH_CLOSE)
        server_end(s);
}
