#include "bench/load_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#define TICK_MS 250
#define EARLY_US 1000    /* what is due within the timer's resolution is due */
#define SETTLE_US 300000 /* until a server has put its things away */
#define HOLD_SETTLE_US 2000000
#define CLOSE_LIMIT_US 5000000

/* ---- bookkeeping ---- */

bool load_is_counting(const struct load *l)
{
    return l->phase == PHASE_RUNNING;
}

static struct load_failure *failure_of(struct load_result *r, const struct smtp_outcome *o)
{
    for (size_t i = 0; i < r->n_failures; i++)
        if (r->failures[i].code == o->code && r->failures[i].stage == o->stage)
            return &r->failures[i];
    if (r->n_failures == LOAD_FAILURES_MAX)
        return NULL;
    struct load_failure *f = &r->failures[r->n_failures++];
    *f = (struct load_failure){.code = o->code, .stage = o->stage};
    (void)snprintf(f->text, sizeof(f->text), "%s%s%s", o->enhanced, *o->enhanced ? " " : "",
                   o->text);
    for (char *p = f->text; *p; p++)
        *p = *p == '\n' ? ' ' : *p;
    return f;
}

void load_failed(struct load *l, const struct smtp_outcome *o)
{
    struct load_failure *f = failure_of(l->result, o);
    if (f)
        f->count++;
    else
        l->result->other_failures++;
}

/* Nobody looks at the server: nothing to wait for. */
static bool has_settled(const struct load *l, int64_t after_us)
{
    return !l->cfg->server || usage_now_us() - l->phase_us >= after_us;
}

static int64_t server_cpu(const struct load *l)
{
    int64_t us = -1;
    if (l->cfg->server && usage_cpu_us(l->cfg->server, &us) < 0)
        us = -1;
    return us;
}

static int64_t cpu_since_start(const struct load *l)
{
    int64_t now = server_cpu(l);
    return now < 0 || l->cpu_start < 0 ? -1 : now - l->cpu_start;
}

/* ---- the pace ---- */

bool load_take(struct load *l, int64_t now_us, int64_t *ret_due_us)
{
    if (l->todo == 0 || (l->phase != PHASE_RUNNING && l->phase != PHASE_WARM_UP))
        return false;
    int64_t due = now_us;
    if (l->cfg->rate > 0) {
        due = l->phase_us + (int64_t)((double)l->begun * 1e6 / l->cfg->rate);
        if (due > now_us + EARLY_US) {
            loop_timer_set(l->pace, (due - now_us) / 1000);
            return false;
        }
    }
    l->todo--;
    l->begun++;
    l->in_flight++;
    *ret_due_us = due;
    return true;
}

static void on_pace(void *arg)
{
    slots_wake(arg);
}

/* ---- arrivals ---- */

/* How many recipients of message `number` have arrived before; adds `more`. */
static unsigned count_arrival(struct load *l, uint64_t number, size_t more)
{
    size_t at = (size_t)number * sizeof(uint16_t);
    while (l->arrivals.len <= at) {
        char zeros[4096] = "";
        if (buf_append(&l->arrivals, zeros, sizeof(zeros)) < 0)
            return 0;
    }
    uint16_t before, after;
    memcpy(&before, l->arrivals.data + at, sizeof(before));
    after = (uint16_t)MIN(before + more, (size_t)UINT16_MAX);
    memcpy(l->arrivals.data + at, &after, sizeof(after));
    return before;
}

static void on_arrival(void *ctx, const struct stamp *stamp, size_t recipients)
{
    struct load *l = ctx;
    if (!stamp || stamp->run != l->run || stamp->number >= l->number) {
        l->result->strangers++;
        return;
    }
    size_t before = count_arrival(l, stamp->number, recipients), wanted = l->cfg->recipients;
    size_t fresh = MIN(recipients, wanted - MIN(before, wanted));
    l->unique += fresh;
    l->moved_us = usage_now_us();
    if (l->phase == PHASE_RUNNING || l->phase == PHASE_DRAINING) {
        struct load_result *r = l->result;
        r->arrived += fresh;
        r->duplicates += recipients - fresh;
        histogram_add(&r->delivery, l->moved_us - stamp->sent_us);
    }
    if (l->unique >= l->accepted)
        load_step_later(l);
}

