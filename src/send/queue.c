#include "send/queue.h"

#include "base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sysexits.h>

#define LOOK_MS 50                        /* between looks whether anything is left */
#define RETRY_MS ((int64_t)5 * 60 * 1000) /* at the earliest, and not in this run again */
#define BUSY_TRIES 50                     /* for a spool somebody is just making */
#define BUSY_US 100000

/* ---- where it is ---- */

static bool queue_folder(char *path, size_t size)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    if (state && *state == '/')
        return snprintf(path, size, "%s/postern", state) < (int)size;
    return home && *home && snprintf(path, size, "%s/.local/state/postern", home) < (int)size;
}

static bool queue_path(char *path, size_t size)
{
    char folder[3900];
    return queue_folder(folder, sizeof(folder)) &&
           snprintf(path, size, "%s/send.db", folder) < (int)size;
}

/* Every folder on the way that is not there; only its owner looks into the last one. */
static int make_folder(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int r = mkdir(path, 0755) < 0 && errno != EEXIST ? -errno : 0;
        *slash = '/';
        if (r < 0)
            return r;
    }
    return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int no_home(char *why)
{
    return courier_fail(why, EX_CONFIG,
                        "there is no place for a queue: neither HOME nor XDG_STATE_HOME is set");
}

/* ---- in ---- */

static ssize_t read_text(void *arg, int64_t offset, char *to, size_t max)
{
    return send_text_read(arg, (uint64_t)offset, to, max);
}

static struct spool_envelope
envelope_of(const struct account *a, const struct send_message *m, int64_t now)
{
    const struct send_wishes *w = &m->wishes;
    return (struct spool_envelope){
        .reverse_path = m->reverse_path,
        .identity = a->name,
        .envid = w->envid,
        .ret = w->ret,
        .body = m->header_is_8bit || m->body_is_8bit ? SPOOL_BODY_8BITMIME : SPOOL_BODY_7BIT,
        .smtputf8 = w->smtputf8,
        .received_ms = now,
        .release_ms = w->hold_for ? now + w->hold_for * 1000 : w->hold_until_ms,
        .deliver_by_ms = w->deliver_by.mode ? now + w->deliver_by.seconds * 1000 : 0,
        .by_mode = w->deliver_by.mode,
        .priority = w->priority,
        .tls = w->requiretls ? SPOOL_TLS_REQUIRED : SPOOL_TLS_USUAL,
    };
}

int send_queue_put(struct courier *c,
                   struct send_message *m,
                   char ret_id[SPOOL_QUEUE_ID_MAX],
                   char *why)
{
    char path[4096], folder[4096], reason[SPOOL_WHY_MAX] = "";
    const struct account *a = courier_account(c);
    if (!a->file)
        return courier_fail(
            why, EX_USAGE,
            "--queue goes not together with --host: the server must be an account of "
            "send.conf, as it is needed later");
    if (!queue_folder(folder, sizeof(folder)) || !queue_path(path, sizeof(path)))
        return no_home(why);
    int r = make_folder(folder);
    if (r < 0)
        return courier_fail(why, EX_CANTCREAT, "%s: %s", folder, strerror(-r));
    struct spool_envelope env = envelope_of(a, m, clock_wall_ms());
    struct spool_source source = {(int64_t)m->text.size, read_text, &m->text};
    struct spool_recipient *to = xcalloc(m->to.n, sizeof(*to));
    for (size_t i = 0; i < m->to.n; i++)
        to[i] = (struct spool_recipient){.address = m->to.list[i], .notify = m->wishes.notify};
    r = spool_deposit(path, &env, to, m->to.n, &source, ret_id, reason);
    free(to);
    if (r == -ENOSPC || r == -EDQUOT || r == -EBUSY)
        return courier_fail(why, EX_TEMPFAIL, "cannot queue the message: %s", reason);
    return r < 0 ? courier_fail(why, EX_CANTCREAT, "cannot queue the message: %s", reason) : EX_OK;
}

/* ---- out ---- */

struct flush {
    struct courier *courier;
    send_queue_told_fn *told;
    void *arg;
    struct spool *spool;
    struct spool_admin *admin;
    struct loop_timer *look;
    struct spool_message *in_hand;
    bool all_done;
    int trouble;            /* -errno of the spool, or of the text */
    struct send_text *text; /* where a body is read to */
};

static void on_offer(void *arg, struct spool_message *m)
{
    struct flush *f = arg;
    f->in_hand = m;
    loop_stop(courier_loop(f->courier));
}

