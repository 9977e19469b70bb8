#include "app/cmd_bench_report.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

static const double percents[] = {50, 90, 99, 99.9};
static const char *const percent_names[] = {"p50", "p90", "p99", "p99.9"};

static double per_second(uint64_t n, int64_t us)
{
    return us > 0 ? (double)n * 1e6 / (double)us : 0;
}

static double each(int64_t us, uint64_t n)
{
    return n ? (double)us / (double)n : 0;
}

/* What the CPU time of a run is divided by. */
static uint64_t units(const struct load_config *cfg, const struct load_result *r)
{
    return cfg->kind == LOAD_SESSIONS ? r->sessions : r->messages;
}

/* ---- in words ---- */

static void print_durations(FILE *to, const char *what, const struct histogram *h)
{
    if (h->count == 0)
        return;
    fprintf(to, "%-12s", what);
    for (size_t i = 0; i < ARRAY_LEN(percents); i++)
        fprintf(to, "%s %.2f  ", percent_names[i],
                (double)histogram_percentile(h, percents[i]) / 1000);
    fprintf(to, "max %.2f  mean %.2f ms\n", (double)h->max_us / 1000,
            (double)histogram_mean(h) / 1000);
}

static void print_connections(FILE *to, const struct load_config *cfg, const struct load_result *r)
{
    fprintf(to, "%-12s%llu opened, %llu failed, %llu lost; %s%s%s", "connections",
            (unsigned long long)r->sessions, (unsigned long long)r->sessions_failed,
            (unsigned long long)r->lost, r->tls_version ? r->tls_version : "no TLS",
            r->tls_cipher ? " " : "", r->tls_cipher ? r->tls_cipher : "");
    if (r->explicit_logins)
        fprintf(to, "; %llu by AUTH EXTERNAL", (unsigned long long)r->explicit_logins);
    if (r->implicit_logins)
        fprintf(to, "; %llu by the certificate alone", (unsigned long long)r->implicit_logins);
    if (r->resumed)
        fprintf(to, "; %llu resumed", (unsigned long long)r->resumed);
    fputc('\n', to);
    if (cfg->kind == LOAD_SESSIONS)
        fprintf(to, "%-12s%.1f a second\n", "sessions", per_second(r->sessions, r->accept_us));
}

static void print_messages(FILE *to, const struct load_config *cfg, const struct load_result *r)
{
    if (cfg->kind != LOAD_MESSAGES)
        return;
    fprintf(to, "%-12s%llu of %zu octets in %.2f s, %.1f a second; %llu failed\n", "messages",
            (unsigned long long)r->messages, cfg->size, (double)r->accept_us / 1e6,
            per_second(r->messages, r->accept_us), (unsigned long long)r->messages_failed);
    if (!cfg->sink)
        return;
    fprintf(to, "%-12s%llu of %llu recipients within %.2f s, %.1f a second", "delivered",
            (unsigned long long)r->arrived, (unsigned long long)r->recipients,
            (double)r->empty_us / 1e6, per_second(r->arrived, r->empty_us));
    fprintf(to, "; %llu missing, %llu twice\n", (unsigned long long)r->missing,
            (unsigned long long)r->duplicates);
}

static void print_memory(FILE *to, const struct load_config *cfg, const struct load_result *r)
{
    if (cfg->kind != LOAD_IDLE)
        return;
    fprintf(to, "%-12s%llu connections\n", "held", (unsigned long long)r->held);
    if (!cfg->server || !r->held || !r->memory_after.processes)
        return;
    double n = (double)r->held;
    const struct usage_memory *a = &r->memory_before, *b = &r->memory_after;
    fprintf(
        to,
        "%-12s%.1f KiB PSS, %.1f KiB RSS a connection (PSS %lld to %lld KiB, %u to %u processes)\n",
        "memory", (double)(b->pss_kib - a->pss_kib) / n, (double)(b->rss_kib - a->rss_kib) / n,
        (long long)a->pss_kib, (long long)b->pss_kib, a->processes, b->processes);
}

