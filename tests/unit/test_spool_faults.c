/* The invariants I1 to I5 of docs/QUEUE.md, held against a device that fails, fills up, loses power, and a
 * process that is killed, at every step of a small day of mail. */
#include "spool_kit.h"

#include "faultfs.h"

#include "spool/sqlite.h"

#include <sys/mman.h>
#include <sys/wait.h>

/* ---- a small day of mail, and what is known of each message from outside ---- */

#define WAVES 4
#define WAVE 5
#define MESSAGES (WAVES * WAVE)
#define RECIPIENTS 2
#define LARGE_SIZE ((int64_t)SPOOL_CHUNK + 5000)

enum fate_bits {
    ACKED = 1,        /* done(0) was called: our 250 */
    REFUSED = 2,      /* done(error) was called: our 4xx */
    DELIVERED = 4,    /* the next hop's 250: the result was handed in after this was set */
    FAILED = 8,       /* the next hop's 550, with a report */
    REPORTED = 16,    /* the report was delivered */
    RESULT_SAFE = 32, /* something queued after the result was acknowledged */
};

struct fate {
    char id[SPOOL_QUEUE_ID_MAX], report[SPOOL_QUEUE_ID_MAX];
    unsigned seed;
    int64_t size;
    _Atomic unsigned bits;
};

struct day {
    struct kit *kit;
    struct fate *fates;
    size_t n_fates;
    unsigned answered, in_flight, submitted;
    bool reliable; /* no fault is to be expected, so a result is stored when handed in */
};

static struct fate *fate_of(struct day *day, const char *id, bool *ret_report)
{
    for (size_t i = 0; i < day->n_fates; i++) {
        *ret_report = strcmp(day->fates[i].report, id) == 0;
        if (*ret_report || strcmp(day->fates[i].id, id) == 0)
            return &day->fates[i];
    }
    fail_msg("an offer of %s, which was never submitted", id);
    return NULL;
}

/* A snapshot may be reading the name in another thread, with this lock held. */
static void set_name(char *to, const char *id)
{
    (void)pthread_mutex_lock(&faultfs.lock);
    (void)snprintf(to, SPOOL_QUEUE_ID_MAX, "%s", id);
    (void)pthread_mutex_unlock(&faultfs.lock);
}

static void set(struct fate *f, unsigned bits)
{
    atomic_fetch_or(&f->bits, bits);
}

static void
hand_in(struct day *day, struct spool_message *m, enum spool_outcome outcome, struct fate *f)
{
    struct spool_result results[RECIPIENTS] = {0};
    for (size_t i = 0; i < m->n_targets; i++)
        results[i] = (struct spool_result){.outcome = outcome, .retry_ms = 1};
    struct spool_draft *report = NULL;
    if (outcome == SPOOL_FAILED) {
        report = spool_begin(day->kit->spool, day->kit->loop);
        set_name(f->report, spool_draft_id(report));
        assert_int_equal(spool_write(report, "it failed", 9), 0);
        set(f, FAILED);
    }
    spool_finish(day->kit->spool, m, results, &report, "sender@example.org");
}

/* A third is delivered, a third fails, a third is deferred once and delivered then. */
static void day_offer(void *arg, struct spool_message *m)
{
    struct day *day = arg;
    bool is_report;
    struct fate *f = fate_of(day, m->queue_id, &is_report);
    unsigned turn = f->seed % 3;
    spool_credit(day->kit->spool, 1);
    if (is_report) {
        set(f, REPORTED);
        hand_in(day, m, SPOOL_DELIVERED, f);
        day->in_flight--;
    } else if (turn == 1) {
        hand_in(day, m, SPOOL_FAILED, f);
    } else if (turn == 2 && m->targets[0].attempts == 0) {
        hand_in(day, m, SPOOL_DEFERRED, f);
    } else {
        set(f, DELIVERED);
        hand_in(day, m, SPOOL_DELIVERED, f);
        day->in_flight--;
    }
    loop_stop(day->kit->loop);
}

