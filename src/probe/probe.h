/* probe.h - the cases against one server, and what came of each.
 *
 *     struct probe p = {.target = ..., .plain = ..., .with_certificate = ...};
 *     probe_run(&p, progress, arg);
 *
 * Blocks for as long as the server takes, at most the target's time-out for each of a bounded number of
 * commands.  Sends no message: stops at RCPT and says RSET.
 */
#ifndef POSTERN_PROBE_H
#define POSTERN_PROBE_H

#include "probe/dialogue.h"
#include "probe/report.h"
#include "probe/verdict.h"

#define PROBE_DETAIL 320
#define PROBE_CASES_MAX 32

struct probe_result {
    unsigned number;
    const char *id, *title, *section, *rows;
    enum probe_status status;
    char detail[PROBE_DETAIL];
    int64_t took_ms;
};

struct probe {
    char name[64]; /* of the column in a report */
    struct loop *loop;
    struct dialogue_target target;
    struct tls_context *plain;            /* shows no certificate */
    struct tls_context *with_certificate; /* NULL: there is none */
    struct tls_context *resuming;         /* as that, and resumes; NULL as well */
    const char *helo, *from, *to;
    const char *identity; /* own authzid; NULL: not known */

    /* Found by probe_run(). */
    struct observations seen;
    char tls_version[16];
    struct probe_result results[PROBE_CASES_MAX];
    unsigned n_results;
    bool reached; /* TLS stood at least once */
};

void probe_run(struct probe *p,
               void (*progress)(void *arg, unsigned done, unsigned of, const char *title),
               void *arg);
enum probe_conforms probe_conforms(const struct probe *p);

#endif
