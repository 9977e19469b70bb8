#include "app/cmd_probe_server.h"

#include <stdio.h>
#include <string.h>

static const struct scheme {
    const char *name, *port;
    enum probe_protocol protocol;
    bool implicit;
} schemes[] = {
    {"submission",  "587", PROBE_SMTP, false},
    {"submissions", "465", PROBE_SMTP, true },
    {"smtp",        "25",  PROBE_SMTP, false},
    {"smtps",       "465", PROBE_SMTP, true },
    {"imap",        "143", PROBE_IMAP, false},
    {"imaps",       "993", PROBE_IMAP, true },
    {"pop3",        "110", PROBE_POP3, false},
    {"pop3s",       "995", PROBE_POP3, true },
};

/* Moves `*word` behind the scheme; NULL when the one it has is not known. */
static const struct scheme *scheme_of(const char **word)
{
    const char *end = strstr(*word, "://");
    if (!end)
        return &schemes[0];
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        size_t len = strlen(schemes[i].name);
        if (len == (size_t)(end - *word) && strncmp(*word, schemes[i].name, len) == 0) {
            *word = end + 3;
            return &schemes[i];
        }
    }
    return NULL;
}

static bool is_host(struct str host)
{
    return !str_has_control(host) && str_find(host, ' ') < 0 && str_find(host, '/') < 0;
}

static bool is_port(const char *port)
{
    uint64_t n;
    return str_to_u64(str_of(port), 65535, &n) == 0 && n > 0;
}

/* "host", "host:port", "[::1]", "[::1]:port"; *ret_port is "" where none is named. */
static bool split(const char *word, struct str *ret_host, const char **ret_port)
{
    const char *end = word[0] == '[' ? strchr(word, ']') : NULL;
    const char *colon = strchr(end ? end : word, ':');
    const char *from = end ? word + 1 : word;
    const char *to = end ? end : colon ? colon : word + strlen(word);
    if (to == from || (colon && !colon[1]) || (end && end[1] && end[1] != ':'))
        return false;
    *ret_host = (struct str){from, (size_t)(to - from)};
    *ret_port = colon ? colon + 1 : "";
    return is_host(*ret_host) && (!colon || is_port(*ret_port));
}

static bool add(struct probe_targets *t,
                struct str host,
                const char *port,
                const struct scheme *s,
                bool optional)
{
    if (t->n == PROBE_TARGETS_MAX)
        return false;
    t->list[t->n++] = (struct probe_target){
        .protocol = s->protocol,
        .host = xstrndup(host.p, host.len),
        .port = xstrdup(*port ? port : s->port),
        .implicit = s->implicit,
        .optional = optional,
    };
    return true;
}

const char *probe_targets_add(struct probe_targets *t, const char *word, const char *tls)
{
    bool named = strstr(word, "://") != NULL;
    const struct scheme *s = scheme_of(&word);
    struct str host;
    const char *port;
    if (!s)
        return "this scheme is not known; submission, submissions, smtp, smtps, imap, imaps, pop3 "
               "and pop3s are:";
    if (!split(word, &host, &port))
        return "wants HOST[:PORT], such as mail.example.org:587 or [2001:db8::1], not";
    if (t->n > 0 && t->list[0].protocol != s->protocol)
        return "one run is about one protocol, and this is another:";
    bool both = !named && !*port && !tls;
    if (!named && (tls ? strcmp(tls, "implicit") == 0 : strcmp(port, "465") == 0))
        s = &schemes[1];
    if (!add(t, host, port, s, both) || (both && !add(t, host, "", &schemes[1], true)))
        return "these are more targets than one run takes:";
    return NULL;
}

void probe_targets_done(struct probe_targets *t)
{
    for (size_t i = 0; i < t->n; i++) {
        free(t->list[i].host);
        free(t->list[i].port);
    }
}
