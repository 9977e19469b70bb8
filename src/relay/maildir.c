#include "relay/maildir.h"

#include "relay/routes.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#define BATCH_FILES 256 /* open at a time, at most */
#define PATH_MAX_LEN 1024

struct maildir_writer {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct maildir_task *first, **tail; /* under the lock, as is `stopping` */
    bool stopping;
    struct loop *loop;
    char host[80];
    uint64_t counter, nonce;
    struct buf lines; /* a piece with its line ends turned, ready to be written */
};

/* ---- names ---- */

static void put_part(struct buf *out, struct str part, int *r)
{
    for (size_t i = 0; i < part.len && *r == 0; i++) {
        char c = part.p[i];
        *r = buf_append(out, &(char){c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c}, 1);
    }
}

static bool may_stand_in_a_path(struct str part)
{
    return part.len > 0 && part.p[0] != '.' && str_find(part, '/') < 0 && !str_has_control(part);
}

/* The content of a quoted local part: "a b"@x is the mailbox `a b`. */
static struct str unquoted(struct str local, char *room)
{
    if (local.len < 2 || local.p[0] != '"' || local.p[local.len - 1] != '"')
        return local;
    size_t n = 0;
    for (size_t i = 1; i + 1 < local.len; i++) {
        if (local.p[i] == '\\' && i + 2 < local.len)
            i++;
        room[n++] = local.p[i];
    }
    return (struct str){room, n};
}

int maildir_path(const char *pattern, const char *address, struct buf *out)
{
    char room[PATH_MAX_LEN];
    struct str local = address_local(address), domain = address_domain(address);
    if (local.len >= sizeof(room))
        return -EINVAL;
    local = unquoted(local, room);
    int r = 0;
    for (const char *p = pattern; *p && r == 0; p++) {
        if (*p != '%' || !p[1]) {
            r = buf_append(out, p, 1);
            continue;
        }
        p++;
        struct str part = *p == 'u' ? local : *p == 'd' ? domain : STR("%");
        if (!may_stand_in_a_path(part))
            return -EINVAL;
        put_part(out, part, &r);
    }
    return r == -EMSGSIZE ? -EINVAL : r;
}

/* '/' cannot stand in a file name, and ':' begins the flags a mail reader adds. */
static void make_host(char *out, size_t size, const char *hostname)
{
    (void)snprintf(out, size, "%s", hostname);
    for (char *p = out; *p; p++)
        if (*p == '/' || *p == ':' || *p <= ' ')
            *p = '_';
}

/* Unique among all writers of the Maildir on all hosts: time, process, count, chance and host. */
static void make_name(struct maildir_writer *w, char out[MAILDIR_NAME_MAX])
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)snprintf(out, MAILDIR_NAME_MAX, "%lld.M%ldP%ldQ%lluR%016llx.%s", (long long)now.tv_sec,
                   now.tv_nsec / 1000, (long)getpid(), (unsigned long long)w->counter++,
                   (unsigned long long)w->nonce, w->host);
}

/* ---- directories ---- */

