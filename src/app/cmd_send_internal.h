/* cmd_send_internal.h - what the files of `postern send` share: the request as the command line says it, and reports. */
#ifndef POSTERN_CMD_SEND_INTERNAL_H
#define POSTERN_CMD_SEND_INTERNAL_H

#include "send/courier.h"
#include "spool/spool.h"

#include <stdio.h>

enum send_mode {
    SEND_NOW,
    SEND_FLUSH,   /* what is in the user's queue */
    SEND_LIST,    /* what is in it */
    SEND_STEER,   /* one message of it */
    SEND_SESSION, /* SMTP on standard input and output */
};

struct send_request { /* strings are borrowed from argv */
    const char *program;
    bool as_sendmail; /* by that name: nothing is said that sendmail would not say */
    enum send_mode mode;
    bool queue_them; /* into the user's queue, instead of at once */
    bool help;

    enum spool_action steer;
    const char *queue_id;

    struct send_order order;
    const char *config; /* read this file alone */
    bool ignore_dots;   /* -i */
    const char **files;
    size_t n_files;
    bool words_are_files;

    char *from_memory, *envid; /* of the order's */
    char hold_until[40];

    bool json, dry_run, trace, quiet;
};

/* EX_OK, or the code to end with; what was wrong has been said. */
int send_options_read(struct send_request *rq, int argc, char **argv);
void send_options_done(struct send_request *rq);
void send_options_help(FILE *to);

/* Says "PROGRAM: text" on standard error and returns `status`. */
int send_say(const struct send_request *rq, int status, const char *fmt, ...) PRINTF(3, 4);

/* ---- who we are ---- */

void send_self_read(struct send_self *self);

/* ---- reports ---- */

struct send_report {
    const struct send_request *rq;
    size_t reported, sent; /* messages */
    int status;            /* the code to end with, so far */
    size_t n_messages;     /* that are to come; 0: not known */
    int64_t shown_ms;      /* progress, the last time */
    bool terminal;
    bool line_shown, json_begun;
};

struct send_about {   /* what is known of a message beside its results */
    const char *file; /* NULL: standard input */
    const struct account *account;
    const struct carrier_facts *facts; /* NULL: nobody was asked */
    const char *queued;                /* id in the user's spool; NULL: it is not for that */
    bool from_queue;                   /* what was not sent is there still */
};

void send_report_begin(struct send_report *r, const struct send_request *rq, size_t n_messages);
/* Nothing could be done with the message. */
void send_report_failure(struct send_report *r, const char *file, int status, const char *text);
void send_report_message(struct send_report *r,
                         const struct send_about *about,
                         const struct send_message *m);
void send_report_plan(struct send_report *r,
                      const struct send_about *about,
                      const struct send_message *m);
int send_report_end(struct send_report *r);
struct carrier_hooks send_report_hooks(struct send_report *r);

#endif
