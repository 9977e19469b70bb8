/* observer_verdict.h - from what a client did towards each kind to what it is.  Pure: records in, words out. */
#ifndef POSTERN_PROBE_OBSERVER_VERDICT_H
#define POSTERN_PROBE_OBSERVER_VERDICT_H

#include "probe/observer_record.h"
#include "probe/probe.h"

enum client_class_of {
    CLIENT_UNKNOWN,
    CLIENT_TLS_FAILED,     /* no handshake came to its end: it does not trust us */
    CLIENT_NO_TLS,         /* never starts TLS */
    CLIENT_NO_CERTIFICATE, /* asked for one, sends none */
    CLIENT_GIVES_UP,       /* neither AUTH nor MAIL where EXTERNAL is offered */
    CLIENT_PASSWORD,       /* logs in by password where EXTERNAL is offered */
    CLIENT_UNFINISHED,     /* begins EXTERNAL and does not get in */
    CLIENT_1,              /* sequence 1 only */
    CLIENT_1_SO_FAR,       /* sequence 1 where offered; not seen without */
    CLIENT_1_ELSE_2,
    CLIENT_2,
    CLIENT_2_SO_FAR, /* sequence 2; not seen where that is refused */
    CLIENT_2_THEN_1, /* sequence 2, on 530 sequence 1 */
    CLIENT_CLASSES_OF
};

/* What a client did towards one kind, over its sessions there. */
struct habits {
    unsigned sessions; /* that said or tried something; 0: not met */
    unsigned messages;
    bool secured, certificate, opened; /* in any of them; opened: 235 to EXTERNAL, or MAIL accepted */
    bool in_the_clear;                 /* MAIL or AUTH before TLS */
    bool tls_failed;                   /* and not by our refusal */
    bool external_after_mail;          /* on the same connection, or in a later session */
    enum record_leak leak;
    const struct record *leaker;  /* who made `leak`; NULL */
    const struct record *example; /* the first that went beyond EHLO, else the first */
    const struct record *opener;  /* the first that got in; NULL */
};

enum { SERVER_OPTION_1, SERVER_OPTION_2, SERVER_OPTION_3, SERVER_HIDDEN, SERVER_OPTIONS };
const char *server_option_name(unsigned option);

struct client_verdict {
    struct habits habits[OBSERVER_KINDS];
    enum client_class_of class;
    enum seen works[SERVER_OPTIONS]; /* with each kind of server; conformance 1.5 */
    bool observed[SERVER_OPTIONS];   /* and not only expected of its class */
    enum record_leak leak;           /* the worst */
    const struct record *leaked;     /* where; NULL with LEAK_NONE */
};

void client_judge(const struct record *const *records, size_t n, struct client_verdict *ret);
const char *client_class_name(enum client_class_of c);   /* "sequence-1": for programs */
const char *client_class_words(enum client_class_of c);
const char *client_class_advice(enum client_class_of c); /* what to change; "" when nothing */

/* The checks, in the form of the cases of `probe server`; returns how many. */
#define CLIENT_CHECKS_MAX 20
unsigned client_checks(const struct client_verdict *v, const struct record *const *records, size_t n, struct probe_result *ret);
enum probe_conforms client_conforms(const struct client_verdict *v, const struct probe_result *checks, unsigned n);

/* A session in a line: "AUTH EXTERNAL =; 535 to AUTH: gave up with QUIT". */
void client_story(const struct record *r, char *out, size_t size);

/* After records[at], whose certificate was refused by an alert: did the same peer come again to the same kind? */
const char *client_came_back(const struct record *const *records, size_t n, size_t at); /* in words */
bool client_came_back_bare(const struct record *const *records, size_t n, size_t at);   /* without it */

#endif
