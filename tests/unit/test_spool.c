#include "spool_kit.h"

#include "spool/id.h"
#include "spool/sqlite.h"

#include <fcntl.h>
#include <pthread.h>

/* ---- names ---- */

static void ids_sort_as_they_were_given(void **state)
{
    (void)state;
    struct id_source s;
    id_source_init(&s, 0);
    char last[ID_TEXT_LEN + 1] = "";
    int64_t now = 1790000000000;
    for (int i = 0; i < 1000; i++) {
        int64_t id =
            id_next(&s, now + i / 100 - (i == 500 ? 100000 : 0)); /* the clock is set back once */
        char text[ID_TEXT_LEN + 1];
        id_format(id, text);
        assert_int_equal(strlen(text), ID_TEXT_LEN);
        assert_true(strcmp(last, text) < 0);
        int64_t back = 0;
        assert_int_equal(id_parse(text, &back), 0);
        assert_true(back == id);
        memcpy(last, text, sizeof(last));
    }
}

static void an_id_is_parsed_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        int want;
    } rows[] = {
        {"good",     "1mf3k9q0zabc",  0      },
        {"short",    "1mf3k9q0zab",   -EINVAL},
        {"long",     "1mf3k9q0zabcd", -EINVAL},
        {"upper",    "1MF3K9Q0ZABC",  -EINVAL},
        {"not used", "1mf3k9q0zabo",  -EINVAL},
        {"quote",    "1mf3k9q0'abc",  -EINVAL},
        {"empty",    "",              -EINVAL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t id = 7;
        check(rows[i].name, id_parse(rows[i].text, &id) == rows[i].want);
        check(rows[i].name, (id == 7) == (rows[i].want != 0));
    }
}

/* ---- the way of a message ---- */

static void a_message_is_accepted_offered_and_finished(void **state)
{
    struct kit *k = *state;
    spool_credit(k->spool, 1);
    char id[SPOOL_QUEUE_ID_MAX];
    assert_int_equal(kit_accept(k, 1, 4096, 2, id), 0);
    struct spool_message *m = kit_take_offer(k);
    assert_string_equal(m->queue_id, id);
    assert_string_equal(m->envelope.reverse_path, "sender@example.org");
    assert_string_equal(m->envelope.session, "s1");
    assert_null(m->envelope.envid);
    assert_int_equal(m->n_targets, 2);
    assert_string_equal(m->targets[1].address, "rcpt1@next.example.net");
    assert_int_equal(m->targets[1].attempts, 0);
    assert_int_equal(m->size, 4096);
    assert_int_equal(m->body.len, 4096);
    for (size_t i = 0; i < m->body.len; i++)
        assert_int_equal(m->body.p[i], kit_octet(1, (int64_t)i));
    assert_int_equal(kit_stats(k).active, 2);
    kit_finish_all(k, m, SPOOL_DELIVERED, 0);
    kit_settle(k);
    struct spool_stats st = kit_stats(k);
    assert_int_equal(st.messages, 0);
    assert_int_equal(st.recipients, 0);
}

/* Every field of the envelope comes back from disk as it went in, and absent ones stay absent. */
static void an_envelope_survives_the_disk(void **state)
{
    struct kit *k = *state;
    struct kit_commit c = {.kit = k};
    struct spool_draft *d = spool_begin(k->spool, k->loop);
    struct spool_envelope env = {
        .reverse_path = "",
        .auth = "<>",
        .envid = "QQ+2B1",
        .ret = 'H',
        .body = SPOOL_BODY_BINARYMIME,
        .smtputf8 = true,
        .received_ms = 1700000000123,
        .release_ms = 1700000001000,
        .deliver_by_ms = 1700000009000,
        .by_mode = 'R',
        .by_trace = true,
        .priority = -9,
        .tls = SPOOL_TLS_REQUIRED,
    };
    struct spool_recipient to = {
        .address = "d\xc3\xb6rte@example.net",
        .orcpt = "utf-8;d\xc3\xb6rte@example.net",
        .notify = SPOOL_NOTIFY_SUCCESS | SPOOL_NOTIFY_DELAY,
    };
    spool_commit(&d, &env, &to, 1, kit_done, &c);
    assert_null(d);
    KIT_WAIT(k, c.done);
    assert_int_equal(c.error, 0);
    kit_close(k);
    kit_open(k, NULL);
    spool_credit(k->spool, 1);
    struct spool_message *m = kit_take_offer(k);
    assert_string_equal(m->envelope.reverse_path, "");
    assert_null(m->envelope.identity);
    assert_null(m->envelope.session);
    assert_string_equal(m->envelope.auth, "<>");
    assert_string_equal(m->envelope.envid, "QQ+2B1");
    assert_int_equal(m->envelope.ret, 'H');
    assert_int_equal(m->envelope.body, SPOOL_BODY_BINARYMIME);
    assert_true(m->envelope.smtputf8);
    assert_true(m->envelope.received_ms == 1700000000123);
    assert_true(m->envelope.release_ms == 1700000001000);
    assert_true(m->envelope.deliver_by_ms == 1700000009000);
    assert_int_equal(m->envelope.by_mode, 'R');
    assert_true(m->envelope.by_trace);
    assert_int_equal(m->envelope.priority, -9);
    assert_int_equal(m->envelope.tls, SPOOL_TLS_REQUIRED);
    assert_string_equal(m->targets[0].address, to.address);
    assert_string_equal(m->targets[0].orcpt, to.orcpt);
    assert_int_equal(m->targets[0].notify, to.notify);
    assert_int_equal(m->size, 0);
    assert_non_null(m->body.p); /* empty is not missing */
    assert_int_equal(m->body.len, 0);
    kit_finish_all(k, m, SPOOL_DELIVERED, 0);
}

static void accept_with_priority(struct kit *k, int priority, int64_t received_ms)
{
    struct kit_commit c = {.kit = k};
    struct spool_draft *d = spool_begin(k->spool, k->loop);
    struct spool_envelope env = {
        .reverse_path = "a@example.org", .received_ms = received_ms, .priority = priority};
    struct spool_recipient to = {.address = "b@example.net"};
    spool_commit(&d, &env, &to, 1, kit_done, &c);
    KIT_WAIT(k, c.done);
    assert_int_equal(c.error, 0);
}

/* PRI-01: what waits goes out by priority, and by age among its like; what is not due yet is passed over. */
static void priority_orders_what_is_due(void **state)
{
    struct kit *k = *state;
    int64_t now = clock_wall_ms();
    static const struct {
        int priority;
        int64_t age_ms;
    } rows[] = {
        {0,  5000   },
        {-9, 9000   },
        {9,  1000   },
        {0,  7000   },
        {3,  100    },
        {9,  2000   },
        {9,  -600000}, /* due in ten minutes */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        accept_with_priority(k, rows[i].priority, now - rows[i].age_ms);
    static const int64_t want[] = {2000, 1000, 100, 7000, 5000, 9000};
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        spool_credit(k->spool, 1);
        struct spool_message *m = kit_take_offer(k);
        assert_int_equal(now - m->envelope.received_ms, want[i]);
        kit_finish_all(k, m, SPOOL_DELIVERED, 0);
    }
    kit_settle(k);
    assert_int_equal(kit_stats(k).deferred, 1);
}

