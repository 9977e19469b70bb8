#include "smtp/xclient.h"

#include "base/net_range.h"
#include "smtp/address.h"
#include "smtp/params.h"

#include <errno.h>

/* What a value becomes; it is neither empty nor longer than VALUE_MAX, and holds no control character. */
#define VALUE_MAX 320
typedef int take_fn(struct str value, struct smtp_xclient *x);

static int keep(struct str value, char *to, size_t size)
{
    if (value.len >= size)
        return -EINVAL;
    memcpy(to, value.p, value.len);
    to[value.len] = '\0';
    return 0;
}

static int take_name(struct str value, struct smtp_xclient *x)
{
    return value.p[0] != '[' && smtp_helo_is_valid(value) ? keep(value, x->name, sizeof(x->name))
                                                          : -EINVAL;
}

/* "192.0.2.7", "IPV6:2001:db8::7"; without the tag, too, as some write it. */
static int take_address(struct str value, unsigned char ip[16])
{
    struct str tag = STR("IPV6:");
    char text[48];
    bool tagged = str_starts_nocase(value, tag);
    int r = keep(str_from(value, tagged ? tag.len : 0), text, sizeof(text));
    int len = r < 0 ? r : net_address_parse(text, ip);
    return tagged && len == 4 ? -EINVAL : len;
}

static int take_addr(struct str value, struct smtp_xclient *x)
{
    int len = take_address(value, x->ip);
    if (len > 0)
        x->ip_len = (size_t)len;
    return len < 0 ? len : 0;
}

static int take_number(struct str value, unsigned *to)
{
    uint64_t n;
    if (str_to_u64(value, 65535, &n) < 0)
        return -EINVAL;
    *to = (unsigned)n;
    return 0;
}

static int take_port(struct str value, struct smtp_xclient *x)
{
    return take_number(value, &x->port);
}

static int take_proto(struct str value, struct smtp_xclient *x)
{
    bool known = str_eq_nocase(value, STR("SMTP")) || str_eq_nocase(value, STR("ESMTP"));
    return known ? keep(value, x->proto, sizeof(x->proto)) : -EINVAL;
}

static int take_helo(struct str value, struct smtp_xclient *x)
{
    return smtp_helo_is_valid(value) ? keep(value, x->helo, sizeof(x->helo)) : -EINVAL;
}

static int take_login(struct str value, struct smtp_xclient *x)
{
    return str_is_utf8(value) ? keep(value, x->login, sizeof(x->login)) : -EINVAL;
}

static int take_destaddr(struct str value, struct smtp_xclient *x)
{
    unsigned char ip[16];
    return take_address(value, ip) > 0 ? keep(value, x->destaddr, sizeof(x->destaddr)) : -EINVAL;
}

static int take_destport(struct str value, struct smtp_xclient *x)
{
    return take_number(value, &x->destport);
}

static const struct {
    const char *name;
    take_fn *take;
} attributes[] = {
    {"NAME",     take_name    },
    {"ADDR",     take_addr    },
    {"PORT",     take_port    },
    {"PROTO",    take_proto   },
    {"HELO",     take_helo    },
    {"LOGIN",    take_login   },
    {"DESTADDR", take_destaddr},
    {"DESTPORT", take_destport},
};

static bool is_unknown(struct str value)
{
    return str_eq_nocase(value, STR("[UNAVAILABLE]")) || str_eq_nocase(value, STR("[TEMPUNAVAIL]"));
}

static int take_value(take_fn *take, struct str xtext, struct smtp_xclient *x)
{
    CLEANUP(buf_done) struct buf value = BUF_INIT(VALUE_MAX);
    if (is_unknown(xtext))
        return 0;
    if (xtext_decode(xtext, &value) < 0 || value.len == 0 || str_has_control(buf_str(&value)))
        return -EINVAL;
    return take(buf_str(&value), x);
}

/* "NAME=value" */
static int take_word(struct str word, struct smtp_xclient *x)
{
    ssize_t equals = str_find(word, '=');
    for (size_t i = 0; equals > 0 && i < ARRAY_LEN(attributes); i++) {
        if (!str_eq_nocase(str_upto(word, (size_t)equals), str_of(attributes[i].name)))
            continue;
        if (x->told & 1U << i)
            return -EINVAL;
        x->told |= 1U << i;
        return take_value(attributes[i].take, str_from(word, (size_t)equals + 1), x);
    }
    return -EINVAL;
}

int smtp_xclient_parse(struct str args, struct smtp_xclient *x, struct str *ret_bad)
{
    struct smtp_xclient all = *x;
    struct str rest = str_trim(args);
    do {
        ssize_t space = str_find(rest, ' ');
        struct str word = str_upto(rest, space < 0 ? rest.len : (size_t)space);
        if (take_word(word, &all) < 0) {
            *ret_bad = word;
            return -EINVAL;
        }
        rest = str_trim(str_from(rest, word.len));
    } while (rest.len);
    *x = all;
    return 0;
}
