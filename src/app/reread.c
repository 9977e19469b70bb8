#include "app/reread.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define ADVICE_MAX 768

struct asking {
    const struct config *config;
    reread_fn *tell;
    void *arg;
};

static bool is_denied(const char *path)
{
    struct stat st;
    int mode = stat(path, &st) == 0 && S_ISDIR(st.st_mode) ? R_OK | X_OK : R_OK;
    return faccessat(AT_FDCWD, path, mode, AT_EACCESS) < 0 && errno == EACCES;
}

static void ask(const struct asking *a, const char *path, const struct config_place *at)
{
    char advice[ADVICE_MAX];
    const char *user = a->config->user;
    if (!path || !is_denied(path))
        return;
    (void)snprintf(advice, sizeof(advice),
                   "%s: \"%s\" may not read it, so it stays as it is at the start, whatever is revoked or taken out "
                   "later; let that account read it and enter each folder on the way to it, for example with `chgrp "
                   "%s %s && chmod g+r %s`",
                   path, user, user, path, path);
    a->tell(a->arg, path, at, advice);
}

static void ask_trust(const struct asking *a, const struct trust_config *t, const struct config_place *at)
{
    for (size_t i = 0; i < t->n_ca; i++)
        ask(a, t->ca[i], at);
    for (size_t i = 0; i < t->n_crl; i++)
        ask(a, t->crl[i], at);
}

static void ask_listener(const struct asking *a, const struct listener_config *ls, const struct config_place *at)
{
    const char *const tables[] = {ls->aliases, ls->may_act_as, ls->senders, ls->priorities, ls->disabled};
    for (size_t i = 0; i < ARRAY_LEN(tables); i++)
        ask(a, tables[i], at);
}

void reread_denied(const struct config *c, reread_fn *tell, void *arg)
{
    const struct asking a = {c, tell, arg};
    if (!c->user)
        return; /* who reads is who read at the start */
    for (size_t i = 0; i < c->n_trusts; i++)
        ask_trust(&a, &c->trusts[i], &c->trust_places[i]);
    for (size_t i = 0; i < c->n_identities; i++)
        ask(&a, c->identities[i].table, &c->identity_places[i]);
    for (size_t i = 0; i < c->n_passwords; i++)
        ask(&a, c->passwords[i].table, &c->passwords_places[i]);
    for (size_t i = 0; i < c->n_listeners; i++)
        ask_listener(&a, &c->listeners[i], &c->listener_places[i]);
}
