/* One message from its intake to the moment before it is sent: whose it is, to whom it goes, what its text has become. */
#include "unit.h"

#include "send/courier.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sysexits.h>
#include <unistd.h>

#define A50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A1000 A50 A50 A50 A50 A50 A50 A50 A50 A50 A50 A50 A50 A50 A50 A50 A50 A50 A50 A50 A50

static char alice_work[] = "alice@work.test", work[] = "work.test",
            alice_home[] = "alice@home.test";
static char *work_from[] = {alice_work, work}, *home_from[] = {alice_home};
static struct account accounts[] = {
    {.name = "work", .file = "f",      .host = "h",           .from = work_from,     .n_from = 2},
    {.name = "home",              .file = "f",                 .host = "h",              .from = home_from,        .n_from = 1, .sender = "bounce"},
    {.name = "as-it-is",   .file = "f", .host = "h",                      .domain = "d.test",                   .leaves_header = true},
    {.name = "default",   .file = "f", .host = "h",.domain = "d.test"},
};

/* A descriptor with the text behind it. */
static int source_of(const char *text)
{
    int fd = memfd_create("message", 0);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

struct outcome {
    struct send_message m;
    int status;
    char why[COURIER_WHY_MAX];
    char notes[300];
    char account[20];
};

static void on_note(void *arg, const char *text)
{
    struct outcome *o = arg;
    assert_true(strlen(o->notes) + strlen(text) < sizeof(o->notes));
    strcat(o->notes, text);
}

static void
take_in(const struct send_order *order, const char *aliases, const char *text, struct outcome *ret)
{
    *ret = (struct outcome){.status = EX_OK};
    struct accounts list = {.list = accounts, .n = ARRAY_LEN(accounts), .aliases = aliases};
    struct courier_config cfg = {
        .order = order, .accounts = &list, .hooks = {.note = on_note, .arg = ret}
    };
    strcpy(cfg.self.hostname, "machine.test");
    strcpy(cfg.self.user, "carol");
    struct courier *c = NULL;
    int fd = source_of(text);
    send_message_init(&ret->m);
    assert_int_equal(courier_new(&cfg, &c, ret->why), EX_OK);
    ret->status = courier_take_in(c, fd, false, &ret->m, ret->why);
    if (ret->status == EX_OK)
        strcpy(ret->account, courier_account(c)->name);
    assert_null(courier_facts(c));
    courier_free(c);
    close(fd);
}

static bool has(const struct outcome *o, const char *part)
{
    const struct buf *b = &o->m.text.memory;
    return memmem(b->data, b->len, part, strlen(part)) != NULL;
}

static const char *joined(const struct recipients *to)
{
    static char text[300];
    text[0] = '\0';
    for (size_t i = 0; i < to->n; i++)
        snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s", i ? " " : "",
                 to->list[i]);
    return text;
}

/* clang-format off */
static const struct row {
    const char *name, *from, *account; /* -f, --account */
    const char *in;
    const char *chosen, *reverse_path, *to, *header; /* header: part of it */
} rows[] = {
    {"by From", NULL, NULL, "From: alice@home.test\nTo: bob\n\n", "home", "bounce@home.test", "bob@home.test", "To: bob@home.test\r\n"},
    {"by -f", "alice@work.test", NULL, "From: root (Cron)\nTo: bob@x.org\n\n", "work", "alice@work.test", "bob@x.org", "From: root@work.test (Cron)\r\n"},
    {"by its domain", NULL, NULL, "From: Z <z@work.test>\nTo: bob\n\n", "work", "z@work.test", "bob@work.test", "From: Z <z@work.test>\r\nTo: bob@work.test\r\n"},
    {"a name alone goes by default", NULL, NULL, "From: root\nTo: root, bob@x.org\n\n", "default", "root@d.test", "root@d.test bob@x.org", "From: root@d.test\r\nTo: root@d.test, bob@x.org\r\n"},
    {"nobody is named", NULL, NULL, "To: root\n\n", "default", "carol@d.test", "root@d.test", "To: root@d.test\r\n"},
    {"the null reverse-path", "", NULL, "From: root\nTo: root\n\n", "default", "", "root@d.test", "From: root@d.test\r\n"},
    {"a header that stays", NULL, "as-it-is", "From: root\nTo: root\n\n", "as-it-is", "root@d.test", "root@d.test", "From: root\r\nTo: root\r\n"},
};
/* clang-format on */

static void messages_find_their_account(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct row *row = &rows[i];
        struct send_order order = {
            .account = row->account, .from = row->from, .take_recipients = true};
        struct outcome o;
        take_in(&order, NULL, row->in, &o);
        if (o.status != EX_OK)
            fail_msg("%s: %s", row->name, o.why);
        check(row->name, strcmp(o.account, row->chosen) == 0);
        check(row->name, strcmp(o.m.reverse_path, row->reverse_path) == 0);
        check(row->name, strcmp(joined(&o.m.to), row->to) == 0);
        check(row->name, has(&o, row->header));
        send_message_done(&o.m);
    }
}

/* An alias says where mail goes, not who somebody is. */
static void aliases_are_for_the_envelope(void **state)
{
    (void)state;
    char path[] = "/tmp/postern-aliases-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, "root admin@x.org, bob\n", 22) == 22);
    close(fd);
    struct send_order order = {.take_recipients = true};
    struct outcome o;
    take_in(&order, path, "From: root\nTo: root\n\n", &o);
    assert_string_equal(o.why, "");
    assert_string_equal(joined(&o.m.to), "admin@x.org bob@d.test");
    assert_true(has(&o, "From: root@d.test\r\nTo: root@d.test\r\n"));
    send_message_done(&o.m);
    unlink(path);
}

static void long_lines_are_encoded_and_noted(void **state)
{
    (void)state;
    struct send_order order = {.take_recipients = true};
    struct outcome o;
    take_in(&order, NULL, "From: root\nTo: root\n\n\xc3\xa9\n" A1000 "\n", &o);
    assert_string_equal(o.why, "");
    assert_string_equal(o.notes, "line 5 is too long for mail; the text is encoded");
    assert_true(has(
        &o, "charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=A9\r\naaaa"));
    assert_false(o.m.body_is_8bit);
    send_message_done(&o.m);
}

static void what_cannot_be_sent_is_said(void **state)
{
    (void)state;
    static const struct {
        const char *name, *in;
        int status;
        const char *want;
    } table[] = {
        {"a long line",
         "To: b\nContent-Transfer-Encoding: base64\nContent-Type: message/x\n\n" A1000 "\n", EX_OK,
         ""                                                                                                                                    },
        {"a long line that stays", "To: b\nContent-Transfer-Encoding: x\n\n" A1000 "\n",     EX_DATAERR,
         "line 4 is longer than 998 octets"                                                                                                    },
        {"nobody to send it to",   "Subject: x\n\n",                                         EX_USAGE,   "names no recipient"                  },
        {"not readable",           "To: <b\n\n",                                             EX_DATAERR, "the field To is no list of addresses"},
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        struct send_order order = {.take_recipients = true};
        struct outcome o;
        take_in(&order, NULL, table[i].in, &o);
        check(table[i].name, o.status == table[i].status);
        check(table[i].name, strstr(o.why, table[i].want));
        send_message_done(&o.m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_find_their_account),
        cmocka_unit_test(aliases_are_for_the_envelope),
        cmocka_unit_test(long_lines_are_encoded_and_noted),
        cmocka_unit_test(what_cannot_be_sent_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
