#include "unit.h"

#include "message/fixup.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define DATE "Date: Thu, 01 Oct 2026 12:00:00 +0000\r\n"
#define ID "Message-ID: <1a0f755f200.q1@mail.example.org>\r\n"
#define NOW_MS 1790856000000

/* An initialiser: a NUL inside is counted. */
/* clang-format off */
#define S(literal) {(literal), sizeof(literal) - 1}

enum setting { ADD = 1, BCC = 2 };

static const struct row {
    const char *name;
    int settings;
    struct str in, want;
} rows[] = {
    {"nothing to do", ADD | BCC,
     S("Date: x\r\nMessage-ID: <a@b>\r\nSubject: s\r\n\r\nbody\r\n.\r\n"),
     S("Date: x\r\nMessage-ID: <a@b>\r\nSubject: s\r\n\r\nbody\r\n.\r\n")},
    {"nothing wanted", 0, S("Bcc: x\r\nno field\r\n"), S("Bcc: x\r\nno field\r\n")},
    {"both missing", ADD,
     S("From: a@b\r\n\r\nbody\r\n"), S("From: a@b\r\n" DATE ID "\r\nbody\r\n")},
    {"date missing", ADD, S("Message-ID: <a@b>\r\n\r\n"), S("Message-ID: <a@b>\r\n" DATE "\r\n")},
    {"message-id missing", ADD, S("Date: x\r\n\r\n"), S("Date: x\r\n" ID "\r\n")},
    {"any case", ADD,
     S("dAtE: x\r\nMESSAGE-id:<a@b>\r\n\r\n"), S("dAtE: x\r\nMESSAGE-id:<a@b>\r\n\r\n")},
    {"obsolete space before the colon", ADD,
     S("Date : x\r\nMessage-ID \t: <a@b>\r\n\r\nb"),
     S("Date : x\r\nMessage-ID \t: <a@b>\r\n\r\nb")},
    {"a date however old", ADD,
     S("Date: 1 Jan 70 0:0 GMT\r\nMessage-ID: <a@b>\r\n\r\n"),
     S("Date: 1 Jan 70 0:0 GMT\r\nMessage-ID: <a@b>\r\n\r\n")},
    {"folded date and id", ADD,
     S("Date:\r\n Thu,\r\n\t1 Oct\r\nMessage-ID:\r\n <a@b>\r\n\r\n"),
     S("Date:\r\n Thu,\r\n\t1 Oct\r\nMessage-ID:\r\n <a@b>\r\n\r\n")},
    {"id with comments", ADD,
     S("Date: x\r\nMessage-ID: (x) <a@b> (y)\r\n\r\n"),
     S("Date: x\r\nMessage-ID: (x) <a@b> (y)\r\n\r\n")},
    {"empty date", ADD,
     S("A: b\r\nDate: \r\n \r\nMessage-ID: <a@b>\r\n\r\n"),
     S("A: b\r\nMessage-ID: <a@b>\r\n" DATE "\r\n")},
    {"malformed id", ADD,
     S("Date: x\r\nMessage-ID: 12345\r\nTo: c@d\r\n\r\nbody"),
     S("Date: x\r\nTo: c@d\r\n" ID "\r\nbody")},
    {"malformed id, folded, last", ADD,
     S("Date: x\r\nMessage-ID: <a\r\n b@c>\r\n\r\n"), S("Date: x\r\n" ID "\r\n")},
    {"id without at", ADD, S("Date: x\r\nMessage-ID: <abc>\r\n\r\n"), S("Date: x\r\n" ID "\r\n")},
    {"id with nothing left", ADD,
     S("Date: x\r\nMessage-ID: <@c>\r\n\r\n"), S("Date: x\r\n" ID "\r\n")},
    {"id with nothing right", ADD,
     S("Date: x\r\nMessage-ID: <c@>\r\n\r\n"), S("Date: x\r\n" ID "\r\n")},
    {"malformed id before a good one", ADD,
     S("Date: x\r\nMessage-ID: z\r\nMessage-ID: <a@b>\r\n\r\n"),
     S("Date: x\r\nMessage-ID: <a@b>\r\n\r\n")},
    {"good id before a malformed one", ADD,
     S("Date: x\r\nMessage-ID: <a@b>\r\nMessage-ID: z\r\n\r\n"),
     S("Date: x\r\nMessage-ID: <a@b>\r\nMessage-ID: z\r\n\r\n")},
    {"malformed id, not our business", 0,
     S("Message-ID: 12345\r\n\r\n"), S("Message-ID: 12345\r\n\r\n")},
    {"names that only begin like ours", ADD,
     S("Dated: x\r\nMessage-IDs: <a@b>\r\nDat: y\r\n\r\n"),
     S("Dated: x\r\nMessage-IDs: <a@b>\r\nDat: y\r\n" DATE ID "\r\n")},
    {"resent fields are not ours", ADD,
     S("Resent-Date: x\r\nResent-Message-ID: <a@b>\r\n\r\n"),
     S("Resent-Date: x\r\nResent-Message-ID: <a@b>\r\n" DATE ID "\r\n")},
    {"return-path goes", 0, S("Return-Path: <a@b>\r\nA: b\r\n\r\nx"), S("A: b\r\n\r\nx")},
    {"folded fields go wholly", BCC,
     S("A: b\r\nReturn-Path:\r\n <a@b>\r\n\t(c)\r\nB: c\r\n d\r\nBcc: x,\r\n \r\n y\r\nC: d\r\n\r\n"),
     S("A: b\r\nB: c\r\n d\r\nC: d\r\n\r\n")},
    {"bcc, any case, twice", BCC, S("BCC: a\r\nbcc : b\r\nTo: c\r\n\r\n"), S("To: c\r\n\r\n")},
    {"resent-bcc", BCC, S("Resent-Bcc: a\r\nResent-To: c\r\n\r\n"), S("Resent-To: c\r\n\r\n")},
    {"bcc kept", 0, S("Bcc: a\r\n\r\n"), S("Bcc: a\r\n\r\n")},
    {"removed field last, no body", BCC, S("To: a\r\nBcc: b\r\n"), S("To: a\r\n")},
    {"all removed", BCC, S("Bcc: b\r\n\r\nx"), S("\r\nx")},
    {"bcc in the body", BCC | ADD,
     S("Date: x\r\nMessage-ID: <a@b>\r\n\r\nBcc: b\r\nReturn-Path: c\r\n"),
     S("Date: x\r\nMessage-ID: <a@b>\r\n\r\nBcc: b\r\nReturn-Path: c\r\n")},
    {"bcc unfinished", BCC, S("To: a\r\nBcc: b"), S("To: a\r\n")},
    {"bcc unfinished, fields added", BCC | ADD, S("To: a\r\nBcc: b"), S("To: a\r\n" DATE ID)},
    {"nothing at all", ADD, S(""), S(DATE ID "\r\n")},
    {"nothing at all, nothing wanted", 0, S(""), S("")},
    {"header without body", ADD, S("A: b\r\n"), S("A: b\r\n" DATE ID)},
    {"header without line end", ADD, S("A: b"), S("A: b\r\n" DATE ID)},
    {"header without line end, CR", ADD, S("A: b\r"), S("A: b\r\n" DATE ID)},
    {"id without line end", ADD,
     S("Date: x\r\nMessage-ID: <a@b>"), S("Date: x\r\nMessage-ID: <a@b>")},
    {"id alone without line end", ADD, S("Message-ID: <a@b>"), S("Message-ID: <a@b>\r\n" DATE)},
    {"bad id without line end", ADD, S("Date: x\r\nMessage-ID: z"), S("Date: x\r\n" ID)},
    {"body without header", ADD, S("\r\nbody\r\n"), S(DATE ID "\r\nbody\r\n")},
    {"body at once", ADD, S("Hello world\r\nA: b\r\n"), S(DATE ID "\r\nHello world\r\nA: b\r\n")},
    {"body at once, nothing wanted", 0, S("Hello world\r\n"), S("Hello world\r\n")},
    {"body is one word", ADD, S("Hello"), S(DATE ID "\r\nHello")},
    {"body begins with a space", ADD, S(" A: b\r\n\r\n"), S(DATE ID "\r\n A: b\r\n\r\n")},
    {"body begins with a colon", ADD, S(": b\r\n"), S(DATE ID "\r\n: b\r\n")},
    {"header ends without an empty line", ADD,
     S("A: b\r\nbody\r\nC: d\r\n"), S("A: b\r\n" DATE ID "\r\nbody\r\nC: d\r\n")},
    {"header ends without an empty line, complete", ADD,
     S("Date: b\r\nMessage-ID: <a@b>\r\nbody\r\n"), S("Date: b\r\nMessage-ID: <a@b>\r\nbody\r\n")},
    {"a name with a space in it", ADD,
     S("A: b\r\nC d: e\r\n"), S("A: b\r\n" DATE ID "\r\nC d: e\r\n")},
    {"a name in UTF-8", ADD,
     S("A: b\r\n\xc3\xa9: e\r\n"), S("A: b\r\n" DATE ID "\r\n\xc3\xa9: e\r\n")},
    {"a name with NUL", ADD, S("A: b\r\nC\0: e\r\n"), S("A: b\r\n" DATE ID "\r\nC\0: e\r\n")},
    {"NUL in bodies", ADD, S("A: \0b\r\n\r\n\0\r\n"), S("A: \0b\r\n" DATE ID "\r\n\0\r\n")},
    {"a line of spaces continues", ADD,
     S("A: b\r\n \r\nC: d\r\n\r\n"), S("A: b\r\n \r\nC: d\r\n" DATE ID "\r\n")},
    {"bare CR and LF are octets", ADD,
     S("A: b\rc\nDate: x\r\r\nC: d\r\n\r\n"), S("A: b\rc\nDate: x\r\r\nC: d\r\n" DATE ID "\r\n")},
    {"bare CR instead of the empty line", ADD,
     S("A: b\r\n\rx\r\n"), S("A: b\r\n" DATE ID "\r\n\rx\r\n")},
    {"ends at CR", ADD, S("A: b\r\n\r"), S("A: b\r\n" DATE ID "\r\n\r")},
    {"mailbox separator", ADD,
     S("From a@b Thu Oct  1 12:00:00 2026\r\nDate: x\r\nMessage-ID: <a@b>\r\n\r\n"),
     S("Date: x\r\nMessage-ID: <a@b>\r\n\r\n")},
    {"mailbox separator, nothing wanted", 0,
     S("From a Fri Oct\r\nA: b\r\n\r\n"), S("A: b\r\n\r\n")},
    {"only a mailbox separator", ADD,
     S("From a@b Thu Oct  1 12:00:00 2026\r\n"), S(DATE ID "\r\n")},
    {"mailbox separator, then a space", ADD,
     S("From a@b Thu Oct\r\n x\r\n"), S(DATE ID "\r\n x\r\n")},
    {"mailbox separator below", ADD,
     S("A: b\r\nFrom a@b Thu Oct  1 12:00:00 2026\r\n"),
     S("A: b\r\n" DATE ID "\r\nFrom a@b Thu Oct  1 12:00:00 2026\r\n")},
    {"two mailbox separators", ADD,
     S("From a Thu O\r\nFrom a Thu O\r\n"), S(DATE ID "\r\nFrom a Thu O\r\n")},
    {"prose that begins with From", ADD,
     S("From here on\r\nyes\r\n"), S(DATE ID "\r\nFrom here on\r\nyes\r\n")},
    {"prose, one word", ADD, S("From \r\n"), S(DATE ID "\r\nFrom \r\n")},
    {"separator without line end", ADD, S("From a Thu O"), S(DATE ID "\r\nFrom a Thu O")},
    {"From with a space", ADD,
     S("From : a@b\r\nDate: x\r\nMessage-ID: <a@b>\r\n\r\n"),
     S("From : a@b\r\nDate: x\r\nMessage-ID: <a@b>\r\n\r\n")},
};
/* clang-format on */

