/* Mechanisms with a password: PLAIN, LOGIN, SCRAM-SHA-256 and its -PLUS.
 *
 *                 +--- refused, at once or after the delay ---------------------+
 *   credentials --+--- PLAIN, LOGIN: handed to the checker --- result ---+------+--> 235, 454, 535
 *   complete      +--- SCRAM: judged here, two hashes are fast ----------+
 *
 * What outlives the session is a struct waiting, while the checker has it.  Unknown names and wrong passwords get the
 * same reply after the same time (AUTH-21): the delay counts from when the credentials were complete. */
#include "auth/password.h"
#include "auth/plain.h"
#include "auth/prepare.h"
#include "base/b64.h"
#include "base/clock.h"
#include "server/session_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <sys/random.h>

#define NONCE_LEN 18

struct mechanism {
    const char *name;
    unsigned bit;
    enum smtp_auth_step (*step)(struct session *s,
                                bool has_response,
                                struct str response,
                                struct buf *challenge,
                                struct smtp_reply *reply);
};

struct sasl {
    const struct mechanism *mechanism;
    int step;
    struct buf user;                /* LOGIN */
    struct buf exporter, end_point; /* what SCRAM may be bound to */
    struct scram *scram;
};

/* A check under way. */
struct waiting {
    struct session *session; /* NULL: it is gone */
    struct password_check check;
    struct buf authzid;
};

static const struct passwords_config *settings(const struct session *s)
{
    return s->endpoint->passwords->cfg;
}

static void sasl_free(struct sasl *x)
{
    if (!x)
        return;
    scram_free(x->scram);
    buf_wipe(&x->user);
    buf_done(&x->exporter);
    buf_done(&x->end_point);
    free(x);
}

void session_sasl_end(struct session *s)
{
    sasl_free(s->sasl);
    s->sasl = NULL;
}

void session_sasl_leave(struct session *s)
{
    session_sasl_end(s);
    loop_timer_free(s->delay);
    s->delay = NULL;
    if (s->waiting)
        s->waiting->session = NULL; /* the result will come and find nobody */
    s->waiting = NULL;
}

/* ---- failures: counted and delayed ---- */

/* Whose failures are counted together: an IPv4 address, or an IPv6 network of /64, which is one customer. */
static void peer_name(const struct session *s, char out[64])
{
    struct in6_addr ip;
    (void)snprintf(out, 64, "%s", stream_peer_address(s->stream));
    if (inet_pton(AF_INET6, out, &ip) == 1) {
        memset(ip.s6_addr + 8, 0, 8);
        (void)inet_ntop(AF_INET6, &ip, out, 64);
    }
}

static const uint64_t once = 1;

static int64_t seconds(int64_t ms)
{
    return (ms + 999) / 1000;
}

/* Too many failures lately: said before anything is hashed.  A name there is not is counted like one there is. */
static bool is_throttled(struct session *s,
                         struct str user,
                         enum smtp_auth_step *step,
                         struct smtp_reply *reply)
{
    const struct passwords *p = s->endpoint->passwords;
    char peer[64];
    peer_name(s, peer);
    int64_t wait = limiter_wait(p->by_peer, str_of(peer), &once);
    if (wait > 0) {
        *reply =
            smtp_reply(421, "4.7.0", "Too many failed logins from %s, try again in %jd seconds",
                       peer, (intmax_t)seconds(wait));
        *step = SMTP_AUTH_CLOSE;
        return true;
    }
    wait = limiter_wait(p->by_name, user, &once);
    if (wait == 0)
        return false;
    *reply =
        smtp_reply(454, "4.7.0", "Too many failed logins for this name, try again in %jd seconds",
                   (intmax_t)seconds(wait));
    *step = session_auth_failed(s, s->sasl->mechanism->name, reply);
    return true;
}

static void count_failure(struct session *s, struct str user)
{
    const struct passwords *p = s->endpoint->passwords;
    char peer[64];
    peer_name(s, peer);
    limiter_add(p->by_peer, str_of(peer), &once);
    if (user.len)
        limiter_add(p->by_name, user, &once);
}

/* The engine hears the outcome, if it has been told to wait. */
static void bring(struct session *s, enum smtp_auth_step step, const struct smtp_reply *reply)
{
    smtp_server_resume_auth(s->engine, step, STR(""), reply);
    session_pump(s); /* may free s */
}

static void on_delay_over(void *arg)
{
    struct session *s = arg;
    struct smtp_reply reply = s->delayed;
    loop_timer_free(s->delay);
    s->delay = NULL;
    bring(s, SMTP_AUTH_FAILED, &reply);
}

