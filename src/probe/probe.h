/* probe.h - the cases against one server in one way of talking to it, and what came of each.
 *
 *     struct probe p = {.target = ..., .plain = ..., .with_certificate = ...};
 *     probe_run(&p, progress, arg);
 *
 * Blocks for as long as the server takes: at most the target's time-out for each of a bounded number of
 * commands, and no case is begun after `until_ms`.  Sends no message unless told: stops at RCPT and says RSET.
 */
#ifndef POSTERN_PROBE_H
#define POSTERN_PROBE_H

#include "probe/dialogue.h"
#include "probe/report.h"
#include "probe/verdict.h"

#define PROBE_DETAIL 320
#define PROBE_CASES_MAX 64

enum probe_protocol { PROBE_SMTP, PROBE_IMAP, PROBE_POP3 };

/* Certificates that should not be taken. */
enum bad_certificate {
    BAD_EXPIRED,
    BAD_FUTURE,
    BAD_USAGE, /* for servers only */
    BAD_UNKNOWN,
    BAD_SELF_SIGNED,
    BAD_NO_EMAIL,
    BAD_REVOKED,
    BAD_COUNT,
};
const char *bad_certificate_name(enum bad_certificate kind); /* "self-signed" */

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
    enum probe_protocol protocol;
    struct contact_target target;
    struct contact_target relay; /* host NULL: there is none */
    enum tls_version version;    /* of the contexts below, but for the two named otherwise */
    struct tls_context *plain;   /* shows no certificate */
    struct tls_context *with_certificate;          /* NULL: there is none */
    struct tls_context *resuming;                  /* as that, and resumes; NULL as well */
    struct tls_context *bad[BAD_COUNT];            /* NULL: not given */
    struct tls_context *any_version, *old_version; /* with the certificate, if any; TLS 1.1 */
    const char *helo, *from, *to;
    const char *identity; /* own authzid; NULL: not known */
    bool deliver;
    int64_t until_ms; /* monotonic; 0: no end */

    /* Found by probe_run(). */
    struct observations seen;
    struct smtp_capabilities capabilities; /* with the certificate */
    struct probe_result results[PROBE_CASES_MAX];
    unsigned n_results;
    bool login_troubled; /* a login was refused for now only: whether it works cannot be told */
    bool reached;        /* EHLO was answered at least once */
    bool sender_refused; /* by MAIL after AUTH EXTERNAL: what a refused MAIL means cannot be told */
    unsigned missed;     /* the number of the first case that did not reach it, with the certificate if any; 0: one did */
};

void probe_run(struct probe *p,
               void (*progress)(void *arg, unsigned done, unsigned of, const char *title),
               void *arg);
enum rule probe_rule(const struct probe *p);
enum probe_conforms probe_conforms(const struct probe *p);

#endif
