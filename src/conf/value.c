#include "conf/value.h"

#include "cert/judge.h"

#include <arpa/inet.h>
#include <errno.h>
#include <idn2.h>
#include <strings.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* A number and one of the units; the number may stand alone when `bare` says so. */
static int
with_unit(const char *text, const struct unit *units, size_t n_units, bool bare, uint64_t *ret)
{
    struct str s = str_of(text);
    size_t digits = strspn(text, "0123456789");
    uint64_t n, factor = 0;
    if (str_to_u64(str_upto(s, digits), INT64_MAX, &n) < 0)
        return -EINVAL;
    for (size_t i = 0; i < n_units; i++) {
        if (strcasecmp(text + digits, units[i].name) == 0)
            factor = units[i].factor;
    }
    if (digits == s.len && (bare || n == 0))
        factor = 1;
    if (factor == 0 || n > INT64_MAX / factor)
        return -EINVAL;
    *ret = n * factor;
    return 0;
}

int value_duration(const char *text, int64_t *ret_ms)
{
    static const struct unit units[] = {
        {"ms", 1        },
        {"s",  1000     },
        {"m",  60000    },
        {"h",  3600000  },
        {"d",  86400000 },
        {"w",  604800000}
    };
    uint64_t ms;
    int r = with_unit(text, units, ARRAY_LEN(units), false, &ms);
    if (r == 0)
        *ret_ms = (int64_t)ms;
    return r;
}

int value_size(const char *text, uint64_t *ret)
{
    static const struct unit units[] = {
        {"K", 1ull << 10},
        {"M", 1ull << 20},
        {"G", 1ull << 30},
        {"T", 1ull << 40}
    };
    return with_unit(text, units, ARRAY_LEN(units), true, ret);
}

int value_yes_no(const char *text, bool *ret)
{
    static const struct {
        const char *word;
        bool value;
    } words[] = {
        {"yes",   true },
        {"no",    false},
        {"true",  true },
        {"false", false},
        {"on",    true },
        {"off",   false}
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcmp(text, words[i].word) == 0) {
            *ret = words[i].value;
            return 0;
        }
    }
    return -EINVAL;
}

static int port_number(struct str s, unsigned *ret)
{
    uint64_t port;
    if (str_to_u64(s, 65535, &port) < 0 || port == 0)
        return -EINVAL;
    *ret = (unsigned)port;
    return 0;
}

/* Splits at the colon before the port; brackets around the host come off and are remembered. */
static int split_port(struct str s, struct str *ret_host, struct str *ret_port, bool *ret_brackets)
{
    bool brackets = s.len > 0 && s.p[0] == '[';
    ssize_t colon = -1;
    if (brackets) {
        ssize_t close = str_find(s, ']');
        if (close < 0)
            return -EINVAL;
        struct str rest = str_from(s, (size_t)close + 1);
        if (rest.len > 0 && rest.p[0] != ':')
            return -EINVAL;
        colon = rest.len > 0 ? close + 1 : -1;
        *ret_host = str_from(str_upto(s, (size_t)close), 1);
    } else {
        colon = str_find(s, ':');
        *ret_host = colon < 0 ? s : str_upto(s, (size_t)colon);
    }
    *ret_port = colon < 0 ? (struct str){NULL, 0} : str_from(s, (size_t)colon + 1);
    *ret_brackets = brackets;
    return 0;
}

static int host_address(struct str host, bool brackets, struct endpoint *ret)
{
    char text[INET6_ADDRSTRLEN];
    if (!brackets && str_eq(host, STR("*"))) {
        ret->kind = ENDPOINT_ANY;
        return 0;
    }
    if (host.len >= sizeof(text))
        return -EINVAL;
    memcpy(text, host.p, host.len);
    text[host.len] = '\0';
    ret->kind = brackets ? ENDPOINT_IPV6 : ENDPOINT_IPV4;
    return inet_pton(brackets ? AF_INET6 : AF_INET, text, &ret->ip) == 1 ? 0 : -EINVAL;
}

int value_endpoint(const char *text, struct endpoint *ret)
{
    struct endpoint e = {.kind = ENDPOINT_UNIX};
    struct str host, port;
    bool brackets;
    if (strncmp(text, "unix:", 5) == 0) {
        e.path = text + 5;
        if (e.path[0] != '/')
            return -EINVAL;
    } else if (split_port(str_of(text), &host, &port, &brackets) < 0 ||
               port_number(port, &e.port) < 0 || host_address(host, brackets, &e) < 0) {
        return -EINVAL;
    }
    *ret = e;
    return 0;
}

/* Every address of its family; "*" of both.  The kernel would let sockets that share a port have the connections by
 * chance, or the exact one all of its address, so no second one is opened beside a wildcard, by us or by others. */
static bool is_wildcard(const struct endpoint *e)
{
    static const struct in6_addr zero;
    return e->kind == ENDPOINT_ANY ||
           (e->kind != ENDPOINT_UNIX && memcmp(&e->ip, &zero, sizeof(zero)) == 0);
}

bool endpoint_collides(const struct endpoint *a, const struct endpoint *b)
{
    if (a->kind == ENDPOINT_UNIX || b->kind == ENDPOINT_UNIX)
        return a->kind == b->kind && strcmp(a->path, b->path) == 0;
    if (a->port != b->port)
        return false;
    if (a->kind == ENDPOINT_ANY || b->kind == ENDPOINT_ANY)
        return true;
    return a->kind == b->kind && (is_wildcard(a) || is_wildcard(b) || memcmp(&a->ip, &b->ip, sizeof(a->ip)) == 0);
}

static bool is_ipv6(const char *text)
{
    struct in6_addr ignored;
    return inet_pton(AF_INET6, text, &ignored) == 1;
}

int value_host_port(const char *text,
                    const char *default_port,
                    struct arena *memory,
                    const char **ret_host,
                    const char **ret_port)
{
    struct str host, port;
    bool brackets;
    unsigned number;
    if (split_port(str_of(text), &host, &port, &brackets) < 0)
        return -EINVAL;
    if (port.p && port_number(port, &number) < 0)
        return -EINVAL;
    const char *host_copy = arena_strdup(memory, host);
    const char *port_copy = port.p ? arena_strdup(memory, port) : default_port;
    if (host_copy && !brackets)
        host_copy = value_domain(host_copy, memory);
    if (!host_copy || !port_copy || (brackets && !is_ipv6(host_copy)))
        return -EINVAL;
    *ret_host = host_copy;
    *ret_port = port_copy;
    return 0;
}

int value_pin(const char *text, char ret_hex[65])
{
    bool prefixed = strncmp(text, "sha256:", 7) == 0;
    return cert_fingerprint_parse(text + (prefixed ? 7 : 0), ret_hex);
}

bool value_is_name(const char *text)
{
    size_t len = strlen(text);
    return len > 0 && len <= VALUE_NAME_MAX &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == len;
}

bool value_is_domain(const char *text)
{
    size_t len = strlen(text), label = 0;
    if (len == 0 || len > 253)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        bool alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (c == '.' ? label == 0 : !alnum && c != '_' && (c != '-' || label == 0))
            return false;
        label = c == '.' ? 0 : label + 1;
        if (label > 63)
            return false;
    }
    return label > 0;
}

const char *value_domain(const char *text, struct arena *memory)
{
    char *ascii = NULL;
    const char *copy = NULL;
    if (idn2_to_ascii_8z(text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) == IDN2_OK &&
        value_is_domain(ascii))
        copy = arena_strdup(memory, str_of(ascii));
    idn2_free(ascii);
    return copy;
}