/* Ends the exchange with a failure: now, or LATER with the timer set.  `user` may be empty: none was given. */
static enum smtp_auth_step wrong(struct session *s, struct str user, struct smtp_reply *reply)
{
    int64_t left = settings(s)->failure_delay_ms - (clock_monotonic_ms() - s->credentials_ms);
    *reply = smtp_reply(535, "5.7.8", "Authentication failed"); /* AUTH-16, AUTH-21 */
    count_failure(s, user);
    (void)session_auth_failed(s, s->sasl->mechanism->name, reply);
    session_sasl_end(s);
    if (left <= 0)
        return SMTP_AUTH_FAILED;
    s->delayed = *reply;
    s->delay = loop_timer_new(worker_loop(s->worker), on_delay_over, s);
    loop_timer_set(s->delay, left);
    return SMTP_AUTH_LATER;
}

/* Our trouble, not the client's: it keeps its password and comes again (AUTH-17). */
static enum smtp_auth_step unknown(struct session *s, struct smtp_reply *reply)
{
    *reply = smtp_reply(454, "4.7.0", "Passwords cannot be checked now, try again later");
    enum smtp_auth_step step = session_auth_failed(s, s->sasl->mechanism->name, reply);
    session_sasl_end(s);
    return step;
}

/* The password of `user` was right. */
static enum smtp_auth_step
right(struct session *s, struct str user, struct str authzid, struct smtp_reply *reply)
{
    struct policy_input in = session_policy(s);
    const char *mechanism = s->sasl->mechanism->name;
    CLEANUP(buf_done) struct buf identity = BUF_INIT(CERT_IDENTITY_MAX);
    bool good = policy_password(&in, user, authzid, &identity, reply);
    session_sasl_end(s);
    if (!good)
        return session_auth_failed(s, mechanism, reply);
    session_login(s, identity.data, AUTH_OTHER, mechanism);
    *reply = smtp_reply(235, "2.7.0", "Authenticated as %s", s->identity); /* AUTH-15 */
    return SMTP_AUTH_DONE;
}

/* ---- PLAIN and LOGIN: the checker's ---- */

static void waiting_free(struct waiting *w)
{
    password_check_done(&w->check);
    buf_done(&w->authzid);
    free(w);
}

static void on_checked(struct loop_task *task)
{
    struct waiting *w = container_of(task, struct waiting, check.task);
    struct session *s = w->session;
    struct smtp_reply reply = {0};
    enum smtp_auth_step step;
    if (!s) {
        waiting_free(w);
        return;
    }
    s->waiting = NULL;
    if (w->check.result == 0)
        step = right(s, buf_str(&w->check.name), buf_str(&w->authzid), &reply);
    else if (w->check.result == -EACCES)
        step = wrong(s, buf_str(&w->check.user), &reply);
    else
        step = unknown(s, &reply);
    waiting_free(w);
    if (step != SMTP_AUTH_LATER)
        bring(s, step, &reply);
}

/* The name an entry of the table stands under: as typed, or what that is an alias of. */
static int entry_name(const struct session *s, struct str typed, struct buf *out)
{
    const struct passwords *p = s->endpoint->passwords;
    int r = buf_append_str(out, typed);
    if (r < 0 || !p->entries.get || lookup_name(&p->entries, typed, NULL) == 0)
        return r;
    return authz_canonical(&s->endpoint->authz, typed, out);
}

static enum smtp_auth_step hand_over(struct session *s,
                                     struct str user,
                                     struct str password,
                                     struct str authzid,
                                     struct smtp_reply *reply)
{
    struct waiting *w = xcalloc(1, sizeof(*w));
    w->session = s;
    w->check.task.run = on_checked;
    w->check.loop = worker_loop(s->worker);
    w->check.passwords = s->endpoint->passwords;
    password_check_init(&w->check);
    buf_init(&w->authzid, PLAIN_PART_MAX);
    (void)snprintf(w->check.peer, sizeof(w->check.peer), "%s", stream_peer_address(s->stream));
    int r = entry_name(s, user, &w->check.user);
    if (r == 0)
        r = buf_reserve(&w->check.password,
                        password.len); /* growing would leave pieces of it behind */
    if (r == 0)
        r = buf_append_str(&w->check.password, password);
    if (r == 0)
        r = buf_append_str(&w->authzid, authzid);
    if (r == 0)
        r = checker_submit(s->endpoint->checker, &w->check);
    if (r < 0) {
        waiting_free(w);
        return r == -EMSGSIZE ? wrong(s, user, reply) : unknown(s, reply);
    }
    s->waiting = w;
    return SMTP_AUTH_LATER;
}

