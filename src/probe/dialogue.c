#include "probe/dialogue.h"

#include "base/clock.h"
#include "smtp/client_talk.h"

#include <assert.h>
#include <stdio.h>

struct dialogue {
    struct contact contact;
    struct smtp_talk talk;
    struct smtp_capabilities caps;
    bool stray;
    struct dialogue_reply greeting, replies[DIALOGUE_GROUP];
};

/* ---- from the conversation ---- */

static struct dialogue_reply reply_of(const struct smtp_answer *a)
{
    struct dialogue_reply r = {.code = a->code};
    struct str text = buf_str(&a->text);
    ssize_t line_end = str_find(text, '\n');
    contact_copy(r.enhanced, sizeof(r.enhanced), str_of(a->enhanced));
    contact_copy(r.text, sizeof(r.text), line_end < 0 ? text : str_upto(text, (size_t)line_end));
    return r;
}

static bool on_greeting(void *ctx, size_t n, const struct smtp_answer *a)
{
    (void)n;
    struct dialogue *d = ctx;
    d->greeting = reply_of(a);
    contact_answered(&d->contact);
    return true;
}

static bool on_answer(void *ctx, size_t n, const struct smtp_answer *a)
{
    struct dialogue *d = ctx;
    d->replies[n] = reply_of(a);
    contact_answered(&d->contact);
    return true;
}

static bool on_hello(void *ctx, size_t n, const struct smtp_answer *a)
{
    struct dialogue *d = ctx;
    d->caps = (struct smtp_capabilities){0};
    if (a->code == 250)
        smtp_capabilities_read(&d->caps, buf_str(&a->text));
    return on_answer(ctx, n, a);
}

static bool on_start_tls(void *ctx, size_t n, const struct smtp_answer *a)
{
    struct dialogue *d = ctx;
    if (a->code == 220)
        smtp_talk_deafen(&d->talk);
    return on_answer(ctx, n, a);
}

static void
on_over(void *ctx, enum smtp_talk_end end, enum smtp_stage stage, const struct smtp_answer *a)
{
    static const char *const words[] = {
        [SMTP_TALK_CLOSING] = "the server closes with 421",
        [SMTP_TALK_STRAY] = "a reply that no command asked for",
        [SMTP_TALK_GARBLED] = "what came is no reply, or one without measure",
        [SMTP_TALK_UNSENDABLE] = "a line of ours could not be sent",
    };
    struct dialogue_reply r = a ? reply_of(a) : (struct dialogue_reply){0};
    struct dialogue *d = ctx;
    char why[CONTACT_WHY];
    (void)snprintf(why, sizeof(why), "%s, at %s%s%s", words[end], smtp_stage_name(stage),
                   a ? ": " : "", r.text);
    d->stray = end == SMTP_TALK_STRAY;
    contact_finish(&d->contact, why);
}

static const struct smtp_talk_ops talk_ops = {.over = on_over};

/* ---- from the contact ---- */

static size_t on_input(void *ctx, const char *data, size_t len)
{
    struct dialogue *d = ctx;
    return smtp_talk_feed(&d->talk, data, len);
}

static void on_secured(void *ctx)
{
    struct dialogue *d = ctx;
    d->caps = (struct smtp_capabilities){0};
    smtp_talk_restart(&d->talk);
}

static const struct contact_ops contact_ops = {.input = on_input, .secured = on_secured};

/* ---- saying ---- */

static void begin(struct dialogue *d)
{
    for (size_t i = 0; i < DIALOGUE_GROUP; i++)
        d->replies[i] = (struct dialogue_reply){0};
}

struct dialogue *
dialogue_open(struct loop *l, const struct contact_target *target, struct tls_context *tls)
{
    struct dialogue *d = xcalloc(1, sizeof(*d));
    contact_init(&d->contact, l, target, tls, &contact_ops, d);
    smtp_talk_init(&d->talk, &talk_ops, d, &d->contact.out);
    smtp_talk_expect(&d->talk, SMTP_STAGE_GREETING, on_greeting, 0);
    contact_turn(&d->contact, 1);
    return d;
}

void dialogue_close(struct dialogue *d)
{
    if (!d)
        return;
    if (!d->contact.ended && d->greeting.code)
        (void)dialogue_say(d, "QUIT");
    contact_done(&d->contact);
    smtp_talk_done(&d->talk);
    free(d);
}

void dialogue_abandon(struct dialogue *d, const char *why)
{
    contact_finish(&d->contact, why);
}

bool dialogue_ended(const struct dialogue *d)
{
    return d->contact.ended;
}

const char *dialogue_why(const struct dialogue *d)
{
    return d->contact.why;
}

bool dialogue_is_stray(const struct dialogue *d)
{
    return d->stray;
}

const struct contact_facts *dialogue_facts(const struct dialogue *d)
{
    return &d->contact.facts;
}

struct dialogue_reply dialogue_greeting(const struct dialogue *d)
{
    return d->greeting;
}

static struct dialogue_reply
say(struct dialogue *d, const char *line, enum smtp_stage stage, smtp_talk_fn *fn)
{
    begin(d);
    if (!d->contact.ended)
        smtp_talk_say(&d->talk, line, stage, fn, 0);
    int64_t begun_ms = clock_monotonic_ms();
    contact_turn(&d->contact, 1);
    d->replies[0].after_ms = clock_monotonic_ms() - begun_ms;
    return d->replies[0];
}

struct dialogue_reply dialogue_say(struct dialogue *d, const char *line)
{
    return say(d, line, SMTP_STAGE_IDLE, on_answer);
}

struct dialogue_reply dialogue_ehlo(struct dialogue *d, const char *name)
{
    char line[300];
    (void)snprintf(line, sizeof(line), "EHLO %s", name);
    return say(d, line, SMTP_STAGE_HELLO, on_hello);
}

const struct smtp_capabilities *dialogue_capabilities(const struct dialogue *d)
{
    return &d->caps;
}

void dialogue_say_group(struct dialogue *d,
                        const char *const *lines,
                        size_t n,
                        struct dialogue_reply *ret)
{
    assert(n <= DIALOGUE_GROUP);
    begin(d);
    for (size_t i = 0; i < n && !d->contact.ended; i++)
        smtp_talk_say(&d->talk, lines[i], SMTP_STAGE_IDLE, on_answer, i);
    contact_turn(&d->contact, (unsigned)n);
    for (size_t i = 0; i < n; i++)
        ret[i] = d->replies[i];
}

/* Behind a command, or in place of one; never a line that a peer worded. */
static void put(struct dialogue *d, const char *text)
{
    if (!d->contact.ended && buf_puts(&d->contact.out, text) < 0)
        contact_finish(&d->contact, "a line of ours could not be sent");
}

struct dialogue_reply dialogue_send_text(struct dialogue *d, const char *text)
{
    begin(d);
    put(d, text);
    if (!d->contact.ended)
        smtp_talk_expect(&d->talk, SMTP_STAGE_FINAL, on_answer, 0);
    contact_turn(&d->contact, 1);
    return d->replies[0];
}

bool dialogue_start_tls(struct dialogue *d, const char *injected, struct dialogue_reply *ret)
{
    begin(d);
    if (!d->contact.ended)
        smtp_talk_say(&d->talk, "STARTTLS", SMTP_STAGE_STARTTLS, on_start_tls, 0);
    if (injected) {
        put(d, injected);
        put(d, "\r\n");
    }
    contact_turn(&d->contact, 1);
    *ret = d->replies[0];
    return ret->code == 220 && contact_start_tls(&d->contact);
}
