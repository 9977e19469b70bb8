/* What goes out of date, and what is said of it. */
#include "test_cert_zoo.h"

#include "cert/age.h"

#include <sys/stat.h>

static struct zoo_dir dir;
static struct zoo_cert ca, aged;

static void write_list(const char *name, const struct zoo_cert *issuer, int64_t begin, int64_t end)
{
    X509_CRL *crl = zoo_crl(issuer, &(struct zoo_crl_spec){.this_update = begin, .next_update = end});
    zoo_write(&dir, name, NULL, 0, crl);
    X509_CRL_free(crl);
}

static int setup(void **state)
{
    (void)state;
    zoo_dir_init(&dir);
    ca = zoo_ca("Staff CA", NULL);
    aged = zoo_make(&(struct zoo_spec){.cn = "Old CA", .bc = "critical,CA:TRUE", .from = NOW - 100 * DAY, .until = NOW + 5 * DAY},
                    NULL);
    zoo_write(&dir, "ca.pem", &ca.x, 1, NULL);
    zoo_write(&dir, "old.pem", &aged.x, 1, NULL);
    write_list("fresh.crl", &ca, NOW - DAY, NOW + 29 * DAY);
    write_list("soon.crl", &ca, NOW - 28 * DAY, NOW + 2 * DAY);
    write_list("stale.crl", &ca, NOW - 30 * DAY, NOW - DAY);
    assert_int_equal(mkdir(zoo_path(&dir, "empty"), 0700), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    zoo_free(&ca);
    zoo_free(&aged);
    assert_int_equal(rmdir(zoo_path(&dir, "empty")), 0);
    zoo_dir_done(&dir);
    return 0;
}

/* clang-format off */
static const struct row {
    const char *name, *ca, *crl[2];
    bool accepts;
    int64_t now;
    enum cert_age want;
    const char *words[3];
} rows[] = {
    {"no lists asked for", "ca.pem", {NULL}, false, NOW, CERT_AGE_FINE, {NULL}},
    {"a fresh list", "ca.pem", {"fresh.crl"}, false, NOW, CERT_AGE_FINE, {NULL}},
    {"the last tenth", "ca.pem", {"soon.crl"}, false, NOW, CERT_AGE_SOON, {"list of CN=Staff CA goes out of date on 2026-11-17", "from then on every certificate of that CA is refused"}},
    {"before it", "ca.pem", {"soon.crl"}, false, NOW - 2 * DAY, CERT_AGE_FINE, {NULL}},
    {"a stale list", "ca.pem", {"stale.crl"}, false, NOW, CERT_AGE_PAST, {"went out of date on 2026-11-14, and every certificate of that CA is refused", "trust staff"}},
    {"a stale list that counts", "ca.pem", {"stale.crl"}, true, NOW, CERT_AGE_PAST, {"who is revoked later gets in"}},
    {"a stale list that has a successor", "ca.pem", {"stale.crl", "fresh.crl"}, false, NOW, CERT_AGE_FINE, {NULL}},
    {"no list where there should be one", "ca.pem", {"empty"}, false, NOW, CERT_AGE_PAST, {"there is no revocation list in crl"}},
    {"a CA at its end", "old.pem", {NULL}, false, NOW, CERT_AGE_SOON, {"the certificate CN=Old CA in ca expires on 2026-11-20"}},
    {"a CA past its end", "old.pem", {NULL}, false, NOW + 6 * DAY, CERT_AGE_PAST, {"expired on 2026-11-20"}},
};
/* clang-format on */

struct told {
    unsigned times;
    char words[CERT_AGE_WORDS_MAX];
};

static void on_age(void *arg, enum cert_age age, const char *words)
{
    struct told *t = arg;
    assert_int_not_equal(age, CERT_AGE_FINE);
    t->times++;
    (void)snprintf(t->words, sizeof(t->words), "%s", words);
}

static void compare(const struct row *row, enum cert_age age, const struct told *told)
{
    if (age != row->want || told->times != (row->want == CERT_AGE_FINE ? 0U : 1U))
        fail_msg("%s: age %d, told %u times: %s", row->name, age, told->times, told->words);
    for (size_t i = 0; i < ARRAY_LEN(row->words) && row->words[i]; i++)
        if (!strstr(told->words, row->words[i]))
            fail_msg("%s: \"%s\" is not in \"%s\"", row->name, row->words[i], told->words);
}

static void test_trusts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        char why[CERT_WHY_MAX] = "", path[3][160];
        const char *files[3] = {path[0], path[1], path[2]};
        struct told told = {0};
        struct cert_trust *t = NULL;
        struct cert_trust_config cfg = {
            .name = "staff", .ca = files, .n_ca = 1, .crl = files + 1, .accept_stale_crl = row->accepts};
        (void)snprintf(path[0], sizeof(path[0]), "%s", zoo_path(&dir, row->ca));
        for (; cfg.n_crl < 2 && row->crl[cfg.n_crl]; cfg.n_crl++)
            (void)snprintf(path[1 + cfg.n_crl], sizeof(path[0]), "%s", zoo_path(&dir, row->crl[cfg.n_crl]));
        if (cert_trust_load(&cfg, &t, why) < 0)
            fail_msg("%s: %s", row->name, why);
        compare(row, cert_trust_age(t, row->now * 1000, on_age, &told), &told);
        assert_int_equal(cert_trust_age(t, row->now * 1000, NULL, NULL), row->want);
        cert_trust_unref(t);
    }
}

