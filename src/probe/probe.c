#include "probe/probe.h"

#include "base/clock.h"
#include "probe/cases.h"

#include <stdio.h>

const char *bad_certificate_name(enum bad_certificate kind)
{
    static const char *const names[BAD_COUNT] = {
        [BAD_EXPIRED] = "expired",         [BAD_FUTURE] = "future",
        [BAD_USAGE] = "server-only",       [BAD_UNKNOWN] = "unknown-ca",
        [BAD_SELF_SIGNED] = "self-signed", [BAD_NO_EMAIL] = "no-email",
        [BAD_REVOKED] = "revoked",
    };
    return names[kind];
}

/* Why a case cannot run now; NULL: it can. */
static const char *missing(const struct probe *p, unsigned needs)
{
    const struct observations *o = &p->seen;
    if (o->absent == SEEN_YES)
        return "this version of TLS is not spoken here";
    if (p->until_ms && clock_monotonic_ms() > p->until_ms)
        return "the time for all cases was over";
    if ((needs & NEED_CLEAR) && p->target.implicit)
        return "TLS comes before the first command here: nothing is said in the clear";
    if ((needs & NEED_DELIVER) && !p->deliver)
        return "needs --deliver: a message would be sent";
    if ((needs & NEED_RELAY) && !p->relay.host)
        return "needs --relay, a port that relays";
    if ((needs & NEED_CERTIFICATE) && !p->with_certificate)
        return "needs --certificate and --key";
    if ((needs & NEED_IDENTITY) && !p->identity)
        return "needs --identity, the name the certificate stands for";
    if ((needs & NEED_EXPLICIT) && o->explicit_login != SEEN_YES)
        return "needs a working AUTH EXTERNAL";
    if ((needs & NEED_SENDER) && p->sender_refused)
        return "needs --from, a sender the server takes from this certificate";
    if ((needs & NEED_IMPLICIT) && o->implicit != SEEN_YES)
        return "needs mail to be open with the certificate alone";
    return NULL;
}

/* A server that was never reached is tried a few times without and with the certificate: some refuse at once who shows
 * none. */
#define TRIES 2

static const char *unreached(const struct probe *p, const unsigned tried[2], unsigned needs)
{
    bool with = needs & NEED_CERTIFICATE;
    if (p->reached || tried[with] < TRIES)
        return NULL;
    return with ? "the server was not reached" : "the server was not reached without certificate";
}

static void
run_case(struct probe *p, const struct probe_case *c, struct probe_result *r, unsigned tried[2])
{
    const char *why = missing(p, c->needs);
    if (!why)
        why = unreached(p, tried, c->needs);
    if (why) {
        (void)snprintf(r->detail, sizeof(r->detail), "%s", why);
        return;
    }
    int64_t begun_ms = clock_monotonic_ms();
    c->run(p, r);
    r->took_ms = clock_monotonic_ms() - begun_ms;
    bool with = c->needs & NEED_CERTIFICATE;
    if (p->reached)
        p->missed = 0;
    else if (!p->missed || (with && tried[with] == 0))
        p->missed = r->number;
    tried[with]++;
}

void probe_run(struct probe *p,
               void (*progress)(void *arg, unsigned done, unsigned of, const char *title),
               void *arg)
{
    size_t n;
    const struct probe_case *cases = probe_cases(p->protocol, &n);
    unsigned tried[2] = {0, 0};
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
        run_case(p, c, r, tried);
    }
}

enum rule probe_rule(const struct probe *p)
{
    return p->protocol == PROBE_SMTP ? rule_of(&p->seen) : rule_of_mailboxes(&p->seen);
}

enum probe_conforms probe_conforms(const struct probe *p)
{
    for (unsigned i = 0; i < p->n_results; i++) {
        if ((p->reached || p->seen.absent == SEEN_YES) && p->results[i].status == PROBE_FAIL)
            return PROBE_CONFORMS_NOT;
    }
    return probe_rule(p) == RULE_UNKNOWN ? PROBE_CANNOT_TELL : PROBE_CONFORMS;
}