static int sync_dir(const char *path)
{
    CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int sync_parent(const char *path)
{
    char parent[PATH_MAX_LEN];
    (void)snprintf(parent, sizeof(parent), "%s", path);
    char *slash = strrchr(parent, '/');
    if (!slash)
        return sync_dir(".");
    slash[slash == parent] = '\0';
    return sync_dir(parent);
}

static int make_dir(const char *path)
{
    if (mkdir(path, 0700) < 0)
        return errno == EEXIST ? 0 : -errno;
    return sync_parent(path);
}

/* Makes `path` with all that is above it.  Each entry lasts before anything is put behind it. */
static int make_dirs(const char *path)
{
    int r = make_dir(path);
    char parent[PATH_MAX_LEN];
    (void)snprintf(parent, sizeof(parent), "%s", path);
    char *slash = strrchr(parent, '/');
    if (r != -ENOENT || !slash || slash == parent)
        return r;
    *slash = '\0';
    r = make_dirs(parent);
    return r == 0 ? make_dir(path) : r;
}

static int
path_in(char out[PATH_MAX_LEN], const struct maildir_file *f, const char *sub, const char *name)
{
    int n = snprintf(out, PATH_MAX_LEN, "%s/%s%s%s", f->path, sub, *name ? "/" : "", name);
    return n < 0 || n >= PATH_MAX_LEN ? -ENAMETOOLONG : 0;
}

static int make_maildir(const struct maildir_file *f)
{
    static const char *const subs[] = {"tmp", "new", "cur"};
    int r = make_dirs(f->path);
    for (size_t i = 0; i < ARRAY_LEN(subs) && r == 0; i++) {
        char path[PATH_MAX_LEN];
        r = path_in(path, f, subs[i], "");
        if (r == 0 && mkdir(path, 0700) < 0 && errno != EEXIST)
            r = -errno;
    }
    return r == 0 ? sync_dir(f->path) : r;
}

/* ---- one file ---- */

static void fail(struct maildir_file *f, int error, const char *step)
{
    char path[PATH_MAX_LEN];
    if (f->fd >= 0 && path_in(path, f, "tmp", f->name) == 0)
        (void)unlink(path);
    fd_closep(&f->fd);
    f->error = error;
    f->step = step;
}

static int write_all(int fd, struct str s)
{
    while (s.len) {
        ssize_t n = write(fd, s.p, s.len);
        if (n < 0 && errno != EINTR)
            return -errno;
        s = str_from(s, n < 0 ? 0 : (size_t)n);
    }
    return 0;
}

static int open_tmp(struct maildir_file *f)
{
    char path[PATH_MAX_LEN];
    int r = path_in(path, f, "tmp", f->name);
    if (r < 0)
        return r;
    f->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return f->fd < 0 ? -errno : 0;
}

/* [rfc5321 4.4] Final delivery writes the Return-Path. */
static int write_head(const struct maildir_file *f)
{
    struct buf head = BUF_INIT(2048);
    int r =
        buf_printf(&head, "Return-Path: <%s>\nDelivered-To: %s\n", f->reverse_path, f->recipient);
    if (r == 0)
        r = write_all(f->fd, buf_str(&head));
    buf_done(&head);
    return r;
}

static void begin_file(struct maildir_writer *w, struct maildir_file *f)
{
    make_name(w, f->name);
    int r = open_tmp(f);
    if (r == -ENOENT) {
        r = make_maildir(f);
        if (r < 0) {
            fail(f, r, "make the Maildir");
            return;
        }
        r = open_tmp(f);
    }
    if (r < 0) {
        fail(f, r, "create a file in tmp/");
        return;
    }
    r = write_head(f);
    if (r < 0)
        fail(f, r, "write");
}

/* Names are unique, so a rename replaces nothing. */
static void publish(struct maildir_file *f)
{
    char from[PATH_MAX_LEN], to[PATH_MAX_LEN];
    int r = path_in(from, f, "tmp", f->name);
    if (r == 0)
        r = path_in(to, f, "new", f->name);
    if (r == 0 && rename(from, to) < 0)
        r = -errno;
    if (r < 0)
        fail(f, r, "move the file to new/");
    else
        fd_closep(&f->fd);
}

/* ---- a batch of tasks: each step for all of them, then the next ---- */

/* The lines of the piece with LF ends.  A CR at its end waits for what follows. */
static int turn_lines(struct maildir_task *t, struct buf *out)
{
    struct str s = t->text;
    buf_clear(out);
    int r = 0;
    if (t->after_cr && s.len) {
        if (s.p[0] != '\n')
            r = buf_append(out, "\r", 1);
        t->after_cr = false;
    }
    while (s.len && r == 0) {
        const char *cr = memchr(s.p, '\r', s.len);
        size_t n = cr ? (size_t)(cr - s.p) : s.len;
        r = buf_append(out, s.p, n);
        s = str_from(s, n);
        if (!cr || r < 0)
            break;
        if (s.len == 1)
            t->after_cr = true;
        else if (s.p[1] != '\n')
            r = buf_append(out, "\r", 1);
        s = str_from(s, 1);
    }
    if (t->last && t->after_cr && r == 0)
        r = buf_append(out, "\r", 1);
    return r;
}

static void write_piece(struct maildir_writer *w, struct maildir_task *t)
{
    int turned = turn_lines(t, &w->lines);
    for (size_t i = 0; i < t->n_files; i++) {
        struct maildir_file *f = &t->files[i];
        if (!t->begun)
            begin_file(w, f);
        int r = f->error ? 0 : turned < 0 ? turned : write_all(f->fd, buf_str(&w->lines));
        if (r < 0)
            fail(f, r, "write");
    }
    t->begun = true;
}

static void cancel_task(struct maildir_writer *w, struct maildir_task *t)
{
    (void)w;
    for (size_t i = 0; t->begun && i < t->n_files; i++)
        if (t->files[i].error == 0)
            fail(&t->files[i], -ECANCELED, "have the whole text");
}

static void for_files(struct maildir_task *tasks, void (*step)(struct maildir_file *f))
{
    for (struct maildir_task *t = tasks; t; t = t->next)
        for (size_t i = 0; t->last && !t->cancel && i < t->n_files; i++)
            if (t->files[i].error == 0)
                step(&t->files[i]);
}

static void sync_file(struct maildir_file *f)
{
    if (fsync(f->fd) < 0)
        fail(f, -errno, "sync the file");
}

/* Files of one Maildir often stand next to each other: one sync serves them. */
static void sync_new(struct maildir_task *tasks)
{
    const char *synced = "";
    int result = 0;
    for (struct maildir_task *t = tasks; t; t = t->next) {
        for (size_t i = 0; t->last && !t->cancel && i < t->n_files; i++) {
            struct maildir_file *f = &t->files[i];
            char path[PATH_MAX_LEN];
            if (f->error)
                continue;
            if (strcmp(f->path, synced) != 0) {
                result = path_in(path, f, "new", "");
                result = result < 0 ? result : sync_dir(path);
                synced = f->path;
            }
            if (result < 0)
                fail(f, result, "sync new/");
        }
    }
}

static void run_batch(struct maildir_writer *w, struct maildir_task *tasks)
{
    for (struct maildir_task *t = tasks; t; t = t->next) {
        if (t->cancel)
            cancel_task(w, t);
        else
            write_piece(w, t);
    }
    for_files(tasks, sync_file);
    for_files(tasks, publish);
    sync_new(tasks);
    while (tasks) {
        struct maildir_task *t = tasks;
        tasks = t->next;
        loop_post(w->loop, &t->back);
    }
}

/* ---- the thread ---- */

/* With the lock held. */
static struct maildir_task *take_batch(struct maildir_writer *w)
{
    struct maildir_task *tasks = w->first, **end = &tasks;
    size_t files = 0;
    while (*end && (files += (*end)->n_files) <= BATCH_FILES)
        end = &(*end)->next;
    w->first = *end;
    if (!w->first)
        w->tail = &w->first;
    *end = NULL;
    return tasks;
}

static void *write_forever(void *arg)
{
    struct maildir_writer *w = arg;
    for (;;) {
        (void)pthread_mutex_lock(&w->lock);
        while (!w->first && !w->stopping)
            (void)pthread_cond_wait(&w->work, &w->lock);
        struct maildir_task *tasks = take_batch(w);
        (void)pthread_mutex_unlock(&w->lock);
        if (!tasks)
            return NULL;
        run_batch(w, tasks);
    }
}

int maildir_writer_new(const char *hostname, struct loop *l, struct maildir_writer **ret)
{
    struct maildir_writer *w = xcalloc(1, sizeof(*w));
    w->loop = l;
    w->tail = &w->first;
    w->lines = BUF_INIT((size_t)1 << 20);
    make_host(w->host, sizeof(w->host), hostname);
    if (getrandom(&w->nonce, sizeof(w->nonce), 0) != sizeof(w->nonce))
        w->nonce = (uint64_t)getpid();
    (void)pthread_mutex_init(&w->lock, NULL);
    (void)pthread_cond_init(&w->work, NULL);
    int r = pthread_create(&w->thread, NULL, write_forever, w);
    if (r != 0) {
        free(w);
        return -r;
    }
    *ret = w;
    return 0;
}

void maildir_writer_free(struct maildir_writer *w)
{
    if (!w)
        return;
    (void)pthread_mutex_lock(&w->lock);
    w->stopping = true;
    (void)pthread_cond_signal(&w->work);
    (void)pthread_mutex_unlock(&w->lock);
    (void)pthread_join(w->thread, NULL);
    (void)pthread_mutex_destroy(&w->lock);
    (void)pthread_cond_destroy(&w->work);
    buf_done(&w->lines);
    free(w);
}

static void on_back(struct loop_task *task)
{
    struct maildir_task *t = container_of(task, struct maildir_task, back);
    t->done(t);
}

void maildir_write(struct maildir_writer *w, struct maildir_task *t)
{
    t->back.run = on_back;
    t->next = NULL;
    (void)pthread_mutex_lock(&w->lock);
    *w->tail = t;
    w->tail = &t->next;
    (void)pthread_cond_signal(&w->work);
    (void)pthread_mutex_unlock(&w->lock);
}