static bool is_drained(const struct load *l, int64_t now_us)
{
    return !l->sink || l->unique >= l->accepted || now_us - l->moved_us > l->cfg->drain_ms * 1000;
}

/* ---- phases ---- */

static void enter(struct load *l, enum load_phase phase)
{
    static const char *const words[] = {
        [PHASE_OPENING] = "opening connections",
        [PHASE_WARM_UP] = "warming up",
        [PHASE_WARM_DRAIN] = "warming up",
        [PHASE_WARM_SETTLE] = "warming up",
        [PHASE_RUNNING] = "running",
        [PHASE_DRAINING] = "waiting for the queue",
        [PHASE_SETTLING] = "waiting for the queue",
        [PHASE_HOLDING] = "holding",
        [PHASE_CLOSING] = "closing",
        [PHASE_OVER] = "over",
    };
    l->phase = phase;
    l->phase_us = l->moved_us = usage_now_us();
    l->result->phase = words[phase];
}

static void begin_work(struct load *l, enum load_phase phase, uint64_t todo)
{
    enter(l, phase);
    l->todo = todo;
    l->begun = 0;
    l->failed_in_row = 0;
    if (l->cfg->kind == LOAD_MESSAGES)
        slots_wake(l);
    for (size_t i = 0; i < l->n_slots; i++)
        if (l->slots[i].state == SLOT_EMPTY)
            slot_open(&l->slots[i]);
    load_step_later(l);
}

/* What was counted so far was warming up; the connections that messages go over stay counted. */
static void begin_running(struct load *l)
{
    struct load_result *r = l->result;
    if (l->cfg->kind == LOAD_SESSIONS) {
        r->sessions = r->resumed = r->explicit_logins = 0;
        r->setup = (struct histogram){0};
    }
    l->cpu_start = server_cpu(l);
    l->own_cpu_start = usage_own_cpu_us();
    l->run_us = usage_now_us();
    begin_work(l, PHASE_RUNNING, l->cfg->count ? l->cfg->count : LOAD_MESSAGES_MAX - l->number);
}

static void step_opening(struct load *l)
{
    bool idle = l->cfg->kind == LOAD_IDLE;
    size_t limit = idle ? l->cfg->connections : l->n_slots;
    while (l->next_slot < l->n_slots && l->n_opening < limit)
        slot_open(&l->slots[l->next_slot++]);
    if (l->next_slot < l->n_slots || l->n_opening)
        return;
    if (idle)
        enter(l, PHASE_HOLDING);
    else if (l->n_open == 0)
        enter(l, PHASE_CLOSING);
    else if (l->cfg->warm_up)
        begin_work(l, PHASE_WARM_UP, l->cfg->warm_up);
    else
        begin_running(l);
}

static bool is_worked_off(const struct load *l)
{
    return l->todo == 0 && l->in_flight == 0;
}

static void step_warm_up(struct load *l)
{
    if (is_worked_off(l))
        enter(l, PHASE_WARM_DRAIN);
}

static void step_warm_drain(struct load *l)
{
    if (is_drained(l, usage_now_us()))
        enter(l, PHASE_WARM_SETTLE);
}

static void step_warm_settle(struct load *l)
{
    if (has_settled(l, SETTLE_US))
        begin_running(l);
}

static void step_running(struct load *l)
{
    int64_t now = usage_now_us();
    if (l->cfg->duration_ms && now - l->run_us >= l->cfg->duration_ms * 1000)
        l->todo = 0;
    if (!is_worked_off(l))
        return;
    l->result->accept_us = now - l->run_us;
    l->result->cpu_accept_us = cpu_since_start(l);
    enter(l, PHASE_DRAINING);
}