struct sink {
    struct buf out;
    size_t fail_at; /* the call that fails; 0: none */
    size_t calls;
};

static int take(void *arg, const char *data, size_t len)
{
    struct sink *s = arg;
    assert_true(len > 0);
    if (++s->calls == s->fail_at)
        return -ENOSPC;
    return buf_append(&s->out, data, len);
}

static struct fixup *open_fixup(int settings, struct sink *sink)
{
    const struct fixup_config cfg = {.add_date = settings & ADD,
                                     .add_message_id = settings & ADD,
                                     .remove_bcc = settings & BCC,
                                     .hostname = "mail.example.org",
                                     .queue_id = "q1",
                                     .now_ms = NOW_MS};
    return fixup_new(&cfg, take, sink);
}

/* The first piece has `first` octets, the others `step`. */
static struct fixup_facts
run(struct str in, int settings, size_t first, size_t step, struct sink *sink)
{
    struct fixup *f = open_fixup(settings, sink);
    for (size_t piece = first; in.len > 0; piece = step) {
        struct str head = str_upto(in, piece);
        assert_int_equal(fixup_write(f, head.p, head.len), 0);
        in = str_from(in, head.len);
    }
    assert_int_equal(fixup_finish(f), 0);
    struct fixup_facts facts = *fixup_facts(f);
    fixup_free(f);
    return facts;
}