struct end {
    unsigned times;
    int64_t at_ms;
};

static void on_end(void *arg, const char *trust, const char *name, int64_t end_ms)
{
    struct end *e = arg;
    assert_string_equal(trust, "staff");
    assert_string_equal(name, "CN=Staff CA");
    e->times++;
    e->at_ms = end_ms;
}

/* Of several lists of one CA the latest counts, once. */
static void test_ends_of_lists(void **state)
{
    static const struct {
        const char *name, *crl[2];
        unsigned times;
        int64_t end;
    } cases[] = {
        {"none", {NULL}, 0, 0},
        {"one", {"soon.crl"}, 1, NOW + 2 * DAY},
        {"stale", {"stale.crl"}, 1, NOW - DAY},
        {"two", {"soon.crl", "fresh.crl"}, 1, NOW + 29 * DAY},
        {"two that end together", {"fresh.crl", "again.crl"}, 1, NOW + 29 * DAY},
    };
    (void)state;
    write_list("again.crl", &ca, NOW - 2 * DAY, NOW + 29 * DAY);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char why[CERT_WHY_MAX] = "", path[3][160];
        const char *files[3] = {path[0], path[1], path[2]};
        struct end end = {0};
        struct cert_trust *t = NULL;
        struct cert_trust_config cfg = {.name = "staff", .ca = files, .n_ca = 1, .crl = files + 1};
        (void)snprintf(path[0], sizeof(path[0]), "%s", zoo_path(&dir, "ca.pem"));
        for (; cfg.n_crl < 2 && cases[i].crl[cfg.n_crl]; cfg.n_crl++)
            (void)snprintf(path[1 + cfg.n_crl], sizeof(path[0]), "%s", zoo_path(&dir, cases[i].crl[cfg.n_crl]));
        if (cert_trust_load(&cfg, &t, why) < 0)
            fail_msg("%s: %s", cases[i].name, why);
        cert_trust_lists_end(t, on_end, &end);
        check(cases[i].name, end.times == cases[i].times);
        check(cases[i].name, end.at_ms == cases[i].end * 1000);
        cert_trust_unref(t);
    }
}

static X509 *read_leaf(const char *path)
{
    FILE *f = fopen(path, "r");
    X509 *x = f ? PEM_read_X509(f, NULL, NULL, NULL) : NULL;
    if (f)
        (void)fclose(f);
    return x;
}

static void test_own(void **state)
{
    static const struct row files[] = {
        {.name = "fine", .ca = "ca.pem", .now = NOW, .want = CERT_AGE_FINE},
        {.name = "soon", .ca = "old.pem", .now = NOW, .want = CERT_AGE_SOON, .words = {"old.pem: the certificate CN=Old CA expires on"}},
        {.name = "past", .ca = "old.pem", .now = NOW + 6 * DAY, .want = CERT_AGE_PAST, .words = {"expired on 2026-11-20; renew it"}},
        {.name = "none", .ca = "nowhere.pem", .now = NOW, .want = CERT_AGE_FINE},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        struct told told = {0};
        X509 *leaf = read_leaf(zoo_path(&dir, files[i].ca));
        assert_true(!leaf == (strcmp(files[i].name, "none") == 0));
        assert_true(leaf || cert_leaf_end_ms(leaf) == 0);
        if (strcmp(files[i].ca, "old.pem") == 0)
            assert_int_equal(cert_leaf_end_ms(leaf), (NOW + 5 * DAY) * 1000);
        compare(&files[i], cert_leaf_age(leaf, files[i].ca, files[i].now * 1000, on_age, &told), &told);
        X509_free(leaf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_trusts), cmocka_unit_test(test_ends_of_lists), cmocka_unit_test(test_own)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