struct answer {
    struct day *day;
    struct fate *fate;
    unsigned finished_before[MESSAGES]; /* bits of all at the time of the commit */
};

static void day_done(void *arg, int error)
{
    struct answer *a = arg;
    struct day *day = a->day;
    set(a->fate, error ? REFUSED : ACKED);
    day->answered++;
    day->in_flight += error == 0;
    for (size_t i = 0; day->reliable && !error && i < day->n_fates; i++) {
        unsigned bits = a->finished_before[i];
        if (bits & DELIVERED || bits & REPORTED)
            set(&day->fates[i], RESULT_SAFE);
    }
    free(a);
    loop_stop(day->kit->loop);
}

static void submit(struct day *day, struct fate *f)
{
    struct kit *k = day->kit;
    struct answer *a = xcalloc(1, sizeof(*a));
    *a = (struct answer){.day = day, .fate = f};
    struct spool_draft *d = spool_begin(k->spool, k->loop);
    set_name(f->id, spool_draft_id(d));
    day->submitted++;
    if (kit_write(k, d, f->seed, f->size) < 0) {
        spool_discard(&d);
        day_done(a, -EIO);
        return;
    }
    struct spool_envelope env = {.reverse_path = "sender@example.org",
                                 .received_ms = clock_wall_ms()};
    struct spool_recipient to[RECIPIENTS] = {{.address = "a@example.net"},
                                             {.address = "b@example.net"}};
    for (size_t i = 0; i < day->n_fates && i < MESSAGES; i++)
        a->finished_before[i] = atomic_load(&day->fates[i].bits);
    spool_commit(&d, &env, to, RECIPIENTS, day_done, a);
}

static void day_run_part(struct day *day, size_t from, size_t to)
{
    struct kit *k = day->kit;
    spool_attach(k->spool, k->loop, day_offer, day);
    spool_credit(k->spool, 3);
    for (size_t i = from; i < to; i++) {
        submit(day, &day->fates[i]);
        if (i % WAVE == WAVE - 1)
            KIT_WAIT(k, day->answered == day->submitted);
    }
    KIT_WAIT(k, day->in_flight == 0);
}

static void day_run(struct day *day)
{
    day_run_part(day, 0, day->n_fates);
}

static struct fate *fates_new(void) /* shared with a child */
{
    void *p = mmap(NULL, sizeof(struct fate) * MESSAGES, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(p != MAP_FAILED);
    struct fate *fates = p;
    for (unsigned i = 0; i < MESSAGES; i++) {
        fates[i].seed = i;
        fates[i].size = i % WAVE == 3 ? LARGE_SIZE : 700 * (int64_t)i;
    }
    return fates;
}

static void fates_free(struct fate *fates)
{
    (void)munmap(fates, sizeof(struct fate) * MESSAGES);
}

/* ---- what a start finds afterwards, held against what is known ---- */

struct found {
    const char *id;
    unsigned seed;
    size_t recipients;
    int64_t size, at;
    bool intact;
};

static bool found_row(void *arg, const struct spool_row *r)
{
    struct found *f = arg;
    f->recipients++;
    f->size = r->size;
    f->intact = f->intact && (r->state == SPOOL_STATE_DUE || r->state == SPOOL_STATE_DEFERRED);
    return true;
}

static bool found_piece(void *arg, struct str data)
{
    struct found *f = arg;
    for (size_t i = 0; i < data.len; i++, f->at++)
        f->intact = f->intact && data.p[i] == kit_octet(f->seed, f->at);
    return true;
}

static struct found find(struct spool_admin *a, const char *id, unsigned seed, bool is_report)
{
    struct found f = {.id = id, .seed = seed, .intact = true};
    if (!id[0] || spool_admin_list(a, id, found_row, &f) == -ENOENT)
        return f;
    int r = is_report ? 0 : spool_admin_body(a, id, found_piece, &f);
    f.intact = f.intact && r == 0 && (is_report || f.at == f.size);
    return f;
}

#define HOLD_TO(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail_msg("%s, message %zu (bits %u, found %zu and %zu): %s", when, i, bits,            \
                     message.recipients, report.recipients, #condition);                           \
    } while (0)

