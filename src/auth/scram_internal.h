/* scram_internal.h - what both sides of SCRAM need. */
#ifndef POSTERN_SCRAM_INTERNAL_H
#define POSTERN_SCRAM_INTERNAL_H

#include "auth/scram.h"

bool scram_hmac(const unsigned char key[SCRAM_KEY], struct str text, unsigned char out[SCRAM_KEY]);
bool scram_hash(const unsigned char in[SCRAM_KEY], unsigned char out[SCRAM_KEY]);
/* The keys of a password, and the ClientKey, which only the client has a use for. */
MUST_USE int scram_derive(struct scram_keys *k, struct str password, unsigned char client[SCRAM_KEY]);

/* The next of the parts that commas separate. */
struct str scram_next_part(struct str *rest);
/* "x=value": the value, if that is the attribute. */
bool scram_attribute(struct str part, char name, struct str *ret);
bool scram_is_nonce(struct str s);
MUST_USE int scram_decode(struct str text, unsigned char *to, size_t min, size_t max, size_t *ret_len);
MUST_USE int scram_put_b64(struct buf *out, const char *glue, const unsigned char *octets, size_t len);

#endif
