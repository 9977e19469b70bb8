#include "smtp/server_internal.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>

/* Refusals that are our own trouble are no errors of the client's, but a flood of them is one, in the log too (SUB-09). */
#define TROUBLES_AN_ERROR 50

/* Flags of a command. */
enum {
    NEEDS_HELLO = 1 << 0, /* 503 before EHLO or HELO (SMTP-04) */
    ADMITTED = 1 << 1,    /* the owner is asked whether the verb is open (STLS-10, SUB-04) */
    NO_ARGS = 1 << 2,     /* 501 with an argument (SMTP-11) */
    CLEAN = 1 << 3,       /* handler refuses octets outside printable ASCII itself */
};

static const struct command {
    const char *verb;
    void (*serve)(struct smtp_server *s, struct str args);
    unsigned flags;
} commands[] = {
    {"EHLO",     cmd_ehlo,       0                             },
    {"HELO",     cmd_helo,       ADMITTED                      },
    {"STARTTLS", cmd_starttls,   0                             },
    {"XCLIENT",  cmd_xclient,    ADMITTED                      },
    {"AUTH",     cmd_auth,       ADMITTED | NEEDS_HELLO | CLEAN},
    {"MAIL",     cmd_mail,       ADMITTED | NEEDS_HELLO | CLEAN},
    {"RCPT",     cmd_rcpt,       ADMITTED | NEEDS_HELLO | CLEAN},
    {"DATA",     cmd_data,       ADMITTED | NEEDS_HELLO        },
    {"BDAT",     cmd_bdat,       0                             }, /* gates itself: a refused chunk is still swallowed */
    {"RSET",     cmd_rset,       ADMITTED | NO_ARGS            },
    {"NOOP",     cmd_noop,       0                             },
    {"QUIT",     cmd_quit,       NO_ARGS                       },
    {"VRFY",     cmd_vrfy,       ADMITTED | CLEAN              },
    {"HELP",     cmd_help,       ADMITTED                      },
 /* Known and never served: ETRN and ATRN must not be (SUB-16), BURL is out of scope (BURL-01).
  */
    {"EXPN",     cmd_not_served, ADMITTED                      },
    {"ETRN",     cmd_not_served, ADMITTED                      },
    {"ATRN",     cmd_not_served, ADMITTED                      },
    {"TURN",     cmd_not_served, ADMITTED                      },
    {"BURL",     cmd_not_served, ADMITTED                      },
};

struct smtp_server *smtp_server_new(const struct smtp_server_config *cfg,
                                    const struct smtp_server_ops *ops,
                                    void *ctx,
                                    struct buf *out)
{
    struct smtp_server *s = xcalloc(1, sizeof(*s));
    *s = (struct smtp_server){.cfg = cfg, .ops = ops, .ctx = ctx, .out = out, .state = SS_GREET};
    return s;
}

void smtp_server_free(struct smtp_server *s)
{
    if (!s)
        return;
    transaction_drop(s);
    free(s->swallow_reply);
    free(s->helo);
    free(s->xclient);
    free(s);
}

/* The steps drawn in server_internal.h; anything else is our own mistake. */
static bool step_is_drawn(enum server_state from, enum server_state to)
{
    static const unsigned allowed[] = {
        [SS_GREET] = 1U << SS_READY,
        [SS_READY] = 1U << SS_READY | 1U << SS_MAIL | 1U << SS_SASL,
        [SS_MAIL] = 1U << SS_READY | 1U << SS_RCPT,
        [SS_RCPT] = 1U << SS_READY | 1U << SS_RCPT | 1U << SS_TEXT | 1U << SS_CHUNK,
        [SS_TEXT] = 1U << SS_READY,
        [SS_CHUNK] = 1U << SS_READY | 1U << SS_BETWEEN,
        [SS_BETWEEN] = 1U << SS_READY | 1U << SS_CHUNK,
        [SS_SASL] = 1U << SS_READY | 1U << SS_SASL,
        [SS_TLS] = 0,
        [SS_ENDED] = 0,
    };
    if (to == SS_ENDED || to == SS_GREET || to == SS_TLS)
        return from != SS_ENDED;
    return (allowed[from] & 1U << to) != 0;
}

void server_set_state(struct smtp_server *s, enum server_state next)
{
    assert(step_is_drawn(s->state, next));
    s->state = next;
}

void server_end(struct smtp_server *s)
{
    if (s->state == SS_ENDED)
        return;
    transaction_drop(s);
    server_set_state(s, SS_ENDED);
    s->wait = WAIT_NOTHING;
    s->ops->quit(s->ctx);
}

