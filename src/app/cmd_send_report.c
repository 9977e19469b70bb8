/* What is told about messages: lines on standard error for people, JSON on standard output for programs. */
#include "app/cmd_send_internal.h"

#include "base/clock.h"
#include "send/outcome.h"

#include <jansson.h>
#include <sysexits.h>

#define PROGRESS_EVERY_MS 200
#define PROGRESS_SIZE_MIN ((uint64_t)1 << 20) /* below it one message is no long work */

/* ---- progress ---- */

static void clear_line(struct send_report *r)
{
    if (r->line_shown)
        fprintf(stderr, "\r%-78s\r", "");
    r->line_shown = false;
}

static void on_progress(void *arg, uint64_t octets, uint64_t size)
{
    struct send_report *r = arg;
    if (!r->terminal || (r->n_messages < 2 && size < PROGRESS_SIZE_MIN))
        return;
    int64_t now = clock_monotonic_ms();
    if (now - r->shown_ms < PROGRESS_EVERY_MS)
        return;
    r->shown_ms = now;
    char line[80];
    int len = 0;
    if (r->n_messages > 1)
        len = snprintf(line, sizeof(line), "%zu of %zu messages, ", r->reported + 1, r->n_messages);
    (void)snprintf(line + len, sizeof(line) - (size_t)len, "%llu of %llu KiB",
                   (unsigned long long)(octets >> 10), (unsigned long long)(size >> 10));
    fprintf(stderr, "\r%-78.78s", line);
    r->line_shown = true;
}

/* ---- the dialogue ---- */

static void on_sent(void *arg, struct str line)
{
    clear_line(arg);
    fprintf(stderr, "C: %.*s\n", STR_FMT(line));
}

static void print_answer_line(const struct smtp_answer *a, struct str line, bool first, bool last)
{
    char printable[512];
    size_t n = 0;
    for (size_t i = 0; i < line.len && n < sizeof(printable) - 1; i++) {
        unsigned char c = (unsigned char)line.p[i];
        printable[n++] = c < ' ' || c == 0x7f ? '?' : (char)c;
    }
    printable[n] = '\0';
    fprintf(stderr, "S: %d%c%s%s%s\n", a->code, last ? ' ' : '-', first ? a->enhanced : "",
            first && *a->enhanced ? " " : "", printable);
}

static void on_received(void *arg, const struct smtp_answer *a)
{
    clear_line(arg);
    struct str left = buf_str(&a->text);
    for (bool first = true, last = false; !last; first = false) {
        ssize_t lf = str_find(left, '\n');
        last = lf < 0;
        print_answer_line(a, str_upto(left, last ? left.len : (size_t)lf), first, last);
        left = str_from(left, last ? left.len : (size_t)lf + 1);
    }
}

static void on_note(void *arg, const char *text)
{
    clear_line(arg);
    fprintf(stderr, "*  %s\n", text);
}

struct carrier_hooks send_report_hooks(struct send_report *r)
{
    struct carrier_hooks hooks = {.progress = on_progress, .arg = r};
    if (r->rq->trace) {
        hooks.sent = on_sent;
        hooks.received = on_received;
        hooks.note = on_note;
    }
    return hooks;
}

/* ---- JSON ---- */

static json_t *text_or_null(const char *s)
{
    return s ? json_string(s) : json_null();
}

/* What is no UTF-8 (a server may say anything) is shown as far as it is ASCII. */
static json_t *any_text(const char *s)
{
    json_t *whole = json_string(s);
    if (whole)
        return whole;
    CLEANUP(freep) char *copy = xstrdup(s);
    for (char *p = copy; *p; p++)
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    return json_string(copy);
}

static const char *status_of(const struct send_result *res)
{
    return res->code / 100 == 2 ? "sent" : res->code / 100 == 4 ? "temporary-failure" : "failed";
}

/* At which word the connection ended, once there was one: who lost it at the end of the text may have sent the message. */
static const char *lost_at(const struct send_result *res)
{
    bool lost = res->ours && strcmp(res->enhanced, "4.4.2") == 0;
    bool talking = res->stage != SMTP_STAGE_GREETING && res->stage != SMTP_STAGE_HANDSHAKE &&
                   res->stage != SMTP_STAGE_IDLE;
    return lost && talking ? smtp_stage_name(res->stage) : NULL;
}

static json_t *recipient_json(const char *address, const struct send_result *res)
{
    char id[OUTCOME_ID_MAX];
    outcome_queue_id(res->code / 100 == 2 ? res->text : "", id);
    return json_pack("{s:o, s:s, s:i, s:o, s:o, s:o, s:s, s:o}", "address", any_text(address),
                     "status", status_of(res), "code", res->code, "enhanced",
                     text_or_null(*res->enhanced ? res->enhanced : NULL), "text",
                     any_text(res->text), "queue_id", text_or_null(*id ? id : NULL), "said_by",
                     res->ours ? "client" : "server", "in_reply_to",
                     text_or_null(res->ours ? lost_at(res) : smtp_stage_name(res->stage)));
}