/* A fresh message does not overtake what waits with a greater priority, whatever free places there are. */
static void a_fresh_message_does_not_overtake_a_greater_priority(void **state)
{
    struct kit *k = *state;
    int64_t now = clock_wall_ms();
    for (int i = 0; i < 4; i++)
        accept_with_priority(k, 5, now - 1000 - i);
    spool_credit(k->spool, 1);
    kit_finish_all(k, kit_take_offer(k), SPOOL_DELIVERED, 0);
    struct kit_commit c = {.kit = k};
    struct spool_draft *d = spool_begin(k->spool, k->loop);
    struct spool_envelope env = {.reverse_path = "late@example.org", .received_ms = now};
    struct spool_recipient to = {.address = "b@example.net"};
    spool_credit(k->spool, 2);
    spool_commit(&d, &env, &to, 1, kit_done, &c);
    KIT_WAIT(k, c.done);
    for (int i = 0; i < 2; i++) {
        struct spool_message *m = kit_take_offer(k);
        assert_int_equal(m->envelope.priority, 5);
        kit_finish_all(k, m, SPOOL_DELIVERED, 0);
    }
    spool_credit(k->spool, 2);
    struct spool_message *m = kit_take_offer(k), *last = kit_take_offer(k);
    assert_int_equal(m->envelope.priority, 5);
    assert_string_equal(last->envelope.reverse_path, "late@example.org");
    spool_unclaim(k->spool, m);
    spool_unclaim(k->spool, last);
}

static void what_finds_no_credit_waits_the_longest_due_first(void **state)
{
    struct kit *k = *state;
    char id[4][SPOOL_QUEUE_ID_MAX];
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(kit_accept(k, i, 100, 1, id[i]), 0);
    assert_int_equal(kit_stats(k).due, 4);
    assert_int_equal(k->offers_seen, 0);
    spool_credit(k->spool, 1);
    struct spool_message *m = kit_take_offer(k);
    assert_string_equal(m->queue_id, id[0]);
    assert_int_equal(m->body.len, 100);
    kit_finish_all(k, m, SPOOL_DELIVERED, 0);
    spool_credit(k->spool, 2);
    for (int i = 1; i < 3; i++) {
        m = kit_take_offer(k);
        assert_string_equal(m->queue_id, id[i]);
        assert_int_equal(m->body.p[99], kit_octet((unsigned)i, 99));
        kit_finish_all(k, m, SPOOL_DELIVERED, 0);
    }
    kit_settle(k);
    assert_int_equal(k->offers_seen, 3);
    assert_int_equal(kit_stats(k).due, 1);
}

/* With both a backlog and fresh messages, neither takes all the credit. */
static void fresh_messages_do_not_starve_the_backlog(void **state)
{
    struct kit *k = *state;
    char old[SPOOL_QUEUE_ID_MAX];
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(kit_accept(k, i, 100, 1, i ? NULL : old), 0);
    struct kit_commit c[8];
    for (unsigned i = 0; i < 8; i++)
        kit_submit_to(k, &c[i], i, 100, 1, NULL);
    spool_credit(k->spool, 1);
    struct spool_message *m = kit_take_offer(k);
    assert_string_equal(m->queue_id, old);
    for (unsigned i = 0; i < 8; i++)
        KIT_WAIT(k, c[i].done);
    kit_finish_all(k, m, SPOOL_DELIVERED, 0);
}

static void a_deferred_recipient_comes_again(void **state)
{
    struct kit *k = *state;
    spool_credit(k->spool, 2);
    assert_int_equal(kit_accept(k, 1, 100, 1, NULL), 0);
    struct spool_message *m = kit_take_offer(k);
    int64_t retry = clock_wall_ms() + 60;
    kit_finish_all(k, m, SPOOL_DEFERRED, retry);
    m = kit_take_offer(k);
    assert_true(clock_wall_ms() >= retry);
    assert_int_equal(m->targets[0].attempts, 1);
    assert_false(m->targets[0].delay_reported);
    kit_finish_all(k, m, SPOOL_DELIVERED, 0);
    kit_settle(k);
    assert_int_equal(kit_stats(k).messages, 0);
}

static void a_message_released_later_is_not_offered_before(void **state)
{
    struct kit *k = *state;
    spool_credit(k->spool, 1);
    struct kit_commit c = {.kit = k};
    struct spool_draft *d = spool_begin(k->spool, k->loop);
    int64_t release = clock_wall_ms() + 80;
    struct spool_envelope env = {.reverse_path = "a@example.org", .release_ms = release};
    struct spool_recipient to = {.address = "b@example.net"};
    spool_commit(&d, &env, &to, 1, kit_done, &c);
    struct spool_message *m = kit_take_offer(k);
    assert_true(clock_wall_ms() >= release);
    assert_true(c.done);
    kit_finish_all(k, m, SPOOL_DELIVERED, 0);
}

static void what_is_given_back_is_due_at_once(void **state)
{
    struct kit *k = *state;
    spool_credit(k->spool, 2);
    assert_int_equal(kit_accept(k, 3, 500, 2, NULL), 0);
    spool_unclaim(k->spool, kit_take_offer(k));
    struct spool_message *m = kit_take_offer(k);
    assert_int_equal(m->n_targets, 2);
    assert_int_equal(m->targets[0].attempts, 0);
    assert_int_equal(m->body.len, 500);
    kit_finish_all(k, m, SPOOL_DELIVERED, 0);
}

static struct spool_draft *report_draft(struct kit *k, size_t size)
{
    struct spool_draft *d = spool_begin(k->spool, k->loop);
    char *text = xcalloc(1, size + 1);
    memset(text, 'r', size);
    int r = spool_write(d, text, size);
    assert_true(r == 0 || r == -EAGAIN);
    free(text);
    return d;
}

/* I4: delivered, deferred and failed recipients of one message, and the report of the failed one. */
static void results_are_stored_recipient_by_recipient(void **state)
{
    struct kit *k = *state;
    spool_credit(k->spool, 3);
    char id[SPOOL_QUEUE_ID_MAX];
    assert_int_equal(kit_accept(k, 1, 100, 3, id), 0);
    struct spool_message *m = kit_take_offer(k);
    struct spool_result results[3] = {
        {.outcome = SPOOL_DELIVERED      },
        { .outcome = SPOOL_DEFERRED,
         .retry_ms = clock_wall_ms() + 50,
         .last_reply = "450 busy\r\nrest",
         .delay_reported = true},
        {   .outcome = SPOOL_FAILED,                                .last_reply = "550 5.1.1 unknown"},
    };
    struct spool_draft *report = report_draft(k, 900);
    spool_finish(k->spool, m, results, &report, "sender@example.org");
    assert_null(report);
    m = kit_take_offer(k);
    assert_string_equal(m->envelope.reverse_path, "");
    assert_string_equal(m->targets[0].address, "sender@example.org");
    assert_int_equal(m->targets[0].notify, SPOOL_NOTIFY_NEVER);
    assert_int_equal(m->envelope.body, SPOOL_BODY_7BIT);
    assert_int_equal(m->body.len, 900);
    kit_finish_all(k, m, SPOOL_DELIVERED, 0);
    m = kit_take_offer(k);
    assert_string_equal(m->queue_id, id);
    assert_int_equal(m->n_targets, 1);
    assert_string_equal(m->targets[0].address, "rcpt1@next.example.net");
    assert_true(m->targets[0].delay_reported);
    kit_finish_all(k, m, SPOOL_DELIVERED, 0);
    kit_settle(k);
    assert_int_equal(kit_stats(k).recipients, 0);
}

