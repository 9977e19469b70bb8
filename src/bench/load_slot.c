#include "bench/load_internal.h"

#include <errno.h>
#include <stdio.h>

/* A server that fails this often in a row, for each connection, is left alone. */
#define PATIENCE 3

static void park(struct slot *s)
{
    s->state = SLOT_PARKED;
    if (s->is_parked)
        return;
    s->is_parked = true;
    s->next_parked = s->load->parked;
    s->load->parked = s;
}

static void begin_message(struct slot *s, int64_t due_us)
{
    struct load *l = s->load;
    s->state = SLOT_BUSY;
    s->began_us = due_us;
    s->accepted = 0;
    s->messages++;
    s->stamp = (struct stamp){.run = l->run, .number = l->number++, .sent_us = due_us};
    struct smtp_outcome why;
    int r = link_send(s->link, &l->message, &why);
    if (r == 0)
        return;
    if (r != -ENOTSUP && r != -EINVAL)
        why = (struct smtp_outcome){.code = 451, .enhanced = "4.3.0", .text = strerror(-r)};
    l->in_flight--;
    l->result->messages_failed += load_is_counting(l);
    load_failed(l, &why);
    l->todo = 0; /* the next would fare no better */
    park(s);
    load_step_later(l);
}

/* A connection that may send: the next message, or a rest, or the end. */
static void work(struct slot *s)
{
    struct load *l = s->load;
    int64_t now = usage_now_us(), due;
    if (l->cfg->per_connection && s->messages >= l->cfg->per_connection && l->todo)
        slot_quit(s);
    else if (load_take(l, now, &due))
        begin_message(s, MIN(due, now));
    else
        park(s);
}

void slots_wake(struct load *l)
{
    while (l->parked) {
        int64_t due;
        struct slot *s = l->parked;
        if (s->state == SLOT_PARKED && !load_take(l, usage_now_us(), &due))
            return;
        l->parked = s->next_parked;
        s->is_parked = false;
        if (s->state == SLOT_PARKED)
            begin_message(s, MIN(due, usage_now_us()));
    }
}

/* ---- what the link tells ---- */

static void on_secured(void *ctx, const struct tls_facts *facts)
{
    struct load_result *r = ((struct slot *)ctx)->load->result;
    r->tls_version = facts->version;
    r->tls_cipher = facts->cipher;
    r->resumed += facts->resumed;
}

static void opened(struct slot *s)
{
    struct load *l = s->load;
    struct load_result *r = l->result;
    r->sessions++;
    r->explicit_logins += link_sequence(s->link) == SMTP_SEQUENCE_EXTERNAL;
    histogram_add(&r->setup, usage_now_us() - s->opened_us);
    l->n_opening--;
    l->n_open++;
    l->failed_in_row = 0;
    load_step_later(l);
}

static void on_ready(void *ctx)
{
    struct slot *s = ctx;
    bool fresh = s->state == SLOT_OPENING;
    if (fresh)
        opened(s);
    if (s->state == SLOT_LEAVING)
        return;
    if (s->load->cfg->kind == LOAD_SESSIONS)
        slot_quit(s);
    else if (s->load->cfg->kind == LOAD_IDLE)
        s->state = SLOT_PARKED;
    else
        work(s);
}

static void on_text(void *ctx, uint64_t offset)
{
    struct slot *s = ctx;
    struct stamp_text *t = &s->load->text;
    stamp_put(t, &s->stamp);
    int r = 0;
    while (r == 0 && offset < t->text.len) {
        size_t len = MIN(t->text.len - offset, SMTP_CLIENT_PIECE);
        r = link_text(s->link, t->text.data + offset, len, offset + len == t->text.len);
        offset += len;
    }
}

static void on_recipient(void *ctx, size_t i, const struct smtp_outcome *o)
{
    struct slot *s = ctx;
    (void)i;
    if (o->code / 100 == 2)
        s->accepted++;
    else
        load_failed(s->load, o);
}

static void on_finished(void *ctx)
{
    struct slot *s = ctx;
    struct load *l = s->load;
    struct load_result *r = l->result;
    l->in_flight--;
    l->accepted += s->accepted;
    if (s->messages == 1 && s->accepted)
        r->implicit_logins += link_sequence(s->link) == SMTP_SEQUENCE_IMPLICIT;
    if (load_is_counting(l)) {
        r->messages += s->accepted > 0;
        r->messages_failed += s->accepted == 0;
        r->recipients += s->accepted;
        if (s->accepted)
            histogram_add(&r->transaction, usage_now_us() - s->began_us);
    }
    if (l->in_flight == 0 && l->todo == 0)
        load_step_later(l);
}

static void session_over(struct load *l)
{
    if (l->cfg->kind != LOAD_SESSIONS)
        return;
    l->in_flight--;
    load_step_later(l);
}

static bool is_welcome_again(const struct load *l)
{
    bool wanted = l->phase == PHASE_WARM_UP || l->phase == PHASE_RUNNING;
    return wanted && l->cfg->kind != LOAD_IDLE && l->todo &&
           l->failed_in_row < PATIENCE * l->n_slots;
}

static void on_ended(void *ctx, enum smtp_client_end end, const struct smtp_outcome *o)
{
    struct slot *s = ctx;
    struct load *l = s->load;
    bool was_opening = s->state == SLOT_OPENING, was_leaving = s->state == SLOT_LEAVING;
    s->state = SLOT_EMPTY;
    s->link = NULL;
    l->n_empty++;
    if (was_opening)
        l->n_opening--;
    else
        l->n_open--;
    if (!was_leaving || end != SMTP_END_QUIT) {
        l->failed_in_row++;
        l->result->sessions_failed += was_opening;
        l->result->lost += !was_opening;
        load_failed(l, o);
    }
    session_over(l);
    if (is_welcome_again(l))
        slot_open(s);
    else if (l->phase == PHASE_RUNNING && l->n_empty == l->n_slots)
        l->todo = 0; /* nobody is left to do it */
    load_step_later(l);
}

static const struct link_ops link_ops = {
    .secured = on_secured,
    .ready = on_ready,
    .text = on_text,
    .recipient = on_recipient,
    .finished = on_finished,
    .ended = on_ended,
};

void slot_open(struct slot *s)
{
    struct load *l = s->load;
    if (l->cfg->kind == LOAD_SESSIONS) {
        if (l->todo == 0)
            return;
        l->todo--;
        l->in_flight++;
    }
    s->state = SLOT_OPENING;
    s->messages = 0;
    s->opened_us = usage_now_us();
    l->n_empty--;
    l->n_opening++;
    s->link = link_open(l->loop, &l->cfg->link, &link_ops, s);
}

void slot_quit(struct slot *s)
{
    s->state = SLOT_LEAVING;
    link_quit(s->link);
}

void slot_abort(struct slot *s)
{
    if (!s->link)
        return;
    link_drop(s->link);
    s->link = NULL;
    s->state = SLOT_EMPTY;
}
