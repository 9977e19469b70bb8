/* config_internal.h - what config.c and config_rules.c share. */
#ifndef POSTERN_CONFIG_INTERNAL_H
#define POSTERN_CONFIG_INTERNAL_H

#include "app/conf.h"
#include "app/config.h"

#define CONFIG_MEMORY_MAX                                                                          \
    ((size_t)256 << 20)         /* CONF_TEXT_MAX of the shortest settings need a fifth of it */
#define CONFIG_FINDINGS_MAX 100 /* more are counted, not shown */
#define CONFIG_NAME_MAX 63      /* octets of a block's name: verdicts and logs carry it */

struct held_finding {
    struct held_finding *next;
    struct config_finding finding;
};

struct loader {
    struct arena *memory;  /* of everything that is kept */
    const char *path;      /* of the file that was named */
    struct config *config; /* NULL: it is another kind of file */
    const struct conf_node *root;
    config_finding_fn *report;
    void *arg;
    struct held_finding *held; /* told at the end, in the order of the lines */
    unsigned findings, mistakes;
    bool out_of_memory;
};

void config_mistake(struct loader *l, const struct conf_node *at, const char *fmt, ...)
    PRINTF(3, 4);
void config_warning(struct loader *l, const struct conf_node *at, const char *fmt, ...)
    PRINTF(3, 4);

/* For conf_read(), with the loader as its argument. */
void config_syntax_mistake(void *arg, const char *file, unsigned line, const char *text);
/* Reports what was found, in the order of the lines. */
void config_tell_findings(struct loader *l);

/* A config_finding_fn that makes one line of each finding. */
struct config_lines {
    config_report_fn *report;
    void *arg;
};
void config_report_line(void *lines, const struct config_finding *f);

/* Names go into logs and messages, so they are words. */
bool config_is_name(const char *s);

/* A copy that lives as long as the configuration.  Never NULL: without memory it is empty, and loading fails in the end. */
char *config_keep(struct loader *l, const char *text);
void *config_room(struct loader *l, size_t size); /* the same, but NULL */

/* A route as written; config_rules.c makes a route_config of it. */
enum route_tls_word {
    TLS_WORD_UNSET,
    TLS_WORD_OFF,
    TLS_WORD_OPPORTUNISTIC,
    TLS_WORD_REQUIRE,
    TLS_WORD_VERIFY,
    TLS_WORD_IMPLICIT
};
struct route_draft {
    char *smtp, *lmtp, *maildir;
    bool discard;
    enum route_tls_word tls;
    char *tls_name, *ca, *certificate, *key;
    enum route_login login;
    unsigned connections_max;
};

/* Each fills in the defaults that depend on other settings, and reports what does not go together. */
void rules_trust(struct loader *l, const struct conf_node *block, struct trust_config *t);
void rules_listener(struct loader *l, const struct conf_node *block, struct listener_config *ls);
void rules_passwords(struct loader *l, const struct conf_node *block, struct passwords_config *p);
void rules_identity(struct loader *l, const struct conf_node *block, struct identity_config *id);
void rules_route(struct loader *l,
                 const struct conf_node *block,
                 struct route_draft *draft,
                 struct route_config *r);
/* Between blocks: names used twice or nowhere, addresses used twice, nothing to listen on. */
void rules_whole(struct loader *l);

#endif