/* A large report goes to the chunk table like any message. */
static void a_report_may_be_large(void **state)
{
    struct kit *k = *state;
    spool_credit(k->spool, 2);
    assert_int_equal(kit_accept(k, 1, 100, 1, NULL), 0);
    struct spool_message *m = kit_take_offer(k);
    struct spool_result failed = {.outcome = SPOOL_FAILED};
    struct spool_draft *report = report_draft(k, 300000);
    spool_finish(k->spool, m, &failed, &report, "sender@example.org");
    m = kit_take_offer(k);
    assert_int_equal(m->size, 300000);
    assert_null(m->body.p);
    kit_finish_all(k, m, SPOOL_DELIVERED, 0);
    kit_settle(k);
    assert_int_equal(kit_stats(k).messages, 0);
}

static void finish_any(struct kit *k, struct spool_message *m, enum spool_outcome outcome)
{
    struct spool_result *results = xcalloc(m->n_targets, sizeof(*results));
    for (size_t i = 0; i < m->n_targets; i++)
        results[i].outcome = outcome;
    spool_finish(k->spool, m, results, NULL, NULL);
    free(results);
}

/* From the backlog a message with very many recipients is offered in parts, which end each on its own. */
static void many_recipients_come_in_parts(void **state)
{
    struct kit *k = *state;
    enum { MANY = 2500 };
    static char names[MANY][32];
    struct spool_recipient *list = xcalloc(MANY, sizeof(*list));
    for (size_t i = 0; i < MANY; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "r%zu@example.net", i);
        list[i].address = names[i];
    }
    struct kit_commit c = {.kit = k};
    struct spool_draft *d = spool_begin(k->spool, k->loop);
    struct spool_envelope env = {.reverse_path = "a@example.org"};
    spool_commit(&d, &env, list, MANY, kit_done, &c);
    free(list);
    KIT_WAIT(k, c.done);
    assert_int_equal(c.error, 0);
    spool_credit(k->spool, 10);
    KIT_WAIT(k, k->n_offers == 3);
    size_t seen = 0;
    while (k->n_offers) {
        struct spool_message *m = kit_take_offer(k);
        for (size_t i = 0; i < m->n_targets; i++)
            assert_string_equal(m->targets[i].address, names[seen++]);
        finish_any(k, m, SPOOL_DELIVERED);
    }
    assert_int_equal(seen, MANY);
    kit_settle(k);
    assert_int_equal(kit_stats(k).messages, 0);
}

/* ---- bodies ---- */

struct reading {
    struct spool_read rd; /* first */
    struct kit *kit;
    int error;
    size_t len;
    bool done;
    unsigned seed;
};

static void reading_got(struct spool_read *rd, int error, struct str data)
{
    struct reading *r = (struct reading *)rd;
    r->error = error;
    r->len = data.len;
    r->done = true;
    for (size_t i = 0; i < data.len; i++)
        assert_int_equal(data.p[i], kit_octet(r->seed, rd->offset + (int64_t)i));
    loop_stop(r->kit->loop);
}

/* The number of octets read, or the error. */
static int64_t read_at(struct kit *k, int64_t id, unsigned seed, int64_t offset)
{
    struct reading r = {
        .kit = k, .seed = seed, .rd = {.id = id, .offset = offset, .got = reading_got}
    };
    spool_read(k->spool, &r.rd);
    KIT_WAIT(k, r.done);
    return r.error ? r.error : (int64_t)r.len;
}

static void bodies_are_read_from_any_offset(void **state)
{
    struct kit *k = *state;
    const int64_t chunk = SPOOL_CHUNK;
    const struct {
        const char *name;
        int64_t size, offset, want;
    } rows[] = {
        {"small from the start",  1000,      0,             1000     },
        {"small from the middle", 1000,      999,           1        },
        {"small at its end",      1000,      1000,          0        },
        {"small beyond its end",  1000,      5000,          0        },
        {"before the start",      1000,      -1,            -EINVAL  },
        {"one chunk exactly",     chunk,     0,             chunk    },
        {"one chunk, its end",    chunk,     chunk,         0        },
        {"one octet more",        chunk + 1, chunk,         1        },
        {"first of two",          chunk + 1, 0,             chunk    },
        {"across a border",       3 * chunk, chunk + 5,     chunk - 5},
        {"last of three",         3 * chunk, 3 * chunk - 1, 1        },
        {"end of three",          3 * chunk, 3 * chunk,     0        },
        {"far beyond",            3 * chunk, INT64_MAX,     0        },
        {"empty",                 0,         0,             0        },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        spool_credit(k->spool, 1);
        assert_int_equal(kit_accept(k, (unsigned)i, rows[i].size, 1, NULL), 0);
        struct spool_message *m = kit_take_offer(k);
        check(rows[i].name, m->size == rows[i].size);
        check(rows[i].name, (m->body.p != NULL) == (rows[i].size <= chunk));
        check(rows[i].name, read_at(k, m->id, (unsigned)i, rows[i].offset) == rows[i].want);
        kit_finish_all(k, m, SPOOL_DELIVERED, 0);
    }
    assert_true(read_at(k, 12345, 0, 0) == -ENOENT);
}

static int64_t count(struct kit *k, const char *sql)
{
    struct db *db = NULL;
    char why[200] = "";
    int64_t n = -1;
    assert_int_equal(db_open(k->path, DB_READ, 1000, &db, why, sizeof(why)), 0);
    assert_int_equal(db_number(db, sql, &n), 0);
    db_close(db);
    return n;
}

/* Chunks of a body nobody wants any more go bit by bit; each settle is one group. */
static void wait_for_no_chunks(struct kit *k)
{
    for (int i = 0; i < 1000 && count(k, "SELECT count(*) FROM chunk") > 0; i++)
        kit_settle(k);
    assert_int_equal(count(k, "SELECT count(*) FROM chunk"), 0);
}

static void forty_mebibytes_come_and_go(void **state)
{
    struct kit *k = *state;
    const int64_t size = (int64_t)40 * 1024 * 1024 + 17;
    spool_credit(k->spool, 1);
    assert_int_equal(kit_accept(k, 9, size, 1, NULL), 0);
    struct spool_message *m = kit_take_offer(k);
    assert_true(m->size == size);
    int64_t at = 0;
    while (at < size) {
        int64_t n = read_at(k, m->id, 9, at);
        assert_true(n > 0);
        at += n;
    }
    assert_true(at == size);
    kit_finish_all(k, m, SPOOL_DELIVERED, 0);
    kit_settle(k);
    assert_int_equal(kit_stats(k).messages, 0);
    wait_for_no_chunks(k);
}