static void
hold_to_invariants(struct spool_admin *a, const struct fate *fates, size_t n, const char *when)
{
    for (size_t i = 0; i < n; i++) {
        unsigned bits = atomic_load(&fates[i].bits);
        struct found message = find(a, fates[i].id, fates[i].seed, false);
        struct found report = find(a, fates[i].report, 0, true);
        bool is_there = message.recipients > 0, is_reported = report.recipients > 0;
        HOLD_TO(!is_there || (message.intact && message.recipients == RECIPIENTS &&
                              message.size == fates[i].size));
        HOLD_TO(!is_reported || report.recipients == 1);
        if ((bits & ACKED) && !(bits & (DELIVERED | FAILED)))
            HOLD_TO(is_there); /* I1 */
        if (bits & REFUSED)
            HOLD_TO(!is_there); /* I2 */
        if (bits & RESULT_SAFE)
            HOLD_TO(!is_there); /* I3 */
        if ((bits & FAILED) && !(bits & REPORTED))
            HOLD_TO(is_there != is_reported); /* I4 */
        if ((bits & FAILED) && (bits & REPORTED))
            HOLD_TO(!is_there); /* I4 */
    }
}

static void check_file(const char *path, const char *when)
{
    struct db *db = NULL;
    char why[200] = "";
    int64_t n = -1;
    check(when, db_open(path, DB_READ, 1000, &db, why, sizeof(why)) == 0);
    static const char *const none[] = {
        "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
        "SELECT count(*) FROM chunk WHERE message NOT IN (SELECT id FROM message)",
        "SELECT count(*) FROM recipient WHERE message NOT IN (SELECT id FROM message)",
        "SELECT count(*) FROM message WHERE id NOT IN (SELECT message FROM recipient)",
        "SELECT count(*) FROM recipient WHERE active = 1",
    };
    for (size_t i = 0; i < ARRAY_LEN(none); i++) {
        check(none[i], db_number(db, none[i], &n) == 0);
        if (n != 0)
            fail_msg("%s: %lld rows of %s", when, (long long)n, none[i]);
    }
    db_close(db);
}

/* Starts a server on what is left in `dir`, ends it, and looks. */
static void check_after(const char *dir, const struct fate *fates, size_t n, const char *when)
{
    char path[256], why[SPOOL_WHY_MAX] = "";
    (void)snprintf(path, sizeof(path), "%s/spool.db", dir);
    struct spool *sp = NULL;
    struct spool_config cfg = {.database = path, .min_free_bytes = 1};
    if (spool_open(&cfg, &sp, why) < 0)
        fail_msg("%s: %s", when, why);
    spool_close(sp);
    struct spool_admin *a = NULL;
    if (spool_admin_open(path, false, &a, why) < 0)
        fail_msg("%s: %s", when, why);
    hold_to_invariants(a, fates, n, when);
    spool_admin_close(a);
    check_file(path, when);
}

/* ---- power loss ---- */

#define SNAPSHOTS_MAX 400

struct snapshots {
    struct day *day;
    const char *dir;
    long from, every;
    size_t n;
    long events[SNAPSHOTS_MAX];
    struct fate fates[SNAPSHOTS_MAX][MESSAGES];
};

static void copy_fates(struct fate *to, const struct fate *from, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        /* The bits first: what they say was durable before they were set. */
        unsigned bits = atomic_load(&from[i].bits);
        to[i] = (struct fate){.seed = from[i].seed, .size = from[i].size};
        memcpy(to[i].id, from[i].id, sizeof(to[i].id));
        memcpy(to[i].report, from[i].report, sizeof(to[i].report));
        atomic_init(&to[i].bits, bits);
    }
}

