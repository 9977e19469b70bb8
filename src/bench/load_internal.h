/* load_internal.h - what load.c (the phases) and load_slot.c (the connections) share. */
#ifndef POSTERN_LOAD_INTERNAL_H
#define POSTERN_LOAD_INTERNAL_H

#include "bench/load.h"
#include "bench/sink.h"

enum load_phase {
    PHASE_OPENING,
    PHASE_WARM_UP,
    PHASE_WARM_DRAIN,
    PHASE_WARM_SETTLE,
    PHASE_RUNNING,
    PHASE_DRAINING,
    PHASE_SETTLING,
    PHASE_HOLDING,
    PHASE_CLOSING,
    PHASE_OVER,
};

/* EMPTY -> OPENING -> PARKED <-> BUSY, and from each to LEAVING or straight back to EMPTY. */
enum slot_state { SLOT_EMPTY, SLOT_OPENING, SLOT_PARKED, SLOT_BUSY, SLOT_LEAVING };

struct slot { /* one connection after the other */
    struct load *load;
    struct link *link;
    enum slot_state state;
    bool is_parked; /* linked into load->parked; a slot that ended there stays until it is taken out */
    struct slot *next_parked;
    int64_t opened_us;
    int64_t began_us; /* of the message */
    struct stamp stamp;
    uint64_t messages; /* on this connection */
    size_t accepted;   /* recipients of the message in hand */
};

struct load {
    const struct load_config *cfg;
    struct load_result *result;
    struct loop *loop;
    struct sink *sink;
    struct loop_timer *tick, *pace;
    struct loop_task step;
    bool step_due;
    enum load_phase phase;
    int64_t phase_us;  /* when it began */
    int64_t moved_us;  /* when something last arrived */
    int64_t run_us;    /* when `running` began */
    int64_t cpu_start, own_cpu_start;

    struct slot *slots;
    size_t n_slots, n_opening, n_open, n_empty;
    size_t next_slot; /* LOAD_IDLE: the next to open */
    struct slot *parked;
    unsigned failed_in_row;

    uint64_t todo;  /* messages or sessions not begun yet */
    uint64_t begun; /* in this phase: what the pace is reckoned from */
    uint64_t in_flight;
    uint64_t number; /* of the next message */
    uint32_t run;
    uint64_t accepted; /* recipients, since the beginning */
    uint64_t unique;   /* of them, reached the sink */
    struct buf arrivals; /* uint16_t for each message: recipients that reached the sink */

    struct stamp_text text;
    struct smtp_client_message message;
    struct smtp_client_recipient *recipients;
};

/* ---- load.c ---- */
void load_step_later(struct load *l);
void load_failed(struct load *l, const struct smtp_outcome *o);
bool load_is_counting(const struct load *l);
/* A message is to be sent now: when was it due?  false: none, or none yet. */
bool load_take(struct load *l, int64_t now_us, int64_t *ret_due_us);

/* ---- load_slot.c ---- */
void slot_open(struct slot *s);
void slot_quit(struct slot *s);
void slot_abort(struct slot *s);
void slots_wake(struct load *l); /* there may be work for those that are parked */

#endif