/* While nothing can be stored a draft takes what it may hold in memory and no more. */
static void a_draft_holds_little_in_memory(void **state)
{
    struct kit *k = *state;
    struct db *other = NULL;
    char why[200];
    assert_int_equal(db_open(k->path, DB_WRITE, 1000, &other, why, sizeof(why)), 0);
    assert_int_equal(db_exec(other, "BEGIN IMMEDIATE"), 0);
    struct spool_draft *d = spool_begin(k->spool, k->loop);
    spool_on_drained(d, kit_drained, k);
    static char piece[40000];
    size_t taken = 0;
    int r;
    while ((r = spool_write(d, piece, sizeof(piece))) == 0)
        taken += sizeof(piece);
    assert_int_equal(r, -EAGAIN);
    taken += sizeof(piece);
    while ((r = spool_write(d, piece, sizeof(piece))) == -EAGAIN) /* it was told to pause */
        taken += sizeof(piece);
    assert_int_equal(r, -ENOBUFS);
    assert_in_range(taken, SPOOL_DRAFT_MAX - sizeof(piece), SPOOL_DRAFT_MAX);
    assert_int_equal(db_exec(other, "COMMIT"), 0);
    db_close(other);
    kit_wait_once(k); /* drained */
    assert_int_equal(spool_write(d, piece, 1), 0);
    spool_discard(&d);
    assert_null(d);
    wait_for_no_chunks(k);
    spool_discard(&d);
}

static void a_discarded_draft_leaves_nothing(void **state)
{
    struct kit *k = *state;
    for (int64_t size = 0; size < 400000; size += 66000) {
        struct spool_draft *d = spool_begin(k->spool, k->loop);
        assert_int_equal(kit_write(k, d, 1, size), 0);
        spool_discard(&d);
    }
    kit_settle(k);
    wait_for_no_chunks(k);
    assert_int_equal(kit_stats(k).messages, 0);
}

/* ---- start and end ---- */

static void claims_end_with_the_server(void **state)
{
    struct kit *k = *state;
    spool_credit(k->spool, 2);
    assert_int_equal(kit_accept(k, 1, 100, 2, NULL), 0);
    assert_int_equal(kit_accept(k, 2, 200000, 1, NULL), 0);
    KIT_WAIT(k, k->n_offers == 2);
    assert_int_equal(kit_stats(k).active, 3);
    kit_close(k);
    assert_int_equal(kit_stats(k).due, 3);
    kit_open(k, NULL);
    spool_credit(k->spool, 5);
    KIT_WAIT(k, k->n_offers == 2);
    assert_int_equal(k->offers[0]->n_targets, 2);
    assert_int_equal(k->offers[0]->body.len, 100);
    assert_int_equal(k->offers[1]->size, 200000);
    assert_true(read_at(k, k->offers[1]->id, 2, 131072) == 65536);
}

/* Pieces of a body that was never committed, and claims, as a crash leaves them. */
static void a_start_takes_back_what_a_crash_left(void **state)
{
    struct kit *k = *state;
    assert_int_equal(kit_accept(k, 1, 200000, 1, NULL), 0);
    kit_close(k);
    struct db *db = NULL;
    char why[200];
    assert_int_equal(db_open(k->path, DB_WRITE, 1000, &db, why, sizeof(why)), 0);
    assert_int_equal(db_exec(db, "UPDATE recipient SET active = 1;"
                                 "INSERT INTO chunk(message, seq, data) VALUES(77, 0, 'left');"
                                 "INSERT INTO chunk(message, seq, data) VALUES(77, 1, 'over')"),
                     0);
    db_close(db);
    kit_open(k, NULL);
    assert_int_equal(count(k, "SELECT count(*) FROM chunk"), 4);
    assert_int_equal(count(k, "SELECT count(*) FROM chunk WHERE message = 77"), 0);
    spool_credit(k->spool, 1);
    struct spool_message *m = kit_take_offer(k);
    assert_int_equal(m->size, 200000);
    kit_finish_all(k, m, SPOOL_DELIVERED, 0);
}

static void a_close_commits_what_was_queued(void **state)
{
    struct kit *k = *state;
    struct kit_commit c[50];
    for (unsigned i = 0; i < ARRAY_LEN(c); i++)
        kit_submit_to(k, &c[i], i, 3000, 1, NULL);
    spool_close(k->spool);
    k->spool = NULL;
    assert_int_equal(kit_stats(k).messages, ARRAY_LEN(c));
    loop_timer_set(k->watchdog, 0); /* anything still posted to the loop would run before it */
    for (unsigned i = 0; i < ARRAY_LEN(c); i++)
        assert_false(c[i].done);
    loop_timer_cancel(k->watchdog);
}

static void a_detached_relay_hears_no_more(void **state)
{
    struct kit *k = *state;
    spool_credit(k->spool, 10);
    struct kit_commit c[5];
    for (unsigned i = 0; i < ARRAY_LEN(c); i++)
        kit_submit_to(k, &c[i], i, 100, 1, NULL);
    struct reading r = {
        .kit = k, .rd = {.id = 1, .got = reading_got}
    };
    spool_read(k->spool, &r.rd);
    spool_detach(k->spool, k->loop);
    spool_close(k->spool);
    k->spool = NULL;
    assert_false(r.done);
    assert_int_equal(k->offers_seen, 0);
    assert_int_equal(kit_stats(k).due, 5);
}

struct open_row {
    const char *name;
    void (*prepare)(struct kit *k);
    int want;
    const char *words;
};

static void write_file(const char *path, const char *text, size_t len)
{
    CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), len);
}

static void no_directory(struct kit *k)
{
    (void)snprintf(k->path, sizeof(k->path), "%s/none/spool.db", k->dir);
}

static void a_text_file(struct kit *k)
{
    char text[8192];
    memset(text, 'x', sizeof(text));
    write_file(k->path, text, sizeof(text));
}

static void run_sql(struct kit *k, const char *sql)
{
    write_file(k->path, "", 0);
    struct db *db = NULL;
    char why[200];
    assert_int_equal(db_open(k->path, DB_WRITE, 1000, &db, why, sizeof(why)), 0);
    assert_int_equal(db_exec(db, sql), 0);
    db_close(db);
}

static void a_foreign_database(struct kit *k)
{
    run_sql(k, "CREATE TABLE bookmarks(url TEXT)");
}

static void a_newer_spool(struct kit *k)
{
    run_sql(
        k,
        "CREATE TABLE message(id); PRAGMA application_id = 1349481332; PRAGMA user_version = 99");
}

static void a_directory(struct kit *k)
{
    (void)snprintf(k->path, sizeof(k->path), "%s", k->dir);
}

/* Schema 1 as it was, with a message in it that waits. */
static const char *const schema_1 =
    "CREATE TABLE message(id INTEGER PRIMARY KEY, size INTEGER NOT NULL, received_ms INTEGER NOT "
    "NULL,"
    " release_ms INTEGER NOT NULL, body_type INTEGER NOT NULL, smtputf8 INTEGER NOT NULL,"
    " ret INTEGER NOT NULL, reverse_path TEXT NOT NULL, identity TEXT, session TEXT, auth TEXT,"
    " envid TEXT, body BLOB);"
    "CREATE TABLE recipient(message INTEGER NOT NULL, n INTEGER NOT NULL, active INTEGER NOT NULL,"
    " held INTEGER NOT NULL, next_ms INTEGER NOT NULL, attempts INTEGER NOT NULL,"
    " notify INTEGER NOT NULL, delay_reported INTEGER NOT NULL, address TEXT NOT NULL, orcpt TEXT,"
    " last_reply TEXT, PRIMARY KEY(message, n)) WITHOUT ROWID;"
    "CREATE INDEX due ON recipient(next_ms) WHERE active = 0 AND held = 0;"
    "CREATE TABLE chunk(id INTEGER PRIMARY KEY, message INTEGER NOT NULL, seq INTEGER NOT NULL,"
    " data BLOB NOT NULL);"
    "CREATE UNIQUE INDEX chunk_of ON chunk(message, seq);"
    "INSERT INTO message VALUES(7, 4, 1700000000123, 0, 1, 0, 70, 'old@example.org', 'alice', 's0',"
    " NULL, 'E1', 'Hi\r\n');"
    "INSERT INTO recipient VALUES(7, 0, 1, 0, 5, 3, 2, 1, 'b@example.net', NULL, '451 later');"
    "PRAGMA application_id = 1349481332; PRAGMA user_version = 1";

