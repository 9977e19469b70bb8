/* The fix-up filter, fed with hostile messages in hostile pieces.
 *
 * The first octets choose settings and pieces.  Checked: the output does not depend on the pieces (F1); no more
 * than a line is kept back (F2); the fields that were to be added are there, and are not added twice. */
#include "message/fixup.h"

#define STEER 8
#define KEPT_MAX 1000
#define ADDED_MAX 200 /* Date, Message-ID and two line ends */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        __builtin_trap();
}

static int take(void *arg, const char *data, size_t len)
{
    must(len > 0);
    return buf_append(arg, data, len);
}

/* Pieces of the sizes in `steer`, over and over; all at once without it. */
static struct fixup_facts
run(const struct fixup_config *cfg, struct str in, const uint8_t *steer, struct buf *out)
{
    struct fixup *f = fixup_new(cfg, take, out);
    for (size_t i = 0; in.len > 0; i++) {
        struct str piece = str_upto(in, steer ? 1 + steer[i % STEER] % 100U : in.len);
        must(fixup_write(f, piece.p, piece.len) == 0);
        in = str_from(in, piece.len);
    }
    must(fixup_finish(f) == 0);
    struct fixup_facts facts = *fixup_facts(f);
    must(facts.header_done);
    fixup_free(f);
    return facts;
}

static bool same_facts(const struct fixup_facts *a, const struct fixup_facts *b)
{
    return a->received == b->received && a->has_from == b->has_from && a->has_date == b->has_date &&
           a->has_message_id == b->has_message_id && a->header_is_8bit == b->header_is_8bit &&
           a->body_is_8bit == b->body_is_8bit && a->repeated == b->repeated &&
           a->tls_is_optional == b->tls_is_optional;
}

static void check_little_is_kept(const struct fixup_config *cfg, struct str in)
{
    struct buf out = BUF_INIT(in.len + ADDED_MAX);
    struct fixup *f = fixup_new(cfg, take, &out);
    for (size_t i = 0; i < in.len; i++) {
        size_t before = out.len;
        must(fixup_write(f, in.p + i, 1) == 0);
        must(out.len <= before + KEPT_MAX + 1 + ADDED_MAX);
    }
    fixup_free(f);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < STEER)
        return 0;
    struct fixup_config cfg = {.add_date = data[0] & 1,
                               .add_message_id = data[0] & 2,
                               .remove_bcc = data[0] & 4,
                               .replace_date = data[0] & 8,
                               .hostname = "mail.example.org",
                               .queue_id = "q",
                               .now_ms = 1790856000000};
    struct str in = {(const char *)data + STEER, size - STEER};
    struct buf whole = BUF_INIT(in.len + ADDED_MAX), pieces = BUF_INIT(in.len + ADDED_MAX);
    struct buf again = BUF_INIT(in.len + 2 * ADDED_MAX);
    struct fixup_facts facts = run(&cfg, in, NULL, &whole);
    struct fixup_facts other = run(&cfg, in, data, &pieces);
    must(str_eq(buf_str(&whole), buf_str(&pieces)) && same_facts(&facts, &other));
    check_little_is_kept(&cfg, in);

    /* Its fields are there now: a second time nothing is added. */
    other = run(&cfg, buf_str(&whole), data, &again);
    must(again.len <= whole.len);
    must(!cfg.add_date || other.has_date);
    must(!cfg.add_message_id || other.has_message_id);
    buf_done(&whole);
    buf_done(&pieces);
    buf_done(&again);
    return 0;
}