static void print_cpu(FILE *to, const struct load_config *cfg, const struct load_result *r)
{
    uint64_t n = units(cfg, r);
    if (n == 0)
        return;
    const char *unit = cfg->kind == LOAD_SESSIONS ? "session" : "message";
    if (r->cpu_us >= 0)
        fprintf(to, "%-12s%.1f us a %s (%.1f by the time the last was accepted)\n", "server CPU",
                each(r->cpu_us, n), unit, each(r->cpu_accept_us, n));
    fprintf(to, "%-12s%.1f us a %s\n", "our own CPU", each(r->own_cpu_us, n), unit);
}

static void print_failures(FILE *to, const struct load_result *r)
{
    for (size_t i = 0; i < r->n_failures; i++) {
        const struct load_failure *f = &r->failures[i];
        fprintf(to, "%-12s%llu x %d %s: %s\n", "failure", (unsigned long long)f->count, f->code,
                smtp_stage_name(f->stage), f->text);
    }
    if (r->other_failures)
        fprintf(to, "%-12s%llu of other kinds\n", "failure", (unsigned long long)r->other_failures);
}

void report_text(FILE *to, const struct load_config *cfg, const struct load_result *r)
{
    print_connections(to, cfg, r);
    print_messages(to, cfg, r);
    print_durations(to, "setup", &r->setup);
    print_durations(to, "transaction", &r->transaction);
    print_durations(to, "delivery", &r->delivery);
    print_memory(to, cfg, r);
    print_cpu(to, cfg, r);
    print_failures(to, r);
}

void report_progress(char *line,
                     size_t size,
                     const struct load_config *cfg,
                     const struct load_result *r)
{
    if (cfg->kind == LOAD_MESSAGES)
        (void)snprintf(line, size, "%s: %llu accepted, %llu delivered, %llu failed", r->phase,
                       (unsigned long long)r->messages, (unsigned long long)r->arrived,
                       (unsigned long long)r->messages_failed);
    else
        (void)snprintf(line, size, "%s: %llu sessions, %llu failed", r->phase,
                       (unsigned long long)r->sessions, (unsigned long long)r->sessions_failed);
}

void report_sink_text(FILE *to, const struct sink_counts *c, int64_t us)
{
    fprintf(to, "%llu messages, %llu recipients, %llu octets over %llu connections in %.1f s\n",
            (unsigned long long)c->messages, (unsigned long long)c->recipients,
            (unsigned long long)c->octets, (unsigned long long)c->connections, (double)us / 1e6);
}

/* ---- as JSON ---- */

static void put(json_t *o, const char *key, json_t *value)
{
    (void)json_object_set_new(o, key, value);
}

static void put_number(json_t *o, const char *key, uint64_t n)
{
    put(o, key, json_integer((json_int_t)n));
}

static void put_durations(json_t *o, const char *key, const struct histogram *h)
{
    if (h->count == 0)
        return;
    json_t *d = json_object();
    put_number(d, "count", h->count);
    put_number(d, "mean_us", (uint64_t)histogram_mean(h));
    for (size_t i = 0; i < ARRAY_LEN(percents); i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "%s_us", percent_names[i]);
        put_number(d, name, (uint64_t)histogram_percentile(h, percents[i]));
    }
    put_number(d, "max_us", (uint64_t)h->max_us);
    put(o, key, d);
}

static json_t *json_connections(const struct load_result *r)
{
    json_t *o = json_object();
    put_number(o, "opened", r->sessions);
    put_number(o, "failed", r->sessions_failed);
    put_number(o, "lost", r->lost);
    put_number(o, "resumed", r->resumed);
    put_number(o, "explicit", r->explicit_logins);
    put_number(o, "implicit", r->implicit_logins);
    if (r->tls_version)
        put(o, "tls", json_string(r->tls_version));
    if (r->tls_cipher)
        put(o, "cipher", json_string(r->tls_cipher));
    return o;
}

static void put_messages(json_t *o, const struct load_config *cfg, const struct load_result *r)
{
    json_t *m = json_object();
    put_number(m, "size", cfg->size);
    put_number(m, "accepted", r->messages);
    put_number(m, "failed", r->messages_failed);
    put_number(m, "recipients", r->recipients);
    put_number(m, "elapsed_us", (uint64_t)r->accept_us);
    put(m, "per_second", json_real(per_second(r->messages, r->accept_us)));
    put(o, "messages", m);
    if (!cfg->sink)
        return;
    json_t *d = json_object();
    put_number(d, "recipients", r->arrived);
    put_number(d, "missing", r->missing);
    put_number(d, "duplicates", r->duplicates);
    put_number(d, "strangers", r->strangers);
    put_number(d, "elapsed_us", (uint64_t)r->empty_us);
    put(d, "per_second", json_real(per_second(r->arrived, r->empty_us)));
    put(o, "delivered", d);
}