static json_t *tls_json(const struct carrier_facts *f)
{
    if (!f->tls)
        return json_null();
    return json_pack("{s:s, s:s, s:o, s:b}", "version", f->tls, "cipher", f->cipher, "group",
                     text_or_null(f->group), "verified", f->verified);
}

static json_t *server_json(const struct account *a, const struct carrier_facts *f)
{
    if (!f)
        return json_null();
    return json_pack("{s:s, s:i, s:o, s:o, s:o, s:o}", "host", a->host, "port", (int)f->port,
                     "address", text_or_null(*f->address ? f->address : NULL), "tls", tls_json(f),
                     "sequence", text_or_null(f->sequence), "mechanism",
                     text_or_null(*f->mechanism ? f->mechanism : NULL));
}

static json_t *message_json(const struct send_about *about, const struct send_message *m)
{
    json_t *to = json_array();
    for (size_t i = 0; i < m->to.n; i++)
        json_array_append_new(to, about->queued || !m->results
                                      ? json_pack("{s:o, s:s}", "address", any_text(m->to.list[i]),
                                                  "status", about->queued ? "queued" : "planned")
                                      : recipient_json(m->to.list[i], &m->results[i]));
    json_t *o = json_pack("{s:o, s:s, s:o, s:I, s:o, s:o}", "file", any_text(about->file ? about->file : "-"),
                          "account", about->account->name, "from", any_text(m->reverse_path),
                          "size", (json_int_t)m->text.size, "server",
                          server_json(about->account, about->facts), "recipients", to);
    if (about->queued)
        json_object_set_new(o, "queued_as", json_string(about->queued));
    return o;
}

/* One after the other, so that any number of messages takes no memory. */
static void print_json(struct send_report *r, json_t *o)
{
    fputs(r->json_begun ? ",\n" : "{\"messages\": [\n", stdout);
    r->json_begun = true;
    (void)json_dumpf(o, stdout, JSON_PRESERVE_ORDER | JSON_ENSURE_ASCII);
    json_decref(o);
}

/* ---- lines ---- */

static void say(const struct send_report *r, const char *file, const char *fmt, ...) PRINTF(3, 4);

static void say(const struct send_report *r, const char *file, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "%s: ", r->rq->program);
    if (file && (r->rq->n_files || r->rq->mode == SEND_FLUSH))
        fprintf(stderr, "%s: ", file);
    (void)vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
}

static void say_result(const struct send_report *r,
                       const char *file,
                       const char *who,
                       const struct send_result *res)
{
    char code[32];
    (void)snprintf(code, sizeof(code), "%d %s%s", res->code, res->enhanced,
                   *res->enhanced ? " " : "");
    const char *at = res->ours ? lost_at(res) : smtp_stage_name(res->stage);
    bool unsure = res->ours && at && res->stage == SMTP_STAGE_FINAL;
    say(r, file, "%s: %s%s%s%s%s%s", who, res->ours ? "" : code, res->text,
        !at         ? ""
        : res->ours ? " (waiting for the reply to "
                    : " (in reply to ",
        at ? at : "", unsure ? ": the server may have the message" : "", at ? ")" : "");
}

static bool all_the_same(const struct send_message *m)
{
    for (size_t i = 1; i < m->to.n; i++)
        if (m->results[i].code != m->results[0].code ||
            m->results[i].stage != m->results[0].stage ||
            strcmp(m->results[i].text, m->results[0].text) != 0)
            return false;
    return m->results[0].stage != SMTP_STAGE_RCPT;
}

static void say_failures(const struct send_report *r,
                         const struct send_about *about,
                         const struct send_message *m)
{
    if (all_the_same(m)) {
        say_result(r, about->file, about->account->host, &m->results[0]);
        return;
    }
    for (size_t i = 0; i < m->to.n; i++)
        if (m->results[i].code / 100 != 2)
            say_result(r, about->file, m->to.list[i], &m->results[i]);
}

static void say_success(const struct send_report *r,
                        const struct send_about *about,
                        const struct send_message *m)
{
    char id[OUTCOME_ID_MAX] = "";
    size_t sent = 0;
    for (size_t i = 0; i < m->to.n; i++) {
        sent += m->results[i].code / 100 == 2;
        if (m->results[i].code / 100 == 2 && !*id)
            outcome_queue_id(m->results[i].text, id);
    }
    const struct carrier_facts *f = about->facts;
    if (sent)
        say(r, about->file, "sent to %zu recipient%s by %s, port %u (%s, login %s)%s%s", sent,
            sent == 1 ? "" : "s", about->account->host, f->port, f->tls ? f->tls : "no TLS",
            f->sequence, *id ? ", there queued as " : "", id);
}

