/* login.h - the messages of password mechanisms, for the engine: auth/ makes them, the stream names the channel.
 * Internal to src/link/. */
#ifndef POSTERN_LINK_LOGIN_H
#define POSTERN_LINK_LOGIN_H

#include "link/link.h"

struct scram_client;

struct link_login { /* of one connection; zero at first */
    struct scram_client *scram;
    bool scram_begun, bound;
    unsigned step;
};

void link_login_done(struct link_login *l);

struct link_channel {
    const struct stream *stream;
    const struct smtp_capabilities *offers;
};

/* As smtp_client_ops.sasl and .sasl_proved. */
MUST_USE int link_login_message(struct link_login *l,
                                const struct link_config *cfg,
                                const struct link_channel *channel,
                                const struct smtp_mechanism *m,
                                const struct str *challenge,
                                struct buf *message,
                                const char **ret_why);
bool link_login_is_proved(const struct link_login *l);

#endif
