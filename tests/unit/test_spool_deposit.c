/* A message put into a spool by a process that does not run it, and deliveries that keep what was refused. */
#include "spool_kit.h"

struct body {
    unsigned seed;
    int64_t fails_at; /* -EIO from there on; 0: never */
};

static ssize_t read_body(void *arg, int64_t offset, char *to, size_t max)
{
    const struct body *b = arg;
    if (b->fails_at && offset >= b->fails_at)
        return -EIO;
    size_t n = MIN(max, (size_t)5000); /* in pieces that fit nothing */
    for (size_t i = 0; i < n; i++)
        to[i] = kit_octet(b->seed, offset + (int64_t)i);
    return (ssize_t)n;
}

static int deposit(struct kit *k, struct body *b, int64_t size, char *id)
{
    struct spool_envelope env = {
        .reverse_path = "alice@example.org",
        .identity = "work",
        .envid = "x",
        .ret = 'H',
        .body = SPOOL_BODY_8BITMIME,
        .received_ms = clock_wall_ms(),
    };
    struct spool_recipient to[] = {
        {.address = "bob@example.org", .notify = SPOOL_NOTIFY_NEVER},
        {.address = "carol@example.org"                           },
    };
    struct spool_source source = {size, read_body, b};
    char why[SPOOL_WHY_MAX] = "";
    int r = spool_deposit(k->path, &env, to, ARRAY_LEN(to), &source, id, why);
    check(why, (r < 0) == (why[0] != '\0'));
    return r;
}

struct compare {
    unsigned seed;
    int64_t size;
    bool same;
};

static bool compare_piece(void *arg, struct str data)
{
    struct compare *c = arg;
    for (size_t i = 0; i < data.len; i++)
        c->same = c->same && data.p[i] == kit_octet(c->seed, c->size + (int64_t)i);
    c->size += (int64_t)data.len;
    return true;
}

static void check_body(struct kit *k, const char *id, unsigned seed, int64_t size)
{
    struct spool_admin *a = NULL;
    struct compare c = {seed, 0, true};
    char why[SPOOL_WHY_MAX] = "";
    assert_int_equal(spool_admin_open(k->path, false, &a, why), 0);
    assert_int_equal(spool_admin_body(a, id, compare_piece, &c), 0);
    spool_admin_close(a);
    assert_int_equal(c.size, size);
    assert_true(c.same);
}

