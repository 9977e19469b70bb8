#include "server/anchors.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/watch.h"

struct anchor {
    const struct trust_config *cfg;
    struct watch files;
    struct cert_trust *trust;
    enum cert_age said; /* in the log, of the lists and CAs loaded now */
};

struct anchors {
    struct anchor *list;
    size_t n;
};

static int anchor_load(const struct anchor *a, struct cert_trust **ret, char *why)
{
    struct cert_trust_config cfg = settings_trust(a->cfg);
    return cert_trust_load(&cfg, ret, why);
}

void anchors_free(struct anchors *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->n; i++) {
        watch_done(&a->list[i].files);
        cert_trust_unref(a->list[i].trust);
    }
    free(a->list);
    free(a);
}

static void anchor_watch(struct anchor *a)
{
    for (size_t i = 0; i < a->cfg->n_ca; i++)
        watch_add(&a->files, a->cfg->ca[i]);
    for (size_t i = 0; i < a->cfg->n_crl; i++)
        watch_add(&a->files, a->cfg->crl[i]);
    (void)watch_changed(&a->files);
}

int anchors_new(const struct service_config *cfg, struct anchors **ret, char *why)
{
    struct anchors *a = xcalloc(1, sizeof(*a));
    a->list = xcalloc(cfg->n_trusts + 1, sizeof(*a->list));
    while (a->n < cfg->n_trusts) {
        struct anchor *one = &a->list[a->n];
        one->cfg = &cfg->trusts[a->n++];
        anchor_watch(one);
        int r = anchor_load(one, &one->trust, why);
        if (r < 0) {
            anchors_free(a);
            return r;
        }
    }
    *ret = a;
    return 0;
}

static void anchor_refresh(struct anchor *a, bool all, struct service_refreshed *count)
{
    struct cert_trust *fresh;
    char why[CERT_WHY_MAX] = "";
    if (!watch_changed(&a->files) && !all)
        return;
    if (anchor_load(a, &fresh, why) < 0) {
        count->failed++;
        log_message(LOG_LEVEL_ERROR, "reload-failed", "what was loaded before stays: %s", why);
        return;
    }
    cert_trust_inherit(fresh, a->trust);
    cert_trust_unref(a->trust);
    a->trust = fresh;
    a->said = CERT_AGE_FINE;
    count->loaded++;
}

void anchors_log_age(void *arg, enum cert_age age, const char *words)
{
    (void)arg;
    log_message(age == CERT_AGE_PAST ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
                age == CERT_AGE_PAST ? "out-of-date" : "expires-soon", "%s", words);
}

static void anchor_look(struct anchor *a)
{
    int64_t now = clock_wall_ms();
    enum cert_age age = cert_trust_age(a->trust, now, NULL, NULL);
    if (age > a->said)
        (void)cert_trust_age(a->trust, now, anchors_log_age, NULL);
    a->said = age;
}

void anchors_look(struct anchors *a)
{
    for (size_t i = 0; i < a->n; i++)
        anchor_look(&a->list[i]);
}

void anchors_each_list(const struct anchors *a, cert_end_fn *tell, void *arg)
{
    for (size_t i = 0; i < a->n; i++)
        cert_trust_lists_end(a->list[i].trust, tell, arg);
}

void anchors_refresh(struct anchors *a, bool all, struct service_refreshed *count)
{
    for (size_t i = 0; i < a->n; i++)
        anchor_refresh(&a->list[i], all, count);
}

struct cert_trust *anchors_find(struct anchors *a, const char *name)
{
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->list[i].cfg->name, name) == 0)
            return a->list[i].trust;
    return NULL;
}
