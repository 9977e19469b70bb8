/* value.h - how single values of the configuration are written: durations, sizes, addresses, names.
 *
 * Each takes the text of a value and returns 0, or -EINVAL with *ret untouched; who asked words the report.
 */
#ifndef POSTERN_CONF_VALUE_H
#define POSTERN_CONF_VALUE_H

#include "base/arena.h"

#include <netinet/in.h>

/* "500ms", "300s", "5m", "4h", "5d"; "0" needs no unit. */
MUST_USE int value_duration(const char *text, int64_t *ret_ms);
/* "1000", "64K", "50M", "2G": powers of 1024. */
MUST_USE int value_size(const char *text, uint64_t *ret);
/* yes | no, and the other words people write. */
MUST_USE int value_yes_no(const char *text, bool *ret);

/* Where a listener listens. */
enum endpoint_kind { ENDPOINT_ANY, ENDPOINT_IPV4, ENDPOINT_IPV6, ENDPOINT_UNIX };
struct endpoint {
    enum endpoint_kind kind;
    struct in6_addr ip; /* the first four octets for ENDPOINT_IPV4 */
    unsigned port;
    const char *path; /* ENDPOINT_UNIX; borrowed from the text */
};
/* "192.0.2.1:587", "[2001:db8::1]:587", "*:587", "unix:/path". */
MUST_USE int value_endpoint(const char *text, struct endpoint *ret);
/* Two listeners cannot have both. */
bool endpoint_collides(const struct endpoint *a, const struct endpoint *b);

/* A next hop, "mail.example.net:587" or "[2001:db8::1]:25"; the port may be left out.  Copies live in `memory`, a name as
 * value_domain() has it. */
MUST_USE int value_host_port(const char *text,
                             const char *default_port,
                             struct arena *memory,
                             const char **ret_host,
                             const char **ret_port);

/* "sha256:" and 64 hex digits, as `postern cert explain` shows them; the prefix leaves room for another digest one day, and may
 * be left out. */
MUST_USE int value_pin(const char *text, char ret_hex[65]);

/* Names of blocks go into logs and messages, so they are words: letters, digits, "-", "_" and ".". */
#define VALUE_NAME_MAX 63
bool value_is_name(const char *text);

/* Letters, digits, hyphens and dots as DNS has them; at most 253 octets. */
bool value_is_domain(const char *text);
/* The name of a host as it is looked up, said and compared: an international one in its xn-- form [rfc9525 6.3]
 * (ID-02).  A copy in `memory`; NULL: it is none. */
const char *value_domain(const char *text, struct arena *memory);

#endif
