/* dovecot.h - Dovecot's auth client protocol, as far as one PLAIN login needs it.  Pure: lines in, words out.
 *
 *     both sides      VERSION TAB 1 TAB n, and more about themselves
 *     server          MECH TAB PLAIN ..., then DONE
 *     client          AUTH TAB id TAB PLAIN TAB parameters TAB resp=base64
 *     server          OK TAB id TAB user=name ...   or   FAIL TAB id TAB ... [temp]
 */
#ifndef POSTERN_DOVECOT_H
#define POSTERN_DOVECOT_H

#include "base/buf.h"

#define DOVECOT_LINE_MAX 8192
#define DOVECOT_USER_MAX 320

enum dovecot_word {
    DOVECOT_MORE,    /* another line is needed */
    DOVECOT_READY,   /* the greeting is complete and PLAIN is there: send the request */
    DOVECOT_OK,      /* user names who it is */
    DOVECOT_REFUSED, /* wrong name or password */
    DOVECOT_LATER,   /* its own trouble */
    DOVECOT_BROKEN,  /* this is not the protocol, or not a version we know, or PLAIN is not offered */
};

struct dovecot {
    bool version, plain, greeted;
    struct buf user; /* after DOVECOT_OK; may be empty: as asked */
};

void dovecot_init(struct dovecot *d);
void dovecot_done(struct dovecot *d);

/* One line without its LF. */
enum dovecot_word dovecot_read(struct dovecot *d, struct str line);

MUST_USE int dovecot_write_greeting(struct buf *out, unsigned pid);
MUST_USE int dovecot_write_request(struct buf *out, struct str user, struct str password, const char *peer);

#endif