/* The mail of an older version is delivered by this one, and the file takes what this one knows. */
static void an_older_spool_is_brought_up_to_date(void **state)
{
    struct kit *k = *state;
    run_sql(k, schema_1);
    struct spool_admin *a = NULL;
    char why[SPOOL_WHY_MAX] = "";
    assert_int_equal(spool_admin_open(k->path, true, &a, why), -EPROTONOSUPPORT);
    check(why, strstr(why, "start postern serve once") != NULL);
    for (int start = 0; start < 2; start++) { /* the second finds it done */
        kit_open(k, NULL);
        spool_credit(k->spool, 1);
        struct spool_message *m = kit_take_offer(k);
        assert_int_equal(m->id, 7);
        assert_string_equal(m->envelope.reverse_path, "old@example.org");
        assert_string_equal(m->envelope.envid, "E1");
        assert_int_equal(m->envelope.by_mode, 0);
        assert_int_equal(m->envelope.priority, 0);
        assert_int_equal(m->envelope.tls, SPOOL_TLS_USUAL);
        assert_true(str_eq(m->body, STR("Hi\r\n")));
        assert_int_equal(m->targets[0].attempts, 3);
        assert_true(m->targets[0].delay_reported);
        spool_unclaim(k->spool, m);
        kit_close(k);
    }
    kit_open(k, NULL);
    accept_with_priority(k, 9, clock_wall_ms());
    spool_credit(k->spool, 2);
    struct spool_message *first = kit_take_offer(k), *second = kit_take_offer(k);
    assert_int_equal(first->envelope.priority, 9);
    assert_int_equal(second->id, 7);
    spool_unclaim(k->spool, first);
    spool_unclaim(k->spool, second);
}

static void what_is_no_spool_is_refused_in_clear_words(void **state)
{
    (void)state;
    static const struct open_row rows[] = {
        {"no directory",     no_directory,       -ENOENT,          "create the directory"},
        {"no database",      a_text_file,        -EUCLEAN,         "no SQLite database"  },
        {"foreign database", a_foreign_database, -EMEDIUMTYPE,     "some other program"  },
        {"newer version",    a_newer_spool,      -EPROTONOSUPPORT, "newer postern"       },
        {"a directory",      a_directory,        -EISDIR,          "directory"           },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct kit *k = kit_new();
        rows[i].prepare(k);
        char why[SPOOL_WHY_MAX] = "";
        check(rows[i].name, kit_try_open(k, NULL, why) == rows[i].want);
        check(why, strstr(why, rows[i].words) != NULL);
        check(why, strstr(why, k->dir) != NULL);
        struct spool_admin *a = NULL;
        check(rows[i].name, spool_admin_open(k->path, true, &a, why) < 0);
        check(rows[i].name, why[0] != '\0');
        kit_free(k);
    }
}

static void a_second_server_is_refused(void **state)
{
    struct kit *k = *state;
    struct kit *second = kit_new();
    char why[SPOOL_WHY_MAX] = "", pid[32];
    (void)snprintf(pid, sizeof(pid), "process %d", (int)getpid());
    (void)snprintf(second->path, sizeof(second->path), "%s/name.db", second->dir);
    assert_int_equal(symlink(k->path, second->path), 0); /* by another name, too */
    assert_int_equal(kit_try_open(second, NULL, why), -EBUSY);
    check(why, strstr(why, "in use by another postern serve") != NULL);
    check(why, strstr(why, pid) != NULL);
    kit_close(k);
    assert_int_equal(kit_try_open(second, NULL, why), 0);
    kit_free(second);
}

static void the_files_are_for_their_owner_alone(void **state)
{
    struct kit *k = *state;
    static const char *const ends[] = {"", "-wal", "-shm", "-lock"};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        char name[128];
        struct stat st;
        (void)snprintf(name, sizeof(name), "%s%s", k->path, ends[i]);
        check(name, stat(name, &st) == 0);
        check(name, (st.st_mode & 0777) == 0600);
    }
}

/* ---- no room ---- */

/* The committer looks each second. */
static void await_room(const struct kit *k, bool want)
{
    for (int i = 0; i < 1000 && spool_has_room(k->spool) != want; i++)
        (void)nanosleep(&(struct timespec){.tv_nsec = 10 * 1000 * 1000}, NULL);
    assert_int_equal(spool_has_room(k->spool), want);
}

/* I5: at the limit nothing new is accepted, results still are, and then there is room again. */
static void a_full_spool_refuses_and_recovers(void **state)
{
    struct kit *k = *state;
    kit_open(k, &(struct spool_config){.max_bytes = 2 * 1024 * 1024});
    int accepted = 0, r;
    while ((r = kit_accept(k, 1, 20000, 1, NULL)) == 0)
        accepted++;
    assert_int_equal(r, -ENOSPC);
    assert_false(spool_has_room(k->spool));
    assert_in_range(accepted, 50, 110);
    assert_int_equal(kit_stats(k).messages, accepted);
    assert_int_equal(kit_accept(k, 1, 300000, 1, NULL), -ENOSPC);
    spool_credit(k->spool, 10);
    for (int i = 0; i < 10; i++)
        kit_finish_all(k, kit_take_offer(k), SPOOL_DELIVERED, 0);
    await_room(k, true); /* found out without a message that asks for it */
    int tries = 0; /* the first may stand in one group with the results, before they made room */
    while ((r = kit_accept(k, 1, 20000, 1, NULL)) != 0 && ++tries < 3)
        assert_int_equal(r, -ENOSPC);
    assert_int_equal(r, 0);
    assert_int_equal(count(k, "SELECT count(*) FROM chunk"), 0);
    assert_true(kit_stats(k).bytes <= 2 * 1024 * 1024);
}

static void a_full_disk_refuses_before_it_is_full(void **state)
{
    struct kit *k = *state;
    kit_open(k, &(struct spool_config){.min_free_bytes = INT64_MAX / 2});
    await_room(k, false); /* likewise */
    assert_int_equal(kit_accept(k, 1, 100, 1, NULL), -ENOSPC);
    assert_int_equal(kit_accept(k, 1, 500000, 1, NULL), -ENOSPC);
    assert_int_equal(kit_stats(k).messages, 0);
}

static void a_database_taken_away_refuses(void **state)
{
    struct kit *k = *state;
    char away[128];
    (void)snprintf(away, sizeof(away), "%s.away", k->path);
    assert_int_equal(kit_accept(k, 1, 100, 1, NULL), 0);
    assert_int_equal(rename(k->path, away), 0);
    assert_int_equal(kit_accept(k, 1, 100, 1, NULL), -ESTALE);
    assert_int_equal(rename(away, k->path), 0);
    assert_int_equal(kit_accept(k, 1, 100, 1, NULL), 0);
}

