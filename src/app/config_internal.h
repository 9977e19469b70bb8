/* config_internal.h - what config.c and config_rules.c share. */
#ifndef POSTERN_CONFIG_INTERNAL_H
#define POSTERN_CONFIG_INTERNAL_H

#include "app/config.h"
#include "conf/loader.h"

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
    char *tls_name, *ca, *certificate, *key, *key_password_file;
    enum route_login login;
    char *user, *password_file;
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
void rules_whole(struct loader *l, const struct config *c);

#endif