static void snapshot_dir(const struct snapshots *s, size_t i, char *out, size_t size)
{
    (void)snprintf(out, size, "%s/after-%zu", s->dir, i);
}

static void lose_power(struct snapshots *s, long event, int survive)
{
    if (s->n == SNAPSHOTS_MAX)
        return;
    char dir[128];
    snapshot_dir(s, s->n, dir, sizeof(dir));
    if (mkdir(dir, 0700) < 0)
        abort();
    copy_fates(s->fates[s->n], s->day->fates, s->day->n_fates);
    faultfs_power_loss(dir, survive, (unsigned)s->n);
    s->events[s->n++] = event;
}

/* In whatever thread writes.  Of what was not synced nothing is left, all of it, most and little. */
static void take_snapshot(void *arg, long event)
{
    static const int survive[] = {0, 100, 90, 50, 10};
    struct snapshots *s = arg;
    if (event < s->from || event % s->every)
        return;
    for (size_t i = 0; i < ARRAY_LEN(survive); i++)
        lose_power(s, event, survive[i]);
}

static void check_snapshots(struct snapshots *s)
{
    faultfs_reset();
    for (size_t i = 0; i < s->n; i++) {
        char dir[128], when[64];
        snapshot_dir(s, i, dir, sizeof(dir));
        (void)snprintf(when, sizeof(when), "power lost at event %ld", s->events[i]);
        check_after(dir, s->fates[i], s->day->n_fates, when);
        kit_remove_dir(dir);
        faultfs_reset();
    }
}

static void power_loss_loses_nothing_promised(void **state)
{
    struct kit *k = *state;
    struct day day = {.kit = k, .fates = fates_new(), .n_fates = MESSAGES, .reliable = true};
    struct snapshots *s = xcalloc(1, sizeof(*s));
    *s = (struct snapshots){.day = &day, .dir = k->dir, .every = 1};
    k->passive = true;
    faultfs.track = true;
    kit_open(k, NULL);
    s->from = faultfs.events + 1;
    faultfs.on_event = take_snapshot;
    faultfs.arg = s;
    day_run(&day);
    (void)pthread_mutex_lock(&faultfs.lock);
    faultfs.on_event = NULL;
    (void)pthread_mutex_unlock(&faultfs.lock);
    kit_close(k);
    assert_in_range(s->n, 50, SNAPSHOTS_MAX);
    check_snapshots(s);
    check_after(k->dir, day.fates, day.n_fates, "at the end of the day");
    fates_free(day.fates);
    free(s);
}

static size_t size_of(const struct kit *k, const char *end)
{
    char name[128];
    struct stat st;
    (void)snprintf(name, sizeof(name), "%s%s", k->path, end);
    assert_int_equal(stat(name, &st), 0);
    return (size_t)st.st_size;
}

static void finish_checkpoint(struct kit *k)
{
    struct db *db = NULL;
    char why[200] = "";
    assert_int_equal(db_open(k->path, DB_WRITE, 1000, &db, why, sizeof(why)), 0);
    assert_int_equal(db_exec(db, "PRAGMA synchronous = FULL"), 0);
    int r;
    while ((r = db_checkpoint(db)) == -EBUSY) /* the checkpointer's own is not over */
        (void)sched_yield();
    assert_int_equal(r, 0);
    db_close(db);
}

