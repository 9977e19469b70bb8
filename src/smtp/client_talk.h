/* client_talk.h - the conversation under a client session: commands out, each reply back to its command.
 *
 * The commands without a reply wait in a bounded line, the oldest first; every complete reply goes to the callback
 * of the oldest one (PIPE-02: statuses are matched by counting, nothing else).  What the commands mean is
 * the caller's: `client.h` is the session most want; the prober also talks by itself.
 *
 * Ends by itself, once, through ops->over: a 421, a reply to nothing, octets that are no reply, a line that
 * may not be sent.  From then on it swallows input and sends nothing.
 */
#ifndef POSTERN_SMTP_CLIENT_TALK_H
#define POSTERN_SMTP_CLIENT_TALK_H

#include "smtp/reply.h"

#define SMTP_TALK_MAX 128 /* commands without a reply, at most */

/* What a reply is waited for, or what is going on: names the time limit (REL-03) and the place of a failure. */
enum smtp_stage {
    SMTP_STAGE_GREETING,
    SMTP_STAGE_HELLO,
    SMTP_STAGE_STARTTLS,
    SMTP_STAGE_HANDSHAKE,
    SMTP_STAGE_LOGIN,
    SMTP_STAGE_RESET,
    SMTP_STAGE_MAIL,
    SMTP_STAGE_RCPT,
    SMTP_STAGE_DATA,
    SMTP_STAGE_TEXT,  /* the text is on its way */
    SMTP_STAGE_FINAL, /* the text was sent, its answer is awaited */
    SMTP_STAGE_IDLE,
    SMTP_STAGE_QUIT,
    SMTP_STAGE_COUNT,
};

/* "RCPT TO", "the greeting" ...: fits behind "in reply to" and "waiting for". */
const char *smtp_stage_name(enum smtp_stage stage);

/* A reply to the command sent with `n`.  true: that was all of it; false: another one follows (LMTP). */
typedef bool smtp_talk_fn(void *ctx, size_t n, const struct smtp_answer *a);

enum smtp_talk_end {
    SMTP_TALK_CLOSING,    /* 421: the server is about to close; it went to its command first */
    SMTP_TALK_STRAY,      /* a reply that no command waited for */
    SMTP_TALK_GARBLED,    /* not a reply, or one without measure */
    SMTP_TALK_UNSENDABLE, /* a line of ours held a control character or found no room */
};

struct smtp_talk_ops {
    /* `stage` of the command it was said to, or of the oldest without a reply; SMTP_STAGE_IDLE: neither.
     * `a` with the first two only. */
    void (*over)(void *ctx, enum smtp_talk_end end, enum smtp_stage stage, const struct smtp_answer *a);
    /* What goes over the wire, for a trace; may be NULL.  What was hidden shows as ***. */
    void (*sent)(void *ctx, struct str line);
    void (*received)(void *ctx, const struct smtp_answer *a);
};

struct smtp_talk {
    const struct smtp_talk_ops *ops;
    void *ctx;
    struct buf *out; /* the driver's */
    struct smtp_answer answer;
    struct {
        smtp_talk_fn *fn;
        size_t n;
        enum smtp_stage stage;
    } waiting[SMTP_TALK_MAX];
    unsigned first, count;
    size_t line_start; /* in out, of the line being written */
    bool hides;         /* from hidden_from on the line is a secret */
    size_t hidden_from; /* in out */
    bool secret;        /* something hidden went to out */
    int line_error;
    bool over, deaf;
    bool closing; /* the answer being handled is a 421: nothing more is worth sending */
    size_t unheard; /* octets swallowed while deaf */
};

void smtp_talk_init(struct smtp_talk *t, const struct smtp_talk_ops *ops, void *ctx, struct buf *out);
void smtp_talk_done(struct smtp_talk *t);

/* Returns how many octets were consumed; all of them once over or deaf. */
size_t smtp_talk_feed(struct smtp_talk *t, const char *data, size_t len);

/* Swallows all input from now on: what follows the 220 of STARTTLS in the clear is nobody's (STLS-09). */
void smtp_talk_deafen(struct smtp_talk *t);
/* A new layer lies under us: hear again, with nothing outstanding. */
void smtp_talk_restart(struct smtp_talk *t);
/* Over, without a call of ops->over. */
void smtp_talk_stop(struct smtp_talk *t);

/* A command is begun, written piece by piece, and ended; errors stick until the end, which brings `over`. */
void smtp_talk_begin(struct smtp_talk *t);
void smtp_talk_put(struct smtp_talk *t, const char *s);
void smtp_talk_put_str(struct smtp_talk *t, struct str s);
void smtp_talk_put_number(struct smtp_talk *t, uint64_t n);
void smtp_talk_put_error(struct smtp_talk *t, int r); /* r of something the caller appended to t->out */
/* The rest of the line is a secret of `len` octets at most. */
void smtp_talk_hide(struct smtp_talk *t, size_t len);
void smtp_talk_end(struct smtp_talk *t, enum smtp_stage stage, smtp_talk_fn *fn, size_t n);
/* A whole command. */
void smtp_talk_say(struct smtp_talk *t, const char *command, enum smtp_stage stage, smtp_talk_fn *fn, size_t n);
/* A reply that comes without a command: the greeting, or that of a text already written to out. */
void smtp_talk_expect(struct smtp_talk *t, enum smtp_stage stage, smtp_talk_fn *fn, size_t n);

/* May another command be sent, as far as counting goes? */
bool smtp_talk_has_room(const struct smtp_talk *t);
/* The stage of the oldest command without a reply; SMTP_STAGE_IDLE: there is none. */
enum smtp_stage smtp_talk_stage(const struct smtp_talk *t);

#endif