/* F1: whole, cut in two at every octet, and octet by octet. */
static void messages_come_out_mended_in_any_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t len = rows[i].in.len;
        for (size_t cut = 0; cut <= len + 1; cut++) {
            struct sink sink = {.out = BUF_INIT(10000)};
            (void)run(rows[i].in, rows[i].settings, cut <= len ? cut : 1, cut <= len ? len : 1,
                      &sink);
            if (!str_eq(buf_str(&sink.out), rows[i].want))
                fail_msg("%s, cut at %zu: %s", rows[i].name, cut,
                         sink.out.data ? sink.out.data : "");
            buf_done(&sink.out);
        }
    }
}

/* What came out needs nothing any more. */
static void mending_twice_changes_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct sink sink = {.out = BUF_INIT(10000)};
        if (rows[i].settings & ADD && strncmp(rows[i].name, "bare CR", 7) != 0) {
            (void)run(rows[i].want, rows[i].settings, 10000, 1, &sink);
            check(rows[i].name, str_eq(buf_str(&sink.out), rows[i].want));
        }
        buf_done(&sink.out);
    }
}

static void facts_are_told(void **state)
{
    (void)state;
    /* clang-format off */
    static const struct {
        const char *name;
        struct str in;
        struct fixup_facts want;
    } cases[] = {
        {"two hops", S("Received: a\r\nFrom: b\r\nreceived :\r\n c\r\nX-Received: d\r\n\r\nReceived: e\r\n"),
         {.received = 2, .has_from = true}},
        {"complete", S("Date: x\r\nMessage-ID: <a@b>\r\n\r\n"), {.has_date = true, .has_message_id = true}},
        {"malformed is not has", S("Date:\r\nMessage-ID: a\r\n\r\n"), {0}},
        {"8-bit header", S("A: \xc3\xa9\r\n\r\nx"), {.header_is_8bit = true}},
        {"8-bit body", S("A: b\r\n\r\nx\xff"), {.body_is_8bit = true}},
        {"8-bit line that is no field", S("\xff"), {.body_is_8bit = true}},
        {"8-bit in what was removed", S("Return-Path: \xff\r\n\r\n"), {0}},
        {"no header", S("text\r\n"), {0}},
        {"nothing", S(""), {0}},
    };
    /* clang-format on */
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (size_t piece = 1; piece < 20; piece += 6) {
            struct sink sink = {.out = BUF_INIT(10000)};
            struct fixup_facts got = run(cases[i].in, ADD, piece, piece, &sink);
            check(cases[i].name, got.received == cases[i].want.received);
            check(cases[i].name, got.has_from == cases[i].want.has_from);
            check(cases[i].name, got.has_date == cases[i].want.has_date);
            check(cases[i].name, got.has_message_id == cases[i].want.has_message_id);
            check(cases[i].name, got.header_is_8bit == cases[i].want.header_is_8bit);
            check(cases[i].name, got.body_is_8bit == cases[i].want.body_is_8bit);
            check(cases[i].name, got.header_done);
            buf_done(&sink.out);
        }
    }
}