static void put_reply(struct smtp_server *s, const struct smtp_reply *r)
{
    struct smtp_reply plain;
    if (!smtp_set_has(s->cfg->extensions, SMTP_EXT_ENHANCEDSTATUSCODES) && r->enhanced[0]) {
        plain = *r;
        plain.enhanced = "";
        r = &plain;
    }
    if (smtp_reply_format(r, s->out) < 0)
        server_end(s); /* no memory: feed() keeps room for every reply otherwise */
}

/* [rfc5321 4.2.3, rfc4954 6] No fault of the client's: 451 "local error in processing", 452 "insufficient system
 * storage" and too many recipients, of which it brings the rest with another message (4.5.3.1.10), 454 "temporary
 * authentication failure".  450 is about what it asks for, policy for example. */
static bool is_our_trouble(int code)
{
    return code == 451 || code == 452 || code == 454;
}

static bool has_too_many_errors(const struct smtp_server *s)
{
    unsigned max = s->cfg->errors_max;
    return max && (s->errors > max || s->troubles / TROUBLES_AN_ERROR > max);
}

void server_reply(struct smtp_server *s, const struct smtp_reply *r)
{
    if (s->state == SS_ENDED)
        return;
    if (r->code >= 400) {
        *(is_our_trouble(r->code) ? &s->troubles : &s->errors) += 1;
        s->ops->refused(s->ctx, s->verb, r);
        if (has_too_many_errors(s)) {
            struct smtp_reply bye =
                smtp_reply(421, "4.7.0", "%s Too many errors, closing", s->cfg->hostname);
            put_reply(s, &bye);
            s->end = SMTP_SERVER_END_ERRORS;
            server_end(s);
            return;
        }
    }
    put_reply(s, r);
}

void server_say(struct smtp_server *s, int code, const char *enhanced, const char *fmt, ...)
{
    struct smtp_reply r = {.code = code, .enhanced = enhanced};
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(r.text, sizeof(r.text), fmt, ap);
    va_end(ap);
    server_reply(s, &r);
}

uint32_t server_extensions(const struct smtp_server *s)
{
    static const struct {
        enum smtp_extension extension, needs;
    } needs[] = {
        {SMTP_EXT_BINARYMIME, SMTP_EXT_CHUNKING}, /* CHNK-03 */
        {SMTP_EXT_SMTPUTF8,   SMTP_EXT_8BITMIME}, /* UTF-01 */
    };
    uint32_t set = s->cfg->extensions;
    for (size_t i = 0; i < ARRAY_LEN(needs); i++)
        if (!smtp_set_has(set, needs[i].needs))
            set &= ~SMTP_SET(needs[i].extension);
    return s->secure ? set : set & ~SMTP_SET(SMTP_EXT_REQUIRETLS); /* RTLS-01 */
}

bool server_go_on(struct smtp_server *s, enum smtp_decision d, const struct smtp_reply *r)
{
    assert(d != SMTP_LATER);
    if (d == SMTP_YES)
        return true;
    server_reply(s, r);
    if (d == SMTP_CLOSE)
        server_end(s);
    return false;
}

void transaction_drop(struct smtp_server *s)
{
    struct transaction *t = s->t;
    if (!t)
        return;
    s->t = NULL;
    if (t->accepted && !t->finished)
        s->ops->abandon(s->ctx);
    arena_done(&t->arena);
    free(t->rcpts);
    free(t);
}

void smtp_server_greet(struct smtp_server *s, const struct smtp_reply *refusal)
{
    if (!refusal) {
        /* [rfc8446 2] Depends on nothing in the certificate (TLS-17) and claims no authentication
         * (OPN-12). */
        server_say(s, 220, "", "%s ESMTP Postern", s->cfg->hostname);
        return;
    }
    struct smtp_reply plain = *refusal;
    plain.enhanced = ""; /* none in a greeting (ESC-01) */
    put_reply(s, &plain);
    server_end(s);
}

/* ---- lines ---- */

/* Any line but an XCLIENT ends what that has to say. */
static void remember_verb(struct smtp_server *s, struct str word)
{
    size_t n = MIN(word.len, sizeof(s->verb) - 1);
    for (size_t i = 0; i < n; i++)
        s->verb[i] =
            isprint((unsigned char)word.p[i]) ? (char)toupper((unsigned char)word.p[i]) : '?';
    s->verb[n] = '\0';
    if (strcmp(s->verb, "XCLIENT") == 0)
        return;
    free(s->xclient);
    s->xclient = NULL;
}

static const struct command *command_find(struct str word)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (str_eq_nocase(word, str_of(commands[i].verb)))
            return &commands[i];
    return NULL;
}

bool server_knows_command(struct str line)
{
    ssize_t space = str_find(line, ' ');
    return space > 0 && command_find(str_upto(line, (size_t)space));
}