/* Somebody else holds the write lock for a while: commits wait, they do not fail. */
static void a_commit_waits_for_the_lock(void **state)
{
    struct kit *k = *state;
    struct db *other = NULL;
    char why[200];
    assert_int_equal(db_open(k->path, DB_WRITE, 1000, &other, why, sizeof(why)), 0);
    assert_int_equal(db_exec(other, "BEGIN IMMEDIATE"), 0);
    struct kit_commit c;
    kit_submit_to(k, &c, 1, 100, 1, NULL);
    int64_t end = clock_monotonic_ms() + 100;
    while (clock_monotonic_ms() < end)
        assert_false(c.done);
    assert_int_equal(db_exec(other, "COMMIT"), 0);
    KIT_WAIT(k, c.done);
    assert_int_equal(c.error, 0);
    db_close(other);
}

/* ---- steering ---- */

struct listing {
    size_t n, stop_at;
    char id[SPOOL_QUEUE_ID_MAX], address[64], reply[64];
    enum spool_state state;
    unsigned attempts;
    int64_t next_ms;
};

static bool listing_row(void *arg, const struct spool_row *r)
{
    struct listing *l = arg;
    l->n++;
    (void)snprintf(l->id, sizeof(l->id), "%s", r->queue_id);
    (void)snprintf(l->address, sizeof(l->address), "%s", r->address);
    (void)snprintf(l->reply, sizeof(l->reply), "%s", r->last_reply ? r->last_reply : "");
    l->state = r->state;
    l->attempts = r->attempts;
    l->next_ms = r->next_attempt_ms;
    return l->n != l->stop_at;
}

static struct spool_admin *admin(struct kit *k)
{
    struct spool_admin *a = NULL;
    char why[SPOOL_WHY_MAX] = "";
    if (spool_admin_open(k->path, true, &a, why) < 0)
        fail_msg("%s", why);
    return a;
}

static int64_t steer(struct kit *k, enum spool_action action, const char *id)
{
    struct spool_admin *a = admin(k);
    int64_t changed = -1;
    int r = spool_admin_apply(a, action, id, &changed);
    spool_admin_close(a);
    return r < 0 ? r : changed;
}

static struct listing look(struct kit *k, const char *id)
{
    struct spool_admin *a = admin(k);
    struct listing l = {0};
    assert_int_equal(spool_admin_list(a, id, listing_row, &l), 0);
    spool_admin_close(a);
    return l;
}

static void the_list_tells_states(void **state)
{
    struct kit *k = *state;
    char id[4][SPOOL_QUEUE_ID_MAX];
    spool_credit(k->spool, 2);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(kit_accept(k, i, 100, 1, id[i]), 0);
    int64_t retry = clock_wall_ms() + 3600000;
    kit_finish_all(k, kit_take_offer(k), SPOOL_DEFERRED, retry);
    kit_settle(k);
    assert_int_equal(steer(k, SPOOL_HOLD, id[3]), 1);
    static const enum spool_state want[] = {SPOOL_STATE_DEFERRED, SPOOL_STATE_ACTIVE,
                                            SPOOL_STATE_DUE, SPOOL_STATE_HELD};
    for (int i = 0; i < 4; i++) {
        struct listing l = look(k, id[i]);
        check(id[i], l.n == 1);
        check(id[i], l.state == want[i]);
    }
    struct listing l = look(k, id[0]);
    assert_int_equal(l.attempts, 1);
    assert_true(l.next_ms == retry);
    assert_string_equal(l.reply, "451 4.3.0 later");
    struct spool_stats st = kit_stats(k);
    assert_int_equal(st.messages, 4);
    assert_int_equal(st.deferred, 1);
    assert_int_equal(st.active, 1);
    assert_int_equal(st.due, 1);
    assert_int_equal(st.held, 1);
    assert_int_equal(st.bytes, 400);
    assert_in_range(st.oldest_ms, clock_wall_ms() - 60000, clock_wall_ms());
}

static void a_long_list_comes_in_order_and_can_be_left(void **state)
{
    struct kit *k = *state;
    struct kit_commit c[40];
    for (unsigned i = 0; i < ARRAY_LEN(c); i++)
        kit_submit_to(k, &c[i], i, 10, 20, NULL);
    for (unsigned i = 0; i < ARRAY_LEN(c); i++)
        KIT_WAIT(k, c[i].done);
    assert_int_equal(look(k, NULL).n, 800);
    struct spool_admin *a = admin(k);
    struct listing l = {.stop_at = 300};
    assert_int_equal(spool_admin_list(a, NULL, listing_row, &l), 0);
    assert_int_equal(l.n, 300);
    assert_string_equal(l.address, "rcpt19@next.example.net");
    l = (struct listing){0};
    assert_int_equal(spool_admin_list(a, "000000000001", listing_row, &l), -ENOENT);
    assert_int_equal(spool_admin_list(a, "what?", listing_row, &l), -EINVAL);
    assert_int_equal(l.n, 0);
    int64_t changed = 7;
    assert_int_equal(spool_admin_apply(a, SPOOL_DELETE, "000000000001", &changed), -ENOENT);
    assert_int_equal(spool_admin_apply(a, SPOOL_DELETE, "'; --", &changed), -EINVAL);
    assert_true(changed == 7);
    assert_int_equal(spool_admin_apply(a, SPOOL_DELETE, NULL, &changed), 0);
    assert_true(changed == 800);
    spool_admin_close(a);
    assert_int_equal(kit_stats(k).messages, 0);
}

/* The server sees what another process changed without being told. */
static void a_flush_is_noticed_by_the_server(void **state)
{
    struct kit *k = *state;
    spool_credit(k->spool, 3);
    assert_int_equal(kit_accept(k, 1, 100, 1, NULL), 0);
    kit_finish_all(k, kit_take_offer(k), SPOOL_DEFERRED, clock_wall_ms() + 3600000);
    kit_settle(k);
    assert_int_equal(steer(k, SPOOL_FLUSH, NULL), 1);
    int64_t from = clock_monotonic_ms();
    struct spool_message *m = kit_take_offer(k);
    assert_in_range(clock_monotonic_ms() - from, 0, 3000);
    assert_int_equal(m->targets[0].attempts, 1);
    assert_true(m->targets[0].asked);
    kit_finish_all(k, m, SPOOL_DEFERRED, clock_wall_ms());
    m = kit_take_offer(k);
    assert_false(m->targets[0].asked); /* once */
    kit_finish_all(k, m, SPOOL_DELIVERED, 0);
}

/* FUT-01: not before its time, whoever asks. */
static void a_flush_leaves_what_is_for_later(void **state)
{
    struct kit *k = *state;
    struct kit_commit c = {.kit = k};
    struct spool_draft *d = spool_begin(k->spool, k->loop);
    struct spool_envelope env = {.reverse_path = "a@example.org",
                                 .release_ms = clock_wall_ms() + 3600000};
    struct spool_recipient to = {.address = "b@example.net"};
    spool_commit(&d, &env, &to, 1, kit_done, &c);
    KIT_WAIT(k, c.done);
    assert_int_equal(c.error, 0);
    assert_int_equal(steer(k, SPOOL_FLUSH, NULL), 0);
}

