/* The filter that makes messages 7-bit, fed with hostile ones, and with good ones made from the input.
 *
 * Checked, with both aims: what comes out is 7-bit in lines (W2), does not depend on the pieces (W1), and is a fixed point but for what
 * is encoded twice; a well-formed message decodes to the same afterwards. */
#include "message/downgrade.h"

#include "../unit/mimekit.h"

#define TEXT_MAX ((size_t)8 << 20)

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

static const struct downgrade_config to_7bit, lines_only = {.lines_only = true, .charset = "utf-8"};

static int
convert(const struct downgrade_config *cfg, struct str text, size_t piece, struct buf *out)
{
    struct downgrade *d = downgrade_new(cfg, take, out);
    int r = 0;
    while (text.len && r == 0) {
        struct str head = str_upto(text, piece);
        r = downgrade_write(d, head.p, head.len);
        text = str_from(text, head.len);
    }
    int end = downgrade_finish(d);
    must(r == 0 || end == r);
    downgrade_free(d);
    return end;
}

static void check_lines(const struct downgrade_config *cfg, struct str s)
{
    size_t column = 0;
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        must(c > 0 && (cfg->lines_only || c < 0x80));
        must(c != '\n' || (i > 0 && s.p[i - 1] == '\r'));
        must(c != '\r' || (i + 1 < s.len && s.p[i + 1] == '\n'));
        column = c == '\n' ? 0 : column + 1;
        must(column <= 999);
    }
}

static void check_hostile(const struct downgrade_config *cfg, struct str in, size_t piece)
{
    struct buf out = BUF_INIT(TEXT_MAX), again = BUF_INIT(TEXT_MAX);
    int r = convert(cfg, in, SIZE_MAX, &out);
    must(convert(cfg, in, piece, &again) == r);
    must(r < 0 || str_eq(buf_str(&out), buf_str(&again)));
    check_lines(cfg, r < 0 ? STR("") : buf_str(&out));
    buf_done(&out);
    buf_done(&again);
}

static void check_well_formed(const struct downgrade_config *cfg, const uint8_t *data, size_t size)
{
    struct mime_source s = {data, size, 0};
    struct buf in = BUF_INIT(TEXT_MAX), out = BUF_INIT(TEXT_MAX), want = BUF_INIT(TEXT_MAX),
               got = BUF_INIT(TEXT_MAX);
    mime_say(&in, "MIME-Version: 1.0\r\n");
    mime_entity(&s, 4, true, false, &in, &want);
    must(convert(cfg, buf_str(&in), 1 + size % 9, &out) == 0);
    check_lines(cfg, buf_str(&out));
    mime_read(buf_str(&out), &got);
    must(str_eq(buf_str(&got), buf_str(&want)));
    buf_done(&in);
    buf_done(&out);
    buf_done(&want);
    buf_done(&got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const struct downgrade_config *cfg = data[0] & 128 ? &lines_only : &to_7bit;
    if (data[0] % 4 == 0)
        check_well_formed(cfg, data + 1, size - 1);
    else
        check_hostile(cfg, (struct str){(const char *)data + 1, size - 1}, data[0] & 127);
    return 0;
}
