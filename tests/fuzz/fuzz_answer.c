/* The reply parser and the capability list, fed with anything in any pieces.  However the octets are cut, the
 * outcome is the same. */
#include "smtp/client_ehlo.h"
#include "smtp/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        __builtin_trap();
}

/* Everything that was read, codes and texts, and how it ended. */
static int read_all(const char *data, size_t size, size_t piece, struct buf *seen)
{
    struct smtp_answer a;
    smtp_answer_init(&a);
    size_t used = 0, have = 0;
    ssize_t n = 0;
    while (have < size && n >= 0) {
        have = MIN(have + piece, size);
        while ((n = smtp_answer_feed(&a, data + used, have - used)) >= 0) {
            must((size_t)n <= have - used);
            used += (size_t)n;
            if (!a.complete)
                break;
            must(a.code >= 200 && a.code <= 599 && a.lines > 0 && a.lines <= SMTP_REPLY_LINES);
            must(buf_printf(seen, "%d %s\n", a.code, a.enhanced) == 0);
            must(buf_append_str(seen, buf_str(&a.text)) == 0);
            smtp_answer_clear(&a);
        }
    }
    smtp_answer_done(&a);
    return n < 0 ? (int)n : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > 200000)
        return 0;
    size_t piece = (size_t)data[0] + 1;
    char *in = malloc(size);
    if (!in)
        return 0;
    memcpy(in, data + 1, size - 1);
    struct buf whole = BUF_INIT((size_t)1 << 20), pieces = BUF_INIT((size_t)1 << 20);
    int a = read_all(in, size - 1, size, &whole);
    int b = read_all(in, size - 1, piece, &pieces);
    must(a == b && str_eq(buf_str(&whole), buf_str(&pieces)));
    struct smtp_capabilities caps;
    smtp_capabilities_read(&caps, buf_str(&whole));
    must(strlen(caps.mechanisms) < sizeof(caps.mechanisms));
    buf_done(&whole);
    buf_done(&pieces);
    free(in);
    return 0;
}