static enum smtp_auth_step check(struct session *s,
                                 struct str typed,
                                 struct str password,
                                 struct str authzid,
                                 struct smtp_reply *reply)
{
    CLEANUP(buf_done) struct buf user = BUF_INIT(PLAIN_PART_MAX);
    enum smtp_auth_step step;
    s->credentials_ms = clock_monotonic_ms();
    if (password.len == 0 || prepare_typed(typed, &user) < 0)
        return wrong(s, STR(""), reply);
    if (is_throttled(s, buf_str(&user), &step, reply)) {
        session_sasl_end(s);
        return step;
    }
    return hand_over(s, buf_str(&user), password, authzid, reply);
}

static enum smtp_auth_step step_plain(struct session *s,
                                      bool has_response,
                                      struct str response,
                                      struct buf *challenge,
                                      struct smtp_reply *reply)
{
    struct plain p;
    (void)challenge;
    if (!has_response)
        return SMTP_AUTH_CHALLENGE;
    s->credentials_ms = clock_monotonic_ms();
    if (plain_parse(response, &p) < 0)
        return wrong(s, STR(""), reply);
    return check(s, p.user, p.password, p.authzid, reply);
}

/* Never standardised; the prompts are those every client knows. */
static enum smtp_auth_step step_login(struct session *s,
                                      bool has_response,
                                      struct str response,
                                      struct buf *challenge,
                                      struct smtp_reply *reply)
{
    struct sasl *x = s->sasl;
    if (x->step == 0 && !has_response)
        return buf_puts(challenge, "Username:") == 0 ? SMTP_AUTH_CHALLENGE : unknown(s, reply);
    if (x->step++ > 0)
        return check(s, buf_str(&x->user), response, STR(""), reply);
    s->credentials_ms = clock_monotonic_ms();
    if (buf_append_str(&x->user, response) < 0)
        return wrong(s, STR(""), reply);
    return buf_puts(challenge, "Password:") == 0 ? SMTP_AUTH_CHALLENGE : unknown(s, reply);
}

/* ---- SCRAM ---- */

static int make_nonce(struct buf *out)
{
    unsigned char octets[NONCE_LEN];
    if (getrandom(octets, sizeof(octets), 0) != (ssize_t)sizeof(octets))
        return -EIO;
    return b64_encode((struct str){(const char *)octets, sizeof(octets)}, out);
}

/* The keys of an entry, or ones that fit nobody. */
static int find_keys(const struct session *s, struct scram_keys *ret)
{
    const struct passwords *p = s->endpoint->passwords;
    struct str user = scram_user(s->sasl->scram);
    CLEANUP(buf_wipe)
    struct buf name = BUF_INIT(PASSWORD_MAX), entry = BUF_INIT(PASSWORD_ENTRY_MAX);
    int r = entry_name(s, user, &name);
    if (r == 0)
        r = lookup_name(&p->entries, buf_str(&name), &entry);
    if (r < 0 && r != -ENOENT)
        return r;
    if (r < 0 || password_scram_keys(buf_str(&entry), ret) < 0)
        scram_keys_fake(ret, p->secret, user);
    return 0;
}

static enum smtp_auth_step
scram_begin(struct session *s, struct str response, struct buf *challenge, struct smtp_reply *reply)
{
    struct sasl *x = s->sasl;
    struct scram_keys keys;
    CLEANUP(buf_done) struct buf nonce = BUF_INIT(B64_LEN(NONCE_LEN));
    enum smtp_auth_step step;
    bool plus = x->mechanism->bit == MECHANISM_SCRAM_PLUS;
    s->credentials_ms = clock_monotonic_ms();
    s->binding_used |= plus;
    bool offered = session_binding(s, &x->exporter, &x->end_point);
    struct scram_channel channel = {buf_str(&x->exporter), buf_str(&x->end_point)};
    x->scram = scram_new(plus, offered, channel);
    if (scram_first(x->scram, response) < 0)
        return wrong(s, STR(""), reply);
    if (is_throttled(s, scram_user(x->scram), &step, reply)) {
        session_sasl_end(s);
        return step;
    }
    int r = find_keys(s, &keys);
    if (r == 0)
        r = make_nonce(&nonce);
    if (r == 0)
        r = scram_challenge(x->scram, &keys, buf_str(&nonce), challenge);
    explicit_bzero(&keys, sizeof(keys));
    x->step = 1;
    return r < 0 ? unknown(s, reply) : SMTP_AUTH_CHALLENGE;
}