static void serve_command(struct smtp_server *s, const struct command *c, struct str args)
{
    struct smtp_reply r = {0};
    if (c->flags & ADMITTED && !server_go_on(s, s->ops->admit(s->ctx, c->verb, &r), &r))
        return;
    if (c->flags & NEEDS_HELLO && s->state == SS_GREET) {
        server_say(s, 503, "5.5.1", "Send EHLO first");
        return;
    }
    if (c->flags & NO_ARGS && str_trim(args).len) {
        server_say(s, 501, "5.5.4", "%s takes no argument", c->verb);
        return;
    }
    if (!(c->flags & CLEAN) && !str_is_ascii(args)) {
        server_say(s, 501, "5.5.2", "Only ASCII may stand here"); /* SMTP-21 */
        return;
    }
    c->serve(s, args);
}

void server_line(struct smtp_server *s, struct str line)
{
    ssize_t space = str_find(line, ' ');
    struct str word = str_upto(line, space < 0 ? line.len : (size_t)space);
    struct str args = space < 0 ? STR("") : str_from(line, (size_t)space + 1);
    remember_verb(s, word);
    const struct command *c = command_find(word);
    if (str_has_control(line) && !(c && c->serve == cmd_auth)) { /* AUTH says so itself (O2-12) */
        server_say(s, 501, "5.5.2", "Control characters may not stand in a command"); /* SMTP-21 */
        return;
    }
    if (!c) {
        server_say(s, 500, "5.5.1", "Command not known");
        return;
    }
    if (line.len > SMTP_COMMAND_MAX && c->serve != cmd_auth) {
        server_say(s, 500, "5.5.2", "Line too long, %d octets at most",
                   SMTP_COMMAND_MAX); /* SMTP-14 */
        return;
    }
    serve_command(s, c, args);
}

/* What is remembered of a line that cannot be read. */
static void remember_unreadable(struct smtp_server *s, struct str line)
{
    ssize_t space = str_find(line, ' ');
    bool auth = str_eq_nocase(str_upto(line, space < 0 ? 0 : (size_t)space), STR("AUTH"));
    remember_verb(s, auth ? STR("AUTH") : STR("LINE"));
}

/* An AUTH that cannot be read is one that failed: the client did not mean to be whoever the certificate says
 * (O2-12). */
static void fail_unreadable_auth(struct smtp_server *s)
{
    struct smtp_reply r = {0};
    if (s->state == SS_READY && strcmp(s->verb, "AUTH") == 0 &&
        s->ops->admit(s->ctx, "AUTH", &r) == SMTP_YES)
        s->ops->auth_cancelled(s->ctx);
}

/* A line that is longer than any may be: its octets go, one reply comes (AUTH-13). */
static void serve_long_line(struct smtp_server *s)
{
    if (s->state == SS_SASL) {
        cmd_auth_response(s, STR(""), true);
        return;
    }
    fail_unreadable_auth(s);
    server_say(s, 500, "5.5.2", "Line too long, %d octets at most", SMTP_COMMAND_MAX);
}

/* Only CR LF ends a line (SMTP-15).  A line with a bare LF is answered, so that nobody waits in
 * vain, but not served. */
static void serve_bare_line(struct smtp_server *s)
{
    if (s->state == SS_SASL) {
        cmd_auth_response(s, STR("*"), false);
        return;
    }
    fail_unreadable_auth(s);
    server_say(s, 500, "5.5.2", "Lines end in CR LF, this one in LF alone");
}

static void tell_heard(struct smtp_server *s, struct str line)
{
    if (s->ops->heard)
        s->ops->heard(s->ctx, line, s->state == SS_SASL);
}

/* One command or response line, if it is there in full; returns what was consumed. */
static size_t line_feed(struct smtp_server *s, const char *data, size_t len)
{
    const char *lf = memchr(data, '\n', len);
    size_t n = lf ? (size_t)(lf - data) + 1 : len;
    if (s->skipping) {
        s->skipping = !lf;
        if (lf)
            serve_long_line(s);
        return n;
    }
    if (n > SMTP_AUTH_LINE_MAX + 2) {
        tell_heard(s, str_upto((struct str){data, n}, SMTP_AUTH_LINE_MAX));
        remember_unreadable(s, (struct str){data, n});
        s->skipping = !lf;
        if (lf)
            serve_long_line(s);
        return n;
    }
    if (!lf)
        return 0;
    bool whole = n >= 2 && data[n - 2] == '\r';
    tell_heard(s, (struct str){data, whole ? n - 2 : n - 1});
    if (!whole) {
        remember_unreadable(s, (struct str){data, n});
        serve_bare_line(s);
    } else if (s->state == SS_SASL) {
        cmd_auth_response(s, (struct str){data, n - 2}, false);
    } else {
        server_line(s, (struct str){data, n - 2});
    }
    return n;
}

