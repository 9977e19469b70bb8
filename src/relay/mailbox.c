/* A delivery to Maildirs: the recipients in groups, for each group the body piece by piece to the writer. */
#include "relay/relay_internal.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>

struct mailbox_run {
    struct delivery *d;
    struct relay *relay;
    struct maildir_task task;
    struct maildir_file files[MAILDIR_FILES_MAX];
    char *paths[MAILDIR_FILES_MAX];
    size_t of[MAILDIR_FILES_MAX]; /* which recipient of the delivery a file is for */
    size_t next;                  /* recipient */
    int64_t offset;               /* in the body */
    struct spool_read rd;
    struct buf piece;
};

static void next_group(struct mailbox_run *run);

static void
outcome(struct mailbox_run *run, size_t i, int code, const char *enhanced, const char *text)
{
    struct smtp_outcome o = {
        .code = code, .enhanced = enhanced, .text = text, .stage = SMTP_STAGE_FINAL, .ours = true};
    delivery_outcome(run->d, i, &o, &(struct via){0});
}

/* ---- how it went ---- */

static void log_trouble(const struct maildir_file *f)
{
    struct log_line l;
    log_begin(&l, LOG_LEVEL_WARNING, "maildir-trouble");
    log_text(&l, "maildir", f->path);
    log_text(&l, "step", f->step);
    log_text(&l, "error", strerror(-f->error));
    log_end(&l);
}

/* The sender learns no path and no errno; the log line has them. */
static void tell(struct mailbox_run *run, const struct maildir_file *f, size_t i)
{
    if (f->error == 0) {
        outcome(run, i, 250, "2.0.0", "Delivered");
        return;
    }
    log_trouble(f);
    switch (-f->error) {
    case ENOSPC:
    case EDQUOT:
        outcome(run, i, 452, "4.2.2", "The mailbox has no room now");
        break;
    case ENAMETOOLONG:
        outcome(run, i, 550, "5.1.1", "There can be no such mailbox");
        break;
    default:
        outcome(run, i, 451, "4.2.0", "The mailbox cannot be written now");
    }
}

static void group_done(struct mailbox_run *run)
{
    for (size_t i = 0; i < run->task.n_files; i++) {
        tell(run, &run->files[i], run->of[i]);
        free(run->paths[i]);
    }
    run->task.n_files = 0;
    next_group(run);
}

/* ---- the body ---- */

static void next_piece(struct mailbox_run *run);

static void on_written(struct maildir_task *t)
{
    struct mailbox_run *run = container_of(t, struct mailbox_run, task);
    if (t->last || t->cancel)
        group_done(run);
    else
        next_piece(run);
}

static void write_piece(struct mailbox_run *run, struct str text, bool last)
{
    run->offset += (int64_t)text.len;
    run->task.text = text;
    run->task.last = last;
    maildir_write(run->relay->maildirs, &run->task);
}

static void cancel(struct mailbox_run *run)
{
    run->task.cancel = true;
    maildir_write(run->relay->maildirs, &run->task);
}

static void on_read(struct spool_read *rd, int error, struct str data)
{
    struct mailbox_run *run = container_of(rd, struct mailbox_run, rd);
    buf_clear(&run->piece);
    if (error || data.len == 0 || buf_append_str(&run->piece, data) < 0) {
        log_message(LOG_LEVEL_ERROR, "spool-trouble", "the text of %s cannot be read: %s",
                    run->d->job->m->queue_id, error ? strerror(-error) : "it ends too early");
        cancel(run);
        return;
    }
    bool last = run->offset + (int64_t)data.len >= run->d->job->m->size;
    write_piece(run, buf_str(&run->piece), last);
}

static void next_piece(struct mailbox_run *run)
{
    const struct spool_message *m = run->d->job->m;
    if (m->body.p || m->size == 0) {
        write_piece(run, m->size ? m->body : STR(""), true);
        return;
    }
    run->rd = (struct spool_read){.id = m->id, .offset = run->offset, .got = on_read};
    spool_read(run->relay->spool, &run->rd);
}

/* ---- the recipients ---- */

/* The file for recipient i joins the group, unless its address can have no Maildir. */
static void add_file(struct mailbox_run *run, size_t i)
{
    const char *address = run->d->msg.recipients[i].address;
    struct buf path = BUF_INIT(900);
    int r = maildir_path(run->d->hop->route->path, address, &path);
    if (r < 0) {
        buf_done(&path);
        if (r == -EINVAL)
            outcome(run, i, 550, "5.1.1", "There can be no such mailbox");
        else
            outcome(run, i, 451, "4.3.0", "Local trouble, try again later");
        return;
    }
    size_t n = run->task.n_files++;
    run->paths[n] = buf_take(&path);
    run->of[n] = i;
    run->files[n] = (struct maildir_file){
        .path = run->paths[n],
        .recipient = address,
        .reverse_path = run->d->msg.reverse_path,
        .fd = -1,
    };
}

static void next_group(struct mailbox_run *run)
{
    while (run->next < run->d->msg.n_recipients && run->task.n_files < MAILDIR_FILES_MAX)
        add_file(run, run->next++);
    if (run->task.n_files == 0) {
        struct delivery *d = run->d;
        buf_done(&run->piece);
        free(run);
        delivery_done(d);
        return;
    }
    run->offset = 0;
    run->task = (struct maildir_task){
        .files = run->files, .n_files = run->task.n_files, .done = on_written};
    next_piece(run);
}

void mailbox_deliver(struct delivery *d)
{
    struct mailbox_run *run = xcalloc(1, sizeof(*run));
    run->d = d;
    run->relay = d->hop->relay;
    run->piece = BUF_INIT(SPOOL_CHUNK);
    d->begun_ms = clock_monotonic_ms();
    next_group(run);
}