static enum smtp_auth_step step_scram(struct session *s,
                                      bool has_response,
                                      struct str response,
                                      struct buf *challenge,
                                      struct smtp_reply *reply)
{
    struct sasl *x = s->sasl;
    if (x->step == 0)
        return has_response ? scram_begin(s, response, challenge, reply) : SMTP_AUTH_CHALLENGE;
    s->credentials_ms = clock_monotonic_ms();
    if (x->step == 1 && scram_final(x->scram, response, challenge) < 0)
        return wrong(s, scram_user(x->scram), reply);
    if (x->step++ ==
        1) /* [rfc4954 4] no data with the 235: our proof is a challenge, answered by nothing */
        return SMTP_AUTH_CHALLENGE;
    if (response.len)
        return wrong(s, scram_user(x->scram), reply);
    return right(s, scram_user(x->scram), scram_authzid(x->scram), reply);
}

/* ---- which there are ---- */

static const struct mechanism mechanisms[] = {
  /* In the order of EHLO: the best first. */
    {"SCRAM-SHA-256-PLUS", MECHANISM_SCRAM_PLUS, step_scram},
    {"SCRAM-SHA-256",      MECHANISM_SCRAM,      step_scram},
    {"PLAIN",              MECHANISM_PLAIN,      step_plain},
    {"LOGIN",              MECHANISM_LOGIN,      step_login},
};

bool session_binding(const struct session *s, struct buf *exporter, struct buf *end_point)
{
    bool wanted = s->endpoint->cfg->mechanisms & MECHANISM_SCRAM_PLUS;
    bool one = wanted && stream_channel_binding(s->stream, TLS_BINDING_EXPORTER, exporter) == 0;
    bool two = wanted && stream_channel_binding(s->stream, TLS_BINDING_END_POINT, end_point) == 0;
    return one || two;
}

/* -PLUS only where there is something to bind to (CB-04), and once: a binding serves one run (CB-03). */
static bool is_offered(const struct session *s, const struct mechanism *m)
{
    if (!(s->endpoint->cfg->mechanisms & m->bit))
        return false;
    if (m->bit != MECHANISM_SCRAM_PLUS)
        return true;
    CLEANUP(buf_done) struct buf exporter = BUF_INIT(64), end_point = BUF_INIT(64);
    return !s->binding_used && session_binding(s, &exporter, &end_point);
}

int session_sasl_offer(const struct session *s, struct buf *out)
{
    struct policy_input in = session_policy(s);
    int r = 0;
    for (size_t i = 0; r == 0 && policy_offers_passwords(&in) && i < ARRAY_LEN(mechanisms); i++)
        if (is_offered(s, &mechanisms[i]))
            r = buf_printf(out, "%s%s", out->len ? " " : "", mechanisms[i].name);
    return r;
}

bool session_sasl_begin(struct session *s, const char *name, struct smtp_reply *reply)
{
    struct policy_input in = session_policy(s);
    session_sasl_end(s);
    for (size_t i = 0; policy_offers_passwords(&in) && i < ARRAY_LEN(mechanisms); i++) {
        const struct mechanism *m = &mechanisms[i];
        if (strcmp(name, m->name) != 0 || !is_offered(s, m))
            continue;
        s->sasl = xcalloc(1, sizeof(*s->sasl));
        *s->sasl = (struct sasl){.mechanism = m,
                                 .user = BUF_INIT(PLAIN_PART_MAX),
                                 .exporter = BUF_INIT(64),
                                 .end_point = BUF_INIT(64)};
        return true;
    }
    bool is_known = false;
    for (size_t i = 0; i < ARRAY_LEN(mechanisms); i++)
        is_known = is_known || (strcmp(name, mechanisms[i].name) == 0 &&
                                s->endpoint->cfg->mechanisms & mechanisms[i].bit);
    *reply = is_known
                 ? policy_no_passwords(&in, name)
                 : smtp_reply(504, "5.5.4", "Mechanism %s is not available", name); /* AUTH-03 */
    return false;
}

const char *session_sasl_mechanism(const struct session *s)
{
    return s->sasl ? s->sasl->mechanism->name : NULL;
}

enum smtp_auth_step session_sasl_step(struct session *s,
                                      bool has_response,
                                      struct str response,
                                      struct buf *challenge,
                                      struct smtp_reply *reply)
{
    return s->sasl->mechanism->step(s, has_response, response, challenge, reply);
}