/* Nothing due and nothing on its way: what is left waits for later or for its owner. */
static void on_look(void *arg)
{
    struct flush *f = arg;
    struct spool_stats st;
    int r = spool_admin_stats(f->admin, &st);
    f->trouble = r == -EBUSY ? 0 : r;
    f->all_done = r == 0 && !f->in_hand && st.due == 0 && st.active == 0;
    loop_timer_set(f->look, LOOK_MS);
    if (f->all_done || f->trouble)
        loop_stop(courier_loop(f->courier));
}

static bool on_piece(void *arg, struct str data)
{
    struct flush *f = arg;
    f->trouble = send_text_append(f->text, data.p, data.len);
    return f->trouble == 0;
}

static int fetch(struct flush *f, struct send_text *text)
{
    f->text = text;
    int r = spool_admin_body(f->admin, f->in_hand->queue_id, on_piece, f);
    if (r == 0)
        r = f->trouble;
    f->trouble = 0;
    return r == 0 && (int64_t)text->size != f->in_hand->size ? -EIO : r;
}

/* What was asked for counts from when the message was queued. */
static void unpack_schedule(const struct spool_envelope *env, int64_t now, struct send_wishes *w)
{
    if (env->release_ms > now)
        w->hold_for = (env->release_ms - now + 999) / 1000;
    if (env->by_mode)
        w->deliver_by = (struct smtp_deliver_by){.seconds = (env->deliver_by_ms - now) / 1000,
                                                 .mode = env->by_mode,
                                                 .trace = env->by_trace};
    w->priority = env->priority;
    w->has_priority = env->priority != 0;
    w->requiretls = env->tls == SPOOL_TLS_REQUIRED;
}

static int unpack(struct flush *f, struct send_message *m)
{
    const struct spool_message *sm = f->in_hand;
    m->reverse_path = sm->envelope.reverse_path;
    m->body_is_8bit = sm->envelope.body != SPOOL_BODY_7BIT;
    m->wishes.smtputf8 = sm->envelope.smtputf8;
    m->wishes.envid = sm->envelope.envid;
    m->wishes.ret = sm->envelope.ret;
    m->wishes.notify = sm->n_targets ? sm->targets[0].notify : 0;
    unpack_schedule(&sm->envelope, clock_wall_ms(), &m->wishes);
    int r = 0;
    for (size_t i = 0; r == 0 && i < sm->n_targets; i++)
        r = recipients_add(&m->to, str_of(sm->targets[i].address));
    return r < 0 ? r : fetch(f, &m->text);
}

/* [rfc2852 4] Nobody is asked to deliver what should have come back by now. */
static bool is_too_late(const struct send_message *m)
{
    return m->wishes.deliver_by.mode == 'R' && m->wishes.deliver_by.seconds <= 0;
}

static int send_it(struct courier *c, struct send_message *m, char *why)
{
    static const struct smtp_outcome late = {.code = 554,
                                             .enhanced = "5.4.7",
                                             .text = "the deadline passed in the queue",
                                             .stage = SMTP_STAGE_MAIL,
                                             .ours = true};
    if (!is_too_late(m))
        return courier_send(c, m, why);
    send_message_fail(m, &late);
    return EX_OK;
}

/* Refused for good is not gone: its owner must be able to see it and to decide. */
static enum spool_outcome fate_of(const struct send_result *res)
{
    return res->code / 100 == 2   ? SPOOL_DELIVERED
           : res->code / 100 == 5 ? SPOOL_HELD
                                  : SPOOL_DEFERRED;
}

/* One line for `postern send --list`, in memory of the message. */
static const char *words_of(struct send_message *m, const struct send_result *res)
{
    char line[700];
    (void)snprintf(line, sizeof(line), "%d %s%s%s", res->code, res->enhanced,
                   *res->enhanced ? " " : "", res->text);
    return arena_strdup(&m->to.memory, str_of(res->ours ? res->text : line));
}

static void finish(struct flush *f, struct send_message *m, const char *trouble)
{
    struct spool_message *sm = f->in_hand;
    struct spool_result *results = xcalloc(MAX(sm->n_targets, 1), sizeof(*results));
    for (size_t i = 0; i < sm->n_targets; i++) {
        const struct send_result *res = trouble ? NULL : &m->results[i];
        results[i] = (struct spool_result){
            .outcome = res ? fate_of(res) : SPOOL_DEFERRED,
            .retry_ms = clock_wall_ms() + RETRY_MS,
            .last_reply = res ? words_of(m, res) : trouble,
        };
    }
    struct spool_draft *no_report = NULL;
    spool_finish(f->spool, sm, results, &no_report, NULL);
    f->in_hand = NULL;
    free(results);
    spool_credit(f->spool, 1);
}

