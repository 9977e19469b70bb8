#include "spool_kit.h"

#include "spool/id.h"
#include "spool/sqlite.h"

#include <fcntl.h>
#include <sys/wait.h>

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
    assert_string_equal(m->targets[0].address, to.address);
    assert_string_equal(m->targets[0].orcpt, to.orcpt);
    assert_int_equal(m->targets[0].notify, to.notify);
    assert_int_equal(m->size, 0);
    assert_non_null(m->body.p); /* empty is not missing */
    assert_int_equal(m->body.len, 0);
    kit_finish_all(k, m, SPOOL_DELIVERED, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_sort_as_they_were_given),
        cmocka_unit_test(an_id_is_parsed_strictly),
        cmocka_unit_test_setup_teardown(a_message_is_accepted_offered_and_finished, kit_setup,
                                        kit_teardown),
        cmocka_unit_test_setup_teardown(an_envelope_survives_the_disk, kit_setup, kit_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