/* A line made of `head`, `fill` times 'x', and `tail`. */
static void make_line(struct buf *out, const char *head, size_t fill, const char *tail)
{
    assert_int_equal(buf_puts(out, head), 0);
    assert_int_equal(buf_reserve(out, fill), 0);
    memset(out->data + out->len, 'x', fill);
    out->len += fill;
    assert_int_equal(buf_puts(out, tail), 0);
}

static void long_lines_pass_in_little_memory(void **state)
{
    (void)state;
    static const struct {
        const char *name, *head;
        size_t fill;
        const char *tail, *before, *after; /* what is added, in front of or behind the line */
    } cases[] = {
        {"line of 998",                "X: ",          995,     "\r\n",    "",             DATE ID},
        {"line of a million",          "X: ",          1000000, "\r\n",    "",             DATE ID},
        {"name of 998",                "",             998,     ": y\r\n", "",             DATE ID},
        {"name too long",              "",             1001,    ": y\r\n", DATE ID "\r\n", ""     },
        {"name of a million",          "",             1000000, ": y\r\n", DATE ID "\r\n", ""     },
        {"spaces before no colon",     "X  ",          2000,    "\r\n",    DATE ID "\r\n", ""     },
        {"long first line of an mbox", "From a Thu ",  2000,    "\r\n",    DATE ID "\r\n", ""     },
        {"date too long to judge",     "Date: ",       2000,    "\r\n",    "",             ID     },
        {"id too long to judge",       "Message-ID: ", 2000,    "\r\n",    "",             DATE   },
        {"body",                       "\r\n",         1000000, "\r\n",    DATE ID,        ""     },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (size_t piece = 1; piece < 5000; piece += 1666) {
            struct buf in = BUF_INIT(2000000), want = BUF_INIT(2000000);
            struct sink sink = {.out = BUF_INIT(2000000)};
            make_line(&in, cases[i].head, cases[i].fill, cases[i].tail);
            assert_int_equal(buf_puts(&want, cases[i].before), 0);
            assert_int_equal(buf_append_str(&want, buf_str(&in)), 0);
            assert_int_equal(buf_puts(&want, cases[i].after), 0);
            (void)run(buf_str(&in), ADD, piece, piece, &sink);
            check(cases[i].name, str_eq(buf_str(&sink.out), buf_str(&want)));
            buf_done(&in);
            buf_done(&want);
            buf_done(&sink.out);
        }
    }
}