static void carry(struct flush *f)
{
    struct courier *c = f->courier;
    struct send_message m;
    char why[COURIER_WHY_MAX] = "", name[SPOOL_QUEUE_ID_MAX];
    send_message_init(&m);
    (void)snprintf(name, sizeof(name), "%s", f->in_hand->queue_id);
    int r = unpack(f, &m);
    int status = r < 0 ? courier_fail(why, EX_IOERR, "cannot read it: %s", strerror(-r)) : EX_OK;
    if (status == EX_OK)
        status = courier_choose(c, f->in_hand->envelope.identity, "", why);
    if (status == EX_OK)
        status = send_it(c, &m, why);
    f->told(f->arg, name, &m, status, why);
    finish(f, &m, status == EX_OK ? NULL : why);
    send_message_done(&m);
}

static int work(struct flush *f, char *why)
{
    int64_t changed = 0;
    int r = spool_admin_apply(f->admin, SPOOL_FLUSH, NULL, &changed);
    if (r < 0)
        return courier_fail(why, EX_IOERR, "cannot read the queue: %s", strerror(-r));
    spool_attach(f->spool, courier_loop(f->courier), on_offer, f);
    spool_credit(f->spool, 1);
    f->look = loop_timer_new(courier_loop(f->courier), on_look, f);
    loop_timer_set(f->look, LOOK_MS);
    while (!f->all_done && !f->trouble) {
        if (f->in_hand)
            carry(f);
        else
            loop_run(courier_loop(f->courier));
    }
    loop_timer_free(f->look);
    if (f->trouble)
        return courier_fail(why, EX_IOERR, "cannot read the queue: %s", strerror(-f->trouble));
    return EX_OK;
}

/* Somebody may be making the file just now; who holds it for long is another flush. */
static int open_spool(const char *path, struct flush *f, char *reason)
{
    struct spool_config cfg = {.database = path};
    int r = spool_open(&cfg, &f->spool, reason);
    for (int i = 0; r == -EBUSY && i < BUSY_TRIES; i++) {
        (void)usleep(BUSY_US);
        r = spool_open(&cfg, &f->spool, reason);
    }
    return r < 0 ? r : spool_admin_open(path, true, &f->admin, reason);
}

int send_queue_flush(struct courier *c, send_queue_told_fn *told, void *arg, char *why)
{
    struct flush f = {.courier = c, .told = told, .arg = arg};
    char path[4096], reason[SPOOL_WHY_MAX] = "";
    if (!queue_path(path, sizeof(path)))
        return no_home(why);
    if (access(path, F_OK) < 0 && errno == ENOENT)
        return EX_OK; /* nothing was ever queued */
    int r = open_spool(path, &f, reason);
    int status = r == -EBUSY ? courier_fail(why, EX_TEMPFAIL,
                                            "another postern send --flush is at work on %s", path)
                 : r < 0     ? courier_fail(why, EX_IOERR, "%s", reason)
                             : work(&f, why);
    spool_admin_close(f.admin);
    spool_close(f.spool);
    return status;
}

/* ---- looking and steering ---- */

int send_queue_steer(enum spool_action action, const char *id, char *why)
{
    char path[4096], reason[SPOOL_WHY_MAX] = "";
    struct spool_admin *a = NULL;
    int64_t changed = 0;
    if (!queue_path(path, sizeof(path)))
        return no_home(why);
    if (access(path, F_OK) < 0)
        return courier_fail(why, EX_NOINPUT, "the queue is empty");
    if (spool_admin_open(path, true, &a, reason) < 0)
        return courier_fail(why, EX_IOERR, "%s", reason);
    int r = spool_admin_apply(a, action, id, &changed);
    spool_admin_close(a);
    if (r == -ENOENT || r == -EINVAL)
        return courier_fail(why, EX_NOINPUT, "there is no message \"%.40s\" in the queue", id);
    return r < 0 ? courier_fail(why, EX_IOERR, "cannot change the queue: %s", strerror(-r)) : EX_OK;
}

int send_queue_open(struct spool_admin **ret, char *why)
{
    char path[4096], reason[SPOOL_WHY_MAX] = "";
    struct spool_admin *a = NULL;
    if (!queue_path(path, sizeof(path)))
        return no_home(why);
    bool none = access(path, F_OK) < 0 && errno == ENOENT; /* what may not be looked at is not empty */
    if (!none && spool_admin_open(path, false, &a, reason) < 0)
        return courier_fail(why, EX_IOERR, "%s", reason);
    *ret = a;
    return EX_OK;
}