static void step_draining(struct load *l)
{
    struct load_result *r = l->result;
    if (!is_drained(l, usage_now_us()))
        return;
    r->empty_us = (l->sink ? l->moved_us : usage_now_us()) - l->run_us;
    r->missing = l->sink && l->accepted > l->unique ? l->accepted - l->unique : 0;
    enter(l, PHASE_SETTLING);
}

static void step_settling(struct load *l)
{
    if (!has_settled(l, SETTLE_US))
        return;
    l->result->cpu_us = cpu_since_start(l);
    l->result->own_cpu_us = usage_own_cpu_us() - l->own_cpu_start;
    enter(l, PHASE_CLOSING);
}

static void step_holding(struct load *l)
{
    struct load_result *r = l->result;
    if (!has_settled(l, HOLD_SETTLE_US))
        return;
    if (!r->memory_after.processes && l->cfg->server) {
        r->held = l->n_open;
        if (usage_memory(l->cfg->server, &r->memory_after) < 0)
            r->memory_after = (struct usage_memory){0};
    }
    if (usage_now_us() - l->phase_us < l->cfg->hold_ms * 1000)
        return;
    r->held = l->n_open;
    enter(l, PHASE_CLOSING);
}

static void step_closing(struct load *l)
{
    for (size_t i = 0; i < l->n_slots; i++)
        if (l->slots[i].state == SLOT_PARKED)
            slot_quit(&l->slots[i]);
    if (l->n_empty < l->n_slots && usage_now_us() - l->phase_us < CLOSE_LIMIT_US)
        return;
    enter(l, PHASE_OVER);
    loop_stop(l->loop);
}

static void step(struct load *l)
{
    static void (*const steps[])(struct load *) = {
        [PHASE_OPENING] = step_opening,       [PHASE_WARM_UP] = step_warm_up,
        [PHASE_WARM_DRAIN] = step_warm_drain, [PHASE_WARM_SETTLE] = step_warm_settle,
        [PHASE_RUNNING] = step_running,       [PHASE_DRAINING] = step_draining,
        [PHASE_SETTLING] = step_settling,     [PHASE_HOLDING] = step_holding,
        [PHASE_CLOSING] = step_closing,
    };
    enum load_phase before;
    do {
        before = l->phase;
        if (before != PHASE_OVER)
            steps[before](l);
    } while (l->phase != before);
}

static void on_step(struct loop_task *task)
{
    struct load *l = container_of(task, struct load, step);
    l->step_due = false;
    step(l);
}

void load_step_later(struct load *l)
{
    if (l->step_due)
        return;
    l->step_due = true;
    loop_defer(l->loop, &l->step);
}

static void on_tick(void *arg)
{
    struct load *l = arg;
    if (l->cfg->progress)
        l->cfg->progress(l->cfg->progress_arg, l->result);
    load_step_later(l);
    loop_timer_set(l->tick, TICK_MS);
}

/* An interrupted run reports what it has. */
static void on_signal(void *arg, int signo)
{
    struct load *l = arg;
    (void)signo;
    l->todo = 0;
    if (l->phase == PHASE_OPENING || l->phase == PHASE_HOLDING || l->phase >= PHASE_CLOSING)
        loop_stop(l->loop);
}

/* ---- making and clearing away ---- */

