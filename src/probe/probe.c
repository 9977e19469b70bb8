#include "probe/probe.h"

#include "base/clock.h"
#include "probe/cases.h"

#include <stdio.h>

/* Why a case cannot run now; NULL: it can. */
static const char *missing(const struct probe *p, unsigned needs)
{
    if ((needs & NEED_CLEAR) && p->target.implicit)
        return "TLS comes before the first command here: nothing is said in the clear";
    if ((needs & NEED_CERTIFICATE) && !p->with_certificate)
        return "needs --certificate and --key";
    if ((needs & NEED_EXPLICIT) && p->seen.explicit_login != SEEN_YES)
        return "needs a working AUTH EXTERNAL";
    if ((needs & NEED_IDENTITY) && !p->identity)
        return "needs --identity, the name the certificate stands for";
    return NULL;
}

/* A server that was never reached is tried once without and once with the certificate: some refuse at once who
 * shows none. */
static const char *unreached(const struct probe *p, const bool tried[2], unsigned needs)
{
    return !p->reached && tried[needs & NEED_CERTIFICATE ? 1 : 0] ? "the server was not reached"
                                                                  : NULL;
}

void probe_run(struct probe *p,
               void (*progress)(void *arg, unsigned done, unsigned of, const char *title),
               void *arg)
{
    size_t n;
    const struct probe_case *cases = probe_cases(&n);
    bool tried[2] = {false, false};
    for (size_t i = 0; i < n; i++) {
        const struct probe_case *c = &cases[i];
        struct probe_result *r = &p->results[i];
        *r = (struct probe_result){.number = (unsigned)i + 1,
                                   .id = c->id,
                                   .title = c->title,
                                   .section = c->section,
                                   .rows = c->rows};
        p->n_results = (unsigned)i + 1;
        if (progress)
            progress(arg, (unsigned)i, (unsigned)n, c->title);
        const char *why = missing(p, c->needs);
        if (!why)
            why = unreached(p, tried, c->needs);
        if (why) {
            (void)snprintf(r->detail, sizeof(r->detail), "%s", why);
            continue;
        }
        int64_t begun_ms = clock_monotonic_ms();
        c->run(p, r);
        r->took_ms = clock_monotonic_ms() - begun_ms;
        tried[c->needs & NEED_CERTIFICATE ? 1 : 0] = true;
    }
}

enum probe_conforms probe_conforms(const struct probe *p)
{
    for (unsigned i = 0; i < p->n_results; i++) {
        if (p->reached && p->results[i].status == PROBE_FAIL)
            return PROBE_CONFORMS_NOT;
    }
    enum rule rule = rule_of(&p->seen);
    return !p->reached || rule == RULE_UNKNOWN ? PROBE_CANNOT_TELL : PROBE_CONFORMS;
}