static void say_what_stays(const struct send_report *r,
                           const struct send_about *about,
                           const struct send_message *m)
{
    size_t held = 0, later = 0;
    for (size_t i = 0; i < m->to.n; i++) {
        held += m->results[i].code / 100 == 5;
        later += m->results[i].code / 100 == 4;
    }
    if (later)
        say(r, about->file, "stays in the queue for %zu recipient%s; the next flush tries again",
            later, later == 1 ? "" : "s");
    if (held)
        say(r, about->file,
            "is held in the queue for %zu recipient%s; look, then: postern send --release %s, or "
            "--delete %s",
            held, held == 1 ? "" : "s", about->file, about->file);
}

/* ---- the report ---- */

void send_report_begin(struct send_report *r, const struct send_request *rq, size_t n_messages)
{
    *r = (struct send_report){
        .rq = rq,
        .n_messages = n_messages,
        .terminal = isatty(STDERR_FILENO) == 1 && !rq->quiet && !rq->as_sendmail && !rq->json,
    };
}

void send_report_failure(struct send_report *r, const char *file, int status, const char *text)
{
    clear_line(r);
    r->reported++;
    r->status = outcome_worse(r->status, status);
    if (r->rq->json)
        print_json(r, json_pack("{s:o, s:o, s:i}", "file", any_text(file ? file : "-"), "error",
                                any_text(text), "exit_code", status));
    else
        say(r, file, "%s", text);
}

static int exit_code_of(const struct send_message *m)
{
    int status = EX_OK;
    for (size_t i = 0; i < m->to.n; i++) {
        const struct send_result *res = &m->results[i];
        struct smtp_outcome o = {
            .code = res->code, .enhanced = res->enhanced, .text = res->text, .stage = res->stage};
        status = outcome_worse(status, outcome_exit_code(&o));
    }
    return status;
}

void send_report_message(struct send_report *r,
                         const struct send_about *about,
                         const struct send_message *m)
{
    int status = about->queued ? EX_OK : exit_code_of(m);
    clear_line(r);
    r->reported++;
    r->sent += status == EX_OK;
    r->status = outcome_worse(r->status, status);
    if (r->rq->json) {
        json_t *o = message_json(about, m);
        json_object_set_new(o, "exit_code", json_integer(status));
        print_json(r, o);
        return;
    }
    if (status != EX_OK)
        say_failures(r, about, m);
    if (status != EX_OK && about->from_queue)
        say_what_stays(r, about, m);
    if (r->terminal && !about->queued && r->n_messages < 2)
        say_success(r, about, m);
    if (r->terminal && about->queued)
        say(r, about->file, "queued as %s", about->queued);
}

/* ---- what would be done ---- */

static void print_plan(const struct send_about *about, const struct send_message *m)
{
    static const char *const tls[] = {"", "implicit TLS", "STARTTLS", "no TLS"};
    static const char *const logins[] = {"auto", "external", "implicit", "plain", "scram", "none"};
    const struct account *a = about->account;
    printf("account      %s%s%s\n", a->name, a->file ? ", of " : "", a->file ? a->file : "");
    printf("server       %s, port %u%s, %s\n", a->host, account_port_of(a),
           a->port == 0 && a->tls == ACCOUNT_TLS_BY_PORT ? " (else 587 with STARTTLS)" : "",
           tls[account_tls_of(a)]);
    printf("login        %s%s%s\n", logins[a->login], a->user ? ", as " : "",
           a->user ? a->user : "");
    printf("certificate  %s\n", a->certificate ? a->certificate : "none");
    printf("from         <%s>\n", m->reverse_path);
    for (size_t i = 0; i < m->to.n; i++)
        printf("to           <%s>\n", m->to.list[i]);
    printf("size         %llu octets%s\n", (unsigned long long)m->text.size,
           m->header_is_8bit || m->body_is_8bit ? ", 8-bit" : "");
}

void send_report_plan(struct send_report *r,
                      const struct send_about *about,
                      const struct send_message *m)
{
    r->reported++;
    if (!r->rq->json) {
        print_plan(about, m);
        return;
    }
    json_t *o = message_json(about, m);
    json_object_set_new(o, "exit_code", json_integer(EX_OK));
    print_json(r, o);
}

int send_report_end(struct send_report *r)
{
    clear_line(r);
    if (r->rq->json)
        printf("%s\n], \"exit_code\": %d}\n", r->json_begun ? "" : "{\"messages\": [", r->status);
    else if (r->n_messages > 1 && r->terminal && !r->rq->dry_run)
        say(r, NULL, "%zu of %zu messages %s", r->sent, r->n_messages,
            r->rq->queue_them ? "queued" : "sent");
    return r->status;
}