/* F2, seen from outside: what went in and did not come out is a line at most. */
static void little_is_kept_back(void **state)
{
    (void)state;
    struct sink sink = {.out = BUF_INIT(2000000)};
    struct fixup *f = open_fixup(0, &sink);
    for (size_t in = 1; in < 100000; in++) {
        assert_int_equal(fixup_write(f, in % 900 ? "y" : ":", 1), 0);
        assert_in_range(in - sink.out.len, 0, 1000);
    }
    fixup_free(f);
    buf_done(&sink.out);
}

static void the_first_error_is_final(void **state)
{
    (void)state;
    struct str in = STR("Return-Path: x\r\nA: b\r\nDate:\r\n x\r\nMessage-ID: y\r\n\r\nbody");
    size_t fail_at = 1;
    for (;; fail_at++) {
        struct sink sink = {.out = BUF_INIT(10000), .fail_at = fail_at};
        struct fixup *f = open_fixup(ADD, &sink);
        int r = 0;
        for (size_t i = 0; i < in.len && r == 0; i++)
            r = fixup_write(f, in.p + i, 1);
        size_t calls = sink.calls;
        int again = fixup_write(f, "x", 1), end = fixup_finish(f);
        bool failed = r == -ENOSPC;
        if (failed)
            assert_true(again == -ENOSPC && end == -ENOSPC && sink.calls == calls);
        fixup_free(f);
        buf_done(&sink.out);
        if (!failed)
            break;
    }
    assert_in_range(fail_at, 5, 100);
}