static void put_memory(json_t *o, const struct load_config *cfg, const struct load_result *r)
{
    put_number(o, "held", r->held);
    if (!cfg->server || !r->held || !r->memory_after.processes)
        return;
    const struct usage_memory *a = &r->memory_before, *b = &r->memory_after;
    json_t *m = json_object();
    put_number(m, "pss_before_kib", (uint64_t)a->pss_kib);
    put_number(m, "pss_after_kib", (uint64_t)b->pss_kib);
    put_number(m, "rss_before_kib", (uint64_t)a->rss_kib);
    put_number(m, "rss_after_kib", (uint64_t)b->rss_kib);
    put_number(m, "processes_after", b->processes);
    put(m, "pss_each_kib", json_real((double)(b->pss_kib - a->pss_kib) / (double)r->held));
    put(m, "rss_each_kib", json_real((double)(b->rss_kib - a->rss_kib) / (double)r->held));
    put(o, "memory", m);
}

static void put_cpu(json_t *o, const struct load_config *cfg, const struct load_result *r)
{
    uint64_t n = units(cfg, r);
    if (n == 0)
        return;
    json_t *c = json_object();
    if (r->cpu_us >= 0) {
        put_number(c, "server_us", (uint64_t)r->cpu_us);
        put_number(c, "server_accept_us", (uint64_t)r->cpu_accept_us);
        put(c, "server_each_us", json_real(each(r->cpu_us, n)));
        put(c, "server_accept_each_us", json_real(each(r->cpu_accept_us, n)));
    }
    put(c, "own_each_us", json_real(each(r->own_cpu_us, n)));
    put(o, "cpu", c);
}

static json_t *json_failures(const struct load_result *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_failures; i++) {
        const struct load_failure *f = &r->failures[i];
        json_t *o = json_object();
        put_number(o, "count", f->count);
        put(o, "code", json_integer(f->code));
        put(o, "stage", json_string(smtp_stage_name(f->stage)));
        json_t *text = json_string(f->text);
        put(o, "text", text ? text : json_string("(not UTF-8)"));
        (void)json_array_append_new(list, o);
    }
    return list;
}

static int dump(FILE *to, json_t *o)
{
    if (!o)
        return -ENOMEM;
    int r = json_dumpf(o, to, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(o);
    return r < 0 || fputc('\n', to) == EOF ? -EIO : 0;
}

int report_json(FILE *to, const struct load_config *cfg, const struct load_result *r)
{
    static const char *const kinds[] = {
        [LOAD_MESSAGES] = "messages", [LOAD_SESSIONS] = "sessions", [LOAD_IDLE] = "idle"};
    json_t *o = json_object();
    put(o, "kind", json_string(kinds[cfg->kind]));
    put(o, "connections", json_connections(r));
    put_durations(o, "setup", &r->setup);
    if (cfg->kind == LOAD_MESSAGES)
        put_messages(o, cfg, r);
    if (cfg->kind == LOAD_SESSIONS)
        put(o, "sessions_per_second", json_real(per_second(r->sessions, r->accept_us)));
    if (cfg->kind == LOAD_IDLE)
        put_memory(o, cfg, r);
    put_durations(o, "transaction", &r->transaction);
    put_durations(o, "delivery", &r->delivery);
    put_cpu(o, cfg, r);
    put(o, "failures", json_failures(r));
    return dump(to, o);
}

int report_sink_json(FILE *to, const struct sink_counts *c, int64_t us)
{
    json_t *o = json_object();
    put_number(o, "messages", c->messages);
    put_number(o, "recipients", c->recipients);
    put_number(o, "octets", c->octets);
    put_number(o, "connections", c->connections);
    put_number(o, "elapsed_us", (uint64_t)us);
    return dump(to, o);
}
