#include "probe/observer_verdict.h"

#include <string.h>

/* clang-format off */
static const struct {
    const char *name, *words, *advice;
    enum seen works[SERVER_OPTIONS]; /* Option 1, 2, 3, hidden */
} classes[CLIENT_CLASSES_OF] = {
#define Y SEEN_YES
#define N SEEN_NO
#define U SEEN_UNKNOWN
    [CLIENT_UNKNOWN] = {"unknown", "could not tell",
                        "Let the client send one message to the port of the kind explicit and one to hidden.", {U, U, U, U}},
    [CLIENT_TLS_FAILED] = {"tls-failed", "could not tell: every TLS handshake failed",
                           "Let the client trust the observer's ca/ca.pem and connect to localhost; it needs TLS 1.2 or newer.",
                           {U, U, U, U}},
    [CLIENT_NO_TLS] = {"no-tls", "does not start TLS", "Switch STARTTLS or implicit TLS on.", {N, N, N, N}},
    [CLIENT_NO_CERTIFICATE] = {"no-certificate", "sends no certificate",
                               "Give the client a certificate and its key; some programs need both in one file or a PKCS#12 import.",
                               {N, N, N, N}},
    [CLIENT_GIVES_UP] = {"gives-up", "sends neither AUTH EXTERNAL nor MAIL where EXTERNAL is offered",
                         "Switch EXTERNAL on in the client, or choose another client.", {N, N, N, U}},
    [CLIENT_PASSWORD] = {"password", "logs in by password where EXTERNAL is offered",
                         "Take the password out of the client's account, or choose EXTERNAL there by name.", {N, N, N, U}},
    [CLIENT_UNFINISHED] = {"unfinished", "begins AUTH EXTERNAL and does not finish it",
                           "Look at the shape of its EXTERNAL below; a user name often helps.", {N, U, N, U}},
    [CLIENT_1] = {"sequence-1", "sequence 1 only: AUTH EXTERNAL, and nothing without it",
                  "Servers must offer EXTERNAL (RFC 8314 section 4.2): Options 1, 2 and 3 do.", {Y, Y, Y, N}},
    [CLIENT_1_SO_FAR] = {"sequence-1-so-far", "sequence 1 where EXTERNAL is offered; not seen where it is not",
                         "Let it send a message to the port of the kind hidden, too.", {Y, Y, Y, U}},
    [CLIENT_1_ELSE_2] = {"sequence-1-else-2", "sequence 1 if EXTERNAL is offered, else sequence 2", "", {Y, Y, Y, Y}},
    [CLIENT_2] = {"sequence-2", "sequence 2 only: straight to MAIL, never AUTH EXTERNAL",
                  "The server must accept an implicit EXTERNAL (Option 2; on Postern certificate-auth = implicit).", {N, Y, N, Y}},
    [CLIENT_2_SO_FAR] = {"sequence-2-so-far", "sequence 2; not seen where that is refused",
                         "Let it send a message to the port of the kind explicit, too.", {U, Y, U, Y}},
    [CLIENT_2_THEN_1] = {"sequence-2-then-1", "sequence 2, and on 530 sequence 1", "", {Y, Y, Y, Y}},
#undef Y
#undef N
#undef U
};
/* clang-format on */

const char *client_class_name(enum client_class_of c)
{
    return classes[c].name;
}

const char *client_class_words(enum client_class_of c)
{
    return classes[c].words;
}

const char *client_class_advice(enum client_class_of c)
{
    return classes[c].advice;
}

const char *server_option_name(unsigned option)
{
    static const char *const names[SERVER_OPTIONS] = {"Option 1", "Option 2", "Option 3",
                                                      "AUTH hidden"};
    return names[option];
}

/* ---- habits ---- */

static bool is_opened(const struct record *r)
{
    return r->logged_in || r->mail_open;
}

static bool was_clear(const struct record *r)
{
    for (unsigned i = 0; i < r->n_refusals; i++) {
        const struct record_refusal *f = &r->refusals[i];
        if (f->clear && (strcmp(f->what, "MAIL") == 0 || strcmp(f->what, "AUTH") == 0))
            return true;
    }
    return r->leak == LEAK_CLEAR;
}

static void add_record(struct habits *h, const struct record *r)
{
    h->sessions++;
    h->messages += r->messages;
    h->secured |= r->secured;
    h->certificate |= r->certificate.sent;
    h->opened |= is_opened(r);
    if (!h->opener && is_opened(r))
        h->opener = r;
    h->in_the_clear |= was_clear(r);
    h->tls_failed |=
        r->end == END_TLS_FAILED && !r->secured && r->kind->certificate != CERTIFICATE_ALERT;
    bool came_back = h->example && h->example->first == STEP_MAIL && r->first == STEP_EXTERNAL;
    h->external_after_mail |= r->external_after_mail || came_back;
    if (r->leak > h->leak) {
        h->leak = r->leak;
        h->leaker = r;
    }
    if (!h->example || (h->example->first == STEP_NONE && r->first != STEP_NONE))
        h->example = r;
}

/* ---- which class ---- */

static bool asks(enum observer_place k)
{
    enum observer_certificate c = observer_kinds[k].certificate;
    return c == CERTIFICATE_ASKED || c == CERTIFICATE_ALERT || c == CERTIFICATE_REFUSED;
}

