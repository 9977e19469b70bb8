/* maildir.h - the last step of local delivery: a message becomes a file in each recipient's Maildir.
 *
 * A thread of its own does what may wait for a disk; the relay's loop hands it pieces and goes on.  What
 * waits together is written together, so that the syncs of one delivery serve the others.
 *
 * Order, and what a crash leaves behind (I3: at most a second copy, never a loss):
 *   tmp/NAME written and synced   a stub nobody reads
 *   renamed to new/NAME           the message, perhaps not yet lasting
 *   new/ synced                   the message; only now `done` says 0
 */
#ifndef POSTERN_RELAY_MAILDIR_H
#define POSTERN_RELAY_MAILDIR_H

#include "base/buf.h"
#include "net/loop.h"

#define MAILDIR_FILES_MAX 32 /* of one task: each is an open file while the text comes */
#define MAILDIR_NAME_MAX 160

struct maildir_writer;

/* `done` of the tasks runs on this loop. */
MUST_USE int maildir_writer_new(const char *hostname, struct loop *l, struct maildir_writer **ret);
void maildir_writer_free(struct maildir_writer *w); /* when no task is with it; NULL is fine */

struct maildir_file { /* one recipient */
    const char *path; /* of the Maildir; made when it is missing */
    const char *recipient, *reverse_path;
    int error;        /* 0 or -errno, when the task is done */
    const char *step; /* which step failed, in words */

    int fd; /* from here on for the writer's use; fd is -1 at first */
    char name[MAILDIR_NAME_MAX];
};

struct maildir_task {
    struct maildir_file *files;
    size_t n_files;
    struct str text; /* this piece; must stay until done() */
    bool last;       /* the text ends with it */
    bool cancel;     /* no more text will come: leave nothing behind */
    void (*done)(struct maildir_task *t);

    bool begun, after_cr; /* from here on for the writer's use */
    struct maildir_task *next;
    struct loop_task back;
};

/* CRLF becomes LF.  The task is the writer's until done(); then the next piece may be set and written. */
void maildir_write(struct maildir_writer *w, struct maildir_task *t);

/* The Maildir of an address: %u is the local part in lower case, %d the domain, %% a percent sign.
 * -EINVAL: the address has a part that may not stand in a path ("/", a leading dot, a control, nothing at all). */
MUST_USE int maildir_path(const char *pattern, const char *address, struct buf *out);

#endif
