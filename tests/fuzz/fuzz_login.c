/* What strangers and their tables say around a login: SCRAM and PLAIN messages, Dovecot's lines, the values of tables. */
#include "auth/dovecot.h"
#include "auth/names.h"
#include "auth/password.h"
#include "auth/plain.h"
#include "auth/prepare.h"
#include "auth/scram_client.h"

#include <stdlib.h>

#define must(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static struct str next_line(struct str *rest)
{
    ssize_t lf = str_find(*rest, '\n');
    struct str line = str_upto(*rest, lf < 0 ? rest->len : (size_t)lf);
    *rest = str_from(*rest, line.len + 1);
    return line;
}

static void scram(struct str in, bool plus)
{
    const struct scram_channel channel = {STR("exported"), STR("endpoint")};
    struct scram *s = scram_new(plus, true, channel);
    struct scram_keys keys = {0};
    struct buf out = BUF_INIT(SCRAM_MESSAGE_MAX);
    scram_keys_fake(&keys, (const unsigned char *)"0123456789abcdef0123456789abcdef", STR("x"));
    if (scram_first(s, next_line(&in)) == 0) {
        must(scram_user(s).len && str_is_utf8(scram_user(s)) && !str_has_control(scram_user(s)));
        must(scram_challenge(s, &keys, STR("nonce"), &out) == 0 || out.len == 0);
        buf_clear(&out);
        must(scram_final(s, in, &out) != 0); /* nobody knows that password */
    }
    buf_done(&out);
    scram_free(s);
}

/* A high count is refused or computed; the fuzzer has no time for the latter. */
static bool is_dear(struct str in)
{
    const char *count = in.len ? memmem(in.p, in.len, "i=", 2) : NULL;
    uint64_t n = 0;
    for (size_t i = count ? (size_t)(count - in.p) + 2 : in.len; i < in.len && n < 10000; i++)
        n = in.p[i] >= '0' && in.p[i] <= '9' ? n * 10 + (uint64_t)(in.p[i] - '0') : n;
    return n > 4100;
}

static void scram_client(struct str in)
{
    const struct scram_login login = {
        .user = STR("us,er"), .password = STR("pencil"), .binding = SCRAM_EXPORTER, .channel = STR("x"), .nonce = STR("nonce")};
    struct buf out = BUF_INIT(SCRAM_MESSAGE_MAX);
    struct scram_client *s = is_dear(in) ? NULL : scram_client_new(&login);
    if (s && scram_client_proof(s, next_line(&in), &out) == 0) {
        must(out.len && !str_has_control(buf_str(&out)));
        must(scram_client_check(s, in) < 0); /* nobody knows that password */
    }
    must(!s || !scram_client_is_proved(s));
    buf_done(&out);
    scram_client_free(s);
}

static void dovecot(struct str in)
{
    struct dovecot d;
    dovecot_init(&d);
    while (in.len) {
        enum dovecot_word w = dovecot_read(&d, next_line(&in));
        must(w != DOVECOT_OK || (d.greeted && d.version && !str_has_control(buf_str(&d.user))));
        if (w != DOVECOT_MORE && w != DOVECOT_READY)
            break;
    }
    dovecot_done(&d);
}

static void plain(struct str in)
{
    struct plain p;
    if (plain_parse(in, &p) < 0)
        return;
    must(p.user.len && p.password.len && p.authzid.len + p.user.len + p.password.len + 2 == in.len);
    struct buf again = BUF_INIT((size_t)4 * PLAIN_PART_MAX);
    if (plain_format(&p, &again) == 0)
        must(plain_parse(buf_str(&again), &p) == 0);
    buf_done(&again);
}

static void values(struct str in)
{
    struct scram_keys k;
    struct str name = next_line(&in);
    (void)names_include(in, name);
    if (names_mistake(in).len == 0 && name.len == 0)
        must(!names_include(in, name));
    if (scram_keys_parse(in, &k) == 0) {
        struct buf again = BUF_INIT(PASSWORD_ENTRY_MAX);
        must(scram_keys_format(&k, &again) == 0 && scram_keys_parse(buf_str(&again), &k) == 0);
        buf_done(&again);
    }
    struct buf prepared = BUF_INIT(4096);
    if (prepare_typed(in, &prepared) == 0)
        must(prepared.len && str_is_utf8(buf_str(&prepared)));
    buf_done(&prepared);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct str in = {(const char *)data + 1, size - 1};
    switch (data[0] % 5) {
    case 0:
    case 1:
        scram(in, data[0] % 5 == 1);
        scram_client(in);
        break;
    case 2:
        dovecot(in);
        break;
    case 3:
        plain(in);
        break;
    default:
        values(in);
    }
    return 0;
}
