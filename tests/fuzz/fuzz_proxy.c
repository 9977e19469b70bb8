/* The header of a proxy from hostile octets: what comes out of it is text, and nothing beyond its end is read. */
#include "smtp/proxy.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = {(const char *)data, size};
    struct proxy_header h;
    int n = proxy_length(in);
    must(n < 0 || (n >= PROXY_HEADER_MIN && n <= PROXY_HEADER_MAX));
    if (proxy_parse(in, &h) < 0)
        return 0;
    must((size_t)n == size);
    must(!h.verified || h.certificate);
    must(!h.certificate || h.tls);
    must(h.der.len == 0 || (h.certificate && h.der.p > in.p && h.der.p + h.der.len <= in.p + in.len));
    must(!h.local || (!h.tls && h.family == PROXY_UNKNOWN));
    check_text(h.tls_version, sizeof(h.tls_version));
    check_text(h.cipher, sizeof(h.cipher));
    check_text(h.common_name, sizeof(h.common_name));
    check_text(h.identity, sizeof(h.identity));
    return 0;
}