/* The same while the log is being carried into the database. */
static void power_loss_during_a_checkpoint(void **state)
{
    struct kit *k = *state;
    struct day day = {.kit = k, .fates = fates_new(), .n_fates = MESSAGES, .reliable = true};
    struct snapshots *s = xcalloc(1, sizeof(*s));
    *s = (struct snapshots){.day = &day, .dir = k->dir, .every = 97};
    k->passive = true;
    faultfs.track = true;
    kit_open(k, NULL);
    while (size_of(k, "-wal") < 1000 * 4120) /* 24 pages short of what makes the checkpointer run */
        assert_int_equal(kit_accept(k, 1, 50000, 1, NULL), 0);
    struct spool_admin *a = NULL;
    char why[SPOOL_WHY_MAX];
    int64_t changed = 0;
    assert_int_equal(spool_admin_open(k->path, true, &a, why), 0);
    assert_int_equal(spool_admin_apply(a, SPOOL_HOLD, NULL, &changed), 0);
    spool_admin_close(a);
    size_t before = size_of(k, "");
    s->from = faultfs.events + 1;
    faultfs.on_event = take_snapshot;
    faultfs.arg = s;
    day_run_part(&day, 0, MESSAGES / 2);
    while (size_of(k, "") < before + 1024 * 1024) /* it runs, while snapshots are taken */
        (void)sched_yield();
    finish_checkpoint(k); /* the log starts over with the next commit */
    day_run_part(&day, MESSAGES / 2, MESSAGES);
    (void)pthread_mutex_lock(&faultfs.lock);
    faultfs.on_event = NULL;
    (void)pthread_mutex_unlock(&faultfs.lock);
    kit_close(k);
    check_snapshots(s);
    fates_free(day.fates);
    free(s);
}

/* ---- a killed process ---- */

static void child_day(struct kit *k, struct fate *fates, long kill_at)
{
    struct day day = {.kit = k, .fates = fates, .n_fates = MESSAGES, .reliable = true};
    k->passive = true;
    faultfs.kill_at = kill_at;
    kit_open(k, NULL);
    day_run(&day);
    kit_close(k);
    _exit(0);
}

