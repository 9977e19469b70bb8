/* The arguments of XCLIENT from hostile octets: what comes out of them is of the kind it says it is. */
#include "smtp/address.h"
#include "smtp/xclient.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds)
{
    if (!holds)
        __builtin_trap();
}

static void check_text(const char *s, size_t size)
{
    must(strnlen(s, size) < size && str_is_utf8(str_of(s)) && !str_has_control(str_of(s)));
}

static void check_value(const struct smtp_xclient *x)
{
    must(x->ip_len == 0 || x->ip_len == 4 || x->ip_len == 16);
    must(x->port <= 65535 && x->destport <= 65535);
    must(!x->name[0] || smtp_helo_is_valid(str_of(x->name)));
    must(!x->helo[0] || smtp_helo_is_valid(str_of(x->helo)));
    check_text(x->login, sizeof(x->login));
    check_text(x->proto, sizeof(x->proto));
    check_text(x->destaddr, sizeof(x->destaddr));
}

/* Each line is a command: what it tells is added, or nothing is. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = {(const char *)data, size};
    struct smtp_xclient x = {0};
    do {
        ssize_t lf = str_find(rest, '\n');
        struct str in = str_upto(rest, lf < 0 ? rest.len : (size_t)lf), bad = STR("untouched");
        struct smtp_xclient before = x;
        rest = str_from(rest, MIN(in.len + 1, rest.len));
        if (smtp_xclient_parse(in, &x, &bad) < 0) {
            must(bad.p >= in.p && bad.p + bad.len <= in.p + in.len);
            must(memcmp(&before, &x, sizeof(x)) == 0);
            continue;
        }
        must((x.told & before.told) == before.told && x.told != before.told);
        must(!before.login[0] || strcmp(before.login, x.login) == 0);
        must(!before.ip_len || (before.ip_len == x.ip_len && memcmp(before.ip, x.ip, x.ip_len) == 0));
        check_value(&x);
    } while (rest.len);
    return 0;
}
