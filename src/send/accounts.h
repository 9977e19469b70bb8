/* accounts.h - the accounts of `postern send`: ~/.config/postern/send.conf and /etc/postern/send.conf.
 *
 *     account work {
 *         host        = "mail.example.org"
 *         from        = {"alice@example.org"}
 *         certificate = "alice.pem"
 *     }
 *
 * The language is that of postern.conf (conf/conf.h), a relative path starts at the folder of the file, "~/" at home.
 * postern-send(1) describes each setting.  No password stands in these files: they name a file or a command.
 */
#ifndef POSTERN_SEND_ACCOUNTS_H
#define POSTERN_SEND_ACCOUNTS_H

#include "conf/loader.h"
#include "send/account.h"

struct accounts {
    struct account *list; /* the user's, then the machine's */
    size_t n;
    const char *aliases; /* table of local names and addresses; NULL: none */
    struct arena memory;
};

/* Reads one more file; a file that is not there is no mistake unless `must_exist`.  Returns the number of mistakes,
 * which were reported, or -errno.  `into` begins zeroed. */
MUST_USE int accounts_read(struct accounts *into,
                           const char *path,
                           bool system,
                           bool must_exist,
                           loader_line_fn *report,
                           void *arg);
void accounts_done(struct accounts *c);

#endif