static void a_killed_process_loses_nothing_promised(void **state)
{
    (void)state;
    bool untouched = false;
    unsigned killed = 0;
    for (long at = 1; !untouched; at += 2) {
        struct kit *k = kit_new();
        struct fate *fates = fates_new();
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            child_day(k, fates, at);
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        untouched = WIFEXITED(status) && WEXITSTATUS(status) == 0;
        check("killed by us", untouched || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
        killed += !untouched;
        char when[64];
        (void)snprintf(when, sizeof(when), "killed at event %ld", at);
        check_after(k->dir, fates, MESSAGES, when);
        faultfs_reset();
        fates_free(fates);
        kit_free(k);
    }
    assert_in_range(killed, 10, 1000);
}

/* ---- a device that fails ---- */

/* One write or sync fails, each in its turn: clients may see 4xx, but nothing that was promised is lost, nothing that
 * was refused is delivered, and the day comes to its end on the same connection. */
static void fail_each_in_turn(enum faultfs_kind kind, long count, long every, int code)
{
    long total = every + 1;
    for (long at = 1; at < total; at += every) {
        struct kit *k = kit_new();
        struct day day = {.kit = k, .fates = fates_new(), .n_fates = MESSAGES};
        k->passive = true;
        faultfs_reset();
        kit_open(k, NULL);
        (void)pthread_mutex_lock(&faultfs.lock);
        long before = faultfs.events;
        faultfs.fail_kind = kind;
        faultfs.fail_at = before + at;
        faultfs.fail_count = count;
        faultfs.fail_code = code;
        (void)pthread_mutex_unlock(&faultfs.lock);
        day_run(&day);
        total = faultfs_count(&faultfs.events) - before;
        kit_close(k);
        char when[64];
        (void)snprintf(when, sizeof(when), "event %ld failed", at);
        for (size_t i = 0; i < MESSAGES; i++) {
            unsigned bits = atomic_load(&day.fates[i].bits);
            check(when, !(bits & ACKED) != !(bits & REFUSED));
            check(when, !(bits & REFUSED) || !(bits & (DELIVERED | FAILED)));
            check(when, !(bits & ACKED) || bits & (DELIVERED | REPORTED));
        }
        check_after(k->dir, day.fates, MESSAGES, when);
        faultfs_reset();
        fates_free(day.fates);
        kit_free(k);
    }
}

static void every_write_may_fail(void **state)
{
    (void)state;
    fail_each_in_turn(FAULTFS_WRITE, 1, 2, 0);
}

static void every_write_may_find_the_disk_full(void **state)
{
    (void)state;
    fail_each_in_turn(FAULTFS_WRITE, 1, 2, SQLITE_FULL);
}

static void every_sync_may_fail(void **state)
{
    (void)state;
    fail_each_in_turn(FAULTFS_SYNC, 1, 2, 0);
}

/* Long enough for refusals, and for results that have to be kept. */
static void a_device_may_fail_for_a_while(void **state)
{
    (void)state;
    fail_each_in_turn(FAULTFS_ANY, 7, 97, 0);
}

/* A commit whose sync failed stands whole in the log.  When the power fails right after its client was told 451,
 * it must not come back to life (I2). */
static void a_refused_commit_does_not_come_back_to_life(void **state)
{
    struct kit *k = *state;
    struct day day = {.kit = k, .fates = fates_new(), .n_fates = 1};
    k->passive = true;
    faultfs.track = true;
    kit_open(k, NULL);
    assert_int_equal(kit_accept(k, 1, 100, 1, NULL), 0);
    faultfs_fail(FAULTFS_SYNC, 3, 0); /* with its group, the scrub after that, and alone */
    day.fates[0].size = 100;
    submit(&day, &day.fates[0]);
    KIT_WAIT(k, day.answered == 1);
    assert_int_equal(atomic_load(&day.fates[0].bits), REFUSED);
    char dir[128];
    (void)snprintf(dir, sizeof(dir), "%s/after", k->dir);
    for (int survive = 0; survive <= 100; survive += 50) {
        assert_int_equal(mkdir(dir, 0700), 0);
        (void)pthread_mutex_lock(&faultfs.lock);
        faultfs_power_loss(dir, survive, 1);
        (void)pthread_mutex_unlock(&faultfs.lock);
        check_after(dir, day.fates, 1, "power lost after 451");
        kit_remove_dir(dir);
        faultfs.n_disks = 2; /* those of the snapshot are forgotten */
    }
    kit_close(k);
    fates_free(day.fates);
}

/* I5, and I3: while the disk is full nothing is accepted and no result is lost; the message stays claimed, so that
 * nobody delivers it again; when there is room everything goes on. */
static void a_full_disk_keeps_results_until_there_is_room(void **state)
{
    struct kit *k = *state;
    kit_open(k, NULL);
    spool_credit(k->spool, 8);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(kit_accept(k, i, 3000, 1, NULL), 0);
    KIT_WAIT(k, k->n_offers == 4);
    faultfs_fail(FAULTFS_WRITE, 1000000, SQLITE_FULL);
    for (unsigned i = 0; i < 3; i++)
        kit_finish_all(k, kit_take_offer(k), SPOOL_DELIVERED, 0);
    struct spool_message *m = kit_take_offer(k);
    struct spool_draft *report = spool_begin(k->spool, k->loop);
    assert_int_equal(spool_write(report, "it failed", 9), 0);
    struct spool_result failed = {.outcome = SPOOL_FAILED};
    spool_finish(k->spool, m, &failed, &report, "sender@example.org");
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(kit_accept(k, i, 3000, 1, NULL), -ENOSPC);
        assert_int_equal(kit_accept(k, i, 200000, 1, NULL), -ENOSPC);
    }
    assert_int_equal(kit_stats(k).active, 4);
    assert_int_equal(kit_stats(k).messages, 4);
    assert_int_equal(k->offers_seen, 4);
    faultfs_fail(FAULTFS_WRITE, 0, 0);
    m = kit_take_offer(k); /* the report, and nothing else */
    assert_string_equal(m->envelope.reverse_path, "");
    kit_finish_all(k, m, SPOOL_DELIVERED, 0);
    assert_int_equal(kit_accept(k, 9, 3000, 1, NULL), 0);
    kit_finish_all(k, kit_take_offer(k), SPOOL_DELIVERED, 0);
    kit_settle(k);
    assert_int_equal(kit_stats(k).messages, 0);
    assert_int_equal(k->offers_seen, 6);
}