static void what_is_held_stays_until_released(void **state)
{
    struct kit *k = *state;
    char id[SPOOL_QUEUE_ID_MAX];
    assert_int_equal(kit_accept(k, 1, 100, 2, id), 0);
    assert_int_equal(steer(k, SPOOL_HOLD, id), 2);
    assert_int_equal(steer(k, SPOOL_HOLD, id), 0);
    assert_int_equal(steer(k, SPOOL_FLUSH, NULL), 0);
    spool_credit(k->spool, 5);
    kit_settle(k);
    kit_settle(k);
    assert_int_equal(k->offers_seen, 0);
    assert_int_equal(steer(k, SPOOL_RELEASE, NULL), 2);
    kit_finish_all(k, kit_take_offer(k), SPOOL_DELIVERED, 0);
}

/* A hold that comes while the message is in flight outlives the attempt. */
static void a_hold_outlives_the_attempt(void **state)
{
    struct kit *k = *state;
    char id[SPOOL_QUEUE_ID_MAX];
    spool_credit(k->spool, 3);
    assert_int_equal(kit_accept(k, 1, 100, 1, id), 0);
    struct spool_message *m = kit_take_offer(k);
    assert_int_equal(steer(k, SPOOL_HOLD, id), 1);
    assert_int_equal(look(k, id).state, SPOOL_STATE_ACTIVE);
    kit_finish_all(k, m, SPOOL_DEFERRED, 0);
    kit_settle(k);
    kit_settle(k);
    assert_int_equal(k->n_offers, 0);
    assert_int_equal(look(k, id).state, SPOOL_STATE_HELD);
}

/* Deleting what is in flight is harmless: its result falls on nothing, and no report is made of it. */
static void a_message_deleted_in_flight_is_gone(void **state)
{
    struct kit *k = *state;
    spool_credit(k->spool, 3);
    char id[SPOOL_QUEUE_ID_MAX];
    assert_int_equal(kit_accept(k, 1, 200000, 1, id), 0);
    assert_int_equal(kit_accept(k, 2, 100, 1, NULL), 0);
    struct spool_message *large = kit_take_offer(k), *small = kit_take_offer(k);
    int64_t large_id = large->id;
    assert_true(read_at(k, large_id, 1, 0) == SPOOL_CHUNK);
    assert_int_equal(steer(k, SPOOL_DELETE, NULL), 2);
    assert_true(read_at(k, large_id, 1, 65536) == -ENOENT);
    kit_finish_all(k, small, SPOOL_DEFERRED, clock_wall_ms());
    struct spool_draft *report = report_draft(k, 70000);
    struct spool_result failed = {.outcome = SPOOL_FAILED};
    spool_finish(k->spool, large, &failed, &report, "sender@example.org");
    kit_settle(k);
    wait_for_no_chunks(k);
    assert_int_equal(kit_stats(k).messages, 0);
    assert_int_equal(kit_stats(k).recipients, 0);
    assert_int_equal(k->n_offers, 0);
}

/* A delete of everything leaves alone what is just coming in. */
static void a_delete_spares_drafts(void **state)
{
    struct kit *k = *state;
    assert_int_equal(kit_accept(k, 1, 200000, 1, NULL), 0);
    struct spool_draft *d = spool_begin(k->spool, k->loop);
    assert_int_equal(kit_write(k, d, 4, 300000), 0);
    kit_settle(k);
    assert_int_equal(kit_accept(k, 2, 200000, 1, NULL), 0);
    assert_int_equal(steer(k, SPOOL_DELETE, NULL), 2);
    struct kit_commit c = {.kit = k};
    struct spool_envelope env = {.reverse_path = "a@example.org"};
    struct spool_recipient to = {.address = "b@example.net"};
    spool_commit(&d, &env, &to, 1, kit_done, &c);
    KIT_WAIT(k, c.done);
    assert_int_equal(c.error, 0);
    spool_credit(k->spool, 1);
    struct spool_message *m = kit_take_offer(k);
    for (int64_t at = 0; at < 300000;) {
        int64_t n = read_at(k, m->id, 4, at);
        assert_true(n > 0);
        at += n;
    }
    kit_finish_all(k, m, SPOOL_DELIVERED, 0);
}

struct body_check {
    int64_t at;
    unsigned seed;
};

static bool body_piece(void *arg, struct str data)
{
    struct body_check *c = arg;
    for (size_t i = 0; i < data.len; i++, c->at++)
        assert_int_equal(data.p[i], kit_octet(c->seed, c->at));
    return true;
}

static void a_body_is_shown_whole(void **state)
{
    struct kit *k = *state;
    char id[2][SPOOL_QUEUE_ID_MAX];
    assert_int_equal(kit_accept(k, 5, 1234, 1, id[0]), 0);
    assert_int_equal(kit_accept(k, 6, 200000, 1, id[1]), 0);
    struct spool_admin *a = admin(k);
    struct body_check small = {.seed = 5}, large = {.seed = 6};
    assert_int_equal(spool_admin_body(a, id[0], body_piece, &small), 0);
    assert_int_equal(spool_admin_body(a, id[1], body_piece, &large), 0);
    assert_int_equal(small.at, 1234);
    assert_int_equal(large.at, 200000);
    assert_int_equal(spool_admin_body(a, "000000000001", body_piece, &large), -ENOENT);
    assert_int_equal(spool_admin_body(a, "", body_piece, &large), -EINVAL);
    spool_admin_close(a);
}

/* ---- damage ---- */

/* Recipients whose message is gone, which only damage or a hand in the file can cause, are set aside. */
static void a_recipient_without_its_message_blocks_nobody(void **state)
{
    struct kit *k = *state;
    assert_int_equal(kit_accept(k, 1, 100, 1, NULL), 0);
    assert_int_equal(kit_accept(k, 2, 100, 1, NULL), 0);
    kit_close(k);
    struct db *db = NULL;
    char why[200];
    assert_int_equal(db_open(k->path, DB_WRITE, 1000, &db, why, sizeof(why)), 0);
    assert_int_equal(db_exec(db, "DELETE FROM message WHERE id = (SELECT min(id) FROM message)"),
                     0);
    db_close(db);
    kit_open(k, NULL);
    spool_credit(k->spool, 2);
    struct spool_message *m = kit_take_offer(k);
    assert_int_equal(m->body.p[50], kit_octet(2, 50));
    kit_finish_all(k, m, SPOOL_DELIVERED, 0);
    kit_settle(k);
    assert_int_equal(k->offers_seen, 1);
    assert_int_equal(count(k, "SELECT held FROM recipient"), 1);
}

/* A page of rubbish at each place of the file in turn: an error, perhaps, but never a crash. */
static void a_damaged_file_is_an_error_and_no_crash(void **state)
{
    struct kit *k = *state;
    kit_open(k, NULL);
    for (unsigned i = 0; i < 30; i++)
        assert_int_equal(kit_accept(k, i, i % 3 ? 3000 : 100000, 3, NULL), 0);
    kit_close(k);
    struct stat st;
    assert_int_equal(stat(k->path, &st), 0);
    char page[4096], rubbish[4096];
    for (size_t i = 0; i < sizeof(rubbish); i++)
        rubbish[i] = kit_octet(99, (int64_t)i);
    CLEANUP(fd_closep) int fd = open(k->path, O_RDWR | O_CLOEXEC);
    for (off_t at = 0; at < st.st_size; at += at < 20 * 4096 ? 4096 : 16 * 4096) {
        assert_int_equal(pread(fd, page, sizeof(page), at), sizeof(page));
        assert_int_equal(pwrite(fd, rubbish, sizeof(rubbish), at), sizeof(rubbish));
        char why[SPOOL_WHY_MAX] = "";
        if (kit_try_open(k, NULL, why) == 0) {
            spool_credit(k->spool, 3);
            (void)kit_accept(k, 1, 1000, 1, NULL);
            struct spool_admin *a = NULL;
            struct listing l = {0};
            int64_t changed;
            if (spool_admin_open(k->path, true, &a, why) == 0) {
                int r = spool_admin_list(a, NULL, listing_row, &l);
                check("list", r <= 0);
                r = spool_admin_apply(a, SPOOL_FLUSH, NULL, &changed);
                check("flush", r <= 0);
                spool_admin_close(a);
            }
            kit_close(k);
        } else {
            check("why", why[0] != '\0');
        }
        assert_int_equal(pwrite(fd, page, sizeof(page), at), sizeof(page));
    }
}