/* Where EXTERNAL is offered and MAIL alone refused: there the sequences part. */
static const struct habits *gate_of(const struct client_verdict *v)
{
    static const enum observer_place gates[] = {KIND_EXPLICIT, KIND_CHOICE,    KIND_WANTS_EMPTY,
                                                KIND_PROMPTS,  KIND_ASKS_NAME, KIND_AT_ONCE};
    for (size_t i = 0; i < ARRAY_LEN(gates); i++)
        if (v->habits[gates[i]].sessions && v->habits[gates[i]].secured)
            return &v->habits[gates[i]];
    return NULL;
}

static enum client_class_of begins_with_external(const struct client_verdict *v, bool opened)
{
    const struct habits *hidden = &v->habits[KIND_HIDDEN];
    if (!opened)
        return CLIENT_UNFINISHED;
    if (!hidden->sessions || !hidden->secured)
        return CLIENT_1_SO_FAR;
    return hidden->opened ? CLIENT_1_ELSE_2 : CLIENT_1;
}

static enum client_class_of
class_at(const struct client_verdict *v, const struct habits *gate, bool refuses_mail)
{
    switch (gate->example->first) {
    case STEP_EXTERNAL:
        return begins_with_external(v, gate->opened);
    case STEP_PASSWORD:
        return CLIENT_PASSWORD;
    case STEP_MAIL:
        if (!refuses_mail)
            return CLIENT_2_SO_FAR;
        return gate->external_after_mail && gate->opened ? CLIENT_2_THEN_1 : CLIENT_2;
    case STEP_NONE:
        break;
    }
    /* Some look for a mechanism with a password, and have none where EXTERNAL stands alone. */
    const struct habits *choice = &v->habits[KIND_CHOICE];
    bool password = choice->secured && choice->example->first == STEP_PASSWORD;
    return password ? CLIENT_PASSWORD : CLIENT_GIVES_UP;
}

static enum client_class_of class_of(const struct client_verdict *v)
{
    bool secured = false, clear = false, failed = false, asked = false, sent = false;
    for (size_t k = 0; k < OBSERVER_KINDS; k++) {
        const struct habits *h = &v->habits[k];
        bool tried_tls = h->secured || h->certificate;
        secured |= tried_tls;
        clear |= h->in_the_clear;
        failed |= h->tls_failed;
        asked |= tried_tls && asks((enum observer_place)k);
        sent |= h->certificate && asks((enum observer_place)k);
    }
    const struct habits *gate = gate_of(v), *both = &v->habits[KIND_IMPLICIT];
    if (!secured)
        return clear ? CLIENT_NO_TLS : failed ? CLIENT_TLS_FAILED : CLIENT_UNKNOWN;
    if (asked && !sent)
        return CLIENT_NO_CERTIFICATE;
    if (gate)
        return class_at(v, gate, true);
    return both->secured ? class_at(v, both, false) : CLIENT_UNKNOWN;
}

static void set_works(struct client_verdict *v)
{
    static const enum observer_place shown_by[SERVER_OPTIONS] = {
        [SERVER_OPTION_1] = KIND_EXPLICIT,
        [SERVER_OPTION_2] = KIND_IMPLICIT,
        [SERVER_OPTION_3] = KIND_EXPLICIT,
        [SERVER_HIDDEN] = KIND_HIDDEN,
    };
    for (size_t i = 0; i < SERVER_OPTIONS; i++) {
        const struct habits *h = &v->habits[shown_by[i]];
        v->observed[i] = h->sessions && h->secured;
        v->works[i] = !v->observed[i] ? classes[v->class].works[i] : h->opened ? SEEN_YES : SEEN_NO;
    }
}

void client_judge(const struct record *const *records, size_t n, struct client_verdict *ret)
{
    *ret = (struct client_verdict){.class = CLIENT_UNKNOWN};
    for (size_t i = 0; i < n; i++) {
        const struct record *r = records[i];
        if (!record_counts(r))
            continue;
        add_record(&ret->habits[observer_kind_place(r->kind)], r);
        if (r->leak > ret->leak) {
            ret->leak = r->leak;
            ret->leaked = r;
        }
    }
    ret->class = class_of(ret);
    set_works(ret);
}

/* NULL: it never came again, or was not refused. */
static const struct record *next_try(const struct record *const *records, size_t n, size_t at)
{
    const struct record *r = records[at];
    if (r->secured || !r->certificate.sent)
        return NULL;
    for (size_t i = at + 1; i < n; i++)
        if (records[i]->kind == r->kind && strcmp(records[i]->peer, r->peer) == 0 &&
            record_counts(records[i]))
            return records[i];
    return NULL;
}

bool client_came_back_bare(const struct record *const *records, size_t n, size_t at)
{
    const struct record *next = next_try(records, n, at);
    return next && !next->certificate.sent;
}

const char *client_came_back(const struct record *const *records, size_t n, size_t at)
{
    if (!next_try(records, n, at))
        return "did not connect again";
    return client_came_back_bare(records, n, at) ? "connected again without the certificate"
                                                 : "connected again with the certificate";
}
