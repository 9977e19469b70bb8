/* Parameters of MAIL and RCPT, and xtext, from hostile octets.
 *
 * Checked: parameters lie inside the input and come to an end; xtext of anything decodes to it; what decodes
 * encodes to something that decodes to the same. */
#include "smtp/params.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        __builtin_trap();
}

static void check_params(struct str in)
{
    struct str rest = in;
    struct smtp_param p;
    while (smtp_param_next(&rest, &p) == 1) {
        must(p.keyword.len > 0 && p.keyword.p >= in.p);
        must(p.has_value == (p.value.len > 0));
        must(!p.has_value || p.value.p == p.keyword.p + p.keyword.len + 1);
        must(rest.p == (p.has_value ? p.value.p + p.value.len : p.keyword.p + p.keyword.len));
        must(rest.p + rest.len == in.p + in.len);
        must(!str_has_control(p.value) && str_find(p.value, ' ') < 0 && str_find(p.value, '=') < 0);
        must(str_is_utf8(p.value) && p.is_utf8 == !str_is_ascii(p.value));
    }
}

static void check_round_trip(struct str octets)
{
    struct buf text = BUF_INIT(octets.len * 3), back = BUF_INIT(octets.len);
    must(xtext_encode(octets, &text) == 0);
    must(xtext_decode(buf_str(&text), &back) == 0);
    must(str_eq(buf_str(&back), octets));
    buf_done(&text);
    buf_done(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = {(const char *)data, size};
    struct buf plain = BUF_INIT(size);
    check_params(in);
    check_round_trip(in);
    if (xtext_decode(in, &plain) == 0)
        check_round_trip(buf_str(&plain));
    else
        must(plain.len == 0);
    buf_done(&plain);
    return 0;
}
