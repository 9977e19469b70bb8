/* Replies of IMAP and POP3 servers, fed with anything in any pieces.  However the octets are cut, the outcome is the
 * same. */
#include "probe/mailbox_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        __builtin_trap();
}

static const char *tag_of(enum mailbox_kind kind, bool first)
{
    return kind == MAILBOX_POP3 || first ? "" : "p1";
}

/* Reply after reply, and how it ended; every second one of POP3 has several lines. */
static int
read_all(const char *data, size_t size, size_t piece, enum mailbox_kind kind, struct buf *seen)
{
    struct mailbox_hearing h;
    mailbox_hearing_init(&h, kind);
    mailbox_hearing_begin(&h, "", false);
    size_t used = 0, have = 0;
    unsigned replies = 0;
    ssize_t n = 0;
    while (have < size && n >= 0) {
        have = MIN(have + piece, size);
        while ((n = mailbox_hearing_feed(&h, data + used, have - used)) >= 0) {
            must((size_t)n <= have - used);
            used += (size_t)n;
            if (!h.complete)
                break;
            must(h.status != MAILBOX_NONE && h.lines > 0 && h.lines <= MAILBOX_LINES);
            must(buf_printf(seen, "%d %s %d\n", (int)h.status, h.last,
                            mailbox_hearing_has(&h, "AUTH=EXTERNAL")) == 0);
            replies++;
            mailbox_hearing_begin(&h, tag_of(kind, false), replies % 2 == 1);
        }
    }
    mailbox_hearing_done(&h);
    return n < 0 ? (int)n : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > 100000)
        return 0;
    enum mailbox_kind kind = data[0] & 1 ? MAILBOX_POP3 : MAILBOX_IMAP;
    size_t piece = (size_t)data[1] + 1;
    char *in = malloc(size);
    if (!in)
        return 0;
    memcpy(in, data + 2, size - 2);
    struct buf whole = BUF_INIT((size_t)8 << 20), pieces = BUF_INIT((size_t)8 << 20);
    int a = read_all(in, size - 2, size, kind, &whole);
    int b = read_all(in, size - 2, piece, kind, &pieces);
    must(a == b && str_eq(buf_str(&whole), buf_str(&pieces)));
    buf_done(&whole);
    buf_done(&pieces);
    free(in);
    return 0;
}