static void into_a_spool_that_does_not_exist(void **state)
{
    struct kit *k = *state;
    static const int64_t sizes[] = {0, 1, SPOOL_CHUNK, SPOOL_CHUNK + 1, 3 * SPOOL_CHUNK, 1000000};
    char id[ARRAY_LEN(sizes)][SPOOL_QUEUE_ID_MAX];
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++)
        assert_int_equal(deposit(k, &(struct body){.seed = i}, sizes[i], id[i]), 0);
    assert_int_equal(kit_stats(k).messages, ARRAY_LEN(sizes));
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++)
        check_body(k, id[i], i, sizes[i]);
    struct stat st;
    assert_int_equal(stat(k->path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

/* Whoever runs the spool hears of it by itself, with everything the envelope says. */
static void beside_the_one_who_runs_it(void **state)
{
    struct kit *k = *state;
    char id[SPOOL_QUEUE_ID_MAX], large[SPOOL_QUEUE_ID_MAX];
    kit_open(k, NULL);
    spool_credit(k->spool, 2);
    assert_int_equal(deposit(k, &(struct body){.seed = 7}, 1000, id), 0);
    struct spool_message *m = kit_take_offer(k);
    assert_string_equal(m->queue_id, id);
    assert_string_equal(m->envelope.reverse_path, "alice@example.org");
    assert_string_equal(m->envelope.identity, "work");
    assert_string_equal(m->envelope.envid, "x");
    assert_int_equal(m->envelope.ret, 'H');
    assert_int_equal(m->envelope.body, SPOOL_BODY_8BITMIME);
    assert_int_equal(m->n_targets, 2);
    assert_string_equal(m->targets[0].address, "bob@example.org");
    assert_int_equal(m->targets[0].notify, SPOOL_NOTIFY_NEVER);
    assert_int_equal(m->size, 1000);
    kit_finish_all(k, m, SPOOL_DELIVERED, 0);
    assert_int_equal(deposit(k, &(struct body){.seed = 8}, 200000, large), 0);
    m = kit_take_offer(k);
    assert_string_equal(m->queue_id, large);
    check_body(k, large, 8, 200000);
    kit_finish_all(k, m, SPOOL_DELIVERED, 0);
    kit_settle(k);
    assert_int_equal(kit_stats(k).messages, 0);
}

/* I2: what could not be read to its end is not there, not even in part. */
static void a_source_that_fails_leaves_nothing(void **state)
{
    struct kit *k = *state;
    static const int64_t fails[] = {1, 5000, 70000, 150000};
    char id[SPOOL_QUEUE_ID_MAX];
    for (size_t i = 0; i < ARRAY_LEN(fails); i++)
        assert_int_equal(deposit(k, &(struct body){.seed = 1, .fails_at = fails[i]}, 200000, id),
                         -EIO);
    assert_int_equal(kit_stats(k).messages, 0);
    assert_int_equal(kit_stats(k).recipients, 0);
    assert_int_equal(deposit(k, &(struct body){.seed = 2}, 200000, id), 0);
    check_body(k, id, 2, 200000);
    kit_open(k, NULL); /* the start, which sweeps, finds nothing to object to */
    check_body(k, id, 2, 200000);
}

static void a_foreign_file_is_refused(void **state)
{
    struct kit *k = *state;
    char id[SPOOL_QUEUE_ID_MAX];
    FILE *f = fopen(k->path, "w");
    assert_non_null(f);
    assert_true(fputs("this is a letter to my aunt, not a database", f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_true(deposit(k, &(struct body){.seed = 1}, 10, id) < 0);
}

/* SPOOL_HELD: one recipient is delivered, the refused one stays with its reason, and nobody tries it. */
static void what_was_refused_is_kept(void **state)
{
    struct kit *k = *state;
    char id[SPOOL_QUEUE_ID_MAX];
    assert_int_equal(deposit(k, &(struct body){.seed = 3}, 100, id), 0);
    kit_open(k, NULL);
    spool_credit(k->spool, 5);
    struct spool_result results[] = {
        {.outcome = SPOOL_DELIVERED                  },
        { .outcome = SPOOL_HELD, .last_reply = "550 5.1.1 No such recipient"},
    };
    spool_finish(k->spool, kit_take_offer(k), results, NULL, NULL);
    kit_settle(k);
    struct spool_stats st = kit_stats(k);
    assert_int_equal(st.recipients, 1);
    assert_int_equal(st.held, 1);
    assert_int_equal(k->n_offers, 0);
    kit_close(k);
    kit_open(k, NULL); /* a start does not forget it */
    assert_int_equal(kit_stats(k).held, 1);
    struct spool_admin *a = NULL;
    char why[SPOOL_WHY_MAX];
    int64_t changed = 0;
    spool_credit(k->spool, 5);
    assert_int_equal(spool_admin_open(k->path, true, &a, why), 0);
    assert_int_equal(spool_admin_apply(a, SPOOL_RELEASE, id, &changed), 0);
    spool_admin_close(a);
    struct spool_message *m = kit_take_offer(k);
    assert_int_equal(m->n_targets, 1);
    assert_string_equal(m->targets[0].address, "carol@example.org");
    assert_int_equal(m->targets[0].attempts, 1);
    kit_finish_all(k, m, SPOOL_DELIVERED, 0);
    kit_settle(k);
    assert_int_equal(kit_stats(k).messages, 0);
}

int main(void)
{
#define WITH_CLOSED(f) cmocka_unit_test_setup_teardown(f, kit_setup_closed, kit_teardown)
    const struct CMUnitTest tests[] = {
        WITH_CLOSED(into_a_spool_that_does_not_exist),   WITH_CLOSED(beside_the_one_who_runs_it),
        WITH_CLOSED(a_source_that_fails_leaves_nothing), WITH_CLOSED(a_foreign_file_is_refused),
        WITH_CLOSED(what_was_refused_is_kept),
    };
    log_set_level(LOG_LEVEL_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