/* A report that can never be stored must not take its recipient with it (I4). */
static void a_lost_report_defers_its_recipient(void **state)
{
    struct kit *k = *state;
    char id[SPOOL_QUEUE_ID_MAX];
    kit_open(k, NULL);
    spool_credit(k->spool, 8);
    assert_int_equal(kit_accept(k, 1, 100, 2, id), 0);
    struct spool_message *m = kit_take_offer(k);
    struct spool_draft *report = spool_begin(k->spool, k->loop);
    static char text[SPOOL_CHUNK + 10];
    assert_int_equal(spool_write(report, text, sizeof(text)), 0);
    faultfs_fail(FAULTFS_WRITE, 3,
                 SQLITE_FULL); /* the group, the scrub after it, its chunk alone */
    struct kit_commit c;
    kit_submit_to(k, &c, 2, 100, 1, NULL);
    KIT_WAIT(k, c.done);
    faultfs_fail(FAULTFS_WRITE, 0, 0);
    struct spool_result results[2] = {
        {.outcome = SPOOL_DELIVERED        },
        { .outcome = SPOOL_FAILED, .last_reply = "550 5.1.1 unknown"},
    };
    spool_finish(k->spool, m, results, &report, "sender@example.org");
    assert_null(report);
    kit_settle(k);
    struct spool_stats st = kit_stats(k);
    assert_int_equal(st.deferred, 1);
    assert_int_equal(st.messages, 1 + (c.error == 0));
}

static void a_close_with_a_broken_disk_comes_to_an_end(void **state)
{
    struct kit *k = *state;
    kit_open(k, NULL);
    spool_credit(k->spool, 8);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(kit_accept(k, i, 100, 1, NULL), 0);
    KIT_WAIT(k, k->n_offers == 3);
    faultfs_fail(FAULTFS_ANY, 1000000, 0);
    kit_finish_all(k, kit_take_offer(k), SPOOL_DELIVERED, 0);
    kit_finish_all(k, kit_take_offer(k), SPOOL_DEFERRED, 5);
    struct kit_commit c;
    kit_submit_to(k, &c, 1, 200000, 1, NULL);
    kit_close(k);
    faultfs_fail(FAULTFS_ANY, 0, 0);
    kit_open(k, NULL); /* what could not be stored is tried again, as after a crash */
    assert_int_equal(kit_stats(k).messages, 3);
}

/* ---- groups ---- */

/* What comes in while a group is being synced is the next group: one sync for all of it. */
static void what_waits_is_one_group(void **state)
{
    struct kit *k = *state;
    kit_open(k, NULL);
    assert_int_equal(kit_accept(k, 0, 100, 1, NULL), 0);
    long before = faultfs_count(&faultfs.syncs);
    assert_int_equal(kit_accept(k, 0, 100, 1, NULL), 0);
    assert_int_equal(faultfs_count(&faultfs.syncs) - before, 1); /* alone, it waits for nobody */
    faultfs_set_gate(true);
    static struct kit_commit c[201];
    kit_submit_to(k, &c[0], 0, 100, 1, NULL);
    while (faultfs_count(&faultfs.waiting) == 0)
        (void)sched_yield();
    before = faultfs_count(&faultfs.syncs);
    for (unsigned i = 1; i < ARRAY_LEN(c); i++)
        kit_submit_to(k, &c[i], i, 4096, 1, NULL);
    assert_false(c[0].done); /* I1: not before the sync */
    faultfs_set_gate(false);
    for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
        KIT_WAIT(k, c[i].done);
        assert_int_equal(c[i].error, 0);
    }
    assert_int_equal(faultfs_count(&faultfs.syncs) - before, 1);
    assert_int_equal(kit_stats(k).messages, ARRAY_LEN(c) + 2);
}