/* ---- whose name is on the message ---- */

struct owner {
    struct sink sink; /* first: take() gets the same pointer */
    const char *add;
    int calls, result;
    struct buf seen;
};

static int on_names(void *arg, const struct fixup_names *n, struct buf *add)
{
    struct owner *o = arg;
    o->calls++;
    int r = buf_printf(&o->seen, "%u[%.*s]%u[%.*s]%s", n->n_from, STR_FMT(n->from), n->n_sender,
                       STR_FMT(n->sender), n->too_long ? "long" : "");
    assert_int_equal(r, 0);
    return o->result ? o->result : buf_puts(add, o->add);
}

static int run_owned(struct owner *o, struct str in, bool take_sender, size_t step)
{
    const struct fixup_config cfg = {.on_names = on_names, .take_sender = take_sender};
    struct fixup *f = fixup_new(&cfg, take, o);
    int r = 0;
    for (size_t at = 0; r == 0 && at < in.len; at += step) {
        struct str piece = str_upto(str_from(in, at), step);
        r = fixup_write(f, piece.p, piece.len);
    }
    if (r == 0)
        r = fixup_finish(f);
    fixup_free(f);
    return r;
}

/* MSG-04 */
static void the_names_on_a_message_are_shown_once(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        bool take;
        const char *in, *add, *seen, *want;
    } cases[] = {
        {"both", false, "From: a\r\n b\r\nSender : c\r\nTo: x\r\n\r\nFrom: no\r\n", "",
         "1[ a\r\n b\r\n]1[ c\r\n]", "From: a\r\n b\r\nSender : c\r\nTo: x\r\n\r\nFrom: no\r\n"},
        {"sender goes", true, "From: a\r\nSender:\r\n c\r\nTo: x\r\n\r\nb", "Sender: me\r\n",
         "1[ a\r\n]1[\r\n c\r\n]", "From: a\r\nTo: x\r\nSender: me\r\n\r\nb"},
        {"twice", false, "From: a\r\nfrom: b\r\n\r\n", "", "2[ a\r\n b\r\n]0[]",
         "From: a\r\nfrom: b\r\n\r\n"},
        {"resent is another matter", false, "Resent-From: a\r\n\r\n", "", "0[]0[]",
         "Resent-From: a\r\n\r\n"},
        {"no body", false, "From: a\r\n", "Sender: me\r\n", "1[ a\r\n]0[]",
         "From: a\r\nSender: me\r\n"},
        {"no line end", false, "From: a", "Sender: me\r\n", "1[ a]0[]",
         "From: a\r\nSender: me\r\n"},
        {"no line end, nothing added", false, "From: a", "", "1[ a]0[]", "From: a"},
        {"no header", false, "hello\r\n", "Sender: me\r\n", "0[]0[]",
         "Sender: me\r\n\r\nhello\r\n"},
        {"nothing", false, "", "Sender: me\r\n", "0[]0[]", "Sender: me\r\n\r\n"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (size_t step = 1; step < 50; step++) {
            struct owner o = {
                .sink = {.out = BUF_INIT(10000)}, .add = cases[i].add, .seen = BUF_INIT(10000)};
            check(cases[i].name, run_owned(&o, str_of(cases[i].in), cases[i].take, step) == 0);
            check(cases[i].name, o.calls == 1);
            if (strcmp(o.seen.data, cases[i].seen) != 0 ||
                !str_eq(buf_str(&o.sink.out), str_of(cases[i].want)))
                fail_msg("%s: %s / %s", cases[i].name, o.seen.data, buf_str(&o.sink.out).p);
            buf_done(&o.seen);
            buf_done(&o.sink.out);
        }
    }
}

