/* mailbox.h - IMAP or POP3 over a contact, as far as the login: say a command, get the answer. */
#ifndef POSTERN_MAILBOX_H
#define POSTERN_MAILBOX_H

#include "probe/contact.h"
#include "probe/mailbox_reply.h"

struct mailbox_answer {
    enum mailbox_status status;
    char text[MAILBOX_TEXT]; /* the line that decided */
};

struct mailbox;

/* Connects and hears the greeting; with `implicit` TLS comes before it.  Never NULL. */
struct mailbox *mailbox_open(struct loop *l,
                             const struct contact_target *target,
                             struct tls_context *tls,
                             enum mailbox_kind kind);
void mailbox_close(struct mailbox *m); /* says goodbye where that is possible; NULL is fine */

bool mailbox_ended(const struct mailbox *m);
bool mailbox_is_stray(const struct mailbox *m); /* it ended over a line that no command asked for */
const char *mailbox_why(const struct mailbox *m); /* "" while it has not ended */
const struct contact_facts *mailbox_facts(const struct mailbox *m);
struct mailbox_answer mailbox_greeting(const struct mailbox *m);

/* A command, without a tag; `several` when POP3 answers it with several lines. */
struct mailbox_answer mailbox_say(struct mailbox *m, const char *command, bool several);
/* A line in answer to a prompt. */
struct mailbox_answer mailbox_respond(struct mailbox *m, const char *line);
/* In the newest answer. */
bool mailbox_has(const struct mailbox *m, const char *word);

/* STARTTLS or STLS and the handshake; `injected` (may be NULL) is a command that travels in the clear right behind. */
bool mailbox_start_tls(struct mailbox *m, const char *injected, struct mailbox_answer *ret);

#endif