/* One that does not fit does not take its group with it. */
static void one_that_cannot_be_stored_fails_alone(void **state)
{
    struct kit *k = *state;
    kit_open(k, &(struct spool_config){.max_bytes = 256 * 1024});
    faultfs_set_gate(true);
    static struct kit_commit c[12];
    kit_submit_to(k, &c[0], 0, 100, 1, NULL);
    while (faultfs_count(&faultfs.waiting) == 0)
        (void)sched_yield();
    for (unsigned i = 1; i < ARRAY_LEN(c); i++)
        kit_submit_to(k, &c[i], i, i % 2 ? 300 : 60000, 1, NULL);
    faultfs_set_gate(false);
    unsigned refused = 0;
    for (unsigned i = 0; i < ARRAY_LEN(c); i++) {
        KIT_WAIT(k, c[i].done);
        check("small ones fit", i % 2 == 0 || c[i].error == 0);
        check("for want of room", c[i].error == 0 || c[i].error == -ENOSPC);
        refused += c[i].error != 0;
    }
    assert_in_range(refused, 1, 4);
    assert_int_equal(kit_stats(k).messages, ARRAY_LEN(c) - refused);
}

/* The log does not grow with the traffic, even when commits never pause. */
static void the_log_is_bounded(void **state)
{
    struct kit *k = *state;
    struct kit_commit c[16];
    kit_open(k, NULL);
    spool_credit(k->spool, 1000);
    size_t most = 0;
    for (unsigned i = 0; i < 80; i++) {
        for (unsigned j = 0; j < ARRAY_LEN(c); j++)
            kit_submit_to(k, &c[j], j, 60000, 1, NULL);
        for (unsigned j = 0; j < ARRAY_LEN(c); j++)
            KIT_WAIT(k, c[j].done);
        while (k->n_offers)
            kit_finish_all(k, kit_take_offer(k), SPOOL_DELIVERED, 0);
        most = MAX(most, size_of(k, "-wal"));
        spool_credit(k->spool, ARRAY_LEN(c));
    }
    assert_in_range(most, 1024 * 1024, 40 * 1024 * 1024); /* of 75 MiB that went through it */
}

static int setup(void **state)
{
    faultfs_reset();
    return kit_setup_closed(state);
}

static int teardown(void **state)
{
    faultfs_set_gate(false);
    int r = kit_teardown(state);
    faultfs_reset();
    return r;
}

#define WITH_DIRECTORY(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    faultfs_install();
    /* What is durable here is what the test says, so a file system in memory does as well, and faster. */
    if (access("/dev/shm", W_OK) == 0)
        (void)setenv("TMPDIR", "/dev/shm", 0);
    const struct CMUnitTest tests[] = {
        WITH_DIRECTORY(power_loss_loses_nothing_promised),
        WITH_DIRECTORY(power_loss_during_a_checkpoint),
        cmocka_unit_test(a_killed_process_loses_nothing_promised),
        cmocka_unit_test(every_write_may_fail),
        cmocka_unit_test(every_write_may_find_the_disk_full),
        cmocka_unit_test(every_sync_may_fail),
        cmocka_unit_test(a_device_may_fail_for_a_while),
        WITH_DIRECTORY(a_refused_commit_does_not_come_back_to_life),
        WITH_DIRECTORY(a_full_disk_keeps_results_until_there_is_room),
        WITH_DIRECTORY(a_lost_report_defers_its_recipient),
        WITH_DIRECTORY(a_close_with_a_broken_disk_comes_to_an_end),
        WITH_DIRECTORY(what_waits_is_one_group),
        WITH_DIRECTORY(one_that_cannot_be_stored_fails_alone),
        WITH_DIRECTORY(the_log_is_bounded),
    };
    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
