#include "server/counters.h"

#include <stdio.h>

void counters_add(struct counters *c, enum counter which, unsigned n)
{
    (void)atomic_fetch_add_explicit(&c->n[which], n, memory_order_relaxed);
}

void counters_add_verdict(struct counters *c, const struct cert_verdict *v)
{
    (void)atomic_fetch_add_explicit(&c->verdicts[v->outcome][v->cause], 1, memory_order_relaxed);
}

/* Rows of one metric follow each other. */
static const struct row {
    enum counter which;
    const char *metric, *label, *help;
} rows[] = {
    {COUNT_CONNECTIONS,      "connections",      "",                       "Connections accepted."                  },
    {COUNT_CONNECTIONS_OVER, "connections_refused", ",limit=\"connections\"",
     "Connections turned away, by the limit that was reached."                                                       },
    {COUNT_CONNECTIONS_CLIENT_OVER, "connections_refused", ",limit=\"connections-per-client\"", NULL               },
    {COUNT_LOGIN_TIMEOUTS,   "login_timeouts",   "",
     "Sessions ended because no login and no message came within login-timeout."                                     },
    {COUNT_TLS_FULL,         "tls_handshakes",   ",kind=\"full\"",         "TLS handshakes that ended well or not." },
    {COUNT_TLS_RESUMED,      "tls_handshakes",   ",kind=\"resumed\"",      NULL                                     },
    {COUNT_TLS_FAILED,       "tls_handshakes",   ",kind=\"failed\"",       NULL                                     },
    {COUNT_LOGIN_EXPLICIT,   "logins",           ",sequence=\"explicit\"",
     "Sessions that logged in: by AUTH EXTERNAL, by MAIL alone, by another mechanism."                              },
    {COUNT_LOGIN_IMPLICIT,   "logins",           ",sequence=\"implicit\"", NULL                                     },
    {COUNT_LOGIN_OTHER,      "logins",           ",sequence=\"other\"",    NULL                                     },
    {COUNT_LOGIN_REFUSED,    "logins_refused",   "",                       "AUTH that failed."                      },
    {COUNT_IMPLICIT_REFUSED, "implicit_refused", "",
     "MAIL of clients with a certificate and without AUTH, refused for want of authentication."                     },
    {COUNT_WORKAROUNDS,      "workarounds",      "",                       "Times a workaround acted."              },
    {COUNT_DISOWNED,         "disowned",         "",
     "Open sessions ended because their certificate or account no longer counts."                                   },
    {COUNT_MESSAGES,         "messages",         "",                       "Messages accepted."                     },
    {COUNT_RECIPIENTS,       "recipients",       "",                       "Recipients of messages accepted."       },
    {COUNT_REFUSED_4YZ,      "refused",          ",class=\"4\"",           "Commands refused, by class of the code."},
    {COUNT_REFUSED_5YZ,      "refused",          ",class=\"5\"",           NULL                                     },
};

static int put_head(struct buf *out, const char *metric, const char *kind, const char *help)
{
    return buf_printf(out, "# HELP postern_%s %s\n# TYPE postern_%s %s\n", metric, help, metric,
                      kind);
}

static int put_row(struct buf *out, const struct row *row, const struct counters_of *l)
{
    unsigned long long n = atomic_load_explicit(&l->counters->n[row->which], memory_order_relaxed);
    return buf_printf(out, "postern_%s_total{listener=\"%s\"%s} %llu\n", row->metric, l->listener,
                      row->label, n);
}

static int put_rows(const struct counters_of *list, size_t n, struct buf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char metric[64] = "";
        (void)snprintf(metric, sizeof(metric), "%s_total", rows[i].metric);
        int r = rows[i].help ? put_head(out, metric, "counter", rows[i].help) : 0;
        for (size_t k = 0; r == 0 && k < n; k++)
            r = put_row(out, &rows[i], &list[k]);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Only what has occurred: most pairs never do. */
static int put_verdicts(const struct counters_of *l, struct buf *out)
{
    for (unsigned i = 0; i < COUNTER_OUTCOMES * COUNTER_CAUSES; i++) {
        unsigned outcome = i / COUNTER_CAUSES, cause = i % COUNTER_CAUSES;
        unsigned long long n =
            atomic_load_explicit(&l->counters->verdicts[outcome][cause], memory_order_relaxed);
        int r = n == 0 ? 0
                       : buf_printf(out,
                                    "postern_certificates_total{listener=\"%s\",verdict=\"%s\","
                                    "cause=\"%s\"} %llu\n",
                                    l->listener, cert_outcome_name((enum cert_outcome)outcome),
                                    cert_cause_name((enum cert_cause)cause), n);
        if (r < 0)
            return r;
    }
    return 0;
}

int counters_print(const struct counters_of *list, size_t n, struct buf *out)
{
    int r = put_rows(list, n, out);
    if (r == 0)
        r = put_head(out, "certificates_total", "counter",
                     "Verdicts on clients' certificates at the end of a handshake.");
    for (size_t i = 0; r == 0 && i < n; i++)
        r = put_verdicts(&list[i], out);
    if (r == 0)
        r = put_head(out, "sessions", "gauge", "Sessions open now.");
    for (size_t i = 0; r == 0 && i < n; i++)
        r = buf_printf(out, "postern_sessions{listener=\"%s\",certificate_auth=\"%s\"} %u\n",
                       list[i].listener, list[i].certificate_auth, list[i].sessions);
    return r;
}
