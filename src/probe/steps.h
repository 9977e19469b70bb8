/* steps.h - what the cases share: words for a result, ways to open a connection, questions to it.
 *
 * Every open_*() closes the dialogue and words the result when it cannot get there, and returns NULL.
 */
#ifndef POSTERN_STEPS_H
#define POSTERN_STEPS_H

#include "probe/probe.h"

#define STEPS_FOREIGN "nobody-you-know@probe.invalid" /* an authzid no certificate stands for */
#define STEPS_LINE 512

void judge(struct probe_result *r, enum probe_status status, const char *fmt, ...) PRINTF(3, 4);

struct words {
    char s[DIALOGUE_TEXT + 64];
};
/* "535 5.7.8 text", and how long it took when that is worth telling; where there was no reply, how the connection ended. */
struct words words_of(const struct dialogue *d, const struct dialogue_reply *a);

/* What came where a reply was due: nothing is never judged, it is told. */
void judge_reply(struct probe_result *r,
                 const struct dialogue *d,
                 const char *to,
                 const struct dialogue_reply *a,
                 bool right);

bool is_good(int code);
bool is_refusal(int code); /* of the 500 class */

/* Words the result, closes, and returns NULL. */
struct dialogue *
give_up(struct dialogue *d, struct probe_result *r, const char *at, const struct dialogue_reply *a);

/* Greeting and EHLO; with implicit TLS that is inside TLS already. */
struct dialogue *open_clear(struct probe *p, struct tls_context *tls, struct probe_result *r);
/* TLS, without the EHLO after it; `injected` as of dialogue_start_tls(). */
struct dialogue *
open_bare(struct probe *p, struct tls_context *tls, const char *injected, struct probe_result *r);
/* And EHLO inside TLS. */
struct dialogue *open_ready(struct probe *p, struct tls_context *tls, struct probe_result *r);
/* And logged in by the certificate, in the shape that was found to work. */
struct dialogue *open_logged_in(struct probe *p, struct probe_result *r);

bool offers_external(const struct dialogue *d);

/* The shapes in which AUTH EXTERNAL is said in the field. */
enum shape {
    SHAPE_EQUALS,
    SHAPE_EMPTY_LINE,
    SHAPE_PROMPTED_EQUALS,
    SHAPE_TRAILING_SPACE,
    SHAPE_LOWER_CASE,
    SHAPE_AUTHZID,
    SHAPE_PROMPTED_AUTHZID,
    SHAPE_MAIL, /* the next command in answer to the prompt */
    SHAPE_COUNT,
};
/* Says it, and answers a prompt if there is one.  Code 0 also when the identity finds no room. */
struct dialogue_reply
say_external(struct probe *p, struct dialogue *d, enum shape shape, bool *ret_prompted);
/* A name in base64; false: no room. */
bool encode_name(const char *name, char ret[STEPS_LINE]);
/* "AUTH EXTERNAL <base64>"; false: no room. */
bool external_line(const char *name, char ret[STEPS_LINE]);

/* AUTH EXTERNAL with a response in base64 already, said once more where the server prompts in spite of it. */
struct dialogue_reply say_response(struct dialogue *d, const char *encoded);
/* As somebody no certificate stands for. */
struct dialogue_reply say_foreign(struct dialogue *d);

struct dialogue_reply say_mail(struct probe *p, struct dialogue *d);
struct dialogue_reply say_rcpt(struct probe *p, struct dialogue *d);
void mail_line(const struct probe *p, char ret[STEPS_LINE]);
void rcpt_line(const struct probe *p, char ret[STEPS_LINE]);

/* Is mail open?  Some refuse only at RCPT, so both are asked; an address that is refused for what it is (X.1.X,
 * RFC 3463 section 3.2) was refused to somebody who may send.  `ret` has the reply that decided. */
enum seen ask_mail(struct probe *p, struct dialogue *d, struct dialogue_reply *ret);

/* What a login told about whether EXTERNAL logs in: one that works is enough, one that could not be answered for now
 * leaves it open. */
void note_login(struct probe *p, enum seen worked);

#endif