static int make_message(struct load *l)
{
    const struct load_config *cfg = l->cfg;
    const char *at = strchr(cfg->to, '@');
    l->recipients = xcalloc(cfg->recipients, sizeof(*l->recipients));
    for (unsigned i = 0; i < cfg->recipients; i++) {
        struct buf address = BUF_INIT(1024);
        int r = i == 0 || !at
                    ? buf_puts(&address, cfg->to)
                    : buf_printf(&address, "%.*s-%u%s", (int)(at - cfg->to), cfg->to, i + 1, at);
        if (r < 0)
            return r;
        l->recipients[i].address = buf_take(&address);
    }
    l->message = (struct smtp_client_message){
        .reverse_path = cfg->from,
        .body = SMTP_BODY_7BIT,
        .size = (int64_t)cfg->size,
        .recipients = l->recipients,
        .n_recipients = cfg->recipients,
    };
    char date[64];
    time_t now = time(NULL);
    struct tm tm;
    (void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", gmtime_r(&now, &tm));
    l->run = (uint32_t)now ^ (uint32_t)getpid() << 16;
    return stamp_text_make(&l->text, cfg->size,
                           &(struct stamp_header){.date = date, .from = cfg->from, .to = cfg->to});
}

static int start_sink(struct load *l, char *why)
{
    if (!l->cfg->sink)
        return 0;
    struct sink_config cfg = {
        .address = l->cfg->sink,
        .hostname = l->cfg->link.smtp.hostname,
        .message = on_arrival,
        .ctx = l,
    };
    return sink_new(l->loop, &cfg, &l->sink, why);
}

static int make_slots(struct load *l)
{
    const struct load_config *cfg = l->cfg;
    l->n_slots = l->n_empty = cfg->kind == LOAD_IDLE ? cfg->count : cfg->connections;
    if (l->n_slots == 0 || l->n_slots > LOAD_CONNECTIONS_MAX)
        return -EINVAL;
    l->slots = xcalloc(l->n_slots, sizeof(*l->slots));
    for (size_t i = 0; i < l->n_slots; i++)
        l->slots[i].load = l;
    return 0;
}

static int prepare(struct load *l, char *why)
{
    static const int signals[] = {SIGINT, SIGTERM, 0};
    int r = loop_new(&l->loop);
    if (r == 0)
        r = loop_signals(l->loop, signals, on_signal, l);
    if (r == 0)
        r = make_slots(l);
    if (r == 0)
        r = make_message(l);
    if (r < 0) {
        (void)snprintf(why, LOAD_WHY_MAX, "cannot prepare the load: %s", strerror(-r));
        return r;
    }
    l->tick = loop_timer_new(l->loop, on_tick, l);
    l->pace = loop_timer_new(l->loop, on_pace, l);
    r = start_sink(l, why);
    if (r == 0 && l->cfg->server && l->cfg->kind == LOAD_IDLE) {
        r = usage_memory(l->cfg->server, &l->result->memory_before);
        if (r < 0)
            (void)snprintf(why, LOAD_WHY_MAX, "cannot read the server's memory: %s", strerror(-r));
    }
    return r;
}

static void clear_away(struct load *l)
{
    for (size_t i = 0; i < l->n_slots; i++)
        slot_abort(&l->slots[i]);
    sink_free(l->sink);
    loop_timer_free(l->tick);
    loop_timer_free(l->pace);
    loop_free(l->loop);
    for (unsigned i = 0; l->recipients && i < l->cfg->recipients; i++) {
        char *address;
        memcpy(&address, &l->recipients[i].address, sizeof(address));
        free(address);
    }
    free(l->recipients);
    free(l->slots);
    stamp_text_done(&l->text);
    buf_done(&l->arrivals);
}

int load_run(const struct load_config *cfg, struct load_result *ret, char *why)
{
    struct load l = {.cfg = cfg, .result = ret, .step.run = on_step};
    *ret = (struct load_result){.cpu_accept_us = -1, .cpu_us = -1, .wanted = cfg->count};
    l.arrivals = BUF_INIT((size_t)LOAD_MESSAGES_MAX * sizeof(uint16_t) + 8192);
    int r = prepare(&l, why);
    if (r == 0) {
        bool sessions = cfg->kind == LOAD_SESSIONS;
        if (!sessions)
            enter(&l, PHASE_OPENING);
        else if (cfg->warm_up)
            begin_work(&l, PHASE_WARM_UP, cfg->warm_up);
        else
            begin_running(&l);
        load_step_later(&l);
        on_tick(&l);
        loop_run(l.loop);
    }
    clear_away(&l);
    return r;
}
