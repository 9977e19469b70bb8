/* cmd_probe_server.h - `postern probe server`: from the words of the command to the columns of a probe. */
#ifndef POSTERN_CMD_PROBE_SERVER_H
#define POSTERN_CMD_PROBE_SERVER_H

#include "app/report_out.h"
#include "probe/probe.h"

int cmd_probe_server(int argc, char **argv); /* as cmd_probe() */

/* cmd_probe_target.c: where to */

struct probe_target {
    enum probe_protocol protocol;
    char *host, *port;
    bool implicit;
    bool optional; /* tried because the user named no port */
};
#define PROBE_TARGETS_MAX 8
struct probe_targets {
    struct probe_target list[PROBE_TARGETS_MAX];
    size_t n;
};

/* "host" (both ports of submission), "host:587", "[::1]:465", "imaps://host[:993]"; `tls` is "starttls", "implicit" or
 * NULL: by the port.  NULL, or what is wrong with the word. */
const char *probe_targets_add(struct probe_targets *t, const char *word, const char *tls);
void probe_targets_done(struct probe_targets *t);

/* cmd_probe_papers.c: certificates */

struct probe_papers {
    const char *ca; /* trust anchors for the server's certificate; NULL: it is not verified */
    const char *certificate, *key;
    const char *ca_cert, *ca_key; /* to make bad ones with */
    struct {
        char *certificate, *key;
    } bad[BAD_COUNT];
    char *folder; /* of those that were made; NULL: none */
};

/* "expired=FILE[,KEY]"; false: not understood. */
bool probe_papers_add_bad(struct probe_papers *p, const char *word);
/* Makes the bad ones that are not given and can be made; -errno with a sentence in `why`. */
#define PROBE_WHY 400
MUST_USE int probe_papers_make(struct probe_papers *p, const char *email, char why[PROBE_WHY]);
/* The contexts of a column; -errno with a sentence in `why`. */
MUST_USE int
probe_papers_show(const struct probe_papers *p, struct probe *column, char why[PROBE_WHY]);
void probe_papers_hide(struct probe *column); /* drops them */
/* Removes what was made, which the contexts hold by now: a key that the CA signed for must not outlive a Ctrl-C. */
void probe_papers_sweep(struct probe_papers *p);
void probe_papers_done(struct probe_papers *p); /* and the rest */

#endif