static void a_long_from_is_not_kept_whole(void **state)
{
    (void)state;
    static char text[FIXUP_NAMES_MAX + 100] = "From:";
    memset(text + 5, 'a', sizeof(text) - 5);
    struct owner o = {
        .sink = {.out = BUF_INIT(20000)}, .add = "", .seen = BUF_INIT(20000)};
    assert_int_equal(run_owned(&o, (struct str){text, sizeof(text)}, false, 100), 0);
    assert_non_null(strstr(o.seen.data, "long"));
    assert_true(str_eq(buf_str(&o.sink.out), (struct str){text, sizeof(text)}));
    buf_done(&o.seen);
    buf_done(&o.sink.out);
}

static void the_owner_may_refuse(void **state)
{
    (void)state;
    struct owner o = {
        .sink = {.out = BUF_INIT(100)}, .add = "", .seen = BUF_INIT(100), .result = -EPERM};
    assert_int_equal(run_owned(&o, STR("From: a\r\n\r\nbody\r\n"), false, 100), -EPERM);
    buf_done(&o.seen);
    buf_done(&o.sink.out);
}

static void nobody_home_is_fine(void **state)
{
    (void)state;
    fixup_free(NULL);
    fixup_free(open_fixup(ADD, NULL));
}

static int keep_all(void *arg, const char *data, size_t len)
{
    return buf_append(arg, data, len);
}

/* The fields of RFC 5322 section 3.6 that come once; the first that came again is named (MSG-05). */
static void what_came_twice_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *in, *want;
    } cases[] = {
        {"From: a@b\r\nTo: c\r\nCc: d\r\nSubject: s\r\n\r\nTo: e\r\n", NULL        },
        {"To: a\r\nX: y\r\nTO: b\r\nFrom: c\r\nfrom: d\r\n\r\n",       "To"        },
        {"Message-Id: <a@b>\r\nMessage-ID: <c@d>\r\n\r\n",             "Message-ID"},
        {"Received: a\r\nReceived: b\r\nResent-From: a\r\nResent-From: b\r\nComments: a\r\nComments: b\r\n\r\n", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf out = BUF_INIT(4096);
        const struct fixup_config cfg = {.hostname = "h", .queue_id = "q"};
        struct fixup *f = fixup_new(&cfg, keep_all, &out);
        assert_int_equal(fixup_write(f, cases[i].in, strlen(cases[i].in)), 0);
        assert_int_equal(fixup_finish(f), 0);
        const char *got = fixup_facts(f)->repeated;
        check(cases[i].in, got == cases[i].want || (got && cases[i].want && strcmp(got, cases[i].want) == 0));
        fixup_free(f);
        buf_done(&out);
    }
}

int main(void)
{
    (void)setenv("TZ", "UTC0", 1);
    tzset();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_come_out_mended_in_any_pieces),
        cmocka_unit_test(mending_twice_changes_nothing),
        cmocka_unit_test(facts_are_told),
        cmocka_unit_test(long_lines_pass_in_little_memory),
        cmocka_unit_test(little_is_kept_back),
        cmocka_unit_test(the_first_error_is_final),
        cmocka_unit_test(the_names_on_a_message_are_shown_once),
        cmocka_unit_test(a_long_from_is_not_kept_whole),
        cmocka_unit_test(the_owner_may_refuse),
        cmocka_unit_test(nobody_home_is_fine),
        cmocka_unit_test(what_came_twice_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
