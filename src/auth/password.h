/* password.h - an entry of a password table: does a password fit it, and how is one made.  Pure, and slow on purpose:
 * never on a network thread.
 *
 *     $y$j9T$...                                       what crypt(5) writes: yescrypt, and the older methods
 *     {SCRAM-SHA-256}iterations,salt,stored,server     for SCRAM, and for PLAIN as well
 *
 * Passwords here are prepared with SASLprep already.
 */
#ifndef POSTERN_PASSWORD_H
#define POSTERN_PASSWORD_H

#include "auth/scram.h"

#define PASSWORD_MAX 1024 /* octets */
#define PASSWORD_ENTRY_MAX 512

/* 0: it fits; -EACCES: it does not; -EINVAL: this is no entry.  Without an entry (p NULL) the same work is done, for
 * nothing: time tells nobody which names there are (AUTH-21). */
MUST_USE int password_check(struct str entry, struct str password);

/* The keys of an entry for SCRAM; -EINVAL: it is none. */
MUST_USE int password_scram_keys(struct str entry, struct scram_keys *ret);

/* Appends a new entry. */
MUST_USE int password_make_crypt(struct str password, struct buf *out);
MUST_USE int password_make_scram(struct str password, struct buf *out);

#endif