/* ---- many at once ---- */

#define WORKERS 4
#define EACH 150

struct worker {
    pthread_t thread;
    struct loop *loop;
    struct spool *spool;
    struct loop_task start;
    unsigned done, failed;
};

static void worker_done(void *arg, int error)
{
    struct worker *w = arg;
    w->failed += error != 0;
    if (++w->done == EACH)
        loop_stop(w->loop);
}

static void worker_submit(struct loop_task *task)
{
    struct worker *w = container_of(task, struct worker, start);
    static const char text[200] = "Subject: many\r\n\r\n";
    for (int i = 0; i < EACH; i++) {
        struct spool_draft *d = spool_begin(w->spool, w->loop);
        for (int j = 0; j < (i % 10 ? 20 : 400); j++) { /* one in ten takes a chunk */
            int r = spool_write(d, text, sizeof(text));
            w->failed += r != 0;
        }
        struct spool_envelope env = {.reverse_path = "a@example.org",
                                     .received_ms = clock_wall_ms()};
        struct spool_recipient to[2] = {{.address = "b@example.net"}, {.address = "c@example.net"}};
        if (i % 17 == 0) {
            spool_discard(&d);
            worker_done(w, 0);
        } else {
            spool_commit(&d, &env, to, 2, worker_done, w);
        }
    }
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    loop_post(w->loop, &w->start);
    loop_run(w->loop);
    return NULL;
}

struct busy_relay {
    struct kit *kit;
    unsigned finished, offered;
};

static void busy_offer(void *arg, struct spool_message *m)
{
    struct busy_relay *b = arg;
    unsigned turn = b->offered++ % 7;
    if (turn == 3) {
        spool_unclaim(b->kit->spool, m);
    } else {
        enum spool_outcome outcome = turn == 5 ? SPOOL_DEFERRED : SPOOL_DELIVERED;
        b->finished += outcome == SPOOL_DELIVERED ? (unsigned)m->n_targets : 0;
        kit_finish_all(b->kit, m, outcome, clock_wall_ms());
    }
    spool_credit(b->kit->spool, 1);
    if (b->finished >= 2 * WORKERS * (EACH - (EACH + 16) / 17))
        loop_stop(b->kit->loop);
}

static void many_workers_and_a_relay(void **state)
{
    struct kit *k = *state;
    struct busy_relay busy = {.kit = k};
    k->passive = true;
    kit_open(k, NULL);
    spool_attach(k->spool, k->loop, busy_offer, &busy);
    spool_credit(k->spool, 20);
    struct worker w[WORKERS] = {0};
    for (int i = 0; i < WORKERS; i++) {
        w[i].spool = k->spool;
        w[i].start.run = worker_submit;
        assert_int_equal(loop_new(&w[i].loop), 0);
        assert_int_equal(pthread_create(&w[i].thread, NULL, worker_main, &w[i]), 0);
    }
    unsigned all = 2 * WORKERS * (EACH - (EACH + 16) / 17);
    KIT_WAIT(k, busy.finished >= all);
    for (int i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_join(w[i].thread, NULL), 0);
        assert_int_equal(w[i].failed, 0);
    }
    assert_int_equal(busy.finished, all);
    kit_close(k);
    for (int i = 0; i < WORKERS; i++)
        loop_free(w[i].loop);
    assert_int_equal(kit_stats(k).recipients, 0);
    assert_int_equal(kit_stats(k).messages, 0);
}

#define WITH_SPOOL(f) cmocka_unit_test_setup_teardown(f, kit_setup, kit_teardown)
#define WITH_DIRECTORY(f) cmocka_unit_test_setup_teardown(f, kit_setup_closed, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_sort_as_they_were_given),
        cmocka_unit_test(an_id_is_parsed_strictly),
        WITH_SPOOL(a_message_is_accepted_offered_and_finished),
        WITH_SPOOL(an_envelope_survives_the_disk),
        WITH_SPOOL(what_finds_no_credit_waits_the_longest_due_first),
        WITH_SPOOL(priority_orders_what_is_due),
        WITH_SPOOL(a_fresh_message_does_not_overtake_a_greater_priority),
        WITH_SPOOL(fresh_messages_do_not_starve_the_backlog),
        WITH_SPOOL(a_deferred_recipient_comes_again),
        WITH_SPOOL(a_message_released_later_is_not_offered_before),
        WITH_SPOOL(what_is_given_back_is_due_at_once),
        WITH_SPOOL(results_are_stored_recipient_by_recipient),
        WITH_SPOOL(a_report_may_be_large),
        WITH_SPOOL(many_recipients_come_in_parts),
        WITH_SPOOL(bodies_are_read_from_any_offset),
        WITH_SPOOL(forty_mebibytes_come_and_go),
        WITH_SPOOL(a_draft_holds_little_in_memory),
        WITH_SPOOL(a_discarded_draft_leaves_nothing),
        WITH_SPOOL(claims_end_with_the_server),
        WITH_SPOOL(a_start_takes_back_what_a_crash_left),
        WITH_SPOOL(a_close_commits_what_was_queued),
        WITH_SPOOL(a_detached_relay_hears_no_more),
        cmocka_unit_test_setup_teardown(an_older_spool_is_brought_up_to_date, kit_setup_closed,
                                        kit_teardown),
        cmocka_unit_test(what_is_no_spool_is_refused_in_clear_words),
        WITH_SPOOL(a_second_server_is_refused),
        WITH_SPOOL(the_files_are_for_their_owner_alone),
        WITH_DIRECTORY(a_full_spool_refuses_and_recovers),
        WITH_DIRECTORY(a_full_disk_refuses_before_it_is_full),
        WITH_SPOOL(a_database_taken_away_refuses),
        WITH_SPOOL(a_commit_waits_for_the_lock),
        WITH_SPOOL(the_list_tells_states),
        WITH_SPOOL(a_long_list_comes_in_order_and_can_be_left),
        WITH_SPOOL(a_flush_is_noticed_by_the_server),
        WITH_SPOOL(a_flush_leaves_what_is_for_later),
        WITH_SPOOL(what_is_held_stays_until_released),
        WITH_SPOOL(a_hold_outlives_the_attempt),
        WITH_SPOOL(a_message_deleted_in_flight_is_gone),
        WITH_SPOOL(a_delete_spares_drafts),
        WITH_SPOOL(a_body_is_shown_whole),
        WITH_SPOOL(a_recipient_without_its_message_blocks_nobody),
        WITH_DIRECTORY(a_damaged_file_is_an_error_and_no_crash),
        WITH_DIRECTORY(many_workers_and_a_relay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