size_t smtp_server_feed(struct smtp_server *s, const char *data, size_t len)
{
    size_t used = 0;
    while (used < len && s->wait == WAIT_NOTHING && s->state != SS_TLS && s->state != SS_ENDED &&
           s->out->len <= s->out->max / 2) {
        size_t n;
        if (s->swallow_reply)
            n = server_swallow(s, len - used);
        else if (s->state == SS_TEXT || s->state == SS_CHUNK)
            n = text_feed(s, data + used, len - used);
        else
            n = line_feed(s, data + used, len - used);
        if (n == 0)
            break;
        used += n;
    }
    return used;
}

/* ---- outcomes brought later ---- */

void smtp_server_resume(struct smtp_server *s, enum smtp_decision d, const struct smtp_reply *reply)
{
    static void (*const resume[])(struct smtp_server *, enum smtp_decision,
                                  const struct smtp_reply *) = {
        [WAIT_STARTTLS] = cmd_starttls_resume, [WAIT_MAIL] = cmd_mail_resume,
        [WAIT_RCPT] = cmd_rcpt_resume,         [WAIT_DATA] = cmd_data_resume,
        [WAIT_BDAT] = cmd_bdat_resume,         [WAIT_FINISH] = text_finish_resume,
    };
    enum server_wait w = s->wait;
    if (s->state == SS_ENDED)
        return; /* the session ended while the owner was thinking */
    assert(w < ARRAY_LEN(resume) && resume[w] && d != SMTP_LATER);
    s->wait = WAIT_NOTHING;
    resume[w](s, d, reply);
}

void smtp_server_resume_auth(struct smtp_server *s,
                             enum smtp_auth_step step,
                             struct str challenge,
                             const struct smtp_reply *reply)
{
    if (s->state == SS_ENDED)
        return;
    assert(s->wait == WAIT_AUTH && step != SMTP_AUTH_LATER);
    s->wait = WAIT_NOTHING;
    cmd_auth_step(s, step, challenge, reply);
}

void smtp_server_continue(struct smtp_server *s, int error)
{
    if (s->wait != WAIT_TEXT)
        return;
    s->wait = WAIT_NOTHING;
    if (error < 0 && s->t->error == 0)
        s->t->error = error;
    (void)text_feed(s, "", 0); /* what paused may have been the last piece */
}

/* EHLO name and transaction are forgotten. */
void server_start_over(struct smtp_server *s)
{
    transaction_drop(s);
    free(s->helo);
    s->helo = NULL;
    s->esmtp = false;
    s->skipping = false;
    server_set_state(s, SS_GREET);
}

void smtp_server_secured(struct smtp_server *s)
{
    if (s->state == SS_ENDED)
        return;
    s->secure = true;
    server_start_over(s); /* [rfc3207 4.2] back to the state after the greeting (STLS-04) */
}

void smtp_server_shutdown(struct smtp_server *s, const struct smtp_reply *reply)
{
    if (s->state == SS_ENDED)
        return;
    if (s->state != SS_TLS) /* the peer awaits TLS records and nothing else */
        put_reply(s, reply);
    server_end(s);
}

/* ---- questions ---- */

bool smtp_server_is_idle(const struct smtp_server *s)
{
    return !s->t && s->wait == WAIT_NOTHING && s->state != SS_SASL;
}

bool smtp_server_is_waiting(const struct smtp_server *s)
{
    return s->wait != WAIT_NOTHING;
}

enum smtp_server_end smtp_server_end(const struct smtp_server *s)
{
    return s->end;
}

bool smtp_server_has_ended(const struct smtp_server *s)
{
    return s->state == SS_ENDED;
}

bool smtp_server_is_secure(const struct smtp_server *s)
{
    return s->secure;
}

bool smtp_server_is_esmtp(const struct smtp_server *s)
{
    return s->esmtp;
}

bool smtp_server_carries_on_xclient(const struct smtp_server *s)
{
    return s->xclient != NULL;
}

const char *smtp_server_helo(const struct smtp_server *s)
{
    return s->helo ? s->helo : "";
}

const struct smtp_mail *smtp_server_mail(const struct smtp_server *s)
{
    return s->t ? &s->t->mail : NULL;
}

size_t smtp_server_n_rcpts(const struct smtp_server *s)
{
    return s->t ? s->t->n_rcpts : 0;
}

const struct smtp_rcpt *smtp_server_rcpt(const struct smtp_server *s, size_t i)
{
    assert(s->t && i < s->t->n_rcpts);
    return &s->t->rcpts[i];
}
