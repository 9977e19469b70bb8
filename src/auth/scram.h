/* scram.h - the server's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677).  Pure.
 *
 * Not GNU SASL's: that one knows no tls-server-end-point (RFC 5929), which is what clients under TLS 1.2 and those
 * behind an offloader bind to.
 *
 *     scram_first()      client-first message: who it says it is
 *     scram_challenge()  our answer, with the keys of that user, or with keys that fit nobody
 *     scram_final()      client-final message: does it know the password; our proof that we know the keys
 *
 * Every failure looks the same to the client (AUTH-21): which of the -errno it was is for the log.
 */
#ifndef POSTERN_SCRAM_H
#define POSTERN_SCRAM_H

#include "base/buf.h"

#define SCRAM_KEY 32
#define SCRAM_SALT_MAX 64
#define SCRAM_MESSAGE_MAX 8192
#define SCRAM_ITERATIONS 10000  /* of a new entry; RFC 7677 asks for at least 4096 */
#define SCRAM_ITERATIONS_MIN 1000
#define SCRAM_ITERATIONS_MAX 10000000

struct scram_keys {
    unsigned iterations;
    size_t salt_len;
    unsigned char salt[SCRAM_SALT_MAX];
    unsigned char stored[SCRAM_KEY], server[SCRAM_KEY];
};

/* "iterations,salt,stored,server", each but the first in base64. */
MUST_USE int scram_keys_parse(struct str text, struct scram_keys *ret);
MUST_USE int scram_keys_format(const struct scram_keys *k, struct buf *out);
/* Salt and iterations are set; the keys are made of the password.  Slow on purpose. */
MUST_USE int scram_keys_derive(struct scram_keys *k, struct str password);
/* Keys that no password has, always the same ones for a name: who asks twice learns nothing (AUTH-21). */
void scram_keys_fake(struct scram_keys *k, const unsigned char secret[SCRAM_KEY], struct str user);

/* What the channel can be bound to; empty: not to that. */
struct scram_channel {
    struct str exporter;  /* tls-exporter (RFC 9266) */
    struct str end_point; /* tls-server-end-point (RFC 5929) */
};

struct scram;

/* plus: the mechanism asked for is the -PLUS one.  `plus_offered`: EHLO listed it, so "y" was made up by somebody in
 * between (CB-04).  The channel is borrowed until scram_free(). */
struct scram *scram_new(bool plus, bool plus_offered, struct scram_channel channel);
void scram_free(struct scram *s); /* NULL is fine; wipes */

MUST_USE int scram_first(struct scram *s, struct str message);
struct str scram_user(const struct scram *s);    /* prepared with SASLprep */
struct str scram_authzid(const struct scram *s); /* as typed; empty: none */
/* nonce: ours, printable, without comma. */
MUST_USE int scram_challenge(struct scram *s, const struct scram_keys *k, struct str nonce, struct buf *out);
/* 0 with our signature in `out`; -EACCES: wrong password; -EPERM: wrong channel; else -errno. */
MUST_USE int scram_final(struct scram *s, struct str message, struct buf *out);

#endif
