/* observer_record.h - what one session of a client showed.  Pure: fed with lines as they pass, in their order.
 *
 * Everything is read off the conversation itself, what the server said included, so that a record made from a
 * transcript by hand is a test.  Bounded: a record never grows, whatever a client says.
 */
#ifndef POSTERN_PROBE_OBSERVER_RECORD_H
#define POSTERN_PROBE_OBSERVER_RECORD_H

#include "probe/observer_kinds.h"
#include "probe/observer_line.h"

#define RECORD_EVENTS_MAX 96
#define RECORD_LOGINS_MAX 4
#define RECORD_REFUSALS_MAX 8
#define RECORD_WORDS 160

struct record_event { /* one line of the trace */
    int64_t at_ms;    /* since the connection was accepted */
    char who;         /* 'C' client, 'S' server, '-' neither */
    char text[LINE_SHOWN];
};

struct record_login { /* one AUTH EXTERNAL */
    enum external_first first;
    enum external_answer answer;
    char name[LINE_NAME]; /* authzid; "" is the empty one */
    int code;             /* the outcome; 0: none came */
};

/* What a client did after a refusal. */
enum record_next {
    NEXT_UNKNOWN, /* the session was ended by us */
    NEXT_QUIT,
    NEXT_CLOSED,
    NEXT_NOTHING, /* it said nothing more until the time was over */
    NEXT_EXTERNAL,
    NEXT_PASSWORD, /* PLAIN, LOGIN or another mechanism with a secret */
    NEXT_MAIL,
    NEXT_STARTTLS,
    NEXT_EHLO,
    NEXT_OTHER,
};
const char *record_next_words(enum record_next n);

struct record_refusal {
    char what[12]; /* "AUTH", "MAIL", "STARTTLS", "TLS" */
    int code;      /* 0 with "TLS" */
    bool clear;    /* before TLS */
    enum record_next next;
};

enum record_step { STEP_NONE, STEP_EXTERNAL, STEP_PASSWORD, STEP_MAIL }; /* what came first inside TLS */

/* When a password was sent, the worst of them. */
enum record_leak {
    LEAK_NONE,
    LEAK_NO_EXTERNAL, /* EXTERNAL was not offered */
    LEAK_REFUSED,     /* after EXTERNAL, or MAIL, was refused */
    LEAK_PREFERRED,   /* EXTERNAL was offered, and not tried */
    LEAK_CLEAR,       /* before TLS */
};
const char *record_leak_words(enum record_leak l); /* "" for LEAK_NONE */

enum record_end { END_OPEN, END_QUIT, END_CLOSED, END_LOST, END_TIMEOUT, END_TLS_FAILED, END_OURS };
const char *record_end_words(enum record_end e);

struct record_certificate {
    bool sent, accepted;
    char subject[RECORD_WORDS], identity[LINE_NAME];
    char reason[RECORD_WORDS]; /* why it is not accepted */
};

struct record {
    unsigned number;
    const struct observer_kind *kind;
    bool implicit_tls;
    char peer[48];
    enum record_end end;
    char detail[RECORD_WORDS]; /* of the end */

    bool secured, resumed;
    char tls_version[12], server_name[LINE_NAME]; /* SNI; "" when there was none */
    struct record_certificate certificate;

    char helo[LINE_NAME];
    bool offered;         /* EXTERNAL stood in the newest AUTH line inside TLS */
    bool mechanisms;      /* there was one at all */
    enum record_step first;
    bool logged_in;       /* 235 to EXTERNAL */
    bool mail_open;       /* MAIL was answered 250 */
    bool external_after_mail; /* EXTERNAL came after MAIL had been refused */
    struct record_login logins[RECORD_LOGINS_MAX];
    unsigned n_logins;
    struct record_refusal refusals[RECORD_REFUSALS_MAX];
    unsigned n_refusals;
    enum record_leak leak;
    char leak_mechanism[21], user[LINE_NAME];
    unsigned messages, recipients;
    uint64_t octets;

    struct record_event events[RECORD_EVENTS_MAX];
    unsigned n_events, events_lost;

    /* While it lasts. */
    char exchange[21]; /* mechanism of the AUTH under way, "" between them */
    unsigned responses;
    enum line_verb last;
    bool pending; /* the newest refusal waits for what comes next */
};

void record_init(struct record *r, unsigned number, const struct observer_kind *kind, bool implicit_tls, const char *peer);

void record_note(struct record *r, int64_t at_ms, const char *fmt, ...) PRINTF(3, 4); /* neither's words */
/* `version` and `server_name` may be NULL. */
void record_secured(struct record *r, int64_t at_ms, const char *version, const char *server_name, bool resumed);
void record_heard(struct record *r, int64_t at_ms, struct str line, bool response);
void record_said(struct record *r, int64_t at_ms, struct str line); /* one line of a reply */
void record_message(struct record *r, unsigned recipients, uint64_t octets);
void record_ended(struct record *r, int64_t at_ms, enum record_end end, const char *detail);

/* It said or tried something; who only looks whether the port is open has not met the kind. */
bool record_counts(const struct record *r);

/* 1, 2, or 0: neither was begun. */
unsigned record_sequence(const struct record *r);

#endif
