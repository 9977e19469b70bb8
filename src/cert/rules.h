/* rules.h - identity rules as written, compiled once for all sessions.
 *
 * What the source of a rule finds goes through three steps, each of which a rule may leave out:
 *
 *     pattern   PCRE2; it must fit the whole value, else the rule does not fit for that value
 *     name      a template: $0 is the value, $1 ... $9 the groups of the pattern, $$ a dollar
 *     table     base/table.h: what the steps before made is the key, the entry is the identity
 *
 * What comes out is no identity unless cert_identity_normalise() takes it (CERT-20).
 *
 * A pattern is bounded in steps and memory, whatever it is and whatever the certificate holds; one
 * that gives up does not fit.  cert_rules_refresh() belongs to one thread that may block; everything
 * else may be called from every thread.
 */
#ifndef POSTERN_RULES_H
#define POSTERN_RULES_H

#include "cert/judge.h"

struct cert_rule_config {
    const char *name;
    enum cert_source source;
    const char *attribute;                  /* CERT_SOURCE_SUBJECT only */
    const char *pattern, *template, *table; /* NULL: no such step */
    const char *const *trust;
    size_t n_trust;
};

struct cert_rules;

/* Borrows the names and trusts of `cfg`.  -errno; `why` (CERT_WHY_MAX octets) names the rule. */
MUST_USE int
cert_rules_new(const struct cert_rule_config *cfg, size_t n, struct cert_rules **ret, char *why);
void cert_rules_free(struct cert_rules *r); /* NULL is fine */
const struct cert_rule *cert_rules_items(const struct cert_rules *r, size_t *ret_n);

/* All that can be said of a rule without opening its table; `why` does not name the rule. */
MUST_USE int cert_rule_check(const struct cert_rule_config *cfg, char *why);

/* Tables that have changed are loaded again; a bad one keeps its old entries and is logged once.
 * Returns how many have new content. */
unsigned cert_rules_refresh(struct cert_rules *r);

#endif
