/* A message as anybody may hand it over, in hostile pieces.
 *
 * The first octets choose settings and pieces.  Checked: what comes out does not depend on the pieces; every line ends
 * with CR LF and no CR or LF stands elsewhere; no more recipients than octets; taking in what came out changes
 * nothing any more, so that a message may be sent on; and once mended it has no long line, and nothing to mend. */
#include "send/mend.h"
#include "smtp/dots.h"

#define STEER 8
#define OUT_MAX ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        __builtin_trap();
}

struct result {
    struct send_text text;
    struct recipients to;
    struct intake_facts facts;
    int error;
};

static void
run(const struct intake_config *cfg, struct str in, const uint8_t *steer, struct result *ret)
{
    send_text_init(&ret->text);
    recipients_init(&ret->to);
    struct intake *intake = intake_new(cfg, &ret->text, &ret->to);
    for (size_t i = 0; in.len > 0; i++) {
        struct str piece = str_upto(in, steer ? 1 + steer[i % STEER] % 100U : in.len);
        must(intake_write(intake, piece.p, piece.len) == 0);
        in = str_from(in, piece.len);
    }
    ret->error = intake_finish(intake);
    ret->facts = *intake_facts(intake);
    must(ret->error == 0 || *intake_why(intake));
    intake_free(intake);
}

static void done(struct result *r)
{
    send_text_done(&r->text);
    recipients_done(&r->to);
}

static void check_lines(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        must(text.p[i] != '\r' || (i + 1 < text.len && text.p[i + 1] == '\n'));
        must(text.p[i] != '\n' || (i > 0 && text.p[i - 1] == '\r'));
    }
    must(text.len >= 2 && text.p[text.len - 1] == '\n');
}

static void check_lengths(struct str text)
{
    size_t column = 0;
    for (size_t i = 0; i < text.len; i++) {
        column = text.p[i] == '\n' ? 0 : column + (text.p[i] != '\r');
        must(column <= DOTS_LINE_MAX);
    }
}

/* Alters the result. */
static void mend(struct result *r)
{
    struct mend_config cfg = {.facts = &r->facts, .domain = "x.org"};
    char why[MEND_WHY_MAX];
    uint64_t before = r->text.size;
    int error = mend_text(&r->text, &cfg, &r->facts.body_is_8bit, why);
    must(r->text.fd >= 0 || r->text.size == r->text.memory.len);
    must(error == 0 || (*why && r->text.size == before));
    if (error < 0 || r->text.fd >= 0)
        return;
    check_lines(buf_str(&r->text.memory));
    check_lengths(buf_str(&r->text.memory));
    struct intake_config plain = {.hostname = "x.org", .id = "id"};
    struct mend_config again = {.domain = "y.org"};
    struct result second;
    run(&plain, buf_str(&r->text.memory), NULL, &second);
    again.facts = &second.facts;
    must(second.facts.long_line == 0);
    must(mend_text(&second.text, &again, &second.facts.body_is_8bit, why) == 0);
    must(str_eq(buf_str(&r->text.memory), buf_str(&second.text.memory)));
    send_text_done(&second.text);
    recipients_done(&second.to);
}

static void check_same(const struct result *a, const struct result *b)
{
    must(a->error == b->error);
    must(str_eq(buf_str(&a->text.memory), buf_str(&b->text.memory)));
    must(a->to.n == b->to.n && strcmp(a->facts.sender, b->facts.sender) == 0);
    must(a->facts.header_is_8bit == b->facts.header_is_8bit);
    must(a->facts.body_is_8bit == b->facts.body_is_8bit && a->facts.ended == b->facts.ended);
    must(a->facts.body_at == b->facts.body_at && a->facts.body_line == b->facts.body_line);
    must(a->facts.long_line == b->facts.long_line);
    for (size_t i = 0; i < a->to.n; i++)
        must(strcmp(a->to.list[i], b->to.list[i]) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < STEER || size > OUT_MAX / 4)
        return 0;
    struct intake_config cfg = {
        .dot_ends = data[0] & 1,
        .take_recipients = data[0] & 2,
        .from = data[0] & 4 ? "me@x.org" : NULL,
        .hostname = "x.org",
        .id = "id",
    };
    struct str in = {(const char *)data + STEER, size - STEER};
    struct result whole, pieces, again;
    run(&cfg, in, NULL, &whole);
    run(&cfg, in, data, &pieces);
    must(whole.text.fd < 0);
    check_same(&whole, &pieces);
    check_lines(buf_str(&whole.text.memory));
    must(whole.to.n <= in.len && recipients_complete(&whole.to, "x.org") == 0);
    cfg.dot_ends = false;
    cfg.take_recipients = false;
    run(&cfg, buf_str(&whole.text.memory), NULL, &again);
    must(str_eq(buf_str(&whole.text.memory), buf_str(&again.text.memory)));
    mend(&whole);
    done(&whole);
    done(&pieces);
    done(&again);
    return 0;
}
